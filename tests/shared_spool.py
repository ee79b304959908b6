"""Shared spools in a real PostgreSQL server, and rows that tests put into them."""

from __future__ import annotations

import re
from typing import Any, Final

from hookline.relay.spool.postgres.shared import SharedStore
from postgres_server import Server, shared_server

SCHEMA: Final = "hookline_spool"
_DEAD: Final = f"""
INSERT INTO {SCHEMA}.delivery (seq, id, slot, webhook, state, since, settled, attempts, request_id, channel, status,
  source, line, reason, http, body)
SELECT nextval('{SCHEMA}.delivery_seq'), decode('%s', 'hex'), w.slot, w.n, 2, %s, %s, 1, 'request', 'email', 'sent',
  'events', 1, 'http 422', 422, '{{}}'
FROM {SCHEMA}.webhook w WHERE w.organization = '%s'
"""


class SharedSpoolDatabase:
    """A database with a spool. `execute` runs SQL in it, with the schema of the spool as `spool.`."""

    def __init__(
        self, server: Server | None = None, *, slots: int = 64, lease_seconds: float = 10.0, created: bool = True
    ) -> None:
        self.server = server or shared_server()
        self.name = self.server.new_database()
        self.store = self.store_of("postgres")
        if created:
            self.store.create(slots=slots, lease_seconds=lease_seconds)

    def url(self, user: str = "postgres") -> str:
        return self.server.url(self.name, user)

    def store_of(self, user: str) -> SharedStore:
        return SharedStore(self.url(user))

    def execute(self, *statements: str, user: str = "postgres") -> list[tuple[Any, ...]]:
        return self.server.execute(
            self.name, *(re.sub(r"\bspool\.", f"{SCHEMA}.", one) for one in statements), user=user
        )

    def put_dead(self, *ids: bytes, organization: str = "acme", at: float = 10.0) -> None:
        """Dead letters of a webhook that the spool knows."""
        self.server.execute(self.name, *(_DEAD % (one.hex(), at, at, organization) for one in ids))

    def states(self) -> list[tuple[bytes, int]]:
        """The id and the state of each delivery and record."""
        return self.execute(
            "SELECT id, state FROM spool.delivery UNION ALL SELECT id, state FROM spool.record ORDER BY id"
        )
