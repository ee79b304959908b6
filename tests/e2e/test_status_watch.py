"""`status --watch` on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from select import select
from termios import TIOCSWINSZ, tcgetattr

import pytest
from click.testing import CliRunner

from builders import ACME, delivery
from contract.spool_stores import OTHER, put
from hookline.cli.commands.status import status_command
from hookline.errors import WrongUse
from hookline.relay.spool.factory import spool_store
from hookline_process import HOOKLINE, Lab, clean_environment
from postgres_server import running_server
from shared_spool import SharedSpoolDatabase
from waiting import wait_until

ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a pseudo-terminal. `sent` is everything that it has written."""

    def __init__(self, command: tuple[str, ...], directory: Path, size: tuple[int, int], **variables: str) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(*size)
        self.attributes = self.attributes_now()
        environment = clean_environment(**{"TERM": "xterm-256color", **variables})
        environment.pop("COLUMNS", None)
        environment.pop("LINES", None)
        self.process = subprocess.Popen(command, cwd=directory, env=environment, stdin=self._theirs,
                                        stdout=self._theirs, stderr=self._theirs, process_group=0)  # fmt: skip
        self.sent = ""

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self._theirs, TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def attributes_now(self) -> list[object]:
        return list(tcgetattr(self._theirs))

    def read(self) -> str:
        """What was sent until now."""
        while select([self._ours], [], [], 0.02)[0]:
            self.sent += os.read(self._ours, 65536).decode(errors="replace")
        return self.sent

    def wait_for(self, is_shown: Callable[[str], bool]) -> str:
        """Wait until the latest screen shows something, and return that screen. A later one may be half drawn."""
        screen: str = wait_until(lambda: is_shown(shown := self.screen()) and shown)
        return screen

    def screen(self) -> str:
        """The latest screen: rich draws each from the home position."""
        drawn = self.read().split("\x1b[H")[-1]
        return _CONTROL.sub("", drawn).replace("\r", "")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.read()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    created = Lab(tmp_path)
    store = spool_store(tmp_path / ".hookline" / "spool")
    spool = store.open(since="now")
    put(spool, *(delivery(f"d{n}") for n in range(3)), now=100.0)
    spool.close()
    return created


@contextmanager
def watching(lab: Lab, *options: str, size: tuple[int, int] = (100, 30), **variables: str) -> Iterator[Terminal]:
    command = (*HOOKLINE, "status", "--watch", "--interval", "200ms", *options)
    terminal = Terminal(command, lab.directory, size, **lab.environment, **variables)
    try:
        yield terminal
    finally:
        terminal.close()


def add(lab: Lab, *names: str) -> None:
    spool = spool_store(lab.directory / ".hookline" / "spool").open(since="now")
    put(spool, *map(delivery, names), delivery(f"{names[0]}-other", address=OTHER), now=100.0)
    spool.close()


def test_the_status_is_redrawn_in_place_until_ctrl_c(lab: Lab) -> None:
    """A change of the spool is shown, also one that makes a row. Ctrl-C leaves the terminal as it was, with 0."""
    with watching(lab) as terminal:
        pending = re.compile(r"^pending +3, the oldest", re.MULTILINE)
        first = terminal.wait_for(lambda text: f"{ACME}" in text and pending.search(text) is not None)
        assert str(OTHER) not in first
        add(lab, "e")
        terminal.wait_for(lambda text: "pending" in text and str(OTHER) in text)
        assert 0 == terminal.end()
        sent = terminal.sent
        assert (1, 1) == (sent.count(ENTER_SCREEN), sent.count(LEAVE_SCREEN))
        assert sent.rindex(SHOW_CURSOR) > sent.rindex(HIDE_CURSOR)
        assert "" == _CONTROL.sub("", sent[sent.rindex(LEAVE_SCREEN) :]).strip()
        assert terminal.attributes == terminal.attributes_now()


def test_small_terminals_and_changes_of_size(lab: Lab) -> None:
    """No screen is larger than the terminal: the end is cut with a note. A larger one shows more at once."""
    with watching(lab, size=(40, 6)) as terminal:
        small = terminal.wait_for(lambda text: "more lines than the termin" in text)
        lines = small.rstrip("\n").split("\n")
        assert 6 >= len(lines)
        assert 40 >= max(map(len, lines))
        terminal.resize(140, 40)
        large = terminal.wait_for(lambda text: "LAST HOUR" in text and "WEBHOOK" in text)
        assert "more lines" not in large
        terminal.resize(3, 1)
        terminal.wait_for(lambda text: 3 >= len(text.rstrip("\n")))
        assert 0 == terminal.end()


def test_a_spool_that_disappears_and_comes_back(lab: Lab) -> None:
    """The reason is shown, with the latest status and its age. The watch continues by itself."""
    spool = lab.directory / ".hookline" / "spool"
    with watching(lab) as terminal:
        terminal.wait_for(lambda text: str(ACME) in text)
        spool.rename(spool.with_name("away"))
        terminal.wait_for(lambda text: "s old: " in text and "not found" in text and str(ACME) in text)
        spool.with_name("away").rename(spool)
        terminal.wait_for(lambda text: str(ACME) in text and "s old: " not in text)
        assert 0 == terminal.end()


def test_ctrl_z_leaves_the_screen(lab: Lab) -> None:
    """A process that is suspended shows the terminal as it was, and draws again afterwards."""
    with watching(lab) as terminal:
        terminal.wait_for(lambda text: str(ACME) in text)
        terminal.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: terminal.read().endswith((LEAVE_SCREEN, SHOW_CURSOR)))
        # It stops a moment after it has left the screen. SIGCONT would have no effect before.
        os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED)
        terminal.process.send_signal(signal.SIGCONT)
        wait_until(lambda: 2 == terminal.read().count(ENTER_SCREEN))
        assert -signal.SIGTERM == terminal.end(signal.SIGTERM)
        assert 2 == terminal.sent.count(LEAVE_SCREEN)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_the_watch_leaves_the_terminal_as_it_was(lab: Lab, number: signal.Signals) -> None:
    """The alternate screen is left and the cursor is shown. The process ends by the signal, as without a watch."""
    with watching(lab) as terminal:
        terminal.wait_for(lambda text: str(ACME) in text)
        assert -number == terminal.end(number)
        assert (1, 1) == (terminal.sent.count(ENTER_SCREEN), terminal.sent.count(LEAVE_SCREEN))
        assert terminal.sent.rindex(SHOW_CURSOR) > terminal.sent.rindex(HIDE_CURSOR)
        assert "" == _CONTROL.sub("", terminal.sent[terminal.sent.rindex(LEAVE_SCREEN) :]).strip()
        assert terminal.attributes == terminal.attributes_now()


def test_a_watch_below_nohup_ignores_a_hangup(lab: Lab) -> None:
    """A signal that the process ignored from the start does not end it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watching(lab) as terminal:
            terminal.wait_for(lambda text: str(ACME) in text)
            terminal.process.send_signal(signal.SIGHUP)
            add(lab, "e")
            terminal.wait_for(lambda text: str(OTHER) in text)
            assert 0 == terminal.end()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_database_that_is_away(lab: Lab) -> None:
    """A shared spool is watched in the same way: a server that crashes is shown, and found again."""
    with running_server() as server:
        database = SharedSpoolDatabase(server)
        with watching(lab, "--spool", database.url()) as terminal:
            terminal.wait_for(lambda text: "processes" in text)
            server.stop()
            terminal.wait_for(lambda text: "s old: " in text and "processes" in text)
            server.start()
            terminal.wait_for(lambda text: "processes" in text and "s old: " not in text)
            assert 0 == terminal.end()


def test_a_terminal_that_cannot_move_its_cursor(lab: Lab) -> None:
    """It is wrong use, with the reason."""
    with watching(lab, TERM="dumb") as terminal:
        assert 64 == terminal.process.wait(timeout=60)
        assert "needs a terminal that can move its cursor" in terminal.read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--watch needs a terminal: standard output is none"),
        (("--format", "json"), "--watch shows text only"),
        (("--interval", "100ms"), "--interval is shorter than 0.2 s"),
    ],
)
def test_without_a_terminal(options: tuple[str, ...], message: str) -> None:
    """A script that would never end is refused, with the command that it needs."""
    result = CliRunner().invoke(status_command, ["--watch", *options], standalone_mode=False)
    assert isinstance(result.exception, WrongUse)
    assert message in result.exception.message
    assert result.exception.hint


def test_a_terminal_without_a_size_shows_the_status(lab: Lab) -> None:
    """A serial line, or the terminal of a container, says that it has no columns and no lines."""
    with watching(lab, size=(0, 0)) as terminal:
        terminal.wait_for(lambda shown: str(ACME) in shown and 24 == len(shown.split("\n")))
        assert 0 == terminal.end()
