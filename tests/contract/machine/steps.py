"""The values that the rules draw, and the decorator of the relay's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contract.machine.comparison import EVENTS, WEBHOOKS
from contract.machine.model import SpoolModel
from contract.spool_stores import DAY
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.crash_notes import REPLAYED_LINES, source_work
from hookline.relay.spool.spool_values import State

STEPS: Final = st.sampled_from([0.0, 1.0, 1.0, 5.0, 30.0, -3.0, -40.0])
ADDRESSES: Final = st.sampled_from(WEBHOOKS)
LIMITS: Final = st.sampled_from([1, 2, 100])
NUMBERS: Final = st.integers(0, EVENTS - 1)
WINDOWS: Final = st.sampled_from([0.0, 20.0, DAY, DAY])
# A file before and after the first line was read, the same content under a new name, another file, a pipe.
SOURCES: Final = (
    Position(name="events", device=1, inode=2),
    Position(name="events", device=1, inode=2, key=b"A", line=2, offset=20),
    Position(name="events", device=1, inode=2, key=b"A", line=7, offset=70),
    Position(name="events.1", device=1, inode=2, key=b"A", line=9, offset=90),
    Position(name="copy", device=1, inode=4, key=b"A", line=9, offset=90),
    Position(name="other", device=1, inode=3, key=b"B", line=4, offset=40),
    Position(name="-", key=b"pipe", line=3),
)
SOURCE_WORKS: Final = (source_work("events"), REPLAYED_LINES)
PROGRESS: Final = st.sampled_from([None, None, *SOURCE_WORKS])
POSITIONS: Final = st.sampled_from([None, *SOURCES])
# Some messages of one of two streams, and up to which number the stream forgets them.
MESSAGES: Final = st.builds(
    Messages,
    st.sampled_from([b"stream one......", b"stream two......"]),
    st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True),
    st.integers(0, 8),
)
# State, reason, HTTP status, seconds until it is due, requests.
Outcome = tuple[State, str | None, int | None, float | None, int]
OUTCOMES: Final = st.sampled_from([
    (State.DELIVERED, None, 204, None, 1),
    (State.DELIVERED, None, 204, None, 2),
    (State.DEAD, "http 422", 422, None, 1),
    (State.DEAD, "expired", None, None, 0),
    (State.PENDING, "http 503", 503, 4.0, 1),
    (State.PENDING, "timeout", None, 60.0, 1),
])  # fmt: skip
RESULTS: Final = st.lists(OUTCOMES, min_size=2, max_size=6)
WITHOUT: Final = st.sampled_from([0, 1, 2])  # none, all, or every second delivery that the lanes hold
ALL: Final = 1000


def relay_rule(
    when: Callable[[Any], object] = lambda _: True, **strategies: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule for a relay that owns the spool. `when`: the model's contents that make it worth a step."""

    def possible(machine: Any) -> bool:
        return machine.opened is not None and bool(when(machine.model))

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        decorated: Callable[..., None] = precondition(possible)(rule(**strategies)(function))  # type: ignore[no-untyped-call]
        return decorated

    return decorate


def has_retries(model: SpoolModel) -> bool:
    return any(one.due is not None for one in model.pending())
