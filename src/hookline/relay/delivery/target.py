"""A webhook's URL, taken apart for a connection."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec

from hookline.errors import HooklineError

_HINT: Final = "correct url in the webhook file and apply it"


class Target(msgspec.Struct, frozen=True):
    """`host` in ASCII, as it is resolved, perhaps with a dot at its end; see `server_name`.

    `netloc` is for the header ``host``; `path` is with the query.
    """

    url: str
    host: str
    port: int
    netloc: bytes
    path: bytes


def server_name(host: str) -> str:
    """What TLS calls `host`, and its certificate too: never with the dot that makes a name absolute (RFC 6066 §3)."""
    return host.removesuffix(".")


def parse_target(url: str) -> Target:
    """Raises HooklineError for what is no https URL: only a state that was edited by hand can hold one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise HooklineError(f"not a URL: {error}", hint=_HINT) from error
    port = 443 if parsed.port is None else parsed.port
    if parsed.scheme != "https" or not parsed.host or not 0 < port < 65536:
        raise HooklineError(f"not an https URL: {url!r:.100}", hint=_HINT)
    return Target(
        url=str(parsed),
        host=parsed.raw_host.decode("ascii"),
        port=port,
        netloc=parsed.netloc,
        path=parsed.raw_path,
    )
