"""Dead letters from another spool, or from this one's past: put in under the ids that they have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final

from hookline.model import Address
from hookline.relay.letters import DeadDelivery, DeadLine, Letter
from hookline.relay.spool.admin import Count
from hookline.relay.spool.database import open_existing, transaction
from hookline.relay.spool.standing import number_of

_DELIVERY: Final = """
INSERT INTO delivery (seq, id, webhook, state, attempts, since, settled, request_id, channel, status, event_time,
  source, line, reason, http, detail, history, body)
VALUES (?, ?, ?, 2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_LINE: Final = """
INSERT INTO rejected (at, source, line, part, reason, length, sha256, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
# How many numbers one import may use.
_BLOCK: Final = 2**32


class Importing(AbstractContextManager["Importing"]):
    """Into a spool that is there. Raises SpoolUnusable when it is not, or cannot be written.

    The tally counts what happened in this spool, so it does not count letters that died in another one; a replay
    counts them like any other.
    """

    def __init__(self, directory: Path) -> None:
        self._connection = open_existing(directory)
        self._next: int | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, letters: Sequence[Letter]) -> Count:
        """Put a group in, in one transaction. Returns how many are new: a known one is left as it is."""
        deliveries = [one for one in letters if isinstance(one, DeadDelivery)]
        lines = [one for one in letters if isinstance(one, DeadLine)]
        with transaction(self._connection):
            return Count(self._deliveries(deliveries), self._lines(lines))

    def _deliveries(self, letters: Sequence[DeadDelivery]) -> int:
        if not letters:
            return 0
        numbers: dict[Address, int] = {
            address: number_of(self._connection, address) for address in {one.webhook for one in letters}
        }
        first = self._first_number() if self._next is None else self._next
        rows = [
            (number, one.id, numbers[one.webhook], one.attempts, one.at, one.at, one.request_id, one.channel,
             one.status, one.event_time, one.source, one.line, one.reason, one.http, one.detail, one.history,
             one.body)
            for number, one in enumerate(letters, first)
        ]  # fmt: skip
        inserted = self._connection.executemany(_DELIVERY, rows).rowcount
        if inserted:  # the block is taken
            self._next = first + len(letters)
        return inserted

    def _first_number(self) -> int:
        """Of a block below all others: the numbers above are a running relay's to give."""
        lowest = self._connection.execute("SELECT coalesce(min(seq), 0) FROM delivery").fetchone()[0]
        return min(0, int(lowest)) - _BLOCK

    def _lines(self, letters: Sequence[DeadLine]) -> int:
        rows = [
            (one.at, one.source, one.line, one.part, one.reason, one.length, one.sha256, one.data) for one in letters
        ]
        return self._connection.executemany(_LINE, rows).rowcount if rows else 0
