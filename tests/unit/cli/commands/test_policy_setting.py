"""`hookline policy set`, `clear` and `show`, and the other commands that show or check the policy of the state."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders import document, entry
from command_run import Run
from hookline.cli.main import main
from hookline.errors import Stale
from hookline.model import Address
from hookline.state.factory import open_state
from hookline.state.store import EMPTY, HistoryEntry, Snapshot
from postgres_server import new_state

OWNER = "version: 1\nrules:\n  - {id: owner, message: name an owner, require: {required: [owner]}}\n"
HOSTS = OWNER + "  - {id: 'no', message: none, require: {properties: {name: {minLength: 2}}}}\n"
AGAIN = ("--auto-approve",)


@pytest.fixture(params=["sqlite", "postgresql"], autouse=True)
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A state that does not exist yet, two policy files, and a user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "eve")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    where = new_state() if request.param == "postgresql" else str(tmp_path / "state.db")
    monkeypatch.setenv("HOOKLINE_STATE", where)
    Path("policy.yaml").write_text(OWNER)
    Path("hosts.yaml").write_text(HOSTS)
    return where


def stored(state: str) -> Snapshot:
    return open_state(state).read()


def test_set_shows_asks_and_records(run: Run, state: str) -> None:
    """A policy is set after its difference is shown and approved; history shows who did it, from which file."""
    refused = run("policy", "set", "policy.yaml")
    assert (6, "approval is missing") == (refused.code, refused.err.removeprefix("error: ")[:19])
    assert "+  - id: owner\n" in refused.out
    assert EMPTY == stored(state)
    done = run("policy", "set", "policy.yaml", *AGAIN)
    assert (0, "Set the policy: the state is at serial 1.") == (done.code, done.out.splitlines()[-1])
    assert "Created the state" in done.err
    again = run("policy", "set", "policy.yaml", *AGAIN)
    assert (0, "Nothing to do: the state has this policy since serial 1.\n") == (again.code, again.out)
    replaced = run("policy", "set", "hosts.yaml", *AGAIN)
    assert "--- the policy of serial 1\n+++ hosts.yaml\n" in replaced.out
    assert '+  - id: "no"\n' in replaced.out
    assert not [line for line in replaced.out.splitlines() if line.startswith("-  ")]
    history = run("history").out
    policy = stored(state).policy
    assert policy is not None
    assert f"policy set from hosts.yaml: {policy.hash}\n" in history
    (second, first) = json.loads(run("history", "--format", "json").out)
    assert {"action": "set", "hash": policy.hash, "source": "hosts.yaml"} == second["policy"]
    assert ([], "eve", []) == (first["changes"], first["who"], first["overrides"])


def test_clear_is_an_apply(run: Run, state: str) -> None:
    """A policy is cleared after approval; history has it, and the policy of before can be shown and set again."""
    assert (8, "") == run("policy", "clear", *AGAIN)[:2]  # a mistyped state must not look like a cleared one
    run("policy", "set", "hosts.yaml", *AGAIN)
    assert 6 == run("policy", "clear").code
    done = run("policy", "clear", *AGAIN)
    assert (0, "Nothing to do: the state has no policy.\n") == run("policy", "clear")[:2]
    assert (0, "Cleared the policy: the state is at serial 2.") == (done.code, done.out.splitlines()[-1])
    assert "policy cleared" in run("history").out
    assert stored(state).policy is None
    missing = run("policy", "show")
    assert (1, "") == missing[:2]
    assert "policy set FILE" in missing.err
    Path("before.yaml").write_text(run("policy", "show", "--serial", "1").out)
    assert 0 == run("policy", "set", "before.yaml", *AGAIN).code
    assert "Nothing to do" in run("policy", "set", "hosts.yaml").out
    assert 1 == run("policy", "show", "--serial", "2").code
    assert 1 == run("policy", "show", "--serial", "9").code
    assert 0 == run("drift").code


def test_show_origin(run: Run) -> None:
    """Each rule names the apply that gave it its present form; the first line names the apply that set the policy."""
    run("policy", "set", "policy.yaml", *AGAIN)
    run("policy", "set", "hosts.yaml", *AGAIN)
    first, headings, *rows = run("policy", "show", "--origin").out.splitlines()
    assert first.startswith("Policy sha256:")
    assert "set by eve on " in first
    assert first.endswith("in serial 2, from hosts.yaml")
    assert ["PART", "SERIAL", "TIME", "WHO", "COMMIT", "FILE"] == headings.split()
    cells = [(row.split()[0], row.split()[1], row.split()[-1]) for row in rows]
    expected = [("rules/owner", "1", "policy.yaml"), ("rules/no", "2", "hosts.yaml"), ("version", "1", "policy.yaml")]
    assert expected == cells
    shown = json.loads(run("policy", "show", "--origin", "--format", "json").out)
    assert (2, "eve", 1) == (shown["serial"], shown["origin"]["who"], shown["parts"]["rules/owner"]["serial"])
    assert ["owner", "no"] == [rule["id"] for rule in shown["policy"]["rules"]]
    assert "parts" not in json.loads(run("policy", "show", "--format", "json").out)


def test_policy_of_another_commit(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of the policy file is recorded, an older one is refused, and applies of webhooks do not matter."""
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES")
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@acme.example")

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", "policy.yaml", "hosts.yaml")
    git("commit", "--quiet", "--message=one")
    git("commit", "--quiet", "--allow-empty", "--message=two")
    two = git("rev-parse", "HEAD")
    run("policy", "set", "policy.yaml", *AGAIN)
    assert f"main@{two[:12]}" in run("history").out
    assert f"(commit {two[:12]} on main), from policy.yaml" in run("policy", "show", "--origin").out
    git("checkout", "--quiet", "HEAD~1")
    older = run("policy", "set", "hosts.yaml", *AGAIN)
    assert (6, True) == (older.code, "does not follow the commit applied last" in older.err)
    Path("hosts.yaml").write_text(HOSTS.replace("none", "edited"))
    edited = run("policy", "set", "hosts.yaml", "--allow-older", *AGAIN)
    assert "-dirty" in edited.err
    assert "(allowed by --allow-older)" in run("history", "--limit", "1").out
    elsewhere = tmp_path / "webhooks"
    elsewhere.mkdir()
    (elsewhere / "prod.yaml").write_text(
        "version: 1\norganization: acme\nsandbox: prod\nname: Feedback\nowner: crm\nchannels: [email]\n"
        "url: https://hooks.acme.example/a\ncampaigns: all\n"
    )
    assert 0 == run("apply", *AGAIN).code


def test_saved_plan_survives_a_policy(run: Run, state: str) -> None:
    """Setting a policy makes no saved plan stale: it is applied if it satisfies the policy, else refused (6)."""
    folder = Path("webhooks")
    folder.mkdir()
    text = "version: 1\norganization: acme\nsandbox: {}\nname: Feedback\nchannels: [email]\ncampaigns: all\n"
    text += "url: https://hooks.acme.example/a\n{}"
    (folder / "a.yaml").write_text(text.format("a", "owner: crm\n"))
    run("apply", *AGAIN)
    (folder / "b.yaml").write_text(text.format("b", ""))
    run("plan", "--out", "b.json")
    (folder / "b.yaml").write_text(text.format("b", "owner: crm\n"))
    run("plan", "--out", "owned.json")
    run("policy", "set", "policy.yaml", *AGAIN)
    assert 6 == run("apply", "b.json", *AGAIN).code
    assert 0 == run("apply", "owned.json", *AGAIN).code
    assert ["a", "b"] == [address.sandbox for address in stored(state).webhooks]


def test_rollback_keeps_the_policy(run: Run, state: str) -> None:
    """A rollback to a serial before the policy was set changes the webhooks only."""
    store = open_state(state)
    first = store.commit(EMPTY, {Address("acme", "prod"): document("prod", owner="a")}, _created("a"))
    store.commit(first, {Address("acme", "prod"): document("prod", owner="b")}, _created("b"))
    run("policy", "set", "policy.yaml", *AGAIN)
    policy = stored(state).policy
    assert 0 == run("rollback", "--to", "1", *AGAIN).code
    after = stored(state)
    assert ("a", policy, 4) == (after.webhooks[Address("acme", "prod")].webhook.owner, after.policy, after.serial)
    assert 0 == run("rollback", "--to", "3", *AGAIN).code
    assert policy == stored(state).policy
    assert 0 == run("drift").code


def _created(owner: str) -> HistoryEntry:
    change = {"address": "acme/prod", "action": "update", "after": document("prod", owner=owner), "fields": []}
    return entry(commit=None, changes=(change,))


def test_apply_between_does_not_matter(run: Run, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apply of webhooks after the policy was read does not matter; another policy makes the command stale (7)."""
    store = type(open_state(state))
    commit = store.commit

    def overtaken(file: str | None) -> None:
        def rival(self: Any, *arguments: Any) -> Snapshot:
            monkeypatch.setattr(store, "commit", commit)
            if file is None:
                open_state(state).commit(stored(state), {Address("acme", "x"): document("x")}, entry())
            else:
                assert 0 == main(["policy", "set", file, *AGAIN])
            return commit(self, *arguments)

        monkeypatch.setattr(store, "commit", rival)

    overtaken(None)
    assert 0 == run("policy", "set", "policy.yaml", *AGAIN).code
    assert [2, ["x"]] == [stored(state).serial, [address.sandbox for address in stored(state).webhooks]]
    overtaken("hosts.yaml")
    lost = run("policy", "clear", *AGAIN)
    assert (Stale.exit_code, True) == (lost.code, "another apply has changed the policy" in lost.err)
    assert 3 == stored(state).serial


@pytest.mark.parametrize(
    ("edit", "message", "key"),
    [
        (
            "UPDATE policies SET document = '{\"version\":1}'",
            "policy: changed by hand since serial 1 set it",
            "policy",
        ),
        ("DELETE FROM policies", "policy: removed from the state by hand since serial 1 set it", "policy"),
        ("INSERT INTO moves VALUES (1, 'a', 'b', 'c', 'd')", "move a/b -> c/d of serial 1: added by hand", "moves"),
    ],
    ids=["changed", "removed", "move"],
)
@pytest.mark.parametrize("state", ["sqlite"], indirect=True)
def test_policy_and_moves_edited_by_hand(run: Run, state: str, edit: str, message: str, key: str) -> None:
    """A policy or a move that somebody wrote into the tables is drift (9)."""
    run("policy", "set", "policy.yaml", *AGAIN)
    assert 0 == run("drift").code
    with closing(sqlite3.connect(state, isolation_level=None)) as connection:
        connection.execute(edit)
    found = run("drift")
    assert (9, True) == (found.code, message in found.out)
    assert json.loads(run("drift", "--format", "json").out)[key]
