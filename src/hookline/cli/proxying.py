"""What `--proxy` says: the one way to go through a proxy."""

from __future__ import annotations

import click
from click.core import ParameterSource

from hookline.relay.delivery.proxy import Proxy, parse_proxy
from hookline.settings import proxy_variables


def read_proxy(context: click.Context, parameter: click.Parameter, value: str | None) -> Proxy | None:
    """A callback of click's. A mistake is told without the value: that may hold a password."""
    if value is None:
        return None
    source = context.get_parameter_source(parameter.name or "")
    typed = value != "environment" and source is ParameterSource.COMMANDLINE
    bypass = ""
    if value == "environment":
        named, bypass = proxy_variables()
        if not named:
            raise click.BadParameter("HTTPS_PROXY is not set", context, parameter)
        value = named if "://" in named else f"http://{named}"
    try:
        proxy = parse_proxy(value, bypass)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None
    if typed and proxy.authorization is not None:
        raise click.BadParameter(
            "credentials on the command line are seen by every user of this machine; "
            "put the URL into HOOKLINE_RELAY_PROXY instead",
            context,
            parameter,
        )
    return proxy
