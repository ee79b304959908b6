"""A real PgBouncer in transaction mode, before a PostgreSQL server of the tests.

Consecutive transactions of a client run in different sessions of the server, so anything that a session keeps would
be lost or seen by another client. The program is Debian's package `pgbouncer`, which .ci/run installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from postgres_server import NOBODY, Server

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
MISSING: Final = "the tests of a shared spool through PgBouncer, which is not installed (apt-get install pgbouncer)"
# Two sessions for all clients: each transaction gets the one that is free. `server_reset_query` has no effect in
# transaction mode unless it is forced; it stays off, as by default.
_CONFIGURATION: Final = """
[databases]
* = host={server} port=5432
[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
unix_socket_mode = 0777
listen_port = 6432
auth_type = trust
auth_file = {directory}/users
admin_users = pooler
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
logfile = {directory}/log
"""


class Pooler:
    """A PgBouncer on a Unix socket. `url` is the address of a database through it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def url(self, database: str, user: str = "postgres", more: str = "") -> str:
        return f"postgresql://{user}@{quote(str(self._directory), safe='')}:6432/{database}{more}"

    def transactions(self, database: str) -> int:
        """The number of transactions that went through the pooler."""
        with psycopg.connect(self.url("pgbouncer", "pooler"), autocommit=True) as console:
            rows = psycopg.ClientCursor(console).execute("SHOW STATS_TOTALS").fetchall()
        return sum(row[1] for row in rows if row[0] == database)


@contextmanager
def running_pooler(server: Server) -> Iterator[Pooler]:
    """A pooler before the server."""
    assert PROGRAM is not None
    directory = Path(tempfile.mkdtemp(prefix="hl-pb-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(directory, NOBODY, NOBODY)
    directory.chmod(0o755)
    (directory / "users").write_text('"postgres" ""\n"pooler" ""\n')
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(_CONFIGURATION.format(server=server.directory, directory=directory))
    process = subprocess.Popen([PROGRAM, "-q", configuration], cwd=directory, **user)
    pooler = Pooler(directory)
    try:
        deadline = time.monotonic() + 30
        while not (directory / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield pooler
    finally:
        process.terminate()
        process.wait(timeout=120)
        shutil.rmtree(directory, ignore_errors=True)
