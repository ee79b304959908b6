"""plan, apply, list and show as a user runs them: files in, output and exit code out."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hookline.cli.main import main

FILE = """\
version: 1
organization: {organization}
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
    for name in [name for name in os.environ if name.startswith("HOOKLINE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def write(sandbox: str, *, organization: str = "acme", name: str = "Feedback", more: str = "") -> Path:
    path = Path("webhooks") / organization / f"{sandbox}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILE.format(organization=organization, sandbox=sandbox, name=name, more=more))
    return path


def history() -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(".hookline/state.db")) as connection:
        return connection.execute("SELECT serial, fingerprint, lifted FROM history ORDER BY serial").fetchall()


def test_first_apply(capsys: pytest.CaptureFixture[str]) -> None:
    """plan shows a creation and writes nothing; apply makes it so; the next plan is empty."""
    write("prod")
    assert 2 == main(["plan", "--detailed-exitcode"])
    assert "+ acme/prod  (webhooks/acme/prod.yaml:1)" in capsys.readouterr().out
    assert not Path(".hookline").exists()

    assert 0 == main(["apply", "--auto-approve"])
    found = capsys.readouterr()
    assert "Applied: the state is at serial 1." in found.out
    assert f"Created the state {Path.cwd()}/.hookline/state.db: no state existed there.\n" == found.err

    assert 0 == main(["plan", "--detailed-exitcode"])
    assert "No changes" in capsys.readouterr().out


def test_nothing_to_do_writes_nothing() -> None:
    """A second apply of the same files leaves the database as it was, and needs no approval."""
    write("prod")
    main(["apply", "--auto-approve"])
    before = Path(".hookline/state.db").read_bytes()
    assert 0 == main(["apply"])
    assert before == Path(".hookline/state.db").read_bytes()


def test_json_is_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    """plan --format json writes one JSON document to stdout, the same in every run, and nothing to stderr."""
    write("prod")
    outputs = set()
    for _ in range(2):
        assert 0 == main(["plan", "--format", "json"])
        found = capsys.readouterr()
        assert "" == found.err
        outputs.add(found.out)
    (output,) = outputs
    expected = {"create": 1, "update": 0, "delete": 0, "move": 0, "unchanged": 0, "blocked": 0}
    assert expected == json.loads(output)["summary"]


def test_invalid_files_come_before_an_unusable_state(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings in the files are reported whatever the state is (5), and name their place."""
    path = write("prod", more="enabled: maybe")
    Path("state.db").write_bytes(b"")
    assert 5 == main(["plan", "--state", "state.db"])
    assert f"{path}:8" in capsys.readouterr().err


def test_blocked_comes_before_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """A blocked plan is shown whole, with what else would change, and exits with 6, also with --detailed-exitcode."""
    gone = write("prod", more="protected: true")
    write("stage")
    main(["apply", "--auto-approve"])
    gone.unlink()
    write("stage", name="Other")
    capsys.readouterr()
    assert 6 == main(["plan", "--detailed-exitcode"])
    found = capsys.readouterr()
    assert "- acme/prod" in found.out
    assert "~ acme/stage" in found.out
    assert "--allow-delete acme/prod" in found.err
    assert 6 == main(["apply", "--auto-approve"])
    assert 1 == len(history())


def test_vanished_directory_is_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    """When the configuration directory is gone nothing is deleted; --max-deletes says that it is meant."""
    path = write("prod")
    main(["apply", "--auto-approve"])
    path.unlink()
    path.parent.rmdir()
    Path("webhooks").rmdir()
    assert 6 == main(["apply", "--auto-approve"])
    assert "no webhook would be left" in capsys.readouterr().out
    assert 0 == main(["apply", "--auto-approve", "--max-deletes", "1"])
    assert 'allowed by --max-deletes 1)"]' in history()[-1][2]


def test_allowed_deletion_is_recorded() -> None:
    """An aimed --allow-delete deletes a protected webhook, and the history says so."""
    gone = write("prod", more="protected: true")
    write("stage")
    main(["apply", "--auto-approve"])
    gone.unlink()
    assert 0 == main(["apply", "--auto-approve", "--allow-delete", "acme/prod"])
    assert '["acme/prod: the applied webhook is protected (allowed by --allow-delete acme/prod)"]' == history()[-1][2]


def test_narrowed_by_path_and_target(capsys: pytest.CaptureFixture[str]) -> None:
    """A PATH or --target changes what it names, and deletes nothing of the rest."""
    gone = write("prod")
    write("stage")
    write("dev")
    write("prod", organization="beta")
    main(["apply", "--auto-approve"])
    gone.unlink()
    for sandbox in ("stage", "dev"):
        write(sandbox, name="Other")
    write("prod", organization="beta", name="Other")
    capsys.readouterr()
    assert 0 == main(["plan", "webhooks/beta"])
    assert "Plan: 0 to create, 1 to update, 0 to delete, 0 unchanged." in capsys.readouterr().out
    assert 0 == main(["plan", "--target", "acme/dev", "--target", "acme/stage"])
    assert "Plan: 0 to create, 2 to update, 0 to delete, 0 unchanged." in capsys.readouterr().out
    assert 64 == main(["plan", "--target", "acme/prod"])


def test_no_secret_is_looked_at(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """plan, apply and show know a secret by its name only."""
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", "s3cr3t-value")
    write("prod", more="headers: {X-Api-Key: {env: HOOKLINE_SECRET_KEY}}")
    for command in (["plan"], ["plan", "--format", "json"], ["apply", "--auto-approve"], ["show", "acme/prod"]):
        assert 0 == main(command)
    found = capsys.readouterr()
    assert "{env: HOOKLINE_SECRET_KEY}" in found.out
    assert "s3cr3t-value" not in found.out + found.err
    assert b"s3cr3t-value" not in Path(".hookline/state.db").read_bytes()


def test_approval_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal and without --auto-approve nothing is applied (6), and the way out is named."""
    write("prod")
    assert 6 == main(["apply"])
    assert "--auto-approve" in capsys.readouterr().err
    assert not Path(".hookline").exists()


def test_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """State, configuration directory and approval can be given by the environment."""
    write("prod")
    Path("webhooks").rename("hooks")
    monkeypatch.setenv("HOOKLINE_CONFIG", "hooks")
    monkeypatch.setenv("HOOKLINE_STATE", "elsewhere/s.db")
    monkeypatch.setenv("HOOKLINE_APPLY_AUTO_APPROVE", "1")
    assert 0 == main(["apply"])
    assert Path("elsewhere/s.db").is_file()


@pytest.mark.parametrize(
    "command",
    [["list"], ["show", "acme/prod"]],
    ids=["list", "show"],
)
def test_no_state_yet(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """list and show say that nothing was applied yet (8), and what to run."""
    assert 8 == main(command)
    found = capsys.readouterr()
    assert "" == found.out
    assert "hookline apply" in found.err


@pytest.mark.parametrize("command", [["plan"], ["apply", "--auto-approve"], ["list"], ["show", "acme/prod"]])
def test_unusable_state(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file where the state should be is refused by every command (8), and stays as it is."""
    write("prod")
    Path("state.db").touch()
    assert 8 == main([*command, "--state", "state.db"])
    assert "hint:" in capsys.readouterr().err
    assert 0 == Path("state.db").stat().st_size


def test_locked_state(capsys: pytest.CaptureFixture[str]) -> None:
    """While another apply holds the state, apply says so at once (8); plan and list still answer."""
    write("prod")
    main(["apply", "--auto-approve"])
    write("prod", name="Other")
    with closing(sqlite3.connect(".hookline/state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert 8 == main(["apply", "--auto-approve"])
        assert "is locked by" in capsys.readouterr().err
        assert 0 == main(["plan"])
        assert 0 == main(["list"])
    assert 0 == main(["apply", "--auto-approve", "--lock-timeout", "1s"])


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    """list shows every applied webhook by address; show shows one, or the nearest address to a misspelt one."""
    write("stage", more="enabled: false")
    write("prod")
    main(["apply", "--auto-approve"])
    capsys.readouterr()
    assert 0 == main(["list"])
    assert [
        "ADDRESS     NAME      CHANNELS  AUTHENTICATION  ENABLED  URL",
        "acme/prod   Feedback  email     none            yes      https://hooks.acme.example/prod",
        "acme/stage  Feedback  email     none            no       https://hooks.acme.example/stage",
    ] == capsys.readouterr().out.splitlines()
    assert 0 == main(["list", "--format", "json"])
    assert [True, False] == [webhook["enabled"] for webhook in json.loads(capsys.readouterr().out)]
    assert 0 == main(["show", "acme/stage", "--format", "json"])
    assert "stage" == json.loads(capsys.readouterr().out)["sandbox"]
    assert 1 == main(["show", "acme/stagge"])
    assert "did you mean acme/stage?" in capsys.readouterr().err


def test_list_shows_signatures(capsys: pytest.CaptureFixture[str]) -> None:
    """A webhook that signs its requests is not listed as one without authentication."""
    signature = "signature: {type: standard-webhooks, keys: [{secret: {env: HOOKLINE_SECRET_SIGN}}]}"
    jwt = "authentication: {type: jwt, algorithm: ES256, audience: a, keys: [{id: one, secret: {file: a.pem}}]}"
    write("prod", more=signature)
    write("stage", more=f"{signature}\n{jwt}")
    assert 0 == main(["apply", "--auto-approve"])
    capsys.readouterr()
    assert 0 == main(["list"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["AUTHENTICATION", "standard-webhooks", "jwt,standard-webhooks"] == [row[3] for row in rows]
    assert 0 == main(["list", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)
    assert ["none", "jwt"] == [webhook["authentication"] for webhook in listed]
    assert ["standard-webhooks"] * 2 == [webhook["signature"] for webhook in listed]


def test_shown_webhook_is_a_webhook_file(capsys: pytest.CaptureFixture[str]) -> None:
    """What show prints can be put in the place of the file: plan finds nothing to do."""
    path = write("prod", name="'Feedback: \"all\" # of it'", more="description: '010'\ndelivery: {timeout: 60s}")
    main(["apply", "--auto-approve"])
    capsys.readouterr()
    main(["show", "acme/prod"])
    path.write_text(capsys.readouterr().out)
    assert 0 == main(["plan", "--detailed-exitcode"])


class Terminal:
    """`hookline` on a terminal of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        command = "from hookline.cli.main import run; run()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", **(environment or {})},
        )
        os.close(slave)
        self.output = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            self._take()

    def answer(self, text: str) -> None:
        os.write(self._master, text.encode())

    def finish(self) -> int:
        while self._take():
            pass
        os.close(self._master)
        return self._process.wait(timeout=60)

    def _take(self) -> bool:
        if not select.select([self._master], [], [], 60)[0]:
            raise TimeoutError(self.output)
        try:
            taken = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.output += taken.decode()
        return bool(taken)


@pytest.mark.parametrize(("answer", "code", "applied"), [("yes\n", 0, True), ("y\n", 6, False), ("\n", 6, False)])
def test_approval_on_a_terminal(answer: str, code: int, applied: bool) -> None:
    """On a terminal apply asks, and only 'yes' applies; anything else changes nothing (6)."""
    write("prod")
    terminal = Terminal("apply")
    terminal.wait_for("Only 'yes' is accepted")
    terminal.answer(answer)
    assert code == terminal.finish()
    assert applied == Path(".hookline/state.db").exists()
    assert applied == ("nothing was changed" not in terminal.output)


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["plan"], 0, "\x1b[32m+ acme/prod"),
        (["validate", "broken"], 5, "\x1b[31m\x1b[1merror[HL"),
        (["explain", "HL001"], 0, "\x1b[1mHL001"),
        (["relay", "events"], 8, "\x1b[31m\x1b[1merror\x1b[0m: "),
        (["show", "acme/prod"], 8, "\x1b[31m\x1b[1merror\x1b[0m: "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_colour_only_where_it_is_wanted(arguments: list[str], code: int, shown: str) -> None:
    """On a terminal plans, errors and explanations are coloured, with NO_COLOR none of them is."""
    write("prod")
    Path("broken").mkdir()
    Path("broken/dev.yaml").write_text("version: 1\n")
    coloured, plain = Terminal(*arguments), Terminal(*arguments, environment={"NO_COLOR": "1"})
    assert (code, code) == (coloured.finish(), plain.finish())
    assert shown in coloured.output
    assert not re.search(r"\x1b\[[0-9;]*m", plain.output)  # the progress bar also moves the cursor


def test_one_of_eight_applies_wins() -> None:
    """Of eight applies that are approved on the same state exactly one is done; the others end with 7 or 8."""
    write("prod")
    assert 0 == main(["apply", "--auto-approve"])
    write("prod", name="Other")
    terminals = [Terminal("apply") for _ in range(8)]
    for terminal in terminals:
        terminal.wait_for("Only 'yes' is accepted")
    for terminal in terminals:
        terminal.answer("yes\n")
    codes = [terminal.finish() for terminal in terminals]
    assert 1 == codes.count(0)
    assert set(codes) - {0} <= {7, 8}
    assert [1, 2] == [serial for serial, *_ in history()]


def test_folder_of_other_organizations(capsys: pytest.CaptureFixture[str]) -> None:
    """A created webhook has a note if its folder has held other organizations so far, and only then."""
    write("prod")
    write("prod", organization="beta")
    main(["plan"])
    assert "note:" not in capsys.readouterr().out  # nothing is applied yet, so no folder has held anything
    main(["apply", "--auto-approve"])

    write("stage")
    write("prod", organization="gamma")
    assert 0 == main(["plan"])
    assert "note:" not in capsys.readouterr().out

    note = "note: the folder webhooks/acme has held other organizations so far: acme"
    deeper = Path("webhooks/acme/team/eu.yaml")
    deeper.parent.mkdir()
    for file in (Path("webhooks/acme/other.yaml"), deeper):
        file.write_text(FILE.format(organization="beta", sandbox="eu", name="Feedback", more=""))
        for command in (["plan"], ["plan", "--format", "markdown"], ["plan", str(file)], ["apply"]):
            capsys.readouterr()
            main(command)
            assert note in capsys.readouterr().out, command
        file.unlink()


def test_folder_that_changes_hands(capsys: pytest.CaptureFixture[str]) -> None:
    """A file whose organization is replaced has a note: the history remembers the organization of its folder."""
    write("stage", organization="beta")
    file = write("prod")
    main(["apply", "--auto-approve"])
    file.write_text(file.read_text().replace("organization: acme", "organization: beta"))
    capsys.readouterr()
    main(["plan", "--allow-delete", "acme/prod"])
    assert "note: the folder webhooks/acme has held other organizations so far: acme" in capsys.readouterr().out
