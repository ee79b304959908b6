"""Options that several commands share, declared once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from hookline.cli.variables import add_variable
from hookline.errors import WrongUse
from hookline.model import Address
from hookline.settings import (
    DEFAULT_CONFIG,
    DEFAULT_SECRETS_DIR,
    DEFAULT_SPOOL,
    DEFAULT_STATE,
    is_empty_variable,
    secret_environment,
)
from hookline.storage_location import require_path
from hookline.units import parse_duration, parse_listen, parse_rate

if TYPE_CHECKING:
    from hookline.relay.secrets import SecretResolver

Parsed = TypeVar("Parsed")


class ParsedParameter(click.ParamType[Parsed]):
    """The type of an option whose text `parse` converts. `parse` raises ValueError with a message for users."""

    def __init__(self, name: str, parse: Callable[[str], Parsed]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Parsed:
        if not isinstance(value, str):
            return cast("Parsed", value)  # click converts a value more than once
        try:
            return self._parse(value)
        except WrongUse as error:
            add_variable(error, param, ctx)
            raise
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _duration_seconds(text: str) -> float:
    """A duration in seconds. ``0`` needs no unit."""
    try:
        return 0.0 if text == "0" else parse_duration(text).total_seconds()
    except OverflowError:
        raise ValueError(f"duration too long: {text!r}") from None


def parse_time_or_age(text: str, *, clock: Callable[[], float] = time.time) -> float:
    """A time, or an age before now, as Unix seconds. A time without a zone is in UTC."""
    try:
        return clock() - parse_duration(text).total_seconds()
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"neither a time nor an age: {text!r} (write 2026-11-01, 2026-11-01T12:00:00Z, or 2h for two hours ago)"
        ) from None


def _utf8_text(text: str) -> str:
    """The text, if it can be stored as UTF-8. An argument may contain bytes that cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid UTF-8: check the terminal's encoding") from None
    return text


def _rate_per_second(text: str) -> float:
    """``50/s``, ``1000/m``, as a number per second."""
    rate = parse_rate(text)
    return rate.count / rate.per_seconds


DURATION = ParsedParameter("duration", _duration_seconds)
# An option that takes it begins or ends a period: --since 2h, --until 2026-11-01.
TIME = ParsedParameter("time|age", parse_time_or_age)
RATE = ParsedParameter("rate", _rate_per_second)
# HOST:PORT, with an IPv6 address in brackets. Port 0 means any free port.
LISTEN = ParsedParameter("host:port", parse_listen)
ADDRESS = ParsedParameter("address", lambda text: Address.parse(_utf8_text(text)))
TEXT = ParsedParameter("text", _utf8_text)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class LocationOption(click.Option):
    """An option that names a place. An empty variable is an error: the default would be another place than meant."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        if isinstance(self.envvar, str) and is_empty_variable(self.envvar):
            hint = f"unset it to use the default, {self.default}, or give it a value"
            raise WrongUse(f"the variable {self.envvar} is empty", hint=hint)
        return super().resolve_envvar_value(ctx)


class PathParameter(click.Path):
    """A path that a command may create. Text that looks like an address, or that a shell should have replaced, is
    refused, because it would become the name of a file.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        named = param.opts[0] if isinstance(param, click.Option) else getattr(param, "human_readable_name", "PATH")
        try:
            path = require_path(str(value), named)
        except WrongUse as error:
            add_variable(error, param, ctx)
            raise
        return super().convert(path, param, ctx)


def _state_location(text: str) -> str:
    from hookline.state.factory import require_state_location  # noqa: PLC0415 - `--help` needs no store

    return require_state_location(text)


def _spool_location(text: str) -> str:
    from hookline.relay.spool.factory import require_spool_location  # noqa: PLC0415 - as above

    return require_spool_location(text)


# The location of a spool, for an option or an argument.
SPOOL_LOCATION = ParsedParameter("location", _spool_location)


def examples(*lines: str, exits: str = "") -> str:
    """The end of a command's help: its exit codes, and then command lines that can be copied."""
    head = f"Exit codes: {exits}.\n\n\b\n" if exits else "\b\n"
    return f"{head}Example: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{head}Examples:", *lines])


def bundle(
    name: str, make: Callable[..., object], *options: Callable[[Any], Any]
) -> Callable[[Decorated], Decorated]:
    """Declare options and bundles, named like the parameters of `make`. The command receives its result as `name`."""
    parameters = tuple(signature(make).parameters)

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def command(*arguments: Any, **values: Any) -> Any:
            own = {parameter: values.pop(parameter) for parameter in parameters if parameter in values}
            values[name] = make(**own)
            return function(*arguments, **values)

        for option in reversed(options):
            command = option(command)
        return cast("Decorated", command)

    return decorate


class HeadedCommand(click.Command):
    """A command whose help shows its options under headings, in the order in which `headed` declares them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                sections.setdefault(getattr(parameter, "heading", "Other options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def headed(heading: str, *options: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """Declare options that the help of a HeadedCommand shows under a heading."""

    def decorate(function: Decorated) -> Decorated:
        declared: Callable[..., Any] = function
        known = {id(one) for one in getattr(declared, "__click_params__", ())}
        for option in reversed(options):
            declared = option(declared)
        for parameter in getattr(declared, "__click_params__", ()):
            if id(parameter) not in known:
                parameter.heading = heading
        return cast("Decorated", declared)

    return decorate


config_option = click.option(
    "--config",
    default=DEFAULT_CONFIG,
    cls=LocationOption,
    type=PathParameter(path_type=Path),
    envvar="HOOKLINE_CONFIG",
    help="The configuration directory.",
)
state_option = click.option(
    "--state",
    default=DEFAULT_STATE,
    cls=LocationOption,
    type=ParsedParameter("location", _state_location),
    metavar="PATH|ADDRESS",
    envvar="HOOKLINE_STATE",
    help="The stored state: the path of its SQLite file, or postgresql://…",
)
spool_option = click.option(
    "--spool",
    default=DEFAULT_SPOOL,
    cls=LocationOption,
    type=SPOOL_LOCATION,
    metavar="PATH|ADDRESS",
    envvar="HOOKLINE_SPOOL",
    help="The spool: a directory, or postgresql://… for a shared one.",
)


def _resolver(secrets_dir: Path, secrets_by_organization: bool, insecure_secret_files: bool) -> SecretResolver:
    from hookline.relay.secrets import SecretResolver  # noqa: PLC0415 - most commands resolve no secrets

    return SecretResolver(
        environment=secret_environment(),
        directory=secrets_dir,
        by_organization=secrets_by_organization,
        insecure_files=insecure_secret_files,
    )


# The command sets the resolver's organizations to those of the state.
secrets_options = bundle(
    "resolver",
    _resolver,
    click.option(
        "--secrets-dir",
        default=DEFAULT_SECRETS_DIR,
        cls=LocationOption,
        type=PathParameter(path_type=Path),
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


def choice_option(*names: str, forms: Sequence[str], help: str) -> Callable[[Decorated], Decorated]:
    """An option whose default is the first of its `forms`."""
    return click.option(*names, type=click.Choice(forms), default=forms[0], help=help)


def format_option(*forms: str, help: str) -> Callable[[Decorated], Decorated]:
    """`--format`, with the parameter name `form`."""
    return choice_option("--format", "form", forms=forms, help=help)


auto_approve_option = click.option(
    "--auto-approve", is_flag=True, help="Do not ask for approval. Required without a terminal."
)
lock_timeout_option = click.option(
    "--lock-timeout", type=DURATION, default="0s", help="Wait this long while another apply has locked the state."
)
