"""Files that hookline keeps: whether others can write to them, and their replacement as a whole."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hookline.errors import HooklineError, StateUnusable


def open_to_all(path: Path) -> bool:
    """Whether everybody can change the file or directory at `path`, links followed. False when it cannot be examined.

    A sticky directory of root or of this user is not open: only owners replace their files in it (/tmp).
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if not status.st_mode & stat.S_IWOTH:
        return False
    sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return not (sticky and status.st_uid in (0, os.geteuid()))


def is_somebody_elses(path: Path) -> bool:
    """Whether it belongs to neither root nor this user. Root may use the files of all users."""
    try:
        owner = path.lstat().st_uid
    except OSError:
        return False
    return os.geteuid() != 0 and owner not in (0, os.geteuid())


def is_there(path: Path) -> bool:
    """Whether there is a state file at `path`. Raises StateUnusable for anything that cannot be one."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if path.is_symlink():
            raise StateUnusable(
                f"the state {path} is a link to nowhere", hint="point the link at the state, or remove it"
            ) from None
        return False
    except OSError as failed:
        raise StateUnusable(
            f"the state {path} cannot be looked at: {failed.strerror}", hint="check the path and its permissions"
        ) from failed
    if not path.is_file():
        raise StateUnusable(f"the state {path} is not a file", hint="name the SQLite file with --state")
    if size == 0:
        raise StateUnusable(
            f"the state {path} is an empty file",
            hint="restore it from a backup; only if nothing was ever applied here, remove the file and apply again",
        )
    # A state that everybody can write is not evidence of an apply. Another user's state may be read, as in CI.
    for found, what in ((path, "the state"), (path.resolve().parent, "the directory of the state,")):
        if open_to_all(found):
            raise StateUnusable(
                f"anybody can write to {what} {found}",
                hint=f"chmod o-w {found}, and see with `hookline drift` whether anybody did",
            )
    return True


def place(path: Path, content: bytes) -> None:
    """Put a whole new file at `path`, durably, readable by its owner only. Raises OSError.

    The file is linked into place: a reader sees all of it or nothing, and of two writers one gets FileExistsError. A
    missing directory is made, for its owner only.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft_of(path, 0o600, os.link) as file:
        file.write(content)
    sync_directory(path.parent)


def replace_whole(path: Path, content: bytes, *, mode: int = 0o600, synced: bool = True) -> None:
    """Replace a file in one step; a reader sees the old or the new content. Raises OSError.

    `mode` is further narrowed by the umask. Without `synced` a crash of the machine may leave an empty file.
    """
    with _draft_of(path, mode, os.replace, synced=synced) as file:
        file.write(content)


@contextmanager
def replacing(file: Path, *, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """The content written in the block replaces the file at its end, synced; an exception leaves the file as it was.

    `mode` is further narrowed by the umask. Raises HooklineError.
    """
    try:
        with _draft_of(file, mode, os.replace) as draft:
            yield draft
    except OSError as failed:
        raise HooklineError(
            f"{file} cannot be written: {failed.strerror}", hint="check the path, its permissions and the disk"
        ) from failed


def sync_directory(directory: Path) -> None:
    """Make a change of names in it durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft_of(
    path: Path, mode: int, put: Callable[[Path, Path], None], *, synced: bool = True
) -> Iterator[IO[bytes]]:
    """A file beside `path`, which `put` moves or links to `path` after the block. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if synced:
                file.flush()
                os.fsync(file.fileno())
        put(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink()
