"""The address of a state in PostgreSQL, and the errors of that store. Maps codes and texts, without the library.

libpq's own parser quotes an address that it cannot read, and a password with an unescaped ``@`` or ``/`` would show
up as a host or a database. `parse_postgres` therefore refuses an ambiguous address and quotes no part of it.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from hookline.errors import HooklineError, StateUnusable, WrongUse
from hookline.state.store import HistoryRecord
from hookline.state.store_errors import damaged_state_error

POSTGRES_SCHEMES = ("postgresql", "postgres")
DEFAULT_STATE_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")
_EXAMPLE = "postgresql://user@host:5432/database?state=NAME"
_ROLES = "docs/how-to/state-on-postgresql.md has the GRANT statements for the roles that plan and that apply"
_TIMEOUTS = "the role's or the server's statement_timeout or transaction_timeout"
_RAISE_TIMEOUT = "raise it, for example with ALTER ROLE … SET statement_timeout = '60s'"
# The SQLSTATEs that end a wait for a lock: lock_timeout, statement_timeout, and transaction_timeout.
LOCK_TIMEOUT = "55P03"
WAIT_ENDED = (LOCK_TIMEOUT, "57014", "25P04")
_CONNECTION_LOST_CLASSES = ("08", "57P")


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """`conninfo` is for libpq only: it may contain a password. `name` selects a state. Messages print `shown`."""

    conninfo: str = field(repr=False)
    name: str
    shown: str

    def __str__(self) -> str:
        return self.shown


def parse_postgres(target: str) -> PostgresAddress:
    """Read ``postgresql://…?state=NAME`` (https://www.postgresql.org/docs/current/libpq-connect.html, 34.1.1.2).

    Raises WrongUse for an ambiguous address. The message does not quote the address.
    """
    base, _, query = target.partition("?")
    scheme, _, rest = base.partition("://")
    authority, slash, database = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    ambiguous = target.count("@") > 1 or ("@" in target and not at) or "/" in database
    # An address without a host is refused, because its ``user:password`` would be read as host and port.
    if ambiguous or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise WrongUse(
            "--state: the postgresql:// address is ambiguous (not shown here because it may contain a password)",
            hint=f"write it like {_EXAMPLE}; in a user, password or database name write @ as %40, / as %2F, "
            "? as %3F, # as %23; better, put the password into PGPASSWORD or ~/.pgpass",
        )
    parameters = [one for one in query.split("&") if one]
    name = _state_name([one for one in parameters if _key(one) == "state"])
    kept = "&".join(one for one in parameters if _key(one) != "state")
    shown = f"{scheme}://{credentials.partition(':')[0]}{at}{hosts}{slash}{database}"
    return PostgresAddress(
        conninfo=f"{base}?{kept}" if kept else base,
        name=name,
        shown=shown if name == DEFAULT_STATE_NAME else f"{shown}?state={name}",
    )


def _key(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _state_name(given: list[str]) -> str:
    if not given:
        return DEFAULT_STATE_NAME
    if len(given) > 1:
        raise WrongUse("--state: the address names more than one state", hint=f"give state= once: {_EXAMPLE}")
    name = unquote(given[0].partition("=")[2])
    if _NAME.fullmatch(name) is None:
        hint = "use at most 63 letters, digits, '.', '_' and '-', the first of them a letter or digit"
        raise WrongUse(f"--state: {name!r} is not a valid name of a state", hint=hint)
    return name


class LockHolder(NamedTuple):
    """A session that holds the state, from pg_stat_activity. `since` is UTC, ISO 8601."""

    pid: int
    user: str | None
    application: str | None
    since: str | None

    def __str__(self) -> str:
        parts = zip((" of ", " ", ", since "), self[1:], strict=True)
        return f"session {self.pid}" + "".join(f"{before}{text}" for before, text in parts if text)


# The texts of libpq or the server when a connection fails. Such an error has no code, so its text is matched.
# Each row: parts of the text; the finding; the hint.
_CONNECTION_FAILURES = (
    (("timeout expired", "timed out", "Connection timed out"),
     "the server does not answer",
     "check host and port, and the firewalls between; ?connect_timeout=30 waits longer"),
    (("could not translate host name", "failed to resolve host", "Name or service not known"),
     "the server's host name does not resolve", "check the host name in --state"),
    (("Connection refused", "No such file or directory", "No route to host", "Network is unreachable"),
     "the server cannot be reached", "check that the server runs, and host and port in --state"),
    (("no password supplied", "password authentication failed", "SCRAM", "authentication failed"),
     "the server refuses the login", "check the user in --state, and the password in PGPASSWORD or ~/.pgpass"),
    (("no pg_hba.conf entry",),
     "the server does not admit this user from this host",
     "have it allowed in the server's pg_hba.conf; if the server requires TLS, add ?sslmode=verify-full"),
    (("database \"",), "the database does not exist", "create it with createdb, or name another one in --state"),
    (("role \"",), "the user does not exist", "create it with CREATE ROLE … LOGIN, or name another one in --state"),
    (("too many clients", "remaining connection slots", "too many connections"),
     "the server has no free connection", "try again, or raise the server's max_connections"),
    (("SSL", "certificate"), "the TLS handshake with the server failed",
     "check sslmode and sslrootcert in --state against the server's TLS settings; for sslrootcert=system, name the "
     "file of the system's authorities in SSL_CERT_FILE"),
    (("server closed the connection", "invalid response"),
     "the server closed the connection, or it is not PostgreSQL",
     "check host and port in --state, and the server's log"),
    (("starting up", "shutting down", "recovery mode"), "the server is not ready yet", "try again in a moment"),
)  # fmt: skip


def postgres_connection_error(where: PostgresAddress, text: str) -> StateUnusable:
    """Return the error for a connection that failed; `text` is the library's message."""
    detail = _one_line(text)
    for parts, finding, hint in _CONNECTION_FAILURES:
        if any(part in detail for part in parts):
            return StateUnusable(f"the state {where} cannot be opened: {finding} ({detail})", hint=hint)
    return StateUnusable(f"the state {where} cannot be opened: {detail}", hint="check --state, and the server's log")


def is_connection_lost(code: str | None) -> bool:
    """Whether an SQLSTATE reports a failure of the connection, not of the statement. None is a lost connection."""
    return code is None or code.startswith(_CONNECTION_LOST_CLASSES)


def postgres_state_error(where: PostgresAddress, code: str | None, text: str) -> HooklineError:
    """Map an error; the server has rolled back. `code` is the SQLSTATE, None if the connection broke."""
    detail = _one_line(text)
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
        f"applied is unknown ({_one_line(reason)})",
        hint="either all of it was applied or nothing; when the server answers again, run `hookline history`: it was "
        f"applied if the history shows serial {record.serial} with plan {record.entry.fingerprint}",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
