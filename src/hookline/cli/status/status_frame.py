"""One screen of `status --watch`: as many lines of the status as the terminal has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hookline.cli.output.tables import duration_text
from hookline.cli.status.activity_text import activity_cells
from hookline.cli.status.status_report import StatusReport
from hookline.cli.status.status_text import status_text
from hookline.escaping import printable
from hookline.relay.spool.activity import minute_of
from hookline.units import utc_text

MIN_PLOT_COLUMNS: Final = 110  # of a terminal that shows plots
_MAX_REASON_CHARS: Final = 40
_IMPORTANT: Final = ("relay", "processes", "unowned", "pending", "drain", "dead letters", "crashes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The lines of a screen. `problem` is the second one, if the latest read failed or takes long."""

    title: str
    problem: str | None
    body: tuple[str, ...]


def screen(
    report: StatusReport, *, place: str, now: float, problem: str | None, everything: bool, size: tuple[int, int]
) -> Screen:
    """The screen.

    Args:
        report: The latest status that was read.
        place: The location of the spool, without a password.
        now: The time.
        problem: Why no later status could be read.
        everything: Do not cut long tables, except at the end of the screen.
        size: The columns and lines of the terminal.
    """
    width, height = size
    age = max(0.0, now - report.spool.at)
    title = f"{utc_text(report.spool.at)}  {printable(place)}  (Ctrl-C ends)"
    if problem is not None:
        problem = f"{duration_text(age)} old: {printable(problem)}"  # the end may be cut
    plots = activity_cells(report.activity, minute_of(now)) if width >= MIN_PLOT_COLUMNS else None
    lines = list(
        status_text(
            report.spool, report.relay, report.holder, processes=report.processes, drain=report.drain, plots=plots,
            everything=everything, max_reason_characters=_MAX_REASON_CHARS,
        )
    )  # fmt: skip
    room = height - (1 if problem is None else 2)
    return Screen(title=title, problem=problem, body=tuple(_cut(lines, room)))


def _cut(lines: list[str], room: int) -> list[str]:
    """The lines that fit. Totals and sizes go first, because the webhooks that need attention are more important."""
    if len(lines) <= room:
        return lines
    head = lines.index("") if "" in lines else len(lines)
    shown = [line for number, line in enumerate(lines) if number >= head or line.startswith(_IMPORTANT)]
    kept = max(0, room - 1)
    left = len(lines) - min(kept, len(shown))
    return [*shown[:kept], f"... {left:,} more lines than the terminal has room for"][: max(0, room)]
