"""Chooses legal states of a disk: all of them where they are few, and otherwise the telling ones and a sample."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations
from random import Random
from typing import Final

from crash_images.disk import Choice, Disk, PendingContent

# Up to this number of pending changes, each subset of them is chosen.
_MAX_EXHAUSTIVE: Final = 4


def choices(disk: Disk, random: Random, *, new: bool) -> Iterator[Choice]:
    """Legal states of a disk. `new`: only those that have a part of the latest change; the others are known."""
    reachable = disk.reachable()
    numbers = [
        n for n, one in enumerate(disk.pending) if not isinstance(one, PendingContent) or one.inode in reachable
    ]
    if not numbers or (new and numbers[-1] != len(disk.pending) - 1):
        return
    required = numbers[-1:] if new else []
    optional = numbers[:-1] if new else numbers
    yield from (Choice(dict.fromkeys([*chosen, *required])) for chosen in _subsets(optional, random))
    yield from _torn(disk, numbers, random)
    yield from _other_sizes(disk, numbers, random)


def _subsets(numbers: list[int], random: Random) -> Iterator[Collection[int]]:
    if len(numbers) <= _MAX_EXHAUSTIVE:
        for size in range(len(numbers) + 1):
            yield from combinations(numbers, size)
        return
    yield numbers
    yield ()
    lost = random.choice(numbers)
    yield [n for n in numbers if n != lost]
    yield [n for n in numbers if n <= lost]
    share = random.choice((0.1, 0.5, 0.9))
    yield [n for n in numbers if random.random() < share]


def _torn(disk: Disk, numbers: list[int], random: Random) -> Iterator[Choice]:
    """The latest change in part, and all of them in part."""
    latest = disk.pending[numbers[-1]]
    if isinstance(latest, PendingContent) and len(latest.sectors) > 1:
        sectors = list(latest.sectors)
        earlier: dict[int, Collection[int] | None] = dict.fromkeys(numbers[:-1])
        yield Choice({**earlier, numbers[-1]: frozenset(sectors[: random.randrange(1, len(sectors))])})
        yield Choice({**earlier, numbers[-1]: frozenset(random.sample(sectors, random.randrange(1, len(sectors))))})
    share = random.choice((0.1, 0.5, 0.9, 0.98))
    present: dict[int, Collection[int] | None] = {}
    for number in numbers:
        one = disk.pending[number]
        if isinstance(one, PendingContent):
            present[number] = frozenset(sector for sector in one.sectors if random.random() < share)
        elif random.random() < share:
            present[number] = None
    yield Choice(present)


def _other_sizes(disk: Disk, numbers: list[int], random: Random) -> Iterator[Choice]:
    """The data without a new size, and a new size without all of the data."""
    sizes: dict[int, list[int]] = {}
    for number in numbers:
        one = disk.pending[number]
        if isinstance(one, PendingContent):
            sizes.setdefault(one.inode, [disk.synced_size(one.inode)]).append(one.size)
    changed = {inode: found for inode, found in sizes.items() if len(set(found)) > 1}
    if not changed:
        return
    yield Choice(dict.fromkeys(numbers), {inode: random.choice(found) for inode, found in changed.items()})
    some = [n for n in numbers if random.random() < 0.5]
    yield Choice(dict.fromkeys(some), {inode: max(found) for inode, found in changed.items()})
