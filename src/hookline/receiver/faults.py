"""How a receiver fails on purpose. Pure: time and chance are arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

OUTAGE_STATUS = 503


@dataclass(frozen=True, slots=True)
class Fault:
    """`share` (0 to 1) of the requests is answered with `status` (300 to 599)."""

    status: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """`outage` is how long after the first request everything is answered with 503; then the shares apply.

    Raises ValueError when the shares add up to more than everything.
    """

    failures: tuple[Fault, ...] = ()
    outage: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        total = math.fsum(failing.share for failing in self.failures)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the failures add up to {total:g} (at most 1)")

    def is_out(self, since_first: timedelta) -> bool:
        return since_first < self.outage


def parse_fault(text: str) -> Fault:
    """Read ``STATUS:SHARE``, such as ``503:0.2``. Raises ValueError for anything else."""
    status, _, share = text.partition(":")
    try:
        failing = Fault(int(status), float(share))
    except ValueError:
        raise ValueError(f"not a failure: {text!r} (write STATUS:SHARE, such as 503:0.2)") from None
    if not 300 <= failing.status <= 599:
        raise ValueError(f"not a status of a failure: {failing.status} (300 to 599)")
    if not 0 <= failing.share <= 1:
        raise ValueError(f"not a share: {share} (0 to 1)")
    return failing


def random_status(failures: Iterable[Fault], draw: float) -> int | None:
    """The status to fail a request with, None to treat it well. `draw` is uniform in [0, 1)."""
    reached = 0.0
    for failing in failures:
        reached += failing.share
        if draw < reached:
            return failing.status
    return None
