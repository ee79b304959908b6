"""`--proxy`: the one way for a relay to go through a proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hookline.relay.delivery.proxy import Proxy, parse_proxy
from hookline.settings import proxy_variables

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def proxy_option(command: Decorated) -> Decorated:
    return click.option(
        "--proxy",
        metavar="URL|environment",
        callback=_proxy,
        help="Post through http://host:port; 'environment': as HTTPS_PROXY and NO_PROXY say.",
    )(command)


def _proxy(context: click.Context, parameter: click.Parameter, value: str | None) -> Proxy | None:
    """A mistake is told without the value: that may hold a password."""
    if value is None:
        return None
    typed = value != "environment" and context.get_parameter_source("proxy") is ParameterSource.COMMANDLINE
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
