"""Opens the stored state for a relay run or a dry run."""

from __future__ import annotations

from hookline.errors import StateUnusable
from hookline.state.factory import open_state, without_password
from hookline.state.store import Snapshot, StateStore
from hookline.wiring.run_options import RelayOptions


def open_run_state(options: RelayOptions) -> tuple[StateStore, Snapshot]:
    """Open the state, and read it. Raises StateUnusable if it has no webhook, because the relay would skip all
    events."""
    store = open_state(options.state)
    snapshot = store.read()
    if snapshot.webhooks or options.allow_empty:
        return store, snapshot
    reason = "no webhook is applied"
    if snapshot.lineage is None:
        reason = f"no stored state exists at {without_password(options.state)}"
    effect = "every event would be skipped; nothing was read" if options.sources else "there is nothing to deliver to"
    raise StateUnusable(
        f"{reason}, so {effect}",
        hint="run `hookline apply`, name the state with --state or HOOKLINE_STATE, or allow this with --allow-empty",
    )
