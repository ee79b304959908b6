"""How each webhook stands, in the spool and in its lane: what endpoints have said outlives this process, and what
another process has asked for is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool import EndpointState
from hookline.relay.spool.spool_thread import SpoolThread


class SavedState(NamedTuple):
    """What an endpoint has said of itself that is to be remembered (port.Standing)."""

    stopped: str | None
    stopped_as: str | None
    not_before: float | None

    @classmethod
    def by(cls, lane: Lane) -> SavedState:
        gate = lane.breaker
        match gate.phase:
            case BreakerPhase.GONE:
                return cls(gate.reason or "stopped", lane.configuration, None)
            case BreakerPhase.OPEN if gate.asked_to_wait:
                return cls(None, None, gate.until)
            case _:
                return cls(None, None, None)

    @classmethod
    def of(cls, standing: EndpointState) -> SavedState:
        return cls(standing.gone_reason, standing.gone_configuration, standing.not_before)


class EndpointStateWriter:
    """Of the lanes that are served."""

    def __init__(self, lanes: Mapping[Address, Lane], thread: SpoolThread, log: Log) -> None:
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._log = log
        self._changed: dict[Address, Lane] = {}
        self._endpoint_states: dict[Address, SavedState] = {}
        self._hurried: dict[Address, float | None] = {}
        self._look = False

    def serve(self, lane: Lane, standing: EndpointState) -> None:
        """A lane begins. What was remembered of its webhook's earlier configuration is over with that."""
        self._hurried[lane.address] = standing.retry_now_at
        self._endpoint_states[lane.address] = SavedState.of(standing)
        self._changed[lane.address] = lane
        self._look = True  # another process may have written since `standing` was read

    def changed(self, lane: Lane) -> None:
        """Its gate has moved."""
        self._changed[lane.address] = lane

    async def remember(self) -> None:
        lanes, self._changed = self._changed, {}
        for address, lane in lanes.items():
            said = SavedState.by(lane)
            if said != self._endpoint_states.get(address):
                self._endpoint_states[address] = said
                await self._thread.retry_while_stalled(
                    "recording outcomes",
                    self._spool.save_endpoint_state,
                    address,
                    gone_reason=said.stopped,
                    gone_configuration=said.stopped_as,
                    not_before=said.not_before,
                )

    async def apply_operator_requests(self) -> list[Lane]:
        """Has another process paused a webhook, or asked for haste? The lanes that were told so."""
        self._look = False
        standings = await self._thread.run(self._spool.endpoint_states)
        told = []
        for lane in self._lanes.values():
            standing = standings.get(lane.address, EndpointState())
            paused = standing.paused is not None
            if paused is not lane.paused:
                lane.pause(paused)
                self._log.info("paused" if paused else "resumed", webhook=str(lane.address))
                told.append(lane)
            if standing.retry_now_at != self._hurried.get(lane.address):
                self._hurried[lane.address] = standing.retry_now_at
                self._log.info("hurried", webhook=str(lane.address))
                self._endpoint_states[lane.address] = SavedState.of(standing)
                lane.hurry()
                told.append(lane)
        return told

    @property
    def wants_a_look(self) -> bool:
        """Whether there may be something to obey although no other process has written since the last look."""
        return self._look
