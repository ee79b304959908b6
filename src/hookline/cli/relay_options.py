"""The options of `relay`: a bundle that builds its RelayOptions, and those of its output."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import click

from hookline.cli.completions import complete_files
from hookline.cli.ingest_options import defaults_options, line_format_option
from hookline.cli.network_options import network_options
from hookline.cli.options import (
    DURATION,
    LISTEN,
    Decorated,
    ParsedParameter,
    bundle,
    choice_option,
    headed,
    secrets_options,
    spool_option,
    state_option,
)
from hookline.model import EnvRef, FileRef, SecretRef
from hookline.observe.log import Level, Log
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.settings import SECRET_PREFIX
from hookline.wiring.run_options import RelayOptions


class MakeLog(Protocol):
    """Creates the log, from the function that writes its lines and the count of those that were lost."""

    def __call__(self, write: Callable[[str], object], *, lines_lost: Callable[[], int]) -> Log: ...


def _log(log_level: Level, log_format: Literal["text", "json"]) -> MakeLog:
    return partial(Log, level=log_level, format=log_format, clock=time.time)


def _seconds(flag: str, default: str, help: str) -> Callable[[Decorated], Decorated]:
    """A duration. Its parameter ends with the unit, as in RelaySettings."""
    name = flag.removeprefix("--").replace("-", "_") + "_seconds"
    return click.option(flag, name, type=DURATION, default=default, help=help)


def _secret_reference(text: str) -> SecretRef:
    """``env:NAME`` or ``file:PATH``. No error contains the text, because it may be the secret itself."""
    kind, _, name = text.partition(":")
    if kind == "env" and name.startswith(SECRET_PREFIX):
        return EnvRef(name)
    if kind == "file" and name:
        return FileRef(name)
    raise ValueError(f"not a reference of a secret (write env:{SECRET_PREFIX}NAME, or file:PATH below --secrets-dir)")


def _file_reference(text: str) -> FileRef:
    kind, _, name = text.partition(":")
    if kind == "file" and name:
        return FileRef(name)
    raise ValueError("not a reference of a file (write file:PATH below --secrets-dir)")


def _directories(context: click.Context, option: click.Parameter, given: Sequence[str]) -> tuple[Path, ...]:
    """Refuses an empty name: it would be the working directory, which is ``/`` for many services."""
    if not all(name.strip() for name in given):
        raise click.BadParameter("the name is empty; name a directory, such as /var/log/pods", context, option)
    return tuple(map(Path, given))


_input_options = (
    headed(
        "Input",
        line_format_option,
        defaults_options,
        click.option("--follow", is_flag=True, help="Keep reading as files grow, rotate and appear, until stopped."),
        click.option(
            "--from-start", is_flag=True, help="Read files from their first line and ignore their checkpoints."
        ),
        click.option(
            "--links-below",
            type=click.Path(file_okay=False),
            multiple=True,
            callback=_directories,
            help="Follow links in watched directories and patterns that end below this directory, such as "
            "/var/log/pods (repeatable).",
        ),
        click.option(
            "--name",
            default="",
            help="The name of this relay's files on a shared spool. Of several relays with a name, one reads; the "
            "others are standby.",
        ),
        click.option("--drain", is_flag=True, help="Read no input; deliver the backlog of the spool."),
        click.option(
            "--dry-run", is_flag=True, help="Show the routing result of each event; send nothing and store nothing."
        ),
    ),
)
_spool_limits = (
    _seconds("--dedupe-window", "24h", "How long the id of a delivered event identifies duplicates."),
    _seconds("--retain", "30d", "How long to keep dead letters and records of deliveries."),
    click.option(
        "--records-max",
        "max_records",
        type=click.IntRange(min=0),
        default=5_000_000,
        help="The maximum number of records of deliveries. A low number can shorten the duplicate window.",
    ),
)
_spool_max = click.option(
    "--spool-max",
    "max_pending",
    type=click.IntRange(min=1),
    default=1_000_000,
    help="Pause reading while this many deliveries are pending.",
)
_LIMITS = "Limits of the spool"
_max_wait = _seconds("--max-wait", "10m", "How long to wait for retries after the end of the input.")
_grace = _seconds("--grace", "20s", "How long to wait for attempts in flight when stopped.")
_stores = headed(
    "State and spool",
    state_option,
    spool_option,
    click.option("--allow-empty", is_flag=True, help="Run even if no webhook is applied."),
)
_source_credentials = click.option(
    "--source-credentials",
    type=ParsedParameter("reference", _secret_reference),
    metavar="env:NAME|file:PATH",
    help="The secret that identifies the relay to a distributed log: a variable that begins with "
    "HOOKLINE_SECRET_, or a file below --secrets-dir.",
)
_source_certificate = click.option(
    "--source-certificate",
    type=ParsedParameter("reference", _file_reference),
    metavar="file:PATH",
    help="The relay's certificate for a distributed log that asks for one: a PEM file below --secrets-dir, with its "
    "chain and its key.",
)
_source_key = click.option(
    "--source-key",
    type=ParsedParameter("reference", _file_reference),
    metavar="file:PATH",
    help="The key of --source-certificate, if it is in a file of its own.",
)
_network = headed("Network", network_options)
_output = (
    headed(
        "Monitoring and output",
        click.option(
            "--listen",
            type=LISTEN,
            help="Serve /metrics, /healthz, /readyz and /status on this address, such as 127.0.0.1:9469. Port 0: "
            "any free port.",
        ),
        click.option(
            "--listen-name",
            "listen_names",
            multiple=True,
            metavar="NAME",
            help="A name by which clients of --listen call this machine, besides its host name (repeatable). "
            "Requests for other names are refused.",
        ),
        click.option(
            "--metrics-webhooks",
            type=click.IntRange(min=0),
            default=1000,
            help="The number of webhooks with their own metrics; the others are summed.",
        ),
        choice_option("--summary", forms=["text", "json"], help="A table on stderr, or JSON on stdout."),
        bundle(
            "log",
            _log,
            choice_option(
                "--log-format", forms=["text", "json"], help="The format of log, summary and errors, on stderr."
            ),
            click.option(
                "--log-level",
                type=click.Choice(["debug", "info", "warning"]),
                default="info",
                help="debug: every attempt. info: failures, and changes of an endpoint. warning: conditions that "
                "need attention.",
            ),
        ),
    ),
)
relay_options = bundle(
    "options",
    RelayOptions,
    click.argument("sources", nargs=-1, metavar="[FILE…|-]", shell_complete=complete_files),
    _stores,
    bundle(
        "settings",
        RelaySettings,
        *_input_options,
        headed(_LIMITS, *_spool_limits, _spool_max),
        headed("End of a run", _max_wait, _grace),
    ),
    headed("Secrets", secrets_options, _source_credentials, _source_certificate, _source_key),
    _network,
    *_output,
)
deliver_options = bundle(
    "options",
    partial(RelayOptions, sources=(), follow=True, delivers_only=True),
    _stores,
    bundle(
        "settings",
        partial(RelaySettings, defaults=Defaults(), until_stopped=True),
        headed(_LIMITS, *_spool_limits),
        headed("End of a run", _grace),
    ),
    headed("Secrets", secrets_options),
    _network,
    *_output,
)
