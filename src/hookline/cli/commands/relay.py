"""`hookline relay`: read events and deliver their feedback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hookline.cli.garbage_collection import collect_new_objects
from hookline.cli.options import HeadedCommand, examples
from hookline.cli.output.json_output import print_json
from hookline.cli.output.relay_output import RelayOutput
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.relay_options import MakeLog, deliver_options, relay_options
from hookline.cli.run_advice import input_advice, print_advice
from hookline.cli.variables import add_variables
from hookline.errors import HooklineError, WrongUse
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.paths import is_named_pipe
from hookline.relay.delivery_record import Delivery, Rejected, Skipped
from hookline.relay.ingest.dry_run import DryRunEvent
from hookline.relay.relay import Ending
from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.broker.source_address import find_address
from hookline.relay.spool.factory import spool_store
from hookline.relay.summary import Summary
from hookline.units import option_duration
from hookline.wiring.dry_run_relay import dry_run_relay
from hookline.wiring.run_options import RelayOptions
from hookline.wiring.run_relay import run_relay

if TYPE_CHECKING:
    from hookline.cli.progress.relay_progress import ProgressBar


@click.command(
    cls=HeadedCommand,
    epilog=examples(
        "hookline relay --follow --listen 127.0.0.1:9469 /var/log/feedback/events.ndjson",
        "hookline relay --organization ACME@AdobeOrg --sandbox prod --campaign newsletter sendgrid.ndjson",
        "hookline relay --dry-run --format ses events.ndjson.gz",
        "hookline relay --follow 'kafka://kafka.example.net:9093/feedback?group=hookline'",
        "hookline relay --follow 'nats://nats.example.net/EVENTS?durable=hookline'",
        "hookline relay --drain --max-wait 90m",
        exits="0 all delivered or skipped, 3 some are dead letters or were rejected, or input was not recognized or "
        "not read, 4 some are still pending, 8 the state or the spool cannot be used",
    ),
)
@relay_options
def relay_command(*, options: RelayOptions, drain: bool, dry_run: bool, summary: str, log: MakeLog) -> int:
    """Read events, one per line, from FILEs or standard input, and deliver their feedback to the applied webhooks.

    A FILE is a file (gzip, zstd, xz and bzip2 are decompressed), a named pipe, a directory, or a quoted pattern such
    as '/var/log/app/*.log'. The relay first makes the input durable in the spool. It reads a file from its checkpoint
    on. It ends when all deliveries are settled, or after --max-wait. With --follow it runs until it is stopped.

    Instead of FILEs, name one topic of Kafka, kafka://HOST:PORT/TOPIC?group=NAME, or one stream of NATS JetStream,
    nats://HOST/STREAM?durable=NAME. Relays with the same name share the work.
    """

    def work(output: RelayOutput) -> int:
        _refuse_contradictions(options, drain=drain, dry_run=dry_run)
        chosen = options if drain else replace(options, sources=options.sources or ("-",))
        if not dry_run:
            _require_name(chosen)
        if "-" in chosen.sources and sys.stdin.isatty():
            output.message("Reading events from the terminal, one per line; end with Ctrl-D.", "info")
        return _dry_run(chosen, output, summary) if dry_run else _run(chosen, output, summary)

    return _report_errors(RelayOutput(log), work)


@click.command(
    cls=HeadedCommand,
    epilog=examples(
        "hookline deliver --spool postgresql://relay@db/feedback --state postgresql://relay@db/feedback",
        "hookline deliver --spool postgresql://relay@db/feedback --listen 127.0.0.1:9469",
        exits="0 stopped and nothing is pending, 4 some are still pending, 8 the state or the spool cannot be used",
    ),
)
@deliver_options
def deliver_command(*, options: RelayOptions, summary: str, log: MakeLog) -> int:
    """Deliver from a spool that several processes share. Read no input.

    Each process owns a fair share of the endpoints. When a process ends or its machine fails, the others take its
    endpoints over. It runs until it is stopped.
    """
    return _report_errors(RelayOutput(log), lambda output: _run(options, output, summary))


def _report_errors(output: RelayOutput, work: Callable[[RelayOutput], int]) -> int:
    """Run the work of a command and report its errors in the format of the log. Returns the exit code."""
    collect_new_objects()
    try:
        return work(output)
    except HooklineError as error:
        add_variables(error, click.get_current_context())
        output.error(error)
        return error.exit_code
    except Exception as bug:
        if not output.log.is_json:
            raise
        output.internal_error(bug)
        return ExitCode.FAILED
    finally:
        output.close()


def _refuse_contradictions(options: RelayOptions, *, drain: bool, dry_run: bool) -> None:
    """Raise WrongUse for options that exclude each other."""
    settings = options.settings
    if (address := find_address(options.sources)) is not None:
        require_address(address, from_start=options.from_start)
    elif any("://" in source for source in options.sources):
        hint = "name files, named pipes, directories or quoted patterns, or - for standard input"
        raise WrongUse("FILE: not a path: it is an address", hint=hint)
    if drain and options.sources:
        raise WrongUse("--drain reads no input, so it takes no FILE", hint="leave out one of them")
    if settings.dedupe_window_seconds > settings.retain_seconds:
        raise WrongUse(
            f"--dedupe-window is longer than --retain ({option_duration(settings.retain_seconds)}): the relay would "
            "forget delivered ids too early",
            hint="make --retain longer, or the window shorter",
        )
    if options.source_key is not None and options.source_certificate is None:
        raise WrongUse("--source-key needs --source-certificate", hint="name the file of the certificate too")
    if options.follow and (drain or dry_run):
        raise WrongUse(
            "--follow reads without an end, but --drain and --dry-run end", hint="leave out one of the options"
        )


def _require_name(options: RelayOptions) -> None:
    """Raise WrongUse unless a name tells which relays read the same files of a shared spool."""
    if find_address(options.sources) is not None:
        return
    pipes = [source for source in options.sources if source == "-" or is_named_pipe(source)]
    files = len(options.sources) - len(pipes)
    if files and not options.name and spool_store(options.spool).shared:
        raise WrongUse(
            "files that are read into a shared spool need --name",
            hint="give each machine its own name (--name mail-1); relays with the same name read the same files, one "
            "at a time",
        )
    if options.name and pipes:
        raise WrongUse("--name is for files, and a pipe has one reader", hint="read the pipe with a relay of its own")


def _progress_bar() -> ProgressBar:
    from hookline.cli.progress.relay_progress import ProgressBar  # noqa: PLC0415 - loads rich

    return ProgressBar()


def _run(options: RelayOptions, output: RelayOutput, form: str) -> int:
    put_work_first()
    with _progress_bar() if sys.stderr.isatty() else nullcontext() as bar:
        output.above_bar = None if bar is None else bar.write
        try:
            ending, summary = asyncio.run(run_relay(options, output.log, None if bar is None else bar.show))
        finally:
            output.above_bar = None
    _print_summary(summary, form, output)
    print_advice(ending, summary, options, output.message)
    return _exit_code(ending, summary, followed=options.follow)


def _dry_run(options: RelayOptions, output: RelayOutput, form: str) -> int:
    summary = dry_run_relay(options, output.log, _print_result)
    _print_summary(summary, form, output)
    output.message("Dry run: nothing was sent or stored; deliveries that would be sent count as pending.", "info")
    for line in input_advice(summary):
        output.message(line)
    return ExitCode.INCOMPLETE if summary.is_incomplete else ExitCode.DONE


def _print_result(event: DryRunEvent) -> None:
    place = f"{printable(event.source)}:{event.line}:"
    match event.result:
        case Delivery() as delivery:
            action = "duplicate" if event.duplicate else "deliver"
            sent = f"{delivery.address} {delivery.channel} {delivery.status} {delivery.id.hex()}"
            click.echo(f"{place} {action} {sent}")
        case Skipped(reason, name):
            click.echo(f"{place} skip {reason}{f' {printable(name)}' if name else ''}")
        case Rejected(reason):
            click.echo(f"{place} reject {reason}")


def _print_summary(summary: Summary, form: str, output: RelayOutput) -> None:
    """JSON to stdout, or a table to stderr."""
    if form == "json":
        print_json(summary.as_json(), indent=None)
    else:
        output.summary(summary)


def _exit_code(ending: Ending, summary: Summary, *, followed: bool) -> ExitCode:
    """4 before 3. A run with --follow has no end of input that a stop could precede: 4 or 0."""
    if ending is Ending.WRONG_FORMAT:
        return ExitCode.FAILED
    if summary.pending and ending is not Ending.SETTLED:  # then they are those of other relays
        return ExitCode.STILL_PENDING
    if ending is Ending.STOPPED:
        return ExitCode.DONE if followed else ExitCode.INTERRUPTED
    return ExitCode.INCOMPLETE if summary.is_incomplete else ExitCode.DONE
