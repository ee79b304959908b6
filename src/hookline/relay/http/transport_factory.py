"""Makes the transport of an endpoint: by the operator's choice, and with the relay's network rules and proxy."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Target
from hookline.relay.http.tls import Certificates, context_for
from hookline.relay.http.transport import OpenTransport, Transport, open_client


def _open_httpx(
    target: Target,
    rules: NetworkRules,
    context: ssl.SSLContext,
    limit: int,
    clock: Callable[[], float],
    *,
    proxy: Proxy | None = None,
    limits: SharedLimits | None = None,
) -> Transport:
    """Loads httpx and httpcore only if an operator has chosen them."""
    from hookline.relay.http.pool.httpx_transport import open_httpx  # noqa: PLC0415

    return open_httpx(target, rules, context, limit, clock, proxy=proxy, limits=limits)


# The values of `--transport`.
TRANSPORTS: Final[dict[str, OpenTransport]] = {"engine": open_client, "httpx": _open_httpx}

# The arguments: the target, the certificates for TLS, and the largest number of connections. Raises HooklineError if
# the certificates cannot be used.
TransportFactory = Callable[[Target, Certificates, int], Transport]


def transport_factory(
    open_transport: OpenTransport,
    rules: NetworkRules,
    clock: Callable[[], float],
    proxy: Proxy | None = None,
    limits: SharedLimits | None = None,
) -> TransportFactory:
    """A factory for transports with common limits, through the proxy if it applies to the target.

    Args:
        open_transport: Opens one.
        rules: Which addresses may be connected to.
        clock: Returns Unix time in seconds.
        proxy: The relay's proxy.
        limits: Those that the transports share.
    """
    shared = limits or SharedLimits()
    return lambda target, certificates, limit: open_transport(
        target, rules, context_for(certificates), limit, clock, proxy=proxy, limits=shared
    )
