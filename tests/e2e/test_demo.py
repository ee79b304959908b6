"""`hookline demo`: where it writes, and its end on a signal. tests/e2e/test_wheel.py runs the whole of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from hookline.cli.demo.demo_commands import DemoCommands, free_port
from hookline.cli.main import main
from hookline.errors import HooklineError
from hookline.settings import environment_without_settings
from hookline_process import HOOKLINE, clean_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """The demo ends with 130, its receiver has ended, and the temporary directory is removed."""
    process = subprocess.Popen(
        (*HOOKLINE, "demo"), env={**clean_environment(), "TMPDIR": str(tmp_path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("$ hookline jwks"):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)  # until every process that has its streams has ended
    assert 130 == process.returncode, errors
    assert "Interrupted." in errors
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("is_collected", [False, True])
def test_a_command_ends_wherever_the_interrupt_came(is_collected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt in `Popen.wait` leaves its lock held if it comes between the lock and its release.

    It may also come after the process was collected, and before its code is known.
    """
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        assert timeout is not None, "the lock is held, so this would wait for ever"
        started.append(process)
        assert process._waitpid_lock.acquire(blocking=False)  # type: ignore[attr-defined]
        if is_collected:
            os.waitpid(process.pid, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DemoCommands(clean_environment()).run("--version")
    assert started[0].returncode is not None
    with pytest.raises(ChildProcessError):
        os.waitpid(started[0].pid, os.WNOHANG)


def test_another_directory_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory with files, a file and a link are refused, with the next step."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "own")
    for name, message in (
        ("own", "is not empty and was not made by the demo"),
        ("own/notes.txt", "is not a directory of the demo"),
        ("link", "is not a directory of the demo"),
    ):
        assert 1 == main(["demo", str(tmp_path / name)])
        shown = capsys.readouterr().err
        assert message in shown
        assert "hint: name a new directory" in shown
    assert "mine" == (tmp_path / "own" / "notes.txt").read_text()


def test_the_demo_has_the_webhooks_of_the_repository() -> None:
    """README describes the demo with them."""
    copies = ROOT / "src" / "hookline" / "demo_files" / "webhooks"
    own = {path.relative_to(ROOT / "webhooks"): path.read_bytes() for path in (ROOT / "webhooks").rglob("*.yaml")}
    assert own == {path.relative_to(copies): path.read_bytes() for path in copies.rglob("*.yaml")}


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    """The command and its exit code; the receiver that does not start."""
    commands = DemoCommands(environment_without_settings())
    with pytest.raises(HooklineError, match="`hookline list` ended with 8, not 0"):
        commands.run("list", "--state", str(tmp_path / "none.db"))
    with (
        pytest.raises(HooklineError, match="the receiver did not start"),
        commands.receiver(tmp_path / "port", "receive", "--jwks", str(tmp_path / "none")),
    ):
        pass


def test_a_taken_port_is_replaced() -> None:
    """The port of the files is used if it is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port != free_port(port)
    assert port == free_port(port)
