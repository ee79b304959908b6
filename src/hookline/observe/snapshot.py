"""Frozen values that describe a spool and the processes that use it. Other modules of this folder render them.

Webhooks are named by their address as text. Times are Unix seconds, durations and ages are seconds, sizes are bytes.
A value of None does not apply at the moment, for example because nothing is pending, paused or due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hookline.observe.drain import NO_DRAIN, DrainStatus


class AgeGroup(msgspec.Struct, frozen=True):
    """A number of pending deliveries whose ages are between two bounds."""

    deliveries: int
    oldest: float
    youngest: float


class WebhookStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook in the spool, with its numbers of pending and dead deliveries.

    Attributes:
        oldest: The age of the oldest pending delivery, without the time of a pause or while disabled.
        paused: The time at which an operator paused the webhook.
        gone_reason: The reason why the endpoint is gone, for example ``http 410``.
        not_before: The time before which no attempt is made, requested by the endpoint.
        slot: The slot of the webhook in a shared spool; None in another one.
        ages: The pending deliveries by age, the oldest first. The sum of their numbers is `pending`.
        last_due: The latest time for which a retry of a pending delivery is planned.
        moved_from: The address that the webhook had before its latest move.
    """

    webhook: str
    pending: int = 0
    oldest: float | None = None
    dead: int = 0
    disabled: bool = False
    paused: float | None = None
    gone_reason: str | None = None
    not_before: float | None = None
    slot: int | None = None
    ages: Sequence[AgeGroup] = ()
    last_due: float | None = None
    moved_from: str | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The position up to which a source is acknowledged: `line` lines, `offset` bytes, last at the time `at`.

    `reader` is the `--name` of the relays that read the source from a shared spool, otherwise empty.
    """

    name: str
    line: int
    offset: int
    at: float
    reader: str = ""


class CrashStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A work (`source NAME`, `replayed lines` or `slot N`) that has made no progress in its latest `starts`."""

    work: str
    starts: int


class SpoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A spool at the time `at`.

    Attributes:
        tally: Counts by name, as in `Spool.tally`.
        checkpoints: The latest first.
        lines: The number of rejected lines in the dead letters.
        records: The number of records of settled deliveries; `oldest_record` is the age of the oldest.
        sizes: By part: ``database``, ``log``, ``reserve``.
        crashes: The works that were started, and have made no progress since, by name.
    """

    at: float
    tally: Mapping[str, int]
    webhooks: Sequence[WebhookStatus] = ()
    checkpoints: Sequence[Checkpoint] = ()
    lines: int = 0
    records: int = 0
    oldest_record: float | None = None
    sizes: Mapping[str, int] = {}
    crashes: Sequence[CrashStatus] = ()

    @property
    def dead(self) -> int:
        return sum(one.dead for one in self.webhooks)

    @property
    def oldest(self) -> float | None:
        return max((one.oldest for one in self.webhooks if one.oldest is not None), default=None)


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook in a running relay.

    Attributes:
        phase: The phase of the circuit breaker: ``closed``, ``open``, ``half_open`` or ``gone``.
        reason: The reason for the phase; None if it is closed.
        until: The time at which an open breaker becomes half-open.
        queued: The number of deliveries in memory, including those in flight.
        attempting: The ids of the deliveries in flight, at most some hundred of them.
        next_due: The time of the next retry.
        ordered: Whether the webhook receives deliveries with the same order key in order.
        concurrency, rate, max_age: The limits of its configuration: attempts at once, attempts per second (None: no
            limit), and the age at which a delivery becomes a dead letter. 0: an older relay does not report them.
        keys_end: The time from which no key for tokens, or none for signatures, is active; None if there is no end.
        certificate_ends: The times at which certificates expire, if they are known: ``endpoint`` for the one of
            the latest handshake, ``client`` for the webhook's own.
    """

    webhook: str
    phase: str
    reason: str | None = None
    until: float | None = None
    in_flight: int = 0
    attempting: Sequence[str] = ()
    queued: int = 0
    next_due: float | None = None
    ordered: bool = True
    paused: bool = False
    disabled: bool = False
    concurrency: int = 0
    rate: float | None = None
    max_age: float = 0.0
    keys_end: float | None = None
    certificate_ends: Mapping[str, float] = {}


class LagStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a running relay in a source: `line` lines, `offset` bytes.

    Attributes:
        behind: The number of bytes not read yet; None if it is unknown, as for a pipe.
        behind_messages: The same in messages, for a distributed log.
        seconds: The time since the position last changed; 0 while nothing is left to read.
    """

    name: str
    line: int
    offset: int
    behind: int | None
    seconds: float
    behind_messages: int | None = None


class RelayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A running relay at the time `at`. `process` is its id.

    Attributes:
        unready: The reason why the relay does not work at the moment.
        stalled: The reason why the spool cannot be written.
        unreadable: The reason why the state cannot be read.
        full: Whether reading pauses because the spool is full.
        unrecognized: Whether no line of a followed input is recognized so far.
        stray_bytes: The bytes that were left out before lines.
        serial: The serial of the state that the relay uses.
        clock_steps: The number of times that the machine's clock was set.
        log_lines_lost: The number of log lines that could not be written.
        read_rate, delivered_rate: Events per second.
        spool_max: The number of pending deliveries at which reading pauses.
        connections: The number of open connections to endpoints, which is at most `connections_max`.
        connections_awaited: The number of attempts that wait for a connection, or for a file descriptor.
    """

    version: str
    process: int
    started: float
    at: float
    unready: str | None = None
    stalled: str | None = None
    unreadable: str | None = None
    full: bool = False
    unrecognized: bool = False
    stray_bytes: int = 0
    serial: int = 0
    clock_steps: int = 0
    log_lines_lost: int = 0
    read_rate: float = 0.0
    delivered_rate: float = 0.0
    spool_max: int = 0
    dedupe_window: float = 0.0
    records_max: int = 0
    connections: int = 0
    connections_max: int = 0
    connections_awaited: int = 0
    lanes: Sequence[LaneStatus] = ()
    lags: Sequence[LagStatus] = ()


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A process that uses a spool, and the status that it published last, if any.

    Attributes:
        holder: The text in the lock of a spool with one owner. The attributes below are those of a shared spool.
        kind: ``relay`` or ``deliver``.
        name: Its `--name`, or empty.
        host, pid, started: The machine, the id of the process there, and the time of its start.
        lease_seconds: The rest of its lease. From 0 down, the lease is over: the process is gone.
        slots: The slots that it owns, in order.
        reads: Whether it reads the file sources of its name. Another process of the same name stands by.
    """

    holder: str = ""
    kind: str = "relay"
    name: str = ""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    lease_seconds: float | None = None
    slots: Sequence[int] = ()
    reads: bool = False
    status: RelayStatus | None = None

    @property
    def label(self) -> str:
        """The short name of a process of a shared spool: ``host/pid``."""
        return f"{self.host}/{self.pid}"

    @property
    def gone(self) -> bool:
        return self.lease_seconds is not None and self.lease_seconds <= 0


class SpoolProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """The processes that use a spool now.

    Attributes:
        slots: The number of slots of a shared spool; 0 for a spool with one owner.
        unowned: The slots that no process owns. Those of a process that is gone are not among them.
    """

    processes: Sequence[ProcessStatus] = ()
    slots: int = 0
    unowned: Sequence[int] = ()

    @property
    def shared(self) -> bool:
        return self.slots > 0

    @property
    def relay(self) -> tuple[str | None, RelayStatus | None]:
        """The holder and the status of the one process of a spool that is not shared."""
        if self.shared or not self.processes:
            return None, None
        return self.processes[0].holder, self.processes[0].status


class LatencyStatus(msgspec.Struct, frozen=True):
    """A histogram: the count of each bucket, the last one without an upper bound, and the sum in seconds."""

    buckets: Sequence[int]
    seconds: float


# The class of an attempt that got no response, beside 1xx to 5xx.
NO_RESPONSE: Final = "none"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a relay since its start.

    Attributes:
        attempts: By webhook and outcome.
        latency: The time to settle by webhook.
        bounds: The upper bounds of the buckets of all histograms.
        dead: The number of dead deliveries by kind of reason.
        responses: Attempts by webhook and class of the HTTP status: ``2xx``, or NO_RESPONSE.
    """

    attempts: Mapping[tuple[str, str], int]
    latency: Mapping[str, LatencyStatus]
    bounds: Sequence[float]
    dead: Mapping[str, int]
    responses: Mapping[tuple[str, str], int] = {}


class StatusSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The status of one relay and its spool. `processes` are those of a shared spool, otherwise none."""

    spool: SpoolStatus
    relay: RelayStatus
    counts: Counts
    processes: SpoolProcesses = SpoolProcesses()
    drain: DrainStatus = NO_DRAIN
