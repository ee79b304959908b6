"""How webhooks stand in the spool: disabled, paused, stopped, asked to wait. Used by the relay and, beside it, by
`pause`, `resume` and `retry-now`. Functions on a connection; those that write are called inside of a transaction."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from hookline.model import Address
from hookline.relay.spool.spool import EndpointState

_STANDING: Final = """
SELECT organization, sandbox, disabled, paused, stopped, stopped_as, not_before, hurried FROM webhook
"""


def number_of(connection: sqlite3.Connection, address: Address) -> int:
    """The webhook's number, given to it when it is new."""
    connection.execute(
        "INSERT OR IGNORE INTO webhook (organization, sandbox) VALUES (?, ?)", (address.organization, address.sandbox)
    )
    found = connection.execute(
        "SELECT n FROM webhook WHERE organization = ? AND sandbox = ?", (address.organization, address.sandbox)
    ).fetchone()
    return int(found[0])


def read_addresses(connection: sqlite3.Connection) -> dict[int, Address]:
    """By a webhook's number."""
    return {
        n: Address(organization, sandbox)
        for n, organization, sandbox in connection.execute("SELECT n, organization, sandbox FROM webhook")
    }


def read_states(connection: sqlite3.Connection) -> dict[Address, EndpointState]:
    return {
        Address(organization, sandbox): EndpointState(
            disabled=bool(disabled),
            paused=paused,
            stopped=stopped,
            stopped_as=stopped_as,
            not_before=not_before,
            hurried=hurried,
        )
        for organization, sandbox, disabled, paused, stopped, stopped_as, not_before, hurried in connection.execute(
            _STANDING
        )
    }


class WebhookClock(NamedTuple):
    """A webhook's own clock. It stands still while the webhook is held: `idle` seconds so far, and since `held`."""

    idle: float = 0.0
    held: float | None = None

    def at(self, now: float) -> float:
        """What it shows at a moment of Unix time."""
        return (now if self.held is None else min(now, self.held)) - self.idle


def read_clocks(connection: sqlite3.Connection) -> dict[int, WebhookClock]:
    """By a webhook's number."""
    return {n: WebhookClock(idle, held) for n, idle, held in connection.execute("SELECT n, idle, held FROM webhook")}


def set_disabled(connection: sqlite3.Connection, webhook: int, disabled: bool, now: float) -> None:
    connection.execute("UPDATE webhook SET disabled = ? WHERE n = ?", (int(disabled), webhook))
    _stop_or_start_clock(connection, webhook, now)


def set_paused(connection: sqlite3.Connection, webhook: int, paused: bool, now: float) -> bool:
    """Whether that changes anything."""
    changed = connection.execute(
        "UPDATE webhook SET paused = CASE WHEN :paused THEN :now END WHERE n = :n AND (paused IS NULL) = :paused",
        {"paused": int(paused), "now": now, "n": webhook},
    ).rowcount
    _stop_or_start_clock(connection, webhook, now)
    return bool(changed)


def _stop_or_start_clock(connection: sqlite3.Connection, webhook: int, now: float) -> None:
    """Age stands still from the first reason to hold a webhook to the end of the last one."""
    connection.execute(
        "UPDATE webhook SET held = ? WHERE n = ? AND held IS NULL AND (disabled OR paused IS NOT NULL)",
        (now, webhook),
    )
    connection.execute(
        "UPDATE webhook SET idle = idle + max(0.0, ? - held), held = NULL "
        "WHERE n = ? AND held IS NOT NULL AND NOT disabled AND paused IS NULL",
        (now, webhook),
    )


def save_state(
    connection: sqlite3.Connection,
    webhook: int,
    stopped: str | None,
    stopped_as: str | None,
    not_before: float | None,
) -> None:
    connection.execute(
        "UPDATE webhook SET stopped = ?, stopped_as = ?, not_before = ? WHERE n = ?",
        (stopped, stopped_as, not_before, webhook),
    )


def note_retry_now(connection: sqlite3.Connection, webhook: int, now: float) -> None:
    """What `retry-now` says: whatever the endpoint was found to be is forgotten."""
    connection.execute(
        "UPDATE webhook SET hurried = ?, stopped = NULL, stopped_as = NULL, not_before = NULL WHERE n = ?",
        (now, webhook),
    )


def make_due(connection: sqlite3.Connection, webhook: int, now: float, limit: int) -> int:
    """Up to `limit` of the webhook's waiting retries are due now. Returns how many."""
    return connection.execute(
        "UPDATE delivery SET due = ? WHERE seq IN "
        "(SELECT seq FROM delivery WHERE state = 0 AND webhook = ? AND due > ? ORDER BY due LIMIT ?)",
        (now, webhook, now, limit),
    ).rowcount
