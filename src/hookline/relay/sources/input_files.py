"""Opens inputs by name, and expands patterns and directories to files."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from hookline.errors import HooklineError
from hookline.paths import is_directory, path_exists
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_names import display_name, rotation_number
from hookline.relay.sources.source import SourceLog
from hookline.relay.sources.timing import Timing

STANDARD_INPUT = "-"
Reader = FileReader | PipeReader


def open_reader(
    name: str, checkpoints: Checkpoints, logger: SourceLog, timing: Timing, *, follow: bool = False
) -> Reader:
    """Opens a file, a named pipe (``<(zcat …)``, a FIFO), or ``-`` for standard input, also redirected from a file.

    With `follow`, a named pipe stays open when its writers close it. Raises HooklineError if it cannot be opened.
    """
    try:
        # O_NONBLOCK: opening a named pipe does not wait for its writer, so the relay can stop.
        descriptor = 0 if name == STANDARD_INPUT else os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unusable(name, error) from error
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError as error:
        raise HooklineError("standard input is closed", hint="name a file, or pipe events in") from error
    if stat.S_ISREG(mode):
        return FileReader(display_name(name), descriptor, checkpoints, logger, timing)
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise HooklineError(
            f"{display_name(name)} is a directory", hint="it was a file or a pipe at the start; start the relay again"
        )
    # The shell gives <(…) a name below /dev/fd, but no other writer can open it.
    has_path = name != STANDARD_INPUT and path_exists(os.path.realpath(name))
    reopens = follow and stat.S_ISFIFO(mode) and has_path
    return PipeReader(display_name(name), descriptor, logger, timing, reopens=reopens)


def status_of(name: str) -> os.stat_result | None:
    """Returns the status of a regular file, also of a redirected standard input. Returns None for any other name."""
    try:
        status = os.fstat(0) if name == STANDARD_INPUT else os.stat(name)  # noqa: PTH116 - the name may be no path
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _unusable(name: str, error: OSError | ValueError) -> HooklineError:
    match error:
        case FileNotFoundError():
            return HooklineError(f"{display_name(name)}: no such file", hint="check the path; - reads standard input")
        case OSError():
            return HooklineError(f"{display_name(name)}: cannot be opened: {error.strerror}")
        case ValueError():
            return HooklineError(f"{name!r} is not a file name: {error}")


def expand(name: str) -> list[str]:
    """Returns the paths that a name denotes in a finite run, the oldest first.

    A directory denotes its regular files that are not hidden, a pattern the files that match. Raises HooklineError if
    a file does not exist, no file matches, or a directory cannot be listed.
    """
    if name == STANDARD_INPUT:
        return [name]
    if not is_pattern_or_directory(name):
        try:
            os.stat(name)  # noqa: PTH116 - the name may be no path
        except (FileNotFoundError, ValueError) as error:
            raise _unusable(name, error) from error
        except OSError:
            pass  # it exists; the error of opening it is more precise
        return [name]
    found = files_in(name)
    if not found and not is_directory(name):
        raise HooklineError(
            f"{display_name(name)}: no file matches", hint="check the pattern, and the directory that it names"
        )
    return found


def is_pattern_or_directory(name: str) -> bool:
    """Returns whether the name is a directory, or a pattern and not the name of an existing file."""
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        return any(sign in name for sign in "*?[")
    except (OSError, ValueError):
        return False


def files_in(name: str) -> list[str]:
    """Returns the regular files of a directory or pattern, the oldest first. Raises HooklineError if that fails."""
    try:
        if is_directory(name):
            paths = [str(path) for path in Path(name).iterdir() if not path.name.startswith(".")]
        else:
            paths = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob does not take absolute patterns
    except OSError as error:
        raise HooklineError(
            f"{display_name(name)}: cannot be listed: {error.strerror}",
            hint="a directory needs the permissions r and x for the user that the relay runs as",
        ) from error
    found = [(status.st_mtime_ns, rotation_number(path), path) for path in paths if (status := status_of(path))]
    return [path for _, _, path in sorted(found)]
