"""Patterns and directories become the files that they stand for."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path

from hookline.errors import HooklineError
from hookline.relay.sources.devices import STANDARD_INPUT, status_of
from hookline.relay.sources.naming import is_pattern, shown, turn


def expand(name: str) -> list[str]:
    """The paths that a name stands for in a finite run. Raises HooklineError where nothing is there or can be listed.

    A directory stands for the regular files in it that are not hidden, a pattern for those that match; oldest first.
    """
    if name == STANDARD_INPUT or not stands_for_others(name):
        if name != STANDARD_INPUT:
            _require(name)
        return [name]
    found = files_of(name)
    if not found and not Path(name).is_dir():
        raise HooklineError(
            f"{shown(name)}: no file matches", hint="check the pattern, and the directory that it names"
        )
    return found


def _require(name: str) -> None:
    try:
        os.stat(name)  # noqa: PTH116 - the name may be no path
    except ValueError as error:
        raise HooklineError(f"{name!r} is not a file name: {error}") from error
    except FileNotFoundError as error:
        raise HooklineError(f"{shown(name)}: no such file", hint="check the path; - reads standard input") from error
    except OSError:
        pass  # it is there; whoever opens it says what is wrong


def stands_for_others(name: str) -> bool:
    """Whether it is a directory, or a pattern and not the name of a file that is there."""
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        return is_pattern(name)
    except (OSError, ValueError):
        return False


def files_of(name: str) -> list[str]:
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
            f"{shown(name)}: cannot be listed: {error.strerror}",
            hint="a directory needs the permissions r and x for the user that the relay runs as",
        ) from error
    found = [(status.st_mtime_ns, turn(path), path) for path in paths if (status := status_of(path)) is not None]
    return [path for _, _, path in sorted(found)]
