"""Runs commands that are killed with SIGKILL at a chosen boundary of their transactions: before or after a commit.

Each command is a fork of one process that has hookline imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from hookline_process import clean_environment

_PROGRAM = """
import json, os, signal, sqlite3, sys
from contextlib import contextmanager
from functools import partial
import psycopg

left = 0

def boundary():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

class Killed(sqlite3.Connection):
    def execute(self, statement, *parameters):
        if statement != "COMMIT":
            return super().execute(statement, *parameters)
        boundary()
        done = super().execute(statement, *parameters)
        boundary()
        return done

sqlite3.connect = partial(sqlite3.connect, factory=Killed)
begin = psycopg.Connection.transaction

@contextmanager
def transaction(connection, *arguments, **options):
    with begin(connection, *arguments, **options) as begun:
        yield begun
        boundary()
    boundary()

psycopg.Connection.transaction = transaction
from hookline.cli import main
import hookline.cli.commands.spool, hookline.relay.spool.postgres.shared, hookline.relay.spool.sqlite.embedded

for line in sys.stdin:
    left, sys.argv[1:] = json.loads(line)
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        try:
            main.run()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class KilledCommands:
    """The process that forks."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests, self._answers = requests, answers

    def run(self, *arguments: str, boundary: int = 0) -> int:
        """Run a command until its boundary number `boundary` (from 1; 0: to its end). Returns its exit code, or the
        negative number of the signal that ended it."""
        print(json.dumps([boundary, arguments]), file=self._requests, flush=True)
        return int(self._answers.readline())


@contextmanager
def killed_commands() -> Iterator[KilledCommands]:
    with subprocess.Popen(
        (sys.executable, "-c", _PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=clean_environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        yield KilledCommands(process.stdin, process.stdout)
        process.stdin.close()
