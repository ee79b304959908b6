"""How an endpoint gets what posts for it: by which transport, by whose rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.httpx_transport import open_httpx
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Target
from hookline.relay.http.tls import Certificates, context_for
from hookline.relay.http.transport import OpenPoster, OpenThrough, Poster, open_engine

# What carries the requests; `--transport` names one.
TRANSPORTS: Final[dict[str, OpenThrough]] = {"engine": open_engine, "httpx": open_httpx}

# Target, the certificates that TLS rests on, and how many posts at a time. Raises HooklineError when the certificates
# cannot be used.
Opening = Callable[[Target, Certificates, int], Poster]


def opening(open_poster: OpenPoster, rules: NetworkRules, clock: Callable[[], float]) -> Opening:
    """Post from this process. `clock` gives Unix time in seconds."""

    def opened(target: Target, certificates: Certificates, limit: int) -> Poster:
        return open_poster(target, rules, context_for(certificates), limit, clock)

    return opened


def opening_by(transport: str, rules: NetworkRules, clock: Callable[[], float], proxy: Proxy | None) -> Opening:
    """The same by one of TRANSPORTS, through the proxy where it stands before a target."""
    return opening(partial(TRANSPORTS[transport], proxy=proxy), rules, clock)
