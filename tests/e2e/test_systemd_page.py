"""The commands of the systemd page, in their order: the relay's user can read the state that another one applied."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import hookline
from builders import document
from hookline_process import clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-under-systemd.md"
# Users and groups that no machine has. Only root can switch to them.
IDS = {"hookline": 61_002, "hookline-apply": 61_001}


def _commands() -> list[list[str]]:
    """The commands of the page that concern users, directories and the state, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words and words[0] in ("useradd", "install", "sudo", "chmod")]


@pytest.fixture
def machine() -> Iterator[Path]:
    """A directory that other users can enter, with webhook files that everyone can read."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-page-"))
    directory.chmod(0o755)
    (directory / "webhooks").mkdir()
    (directory / "webhooks" / "prod.yaml").write_text(json.dumps(document()))
    yield directory
    shutil.rmtree(directory)


def _python_of_other_users() -> str | None:
    """A Python with which the users of the page can run this hookline; None if this process cannot switch to them."""
    if os.geteuid() != 0:
        return None
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-P", "-c", "import hookline.wiring, cryptography, msgspec"]
        with suppress(OSError):
            done = subprocess.run(
                command, capture_output=True, check=False, cwd="/", env=_ENVIRONMENT, **_identity("hookline")
            )
            if done.returncode == 0:
                return python
    return None


def _identity(user: str) -> dict[str, Any]:
    return {"user": IDS[user], "group": IDS["hookline"], "extra_groups": ()}


# Any Python of the same version can import this checkout and its dependencies.
_PATHS = (str(Path(hookline.__file__).parents[1]), sysconfig.get_path("purelib"))
_ENVIRONMENT = clean_environment(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.pathsep.join(_PATHS))


class _Page:
    """Runs the page's commands below a directory. Without other users, everything belongs to this one."""

    def __init__(self, machine: Path) -> None:
        self.machine, self.python = machine, _python_of_other_users()
        self.switch = self.python is not None

    def run(self, words: list[str]) -> None:
        words = [self._below(word) for word in words]
        match words:
            case ["useradd", *_, name]:
                assert name in IDS, "the page creates only the users that it explains"
            case ["sudo", "-u", user, program, *arguments]:
                assert "/opt/hookline/bin/hookline" == program
                done = self.hookline(user, *arguments)
                assert 0 == done.returncode, done.stderr
            case ["install", *options]:
                self._install(options)
            case _:
                subprocess.run(words, check=True)

    def hookline(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (self.python or sys.executable, "-P", "-m", "hookline", *arguments), cwd=self.machine, env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            **(_identity(user) if self.switch else {}),
        )  # fmt: skip

    def _install(self, options: list[str]) -> None:
        named = [str(IDS[word]) if word in IDS else word for word in options]
        if not self.switch:
            named = [word for word in named if word not in ("-o", "-g", *map(str, IDS.values()))]
        subprocess.run(["install", *named], check=True)

    def _below(self, word: str) -> str:
        return f"{self.machine}{word}" if word.startswith(("/srv/", "/etc/", "/var/")) else word


def test_the_relay_can_read_what_another_user_applied(machine: Path) -> None:
    """After the page's commands the state is readable for the relay's group only, and the relay starts with it."""
    page = _Page(machine)
    for directory in ("srv", "etc", "var/lib"):
        (machine / directory).mkdir(parents=True)
    commands = _commands()
    assert ["useradd", "useradd", "install", "install", "sudo", "chmod", "sudo"] == [one[0] for one in commands][:7]
    for words in commands[:7]:
        page.run(words)

    state = machine / "srv/hookline/state.db"
    assert 0o2750 == stat.S_IMODE(state.parent.stat().st_mode)
    assert 0o640 == stat.S_IMODE(state.stat().st_mode)
    spool = machine / "var/lib/hookline"
    page._install(["-d", "-m", "0700", "-o", "hookline", "-g", "hookline", str(spool)])  # systemd's StateDirectory
    started = page.hookline("hookline", "relay", "--state", str(state), "--spool", str(spool / "spool"), "-")
    assert 0 == started.returncode, started.stderr

    if page.switch:
        refused = page.hookline("hookline", "apply", "--state", str(state), "--config", "nothing", "--auto-approve")
        assert 0 != refused.returncode
    again = page.hookline("hookline-apply", "apply", "--state", str(state), "--auto-approve")
    assert (0, 0o640) == (again.returncode, stat.S_IMODE(state.stat().st_mode))


def test_without_the_chmod_the_relay_does_not_start(machine: Path) -> None:
    """Where other users exist, the modes of the page are needed: a state of 0600 stops the relay with a message."""
    page = _Page(machine)
    for directory in ("srv", "etc"):
        (machine / directory).mkdir()
    for words in _commands()[:5]:
        page.run(words)
    started = page.hookline(
        "hookline", "relay", "--state", str(machine / "srv/hookline/state.db"), "--spool", "spool"
    )
    expected = 8 if page.switch else 0
    assert expected == started.returncode, started.stderr
