"""The hand-over in the simulation: both ways into a lane, and the switch between them, occur; a late one is safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import pytest

from hookline.model import Address
from hookline.relay.delivery.hand_over import HandOver
from hookline.relay.delivery.lane_queue import LaneQueue
from hookline.relay.spool.spool_values import DequeueAnswer
from simulation.planted_faults import late_hand_over
from simulation.search_seeds import recorded_seeds
from simulation.simulation import run_seed

SEEDS = 20


def test_both_ways_into_a_lane_occur_often() -> None:
    """Deliveries are handed over and loaded from a backlog, and lanes change from one way to the other and back."""
    seen: Counter[str] = Counter()
    is_hand_over = False
    real_enqueued, real_take_new = HandOver.enqueued, LaneQueue.take_new

    def enqueued(self: HandOver, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        nonlocal is_hand_over
        is_hand_over = True
        real_enqueued(self, deliveries, answers)
        is_hand_over = False

    def take_new(self: LaneQueue, answer: DequeueAnswer) -> bool:
        before = self.new_deliveries
        taken = real_take_new(self, answer)
        way = "handed over" if is_hand_over else "loaded"
        seen[way] += self.new_deliveries - before
        seen["refused"] += not taken
        if self.new_deliveries > before:
            last: Any = getattr(self, "last_way", way)
            seen[f"{last}, then {way}"] += 1
            self.last_way = way  # type: ignore[attr-defined]
        return taken

    with patch.object(HandOver, "enqueued", enqueued), patch.object(LaneQueue, "take_new", take_new):
        for seed in range(SEEDS):
            assert run_seed(seed).violation is None
    assert min(seen["handed over"], seen["loaded"]) > 10 * SEEDS, seen
    assert min(seen["handed over, then loaded"], seen["loaded, then handed over"]) > SEEDS // 4, seen


@pytest.mark.parametrize("seed", recorded_seeds()["a delivery is handed over and loaded"])
def test_a_late_hand_over_is_harmless(seed: int) -> None:
    """The seeds in which a query is faster send nothing twice, because the cursor has moved past the deliveries."""
    with late_hand_over():
        assert run_seed(seed).violation is None
