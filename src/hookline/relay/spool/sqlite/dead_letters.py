"""The dead letters of a spool: looked at and acted on beside a running relay, in short transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from heapq import merge
from itertools import count, islice, repeat
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, add_replay
from hookline.relay.spool.admin import NOTHING, Count, Filter, OnProgress
from hookline.relay.spool.sqlite.database import DATABASE_FILE, damage_named, open_existing, transaction
from hookline.relay.spool.sqlite.dead_letter_query import LetterQuery, PageKey
from hookline.relay.spool.sqlite.enqueue import add_to_tally
from hookline.relay.spool.sqlite.webhook_status import WebhookClock, number_of

# What is done to a page of dead letters. Functions on a connection; those that write are called inside of a
# transaction, and leave alone what has changed since the page was read.
_HISTORY: Final = "SELECT history FROM delivery WHERE seq = ? AND state = 2 AND settled = ?"
_REPLAY: Final = """
UPDATE delivery SET state = 0, due = ?, since = ?, settled = NULL, tries = 0, refusals = 0, order_key = NULL,
  history = ?
WHERE seq = ?
"""
# What an earlier replay has spaced out, and was not tried since. Retries have tries; probes are due at once.
_LAST_SCHEDULED: Final = """
SELECT due FROM delivery WHERE state = 0 AND webhook = ? AND due > ? AND tries = 0 ORDER BY due DESC LIMIT 1
"""


def replay_times(connection: sqlite3.Connection, webhook: int, now: float, rate: float | None) -> Iterator[float]:
    """When each replayed delivery of a webhook is due, in Unix seconds: all at once, or `rate` a second after what
    earlier replays have spaced out already."""
    if rate is None:
        return repeat(now)
    last = connection.execute(_LAST_SCHEDULED, (webhook, now - 1 / rate)).fetchone()
    start = now if last is None else last[0] + 1 / rate
    return (start + number / rate for number in count())


def replay_deliveries(
    connection: sqlite3.Connection, webhook: int, page: Sequence[PageKey], due: Iterator[float], now: float
) -> int:
    """Make dead deliveries pending. Returns how many; none is replayed twice at one and the same `now`."""
    idle, held = connection.execute("SELECT idle, held FROM webhook WHERE n = ?", (webhook,)).fetchone()
    age = WebhookClock(idle, held).at(now)
    rows = []
    for place in page:
        found = connection.execute(_HISTORY, (place.seq, place.settled)).fetchone()
        history = add_replay(found[0], now) if found else None
        if history is not None:
            at = next(due)
            rows.append((at, age + at - now, history, place.seq))
    connection.executemany(_REPLAY, rows)
    return len(rows)


def read_again(connection: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Have rejected lines read once more by a relay; not those that are not kept whole. Returns how many."""
    return connection.executemany(
        "UPDATE rejected SET again = 1 WHERE n = ? AND again = 0 AND length = length(data)", [(n,) for n in numbers]
    ).rowcount


def discard(connection: sqlite3.Connection, page: Sequence[PageKey], now: float) -> int:
    """Make records of dead deliveries. Returns how many."""
    return connection.executemany(
        "UPDATE delivery SET state = 3, body = NULL, settled = ? WHERE seq = ? AND state = 2 AND settled = ?",
        [(now, place.seq, place.settled) for place in page],
    ).rowcount


def discard_lines(connection: sqlite3.Connection, numbers: Sequence[int]) -> int:
    return connection.executemany("DELETE FROM rejected WHERE n = ? AND again = 0", [(n,) for n in numbers]).rowcount


DEAD_LETTERS_PER_CHUNK: Final = 1000
# Between two chunks, so that a running relay gets its turn at the database: it asks for it every 100 ms at least.
REST_SECONDS: Final = 0.01

_DELIVERY: Final = """
SELECT d.id, d.settled, d.reason, d.http, d.attempts, d.history, w.organization, w.sandbox, d.request_id, d.channel,
  d.status, d.event_time, d.detail, d.source, d.line, d.body
FROM delivery d JOIN webhook w ON w.n = d.webhook WHERE d.seq = ? AND d.state = 2
"""
_LINE: Final = """
SELECT n, at, reason, source, line, part, data, length, sha256 FROM rejected WHERE n = ? AND again = 0
"""

_T = TypeVar("_T")


class SqliteDeadLetters(AbstractContextManager["SqliteDeadLetters"]):
    """Of a spool that is there. Every method raises SpoolUnusable when it is not, or cannot be read, and WrongUse
    for an id that does not fit; those that write raise SpoolStalled when the disk is full.

    Implements admin.DeadLetterStore. A chunk is one transaction.
    """

    def __init__(self, directory: Path, *, chunk: int = DEAD_LETTERS_PER_CHUNK) -> None:
        self._path = directory / DATABASE_FILE
        self._connection = open_existing(directory)
        self._chunk = chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    # -- looking

    def letters(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        """The newest first, at most `limit`. Their contents are read one by one."""
        with damage_named(self._path):
            which = LetterQuery(self._connection, chosen)
            deliveries = [
                (place.settled, 1, place.seq)
                for webhook in which.webhooks()
                for place in which.newest_deliveries(webhook, limit)
            ]
            lines = [(at, 0, n) for at, n in which.newest_lines(limit)]
        newest = merge(sorted(deliveries, reverse=True), sorted(lines, reverse=True), reverse=True)
        for _, is_delivery, number in islice(newest, limit):
            letter = self._delivery(number) if is_delivery else self._line(number)
            if letter is not None:
                yield letter

    def every(self, chosen: Filter) -> Iterator[DeadLetter]:
        """Those that are there now: deliveries by webhook and time of death, then lines in the order of reading."""
        with damage_named(self._path):
            which = LetterQuery(self._connection, chosen)
            for webhook in which.webhooks():
                for page in which.delivery_pages(webhook, self._chunk):
                    yield from _present(self._delivery(place.seq) for place in page)
            for numbers in which.line_pages(self._chunk):
                yield from _present(self._line(n) for n in numbers)

    def count(self, chosen: Filter) -> Count:
        with damage_named(self._path):
            which = LetterQuery(self._connection, chosen)
            return Count(which.count_deliveries(), which.count_lines())

    def cut_lines(self, chosen: Filter) -> int:
        """How many of the lines were too long to be kept whole: they cannot be replayed."""
        with damage_named(self._path):
            return LetterQuery(self._connection, chosen).count_lines(whole=False)

    def _delivery(self, seq: int) -> DeadDelivery | None:
        with damage_named(self._path):
            row = self._connection.execute(_DELIVERY, (seq,)).fetchone()
        return _as_delivery(row) if row else None

    def _line(self, n: int) -> DeadLine | None:
        with damage_named(self._path):
            row = self._connection.execute(_LINE, (n,)).fetchone()
        if row is None:
            return None
        n, at, reason, source, line, part, data, length, sha256 = row
        return DeadLine(
            n=n, at=at, reason=reason, source=source, line=line, part=part, data=data, length=length, sha256=sha256
        )

    # -- acting

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        """Make them pending once more, under the same id, exempt from order; lines are read again by a relay.

        `rate`: so many a second for each webhook, from `now` on, instead of all at once. A line that was too long to
        be kept whole stays where it is.
        """
        done = NOTHING
        with damage_named(self._path):
            which = LetterQuery(self._connection, chosen)
            for webhook in which.webhooks():
                schedule = replay_times(self._connection, webhook, now, rate)
                for page in self._in_turn(which.delivery_pages(webhook, self._chunk)):
                    with transaction(self._connection):
                        replayed = replay_deliveries(self._connection, webhook, page, schedule, now)
                        add_to_tally(self._connection, [("replayed", replayed)])
                    done = _report(done + Count(replayed, 0), on_progress)
            for numbers in self._in_turn(which.line_pages(self._chunk)):
                with transaction(self._connection):
                    lines = read_again(self._connection, numbers)
                done = _report(done + Count(0, lines), on_progress)
        return done

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        """Throw them away. What stays of a delivery is its small record, so that it is not read in again."""
        done = NOTHING
        with damage_named(self._path):
            which = LetterQuery(self._connection, chosen)
            for webhook in which.webhooks():
                for page in self._in_turn(which.delivery_pages(webhook, self._chunk)):
                    with transaction(self._connection):
                        discarded = discard(self._connection, page, now)
                        add_to_tally(self._connection, [("records", discarded)])
                    done = _report(done + Count(discarded, 0), on_progress)
            for numbers in self._in_turn(which.line_pages(self._chunk)):
                with transaction(self._connection):
                    lines = discard_lines(self._connection, numbers)
                done = _report(done + Count(0, lines), on_progress)
        return done

    def _in_turn(self, pages: Iterator[list[_T]]) -> Iterator[list[_T]]:
        for page in pages:
            yield page
            if len(page) == self._chunk:
                time.sleep(REST_SECONDS)


def _present(letters: Iterator[DeadDelivery | None] | Iterator[DeadLine | None]) -> Iterator[DeadLetter]:
    return (letter for letter in letters if letter is not None)


def _report(done: Count, on_progress: OnProgress | None) -> Count:
    if on_progress is not None:
        on_progress(done)
    return done


def _as_delivery(row: sqlite3.Row) -> DeadDelivery:
    (identity, at, reason, http, attempts, history, organization, sandbox, request_id, channel, status, event_time,
     detail, source, line, body) = row  # fmt: skip
    return DeadDelivery(
        id=identity, at=at, reason=reason, http=http, attempts=attempts, history=history,
        webhook=Address(organization, sandbox), request_id=request_id, channel=channel, status=status,
        event_time=event_time, detail=detail, source=source, line=line, body=body,
    )  # fmt: skip


# Dead letters from another spool, or from this one's past: put in under the ids that they have.
_IMPORTED_DELIVERY: Final = """
INSERT INTO delivery (seq, id, webhook, state, attempts, since, settled, request_id, channel, status, event_time,
  source, line, reason, http, detail, history, body)
VALUES (?, ?, ?, 2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_IMPORTED_LINE: Final = """
INSERT INTO rejected (at, source, line, part, reason, length, sha256, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
# How many numbers one import may use.
_BLOCK: Final = 2**32


class SqliteDeadLetterImport(AbstractContextManager["SqliteDeadLetterImport"]):
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

    def add(self, letters: Sequence[DeadLetter]) -> Count:
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
        inserted = self._connection.executemany(_IMPORTED_DELIVERY, rows).rowcount
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
        return self._connection.executemany(_IMPORTED_LINE, rows).rowcount if rows else 0
