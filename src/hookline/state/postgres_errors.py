"""The errors of the store in PostgreSQL. Maps codes and texts, without the library.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hookline.errors import HooklineError, StateUnusable
from hookline.state.postgres_address import PostgresAddress, connection_failure, in_one_line, is_connection_lost
from hookline.state.store import HistoryRecord
from hookline.state.store_errors import damaged_state_error

_ROLES = "docs/how-to/state-on-postgresql.md has the GRANT statements for the roles that plan and that apply"
_TIMEOUTS = "the role's or the server's statement_timeout or transaction_timeout"
_RAISE_TIMEOUT = "raise it, for example with ALTER ROLE … SET statement_timeout = '60s'"
# The SQLSTATEs that end a wait for a lock: lock_timeout, statement_timeout, and transaction_timeout.
LOCK_TIMEOUT = "55P03"
WAIT_ENDED = (LOCK_TIMEOUT, "57014", "25P04")


class LockHolder(NamedTuple):
    """A session that holds the state, from pg_stat_activity. `since` is UTC, ISO 8601."""

    pid: int
    user: str | None
    application: str | None
    since: str | None

    def __str__(self) -> str:
        parts = zip((" of ", " ", ", since "), self[1:], strict=True)
        return f"session {self.pid}" + "".join(f"{before}{text}" for before, text in parts if text)


def postgres_connection_error(where: PostgresAddress, text: str) -> StateUnusable:
    """Return the error for a connection that failed; `text` is the library's message."""
    finding, hint = connection_failure(text, "--state")
    return StateUnusable(f"the state {where} cannot be opened: {finding}", hint=hint)


def postgres_state_error(where: PostgresAddress, code: str | None, text: str) -> HooklineError:
    """Map an error; the server has rolled back. `code` is the SQLSTATE, None if the connection broke."""
    detail = in_one_line(text)
    if is_connection_lost(code):
        hint = "the server has rolled back the transaction, so the state is unchanged; try again"
        return HooklineError(f"the connection to {where} was lost ({detail}); nothing was applied", hint=hint)
    match code:
        case "57014" | "25P04":
            hint = f"{_TIMEOUTS} is too short: {_RAISE_TIMEOUT}; nothing was changed"
            return StateUnusable(f"the server ended a statement on the state {where}: {detail}", hint=hint)
        case "42501":
            return StateUnusable(f"this role may not use the state {where}: {detail}", hint=_ROLES)
        case "25006":
            return StateUnusable(
                f"the state {where} is read-only: {detail}",
                hint="the server is a standby, or the role is set to read only; name the primary, or several hosts "
                "with ?target_session_attrs=read-write",
            )
        case "22P05" | "22021":
            hint = "keep the state in a database with ENCODING 'UTF8'; nothing was changed"
            return StateUnusable(f"the database of {where} cannot store every character: {detail}", hint=hint)
        # Writes of hookline satisfy the constraints: another program has written rows.
        case "23502" | "23503" | "23505" | "23514" | "42P01" | "42703" | "42804" | "42883" | "XX001" | "XX002":
            return postgres_damaged_error(where, detail)
    hint = "nothing was changed; the server's log has details"
    return HooklineError(f"the state {where}: {detail} (SQLSTATE {code})", hint=hint)


def policy_denied_error(where: PostgresAddress) -> StateUnusable:
    """Return the error for a role that may apply, but not set the policy."""
    return StateUnusable(
        f"this role may not set or clear the policy of the state {where}; nothing was changed",
        hint="do it with a role that may write hookline.policies; docs/how-to/state-on-postgresql.md has its GRANT "
        "statements",
    )


def postgres_damaged_error(where: PostgresAddress, detail: str) -> StateUnusable:
    return damaged_state_error(
        where, detail, hint="restore the schema hookline from a backup; hookline never rebuilds a state by itself"
    )


def postgres_locked_error(where: PostgresAddress, holders: Iterable[LockHolder], code: str) -> StateUnusable:
    """Return the error for a wait for the lock that ended with SQLSTATE `code`."""
    held = "; ".join(str(holder) for holder in holders)
    by = f"it is held by {held}" if held else "its holder has just released it"
    hint = "another apply is running: wait for it, or use --lock-timeout 30s; nothing was changed"
    if code != LOCK_TIMEOUT:
        hint = f"another apply is running: wait for it; {_TIMEOUTS} ended the wait before --lock-timeout did: "
        hint += f"{_RAISE_TIMEOUT}; nothing was changed"
    return StateUnusable(f"the state {where} is locked: {by}", hint=hint)


def commit_not_applied_error(where: PostgresAddress, record: HistoryRecord) -> HooklineError:
    return HooklineError(
        f"the connection to {where} was lost while serial {record.serial} was being committed; a check after "
        "reconnecting showed that nothing was applied",
        hint="the state is unchanged; plan again, and apply the new plan",
    )


def commit_unknown_error(where: PostgresAddress, record: HistoryRecord, reason: str) -> HooklineError:
    return HooklineError(
        f"the connection to {where} was lost while serial {record.serial} was being committed; whether it was "
        f"applied is unknown ({in_one_line(reason)})",
        hint="either all of it was applied or nothing; when the server answers again, run `hookline history`: it was "
        f"applied if the history shows serial {record.serial} with plan {record.entry.fingerprint}",
    )
