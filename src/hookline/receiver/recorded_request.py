"""A request that `hookline receive --record` has written, read back with the exact bytes of its body."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from hookline.http_connection import HttpRequest
from hookline.receiver.request_log import compact_json

# A body of 1 MiB, every byte of which is escaped in the record, and its Base64.
MAX_RECORD_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """`at` is the time at which it arrived, in Unix seconds; `line` its number in the file, from 1."""

    request: HttpRequest
    at: float
    line: int


def find_record(file: BinaryIO, wanted: int | None) -> RecordedRequest:
    """Returns the request on line `wanted` (from 1), or the last one. Raises ValueError for another kind of file."""
    number, last = 0, None
    while data := file.readline(MAX_RECORD_BYTES + 1):
        number += 1
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"line {number}: longer than {MAX_RECORD_BYTES} bytes")
        if not data.isspace() and wanted in (None, number):
            last = number, data
        if number == wanted:
            break
    if last is None:
        raise ValueError("it contains no request" if wanted is None else f"it has no request on line {wanted}")
    try:
        return _parse(json.loads(last[1]), last[0])
    except RecursionError:
        raise ValueError(f"line {last[0]}: nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"line {last[0]} is not a recorded request: {fault}") from error


def _parse(record: Any, line: int) -> RecordedRequest:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the fault of a file, not of the caller
    headers = {str(name).lower(): str(value) for name, value in record["headers"].items()}
    request = HttpRequest(str(record["method"]), str(record["path"]), headers, _body(record))
    return RecordedRequest(request, datetime.fromisoformat(record["time"]).timestamp(), line)


def _body(record: dict[str, Any]) -> bytes | None:
    """Returns the bytes of the body; None for one that was too large to be recorded."""
    if isinstance(encoded := record.get("bodyBase64"), str):
        return base64.b64decode(encoded, validate=True)
    if isinstance(text := record.get("bodyText"), str):
        return text.encode()
    if record["body"] is None and record.get("status") == 413:
        return None
    return compact_json(record["body"])
