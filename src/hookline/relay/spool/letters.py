"""The dead letters of a spool: looked at and acted on beside a running relay, in short transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from heapq import merge
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from hookline.model import Address
from hookline.relay.letters import DeadDelivery, DeadLine, Letter
from hookline.relay.spool import putting_back
from hookline.relay.spool.admin import NOTHING, Count, Filter, OnProgress
from hookline.relay.spool.choosing import Chosen
from hookline.relay.spool.database import FILE, damage_named, open_existing, transaction
from hookline.relay.spool.storing import count

CHUNK: Final = 1000
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

T = TypeVar("T")


class DeadLetters(AbstractContextManager["DeadLetters"]):
    """Of a spool that is there. Every method raises SpoolUnusable when it is not, or cannot be read, and WrongUse
    for an id that does not fit; those that write raise SpoolStalled when the disk is full.

    Implements admin.DeadLetterStore. A chunk is one transaction.
    """

    def __init__(self, directory: Path, *, chunk: int = CHUNK) -> None:
        self._path = directory / FILE
        self._connection = open_existing(directory)
        self._chunk = chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    # -- looking

    def letters(self, chosen: Filter, *, limit: int) -> Iterator[Letter]:
        """The newest first, at most `limit`. Their contents are read one by one."""
        with damage_named(self._path):
            which = Chosen(self._connection, chosen)
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

    def every(self, chosen: Filter) -> Iterator[Letter]:
        """Those that are there now: deliveries by webhook and time of death, then lines in the order of reading."""
        with damage_named(self._path):
            which = Chosen(self._connection, chosen)
            for webhook in which.webhooks():
                for page in which.delivery_pages(webhook, self._chunk):
                    yield from _present(self._delivery(place.seq) for place in page)
            for numbers in which.line_pages(self._chunk):
                yield from _present(self._line(n) for n in numbers)

    def count(self, chosen: Filter) -> Count:
        with damage_named(self._path):
            which = Chosen(self._connection, chosen)
            return Count(which.count_deliveries(), which.count_lines())

    def cut_lines(self, chosen: Filter) -> int:
        """How many of the lines were too long to be kept whole: they cannot be replayed."""
        with damage_named(self._path):
            return Chosen(self._connection, chosen).count_lines(whole=False)

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
            which = Chosen(self._connection, chosen)
            for webhook in which.webhooks():
                schedule = putting_back.schedule(self._connection, webhook, now, rate)
                for page in self._in_turn(which.delivery_pages(webhook, self._chunk)):
                    with transaction(self._connection):
                        replayed = putting_back.replay(self._connection, webhook, page, schedule, now)
                        count(self._connection, [("replayed", replayed)])
                    done = _report(done + Count(replayed, 0), on_progress)
            for numbers in self._in_turn(which.line_pages(self._chunk)):
                with transaction(self._connection):
                    lines = putting_back.read_again(self._connection, numbers)
                done = _report(done + Count(0, lines), on_progress)
        return done

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        """Throw them away. What stays of a delivery is its small record, so that it is not read in again."""
        done = NOTHING
        with damage_named(self._path):
            which = Chosen(self._connection, chosen)
            for webhook in which.webhooks():
                for page in self._in_turn(which.delivery_pages(webhook, self._chunk)):
                    with transaction(self._connection):
                        discarded = putting_back.discard(self._connection, page, now)
                        count(self._connection, [("records", discarded)])
                    done = _report(done + Count(discarded, 0), on_progress)
            for numbers in self._in_turn(which.line_pages(self._chunk)):
                with transaction(self._connection):
                    lines = putting_back.discard_lines(self._connection, numbers)
                done = _report(done + Count(0, lines), on_progress)
        return done

    def _in_turn(self, pages: Iterator[list[T]]) -> Iterator[list[T]]:
        for page in pages:
            yield page
            if len(page) == self._chunk:
                time.sleep(REST_SECONDS)


def _present(letters: Iterator[DeadDelivery | None] | Iterator[DeadLine | None]) -> Iterator[Letter]:
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
