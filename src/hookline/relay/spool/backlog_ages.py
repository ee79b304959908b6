"""Groups a backlog by age, for the drain forecast: few numbers, which an index counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from hookline.observe.snapshot import AgeGroup

# The lower bounds of the groups in seconds. They are closest where a maxAge is usual: some hours to three days.
AGE_BOUNDS: Final = tuple(
    60.0 * minutes
    for minutes in (
        *(0, 1, 5, 15, 30, 60, 120, 180, 240, 360, 480, 600, 720, 900, 1080, 1260, 1440, 1800, 2160, 2520, 2880),
        *(3240, 3600, 3960, 4320, 5760, 7200, 10_080, 20_160, 43_200),
    )
)


def age_ranges(oldest: float) -> Iterator[tuple[int, float, float]]:
    """The groups that a backlog may have, the oldest first: the number, the lower bound, and the upper one.

    A delivery at a bound is in the older group. `oldest` is not negative.
    """
    bounds = [*(bound for bound in AGE_BOUNDS if bound <= oldest), oldest]
    ranges = [(number, lower, upper) for number, (lower, upper) in enumerate(pairwise(bounds))]
    return reversed(ranges)


def age_groups(counts: Mapping[int, int], oldest: float) -> tuple[AgeGroup, ...]:
    """The groups, given the number of deliveries by the number of the group. A negative age, which a clock that was
    set back makes, belongs to group 0."""
    ranges = list(age_ranges(oldest))
    last = ranges[0][0]
    within: Counter[int] = Counter()
    for number, count in counts.items():
        within[min(number, last)] += count  # an age at a bound may be rounded up
    return tuple(AgeGroup(within[number], upper, lower) for number, lower, upper in ranges if within[number])
