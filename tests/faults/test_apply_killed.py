"""`kill -9` at any step of an apply leaves the old state or the new one, and nothing that stops the next apply."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hookline_process import clean_environment, run_process
from postgres_server import shared_server

# Runs applies in forks of itself, each killed some steps later than the one before, and at every one of the last
# steps. Ends with one that is not killed. `watch` makes the steps, `renew` puts the state of before in place for one
# run and gives its address.
KILLER = """
import json, os, shutil, signal, sys
from hookline.cli.main import main
import hookline.cli.commands.apply
from hookline.state.history_chain import find_breaks
from hookline.state.factory import open_state

left = 0
def step(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def stepping(function):
    def stepped(*arguments, **named):
        step()
        return function(*arguments, **named)
    return stepped

%s

def apply(steps, state, report=None):
    global left
    child = os.fork()
    if child == 0:
        left = steps
        watch()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        # The server of a process that was killed needs a moment to notice.
        code = main(["apply", "--auto-approve", "--state", state, "--lock-timeout", "20s"])
        if report is not None:
            os.write(report, str(left).encode())
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def holds(state):
    store = open_state(state)
    found = store.read()
    return found.lineage is None or not list(find_breaks(found.lineage, found.serial, store.history()))

def steps_of_all():
    # The number of steps of an apply that is not killed.
    reading, writing = os.pipe()
    apply(1000, renew(0), writing)
    os.close(writing)
    return 1000 - int(os.read(reading, 100))

stride, last = map(int, sys.argv[1:])
end = steps_of_all()
outcomes = []
for steps in sorted({*range(0, end, stride), *range(max(end - last, 0), end), 1000}):
    state = renew(steps)
    code = apply(steps, state)
    found = open_state(state).read()
    names = {str(address): stored.webhook.name for address, stored in found.webhooks.items()}
    chain = holds(state)
    again = apply(1000, state)
    chain = chain and holds(state)
    outcomes.append({"code": code, "serial": found.serial, "names": names, "chain": chain, "again": again})
    if code == 0:
        break
json.dump(outcomes, sys.stdout)
"""

# A step is an SQL statement, or a call that makes, syncs, links or removes a file.
SQLITE = """
import sqlite3

def watch():
    connect = sqlite3.connect
    def traced(*arguments, **named):
        connection = connect(*arguments, **named)
        connection.set_trace_callback(step)
        return connection
    sqlite3.connect = traced
    for name in ("open", "fsync", "link", "unlink", "mkdir"):
        setattr(os, name, stepping(getattr(os, name)))

def renew(steps):
    shutil.rmtree(".hookline", ignore_errors=True)
    if os.path.exists("before"):
        shutil.copytree("before", ".hookline")
    return ".hookline/state.db"
"""

# A step is a connection, or an SQL statement before it is sent, when its answer has come and, where it is one without
# values, when it is on its way and nobody waits for the answer.
POSTGRESQL = """
import psycopg

def watch():
    execute, psycopg.connect = psycopg.Connection.execute, stepping(psycopg.connect)
    def stepped(connection, query, params=None, **named):
        global left
        step()
        if params is None:
            left -= 1
            if left < 0:
                connection.pgconn.send_query(query.encode())
                connection.pgconn.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        cursor = execute(connection, query, params, **named)
        step()
        return cursor
    psycopg.Connection.execute = stepped

def renew(steps):
    state = os.environ["STATE"]
    with psycopg.connect(state, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'before'").fetchone():
            connection.execute("DROP SCHEMA IF EXISTS hookline CASCADE")
            return state
        connection.execute("TRUNCATE hookline.states CASCADE")
        for table in ("states", "webhooks", "history"):
            connection.execute(f"INSERT INTO hookline.{table} TABLE before.{table}")
    return state
"""


# The steps around the commit, which all runs have.
LAST = 6


def write(name: str, sandbox: str = "prod") -> None:
    Path("webhooks").mkdir(exist_ok=True)
    Path(f"webhooks/{sandbox}.yaml").write_text(
        f"version: 1\norganization: acme\nsandbox: {sandbox}\nname: {name}\nchannels: [email]\n"
        f"url: https://hooks.acme.example/\ncampaigns: all\n"
    )


def killed_at(stride: int, store: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    script = KILLER % (SQLITE if store == "sqlite" else POSTGRESQL)
    done = subprocess.run(
        [sys.executable, "-c", script, str(stride), str(LAST)], capture_output=True, text=True, check=True,
        env=clean_environment(**environment),
    )  # fmt: skip
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@pytest.mark.parametrize("stored", [False, True], ids=["first apply", "later apply"])
def test_killed_at_every_step(
    store: str, stored: bool, stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever step apply dies, all of its changes are there or none, the chain holds, the next apply goes on."""
    monkeypatch.chdir(tmp_path)
    state, environment = ".hookline/state.db", {}
    database = shared_server().new_database() if store == "postgresql" else ""
    if database:
        state = shared_server().url(database)
        environment = {"STATE": state}
    old: tuple[int, dict[str, str]] = (0, {})
    if stored:
        write("Old")
        write("Gone", "stage")
        applied = run_process(
            None, "apply", "--auto-approve", "--state", state, cwd=tmp_path, env=clean_environment()
        )
        assert 0 == applied.returncode
        if database:
            copies = [
                f"CREATE TABLE before.{one} AS TABLE hookline.{one}" for one in ("states", "webhooks", "history")
            ]
            shared_server().execute(database, "CREATE SCHEMA before", *copies)
        else:
            Path(".hookline").rename("before")
        Path("webhooks/stage.yaml").unlink()
        old = (1, {"acme/prod": "Old", "acme/stage": "Gone"})
    write("New")
    write("Added", "dev")
    new = (old[0] + 1, {"acme/dev": "Added", "acme/prod": "New"})

    *killed, finished = killed_at(stride, store, environment)

    assert (0, *new) == (finished["code"], finished["serial"], finished["names"])
    assert {-9} == {outcome["code"] for outcome in killed}
    assert len(killed) > 10
    states = [(outcome["serial"], outcome["names"]) for outcome in killed]
    assert old == states[0]
    assert all(state in (old, new) for state in states)
    assert {True} == {outcome["chain"] for outcome in [*killed, finished]}
    assert {0} == {outcome["again"] for outcome in [*killed, finished]}
    if store == "postgresql":
        # The last steps come after COMMIT was carried out, before the process could say so.
        assert new == states[-1]
