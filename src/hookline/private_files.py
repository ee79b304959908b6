"""Files that hookline keeps: permission checks, and atomic creation and replacement."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hookline.errors import HooklineError, StateUnusable
from hookline.paths import is_link, stat_mode

MAX_LINKS_FOLLOWED = 40  # as Linux follows on the way to one file
# The errors of link(2) on file systems that have no hard links.
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}
# The errors of fsync(2) for a directory on file systems that sync files only.
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


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


def exposed_directory(path: Path) -> Path | None:
    """The first directory on the way to `path` in which every user can exchange files, or None.

    The whole way counts, as for OpenSSH: who can rename a directory above a file can replace the file. Links are
    followed one by one, because the directory of a link decides where it leads. A missing part is no danger.
    """
    return next((directory for directory in _way_to(path) if is_world_writable(directory)), None)


def _way_to(path: Path) -> Iterator[Path]:
    """Yields every directory that a look-up of `path` reads, from the root on."""
    current, rest, links = Path("/"), deque((Path.cwd() / path).parts[1:]), 0
    while rest and links < MAX_LINKS_FOLLOWED:
        yield current
        part = rest.popleft()
        entry = current.parent if part == ".." else current / part
        try:
            target = entry.readlink()
        except OSError:  # not a link, or missing
            current = entry
            continue
        links += 1
        current = Path("/") if target.is_absolute() else current
        rest.extendleft(reversed([name for name in target.parts if name != "/"]))


def writable_by_all(path: Path) -> Path | None:
    """The file itself, or the first directory on the way to it, that every user can change; None if there is none."""
    return path if is_world_writable(path) else exposed_directory(path)


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
    if is_world_writable(path):
        raise _open_state(f"the state {path}", path)
    require_safe_directories(path)
    return True


def require_safe_directories(state: Path) -> None:
    """Raises StateUnusable if every user can exchange files in a directory on the way to a state."""
    if (exposed := exposed_directory(state)) is not None:
        raise _open_state(f"{exposed}, a directory on the way to the state {state}", exposed)


def _open_state(what: str, path: Path) -> StateUnusable:
    hint = f"chmod o-w {path}, then check for changes with `hookline drift`"
    return StateUnusable(f"anybody can write to {what}", hint=hint)


def create_private_file(path: Path, content: bytes) -> None:
    """Creates a file at `path` durably, readable by its owner only. Raises OSError.

    The complete file is linked to `path`: a reader sees all of it or nothing, and the second of two writers gets
    FileExistsError. A missing directory is created for its owner only. On a file system without hard links, a reader
    can see an empty file for a moment.
    """
    create_private_directory(path.parent)
    with _draft_of(path, 0o600, _link_or_rename) as file:
        file.write(content)


def _link_or_rename(draft: Path, path: Path) -> None:
    """Gives the draft its name, unless the name is taken. Raises OSError.

    FAT and some network and FUSE file systems have no hard links. There, an empty file reserves the name, and the
    draft replaces it. A kill in between leaves the empty file, which is never taken for a state.
    """
    try:
        os.link(draft, path)
    except OSError as failed:
        if failed.errno not in _NO_HARD_LINKS:
            raise
    else:
        return
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        draft.replace(path)
    except BaseException:
        path.unlink()
        raise


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
    """Makes changes of names in a directory durable, if its file system can sync directories. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as failed:
        if failed.errno not in _NO_DIRECTORY_SYNC:
            raise
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
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:  # Ctrl-C may arrive inside of os.open, after the file was created
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
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
