"""Stores with one fault each. The machine must find every one of them.

Each fault changes one call of the ports of the store in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contract.machine.operator_faults import CONTROL_FAULTS, LETTER_FAULTS
from contract.machine.spool_faults import SPOOL_FAULTS
from contract.memory_spool import MemorySpool
from contract.memory_store import MemoryControl, MemoryDeadLetters, MemoryStore


def with_spool(fault: type[MemorySpool]) -> Callable[[MemoryStore], None]:
    def plant(store: MemoryStore) -> None:
        store.spool_type = fault

    return plant


def with_control(fault: type[MemoryControl]) -> Callable[[MemoryStore], None]:
    def plant(store: MemoryStore) -> None:
        store.control_type = fault

    return plant


def with_letters(fault: type[MemoryDeadLetters]) -> Callable[[MemoryStore], None]:
    def plant(store: MemoryStore) -> None:
        store.letters_type = fault

    return plant


PLANTED: Final[dict[str, Callable[[MemoryStore], None]]] = {
    **{one.__name__: with_spool(one) for one in SPOOL_FAULTS},
    **{one.__name__: with_control(one) for one in CONTROL_FAULTS},
    **{one.__name__: with_letters(one) for one in LETTER_FAULTS},
}
