"""A case is a folder: what comes in, how the relay was started and what is applied, and each line's fate.

``input.ndjson``, ``options.json`` (format, organization, sandbox, campaign, and the applied `webhooks` as documents)
and ``expected.json`` (the fates in order; of a delivery the address, the event's time and the payload).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hookline.relay.delivery_record import Delivery, RoutingResult
from hookline.relay.event import Event
from hookline.relay.formats.line_reader import AUTO, read_line
from hookline.relay.routing import SKIP_REASONS, Defaults, Routes
from hookline.state.store import Snapshot, Stored
from source_reader import Book

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/input.ndjson"))
PAYLOAD = Draft202012Validator(json.loads((HERE.parents[2] / "schemas/payload.v1.schema.json").read_text()))


def fates(case: Path) -> list[dict[str, Any]]:
    options = json.loads((case / "options.json").read_text())
    stored = [Stored.of(document) for document in options.pop("webhooks")]
    routes = Routes.from_snapshot(
        Snapshot(lineage="case", serial=1, webhooks={each.webhook.address: each for each in stored})
    )
    choice = options.pop("format", AUTO)
    defaults = Defaults(**options)
    lines = Book().lines(case / "input.ndjson")
    return [
        {"line": line.number, **as_json(routes.route(reading, defaults) if isinstance(reading, Event) else reading)}
        for line in lines
        for reading in read_line(line, choice)
    ]


def as_json(fate: RoutingResult) -> dict[str, Any]:
    if not isinstance(fate, Delivery):
        return {type(fate).__name__.lower(): fate.reason}
    return {"to": str(fate.address), "time": fate.time, "payload": json.loads(fate.body)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    """Every line of the case has the fate that is written down for it."""
    assert json.loads((case / "expected.json").read_text()) == fates(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_payloads_of_case_are_of_version_1(case: Path) -> None:
    """What a case expects to be sent is valid under the published schema, and its reasons are known ones."""
    for fate in json.loads((case / "expected.json").read_text()):
        if "payload" in fate:
            PAYLOAD.validate(fate["payload"])
        elif "skipped" in fate:
            assert fate["skipped"] in SKIP_REASONS
        else:
            assert fate["rejected"]


def test_there_are_cases() -> None:
    """A moved folder must not make this suite pass with nothing in it."""
    assert CASES
