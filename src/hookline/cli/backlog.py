"""What waits in the spool, for commands that are about the state and only mention it."""

from __future__ import annotations

from collections.abc import Mapping

import click

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.factory import spool_store


def read_backlogs(spool: str) -> Mapping[Address, Backlog] | None:
    """By webhook; None when there is no spool. One that cannot be read is said on stderr, and is no reason to fail:
    a planner need not be let into the relay's directory."""
    try:
        return spool_store(spool).statistics().backlogs()
    except (SpoolUnusable, OSError) as error:
        reason = error.message if isinstance(error, SpoolUnusable) else str(error)
        click.echo(f"warning: what is pending is not known: {reason}", err=True)
        return None
