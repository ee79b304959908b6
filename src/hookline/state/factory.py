"""Which store a `--state` means."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from hookline.errors import StateUnusable, WrongUse
from hookline.state.postgres_errors import SCHEMES, parse_postgres
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import StateStore

_KINDS = "give the path of an SQLite file, such as .hookline/state.db, or postgresql://user@host/database"


def open_state(target: str, *, lock_timeout: timedelta = timedelta(0)) -> StateStore:
    """The store at `target`; nothing is opened yet. `lock_timeout` is for commits.

    Raises WrongUse for an address that cannot be read or is of a kind that is not supported, StateUnusable when it
    is PostgreSQL's and the package for that is missing.
    """
    scheme = _scheme(target)
    if scheme in SCHEMES:
        return _open_postgres(target, _new_lineage, lock_timeout)
    if scheme is not None:
        raise WrongUse(f"--state: {scheme}:// is not a kind of state that this hookline knows", hint=_KINDS)
    if not target:
        raise WrongUse("--state: the path is empty", hint=_KINDS)
    return SqliteStore(Path(target), new_lineage=_new_lineage, lock_timeout=lock_timeout)


def without_password(target: str) -> str:
    """`target` as a message may print it: without any password. Raises WrongUse like `open_state`."""
    return str(parse_postgres(target)) if _scheme(target) in SCHEMES else target


def _scheme(target: str) -> str | None:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", target)
    return found[1] if found else None


def _new_lineage() -> str:
    return str(uuid.uuid4())


def _open_postgres(target: str, new_lineage: Callable[[], str], lock_timeout: timedelta) -> StateStore:
    address = parse_postgres(target)
    try:
        # Only here: who keeps the state in a file needs no PostgreSQL.
        from hookline.state.postgres_store import PostgresStore  # noqa: PLC0415
    except ImportError as missing:
        if missing.name is not None and missing.name.split(".")[0] == "hookline":
            raise
        raise StateUnusable(
            f"the state {address} is in PostgreSQL, and the package for that cannot be loaded: {missing}",
            hint="install it: pip install 'hookline[postgres]'",
        ) from missing
    return PostgresStore(address, new_lineage=new_lineage, lock_timeout=lock_timeout)
