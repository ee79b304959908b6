"""Several statements in one message to a server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq


def run_pipelined(
    connection: psycopg.Connection[tuple[Any, ...]], steps: Sequence[tuple[bytes, Any]]
) -> list[list[tuple[Any, ...]]]:
    """The rows of each step. Raises the error of the first one that failed.

    An error must not leave the pipeline as an exception: psycopg would log a second one, which follows from it.
    """
    cursors = []
    failed: psycopg.Error | None = None
    try:
        with connection.pipeline():
            try:
                for statement, values in steps:
                    # BEGIN and COMMIT have no plan that preparing them would keep.
                    prepare = None if values else False
                    cursors.append(connection.cursor(binary=True).execute(statement, values, prepare=prepare))
            except psycopg.Error as error:
                failed = error
    except psycopg.Error as error:
        failed = failed or error
    if failed is not None:
        raise failed
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def roll_back(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """End a transaction that failed, unless the connection is lost with it."""
    if not connection.closed and connection.info.transaction_status != pq.TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            connection.rollback()
