"""The state stores: opens the store that `--state` names."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from pathlib import Path

from hookline.errors import StateUnusable, WrongUse
from hookline.state.postgres_errors import POSTGRES_SCHEMES, parse_postgres
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import StateStore

_KINDS = "give the path of an SQLite file, such as .hookline/state.db, or postgresql://user@host/database"

_INSTALL_HINT = (
    "install it in hookline's environment: pip install 'psycopg[binary]', or pipx inject hookline 'psycopg[binary]'"
)


def open_state(target: str, *, lock_timeout: timedelta = timedelta(0)) -> StateStore:
    """The store at `target`, which is a path or a postgresql:// address. The store connects when it is used.

    `lock_timeout` is how long a commit waits for another apply. Raises WrongUse if the address cannot be read or its
    kind is not supported, StateUnusable if it is a PostgreSQL address and the package for PostgreSQL is missing.
    """
    scheme = _scheme(target)
    if scheme in POSTGRES_SCHEMES:
        return _open_postgres(target, lock_timeout)
    if scheme is not None:
        raise WrongUse(f"--state: hookline does not support {scheme}://", hint=_KINDS)
    if not target:
        raise WrongUse("--state: the path is empty", hint=_KINDS)
    return SqliteStore(Path(target), new_lineage=_new_lineage, lock_timeout=lock_timeout)


def without_password(target: str) -> str:
    """`target` without its password, for messages. Raises WrongUse like `open_state`."""
    return str(parse_postgres(target)) if _scheme(target) in POSTGRES_SCHEMES else target


def _scheme(target: str) -> str | None:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", target)
    return found[1] if found else None


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
