"""Finds the dead letters of a filter by indexes alone: the SQL reads no column that its index lacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hookline.errors import WrongUse
from hookline.relay.spool.admin import MIN_LETTER_ID_DIGITS, Filter

LINE_PREFIX: Final = "line-"

# The number of rejected lines that are dead letters. An index answers it, so that the lines are not read.
COUNT_DEAD_LINES: Final = "SELECT count(*) FROM rejected WHERE replayed = 0"


class PageKey(NamedTuple):
    """The time of death of a dead delivery, and its `seq`: the order of the index."""

    settled: float
    seq: int


_BEGINNING: Final = PageKey(float("-inf"), -(2**63))


class DeadLetterQuery:
    """A filter whose ids are looked up. Queries of deliveries name one webhook, because their index begins with it.

    Raises WrongUse for an id that no dead letter has, or that is the beginning of several.
    """

    def __init__(self, connection: sqlite3.Connection, chosen: Filter) -> None:
        self._connection = connection
        self._filter = chosen
        lines = [one for one in chosen.ids if one.startswith(LINE_PREFIX)]
        deliveries = [one for one in chosen.ids if not one.startswith(LINE_PREFIX)]
        self._seqs = sorted({_seq(connection, identity) for identity in deliveries})
        ns = sorted({_number(connection, identity) for identity in lines})
        self._conditions, self._parameters = _conditions_of(
            [("d.channel = ?", chosen.channel), ("d.status = ?", chosen.status), ("d.http = ?", chosen.http),
             ("instr(d.reason, ?) > 0", chosen.reason), ("d.settled >= ?", chosen.since),
             ("d.settled < ?", chosen.until)]
        )  # fmt: skip
        self._line_conditions, self._line_parameters = _conditions_of(
            [("instr(r.reason, ?) > 0", chosen.reason), ("r.at >= ?", chosen.since), ("r.at < ?", chosen.until)]
        )
        if chosen.ids:
            self._conditions += f" AND d.seq IN ({', '.join(map(str, self._seqs))})"
            self._line_conditions += f" AND r.n IN ({', '.join(map(str, ns))})"

    def webhooks(self) -> list[int]:
        """The numbers of the webhooks that can have such letters, in the order of their addresses."""
        if self._filter.ids and not self._seqs:
            return []
        rows = self._connection.execute("SELECT n, organization, sandbox FROM webhook ORDER BY organization, sandbox")
        return [n for n, *address in rows if self._filter.webhook in (None, tuple(address))]

    def count_deliveries(self) -> int:
        statement = f"SELECT count(*) FROM delivery d WHERE d.state = 2 AND d.webhook = ?{self._conditions}"
        found = [self._connection.execute(statement, (n, *self._parameters)).fetchone() for n in self.webhooks()]
        return sum(number for (number,) in found)

    def newest_deliveries(self, webhook: int, limit: int) -> list[PageKey]:
        rows = self._connection.execute(
            f"SELECT d.settled, d.seq FROM delivery d WHERE d.state = 2 AND d.webhook = ?{self._conditions} "
            "ORDER BY d.settled DESC, d.seq DESC LIMIT ?",
            (webhook, *self._parameters, limit),
        )
        return [PageKey(*row) for row in rows]

    def delivery_pages(self, webhook: int, size: int) -> Iterator[list[PageKey]]:
        """The deliveries that are dead now, without later ones: the oldest first, in pages of at most `size`."""
        after = _BEGINNING
        end = next(iter(self.newest_deliveries(webhook, 1)), _BEGINNING)
        while after < end:
            rows = self._connection.execute(
                "SELECT d.settled, d.seq FROM delivery d WHERE d.state = 2 AND d.webhook = ? "
                f"AND (d.settled, d.seq) > (?, ?) AND (d.settled, d.seq) <= (?, ?){self._conditions} "
                "ORDER BY d.settled, d.seq LIMIT ?",
                (webhook, *after, *end, *self._parameters, size),
            ).fetchall()
            if not rows:
                return
            page = [PageKey(*row) for row in rows]
            after = page[-1]
            yield page

    def count_lines(self, *, truncated: bool = False) -> int:
        """If `truncated`, it counts only the lines that were too long to be kept whole."""
        if self._filter.deliveries_only:
            return 0
        if not self._line_conditions and not truncated:
            return int(self._connection.execute(COUNT_DEAD_LINES).fetchone()[0])
        length = " AND r.length != length(r.data)" if truncated else ""
        statement = f"SELECT count(*) FROM rejected r WHERE r.replayed = 0{self._line_conditions}{length}"
        return int(self._connection.execute(statement, self._line_parameters).fetchone()[0])

    def newest_lines(self, limit: int) -> list[tuple[float, int]]:
        """The time of rejection and the number of each."""
        if self._filter.deliveries_only:
            return []
        return self._connection.execute(
            f"SELECT r.at, r.n FROM rejected r WHERE r.replayed = 0{self._line_conditions} "
            "ORDER BY r.at DESC, r.n DESC LIMIT ?",
            (*self._line_parameters, limit),
        ).fetchall()

    def line_pages(self, size: int) -> Iterator[list[int]]:
        """The numbers of the lines that are rejected now, the oldest first, in pages of at most `size`."""
        if self._filter.deliveries_only:
            return
        after, end = 0, self._connection.execute("SELECT coalesce(max(n), 0) FROM rejected").fetchone()[0]
        while after < end:
            page = self._connection.execute(
                f"SELECT r.n FROM rejected r WHERE r.replayed = 0 AND r.n > ? AND r.n <= ?{self._line_conditions} "
                "ORDER BY r.n LIMIT ?",
                (after, end, *self._line_parameters, size),
            ).fetchall()
            if not page:
                return
            after = page[-1][0]
            yield [n for (n,) in page]


def _conditions_of(parts: Sequence[tuple[str, object]]) -> tuple[str, list[object]]:
    """The SQL conditions of the given values. A condition without a value would make the index insufficient."""
    given = [(condition, value) for condition, value in parts if value is not None]
    return "".join(f" AND {condition}" for condition, _ in given), [value for _, value in given]


def _number(connection: sqlite3.Connection, identity: str) -> int:
    text = identity.removeprefix(LINE_PREFIX)
    number = int(text) if text.isdecimal() and len(text) < 19 else -1
    return _only(identity, [n for (n,) in connection.execute("SELECT n FROM rejected WHERE n = ?", (number,))])


def _seq(connection: sqlite3.Connection, identity: str) -> int:
    """The delivery whose id begins with `identity`, by a range of the index of ids."""
    digits = identity.lower()
    if not MIN_LETTER_ID_DIGITS <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        raise WrongUse(f"not the id of a dead letter: {identity!r}", hint="`hookline dead list` shows the ids")
    first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    found = connection.execute("SELECT seq FROM delivery WHERE id BETWEEN ? AND ? AND state = 2", (first, last))
    return _only(identity, [seq for (seq,) in found])


def _only(identity: str, found: Sequence[int]) -> int:
    if len(found) == 1:
        return found[0]
    finding = "no dead letter has the id" if not found else f"{len(found)} dead letters have an id that begins with"
    raise WrongUse(f"{finding} {identity!r}", hint="`hookline dead list` shows the ids")
