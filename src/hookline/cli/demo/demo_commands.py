"""Runs the commands of the demo, each as the user would: shown, in a process of its own, and ended with the demo."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from hookline.errors import HooklineError
from hookline.paths import path_exists

MAX_STEP_SECONDS = 120
MAX_START_SECONDS = 20
MAX_END_SECONDS = 10
_POLL_SECONDS = 0.05
# -P: a directory named hookline in the current one is not the program.
_PROGRAM = (sys.executable, "-P", "-m", "hookline")


class DemoCommands:
    """Runs `hookline` with an environment. An interrupt ends the running command before it is raised."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def run(self, *arguments: str, source: Path | None = None, output: Path | None = None, expected: int = 0) -> None:
        """Show a command, run it, and check its exit code.

        Args:
            arguments: the arguments of `hookline`.
            source: its standard input.
            output: the file of its standard output; None is the demo's own.
            expected: its exit code.

        Raises:
            HooklineError: the command ended with another code, or did not end.
        """
        _show(arguments, (f" < {source}" if source else "") + (f" > {output}" if output else ""))
        into = output.open("wb") if output else nullcontext()
        with (source or Path(os.devnull)).open("rb") as stdin, into as stdout:
            process = subprocess.Popen(  # noqa: S603 - hookline itself
                (*_PROGRAM, *arguments), env=self._environment, stdin=stdin, stdout=stdout
            )
            try:
                code = process.wait(timeout=MAX_STEP_SECONDS)
            except subprocess.TimeoutExpired:
                raise HooklineError(
                    f"the demo stopped: `hookline {arguments[0]}` did not end within {MAX_STEP_SECONDS} seconds"
                ) from None
            finally:
                _end(process)
        if code != expected:
            raise HooklineError(f"the demo stopped: `hookline {arguments[0]}` ended with {code}, not {expected}")

    @contextmanager
    def receiver(self, port_file: Path, *arguments: str) -> Iterator[None]:
        """Run the receiver as long as the block does. It is ready when it has written `port_file`."""
        _show(arguments, " &")
        process = subprocess.Popen(  # noqa: S603 - hookline itself
            (*_PROGRAM, *arguments), env=self._environment, stdin=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + MAX_START_SECONDS
            while not path_exists(port_file):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise HooklineError("the demo stopped: the receiver did not start")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            _end(process)
        if process.returncode != 0:
            raise HooklineError(f"the demo stopped: the receiver ended with {process.returncode}")


def free_port(wanted: int) -> int:
    """Returns the wanted port of 127.0.0.1 if nobody listens there, otherwise a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise HooklineError("the demo stopped: no port of 127.0.0.1 is free", hint="end programs that listen there")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may still run.

    Does not use `Popen.wait`: an interrupt in it can leave its lock held, and the next call would wait for ever.
    """
    if _has_ended(process):
        return
    process.terminate()
    deadline = time.monotonic() + MAX_END_SECONDS
    while not _has_ended(process):
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(_POLL_SECONDS)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is None:
        try:
            ended, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # the interrupt came after `Popen.wait` had collected the process
            ended, status = process.pid, 0
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode is not None


def _show(arguments: tuple[str, ...], ending: str) -> None:
    click.echo(f"$ hookline {shlex.join(arguments)}{ending}")
