"""Many files on every core: the same as one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.config import loader
from hookline.config.loader import inspect
from hookline.errors import HooklineError
from waiting import wait_until

FORKS = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere files are read one after the other"
)


def write(folder: Path, count: int, *, broken: bool = True) -> None:
    """Webhook files. If `broken`, every fifth is broken in some way, and the last is a second one for a sandbox."""
    faults = ["url: http://a.example", "owner: no", "chanels: []", "headers: {X-Api-Key: abc}", "name: [", "x: &a b"]
    for number in range(count):
        extra = faults[number // 5 % len(faults)] + "\n" if broken and number % 5 == 0 else ""
        sandbox = 0 if broken and number == count - 1 else number
        url = "" if extra.startswith("url") else "url: https://hooks.acme.example\n"
        name = "" if extra.startswith("name") else "name: Feedback\n"
        text = f"version: 1\norganization: acme@AdobeOrg\nsandbox: box-{sandbox}\nchannels: [email]\ncampaigns: all\n"
        path = folder / f"{number % 7}" / f"{number}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + url + name + extra)


@FORKS
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks, findings and their order do not depend on the number of processes."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "webhooks", 230)
    monkeypatch.setattr(loader, "worker_count", lambda files: 1)
    alone = inspect(Path("webhooks"))
    monkeypatch.setattr(loader, "worker_count", lambda files: 3)
    assert alone == inspect(Path("webhooks"))
    assert list(alone.desired.webhooks) == sorted(alone.desired.webhooks)
    assert {"HL004", "HL009", "HL012", "HL014", "HL020", "HL045", "HL070"} == {one.code for one in alone.diagnostics}


@FORKS
@pytest.mark.parametrize("command", [("validate",), ("validate", "--format", "json"), ("plan", "--format", "json")])
@pytest.mark.parametrize("broken", [True, False])
def test_workers_change_no_byte_of_the_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    command: tuple[str, ...],
    broken: bool,
) -> None:
    """One process and several write the same, also about invalid files and two webhooks of one sandbox."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "webhooks", 120, broken=broken)
    results = []
    for count in (1, 3):
        monkeypatch.setattr(loader, "worker_count", lambda _files, count=count: count)
        results.append((main(list(command)), *capfdbinary.readouterr()))
    assert results[0] == results[1]
    assert (5 if broken else 0) == results[0][0]


@FORKS
def test_a_pool_only_for_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred files are read faster without one; beyond, every core reads, and never more than eight."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert [1, 8] == [loader.worker_count(files) for files in (loader.MIN_FILES_FOR_POOL - 1, 10_000)]


def test_no_fork_beside_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with threads never forks: a lock of another thread would stay locked in the copy."""
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert loader.worker_count(10_000) == 1


@FORKS
def test_a_worker_that_dies_is_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that the system kills ends the run with a message; it does not wait for ever."""
    write(tmp_path, 120)
    home = os.getpid()

    def dying(*_: object) -> None:
        assert os.getpid() != home
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(loader, "validate_file", dying)
    monkeypatch.setattr(loader, "worker_count", lambda files: 2)
    with pytest.raises(HooklineError, match="has died"):
        inspect(tmp_path)


@FORKS
@pytest.mark.parametrize("several", [True, False])
def test_ctrl_c_stops_all_of_them_quietly(tmp_path: Path, several: bool) -> None:
    """Ctrl-C, which reaches every process of the terminal, ends the run with 130, one word and no traceback."""
    cores = os.sched_getaffinity(0)
    several = several and len(cores) > 1
    write(tmp_path / "webhooks", 3000)
    # A shell starts what runs in the background with Ctrl-C ignored, and that is inherited; a handler is not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    os.sched_setaffinity(0, cores if several else {min(cores)})
    process = subprocess.Popen(
        [sys.executable, "-m", "hookline", "validate"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    os.sched_setaffinity(0, cores)
    with process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        files = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: children.read_text().strip() if several else "_yaml" in files.read_text())
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (130, "", "Interrupted.") == (process.returncode, out, err.strip())


def refuse_semaphores(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refuse)


def refuse_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)


@FORKS
@pytest.mark.parametrize("refuse", [refuse_semaphores, refuse_processes])
def test_a_machine_without_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Where /dev/shm cannot be written, or no process can be started, one process reads all files."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "webhooks", 230)
    monkeypatch.setattr(loader, "worker_count", lambda files: 1)
    alone = inspect(Path("webhooks"))
    monkeypatch.setattr(loader, "worker_count", lambda files: 3)
    refuse(monkeypatch)
    assert alone == inspect(Path("webhooks"))
