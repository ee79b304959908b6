"""The access of an embedded store to SQLite, the disk and time. A simulation replaces it with its own."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Final

RESERVE_BYTES: Final = 40 * 1024 * 1024

# Parameters of these types need no adapter. sqlite3 looks for one nevertheless, and without an entry it raises and
# catches an exception for each parameter.
sqlite3.register_adapter(bytes, bytes.__bytes__)
sqlite3.register_adapter(NoneType, lambda none: none)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAccess:
    """Used for every connection of the relay, of operators and of statistics, and for every wait.

    `connect` has the signature of sqlite3.connect. `sync` gets the descriptor of the write-ahead log. `reserve_bytes`
    is the disk space that the relay keeps for outcomes. `monotonic` and `sleep` count in seconds.
    """

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    sync: Callable[[int], None] = os.fsync
    reserve_bytes: int = RESERVE_BYTES
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL_ACCESS: Final = StorageAccess()
