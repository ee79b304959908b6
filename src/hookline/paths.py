"""Looks at paths: whether something exists there, and its kind. No other module asks the file system that.

A directory above the path that this user may not enter is an error with a message. `pathlib` would raise
PermissionError in some releases of Python and report that nothing exists in others.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from hookline.errors import HooklineError

AnyPath = Path | str
# Nothing exists at such a path: a parent is missing or no directory, or a link leads nowhere or in a circle.
_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def resolved(path: AnyPath) -> Path:
    """The absolute path without links. A link that leads in a circle remains, and fails when it is used.

    `Path.resolve` would raise RuntimeError for it in some releases of Python.
    """
    return Path(os.path.realpath(path))


def path_exists(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    """Whether something exists at the path. Follows links, so a broken link is nothing. Raises `error`."""
    return path_mode(path, error=error) is not None


def name_is_taken(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    """Whether the name is used, even by a broken link. Raises `error`."""
    return path_mode(path, follow=False, error=error) is not None


def is_directory(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    mode = path_mode(path, error=error)
    return mode is not None and stat.S_ISDIR(mode)


def is_regular_file(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    mode = path_mode(path, error=error)
    return mode is not None and stat.S_ISREG(mode)


def is_link(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    mode = path_mode(path, follow=False, error=error)
    return mode is not None and stat.S_ISLNK(mode)


def is_named_pipe(path: AnyPath, *, error: type[HooklineError] = HooklineError) -> bool:
    mode = path_mode(path, error=error)
    return mode is not None and stat.S_ISFIFO(mode)


def path_mode(path: AnyPath, *, follow: bool = True, error: type[HooklineError] = HooklineError) -> int | None:
    """The st_mode of a path, or None if nothing exists there.

    Args:
        path: the path.
        follow: look at the target of a link, not at the link.
        error: the exception for a path that cannot be examined.
    """
    try:
        return stat_mode(path, follow=follow)
    except OSError as failed:
        hint = "check the permissions of the path and of the directories above it"
        raise error(f"{path} cannot be examined: {failed.strerror}", hint=hint) from failed


def stat_mode(path: AnyPath, *, follow: bool = True) -> int | None:
    """`path_mode` for a caller that maps OSError itself. Raises OSError for a path that cannot be examined."""
    try:
        return os.stat(path, follow_symlinks=follow).st_mode  # noqa: PTH116 - a path may be text
    except ValueError:  # a NUL: no path
        return None
    except OSError as failed:
        if failed.errno in _NOTHING:
            return None
        raise


def repository_root(path: Path) -> Path | None:
    """The root of the git repository that contains a path, whether the path exists or not; None outside of one."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - the name as written: a link must not lead to another one
    for directory in (absolute, *absolute.parents):
        try:
            if path_mode(directory / ".git") is not None:  # a file in a worktree or submodule
                return directory
        except HooklineError:
            return None
    return None
