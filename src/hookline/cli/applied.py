"""The applied state, for commands that make no sense without one."""

from __future__ import annotations

from hookline.errors import StateUnusable
from hookline.state.opening import open_state
from hookline.state.snapshot import Snapshot


def read_applied(state: str) -> Snapshot:
    """The stored state. Raises StateUnusable when nothing was ever applied to it."""
    snapshot = open_state(state).read()
    if snapshot.lineage is None:
        raise StateUnusable(
            f"there is no state at {state}", hint="make it with `hookline apply`, or name another one with --state"
        )
    return snapshot
