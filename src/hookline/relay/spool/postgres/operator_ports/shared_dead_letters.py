"""The dead letters of a shared spool: lists, replays and discards them while relays run.

A dead letter is in no lane, so these changes need no lease. They lock the row of a letter, and leave it as it is if
it is not dead any more, or has died again since its page was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, repeat
from typing import Any, Final

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, add_replay
from hookline.relay.spool.admin import NO_LETTERS, Count, Filter, OnProgress
from hookline.relay.spool.postgres.operator_ports.letter_filter import LetterFilter, LetterKey
from hookline.relay.spool.postgres.operator_ports.operator_port import OperatorPort, Run, count_change
from hookline.relay.spool.postgres.spool_connection import SpoolConnection

LETTERS_PER_TRANSACTION: Final = 1000
LETTERS_PER_QUERY: Final = 50  # their payloads are in memory

_DELIVERY_FIELDS: Final = (
    "id", "at", "reason", "http", "attempts", "history", "request_id", "channel", "status", "event_time", "detail",
    "source", "line", "body",
)  # fmt: skip
_DELIVERIES: Final = f"""
SELECT d.seq, w.organization, w.sandbox, {", ".join(_DELIVERY_FIELDS).replace("at,", "d.settled AS at,", 1)}
FROM spool.delivery d JOIN spool.webhook w ON w.n = d.webhook WHERE d.seq = ANY(%s) AND d.state = 2
"""
_LINE_FIELDS: Final = DeadLine.__struct_fields__
_LINES: Final = f"SELECT {', '.join(_LINE_FIELDS)} FROM spool.rejected WHERE n = ANY(%s) AND NOT replayed"
_LOCK: Final = """
SELECT d.seq, d.history FROM spool.delivery d
JOIN unnest(%s::bigint[], %s::float8[]) AS k (seq, settled) ON d.seq = k.seq AND d.settled = k.settled
WHERE d.state = 2 ORDER BY d.seq FOR UPDATE OF d
"""
_REPLAY: Final = """
UPDATE spool.delivery d SET state = 0, due = v.due, since = v.since, settled = NULL, tries = 0, refusals = 0,
  order_key = NULL, history = v.history
FROM unnest(%s::bigint[], %s::float8[], %s::float8[], %s::text[]) AS v (seq, due, since, history)
WHERE d.seq = v.seq
"""
# The record has the columns of the delivery, without its payload.
_KEPT: Final = (
    "seq, id, webhook, attempts, since, order_key, request_id, channel, status, event_time, source, line, reason, "
    "http, detail, history, execution_id"
)
_DISCARD: Final = f"""
WITH discarded AS (DELETE FROM spool.delivery WHERE seq = ANY(%s) AND state = 2 RETURNING {_KEPT})
INSERT INTO spool.record (period, state, settled, {_KEPT})
SELECT (SELECT period FROM spool.record_period ORDER BY begun DESC NULLS LAST, period LIMIT 1), 3, %s, {_KEPT}
FROM discarded
"""
_AGE_START: Final = (
    "SELECT least(%s, coalesce(held_since, 'infinity')) - held_seconds FROM spool.webhook WHERE n = %s"
)
# The latest delivery of an earlier replay with a rate that was not attempted since: retries have tries, probes are
# due at once.
_LAST_SCHEDULED: Final = """
SELECT due FROM spool.delivery WHERE state = 0 AND webhook = %s AND due > %s AND tries = 0 ORDER BY due DESC LIMIT 1
"""
_REPLAY_LINES: Final = """
UPDATE spool.rejected SET replayed = true WHERE n = ANY(%s) AND NOT replayed AND length = octet_length(data)
"""
_DISCARD_LINES: Final = "DELETE FROM spool.rejected WHERE n = ANY(%s) AND NOT replayed"

_ChangeDeliveries = Callable[[Run, int, Sequence[LetterKey]], int]


class SharedDeadLetters(OperatorPort):
    """Implements admin.DeadLetterStore. One transaction changes at most `chunk` letters."""

    def __init__(self, connection: SpoolConnection, *, chunk: int = LETTERS_PER_TRANSACTION) -> None:
        super().__init__(connection)
        self._chunk = chunk

    # -- DeadLetterQueries

    def newest(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        query = LetterFilter(self._rows, chosen)
        deliveries = [(at, 1, seq) for at, seq in query.newest_deliveries(query.webhooks(), limit)]
        lines = [(at, 0, n) for at, n in query.newest_lines(limit)]
        newest = sorted([*deliveries, *lines], reverse=True)[:limit]
        yield from self._letters([(bool(is_delivery), number) for _, is_delivery, number in newest])

    def all_in_order(self, chosen: Filter) -> Iterator[DeadLetter]:
        query = LetterFilter(self._rows, chosen)
        for webhook in query.webhooks():
            for page in query.delivery_pages(webhook, self._chunk):
                yield from self._letters([(True, key.seq) for key in page])
        for numbers in query.line_pages(self._chunk):
            yield from self._letters([(False, n) for n in numbers])

    def count(self, chosen: Filter) -> Count:
        query = LetterFilter(self._rows, chosen)
        return Count(query.count_deliveries(), query.count_lines())

    def count_truncated(self, chosen: Filter) -> int:
        return LetterFilter(self._rows, chosen).count_lines(truncated=True)

    def _letters(self, keys: Sequence[tuple[bool, int]]) -> Iterator[DeadLetter]:
        """Read letters, some at a time: deliveries by `seq` (True), and lines by `n` (False)."""
        for start in range(0, len(keys), LETTERS_PER_QUERY):
            part = keys[start : start + LETTERS_PER_QUERY]
            found: dict[tuple[bool, int], DeadLetter] = {
                (True, seq): DeadDelivery(webhook=webhook, **dict(zip(_DELIVERY_FIELDS, row, strict=True)))
                for seq, webhook, row in self._deliveries([seq for is_delivery, seq in part if is_delivery])
            }
            for row in self._rows(_LINES, ([n for is_delivery, n in part if not is_delivery],)):
                line = DeadLine(**dict(zip(_LINE_FIELDS, row, strict=True)))
                found[False, line.n] = line
            yield from (found[key] for key in part if key in found)

    def _deliveries(self, seqs: list[int]) -> Iterator[tuple[int, Address, list[Any]]]:
        for seq, organization, sandbox, *row in self._rows(_DELIVERIES, (seqs,)):
            if row[-1] is None:
                raise SpoolUnusable(f"the spool {self._connection.address} is damaged: a dead letter has no payload")
            yield seq, Address(organization, sandbox), row

    # -- DeadLetterActions

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        schedules: dict[int, Iterator[float]] = {}

        def replay_page(run: Run, webhook: int, page: Sequence[LetterKey]) -> int:
            if webhook not in schedules:
                schedules[webhook] = _due_times(run, webhook, now, rate)
            replayed = _replay_page(run, webhook, page, schedules[webhook], now)
            count_change(run, "replayed", replayed)
            return replayed

        return self._change_letters(chosen, replay_page, _REPLAY_LINES, on_progress)

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        def discard_page(run: Run, _webhook: int, page: Sequence[LetterKey]) -> int:
            seqs = [seq for seq, _ in _lock(run, page)]
            discarded = run(_DISCARD, (seqs, now)).rowcount
            count_change(run, "records", discarded)
            return discarded

        return self._change_letters(chosen, discard_page, _DISCARD_LINES, on_progress)

    def _change_letters(
        self, chosen: Filter, change_deliveries: _ChangeDeliveries, change_lines: str, on_progress: OnProgress | None
    ) -> Count:
        """Change the letters page by page, each in one transaction."""
        done = NO_LETTERS
        report = on_progress or (lambda _count: None)
        query = LetterFilter(self._rows, chosen)
        for webhook in query.webhooks():
            for page in query.delivery_pages(webhook, self._chunk):
                with self._change() as run:
                    changed = change_deliveries(run, webhook, page)
                report(done := done + Count(changed, 0))
        for numbers in query.line_pages(self._chunk):
            with self._change() as run:
                lines = run(change_lines, (numbers,)).rowcount
            report(done := done + Count(0, lines))
        return done


def _lock(run: Run, page: Sequence[LetterKey]) -> list[tuple[int, str | None]]:
    """Lock the letters of a page that are still dead. Returns the `seq` and the history of each."""
    seqs, settled = [key.seq for key in page], [key.settled for key in page]
    return [(seq, history) for seq, history in run(_LOCK, (seqs, settled))]


def _due_times(run: Run, webhook: int, now: float, rate: float | None) -> Iterator[float]:
    """When each replayed delivery is due: all at `now`, or `rate` per second after those of earlier replays."""
    if rate is None:
        return repeat(now)
    last = run(_LAST_SCHEDULED, (webhook, now - 1 / rate)).fetchone()
    start = now if last is None else last[0] + 1 / rate
    return (start + number / rate for number in count())


def _replay_page(run: Run, webhook: int, page: Sequence[LetterKey], due: Iterator[float], now: float) -> int:
    """Make dead deliveries pending. Replays none twice at the same `now`."""
    histories = dict(_lock(run, page))
    age_start = run(_AGE_START, (now, webhook)).fetchone()
    assert age_start is not None
    rows = []
    for key in page:
        history = add_replay(histories[key.seq], now) if key.seq in histories else None
        if history is not None:
            at = next(due)
            rows.append((key.seq, at, age_start[0] + at - now, history))
    if rows:
        run(_REPLAY, tuple(map(list, zip(*rows, strict=True))))
    return len(rows)
