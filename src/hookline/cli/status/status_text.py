"""The status of a spool and its relay as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hookline.cli.dead_letter_options import letter_count_text
from hookline.cli.output.process_blocks import (
    SILENT_SECONDS,
    connections_text,
    process_blocks,
    processes_text,
    rates_text,
    ready_text,
    unowned_text,
)
from hookline.cli.output.tables import columns, duration_text, size_text
from hookline.cli.status.activity_text import HEADINGS, NO_ACTIVITY, ActivityCells
from hookline.cli.status.drain_text import drain_cell, drain_head
from hookline.escaping import printable, shortened
from hookline.observe.attention import by_attention
from hookline.observe.drain import NO_DRAIN, DrainStatus
from hookline.observe.snapshot import (
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.observe.spool_owners import lags_of, lanes_of, owners_of, reporting
from hookline.observe.status import ONE_OWNER, dedupe_window, moment
from hookline.relay.spool.admin import Count

MAX_WEBHOOK_ROWS: Final = 40
MAX_SOURCE_ROWS: Final = 10
MAX_REASON_ROWS: Final = 6
_TOTALS: Final = ("read", "replayed", "delivered", "skipped", "rejected", "dead", "duplicates")


def status_text(
    spool: SpoolStatus,
    relay: RelayStatus | None,
    holder: str | None,
    *,
    processes: SpoolProcesses = ONE_OWNER,
    drain: DrainStatus = NO_DRAIN,
    plots: Mapping[str, ActivityCells] | None = None,
    everything: bool,
    max_reason_characters: int | None = None,
) -> Iterator[str]:
    """The lines of the status for people: totals, then the processes of a shared spool, then webhooks, then sources.

    Args:
        spool: the status of the spool.
        relay: the status of its relay; None if it reports none.
        holder: the process that has locked the spool; None if no relay runs.
        processes: the processes of a shared spool.
        drain: the forecasts for the backlogs.
        plots: the activity of webhooks in the last hour; None: without these columns.
        everything: show all rows of long tables.
        max_reason_characters: cut longer reasons; None: cut none.
    """
    yield from columns(list(_head(spool, relay, holder, processes, drain)))
    yield from process_blocks(processes, spool)
    lanes, owners = lanes_of(spool, relay, processes), owners_of(spool, processes)
    known = {one.webhook: one for one in spool.webhooks}
    webhooks = [known.get(name, WebhookStatus(webhook=name)) for name in known.keys() | lanes.keys()]
    rows = [
        (
            *_backlog(one),
            *((drain_cell(drain.webhooks.get(one.webhook)),) if drain.webhooks else ()),
            f"{one.dead:,}",
            *(() if plots is None else plots.get(one.webhook, NO_ACTIVITY)),
            _with_earlier_address(_state(one, lanes.get(one.webhook), max_reason_characters), one.moved_from),
            *_owner(owners.get(one.webhook), processes),
        )
        for one in by_attention(webhooks, lanes)
    ]
    drains = ("DRAIN",) if drain.webhooks else ()
    owner = ("OWNER",) if processes.shared else ()
    yield from _table(
        ("WEBHOOK", "PENDING", "OLDEST", *drains, "DEAD", *(() if plots is None else HEADINGS), "STATE", *owner),
        rows,
        None if everything else MAX_WEBHOOK_ROWS,
    )
    reader = ("READER",) if processes.shared else ()
    yield from _table(
        ("SOURCE", "LINE", "OFFSET", "CHECKPOINT", "BEHIND", *reader),
        list(_sources(spool, relay, processes)),
        None if everything else MAX_SOURCE_ROWS,
    )


def _owner(owner: ProcessStatus | None, processes: SpoolProcesses) -> tuple[str, ...]:
    if not processes.shared:
        return ()
    if owner is None:
        return ("none",)
    return (printable(f"{owner.label} (gone)" if owner.gone else owner.label),)


def _head(
    spool: SpoolStatus, relay: RelayStatus | None, holder: str | None, processes: SpoolProcesses, drain: DrainStatus
) -> Iterator[tuple[str, str]]:
    tally = spool.tally
    if processes.shared:
        yield from _processes(spool, processes)
    else:
        yield "relay", _relay_text(spool, relay, holder)
    oldest = "" if spool.oldest is None else f", the oldest {duration_text(spool.oldest)} old"
    yield "pending", f"{tally.get('pending', 0):,}{oldest}"
    if drain.webhooks:
        yield "drain", drain_head(drain.whole)
    yield "dead letters", letter_count_text(Count(spool.dead, spool.lines))
    skipped = _skipped(tally)
    totals = {**tally, "skipped": sum(n for _, n in skipped)}
    yield "totals", ", ".join(f"{name} {totals.get(name, 0):,}" for name in _TOTALS)
    if (moved := (tally.get("moved_in", 0), tally.get("moved_out", 0))) != (0, 0):
        yield "moved", f"{moved[0]:,} from another spool, {moved[1]:,} to another spool"
    if skipped:
        more = f" and {len(skipped) - MAX_REASON_ROWS} more" if skipped[MAX_REASON_ROWS:] else ""
        reasons = ", ".join(f"{printable(reason)} {n:,}" for reason, n in skipped[:MAX_REASON_ROWS])
        yield "skipped for", reasons + more
    if crashes := [one for one in spool.crashes if one.starts > 1]:
        yield "crashes", ", ".join(f"{printable(one.work)}: {one.starts} starts without progress" for one in crashes)
    configured = max((one.dedupe_window for one in _relays(relay, processes)), default=0.0)
    yield "records", _records_text(spool, dedupe_window(spool, relay, processes), configured)
    if relay is not None:
        yield "connections", connections_text(relay)
    yield "disk", ", ".join(f"{part} {size_text(amount)}" for part, amount in spool.sizes.items())


def _processes(spool: SpoolStatus, processes: SpoolProcesses) -> Iterator[tuple[str, str]]:
    yield "processes", processes_text(processes)
    for label, text in (("unowned", unowned_text(processes, spool)), ("rates", rates_text(processes))):
        if text is not None:
            yield label, text


def _relays(relay: RelayStatus | None, processes: SpoolProcesses) -> list[RelayStatus]:
    return [relay] if relay is not None else [status for _, status in reporting(processes)]


def _skipped(tally: Mapping[str, int]) -> list[tuple[str, int]]:
    """Reasons and their counts, the most frequent first."""
    found = [(name.partition(":")[2], n) for name, n in tally.items() if name.startswith("skipped:")]
    return sorted(found, key=lambda reason: (-reason[1], reason[0]))


def _relay_text(spool: SpoolStatus, relay: RelayStatus | None, holder: str | None) -> str:
    if holder is None:
        return "not running"
    if relay is None:
        return f"{holder}; it has not reported its status yet"
    parts = [
        f"process {relay.process} since {moment(relay.started)}",
        ready_text(relay),
        f"reads {relay.read_rate:,.1f}/s" if not relay.full else "reading paused: the spool is full (--spool-max)",
        f"delivers {relay.delivered_rate:,.1f}/s",
        f"state serial {relay.serial}",
    ]
    if (silent := spool.at - relay.at) > SILENT_SECONDS:
        parts.insert(1, f"no report for {duration_text(silent)}")
    return ", ".join(parts)


def _records_text(spool: SpoolStatus, window: float | None, configured: float) -> str:
    """`window` is the duplicate window in effect; None if no relay reports it."""
    text = f"{spool.records:,}"
    if spool.oldest_record is not None:
        text += f", the oldest {duration_text(spool.oldest_record)} old"
    if window is None:
        return text
    short = "" if window >= configured else f" (not {duration_text(configured)}: --records-max)"
    return f"{text}; duplicates are recognized for {duration_text(window)}{short}"


def _backlog(one: WebhookStatus) -> tuple[str, ...]:
    oldest = "" if one.oldest is None else duration_text(one.oldest)
    return printable(one.webhook), f"{one.pending:,}", oldest


def _state(one: WebhookStatus, lane: LaneStatus | None, max_reason: int | None) -> str:
    """The strongest reason why the webhook receives nothing, or the phase of its circuit breaker."""
    if one.paused is not None:
        return f"paused since {moment(one.paused)}"
    if one.disabled or (lane is not None and lane.disabled):
        return "disabled"
    if lane is None:
        if one.gone_reason is not None:
            return f"gone: {_reason(one.gone_reason, max_reason)}"
        return "" if one.not_before is None else f"Retry-After until {moment(one.not_before)}"
    match lane.phase:
        case "open":
            return f"open until {moment(lane.until)}: {_reason(lane.reason, max_reason)}"
        case "half_open" | "gone":
            return f"{lane.phase}: {_reason(lane.reason, max_reason)}"
        case _:
            return f"closed, {lane.in_flight} in flight" if lane.in_flight else "closed"


def _with_earlier_address(state: str, moved_from: str | None) -> str:
    if moved_from is None:
        return state
    return "; ".join(filter(None, (state, f"moved from {printable(moved_from)}")))


def _reason(reason: str | None, max_characters: int | None) -> str:
    text = printable(reason or "")
    return text if max_characters is None else shortened(text, max_characters)


def _sources(spool: SpoolStatus, relay: RelayStatus | None, processes: SpoolProcesses) -> Iterator[tuple[str, ...]]:
    lags = lags_of(relay, processes)
    for one in spool.checkpoints:
        lag = lags.pop((one.reader, one.name), None)
        behind = "" if lag is None or lag.behind is None else size_text(lag.behind)
        if lag is not None and lag.behind_messages is not None:
            behind = f"{lag.behind_messages:,} messages"
        if lag is not None and lag.seconds >= 1:
            behind += f", {duration_text(lag.seconds)} without a line"
        reader = (printable(one.reader),) if processes.shared else ()
        yield printable(one.name), f"{one.line:,}", f"{one.offset:,}", moment(one.at) or "", behind, *reader


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], max_rows: int | None) -> Iterator[str]:
    if not rows:
        return
    visible = rows if max_rows is None else rows[:max_rows]
    yield ""
    yield from columns([headings, *visible])
    if len(visible) < len(rows):
        yield f"... and {len(rows) - len(visible):,} more; --all shows them"
