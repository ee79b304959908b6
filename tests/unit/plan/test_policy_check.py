"""Plans against policies: which changes a rule is about, and who may lift it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from builders import desired, document
from hookline.cli.plan_options import paths_below
from hookline.errors import Blocked, WrongUse
from hookline.model import Address, SourcePlace
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.lifting_options import lifting_options
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import (
    OverrideRequest,
    PolicyContext,
    check_policy,
    lifted_rules,
    raise_if_denied,
)
from hookline.policy.policy import RuleLevel, parse_policy
from hookline.policy.violation import Violation, ViolationKind
from hookline.state.store import EMPTY, Snapshot, Stored

SATURDAY = datetime(2026, 11, 28, 12, tzinfo=UTC)
FREEZE: dict[str, Any] = {"id": "w", "reason": "on call", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}


def state(*sandboxes: str) -> Snapshot:
    stored = [Stored.of(document(sandbox)) for sandbox in sandboxes]
    return Snapshot("L", 1, {one.webhook.address: one for one in stored})


def plan(*wanted: dict[str, Any], applied: Snapshot = EMPTY, file: str = "webhooks/a.yaml") -> Plan:
    return make_plan(applied, desired(*wanted, file=file), DeletionLimits(max_deletes=99))


def check(
    made: Plan, *, applied: int = 10, request: OverrideRequest | None = None, **policy: Any
) -> tuple[Violation, ...]:
    context = PolicyContext(
        at=SATURDAY, zone_of=ZoneInfo, applied=applied, paths_in_config=paths_below(Path("webhooks")),
        request=request or OverrideRequest(),
    )  # fmt: skip
    return check_policy(made, parse_policy({"version": 1, **policy}), context)


def rule(require: Any = False, **fields: Any) -> dict[str, Any]:
    return {"id": "r", "message": "no", "require": require, **fields}


def test_an_unchanged_webhook_violates_nothing() -> None:
    """A new rule does not block the changes of other webhooks."""
    changed = plan(document("prod"), document("stage", name="New"), applied=state("prod", "stage"))
    assert [Address("acme", "stage")] == [one.address for one in check(changed, rules=[rule()])]


def test_a_deletion_is_decided_on_the_applied_webhook() -> None:
    """A deletion has no new document: a rule sees the stored one."""
    emptied = plan(document("stage"), applied=state("prod", "stage"))
    unprotected = {"properties": {"protected": {"const": False}, "name": {"const": "Feedback"}}}
    assert () == check(emptied, rules=[rule(unprotected, when={"action": "delete"})])
    other = check(emptied, rules=[rule({"properties": {"name": {"const": "x"}}}, when={"action": "delete"})])
    assert [(Address("acme", "prod"), "/name")] == [(one.address, one.path) for one in other]
    assert () == check(emptied, rules=[rule(when={"action": ["create", "update"]})])


@pytest.mark.parametrize(
    ("deletions", "applied", "denied"),
    [
        ({}, 10, False),
        ({"maxCount": 2}, 10, False),
        ({"maxCount": 1}, 10, True),
        ({"maxPercent": 20}, 10, False),
        ({"maxPercent": 19}, 10, True),
        ({"maxPercent": 0}, 10_000, True),
        ({"maxCount": 5, "maxPercent": 1}, 10, True),
    ],
)
def test_deletions_are_limited(deletions: dict[str, Any], applied: int, denied: bool) -> None:
    """The limits hold for any number of webhooks, and no option of the deletion guard lifts them."""
    made = plan(document("c"), applied=state("a", "b", "c"))
    found = check(made, applied=applied, deletions=deletions)
    assert denied == bool(found)
    assert all(one.kind is ViolationKind.DELETIONS and one.denies for one in found)


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("webhooks/acme/prod.yaml", True),
        ("webhooks/acme/deep/prod.yaml", True),
        ("webhooks/acme/partner/prod.yaml", False),
        ("webhooks/partner/prod.yaml", False),
        ("webhooks/acme-two/prod.yaml", False),
        ("webhooks/prod.yaml", False),
        ("other/acme/prod.yaml", False),
        ("webhooks/../acme/prod.yaml", False),
        ("webhooks/acme/../partner/prod.yaml", False),
        ("webhooks/partner/../acme/prod.yaml", True),
    ],
)
def test_folders_are_bound_to_organizations(file: str, allowed: bool) -> None:
    """The innermost folder counts; a file in no listed folder may configure nothing."""
    folders = [
        {"folder": "acme", "organizations": "acm?"},
        {"folder": "acme/partner", "organizations": ["partner"]},
        {"folder": "partner", "organizations": ["partner"]},
    ]
    found = check(plan(document(), file=file), folders=folders)
    assert allowed == (found == ())
    assert all(one.kind is ViolationKind.FOLDER and one.path == "/organization" for one in found)


def test_a_link_is_no_way_into_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file is reached by a link, its own folder must allow the organization too, whichever path is named."""
    monkeypatch.chdir(tmp_path)
    for folder in ("acme", "partner", "..mounted/acme"):
        Path("webhooks", folder).mkdir(parents=True)
    Path("webhooks/acme/linked").symlink_to("../partner")
    Path("webhooks/partner/a.yaml").touch()
    Path("webhooks/acme/file.yaml").symlink_to("../partner/a.yaml")
    Path("webhooks/acme/mounted").symlink_to("../..mounted/acme")
    Path("webhooks/acme/outside").symlink_to(tmp_path)
    folders = [{"folder": "acme", "organizations": "acme"}, {"folder": "partner", "organizations": "partner"}]
    for file in ("webhooks/acme/linked/a.yaml", "webhooks/acme/file.yaml", "webhooks/acme/outside/a.yaml"):
        assert 1 == len(check(plan(document(), file=file), folders=folders)), file
    assert () == check(plan(document(), file="webhooks/acme/mounted/a.yaml"), folders=folders)


def test_the_configuration_directory_is_a_folder() -> None:
    """`.` admits the files that are in no other folder."""
    folders = [{"folder": ".", "organizations": "*"}, {"folder": "b", "organizations": "beta"}]
    assert () == check(plan(document(), file="webhooks/x/prod.yaml"), folders=folders)
    assert 1 == len(check(plan(document(), file="webhooks/b/prod.yaml"), folders=folders))


def test_a_freeze_concerns_the_changes_that_it_covers() -> None:
    """One violation for the plan; none if the window covers no change, or if nothing changes."""
    made = plan(document("prod"), document("stage"))
    (found,) = check(made, freeze=[{**FREEZE, "when": {"sandbox": "prod"}}])
    assert found.denies
    assert "acme/prod" in str(found.detail)
    assert () == check(made, freeze=[{**FREEZE, "when": {"sandbox": "other"}}])
    assert () == check(plan(document("prod"), applied=state("prod")), freeze=[FREEZE])


def test_warnings_do_not_deny() -> None:
    """A warning is shown after what denies, and blocks nothing."""
    found = check(plan(document()), rules=[rule(id="a", level="warn"), rule(id="b")])
    assert [("b", True), ("a", False)] == [(one.rule, one.denies) for one in found]
    raise_if_denied([one for one in found if one.rule == "a"])
    with pytest.raises(Blocked, match="acme/prod: b: no") as refused:
        raise_if_denied(found)
    assert "policy show" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("when", "sees"),
    [
        ({}, "new"),
        ({"sandbox": "new"}, "new"),
        ({"sandbox": "old"}, "new"),
        ({"sandbox": "new", "action": "create"}, "new"),
        ({"sandbox": "new", "action": "update"}, "new"),
        ({"sandbox": "old", "action": "move"}, "new"),
        ({"sandbox": "old", "action": "delete"}, "old"),
        ({"sandbox": "old", "action": ["create", "update"]}, None),
        ({"sandbox": "new", "action": "delete"}, None),
        ({"sandbox": "other"}, None),
    ],
)
def test_a_move_is_no_way_around_a_rule(when: dict[str, Any], sees: str | None) -> None:
    """The rules of both addresses apply: those about the new webhook, and those about what leaves the old address."""
    stored = Stored.of(document("old", name="old"))
    wanted = desired(document("new", name="new"))
    moved = replace(wanted, moved_from={Address("acme", "new"): Address("acme", "old")})
    limits = DeletionLimits(max_deletes=9)
    made = make_plan(Snapshot("L", 1, {Address("acme", "old"): stored}), moved, limits)
    found = check(made, rules=[rule({"properties": {"name": {"const": "x"}}}, when=when)])
    seen = check(made, rules=[rule({"properties": {"name": {"const": sees}}}, when=when)])
    assert () == seen
    assert bool(found) == (sees is not None)


OWNED = {"overridable": True, "owners": ["ada", "grace"]}


@pytest.mark.parametrize(
    ("terms", "who", "approved_by", "reason"),
    [
        ({"overridable": True}, "eve", (), "late"),
        ({}, "ada", (), None),
        (OWNED, "ada", (), "late"),
        (OWNED, "eve", (), None),
        (OWNED, "eve", ("ada",), "late (approved by ada)"),
        ({**OWNED, "approvals": 2}, "ada", (), None),
        ({**OWNED, "approvals": 2}, "ada", ("ada",), None),
        ({**OWNED, "approvals": 2}, "ada", ("eve",), None),
        ({**OWNED, "approvals": 2}, "ada", ("grace",), "late (approved by grace)"),
        ({**OWNED, "approvals": 2}, "eve", ("ada", "grace"), "late (approved by ada, grace)"),
    ],
)
def test_who_may_lift_a_rule(
    terms: dict[str, Any], who: str, approved_by: tuple[str, ...], reason: str | None
) -> None:
    """A rule is lifted by anybody, by one of its owners, or by several different ones."""
    request = OverrideRequest(rules=("w",), reason="late", who=who, approved_by=approved_by)
    (found,) = check(plan(document()), request=request, freeze=[{**FREEZE, **terms}])
    assert (reason, reason is None) == (found.overridden, found.denies)
    assert (found.refused is None) == (reason is not None)
    assert lifted_rules([found]) == (() if reason is None else (("w", reason),))
    if reason is None:
        with pytest.raises(Blocked) as refused:
            raise_if_denied([found])
        assert str(found.refused) in str(refused.value.hint)


def test_the_next_step_is_possible() -> None:
    """Nobody can correct the file of a deletion, or end a freeze window by a correction."""
    somewhere = SourcePlace("webhooks/a.yaml", 6, 6)
    for kind, place, step in (
        (ViolationKind.RULE, somewhere, "correct the webhook file; or ask"),
        (ViolationKind.RULE, None, "ask the people who set the policy"),
        (ViolationKind.FREEZE, somewhere, "wait until the freeze window ends; or ask"),
    ):
        denied = Violation(kind=kind, rule="r", level=RuleLevel.DENY, message="no", place=place)
        with pytest.raises(Blocked) as refused:
            raise_if_denied([denied])
        assert str(refused.value.hint).startswith(step)


def test_an_override_of_no_rule_is_wrong_use() -> None:
    """The message names the nearest rule."""
    with pytest.raises(WrongUse) as refused:
        check(plan(document()), request=OverrideRequest(rules=("ww",), reason="x"), freeze=[FREEZE])
    assert "did you mean w?" == refused.value.hint


def test_the_next_step_names_the_override() -> None:
    """If every rule that denies may be lifted, the message has the options to copy."""
    found = check(plan(document()), rules=[rule(overridable=True)], freeze=[{**FREEZE, "overridable": True}])
    with pytest.raises(Blocked) as refused:
        raise_if_denied(found)
    assert "--override w --override r --reason TEXT" in str(refused.value.hint)


OWNERS = {**OWNED, "owners": ["ada", "grace", "mary ann"]}


@pytest.mark.parametrize(
    ("terms", "who", "approved_by", "options"),
    [
        ({"overridable": True}, "eve", (), ""),
        (OWNED, "ada", (), ""),
        (OWNED, "eve", (), " --approved-by OWNER (1 of ada, grace)"),
        ({**OWNED, "approvals": 2}, "ada", (), " --approved-by grace"),
        ({**OWNED, "approvals": 2}, "eve", (), " --approved-by ada --approved-by grace"),
        ({**OWNERS, "approvals": 3}, "ada", (), " --approved-by grace --approved-by 'mary ann'"),
        ({**OWNERS, "approvals": 2}, "ada", (), " --approved-by OWNER (1 of grace, mary ann)"),
        (
            {**OWNERS, "approvals": 2},
            "eve",
            (),
            " --approved-by OWNER --approved-by OWNER (2 of ada, grace, mary ann)",
        ),
        ({**OWNERS, "approvals": 3}, "ada", ("grace",), " --approved-by 'mary ann'"),
    ],
)
def test_the_next_step_names_the_approvals(
    terms: dict[str, Any], who: str, approved_by: tuple[str, ...], options: str
) -> None:
    """The options lift the rule as they are: they name the owners whose approvals are missing."""
    request = OverrideRequest(who=who, approved_by=approved_by)
    found = check(plan(document()), request=request, freeze=[{**FREEZE, **terms}])
    with pytest.raises(Blocked) as refused:
        raise_if_denied(found)
    assert str(refused.value.hint).endswith(f": --override w --reason TEXT{options}")
    (tried,) = check(
        plan(document()), request=replace(request, rules=("w",), reason="late"), freeze=[{**FREEZE, **terms}]
    )
    if options:
        assert str(tried.refused).endswith(f"; add{options}")
    else:
        assert "late" == tried.overridden


def test_one_owner_approves_several_rules() -> None:
    """An owner whom one rule needs in any case also counts for a rule that can choose. Lifted rules are kept."""
    rules = [rule(**OWNED, id="a"), rule(**{**OWNED, "owners": ["ada", "eve"], "approvals": 2}, id="b")]
    found = check(plan(document()), rules=rules)
    assert "--override a --override b --reason TEXT --approved-by ada --approved-by eve" == lifting_options(found)
    request = OverrideRequest(rules=("a",), reason="late", who="ada")
    some = check(plan(document()), rules=rules, request=request)
    assert "--override b --approved-by eve" == lifting_options(some)
    with pytest.raises(Blocked, match="denies") as refused:
        raise_if_denied(some)
    assert "also lift the rule" in str(refused.value.hint)
