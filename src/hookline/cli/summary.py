"""The end of a relay run for people: a table, and what to do about what is left. To stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hookline.relay.daemon import Ending, Settings
from hookline.relay.summary import Summary


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
    ending: Ending, summary: Summary, settings: Settings, *, sources: Sequence[str], followed: bool
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
