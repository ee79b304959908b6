"""How each webhook stands, in the spool and in its lane: what endpoints have said outlives this process, and what
another process has asked for is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery.circuit_breaker import Phase
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool import Standing
from hookline.relay.spool.spool_thread import SpoolThread


class Said(NamedTuple):
    """What an endpoint has said of itself that is to be remembered (port.Standing)."""

    stopped: str | None
    stopped_as: str | None
    not_before: float | None

    @classmethod
    def by(cls, lane: Lane) -> Said:
        gate = lane.gate
        match gate.phase:
            case Phase.STOPPED:
                return cls(gate.reason or "stopped", lane.configuration, None)
            case Phase.WAITING if gate.asked_to_wait:
                return cls(None, None, gate.until)
            case _:
                return cls(None, None, None)

    @classmethod
    def of(cls, standing: Standing) -> Said:
        return cls(standing.stopped, standing.stopped_as, standing.not_before)


class Remembered:
    """Of the lanes that are served."""

    def __init__(self, lanes: Mapping[Address, Lane], thread: SpoolThread, log: Log) -> None:
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._log = log
        self._changed: dict[Address, Lane] = {}
        self._remembered: dict[Address, Said] = {}
        self._hurried: dict[Address, float | None] = {}
        self._look = False

    def serve(self, lane: Lane, standing: Standing) -> None:
        """A lane begins. What was remembered of its webhook's earlier configuration is over with that."""
        self._hurried[lane.address] = standing.hurried
        self._remembered[lane.address] = Said.of(standing)
        self._changed[lane.address] = lane
        self._look = True  # another process may have written since `standing` was read

    def changed(self, lane: Lane) -> None:
        """Its gate has moved."""
        self._changed[lane.address] = lane

    async def remember(self) -> None:
        lanes, self._changed = self._changed, {}
        for address, lane in lanes.items():
            said = Said.by(lane)
            if said != self._remembered.get(address):
                self._remembered[address] = said
                await self._thread.insist(
                    "recording outcomes",
                    self._spool.remember,
                    address,
                    stopped=said.stopped,
                    stopped_as=said.stopped_as,
                    not_before=said.not_before,
                )

    async def obey(self) -> list[Lane]:
        """Has another process paused a webhook, or asked for haste? The lanes that were told so."""
        self._look = False
        standings = await self._thread.call(self._spool.standing)
        told = []
        for lane in self._lanes.values():
            standing = standings.get(lane.address, Standing())
            paused = standing.paused is not None
            if paused is not lane.paused:
                lane.pause(paused)
                self._log.info("paused" if paused else "resumed", webhook=str(lane.address))
                told.append(lane)
            if standing.hurried != self._hurried.get(lane.address):
                self._hurried[lane.address] = standing.hurried
                self._log.info("hurried", webhook=str(lane.address))
                self._remembered[lane.address] = Said.of(standing)
                lane.hurry()
                told.append(lane)
        return told

    @property
    def wants_a_look(self) -> bool:
        """Whether there may be something to obey although no other process has written since the last look."""
        return self._look
