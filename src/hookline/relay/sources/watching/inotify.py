"""inotify(7) by three calls of the C library: the kernel reports changes of the names in watched directories."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import Final

from hookline.relay.sources.timing import DirectoryEvent

# <sys/inotify.h>; the same on all architectures, except the two flags of inotify_init1, which os has.
_MODIFY: Final = 0x0002
_MOVED_FROM: Final = 0x0040
_MOVED_TO: Final = 0x0080
_CREATE: Final = 0x0100
_MOVE_SELF: Final = 0x0800
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLY_DIRECTORIES: Final = 0x0100_0000
_MASK: Final = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _MOVE_SELF | _ONLY_DIRECTORIES

_HEADER: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_READ_BYTES: Final = 64 * 1024


class Inotify:
    """Implements timing.DirectoryWatcher.

    `open` raises OSError if the system has no inotify, or no further instance for this user.
    """

    def __init__(self, library: ctypes.CDLL, descriptor: int) -> None:
        self._library = library
        self.descriptor = descriptor

    @classmethod
    def open(cls) -> Inotify:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "inotify_init1"):
            raise OSError(errno.ENOSYS, "the system has no inotify")
        return cls(library, _checked(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)))

    def watch(self, directory: str) -> int:
        return _checked(self._library.inotify_add_watch(self.descriptor, os.fsencode(directory), _MASK))

    def unwatch(self, watch: int) -> None:
        self._library.inotify_rm_watch(self.descriptor, watch)  # it fails if the directory is gone

    def take(self) -> list[DirectoryEvent]:
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        return list(_parsed(data))

    def close(self) -> None:
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _parsed(data: bytes) -> Iterator[DirectoryEvent]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size + length
        name = data[at - length : at].rstrip(b"\0")
        yield DirectoryEvent(
            watch=watch,
            name=os.fsdecode(name),
            is_write=bool(mask & _MODIFY),
            is_lost=bool(mask & (_IGNORED | _MOVE_SELF)),
            is_overflow=bool(mask & _OVERFLOW),
        )
