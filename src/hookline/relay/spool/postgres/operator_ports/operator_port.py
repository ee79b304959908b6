"""What the operators' ports on a shared spool have in common: a connection, transactions that other processes notice,
and the counts of the tally.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import psycopg

from hookline.relay.spool.postgres.spool_connection import SpoolConnection, SpoolRow

# Runs one statement of an open transaction.
Run = Callable[..., "psycopg.Cursor[SpoolRow]"]

# Transactions that lock the rows that operators change are short. A longer wait has another cause.
LOCK_PATIENCE_SECONDS: Final = 10
# Statistics of a table that was just filled are wrong, and each statement reads a few rows by an index.
BY_INDEX: Final = "SET LOCAL enable_seqscan = off"
_SETTINGS: Final = f"SET LOCAL lock_timeout = '{LOCK_PATIENCE_SECONDS}s'; {BY_INDEX}"
_NOTIFY: Final = "UPDATE spool.meta SET changes = changes + 1 WHERE id = 1"
_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_COUNT: Final = "INSERT INTO spool.tally_change (name, count) VALUES (%s, %s)"


class OperatorPort:
    """A port of operators with a connection of its own. It is a context manager, which closes the connection."""

    def __init__(self, connection: SpoolConnection) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        try:
            self._connection.connect()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[SpoolRow]:
        return self._connection.run((BY_INDEX, ()), (statement, parameters))[1]

    @contextmanager
    def _change(self) -> Iterator[Run]:
        """A transaction that writes. The relays notice it within a second."""
        with self._connection.transaction() as opened:
            opened.execute(_SETTINGS)

            def run(statement: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[SpoolRow]:
                return opened.execute(self._connection.sql(statement), parameters)

            yield run
            run(_NOTIFY)  # last, because all operators lock this row


@contextmanager
def snapshot(connection: SpoolConnection) -> Iterator[Run]:
    """A transaction that reads everything at one moment."""
    with connection.transaction() as opened:
        opened.execute(_SNAPSHOT)
        yield lambda statement, parameters=(): opened.execute(connection.sql(statement), parameters)


def count_change(run: Run, name: str, number: int) -> None:
    """Change a count of the tally, in the transaction of the counted change."""
    if number:
        run(_COUNT, (name, number))
