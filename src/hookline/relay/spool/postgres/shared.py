"""The shared store: a spool in PostgreSQL, for several processes on several machines."""

from __future__ import annotations

import time
from contextlib import suppress

from hookline.errors import SpoolUnusable
from hookline.relay.spool.postgres.operator_ports.shared_dead_letters import SharedDeadLetters
from hookline.relay.spool.postgres.operator_ports.shared_import import SharedDeadLetterImport
from hookline.relay.spool.postgres.operator_ports.shared_processes import SharedStatusPublisher
from hookline.relay.spool.postgres.operator_ports.shared_removal import SharedRemoval
from hookline.relay.spool.postgres.operator_ports.shared_statistics import SharedStatistics
from hookline.relay.spool.postgres.operator_ports.shared_trace import SharedTraceSearch
from hookline.relay.spool.postgres.operator_ports.shared_webhook_control import SharedWebhookControl
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, schema_of
from hookline.relay.spool.postgres.spool_migrations import migrate_shared_spool
from hookline.relay.spool.postgres.spool_tables import DEFAULT_LEASE_SECONDS, DEFAULT_SLOTS, create_statements
from hookline.relay.spool.postgres.transfer.postgres_move_source import PostgresMoveSource
from hookline.relay.spool.postgres.transfer.postgres_move_target import PostgresMoveTarget
from hookline.relay.spool.spool import StatusPublisher
from hookline.state.postgres_address import parse_postgres

_EXISTS = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s"


class SharedStore:
    """Implements factory.SpoolStore."""

    shared = True

    def __init__(self, location: str) -> None:
        """Create it. Raises WrongUse if the address is ambiguous."""
        self._address = parse_postgres(location, "spool")
        self.name = str(self._address)
        self._leases: SlotLeases | None = None

    def connection(self, *, read_only: bool = False) -> SpoolConnection:
        return SpoolConnection(self._address, read_only=read_only)

    # -- for a relay

    def open(self, *, since: str) -> PostgresSpool:
        """Create the spool if it is missing, join, and own the slots that are free."""
        self.create_if_missing(since=since)
        spool = self.join(kind="relay", name="")
        spool.leases.rebalance()
        return spool

    def join(self, *, kind: str, name: str) -> PostgresSpool:
        """Join an existing spool, without slots. Raises SpoolStalled and SpoolUnusable."""
        leases, connection = self.leases(kind=kind, name=name), self.connection()
        try:
            leases.join()
            return PostgresSpool(connection, leases)
        except BaseException:
            with suppress(SpoolUnusable):
                leases.leave()
            leases.close()
            connection.close()
            raise

    def status_publisher(self) -> StatusPublisher:
        """For the process that has opened or joined the spool last by this object."""
        leases = self._leases
        return SharedStatusPublisher(self.connection(), lambda: None if leases is None else leases.token)

    # -- for operators

    def exists(self) -> bool:
        connection = self.connection()
        try:
            return connection.is_created()
        finally:
            connection.close()

    def create_if_missing(self, *, since: str) -> None:  # noqa: ARG002 - for stores with one owner
        if not self.exists():
            self.create()

    def create(
        self,
        *,
        since: str = "",  # noqa: ARG002 - for stores with one owner
        slots: int | None = None,
        lease_seconds: float | None = None,
    ) -> None:
        """Create the spool, in one transaction. Raises SpoolUnusable if its schema exists."""
        connection = self.connection()
        try:
            with connection.mapped_errors():
                opened = connection.connect_unchecked()
                if opened.execute(_EXISTS, (schema_of(self._address),)).fetchone():
                    raise SpoolUnusable(f"the spool {self.name} already exists")
                with opened.transaction():
                    shares = (slots or DEFAULT_SLOTS, lease_seconds or DEFAULT_LEASE_SECONDS)
                    for statement in create_statements(*shares):
                        opened.execute(
                            connection.sql(statement.replace("SCHEMA spool", f"SCHEMA {connection.schema}"))
                        )
        finally:
            connection.close()

    def migrate(self, *, since: str) -> tuple[int, int]:  # noqa: ARG002 - for stores with one owner
        connection = SpoolConnection(self._address, oldest_format=1)
        try:
            return migrate_shared_spool(connection)
        finally:
            connection.close()

    def move_source(self, *, since: str) -> PostgresMoveSource:  # noqa: ARG002 - for stores with one owner
        return PostgresMoveSource(self.connection(), now=time.time())

    def move_target(self, *, since: str) -> PostgresMoveTarget:  # noqa: ARG002 - for stores with one owner
        return PostgresMoveTarget(self.connection())

    def leases(self, *, kind: str = "relay", name: str = "") -> SlotLeases:
        """Leases on a connection of their own. The latest are those of this process."""
        self._leases = SlotLeases(self.connection(), kind=kind, name=name, now=time.time())
        return self._leases

    def dead_letters(self) -> SharedDeadLetters:
        return SharedDeadLetters(self.connection())

    def dead_letter_queries(self) -> SharedDeadLetters:
        return SharedDeadLetters(self.connection(read_only=True))

    def dead_letter_import(self) -> SharedDeadLetterImport:
        return SharedDeadLetterImport(self.connection())

    def webhook_control(self) -> SharedWebhookControl:
        return SharedWebhookControl(self.connection())

    def recipient_removal(self) -> SharedRemoval:
        return SharedRemoval(self.connection())

    def trace_search(self) -> SharedTraceSearch:
        return SharedTraceSearch(self.connection(read_only=True))

    def statistics(self) -> SharedStatistics:
        return SharedStatistics(self.connection(read_only=True))

    def dry_run(self) -> SharedStatistics:
        return self.statistics()
