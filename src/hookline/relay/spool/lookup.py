"""What other commands ask of a spool without holding it: positions, known deliveries, and what waits for whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from hookline.model import Address
from hookline.relay.sources.port import Position
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.database import FILE, damage_named, open_existing
from hookline.relay.spool.port import Standing
from hookline.relay.spool.positions import read_positions
from hookline.relay.spool.standing import read_standing

# Each count is answered from a partial index alone, so that a long backlog takes no longer than its index.
_BACKLOGS = """
SELECT organization, sandbox,
  (SELECT count(*) FROM delivery d WHERE d.state = 0 AND d.webhook = w.n),
  (SELECT count(*) FROM delivery d WHERE d.state = 2 AND d.webhook = w.n)
FROM webhook w
"""


class SpoolLookup:
    """A spool that may not be there yet: then nothing is known."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Raises SpoolUnusable when there is a spool that cannot be read."""
        if not self._exists():
            return []
        with self._opened() as connection:
            return read_positions(connection)

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        """The webhooks that have something in the spool. None when there is no spool."""
        if not self._exists():
            return None
        with self._opened() as connection:
            return {
                Address(organization, sandbox): Backlog(pending, dead)
                for organization, sandbox, pending, dead in connection.execute(_BACKLOGS)
            }

    def standing(self) -> Mapping[Address, Standing]:
        """How each webhook stands that the spool has heard of. Raises like `positions`."""
        if not self._exists():
            return {}
        with self._opened() as connection:
            return read_standing(connection)

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        """Those of the ids that are pending, dead, or were delivered after that Unix time."""
        if not ids or not self._exists():
            return set()
        with self._opened() as connection:
            return {
                identity
                for identity in ids
                if connection.execute(
                    "SELECT 1 FROM delivery WHERE id = ? AND (state IN (0, 2) OR settled > ?)",
                    (identity, delivered_after),
                ).fetchone()
            }

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(open_existing(self._directory, mode="ro")) as connection, damage_named(self._directory / FILE):
            yield connection

    def _exists(self) -> bool:
        return (self._directory / FILE).exists()
