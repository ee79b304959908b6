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
from hookline.relay.http.transport import OpenThroughProxy, OpenTransport, Transport, open_engine

# What carries the requests; `--transport` names one.
TRANSPORTS: Final[dict[str, OpenThroughProxy]] = {"engine": open_engine, "httpx": open_httpx}

# Target, the certificates that TLS rests on, and how many posts at a time. Raises HooklineError when the certificates
# cannot be used.
TransportFactory = Callable[[Target, Certificates, int], Transport]


def transport_factory(
    open_poster: OpenTransport, rules: NetworkRules, clock: Callable[[], float]
) -> TransportFactory:
    """Post from this process. `clock` gives Unix time in seconds."""

    def opened(target: Target, certificates: Certificates, limit: int) -> Transport:
        return open_poster(target, rules, context_for(certificates), limit, clock)

    return opened


def transport_factory_by_name(
    transport: str, rules: NetworkRules, clock: Callable[[], float], proxy: Proxy | None
) -> TransportFactory:
    """The same by one of TRANSPORTS, through the proxy where it stands before a target."""
    return transport_factory(partial(TRANSPORTS[transport], proxy=proxy), rules, clock)
