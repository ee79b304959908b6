"""`hookline status`: the spool and its relay, at rest or at work."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from hookline.cli.dead_letter_options import filter_text
from hookline.cli.options import format_option, spool_option
from hookline.cli.tables import columns, duration_text, shortened, size_text
from hookline.escaping import printable
from hookline.observe.snapshot import LaneStatus, RelayStatus, SpoolStatus, WebhookStatus
from hookline.observe.status import effective_dedupe_window, moment, status_document
from hookline.relay.spool.admin import Count
from hookline.relay.spool.factory import spool_store

# The status for people: a few lines, then the webhooks that need attention before all others.
MAX_WEBHOOK_ROWS: Final = 40
MAX_SOURCE_ROWS: Final = 10
MAX_REASON_ROWS: Final = 6
_LONGEST_REASON: Final = 60
_UNWELL: Final = ("gone", "open", "half_open")


def status_text(
    spool: SpoolStatus, relay: RelayStatus | None, holder: str | None, *, everything: bool
) -> Iterator[str]:
    """Line by line. Without `everything`, long tables are cut."""
    yield from columns(list(_head(spool, relay, holder)))
    lanes = {lane.webhook: lane for lane in relay.lanes} if relay is not None else {}
    known = {one.webhook: one for one in spool.webhooks}
    webhooks = [known.get(name, WebhookStatus(webhook=name)) for name in known.keys() | lanes.keys()]
    yield from _table(
        ("WEBHOOK", "PENDING", "OLDEST", "DEAD", "STATE"),
        [_row(one, lanes.get(one.webhook)) for one in by_attention(webhooks, lanes)],
        None if everything else MAX_WEBHOOK_ROWS,
    )
    yield from _table(
        ("SOURCE", "LINE", "OFFSET", "CHECKPOINT", "BEHIND"),
        list(_sources(spool, relay)),
        None if everything else MAX_SOURCE_ROWS,
    )


def by_attention(webhooks: Sequence[WebhookStatus], lanes: Mapping[str, LaneStatus]) -> list[WebhookStatus]:
    """First what does not take anything, then what is held, then what is oldest, then what has dead letters."""

    def rank(one: WebhookStatus) -> tuple[int, float, int, str]:
        lane = lanes.get(one.webhook)
        if one.gone is not None or (lane is not None and lane.phase in _UNWELL):
            group = 0
        elif one.pending and (one.paused is not None or one.disabled):
            group = 1
        else:
            group = 2 if one.pending else 3
        return group, -(one.oldest or 0.0), -one.dead, one.webhook

    return sorted(webhooks, key=rank)


def _head(spool: SpoolStatus, relay: RelayStatus | None, holder: str | None) -> Iterator[tuple[str, str]]:
    tally = spool.tally
    yield "relay", _of_relay(spool, relay, holder)
    oldest = "" if spool.oldest is None else f", the oldest {duration_text(spool.oldest)} old"
    yield "pending", f"{tally.get('pending', 0):,}{oldest}"
    yield "dead letters", filter_text(Count(spool.dead, spool.lines))
    yield "in all", ", ".join(f"{what} {n:,}" for what, n in _in_all(tally))
    if skipped := _skipped(tally):
        shown = ", ".join(f"{printable(reason)} {n:,}" for reason, n in skipped[:MAX_REASON_ROWS])
        yield (
            "skipped for",
            shown + (f" and {len(skipped) - MAX_REASON_ROWS} more" if skipped[MAX_REASON_ROWS:] else ""),
        )
    yield "records", _of_records(spool, relay)
    yield "disk", ", ".join(f"{part} {size_text(amount)}" for part, amount in spool.sizes.items())


def _in_all(tally: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for what in ("read", "replayed", "delivered"):
        yield what, tally.get(what, 0)
    yield "skipped", sum(n for _, n in _skipped(tally))
    for what in ("rejected", "dead", "duplicates"):
        yield what, tally.get(what, 0)


def _skipped(tally: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent reasons first."""
    found = [(what.partition(":")[2], n) for what, n in tally.items() if what.startswith("skipped:")]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def _of_relay(spool: SpoolStatus, relay: RelayStatus | None, holder: str | None) -> str:
    if holder is None:
        return "none is running"
    if relay is None:
        return f"{holder}; it says nothing of itself (yet)"
    parts = [
        f"process {relay.process} since {moment(relay.started)}",
        "ready" if relay.unready is None else f"not ready: {relay.unready}",
        f"reads {relay.read_rate:,.1f}/s" if not relay.full else "reading pauses: the spool is full (--spool-max)",
        f"delivers {relay.delivered_rate:,.1f}/s",
        f"state serial {relay.serial}",
    ]
    if (silent := spool.at - relay.at) > 30:  # it speaks every second
        parts.insert(1, f"silent for {duration_text(silent)}")
    return ", ".join(parts)


def _of_records(spool: SpoolStatus, relay: RelayStatus | None) -> str:
    text = f"{spool.records:,}"
    if spool.oldest_record is not None:
        text += f", the oldest {duration_text(spool.oldest_record)} old"
    if relay is None:
        return text
    window = effective_dedupe_window(spool, relay)
    short = "" if window >= relay.dedupe_window else f" (not {duration_text(relay.dedupe_window)}: --records-max)"
    return f"{text}; duplicates are known for {duration_text(window)}{short}"


def _row(one: WebhookStatus, lane: LaneStatus | None) -> tuple[str, ...]:
    oldest = "" if one.oldest is None else duration_text(one.oldest)
    return printable(one.webhook), f"{one.pending:,}", oldest, f"{one.dead:,}", _state(one, lane)


def _state(one: WebhookStatus, lane: LaneStatus | None) -> str:
    """What is known of it; the strongest reason only."""
    if one.paused is not None:
        return f"paused since {moment(one.paused)}"
    if one.disabled or (lane is not None and lane.disabled):
        return "disabled"
    if lane is None:
        if one.gone is not None:
            return f"gone: {_reason(one.gone)}"
        return "" if one.not_before is None else f"asked to wait until {moment(one.not_before)}"
    match lane.phase:
        case "open":
            return f"waits until {moment(lane.until)}: {_reason(lane.reason)}"
        case "half_open" | "gone":
            return f"{lane.phase}: {_reason(lane.reason)}"
        case _:
            return f"open, {lane.in_flight} in flight" if lane.in_flight else "open"


def _reason(reason: str | None) -> str:
    return printable(shortened(reason or "", _LONGEST_REASON))


def _sources(spool: SpoolStatus, relay: RelayStatus | None) -> Iterator[tuple[str, ...]]:
    lags = {lag.name: lag for lag in relay.lags} if relay is not None else {}
    for one in spool.checkpoints:
        lag = lags.pop(one.name, None)
        behind = "" if lag is None or lag.behind is None else size_text(lag.behind)
        if lag is not None and lag.seconds >= 1:
            behind += f", {duration_text(lag.seconds)} without a line"
        yield printable(one.name), f"{one.line:,}", f"{one.offset:,}", moment(one.at) or "", behind


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int | None) -> Iterator[str]:
    if not rows:
        return
    shown = rows if most is None else rows[:most]
    yield ""
    yield from columns([headings, *shown])
    if len(shown) < len(rows):
        yield f"... and {len(rows) - len(shown):,} more; --all shows them"


@click.command(
    epilog="Example: hookline status --format json | jq .oldestSeconds. Exit codes: 0 done, 8 no such spool, or it "
    "cannot be read."
)
@spool_option
@click.option("--all", "everything", is_flag=True, help="Show every webhook and every source.")
@format_option("text", "json", help="Text for people, or the document of `hookline schema status`.")
def command(*, spool: str, everything: bool, form: str) -> None:
    """Show the spool, its webhooks and checkpoints, and the relay that uses it.

    Reads the spool beside a running relay and changes nothing. Webhooks that need attention come first.
    """
    statistics = spool_store(spool).statistics()
    facts = statistics.spool_status(now=time.time())
    holder, relay = statistics.relay_status()
    if form == "json":
        click.echo(json.dumps(status_document(facts, relay, holder), indent=2))
        return
    for line in status_text(facts, relay, holder, everything=everything):
        click.echo(line)
