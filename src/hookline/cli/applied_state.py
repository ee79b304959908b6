"""The applied state, for commands that make no sense without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from hookline.diagnostics import did_you_mean, nearest
from hookline.errors import HooklineError, SpoolUnusable, Stale, StateUnusable, WrongUse
from hookline.model import Address
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.factory import spool_store
from hookline.state.factory import open_state, without_password
from hookline.state.store import HistoryRecord, Snapshot, StateStore, Stored

# Each reading again means that an apply has committed in between.
_READINGS = 5


def read_applied(state: str) -> Snapshot:
    """The stored state. Raises StateUnusable when nothing was ever applied to it."""
    snapshot = open_state(state).read()
    _refuse_none(snapshot, state)
    return snapshot


def read_with_history(store: StateStore, state: str) -> tuple[Snapshot, tuple[HistoryRecord, ...]]:
    """The stored state and its history, of one and the same moment; `state` is what the user calls it.

    Raises StateUnusable like `read_applied`, and Stale when one apply after another comes in between.
    """
    for _ in range(_READINGS):
        snapshot, records = store.read(), store.history()
        if store.version() == (snapshot.lineage, snapshot.serial):
            _refuse_none(snapshot, state)
            return snapshot, records
    raise Stale(
        f"the state {without_password(state)} is being applied to again and again", hint="try again in a moment"
    )


def find(snapshot: Snapshot, text: str) -> Stored:
    """The webhook at ``organization/sandbox``. Raises WrongUse, or HooklineError that names the nearest address."""
    try:
        address = Address.parse(text)
    except ValueError as wrong:
        raise WrongUse(str(wrong), hint="`hookline list` shows every address") from wrong
    if address in snapshot.webhooks:
        return snapshot.webhooks[address]
    raise HooklineError(f"no webhook is applied for {text}", hint=near_ones(text, snapshot.webhooks))


def near_ones(text: str, addresses: Iterable[Address]) -> str:
    """A hint for an address that is none of these: the nearest ones, at most three."""
    near = nearest(text, map(str, addresses), at_most=3, likeness=0.75)
    return did_you_mean(near, "`hookline list` shows every address")


def _refuse_none(snapshot: Snapshot, state: str) -> None:
    if snapshot.lineage is None:
        raise StateUnusable(
            f"there is no state at {without_password(state)}",
            hint="make it with `hookline apply`, or name another one with --state",
        )


# What waits in the spool, for commands that are about the state and only mention it.
def read_backlogs(spool: str) -> Mapping[Address, Backlog] | None:
    """By webhook; None when there is no spool. One that cannot be read is said on stderr, and is no reason to fail:
    a planner need not be let into the relay's directory."""
    try:
        return spool_store(spool).statistics().backlogs()
    except (SpoolUnusable, OSError) as error:
        reason = error.message if isinstance(error, SpoolUnusable) else str(error)
        click.echo(f"warning: what is pending is not known: {reason}", err=True)
        return None
