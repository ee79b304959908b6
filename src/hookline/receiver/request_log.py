"""One line of JSON for each request, and the journal that takes these lines to a file and to stdout."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, BinaryIO

from hookline.errors import HooklineError
from hookline.http_connection import HttpRequest
from hookline.receiver.responses import Verified
from hookline.units import utc_text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Made once: json.loads and json.dumps make one in each call that has options.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_READABLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII = json.JSONEncoder(separators=(",", ":"))


def request_as_line(request: HttpRequest, verified: Verified, *, at: float, status: int | None) -> bytes:
    """The request as NDJSON. `at` is Unix time in seconds; `status` None: the client left before the answer.

    The body is ``body`` where it is JSON, else ``bodyText`` where it is UTF-8, else ``bodyBase64``.
    """
    fields = {
        "time": utc_text(at, "milliseconds"),
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
    }
    findings = {"jwt": verified.jwt, "payload": verified.payload}
    if verified.signature is not None:  # a receiver that checks none says nothing about them
        findings["signature"] = verified.signature
    ending = {"status": status, "verified": findings}
    try:
        return _encode({**fields, "body": parse_json(request.body), **ending})
    except ValueError:
        return _encode({**fields, **_unparsed(request.body or b""), **ending})


def parse_json(body: bytes | None) -> Any:
    """The JSON value of a body, None for None. Raises ValueError where it is not JSON (RFC 8259, so no NaN)."""
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
        # A lone surrogate (valid as \ud800 in JSON) has no UTF-8: such a line is written in ASCII throughout.
        return _READABLE.encode(value).encode() + b"\n"
    except UnicodeEncodeError:
        return _ASCII.encode(value).encode() + b"\n"
    except RecursionError:
        raise ValueError("nested too deeply") from None


class RequestLog:
    """Lines on their way to the operating system. Nothing is answered before its line has been flushed."""

    def __init__(self, *sinks: BinaryIO) -> None:
        self._sinks = sinks
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        if self._sinks:
            self._lines.append(line)

    def flush(self) -> None:
        """Hand all lines to the operating system. Raises OSError when a sink does not take them."""
        data = b"".join(self._lines)
        self._lines.clear()
        for sink in self._sinks:
            taken = 0
            while taken < len(data):
                taken += sink.write(data[taken:])
            sink.flush()


def open_request_log(path: Path) -> BinaryIO:
    """The file to append to, readable for its owner only: it holds recipients and credentials."""
    try:
        path.touch(mode=0o600, exist_ok=True)
        return path.open("ab", buffering=0)
    except OSError as error:
        raise HooklineError(
            f"cannot record into {path}: {error.strerror}", hint="name a file in a directory that you can write to"
        ) from error
