"""Decides the response to a request: values, and a function without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from hookline.http_connection import HttpRequest, HttpResponse
from hookline.receiver.receiver_settings import ReceiverSettings

ACCEPTED = 204

# True: valid. Text: the reason why not. None: not checked.
VerificationResult = Literal[True] | str | None


@dataclass(frozen=True, slots=True)
class Verified:
    jwt: VerificationResult = None
    payload: VerificationResult = None
    signature: VerificationResult = None

    @property
    def valid(self) -> bool:
        return not any(isinstance(result, str) for result in (self.jwt, self.payload, self.signature))


@dataclass(frozen=True, slots=True)
class ReceiverResponse(HttpResponse):
    """`on_purpose`: the settings require this failure."""

    on_purpose: bool = False

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300


def respond_to(
    request: HttpRequest, verified: Verified, failure: int | None, settings: ReceiverSettings
) -> ReceiverResponse:
    """Returns the response. Like a failing gateway, a failure on purpose (`failure`, its status) comes first."""
    if request.body is None:
        return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than 1 MiB", close=True)
    if request.method != "POST":
        return _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is supported", ("allow", "POST"))
    if failure is not None:
        headers = () if settings.retry_after is None else (("retry-after", str(settings.retry_after)),)
        return ReceiverResponse(failure, headers, on_purpose=True)
    if isinstance(verified.jwt, str):
        # RFC 6750 section 3: the challenge. The reason is in the body, which may contain any character.
        return _refuse(HTTPStatus.UNAUTHORIZED, verified.jwt, ("www-authenticate", 'Bearer error="invalid_token"'))
    if isinstance(verified.signature, str):
        return _refuse(HTTPStatus.UNAUTHORIZED, verified.signature)
    if settings.strict and isinstance(verified.payload, str):
        return _refuse(HTTPStatus.UNPROCESSABLE_ENTITY, verified.payload)
    return ReceiverResponse(ACCEPTED)


def _refuse(status: HTTPStatus, reason: str, *headers: tuple[str, str], close: bool = False) -> ReceiverResponse:
    body = json.dumps({"error": reason}).encode() + b"\n"
    return ReceiverResponse(status.value, (("content-type", "application/json"), *headers), body, close=close)


@dataclass(slots=True)
class Stats:
    """The counts of a run. `disconnected`: the client left before the response. `repeated`: accepted requests whose
    ``webhook-id`` was accepted before.
    """

    requests: int = 0
    accepted: int = 0
    failed_on_purpose: int = 0
    invalid: int = 0
    disconnected: int = 0
    repeated: int = 0
    ids: set[str] = field(default_factory=set)

    def count_malformed(self) -> None:
        self.invalid += 1

    def count(self, request: HttpRequest, verified: Verified, response: ReceiverResponse | None) -> None:
        """Counts one request. `response` is None if the client left before it."""
        self.requests += 1
        if response is None:
            self.disconnected += 1
            return
        refused = not response.accepts and not response.on_purpose
        self.failed_on_purpose += response.on_purpose
        self.invalid += refused or not verified.valid
        if not response.accepts:
            return
        self.accepted += 1
        webhook_id = request.headers.get("webhook-id")
        if webhook_id in self.ids:
            self.repeated += 1
        elif webhook_id is not None:
            self.ids.add(webhook_id)
