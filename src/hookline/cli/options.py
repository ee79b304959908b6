"""Options that several commands share, declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hookline.settings import DEFAULT_CONFIG, DEFAULT_SECRETS_DIR, DEFAULT_SPOOL, DEFAULT_STATE

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def config_option(function: Decorated) -> Decorated:
    return click.option(
        "--config",
        default=DEFAULT_CONFIG,
        show_default=True,
        type=click.Path(path_type=Path),
        envvar="HOOKLINE_CONFIG",
        help="The configuration directory.",
    )(function)


def state_option(function: Decorated) -> Decorated:
    return click.option(
        "--state",
        default=DEFAULT_STATE,
        show_default=True,
        envvar="HOOKLINE_STATE",
        help="The stored state: the path of its SQLite file.",
    )(function)


def spool_option(function: Decorated) -> Decorated:
    return click.option(
        "--spool",
        default=DEFAULT_SPOOL,
        show_default=True,
        type=click.Path(path_type=Path),
        envvar="HOOKLINE_SPOOL",
        help="The spool: a directory.",
    )(function)


def secrets_options(function: Decorated) -> Decorated:
    function = click.option(
        "--secrets-by-organization",
        is_flag=True,
        envvar="HOOKLINE_SECRETS_BY_ORGANIZATION",
        help="Let a webhook name only its own organization's secrets.",
    )(function)
    return click.option(
        "--secrets-dir",
        default=DEFAULT_SECRETS_DIR,
        show_default=True,
        type=click.Path(path_type=Path),
        envvar="HOOKLINE_SECRETS_DIR",
        help="The directory below which {file: …} references are read.",
    )(function)
