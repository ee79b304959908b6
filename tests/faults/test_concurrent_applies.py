"""Twenty applies at once, on each store: who wins is in the state, and whoever loses is told to whom."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.state.factory import open_state
from hookline.state.history_chain import find_breaks
from hookline_process import clean_environment
from postgres_server import new_state
from quick_hookline import start_hookline

MANY = 20

# Stops `hookline apply` between reading and committing until a line comes in: so that all have read the same.
WAIT = """
import sys
from hookline.state.{module} import {store} as store

commit, waited = store.commit, []
def waiting(*arguments):
    if not waited:
        waited.append(True)
        print("READY", file=sys.stderr, flush=True)
        sys.stdin.readline()
    return commit(*arguments)
store.commit = waiting
"""
STORES = {"sqlite": ("sqlite_store", "SqliteStore"), "postgresql": ("postgres_store", "PostgresStore")}
Start = Callable[[int, list[str]], "subprocess.Popen[bytes]"]


@pytest.fixture(params=STORES)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a state that is not there yet."""
    return new_state() if request.param == "postgresql" else str(tmp_path / "state.db")


@pytest.fixture
def start(state: str, tmp_path: Path) -> Start:
    """Starts an apply, of one webhook in a directory of its own, by a user of its own."""
    module, store = STORES["postgresql" if "://" in state else "sqlite"]

    def started(number: int, options: list[str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        where = ("--state", state, "--config", str(tmp_path / f"webhooks{number}"))
        return start_hookline(
            "apply", "--auto-approve", *where, *options, cwd=tmp_path,
            env=clean_environment(GITHUB_ACTOR=f"user{number}"), stdin=pipe, stdout=pipe, stderr=pipe,
            before=WAIT.format(module=module, store=store),
        )  # fmt: skip

    return started


def write(directory: Path, number: int, sandbox: str) -> None:
    path = directory / f"webhooks{number}" / "webhook.yaml"
    path.parent.mkdir()
    document = {"version": 1, "organization": "acme", "sandbox": sandbox, "name": f"by user{number}",
                "channels": ["email"], "url": "https://hooks.acme.example/", "campaigns": "all"}  # fmt: skip
    path.write_text(json.dumps(document))


def run_all(start: Start, options: list[str]) -> list[tuple[int, str]]:
    """Exit code and messages of every apply; they are let go only when all are about to commit."""
    running = [start(number, options) for number in range(MANY)]
    for process in running:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(line == b"READY\n" for line in lines)
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    ended = []
    for process in running:
        _, messages = process.communicate(timeout=120)
        ended.append((process.returncode, messages.decode()))
    return ended


@pytest.mark.parametrize(
    ("stored", "sandbox", "wait"),
    [(False, "prod", "60s"), (True, "prod", "0s"), (True, "s{number}", "60s")],
    ids=["first apply", "one webhook, no waiting", "a webhook each"],
)
def test_twenty_at_once(state: str, start: Start, tmp_path: Path, *, stored: bool, sandbox: str, wait: str) -> None:
    """Of twenty that planned on the same state one wins; each loser exits 7 or 8, changes nothing, and names it."""
    serial = 0
    if stored:
        write(tmp_path, 99, "prod")
        first = start(99, [])
        assert b"serial 1" in first.communicate(b"\n", timeout=60)[0]
        serial = 1
    for number in range(MANY):
        write(tmp_path, number, sandbox.format(number=number))

    ended = run_all(start, ["--lock-timeout", wait])

    winners = [number for number, (code, _) in enumerate(ended) if code == 0]
    store = open_state(state)
    found, history = store.read(), store.history()
    assert 1 == len(winners), ended
    assert {f"by user{winners[0]}"} == {one.webhook.name for one in found.webhooks.values()}
    assert (serial + 1, f"user{winners[0]}") == (found.serial, history[-1].entry.who)
    assert [] == list(find_breaks(str(found.lineage), found.serial, history))
    for code, messages in ended:
        assert code in ((0, 7) if wait == "60s" else (0, 7, 8)), messages
        if code == 7:
            assert f"user{winners[0]} " in messages
        if code == 8:
            named = f"hookline \\(user{winners[0]}\\)" if "://" in state else "by (another )?process"
            assert re.search(rf"is locked.*({named})", messages), messages
