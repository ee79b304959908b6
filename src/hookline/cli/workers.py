"""`--workers`: how many processes share the work of a relay."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

LARGEST_CREW: Final = 64

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class WorkersParameter(click.ParamType[int]):
    name = "workers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return min(len(os.sched_getaffinity(0)), LARGEST_CREW)
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if not 1 <= number <= LARGEST_CREW:
            self.fail(f"{value!r} is neither auto nor a number from 1 to {LARGEST_CREW}", param, ctx)
        return number


def workers_option(command: Decorated) -> Decorated:
    return click.option(
        "--workers",
        type=WorkersParameter(),
        metavar="N|auto",
        default="1",
        show_default=True,
        help="Processes that share the work; auto: one for each core.",
    )(command)
