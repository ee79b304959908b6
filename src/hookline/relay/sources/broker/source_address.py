"""The address of a source in a distributed log, such as ``kafka://host/topic?group=name``.

An address may hold a password by mistake. No message of this module quotes a part of the text, except the scheme and
the name of a parameter that is known.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import unquote, urlsplit

import msgspec

from hookline.errors import WrongUse

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_OTHERS_HINT = "name files, named pipes, directories or quoted patterns, or - for standard input"
_SECRETS_HINT = "leave the user and the password out, and name a secret with --source-credentials"


class SourceAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an address. `port` is None if the address has none. `path` has no slash at its beginning. The
    values of `parameters` are decoded. `example` is a complete address, for hints.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    parameters: Mapping[str, str]
    example: str

    @property
    def is_loopback(self) -> bool:
        return is_this_machine(self.host)


def is_this_machine(host: str) -> bool:
    """Whether connections to the host stay on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def find_address(names: Sequence[str]) -> str | None:
    """Returns the address among the sources of a run, or None if all are files. Raises WrongUse if there are several
    sources and one of them is an address."""
    addresses = [name for name in names if _ADDRESS.match(name)]
    if addresses and len(names) > 1:
        raise WrongUse(
            "FILE: an address is the only source of its run", hint="start another relay for the other sources"
        )
    return addresses[0] if addresses else None


def parse_source_address(text: str, known: Mapping[str, tuple[str, Collection[str]]]) -> SourceAddress:
    """Parses an address.

    Args:
        text: the address.
        known: by scheme, an example and the names of the parameters.

    Raises:
        WrongUse: the address has another scheme, a user or a password, or cannot be read.
    """
    found = _ADDRESS.match(text)
    if found is None or found[1].lower() not in known:
        raise WrongUse("FILE: not a path: it is an address", hint=f"{_OTHERS_HINT}; or {_examples(known)}")
    scheme = found[1].lower()
    example, names = known[scheme]
    authority = re.split(r"[/?#]", text[found.end() :], maxsplit=1)[0]
    if "@" in text:
        raise WrongUse(f"FILE: an address of {scheme} holds no user and no password", hint=_SECRETS_HINT)
    if re.search(r"[\x00-\x20\x7f#\\]", text):
        raise _unclear(scheme, "it has a blank, a control character, a backslash or a #", example)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unclear(scheme, "its host or port cannot be read", example) from None
    if not host or authority.endswith(":") or not _is_host(host) or port == 0:
        raise _unclear(scheme, "its host or port cannot be read", example)
    parameters = _parameters(parts.query, scheme, names, example)
    return SourceAddress(
        scheme=scheme, host=host, port=port, path=parts.path.removeprefix("/"), parameters=parameters, example=example
    )


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None
    return True


def _parameters(query: str, scheme: str, names: Collection[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, has_value, value = part.partition("=")
        if name not in names:
            known = ", ".join(sorted(names))
            raise WrongUse(
                f"FILE: an address of {scheme} has a parameter that hookline does not know",
                hint=f"the parameters are {known}; secrets are named with --source-credentials",
            )
        if name in found or not has_value or not value:
            raise _unclear(scheme, f"its parameter {name} occurs twice or has no value", example)
        try:
            found[name] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise _unclear(scheme, f"its parameter {name} is not UTF-8", example) from None
    return found


def _unclear(scheme: str, reason: str, example: str) -> WrongUse:
    return WrongUse(f"FILE: the address of {scheme} cannot be used: {reason}", hint=f"an example is {example}")


def _examples(known: Mapping[str, tuple[str, Collection[str]]]) -> str:
    return " or ".join(example for example, _ in known.values())
