"""A plan as a comment: short enough whatever is in it, the same while the plan is, and nothing in it obeyed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import desired, document
from hookline.model import Address
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.render_markdown import MAX_COMMENT_CHARACTERS, render_markdown
from hookline.policy.policy import RuleLevel
from hookline.policy.violation import Violation, ViolationKind
from hookline.state.store import Snapshot, Stored

MARKER = re.compile(r"<!-- hookline:plan (sha256:[0-9a-f]{64}) -->")


def address(number: int) -> Address:
    return Address("acme", f"s{number:05}")


def plan_of(before: Mapping[int, dict[str, Any]], after: Mapping[int, dict[str, Any]], **options: Any) -> Plan:
    stored = {address(n): Stored.of(document(address(n), **changes)) for n, changes in before.items()}
    wanted = desired(*(document(address(n), **changes) for n, changes in after.items()))
    return make_plan(Snapshot("L", 3, stored), wanted, DeletionLimits(max_deletes=99_999), **options)


def test_unchanged_plan_is_an_unchanged_comment() -> None:
    """What moves by itself, serial, unchanged and pending ones, changes no byte of the comment."""
    plan = plan_of({1: {}, 2: {}}, {1: {"name": "Other"}, 2: {}})
    later = plan_of(
        {1: {}, 2: {}, 3: {}}, {1: {"name": "Other"}, 2: {}, 3: {}}, pending={Address("acme", "s00001"): 9}
    )
    assert render_markdown(plan) == render_markdown(dataclasses.replace(later, serial=9))


def test_marker_carries_the_fingerprint() -> None:
    """The first line is a comment of HTML, from which the fingerprint is taken."""
    plan = plan_of({}, {1: {}})
    first, *_ = render_markdown(plan).splitlines()
    found = MARKER.fullmatch(first)
    assert found is not None
    assert plan.fingerprint == found[1]


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_large_plan_is_cut_in_the_middle(count: int) -> None:
    """However many changes: under 60,000 characters, the counts kept, deletions first, the last creation last."""
    before: dict[int, dict[str, Any]] = {number: {} for number in range(count)}
    after = {number: {"name": "Other"} for number in range(count // 2, 2 * count)}
    text = render_markdown(plan_of(before, after))
    assert MAX_COMMENT_CHARACTERS * 0.9 < len(text) < MAX_COMMENT_CHARACTERS
    assert f"{count} to create, {count - count // 2} to update, {count // 2} to delete" in text
    assert "- acme/s00000" in text
    assert f"+ acme/s{2 * count - 1:05}" in text
    cut = re.search(r"\*… (\d+) lines with (\d+) webhooks \((.*)\) are cut here", text)
    assert cut is not None
    shown = len(re.findall(r"(?m)^[-+!] acme/", text))
    assert 2 * count == shown + int(cut[2])


def test_one_huge_value_is_cut() -> None:
    """A single value of a megabyte is cut in its middle, and the rest of the plan is still shown."""
    text = render_markdown(plan_of({}, {1: {"description": "x" * 1_000_000}, 2: {}}))
    assert len(text) < MAX_COMMENT_CHARACTERS
    assert "characters …" in text
    assert "+ acme/s00002" in text


@pytest.mark.parametrize("length", [900, 30_000, 70_000])
def test_huge_fence(length: int) -> None:
    """A name of nothing but backticks does not make the fences, which must be longer, break the limit."""
    text = render_markdown(plan_of({}, {1: {"name": "`" * length}, 2: {}}))
    assert len(text) < MAX_COMMENT_CHARACTERS
    assert "+ acme/s00002" in text


hostile = st.lists(
    st.sampled_from(
        ["```", "`", "~~~~", "\n", "\r", "<!-- hookline:plan ", "-->", "@team", "<img src=x>", "](https://e.example)",
         "|", "# ", "</details>", "\u202e", "\u2028", "\x1b[2J", "hookline:plan", "&lt;", "\\", "sha256:" + "0" * 64]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=150)
@given(names=st.lists(hostile, min_size=1, max_size=6), files=hostile)
def test_nothing_from_files_leaves_its_fence(names: list[str], files: str) -> None:
    """Outside of the fences there is not a character from a file, and the marker stands in the comment only once."""
    documents = [document(address(n), name=f"N{name}", owner=name) for n, name in enumerate(names)]
    plan = make_plan(Snapshot("L", 3, {}), desired(*documents, file=f"F{files}"), DeletionLimits())
    outside, fence = [], ""
    for line in render_markdown(plan).split("\n"):
        opened = re.fullmatch(r"(`{3,})diff", line)
        if not fence and opened:
            fence = opened[1]
        elif fence and line.strip() and set(line.strip()) == {"`"} and len(line.strip()) >= len(fence):
            fence = ""
        elif not fence:
            outside.append(line)
    assert "" == fence
    counts = f"### hookline plan: {len(names)} to create, 0 to update, 0 to delete"
    wanted = [
        f"<!-- hookline:plan {plan.fingerprint} -->",
        counts,
        "#### Created",
        f"Fingerprint: `{plan.fingerprint}`",
    ]
    assert wanted == [line for line in outside if line]
    assert 1 == render_markdown(plan).count("hookline:plan")
    assert 1 == render_markdown(plan).count("<!--")


def test_what_denies_the_plan_is_not_cut() -> None:
    """A long plan keeps its violations, and their text leaves no fence and forges no marker."""
    hostile = "```\n<!-- hookline:plan sha256:0 -->\n# Approved @everyone"
    violation = Violation(
        kind=ViolationKind.RULE, rule="own-hosts", level=RuleLevel.DENY, message=hostile, detail=hostile,
        address=address(1), path="/endpoint/host",
    )  # fmt: skip
    long = plan_of({}, {number: {} for number in range(2000)})
    text = render_markdown(dataclasses.replace(long, violations=(violation,)))
    assert "**Nothing is applied while the policy denies the plan.**" in text
    assert "#### Denied by the policy\n\n````diff\n- deny[HL090] own-hosts: acme/s00001 /endpoint/host: " in text
    assert 1 == len(re.findall("<!--", text))
    assert not re.search("^# Approved", text, re.MULTILINE)
    assert len(text) < MAX_COMMENT_CHARACTERS
