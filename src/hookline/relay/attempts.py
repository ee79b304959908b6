"""One delivery's turn at an endpoint: a request, and one more at once where the verdict asks for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hookline.relay.delivery.judging import judge
from hookline.relay.delivery.outcome import Answer, Confirm, Delivered, Fault, Renew, Result, Verdict
from hookline.relay.delivery.port import Attempt, Endpoint
from hookline.relay.history import Failed, with_failure
from hookline.relay.spool.port import Waiting


class Tried(msgspec.Struct, frozen=True):
    """One request: the number of the attempt (from 1), the verdict, how long it took in seconds, and the HTTP status
    when there was one."""

    number: int
    verdict: Verdict
    seconds: float
    http: int | None


Told = Callable[[Waiting, Tried], None]


class Turn(msgspec.Struct, frozen=True):
    """How many requests it took, the last verdict (never Renew or Confirm), the HTTP status when there was one, the
    delivery's history as it is now, and the Unix time at which it ended."""

    posts: int
    verdict: Verdict
    http: int | None
    history: str | None
    ended: float


async def attempt(
    endpoint: Endpoint, item: Waiting, *, clock: Callable[[], float], max_delay: float, told: Told
) -> Turn:
    """Post once, or twice where a fresh token or a confirming attempt is due.

    `clock` gives Unix seconds, `max_delay` is in seconds.
    """
    renewed = confirming = False
    started = clock()
    history = item.history
    number = item.attempts
    while True:
        number += 1
        result = await _post(endpoint, Attempt(item.id, item.body, number, started, item.event_time))
        verdict = judge(result, renewed=renewed, confirming=confirming, max_delay=max_delay)
        ended = clock()
        http = result.status if isinstance(result, Answer) else None
        told(item, Tried(number, verdict, ended - started, http))
        if not isinstance(verdict, Delivered):
            history = with_failure(history, Failed(ended, number, verdict.reason, http))
        match verdict:
            case Renew():
                endpoint.renew()
                renewed = True
            case Confirm():
                confirming = True
            case _:
                return Turn(number - item.attempts, verdict, http, history, ended)
        started = ended


async def _post(endpoint: Endpoint, one: Attempt) -> Result:
    try:
        return await endpoint.post(one)
    except Exception as bug:  # an endpoint never raises; if one does, no event may be lost for it
        return Fault(f"internal error: {type(bug).__name__}: {bug}")
