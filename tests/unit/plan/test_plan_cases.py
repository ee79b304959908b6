"""Every folder of tests/cases/plan is a case: a state, what is desired, and the plan as text, JSON and Markdown.

A case holds `state.json` ({"lineage", "serial", "webhooks": [document], "moves": [[old, new, serial]]}; absent:
nothing applied yet), either `webhooks/` (files as users write them) or `desired.json` ([{"file", "line", "document",
"movedFrom"}]), `policy.yaml` if the state has a policy, `options.json` where something was given on the command line,
and what comes out: `expected.txt`, `expected.json` and `expected.md`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builders import declared
from hookline.apply import time_zone
from hookline.canonical import read_webhook
from hookline.cli.plan_options import paths_below
from hookline.config.loader import load
from hookline.config.policy_file import read_policy_file
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.plan_document import plan_document
from hookline.plan.plan_file import read_plan
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import OverrideRequest, PolicyContext, check_policy
from hookline.plan.render_markdown import render_markdown
from hookline.plan.render_text import render_text
from hookline.schemas import load_schema
from hookline.state.store import EMPTY, Move, Snapshot, Stored

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
    moves = [(Address.parse(old), Address.parse(new), serial) for old, new, serial in state.get("moves", [])]
    return Snapshot(
        state["lineage"],
        state["serial"],
        {each.webhook.address: each for each in webhooks},
        moves=tuple(Move(*one) for one in moves),
    )


def desired(case: Path, options: dict[str, Any]) -> Desired:
    if (case / "webhooks").is_dir():
        return load(Path("webhooks"), [Path(path) for path in options.get("paths", [])])
    written = read_json(case / "desired.json", [])
    webhooks = {
        read_webhook(one["document"]).address: declared(one["document"], one["file"], one["line"]) for one in written
    }
    moved_from = {
        read_webhook(one["document"]).address: Address.parse(one["movedFrom"])
        for one in written
        if "movedFrom" in one
    }
    return Desired(webhooks, options.get("narrowed", False), moved_from=moved_from)


def plan_of(case: Path) -> Plan:
    options = read_json(case / "options.json", {})
    wanted = desired(case, options)
    plan = unchecked_plan(case, wanted, options)
    if not (case / "policy.yaml").exists():
        return plan
    lifted = options.get("override")
    context = PolicyContext(
        at=datetime.fromisoformat(options["at"]),
        zone_of=time_zone,
        applied=len(stored(case).webhooks),
        paths_in_config=paths_below(Path("webhooks")),
        place_of=lambda address, path: (
            wanted.webhooks[address].place_of(path) if address in wanted.webhooks else None
        ),
        request=OverrideRequest(rules=tuple(lifted["rules"]), reason=lifted["reason"], who=lifted["who"]),
    )
    return replace(plan, violations=check_policy(plan, read_policy_file(Path("policy.yaml")).policy, context))


def unchecked_plan(case: Path, wanted: Desired, options: dict[str, Any]) -> Plan:
    pending = options.get("pending")
    return make_plan(
        stored(case),
        wanted,
        DeletionLimits(
            allow_delete=frozenset(Address.parse(text) for text in options.get("allowDelete", [])),
            max_deletes=options.get("maxDeletes"),
            allow_move=options.get("allowMove", False),
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
    """The plan read back from its JSON is the same plan, except overrides and their missing approvals."""
    plan = plan_of(case)
    changes = tuple(replace(change, allowed=None, option=None) for change in plan.changes)
    violations = tuple(replace(violation, refused=None, approvals=None) for violation in plan.violations)
    assert replace(plan, changes=changes, violations=violations) == read_plan(json_of(plan).encode(), "plan.json")


def test_schema(case: Path) -> None:
    """The plan as JSON holds to the published schema."""
    schema = load_schema("plan.v1")
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(plan_document(plan_of(case)))] == []


if __name__ == "__main__":
    # `PYTHONPATH=tests python tests/unit/plan/test_plan_cases.py` writes what comes out now into every case.
    for folder in sorted(CASES.iterdir()):
        os.chdir(folder)
        result = plan_of(folder)
        (folder / "expected.txt").write_text(text_of(result))
        (folder / "expected.json").write_text(json_of(result))
        (folder / "expected.md").write_text(render_markdown(result))
