"""Diagnostics as text: location, finding, the line with a caret, and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hookline.cli.output.colour import coloured
from hookline.diagnostics import Diagnostic, Severity
from hookline.escaping import printable, printable_lines

if TYPE_CHECKING:  # the errors of most commands need no webhook files
    from hookline.config.discovery import LeftOut

MAX_WARNINGS = 20


def diagnostic_text(diagnostic: Diagnostic) -> str:
    """``file:line:column: error[HL012]: summary``, the line with a caret, the hint. Styled; click strips that."""
    colour = "red" if diagnostic.severity is Severity.ERROR else "yellow"
    label = coloured(f"{diagnostic.severity}[{diagnostic.code}]", colour, bold=True)
    place = f"{printable(diagnostic.location)}: " if diagnostic.location else ""
    lines = [f"{place}{label}: {printable_lines(diagnostic.summary)}"]
    if diagnostic.excerpt is not None and diagnostic.line is not None:
        gutter = f"{diagnostic.line:>6} | "
        lines.append(gutter + printable(diagnostic.excerpt))
        if diagnostic.column is not None:
            lines.append(" " * (len(gutter) - 2) + "| " + " " * (diagnostic.column - 1) + coloured("^", colour))
    if diagnostic.hint:
        lines.append(f"  hint: {printable_lines(diagnostic.hint)}")
    return "\n".join(lines)


def warn_of_left_out(left_out: Sequence[LeftOut]) -> None:
    """Write a warning to stderr for each file and directory that is not read, misnamed ones first, at most 20."""
    for one in sorted(left_out, key=lambda one: not one.misnamed)[:MAX_WARNINGS]:
        click.echo(f"warning: {one.name} is not read: {one.reason}", err=True)
    if (more := len(left_out) - MAX_WARNINGS) > 0:
        click.echo(f"warning: {more} more are not read; `hookline validate --format json` names all", err=True)
