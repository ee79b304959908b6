"""One readable line for each request of the development receiver, for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hookline.cli.output.colour import coloured
from hookline.escaping import printable, shortened
from hookline.http_connection import HttpRequest
from hookline.receiver.request_log import parse_json
from hookline.receiver.responses import Verified

_MAX_PATH_CHARACTERS = 60
_MAX_WORD_CHARACTERS = 20


def request_line(request: HttpRequest, verified: Verified, *, at: float, status: int | None) -> bytes:
    """Returns the line of a request, which arrived `at` (Unix time in seconds), with its line end.

    It shows no recipient, and no query, because a query may contain a secret. `status` is None if the client left
    before the response.
    """
    path = request.path.partition("?")[0]
    parts = [
        datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S"),
        _status(status),
        f"{shortened(printable(request.method), _MAX_WORD_CHARACTERS)} "
        f"{shortened(printable(path), _MAX_PATH_CHARACTERS)}",
        _event(request),
        _attempt(request),
        _result("token", verified.jwt),
        _result("signature", verified.signature),
        _result("payload", verified.payload),
    ]
    return ("  ".join(part for part in parts if part) + "\n").encode()


def _status(status: int | None) -> str:
    if status is None:
        return coloured("left", "yellow")
    return coloured(str(status), "green" if 200 <= status < 300 else "red")


def _event(request: HttpRequest) -> str:
    """The channel and the feedback status of a payload."""
    try:
        value: Any = parse_json(request.body)
    except ValueError:
        return ""
    match value:
        case {
            "channel": str(channel),
            "messageDeliveryFeedback": {"feedbackStatus": {"value": str(status)}},
        }:
            return " ".join(shortened(printable(word), _MAX_WORD_CHARACTERS) for word in (channel, status))
    return ""


def _attempt(request: HttpRequest) -> str:
    number = request.headers.get("hookline-attempt", "1")
    return "" if number == "1" else f"attempt {shortened(printable(number), _MAX_WORD_CHARACTERS)}"


def _result(name: str, result: bool | str | None) -> str:
    if result is None:
        return ""
    return f"{name} valid" if result is True else f"{name} {coloured('not valid', 'red')}: {printable(str(result))}"
