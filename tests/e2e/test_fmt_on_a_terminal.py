"""`hookline fmt` of many files on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from select import select

import pytest

from hookline_process import HOOKLINE, clean_environment
from waiting import wait_until

OLD, NEW = "name: 'a'\nversion: 1\n", "version: 1\nname: a\n"
FILES = 200
# Sends SIGINT to itself while it formats the hundredth file.
INTERRUPTED = """
import os, signal, sys
from hookline.cli.main import main
from hookline.config.formatting import formatter
layout, calls = formatter.layout, []
def interrupted(documents):
    calls.append(1)
    if len(calls) == 100:
        os.kill(os.getpid(), signal.SIGINT)
    return layout(documents)
formatter.layout = interrupted
sys.exit(main(["fmt"]))
"""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    webhooks = tmp_path / "webhooks"
    webhooks.mkdir()
    for number in range(FILES):
        (webhooks / f"{number:03}.yaml").write_text(OLD)
    return webhooks


class Run:
    """A run of fmt, with its standard error on a terminal, and its standard output too if it has none."""

    def __init__(
        self, folder: Path, *options: str, stdout: int | None = None, command: tuple[str, ...] = (*HOOKLINE, "fmt")
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.process = subprocess.Popen(
            (*command, *options), cwd=folder.parent, env=clean_environment(TERM="xterm-256color"),
            stdin=subprocess.DEVNULL, stdout=self._theirs if stdout is None else stdout, stderr=self._theirs,
        )  # fmt: skip
        self.sent = ""

    def read(self) -> str:
        while select([self._ours], [], [], 0.02)[0]:
            self.sent += os.read(self._ours, 65536).decode(errors="replace")
        return self.sent

    def end(self) -> tuple[int, list[str]]:
        """The exit code, and the lines that were sent, without the bar."""
        wait_until(lambda: bool(self.read()) and self.process.poll() is not None)
        self.read()
        os.close(self._ours)
        os.close(self._theirs)
        lines = _CONTROL.sub("", self.sent).replace("\r", "\n").split("\n")
        return self.process.wait(), [line for line in lines if line.strip() and "━" not in line]


def test_a_bar_below_the_names_of_the_files(folder: Path) -> None:
    """Every name has its own line, and the bar counts the files and is gone at the end."""
    code, lines = (run := Run(folder)).end()
    assert (0, [f"formatted webhooks/{number:03}.yaml" for number in range(FILES)]) == (code, lines)
    assert f"/{FILES}" in run.sent
    assert run.sent.rindex("\x1b[?25h") > run.sent.rindex("\x1b[?25l")
    code, lines = (run := Run(folder, "--check")).end()
    assert (0, [f"{FILES} files are formatted already"]) == (code, lines)
    assert f"/{FILES}" in run.sent


def test_the_output_in_a_file_has_no_bar(folder: Path, tmp_path: Path) -> None:
    """The bar is on stderr, and the names are in the file."""
    with (tmp_path / "out").open("wb") as out:
        code, lines = (run := Run(folder, stdout=out.fileno())).end()
    assert (0, []) == (code, lines)
    assert f"/{FILES}" in run.sent
    names = [f"formatted webhooks/{number:03}.yaml" for number in range(FILES)]
    assert names == (tmp_path / "out").read_text().splitlines()


def test_ctrl_c_leaves_whole_files(folder: Path) -> None:
    """Each file is the old or the new one, nothing else remains, and the terminal is as it was."""
    code, lines = (run := Run(folder, command=(sys.executable, "-c", INTERRUPTED))).end()
    assert (130, "Interrupted.") == (code, lines[-1])
    assert f"/{FILES}" in run.sent
    assert run.sent.rindex("\x1b[?25h") > run.sent.rindex("\x1b[?25l")
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert [f"{number:03}.yaml" for number in range(FILES)] == sorted(texts)
    assert [NEW] * 99 + [OLD] * (FILES - 99) == [texts[name] for name in sorted(texts)]
