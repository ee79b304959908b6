"""The order in which the workers of a parallel run start the tests.

pytest-xdist gives each worker a block of the collection (`--dist worksteal`). The blocks have about the same length.
A worker that has finished its block takes tests from the end of another one. A test of a minute in the middle of a
block can be the last one of the run, while all other workers have nothing to do.

Such tests have the marker `starts_first(seconds)`. They are the first ones of every second block, because most of
them wait, and the tests of the other blocks use the processors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def starting_order(items: Sequence[Item], seconds_of: Callable[[Item], float], workers: int) -> list[Item]:
    """Move the long tests to the beginnings of blocks. The others keep their order.

    Args:
        items: the tests, in the order of the collection.
        seconds_of: the duration of a long test, 0 for all others.
        workers: the number of blocks.
    """
    first: list[list[Item]] = [[] for _ in range(workers)]
    loads = dict.fromkeys(range(0, workers, 2), 0.0)
    for item in sorted(filter(seconds_of, items), key=seconds_of, reverse=True):
        block = min(loads, key=loads.__getitem__)
        loads[block] += seconds_of(item)
        first[block].append(item)
    others = [item for item in items if not seconds_of(item)]
    order: list[Item] = []
    for block, size in enumerate(block_sizes(len(items), workers)):
        room = max(0, size - len(first[block]))
        order += [*first[block], *others[:room]]
        del others[:room]
    return order + others


def block_sizes(tests: int, workers: int) -> list[int]:
    """The sizes of the blocks with which the workers begin (xdist.scheduler.worksteal)."""
    sizes = []
    for left in range(workers, 0, -1):
        sizes.append(tests // left)
        tests -= sizes[-1]
    return sizes
