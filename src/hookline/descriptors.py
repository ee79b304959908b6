"""File descriptors: the process's limit, the part of it that connections may use, and the standard streams."""

from __future__ import annotations

import errno
import os
import resource
import sys
from typing import Final

# The kernel's table of descriptors grows as they are used, so a high limit costs nothing.
MAX_DESCRIPTORS: Final = 65_536
# For the spool, the state, secrets, the name resolver and the listener. A small limit gives them a quarter.
RESERVED_DESCRIPTORS: Final = 96
# Followed files are open at the same time (relay/sources/follow_source.py). The others are read one by one.
MAX_FOLLOWED_DESCRIPTORS: Final = 512
READ_DESCRIPTORS: Final = 16
# The time after which a call that found no descriptor is repeated.
NO_DESCRIPTOR_RETRY_SECONDS: Final = 0.5

_NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit to its hard limit, at most MAX_DESCRIPTORS. Returns the limit in effect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY:
        return MAX_DESCRIPTORS
    if soft >= highest:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    except (OSError, ValueError):  # a sandbox forbids it: the relay works with the limit that it has
        return soft
    return highest


def max_connections(limit: int, *, follow: bool) -> int:
    """How many connections to endpoints may be open under a limit of descriptors. `follow`: files stay open."""
    sources = min(MAX_FOLLOWED_DESCRIPTORS, limit // 2) if follow else min(READ_DESCRIPTORS, limit // 8)
    return max(1, limit - min(RESERVED_DESCRIPTORS, limit // 4) - sources)


def lacks_descriptor(error: BaseException | None) -> bool:
    """Whether an error, or the cause of one, is that the process or the system has no descriptor left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NONE_LEFT:
            return True
        error = error.__cause__ or error.__context__
    return False


def is_any_descriptor_left() -> bool:
    """Whether a file can be opened now, for libraries that report no reason when they cannot open one."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return not lacks_descriptor(error)
    return True


def open_missing_streams() -> set[int]:
    """Give descriptors 0, 1 and 2 a use if they were closed before the start, as with `2>&-`. Returns those.

    Otherwise the first file that the process opens gets the free descriptor, and everything that is printed goes into
    that file: the spool's database, for example.

    Reading the missing stdin fails, and so does writing to the missing stdout, so that nobody takes a lost input or
    output for an empty one. Output to the missing stderr is discarded.
    """
    missing = set()
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            missing.add(descriptor)
            opened = os.open(os.devnull, flags)  # the lowest free descriptor, which is this one
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
    # Python has None instead of a stream for a closed descriptor.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", encoding="utf-8", errors="surrogateescape", closefd=False)
    return missing
