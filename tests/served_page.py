"""A `hookline serve` process and a client with its session, and the same pages in this process."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from hookline.cli.options import parse_time_or_age
from hookline.cli.output.yaml_writer import as_yaml
from hookline.cli.status.drain_text import drain_cell, drain_sentence
from hookline.cli.status.status_report import read_drain, read_limits
from hookline.state.factory import open_state
from hookline.web.applied_state_reader import AppliedStateReader
from hookline.web.links import PageLinks, ServedLinks
from hookline.web.site import Site, SiteSources
from hookline.web.spool_reader import SpoolReader
from hookline_process import clean_environment, start_process
from waiting import wait_until

_URL = re.compile(r"open once, within an hour: (\S+)\n")


class ServedPage:
    """The process. `one_time_url` is the latest that it printed."""

    def __init__(self, directory: Path, *options: str, program: Sequence[str] | None = None) -> None:
        self._log = directory / "serve.log"
        self._taken = 0
        with self._log.open("wb") as log:
            self.process = start_process(
                program, "serve", *options, cwd=directory, env=clean_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def urls(self) -> list[str]:
        return _URL.findall(self.log)

    def one_time_url(self, count: int = 1) -> str:
        """The URL number `count`, once it is printed."""
        wait_until(lambda: len(self.urls) >= count, process=self.process, detail=lambda: self.log)
        return self.urls[count - 1]

    def new_url(self) -> str:
        """A URL that nobody has used yet: the first, then one for each SIGHUP."""
        self._taken += 1
        if self._taken > 1:
            self.process.send_signal(signal.SIGHUP)
        return self.one_time_url(self._taken)

    @property
    def origin(self) -> str:
        return self.one_time_url().partition("/open/")[0]

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client that has used the one-time URL."""
        with httpx.Client(base_url=self.origin, timeout=60, trust_env=False) as client:
            assert 200 == client.get(self.new_url()).status_code
            yield client

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


@contextmanager
def serving_page(directory: Path, *options: str) -> Iterator[ServedPage]:
    """A page on a free port, unless the options name another place."""
    place = () if {"--listen", "--socket"} & set(options) else ("--listen", "127.0.0.1:0")
    served = ServedPage(directory, *place, *options)
    try:
        yield served
    finally:
        served.end()


def site_of(directory: Path, links: PageLinks | None = None, *, show_recipients: bool = False) -> Site:
    """The pages of the state and the spool in a directory, in this process."""
    return site_at(str(directory / "state.db"), str(directory / "spool"), links, show_recipients=show_recipients)


def site_at(state: str, spool: str, links: PageLinks | None = None, *, show_recipients: bool = False) -> Site:
    sources = SiteSources(
        state=AppliedStateReader(open_state(state), state),
        spool=SpoolReader(spool, partial(read_drain, applied=partial(read_limits, state))),
        plan=None,
        as_yaml=as_yaml,
        drain_text=drain_cell,
        drain_sentence=drain_sentence,
        parse_time=parse_time_or_age,
        show_recipients=show_recipients,
    )
    return Site(sources, links or ServedLinks())
