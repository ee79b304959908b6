"""Webhooks that move while the relay runs, stalls and crashes: also in chains, and back.

A scenario of its own: the choices of the other seeds stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from unittest.mock import patch

from hookline.model import Address
from hookline.state.moved_webhooks import MovedWebhooks, WebhookIdentity
from simulation.choices import choose
from simulation.scenario import Input, Scenario
from simulation.simulation import SeedResult, run_seed


def choose_moves(random: Random) -> Scenario:
    """A scenario of any kind whose applies are moves, and whose events arrive while they happen.

    A producer that begins again writes all events with the latest address, also those that are known.
    """
    scenario = choose(random)
    moves, input_ = random.randint(1, 8), random.choice((Input.LOG, Input.LOG, Input.PIPE))
    return replace(
        scenario,
        input=input_,
        active_seconds=min(scenario.active_seconds, 30.0),
        events=replace(
            scenario.events,
            count=min(scenario.events.count, 120),
            messages=random.choice((1, 5, 40)),
            poison=0.0,
            failing=0,
            steady=input_ is Input.LOG and random.random() < 0.5,
        ),
        happenings=replace(scenario.happenings, applies=moves, changes=("readdress",), operators=0),
    )


def run_moving_seed(seed: int, *, keep_trace: bool = False) -> SeedResult:
    """Run one seed with moves."""
    return run_seed(seed, keep_trace=keep_trace, make_scenario=choose_moves)


@contextmanager
def forgotten_identity() -> Iterator[None]:
    """A planted fault: ids and order keys of a moved webhook begin again."""

    def identity(self: MovedWebhooks, address: Address) -> WebhookIdentity:
        return WebhookIdentity(address)

    with patch.object(MovedWebhooks, "identity", identity):
        yield
