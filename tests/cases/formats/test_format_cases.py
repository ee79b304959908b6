"""A case is a folder: a provider's lines, how they are to be read, and what is sent of them.

``<format>/<case>/``: ``input.ndjson``; ``args``, the options of `relay` that say how lines are read; ``now``, where
the year matters; ``expected-payloads.ndjson``, the bodies in their order; ``expected-summary.json``, the fate of
every event; ``expected-rejections.txt``, where there are any. One webhook is applied, for ACME@AdobeOrg/prod.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from jsonschema import Draft202012Validator

from builders import document, routes
from hookline.cli.ingest_options import defaults_options, line_format_option
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery_record import Delivery, Rejected
from hookline.relay.formats.json_decoding import decode_json
from hookline.relay.formats.registry import FORMATS
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.dry_run import DryRunEvent, count_results, dry_run
from hookline.relay.routing import Defaults
from hookline.relay.sources.open import open_sources
from hookline.relay.summary import summarize
from hookline.schemas import load_schema

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/input.ndjson"))
PROVIDERS = sorted({case.parent.name for case in CASES})
NOW = "2026-11-25T12:00:00Z"
PAYLOAD = Draft202012Validator(load_schema("payload.v1"))
ROUTES = routes(document(Address("ACME@AdobeOrg", "prod"), channels=["email", "sms"]))


def reading(case: Path) -> IngestContext:
    """How the case's options say that its lines are read."""

    @click.command
    @line_format_option
    @defaults_options
    def relay(format: str, defaults: Defaults) -> tuple[str, Defaults]:
        """Only parses."""
        return format, defaults

    format, defaults = relay.main(shlex.split((case / "args").read_text()), standalone_mode=False)
    now = case / "now"
    clock = datetime.fromisoformat(now.read_text().strip() if now.exists() else NOW).timestamp
    hints = msgspec.structs.replace(defaults.mapping, clock=clock)
    return IngestContext(routes=ROUTES, defaults=dataclasses.replace(defaults, mapping=hints), format=format)


def rehearsed(case: Path) -> tuple[list[DryRunEvent], dict[str, Any]]:
    """Each event's fate, and the summary in which what would be sent is pending."""
    told: list[DryRunEvent] = []
    log = Log(lambda _: None, level="warning", format="text", clock=lambda: 0.0)
    source = open_sources([str(case / "input.ndjson")], [], follow=False, logger=log)
    try:
        tally = count_results(dry_run(source, reading(case), lambda _: set()), told.append)
    finally:
        source.close()
    summary = summarize({"pending": 0}, tally, 0).as_json()
    return told, {name: value for name, value in summary.items() if name not in ("seconds", "attempts", "carried")}


def test_every_format_has_its_cases() -> None:
    """At least six for every provider, and no folder without a format."""
    own = {"payload", "xdm", "dead-letter"}  # in tests/cases/relay, and tests/e2e/test_dead.py
    assert set(FORMATS) - own == set(PROVIDERS)
    few = {name for name in PROVIDERS if len(list((HERE / name).iterdir())) < 6}
    assert set() == few


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_case(case: Path) -> None:
    """What is sent, byte for byte, what is skipped, and what is refused with which reason."""
    told, summary = rehearsed(case)
    sent = [one.result.body.decode() for one in told if isinstance(one.result, Delivery) and not one.duplicate]
    rejections = [f"{one.line}: {one.result.reason}" for one in told if isinstance(one.result, Rejected)]
    expected = case / "expected-rejections.txt"
    assert (case / "expected-payloads.ndjson").read_text().splitlines() == sent
    assert json.loads((case / "expected-summary.json").read_text()) == summary
    assert (expected.read_text().splitlines() if expected.exists() else []) == rejections
    for body in sent:
        PAYLOAD.validate(json.loads(body))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_no_other_format_recognizes_the_lines(case: Path) -> None:
    """Every line of every format, shown to the recognizer of every other: `auto` depends on no order."""
    for line in (case / "input.ndjson").read_bytes().splitlines():
        value = decode_json(line)
        by = {name for name, known in FORMATS.items() if known.recognizes(value)}
        assert by <= {case.parent.name}
