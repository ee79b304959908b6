"""A command of hookline that runs in the process of the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from hookline.cli.main import main


class Done(NamedTuple):
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def run_captured(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Runs a command in the current directory. Output from before it is dropped."""
    capsys.readouterr()
    code = main(list(arguments))
    return Done(code, *capsys.readouterr())
