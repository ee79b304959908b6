"""The state of webhooks in the spool: disabled, paused, gone, asked to wait.

The functions work on a connection and name a webhook by its number. Those that write are called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from hookline.model import Address
from hookline.relay.spool.spool_values import EndpointState
from hookline.relay.spool.sqlite.database import OpenSpool, named_rows, transaction
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess

RETRIES_PER_CHUNK = 5000


def number_of(connection: sqlite3.Connection, address: Address) -> int:
    """The webhook's number. A new webhook receives one."""
    key = (address.organization, address.sandbox)
    connection.execute("INSERT OR IGNORE INTO webhook (organization, sandbox) VALUES (?, ?)", key)
    found = connection.execute("SELECT n FROM webhook WHERE organization = ? AND sandbox = ?", key).fetchone()
    return int(found[0])


def read_addresses(connection: sqlite3.Connection) -> dict[int, Address]:
    rows = connection.execute("SELECT n, organization, sandbox FROM webhook")
    return {n: Address(organization, sandbox) for n, organization, sandbox in rows}


def read_states(connection: sqlite3.Connection) -> dict[Address, EndpointState]:
    rows = connection.execute(
        "SELECT organization, sandbox, disabled, paused, gone_reason, gone_configuration, not_before, retry_now_at, "
        "forgotten_at FROM webhook"
    )
    return {
        Address(row.pop("organization"), row.pop("sandbox")): EndpointState(disabled=bool(row.pop("disabled")), **row)
        for row in named_rows(rows)
    }


class WebhookClock(NamedTuple):
    """A webhook's own clock, which stops while the webhook is held (disabled or paused): for `held_seconds` until
    now, and since `held_since`."""

    held_seconds: float = 0.0
    held_since: float | None = None

    def at(self, now: float) -> float:
        """Its time at the Unix time `now`."""
        return (now if self.held_since is None else min(now, self.held_since)) - self.held_seconds


def read_clocks(connection: sqlite3.Connection) -> dict[int, WebhookClock]:
    rows = connection.execute("SELECT n, held_seconds, held_since FROM webhook")
    return {n: WebhookClock(seconds, since) for n, seconds, since in rows}


def save_disabled(connection: sqlite3.Connection, webhook: int, disabled: bool, now: float) -> None:
    connection.execute("UPDATE webhook SET disabled = ? WHERE n = ?", (int(disabled), webhook))
    stop_or_start_clock(connection, webhook, now)


def stop_or_start_clock(connection: sqlite3.Connection, webhook: int, now: float) -> None:
    """Deliveries do not age from the first reason to hold a webhook until the last one ends."""
    connection.execute(
        "UPDATE webhook SET held_since = ? WHERE n = ? AND held_since IS NULL AND (disabled OR paused IS NOT NULL)",
        (now, webhook),
    )
    connection.execute(
        "UPDATE webhook SET held_seconds = held_seconds + max(0.0, ? - held_since), held_since = NULL "
        "WHERE n = ? AND held_since IS NOT NULL AND NOT disabled AND paused IS NULL",
        (now, webhook),
    )


def make_due(connection: sqlite3.Connection, webhook: int, now: float, limit: int, after: float | None = None) -> int:
    """As SettleSpool.make_due."""
    # The age of a replayed delivery starts when it is due, and that of a retry started earlier. Rounding is far below
    # a millisecond.
    started = "AND due > since + 0.001 + (SELECT held_seconds FROM webhook WHERE n = d.webhook)"
    waiting = f"state = 0 AND webhook = ? AND due > ? {'' if after is None else started}"
    return connection.execute(
        f"UPDATE delivery SET due = ? WHERE seq IN (SELECT seq FROM delivery d WHERE {waiting} ORDER BY due LIMIT ?)",
        (now, webhook, now if after is None else after, limit),
    ).rowcount


class SqliteWebhookControl(OpenSpool):
    """Implements admin.WebhookControl. `chunk`: how many retries one transaction of `retry_now` makes due."""

    def __init__(
        self, directory: Path, access: StorageAccess = REAL_ACCESS, *, chunk: int = RETRIES_PER_CHUNK
    ) -> None:
        super().__init__(directory, access)
        self._chunk = chunk

    def pause(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, True, now)

    def resume(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, False, now)

    def _set_paused(self, address: Address, paused: bool, now: float) -> bool:
        with transaction(self._connection):
            webhook = number_of(self._connection, address)
            changed = self._connection.execute(
                "UPDATE webhook SET paused = CASE WHEN :paused THEN :now END "
                "WHERE n = :n AND (paused IS NULL) = :paused",
                {"paused": int(paused), "now": now, "n": webhook},
            ).rowcount
            stop_or_start_clock(self._connection, webhook, now)
        return bool(changed)

    def retry_now(self, address: Address, *, now: float) -> int:
        with transaction(self._connection):
            webhook = number_of(self._connection, address)
        total = 0
        while made := self._make_due(webhook, now):
            total += made
        with transaction(self._connection):
            self._connection.execute(
                "UPDATE webhook SET retry_now_at = ?, gone_reason = NULL, gone_configuration = NULL, "
                "not_before = NULL WHERE n = ?",
                (now, webhook),
            )
        return total

    def _make_due(self, webhook: int, now: float) -> int:
        with transaction(self._connection):
            return make_due(self._connection, webhook, now, self._chunk)
