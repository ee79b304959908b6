"""What is fuzzed: four doors at which bytes of strangers come in, and what must hold whatever the bytes are.

A target takes bytes and raises AssertionError, or whatever else gets out, for a finding. Its seeds are whole, sound
inputs, for a fuzzer to take apart. Findings become rows of tests/hostile or seeds here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from builders import document, line, routes
from hookline.canonical import digest
from hookline.config.discovery import WebhookFile
from hookline.config.file_validator import validate_file
from hookline.errors import Stale, WrongUse
from hookline.model import Address
from hookline.plan.plan import Plan
from hookline.plan.plan_file import read_plan
from hookline.plan.render_markdown import render_markdown
from hookline.plan.render_text import render_text
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import MAX_HEAD_BYTES, ResponseReader
from hookline.relay.ingest.batch import IngestContext, build_batch
from hookline.relay.routing import Defaults
from hookline.relay.sources.source import Batch, Position

TESTS: Final = Path(__file__).parents[1]
ROUTES: Final = routes(document(Address("ACME@AdobeOrg", "prod"), channels=["email", "sms"]))
READING: Final = IngestContext(routes=ROUTES, defaults=Defaults(organization="ACME@AdobeOrg", sandbox="prod"))


def webhook_file(data: bytes) -> None:
    """A file is webhooks that can be written down again, or it has findings that can be shown; never neither."""
    judged = validate_file(WebhookFile("webhooks/prod.yaml", data))
    assert judged.documents or judged.diagnostics
    for found in judged.diagnostics:
        assert found.code
        assert found.summary.isprintable(), found.summary
        assert found.hint is None or found.hint.isprintable(), found.hint
        assert len(found.summary) < 2000


def event_line(data: bytes) -> None:
    """A line has one fate for each event, at least one, and what is rejected says why in a line."""
    intake, _ = build_batch(Batch("log", [line(data)], Position(name="log"), False), READING)
    assert intake.read >= 1
    assert intake.read == len(intake.deliveries) + len(intake.rejected) + sum(intake.skipped.values())
    for refused in intake.rejected:
        assert refused.reason.isprintable(), refused.reason
        assert len(refused.reason) < 1000
    for reason in intake.skipped:
        assert reason.isprintable()


def plan_file(data: bytes) -> None:
    """A plan is refused in our words, or it can be shown, with nothing in it that moves on a terminal."""
    for plan in filter(None, (_read(data), _read(_sealed(data)))):
        for text in ("\n".join(row.text for row in render_text(plan)), render_markdown(plan)):
            assert text.replace("\n", "").isprintable(), text


def _read(data: bytes) -> Plan | None:
    try:
        return read_plan(data, "p.json")
    except (WrongUse, Stale) as refused:
        message = refused.message
    assert message.isprintable(), message
    return None


def _sealed(data: bytes) -> bytes:
    """The same with hashes that fit, where there is something to hash: as one forges it who has read the source."""
    try:
        document = json.loads(data)
        for change in document["changes"]:
            change["beforeHash"] = None if change["before"] is None else digest(change["before"])
        changes = sorted(document["changes"], key=lambda change: change["address"].split("/"))
        keys = ("address", "action", "beforeHash", "after")
        document["fingerprint"] = digest([{key: change[key] for key in keys} for change in changes])
        return json.dumps(document).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return b""


def http_answer(data: bytes) -> None:
    """An answer comes to the same whole and byte by byte; what is kept of it is bounded; refusals are short."""
    read = [_answer(data, len(data) or 1), _answer(data, 1)]
    assert read[0] == read[1]


def _answer(data: bytes, size: int) -> tuple[object, ...]:
    reader = ResponseReader()
    try:
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])
        reader.end()
    except NotHttp as refused:
        words = str(refused)
    else:
        words = ""
    if words:
        assert reader.head is None
        assert len(words) < 200
        return ("refused",)
    assert reader.head is not None
    assert 200 <= reader.head.status <= 999
    assert len(reader.head.block) <= MAX_HEAD_BYTES + 1024
    return reader.head.status, reader.head.headers()


def _files(*patterns: str) -> list[bytes]:
    found = [path for pattern in patterns for path in sorted(TESTS.glob(pattern))]
    assert found, patterns
    return [data for path in found if path.is_file() and len(data := path.read_bytes()) < 16_384]


def _lines() -> list[bytes]:
    logs = _files("cases/formats/**/input.ndjson", "cases/relay/**/input.ndjson", "facts/xdm-feedback-events.ndjson")
    return [line for log in logs for line in log.splitlines()]


ANSWERS: Final = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\ntrailer: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nretry-after: 120\r\nconnection: close\r\n\r\n",
    b"HTTP/1.0 302 Found\nlocation: /\n  folded\n\n",
]
TARGETS: Final[dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]]] = {
    "webhook-file": (webhook_file, lambda: _files("cases/validate/**/*.yaml")),
    "event-line": (event_line, _lines),
    "plan-file": (plan_file, lambda: _files("cases/plan/**/expected.json")),
    "http-answer": (http_answer, lambda: ANSWERS),
}
