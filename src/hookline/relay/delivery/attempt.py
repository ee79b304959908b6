"""One delivery's turn at an endpoint: a request, and one more at once where the verdict asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from hookline.relay.delivery.response_policy import ConfirmOnce, Delivered, PolicyAction, RefreshToken, apply_policy
from hookline.relay.delivery_record import FailedAttempt, add_failure
from hookline.relay.http.exchange import Attempt, ExchangeResult, LocalFault, Response
from hookline.relay.spool.spool import QueuedDelivery


# How a lane has one attempt made.
class Endpoint(Protocol):
    """One applied webhook, ready to be posted to. Made anew when its configuration changes, closed when replaced."""

    async def post(self, attempt: Attempt) -> ExchangeResult:
        """Make one attempt within the webhook's timeout. Called by up to `concurrency` workers at a time.

        Never raises for anything an endpoint, a network, a secret or a key can do; only for cancellation.
        """
        ...

    def renew(self) -> None:
        """Forget the token in use, so that the next attempt signs a fresh one. Called after a 401."""
        ...

    async def aclose(self) -> None: ...


class AttemptRecord(msgspec.Struct, frozen=True):
    """One request: the number of the attempt (from 1), the verdict, how long it took in seconds, and the HTTP status
    when there was one."""

    number: int
    verdict: PolicyAction
    seconds: float
    http: int | None


OnAttempt = Callable[[QueuedDelivery, AttemptRecord], None]


class AttemptSeries(msgspec.Struct, frozen=True):
    """How many requests it took, the last verdict (never Renew or Confirm), the HTTP status when there was one, the
    delivery's history as it is now, and the Unix time at which it ended."""

    posts: int
    verdict: PolicyAction
    http: int | None
    history: str | None
    ended: float


async def attempt(
    endpoint: Endpoint, item: QueuedDelivery, *, clock: Callable[[], float], max_delay: float, told: OnAttempt
) -> AttemptSeries:
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
        verdict = apply_policy(result, renewed=renewed, confirming=confirming, max_delay=max_delay)
        ended = clock()
        http = result.status if isinstance(result, Response) else None
        told(item, AttemptRecord(number, verdict, ended - started, http))
        if not isinstance(verdict, Delivered):
            history = add_failure(history, FailedAttempt(ended, number, verdict.reason, http))
        match verdict:
            case RefreshToken():
                endpoint.renew()
                renewed = True
            case ConfirmOnce():
                confirming = True
            case _:
                return AttemptSeries(number - item.attempts, verdict, http, history, ended)
        started = ended


async def _post(endpoint: Endpoint, one: Attempt) -> ExchangeResult:
    try:
        return await endpoint.post(one)
    except Exception as bug:  # an endpoint never raises; if one does, no event may be lost for it
        return LocalFault(f"internal error: {type(bug).__name__}: {bug}")
