"""Finds the dead letters of a filter in a shared spool. Deliveries are found by the index of dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from hookline.errors import WrongUse
from hookline.relay.spool.admin import MIN_LETTER_ID_DIGITS, Filter
from hookline.relay.spool.postgres.spool_connection import SpoolRow

_LINE_PREFIX: Final = "line-"
_HINT: Final = "`hookline dead list` shows the ids"

_WEBHOOKS: Final = "SELECT n, organization, sandbox FROM spool.webhook ORDER BY organization, sandbox"
_SEQ: Final = "SELECT seq FROM spool.delivery WHERE id BETWEEN %s AND %s AND state = 2"
_NUMBER: Final = "SELECT n FROM spool.rejected WHERE n = %s"
_COUNT: Final = "SELECT count(*) FROM spool.delivery d WHERE d.state = 2 AND d.webhook = ANY(%s)"
# For each webhook one range of the index, from its end.
_NEWEST: Final = """
SELECT d.settled, d.seq FROM unnest(%s::int[]) AS w (n) CROSS JOIN LATERAL (
  SELECT d.settled, d.seq FROM spool.delivery d WHERE d.state = 2 AND d.webhook = w.n CONDITIONS
  ORDER BY d.settled DESC, d.seq DESC LIMIT %s) d
ORDER BY d.settled DESC, d.seq DESC LIMIT %s
"""
_PAGE: Final = """
SELECT d.settled, d.seq FROM spool.delivery d WHERE d.state = 2 AND d.webhook = %s
  AND (d.settled, d.seq) > (%s, %s) AND (d.settled, d.seq) <= (%s, %s) CONDITIONS
ORDER BY d.settled, d.seq LIMIT %s
"""
_COUNT_LINES: Final = "SELECT count(*) FROM spool.rejected r WHERE NOT r.replayed"
_NEWEST_LINES: Final = """
SELECT r.at, r.n FROM spool.rejected r WHERE NOT r.replayed CONDITIONS ORDER BY r.at DESC, r.n DESC LIMIT %s
"""
_LAST_LINE: Final = "SELECT coalesce(max(n), 0) FROM spool.rejected"
_LINE_PAGE: Final = """
SELECT r.n FROM spool.rejected r WHERE NOT r.replayed AND r.n > %s AND r.n <= %s CONDITIONS ORDER BY r.n LIMIT %s
"""

Query = Callable[[str, Sequence[Any]], list[SpoolRow]]


class LetterKey(NamedTuple):
    """The time of death of a dead delivery, and its `seq`: the order of the index."""

    settled: float
    seq: int


_FIRST: Final = LetterKey(float("-inf"), -(2**63))


class LetterFilter:
    """A filter whose ids are looked up.

    Raises WrongUse for an id that no dead letter has, or that is the beginning of several.
    """

    def __init__(self, query: Query, chosen: Filter) -> None:
        """Create it. `query` runs one statement and returns its rows."""
        self._query = query
        self._filter = chosen
        lines = [one for one in chosen.ids if one.startswith(_LINE_PREFIX)]
        deliveries = [one for one in chosen.ids if not one.startswith(_LINE_PREFIX)]
        seqs = sorted({self._seq(identity) for identity in deliveries})
        ns = sorted({self._number(identity) for identity in lines})
        self._names_lines_only = bool(chosen.ids) and not seqs
        self._conditions, self._parameters = _joined([
            ("d.channel = %s", chosen.channel), ("d.status = %s", chosen.status), ("d.http = %s", chosen.http),
            ("strpos(d.reason, %s) > 0", chosen.reason), ("d.settled >= %s", chosen.since),
            ("d.settled < %s", chosen.until), ("d.seq = ANY(%s)", seqs if chosen.ids else None),
        ])  # fmt: skip
        self._line_conditions, self._line_parameters = _joined([
            ("strpos(r.reason, %s) > 0", chosen.reason), ("r.at >= %s", chosen.since), ("r.at < %s", chosen.until),
            ("r.n = ANY(%s)", ns if chosen.ids else None),
        ])  # fmt: skip

    def webhooks(self) -> list[int]:
        """The numbers of the webhooks that can have such letters, in the order of their addresses."""
        if self._names_lines_only:
            return []
        rows = self._query(_WEBHOOKS, ())
        return [n for n, *address in rows if self._filter.webhook in (None, tuple(address))]

    def count_deliveries(self) -> int:
        found = self._query(_COUNT + self._conditions, (self.webhooks(), *self._parameters))
        return int(found[0][0])

    def newest_deliveries(self, webhooks: Sequence[int], limit: int) -> list[LetterKey]:
        statement = _NEWEST.replace("CONDITIONS", self._conditions)
        rows = self._query(statement, (list(webhooks), *self._parameters, limit, limit))
        return [LetterKey(*row) for row in rows]

    def delivery_pages(self, webhook: int, size: int) -> Iterator[list[LetterKey]]:
        """The deliveries that are dead now, without later ones: the oldest first, in pages of at most `size`."""
        statement = _PAGE.replace("CONDITIONS", self._conditions)
        after = _FIRST
        end = next(iter(self.newest_deliveries([webhook], 1)), _FIRST)
        while after < end:
            page = [
                LetterKey(*row) for row in self._query(statement, (webhook, *after, *end, *self._parameters, size))
            ]
            if not page:
                return
            after = page[-1]
            yield page

    def count_lines(self, *, truncated: bool = False) -> int:
        """If `truncated`, it counts only the lines that were too long to be kept whole."""
        if self._filter.deliveries_only:
            return 0
        length = " AND r.length != octet_length(r.data)" if truncated else ""
        found = self._query(_COUNT_LINES + self._line_conditions + length, self._line_parameters)
        return int(found[0][0])

    def newest_lines(self, limit: int) -> list[SpoolRow]:
        """The time of rejection and the number of each."""
        if self._filter.deliveries_only:
            return []
        statement = _NEWEST_LINES.replace("CONDITIONS", self._line_conditions)
        return self._query(statement, (*self._line_parameters, limit))

    def line_pages(self, size: int) -> Iterator[list[int]]:
        """The numbers of the lines that are rejected now, the oldest first, in pages of at most `size`."""
        if self._filter.deliveries_only:
            return
        statement = _LINE_PAGE.replace("CONDITIONS", self._line_conditions)
        after, end = 0, self._query(_LAST_LINE, ())[0][0]
        while after < end:
            page = [n for (n,) in self._query(statement, (after, end, *self._line_parameters, size))]
            if not page:
                return
            after = page[-1]
            yield page

    def _number(self, identity: str) -> int:
        text = identity.removeprefix(_LINE_PREFIX)
        number = int(text) if text.isdecimal() and len(text) < 19 else -1
        return _only(identity, self._query(_NUMBER, (number,)))

    def _seq(self, identity: str) -> int:
        """The dead delivery whose id begins with `identity`, by a range of the index of ids."""
        digits = identity.lower()
        if not MIN_LETTER_ID_DIGITS <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
            raise WrongUse(f"not the id of a dead letter: {identity!r}", hint=_HINT)
        first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
        return _only(identity, self._query(_SEQ, (first, last)))


def _joined(parts: Sequence[tuple[str, object]]) -> tuple[str, list[object]]:
    """The SQL conditions of the given values."""
    given = [(condition, value) for condition, value in parts if value is not None]
    return "".join(f" AND {condition}" for condition, _ in given), [value for _, value in given]


def _only(identity: str, found: Sequence[SpoolRow]) -> int:
    if len(found) == 1:
        return int(found[0][0])
    finding = "no dead letter has the id" if not found else f"{len(found)} dead letters have an id that begins with"
    raise WrongUse(f"{finding} {identity!r}", hint=_HINT)
