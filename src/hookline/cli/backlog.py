"""What waits in the spool, for commands that are about the state and only mention it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.spool.lookup import Backlog, SpoolLookup


def read_backlogs(spool: Path) -> Mapping[Address, Backlog] | None:
    """By webhook; None when there is no spool. One that cannot be read is said on stderr, and is no reason to fail:
    a planner need not be let into the relay's directory."""
    try:
        return SpoolLookup(spool).backlogs()
    except (SpoolUnusable, OSError) as error:
        reason = error.message if isinstance(error, SpoolUnusable) else str(error)
        click.echo(f"warning: what is pending is not known: {reason}", err=True)
        return None
