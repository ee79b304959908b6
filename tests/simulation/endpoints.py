"""Simulated endpoints behind the port `Transport`: their phases, their responses, and the requests that arrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import StrEnum
from typing import Final, Protocol

from hookline.model import Webhook
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, Response
from hookline.relay.http.request import Header
from hookline.relay.http.response_head import parse_retry_after
from hookline.relay.http.transport import BegunPost, OnResult, Transport
from simulation.events import SimulatedEvent, number_of
from simulation.world import World

# How often no connection is free for a request, so that it needs a task.
NO_CONNECTION_PROBABILITY: Final = 0.1


class Mood(StrEnum):
    """How an endpoint responds during a phase."""

    HEALTHY = "healthy"
    SLOW = "slow"
    FLAKY = "flaky"  # some responses are 500, some connections are reset, some responses are lost
    DOWN = "down"  # every connection is reset
    HANGS = "hangs"
    ERRORS = "errors"  # 500, 502, 503
    BUSY = "busy"  # 429 and 503 with Retry-After
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not found"
    REFUSES = "refuses"  # 400 for every event
    CLOSING = "closing"  # 410 for some requests, while others are still accepted
    GONE = "gone"  # 410


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request: its result for the relay after `seconds`. `accepted`: the endpoint took the event."""

    seconds: float
    result: ExchangeResult
    accepted: bool = False


_RESET: Final = Failure(FailureKind.NETWORK, "connection reset")
# Moods whose responses differ only in their status.
_STATUSES: Final = {
    Mood.ERRORS: (500, 502, 503, 408),
    Mood.NOT_FOUND: (404, 405, 301),
    Mood.REFUSES: (400, 422),
}


class SimulatedEndpoint:
    """The endpoint at one URL. `phases` are (start, mood), the earliest first; times are those of `World.now`."""

    def __init__(self, url: str, world: World, phases: Sequence[tuple[float, Mood]]) -> None:
        self.url = url
        self.was_gone = any(mood in (Mood.GONE, Mood.CLOSING) for _, mood in phases)
        self.random = world.random
        self._world = world
        self._phases = list(phases)
        self._healed = False

    @property
    def now(self) -> float:
        """The time of `World.now`."""
        return self._world.now

    @property
    def mood(self) -> Mood:
        """The mood of the current phase."""
        current = Mood.HEALTHY
        for start, mood in self._phases:
            if start <= self._world.now:
                current = mood
        return current

    def heal(self) -> None:
        """From now on the endpoint is healthy."""
        self._phases = []
        self._healed = True

    def reply(self, event: SimulatedEvent) -> Reply:
        """The reply to a request that arrives now."""
        random = self._world.random
        seconds = random.uniform(0.001, 0.03)
        if event.poison and not self._healed:
            return Reply(seconds, Response(random.choice((404, 401))))
        if event.failing and not self._healed:
            return Reply(seconds, random.choice((Response(500), _RESET)))
        accepted = Reply(seconds, Response(400)) if event.bad else Reply(seconds, Response(204), accepted=True)
        mood = self.mood
        if mood in _STATUSES:
            return Reply(seconds, Response(random.choice(_STATUSES[mood])))
        match mood:
            case Mood.SLOW:
                return replace(accepted, seconds=random.uniform(0.2, 4.0))
            case Mood.FLAKY:
                return self._flaky_reply(accepted)
            case Mood.DOWN:
                return Reply(seconds, _RESET)
            case Mood.HANGS:
                return Reply(float("inf"), _RESET, accepted=not event.bad and random.random() < 0.3)
            case Mood.BUSY:
                return Reply(seconds, Response(random.choice((429, 503, 500)), self._retry_after()))
            case Mood.UNAUTHORIZED:
                return Reply(seconds, Response(401))
            case Mood.CLOSING if random.random() < 0.95:
                return replace(accepted, seconds=random.uniform(0.05, 0.8))
            case Mood.GONE | Mood.CLOSING:
                # Slow while it closes, so that a lane that is being reconfigured still waits for it.
                return Reply(seconds if self.mood is Mood.GONE else random.uniform(0.1, 3.0), Response(410))
            case _:
                return accepted

    def _flaky_reply(self, accepted: Reply) -> Reply:
        match self._world.random.randrange(6):
            case 0:
                return replace(accepted, result=Response(500), accepted=False)
            case 1:
                return replace(accepted, result=_RESET, accepted=False)
            case 2:
                return replace(accepted, result=_RESET)
            case _:
                return accepted

    def _retry_after(self) -> float | None:
        """The seconds of a Retry-After header, which has one of its two forms (RFC 9110, section 10.2.3)."""
        random, now = self._world.random, self._world.wall()
        seconds = random.choice((0, 1, 2, 5, 20, 90))
        text = str(seconds) if random.random() < 0.5 else formatdate(now + seconds, usegmt=True)
        return parse_retry_after(text, now)


class Observer(Protocol):
    """Checks each request. RequestChecks implements it."""

    def request_started(self, transport: SimulatedTransport, number: int) -> None:
        """The relay has sent a request, and the endpoint has not replied."""

    def request_ended(self, transport: SimulatedTransport, number: int, result: ExchangeResult | None) -> None:
        """`result` is None if the relay has cancelled the request."""

    def event_accepted(self, transport: SimulatedTransport, number: int, *, response_lost: bool) -> None:
        """The endpoint has taken the event. `response_lost`: the relay will not receive the 2xx response."""


class SimulatedTransport(Transport):
    """Implements `Transport` for the lane of one process."""

    def __init__(
        self,
        webhook: Webhook,
        endpoint: SimulatedEndpoint,
        events: Mapping[int, SimulatedEvent],
        observer: Observer,
        process: object,
    ) -> None:
        """Create a transport.

        Args:
            webhook: The configuration of the lane.
            endpoint: The endpoint at the webhook's URL.
            events: The events by number.
            observer: Checks each request.
            process: The process that sends.
        """
        self.webhook = webhook
        self.endpoint = endpoint
        self.process = process
        self.in_flight = 0
        self.created_at = endpoint.now
        self._events = events
        self._observer = observer
        self._random = endpoint.random

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Send one event. The relay may cancel the request.

        Args:
            headers: Not read; the header tests of the relay cover them.
            attempt: The body names the event.
            deadline: The request fails after this time, in seconds.
            signature: Not read.
        """
        number = number_of(json.loads(attempt.body)["requestId"])
        self.in_flight += 1
        result: ExchangeResult | None = None
        try:
            reply = self._arrive(number, deadline)
            await asyncio.sleep(reply.seconds)
            result = reply.result
            return result
        finally:
            self._end(number, result)

    def begin(
        self,
        headers: Sequence[Header],
        attempt: Attempt,
        *,
        deadline: float,
        on_result: OnResult,
        signature: str = "",
    ) -> BegunPost | None:
        """Send one event without a task, if a connection is free. Arguments as `post`."""
        if self._random.random() < NO_CONNECTION_PROBABILITY:
            return None
        number = number_of(json.loads(attempt.body)["requestId"])
        self.in_flight += 1
        return SimulatedPost(self, number, self._arrive(number, deadline), on_result)

    def _arrive(self, number: int, deadline: float) -> Reply:
        """A request arrives at the endpoint. Returns what the relay receives, within the deadline."""
        self._observer.request_started(self, number)
        reply = self.endpoint.reply(self._events[number])
        lost = reply.accepted and not isinstance(reply.result, Response)
        if reply.seconds > deadline:
            reply = Reply(
                deadline, Failure(FailureKind.TIMEOUT, f"no response within {deadline:g} s"), reply.accepted
            )
            lost = reply.accepted
        if reply.accepted:
            # The endpoint takes the event before its response travels back.
            self._observer.event_accepted(self, number, response_lost=lost)
        return reply

    def _end(self, number: int, result: ExchangeResult | None) -> None:
        self.in_flight -= 1
        self._observer.request_ended(self, number, result)

    async def aclose(self) -> None:
        """Nothing is open."""


class SimulatedPost:
    """A request that was begun without a task: a timer of the simulated loop passes its result on."""

    def __init__(self, transport: SimulatedTransport, number: int, reply: Reply, on_result: OnResult) -> None:
        self._transport = transport
        self._number = number
        self._result = reply.result
        self._on_result = on_result
        self._timer = asyncio.get_running_loop().call_later(reply.seconds, self._end)

    def cancel(self) -> None:
        """The relay closes the connection."""
        self._timer.cancel()
        self._transport._end(self._number, None)

    def _end(self) -> None:
        self._transport._end(self._number, self._result)
        self._on_result(self._result)
