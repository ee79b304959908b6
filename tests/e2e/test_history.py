"""history, blame, drift, rollback, list and show as a user runs them: every apply is kept, and can be undone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hookline.cli.main import main
from hookline.state.sqlite_schema import MIGRATIONS
from hookline_process import clean_environment

STATE = Path(".hookline/state.db")
NOBODY = 65534
FILE = """\
version: 1
organization: acme
sandbox: {sandbox}
name: {name}
channels: [{channel}]
url: https://hooks.acme.example/{sandbox}
campaigns: all
{more}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration repository, as the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks").mkdir()
    for name in [name for name in os.environ if name.startswith("HOOKLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    return tmp_path


def write(sandbox: str, name: str = "Feedback", *, channel: str = "email", more: str = "") -> None:
    Path(f"webhooks/{sandbox}.yaml").write_text(FILE.format(sandbox=sandbox, name=name, channel=channel, more=more))


def apply(*options: str) -> None:
    assert 0 == main(["apply", "--auto-approve", *options])


@pytest.fixture
def three_applies(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Serial 1 creates prod and stage, 2 renames prod, 3 deletes stage (protected) and creates dev."""
    write("prod")
    write("stage", more="protected: true")
    apply()
    write("prod", "Second")
    apply()
    Path("webhooks/stage.yaml").unlink()
    write("dev")
    apply("--allow-delete", "acme/stage")
    capsys.readouterr()


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert code == main([*arguments, "--format", "json"])
    return json.loads(capsys.readouterr().out)


def change(statement: str) -> None:
    with closing(sqlite3.connect(STATE, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.usefixtures("three_applies")
def test_history_tells_every_apply(capsys: pytest.CaptureFixture[str]) -> None:
    """The last apply comes first, each with its serial, time, person, changes by address and field, and brakes."""
    assert 0 == main(["history"])
    last, second, first = capsys.readouterr().out.split("\n\n")
    assert last.startswith("serial 3  20")
    assert (
        "Z  ada\n    1 created, 0 updated, 1 deleted\n    + acme/dev\n    - acme/stage\n    lifted: acme/stage: "
        in last
    )
    assert "(allowed by --allow-delete acme/stage)" in last
    assert second.endswith("ada\n    0 created, 1 updated, 0 deleted\n    ~ acme/prod: /name")
    assert first.endswith("ada\n    2 created, 0 updated, 0 deleted\n    + acme/prod\n    + acme/stage\n")


@pytest.mark.usefixtures("three_applies")
def test_history_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON an apply has its fingerprint and entry_hash too; --limit keeps the last ones."""
    last, second = as_json(capsys, "history", "--limit", "2")
    assert [3, 2] == [last["serial"], second["serial"]]
    assert {"create": 0, "update": 1, "delete": 0, "move": 0} == second["summary"]
    assert [{"address": "acme/prod", "action": "update", "movedFrom": None, "fields": ["/name"]}] == second["changes"]
    assert (None, []) == (second["note"], second["lifted"])
    assert "ada" == second["who"]
    assert {"sha256"} == {each[key].split(":")[0] for each in (last, second) for key in ("fingerprint", "hash")}


def test_history_of_many_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    """An apply of many webhooks names the first twenty and counts the rest."""
    for number in range(25):
        write(f"s{number:02}")
    apply()
    capsys.readouterr()
    main(["history"])
    out = capsys.readouterr().out
    assert "25 created" in out
    assert 20 == out.count("    + acme/")
    assert "… and 5 more" in out


@pytest.mark.usefixtures("three_applies")
def test_history_on_a_terminal_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in the history cannot move the reader's cursor."""
    change("UPDATE history SET who = 'eve' || char(27) || '[2J' WHERE serial = 2")
    main(["history"])
    assert "eve\\u001b[2J" in capsys.readouterr().out


def test_history_knows_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    """Inside a git repository, history and blame name branch and commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run([*git, "init", "-q", "-b", "trunk"], check=True)
    write("prod")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    apply()
    capsys.readouterr()
    assert [commit] == [each["commit"] for each in as_json(capsys, "history")]
    for command in (["history"], ["blame", "acme/prod"]):
        main(command)
        assert f"trunk@{commit[:12]}" in capsys.readouterr().out


@pytest.mark.usefixtures("three_applies")
def test_blame_of_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Every field that is set names the apply that gave it its value."""
    found = {each["path"]: (each["value"], each["serial"]) for each in as_json(capsys, "blame", "acme/prod")}
    assert ("Second", 2) == found["/name"]
    assert ("https://hooks.acme.example/prod", 1) == found["/url"]
    assert {1, 2} == {serial for _, serial in found.values()}
    main(["blame", "acme/prod"])
    heading, *rows = capsys.readouterr().out.splitlines()
    assert ["FIELD", "VALUE", "SERIAL", "TIME", "WHO", "COMMIT"] == heading.split()
    assert ["/name", '"Second"', "2"] == next(row.split()[:3] for row in rows if row.startswith("/name"))


@pytest.mark.usefixtures("three_applies")
def test_blame_needs_an_applied_webhook(capsys: pytest.CaptureFixture[str]) -> None:
    """A webhook that is not applied (any more) is refused, and the nearest one named."""
    assert 1 == main(["blame", "acme/prood"])
    assert "did you mean acme/prod?" in capsys.readouterr().err
    assert 64 == main(["blame", "acme"])


@pytest.mark.usefixtures("three_applies")
def test_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    """A state that only applies have written is told to be that (0), with the head of its history."""
    assert 0 == main(["drift"])
    out, err = capsys.readouterr()
    assert "No drift: 2 webhook(s) match serial 3." in out
    assert as_json(capsys, "history")[0]["hash"] in out
    assert "" == err


EDITS = {
    "document": (
        "UPDATE webhooks SET document = replace(document, 'Second', 'By hand') WHERE sandbox = 'prod'",
        'acme/prod: changed by hand since serial 2 applied it\n    /name: "Second" -> "By hand"',
    ),
    "document removed": (
        "DELETE FROM webhooks WHERE sandbox = 'dev'",
        "acme/dev: removed from the state by hand: serial 3 applied it",
    ),
    "document added": (
        "INSERT INTO webhooks SELECT organization, 'x', replace(document, 'prod', 'x'), 1 FROM webhooks "
        "WHERE sandbox = 'prod'",
        "acme/x: added to the state by hand: no apply created it",
    ),
    "who of an apply": ("UPDATE history SET who = 'eve' WHERE serial = 2", "history, serial 2: changed after"),
    "hash of an apply": (
        "UPDATE history SET hash = 'sha256:0' WHERE serial = 1",
        "history, serial 1: changed after it was written",
    ),
    "last apply removed": ("DELETE FROM history WHERE serial = 3", "history, serial 3: missing: the state is at"),
    "first apply removed": (
        "DELETE FROM history WHERE serial = 1",
        "history, serial 1: missing: the next entry is of",
    ),
    "serial lowered": ("UPDATE meta SET serial = 2", "history, serial 3: later than the state"),
    "serial raised": ("UPDATE meta SET serial = 9", "history, serial 4: missing: the state is at serial 9"),
    "lineage": ("UPDATE meta SET lineage = 'other'", "history, serial 1: changed after"),
    "document of an apply": (
        "UPDATE history SET changes = replace(changes, 'Second', 'Never') WHERE serial = 2",
        '/name: "Never" -> "Second"',
    ),
}


@pytest.mark.usefixtures("three_applies")
@pytest.mark.parametrize("name", EDITS)
def test_every_edit_by_hand_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is changed behind hookline's back is named with its place (9), and drift writes nothing."""
    statement, expected = EDITS[name]
    change(statement)
    before = STATE.read_bytes()
    assert 9 == main(["drift"])
    out, err = capsys.readouterr()
    assert expected in out
    assert "Drift: " in out
    assert "hint: " in err
    found = as_json(capsys, "drift", code=9)
    assert found["history"] or found["webhooks"]
    assert (before, ["state.db"]) == (STATE.read_bytes(), os.listdir(STATE.parent))  # noqa: PTH208 - names only


@pytest.mark.usefixtures("three_applies")
@pytest.mark.parametrize("edit", ["changes = '{'", "changes = '[7]'", "at = 'noon'", "lifted = '7'"])
def test_unreadable_history_is_damage(edit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry that cannot be read any more is named by its serial (8)."""
    change(f"UPDATE history SET {edit} WHERE serial = 2")
    for command in (["drift"], ["history"], ["blame", "acme/prod"], ["rollback", "--to", "1"]):
        assert 8 == main(command)
        assert "serial 2" in capsys.readouterr().err


@pytest.mark.usefixtures("three_applies")
def test_drift_is_gone_after_an_apply(capsys: pytest.CaptureFixture[str]) -> None:
    """A webhook that was changed by hand is put back by the next apply, and nothing is left of the drift."""
    change("UPDATE webhooks SET document = replace(document, 'Second', 'By hand') WHERE sandbox = 'prod'")
    apply()
    assert 0 == main(["drift"])


@pytest.mark.usefixtures("three_applies")
def test_rollback_is_a_new_apply(capsys: pytest.CaptureFixture[str]) -> None:
    """A rollback restores each document of a serial byte for byte, as a new serial that says what it was."""
    with closing(sqlite3.connect(STATE)) as connection:
        changes = json.loads(connection.execute("SELECT changes FROM history WHERE serial = 1").fetchone()[0])
    expected = {each["address"]: json.dumps(each["after"], sort_keys=True, separators=(",", ":")) for each in changes}
    assert 0 == main(["rollback", "--to", "1", "--auto-approve", "--max-deletes", "1"])
    out = capsys.readouterr().out
    assert '- acme/dev\n    was "Feedback"' in out
    assert '    /name: "Second" -> "Feedback"\n' in out
    assert "Rolled back to 1: the state is at serial 4." in out
    with closing(sqlite3.connect(STATE)) as connection:
        rows = connection.execute("SELECT organization || '/' || sandbox, document FROM webhooks").fetchall()
    assert expected == dict(rows)
    assert "rollback to 1" == as_json(capsys, "history")[0]["note"]
    assert 0 == main(["drift"])
    assert 0 == main(["rollback", "--to", "3", "--auto-approve", "--allow-delete", "acme/stage"])
    capsys.readouterr()
    names = {each["address"]: each["name"] for each in as_json(capsys, "list")}
    assert {"acme/dev": "Feedback", "acme/prod": "Second"} == names


@pytest.mark.usefixtures("three_applies")
def test_rollback_obeys_the_brakes(capsys: pytest.CaptureFixture[str]) -> None:
    """What a rollback would delete is braked as in apply (6), lifted by the same options, and kept in the history."""
    assert 0 == main(["rollback", "--to", "1", "--auto-approve"])
    assert 6 == main(["rollback", "--to", "3", "--auto-approve"])
    out, err = capsys.readouterr()
    assert "blocked: the applied webhook is protected" in out
    assert "--allow-delete acme/stage" in err
    assert 0 == main(["rollback", "--to", "3", "--auto-approve", "--allow-delete", "acme/stage"])
    capsys.readouterr()
    (lifted,) = as_json(capsys, "history", "--limit", "1")[0]["lifted"]
    assert "(allowed by --allow-delete acme/stage)" in lifted


@pytest.mark.usefixtures("three_applies")
def test_rollback_needs_approval(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal and without --auto-approve the plan is shown and nothing is done (6)."""
    before = STATE.read_bytes()
    assert 6 == main(["rollback", "--to", "2"])
    out, err = capsys.readouterr()
    assert "+ acme/stage" in out
    assert "approval is missing" in err
    assert before == STATE.read_bytes()


@pytest.mark.usefixtures("three_applies")
def test_rollback_to_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """To where the state is there is nothing to do; a serial that was never reached is refused."""
    assert 0 == main(["rollback", "--to", "3"])
    assert "Nothing to do" in capsys.readouterr().out
    assert 1 == main(["rollback", "--to", "4"])
    assert "serial 4 does not exist: the state is at serial 3" in capsys.readouterr().err
    assert 64 == main(["rollback", "--to", "0"])


@pytest.mark.usefixtures("three_applies")
def test_rollback_trusts_no_broken_history(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the history does not hold, nothing is restored from it (6); what was broken later does not matter."""
    change("UPDATE history SET changes = replace(changes, 'Second', 'Never') WHERE serial = 2")
    for serial in ("2", "3"):
        assert 6 == main(["rollback", "--to", serial, "--auto-approve"])
        assert "is broken at serial 2" in capsys.readouterr().err
    assert 0 == main(["rollback", "--to", "1", "--auto-approve", "--max-deletes", "1"])


@pytest.mark.usefixtures("three_applies")
def test_rollback_loses_against_an_apply(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An apply that comes between the plan and its commit wins: the rollback is told by whom, and changes nothing."""

    def meanwhile() -> None:
        write("prod", "Meanwhile")
        monkeypatch.setenv("GITHUB_ACTOR", "bob")
        apply()

    monkeypatch.setattr("hookline.cli.commands.rollback.ask_for_approval", meanwhile)
    assert 7 == main(["rollback", "--to", "2"])
    assert "applied by bob on 20" in capsys.readouterr().err
    assert 4 == as_json(capsys, "history")[0]["serial"]


@pytest.mark.parametrize(
    "command",
    [["history"], ["blame", "acme/prod"], ["drift"], ["rollback", "--to", "1"], ["list"], ["show", "acme/prod"]],
)
def test_no_state_yet(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing was applied yet, that is said (8), and nothing is made."""
    assert 8 == main(command)
    assert "no state exists at .hookline/state.db" in capsys.readouterr().err
    assert not STATE.parent.exists()


@pytest.mark.usefixtures("three_applies")
def test_an_apply_logs_the_copy_of_a_migrated_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The apply that migrates an older state writes the path of its copy to stderr; commands that read do not."""
    with closing(sqlite3.connect(STATE, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET format = 0")
    before = STATE.read_bytes()
    assert 8 == main(["list"])
    assert "before its first release" in capsys.readouterr().err
    monkeypatch.setitem(MIGRATIONS, 0, lambda connection: None)
    for command in (["list"], ["history"], ["drift"], ["blame", "acme/prod"]):
        assert 0 == main(command), command
    assert before == STATE.read_bytes()
    program = "; ".join(
        (
            "import sys",
            "from hookline.cli.main import main",
            "from hookline.state.sqlite_schema import MIGRATIONS",
            "MIGRATIONS[0] = lambda connection: None",
            "sys.exit(main(['rollback', '--to', '1', '--auto-approve', '--max-deletes', '9']))",
        )
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    copy = STATE.with_name("state.db.format-0")
    assert f"migrated to format 1. A copy of the old one is {copy}.\n" in done.stderr
    assert before == copy.read_bytes()
    assert 0 == main(["drift"])


@pytest.mark.usefixtures("three_applies")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["dev", "prod", "qa"]),
        (["--organization", "acme"], ["dev", "prod", "qa"]),
        (["--organization", "beta"], []),
        (["--sandbox", "dev"], ["dev"]),
        (["--channel", "sms"], ["qa"]),
        (["--enabled"], ["dev", "prod"]),
        (["--disabled"], ["qa"]),
        (["--url", "EXAMPLE/D"], ["dev"]),
        (["--enabled", "--url", "/p"], ["prod"]),
    ],
)
def test_list_filters(filters: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each filter keeps what it names; several must all hold."""
    write("qa", channel="sms", more="enabled: false")
    apply()
    capsys.readouterr()
    assert expected == [each["address"].split("/")[1] for each in as_json(capsys, "list", *filters)]


@pytest.mark.usefixtures("three_applies")
def test_list_and_show_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    """list --format yaml is a line for each webhook; show --format yaml a webhook file; an empty list says so."""
    main(["list", "--format", "yaml", "--sandbox", "dev"])
    assert capsys.readouterr().out == (
        "- {address: acme/dev, name: Feedback, channels: [email], url: https://hooks.acme.example/dev, "
        "authentication: none, signature: null, enabled: true, pending: null, dead: null}\n"
    )
    main(["show", "acme/dev", "--format", "yaml"])
    assert capsys.readouterr().out.startswith("version: 1\norganization: acme\nsandbox: dev\n")
    main(["list", "--sandbox", "none"])
    assert ("", "No applied webhook matches the filters.\n") == tuple(capsys.readouterr())


@pytest.mark.usefixtures("three_applies")
def test_show_a_saved_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is shown as the plan that it is; other files, and forms that do not fit, are refused."""
    write("dev", "Planned")
    assert 0 == main(["plan", "--out", "plan.json"])
    capsys.readouterr()
    assert 0 == main(["show", "plan.json"])
    assert '/name: "Feedback" -> "Planned"' in capsys.readouterr().out
    assert 64 == main(["show", "plan.json", "--format", "yaml"])
    assert 64 == main(["show", "acme/dev", "--format", "markdown"])
    assert 0 != main(["show", "webhooks/dev.yaml"])


READING = (["list"], ["show", "acme/prod"], ["history"], ["blame", "acme/prod"], ["drift"], ["export", "{out}"],
           ["plan", "--config", "none"], ["rollback", "--to", "2"])  # fmt: skip
# Runs a command and prints every way in which it opened the state or anything beside it.
WATCHED = """
import os, sys
opened = []
def watch(event, arguments):
    if event == "sqlite3.connect":
        opened.append(str(arguments[0]).rpartition("?")[2])
    elif event == "open" and ".hookline" in str(arguments[0]):
        opened.append(f"open {arguments[1]} {arguments[2]}")
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.link", "os.chmod") and ".hookline" in str(arguments[0]):
        opened.append(event)
sys.addaudithook(watch)
from hookline.cli.main import main
from hookline.state.sqlite_schema import MIGRATIONS
main(sys.argv[1:])
print(sorted(set(opened)), file=sys.stderr)
"""


@pytest.mark.usefixtures("three_applies")
@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_reading_commands_open_read_only(command: list[str]) -> None:
    """Every command that does not apply opens the state's database read-only, and nothing else beside it."""
    arguments = [part.format(out="out") for part in command]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments],
        env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "['mode=ro']" == done.stderr.splitlines()[-1]


@pytest.fixture
def read_only_state(three_applies: None, repository: Path) -> Iterator[Path]:
    """The state in a directory that this process, or the user it becomes, may not write to."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-read-only-"))
    (directory / "state.db").write_bytes(STATE.read_bytes())
    (directory / "state.db").chmod(0o444)
    directory.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    yield directory / "state.db"
    os.seteuid(was)
    directory.chmod(0o755)
    (directory / "state.db").unlink()
    directory.rmdir()


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_reading_commands_without_write_access(
    command: list[str], read_only_state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may only read the state uses every command that does not apply, and leaves no file there."""
    with tempfile.TemporaryDirectory() as here:
        monkeypatch.chdir(here)
        code = main([*(part.format(out=f"{here}/out") for part in command), "--state", str(read_only_state)])
        monkeypatch.undo()
    blocked = command[0] in ("plan", "rollback")  # all webhooks gone; no approval
    assert (6 if blocked else 0) == code
    assert "" != capsys.readouterr().out
    assert ["state.db"] == os.listdir(read_only_state.parent)  # noqa: PTH208 - names, as a user sees them
