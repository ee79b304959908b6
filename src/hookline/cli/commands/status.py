"""`hookline status`: show the spool, and the relay that uses it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from hookline.cli.dead_letter_options import letter_count_text
from hookline.cli.options import examples, format_option, spool_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.tables import columns, duration_text, size_text
from hookline.escaping import printable, shortened
from hookline.observe.snapshot import LaneStatus, RelayStatus, SpoolStatus, WebhookStatus
from hookline.observe.status import effective_dedupe_window, moment, status_document
from hookline.relay.spool.admin import Count
from hookline.relay.spool.factory import spool_store

MAX_WEBHOOK_ROWS: Final = 40
MAX_SOURCE_ROWS: Final = 10
MAX_REASON_ROWS: Final = 6
_MAX_REASON_CHARS: Final = 60
_TOTALS: Final = ("read", "replayed", "delivered", "skipped", "rejected", "dead", "duplicates")
_UNHEALTHY: Final = ("gone", "open", "half_open")


def status_text(
    spool: SpoolStatus,
    relay: RelayStatus | None,
    holder: str | None,
    *,
    everything: bool,
    max_reason_characters: int | None = None,
) -> Iterator[str]:
    """The lines of the status for people: totals, then webhooks, then sources.

    Args:
        spool: the status of the spool.
        relay: the status of its relay; None if it reports none.
        holder: the process that has locked the spool; None if no relay runs.
        everything: show all rows of long tables.
        max_reason_characters: cut longer reasons; None: cut none.
    """
    yield from columns(list(_head(spool, relay, holder)))
    lanes = {lane.webhook: lane for lane in relay.lanes} if relay is not None else {}
    known = {one.webhook: one for one in spool.webhooks}
    webhooks = [known.get(name, WebhookStatus(webhook=name)) for name in known.keys() | lanes.keys()]
    yield from _table(
        ("WEBHOOK", "PENDING", "OLDEST", "DEAD", "STATE"),
        [_row(one, lanes.get(one.webhook), max_reason_characters) for one in by_attention(webhooks, lanes)],
        None if everything else MAX_WEBHOOK_ROWS,
    )
    yield from _table(
        ("SOURCE", "LINE", "OFFSET", "CHECKPOINT", "BEHIND"),
        list(_sources(spool, relay)),
        None if everything else MAX_SOURCE_ROWS,
    )


def by_attention(webhooks: Sequence[WebhookStatus], lanes: Mapping[str, LaneStatus]) -> list[WebhookStatus]:
    """Sort webhooks: unhealthy, paused or disabled, then by oldest pending delivery, then by dead letters."""

    def rank(one: WebhookStatus) -> tuple[int, float, int, str]:
        lane = lanes.get(one.webhook)
        if one.gone_reason is not None or (lane is not None and lane.phase in _UNHEALTHY):
            group = 0
        elif one.pending and (one.paused is not None or one.disabled):
            group = 1
        else:
            group = 2 if one.pending else 3
        return group, -(one.oldest or 0.0), -one.dead, one.webhook

    return sorted(webhooks, key=rank)


def _head(spool: SpoolStatus, relay: RelayStatus | None, holder: str | None) -> Iterator[tuple[str, str]]:
    tally = spool.tally
    yield "relay", _relay_text(spool, relay, holder)
    oldest = "" if spool.oldest is None else f", the oldest {duration_text(spool.oldest)} old"
    yield "pending", f"{tally.get('pending', 0):,}{oldest}"
    yield "dead letters", letter_count_text(Count(spool.dead, spool.lines))
    skipped = _skipped(tally)
    totals = {**tally, "skipped": sum(n for _, n in skipped)}
    yield "totals", ", ".join(f"{name} {totals.get(name, 0):,}" for name in _TOTALS)
    if skipped:
        more = f" and {len(skipped) - MAX_REASON_ROWS} more" if skipped[MAX_REASON_ROWS:] else ""
        reasons = ", ".join(f"{printable(reason)} {n:,}" for reason, n in skipped[:MAX_REASON_ROWS])
        yield "skipped for", reasons + more
    yield "records", _records_text(spool, relay)
    if relay is not None:
        yield "connections", _connections_text(relay)
    yield "disk", ", ".join(f"{part} {size_text(amount)}" for part, amount in spool.sizes.items())


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
        "ready" if relay.unready is None else f"not ready: {relay.unready}",
        f"reads {relay.read_rate:,.1f}/s" if not relay.full else "reading paused: the spool is full (--spool-max)",
        f"delivers {relay.delivered_rate:,.1f}/s",
        f"state serial {relay.serial}",
    ]
    if (silent := spool.at - relay.at) > 30:  # a relay reports every second
        parts.insert(1, f"no report for {duration_text(silent)}")
    return ", ".join(parts)


def _connections_text(relay: RelayStatus) -> str:
    text = f"{relay.connections:,} of at most {relay.connections_max:,}"
    if not relay.connections_awaited:
        return text
    return f"{text}; {relay.connections_awaited:,} attempts wait for one: raise the limit of open files"


def _records_text(spool: SpoolStatus, relay: RelayStatus | None) -> str:
    text = f"{spool.records:,}"
    if spool.oldest_record is not None:
        text += f", the oldest {duration_text(spool.oldest_record)} old"
    if relay is None:
        return text
    window = effective_dedupe_window(spool, relay)
    short = "" if window >= relay.dedupe_window else f" (not {duration_text(relay.dedupe_window)}: --records-max)"
    return f"{text}; duplicates are recognized for {duration_text(window)}{short}"


def _row(one: WebhookStatus, lane: LaneStatus | None, max_reason: int | None) -> tuple[str, ...]:
    oldest = "" if one.oldest is None else duration_text(one.oldest)
    return printable(one.webhook), f"{one.pending:,}", oldest, f"{one.dead:,}", _state(one, lane, max_reason)


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


def _reason(reason: str | None, max_characters: int | None) -> str:
    text = printable(reason or "")
    return text if max_characters is None else shortened(text, max_characters)


def _sources(spool: SpoolStatus, relay: RelayStatus | None) -> Iterator[tuple[str, ...]]:
    lags = {lag.name: lag for lag in relay.lags} if relay is not None else {}
    for one in spool.checkpoints:
        lag = lags.pop(one.name, None)
        behind = "" if lag is None or lag.behind is None else size_text(lag.behind)
        if lag is not None and lag.seconds >= 1:
            behind += f", {duration_text(lag.seconds)} without a line"
        yield printable(one.name), f"{one.line:,}", f"{one.offset:,}", moment(one.at) or "", behind


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], max_rows: int | None) -> Iterator[str]:
    if not rows:
        return
    visible = rows if max_rows is None else rows[:max_rows]
    yield ""
    yield from columns([headings, *visible])
    if len(visible) < len(rows):
        yield f"... and {len(rows) - len(visible):,} more; --all shows them"


@click.command(
    epilog=examples(
        "hookline status",
        "hookline status --format json | jq .oldestSeconds",
        exits="0 done, 8 no such spool, or it cannot be read",
    )
)
@spool_option
@click.option("--all", "everything", is_flag=True, help="Show every webhook and every source.")
@format_option("text", "json", help="Text for people, or the document of `hookline schema status`.")
def status_command(*, spool: str, everything: bool, form: str) -> None:
    """Show the spool, its webhooks and checkpoints, and the relay that uses it.

    Reads the spool beside a running relay and changes nothing. Webhooks that need attention come first.
    """
    statistics = spool_store(spool).statistics()
    spool_status = statistics.spool_status(now=time.time())
    holder, relay = statistics.relay_status()
    if form == "json":
        print_json(status_document(spool_status, relay, holder))
        return
    # A reason that is too long for a terminal would wrap. A file or another program gets the whole of it.
    width = _MAX_REASON_CHARS if sys.stdout.isatty() else None
    lines = status_text(spool_status, relay, holder, everything=everything, max_reason_characters=width)
    click.echo("\n".join(lines))
