"""The ports of operator commands: they work on a spool beside a running relay, or without one.

Times are Unix seconds. Each call is one short transaction, or a row of them for a long list, so that a running relay
is not delayed. Each call raises SpoolUnusable when there is no spool or it cannot be read, except where its docstring
states a default; a call that writes raises SpoolStalled when the disk is full. A running relay sees a change within a
second.

Each port has a suite in tests/contract/, and every registered store (factory.py) runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from hookline.model import Address
from hookline.observe.snapshot import RelayStatus, SpoolStatus
from hookline.relay.delivery_record import DeadLetter, FailedAttempt
from hookline.relay.sources.source import Position
from hookline.relay.spool.spool import EndpointState, State

SHORTEST_TRACE_ID: Final = 8  # hexadecimal digits of a delivery id that `trace` looks for


class Count(msgspec.Struct, frozen=True):
    """How many deliveries and how many rejected lines."""

    deliveries: int
    lines: int

    @property
    def total(self) -> int:
        return self.deliveries + self.lines

    def __add__(self, more: Count) -> Count:
        return Count(self.deliveries + more.deliveries, self.lines + more.lines)


NOTHING: Final = Count(0, 0)
OnProgress = Callable[[Count], None]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters; all parts must hold. `reason` is found anywhere in a letter's reason."""

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

    @property
    def deliveries_only(self) -> bool:
        """Whether it names a property that rejected lines do not have."""
        return (self.webhook, self.channel, self.status, self.http) != (None, None, None, None)


class Backlog(NamedTuple):
    """Of one webhook: how many deliveries are pending, and how many are dead letters."""

    pending: int = 0
    dead: int = 0


class TracedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery, with everything that the spool keeps of it.

    `read` is when it was read, or replayed; if it is not `exact`, it was computed from an age that did not grow while
    the webhook was held. `settled` is when it was delivered, died or was discarded. `body` is None once it is
    delivered. `predecessor` is the id of the earlier event of its message that is still pending.
    """

    id: str
    webhook: str
    channel: str
    status: str
    detail: str | None
    request_id: str
    source: str
    line: int
    read: float
    exact: bool
    event_time: str | None
    state: State
    attempts: int
    due: float | None
    settled: float | None
    reason: str | None
    http: int | None
    history: list[FailedAttempt]
    body: bytes | None
    disabled: bool
    paused: float | None
    stopped: str | None
    not_before: float | None
    predecessor: str | None


class TracedLine(msgspec.Struct, frozen=True):
    """A rejected line that contains the text. `again`: a relay reads it once more."""

    id: str
    at: float
    source: str
    line: int
    reason: str
    data: bytes
    again: bool


class Trace(msgspec.Struct, frozen=True):
    """In the order of reading."""

    deliveries: list[TracedDelivery]
    lines: list[TracedLine]

    @property
    def found(self) -> bool:
        return bool(self.deliveries or self.lines)


class DeadLetterQueries(Protocol):
    """Used by `dead list`, `show` and `export`, and before a change. Each call raises WrongUse for an id that no dead
    letter has, or that several begin with."""

    def letters(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        """The newest first, at most `limit`. The iterator reads their contents one by one."""

    def every(self, chosen: Filter) -> Iterator[DeadLetter]:
        """All that exist now: deliveries by webhook and time of death, then lines in the order of reading."""

    def count(self, chosen: Filter) -> Count: ...

    def cut_lines(self, chosen: Filter) -> int:
        """How many of the lines were too long to be kept whole: they cannot be replayed."""


class DeadLetterActions(Protocol):
    """Used once by `dead replay` or `dead discard`. Large numbers are changed in chunks, and `on_progress` receives
    the count so far. If a call is cut off, some letters are changed, and the same call changes the rest."""

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        """Make them pending once more, under the same id and exempt from order; a relay reads lines again.

        `rate`: so many a second for each webhook, from `now` on, instead of all at once. A line that was too long to
        be kept whole stays a dead letter.
        """

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        """Remove them. The small record of a delivery remains, so that it stays a duplicate if it is read again."""


class DeadLetterStore(DeadLetterQueries, DeadLetterActions, Protocol):
    """All about the dead letters that a spool holds."""


class DeadLetterImport(Protocol):
    """Used by `dead import`. The tally does not count a letter that died in another spool, until its replay."""

    def add(self, letters: Sequence[DeadLetter]) -> Count:
        """Store a group, in one transaction, under its ids. Called for every some hundred letters of a file.

        Returns how many are new: the spool keeps everything that it knows already as it is.
        """


class WebhookControl(Protocol):
    """Used once by `pause`, `resume` or `retry-now`. A spool that never heard of the webhook knows it afterwards."""

    def pause(self, address: Address, *, now: float) -> bool:
        """Stop deliveries to a webhook; they do not age. False: it was paused already."""

    def resume(self, address: Address, *, now: float) -> bool:
        """Continue deliveries to a paused webhook. False: it was not paused."""

    def retry_now(self, address: Address, *, now: float) -> int:
        """Make every retry of a webhook due, and forget what its endpoint asked for, also a 410. Returns how many.

        If it is cut off, it has made some of them due, and the same call does the rest.
        """


class TraceSearch(Protocol):
    """Used once by `trace`."""

    def trace(self, what: str) -> Trace:
        """All that is known of a request id; or of a delivery id, whole or at least its first SHORTEST_TRACE_ID
        digits. At most 1,000 deliveries and 20 rejected lines."""


class SpoolStatistics(Protocol):
    """Used by `status`, `list`, `plan` and others once, and by a relay for its metrics every few seconds, from any
    thread. Nothing changes."""

    def spool_status(self, *, now: float) -> SpoolStatus:
        """Everything, at one moment. Takes some 0.2 s when a million deliveries are pending."""

    def relay_status(self) -> tuple[str | None, RelayStatus | None]:
        """The process that holds the spool (None: no relay runs), and the status that it published last.

        The second is None while the relay starts or cannot write, and if it is of another version. Never raises.
        """

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        """Of every webhook that the spool knows. None when there is no spool."""

    def webhook_states(self) -> Mapping[Address, EndpointState]:
        """Of every webhook that the spool knows. Empty when there is no spool."""


class DryRunSpool(Protocol):
    """Used by `relay --dry-run`, which reads beside a relay and changes nothing. Without a spool nothing is known."""

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Called once, before the first read."""

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        """Which of these ids are pending, dead, or were delivered after that time. Called for each group of lines."""
