"""The state's file, seen from outside: whether there is one that may be opened, and how a new one is put in place."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from hookline.errors import StateUnusable
from hookline.state.guarding import open_to_all


def is_there(path: Path) -> bool:
    """False when there is no state yet. Raises StateUnusable for what can never be one, before anything opens it."""
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
    _refuse_open(path)
    return True


def _refuse_open(path: Path) -> None:
    """What everybody can write says nothing about what was applied. Another user's state may be read, as in CI."""
    for found, what in ((path, "the state"), (path.resolve().parent, "the directory of the state,")):
        if open_to_all(found):
            raise StateUnusable(
                f"anybody can write to {what} {found}",
                hint=f"chmod o-w {found}, and see with `hookline drift` whether anybody did",
            )


def place(path: Path, content: bytes) -> None:
    """Put a whole new file at `path`, durably, readable by its owner only.

    Written under another name and linked: a reader sees all of it or nothing, and of two writers one gets
    FileExistsError. A missing directory is made, for its owner only. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
