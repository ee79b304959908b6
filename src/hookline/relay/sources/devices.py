"""From a path to the reader that fits what stands behind it."""

from __future__ import annotations

import os
import stat

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.files import FileReader
from hookline.relay.sources.naming import shown
from hookline.relay.sources.pipes import PipeReader
from hookline.relay.sources.port import Notes

STANDARD_INPUT = "-"
Reader = FileReader | PipeReader


def open_reader(name: str, checkpoints: Checkpoints, notes: Notes, *, follow: bool = False) -> Reader:
    """Open a file, a pipe by name (``<(zcat …)``, a FIFO), or ``-`` for standard input; also a redirected one.

    A named pipe lasts when it is followed: its writers come and go. Raises HooklineError when there is nothing to
    read: missing, a directory, no permission.
    """
    descriptor = 0 if name == STANDARD_INPUT else _opened(name)
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError as error:
        raise HooklineError("standard input is closed", hint="name a file, or pipe events in") from error
    if stat.S_ISREG(mode):
        return FileReader(shown(name), descriptor, checkpoints, notes)
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise HooklineError(f"{shown(name)} is a directory", hint="it was a file, or a pipe, when the relay started")
    # What the shell makes of <(…) has a name below /dev/fd, but no other writer can ever open it.
    has_a_place = name != STANDARD_INPUT and os.path.exists(os.path.realpath(name))  # noqa: PTH110
    return PipeReader(shown(name), descriptor, notes, lasting=follow and stat.S_ISFIFO(mode) and has_a_place)


def status_of(name: str) -> os.stat_result | None:
    """Of a regular file, also behind a redirected standard input; None for anything else, or nothing."""
    try:
        status = os.fstat(0) if name == STANDARD_INPUT else os.stat(name)  # noqa: PTH116 - the name may be no path
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _opened(name: str) -> int:
    try:
        # Without waiting: a named pipe has its writer when it has it, and a stop is obeyed meanwhile.
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise HooklineError(f"{shown(name)}: no such file", hint="check the path; - reads standard input") from error
    except OSError as error:
        raise HooklineError(f"{shown(name)}: cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise HooklineError(f"{name!r} is not a file name: {error}") from error
