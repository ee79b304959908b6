"""The way of one event as text for people: where it was read, its attempts and its result. It has no recipient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from hookline.escaping import without_recipients
from hookline.observe.status import moment
from hookline.relay.delivery_record import FailedAttempt
from hookline.relay.spool.admin import TracedDelivery
from hookline.relay.spool.spool_values import State
from hookline.relay.tracing.waiting_reason import IN_FLIGHT

RESULT_NAMES: Final = {
    State.PENDING: "pending", State.DELIVERED: "delivered", State.DEAD: "dead letter", State.DISCARDED: "discarded",
}  # fmt: skip


def trace_steps(
    one: TracedDelivery, waits: str | None, *, mask: Callable[[str], str] = without_recipients
) -> Iterator[tuple[str, str]]:
    """Each step of a delivery: a label and a text.

    Args:
        one: the delivery.
        waits: the reason why it is not sent now, as `why_waiting` returns it.
        mask: removes recipients from texts of providers and endpoints.
    """
    approximately = "" if one.exact else "about "
    yield "read", f"{one.source}:{one.line}, {approximately}{moment(one.read)}"
    if one.event_time is not None:
        yield "happened", one.event_time
    if one.detail is not None:
        yield "detail", mask(one.detail)
    last = 0
    for failed in one.history:
        if failed.number == 0:
            yield "replayed", moment(failed.at) or ""
            continue
        if failed.number > last + 1:
            yield "...", f"{failed.number - last - 1} more attempts, not recorded individually"
        last = failed.number
        yield f"attempt {failed.number}", f"{moment(failed.at)}, {mask(_reason(failed))}"
    yield RESULT_NAMES[one.state], _result_text(one, waits, mask)


def _result_text(one: TracedDelivery, waits: str | None, mask: Callable[[str], str]) -> str:
    match one.state:
        case State.DELIVERED:
            status = "" if one.http is None else f", http {one.http}"
            return f"{moment(one.settled)}, in attempt {one.attempts}{status}"
        case State.DEAD:
            return f"{moment(one.settled)}, after {one.attempts} attempts: {mask(one.reason or '')}"
        case State.DISCARDED:
            return moment(one.settled) or ""
        case State.PENDING if waits == IN_FLIGHT:
            return f"in flight: the endpoint has not answered attempt {one.attempts + 1} yet"
        case State.PENDING:
            return f"after {one.attempts} attempts: {mask(waits or '')}"


def _reason(failed: FailedAttempt) -> str:
    is_complete = failed.http is None or failed.reason == f"http {failed.http}"
    return failed.reason if is_complete else f"http {failed.http}: {failed.reason}"
