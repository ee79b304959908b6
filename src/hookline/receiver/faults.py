"""Faults: how a receiver fails on purpose. Pure: time and random numbers are arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

OUTAGE_STATUS = 503


@dataclass(frozen=True, slots=True)
class Fault:
    """A `share` (0 to 1) of the requests gets the response `status` (300 to 599)."""

    status: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """503 for the time `outage` after the first request, then `faults`. Raises ValueError if all shares exceed 1."""

    faults: tuple[Fault, ...] = ()
    outage: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        total = math.fsum(fault.share for fault in self.faults)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the failures add up to {total:g} (at most 1)")

    def is_out(self, since_first: timedelta) -> bool:
        return since_first < self.outage


def parse_fault(text: str) -> Fault:
    """Parses ``STATUS:SHARE``, such as ``503:0.2``. Raises ValueError for other text."""
    status, _, share = text.partition(":")
    try:
        fault = Fault(int(status), float(share))
    except ValueError:
        raise ValueError(f"not a failure: {text!r} (write STATUS:SHARE, such as 503:0.2)") from None
    if not 300 <= fault.status <= 599:
        raise ValueError(f"not a status of a failure: {fault.status} (300 to 599)")
    if not 0 <= fault.share <= 1:
        raise ValueError(f"not a share: {share} (0 to 1)")
    return fault


def random_status(faults: Iterable[Fault], draw: float) -> int | None:
    """Returns the status of a failure, or None if the request does not fail. `draw` is uniform in [0, 1)."""
    reached = 0.0
    for fault in faults:
        reached += fault.share
        if draw < reached:
            return fault.status
    return None
