"""The address of a state or a spool in PostgreSQL, and the reasons for which a server cannot be reached.

libpq's own parser quotes an address that it cannot read, and a password with an unescaped ``@`` or ``/`` would show
up as a host or a database. `parse_postgres` therefore refuses an ambiguous address and quotes no part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from hookline.errors import WrongUse

POSTGRES_SCHEMES: Final = ("postgresql", "postgres")
DEFAULT_NAME: Final = "default"
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")
# The name of a spool becomes part of a schema's name.
_NAMES: Final = {
    "state": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
        "use at most 63 letters, digits, '.', '_' and '-', the first of them a letter or digit",
    ),
    "spool": (re.compile(r"[a-z0-9_]{1,40}"), "use at most 40 small letters, digits and '_'"),
}
_CONNECTION_LOST_CLASSES = ("08", "57P")

# Options for libpq unless the address or libpq's own environment sets them. A silent server counts as lost after half
# a minute; libpq's own default waits for hours.
LIBPQ_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "30000",
}


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """`conninfo` is for libpq only: it may contain a password. `name` selects a state or a spool of the database.
    Messages print `shown`."""

    conninfo: str = field(repr=False)
    name: str
    shown: str

    def __str__(self) -> str:
        return self.shown


def parse_postgres(target: str, kind: Literal["state", "spool"] = "state") -> PostgresAddress:
    """Read ``postgresql://…?state=NAME`` (https://www.postgresql.org/docs/current/libpq-connect.html, 34.1.1.2).

    `kind` is the name of the option and of the parameter. Raises WrongUse for an ambiguous address. The message does
    not quote the address.
    """
    example = f"postgresql://user@host:5432/database?{kind}=NAME"
    base, _, query = target.partition("?")
    scheme, _, rest = base.partition("://")
    authority, slash, database = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    ambiguous = target.count("@") > 1 or ("@" in target and not at) or "/" in database
    # An address without a host is refused, because its ``user:password`` would be read as host and port.
    if ambiguous or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise WrongUse(
            f"--{kind}: the postgresql:// address is ambiguous (not shown here because it may contain a password)",
            hint=f"write it like {example}; in a user, password or database name write @ as %40, / as %2F, "
            "? as %3F, # as %23; better, put the password into PGPASSWORD or ~/.pgpass",
        )
    parameters = [one for one in query.split("&") if one]
    name = _name(kind, [one for one in parameters if _key(one) == kind], example)
    kept = "&".join(one for one in parameters if _key(one) != kind)
    shown = f"{scheme}://{credentials.partition(':')[0]}{at}{hosts}{slash}{database}"
    return PostgresAddress(
        conninfo=f"{base}?{kept}" if kept else base,
        name=name,
        shown=shown if name == DEFAULT_NAME else f"{shown}?{kind}={name}",
    )


def _key(parameter: str) -> str:
    return unquote(parameter.partition("=")[0])


def _name(kind: str, given: list[str], example: str) -> str:
    if not given:
        return DEFAULT_NAME
    if len(given) > 1:
        raise WrongUse(f"--{kind}: the address names more than one {kind}", hint=f"give {kind}= once: {example}")
    name = unquote(given[0].partition("=")[2])
    pattern, hint = _NAMES[kind]
    if pattern.fullmatch(name) is None:
        raise WrongUse(f"--{kind}: {name!r} is not a valid name of a {kind}", hint=hint)
    return name


# The texts of libpq or the server when a connection fails. Such an error has no code, so its text is matched.
# Each row: parts of the text; the finding; the hint, with the option in place of {}.
_CONNECTION_FAILURES = (
    (("timeout expired", "timed out", "Connection timed out"),
     "the server does not answer",
     "check host and port, and the firewalls between; ?connect_timeout=30 waits longer"),
    (("could not translate host name", "failed to resolve host", "Name or service not known"),
     "the server's host name does not resolve", "check the host name in {}"),
    (("Connection refused", "No such file or directory", "No route to host", "Network is unreachable"),
     "the server cannot be reached", "check that the server runs, and host and port in {}"),
    (("no password supplied", "password authentication failed", "SCRAM", "authentication failed"),
     "the server refuses the login", "check the user in {}, and the password in PGPASSWORD or ~/.pgpass"),
    (("no pg_hba.conf entry",),
     "the server does not admit this user from this host",
     "have it allowed in the server's pg_hba.conf; if the server requires TLS, add ?sslmode=verify-full"),
    (("database \"",), "the database does not exist", "create it with createdb, or name another one in {}"),
    (("role \"",), "the user does not exist", "create it with CREATE ROLE … LOGIN, or name another one in {}"),
    (("too many clients", "remaining connection slots", "too many connections"),
     "the server has no free connection", "try again, or raise the server's max_connections"),
    (("SSL", "certificate"), "the TLS handshake with the server failed",
     "check sslmode and sslrootcert in {} against the server's TLS settings; for sslrootcert=system, name the "
     "file of the system's authorities in SSL_CERT_FILE"),
    (("server closed the connection", "invalid response"),
     "the server closed the connection, or it is not PostgreSQL",
     "check host and port in {}, and the server's log"),
    (("starting up", "shutting down", "recovery mode"), "the server is not ready yet", "try again in a moment"),
)  # fmt: skip


def connection_failure(text: str, option: str) -> tuple[str, str]:
    """The finding and the hint for a connection that failed. `text` is the library's message."""
    detail = in_one_line(text)
    for parts, finding, hint in _CONNECTION_FAILURES:
        if any(part in detail for part in parts):
            return f"{finding} ({detail})", hint.replace("{}", option)
    return detail, f"check {option}, and the server's log"


def is_connection_lost(code: str | None) -> bool:
    """Whether an SQLSTATE reports a failure of the connection, not of the statement. None is a lost connection."""
    return code is None or code.startswith(_CONNECTION_LOST_CLASSES)


def in_one_line(text: str) -> str:
    return " ".join(text.split())
