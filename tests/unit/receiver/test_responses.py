from __future__ import annotations

import pytest

from hookline.http_connection import HttpRequest
from hookline.receiver.receiver_settings import ReceiverSettings
from hookline.receiver.responses import ReceiverResponse, Stats, Verified, respond_to

POST = HttpRequest("POST", "/", {}, b"{}")
GOOD = Verified(True, True)


@pytest.mark.parametrize(
    ("request_", "verified", "failure", "house", "expected"),
    [
        (POST, GOOD, None, ReceiverSettings(), 204),
        (POST, Verified(None, "wrong"), None, ReceiverSettings(), 204),
        (POST, Verified(None, "wrong"), None, ReceiverSettings(strict=True), 422),
        (POST, Verified("wrong", "wrong"), None, ReceiverSettings(strict=True), 401),
        (POST, Verified("wrong", None), 503, ReceiverSettings(), 503),
        (HttpRequest("GET", "/", {}, b""), Verified(), None, ReceiverSettings(), 405),
        (HttpRequest("POST", "/", {}, None), Verified(), 503, ReceiverSettings(), 413),
    ],
)
def test_the_first_rule_that_applies_gives_the_status(
    request_: HttpRequest, verified: Verified, failure: int | None, house: ReceiverSettings, expected: int
) -> None:
    """Size, method, failure on purpose, token, payload: in that order."""
    assert expected == respond_to(request_, verified, failure, house).status


def test_retry_after_goes_with_failures_on_purpose_only() -> None:
    """A 401 is not a reason to wait; a failure that was asked for is."""
    house = ReceiverSettings(retry_after=7)
    assert (("retry-after", "7"),) == respond_to(POST, GOOD, 503, house).headers
    assert "retry-after" not in dict(respond_to(POST, Verified("wrong", None), None, house).headers)


def test_a_repeated_id_counts_only_when_it_was_accepted_before() -> None:
    """A retry after a failure is the first acceptance. A later request with its id is a repetition."""
    stats = Stats()
    request = HttpRequest("POST", "/", {"webhook-id": "msg_1"}, b"{}")
    for answer in (ReceiverResponse(503, on_purpose=True), ReceiverResponse(204), ReceiverResponse(204)):
        stats.count(request, GOOD, answer)
    assert (3, 2, 1, 1, {"msg_1"}) == (
        stats.requests,
        stats.accepted,
        stats.failed_on_purpose,
        stats.repeated,
        stats.ids,
    )


def test_a_finding_counts_as_invalid_even_where_it_was_accepted() -> None:
    """Without --strict a payload that does not fit is accepted, and still shows in the summary."""
    stats = Stats()
    stats.count(POST, Verified(True, "wrong"), ReceiverResponse(204))
    assert (1, 1) == (stats.accepted, stats.invalid)
