"""JSON on standard output: invisible characters are escaped, and so is text that the encoding of the stream lacks."""

from __future__ import annotations

import codecs
import sys
from typing import Any

import click

from hookline.escaping import visible_json


def json_output(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON for standard output, on one line by default."""
    return visible_json(value, indent=indent, ascii_only=not _is_utf8(getattr(sys.stdout, "encoding", None)))


def print_json(value: Any, *, indent: int | None = 2) -> None:
    click.echo(json_output(value, indent=indent))


def _is_utf8(encoding: str | None) -> bool:
    try:
        return encoding is None or codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False
