from __future__ import annotations

import io
import json
from typing import Any

import pytest

from hookline.http_connection import HttpRequest
from hookline.receiver.request_log import RequestLog, request_as_line
from hookline.receiver.responses import Verified


def recorded(body: bytes | None) -> dict[str, Any]:
    line = request_as_line(
        HttpRequest("POST", "/a?b=1", {"host": "x"}, body), Verified(True, None), at=1764547200.25, status=204
    )
    assert 1 == line.count(b"\n")
    assert line.endswith(b"\n")
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_request_is_one_line_with_everything_that_was_seen() -> None:
    """Time, request, response and results are in one JSON object, and the bytes if they are not the usual ones."""
    assert {
        "time": "2025-12-01T00:00:00.250Z",
        "method": "POST",
        "path": "/a?b=1",
        "headers": {"host": "x"},
        "body": {"a": [1, "é"]},
        "bodyBase64": "eyJhIjoKIFsxLCAiw6kiXX0=",
        "status": 204,
        "verified": {"jwt": True, "payload": None},
    } == recorded('{"a":\n [1, "é"]}'.encode())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"not json\n", {"bodyText": "not json\n"}),
        (b"", {"bodyText": ""}),
        (b"NaN", {"bodyText": "NaN"}),
        (b"\xff\x00", {"bodyBase64": "/wA="}),
        (b"null", {"body": None}),
        (b'{"a":[1,"\xc3\xa9"]}', {"body": {"a": [1, "é"]}}),
        (None, {"body": None}),
        (b'"\\ud800"', {"body": "\ud800", "bodyBase64": "Ilx1ZDgwMCI="}),
        (b"123456789012345678901234567890", {"body": 123456789012345678901234567890}),
    ],
)
def test_a_body_is_kept_whatever_it_is(body: bytes | None, expected: dict[str, Any]) -> None:
    """JSON as JSON, other text as text, anything else in Base64."""
    assert expected == {name: value for name, value in recorded(body).items() if name.startswith("body")}


def test_a_body_that_is_nested_too_deeply_is_kept_as_text() -> None:
    """100,000 open brackets end neither the line nor the receiver."""
    body = b"[" * 100_000 + b"]" * 100_000
    assert body.decode() == recorded(body)["bodyText"]


def test_a_journal_writes_all_lines_to_all_sinks() -> None:
    """A flush writes the lines since the last flush, once."""
    one, two = io.BytesIO(), io.BytesIO()
    journal = RequestLog(lambda request, verified, *, at, status: f"{request.path} {status}\n".encode(), one, two)
    for path in ("/a", "/b"):
        journal.add(HttpRequest("POST", path, {}, b""), Verified(), at=0.0, status=204)
    journal.flush()
    journal.flush()
    assert (b"/a 204\n/b 204\n",) * 2 == (one.getvalue(), two.getvalue())
