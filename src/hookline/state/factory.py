"""The state stores: opens the store that `--state` names."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

from hookline.errors import StateUnusable, WrongUse
from hookline.state.postgres_address import POSTGRES_SCHEMES, parse_postgres
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import StateStore
from hookline.storage_location import address_scheme

_KINDS = "give the path of an SQLite file, such as .hookline/state.db, or postgresql://user@host/database"

_INSTALL_HINT = (
    "install it in hookline's environment: pip install 'psycopg[binary]', or pipx inject hookline 'psycopg[binary]'"
)


def open_state(target: str, *, lock_timeout: timedelta = timedelta(0)) -> StateStore:
    """The store at `target`, which is a path or a postgresql:// address. The store connects when it is used.

    `lock_timeout` is how long a commit waits for another apply. Raises WrongUse if the address cannot be read or its
    kind is not supported, StateUnusable if it is a PostgreSQL address and the package for PostgreSQL is missing.
    """
    if _scheme(target) is not None:
        return _open_postgres(target, lock_timeout)
    return SqliteStore(Path(target), new_lineage=_new_lineage, lock_timeout=lock_timeout)


def require_state_location(target: str) -> str:
    """`target`, if it is clearly a path or an address of PostgreSQL. Raises WrongUse, without quoting it."""
    _scheme(target)
    return target


def without_password(target: str) -> str:
    """`target` without its password, for messages. Raises WrongUse like `open_state`."""
    return target if _scheme(target) is None else str(parse_postgres(target))


def state_place(target: str) -> str:
    """The absolute path of a state in a file, or its address without its password."""
    return str(Path(target).absolute()) if _scheme(target) is None else str(parse_postgres(target))


def _scheme(target: str) -> str | None:
    scheme = address_scheme(target, "--state", _KINDS)
    if scheme is None and target.endswith("/"):
        raise WrongUse("--state: not clearly the path of a file: it ends with a slash", hint=_KINDS)
    if scheme is None or scheme in POSTGRES_SCHEMES:
        return scheme
    raise WrongUse(f"--state: hookline does not support {scheme}://", hint=_KINDS)


def _new_lineage() -> str:
    return str(uuid.uuid4())


def _open_postgres(target: str, lock_timeout: timedelta) -> StateStore:
    address = parse_postgres(target)
    try:
        # Imported here because a state in a file works without the package for PostgreSQL.
        from hookline.state.postgres_store import PostgresStore  # noqa: PLC0415
    except ImportError as missing:
        if missing.name is not None and missing.name.split(".")[0] == "hookline":
            raise
        message = f"the package for the state {address} in PostgreSQL cannot be loaded: {missing}"
        raise StateUnusable(message, hint=_INSTALL_HINT) from missing
    return PostgresStore(address, new_lineage=_new_lineage, lock_timeout=lock_timeout)
