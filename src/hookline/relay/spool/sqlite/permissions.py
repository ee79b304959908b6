"""Checks the owner and the permissions of a spool, which contains recipients' addresses and requests to send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hookline.errors import SpoolUnusable
from hookline.paths import is_link
from hookline.private_files import exposed_directory, is_owned_by_another_user, is_world_writable


@contextmanager
def map_os_errors(directory: Path) -> Iterator[None]:
    """Raises SpoolUnusable for an OSError in a spool's directory."""
    try:
        yield
    except OSError as error:
        raise SpoolUnusable(
            f"the spool {directory} cannot be written: {error.strerror}",
            hint="check its disk and its permissions, or name another with --spool",
        ) from error


def require_private(directory: Path, database: Path) -> None:
    """Raises SpoolUnusable when everybody can write to the spool or a directory on the way to it, when it belongs to
    another user, and when its database is a link.
    """
    if is_world_writable(directory):
        raise SpoolUnusable(
            f"anybody can write to the spool {directory}",
            hint=f"chmod 0700 {directory}, or name another with --spool",
        )
    if (exposed := exposed_directory(directory)) is not None:
        raise SpoolUnusable(
            f"anybody can write to {exposed}, a directory on the way to the spool {directory}",
            hint=f"chmod o-w {exposed}, or chmod +t it if others need it, or name another with --spool",
        )
    if is_link(database, error=SpoolUnusable):
        raise SpoolUnusable(
            f"the spool's database {database} is a link", hint="name the directory of the linked file with --spool"
        )
    if is_world_writable(database):
        raise SpoolUnusable(f"anybody can write to {database}", hint=f"chmod 0600 {database}")
    for path in (directory, database):
        if is_owned_by_another_user(path):
            raise SpoolUnusable(
                f"{path} belongs to another user", hint="run as the user that runs the relay, or as root"
            )
