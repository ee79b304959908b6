"""The ports of operator commands: they work on a spool beside a running relay, or without one.

Times are Unix seconds. Each call is one short transaction, or several for a long list, so that it does not delay a
running relay. Each call raises SpoolUnusable when the spool does not exist or cannot be read, except where its
docstring states a default. A call that writes raises SpoolStalled when the disk is full. A running relay sees a
change within a second. Each port has a suite in tests/contract/, and every registered store (factory.py) runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, nextafter
from typing import Final, NamedTuple, Protocol

import msgspec

from hookline.model import Address
from hookline.observe.snapshot import SpoolProcesses, SpoolStatus
from hookline.relay.delivery_record import DeadLetter, FailedAttempt
from hookline.relay.sources.source import Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_values import EndpointState, State

MIN_TRACE_ID_DIGITS: Final = 8  # hexadecimal digits of a delivery id that `trace` accepts
MIN_LETTER_ID_DIGITS: Final = 6  # of the id of a dead delivery
MAX_TRACED_DELIVERIES: Final = 1000
MAX_TRACED_LINES: Final = 20
# Rejected lines have no index by their contents: `trace` reads at most this many of the newest.
MAX_LINES_SEARCHED: Final = 100_000
MAX_CHECKPOINT_ROWS: Final = 1000


class Count(msgspec.Struct, frozen=True):
    deliveries: int
    lines: int

    @property
    def total(self) -> int:
        return self.deliveries + self.lines

    def __add__(self, more: Count) -> Count:
        return Count(self.deliveries + more.deliveries, self.lines + more.lines)


FORGOTTEN: Final = "forgotten"
MAX_FORGOTTEN_IDS: Final = 10_000
NO_LETTERS: Final = Count(0, 0)
OnProgress = Callable[[Count], None]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects dead letters; all parts must match. `reason` matches a part of a letter's reason."""

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
        return self == Filter()

    def up_to(self, at: float) -> Filter:
        """Without the letters after this time. `until` is exclusive."""
        end = nextafter(at, inf)
        return msgspec.structs.replace(self, until=end if self.until is None else min(end, self.until))

    @property
    def deliveries_only(self) -> bool:
        """Whether it names a property that rejected lines lack."""
        return (self.webhook, self.channel, self.status, self.http) != (None, None, None, None)


class Backlog(NamedTuple):
    """The numbers of pending deliveries and dead letters of one webhook."""

    pending: int = 0
    dead: int = 0


class TracedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the spool keeps of one delivery.

    `slot` is that of its webhook in a shared spool.

    `read` is the time at which it was read or replayed. If it is not `exact`, it is computed from an age that did not
    grow while the webhook was disabled or paused. `settled` is the time at which it was delivered, dead-lettered or
    discarded. `body` is None after the delivery. `predecessor` is the id of a pending earlier event of its message.
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
    not_before: float | None
    predecessor: str | None
    slot: int | None = None


class TracedLine(msgspec.Struct, frozen=True):
    """A rejected line that contains the text. `replayed`: an operator replays it, and a relay will read it."""

    id: str
    at: float
    source: str
    line: int
    reason: str
    data: bytes
    replayed: bool


class Trace(msgspec.Struct, frozen=True):
    """In the order of reading."""

    deliveries: list[TracedDelivery]
    lines: list[TracedLine]

    @property
    def found(self) -> bool:
        return bool(self.deliveries or self.lines)


class DeadLetterQueries(Protocol):
    """Used by `dead list`, `show` and `export`, and before a change. Each call raises WrongUse for an id that no dead
    letter has, or that is the beginning of several."""

    def newest(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        """At most `limit`, the newest first. The iterator reads their contents one by one."""

    def all_in_order(self, chosen: Filter) -> Iterator[DeadLetter]:
        """All that exist now: deliveries by webhook and time of death, then lines in the order of reading."""

    def count(self, chosen: Filter) -> Count: ...

    def count_truncated(self, chosen: Filter) -> int:
        """The number of lines that were too long to be kept whole. They cannot be replayed."""


class DeadLetterActions(Protocol):
    """Used once by `dead replay` or `dead discard`. A call changes large numbers in chunks, and `on_progress` gets
    the count so far. After an interrupted call, some letters are changed. The same call changes the rest."""

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        """Make dead deliveries pending again, under the same id and exempt from order; a relay reads lines again.

        A line that was too long to be kept whole remains a dead letter. Returns the numbers of the replayed ones.

        Args:
            chosen: Which dead letters.
            now: The time of the replay.
            rate: Deliveries per second for each webhook, from `now` on, or after those of earlier replays that still
                wait. None: all are due at `now`.
            on_progress: Receives the count so far after each chunk.
        """

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        """Remove them. The record of a delivery remains, so that the delivery is a duplicate if it is read again."""


class ForgetCount(msgspec.Struct, frozen=True, kw_only=True):
    """What `forget` removes, or has removed: pending and dead deliveries, rejected lines, and texts of records.

    `copies` counts the parts of other files in the spool's directory: rows of copied spools, and lines.
    """

    pending: int = 0
    dead: int = 0
    lines: int = 0
    records: int = 0
    copies: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.dead + self.lines + self.records + self.copies

    def __add__(self, more: ForgetCount) -> ForgetCount:
        fields = self.__struct_fields__
        return ForgetCount(**{name: getattr(self, name) + getattr(more, name) for name in fields})


class ForgetResult(msgspec.Struct, frozen=True, kw_only=True):
    """`pending_ids` are the ids of the removed pending deliveries, at most MAX_FORGOTTEN_IDS of them. `remains` names
    what could not be searched or removed, for people."""

    count: ForgetCount
    pending_ids: frozenset[bytes] = frozenset()
    remains: tuple[str, ...] = ()


# Receives the number of rows that were searched so far.
OnSearched = Callable[[int], None]


class RecipientRemoval(Protocol):
    """Used once by `forget`. Transactions are short, and after an interrupted call the same call does the rest."""

    def count(self, recipient: Recipient, *, on_searched: OnSearched | None = None) -> ForgetResult:
        """What `forget` would remove now. Changes nothing."""

    def forget(self, recipient: Recipient, *, now: float, on_searched: OnSearched | None = None) -> ForgetResult:
        """Remove the data of a recipient.

        A pending delivery becomes a record, counted as dead, with the reason FORGOTTEN. A dead delivery becomes a
        record, as by `discard`. A rejected line is deleted, also one that waits for its replay. A record that has the
        recipient in a text of its own loses that text. Relays drop such deliveries from memory within a second.
        """

    def overwrite(self) -> tuple[str, ...]:
        """Overwrite the space of removed rows, as far as the store can. Called after `forget`.

        Returns the places that the store cannot reach, for people. Raises SpoolStalled if another process prevents
        it.
        """


class DeadLetterStore(DeadLetterQueries, DeadLetterActions, Protocol): ...


class DeadLetterImport(Protocol):
    """Used by `dead import`. The tally counts a letter of another spool only after its replay."""

    def add(self, letters: Sequence[DeadLetter]) -> Count:
        """Store a group in one transaction, under its own ids, and leave known letters as they are. Called for every
        some hundred letters of a file. Returns the number of new ones."""


class WebhookControl(Protocol):
    """Used once by `pause`, `resume` or `retry-now`. A spool that does not know the webhook adds it."""

    def pause(self, address: Address, *, now: float) -> bool:
        """Stop deliveries to a webhook. They do not age. False: it was already paused."""

    def resume(self, address: Address, *, now: float) -> bool:
        """Continue deliveries to a paused webhook. False: it was not paused."""

    def retry_now(self, address: Address, *, now: float) -> int:
        """Make every retry of a webhook due, and forget a 410 and the requested pause of its endpoint. Returns the
        number of retries. After an interrupted call, some are due. The same call does the rest."""


class TraceSearch(Protocol):
    def trace(self, wanted: str) -> Trace:
        """Find a request id, a delivery id by at least its first MIN_TRACE_ID_DIGITS digits, or a message execution:
        at most 1,000 deliveries and 20 rejected lines. Used once by `trace`."""


class SpoolStatistics(Protocol):
    """Used by `status`, `list`, `plan` and others once, and by a relay for its metrics every few seconds, from any
    thread. The calls only read."""

    def spool_status(self, *, now: float) -> SpoolStatus:
        """The whole status, at one moment. Takes some 0.2 s when a million deliveries are pending."""

    def processes(self) -> SpoolProcesses:
        """The processes that use the spool, with the status that each published last: None while it starts or cannot
        write, and if it is of another version. A spool that is not shared has at most one. Never raises."""

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        """By webhook, for all that the spool knows. None when the spool does not exist."""

    def endpoint_states(self) -> Mapping[Address, EndpointState]:
        """By webhook, for all that the spool knows. Empty when the spool does not exist."""

    def activity(self, since_minute: int) -> list[MinuteActivity]:
        """The rows of the ring (activity.py) from that minute on, by minute and address, the sum of the rest last.
        Empty when the spool does not exist."""


class DryRunSpool(Protocol):
    """Used by `relay --dry-run`, beside a relay. It changes nothing. If no spool exists, the results are empty."""

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Called once, before the first read."""

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        """The ids that are pending, dead, or were delivered after that time. Called for each group of lines."""
