"""Patterns and directories become the files that they stand for."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_names import display_name, is_pattern, rotation_number
from hookline.relay.sources.source import SourceLog

# From a path to the reader that fits what stands behind it.
STANDARD_INPUT = "-"
Reader = FileReader | PipeReader


def open_reader(name: str, checkpoints: Checkpoints, notes: SourceLog, *, follow: bool = False) -> Reader:
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
        return FileReader(display_name(name), descriptor, checkpoints, notes)
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise HooklineError(
            f"{display_name(name)} is a directory", hint="it was a file, or a pipe, when the relay started"
        )
    # What the shell makes of <(…) has a name below /dev/fd, but no other writer can ever open it.
    has_a_place = name != STANDARD_INPUT and os.path.exists(os.path.realpath(name))  # noqa: PTH110
    return PipeReader(display_name(name), descriptor, notes, lasting=follow and stat.S_ISFIFO(mode) and has_a_place)


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
        raise HooklineError(
            f"{display_name(name)}: no such file", hint="check the path; - reads standard input"
        ) from error
    except OSError as error:
        raise HooklineError(f"{display_name(name)}: cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise HooklineError(f"{name!r} is not a file name: {error}") from error


def expand(name: str) -> list[str]:
    """The paths that a name stands for in a finite run. Raises HooklineError where nothing is there or can be listed.

    A directory stands for the regular files in it that are not hidden, a pattern for those that match; oldest first.
    """
    if name == STANDARD_INPUT or not is_pattern_or_directory(name):
        if name != STANDARD_INPUT:
            _require(name)
        return [name]
    found = files_in(name)
    if not found and not Path(name).is_dir():
        raise HooklineError(
            f"{display_name(name)}: no file matches", hint="check the pattern, and the directory that it names"
        )
    return found


def _require(name: str) -> None:
    try:
        os.stat(name)  # noqa: PTH116 - the name may be no path
    except ValueError as error:
        raise HooklineError(f"{name!r} is not a file name: {error}") from error
    except FileNotFoundError as error:
        raise HooklineError(
            f"{display_name(name)}: no such file", hint="check the path; - reads standard input"
        ) from error
    except OSError:
        pass  # it is there; whoever opens it says what is wrong


def is_pattern_or_directory(name: str) -> bool:
    """Whether it is a directory, or a pattern and not the name of a file that is there."""
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        return is_pattern(name)
    except (OSError, ValueError):
        return False


def files_in(name: str) -> list[str]:
    """The regular files of a directory or pattern as they are now, in the order in which they were written last.

    Raises HooklineError when a directory cannot be listed.
    """
    try:
        if Path(name).is_dir():
            paths = [str(path) for path in Path(name).iterdir() if not path.name.startswith(".")]
        else:
            paths = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob does not take absolute patterns
    except OSError as error:
        raise HooklineError(
            f"{display_name(name)}: cannot be listed: {error.strerror}",
            hint="a directory needs the permissions r and x for the user that the relay runs as",
        ) from error
    found = [
        (status.st_mtime_ns, rotation_number(path), path) for path in paths if (status := status_of(path)) is not None
    ]
    return [path for _, _, path in sorted(found)]
