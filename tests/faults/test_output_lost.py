"""Standard output that cannot be written: no traceback, and an exit code that states whether the work was done."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builders import as_lines, xdm_event
from hookline_process import ADDRESS, ORGANIZATION, SANDBOX, Lab, clean_environment

URL = "https://hooks.acme.example/feedback"
# Commands whose output is all that they do, or (second) whose code is the result and here is 0.
PRINTING = (
    *(["plan", "--help"], ["explain", "HL012"], ["schema", "webhook"], ["formats"], ["completion", "bash"]),
    *(["list", "--format", "yaml"], ["show", ADDRESS], ["history"], ["blame", ADDRESS], ["status"], ["dead", "list"]),
    *(["dead", "export"], ["formats", "test", "events.ndjson"], ["relay", "--dry-run", "events.ndjson"]),
    *(["validate", "--format", "github"], ["plan"], ["drift"]),
)
# Commands that do work and print a note about it.
WORKING = (
    *(["pause", ADDRESS], ["resume", ADDRESS], ["retry-now", ADDRESS], ["dead", "replay", "--all"], ["init", "new"]),
    *(["dead", "discard", "--all", "--yes"], ["export", "exported"], ["dead", "import", "none.ndjson"]),
)


@pytest.fixture
def filled(lab: Lab) -> Lab:
    """A lab with an applied webhook, a paused spool with one dead letter, and an input."""
    lab.apply(URL)
    (lab.directory / "none.ndjson").write_text("")
    (lab.directory / "events.ndjson").write_bytes(as_lines([xdm_event(1, 1)]))
    lab.hookline("pause", ADDRESS)
    lab.hookline("relay", "--from-start", "--max-wait", "0s", "-", stdin=b"not JSON\n", code=None)
    return lab


def ended(lab: Lab, arguments: list[str], stdout: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout is a redirection of the shell."""
    command = " ".join(["exec", *lab.program, *(f"'{one}'" for one in arguments), stdout])
    done = subprocess.run(
        ["bash", "-c", command], cwd=lab.directory, env=clean_environment(**environment), stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.decode()


def test_a_result_that_is_lost_is_a_failure(filled: Lab) -> None:
    """Each command that only prints ends with 1 and the reason on a full disk, and nothing but words."""
    for arguments in PRINTING:
        code, errors = ended(filled, arguments, "> /dev/full")
        assert "Traceback" not in errors, (arguments, errors)
        assert "standard output cannot be written: No space left on device" in errors, (arguments, errors)
        assert code == 1, (arguments, errors)


@pytest.mark.parametrize(
    ("redirection", "reason"), [("> /dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_work_is_done_without_its_output(filled: Lab, redirection: str, reason: str) -> None:
    """Each command that works does its work, ends with the code of the work, and warns."""
    for arguments in WORKING:
        code, errors = ended(filled, arguments, redirection)
        assert "Traceback" not in errors, (arguments, errors)
        assert f"warning: standard output cannot be written: {reason}" in errors, arguments
        assert "; the command did its work" in errors, arguments
        assert code == 0, (arguments, errors)
    assert (filled.directory / "exported" / ORGANIZATION / f"{SANDBOX}.yaml").exists()
    assert (filled.directory / "new" / "webhooks").is_dir()


@pytest.mark.parametrize("redirection", ["> /dev/full", "| head -c 1"])
def test_an_apply_is_never_in_doubt(lab: Lab, redirection: str) -> None:
    """An approved apply commits, ends with 0, and names the serial on stderr, whatever stdout does."""
    lab.apply(URL)
    path = lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "description": "changed"}))
    code, errors = ended(lab, ["apply", "--auto-approve"], f"{redirection}; exit ${{PIPESTATUS[0]}}"
                         if redirection.startswith("|") else redirection)  # fmt: skip
    assert code == 0, errors
    assert "Traceback" not in errors
    if not redirection.startswith("|"):  # a pipe may take everything before its reader ends
        assert "Applied: the state is at serial 2." in errors
    assert "changed" == json.loads(lab.hookline("show", ADDRESS, "--format", "json").stdout)["description"]


def test_without_an_output_nobody_can_approve(lab: Lab) -> None:
    """Without --auto-approve an apply whose plan nobody saw changes nothing (6)."""
    path = lab.directory / "webhooks" / "prod.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "organization": "a", "sandbox": "b", "name": "n", "channels": ["sms"],
                                "url": URL, "campaigns": "all"}))  # fmt: skip
    code, errors = ended(lab, ["apply"], "> /dev/full")
    assert code == 6, errors
    assert not (lab.directory / ".hookline" / "state.db").exists()


def test_a_reader_that_left_is_no_message(filled: Lab) -> None:
    """`| head -1`: a command ends at once and in silence; its code shows that not everything was written."""
    code, errors = ended(filled, ["schema", "webhook"], "| true; exit ${PIPESTATUS[0]}")
    assert "" == errors
    assert code in (0, 1)  # 0 if the pipe took everything before its reader ended


def test_the_code_of_a_check_remains(lab: Lab) -> None:
    """validate and plan keep the code of their finding: it says more than that the output was lost."""
    (lab.directory / "webhooks").mkdir()
    (lab.directory / "webhooks" / "a.yaml").write_text("version: 1\n")
    for arguments in (["validate"], ["plan"]):
        code, errors = ended(lab, arguments, "> /dev/full")
        assert code == 5, (arguments, errors)
        assert "Traceback" not in errors


def test_a_state_never_becomes_standard_output(lab: Lab) -> None:
    """With all streams closed, the files that the process opens do not get their numbers, and the state is sound."""
    path = lab.directory / "webhooks" / "prod.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "organization": "a", "sandbox": "b", "name": "n", "channels": ["sms"],
                                "url": URL, "campaigns": "all"}))  # fmt: skip
    assert (0, "") == ended(lab, ["apply", "--auto-approve"], ">&- 2>&- <&-")
    assert b"No drift" in lab.hookline("drift").stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_a_character_that_the_encoding_lacks_is_an_escape(lab: Lab, environment: dict[str, str]) -> None:
    """Names outside the encoding of the terminal are escaped; JSON and YAML keep their meaning."""
    name = "反馈 🙂 é"
    path = lab.directory / "webhooks" / f"{SANDBOX}.yaml"
    path.parent.mkdir()
    webhook = {"version": 1, "organization": ORGANIZATION, "sandbox": SANDBOX, "name": name, "channels": ["sms"]}
    path.write_text(json.dumps({**webhook, "url": URL, "campaigns": "all"}, ensure_ascii=False), encoding="utf-8")
    lab.environment = environment
    lab.hookline("apply", "--auto-approve")
    encoding = "utf-8" if environment.get("PYTHONIOENCODING") != "latin-1" else "latin-1"
    shown: dict[str, Any] = json.loads(lab.hookline("show", ADDRESS, "--format", "json").stdout.decode(encoding))
    assert name == shown["name"]
    path.write_text(lab.hookline("show", ADDRESS).stdout.decode(encoding), encoding="utf-8")
    assert b"No changes" in lab.hookline("plan").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could replace a device")
def test_a_device_and_a_pipe_are_written_to(filled: Lab, tmp_path: Path) -> None:
    """Devices, pipes and /dev/stdout are written to and never replaced, by each option that names an output."""
    directory = filled.directory
    device, pipe = directory / "device", directory / "pipe"
    os.mknod(device, 0o20666, os.makedev(1, 3))  # a null device of our own
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for options in (["plan", "--out"], ["dead", "export", "--out"]):
        for output in (device, pipe):
            before = output.lstat()
            filled.hookline(*options, str(output))
            assert (before.st_ino, before.st_mode) == (output.lstat().st_ino, output.lstat().st_mode)
        assert b"{" == os.read(reader, 1 << 20)[:1]
    os.close(reader)
    filled.hookline("plan", "--format", f"json={device}", "--format", f"markdown={device}.md", "--format", "text")
    assert device.is_char_device()
    link = directory / "link"
    link.symlink_to(device)
    filled.hookline("plan", "--out", "link")
    assert link.is_symlink()
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        done = filled.hookline("plan", "--out", name, "--format", "markdown=plan.md") if name != "-" else (
            filled.hookline("plan", "--out", "-"))  # fmt: skip
        assert 1 == json.loads(done.stdout)["formatVersion"]
    assert 0 == ended(filled, ["dead", "export", "--out", "/dev/stdout"], "> letters.ndjson")[0]
    assert "dead-letter" in (directory / "letters.ndjson").read_text()
    full = filled.hookline("plan", "--out", "/dev/full", code=1)
    assert b"/dev/full cannot be written: No space left on device" in full.stderr


def test_a_port_file_may_be_a_pipe(lab: Lab) -> None:
    """`receive --port-file` writes into a pipe that a script waits on."""
    pipe = lab.directory / "port"
    os.mkfifo(pipe)
    with lab.running("receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", "--port-file", "port"):
        assert 0 < int(pipe.read_text()) < 65536
    assert pipe.is_fifo()
