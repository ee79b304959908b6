"""One delivery's turn at an endpoint: a request, and one more at once where the verdict asks for it."""

from __future__ import annotations

from collections.abc import Callable

from hookline.relay.delivery.judging import judge
from hookline.relay.delivery.outcome import Answer, Confirm, Fault, Renew, Result, Verdict
from hookline.relay.delivery.port import Attempt, Endpoint
from hookline.relay.spool.port import Waiting

# The verdict on a request, the number of the attempt (from 1), and how long it took in seconds.
Told = Callable[[Verdict, int, float], None]


async def attempt(
    endpoint: Endpoint, item: Waiting, *, clock: Callable[[], float], max_delay: float, told: Told
) -> tuple[int, Verdict, int | None]:
    """Post once, or twice: how many requests it took, the last verdict, and the HTTP status when there was one.

    A fresh token and a confirming attempt are made here, so the verdict is never Renew or Confirm. `clock` gives Unix
    seconds, `max_delay` is in seconds.
    """
    renewed = confirming = False
    posts = 0
    while True:
        posts += 1
        started = clock()
        number = item.attempts + posts
        result = await _post(endpoint, Attempt(item.id, item.body, number, started, item.event_time))
        verdict = judge(result, renewed=renewed, confirming=confirming, max_delay=max_delay)
        told(verdict, number, clock() - started)
        match verdict:
            case Renew():
                endpoint.renew()
                renewed = True
            case Confirm():
                confirming = True
            case _:
                return posts, verdict, result.status if isinstance(result, Answer) else None


async def _post(endpoint: Endpoint, one: Attempt) -> Result:
    try:
        return await endpoint.post(one)
    except Exception as bug:  # an endpoint never raises; if one does, no event may be lost for it
        return Fault(f"internal error: {type(bug).__name__}: {bug}")
