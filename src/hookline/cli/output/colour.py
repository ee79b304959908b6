"""Colour in the output. click removes it where there is no terminal."""

from __future__ import annotations

import click

from hookline.settings import no_colour


def coloured(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    """The text in a colour that click knows, or as it is if NO_COLOR is set."""
    return text if no_colour() else click.style(text, fg=colour, bold=bold or None)
