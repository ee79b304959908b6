"""Files that hookline keeps: permission checks, and atomic creation and replacement."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hookline.errors import HooklineError, StateUnusable
from hookline.paths import is_link, stat_mode


def is_world_writable(path: Path) -> bool:
    """Whether every user can change the file or directory at `path`. Follows links. False if `stat` fails.

    A sticky directory of root or of this user counts as not writable: only owners can replace their files in it
    (/tmp).
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if not status.st_mode & stat.S_IWOTH:
        return False
    sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return not (sticky and status.st_uid in (0, os.geteuid()))


def is_owned_by_another_user(path: Path) -> bool:
    """Whether neither root nor this user owns the file. For root it is always False: root may use all files."""
    try:
        owner = path.lstat().st_uid
    except OSError:
        return False
    return os.geteuid() != 0 and owner not in (0, os.geteuid())


def state_file_exists(path: Path) -> bool:
    """Whether a state file exists at `path`. Raises StateUnusable if it cannot be one, or is not safe."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if is_link(path):
            hint = "correct or remove the link"
            raise StateUnusable(f"the state {path} is a broken symbolic link", hint=hint) from None
        return False
    except OSError as failed:
        hint = "check the path and its permissions"
        raise StateUnusable(f"the state {path} cannot be examined: {failed.strerror}", hint=hint) from failed
    if not stat.S_ISREG(status.st_mode):
        raise StateUnusable(f"the state {path} is not a file", hint="name the SQLite file with --state")
    if status.st_size == 0:
        hint = "restore it from a backup; if nothing was ever applied, remove the file and apply again"
        raise StateUnusable(f"the state {path} is an empty file", hint=hint)
    # Any user could have forged a world-writable state. A state of another user is accepted, because CI needs that.
    for checked, name in ((path, "the state"), (path.resolve().parent, "the directory of the state,")):
        if is_world_writable(checked):
            hint = f"chmod o-w {checked}, then check for changes with `hookline drift`"
            raise StateUnusable(f"anybody can write to {name} {checked}", hint=hint)
    return True


def create_private_file(path: Path, content: bytes) -> None:
    """Creates a file at `path` durably, readable by its owner only. Raises OSError.

    The complete file is linked to `path`: a reader sees all of it or nothing, and the second of two writers gets
    FileExistsError. A missing directory is created for its owner only.
    """
    create_private_directory(path.parent)
    with _draft_of(path, 0o600, os.link) as file:
        file.write(content)


def create_private_directory(directory: Path) -> None:
    """Creates a directory durably, for its owner only, and those above it. Raises OSError.

    It syncs each name before it creates the next directory, and also the name of an existing `directory`, which a
    killed process may have left.
    """
    for one in reversed([above for above in directory.parents if stat_mode(above) is None]):
        one.mkdir(exist_ok=True)
        sync_directory(one.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, synced: bool = True) -> None:
    """Replaces a file in one step; a reader sees the old or the new content.

    Args:
        path: the file.
        content: its new content.
        mode: the permissions before the umask.
        synced: whether to sync the file and its name; if not, a crash of the machine may leave an empty file.

    Raises:
        OSError: the file cannot be written.
    """
    with _draft_of(path, mode, os.replace, synced=synced) as file:
        file.write(content)


@contextmanager
def open_replacement(file: Path, *, mode: int = 0o666, synced: bool = True) -> Iterator[IO[bytes]]:
    """Replaces the file unless the block fails. `mode` is before the umask. Raises HooklineError."""
    try:
        with _draft_of(file, mode, os.replace, synced=synced) as draft:
            yield draft
    except OSError as failed:
        hint = "check the path, its permissions and the disk"
        raise HooklineError(f"{file} cannot be written: {failed.strerror}", hint=hint) from failed


def sync_directory(directory: Path) -> None:
    """Makes changes of names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft_of(
    path: Path, mode: int, publish: Callable[[Path, Path], None], *, synced: bool = True
) -> Iterator[IO[bytes]]:
    """Opens a new file beside `path`, and moves or links it to `path` after the block.

    Args:
        path: the final path.
        mode: the permissions before the umask.
        publish: moves or links the new file (first argument) to `path` (second argument).
        synced: whether to sync the file first, and then its name.

    Raises:
        OSError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())
        publish(draft, path)
        if synced:
            sync_directory(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()
