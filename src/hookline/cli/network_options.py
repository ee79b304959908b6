"""The options of commands that reach endpoints: `relay` and `check`.

They are apart from `options`, because they import the HTTP client, which most commands do not need.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import click
from click.core import ParameterSource

from hookline.cli.options import ParsedParameter, bundle
from hookline.errors import HooklineError
from hookline.private_files import writable_by_all
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.proxy import Proxy, parse_proxy
from hookline.relay.http.transport_factory import TRANSPORTS
from hookline.settings import proxy_variables


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error} (write 10.1.0.0/16 or fd00::/8)") from None


def _read_proxy(context: click.Context, parameter: click.Parameter, value: str | None) -> Proxy | None:
    """click's callback for `--proxy`. No error message contains the value, because it may contain a password."""
    source = context.get_parameter_source(parameter.name or "")
    try:
        return None if value is None else _proxy(value, on_command_line=source is ParameterSource.COMMANDLINE)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def _require_safe(_: click.Context, __: click.Parameter, ca_file: Path | None) -> Path | None:
    """click's callback for `--ca-file`. Raises HooklineError if every user can exchange the authorities."""
    if ca_file is not None and (exposed := writable_by_all(ca_file)) is not None:
        raise HooklineError(
            f"anybody can write to {exposed}, and so exchange the certificate authorities in {ca_file}",
            hint=f"chmod o-w {exposed}, or name another file with --ca-file",
        )
    return ca_file


def _proxy(value: str, *, on_command_line: bool) -> Proxy:
    if value == "environment":
        variable, bypass = proxy_variables()
        if not variable:
            raise ValueError("HTTPS_PROXY is not set")
        return parse_proxy(variable if "://" in variable else f"http://{variable}", bypass)
    proxy = parse_proxy(value, "")
    if on_command_line and proxy.authorization is not None:
        raise ValueError(
            "every user of this machine can see credentials on the command line; set HOOKLINE_RELAY_PROXY instead"
        )
    return proxy


# The command receives `rules`, `ca_file`, `transport` (one of TRANSPORTS) and `proxy`. `check` reads the relay's
# variables, so that its result applies to the relay.
network_options = bundle(
    "rules",
    NetworkRules,
    click.option(
        "--allow-network",
        "allowed",
        type=ParsedParameter("cidr", _network),
        multiple=True,
        envvar="HOOKLINE_RELAY_ALLOW_NETWORK",
        help="Permit requests to this private network (CIDR).",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        callback=_require_safe,
        envvar="HOOKLINE_RELAY_CA_FILE",
        help="Additional certificate authorities, in PEM.",
    ),
    click.option(
        "--transport",
        type=click.Choice([*TRANSPORTS]),
        default="engine",
        envvar="HOOKLINE_RELAY_TRANSPORT",
        help="The HTTP client: hookline's own engine, or the library httpx (slower).",
    ),
    click.option(
        "--proxy",
        metavar="URL|environment",
        envvar="HOOKLINE_RELAY_PROXY",
        callback=_read_proxy,
        help="Send requests through http://host:port. 'environment': use HTTPS_PROXY and NO_PROXY.",
    ),
)
