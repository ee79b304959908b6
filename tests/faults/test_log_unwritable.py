"""A log that cannot be written holds up neither deliveries nor the end of a run, however stderr fails."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders import as_lines, xdm_event
from hookline_process import HOOKLINE, Lab, Receiver, clean_environment
from waiting import wait_until

EVENTS = 400  # with debug lines of 250 bytes, more than a pipe holds


@contextmanager
def stderr_that(fails: str) -> Iterator[int]:
    """A descriptor for stderr that fails: its disk is full, its reader has gone, or nobody reads it.

    A terminal is not read after Ctrl-S. It also shows the progress bar.
    """
    if fails == "stopped terminal":
        reader, descriptor = pty.openpty()
        yield descriptor
        os.close(reader)
    elif fails == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
        yield descriptor
    else:
        reader, descriptor = os.pipe()
        if fails == "reader gone":
            os.close(reader)
        yield descriptor
        if fails != "reader gone":
            os.close(reader)
    os.close(descriptor)


def start(lab: Lab, receiver: Receiver, stderr: int, *arguments: str) -> subprocess.Popen[bytes]:
    options = lab.relay_arguments(receiver, "--log-level", "debug", "--summary", "json", *arguments)
    return subprocess.Popen(
        (*HOOKLINE, *options), cwd=lab.directory, env=clean_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


@pytest.mark.starts_first(9)
@pytest.mark.parametrize("fails", ["full disk", "reader gone", "unread pipe", "stopped terminal"])
def test_a_log_that_fails_holds_up_nothing(lab: Lab, fails: str) -> None:
    """All events are delivered, the exit code is that of the work, and SIGTERM ends a relay that follows its log."""
    with lab.receiver() as receiver, stderr_that(fails) as stderr:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        events = lab.write_events("events", (xdm_event(n, n) for n in range(EVENTS)))
        process = start(lab, receiver, stderr, str(events))
        summary, _ = process.communicate(timeout=120)
        assert (0, EVENTS) == (process.returncode, json.loads(summary)["delivered"])
        more = lab.write_events("more", (xdm_event(n, n) for n in range(EVENTS, 2 * EVENTS)))
        process = start(lab, receiver, stderr, "--follow", str(more))
        wait_until(lambda: len(receiver.records()) == 2 * EVENTS, process=process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert 0 == process.returncode


def test_a_closed_terminal_holds_up_nothing(lab: Lab) -> None:
    """A relay whose terminal is closed while it shows its progress delivers on, counts the lost lines, and stops."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = lab.write_events("events", [xdm_event(0, 0)])
        reader, terminal = pty.openpty()
        process = start(lab, receiver, terminal, "--follow", str(log))
        os.close(terminal)
        wait_until(lambda: len(receiver.records()) == 1, process=process)
        assert os.read(reader, 1)
        os.close(reader)
        with log.open("ab") as more:
            more.write(as_lines(xdm_event(n, n) for n in range(1, 20)))
        wait_until(lambda: len(receiver.records()) == 20, process=process)
        status = lab.directory / ".hookline" / "spool" / "relay.json"
        wait_until(lambda: json.loads(status.read_bytes())["log_lines_lost"] > 0, process=process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert 0 == process.returncode


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(lab: Lab, closed: str) -> None:
    """A relay that starts without standard streams delivers, and prints into none of its own files."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        events = lab.write_events("events", (xdm_event(n, n) for n in range(20)))
        arguments = (*HOOKLINE, *lab.relay_arguments(receiver, "--log-level", "debug", str(events)))
        script = f'exec "$@" {closed}'
        done = subprocess.run(("sh", "-c", script, "sh", *arguments), cwd=lab.directory, env=clean_environment(),
                              check=False, timeout=120)  # fmt: skip
        assert 0 == done.returncode
        assert 20 == len(receiver.records())
    lab.hookline("status")


def test_a_missing_input_is_not_an_empty_one(lab: Lab) -> None:
    """`hookline relay - <&-` has no input to read. It fails with a message, and does not report success."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        arguments = (*HOOKLINE, *lab.relay_arguments(receiver, "-"))
        done = subprocess.run(("sh", "-c", 'exec "$@" <&-', "sh", *arguments), cwd=lab.directory, check=False,
                              env=clean_environment(), timeout=120, capture_output=True)  # fmt: skip
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert b"standard input" in done.stderr


def test_lost_lines_are_counted(lab: Lab) -> None:
    """The status of a relay whose log has no space left gives the number of the lines that are missing in it."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = Path(lab.directory, "log")
        log.write_bytes(b"")
        with stderr_that("full disk") as stderr:
            process = start(lab, receiver, stderr, "--follow", "--listen", "127.0.0.1:0", str(log))
            try:
                status = lab.directory / ".hookline" / "spool" / "relay.json"
                wait_until(lambda: status.exists() and json.loads(status.read_bytes())["log_lines_lost"] > 0)
            finally:
                process.terminate()
                process.communicate(timeout=120)
    assert 0 == process.returncode
