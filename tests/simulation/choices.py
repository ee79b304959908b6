"""Chooses the scenario of a seed: at random, or shaped by a theme.

Each seed has only some kinds of happenings (swarm testing, Groce et al. 2012), because a kind that occurs in every
run hides the runs without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from hookline.model import Address
from simulation.endpoints import Mood
from simulation.events import SimulatedEvent
from simulation.scenario import URL_VERSIONS, EventChoices, HappeningCounts, Input, Scenario, document, url
from simulation.state import Document

# The share of the seeds that have one of THEMES.
THEME_SHARE: Final = 0.3
# The share of the seeds with refused events that have busy endpoints instead.
BUSY_SHARE: Final = 0.4
# The share of them that have events which fail as if the endpoint were down.
FAILING_SHARE: Final = 0.3


def choose(random: Random) -> Scenario:
    """The scenario of a seed, given its source of chance. The order of the choices is part of every recorded seed."""
    addresses = [Address("acme", f"s{n}") for n in range(random.choice((1, 1, 2, 3)))]
    active_seconds = random.choice((3.0, 10.0, 30.0))
    scenario = Scenario(
        documents={one: document(random, one, 0) for one in addresses},
        phases={
            url(one, version): _phases(random, active_seconds) for one in addresses for version in range(URL_VERSIONS)
        },
        input=random.choices(tuple(Input), (5, 2, 2))[0],
        active_seconds=active_seconds,
        events=EventChoices(
            count=random.choice((10, 40, 120, 250)),
            messages=random.choice((1, 5, 40, 1000)),
            bad=random.choice((0.0, 0.0, 0.05, 0.3)),
            poison=random.choice((0.0, 0.0, 0.0, 0.1)),
            unreadable=random.choice((0.0, 0.0, 0.05)),
        ),
        shuffle=random.choice((0.0, 0.1, 0.5)),
        checkpoint_pages=random.choice((4, 50, 2000)),
        happenings=_happenings(random),
    )
    return random.choice(THEMES)(random, scenario) if random.random() < THEME_SHARE else scenario


def _happenings(random: Random) -> HappeningCounts:
    def some(probability: float, most: int) -> int:
        return random.randint(1, most) if random.random() < probability else 0

    return HappeningCounts(
        kills=some(0.4, 3),
        power_cuts=some(0.2, 2),
        stops=some(0.3, 2),
        operators=some(0.4, 6),
        applies=some(0.4, 4),
        clock_steps=some(0.15, 3),
        disk_faults=some(0.2, 2),
        rotations=some(0.5, 4),
        state_faults=some(0.1, 1),
        off_seconds=random.choice((0.0, 0.0, 0.0, 3600.0, 80 * 3600.0)),
        second_relays=some(0.1, 2),
    )


def _phases(random: Random, active_seconds: float) -> list[tuple[float, Mood]]:
    if random.random() < 0.3:
        return []
    final = [Mood.CLOSING, Mood.GONE]
    moods = [mood for mood in Mood if mood not in final] * 3 + final
    starts = sorted(random.uniform(0, active_seconds) for _ in range(random.randint(1, 4)))
    return [
        (0.0, random.choice((Mood.HEALTHY, random.choice(moods)))),
        *((at, random.choice(moods)) for at in starts),
    ]


def choose_events(random: Random, scenario: Scenario) -> dict[int, SimulatedEvent]:
    """The events of a scenario by number. All events of a message have one address."""
    choices, addresses = scenario.events, sorted(scenario.documents)
    home = {message: random.choice(addresses) for message in range(choices.messages)}
    events = {}
    for number in range(1, choices.count + 1):
        message = random.randrange(choices.messages)
        events[number] = SimulatedEvent(
            number,
            home[message],
            message,
            bad=random.random() < choices.bad,
            poison=random.random() < choices.poison,
            failing=number <= choices.failing,
            readable=random.random() >= choices.unreadable,
        )
    return events


# -- themes


def _expired_backlog(random: Random, scenario: Scenario) -> Scenario:
    """A backlog that is too old at a limited rate, while events arrive at that rate."""
    return replace(
        scenario,
        input=Input.LOG,
        active_seconds=30.0,
        events=replace(scenario.events, count=250, steady=True, bad=0.0),
        happenings=replace(scenario.happenings, off_seconds=3600.0, applies=0),
        documents=_documents(random, scenario, {"rateLimit": "5/s", "retry": {"maxAge": "10s", "maxDelay": "2s"}}),
    )


def _refused_events(random: Random, scenario: Scenario) -> Scenario:
    """Events that an endpoint answers as if it refused every request, among good ones."""
    kind = random.random()
    if kind < BUSY_SHARE:
        return _busy_endpoints(random, scenario)
    if kind > 1.0 - FAILING_SHARE:
        return _failing_events(random, scenario)
    return replace(
        scenario,
        active_seconds=30.0,
        events=replace(scenario.events, poison=0.2, bad=0.0),
        happenings=replace(scenario.happenings, applies=0),
        phases=dict.fromkeys(scenario.phases, ()),
        documents=_documents(
            random, scenario, {"retry": {"initialDelay": "100ms", "maxDelay": "1s"}, "concurrency": 4}
        ),
    )


def _failing_events(random: Random, scenario: Scenario) -> Scenario:
    """A run of events that fail as if their endpoint were down, before a few good ones. Nothing else happens."""
    nothing = HappeningCounts(
        kills=0, power_cuts=0, stops=0, operators=0, applies=0, clock_steps=0, disk_faults=0, rotations=0,
        state_faults=0, off_seconds=0.0, second_relays=0,
    )  # fmt: skip
    retry = random.choice(({"maxAge": "60s", "maxDelay": "60s"}, {"maxAge": "72h", "maxDelay": "1h"}))
    return replace(
        scenario,
        input=Input.FILES,
        active_seconds=100.0,
        events=EventChoices(
            count=70 * len(scenario.documents),
            messages=1000,
            bad=0.0,
            poison=0.0,
            unreadable=0.0,
            failing=60 * len(scenario.documents),
        ),
        happenings=nothing,
        phases=dict.fromkeys(scenario.phases, ()),
        documents=_documents(random, scenario, {"retry": retry, "concurrency": random.choice((1, 4, 16))}),
    )


def _busy_endpoints(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that ask for different waits, while the relay stops and starts."""
    return replace(
        scenario,
        active_seconds=30.0,
        happenings=replace(scenario.happenings, stops=3, kills=2, applies=0, operators=0, clock_steps=0),
        phases=dict.fromkeys(scenario.phases, ((0.0, Mood.BUSY),)),
        documents=_documents(random, scenario, {"concurrency": 8, "retry": {"maxDelay": "60s"}}),
    )


def _slow_disk(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that are faster than the disk."""
    return replace(
        scenario,
        input=Input.FILES,
        events=replace(scenario.events, count=600, messages=1000),
        slow_disk_seconds=(0.2, 1.5),
        happenings=replace(scenario.happenings, applies=0, operators=0, kills=2),
        phases=dict.fromkeys(scenario.phases, ()),
        documents=_documents(random, scenario, {"concurrency": 8}),
    )


def _closing(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that end with a 410 while other requests are in flight."""
    return replace(
        scenario,
        phases=dict.fromkeys(scenario.phases, ((0.0, Mood.CLOSING),)),
        documents=_documents(random, scenario, {"concurrency": 8}),
    )


def _clock_ahead(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that are down while the clock is set, and then work again."""
    return replace(
        scenario,
        active_seconds=10.0,
        happenings=replace(scenario.happenings, clock_steps=3, off_seconds=0.0, stops=0, kills=0, power_cuts=0),
        phases=dict.fromkeys(scenario.phases, ((0.0, Mood.DOWN),)),
        documents=_documents(random, scenario, {"retry": {"maxAge": "2m", "maxDelay": "2s"}}),
    )


def _reconfigured(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that end with a 410 while their webhooks are reconfigured."""
    starts = {one: random.uniform(1.0, 8.0) for one in scenario.phases}
    return replace(
        scenario,
        input=Input.FILES,
        active_seconds=12.0,
        events=replace(scenario.events, count=400, messages=1000, bad=0.0, poison=0.0),
        happenings=replace(
            scenario.happenings, applies=10, changes=("policy",), off_seconds=0.0, kills=0, power_cuts=0, stops=0
        ),
        phases={one: ((0.0, Mood.SLOW), (start, Mood.CLOSING)) for one, start in starts.items()},
        documents=_documents(random, scenario, {"concurrency": 8}),
    )


def _rotated_while_the_clock_is_set(random: Random, scenario: Scenario) -> Scenario:
    """A log that rotates often, while the clock is set and the relay stops."""
    return replace(
        scenario,
        input=Input.LOG,
        active_seconds=30.0,
        events=replace(scenario.events, count=120, steady=True),
        happenings=replace(
            scenario.happenings, rotations=8, clock_steps=3, stops=3, power_cuts=1, off_seconds=3600.0
        ),
    )


def _long_outage(random: Random, scenario: Scenario) -> Scenario:
    """Endpoints that are down for three days, with hours in which the machine sleeps."""
    retry = {"initialDelay": "1s", "maxDelay": "1h", "maxAge": "72h"}
    return replace(
        scenario,
        input=Input.FILES,
        active_seconds=200.0,
        events=replace(scenario.events, count=40, messages=40),
        happenings=replace(scenario.happenings, suspensions=80, clock_steps=0, applies=0, operators=0),
        phases=dict.fromkeys(scenario.phases, ((0.0, Mood.DOWN),)),
        documents=_documents(random, scenario, {"retry": retry}),
    )


def _documents(random: Random, scenario: Scenario, delivery: Mapping[str, Any]) -> dict[Address, Document]:
    return {address: document(random, address, 0, delivery) for address in scenario.documents}


# Shapes that chance alone rarely gives. Each is the place where one kind of fault shows.
THEMES: Final = (
    _expired_backlog,
    _refused_events,
    _slow_disk,
    _closing,
    _clock_ahead,
    _reconfigured,
    _rotated_while_the_clock_is_set,
    _long_outage,
)
