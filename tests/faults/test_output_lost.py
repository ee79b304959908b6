"""Standard output that cannot be written: no traceback, and an exit code that states whether the work was done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import as_lines, xdm_event
from forked_commands import ForkedCommands, forked_commands
from hookline.cli.main import program
from hookline_process import ADDRESS, HOOKLINE, ORGANIZATION, SANDBOX, Lab, clean_environment

URL = "https://hooks.acme.example/feedback"
LINES, LETTERS = "events.ndjson", "none.ndjson"
# Every command. The output of the first group is all that they do, or their code is the result and here is 0.
PRINTING: tuple[tuple[str, ...], ...] = (
    *(("plan", "--help"), ("explain", "HL012"), ("schema", "webhook"), ("formats",), ("completion", "bash")),
    *(("list", "--format", "yaml"), ("list",), ("show", ADDRESS), ("history",), ("blame", ADDRESS), ("status",)),
    *(("dead", "list"), ("dead", "list", "--format", "json"), ("dead", "show", "line-1"), ("dead", "export")),
    *(("dead", "replay", "--all", "--dry-run"), ("dead", "discard", "--all", "--dry-run"), ("trace", "request-1")),
    ("forget", "ann@acme.example", "--dry-run"),
    *(
        ("formats", "test", LINES),
        ("policy", "test", "policy.yaml"),
        ("policy", "show"),
        ("relay", "--dry-run", LINES),
        ("limits",),
        ("sample", "bounce"),
        ("verify", "received.ndjson"),
        ("unit",),
        ("alerts",),
        ("jwks", ADDRESS),
    ),
    ("move", "--dry-run", ADDRESS, f"{ORGANIZATION}/other"),
    *(("validate", "--format", "github"), ("plan",), ("plan", "--out", "-"), ("drift",), ("--version",), ("--help",)),
)
# Commands that do work and print a note about it, with their code. The code of a check is its finding.
WORKING: tuple[tuple[int, tuple[str, ...]], ...] = (
    *((0, ("pause", ADDRESS)), (0, ("resume", ADDRESS)), (0, ("retry-now", ADDRESS)), (0, ("init", "new"))),
    (0, ("fmt",)),
    *((0, ("apply", "--auto-approve")), (0, ("rollback", "--to", "1", "--auto-approve")), (1, ("check", ADDRESS))),
    *((0, ("export", "exported")), (0, ("dead", "import", LETTERS)), (0, ("dead", "replay", "--all"))),
    *((0, ("dead", "discard", "--all", "--yes")), (0, ("spool", "recover", ".hookline/spool", "recovered"))),
    (0, ("forget", "ann@acme.example", "--yes")),
    *((0, ("pause", ADDRESS)), (4, ("relay", "--drain", "--summary", "json"))),
    (0, ("move", ADDRESS, f"{ORGANIZATION}/other")),
    *((0, ("policy", "set", "other.yaml", "--auto-approve")), (0, ("policy", "clear", "--auto-approve"))),
    *((0, ("spool", "init", "--spool", "fresh")), (0, ("spool", "copy", "copied")), (0, ("spool", "migrate"))),
)
# They need a port, a client, a shared spool, or a second spool: tests/e2e/test_wheel.py, test_receive.py,
# test_serve.py, faults/test_several_machines.py.
ELSEWHERE = {("demo",), ("receive",), ("serve",), ("deliver",), ("spool", "move")}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    with forked_commands(tmp_path_factory.mktemp("streams")) as running:
        yield running


def write_webhook(directory: Path, **fields: Any) -> None:
    path = directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "organization": ORGANIZATION, "sandbox": SANDBOX, "name": "lab", "channels": ["email"],
                "url": URL, "campaigns": "all", **fields}  # fmt: skip
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


@pytest.fixture
def filled(tmp_path: Path, private_files: None, commands: ForkedCommands) -> Path:
    """An applied webhook with a change, a paused delivery to it, a dead letter, and an input."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    keys = {"type": "jwt", "algorithm": "EdDSA", "keys": [{"id": "a", "secret": {"file": "key.pem"}}]}
    write_webhook(tmp_path, authentication=keys)
    assert 0 == commands.run(tmp_path, "apply", "--auto-approve").code
    write_webhook(tmp_path, authentication=keys, description="changed")
    rule = {"id": "owner", "message": "name an owner", "level": "warn", "require": {"required": ["owner"]}}
    (tmp_path / "policy.yaml").write_text(json.dumps({"version": 1, "rules": [rule]}))
    (tmp_path / "other.yaml").write_text(json.dumps({"version": 1, "rules": []}))
    assert 0 == commands.run(tmp_path, "policy", "set", "policy.yaml", "--auto-approve").code
    (tmp_path / LETTERS).write_text("")
    event = commands.run(tmp_path, "sample", "bounce").out.decode()
    sent = {"time": "2026-11-29T00:00:00Z", "method": "POST", "path": "/", "headers": {}, "bodyText": event}
    (tmp_path / "received.ndjson").write_text(json.dumps(sent))
    (tmp_path / LINES).write_bytes(as_lines([xdm_event(1, 1)]))
    (tmp_path / "bad.ndjson").write_bytes(b"not JSON\n" + as_lines([xdm_event(1, 1)]))
    assert 0 == commands.run(tmp_path, "pause", ADDRESS).code
    address = ("--organization", ORGANIZATION, "--sandbox", SANDBOX)
    done = commands.run(tmp_path, "relay", *address, "--secrets-dir", ".", "--max-wait", "0s", "bad.ndjson")
    assert 4 == done.code, done
    return tmp_path


def test_every_command_is_here() -> None:
    """A new command has its row in one of the tables."""
    named = {*PRINTING, *(one for _, one in WORKING)}
    missing = {path for path in _paths(program, ()) if not any(path == one[: len(path)] for one in named)}
    assert ELSEWHERE == missing


def _paths(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _paths(inner, (*path, name))


def test_a_result_that_is_lost_is_a_failure(filled: Path, commands: ForkedCommands) -> None:
    """Each command that only prints ends with 1 and the reason on a full disk, and nothing but words."""
    environment = {"HOOKLINE_SECRETS_DIR": "."}
    for arguments in PRINTING:
        shown = commands.run(filled, *arguments, **environment)
        assert shown.out, (arguments, shown.errors)
        code, _, errors = commands.run(filled, *arguments, stdout="/dev/full", **environment)
        assert "Traceback" not in errors, (arguments, errors)
        assert "standard output cannot be written: No space left on device" in errors, (arguments, errors)
        assert code == 1, (arguments, errors)


@pytest.mark.parametrize(("stdout", "reason"), [("/dev/full", "No space left on device"), (None, "it is closed")])
def test_work_is_done_without_its_output(
    filled: Path, commands: ForkedCommands, stdout: str | None, reason: str
) -> None:
    """Each command that works does its work, ends with the code of the work, and warns."""
    for expected, arguments in WORKING:
        code, _, errors = commands.run(filled, *arguments, stdout=stdout, HOOKLINE_SECRETS_DIR=".")
        assert "Traceback" not in errors, (arguments, errors)
        assert f"warning: standard output cannot be written: {reason}" in errors, (arguments, errors)
        result = f"the result is exit code {expected}" if expected else "the command did its work"
        assert f"; {result}" in errors, (arguments, errors)
        assert expected == code, (arguments, errors)
    assert (filled / "exported" / ORGANIZATION / f"{SANDBOX}.yaml").exists()
    assert (filled / "new" / "webhooks").is_dir()
    assert (filled / "recovered" / "spool.db").exists()
    assert 6 == len(json.loads(commands.run(filled, "history", "--format", "json").out))


def ended(directory: Path, arguments: list[str], stdout: str) -> tuple[int, str]:
    """Exit code and stderr of a real process whose stdout is a redirection of the shell."""
    command = " ".join(["exec", *HOOKLINE, *(f"'{one}'" for one in arguments), stdout])
    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, env=clean_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("redirection", ["> /dev/full", "| head -c 1"])
def test_an_apply_is_never_in_doubt(filled: Path, commands: ForkedCommands, redirection: str) -> None:
    """An approved apply commits, ends with 0, and names the serial on stderr, also if stdout is lost."""
    code, errors = ended(filled, ["apply", "--auto-approve"], f"{redirection}; exit ${{PIPESTATUS[0]}}"
                         if redirection.startswith("|") else redirection)  # fmt: skip
    assert code == 0, errors
    assert "Traceback" not in errors
    if not redirection.startswith("|"):  # a pipe may take everything before its reader ends
        assert "Applied: the state is at serial 3." in errors
    assert "changed" == json.loads(commands.run(filled, "show", ADDRESS, "--format", "json").out)["description"]


def test_without_an_output_nobody_can_approve(tmp_path: Path, commands: ForkedCommands) -> None:
    """Without --auto-approve an apply whose plan nobody saw changes nothing (6), and does not claim the opposite."""
    write_webhook(tmp_path)
    code, _, errors = commands.run(tmp_path, "apply", stdout="/dev/full")
    assert code == 6, errors
    assert "did its work" not in errors
    assert not (tmp_path / ".hookline" / "state.db").exists()


def test_a_reader_that_left_is_no_message(tmp_path: Path) -> None:
    """`| head -1`: a command ends at once and in silence; its code shows that not everything was written."""
    code, errors = ended(tmp_path, ["schema", "webhook"], "| true; exit ${PIPESTATUS[0]}")
    assert "" == errors
    assert code in (0, 1)  # 0 if the pipe took everything before its reader ended


def test_the_code_of_a_check_remains(tmp_path: Path, commands: ForkedCommands) -> None:
    """validate and plan keep the code of their finding, which is more important than the lost output."""
    (tmp_path / "webhooks").mkdir()
    (tmp_path / "webhooks" / "a.yaml").write_text("version: 1\n")
    for arguments in (("validate",), ("plan",)):
        code, _, errors = commands.run(tmp_path, *arguments, stdout="/dev/full")
        assert code == 5, (arguments, errors)
        assert "Traceback" not in errors


def test_a_state_never_becomes_standard_output(tmp_path: Path, commands: ForkedCommands) -> None:
    """With all streams closed, the files that the process opens do not get their numbers, and the state is sound."""
    write_webhook(tmp_path)
    assert (0, "") == ended(tmp_path, ["apply", "--auto-approve"], ">&- 2>&- <&-")
    assert b"No drift" in commands.run(tmp_path, "drift").out


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_a_character_that_the_encoding_lacks_is_an_escape(
    lab: Lab, commands: ForkedCommands, environment: dict[str, str]
) -> None:
    """Names outside the encoding of the terminal are escaped; JSON and YAML keep their meaning."""
    name = "反馈 🙂 é"
    write_webhook(lab.directory, name=name)
    assert 0 == commands.run(lab.directory, "apply", "--auto-approve").code
    lab.environment = environment
    encoding = "utf-8" if environment.get("PYTHONIOENCODING") != "latin-1" else "latin-1"
    shown: dict[str, Any] = json.loads(lab.hookline("show", ADDRESS, "--format", "json").stdout.decode(encoding))
    assert name == shown["name"]
    path = lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml"
    path.write_text(lab.hookline("show", ADDRESS).stdout.decode(encoding), encoding="utf-8")
    assert b"No changes" in commands.run(lab.directory, "plan").out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could replace a device")
def test_a_device_and_a_pipe_are_written_to(filled: Path, commands: ForkedCommands) -> None:
    """Devices, pipes and /dev/stdout are written to and never replaced, by each option that names an output."""
    device, pipe = filled / "device", filled / "pipe"
    os.mknod(device, 0o20666, os.makedev(1, 3))  # a null device of our own
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for options in (["plan", "--out"], ["dead", "export", "--out"]):
        for output in (device, pipe):
            before = output.lstat()
            assert 0 == commands.run(filled, *options, str(output)).code
            assert (before.st_ino, before.st_mode) == (output.lstat().st_ino, output.lstat().st_mode)
        assert b"{" == os.read(reader, 1 << 20)[:1]
    os.close(reader)
    outputs = ("--format", f"json={device}", "--format", f"markdown={device}.md", "--format", "text")
    assert 0 == commands.run(filled, "plan", *outputs).code
    assert device.is_char_device()
    link = filled / "link"
    link.symlink_to(device)
    assert 0 == commands.run(filled, "plan", "--out", "link").code
    assert link.is_symlink()
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        assert 1 == json.loads(commands.run(filled, "plan", "--out", name).out)["formatVersion"]
    letters = str(filled / "letters.ndjson")
    assert 0 == commands.run(filled, "dead", "export", "--out", "/dev/stdout", stdout=letters).code
    assert "dead-letter" in Path(letters).read_text()
    full = commands.run(filled, "plan", "--out", "/dev/full")
    assert full.code == 1
    assert "/dev/full cannot be written: No space left on device" in full.errors


def test_a_port_file_may_be_a_pipe(lab: Lab) -> None:
    """`receive --port-file` writes into a pipe that a script waits on."""
    pipe = lab.directory / "port"
    os.mkfifo(pipe)
    with lab.running("receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", "--port-file", "port"):
        assert 0 < int(pipe.read_text()) < 65536
    assert pipe.is_fifo()
