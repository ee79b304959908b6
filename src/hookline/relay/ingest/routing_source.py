"""The port to the routes, as the modules that read lines see them."""

from __future__ import annotations

from typing import Protocol

from hookline.relay.ingest.batch import IngestContext


class RoutingSource(Protocol):
    """Supplies the routes."""

    @property
    def context(self) -> IngestContext:
        """The context that applies now. Read for every batch, in the reader's thread."""

    async def read_again(self) -> None:
        """Read the state, and return when `context` has it. Called when a group was routed without a move that
        the spool has followed."""
