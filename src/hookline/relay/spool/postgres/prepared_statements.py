"""Decides whether a connection may use prepared statements, which spare the server a fifth of its work.

They belong to a session. Behind a pooler in transaction mode, the next transaction may run in another session, which
does not know them.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

# How often a statement runs before it is prepared.
RUNS_BEFORE_PREPARING: Final = 2
# invalid_sql_statement_name and duplicate_prepared_statement: a pooler is in between after all.
_ANOTHER_SESSION: Final = ("26000", "42P05")
_STALE_PLAN: Final = "0A000"  # "cached plan must not change result type", after a migration


class PreparedStatements:
    """The decision for the connections to one spool."""

    def __init__(self) -> None:
        self._usable = True

    def allow(self, connection: psycopg.Connection[Any]) -> None:
        """Let a new connection prepare statements if no pooler is in between: a pooler gives each client a process
        number of its own. Raises psycopg.Error."""
        if not self._usable:
            return
        found = connection.execute("SELECT pg_backend_pid()").fetchone()
        if found is not None and found[0] == connection.info.backend_pid:
            connection.prepare_threshold = RUNS_BEFORE_PREPARING

    def caused(self, connection: psycopg.Connection[Any] | None, code: str | None) -> bool:
        """Whether an error comes from a prepared statement, so that a new connection runs the same call."""
        if connection is None or not connection.prepare_threshold:
            return False
        if code in _ANOTHER_SESSION:
            self._usable = False
        return code in _ANOTHER_SESSION or code == _STALE_PLAN
