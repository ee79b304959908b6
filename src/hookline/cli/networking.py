"""The options that say how endpoints are reached: of `relay`, and of `check`, which goes the relay's way."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

import click

from hookline.cli.proxying import read_proxy
from hookline.relay.delivery.opening import TRANSPORTS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class NetworkParameter(click.ParamType[IPv4Network | IPv6Network]):
    name = "cidr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Network | IPv6Network:
        try:
            return ip_network(str(value))
        except ValueError as error:
            self.fail(f"{error} (write 10.1.0.0/16 or fd00::/8)", param, ctx)


# Both commands take the relay's variables: what one was told must hold for the other.
_OPTIONS = (
    click.option(
        "--allow-network",
        type=NetworkParameter(),
        multiple=True,
        envvar="HOOKLINE_RELAY_ALLOW_NETWORK",
        help="Permit requests to this private network (CIDR).",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="HOOKLINE_RELAY_CA_FILE",
        help="Additional certificate authorities, in PEM.",
    ),
    click.option(
        "--transport",
        type=click.Choice([*TRANSPORTS]),
        default="engine",
        show_default=True,
        envvar="HOOKLINE_RELAY_TRANSPORT",
        help="The HTTP client: hookline's own engine, or the library httpx (slower).",
    ),
    click.option(
        "--proxy",
        metavar="URL|environment",
        envvar="HOOKLINE_RELAY_PROXY",
        callback=read_proxy,
        help="Send requests through http://host:port. 'environment': use HTTPS_PROXY and NO_PROXY.",
    ),
)


def network_options(function: Decorated) -> Decorated:
    """`allow_network`, `ca_file`, `transport` and `proxy`, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
