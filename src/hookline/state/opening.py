"""Which store a `--state` means."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from pathlib import Path

from hookline.errors import WrongUse
from hookline.state.port import StateStore
from hookline.state.sqlite import SqliteStore


def open_state(target: str, *, lock_timeout: timedelta = timedelta(0)) -> StateStore:
    """The store at `target`; nothing is opened yet. `lock_timeout` is for commits.

    Raises WrongUse for an address of a kind that is not supported.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", target)
    if scheme is not None:
        raise WrongUse(
            f"--state: {scheme[1]}:// is not a kind of state that this hookline knows",
            hint="give the path of an SQLite file, such as .hookline/state.db",
        )
    if not target:
        raise WrongUse(
            "--state: the path is empty", hint="give the path of an SQLite file, such as .hookline/state.db"
        )
    return SqliteStore(Path(target), new_lineage=lambda: str(uuid.uuid4()), lock_timeout=lock_timeout)
