"""A spool holds recipients' addresses and decides what is sent: it is its relay's alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hookline.errors import SpoolUnusable
from hookline.private_files import is_owned_by_another_user, is_world_writable


@contextmanager
def refusal_named(directory: Path) -> Iterator[None]:
    """What the operating system refuses in a spool's directory becomes SpoolUnusable."""
    try:
        yield
    except OSError as error:
        raise SpoolUnusable(
            f"the spool {directory} cannot be written: {error.strerror}",
            hint="look at its disk and its permissions, or name another with --spool",
        ) from error


def require_private(directory: Path, database: Path) -> None:
    """Raises SpoolUnusable when everybody can write to it, when it is another user's, or its database a link."""
    if is_world_writable(directory):
        raise SpoolUnusable(
            f"anybody can write to the spool {directory}",
            hint=f"chmod 0700 {directory}, or name another with --spool",
        )
    if database.is_symlink():
        raise SpoolUnusable(
            f"the spool's database {database} is a link", hint="name the directory that it leads to with --spool"
        )
    if is_world_writable(database):
        raise SpoolUnusable(f"anybody can write to {database}", hint=f"chmod 0600 {database}")
    for path in (directory, database):
        if is_owned_by_another_user(path):
            raise SpoolUnusable(
                f"{path} belongs to another user", hint="run as the user that runs the relay, or as root"
            )
