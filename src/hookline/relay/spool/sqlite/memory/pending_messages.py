"""Remembers which messages have pending deliveries, so that few events need a question to the index about order.

It counts the pending deliveries that this relay has stored, by order key. A count may be too high, because
deliveries that become dead letters in bulk are not subtracted. That costs a question. A count is never too low.
Deliveries up to a `seq` are not counted: those of an earlier relay, and all deliveries when there were too many
messages. While a webhook may have such a delivery pending, the index answers for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hookline.model import Address
from hookline.relay.spool.spool_values import Settlement, State

MAX_REMEMBERED_MESSAGES: Final = 100_000
_PENDING: Final = State.PENDING  # as in settle.py


class PendingMessages:
    """The messages of one relay."""

    def __init__(
        self,
        *,
        any_up_to: Callable[[Address, int], bool],
        pending_among: Callable[[Address, Sequence[int]], set[int]],
    ) -> None:
        """Create it for an empty spool. For any other one, `forget` follows.

        Args:
            any_up_to: Whether the spool has a pending delivery of a webhook up to a `seq`.
            pending_among: Returns those of these messages of a webhook that have a pending delivery in the spool.
        """
        self._any_up_to = any_up_to
        self._pending_among = pending_among
        self._counts: dict[int, int] = {}
        self._uncounted: set[Address] = set()
        self._last_uncounted = 0

    def forget(self, addresses: Iterable[Address], last_seq: int) -> None:
        """Count from zero. Deliveries up to `last_seq` are not counted; they may be those of these webhooks."""
        self._counts.clear()
        self._uncounted = set(addresses)
        self._last_uncounted = last_seq

    @property
    def is_full(self) -> bool:
        return len(self._counts) >= MAX_REMEMBERED_MESSAGES

    def waiting(self, address: Address, order_keys: Iterable[int]) -> set[int]:
        """Those of these messages of a webhook that have a pending delivery."""
        if address in self._uncounted and not self._any_up_to(address, self._last_uncounted):
            self._uncounted.discard(address)
        all_in_doubt = address in self._uncounted
        doubtful = [key for key in order_keys if all_in_doubt or key in self._counts]
        pending = self._pending_among(address, doubtful) if doubtful else set()
        for key in doubtful:
            if key not in pending:
                self._counts.pop(key, None)
        return pending

    def add(self, order_keys: Iterable[int]) -> None:
        """Deliveries of these messages are stored, one for each. Called before the transaction, because a commit
        that fails may have been written."""
        counts = self._counts
        for key in order_keys:
            counts[key] = counts.get(key, 0) + 1

    def remove(self, order_keys: Iterable[int]) -> None:
        """Deliveries of these messages, one for each, are not pending any more, or were not stored."""
        counts = self._counts
        for key in order_keys:
            if (left := counts.get(key, 0) - 1) > 0:
                counts[key] = left
            else:
                counts.pop(key, None)

    def remove_settled(self, settlements: Iterable[Settlement]) -> None:
        """These settlements are recorded, and each of them has changed its delivery."""
        self.remove(key for key, one in _ended(settlements) if one.seq > self._last_uncounted)

    def with_successors(self, settlements: Iterable[Settlement]) -> dict[int, int]:
        """The messages of these settlements that may have another pending delivery: by order key, the first settled
        `seq`. Called before `remove_settled`."""
        ended = _ended(settlements)
        settled = Counter(key for key, _ in ended)
        first: dict[int, int] = {}
        for key, one in ended:
            counted = one.seq > self._last_uncounted and one.address not in self._uncounted
            if not counted or self._counts.get(key) != settled[key]:
                first[key] = min(one.seq, first.get(key, one.seq))
        return first


def _ended(settlements: Iterable[Settlement]) -> list[tuple[int, Settlement]]:
    return [(one.order_key, one) for one in settlements if one.order_key is not None and one.state is not _PENDING]
