"""`hookline relay`: read events and deliver their feedback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hookline.cli.options import HeadedCommand, examples
from hookline.cli.output.json_output import print_json
from hookline.cli.output.relay_output import RelayOutput
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.relay_options import MakeLog, deliver_options, relay_options
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
from hookline.relay.summary import Summary, unknown_formats
from hookline.units import option_duration
from hookline.wiring.run_options import RelayOptions
from hookline.wiring.run_relay import dry_run_relay, run_relay

if TYPE_CHECKING:
    from hookline.cli.output.relay_progress import ProgressBar

MAX_NAMES_SHOWN = 5  # of files, in one line


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
    from hookline.cli.output.relay_progress import ProgressBar  # noqa: PLC0415 - loads rich

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
    for line in _input_advice(summary):
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


def _to_stderr(text: str) -> None:
    click.echo(text, err=True)


def print_advice(
    ending: Ending,
    summary: Summary,
    options: RelayOptions,
    show: Callable[[str], object] = _to_stderr,
) -> None:
    """Show, for each condition that needs attention, a line with the next step."""
    lines = [_ending_text(ending, summary, options)]
    if summary.pending and ending is not Ending.SETTLED:
        step = "`hookline relay --drain` delivers them"
        if spool_store(options.spool).shared:
            step = "the processes that own their endpoints deliver them; `hookline relay --drain` waits for it"
        lines.append(f"{summary.pending:,} still pending: {step}.")
    if summary.dead or summary.rejected:
        lines.append("Dead letters are kept: `hookline dead list` shows them.")
    if options.sources and not options.follow and ending in {Ending.SETTLED, Ending.HELD, Ending.TIMED_OUT}:
        lines += _input_advice(summary)
    for line in filter(None, lines):
        show(line)


def _input_advice(summary: Summary) -> list[str]:
    """Why nothing was delivered, and what of the input was not read, each with the next step."""
    lines = []
    for name, unread in summary.input_end.unread:
        lines.append(f"{printable(name)}: {_unread_text(unread)}")
    if not summary.read and not summary.carried:
        lines += _nothing_read(summary)
    elif summary.is_unrecognized:
        lines.append(
            "No line was recognized as an event of a known format.\n"
            "  hint: `hookline formats test FILE` shows how each line is read; then run with --format or --map, and "
            "--from-start"
        )
    elif summary.without_webhooks:
        lines.append(
            "No webhook is applied for any of the events that could be delivered.\n"
            "  hint: compare their organization and sandbox with `hookline list`"
        )
    elif summary.without_events:
        lines.append(
            "Nothing was delivered: no line contains an event.\n"
            "  hint: `hookline formats test FILE` shows how each line is read"
        )
    elif summary.read and summary.read == summary.duplicates:
        lines.append(
            "Nothing was delivered: all events are known from an earlier run (--dedupe-window).\n"
            "  hint: `hookline trace REQUEST_ID` shows the result of each"
        )
    elif summary.read and summary.read == sum(summary.skipped.values()) + summary.duplicates:
        lines.append("Nothing was delivered: all events were skipped by rule, or are known from an earlier run.")
    if unread := summary.unread_outcomes:
        look = "1 line looks like a result" if unread == 1 else f"{unread:,} lines look like results"
        lines.append(
            f"{look} of a mail server and {'was' if unread == 1 else 'were'} not understood.\n"
            "  hint: `hookline formats test FILE` shows each as `unread_outcome`"
        )
    return lines


def _unread_text(unread: int) -> str:
    if not unread:
        return (
            "a part was not read, because the file is damaged or was replaced during the run.\n"
            "  hint: the warning above names the place; replace a damaged file by an intact copy, and run again"
        )
    return (
        f"{unread:,} byte{'s' * (unread != 1)} after its last line end not read: no complete line.\n"
        "  hint: complete the file and run the same command, or read it through a pipe, where any rest is a line"
    )


def _nothing_read(summary: Summary) -> list[str]:
    names = [printable(name) for name in summary.input_end.already_read]
    if names:
        more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
        return [
            f"Nothing was read: an earlier run has read {', '.join(names[:MAX_NAMES_SHOWN])}{more} to the end.\n"
            "  hint: --from-start reads files again; events within --dedupe-window are still not sent twice"
        ]
    return [] if summary.input_end.unread else ["Nothing was read: the input contains no line."]


def _ending_text(ending: Ending, summary: Summary, options: RelayOptions) -> str | None:
    """Why the run ended early; None if it did not."""
    settings = options.settings
    if ending is Ending.WRONG_FORMAT:
        known = f", {summary.duplicates:,} of them by an earlier run" if summary.duplicates else ""
        unknown = unknown_formats(summary.skipped)
        counts = f" ({unknown:,} of no known format were skipped)" if unknown else ""
        again = "with --from-start" if unknown else "to continue"
        return (
            f"Stopped: none of the first {summary.read:,} events was recognized{known}{counts}, which looks like the "
            f"wrong --format ({settings.format}). Rejected ones are kept as dead letters.\n  hint: `hookline dead "
            "list` shows the reasons; with the right --format, run `hookline dead replay --all` and the same command "
            f"{again}"
        )
    if ending is Ending.SPOOL_FULL:
        return (
            "Stopped before the end of the input: no pending delivery can be sent now, and the spool is full "
            f"(--spool-max {settings.max_pending:,}).\n"
            "  hint: `hookline status` shows the reasons; then run the same command to continue"
        )
    if ending is Ending.TIMED_OUT:
        return f"Not all deliveries were accepted within --max-wait ({option_duration(settings.max_wait_seconds)})."
    return _stopped_text(options.sources) if ending is Ending.STOPPED and not options.follow else None


def _stopped_text(sources: Sequence[str]) -> str:
    """A stop loses nothing of a file or of a spool that is drained, but the unread lines of a pipe."""
    if not any(source == "-" or is_named_pipe(source) for source in sources):
        return "Stopped: run the same command to continue."
    return (
        "Stopped: the lines that were read from the pipe are in the spool, its unread lines are lost.\n"
        "  hint: run the producer again; within --dedupe-window, the relay does not send a delivered event twice"
    )


def _exit_code(ending: Ending, summary: Summary, *, followed: bool) -> ExitCode:
    """4 before 3. A run with --follow has no end of input that a stop could precede: 4 or 0."""
    if ending is Ending.WRONG_FORMAT:
        return ExitCode.FAILED
    if summary.pending and ending is not Ending.SETTLED:  # then they are those of other relays
        return ExitCode.STILL_PENDING
    if ending is Ending.STOPPED:
        return ExitCode.DONE if followed else ExitCode.INTERRUPTED
    return ExitCode.INCOMPLETE if summary.is_incomplete else ExitCode.DONE
