"""The dead letters of a spool: lists, replays, discards and imports them beside a running relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import count, islice, repeat
from pathlib import Path
from typing import Final, Literal, TypeVar

from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, add_replay, execution_id_of
from hookline.relay.spool.admin import NO_LETTERS, Count, Filter, OnProgress
from hookline.relay.spool.sqlite.bodies import BODY, remove_bodies, store_bodies
from hookline.relay.spool.sqlite.database import OpenSpool, damaged, map_damage, named_rows, transaction
from hookline.relay.spool.sqlite.dead_letter_query import DeadLetterQuery, PageKey
from hookline.relay.spool.sqlite.enqueue import add_to_tally, store_lines
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess
from hookline.relay.spool.sqlite.webhook_status import number_of, read_clocks

DEAD_LETTERS_PER_CHUNK: Final = 1000
# The pause between two chunks lets a running relay lock the database: it tries at least every 100 ms.
PAUSE_SECONDS: Final = 0.01

_DELIVERY: Final = f"""
SELECT w.organization, w.sandbox, d.id, d.settled AS at, d.reason, d.http, d.attempts, d.history, d.request_id,
  d.channel, d.status, d.event_time, d.detail, d.source, d.line, {BODY}
FROM delivery d JOIN webhook w ON w.n = d.webhook WHERE d.seq = ? AND d.state = 2
"""
_LINE: Final = f"SELECT {', '.join(DeadLine.__struct_fields__)} FROM rejected WHERE n = ? AND replayed = 0"
# The statements that write leave a letter as it is when it has changed since its page was read.
_HISTORY: Final = "SELECT history FROM delivery WHERE seq = ? AND state = 2 AND settled = ?"
_REPLAY: Final = """
UPDATE delivery SET state = 0, due = ?, since = ?, settled = NULL, tries = 0, refusals = 0, order_key = NULL,
  history = ?
WHERE seq = ?
"""
_REPLAY_LINE: Final = "UPDATE rejected SET replayed = 1 WHERE n = ? AND replayed = 0 AND length = length(data)"
_DISCARD: Final = "UPDATE delivery SET state = 3, settled = ? WHERE seq = ? AND state = 2 AND settled = ?"
_DISCARD_LINE: Final = "DELETE FROM rejected WHERE n = ? AND replayed = 0"
# The latest delivery of an earlier replay with a rate that was not attempted since: retries have tries, probes are
# due at once.
_LAST_SCHEDULED: Final = """
SELECT due FROM delivery WHERE state = 0 AND webhook = ? AND due > ? AND tries = 0 ORDER BY due DESC LIMIT 1
"""
_IMPORT: Final = """
INSERT INTO delivery (seq, id, webhook, state, attempts, since, settled, request_id, channel, status, event_time,
  source, line, reason, http, detail, history, execution_id)
VALUES (?, ?, ?, 2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_MAX_IMPORTED: Final = 2**32  # the seqs of one import

_T = TypeVar("_T")
_ChangeDeliveries = Callable[[int, Sequence[PageKey]], int]


class SqliteDeadLetters(OpenSpool):
    """Implements admin.DeadLetterStore. One transaction changes at most `chunk` letters."""

    def __init__(
        self,
        directory: Path,
        access: StorageAccess = REAL_ACCESS,
        *,
        chunk: int = DEAD_LETTERS_PER_CHUNK,
        mode: Literal["ro", "rw"] = "rw",
    ) -> None:
        super().__init__(directory, access, mode=mode)
        self._chunk = chunk

    # -- DeadLetterQueries

    def newest(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        with map_damage(self._path):
            query = DeadLetterQuery(self._connection, chosen)
            deliveries = [
                (key.settled, 1, key.seq)
                for webhook in query.webhooks()
                for key in query.newest_deliveries(webhook, limit)
            ]
            lines = [(at, 0, n) for at, n in query.newest_lines(limit)]
        newest = merge(sorted(deliveries, reverse=True), sorted(lines, reverse=True), reverse=True)
        for _, is_delivery, number in islice(newest, limit):
            letter = self._delivery(number) if is_delivery else self._line(number)
            if letter is not None:
                yield letter

    def all_in_order(self, chosen: Filter) -> Iterator[DeadLetter]:
        with map_damage(self._path):
            query = DeadLetterQuery(self._connection, chosen)
            for webhook in query.webhooks():
                for page in query.delivery_pages(webhook, self._chunk):
                    yield from filter(None, (self._delivery(key.seq) for key in page))
            for numbers in query.line_pages(self._chunk):
                yield from filter(None, (self._line(n) for n in numbers))

    def count(self, chosen: Filter) -> Count:
        with map_damage(self._path):
            query = DeadLetterQuery(self._connection, chosen)
            return Count(query.count_deliveries(), query.count_lines())

    def count_truncated(self, chosen: Filter) -> int:
        with map_damage(self._path):
            return DeadLetterQuery(self._connection, chosen).count_lines(truncated=True)

    def _delivery(self, seq: int) -> DeadDelivery | None:
        with map_damage(self._path):
            row = next(named_rows(self._connection.execute(_DELIVERY, (seq,))), None)
        if row is None:
            return None
        if row["body"] is None:
            raise damaged(self._path, "a dead letter has no payload")
        return DeadDelivery(webhook=Address(row.pop("organization"), row.pop("sandbox")), **row)

    def _line(self, n: int) -> DeadLine | None:
        with map_damage(self._path):
            row = next(named_rows(self._connection.execute(_LINE, (n,))), None)
        return DeadLine(**row) if row else None

    # -- DeadLetterActions

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        schedules: dict[int, Iterator[float]] = {}

        def replay_page(webhook: int, page: Sequence[PageKey]) -> int:
            if webhook not in schedules:
                schedules[webhook] = self._due_times(webhook, now, rate)
            replayed = self._replay_page(webhook, page, schedules[webhook], now)
            add_to_tally(self._connection, [("replayed", replayed)])
            return replayed

        return self._change(chosen, replay_page, _REPLAY_LINE, on_progress)

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        def discard_page(_webhook: int, page: Sequence[PageKey]) -> int:
            discarded = self._connection.executemany(_DISCARD, [(now, key.seq, key.settled) for key in page]).rowcount
            remove_bodies(self._connection, [key.seq for key in page], all_settled=discarded == len(page))
            add_to_tally(self._connection, [("records", discarded)])
            return discarded

        return self._change(chosen, discard_page, _DISCARD_LINE, on_progress)

    def _change(
        self, chosen: Filter, change_deliveries: _ChangeDeliveries, change_line: str, on_progress: OnProgress | None
    ) -> Count:
        """Change the letters page by page, each in one transaction."""
        done = NO_LETTERS
        report = on_progress or (lambda _count: None)
        with map_damage(self._path):
            query = DeadLetterQuery(self._connection, chosen)
            for webhook in query.webhooks():
                for page in self._with_pauses(query.delivery_pages(webhook, self._chunk)):
                    with transaction(self._connection):
                        changed = change_deliveries(webhook, page)
                    report(done := done + Count(changed, 0))
            for numbers in self._with_pauses(query.line_pages(self._chunk)):
                with transaction(self._connection):
                    lines = self._connection.executemany(change_line, [(n,) for n in numbers]).rowcount
                report(done := done + Count(0, lines))
        return done

    def _with_pauses(self, pages: Iterator[list[_T]]) -> Iterator[list[_T]]:
        for page in pages:
            yield page
            if len(page) == self._chunk:
                self._access.sleep(PAUSE_SECONDS)

    def _due_times(self, webhook: int, now: float, rate: float | None) -> Iterator[float]:
        """When each replayed delivery is due: all at `now`, or `rate` per second after those of earlier replays."""
        if rate is None:
            return repeat(now)
        last = self._connection.execute(_LAST_SCHEDULED, (webhook, now - 1 / rate)).fetchone()
        start = now if last is None else last[0] + 1 / rate
        return (start + number / rate for number in count())

    def _replay_page(self, webhook: int, page: Sequence[PageKey], due: Iterator[float], now: float) -> int:
        """Make dead deliveries pending. Replays none twice at the same `now`."""
        age_start = read_clocks(self._connection)[webhook].at(now)
        rows = []
        for key in page:
            found = self._connection.execute(_HISTORY, (key.seq, key.settled)).fetchone()
            history = add_replay(found[0], now) if found else None
            if history is not None:
                at = next(due)
                rows.append((at, age_start + at - now, history, key.seq))
        self._connection.executemany(_REPLAY, rows)
        return len(rows)


class SqliteDeadLetterImport(OpenSpool):
    """Implements admin.DeadLetterImport. The letters come from another spool, or from an earlier time of this one."""

    def __init__(self, directory: Path, access: StorageAccess = REAL_ACCESS) -> None:
        super().__init__(directory, access)
        self._next: int | None = None

    def add(self, letters: Sequence[DeadLetter]) -> Count:
        deliveries = [one for one in letters if isinstance(one, DeadDelivery)]
        lines = [
            (one.at, one.source, one.line, one.part, one.reason, one.length, one.sha256, one.data)
            for one in letters
            if isinstance(one, DeadLine)
        ]
        with transaction(self._connection):
            return Count(self._add_deliveries(deliveries), store_lines(self._connection, lines))

    def _add_deliveries(self, letters: Sequence[DeadDelivery]) -> int:
        numbers = {
            address: number_of(self._connection, address) for address in dict.fromkeys(one.webhook for one in letters)
        }
        first = self._next
        if first is None:  # below all others: a running relay assigns the seqs above them
            lowest = self._connection.execute("SELECT coalesce(min(seq), 0) FROM delivery").fetchone()[0]
            first = min(0, int(lowest)) - _MAX_IMPORTED
        rows = [
            (seq, one.id, numbers[one.webhook], one.attempts, one.at, one.at, one.request_id, one.channel,
             one.status, one.event_time, one.source, one.line, one.reason, one.http, one.detail, one.history,
             execution_id_of(one.body))
            for seq, one in enumerate(letters, first)
        ]  # fmt: skip
        inserted = self._connection.executemany(_IMPORT, rows).rowcount
        new = [(seq, one.body) for seq, one in enumerate(letters, first)]
        store_bodies(self._connection, new, all_stored=inserted == len(rows))
        if inserted:  # these seqs are used
            self._next = first + len(letters)
        return inserted
