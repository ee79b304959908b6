"""Moves as a user meets them: `movedFrom` in a file, plan and apply, history and blame, the way back and export."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from command_run import Run
from hookline.state.factory import open_state

WEBHOOK = """\
version: 1
organization: {0}
sandbox: {1}
name: Feedback
channels: [email]
url: https://hooks.acme.example/a
campaigns: all
"""


@pytest.fixture(autouse=True)
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A directory whose two webhooks are applied, acme/stage and acme/kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write("acme", "stage")
    write("acme", "kept")
    assert 0 == run("apply", "--auto-approve").code
    return tmp_path


def write(organization: str, sandbox: str, more: str = "") -> Path:
    path = Path("webhooks") / organization / f"{sandbox}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(WEBHOOK.format(organization, sandbox) + more)
    return path


def move(organization: str, sandbox: str, more: str = "") -> None:
    """Edit the files: acme/stage moves."""
    Path("webhooks/acme/stage.yaml").unlink()
    write(organization, sandbox, f"movedFrom: acme/stage\n{more}")


def document(text: str) -> Any:
    return json.loads(text)


def test_move_from_plan_to_history(run: Run) -> None:
    """A file that names its earlier address is planned and applied as a move, and then plans nothing."""
    move("acme", "prod", "owner: crm\n")
    plan = run("plan", "--detailed-exitcode")
    assert (2, "> acme/stage -> acme/prod  (webhooks/acme/prod.yaml:1)") == (plan.code, plan.out.splitlines()[0])
    assert "0 to delete, 1 to move, 1 unchanged" in plan.out
    assert 0 == run("plan", "--out", "plan.json").code
    done = run("apply", "plan.json", "--auto-approve")
    assert (0, True) == (done.code, "> acme/stage -> acme/prod" in done.out)
    assert run("plan").out == "No changes: the files match the applied state (2 unchanged).\n"
    Path("webhooks/acme/prod.yaml").write_text(WEBHOOK.format("acme", "prod") + "owner: crm\n")
    assert 0 == run("plan", "--detailed-exitcode").code
    history = run("history", "--limit", "1").out
    assert "0 created, 0 updated, 0 deleted, 1 moved" in history
    assert "    > acme/stage -> acme/prod: /owner, /sandbox" in history
    (entry,) = document(run("history", "--limit", "1", "--format", "json").out)
    assert ("move", "acme/stage", 1) == (
        entry["changes"][0]["action"],
        entry["changes"][0]["movedFrom"],
        entry["summary"]["move"],
    )
    blamed = {row["path"]: row["serial"] for row in document(run("blame", "acme/prod", "--format", "json").out)}
    assert (1, 2, 2) == (blamed["/url"], blamed["/owner"], blamed["/sandbox"])
    assert 0 == run("drift").code


def test_rollback_moves_back(run: Run) -> None:
    """rollback over a move is a move back; the history says so."""
    move("acme", "prod")
    run("apply", "--auto-approve")
    done = run("rollback", "--to", "1", "--auto-approve")
    assert (0, True) == (done.code, "> acme/prod -> acme/stage" in done.out)
    assert [("stage", "prod"), ("prod", "stage")] == [
        (one.old.sandbox, one.new.sandbox) for one in open_state(".hookline/state.db").read().moves
    ]


def test_export_of_a_moved_webhook(run: Run) -> None:
    """export writes the present address without movedFrom, and a plan of it is empty."""
    move("acme", "prod")
    run("apply", "--auto-approve")
    assert 0 == run("export", "exported").code
    files = sorted(str(path.relative_to("exported")) for path in Path("exported").rglob("*.yaml"))
    assert ["acme/kept.yaml", "acme/prod.yaml"] == files
    assert "movedFrom" not in Path("exported/acme/prod.yaml").read_text()
    assert 0 == run("plan", "--config", "exported", "--detailed-exitcode").code


def test_move_to_another_organization(run: Run) -> None:
    """A move to another organization is blocked (6) until --allow-move allows it, in plan and apply."""
    move("beta", "stage")
    blocked = run("plan")
    assert (6, True) == (blocked.code, "blocked: the webhook moves to another organization, beta" in blocked.out)
    assert "allow it with --allow-move" in blocked.err
    assert 6 == run("apply", "--auto-approve").code
    assert 0 == run("plan", "--allow-move").code
    assert 0 == run("apply", "--allow-move", "--auto-approve").code
    assert "lifted: beta/stage: the webhook moves to another organization, beta (allowed by" in run("history").out
    back = run("rollback", "--to", "1", "--auto-approve")
    assert (6, True) == (back.code, "--allow-move" in back.err)
    assert 0 == run("rollback", "--to", "1", "--allow-move", "--auto-approve").code


def test_state_with_both_addresses(run: Run) -> None:
    """If the state holds both addresses, the plan is shown and refused (6), with the file to correct."""
    write("acme", "prod")
    run("apply", "--auto-approve")
    move("acme", "prod")
    refused = run("plan")
    assert 6 == refused.code
    assert "blocked: the state holds both addresses, acme/stage and acme/prod" in refused.out
    assert "hint: correct movedFrom in webhooks/acme/prod.yaml:1" in refused.err


@pytest.mark.parametrize("narrow", [("--target", "acme/prod"), ("webhooks/acme/prod.yaml",)], ids=["target", "path"])
def test_narrowed_run(run: Run, narrow: tuple[str, ...]) -> None:
    """A run that is narrowed to the moved webhook moves it, and nothing else."""
    move("acme", "prod")
    Path("webhooks/acme/kept.yaml").unlink()
    assert 0 == run("apply", *narrow, "--auto-approve").code
    assert ["kept", "prod"] == [one.sandbox for one in open_state(".hookline/state.db").read().webhooks]


def test_policy_of_both_addresses(run: Run) -> None:
    """A rule about the earlier address applies to a move away from it, and its limit of deletions counts moves."""
    rule = "{id: frozen, message: stage stays, when: {sandbox: stage, action: move}, require: {required: [owner]}}"
    Path("rule.yaml").write_text(f"version: 1\nrules:\n  - {rule}\n")
    Path("limit.yaml").write_text("version: 1\nrules: []\ndeletions: {maxCount: 0}\n")
    move("acme", "prod")
    run("policy", "set", "rule.yaml", "--auto-approve")
    denied = run("apply", "--auto-approve")
    assert (6, True) == (denied.code, "acme/prod: frozen: stage stays" in denied.err)
    run("policy", "set", "limit.yaml", "--auto-approve")
    assert (6, True) == ((counted := run("plan")).code, "the plan moves 1 webhook" in counted.out)


def recorded() -> list[tuple[str, str]]:
    return [(one.old.sandbox, one.new.sandbox) for one in open_state(".hookline/state.db").read().moves]


def test_two_moves_before_an_apply_are_one(run: Run) -> None:
    """The second one keeps `movedFrom`, and the state has one move."""
    assert 0 == run("move", "acme/stage", "acme/test").code
    assert 0 == run("move", "acme/test", "acme/prod").code
    assert "movedFrom: acme/stage\n" in Path("webhooks/acme/prod.yaml").read_text()
    assert "> acme/stage -> acme/prod" in run("plan").out
    assert 0 == run("apply", "--auto-approve").code
    assert [("stage", "prod")] == recorded()


def test_a_second_move_of_a_state_that_has_the_first(run: Run) -> None:
    """`movedFrom` still has the first address. The plan follows the recorded move from there."""
    run("move", "acme/stage", "acme/test")
    run("apply", "--auto-approve")
    run("move", "acme/test", "acme/prod")
    assert "movedFrom: acme/stage\n" in Path("webhooks/acme/prod.yaml").read_text()
    plan = run("plan", "--out", "plan.json")
    assert "> acme/test -> acme/prod" in plan.out
    assert "0 to delete, 1 to move, 1 unchanged" in plan.out
    assert 0 == run("apply", "plan.json", "--auto-approve").code
    assert [("stage", "test"), ("test", "prod")] == recorded()
    assert 0 == run("plan", "--detailed-exitcode").code


@pytest.mark.parametrize("between", [(), ("test",)], ids=["direct", "over another address"])
def test_a_move_back_before_an_apply_leaves_nothing(run: Run, between: tuple[str, ...]) -> None:
    """The file is as it was before the first move."""
    before = Path("webhooks/acme/stage.yaml").read_text()
    for old, new in pairwise(("stage", "prod", *between, "stage")):
        assert 0 == run("move", f"acme/{old}", f"acme/{new}").code
    assert before == Path("webhooks/acme/stage.yaml").read_text()
    assert 0 == run("plan", "--detailed-exitcode").code


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_move_back_after_an_apply_is_a_move(run: Run, known: bool) -> None:
    """Even if the command does not know the state."""
    run("move", "acme/stage", "acme/prod")
    run("apply", "--auto-approve")
    state = ".hookline/state.db" if known else "elsewhere.db"
    assert 0 == run("move", "acme/prod", "acme/stage", "--state", state).code
    assert "movedFrom: acme/prod\n" in Path("webhooks/acme/stage.yaml").read_text()
    assert not Path("elsewhere.db").exists()
    assert "> acme/prod -> acme/stage" in run("plan").out
    assert 0 == run("apply", "--auto-approve").code
    assert [("stage", "prod"), ("prod", "stage")] == recorded()


def test_a_move_back_after_half_of_the_way_was_applied(run: Run) -> None:
    """`movedFrom` becomes the address that the state has."""
    run("move", "acme/stage", "acme/test")
    run("apply", "--auto-approve")
    run("move", "acme/test", "acme/prod")
    run("move", "acme/prod", "acme/stage")
    assert "movedFrom: acme/test\n" in Path("webhooks/acme/stage.yaml").read_text()
    assert "> acme/test -> acme/stage" in run("plan").out


def test_two_files_that_lead_to_one_webhook(run: Run) -> None:
    """The one that names its present address has moved. The other one is new."""
    run("move", "acme/stage", "acme/test")
    run("apply", "--auto-approve")
    Path("webhooks/acme/test.yaml").unlink()
    write("acme", "one", "movedFrom: acme/stage\n")
    write("acme", "two", "movedFrom: acme/test\n")
    shown = run("plan").out
    assert "> acme/test -> acme/two" in shown
    assert "+ acme/one" in shown
