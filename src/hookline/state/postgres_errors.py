"""Why a state in PostgreSQL is not read or written, in our words. Knows codes and texts, not the library.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from hookline.errors import HooklineError, Stale, StateUnusable, WrongUse
from hookline.state.store import Entry, Record, Snapshot
from hookline.state.store_errors import changed_meanwhile

# Where a state in PostgreSQL lies: the address as it is given, what libpq gets of it, and what may be shown of it.
#
# libpq's own parser quotes what it cannot read, and a password with an unescaped ``@`` or ``/`` would come out as a
# host or a database. So an address that could be read in two ways is refused here, without a word of it.
SCHEMES = ("postgresql", "postgres")
DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")
_EXAMPLE = "postgresql://user@host:5432/database?state=NAME"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """`conninfo` is for libpq alone: it may hold a password. `name` is the state's, one of several in a database.

    `shown` is the address as messages print it: user, host, port, database and state, and nothing else.
    """

    conninfo: str = field(repr=False)
    name: str
    shown: str

    def __str__(self) -> str:
        return self.shown


def parse_postgres(target: str) -> PostgresAddress:
    """Read ``postgresql://…?state=NAME`` (https://www.postgresql.org/docs/current/libpq-connect.html, 34.1.1.2).

    Raises WrongUse, without quoting the address, for one that is not clear.
    """
    base, _, query = target.partition("?")
    scheme, _, rest = base.partition("://")
    authority, slash, database = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    several_ways = target.count("@") > 1 or ("@" in target and not at) or "/" in database
    # Without its host, ``user:password`` would be taken for a host and a port.
    if several_ways or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise WrongUse(
            "--state: the postgresql:// address is not clear (it is not shown here: it may hold a password)",
            hint=f"write it like {_EXAMPLE}; in a user, password or database name write @ as %40, / as %2F, "
            "? as %3F, # as %23; better, leave the password to PGPASSWORD or ~/.pgpass",
        )
    parameters = [one for one in query.split("&") if one]
    name = _state_name([one for one in parameters if _key(one) == "state"])
    kept = "&".join(one for one in parameters if _key(one) != "state")
    shown = f"{scheme}://{credentials.partition(':')[0]}{at}{hosts}{slash}{database}"
    return PostgresAddress(
        conninfo=f"{base}?{kept}" if kept else base,
        name=name,
        shown=shown if name == DEFAULT_NAME else f"{shown}?state={name}",
    )


def _key(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _state_name(given: list[str]) -> str:
    if not given:
        return DEFAULT_NAME
    if len(given) > 1:
        raise WrongUse("--state: the address names more than one state", hint=f"give state= once: {_EXAMPLE}")
    name = unquote(given[0].partition("=")[2])
    if _NAME.fullmatch(name) is None:
        raise WrongUse(
            f"--state: {name!r} cannot be the name of a state",
            hint="use at most 63 letters, digits, '.', '_' and '-', the first of them a letter or digit",
        )
    return name


_ROLES = "docs/how-to/state-on-postgresql.md has the GRANT statements for the roles that plan and that apply"
_LOST_CLASSES = ("08", "57P")


class Holder(NamedTuple):
    """A session that holds the state, as far as pg_stat_activity tells us. `since` is UTC, ISO 8601."""

    pid: int
    user: str | None
    application: str | None
    since: str | None

    def __str__(self) -> str:
        application = f" {self.application}" if self.application else ""
        user = f" of {self.user}" if self.user else ""
        since = f", since {self.since}" if self.since else ""
        return f"session {self.pid}{user}{application}{since}"


# What libpq or the server says when no session comes about. It carries no code, so the words have to do.
_CONNECTING = (
    (("timeout expired", "timed out", "Connection timed out"),
     "does not answer", "check host and port, and the firewalls between; ?connect_timeout=30 waits longer"),
    (("could not translate host name", "failed to resolve host", "Name or service not known"),
     "cannot be found: its host name does not resolve", "check the host's name in --state"),
    (("Connection refused", "No such file or directory", "No route to host", "Network is unreachable"),
     "cannot be reached", "check that the server runs, and host and port in --state"),
    (("no password supplied", "password authentication failed", "SCRAM", "authentication failed"),
     "does not accept who is asking", "check the user in --state, and the password in PGPASSWORD or ~/.pgpass"),
    (("no pg_hba.conf entry",),
     "does not let this user in from here",
     "have it allowed in the server's pg_hba.conf; where TLS is asked for, add ?sslmode=verify-full"),
    (("database \"",), "has no such database", "make it with createdb, or name another one in --state"),
    (("role \"",), "does not know the user", "make it with CREATE ROLE … LOGIN, or name another one in --state"),
    (("too many clients", "remaining connection slots", "too many connections"),
     "has no connection left", "try again, or raise the server's max_connections"),
    (("SSL", "certificate"), "cannot be spoken to over TLS",
     "check sslmode and sslrootcert in --state against what the server offers"),
    (("server closed the connection", "invalid response"),
     "hung up, or is no PostgreSQL", "check host and port in --state, and the server's log"),
    (("starting up", "shutting down", "recovery mode"), "is not ready yet", "try again in a moment"),
)  # fmt: skip


def not_connected(where: PostgresAddress, text: str) -> StateUnusable:
    """No session came about, for the reason that `text` gives."""
    said = _one_line(text)
    for words, what, hint in _CONNECTING:
        if any(word in said for word in words):
            return StateUnusable(f"the state {where} cannot be opened: the server {what} ({said})", hint=hint)
    return StateUnusable(f"the state {where} cannot be opened: {said}", hint="check --state, and the server's log")


def is_lost(code: str | None) -> bool:
    """Whether a failure is of the connection, not of what was asked over it."""
    return code is None or code.startswith(_LOST_CLASSES)


def from_postgres(where: PostgresAddress, code: str | None, text: str) -> HooklineError:
    """`code` is the SQLSTATE, None where the connection broke. Whatever was under way has been rolled back."""
    said = _one_line(text)
    if is_lost(code):
        return HooklineError(
            f"the connection to {where} was lost ({said}); nothing was applied",
            hint="the server has undone what was begun, so the state is as it was; try again",
        )
    match code:
        case "42501":
            return StateUnusable(f"the state {where} may not be used by this role: {said}", hint=_ROLES)
        case "25006":
            return StateUnusable(
                f"the state {where} can only be read here: {said}",
                hint="a standby, or a role that is set to read only; name the primary, or several hosts with "
                "?target_session_attrs=read-write",
            )
        case "22P05" | "22021":
            return StateUnusable(
                f"the database of {where} cannot hold every character: {said}",
                hint="keep the state in a database that was made with ENCODING 'UTF8'; nothing was changed",
            )
        # Constraints hold in whatever we write under our lock: something else has written rows.
        case "23502" | "23503" | "23505" | "23514" | "42P01" | "42703" | "42804" | "42883" | "XX001" | "XX002":
            return postgres_damaged(where, said)
    return HooklineError(
        f"the state {where}: {said} (SQLSTATE {code})", hint="nothing was changed; the server's log tells more"
    )


def postgres_damaged(where: PostgresAddress, what: str) -> StateUnusable:
    return StateUnusable(
        f"the state {where} is damaged: {what}",
        hint="restore the schema hookline from a backup; hookline never rebuilds a state by itself",
    )


def postgres_earlier_build(where: PostgresAddress) -> StateUnusable:
    return StateUnusable(
        f"the state {where} was written by a build of hookline before its first release, and cannot be read",
        hint="move its tables away with ALTER SCHEMA hookline RENAME TO hookline_old, then run `hookline apply`: it "
        "creates a new state from the webhook files, with no history",
    )


def postgres_newer(where: PostgresAddress, found: int, known: int) -> StateUnusable:
    return StateUnusable(
        f"the state {where} was written by a newer hookline (format {found}; this one reads {known})",
        hint="upgrade hookline, here and wherever else it uses this database",
    )


def locked(where: PostgresAddress, holders: Iterable[Holder]) -> StateUnusable:
    held = "; ".join(str(holder) for holder in holders)
    by = f"it is held by {held}" if held else "whoever held it has just let go"
    return StateUnusable(
        f"the state {where} is locked: {by}",
        hint="another apply is at work: wait for it, or give --lock-timeout 30s; nothing was changed",
    )


def refuse_stale_postgres(
    where: PostgresAddress, base: Snapshot, found: tuple[str, int] | None, last: Entry | None
) -> None:
    """Raise Stale unless `base` is still what is stored. `last` is the last apply, which came first."""
    if found is None:
        if base.lineage is None:
            return
        raise Stale(
            f"the state {where} has vanished since it was read (at serial {base.serial})",
            hint="nothing was changed; find out who removed it, and plan again once it is back",
        )
    lineage, serial = found
    if base.lineage is None:
        raise changed_meanwhile(f"the state {where} was made meanwhile (now serial {serial})", last)
    if base.lineage != lineage:
        raise changed_meanwhile(
            f"{where} holds another state by now (lineage {lineage}; this was planned on {base.lineage})", last
        )
    if base.serial != serial:
        what = f"the state {where} has moved: this was planned on serial {base.serial}, now it is at {serial}"
        raise changed_meanwhile(what, last)


def not_applied(where: PostgresAddress, record: Record) -> HooklineError:
    return HooklineError(
        f"the connection to {where} was lost while serial {record.serial} was being committed; looked again: "
        "nothing was applied",
        hint="the state is as it was; plan again, and apply what that shows",
    )


def unknown(where: PostgresAddress, record: Record, why: str) -> HooklineError:
    return HooklineError(
        f"the connection to {where} was lost while serial {record.serial} was being committed, and whether it was "
        f"applied could not be found out ({_one_line(why)})",
        hint="either all of it was applied or nothing; once the server answers, run `hookline history`: it was "
        f"applied if serial {record.serial} is there with plan {record.entry.fingerprint}",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
