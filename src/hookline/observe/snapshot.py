"""What there is to tell about a spool and the relay that works on it: frozen values, gathered elsewhere, rendered by
the modules beside this one. Webhooks are named by their address as text. Moments are Unix seconds, spans seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class WebhookStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook in the spool. `oldest` is the age of its oldest pending delivery, by the webhook's own clock, which
    stands still while it is held; None when nothing is pending. The rest is EndpointState."""

    webhook: str
    pending: int = 0
    oldest: float | None = None
    dead: int = 0
    disabled: bool = False
    paused: float | None = None
    gone_reason: str | None = None
    not_before: float | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source is acknowledged, and when that was said last."""

    name: str
    line: int
    offset: int
    at: float


class SpoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A spool at one moment. `tally` is port.Spool.tally; `lines` are the rejected ones that are kept, beside what is
    dead of the webhooks; `records` are the small ones of what is settled, and `oldest_record` the age of the first;
    `sizes` are bytes by part: ``database``, ``log``, ``reserve``."""

    at: float
    tally: Mapping[str, int]
    webhooks: Sequence[WebhookStatus] = ()
    checkpoints: Sequence[Checkpoint] = ()
    lines: int = 0
    records: int = 0
    oldest_record: float | None = None
    sizes: Mapping[str, int] = {}

    @property
    def dead(self) -> int:
        """Deliveries that are dead letters, of all webhooks."""
        return sum(one.dead for one in self.webhooks)

    @property
    def oldest(self) -> float | None:
        """The age of the oldest pending delivery of all."""
        return max((one.oldest for one in self.webhooks if one.oldest is not None), default=None)


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook in a running relay. `phase` and `reason` are its gate's, `until` the end of a wait; `queued` are
    the deliveries in hand, with those in flight; `next_due` is when its next retry is."""

    webhook: str
    phase: str
    reason: str | None = None
    until: float | None = None
    in_flight: int = 0
    queued: int = 0
    next_due: float | None = None
    ordered: bool = True
    paused: bool = False
    disabled: bool = False


class LagStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a running relay has read a source. `behind`: bytes not read yet, None where that is not known (a pipe);
    `seconds`: since it was seen moving last, 0 while nothing is left to read."""

    name: str
    line: int
    offset: int
    behind: int | None
    seconds: float


class RelayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A running relay. `unready`: why it does not do its work at the moment; `stalled`, `unreadable`: why the spool
    cannot be written, or the state not be read; `full`: reading pauses for want of room. Rates are by second."""

    version: str
    process: int
    started: float
    at: float
    unready: str | None = None
    stalled: str | None = None
    unreadable: str | None = None
    full: bool = False
    serial: int = 0
    clock_steps: int = 0
    read_rate: float = 0.0
    delivered_rate: float = 0.0
    spool_max: int = 0
    dedupe_window: float = 0.0
    records_max: int = 0
    lanes: Sequence[LaneStatus] = ()
    lags: Sequence[LagStatus] = ()


class LatencyStatus(msgspec.Struct, frozen=True):
    """A histogram: how many in each bucket, the last one without a bound, and the sum in seconds."""

    buckets: Sequence[int]
    seconds: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay has counted since it started: attempts by webhook and outcome, the time to settle by webhook, and
    dead deliveries by a class of reasons. `bounds` are those of all histograms."""

    attempts: Mapping[tuple[str, str], int]
    latency: Mapping[str, LatencyStatus]
    bounds: Sequence[float]
    dead: Mapping[str, int]


class StatusSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that is asked of a running relay."""

    spool: SpoolStatus
    relay: RelayStatus
    counts: Counts
