"""Makes the transport of an endpoint: by the operator's choice, and with the relay's network rules and proxy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.httpx_transport import open_httpx
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Target
from hookline.relay.http.tls import Certificates, context_for
from hookline.relay.http.transport import OpenThroughProxy, OpenTransport, Transport, open_client

# The values of `--transport`.
TRANSPORTS: Final[dict[str, OpenThroughProxy]] = {"engine": open_client, "httpx": open_httpx}

# The arguments: the target, the certificates for TLS, and the largest number of connections. Raises HooklineError if
# the certificates cannot be used.
TransportFactory = Callable[[Target, Certificates, int], Transport]


def transport_factory(
    open_transport: OpenTransport, rules: NetworkRules, clock: Callable[[], float]
) -> TransportFactory:
    """A factory for transports with these rules. `clock` returns Unix time in seconds."""

    def create(target: Target, certificates: Certificates, limit: int) -> Transport:
        return open_transport(target, rules, context_for(certificates), limit, clock)

    return create


def transport_factory_by_name(
    transport: str, rules: NetworkRules, clock: Callable[[], float], proxy: Proxy | None
) -> TransportFactory:
    """A factory for one of TRANSPORTS.

    Args:
        transport: The name in TRANSPORTS.
        rules: Which addresses may be connected to.
        clock: Returns Unix time in seconds.
        proxy: The relay's proxy. It is used for the targets to which it applies.
    """
    return transport_factory(partial(TRANSPORTS[transport], proxy=proxy), rules, clock)
