"""A policy over a real git repository: a pull request cannot break it, also when it edits the policy file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders import entry
from command_run import Run
from hookline.model import Address
from hookline.state.factory import open_state
from hookline.state.store import Override, PolicyChange, Snapshot
from postgres_server import new_state

DONE, BLOCKED, WRONG_USE, UNUSABLE = 0, 6, 64, 8

WEBHOOK = """\
version: 1
organization: acme
sandbox: prod
name: Feedback
owner: crm
channels: [email]
url: https://hooks.acme.example/feedback
campaigns: all
"""
POLICY = """\
version: 1
rules:
  - id: own-hosts
    message: production webhooks post to our own hosts only
    when: {sandbox: prod}
    require: {properties: {endpoint: {properties: {host: {pattern: '(^|\\.)acme\\.example$'}}}}}
"""
FREEZE = """\
freeze:
  - id: sale
    reason: the winter sale
    from: '2020-01-01'
    to: '2900-01-01'
    overridable: true
"""
EVIL = ("https://hooks.acme.example/feedback", "https://collector.example/?for=hooks.acme.example")
PROD = Address("acme", "prod")
PLACE = "webhooks/acme/prod.yaml:7:6"


def git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def set_policy(run: Run, text: str) -> None:
    """Set a policy, as somebody with the right does, from a file outside of the repository."""
    file = Path("../policy-to-set.yaml")
    file.write_text(text)
    assert DONE == run("policy", "set", str(file), "--auto-approve").code


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_state() if request.param == "postgresql" else str(tmp_path / "state.db")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, state: str) -> Path:
    """A clone whose main branch is applied, with a policy that allows our own hosts only. It is the directory."""
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Ada")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@acme.example")
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("HOOKLINE_STATE", state)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git("clone", "--quiet", "origin.git", "work")
    monkeypatch.chdir(tmp_path / "work")
    git("checkout", "--quiet", "-B", "main")
    write({"webhooks/acme/prod.yaml": WEBHOOK, "policy.yaml": POLICY, ".gitignore": "plan.json\n.hookline/\n"})
    commit("Begin")
    git("push", "--quiet", "origin", "main")
    assert DONE == run("apply", "--auto-approve").code
    set_policy(run, POLICY)
    return tmp_path / "work"


def propose(*edits: tuple[str, str, str]) -> None:
    """Commit a pull request: replacements in files."""
    git("checkout", "--quiet", "-b", "proposal")
    for file, old, new in edits:
        text = Path(file).read_text()
        assert old in text
        Path(file).write_text(text.replace(old, new))
    commit("Propose")


def merge() -> None:
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--no-ff", "--message", "Merge", "proposal")


def stored(state: str) -> Snapshot:
    return open_state(state).read()


@pytest.mark.parametrize(
    "edits",
    [
        [("webhooks/acme/prod.yaml", *EVIL)],
        [("webhooks/acme/prod.yaml", *EVIL), ("policy.yaml", "(^|\\.)acme\\.example$", ".*")],
        [("webhooks/acme/prod.yaml", *EVIL), ("policy.yaml", "rules:", "rules: []\n# ")],
    ],
    ids=["webhook", "policy-loosened", "policy-broken"],
)
def test_a_pull_request_cannot_break_the_policy(
    repository: Path, run: Run, state: str, edits: Sequence[tuple[str, str, str]]
) -> None:
    """It is blocked at plan, with the place; merged all the same, it is blocked at apply, also as a saved plan."""
    before = stored(state)
    propose(*edits)
    planned = run("plan", "--out", "plan.json", "--format", "text", "--format", "json=found.json")
    assert BLOCKED == planned.code
    assert f"{PLACE}: deny[HL090] own-hosts: acme/prod /endpoint/host: " in planned.out
    assert '"collector.example" does not match' in planned.out
    assert ("policy.yaml differs" in planned.err or "policy.yaml cannot be read" in planned.err) == (len(edits) > 1)
    (violation,) = json.loads(Path("found.json").read_text())["violations"]
    assert ("own-hosts", "deny", {"file": "webhooks/acme/prod.yaml", "line": 7, "column": 6}) == tuple(
        violation[key] for key in ("rule", "level", "place")
    )
    Path("found.json").unlink()
    merge()
    for arguments in (["apply"], ["apply", "plan.json"], ["apply", "--override", "own-hosts", "--reason", "now"]):
        refused = run(*arguments, "--auto-approve")
        assert BLOCKED == refused.code
        assert "the policy denies the plan" in refused.err
    assert before == stored(state)


def test_a_change_that_satisfies_the_policy_is_applied(repository: Path, run: Run, state: str) -> None:
    """A change of the policy file changes nothing either: it is a proposal, and plan and drift say so."""
    propose(
        ("webhooks/acme/prod.yaml", "acme.example/feedback", "acme.example/new"),
        ("policy.yaml", "own hosts", "hosts"),
    )
    before = stored(state).policy
    planned = run("plan")
    assert DONE == planned.code
    assert "policy.yaml differs from the policy of the state" in planned.err
    merge()
    assert DONE == run("apply", "--auto-approve").code
    assert before == stored(state).policy
    drift = run("drift", "--format", "json")
    assert (DONE, "different") == (drift.code, json.loads(drift.out)["policyFile"])


def test_a_freeze_blocks_until_it_is_overridden(repository: Path, run: Run, state: str) -> None:
    """In a freeze window nothing is applied. An override needs a reason, and the history keeps both."""
    set_policy(run, POLICY + FREEZE)
    propose(("webhooks/acme/prod.yaml", "acme.example/feedback", "acme.example/new"))
    assert BLOCKED == run("plan", "--out", "plan.json").code
    merge()
    for arguments in (["apply"], ["apply", "plan.json"]):
        refused = run(*arguments, "--auto-approve")
        assert BLOCKED == refused.code
        assert "--override sale --reason TEXT" in refused.err
    assert WRONG_USE == run("apply", "--auto-approve", "--override", "sale").code
    lifted = ("--override", "sale", "--reason", "the old host is gone")
    assert DONE == run("plan", *lifted).code
    assert DONE == run("apply", "plan.json", "--auto-approve", *lifted).code
    last = open_state(state).history()[-1]
    assert (Override("sale", "the old host is gone"),) == last.entry.overrides
    shown = run("history").out
    assert "sale" in shown
    assert "the old host is gone" in shown
    assert "https://hooks.acme.example/new" == stored(state).webhooks[PROD].webhook.url


def test_a_rollback_obeys_the_policy(repository: Path, run: Run, state: str) -> None:
    """A webhook of an earlier serial that violates the policy of today does not come back."""
    Path("webhooks/acme/prod.yaml").write_text(WEBHOOK.replace("hooks.acme.example", "new.acme.example"))
    commit("Move")
    assert DONE == run("apply", "--auto-approve").code
    set_policy(run, POLICY.replace("(^|\\.)acme", "^new\\.acme").replace("when:", "overridable: true\n    when:"))
    refused = run("rollback", "--to", "1", "--auto-approve")
    assert BLOCKED == refused.code
    assert "deny[HL090] own-hosts" in refused.out
    lifted = ("--override", "own-hosts", "--reason", "the new host fails")
    assert DONE == run("rollback", "--to", "1", "--auto-approve", *lifted).code
    assert (Override("own-hosts", "the new host fails"),) == open_state(state).history()[-1].entry.overrides


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--override", "sales", "--reason", "x"], "did you mean"),
        (["--override", "own-hosts", "--reason", " "], "--override needs --reason"),
        (["--reason", "x"], "need --override RULE"),
    ],
)
def test_an_override_is_used_as_it_is_meant(
    repository: Path, run: Run, state: str, arguments: list[str], message: str
) -> None:
    """A misspelt rule, and a reason without a rule, are wrong use."""
    set_policy(run, POLICY + FREEZE)
    refused = run("plan", *arguments)
    assert WRONG_USE == refused.code
    assert message in refused.err


def test_a_policy_that_was_edited_in_the_state_stops_everything(repository: Path, run: Run, state: str) -> None:
    """If the policy of the state cannot be read, nothing is planned or applied as if there was none."""
    store = open_state(state)
    store.commit(store.read(), {}, entry("eve", policy=PolicyChange('{"rules":7,"version":1}', None)))
    Path("webhooks/acme/prod.yaml").write_text(WEBHOOK.replace("feedback", "new"))
    for command in (["plan"], ["apply", "--auto-approve"]):
        refused = run(*command)
        assert UNUSABLE == refused.code
        assert "the policy of the state cannot be used" in refused.err


@pytest.mark.parametrize("where", [".", "webhooks/acme", "/"])
def test_a_folder_configures_its_organizations(
    repository: Path, run: Run, state: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The folders of a policy are those below the configuration directory, wherever the command runs."""
    folders = "folders:\n  - {folder: acme, organizations: acme}\n  - {folder: beta, organizations: [beta]}\n"
    set_policy(run, f"version: 1\n{folders}")
    write({"webhooks/acme/stage.yaml": WEBHOOK.replace("prod", "stage")})
    monkeypatch.chdir(repository / where if where != "/" else where)
    config = {".": "webhooks", "webhooks/acme": "../../webhooks", "/": str(repository / "webhooks")}[where]
    assert DONE == run("plan", "--config", config).code
    write({str(repository / "webhooks/acme/other.yaml"): WEBHOOK.replace("acme\n", "beta\n", 1)})
    refused = run("plan", "--config", config)
    assert BLOCKED == refused.code
    assert "other.yaml may not configure the organization beta" in refused.err
    assert "other.yaml:2:15: deny[HL092] folders: beta/prod /organization: " in refused.out
