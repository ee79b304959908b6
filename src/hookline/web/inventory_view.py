"""The inventory: every applied webhook with its last change and its backlog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hookline.model import Webhook
from hookline.observe.snapshot import WebhookStatus
from hookline.plan.stale_plan import short_commit
from hookline.state.authentication_text import authentication_text
from hookline.state.store import Stored
from hookline.units import utc_text
from hookline.web.applied_state_reader import AddressChange, AppliedWebhooks
from hookline.web.source_link import SourceLink
from hookline.web.spool_reader import SpoolView


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOrigin:
    """The apply behind a change, and the place in a file. `link` is the file at its commit, if its site is known."""

    serial: int
    at: str
    who: str
    revision: str | None
    note: str | None
    file: str | None
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRow:
    """One webhook. `pending` and `dead` are None without a spool. `phase` is that of its circuit breaker."""

    address: str
    name: str
    channels: str
    url: str
    authentication: str
    enabled: bool
    origin: ChangeOrigin | None
    pending: int | None
    dead: int | None
    phase: str | None


def change_origin(one: AddressChange, links: SourceLink | None) -> ChangeOrigin:
    entry, source = one.record.entry, _source(one.change)
    commit = short_commit(entry.commit) if entry.commit else None
    return ChangeOrigin(
        serial=one.record.serial,
        at=utc_text(entry.at),
        who=entry.who,
        revision=f"{entry.branch}@{commit}" if entry.branch and commit else commit,
        note=entry.note,
        file=None if source is None else f"{source[0]}:{source[1]}",
        link=None if source is None or links is None else links.url(entry.commit, *source),
    )


def _source(change: Any) -> tuple[str, int] | None:
    """The place that a change of the history names, if it names one."""
    match change.get("source"):
        case {"file": str(file), "line": int(line)}:
            return file, line
    return None


def matching(applied: AppliedWebhooks, search: str) -> list[Stored]:
    """The webhooks with all words of `search` in address, name, owner, URL, channels or authentication."""
    words = search.casefold().split()
    stored = applied.snapshot.webhooks.values()
    return [one for one in stored if all(word in _searched(one.webhook) for word in words)] if words else [*stored]


def _searched(webhook: Webhook) -> str:
    parts = (str(webhook.address), webhook.name, webhook.owner or "", webhook.url, *webhook.channels)
    state = "enabled" if webhook.enabled else "disabled"
    return "\n".join((*parts, authentication_text(webhook), state)).casefold()


def inventory_rows(
    stored: list[Stored], applied: AppliedWebhooks, spool: SpoolView | None, links: SourceLink | None
) -> Iterator[InventoryRow]:
    """The rows of some webhooks, in their order."""
    known = {} if spool is None else {one.webhook: one for one in spool.status.webhooks}
    for one in stored:
        webhook, address = one.webhook, str(one.webhook.address)
        changes = applied.changes_of(webhook.address)
        backlog = None if spool is None else known.get(address, WebhookStatus(webhook=address))
        lane = None if spool is None else spool.lanes.get(address)
        yield InventoryRow(
            address=address,
            name=webhook.name,
            channels=", ".join(sorted(webhook.channels)),
            url=webhook.url,
            authentication=authentication_text(webhook),
            enabled=webhook.enabled,
            origin=change_origin(changes[-1], links) if changes else None,
            pending=None if backlog is None else backlog.pending,
            dead=None if backlog is None else backlog.dead,
            phase=None if lane is None else lane.phase,
        )
