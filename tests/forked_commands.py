"""Runs many commands with hookline imported once: each is a fork of one process, with its own streams."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from hookline_process import clean_environment

_PROGRAM = """
import json, os, sys, traceback
import click
from hookline.cli import main

def load(group, context):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            load(command, context)

load(main.program, click.Context(main.program))
for line in sys.stdin:
    job = json.loads(line)
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        os.chdir(job["directory"])
        os.environ.update(job["environment"])
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(os.open(job["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        if job["stdout"] is None:
            os.close(1)
            sys.stdout = None  # as Python starts with a closed descriptor
        else:
            os.dup2(os.open(job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        sys.argv = ["hookline", *job["arguments"]]
        code = 99
        try:
            main.run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ended(NamedTuple):
    code: int
    out: bytes
    errors: str


class ForkedCommands:
    """The process. `directory` gets two files for each command's streams."""

    def __init__(self, directory: Path, requests: IO[str], answers: IO[str]) -> None:
        self._directory, self._requests, self._answers = directory, requests, answers

    def run(self, cwd: Path, *arguments: str, stdout: str | None = "", **environment: str) -> Ended:
        """Run a command to its end.

        Args:
            cwd: its working directory.
            arguments: its arguments.
            stdout: the path of its standard output; None closes it, and by default `Ended.out` has it.
            environment: more variables.
        """
        out, errors = self._directory / "out", self._directory / "errors"
        job = {
            "directory": str(cwd), "arguments": arguments, "environment": environment, "errors": str(errors),
            "stdout": str(out) if stdout == "" else stdout,
        }  # fmt: skip
        print(json.dumps(job), file=self._requests, flush=True)
        code = int(self._answers.readline())
        return Ended(code, out.read_bytes() if stdout == "" else b"", errors.read_text())


@contextmanager
def forked_commands(directory: Path) -> Iterator[ForkedCommands]:
    with subprocess.Popen(
        (sys.executable, "-c", _PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=clean_environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        yield ForkedCommands(directory, process.stdin, process.stdout)
        process.stdin.close()
