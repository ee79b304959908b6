"""The values of one seed's scenario: webhooks, endpoints, events, the input, and which kinds of happenings it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

from hookline.model import Address
from simulation.endpoints import Mood
from simulation.state import Document

# A webhook has at most this many URLs, one after the other.
URL_VERSIONS: Final = 4
# A webhook that moves has one of this many addresses.
ADDRESSES: Final = 3
_MOVED: Final = "-moved-"
CRASH_LOOP_KILLS: Final = 3


class Input(StrEnum):
    """How the events reach the relay."""

    LOG = "log"  # one file that grows and rotates; the relay follows it
    FILES = "files"  # complete files
    PIPE = "pipe"  # a producer that begins again with each process


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChoices:
    """The events of a seed.

    Attributes:
        count: The number of events.
        messages: The number of messages that they belong to.
        bad: The share of the events that every endpoint refuses.
        poison: The share of the events that every endpoint answers as if it refused every request.
        unreadable: The share of the lines that are no events.
        failing: The first events, as many as this, fail at every endpoint as if it were down.
        steady: The events arrive at an even rate instead of in bursts.
    """

    count: int
    messages: int
    bad: float
    poison: float
    unreadable: float
    failing: int = 0
    steady: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HappeningCounts:
    """How often each kind of happening occurs.

    `off_seconds`: the machine is off once, for this time. `suspensions`: it sleeps for an hour, with the relay.
    `changes` are the kinds of applies.
    """

    kills: int
    power_cuts: int
    stops: int
    operators: int
    applies: int
    clock_steps: int
    disk_faults: int
    rotations: int
    state_faults: int
    off_seconds: float
    second_relays: int
    suspensions: int = 0
    changes: tuple[str, ...] = ("policy", "move", "disable", "delete")

    @property
    def begins_crash_loop(self) -> bool:
        """Whether the first kill is followed by several, soon after each start. A choice of its own would change the
        runs of all recorded seeds."""
        return self.kills == CRASH_LOOP_KILLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The choices of one seed.

    Attributes:
        documents: The applied webhooks at the start.
        phases: The moods of each endpoint, by URL, with their starts in seconds.
        input: How the events reach the relay.
        active_seconds: The time during which events are written and happenings occur.
        events: The events.
        shuffle: The probability that the event loop does not run its callbacks in their order.
        checkpoint_pages: SQLite moves its log into the database after this many pages.
        happenings: How often each kind of happening occurs.
        slow_disk_seconds: The time of each job, as limits, if the disk is slow from the start.
    """

    documents: Mapping[Address, Document]
    phases: Mapping[str, Sequence[tuple[float, Mood]]]
    input: Input
    active_seconds: float
    events: EventChoices
    shuffle: float
    checkpoint_pages: int
    happenings: HappeningCounts
    slow_disk_seconds: tuple[float, float] | None = None


def new_address(first: Address, number: int) -> Address:
    """An address to which a webhook can move. 0: the first one."""
    return Address(first.organization, f"{first.sandbox}{_MOVED * bool(number)}{number or ''}")


def first_address(address: Address) -> Address:
    """The first address of the webhook with this one."""
    return Address(address.organization, address.sandbox.partition(_MOVED)[0])


def url(address: Address, version: int) -> str:
    """The URL of a webhook's endpoint; an apply that moves it takes the next version."""
    return f"https://{address.sandbox}-{version}.example/feedback"


def document(random: Random, address: Address, version: int, delivery: Mapping[str, Any] | None = None) -> Document:
    """The canonical document of a webhook.

    Args:
        random: The source of chance.
        address: The webhook.
        version: Which of its URLs it has.
        delivery: The delivery policy; None for a chosen one.

    Returns:
        The document. It takes the same choices from `random` in both cases.
    """
    chosen = _delivery(random)
    return {
        "version": 1,
        "organization": address.organization,
        "sandbox": address.sandbox,
        "name": "Feedback",
        "channels": ["email"],
        "url": url(address, version),
        "campaigns": "all",
        "delivery": chosen if delivery is None else delivery,
    }


def _delivery(random: Random) -> dict[str, Any]:
    delivery: dict[str, Any] = {
        "timeout": random.choice(("1s", "5s")),
        "concurrency": random.choice((1, 2, 4, 8)),
        "retry": {
            "initialDelay": random.choice(("100ms", "1s")),
            "maxDelay": random.choice(("2s", "10s", "60s")),
            "maxAge": random.choice(("10s", "2m", "1h", "72h")),
        },
    }
    if random.random() < 0.4:
        delivery["rateLimit"] = random.choice(("5/s", "20/s", "50/s"))
    if random.random() < 0.2:
        delivery["ordering"] = "none"
    return delivery
