"""Options that several commands share, declared once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from hookline.model import Address
from hookline.quantities import parse_duration, parse_listen, parse_rate
from hookline.settings import (
    DEFAULT_CONFIG,
    DEFAULT_SECRETS_DIR,
    DEFAULT_SPOOL,
    DEFAULT_STATE,
    secret_environment,
)

if TYPE_CHECKING:
    from hookline.relay.secrets import SecretResolver


class DurationParameter(click.ParamType[float]):
    """A duration, in seconds as a float. ``0`` needs no unit; ``30d`` are days, which webhook files do not know."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        if text.endswith("d") and text[:-1].isdecimal():
            text = f"{int(text[:-1]) * 24}h"
        try:
            return 0.0 if text == "0" else parse_duration(text).total_seconds()
        except ValueError as error:
            self.fail(str(error), param, ctx)
        except OverflowError:
            self.fail(f"longer than any clock runs: {value!r}", param, ctx)


class TextParameter(click.ParamType[str]):
    """Text that has a UTF-8 form: a stray byte in an argument has none, and nothing that is stored can hold it."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("not valid UTF-8: check the terminal's encoding", param, ctx)
        return text


class AddressParameter(click.ParamType[Address]):
    """ORGANIZATION/SANDBOX."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(TEXT.convert(value, param, ctx))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ListenParameter(click.ParamType[tuple[str, int]]):
    """HOST:PORT, with an IPv6 address in brackets. Port 0 stands for any that is free."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_listen(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class RateParameter(click.ParamType[float]):
    """``50/s``, ``1000/m``; as a number for each second."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            rate = parse_rate(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return rate.count / rate.per_seconds


DURATION = DurationParameter()
RATE = RateParameter()
LISTEN = ListenParameter()
ADDRESS = AddressParameter()
TEXT = TextParameter()

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def bundle(
    name: str, make: Callable[..., object], *options: Callable[[Any], Any]
) -> Callable[[Decorated], Decorated]:
    """Declare options that belong together. The command gets them as one argument `name`, built by `make`.

    The parameters of `make` have the names of the options.
    """
    parameters = tuple(signature(make).parameters)

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def command(*arguments: Any, **values: Any) -> Any:
            values[name] = make(**{parameter: values.pop(parameter) for parameter in parameters})
            return function(*arguments, **values)

        for option in reversed(options):
            command = option(command)
        return cast("Decorated", command)

    return decorate


def config_option(function: Decorated) -> Decorated:
    return click.option(
        "--config",
        default=DEFAULT_CONFIG,
        show_default=True,
        type=click.Path(path_type=Path),
        envvar="HOOKLINE_CONFIG",
        help="The configuration directory.",
    )(function)


def state_option(function: Decorated) -> Decorated:
    return click.option(
        "--state",
        default=DEFAULT_STATE,
        show_default=True,
        envvar="HOOKLINE_STATE",
        help="The stored state: the path of its SQLite file, or postgresql://…",
    )(function)


def spool_option(function: Decorated) -> Decorated:
    return click.option(
        "--spool",
        default=DEFAULT_SPOOL,
        show_default=True,
        metavar="PATH",
        envvar="HOOKLINE_SPOOL",
        help="The spool: a directory.",
    )(function)


@dataclass(frozen=True, slots=True)
class SecretOptions:
    """The options that set which secrets a webhook may name."""

    secrets_dir: Path
    secrets_by_organization: bool
    insecure_secret_files: bool

    def resolver(self) -> SecretResolver:
        """A resolver over this process's environment, not yet bound to the organizations of a state."""
        from hookline.relay.secrets import SecretResolver  # noqa: PLC0415 - most commands need none

        return SecretResolver(
            environment=secret_environment(),
            directory=self.secrets_dir,
            by_organization=self.secrets_by_organization,
            insecure_files=self.insecure_secret_files,
        )


secrets_options = bundle(
    "secrets",
    SecretOptions,
    click.option(
        "--secrets-dir",
        default=DEFAULT_SECRETS_DIR,
        show_default=True,
        type=click.Path(path_type=Path),
        envvar="HOOKLINE_SECRETS_DIR",
        help="The directory that contains the files of {file: …} references.",
    ),
    click.option(
        "--secrets-by-organization",
        is_flag=True,
        envvar="HOOKLINE_SECRETS_BY_ORGANIZATION",
        help="Restrict each webhook to the secrets of its own organization.",
    ),
    click.option(
        "--insecure-secret-files",
        is_flag=True,
        envvar="HOOKLINE_INSECURE_SECRET_FILES",
        help="Also accept secret files that other users can read or write.",
    ),
)


def format_option(*forms: str, help: str) -> Callable[[Decorated], Decorated]:
    """`--format`, handed to the command as `form`; the first of the forms is the default."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True, help=help)


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """The options of every command that writes the state; `lock_timeout` is in seconds."""

    auto_approve: bool
    lock_timeout: float


apply_options = bundle(
    "applying",
    ApplyOptions,
    click.option("--auto-approve", is_flag=True, help="Do not ask for approval. Required without a terminal."),
    click.option(
        "--lock-timeout",
        type=DURATION,
        default="0s",
        show_default=True,
        help="Wait this long while another apply has locked the state.",
    ),
)
