"""The problems of a plan as annotations of GitHub, SARIF, and a Code Quality report of GitLab."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from builders import ACME, desired, document
from hookline.cli.output.plan_reports import plan_as_annotations, plan_as_code_quality, plan_as_sarif
from hookline.model import Address, SourcePlace
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.policy.policy import RuleLevel
from hookline.policy.violation import Violation, ViolationKind
from hookline.state.store import EMPTY, Snapshot, Stored

HOSTILE = "line\n::error::forged %0A\u202e, x:y"


def violation(**fields: Any) -> Violation:
    return Violation(**{
        "kind": ViolationKind.RULE, "rule": "own-hosts", "level": RuleLevel.DENY, "message": "our hosts only",
        "address": ACME, "path": "/endpoint/host", "place": SourcePlace("webhooks/acme/prod.yaml", 7, 6),
        "detail": "no match", **fields,
    })  # fmt: skip


def plan(*violations: Violation) -> Plan:
    """A plan with violations whose only change is a blocked deletion."""
    stored = Snapshot("L", 1, {Address("acme", "old"): Stored.of(document("old"))})
    made = make_plan(stored, desired(), DeletionLimits())
    return Plan(
        lineage=made.lineage, serial=1, changes=made.changes, unchanged=0, fingerprint=made.fingerprint,
        violations=violations,
    )  # fmt: skip


NOTHING = make_plan(EMPTY, desired(), DeletionLimits())


def test_annotations() -> None:
    """Each problem is an annotation at its place; what does not deny is a warning; the summary is a plain line."""
    lines = plan_as_annotations(plan(violation(), violation(overridden="agreed"))).splitlines()
    first = "own-hosts: acme/prod /endpoint/host: our hosts only (no match)"
    assert f"::error file=webhooks/acme/prod.yaml,line=7,col=6,title=HL090::{first}" == lines[0]
    assert lines[1].startswith("::error file=webhooks,title=HL094::acme/old: no webhook would be left%0Ahint: ")
    assert f"::warning file=webhooks/acme/prod.yaml,line=7,col=6,title=HL090::{first}; lifted: agreed" == lines[2]
    assert lines[3].startswith("Plan: ")
    assert 4 == len(lines)


def test_blocked_move() -> None:
    """A blocked move is reported at the webhook that names its earlier address, with the option that allows it."""
    stored = Snapshot("L", 1, {Address("acme", "old"): Stored.of(document("old"))})
    new = Address("beta", "new")
    wanted = replace(desired(document(new), file="webhooks/beta/new.yaml"), moved_from={new: Address("acme", "old")})
    line = plan_as_annotations(make_plan(stored, wanted, DeletionLimits())).splitlines()[0]
    found = "beta/new: the webhook moves to another organization, beta"
    assert line.startswith(f"::error file=webhooks/beta/new.yaml,line=1,title=HL094::{found}%0Ahint: ")
    assert line.endswith("otherwise allow it with --allow-move")


def test_a_message_cannot_forge_an_annotation() -> None:
    """Text of a policy or of a file adds no command to the log of a job."""
    text = plan_as_annotations(plan(violation(message=HOSTILE, detail=HOSTILE)))
    assert 2 == sum(line.startswith("::") for line in text.splitlines())
    assert "\u202e" not in text


def test_sarif() -> None:
    """Code scanning gets the rule with its explanation, the level, and a place for every result."""
    (run,) = json.loads(plan_as_sarif(plan(violation(), violation(level=RuleLevel.WARN))))["runs"]
    assert ["HL090", "HL094"] == [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [("HL090", "error"), ("HL090", "warning"), ("HL094", "error")] == [
        (one["ruleId"], one["level"]) for one in run["results"]
    ]
    assert all(one["locations"] for one in run["results"])
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert {"startLine": 7, "startColumn": 6} == place["region"]


def test_code_quality() -> None:
    """GitLab gets what its format requires; a finding keeps its fingerprint when it moves to another line."""
    first, second = json.loads(plan_as_code_quality(plan(violation())))
    assert ("HL090", "major", {"path": "webhooks/acme/prod.yaml", "lines": {"begin": 7}}) == tuple(
        first[key] for key in ("check_name", "severity", "location")
    )
    assert ("HL094", "webhooks") == (second["check_name"], second["location"]["path"])
    moved, _ = json.loads(plan_as_code_quality(plan(violation(place=SourcePlace("webhooks/acme/prod.yaml", 9, 6)))))
    assert first["fingerprint"] == moved["fingerprint"] != second["fingerprint"]


@pytest.mark.parametrize(("report", "text"), [(plan_as_code_quality, "[]\n"), (plan_as_annotations, "No changes")])
def test_a_plan_without_problems(report: object, text: str) -> None:
    """Without a problem, a report says so in its own form."""
    assert callable(report)
    assert str(report(NOTHING)).startswith(text)
