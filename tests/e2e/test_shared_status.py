"""Two relays share a spool, and every command names both, and what each owns."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

import pytest
from click.testing import CliRunner

from builders import as_lines, xdm_event
from hookline.cli.commands.list import list_command
from hookline.cli.commands.status import status_command
from hookline.cli.commands.trace import trace_command
from hookline_process import ADDRESS, Lab, Receiver
from shared_spool import SharedSpoolDatabase
from waiting import wait_until


class Two:
    """Two relays on a spool with short leases, whose webhook receives nothing: its endpoint refuses."""

    def __init__(self, lab: Lab, receiver: Receiver) -> None:
        self.database = SharedSpoolDatabase(lease_seconds=2.0)
        self.lab, self.receiver = lab, receiver

    @contextmanager
    def relay(self) -> Iterator[subprocess.Popen[bytes]]:
        options = ("-", "--spool", self.database.url(), "--listen", "127.0.0.1:0")
        with self.lab.running(*self.lab.relay_arguments(self.receiver, *options), stdin=subprocess.PIPE) as process:
            yield process

    def status(self) -> dict[str, Any]:
        done = CliRunner().invoke(status_command, ["--spool", self.database.url(), "--format", "json"])
        document: dict[str, Any] = json.loads(done.output)
        return document

    def shares(self) -> list[int]:
        return [len(one["slots"]) for one in self.status()["processes"]]

    def owner(self) -> str | None:
        (webhook,) = self.status()["webhooks"]
        return str(webhook["owner"]) if webhook["owner"] and webhook["lane"] else None

    def urls(self) -> list[str]:
        return re.findall(r"url=(\S+)", (self.lab.directory / "relay.log").read_text())


@pytest.fixture
def two(lab: Lab) -> Iterator[Two]:
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        yield Two(lab, receiver)


def write(stream: IO[bytes] | None) -> None:
    assert stream is not None
    stream.write(as_lines(xdm_event(n, n) for n in range(5)))
    stream.flush()


def test_every_command_names_the_owner(two: Two) -> None:
    """`status`, `list`, `trace` and the metrics of any process name the owner of a webhook, which has its lane. When
    it is killed, they name the other one."""
    with two.relay() as first, two.relay() as second:
        wait_until(lambda: two.shares() == [32, 32], process=first)
        write(first.stdin)
        wait_until(lambda: two.status()["pending"] == 5 and two.owner() is not None, process=second)
        owner = two.owner()
        assert owner is not None
        killed, left = (first, second) if owner.endswith(f"/{first.pid}") else (second, first)
        assert owner.endswith(f"/{killed.pid}")
        assert {f"{killed.pid}", f"{left.pid}"} == {str(one["pid"]) for one in two.status()["processes"]}
        show(two, owner)
        killed.kill()
        wait_until(lambda: (two.owner() or "").endswith(f"/{left.pid}"), process=left)
        wait_until(lambda: two.shares() == [64], process=left)
        wait_until(lambda: has_all(two.status()), process=left)  # a process counts its deliveries every few seconds


def has_all(status: dict[str, Any]) -> bool:
    """Whether one process is left, with all slots and deliveries."""
    (process,) = status["processes"]
    found = (process["pending"], status["pending"], process["gone"], status["slots"]["unowned"])
    return found == (5, 5, False, [])


def show(two: Two, owner: str) -> None:
    """Each command and each page names the owner."""
    spool = ["--spool", two.database.url()]
    state = ["--state", str(two.lab.directory / ".hookline" / "state.db")]
    listed = CliRunner().invoke(list_command, [*spool, *state]).output.splitlines()
    assert listed[0].endswith("OWNER")
    assert listed[1].endswith(owner)
    wait_until(partial(shows_status, spool, owner))  # each process publishes its own status
    traced = CliRunner().invoke(trace_command, ["request-0", *spool]).output
    assert re.search("in flight|circuit breaker|probes|next attempt", traced)
    expected = {
        f'hookline_process_pending{{process="{owner}"}} 5.0',
        'hookline_waiting_by_reason{reason="not_applied"} 0.0',
        'hookline_processes{kind="relay"} 2.0',
    }
    for url in two.urls():  # a page counts the spool every few seconds
        wait_until(partial(shows, url, expected))
        assert 2 == sum(line.startswith("hookline_process_slots{") for line in metrics(url))


def shows_status(spool: list[str], owner: str) -> bool:
    lines = CliRunner().invoke(status_command, spool).output.splitlines()
    return any(line.startswith(ADDRESS) and line.endswith(owner) for line in lines) and 2 == sum(
        line.startswith("relay ") and "ready" in line for line in lines
    )


def shows(url: str, expected: set[str]) -> bool:
    return expected <= set(metrics(url))


def metrics(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/metrics") as page:
        text: str = page.read().decode()
    return text.splitlines()
