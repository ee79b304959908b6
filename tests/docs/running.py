"""Runs what a page shows, as a reader would: one shell, one scratch directory, from top to bottom.

- ``console`` blocks: each line that begins with ``$ `` is typed; what follows must be its output, where ``...``
  stands for anything. A command that fails must be followed by ``$ echo $?``.
- A command that ends with `` &`` goes on in the background, and the next one waits for the output that is shown.
  What still runs at the end of the page is ended by its pid.
- ``python`` blocks are run, and print nothing that is not shown below them.
- Blocks of any language below ``<!-- file: PATH -->`` are written there instead.
- ``sh`` and ``text`` blocks are not run: installation, `make` (which starts these tests), and what a demo looks like.
- Port 8443 is another, free one. DATABASE is a new, empty database of a real server, whose own programs (pg_dump,
  psql) come first.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docs.pages import Command, blocks, commands
from postgres_server import new_state, shared_server
from quick_hookline import quick_hookline

PORT = "8443"
DATABASE = "postgresql://relay@db.acme.example/feedback"
PAGE_SECONDS = 120
_READY_SECONDS = 10
_INSTALLED = str(Path(sys.executable).parent)


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of shell, and what is expected of it; `shown` None: a step of the harness, which must succeed."""

    line: int
    script: str
    shown: str | None = None
    in_background: bool = False
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    output: str


def run_page(text: str, scratch: Path) -> list[str]:
    """What does not hold, in words; empty when the page can be followed to its end."""
    port, database = _free_port(), new_state() if DATABASE in text else DATABASE
    steps = _steps(text.replace(PORT, port).replace(DATABASE, database), scratch)
    outcomes = _run(steps, scratch, port, shared_server().binaries if DATABASE in text else None)
    found = [_compare(step, outcome) for step, outcome in zip(steps, outcomes, strict=False)]
    if len(outcomes) < len(steps):
        found.append(f"line {steps[len(outcomes)].line}: was not reached")
    return [message.replace(port, PORT).replace(database, DATABASE) for message in found if message is not None]


def matches(shown: str, output: str) -> bool:
    """Whether an output is the one that is shown: ``...`` on a line of its own is any lines, within one any text."""
    pattern = ""
    for line in shown.rstrip().splitlines():
        pattern += r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line)
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in output.splitlines())) is not None


def _line_pattern(line: str) -> str:
    return "[^\n]*".join(re.escape(part) for part in line.rstrip().split("...")) + "\n"


def _steps(text: str, scratch: Path) -> list[Step]:
    steps: list[Step] = []
    for block in blocks(text):
        if block.file is not None or block.language == "python":
            source = scratch / ".blocks" / str(block.line)
            source.parent.mkdir(exist_ok=True)
            source.write_text(block.text)
            script = f"{sys.executable} {source}"
            if block.file is not None:
                script = f'mkdir -p "$(dirname {block.file})" && cp {source} {block.file}'
            steps.append(Step(block.line, script))
        elif block.language == "console":
            steps += _typed(commands(block))
    return steps


def _typed(block: Sequence[Command]) -> list[Step]:
    after = [*(one.typed for one in block[1:]), ""]
    return [
        Step(one.line, one.typed, one.shown, one.in_background, next_one == "echo $?")
        for one, next_one in zip(block, after, strict=True)
    ]


def _run(steps: Sequence[Step], scratch: Path, port: str, binaries: Path | None) -> list[Outcome]:
    results = scratch / ".results"
    results.mkdir()
    place = scratch / "reader"
    place.mkdir()
    script = "".join(_shell(number, step, results) for number, step in enumerate(steps))
    process = subprocess.Popen(
        ["bash"],
        stdin=subprocess.PIPE,
        cwd=place,
        env=_environment(place, port, binaries),
        start_new_session=True,
        text=True,
    )
    try:
        with suppress(subprocess.TimeoutExpired):  # then the steps that were not reached say so
            process.communicate(f"status=0\n{script}{_ENDING}", timeout=PAGE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return [
        Outcome(int((results / f"{number}.status").read_text()), (results / str(number)).read_text())
        for number in range(len(steps))
        if (results / f"{number}.status").exists()
    ]


# `wait` is for all of them: what a page starts has ended when its test ends.
_ENDING = "for pid in $(jobs -p); do kill $pid; done\nwait\n"


def _shell(number: int, step: Step, results: Path) -> str:
    """`echo $?` must see the status of the command before it, so it is put back first."""
    output = results / str(number)
    # What goes on in the background is hookline itself, because its pid is used.
    path = f"{_INSTALLED}:$PATH" if step.in_background else "$PATH"
    text = (
        f"before=$PATH; PATH={path}\n{{ (exit $status)\n{step.script}\n}} </dev/null >{output} 2>&1; status=$?\n"
        "PATH=$before\n"
    )
    if step.in_background:
        lines = len((step.shown or "").splitlines())
        text += (
            f"for try in $(seq {_READY_SECONDS * 20}); do "
            f"[ $(wc -l <{output}) -ge {lines} ] && break; sleep 0.05; done\n"
        )
    return text + f"echo $status >{output}.status\n"


def _environment(home: Path, port: str, binaries: Path | None) -> dict[str, str]:
    programs = [str(quick_hookline().parent), _INSTALLED, os.environ.get("PATH", os.defpath)]
    if binaries is not None:
        programs.insert(0, str(binaries))
    listening = {"HOOKLINE_RECEIVE_LISTEN": f"127.0.0.1:{port}"}  # its default is not written on a page
    return {"PATH": os.pathsep.join(programs), "HOME": str(home), "LANG": "C.UTF-8", "USER": "reader", **listening}


def _compare(step: Step, outcome: Outcome) -> str | None:
    shown = step.shown or ""
    output = outcome.output
    if step.in_background:
        output = "\n".join(output.splitlines()[: len(shown.splitlines())])
    if not matches(shown, output):
        return (
            f"line {step.line}: `{step.script}` shows\n{shown}\n--- but printed (status {outcome.status})\n{output}"
        )
    if outcome.status != 0 and not step.may_fail:
        return f"line {step.line}: `{step.script}` ended with {outcome.status}"
    return None


def _free_port() -> str:
    """Five digits long, like no other number on a page; somebody may take it meanwhile, which is unlikely."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port > 10_000:
            return str(port)
