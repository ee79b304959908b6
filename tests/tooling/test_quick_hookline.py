"""Forks stand for hookline processes in other tests: they have what a new process would have."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hookline_process import clean_environment, run_process
from quick_hookline import QuickProcess, quick_hookline, start_hookline
from waiting import wait_until

SHOW = "import json, os, sys; before = os.umask(0); os.umask(before)\n"
SHOW += "print(json.dumps([os.getcwd(), before, os.environ.get('SHOWN')]), sys.stdin.read(), flush=True)\n"


def test_it_has_its_directory_umask_environment_and_streams(tmp_path: Path, private_files: None) -> None:
    """So has the command that follows the code, whose exit code is that of the process."""
    options = {"cwd": tmp_path, "env": clean_environment(SHOWN="yes"), "before": SHOW}
    done = run_process(None, "nothing-like-it", stdin=b"typed", **options)
    assert 64 == done.returncode
    assert f'["{tmp_path}", 63, "yes"] typed\n'.encode() == done.stdout
    assert b"no such command" in done.stderr


def test_signals_reach_it(tmp_path: Path) -> None:
    """Its end by a signal is seen as that of a child; until then a wait can end without it."""
    asleep = "import time; time.sleep(600)"
    with start_hookline("--version", cwd=tmp_path, env=clean_environment(), before=asleep) as one:
        assert one.pid != os.getpid()
        assert one.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0.01)
        one.kill()
        assert -signal.SIGKILL == one.wait(60)


def test_settings_of_python_need_a_new_process(tmp_path: Path) -> None:
    """They are read when Python starts."""
    configured = clean_environment(PYTHONHASHSEED="1")
    with start_hookline("--version", cwd=tmp_path, env=configured, stdout=subprocess.PIPE) as new:
        assert not isinstance(new, QuickProcess)
        assert b"hookline, version" in new.communicate(timeout=60)[0]


def test_the_script_passes_signals_on(tmp_path: Path) -> None:
    """The shell's child is not the fork: SIGTERM to it ends the fork."""
    port = tmp_path / "port"
    command = (quick_hookline(), "receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", "--port-file", "port")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(port.exists, process=process)
        process.terminate()
        assert 0 == process.wait(60)
