"""Finds files of a standby that the reader of its name does not read: different logs under one name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import HEAD_BYTES, Checkpoints, FileIdentity
from hookline.relay.sources.decompression import PACKED, compression_of
from hookline.relay.sources.input_files import expand
from hookline.relay.sources.source import Position, SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing

# A file that the reader has not read twice in a row, at this distance, is named. It may be new, or rotated just now.
COMPARE_SECONDS: Final = 60.0


class StandbyCheck:
    """The check of one standby. `run` is called every second."""

    def __init__(
        self,
        names: Sequence[str],
        positions: Callable[[], Iterable[Position]],
        logger: SourceLog,
        *,
        reader: str,
        timing: Timing = SYSTEM_TIMING,
    ) -> None:
        """Create the check.

        Args:
            names: The sources on the command line.
            positions: Returns the stored positions of the reader's name.
            logger: Receives a warning for each file.
            reader: The `--name`.
            timing: The clock.
        """
        self._names = names
        self._positions = positions
        self._logger = logger
        self._reader = reader
        self._timing = timing
        self._next = 0.0
        self._unread: list[str] = []
        self._warned: dict[str, None] = {}

    def run(self) -> None:
        """Compare, if it is time to."""
        if (now := self._timing.monotonic()) < self._next:
            return
        self._next = now + COMPARE_SECONDS
        checkpoints = Checkpoints(self._positions())
        unread = [path for path in self._paths() if not _is_read(path, checkpoints)]
        for path in unread:
            if path in self._unread and path not in self._warned:
                self._warned[path] = None
                self._logger.warning(
                    "standby: the reader of this --name has not read this file",
                    name=self._reader,
                    source=path,
                    hint="if this machine has a log of its own, give its relay a --name of its own",
                )
        self._unread = unread

    def _paths(self) -> list[str]:
        paths: list[str] = []
        for name in self._names:
            try:
                paths += expand(name)
            except HooklineError:  # a followed file that does not exist yet
                continue
        return paths


def _is_read(path: str, checkpoints: Checkpoints) -> bool:
    """Whether the content of a file is known. An empty, a compressed or an unreadable file counts as that."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        status, head = os.fstat(descriptor), os.pread(descriptor, HEAD_BYTES, 0)
        if not head or compression_of(head) in PACKED:
            return True
        identity = FileIdentity(name=path, device=status.st_dev, inode=status.st_ino, size=status.st_size, head=head)
        read_at = partial(_read_at, descriptor)
        return bool(checkpoints.candidates(identity)) or checkpoints.find_longer(identity, read_at)[0] is not None
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)
