"""Every code has an explanation with correct examples."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import document
from hookline.apply import time_zone
from hookline.cli.output.plan_reports import plan_diagnostics
from hookline.cli.plan_options import paths_below
from hookline.config.error_codes import TITLES, explanations, find_code, nearest_codes
from hookline.config.loader import inspect, load
from hookline.config.policy_file import read_policy_file
from hookline.errors import InvalidConfiguration
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import PolicyContext, check_policy
from hookline.policy.policy import Policy
from hookline.state.store import Snapshot, Stored

POLICY_KEY = re.compile(r"(?:rules|freeze|folders|deletions|\$defs):")

BASE = {
    "version": "version: 1",
    "organization": "organization: 1234567890ABCDEF@AdobeOrg",
    "sandbox": "sandbox: prod",
    "name": "name: Feedback",
    "channels": "channels: [email]",
    "url": "url: https://hooks.acme.example/feedback",
    "campaigns": "campaigns: all",
}


def webhook(example: str) -> str:
    """A whole file: each document of the example, and from a valid webhook the keys that it does not write."""
    parts = example.split("\n---\n")
    return "\n---\n".join("\n".join([*_missing(part), part]) for part in parts) + "\n"


def _missing(part: str) -> list[str]:
    written = set(re.findall(r"^(\w+):", part, re.MULTILINE))
    return [line for key, line in BASE.items() if key not in written]


def found_in(example: str, directory: Path) -> set[str]:
    """The codes that validate finds in a directory made of one example."""
    folder = directory / "webhooks"
    folder.mkdir()
    if POLICY_KEY.match(example):
        return found_with_policy(example, directory)
    if example.startswith("$ "):
        (folder / "prod.yaml").write_text(webhook(""))
        (directory / "stage.yaml").write_text(webhook("sandbox: stage"))
        subprocess.run(["sh", "-c", example.removeprefix("$ ")], cwd=directory, check=True, timeout=30)
    else:
        (folder / "prod.yaml").write_text(webhook(example))
    found = inspect(folder)
    return {diagnostic.code for diagnostic in found.diagnostics} or planned(found.desired, None, folder)


def found_with_policy(example: str, directory: Path) -> set[str]:
    """The codes of an example that begins with a policy. Webhooks may follow, for a plan under that policy."""
    policy, line, webhooks = example.partition("\n---\n")
    if webhooks.startswith("version: 1\nrules"):
        policy, line = example, ""
    file, folder = directory / "policy.yaml", directory / "webhooks"
    file.write_text(f"version: 1\n{policy}\n")
    try:
        read = read_policy_file(file)
    except InvalidConfiguration as invalid:
        return {diagnostic.code for diagnostic in invalid.diagnostics}
    if not line:
        return set()
    (folder / "prod.yaml").write_text(webhook(webhooks))
    return planned(load(folder), read.policy, folder)


def planned(desired: Desired, policy: Policy | None, folder: Path) -> set[str]:
    """The codes of the problems of a plan, on a state with the webhooks of prod and stage."""
    applied = [document(Address("1234567890ABCDEF@AdobeOrg", sandbox)) for sandbox in ("prod", "stage")]
    webhooks = {one.webhook.address: one for one in map(Stored.of, applied)}
    plan = make_plan(Snapshot("L", 1, webhooks), desired, DeletionLimits())
    if policy is not None:
        at = datetime(2026, 11, 28, 12, tzinfo=UTC)
        context = PolicyContext(at=at, zone_of=time_zone, applied=2, paths_in_config=paths_below(folder))
        plan = replace(plan, violations=check_policy(plan, policy, context))
    return {diagnostic.code for diagnostic in plan_diagnostics(plan)}


def test_every_code_is_explained() -> None:
    """No code without an explanation, no explanation without a code."""
    assert list(TITLES) == list(explanations())


@pytest.mark.parametrize("code", TITLES)
def test_the_wrong_example_gives_exactly_its_code(code: str, tmp_path: Path) -> None:
    """What is shown as the mistake is refused with this code and with no other."""
    explained = {"HL021"} if code == "HL017" else set()  # the errors of the first documents
    assert {code} == found_in(explanations()[code].wrong, tmp_path) - explained


@pytest.mark.parametrize("code", TITLES)
def test_the_right_example_is_valid(code: str, tmp_path: Path) -> None:
    """The correction in an explanation is a valid file."""
    assert set() == found_in(explanations()[code].right, tmp_path)


@pytest.mark.parametrize("text", ["HL012", "hl012", "HL12", "12", "HL-12", "HL0012", " HL012 "])
def test_a_code_is_found_however_it_is_written(text: str) -> None:
    """Case, leading zeros and the letters themselves may be missing."""
    assert find_code(text) == "HL012"


@pytest.mark.parametrize("text", ["HL999", "HL", "", "HL0012x", "url"])
def test_what_is_no_code_is_not_taken_for_one(text: str) -> None:
    """Nothing is guessed where the number is not one of a code."""
    assert find_code(text) is None


def test_near_misses() -> None:
    """A word of a title leads to its codes, and a mistyped code to those that look like it."""
    assert nearest_codes("anchor") == ["HL009"]
    assert "HL012" in nearest_codes("HL0122")
    assert nearest_codes("zzzzz") == []
