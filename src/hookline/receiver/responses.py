"""A request, what verification found, and the answer to it: values, and the function that decides."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from hookline.http_connection import HttpRequest, HttpResponse

ACCEPTED = 204

# True: it holds. Text: why it does not. None: it was not looked at.
VerificationResult = Literal[True] | str | None


@dataclass(frozen=True, slots=True)
class Verified:
    jwt: VerificationResult = None
    payload: VerificationResult = None
    signature: VerificationResult = None

    @property
    def holds(self) -> bool:
        return not any(isinstance(finding, str) for finding in (self.jwt, self.payload, self.signature))


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """`close`: the connection ends with this answer. `on_purpose`: the receiver was told to fail this one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    close: bool = False
    on_purpose: bool = False

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300

    def response(self) -> HttpResponse:
        """The response that is sent."""
        return HttpResponse(self.status, self.headers, self.body, close=self.close)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of this receiver. `retry_after` (seconds) goes with failures on purpose only."""

    strict: bool = False
    retry_after: int | None = None


def respond_to(request: HttpRequest, verified: Verified, failure: int | None, house: Rules) -> ReceiverResponse:
    """What the request deserves. `failure` is the status to fail it with on purpose, or None.

    A failure on purpose comes before authentication, as it does where a gateway fails in front of an application.
    """
    if request.body is None:
        return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than 1 MiB", close=True)
    if request.method != "POST":
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is answered here", ("allow", "POST"))
    if failure is not None:
        waits = () if house.retry_after is None else (("retry-after", str(house.retry_after)),)
        return ReceiverResponse(failure, waits, on_purpose=True)
    if isinstance(verified.jwt, str):
        # RFC 6750 section 3: the challenge; the reason is in the body, where any character may stand.
        return _refusal(HTTPStatus.UNAUTHORIZED, verified.jwt, ("www-authenticate", 'Bearer error="invalid_token"'))
    if isinstance(verified.signature, str):
        return _refusal(HTTPStatus.UNAUTHORIZED, verified.signature)
    if house.strict and isinstance(verified.payload, str):
        return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, verified.payload)
    return ReceiverResponse(ACCEPTED)


def _refusal(status: HTTPStatus, reason: str, *headers: tuple[str, str], close: bool = False) -> ReceiverResponse:
    body = json.dumps({"error": reason}).encode() + b"\n"
    return ReceiverResponse(status.value, (("content-type", "application/json"), *headers), body, close=close)


@dataclass(slots=True)
class Stats:
    """What came in so far. `repeated` counts accepted requests whose ``webhook-id`` had been accepted before."""

    requests: int = 0
    accepted: int = 0
    failed_on_purpose: int = 0
    invalid: int = 0
    left: int = 0
    repeated: int = 0
    ids: set[str] = field(default_factory=set)

    def count(self, request: HttpRequest, verified: Verified, answer: ReceiverResponse | None) -> None:
        """Add one request. `answer` None: the client left before it was answered."""
        self.requests += 1
        if answer is None:
            self.left += 1
            return
        refused = not answer.accepts and not answer.on_purpose
        self.failed_on_purpose += answer.on_purpose
        self.invalid += refused or not verified.holds
        if not answer.accepts:
            return
        self.accepted += 1
        webhook_id = request.headers.get("webhook-id")
        if webhook_id in self.ids:
            self.repeated += 1
        elif webhook_id is not None:
            self.ids.add(webhook_id)
