"""Opens the input of a relay run: files, standard input, or a distributed log."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypedDict

from hookline.observe.log import Log
from hookline.relay.formats.line_reader import is_readable
from hookline.relay.slots.ownership import Ownership
from hookline.relay.sources.broker.open_broker import BrokerOptions, open_broker
from hookline.relay.sources.broker.source_address import find_address
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.files.leased_source import LeasedSource
from hookline.relay.sources.files.standby_check import StandbyCheck
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import LineSource, Position
from hookline.relay.spool.opened_spool import OpenedSpool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.wiring.run_options import Machine, RelayOptions


def open_input(
    options: RelayOptions,
    thread: SpoolThread,
    opened: OpenedSpool,
    *,
    ownership: Ownership | None,
    log: Log,
    machine: Machine,
) -> LineSource | None:
    """The input; None: the relay reads nothing. The files of a name are read by one process at a time."""
    if options.delivers_only:
        return None
    if machine.open_source is not None:
        return machine.open_source(opened.positions)
    if (address := find_address(options.sources)) is not None:
        positions = partial(thread.run_from_thread, thread.spool.positions)
        return open_broker(address, positions, broker_options(options), logger=log)
    open_files = partial(open_sources, options.sources, follow=options.follow, logger=log, **file_options(options))
    if ownership is None or not options.name:
        return open_files(() if options.from_start else opened.positions)
    return _leased_files(options, thread, ownership, log, open_files)


def _leased_files(
    options: RelayOptions, thread: SpoolThread, ownership: Ownership, log: Log, open_files: Callable[..., LineSource]
) -> LineSource:
    """The files of a name, which one process at a time reads."""

    def positions() -> Sequence[Position]:
        return list(thread.run_from_thread(thread.spool.positions))

    def open_leased() -> LineSource:
        if options.from_start:
            return open_files(())
        return open_files(positions(), others=thread.run_from_thread(ownership.positions_of_others))

    return LeasedSource(
        partial(ownership.take_reader, options.name),
        open_leased,
        log,
        name=options.name,
        on_standby=StandbyCheck(options.sources, positions, log, reader=options.name).run,
    )


def broker_options(options: RelayOptions, *, acknowledges: bool = True) -> BrokerOptions:
    return BrokerOptions(
        follow=options.follow,
        from_start=options.from_start,
        acknowledges=acknowledges,
        credentials=_source_credentials(options),
        certificate=_source_certificate(options),
        ca_file=options.ca_file,
    )


def _source_certificate(options: RelayOptions) -> SourceCertificate | None:
    """The files of the relay's own certificate. Like its credentials, they are in the scope of no organization."""
    if options.source_certificate is None:
        return None
    resolver = replace(options.resolver, by_organization=False)
    key = None if options.source_key is None else resolver.locate(options.source_key, "")
    return SourceCertificate(resolver.locate(options.source_certificate, ""), key)


def _source_credentials(options: RelayOptions) -> bytes | None:
    """Returns the secret for the source. It belongs to the operator, so it is in the scope of no organization."""
    if options.source_credentials is None:
        return None
    return replace(options.resolver, by_organization=False).resolve(options.source_credentials, "").reveal()


class FileOptions(TypedDict):
    links_below: Sequence[str]
    is_event: Callable[[bytes], bool]


def file_options(options: RelayOptions) -> FileOptions:
    """Returns the options of `open_sources` that a run and a dry run share."""
    settings = options.settings
    return {
        "links_below": [os.path.realpath(directory) for directory in options.links_below],
        "is_event": partial(is_readable, format=settings.format, mapping=settings.defaults.mapping),
    }
