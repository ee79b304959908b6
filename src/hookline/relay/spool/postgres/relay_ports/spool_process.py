"""The parts of a shared spool that the ports of one process have in common: its connection, its leases, the webhooks
that it knows, and the identity of a call whose result is unknown."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hookline.model import Address
from hookline.relay.spool.postgres.relay_ports.known_webhooks import KnownWebhook, KnownWebhooks
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, SpoolRow, Step
from hookline.relay.spool.postgres.tally_balance import READ_TALLY, pending_of
from hookline.relay.spool.postgres.transaction_settings import settings_step
from hookline.relay.spool.spool_values import QueuedDelivery


class CallIdentity:
    """Identifies a transaction, also when its call is repeated because the answer to COMMIT was lost."""

    def __init__(self) -> None:
        self._call: object = None
        self._identity = b""

    def of(self, call: object) -> bytes:
        """The identity of a call with this argument, until `end`."""
        if self._call is not call:
            self._call, self._identity = call, os.urandom(16)
        return self._identity

    def end(self) -> None:
        """The result is known."""
        self._call = None


class SpoolProcess:
    """One process at a shared spool. `leases` may be used by another thread, which replaces `owned` as a whole."""

    def __init__(self, connection: SpoolConnection, leases: SlotLeases) -> None:
        """Create it for leases that have joined. Raises SpoolStalled and SpoolUnusable."""
        self.leases = leases
        self._connection = connection
        self._webhooks = KnownWebhooks(connection)
        self._pending: int | None = None  # all that this process knows of; None: not known
        # By owned slot: its epoch, and the place in its order up to which all webhooks were named as arrivals, or are
        # known from storing them.
        self._arrived: dict[int, tuple[int, int]] = {}
        self._latest_move = 0  # the number of the latest followed move that this process knows
        self._opened = 0
        self._look_again()

    def _look_again(self) -> None:
        """Forget the remembered values if the connection is another one: the server may be a standby that never
        received the latest transactions, and gives their numbers to other rows. Each call begins with it."""
        self._connection.connect()
        if self._opened != self._connection.opened:
            self._webhooks.read()
            self._pending = None
            self._arrived = {}
            self._forget_streams()
            self._opened = self._connection.opened

    def _forget_streams(self) -> None:
        """Forget the remembered streams."""

    def _settings(self, *, synced: bool = True) -> Step:
        return settings_step(self._connection, synced=synced)

    def _known(self, address: Address) -> KnownWebhook | None:
        return self._webhooks.by_address.get(address)

    def _owner(self, slot: int) -> dict[str, object]:
        """The parameters of a statement about one slot. Nobody owns a slot in epoch -1."""
        return {"slot": slot, "epoch": self.leases.owned.get(slot, -1), "token": self.leases.token}

    def _count_ended(self, ended: int) -> None:
        if self._pending is not None:
            self._pending -= ended

    def tally(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self._connection.query(READ_TALLY))
        self._pending = pending_of(counts)
        return {**counts, "pending": self._pending}

    def _queued(self, rows: Sequence[SpoolRow]) -> list[QueuedDelivery]:
        """The deliveries in rows of pending_queries.QUEUED_COLUMNS."""
        found = []
        for (seq, identity, n, due, order_key, attempts, tries, refusals, since, event_time, history, body,
             request_id) in rows:  # fmt: skip
            webhook = self._webhooks.numbered(n)
            found.append(
                QueuedDelivery(
                    seq, identity, webhook.address, due, order_key, attempts, tries, refusals,
                    since + webhook.held_seconds, event_time, history, body, request_id,
                )
            )  # fmt: skip
        return found
