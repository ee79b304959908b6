"""Answers the requests of lanes with the deliveries of a batch that is being stored, as a query after it would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookline.model import Address
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.early_answer import early_answer
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest, NewDelivery
from hookline.relay.spool.sqlite.memory.pending_messages import PendingMessages


class EarlyAnswers:
    """The answers of one relay. Knows the last delivery of each webhook, so that no answer leaves one out."""

    def __init__(self, messages: PendingMessages, last_seq: int) -> None:
        """Create it for a spool with deliveries up to `last_seq`."""
        self._messages = messages
        self._before = last_seq
        self._last: dict[Address, int] = {}

    def prepare(
        self,
        deliveries: Sequence[NewDelivery],
        requests: Sequence[DequeueRequest],
        *,
        last_seq: int,
        since: Mapping[Address, float],
    ) -> list[DequeueAnswer]:
        """The answers if all of these deliveries are new. Called before the transaction that stores them, for every
        batch, because it may be written although its commit fails.

        Args:
            deliveries: The batch.
            requests: Those of lanes. If the spool has other deliveries after the place of a request, it gets no
                answer.
            last_seq: The `seq` of the last delivery. The others have those before it.
            since: The time of reading by webhook, as in QueuedDelivery.
        """
        waited_for = {one.address: one for one in requests if self._last.get(one.address, self._before) <= one.after}
        own: dict[Address, list[tuple[int, Delivery]]] = {address: [] for address in waited_for}
        for seq, new in enumerate(deliveries, last_seq - len(deliveries) + 1):
            address = new.delivery.address
            self._last[address] = seq
            if address in own:
                own[address].append((seq, new.delivery))
        return [
            self._answer(request, own[address], last_seq, since[address])
            for address, request in waited_for.items()
            if own[address]
        ]

    def _answer(
        self, request: DequeueRequest, own: list[tuple[int, Delivery]], last_seq: int, since: float
    ) -> DequeueAnswer:
        pending: set[int] = set()
        if request.ordered:
            keys = dict.fromkeys(one.order_key for _, one in own if one.order_key is not None)
            pending = self._messages.waiting(request.address, keys)
        return early_answer(request, own, pending, since=since, last=last_seq)
