"""The limits of what the relay of a seed keeps in memory.

They are small in most seeds, so that few events fill a lane and a relay forgets which messages are pending. They come
from a source of chance of their own: the other choices of a recorded seed do not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from unittest.mock import patch

from hookline.relay.delivery import hand_over
from hookline.relay.spool.sqlite.memory import pending_messages


@contextmanager
def memory_limits(seed: int) -> Iterator[None]:
    """Apply the limits of a seed."""
    random = Random(f"memory limits of {seed}")
    per_lane = random.choice((2, 10, 50, hand_over.MAX_NEW_PER_LANE))
    in_all_lanes = random.choice((per_lane + 2, hand_over.MAX_NEW_IN_ALL_LANES))
    messages = random.choice((3, 20, pending_messages.MAX_REMEMBERED_MESSAGES))
    with (
        patch.object(hand_over, "MAX_NEW_PER_LANE", per_lane),
        patch.object(hand_over, "MAX_NEW_IN_ALL_LANES", in_all_lanes),
        patch.object(pending_messages, "MAX_REMEMBERED_MESSAGES", messages),
    ):
        yield
