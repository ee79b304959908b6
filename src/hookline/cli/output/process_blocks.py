"""The processes of a shared spool as text for people: one block for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hookline.cli.output.tables import columns, duration_text
from hookline.escaping import printable
from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses, SpoolStatus
from hookline.observe.spool_owners import Share, reporting, share_of, slot_ranges
from hookline.observe.status import moment

SILENT_SECONDS = 30  # a relay reports at least every five seconds
_NOUNS = {"relay": ("relay", "relays"), "deliver": ("deliverer", "deliverers"), "move": ("move", "moves")}


def processes_text(processes: SpoolProcesses) -> str:
    """``2 relays, 1 deliverer, 1 gone; 64 slots``."""
    kinds = Counter(one.kind for one in processes.processes if not one.gone)
    parts = [_counted(number, *_NOUNS.get(kind, (kind, kind))) for kind, number in kinds.items()]
    gone = sum(one.gone for one in processes.processes)
    parts = (parts or ["none running"]) + ([f"{gone:,} gone"] if gone else [])
    return f"{', '.join(parts)}; {processes.slots:,} slots"


def rates_text(processes: SpoolProcesses) -> str | None:
    """The rates of the whole spool, from the latest report; None without one."""
    reports = [status for _, status in reporting(processes)]
    if not reports:
        return None
    latest = max(reports, key=lambda status: status.at)
    return f"reads {latest.read_rate:,.1f}/s, delivers {latest.delivered_rate:,.1f}/s"


def unowned_text(processes: SpoolProcesses, spool: SpoolStatus) -> str | None:
    """The slots that no process owns; None if there are none."""
    if not processes.unowned:
        return None
    number = _counted(len(processes.unowned), "slot has", "slots have")
    return f"{number} no owner: {slot_ranges(processes.unowned)}; {_backlog(share_of(spool, processes.unowned))}"


def process_blocks(processes: SpoolProcesses, spool: SpoolStatus) -> Iterator[str]:
    """The processes of a shared spool. The one relay of another spool has no slots, and is in the first line."""
    for one in processes.processes if processes.shared else ():
        yield ""
        yield from columns([(printable(label), printable(text)) for label, text in _block(one, spool)])


def _block(one: ProcessStatus, spool: SpoolStatus) -> Iterator[tuple[str, str]]:
    yield one.kind, f"{process_name(one)} since {moment(one.started)}, {_condition(one, spool)}"
    owned = f"{len(one.slots):,}" + (f": {slot_ranges(one.slots)}" if one.slots else "")
    left = one.lease_seconds or 0.0
    yield (
        "  slots",
        f"{owned}; "
        + (f"the lease ended {duration_text(-left)} ago" if one.gone else f"the lease ends in {duration_text(left)}"),
    )
    yield "  backlog", _backlog(share_of(spool, one.slots))
    if one.status is not None:
        yield "  connections", connections_text(one.status)


def process_name(one: ProcessStatus) -> str:
    """``eu-1 (host/4711)``, or ``host/4711`` without a name."""
    return f"{one.name} ({one.label})" if one.name else one.label


def _condition(one: ProcessStatus, spool: SpoolStatus) -> str:
    if one.gone:
        return "gone: others take its slots over"
    if one.kind == "move":
        return "it moves the contents of the spool, so no relay can join"
    if one.status is None:
        return "it has not reported its status yet"
    parts = [ready_text(one.status)]
    if (silent := spool.at - one.status.at) > SILENT_SECONDS:
        parts.insert(0, f"no report for {duration_text(silent)}")
    if one.name:
        parts.append("reads its files" if one.reads else "is on standby for its files")
    if one.status.full:
        parts.append("reading paused: the spool is full (--spool-max)")
    return ", ".join([*parts, f"state serial {one.status.serial}"])


def ready_text(relay: RelayStatus) -> str:
    return "ready" if relay.unready is None else f"not ready: {relay.unready}"


def connections_text(relay: RelayStatus) -> str:
    text = f"{relay.connections:,} of at most {relay.connections_max:,}"
    if not relay.connections_awaited:
        return text
    return f"{text}; {relay.connections_awaited:,} attempts wait for one: raise the limit of open files"


def _backlog(share: Share) -> str:
    oldest = "" if share.oldest is None else f", the oldest {duration_text(share.oldest)} old"
    return f"{share.pending:,} pending{oldest}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
