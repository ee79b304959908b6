"""Diagnostics as text: location, finding, the line with a caret, and the next step."""

from __future__ import annotations

import click

from hookline.diagnostics import Diagnostic, Severity
from hookline.escaping import printable, printable_lines


def diagnostic_text(diagnostic: Diagnostic) -> str:
    """``file:line:column: error[HL012]: summary``, the line with a caret, the hint. Styled; click strips that."""
    colour = "red" if diagnostic.severity is Severity.ERROR else "yellow"
    label = click.style(f"{diagnostic.severity}[{diagnostic.code}]", fg=colour, bold=True)
    place = f"{printable(diagnostic.location)}: " if diagnostic.location else ""
    lines = [f"{place}{label}: {printable_lines(diagnostic.summary)}"]
    if diagnostic.excerpt is not None and diagnostic.line is not None:
        gutter = f"{diagnostic.line:>6} | "
        lines.append(gutter + printable(diagnostic.excerpt))
        if diagnostic.column is not None:
            lines.append(" " * (len(gutter) - 2) + "| " + " " * (diagnostic.column - 1) + click.style("^", fg=colour))
    if diagnostic.hint:
        lines.append(f"  hint: {printable_lines(diagnostic.hint)}")
    return "\n".join(lines)
