"""Keeps the state of endpoints in the spool, so that it outlives the process, and applies operators' requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from hookline.model import Address, Webhook
from hookline.observe.log import Log
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.rate_limiter import RateLimiter
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import EndpointState


class SavedState(NamedTuple):
    """The part of spool.EndpointState that the relay itself writes."""

    gone_reason: str | None
    gone_configuration: str | None
    not_before: float | None

    @classmethod
    def of_lane(cls, lane: Lane) -> SavedState:
        breaker = lane.breaker
        match breaker.phase:
            case BreakerPhase.GONE:
                return cls(breaker.reason or "gone", lane.configuration_hash, None)
            case BreakerPhase.OPEN:
                return cls(None, None, breaker.asked_until)
            case BreakerPhase.CLOSED | BreakerPhase.HALF_OPEN:
                return cls(None, None, None)

    @classmethod
    def of_state(cls, state: EndpointState) -> SavedState:
        return cls(state.gone_reason, state.gone_configuration, state.not_before)


class Handover(NamedTuple):
    """The knowledge of a lane that ended, for its successor with another configuration, if that has the same URL.

    `gone_reason` is given if a request was answered with 410 while the lane ended. A 410 before that does not count,
    because a changed configuration is a reason to try the endpoint again.
    """

    url: str
    gone_reason: str | None
    rate_limiter: RateLimiter

    def restored(self, state: EndpointState, webhook: Webhook, configuration_hash: str) -> EndpointState:
        """The state of the successor's endpoint, given the one in the spool."""
        if webhook.url != self.url:
            return msgspec.structs.replace(state, not_before=None)
        if self.gone_reason is None:
            return state
        return msgspec.structs.replace(state, gone_reason=self.gone_reason, gone_configuration=configuration_hash)

    def start(self, successor: Lane) -> None:
        """Keep the distance between requests that the rate limit requires."""
        if successor.webhook.url == self.url:
            successor.rate_limiter.continue_after(self.rate_limiter)


def restore_lane(lane: Lane, state: EndpointState, now: float) -> None:
    """Put a new lane into the state of its endpoint. `now` is in Unix seconds.

    No Retry-After is longer than `maxDelay`. If one seems to be, the clock was set back before the start.
    """
    lane.paused = state.paused is not None
    if state.gone_reason is not None and state.gone_configuration == lane.configuration_hash:
        lane.breaker.gone(state.gone_reason)
    elif state.not_before is not None and state.not_before > now:
        longest = lane.webhook.delivery.retry.max_delay.total_seconds()
        lane.breaker.restore(min(state.not_before, now + longest), "asked to wait (Retry-After)")


class EndpointStateWriter:
    """Writes the states of the current lanes, and reads operators' requests.

    `must_read`: requests may exist although no other process has written since the last look.
    """

    def __init__(self, lanes: Mapping[Address, Lane], thread: SpoolThread, log: Log) -> None:
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._log = log
        self._changed: dict[Address, Lane] = {}
        self._saved: dict[Address, SavedState] = {}
        self._retry_requests: dict[Address, float | None] = {}
        self._forgotten: dict[Address, float | None] = {}
        self.must_read = False

    def add_lane(self, lane: Lane, state: EndpointState) -> None:
        """A lane begins. The next write replaces the state of the webhook's earlier configuration."""
        self._retry_requests[lane.address] = state.retry_now_at
        self._forgotten[lane.address] = state.forgotten_at
        self._saved[lane.address] = SavedState.of_state(state)
        self._changed[lane.address] = lane
        self.must_read = True  # another process may have written since `state` was read

    def changed(self, lane: Lane) -> None:
        """The lane's circuit breaker may have changed."""
        self._changed[lane.address] = lane

    async def write(self) -> None:
        """Store the states that have changed."""
        for address, lane in list(self._changed.items()):
            state = SavedState.of_lane(lane)
            if state != self._saved.get(address):
                await self._thread.retry_while_stalled(
                    "recording outcomes",
                    self._spool.save_endpoint_state,
                    address,
                    **state._asdict(),
                )
                self._saved[address] = state
            # Only now, because the last write of the run repeats a write that was cancelled.
            if self._changed.get(address) is lane and SavedState.of_lane(lane) == state:
                del self._changed[address]

    async def apply_operator_requests(self) -> list[Lane]:
        """Pause, resume, retry and reload lanes as operators requested. Returns the lanes to load again."""
        self.must_read = False
        states = await self._thread.run(self._spool.endpoint_states)
        affected = []
        for lane in self._lanes.values():
            state = states.get(lane.address, EndpointState())
            paused = state.paused is not None
            if paused is not lane.paused:
                lane.pause(paused)
                self._log.info("paused" if paused else "resumed", webhook=str(lane.address))
                affected.append(lane)
            if state.retry_now_at != self._retry_requests.get(lane.address):
                self._retry_requests[lane.address] = state.retry_now_at
                self._log.info("retry-now", webhook=str(lane.address))
                self._saved[lane.address] = SavedState.of_state(state)
                lane.retry_now()
                affected.append(lane)
            if state.forgotten_at != self._forgotten.get(
                lane.address
            ):  # reloaded, the lane drops what is not pending
                self._forgotten[lane.address] = state.forgotten_at
                self._log.info("forgotten", webhook=str(lane.address), in_flight=len(lane.attempts_in_flight))
                affected.append(lane)
        return affected
