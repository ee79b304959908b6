"""The answer to a lane that waits for deliveries, made from rows that were just stored, without a query."""

from __future__ import annotations

from collections.abc import Sequence

from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest, QueuedDelivery


def early_answer(
    request: DequeueRequest, own: Sequence[tuple[int, Delivery]], waiting: set[int], *, since: float, last: int
) -> DequeueAnswer:
    """The stored deliveries that have no predecessor, at most as many as the lane asked for.

    Args:
        request: The request of the lane.
        own: The new deliveries of its webhook, with their numbers.
        waiting: The order keys of deliveries that are pending already. The keys of the answer are added.
        since: The time from which their age counts.
        last: The number up to which the answer is complete, if it is not full.
    """
    items: list[QueuedDelivery] = []
    for seq, one in own:
        if request.ordered and one.order_key is not None:
            if one.order_key in waiting:
                continue
            waiting.add(one.order_key)
        items.append(
            QueuedDelivery(
                seq, one.id, one.address, None, one.order_key, 0, 0, 0, since, one.time, None, one.body,
                one.request_id,
            )
        )  # fmt: skip
        if len(items) == request.limit:
            return DequeueAnswer(request, items, seq)
    return DequeueAnswer(request, items, last)
