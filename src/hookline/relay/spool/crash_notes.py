"""The port that counts crashes without progress, so that one line or delivery does not end one relay after the other.

A *work* is a part of a relay's job that a line or a delivery can end with the whole process: ``source NAME``
(reading a source), ``replayed lines``, or ``slot N`` (delivering to a share of the webhooks). An *item* is a line or
a delivery in hand: a short byte string that only the caller understands.

The notes need to survive the end of the process, and not a power cut: a store need not sync them.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from hookline.model import Address

CRASHED: Final = "crashed"
"""The reason of a dead letter that was in hand when a process ended."""
REPLAYED_LINES: Final = "replayed lines"
_SLOT: Final = "slot "


def source_work(name: str) -> str:
    """The work of reading a source."""
    return f"source {name}"


def slot_work(slot: int) -> str:
    """The work of delivering to the webhooks of a slot. The embedded spool has one slot, 0."""
    return f"{_SLOT}{slot}"


def is_slot(work: str) -> bool:
    """Whether the work is delivering, and not reading."""
    return work.startswith(_SLOT)


def slot_of_work(work: str) -> int:
    """The number of the slot of a work."""
    return int(work.removeprefix(_SLOT))


class CrashNote(msgspec.Struct, frozen=True):
    """The note of a work before a start. `crashes` is the number of earlier starts without progress since.
    `items` were in hand at a crash, in the order of their bytes."""

    crashes: int = 0
    items: tuple[bytes, ...] = ()


class CrashNotes(Protocol):
    """Used by the ingester and the relay. A work makes progress when `enqueue` gets it as `IngestBatch.progress_of`,
    and a slot when `settle` records a result of one of its webhooks, also a retry."""

    def work_of(self, address: Address) -> str:
        """The work to which the deliveries of a webhook belong: that of its slot. Cheap."""

    def count_start(self, work: str, *, now: float) -> CrashNote:
        """Count a start of a work, and return the note before it. An item that is in hand was in hand at a crash: it
        joins the items. Called in a run for each work before its first line or delivery, and perhaps again after
        progress."""

    def take_in_hand(self, work: str, item: bytes | None) -> None:
        """Note the item of a started work that is processed next; None: no item is in hand. Called for every line or
        delivery, but only after crashes without progress."""

    def dead_letter_crashed(self, work: str, *, now: float) -> int:
        """Make the items of a slot dead letters with the reason CRASHED, and forget the items. They are delivery ids.
        One that is no longer pending is neither changed nor counted. Returns the number of dead letters. Called after
        `count_start`, if it returned items."""

    def forget_starts(self) -> None:
        """The works that this opening has started end without a crash, so these starts do not count. Earlier ones do,
        and the items remain. Called once, before `close`, unless the relay fails."""
