"""Where a state in PostgreSQL lies: the address as it is given, what libpq gets of it, and what may be shown of it.

libpq's own parser quotes what it cannot read, and a password with an unescaped ``@`` or ``/`` would come out as a
host or a database. So an address that could be read in two ways is refused here, without a word of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from hookline.errors import WrongUse

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
