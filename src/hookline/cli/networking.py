"""The options that say how endpoints are reached: of `relay`, and of `check`, which goes the relay's way."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import click

from hookline.cli.options import bundle
from hookline.cli.proxying import read_proxy
from hookline.relay.delivery.opening import TRANSPORTS
from hookline.relay.delivery.proxy import Proxy
from hookline.relay.network import NetworkRules


class NetworkParameter(click.ParamType[IPv4Network | IPv6Network]):
    name = "cidr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Network | IPv6Network:
        try:
            return ip_network(str(value))
        except ValueError as error:
            self.fail(f"{error} (write 10.1.0.0/16 or fd00::/8)", param, ctx)


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How endpoints are reached. `ca_file` holds further authorities in PEM; `transport` is one of TRANSPORTS."""

    rules: NetworkRules
    ca_file: Path | None
    transport: str
    proxy: Proxy | None


def _network(
    allow_network: tuple[IPv4Network | IPv6Network, ...], ca_file: Path | None, transport: str, proxy: Proxy | None
) -> NetworkOptions:
    return NetworkOptions(NetworkRules(allow_network), ca_file, transport, proxy)


# `check` reads the relay's variables, so that a result of `check` holds for the relay.
network_options = bundle(
    "network",
    _network,
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
