"""Hookline processes that start quickly: forks of one process that has hookline imported.

Loading the modules takes most of the CPU time of a short command, and the tests start hookline thousands of times. A
fork has the directory, the environment, the umask and the streams that it would have as a new process, and its own
process id. The process that forks ends when the process of the tests does.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

_SERVER = """
import gc, json, os, pkgutil, select, signal, socket, sys, time, traceback
from importlib import import_module
import hookline
from hookline.cli import main

for module in pkgutil.walk_packages(hookline.__path__, "hookline."):
    if not module.name.endswith("__main__"):
        import_module(module.name)

def run(job, streams):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    os.chdir(job["directory"])
    os.umask(job["umask"])
    os.environ.clear()
    os.environ.update(job["environment"])
    time.tzset()
    sys.argv = ["hookline", *job["arguments"]]
    try:
        exec(job.get("before", ""), {})
        main.run()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        code = 120  # as Python ends when it cannot write the rest
    os._exit(code)

def receive(connection):
    text, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while not text.endswith(b"\\n"):
        text += connection.recv(1 << 20)
    return json.loads(text), streams

def fork(connection):
    job, streams = receive(connection)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (listener, connection, waking, woken, *children.values()):
            one.detach()  # run() closes the descriptor
        run(job, streams)
    for stream in streams:
        os.close(stream)
    children[child] = connection
    connection.sendall(b"%d\\n" % child)

def reap():
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            break
        with children.pop(child) as connection:
            try:
                connection.sendall(b"%d\\n" % os.waitstatus_to_exitcode(status))
            except OSError:
                pass  # nobody waits for it

children = {}
waking, woken = socket.socketpair()
woken.setblocking(False)
signal.set_wakeup_fd(woken.fileno())
signal.signal(signal.SIGCHLD, lambda number, frame: None)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen(64)
os.rename(sys.argv[1] + ".new", sys.argv[1])
gc.collect()
gc.freeze()
while True:
    ready, _, _ = select.select([listener, sys.stdin, waking], [], [])
    if sys.stdin in ready:
        sys.exit()
    if waking in ready:
        waking.recv(4096)
    if listener in ready:
        fork(listener.accept()[0])
    reap()
"""
_CLIENT = """
import json, os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
umask = os.umask(0)
job = {"directory": os.getcwd(), "environment": dict(os.environ), "arguments": sys.argv[2:], "umask": umask}
socket.send_fds(connection, [json.dumps(job).encode() + b"\\n"], [0, 1, 2])
answers = connection.makefile("rb")
process = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(process, number))
code = int(answers.readline())
os._exit(code if code >= 0 else 128 - code)
"""
# Python reads these once, when it starts.
_READ_AT_START = ("PYTHON", "LC_", "LANG")


class QuickProcess(subprocess.Popen[bytes]):
    """A fork that is used as a process of this one. The process that forks waits for it and sends its exit code."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: Sequence[int | IO[Any] | None],
        before: str,
    ) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self.text_mode, self.encoding, self.errors = False, None, None  # for communicate()
        self._communication_started, self._input = False, None
        self._lock = threading.Lock()
        ends = [_ends(stream, number) for number, stream in enumerate(streams)]
        self.stdin, self.stdout, self.stderr = (ours for ours, _ in ends)
        theirs = [one for _, one in ends]
        umask = os.umask(0)
        os.umask(umask)
        job = {
            "directory": str(cwd), "environment": dict(env), "arguments": list(arguments), "umask": umask,
            "before": before,
        }  # fmt: skip
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(_address()))
        text = json.dumps(job).encode() + b"\n"
        sent = socket.send_fds(self._connection, [text], [number for number, _ in theirs])
        self._connection.sendall(text[sent:])
        for number, is_ours in theirs:
            if is_ours:
                os.close(number)
        self._answers = self._connection.makefile("rb")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
                self.returncode = int(self._answers.readline())
                self._answers.close()
                self._connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            with suppress(OSError, ValueError):  # another thread has seen the end
                if not select.select([self._connection], [], [], left)[0] and timeout is not None:
                    raise subprocess.TimeoutExpired(self.args, timeout)
        return code


def _ends(stream: int | IO[Any] | None, number: int) -> tuple[IO[bytes] | None, tuple[int, bool]]:
    """Our end of a stream, if it is a pipe; and the descriptor for the process, and whether we close it then."""
    if stream == subprocess.PIPE:
        reading, writing = os.pipe()
        if number == 0:
            return os.fdopen(writing, "wb"), (reading, True)
        return os.fdopen(reading, "rb"), (writing, True)
    if stream == subprocess.DEVNULL:
        return None, (os.open(os.devnull, os.O_RDWR), True)
    if stream is None:
        return None, (number, False)
    return None, (stream if isinstance(stream, int) else stream.fileno(), False)


def start_hookline(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.DEVNULL,
    before: str = "",
) -> subprocess.Popen[bytes]:
    """Start hookline; the streams are those of Popen. It is a new process if the environment configures Python.

    `before` is Python code, which runs first: a test plants a fault with it.
    """
    if _settings_of_python(env.items()) == _settings_of_python(os.environ.items()):
        return QuickProcess(arguments, cwd=cwd, env=env, streams=(stdin, stdout, stderr), before=before)
    code = f"{before}\nfrom hookline.cli.main import run\nrun()"
    program = (sys.executable, "-c", code, *arguments)
    return subprocess.Popen(program, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)


def _settings_of_python(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in environment if name.startswith(_READ_AT_START)}


@cache
def quick_hookline() -> Path:
    """A script for a search path, for the shell steps of CI files: it starts a fork and waits for its end."""
    address = _address()
    client, script = address.with_name("client.py"), address.parent / "bin" / "hookline"
    script.parent.mkdir()
    client.write_text(_CLIENT)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client}" "{address}" "$@"\n')
    script.chmod(0o755)
    return script


@cache
def _address() -> Path:
    """The socket of the process that forks. The first call starts it; it ends when its standard input does."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-"))
    address = directory / "socket"
    process = subprocess.Popen((sys.executable, "-P", "-c", _SERVER, str(address)), stdin=subprocess.PIPE)
    atexit.register(_end, process, directory)
    while not address.exists():
        assert process.poll() is None, "the process that forks has ended"
        time.sleep(0.02)
    return address


def _end(process: subprocess.Popen[bytes], directory: Path) -> None:
    process.communicate()
    shutil.rmtree(directory)
