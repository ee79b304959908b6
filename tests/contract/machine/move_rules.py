"""The rules of AddressMoves: webhooks that move to another address and keep everything that the spool has of them."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from hypothesis import strategies as st

from builders import delivery, ingest_batch
from contract.machine.comparison import WEBHOOKS, Comparison
from contract.machine.steps import ADDRESSES, STEPS, relay_rule
from hookline.errors import MovesUnknown
from hookline.model import Address
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.spool_values import State

ORIGINS: Final = WEBHOOKS[:3]


class MoveRules(Comparison):
    """The state watcher follows moves. Each webhook has one address, and no two have the same."""

    @relay_rule(origin=st.sampled_from(ORIGINS), step=STEPS, repeated=st.booleans())
    def follow_move(self, origin: Address, step: float, repeated: bool) -> None:
        """A webhook moves to the address that no webhook has, where the spool may know an earlier one."""
        self.notice()
        old, now = self.present[origin], self.at(step)
        [new] = set(WEBHOOKS) - set(self.present.values())
        move = RecordedMove("lineage", len(self.moves) + 1, old, new)
        self.lanes_end()
        result = self.spool.follow_move(move, now=now)
        assert MoveResult(len(self.moves) + 1, self.model.follow_move(old, new, now=now)) == result
        self.moves.append(move)
        self.operator_wrote(surely=False)  # a store may report a move as a change by others
        self.present[origin] = new
        if repeated:
            assert MoveResult(len(self.moves), 0) == self.spool.follow_move(move, now=now)
        assert FollowedMoves(len(self.moves), self.moves) == self.spool.followed_moves()
        late = ingest_batch(delivery("late", address=old), moves=len(self.moves) - 1)
        with pytest.raises(MovesUnknown):
            self.spool.enqueue(late, now=now, dedupe_window=0.0)

    @relay_rule(lambda model: len(model.pending()) > 0, new=ADDRESSES, step=STEPS)
    def move_orphans(self, new: Address, step: float) -> None:
        """Replays at the address that no webhook has go to another one."""
        self.notice()
        [old] = set(WEBHOOKS) - set(self.present.values())
        now = self.at(step)
        self.lanes_end()
        expected = [one for one in self.model.entries.values() if one.address == old and one.state is State.PENDING]
        if old == new or not expected:
            return
        difference = self.model.webhook(new).clock(now) - self.model.webhook(old).clock(now)
        for one in expected:
            one.delivery = msgspec.structs.replace(one.delivery, address=new)
            one.since += difference
            one.due = now if one.due is None else one.due
        assert len(expected) == self.spool.move_orphans(old, new, now=now)
        self.operator_wrote()
