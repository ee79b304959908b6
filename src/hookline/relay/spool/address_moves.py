"""The port by which a relay follows the moves of webhooks that the state records, in the spool.

A webhook that has moved keeps everything that the spool has of it: pending deliveries with their payload and their
place in the order, dead letters, records, and whether it is paused or gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from hookline.model import Address


class RecordedMove(msgspec.Struct, frozen=True):
    """A move in the history of the state `lineage`, made by the apply `serial`."""

    lineage: str
    serial: int
    old: Address
    new: Address


class FollowedMoves(msgspec.Struct, frozen=True):
    """The moves that a spool has followed, in their order. `number` is that of the latest one, from 1; 0: there is
    none."""

    number: int
    moves: Sequence[RecordedMove]


class MoveResult(msgspec.Struct, frozen=True):
    """`number` is that of the followed move, `pending` the number of pending deliveries that have moved."""

    number: int
    pending: int


class AddressMoves(Protocol):
    """Used by the state watcher. The ingester learns from MovesUnknown (errors.py) that its routes are too old."""

    def followed_moves(self) -> FollowedMoves:
        """Called before each read of the state: the state then has all of these moves."""

    def follow_move(self, move: RecordedMove, *, now: float) -> MoveResult | None:
        """Give everything of the address `move.old` to `move.new`, and record the move, in one transaction.

        Called once for each move, in the order of serials, while neither address has a lane; again after a call whose
        result is unknown. Afterwards `enqueue` refuses batches that were routed without this move.

        If the spool already knows `move.new`, its own deliveries, letters and records remain there. The webhook is
        then paused if one of both was.

        Returns None, and changes nothing, if another process delivers to the earlier address: it follows the move.
        """

    def move_orphans(self, old: Address, new: Address, *, now: float) -> int:
        """Give the pending deliveries of an address without a webhook to the address to which its webhook has moved
        before, and make them due. Returns their number. Called for replays of dead letters that were imported."""
