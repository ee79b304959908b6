"""Saved plans, several outputs and the rule of git, as a user meets them: files in, output and exit code out."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hookline.cli.main import main
from hookline.model import Address
from hookline.plan.plan import Action, Change, fingerprint
from hookline_process import clean_environment
from quick_hookline import start_hookline

FILE = """\
version: 1
organization: acme
sandbox: {sandbox}
name: {name}
channels: [email]
url: https://hooks.acme.example/{sandbox}
campaigns: all
{more}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration repository, as the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks").mkdir()
    for name in [name for name in os.environ if name.startswith(("HOOKLINE_", "GIT", "GITLAB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("USER", "ada")
    return tmp_path


def write(sandbox: str, *, name: str = "Feedback", more: str = "") -> Path:
    path = Path("webhooks") / f"{sandbox}.yaml"
    path.write_text(FILE.format(sandbox=sandbox, name=name, more=more))
    return path


def apply(*options: str) -> int:
    return main(["apply", "--auto-approve", *options])


def state() -> tuple[int, dict[str, str]]:
    """The serial, and the names of the applied webhooks by sandbox."""
    with closing(sqlite3.connect(".hookline/state.db")) as connection:
        (serial,) = connection.execute("SELECT serial FROM meta").fetchone()
        rows = connection.execute("SELECT sandbox, document FROM webhooks").fetchall()
    return serial, {sandbox: json.loads(document)["name"] for sandbox, document in rows}


def last(column: str) -> Any:
    with closing(sqlite3.connect(".hookline/state.db")) as connection:
        query = f"SELECT {column} FROM history ORDER BY serial DESC LIMIT 1"
        return connection.execute(query).fetchone()[0]


def test_saved_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """plan --out saves what apply FILE then does, whatever the webhook files say by then."""
    write("prod")
    assert 0 == main(["plan", "--out", "plan.json"])
    assert 0o600 == stat.S_IMODE(Path("plan.json").stat().st_mode)
    write("prod", name="Later")
    capsys.readouterr()
    assert 0 == apply("plan.json")
    assert "+ acme/prod" in capsys.readouterr().out
    assert (1, {"prod": "Feedback"}) == state()


def test_saved_plan_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A saved plan is shown as plan showed it, in the form that is asked for; a plan is not shown as YAML."""
    write("prod")
    for form in ("text", "json"):
        assert 0 == main(["plan", "--out", "plan.json", "--format", form])
        planned = capsys.readouterr().out
        assert 0 == main(["show", "plan.json", "--format", form])
        assert planned == capsys.readouterr().out
    assert 64 == main(["show", "plan.json", "--format", "yaml"])


def test_others_do_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    """A saved plan holds while other webhooks change, and is stale once one of its own did; the culprit is named."""
    for sandbox in ("a", "b", "c"):
        write(sandbox)
    apply()
    write("a", name="New A")
    main(["plan", "--out", "a.plan"])
    main(["plan", "--out", "again.plan"])
    write("a")
    write("b", name="New B")
    assert 0 == apply("--target", "acme/b")
    assert 0 == apply("a.plan")
    assert (3, {"a": "New A", "b": "New B", "c": "Feedback"}) == state()

    write("a", name="Newer A")
    assert 0 == apply()
    before = Path(".hookline/state.db").read_bytes()
    capsys.readouterr()
    assert 7 == apply("again.plan")
    assert "already" in capsys.readouterr().err
    assert before == Path(".hookline/state.db").read_bytes()


def test_stale_plan_names_the_culprit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale plan is refused whole, and says which webhook changed, by whom, when and in which serial."""
    write("a")
    apply()
    write("a", name="Mine")
    write("z", name="Mine too")
    main(["plan", "--out", "plan.json"])
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    write("a", name="Bob's")
    apply("--target", "acme/a")
    capsys.readouterr()
    assert 7 == apply("plan.json")
    found = capsys.readouterr()
    assert re.search(r"acme/a was updated by bob on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC in serial 2$", found.err, re.M)
    assert "hint: plan again" in found.err
    assert (2, {"a": "Bob's"}) == state()


def test_brakes_are_not_part_of_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """A saved plan with a blocked deletion is saved whole (6); applying it needs the flag, which is recorded."""
    gone = write("prod", more="protected: true")
    write("stage")
    apply()
    gone.unlink()
    assert 6 == main(["plan", "--out", "plan.json"])
    assert 0 == main(["plan", "--out", "plan.json", "--allow-delete", "acme/prod"])
    assert 6 == apply("plan.json")
    assert "--allow-delete acme/prod" in capsys.readouterr().err
    assert 0 == apply("plan.json", "--allow-delete", "acme/prod")
    assert '["acme/prod: the applied webhook is protected (allowed by --allow-delete acme/prod)"]' == last("lifted")


def forge(change: dict[str, Any]) -> None:
    """A plan file as somebody forges it who has read the source: its fingerprint fits."""
    document = json.loads(Path("plan.json").read_text())
    (written,) = document["changes"]
    written["after"].update(change)
    address, after = written["address"], written["after"]
    made = Change(
        address=Address.parse(address), action=Action.CREATE, source=None, before=None, after=after, before_hash=None
    )
    document["fingerprint"] = fingerprint([made])
    Path("plan.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"url": "http://evil.example/"}, 5, "plan.json: error[HL012]: acme/prod: url: must be an https URL"),
        ({"url": "https://169.254.169.254/"}, 5, "error[HL033]: acme/prod: url"),
        ({"headers": {"x-key": {"env": "AWS_SECRET_ACCESS_KEY"}}}, 5, "error[HL050]: acme/prod: headers"),
        ({"headers": {"x-key": {"file": "/etc/shadow/../passwd"}}}, 5, "acme/prod: headers"),
        ({"headers": {"host": "evil.example"}}, 5, "error[HL042]: acme/prod: headers"),
        ({"unknown": 1}, 5, "error[HL020]: acme/prod"),
        ({"campaigns": None}, 5, "acme/prod: campaigns"),
        ({"enabled": True}, 64, "acme/prod is not in canonical form"),
        ({"delivery": {"timeout": "60s"}}, 64, "acme/prod is not in canonical form"),
    ],
)
def test_forged_plan(change: dict[str, Any], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan file gets around none of the rules for webhook files, also when its fingerprint was made to fit."""
    write("prod")
    main(["plan", "--out", "plan.json"])
    forge(change)
    assert code == apply("plan.json")
    assert told in capsys.readouterr().err
    assert not Path(".hookline").exists()


def test_edited_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan file that was edited is refused (7) by apply and by show, and nothing is written."""
    write("prod")
    main(["plan", "--out", "plan.json"])
    path = Path("plan.json")
    path.write_text(path.read_text().replace("hooks.acme.example", "evil.example"))
    assert 7 == apply("plan.json")
    assert "plan.json was edited after it was made" in capsys.readouterr().err
    assert 7 == main(["show", "plan.json"])
    assert not Path(".hookline").exists()


def test_other_state(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan for one state is refused (7) for another one."""
    write("prod")
    apply()
    apply("--state", "other.db")
    write("prod", name="New")
    main(["plan", "--out", "plan.json"])
    assert 7 == apply("plan.json", "--state", "other.db")
    assert "the plan does not match this state" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("plan.json", "", "not JSON"),
        ("plan.json", "version: 1", "not JSON"),
        ("half", '{\n "formatVersion": 1, "changes": [', "not JSON"),
        ("next", '{"formatVersion": 2}', "made by a newer hookline"),
        ("deep.json", "[" * 50_000, "nested too deeply"),
    ],
)
def test_no_plan(name: str, content: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is meant as a plan and is none is wrong use (64), and says why; there is no traceback."""
    Path(name).write_text(content)
    assert 64 == apply(name)
    found = capsys.readouterr().err
    assert told in found
    assert "Traceback" not in found


def test_plan_that_is_too_large(capsys: pytest.CaptureFixture[str]) -> None:
    """A file larger than any plan is not read to its end."""
    with Path("plan.json").open("wb") as file:
        file.truncate(20 << 30)
    assert 64 == apply("plan.json")
    assert "larger than 256 MiB" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("webhooks/prod.yaml",), ("--target", "acme/prod")])
def test_plan_file_is_applied_alone(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A saved plan beside other paths or targets is wrong use."""
    write("prod")
    main(["plan", "--out", "plan.json"])
    assert 64 == apply("plan.json", *options)
    assert "is a saved plan, which can only be applied alone" in capsys.readouterr().err


def test_webhook_file_in_json_is_no_plan() -> None:
    """A webhook file that is written as JSON is a webhook file."""
    path = write("prod")
    document = {
        "version": 1, "organization": "acme", "sandbox": "prod", "name": "formatVersion",
        "channels": ["email"], "url": "https://hooks.acme.example/", "campaigns": "all",
    }  # fmt: skip
    path.write_text(json.dumps(document))
    assert 0 == apply("webhooks/prod.yaml")
    assert (1, {"prod": "formatVersion"}) == state()


def planned_fingerprint() -> str:
    main(["plan", "--format", "markdown=comment.md"])
    first, *_ = Path("comment.md").read_text().splitlines()
    return first.removeprefix("<!-- hookline:plan ").removesuffix(" -->")


def test_expected_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    """apply --expect takes the fingerprint from the comment's marker, applies that plan, and may run again."""
    write("prod")
    expected = planned_fingerprint()
    assert 0 == apply("--expect", expected)
    assert (1, {"prod": "Feedback"}) == state()
    capsys.readouterr()
    assert 0 == apply("--expect", expected)
    assert "The expected plan was already applied, by ada on" in capsys.readouterr().out
    assert 1 == state()[0]


def test_unexpected_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan that is not the expected one is shown and refused (7), with both fingerprints and the last apply."""
    write("prod")
    apply()
    write("prod", name="New")
    expected = planned_fingerprint()
    write("stage")
    now = planned_fingerprint()
    capsys.readouterr()
    assert 7 == apply("--expect", expected)
    found = capsys.readouterr()
    assert f"expected {expected}, but the plan is {now}; the last apply was by ada on" in found.err
    assert "and changed acme/prod" in found.err
    assert "+ acme/stage" in found.out
    assert (1, {"prod": "Feedback"}) == state()


def test_expected_plan_file() -> None:
    """With a saved plan, --expect says which one it must be."""
    write("prod")
    expected = planned_fingerprint()
    main(["plan", "--out", "plan.json"])
    assert 7 == apply("plan.json", "--expect", "sha256:" + "0" * 64)
    assert 0 == apply("plan.json", "--expect", expected)


@pytest.mark.parametrize("text", ["", "abc", "sha256:ABC", "sha256:" + "0" * 63])
def test_expected_nonsense(text: str) -> None:
    """What cannot be a fingerprint is wrong use of the command line."""
    write("prod")
    assert 64 == apply("--expect", text)


def test_several_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """One run writes text to stdout, and JSON, Markdown and the plan to files, all of the same plan."""
    write("prod")
    options = ["--format", "text", "--format", "json=plan.json", "--format", "markdown=comment.md"]
    assert 0 == main(["plan", *options, "--out", "saved.json"])
    assert capsys.readouterr().out.startswith("+ acme/prod")
    assert Path("plan.json").read_bytes() == Path("saved.json").read_bytes()
    assert json.loads(Path("plan.json").read_text())["fingerprint"] in Path("comment.md").read_text()
    assert {"plan.json", "saved.json", "comment.md", "webhooks"} == {path.name for path in Path().iterdir()}


def test_file_only(capsys: pytest.CaptureFixture[str]) -> None:
    """When every form goes to a file, nothing goes to stdout."""
    write("prod")
    assert 0 == main(["plan", "--format", "json=plan.json"])
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "text", "--format", "json"],
        ["--format", "json=a", "--format", "markdown=a"],
        ["--format", "json=a", "--out", "./a"],
        ["--format", "html"],
        ["--format", "json="],
        ["--format", "json=webhooks"],
        ["--format", "json=-", "--format", "text"],
        ["--format", "text", "--out", "-"],
        ["--out", "plan.yaml"],
    ],
)
def test_outputs_that_make_no_sense(options: list[str]) -> None:
    """Two forms to one place, an unknown form, or a place that is no file: wrong use, and nothing is written."""
    write("prod")
    assert 64 == main(["plan", *options])
    assert ["webhooks"] == [path.name for path in Path().iterdir()]


def test_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written is named, with why (1)."""
    write("prod")
    assert 1 == main(["plan", "--out", "missing/plan.json"])
    assert "missing/plan.json cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_link_remains_and_its_target_is_written(tmp_path: Path) -> None:
    """A link in the place of an output is written through, also to a file that does not exist yet."""
    write("prod")
    Path("plan.json").symlink_to("real.json")
    for _ in range(2):
        assert 0 == main(["plan", "--out", "plan.json", "--format", "json=/dev/null"])
        assert Path("plan.json").is_symlink()
        assert 1 == json.loads(Path("real.json").read_text())["formatVersion"]


@pytest.mark.parametrize("target", ["../precious", ".git/config", "inside/precious"])
def test_a_link_does_not_lead_out_of_a_checkout(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pull request can add a link: the output of a CI job must not reach another file of the machine through it."""
    (tmp_path / "precious").write_text("precious")
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (checkout / ".git" / "config").write_text("precious")
    (checkout / "inside").symlink_to("..")
    (checkout / "webhooks").mkdir()
    monkeypatch.chdir(checkout)
    write("prod")
    Path("plan.json").symlink_to(target)
    assert 64 == main(["plan", "--out", "plan.json"])
    assert "leads out of the files of the repository" in capsys.readouterr().err
    assert "precious" == Path("plan.json").read_text()


def test_formats_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """HOOKLINE_PLAN_FORMAT names one form or several, with spaces between them."""
    write("prod")
    monkeypatch.setenv("HOOKLINE_PLAN_FORMAT", "markdown json=plan.json")
    assert 0 == main(["plan"])
    assert capsys.readouterr().out.startswith("<!-- hookline:plan sha256:")
    assert 1 == json.loads(Path("plan.json").read_text())["formatVersion"]


def test_many_creations_are_folded(capsys: pytest.CaptureFixture[str]) -> None:
    """More than three created webhooks have a line each; --verbose shows each field by field."""
    for number in range(5):
        write(f"s{number}")
    main(["plan"])
    folded = capsys.readouterr().out.splitlines()
    assert 7 == len(folded)
    assert '+ acme/s0  "Feedback", email, "https://hooks.acme.example/s0"  (webhooks/s0.yaml:1)' == folded[0]
    main(["plan", "--verbose"])
    channels = '    /channels: ["email"]  (webhooks/s0.yaml:'
    assert any(line.startswith(channels) for line in capsys.readouterr().out.splitlines())


def test_several_targets(capsys: pytest.CaptureFixture[str]) -> None:
    """Several targets plan what each alone would; others' faults are not theirs, and a wrong one is named."""
    write("a")
    write("b")
    write("c", more="enabled: maybe")
    assert 0 == main(["plan", "--target", "acme/b", "--target", "acme/a"])
    assert "Plan: 2 to create" in capsys.readouterr().out
    assert 5 == main(["plan", "--target", "acme/a", "--target", "acme/c"])
    assert 64 == main(["plan", "--target", "acme/a", "--target", "ACME/a"])
    assert "hint: did you mean acme/a?" in capsys.readouterr().err


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(message: str = "next") -> str:
    git("add", "webhooks")
    git("commit", "-q", "-m", message)
    return git("rev-parse", "HEAD")


def test_overtaken_merge(capsys: pytest.CaptureFixture[str]) -> None:
    """A job for an older commit that comes late is blocked (6) and changes nothing; --allow-older lifts it."""
    git("init", "-q")
    write("prod")
    older = commit("older")
    assert 0 == apply()
    assert 0 == apply()
    write("prod", name="Newer")
    newer = commit("newer")
    assert 0 == apply()
    git("checkout", "-q", older)
    capsys.readouterr()
    assert 6 == apply()
    assert f"commit {older[:12]} does not follow the commit applied last, by ada" in capsys.readouterr().err
    assert (2, {"prod": "Newer"}) == state()
    assert 0 == apply("--allow-older")
    assert (3, {"prod": "Feedback"}) == state()
    (lifted,) = json.loads(last("lifted"))
    assert lifted.endswith("(allowed by --allow-older)")
    git("checkout", "-q", newer)
    assert 0 == apply()


def test_shallow_clone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone without the commit applied last is blocked, and told how to get it."""
    git("init", "-q")
    write("prod")
    commit()
    apply()
    for name in ("One", "Two"):
        write("prod", name=name)
        commit(name)
    git("clone", "-q", "--depth", "1", Path.cwd().as_uri(), "clone")
    config, stored = Path("clone/webhooks"), Path(".hookline/state.db").absolute()
    monkeypatch.chdir("clone")
    assert config.name == "webhooks"
    assert 6 == apply("--state", str(stored))
    assert "fetch-depth: 0" in capsys.readouterr().err
    git("fetch", "-q", "--unshallow")
    assert 0 == apply("--state", str(stored))


def test_uncommitted_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """What is applied from files that differ from the commit is said, and recorded as such; it can be followed."""
    git("init", "-q")
    write("prod")
    first = commit()
    apply()
    assert first == last("git_commit")
    write("prod", name="Uncommitted")
    capsys.readouterr()
    assert 0 == apply()
    assert f"warning: webhooks/prod.yaml differs from commit {first[:12]}" in capsys.readouterr().err
    assert f"{first}-dirty" == last("git_commit")
    second = commit()
    write("stage")
    third = commit()
    assert 0 == apply()
    assert third == last("git_commit")
    assert second != third


def test_git_rule_holds_for_saved_plans() -> None:
    """A saved plan is applied from a checkout, too: an older one is blocked."""
    git("init", "-q")
    write("a")
    write("b")
    older = commit()
    apply()
    write("b", name="New B")
    main(["plan", "--out", "b.json"])
    write("b")
    write("a", name="New A")
    commit()
    apply()
    git("checkout", "-q", older)
    assert 6 == apply("b.json")
    assert 0 == apply("b.json", "--allow-older")
    assert {"a": "New A", "b": "New B"} == state()[1]


@pytest.mark.parametrize("reason", ["no git", "another user", "no repository"])
def test_unknown_commit_is_blocked(
    reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once a commit was applied, an apply whose commit git does not name is blocked (6), with the way out."""
    git("init", "-q")
    write("prod")
    commit()
    assert 0 == apply()
    write("prod", name="Old")
    main(["plan", "--out", "plan.json"])
    if reason == "no git":
        monkeypatch.setenv("PATH", "")
    elif reason == "another user":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    else:
        Path(".git").rename("elsewhere")
    capsys.readouterr()
    for options in ((), ("plan.json",)):
        assert 6 == apply(*options)
        found = capsys.readouterr().err
        assert "the webhook files have no known commit" in found
        assert "--allow-older" in found
    assert (1, {"prod": "Feedback"}) == state()
    assert 0 == apply("--allow-older")
    assert "no known commit" in last("lifted")
    assert None is last("git_commit")


def test_undone_plan_is_not_applied_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A saved plan that was applied, and then undone by a rollback, is stale (7), although its content fits again."""
    write("prod")
    apply()
    write("prod", name="New")
    main(["plan", "--out", "plan.json"])
    assert 0 == apply("plan.json")
    assert 0 == main(["rollback", "--to", "1", "--auto-approve"])
    before = Path(".hookline/state.db").read_bytes()
    capsys.readouterr()
    assert 7 == apply("plan.json")
    found = capsys.readouterr().err
    assert re.search(r"this plan was applied already, by ada on .* in serial 2; since then acme/prod was", found)
    assert re.search(r"changed by ada on .* in serial 3 \(rollback to 1\)", found)
    assert before == Path(".hookline/state.db").read_bytes()


def test_touched_webhook_makes_a_plan_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan is stale (7) if an apply touched its webhook, also when a later one has restored the content."""
    write("prod")
    apply()
    write("prod", name="Mine")
    main(["plan", "--out", "plan.json"])
    for name in ("Between", "Feedback"):
        write("prod", name=name)
        apply()
    capsys.readouterr()
    assert 7 == apply("plan.json")
    assert re.search(r"acme/prod was updated by ada on .* in serial 3$", capsys.readouterr().err, re.M)
    assert (3, {"prod": "Feedback"}) == state()


@pytest.mark.parametrize("undo", ["rollback", "apply"])
def test_expected_plan_is_not_applied_again(undo: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that runs again cannot undo a later apply: --expect is refused (7) for a plan that was applied once."""
    write("prod")
    apply()
    write("prod", name="New")
    expected = planned_fingerprint()
    assert 0 == apply("--expect", expected)
    if undo == "rollback":
        assert 0 == main(["rollback", "--to", "1", "--auto-approve"])
    else:
        write("prod")
        assert 0 == apply()
        write("prod", name="New")
    assert expected == planned_fingerprint()
    capsys.readouterr()
    assert 7 == apply("--expect", expected)
    found = capsys.readouterr().err
    assert re.search(r"the expected plan was applied already, by ada on .* in serial 2; since then acme/prod", found)
    assert "--allow-again" in found
    assert (3, {"prod": "Feedback"}) == state()
    assert 0 == apply("--expect", expected, "--allow-again")
    assert "(allowed by --allow-again)" in last("lifted")
    assert (4, {"prod": "New"}) == state()


def test_new_plan_with_the_old_content() -> None:
    """A plan that was made after the rollback is another plan, and is applied, also with --expect."""
    write("prod")
    apply()
    write("prod", name="New")
    apply()
    main(["rollback", "--to", "1", "--auto-approve"])
    main(["plan", "--out", "plan.json"])
    assert 0 == apply("plan.json", "--expect", json.loads(Path("plan.json").read_text())["fingerprint"])
    assert (4, {"prod": "New"}) == state()


def test_pull_requests_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two branches are planned; when the first is applied, only a plan that touches the same webhook is stale."""
    git("init", "-q")
    for sandbox in ("a", "b"):
        write(sandbox)
    commit("base")
    apply()
    plans = {}
    for branch, sandbox in (("one", "a"), ("two", "b"), ("three", "a")):
        git("checkout", "-q", "-b", branch, "main")
        write(sandbox, name=branch)
        commit(branch)
        plans[branch] = planned_fingerprint()
    git("checkout", "-q", "main")
    git("merge", "-q", "one")
    assert 0 == apply("--expect", plans["one"])
    git("merge", "-q", "-m", "two", "two")
    assert 0 == apply("--expect", plans["two"])
    git("merge", "-q", "-X", "theirs", "-m", "three", "three")
    capsys.readouterr()
    assert 7 == apply("--expect", plans["three"])
    assert plans["three"] in capsys.readouterr().err
    assert (3, {"a": "one", "b": "two"}) == state()


def test_many_saved_plans_at_once() -> None:
    """Of eight saved plans applied at once, each of another webhook, every one is done; of one webhook, one."""
    for number in range(8):
        write(f"s{number}")
    write("shared")
    apply()
    plans = []
    for number in range(8):
        write(f"s{number}", name="New")
        main(["plan", "--out", f"{number}.json", "--target", f"acme/s{number}", "--format", "json=ignored"])
        write("shared", name=f"By {number}")
        main(["plan", "--out", f"shared-{number}.json", "--target", "acme/shared", "--format", "json=ignored"])
        plans += [f"{number}.json", f"shared-{number}.json"]
    processes = {
        plan: start_hookline(
            "apply", plan, "--auto-approve", "--lock-timeout", "60s", cwd=Path.cwd(), env=clean_environment(),
            stderr=subprocess.PIPE,
        )
        for plan in plans
    }  # fmt: skip
    ended = {
        plan: (process.communicate(timeout=120)[1].decode(), process.returncode)
        for plan, process in processes.items()
    }
    alone = [code for plan, (_, code) in ended.items() if not plan.startswith("shared")]
    shared = [(errors, code) for plan, (errors, code) in ended.items() if plan.startswith("shared")]
    assert [0] * 8 == alone
    assert [0, *[7] * 7] == sorted(code for _, code in shared)
    assert all("acme/shared was updated by" in errors for errors, code in shared if code == 7)
    serial, names = state()
    assert 10 == serial
    assert {f"s{number}": "New" for number in range(8)} == {k: v for k, v in names.items() if k != "shared"}


def test_lock_timeout_is_honoured() -> None:
    """apply of a saved plan waits as long as it is told to for another apply, and no longer (8)."""
    write("prod")
    apply()
    write("prod", name="New")
    main(["plan", "--out", "plan.json"])
    with closing(sqlite3.connect(".hookline/state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert 8 == apply("plan.json", "--lock-timeout", "1s")
        assert 1 <= time.monotonic() - started < 10
    assert 0 == apply("plan.json")
