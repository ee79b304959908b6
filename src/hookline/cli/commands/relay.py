"""`hookline relay`: read events and deliver their feedback."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import click

from hookline.cli.ingest_options import IngestOptions, reading_options
from hookline.cli.options import (
    DURATION,
    LISTEN,
    NetworkOptions,
    SecretOptions,
    network_options,
    secrets_options,
    spool_option,
    state_option,
)
from hookline.cli.progress import ProgressBar
from hookline.errors import WrongUse
from hookline.escaping import printable
from hookline.observe.log import Level, Log
from hookline.relay.delivery_record import Delivery, Rejected, Skipped
from hookline.relay.ingest.dry_run import DryRunEvent
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.summary import Summary
from hookline.wiring import RelayOptions, rehearse_relay, run_relay


# The end of a relay run for people: a table, and what to do about what is left. To stderr.
def print_summary(summary: Summary) -> None:
    """The fates in a column, and why events were skipped."""
    reasons = ", ".join(f"{reason} {n}" for reason, n in summary.skipped.items())
    rows = [
        ("read", summary.read, ""),
        ("carried", summary.carried, "pending before, or replayed" if summary.carried else ""),
        ("delivered", summary.delivered, f"in {summary.attempts} attempts, {summary.seconds:.1f} s"),
        ("skipped", sum(summary.skipped.values()), reasons),
        ("rejected", summary.rejected, ""),
        ("dead", summary.dead, ""),
        ("pending", summary.pending, ""),
        ("duplicates", summary.duplicates, ""),
    ]
    for name, n, note in rows:
        click.echo(f"{name:<10} {n:>9,}  {note}".rstrip(), err=True)


def print_ending(
    ending: Ending, summary: Summary, settings: RelaySettings, *, sources: Sequence[str], followed: bool
) -> None:
    """One line for each thing that wants to be looked at."""
    if ending is Ending.WRONG_FORMAT:
        known = f", {summary.duplicates:,} of them by an earlier run" if summary.duplicates else ""
        click.echo(
            f"Stopped: the first {summary.read:,} events were all rejected{known}, which looks like the wrong "
            f"--format ({settings.format}). They are kept as dead letters.\n  hint: `hookline dead list` says why; "
            "with the right --format, `hookline dead replay --all` and the same command go on from here",
            err=True,
        )
    elif ending is Ending.STOPPED and not followed:
        click.echo(_stopped(sources), err=True)
    elif ending is Ending.NO_ROOM:
        click.echo(
            "Stopped before the end of the input: nothing that is pending can be sent now, and the spool is full "
            f"(--spool-max {settings.spool_max:,}).\n"
            "  hint: `hookline status` says why; then the same command goes on from here",
            err=True,
        )
    elif ending is Ending.WAITED_LONG_ENOUGH:
        click.echo(f"Not everything was accepted within --max-wait ({settings.max_wait:g} s).", err=True)
    if summary.pending:
        click.echo(f"{summary.pending:,} still pending: `hookline relay --drain` goes on with them.", err=True)
    if summary.dead or summary.rejected:
        click.echo("Dead letters are kept: `hookline dead list` shows them.", err=True)
    if summary.nobody_to_tell:
        click.echo(
            "No webhook is applied for any of these events.\n"
            "  hint: compare their organization and sandbox with `hookline list`",
            err=True,
        )


def _stopped(sources: Sequence[str]) -> str:
    """What a stop leaves behind: of files, and of a spool that is drained (no sources), nothing that is lost."""
    pipes = [source for source in sources if source == "-" or Path(source).is_fifo()]
    if not pipes:
        return "Stopped: the same command goes on from here."
    return (
        "Stopped: what was taken out of the pipe is in the spool, what was still in it is not.\n"
        "  hint: run what writes into it again; an event that was delivered already is not sent twice within "
        "--dedupe-window"
    )


SOME_DEAD = 3
STILL_PENDING = 4
_INTERRUPTED = 130


@click.command(
    epilog="Example: hookline relay --organization ACME@AdobeOrg --sandbox prod events.ndjson. "
    "Exit codes: 0 all delivered or skipped, 3 some are dead letters or were rejected, 4 some are still pending, "
    "8 the state or the spool cannot be used."
)
@click.argument("files", nargs=-1, metavar="[FILE…|-]")
@state_option
@spool_option
@secrets_options
@reading_options
@click.option("--follow", is_flag=True, help="Keep reading as files grow, rotate and appear, until stopped.")
@click.option("--from-start", is_flag=True, help="Read files from their first line and ignore their checkpoints.")
@click.option("--drain", is_flag=True, help="Read no input; deliver the backlog of the spool.")
@click.option(
    "--dry-run", is_flag=True, help="Show the routing result of each event; send nothing and store nothing."
)
@click.option(
    "--dedupe-window",
    type=DURATION,
    default="24h",
    show_default=True,
    help="How long the id of a delivered event identifies duplicates.",
)
@click.option(
    "--retain",
    type=DURATION,
    default="30d",
    show_default=True,
    help="How long to keep dead letters and records of deliveries.",
)
@click.option(
    "--records-max",
    type=click.IntRange(min=0),
    default=5_000_000,
    show_default=True,
    help="The maximum number of records of deliveries. A low number can shorten the duplicate window.",
)
@click.option(
    "--max-wait",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How long to wait for retries after the end of the input.",
)
@click.option(
    "--grace",
    type=DURATION,
    default="20s",
    show_default=True,
    help="How long to wait for attempts in flight when stopped.",
)
@click.option(
    "--spool-max",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Pause reading while this many deliveries are pending.",
)
@click.option("--allow-empty", is_flag=True, help="Run even if no webhook is applied.")
@network_options
@click.option(
    "--listen",
    type=LISTEN,
    help="Serve /metrics, /healthz, /readyz and /status on this address, such as 127.0.0.1:9469. Port 0: any free "
    "port.",
)
@click.option(
    "--metrics-webhooks",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="The number of webhooks with their own metrics; the others are summed.",
)
@click.option(
    "--summary",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table on stderr, or JSON on stdout.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The format of log lines, on stderr.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
    help="debug: every attempt. info: failures, and changes of an endpoint. warning: conditions that need attention.",
)
def command(
    *,
    files: tuple[str, ...],
    state: str,
    spool: str,
    secrets: SecretOptions,
    ingest: IngestOptions,
    follow: bool,
    from_start: bool,
    drain: bool,
    dry_run: bool,
    dedupe_window: float,
    retain: float,
    records_max: int,
    max_wait: float,
    grace: float,
    spool_max: int,
    allow_empty: bool,
    network: NetworkOptions,
    listen: tuple[str, int] | None,
    metrics_webhooks: int,
    summary: Literal["text", "json"],
    log_format: Literal["text", "json"],
    log_level: Level,
) -> int:
    """Read events, one per line, from FILEs or standard input, and deliver their feedback to the applied webhooks.

    A FILE is a file (gzip and zstd are decompressed), a named pipe, a directory, or a quoted pattern such as
    '/var/log/app/*.log'. The relay first makes the input durable in the spool. It reads a file from its checkpoint
    on. It ends when all deliveries are settled, or after --max-wait. With --follow it runs until it is stopped.
    """
    if drain and files:
        raise WrongUse("--drain reads nothing, so it takes no FILE", hint="leave out either of them")
    if dedupe_window > retain:
        raise WrongUse(
            f"--dedupe-window is longer than --retain ({retain:g} s): duplicates would not be known",
            hint="make --retain longer, or the window shorter",
        )
    if follow and (drain or dry_run):
        raise WrongUse(
            "--follow goes on reading, --drain and --dry-run come to an end", hint="leave out either of them"
        )
    options = RelayOptions(
        state=state,
        spool=spool,
        sources=() if drain else (files or ("-",)),
        settings=RelaySettings(
            format=ingest.format,
            defaults=ingest.defaults,
            dedupe_window=dedupe_window,
            retain=retain,
            records_max=records_max,
            max_wait=max_wait,
            grace=grace,
            spool_max=spool_max,
        ),
        resolver=secrets.resolver(),
        rules=network.rules,
        ca_file=network.ca_file,
        proxy=network.proxy,
        follow=follow,
        from_start=from_start,
        allow_empty=allow_empty,
        transport=network.transport,
        listen=listen,
        metrics_webhooks=metrics_webhooks,
    )
    if "-" in options.sources and sys.stdin.isatty():
        click.echo("Reading events from the terminal, one a line; end with Ctrl-D.", err=True)
    if dry_run:
        return _dry_run(options, summary, Log(_write_line, level=log_level, format=log_format, clock=time.time))
    return _run(options, summary, log_format, log_level)


def _run(options: RelayOptions, form: str, log_format: Literal["text", "json"], log_level: Level) -> int:
    with ProgressBar() if sys.stderr.isatty() else nullcontext() as bar:
        write, show = (_write_line, None) if bar is None else (bar.write, bar.show)
        log = Log(write, level=log_level, format=log_format, clock=time.time)
        ending, summary = asyncio.run(run_relay(options, log, show))
    _print(summary, form)
    print_ending(ending, summary, options.settings, sources=options.sources, followed=options.follow)
    return exit_code(ending, summary, followed=options.follow)


def _write_line(line: str) -> None:
    sys.stderr.write(line)


def _dry_run(options: RelayOptions, form: str, log: Log) -> int:
    summary = rehearse_relay(options, log, _print_fate)
    _print(summary, form)
    click.echo("Dry run: nothing was sent and nothing was moved; what would be sent counts as pending.", err=True)
    return SOME_DEAD if summary.rejected or summary.nobody_to_tell else 0


def _print(summary: Summary, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(summary.as_json()))
    else:
        print_summary(summary)


def _print_fate(one: DryRunEvent) -> None:
    place = f"{printable(one.source)}:{one.line}:"
    match one.result:
        case Delivery() as fate:
            what = "duplicate" if one.duplicate else "deliver"
            click.echo(f"{place} {what} {fate.address} {fate.channel} {fate.status} {fate.id.hex()}")
        case Skipped(reason, name):
            click.echo(f"{place} skip {reason}{f' {printable(name)}' if name else ''}")
        case Rejected(reason):
            click.echo(f"{place} reject {reason}")


def exit_code(ending: Ending, summary: Summary, *, followed: bool = False) -> int:
    """CONTRACT, "exit code": 4 before 3. What was followed has no end that a stop could come before: 4 or 0."""
    if ending is Ending.WRONG_FORMAT:
        return 1
    if summary.pending:
        return STILL_PENDING
    if ending is Ending.STOPPED:
        return 0 if followed else _INTERRUPTED
    return SOME_DEAD if summary.dead or summary.rejected or summary.nobody_to_tell else 0
