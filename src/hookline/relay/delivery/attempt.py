"""The attempts of one delivery that follow each other at once, and the settlement that results from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, assert_never

import msgspec

from hookline.model import RetryPolicy
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.response_policy import (
    ConfirmOnce,
    Dead,
    Delivered,
    EndpointGone,
    PauseEndpoint,
    PolicyAction,
    RefreshToken,
    Retry,
    apply_policy,
    retry_delay,
)
from hookline.relay.delivery_record import FailedAttempt, add_failure, parse_history
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, LocalFault, Response
from hookline.relay.http.transport import BegunPost, OnResult
from hookline.relay.spool.spool_values import QueuedDelivery, Settlement, State

MAX_REFUSALS_PER_EVENT: Final = 3
# A name of the module costs a tenth of an enumeration's attribute before Python 3.12.
_STATE_DELIVERED: Final = State.DELIVERED


class Endpoint(Protocol):
    """Sends requests to the endpoint of one applied webhook. A changed configuration gets a new one."""

    async def post(self, attempt: Attempt) -> ExchangeResult:
        """Make one attempt within the webhook's timeout. Up to `concurrency` workers call this at the same time.

        Failures of the endpoint, the network, a secret or a key are results. Raises only if it is cancelled.
        """

    def begin(self, attempt: Attempt, on_result: OnResult) -> BegunPost | None:
        """Make one attempt without a task, if it can go out at once. Otherwise return None, and do nothing.

        The loop calls `on_result` once, with the result that `post` would return; this method never does. In this
        call, the next attempt may begin. By default, every attempt needs a task.
        """
        return None

    def renew(self) -> None:
        """Drop the current token, so that the next attempt signs a fresh one. Called after a 401."""

    def certificate_ends(self) -> Mapping[str, float]:
        """The Unix times at which certificates expire, as far as they are known. Called once for each status.

        ``endpoint``: the certificate of the latest handshake. ``client``: the webhook's own. By default, none.
        """
        return {}

    async def aclose(self) -> None: ...


class FirstPost(msgspec.Struct, frozen=True):
    """The result of an attempt that was begun without a task, and that was not accepted.

    `started` is the relay's even time at its beginning, and `times_opened` counts how often the circuit breaker had
    opened by then.
    """

    result: ExchangeResult
    started: float
    times_opened: int


class AttemptRecord(msgspec.Struct, frozen=True):
    """One attempt: its number (from 1), the action, the duration in seconds, and the HTTP status, if any.

    `address`: the IP address of a connection that failed.
    """

    number: int
    action: PolicyAction
    seconds: float
    http: int | None
    address: str | None = None


class AttemptSeries(msgspec.Struct, frozen=True):
    """The attempts of one delivery that followed each other.

    `posts` is their number, `action` the last action, `http` the last HTTP status, if any, `history` the delivery's
    history with these attempts, and `ended` the Unix time of the end. If the action is RefreshToken or ConfirmOnce,
    the attempt that should follow must not go out now.
    """

    posts: int
    action: PolicyAction
    http: int | None
    history: str | None
    ended: float


async def attempt(
    endpoint: Endpoint,
    item: QueuedDelivery,
    policy: RetryPolicy,
    *,
    clock: RelayClock,
    on_attempt: Callable[[QueuedDelivery, AttemptRecord], None],
    may_continue: Callable[[], Awaitable[bool]],
    refusals_in_a_row: Callable[[], int],
    first: FirstPost | None = None,
) -> AttemptSeries:
    """Make one attempt, and others for a fresh token or a confirming attempt.

    If a kept connection ended without a byte of the response, the same attempt is sent once more at its next turn.

    Args:
        endpoint: Receives the requests.
        item: The delivery.
        policy: The webhook's retry policy, which limits a Retry-After.
        clock: The relay's clock. Durations are measured by its even time.
        on_attempt: Called after each attempt.
        may_continue: Waits until another attempt may go out, and returns whether it may at all.
        refusals_in_a_row: Returns the number of events that the endpoint has refused since its latest success.
        first: The first attempt, if it was made already.
    """
    max_delay = policy.max_delay.total_seconds()
    renewed = confirming = False
    history = item.history
    number = item.attempts
    while True:
        number += 1
        if first is not None:
            started, result, first = first.started, first.result, None
        else:
            started = clock.elapsed()
            result = await _post(endpoint, Attempt(item.id, item.body, number, clock.now(), item.event_time))
        if isinstance(result, Failure) and result.may_resend and await may_continue():
            # Each restart of a receiver would otherwise cost an attempt and count against its circuit breaker.
            result = await _post(endpoint, Attempt(item.id, item.body, number, clock.now(), item.event_time))
        action = apply_policy(
            result,
            renewed=renewed,
            confirming=confirming,
            max_delay_seconds=max_delay,
            refusals_in_a_row=refusals_in_a_row(),
        )
        ended = clock.now()
        http = result.status if isinstance(result, Response) else None
        address = result.address if isinstance(result, Failure) else None
        on_attempt(item, AttemptRecord(number, action, clock.elapsed() - started, http, address))
        if not isinstance(action, Delivered):
            history = add_failure(history, FailedAttempt(ended, number, action.reason, http))
        match action:
            case RefreshToken():
                endpoint.renew()
                renewed = True
            case ConfirmOnce():
                confirming = True
            case _:
                return AttemptSeries(number - item.attempts, action, http, history, ended)
        if not await may_continue():
            return AttemptSeries(number - item.attempts, action, http, history, ended)


async def _post(endpoint: Endpoint, one: Attempt) -> ExchangeResult:
    try:
        return await endpoint.post(one)
    except Exception as bug:  # the port forbids exceptions; a defect in an endpoint must not lose the event
        return LocalFault(f"internal error: {type(bug).__name__}: {bug}")


def fails_alone(item: QueuedDelivery, series: AttemptSeries, last_success: float) -> bool:
    """Whether a failed attempt is about the event and not about the endpoint: it is not the first one of this event,
    and the endpoint has accepted another event since the one before. Arguments as `settle`.
    """
    if isinstance(series.action, PauseEndpoint):
        return series.http is not None and item.refusals > 0 and _others_passed(item, last_success)
    return isinstance(series.action, Retry) and item.tries > 0 and _others_passed(item, last_success)


def _others_passed(item: QueuedDelivery, last_success: float) -> bool:
    """Whether the endpoint has accepted another event since the last failed attempt of this one."""
    failures = parse_history(item.history)
    return (failures[-1].at if failures else item.due or 0.0) < last_success


def delivered(item: QueuedDelivery, http: int) -> Settlement:
    """The settlement of a delivery whose one attempt was accepted, as `settle` makes it, in a shorter time."""
    return Settlement(
        seq=item.seq,
        address=item.address,
        order_key=item.order_key,
        state=_STATE_DELIVERED,
        attempts=item.attempts + 1,
        tries=item.tries,
        refusals=item.refusals,
        posts=1,
        http=http,
        history=item.history,
    )


def settle(
    item: QueuedDelivery,
    series: AttemptSeries,
    policy: RetryPolicy,
    *,
    last_success: float,
    jitter: Callable[[], float],
) -> Settlement:
    """Decide the settlement of a delivery after its attempts.

    Args:
        item: The delivery as it was before them.
        series: The attempts.
        policy: The webhook's retry policy.
        last_success: The Unix time at which the endpoint last accepted another event; 0 if it never did.
        jitter: Returns numbers in [0, 1); called once for a retry.
    """
    state = State.DEAD
    reason: str | None = None
    due: float | None = None
    tries, refusals = item.tries, item.refusals
    match series.action:
        case Delivered():
            state = State.DELIVERED
        case Retry(reason):
            state, tries = State.PENDING, item.tries + 1
            due = series.ended + retry_delay(policy, tries, jitter())
        case PauseEndpoint(reason):
            # An event that is refused several times, while the endpoint accepts others, is itself the cause.
            refusals += item.refusals == 0 or _others_passed(item, last_success)
            if refusals >= MAX_REFUSALS_PER_EVENT:
                reason, refusals = f"refused as probe: {reason}", item.refusals
            elif fails_alone(item, series, last_success):  # the circuit breaker remains closed: the event waits alone
                state, due = State.PENDING, series.ended + retry_delay(policy, refusals, jitter())
            else:
                state, due = State.PENDING, series.ended
        case RefreshToken(reason) | ConfirmOnce(reason):
            state, due = State.PENDING, series.ended
        case EndpointGone(reason) | Dead(reason):
            pass
        case _:
            assert_never(series.action)
    return Settlement(
        seq=item.seq,
        address=item.address,
        order_key=item.order_key,
        state=state,
        attempts=item.attempts + series.posts,
        tries=tries,
        refusals=refusals,
        posts=series.posts,
        due=due,
        reason=reason,
        http=series.http,
        history=series.history,
    )
