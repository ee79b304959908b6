"""A relay on a machine of the test: its clock, randomness, source and endpoints come from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from builders import ACME, as_lines, document, entry, line, xdm_event
from hookline.model import Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery import dispatcher
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.sources.source import START_POSITION, Batch, Position, SourceLag
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl
from hookline.relay.summary import Summary
from hookline.state.factory import open_state
from hookline.state.store import EMPTY
from hookline.wiring.run_options import Machine, RelayOptions
from hookline.wiring.run_relay import run_relay

NOW = 1_700_000_000.0


class Ticking:
    """A clock that advances by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self._even = 0.0

    def even(self) -> float:
        self._even += 0.001
        return self._even

    def wall(self) -> float:
        return NOW + self._even


class Lines:
    """A source of a few lines that never wait."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = [line(one, number) for number, one in enumerate(lines, 1)]

    def read(self) -> Batch:
        taken, self._lines = self._lines, []
        return Batch("memory", taken, START_POSITION, True)

    def lags(self) -> list[SourceLag]:
        return []

    def progress(self) -> tuple[int, int | None]:
        return 0, None

    def unfinished(self) -> list[tuple[str, int]]:
        return []

    def stray_bytes(self) -> int:
        return 0

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None: ...

    def close(self) -> None: ...


class Answering(Endpoint):
    """An endpoint that answers by a function."""

    def __init__(self, answer: Callable[[], ExchangeResult]) -> None:
        self.answer = answer

    async def post(self, attempt: Attempt) -> ExchangeResult:
        return self.answer()

    def renew(self) -> None: ...

    async def aclose(self) -> None: ...


def relayed(
    directory: Path, answer: Callable[[], ExchangeResult], *, max_wait_seconds: float = 60.0
) -> tuple[Ending, Summary]:
    """A run over three events, with one webhook, on a clock that the test owns."""
    opened: list[list[Position]] = []
    endpoints: list[Webhook] = []

    def open_source(positions: Iterable[Position]) -> Lines:
        opened.append(list(positions))
        return Lines(as_lines(xdm_event(n, n) for n in range(3)).splitlines(keepends=True))

    def make_endpoint(webhook: Webhook) -> Answering:
        endpoints.append(webhook)
        return Answering(answer)

    options = RelayOptions(
        state=str(directory / "state.db"), spool=directory / "spool", sources=(),
        settings=RelaySettings(
            defaults=Defaults(organization=ACME.organization, sandbox=ACME.sandbox), max_wait_seconds=max_wait_seconds
        ),
        rules=NetworkRules(()), resolver=SecretResolver(environment={}, directory=directory, by_organization=False),
    )  # fmt: skip
    open_state(options.state).commit(EMPTY, {ACME: document(statuses=["sent"])}, entry())
    ticking = Ticking()
    machine = Machine(
        clock=RelayClock(wall=ticking.wall, even=ticking.even),
        random=Random(1),
        open_source=open_source,
        make_endpoint=make_endpoint,
    )
    log = Log(lambda text: None, level="warning", format="text", clock=lambda: NOW)
    ended = asyncio.run(run_relay(options, log, machine=machine))
    assert ([[]], [ACME]) == (opened, [one.address for one in endpoints])
    return ended


def test_a_run_ends_when_all_is_settled(tmp_path: Path) -> None:
    """The relay reads the given source and posts to the given endpoint. The last settlement ends the run."""
    ending, summary = relayed(tmp_path, lambda: Response(200))
    assert (Ending.SETTLED, 3, 0) == (ending, summary.delivered, summary.pending)


def test_a_pause_ends_a_run_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All deliveries wait for a retry. Once an operator pauses the webhook, the run has nothing to wait for."""
    monkeypatch.setattr(dispatcher, "HOUSEKEEPING_SECONDS", 0.01)

    def pauses() -> ExchangeResult:
        with SqliteWebhookControl(tmp_path / "spool") as elsewhere:
            elsewhere.pause(ACME, now=NOW)
        return Response(503, 1_000.0)

    ending, summary = relayed(tmp_path, pauses)
    assert (Ending.HELD, 0, 3) == (ending, summary.delivered, summary.pending)


def test_a_run_waits_no_longer_than_its_limit(tmp_path: Path) -> None:
    """The deliveries that wait for a retry remain for the next run."""
    ending, summary = relayed(tmp_path, lambda: Response(503, 1_000.0), max_wait_seconds=0.01)
    assert (Ending.TIMED_OUT, 3) == (ending, summary.pending)
