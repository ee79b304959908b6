"""Notifications of a service manager, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from hookline.relay.clock import monotonic_microseconds
from hookline.relay.service_manager import keep_alive, notify, reloading, status_message
from hookline.settings import watchdog_seconds

pytestmark = pytest.mark.anyio


async def test_one_datagram(tmp_path: Path) -> None:
    """A state arrives unchanged, at a path and at an abstract address. Without an address none is sent."""
    name = f"@hookline-test-{os.getpid()}"
    for address, bound in ((str(tmp_path / "s"), str(tmp_path / "s")), (name, "\0" + name[1:])):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            notify(address, "READY=1")
            assert b"READY=1" == manager.recv(100)
    notify(None, "READY=1")
    notify(str(tmp_path / "nobody"), "READY=1")


async def test_a_manager_that_does_not_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the manager's queue is full, the message is dropped after a moment."""
    monkeypatch.setattr("hookline.relay.service_manager._SEND_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "s"))
        for _ in range(50):
            notify(str(tmp_path / "s"), "STATUS=" + "x" * 8000)
        assert manager.recv(10_000).startswith(b"STATUS=")


async def test_reloading_has_the_time() -> None:
    """RELOADING has the time of the monotonic clock in microseconds, as sd_notify(3) requires."""
    before = time.monotonic_ns() // 1000
    first, second = reloading(monotonic_microseconds()).split("\n")
    assert "RELOADING=1" == first
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


async def test_the_status_line() -> None:
    """The line has the backlog, its age, and the reason for which the relay is not ready."""
    assert "STATUS=214 pending, oldest 3 s" == status_message(214, 3.2, None)
    assert "STATUS=0 pending" == status_message(0, None, None)
    assert "STATUS=the disk is full (1,000 pending)" == status_message(1000, None, "the disk is full")


async def test_alive_only_while_everything_answers() -> None:
    """While the spool's thread does not respond, no sign of life is sent. The next one follows its response."""
    sent: list[str] = []
    answering = asyncio.Event()
    answering.set()

    async def answers() -> None:
        await answering.wait()

    task = asyncio.create_task(keep_alive(sent.append, answers, 0.001))
    async with asyncio.timeout(20):
        while len(sent) < 3:
            await asyncio.sleep(0.001)
        answering.clear()
        await asyncio.sleep(0.02)
        silent = len(sent)
        await asyncio.sleep(0.1)
        assert silent == len(sent)
        answering.set()
        while len(sent) == silent:
            await asyncio.sleep(0.001)
    task.cancel()
    assert {"WATCHDOG=1"} == set(sent)


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        (None, None, None),
        ("30000000", None, 30.0),
        ("30000000", "own", 30.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
    ],
)
async def test_watchdog_interval(
    usec: str | None, pid: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval from the environment applies if it is meant for this process (sd_watchdog_enabled(3))."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert seconds == watchdog_seconds()
