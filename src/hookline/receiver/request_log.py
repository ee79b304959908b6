"""The request log: one line of JSON for each request, for a file and stdout."""

from __future__ import annotations

import base64
import json
from typing import Any, BinaryIO, Protocol

from hookline.escaping import escape_json
from hookline.http_connection import HttpRequest
from hookline.receiver.responses import Verified
from hookline.units import utc_text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Created once, because json.loads and json.dumps create one in each call with options.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_READABLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def request_as_line(request: HttpRequest, verified: Verified, *, at: float, status: int | None) -> bytes:
    """Returns the request, which arrived `at` (Unix time in seconds), as a line of NDJSON.

    The body is in ``body`` if it is JSON, otherwise in ``bodyText`` if it is UTF-8, otherwise in ``bodyBase64``. JSON
    with other bytes than `compact_json` is in ``bodyBase64`` too, because a signature is over the bytes.
    `status` is None if the client left before the response.
    """
    fields = {
        "time": utc_text(at, "milliseconds"),
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
    }
    results = {"jwt": verified.jwt, "payload": verified.payload}
    if verified.signature is not None:  # only a receiver with signature secrets has this field
        results["signature"] = verified.signature
    ending = {"status": status, "verified": results}
    try:
        return _encode({**fields, **_parsed(request.body), **ending})
    except ValueError:
        return _encode({**fields, **_unparsed(request.body or b""), **ending})


def parse_json(body: bytes | None) -> Any:
    """Returns the JSON value of a body; None for None. Raises ValueError if it is not JSON (RFC 8259: no NaN)."""
    if body is None:
        return None
    try:
        return _DECODER.decode(body.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def compact_json(value: Any) -> bytes:
    """Returns the form of JSON that hookline sends. Raises ValueError for text without a UTF-8 form."""
    return _READABLE.encode(value).encode()


def _parsed(body: bytes | None) -> dict[str, Any]:
    value = parse_json(body)
    try:
        is_compact = body is None or compact_json(value) == body
    except (ValueError, RecursionError):
        is_compact = False
    return {"body": value} if is_compact else {"body": value, "bodyBase64": base64.b64encode(body or b"").decode()}


def _unparsed(body: bytes) -> dict[str, str]:
    try:
        return {"bodyText": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}


def _encode(value: dict[str, Any]) -> bytes:
    try:
        return escape_json(_READABLE.encode(value)).encode() + b"\n"
    except RecursionError:
        raise ValueError("nested too deeply") from None


class RequestLine(Protocol):
    """Makes the line of a request, with its line end: `request_as_line`, or another form."""

    def __call__(self, request: HttpRequest, verified: Verified, *, at: float, status: int | None) -> bytes: ...


class RequestLog:
    """Buffers the lines that `line` makes. The receiver sends no response before its line is flushed."""

    def __init__(self, line: RequestLine, *sinks: BinaryIO) -> None:
        self._line = line
        self._sinks = sinks
        self._lines: list[bytes] = []

    def add(self, request: HttpRequest, verified: Verified, *, at: float, status: int | None) -> None:
        """Adds the line of a request, with the arguments of `request_as_line`."""
        self._lines.append(self._line(request, verified, at=at, status=status))

    def flush(self) -> None:
        """Writes all lines to the sinks. Raises OSError if a sink fails."""
        data = b"".join(self._lines)
        self._lines.clear()
        for sink in self._sinks:
            written = 0
            while written < len(data):
                written += sink.write(data[written:])
            sink.flush()
