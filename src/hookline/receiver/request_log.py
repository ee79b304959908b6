"""The request log: one line of JSON for each request, for a file and stdout."""

from __future__ import annotations

import base64
import json
from typing import Any, BinaryIO

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

    The body is in ``body`` if it is JSON, otherwise in ``bodyText`` if it is UTF-8, otherwise in ``bodyBase64``.
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
        return _encode({**fields, "body": parse_json(request.body), **ending})
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


class RequestLog:
    """Buffers lines. The receiver sends no response before its line is flushed."""

    def __init__(self, *sinks: BinaryIO) -> None:
        self._sinks = sinks
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        if self._sinks:
            self._lines.append(line)

    def flush(self) -> None:
        """Writes all lines to the sinks. Raises OSError if a sink fails."""
        data = b"".join(self._lines)
        self._lines.clear()
        for sink in self._sinks:
            written = 0
            while written < len(data):
                written += sink.write(data[written:])
            sink.flush()
