"""The steps of a traced event."""

from __future__ import annotations

from hookline.relay.delivery_record import FailedAttempt
from hookline.relay.spool.admin import TracedDelivery
from hookline.relay.spool.spool_values import State
from hookline.relay.tracing.trace_steps import trace_steps


def test_no_step_names_a_recipient() -> None:
    """Texts of providers and endpoints are masked, and the times of steps are not."""
    dead = TracedDelivery(
        id="a1", webhook="acme/prod", channel="email", status="bounce", detail="unknown user a@b.example",
        request_id="R-1", source="a.ndjson", line=1, read=100.0, exact=True, event_time="2026-05-18T17:01:25Z",
        state=State.DEAD, attempts=2, due=None, settled=200.0, reason="http 422 for +49 151 12345678", http=422,
        history=[FailedAttempt(150.0, 1, "the certificate of a@b.example expired on 2026-05-18", None)], body=b"{}",
        disabled=False, paused=None, not_before=None, predecessor=None,
    )  # fmt: skip
    assert [
        ("read", "a.ndjson:1, 1970-01-01T00:01:40Z"),
        ("happened", "2026-05-18T17:01:25Z"),
        ("detail", "unknown user [recipient]"),
        ("attempt 1", "1970-01-01T00:02:30Z, the certificate of [recipient] expired on 2026-05-18"),
        ("dead letter", "1970-01-01T00:03:20Z, after 2 attempts: http 422 for [recipient]"),
    ] == list(trace_steps(dead, None))
    shown = dict(trace_steps(dead, None, mask=str))
    assert "a@b.example" in shown["detail"]
