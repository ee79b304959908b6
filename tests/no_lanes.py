"""Lanes for tests of ingest, which take no delivery from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookline.model import Address
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest


class NoLanes:
    """Lanes that take nothing. `waits` has the `is_kept` of each group."""

    def __init__(self) -> None:
        self.waits: list[bool] = []

    async def wait_for_room(self, deliveries: Mapping[Address, int], *, is_kept: bool) -> None:
        self.waits.append(is_kept)

    def requests(self, deliveries: Mapping[Address, int]) -> list[DequeueRequest]:
        return []

    def enqueued(self, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None: ...
