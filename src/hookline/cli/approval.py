"""A person's yes, before anything is applied."""

from __future__ import annotations

import sys

import click

from hookline.errors import Blocked


def ask() -> None:
    """Return when a person says yes; raise Blocked for any other answer, and where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Blocked("approval is missing, and there is no terminal to ask on", hint="give --auto-approve")
    answer = click.prompt("Apply these changes? Only 'yes' is accepted", default="", show_default=False)
    if answer != "yes":
        raise Blocked("cancelled; nothing was changed")
