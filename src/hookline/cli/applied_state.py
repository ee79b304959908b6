"""Reads the applied state, and the backlogs in the spool, for commands about applied webhooks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from hookline.diagnostics import did_you_mean, nearest
from hookline.errors import HooklineError, SpoolUnusable, Stale, StateUnusable, WrongUse
from hookline.model import Address
from hookline.relay.spool.factory import SpoolStore, is_missing_directory, spool_place, spool_store
from hookline.state.factory import open_state, without_password
from hookline.state.store import HistoryRecord, Snapshot, StateStore, Stored
from hookline.units import utc_text

if TYPE_CHECKING:
    from hookline.relay.secrets import SecretResolver
    from hookline.relay.spool.admin import Backlog

# A read is repeated when an apply has committed in between.
_MAX_READS = 5


def read_applied(state: str) -> Snapshot:
    """The stored state. Raises StateUnusable if nothing was ever applied."""
    snapshot = open_state(state).read()
    _require_lineage(snapshot, state)
    return snapshot


def read_with_history(store: StateStore, state: str) -> tuple[Snapshot, tuple[HistoryRecord, ...]]:
    """The state and its history at one moment. Raises StateUnusable, or Stale if applies keep committing."""
    for _ in range(_MAX_READS):
        snapshot, records = store.read(), store.history()
        if store.version() == (snapshot.lineage, snapshot.serial):
            _require_lineage(snapshot, state)
            return snapshot, records
    raise Stale(
        f"the state {without_password(state)} changed during every read: other applies are running",
        hint="try again in a moment",
    )


def find(snapshot: Snapshot, text: str) -> Stored:
    """The webhook at ``organization/sandbox``. Raises WrongUse for other text, HooklineError for an unknown one."""
    try:
        address = Address.parse(text)
    except ValueError as wrong:
        raise WrongUse(str(wrong), hint="`hookline list` shows every address") from wrong
    if address in snapshot.webhooks:
        return snapshot.webhooks[address]
    raise HooklineError(f"no webhook is applied for {text}", hint=nearest_hint(text, snapshot.webhooks))


def resolver_for(snapshot: Snapshot, resolver: SecretResolver) -> SecretResolver:
    """The resolver for the organizations of the state."""
    organizations = {address.organization for address in snapshot.webhooks}
    return replace(resolver, organizations=lambda: organizations)


def nearest_hint(text: str, addresses: Iterable[Address]) -> str:
    """A hint for an unknown address: the nearest known ones, at most three."""
    near = nearest(text, map(str, addresses), max_count=3, min_similarity=0.75)
    return did_you_mean(near, "`hookline list` shows every address")


def _require_lineage(snapshot: Snapshot, state: str) -> None:
    if snapshot.lineage is None:
        raise StateUnusable(
            f"no state exists at {without_password(state)}",
            hint="create it with `hookline apply`, or name another one with --state",
        )


def open_or_create_spool(location: str) -> SpoolStore:
    """The spool at a `--spool` location. Creates a directory if it is missing, and reports that.

    A missing shared spool remains missing, because only its owner chooses its slots, lease and role (`spool init`).
    Raises SpoolUnusable.
    """
    store = spool_store(location)
    if not store.shared and not store.exists():
        store.create_if_missing(since=utc_text(datetime.now(UTC)))
        click.echo(f"Created the spool {spool_place(store)}: no spool existed there.", err=True)
    return store


def read_pending(spool: str) -> Mapping[Address, int] | None:
    """The number of pending deliveries of each webhook; None without a spool, or if it is unreadable."""
    backlogs = read_backlogs(spool)
    return None if backlogs is None else {address: backlog.pending for address, backlog in backlogs.items()}


def read_owners(spool: str) -> Mapping[str, str] | None:
    """The process that owns each webhook of a shared spool. None for another spool, or if it is unreadable."""
    try:
        if is_missing_directory(spool) or not (store := spool_store(spool)).shared:
            return None
        from hookline.observe.spool_owners import owners_of  # noqa: PLC0415 - `plan` needs no status

        statistics = store.statistics()
        owners = owners_of(statistics.spool_status(now=time.time()), statistics.processes())
    except (SpoolUnusable, OSError):
        return None
    return {webhook: f"{owner.label} (gone)" if owner.gone else owner.label for webhook, owner in owners.items()}


def read_backlogs(spool: str) -> Mapping[Address, Backlog] | None:
    """The backlog of each webhook; None without a spool. If it is unreadable, only warns: plan may lack access."""
    try:
        return None if is_missing_directory(spool) else spool_store(spool).statistics().backlogs()
    except (SpoolUnusable, OSError) as error:
        reason = error.message if isinstance(error, SpoolUnusable) else str(error)
        click.echo(f"warning: the number of pending deliveries is unknown: {reason}", err=True)
        return None
