"""What a shell offers on Tab: the addresses of webhooks that this machine knows.

It reads the files that the command line or the environment names, and never the network. A file that cannot be read
offers nothing: Tab prints no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from hookline.paths import path_exists

MAX_OFFERED = 200


def complete_addresses(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The addresses that begin with `incomplete`, from the state, the webhook files and the spool of the command."""
    found: set[str] = set()
    for option, read in (("state", _of_state), ("config", _of_files), ("spool", _of_spool)):
        value = context.params.get(option)
        if value is not None and "://" not in str(value):
            with suppress(Exception):
                found |= {str(address) for address in read(value)} if path_exists(str(value)) else set()
    return [CompletionItem(address) for address in sorted(found) if address.startswith(incomplete)][:MAX_OFFERED]


def _of_state(state: Any) -> Iterable[object]:
    from hookline.state.factory import open_state  # noqa: PLC0415 - only for Tab

    return open_state(str(state)).read().webhooks


def _of_files(config: Any) -> Iterable[object]:
    from hookline.config.loader import inspect  # noqa: PLC0415 - only for Tab

    return inspect(Path(config)).desired.webhooks.keys()


def _of_spool(spool: Any) -> Iterable[object]:
    from hookline.relay.spool.factory import spool_store  # noqa: PLC0415 - only for Tab

    return spool_store(str(spool)).statistics().backlogs() or ()


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell's own completion of files."""
    return [CompletionItem(incomplete, type="file")]


def complete_addresses_and_files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Addresses; files if no address begins so."""
    return complete_addresses(context, parameter, incomplete) or complete_files(context, parameter, incomplete)


def complete_values(
    values: Callable[[], Iterable[str]],
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """One of `values`, in any case."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(one) for one in values() if one.lower().startswith(incomplete.lower())]

    return complete
