"""Every folder of tests/cases/plan is a case: a state, what is desired, and the plan as text, JSON and Markdown.

A case holds `state.json` ({"lineage", "serial", "webhooks": [document]}; absent: nothing applied yet), either
`webhooks/` (files as users write them) or `desired.json` ([{"file", "line", "document"}]), `options.json` where
something was given on the command line, and what comes out: `expected.txt`, `expected.json` and `expected.md`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builders import declared
from hookline.canonical import read_webhook
from hookline.config.loader import load
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.plan_document import plan_document
from hookline.plan.plan_file import read_plan
from hookline.plan.planner import make_plan
from hookline.plan.render_markdown import render_markdown
from hookline.plan.render_text import render_text
from hookline.schemas import load_schema
from hookline.state.store import EMPTY, Snapshot, Stored

CASES = Path(__file__).parents[2] / "cases" / "plan"


@pytest.fixture(params=sorted(case.name for case in CASES.iterdir()))
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The case's folder, and the current directory, so that files are named as in the case."""
    folder = CASES / str(request.param)
    monkeypatch.chdir(folder)
    return folder


def read_json(path: Path, default: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else default


def stored(case: Path) -> Snapshot:
    state = read_json(case / "state.json", None)
    if state is None:
        return EMPTY
    webhooks = [Stored.of(document) for document in state["webhooks"]]
    return Snapshot(state["lineage"], state["serial"], {each.webhook.address: each for each in webhooks})


def desired(case: Path, options: dict[str, Any]) -> Desired:
    if (case / "webhooks").is_dir():
        return load(Path("webhooks"), [Path(path) for path in options.get("paths", [])])
    written = read_json(case / "desired.json", [])
    webhooks = {
        read_webhook(one["document"]).address: declared(one["document"], one["file"], one["line"]) for one in written
    }
    return Desired(webhooks, options.get("narrowed", False))


def plan_of(case: Path) -> Plan:
    options = read_json(case / "options.json", {})
    pending = options.get("pending")
    return make_plan(
        stored(case),
        desired(case, options),
        DeletionLimits(
            allow_delete=frozenset(Address.parse(text) for text in options.get("allowDelete", [])),
            max_deletes=options.get("maxDeletes"),
        ),
        pending=None if pending is None else {Address.parse(text): count for text, count in pending.items()},
    )


def text_of(plan: Plan) -> str:
    return "".join(f"{row.text}\n" for row in render_text(plan))


def json_of(plan: Plan) -> str:
    return json.dumps(plan_document(plan), indent=2, ensure_ascii=False) + "\n"


def test_text(case: Path) -> None:
    """The plan reads as the case expects, to the letter."""
    assert (case / "expected.txt").read_text() == text_of(plan_of(case))


def test_json(case: Path) -> None:
    """The plan as JSON is the case's, to the byte."""
    assert (case / "expected.json").read_text() == json_of(plan_of(case))


def test_markdown(case: Path) -> None:
    """The plan as a comment is the case's, to the letter."""
    assert (case / "expected.md").read_text() == render_markdown(plan_of(case))


def test_read_back(case: Path) -> None:
    """The plan read back from its JSON is the same plan, but for what was lifted, which a saved plan cannot say."""
    plan = plan_of(case)
    changes = tuple(replace(change, allowed=None) for change in plan.changes)
    assert replace(plan, changes=changes) == read_plan(json_of(plan).encode(), "plan.json")


def test_schema(case: Path) -> None:
    """The plan as JSON holds to the published schema."""
    schema = load_schema("plan.v1")
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(plan_document(plan_of(case)))] == []


if __name__ == "__main__":
    # `python tests/unit/plan/test_cases.py` writes what comes out now into every case: read the difference in git.
    for folder in sorted(CASES.iterdir()):
        os.chdir(folder)
        result = plan_of(folder)
        (folder / "expected.txt").write_text(text_of(result))
        (folder / "expected.json").write_text(json_of(result))
        (folder / "expected.md").write_text(render_markdown(result))
