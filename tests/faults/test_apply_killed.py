"""`kill -9` at any step of an apply leaves the old state or the new one, and nothing that stops the next apply."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Runs applies in forks of itself, each killed one step later than the one before: a step is an SQL statement, or a
# call that makes, syncs, links or removes a file. Ends with the first that was not killed.
KILLER = """
import json, os, shutil, signal, sqlite3, sys
from hookline.cli.main import main
import hookline.cli.apply
from hookline.state.opening import open_state

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

def watch():
    connect = sqlite3.connect
    def traced(*arguments, **named):
        connection = connect(*arguments, **named)
        connection.set_trace_callback(step)
        return connection
    sqlite3.connect = traced
    for name in ("open", "fsync", "link", "unlink", "mkdir"):
        setattr(os, name, stepping(getattr(os, name)))

def apply(steps):
    global left
    child = os.fork()
    if child == 0:
        left = steps
        watch()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(["apply", "--auto-approve"]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

outcomes = []
for steps in range(1000):
    shutil.rmtree(".hookline", ignore_errors=True)
    if os.path.exists("before"):
        shutil.copytree("before", ".hookline")
    code = apply(steps)
    found = open_state(".hookline/state.db").read()
    names = {str(address): stored.webhook.name for address, stored in found.webhooks.items()}
    again = apply(1000)
    outcomes.append({"code": code, "serial": found.serial, "names": names, "again": again})
    if code == 0:
        break
json.dump(outcomes, sys.stdout)
"""


def write(name: str, sandbox: str = "prod") -> None:
    Path("webhooks").mkdir(exist_ok=True)
    Path(f"webhooks/{sandbox}.yaml").write_text(
        f"version: 1\norganization: acme\nsandbox: {sandbox}\nname: {name}\nchannels: [email]\n"
        f"url: https://hooks.acme.example/\ncampaigns: all\n"
    )


def killed_at_every_step() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", KILLER], capture_output=True, text=True, check=True)
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("stored", [False, True], ids=["first apply", "later apply"])
def test_killed_at_every_step(stored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever step apply dies, all of its changes are there or none, and the next apply goes through."""
    monkeypatch.chdir(tmp_path)
    old: tuple[int, dict[str, str]] = (0, {})
    if stored:
        write("Old")
        write("Gone", "stage")
        command = "from hookline.cli.main import run; run()"
        subprocess.run([sys.executable, "-c", command, "apply", "--auto-approve"], check=True, capture_output=True)
        Path(".hookline").rename("before")
        Path("webhooks/stage.yaml").unlink()
        old = (1, {"acme/prod": "Old", "acme/stage": "Gone"})
    write("New")
    write("Added", "dev")
    new = (old[0] + 1, {"acme/dev": "Added", "acme/prod": "New"})

    *killed, finished = killed_at_every_step()

    assert (0, *new) == (finished["code"], finished["serial"], finished["names"])
    assert {-9} == {outcome["code"] for outcome in killed}
    assert len(killed) > 10
    states = [(outcome["serial"], outcome["names"]) for outcome in killed]
    assert old == states[0]
    assert all(state in (old, new) for state in states)
    assert {0} == {outcome["again"] for outcome in [*killed, finished]}
