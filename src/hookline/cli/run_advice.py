"""The lines at the end of a relay's run: why it ended, what needs attention, and the next step for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from hookline.escaping import printable
from hookline.paths import is_named_pipe
from hookline.relay.relay import Ending
from hookline.relay.spool.factory import spool_store
from hookline.relay.summary import Summary, unknown_formats
from hookline.units import option_duration
from hookline.wiring.run_options import RelayOptions

MAX_NAMES_SHOWN = 5  # of files, in one line


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
        lines += input_advice(summary)
    for line in filter(None, lines):
        show(line)


def input_advice(summary: Summary) -> list[str]:
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
