"""How long backlogs take: the values of the forecast (relay/spool/drain_forecast.py), and their part of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec


class DrainForecast(msgspec.Struct, frozen=True, kw_only=True):
    """How long the backlog of one webhook takes, or that of a spool (relay/spool/drain_forecast.py).

    Attributes:
        seconds: The time until nothing is pending. None: it is not known, or nothing is sent; `reason` says which.
        expiring: The number of deliveries that become too old before they are sent; None if it is not known.
        per_second: The rate of deliveries that the forecast assumes; None: as many as the relay can send.
        waiting: The number of pending deliveries of webhooks without a forecast.
        reason: The reason why `seconds` is None: ``paused``, ``disabled``, ``gone``, ``not applied``, ``limits not
            known``, or ``no attempt was measured``. Several are separated by commas.
    """

    seconds: float | None = 0.0
    expiring: int | None = 0
    per_second: float | None = None
    waiting: int = 0
    reason: str | None = None


class DrainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast for a whole spool, and for each webhook with pending deliveries."""

    whole: DrainForecast = DrainForecast()
    webhooks: Mapping[str, DrainForecast] = {}


NO_DRAIN: Final = DrainStatus()


def drain_document(whole: DrainForecast) -> dict[str, Any]:
    """The forecast for a whole spool in the status document."""
    return {
        "seconds": _rounded(whole.seconds, 1),
        "expiring": whole.expiring,
        "withoutForecast": whole.waiting,
    }


def forecast_document(one: DrainForecast | None) -> dict[str, Any] | None:
    """The forecast for one webhook in a document; None if nothing is pending."""
    if one is None:
        return None
    return {
        "seconds": _rounded(one.seconds, 1),
        "expiring": one.expiring,
        "perSecond": _rounded(one.per_second, 3),
        "reason": one.reason,
    }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
