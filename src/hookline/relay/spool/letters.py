"""Dead letters: what a relay will not try again by itself. Looked at and acted on beside a running relay."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.spool.database import open_existing, transaction
from hookline.relay.spool.storing import count

SHORTEST_ID: Final = 6


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A refused or exhausted delivery, or a rejected line (``id`` ``line-12``: then the delivery's fields are None).

    `at` is when it died, in Unix seconds. `content` is the payload, or the line as it was read (of one that is too
    long its beginning; `length` is the whole in bytes).
    """

    id: str
    at: float
    reason: str
    source: str
    line: int
    content: bytes
    length: int
    webhook: str | None = None
    channel: str | None = None
    status: str | None = None
    request_id: str | None = None
    attempts: int | None = None
    http: int | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters; all parts must hold. `reason` is found anywhere in it; times are Unix seconds."""

    ids: tuple[str, ...] = ()
    webhook: Address | None = None
    channel: str | None = None
    status: str | None = None
    reason: str | None = None
    http: int | None = None
    since: float | None = None
    until: float | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Filter()


class Count(msgspec.Struct, frozen=True):
    """How many deliveries and how many rejected lines."""

    deliveries: int
    lines: int

    @property
    def total(self) -> int:
        return self.deliveries + self.lines


_DELIVERIES = (
    "FROM delivery d JOIN webhook w ON w.n = d.webhook WHERE d.state = 2 "
    "AND (:organization IS NULL OR (w.organization = :organization AND w.sandbox = :sandbox)) "
    "AND (:channel IS NULL OR d.channel = :channel) AND (:status IS NULL OR d.status = :status) "
    "AND (:reason IS NULL OR instr(d.reason, :reason) > 0) AND (:http IS NULL OR d.http = :http) "
    "AND (:since IS NULL OR d.settled >= :since) AND (:until IS NULL OR d.settled < :until) "
)
_LINES = (
    "FROM rejected r WHERE r.again = 0 AND :organization IS NULL AND :channel IS NULL AND :status IS NULL "
    "AND :http IS NULL AND (:reason IS NULL OR instr(r.reason, :reason) > 0) "
    "AND (:since IS NULL OR r.at >= :since) AND (:until IS NULL OR r.at < :until) "
)
_LETTERS = (
    "SELECT lower(hex(d.id)), d.settled AS at, d.reason, d.source, d.line, d.body, length(d.body), "
    "w.organization || '/' || w.sandbox, d.channel, d.status, d.request_id, d.attempts, d.http "
    f"{_DELIVERIES} %s UNION ALL "
    "SELECT 'line-' || r.n, r.at, r.reason, r.source, r.line, r.data, r.length, "
    f"NULL, NULL, NULL, NULL, NULL, NULL {_LINES} %s ORDER BY at DESC LIMIT :limit"
)


class DeadLetters(AbstractContextManager["DeadLetters"]):
    """The dead letters of a spool that is there. Raises SpoolUnusable when it is not, or cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_existing(directory)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def letters(self, chosen: Filter, *, limit: int) -> list[Letter]:
        """The newest first, at most `limit`."""
        where, parameters = self._narrow(chosen)
        rows = self._connection.execute(_LETTERS % where, {**parameters, "limit": limit})
        return [_letter(row) for row in rows]

    def count(self, chosen: Filter) -> Count:
        where, parameters = self._narrow(chosen)
        return Count(
            *(
                self._connection.execute(f"SELECT count(*) {table} {narrowed}", parameters).fetchone()[0]
                for table, narrowed in zip((_DELIVERIES, _LINES), where, strict=True)
            )
        )

    def replay(self, chosen: Filter, *, now: float) -> Count:
        """Make them pending once more, under the same id, exempt from order; lines are read again by a relay.

        A line that was too long to be kept whole stays where it is.
        """
        where, parameters = self._narrow(chosen)
        with transaction(self._connection):
            deliveries = self._connection.execute(
                "UPDATE delivery SET state = 0, due = :now, "
                "since = (SELECT coalesce(w.held, :now) - w.idle FROM webhook w WHERE w.n = delivery.webhook), "
                "settled = NULL, tries = 0, refusals = 0, "
                f"order_key = NULL WHERE seq IN (SELECT d.seq {_DELIVERIES} {where[0]})",
                {**parameters, "now": now},
            ).rowcount
            lines = self._connection.execute(
                "UPDATE rejected SET again = 1 WHERE length = length(data) "
                f"AND n IN (SELECT r.n {_LINES} {where[1]})",
                parameters,
            ).rowcount
            count(self._connection, [("replayed", deliveries)])
        return Count(deliveries, lines)

    def discard(self, chosen: Filter, *, now: float) -> Count:
        """Throw them away. What stays of a delivery is its small record, so that it is not read in again."""
        where, parameters = self._narrow(chosen)
        with transaction(self._connection):
            deliveries = self._connection.execute(
                "UPDATE delivery SET state = 3, body = NULL, settled = :now "
                f"WHERE seq IN (SELECT d.seq {_DELIVERIES} {where[0]})",
                {**parameters, "now": now},
            ).rowcount
            count(self._connection, [("records", deliveries)])
            lines = self._connection.execute(
                f"DELETE FROM rejected WHERE n IN (SELECT r.n {_LINES} {where[1]})", parameters
            ).rowcount
        return Count(deliveries, lines)

    def _narrow(self, chosen: Filter) -> tuple[tuple[str, str], dict[str, object]]:
        """The conditions that are not the same for every filter, for deliveries and for lines; and all parameters."""
        parameters: dict[str, object] = {
            "organization": chosen.webhook.organization if chosen.webhook else None,
            "sandbox": chosen.webhook.sandbox if chosen.webhook else None,
            "channel": chosen.channel,
            "status": chosen.status,
            "reason": chosen.reason,
            "http": chosen.http,
            "since": chosen.since,
            "until": chosen.until,
        }
        if not chosen.ids:
            return ("", ""), parameters
        numbers = [self._line_number(identity) for identity in chosen.ids if identity.startswith("line-")]
        seqs = [self._seq(identity) for identity in chosen.ids if not identity.startswith("line-")]
        return (f"AND d.seq IN ({_numbers(seqs)})", f"AND r.n IN ({_numbers(numbers)})"), parameters

    def _line_number(self, identity: str) -> int:
        text = identity.removeprefix("line-")
        found = self._one("SELECT n FROM rejected WHERE n = ?", int(text)) if text.isdecimal() else []
        return self._only(identity, found)

    def _seq(self, identity: str) -> int:
        lowered = identity.lower()
        if len(lowered) < SHORTEST_ID or set(lowered) - set("0123456789abcdef"):
            raise WrongUse(f"not a dead letter's id: {identity!r}", hint="`hookline dead list` shows them")
        return self._only(
            identity, self._one("SELECT seq FROM delivery WHERE state = 2 AND instr(lower(hex(id)), ?) = 1", lowered)
        )

    def _one(self, statement: str, parameter: object) -> list[int]:
        return [row[0] for row in self._connection.execute(statement, (parameter,))]

    @staticmethod
    def _only(identity: str, found: Sequence[int]) -> int:
        if len(found) == 1:
            return found[0]
        what = "no dead letter has the id" if not found else f"{len(found)} dead letters have an id that begins with"
        raise WrongUse(f"{what} {identity!r}", hint="`hookline dead list` shows them")


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(str(int(value)) for value in values)


def _letter(row: sqlite3.Row) -> Letter:
    names = (
        "id", "at", "reason", "source", "line", "content", "length",
        "webhook", "channel", "status", "request_id", "attempts", "http",
    )  # fmt: skip
    return Letter(**dict(zip(names, row, strict=True)))
