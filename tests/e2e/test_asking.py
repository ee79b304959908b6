"""A relay that is asked how it is: over HTTP, by other commands, by a service manager, on a terminal, in its log."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builders import as_lines, xdm_event
from hookline.schemas import load_schema
from hookline_process import ADDRESS, HOOKLINE, Lab, Receiver, clean_environment
from waiting import wait_until

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


def get(address: str) -> tuple[int, str]:
    """Status and body, whatever the status is."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@contextmanager
def asked(lab: Lab, receiver: Receiver, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A relay that reads a pipe and listens, and where it does."""
    options = lab.relay_arguments(receiver, "--listen", "127.0.0.1:0", *arguments, "-")
    with lab.running(*options, stdin=subprocess.PIPE) as process:
        log = lab.directory / "relay.log"
        found = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()))
        wait_until(lambda: 200 == get(f"{found[0]}/readyz")[0])
        yield found[0], process


def send(process: subprocess.Popen[bytes], *numbers: int) -> None:
    assert process.stdin is not None
    process.stdin.write(as_lines(xdm_event(n, n) for n in numbers))
    process.stdin.flush()


def finish(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(timeout=60)


def metric(page: str, name: str) -> float:
    (line,) = [line for line in page.splitlines() if line.startswith(f"hookline_{name} ")]
    return float(line.rpartition(" ")[2])


def status(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.hookline("status", "--format", "json").stdout)
    assert [] == [error.message for error in Draft202012Validator(load_schema("status")).iter_errors(found)]
    return found


def test_a_running_relay_is_asked_over_http(lab: Lab) -> None:
    """Metrics tell what is pending and how late, the account adds up, health and readiness are 200."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver))
        with asked(lab, receiver) as (address, process):
            send(process, 1, 2, 3)
            pending = f'hookline_pending{{webhook="{ADDRESS}"}}'
            retried = re.compile(rf'hookline_attempts_total{{outcome="retry",webhook="{re.escape(ADDRESS)}"}} \d')
            page = wait_until(
                lambda: (p := get(f"{address}/metrics")[1]) and f"{pending} 3.0" in p and retried.search(p) and p
            )
            assert (3, 3, 0) == tuple(metric(page, name) for name in ("read_total", "unsettled", "delivered_total"))
            age = f'hookline_oldest_undelivered_age_seconds{{webhook="{ADDRESS}"}}'
            assert any(line.startswith(age) and float(line.split()[-1]) >= 0 for line in page.splitlines())
            assert (200, "alive\n") == get(f"{address}/healthz")
            document = json.loads(get(f"{address}/status")[1])
            assert [] == list(Draft202012Validator(load_schema("status")).iter_errors(document))
            assert 3 == document["drain"]["withoutForecast"]
            assert f'hookline_drain_expiring{{webhook="{ADDRESS}"}} 0.0' in page
            assert (3, process.pid) == (document["pending"], int(document["relay"]["holder"].split()[1]))
            assert 404 == get(f"{address}/nothing")[0]


def test_a_port_in_use_is_said_before_anything_is_read(lab: Lab) -> None:
    """Exit 1 with the address, and the events are still there to be read."""
    with lab.receiver() as receiver, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        lab.apply(url(receiver))
        events = str(lab.write_events("events", [xdm_event(1, 1)]))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = lab.hookline(*lab.relay_arguments(receiver, "--listen", address, events), code=1)
        assert f"cannot listen on {address}".encode() in done.stderr
        assert not (lab.directory / ".hookline" / "spool").exists()
        assert 1 == lab.relay(receiver, events)["delivered"]


@pytest.mark.parametrize("wrong", ["9469", ":9469", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "::1:9469"])
def test_an_address_that_is_none(lab: Lab, wrong: str) -> None:
    """Is wrong use, with an example of a right one."""
    done = lab.hookline("relay", "--listen", wrong, code=64)
    assert b"127.0.0.1:9469" in done.stderr


def test_another_address_than_loopback_is_warned_about(lab: Lab) -> None:
    """Metrics and status can then be read by others: the log says so, once."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        done = lab.hookline(*lab.relay_arguments(receiver, "--listen", "0.0.0.0:0", "--drain"))
    assert 1 == done.stderr.decode().count("can read metrics and status")


def test_a_state_that_cannot_be_read_is_not_ready(lab: Lab) -> None:
    """/readyz is 503 and says why, the relay goes on; once the state is there again, so is readiness."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        state = lab.directory / ".hookline" / "state.db"
        kept = state.read_bytes()
        with asked(lab, receiver) as (address, process):
            state.write_bytes(b"no database" * 1000)
            code, text = wait_until(lambda: (answer := get(f"{address}/readyz"))[0] == 503 and answer)
            assert (503, True) == (code, text.startswith("the state cannot be read: "))
            assert 200 == get(f"{address}/healthz")[0]
            assert 1.0 == metric(get(f"{address}/metrics")[1], "state_unreadable")
            send(process, 1)
            wait_until(lambda: len(receiver.accepted()) == 1)
            state.write_bytes(kept)
            wait_until(lambda: get(f"{address}/readyz")[0] == 200)
            assert 0 == finish(process)


def test_status_of_a_running_relay_and_at_rest(lab: Lab) -> None:
    """While it runs, lanes and the process are told; after a kill and after a clean end only what the spool holds."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver))
        beacon = lab.directory / ".hookline" / "spool" / "relay.json"
        with asked(lab, receiver) as (_, process):
            send(process, 1, 2)
            wait_until(
                lambda: (status(lab)["webhooks"] or [{"lane": None}])[0]["lane"] and status(lab)["pending"] == 2
            )
            running = wait_until(lambda: (s := status(lab))["relay"]["says"]["stateSerial"] == 1 and s)
            assert running["relay"]["holder"].startswith(f"process {process.pid} since ")
            assert running["webhooks"][0]["lane"]["phase"] in ("closed", "open", "half_open")
            assert 0o600 == beacon.stat().st_mode & 0o777
            text = lab.hookline("status").stdout.decode()
            assert f"process {process.pid} since " in text
            assert re.search(rf"{re.escape(ADDRESS)} +2 ", text)
            process.kill()
            process.wait()
            assert beacon.exists()
            assert status(lab)["relay"] is None
        assert 4 == lab.hookline(*lab.relay_arguments(receiver, "--drain", "--max-wait", "1s"), code=None).returncode
        assert not beacon.exists()
        rest = status(lab)
        assert (2, None, None) == (rest["pending"], rest["relay"], rest["webhooks"][0]["lane"])
        assert ["-"] == [source["name"] for source in rest["sources"]]


def test_status_and_trace_without_a_spool(lab: Lab) -> None:
    """Exit 8 with the way out."""
    for command in (("status",), ("trace", "R")):
        assert b"start a relay, which creates it" in lab.hookline(*command, code=8).stderr


def test_trace_tells_what_became_of_a_request(lab: Lab) -> None:
    """Delivered, dead and rejected events of a request with each attempt, by request id and by webhook-id."""
    with lab.receiver("--fail", "422:1") as receiver:
        lab.apply(url(receiver))
        lines = as_lines([xdm_event(1, 1)]) + b'{"requestID":"request-1", broken\n'
        lab.relay(receiver, "-", stdin=lines, code=3)
        (request, *_) = receiver.records()
    found = json.loads(lab.hookline("trace", "request-1", "--format", "json").stdout)
    (one,) = found["deliveries"]
    assert {"fate": "dead letter", "attempts": 2, "reason": "http 422", "source": "-", "line": 1,
            "webhook": ADDRESS, "channel": "email", "status": "sent"}.items() <= one.items()  # fmt: skip
    assert [(1, 422), (2, 422)] == [(failed["attempt"], failed["httpStatus"]) for failed in one["failures"]]
    assert [("line-1", 2)] == [(line["id"], line["line"]) for line in found["rejected"]]
    by_id = lab.hookline("trace", request["headers"]["webhook-id"][:10]).stdout.decode()
    assert "request request-1" in by_id
    assert "attempt 2" in by_id
    assert b"user1@example.com" not in lab.hookline("trace", "request-1").stdout
    assert b"user1@example.com" in lab.hookline("trace", "request-1", "--payload").stdout
    missing = lab.hookline("trace", "request-2", code=1)
    assert b"were skipped" in missing.stderr


def test_trace_says_what_a_pending_event_waits_for(lab: Lab) -> None:
    """At rest: no relay; while one runs: the gate of the endpoint, or the earlier event of the message."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver), delivery={"retry": {"initialDelay": "30s", "maxDelay": "60s", "maxAge": "1h"}})
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(as_lines([xdm_event(1, 1), xdm_event(2, 1, "delivered")]))
            process.stdin.flush()

            def waits(request: str) -> str:
                done = lab.hookline("trace", request, "--format", "json", code=None)
                found = json.loads(done.stdout)["deliveries"] if done.returncode == 0 else []
                return found[0]["waits"] or "" if found else ""

            wait_until(lambda: re.search("next attempt is at|is open until|one event at a time", waits("request-1")))
            first = json.loads(lab.hookline("trace", "request-1", "--format", "json").stdout)["deliveries"][0]["id"]
            assert f"it waits for the earlier event {first} of its message" == waits("request-2")
        assert "no relay is running on this spool" == waits("request-1")


def test_no_log_line_names_a_recipient_or_a_secret(lab: Lab) -> None:
    """At debug level, with refusals, rejected lines and a missing key: no address, payload, token or secret."""
    lab.environment["HOOKLINE_SECRET_KEY"] = "k-123-very-secret"
    (lab.secrets / "hmac").write_text("0123456789abcdef0123456789abcdef")
    log = lab.directory / "all.log"
    with lab.receiver("--fail", "422:0.3", "--fail", "503:0.3") as receiver:
        for secret in ("hmac", "nowhere"):
            key = {"id": "k1", "secret": {"file": secret}}
            lab.apply(
                url(receiver), headers={"X-Api-Key": {"env": "HOOKLINE_SECRET_KEY"}},
                authentication={"type": "jwt", "algorithm": "HS256", "keys": [key], "audience": "feedback"},
            )  # fmt: skip
            lines = as_lines(xdm_event(n, n, "bounce", reason=f"550 user{n}@example.com") for n in range(40))
            broken = b'{"to":"user77@example.com", broken\n' + as_lines([{"to": "user78@example.com"}])
            options = lab.relay_arguments(
                receiver, "-", "--log-level", "debug", "--log-format", "json", "--max-wait", "2s",
                "--dedupe-window", "0",
            )  # fmt: skip
            done = lab.hookline(*options, stdin=lines + broken, code=None)
            with log.open("ab") as file:
                file.write(done.stderr)
    text = log.read_text()
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {"attempt", "endpoint", "rejected", "local fault"} <= {one["event"] for one in events}
    assert {"delivered", "retry", "confirm_once", "pause_endpoint"} <= {
        one["outcome"] for one in events if one["event"] == "attempt"
    }
    for forbidden in ("example.com", "k-123-very-secret", "0123456789abcdef", "Bearer", "eyJ", "identityMap"):
        assert forbidden not in text


def test_a_local_fault_is_one_warning(lab: Lab) -> None:
    """A missing key fails sixteen attempts at once. The log has one warning, with the reason."""
    with lab.receiver() as receiver:
        lab.apply(
            url(receiver),
            authentication={
                "type": "jwt",
                "algorithm": "HS256",
                "keys": [{"id": "k1", "secret": {"file": "nowhere"}}],
            },
        )
        options = lab.relay_arguments(receiver, "-", "--log-level", "info", "--max-wait", "1s")
        done = lab.hookline(*options, stdin=as_lines(xdm_event(n, n) for n in range(100)), code=4)
    lines = done.stderr.decode().splitlines()
    (warning,) = [line for line in lines if " warning local fault " in line]
    assert "nowhere" in warning
    assert 1 == sum(" info attempt " in line for line in lines)


# -- on a terminal


def on_a_terminal(lab: Lab, *arguments: str, stdin: bytes = b"", width: int = 60) -> tuple[int, str]:
    """The exit code, and everything that a terminal of that width was sent as standard error."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = clean_environment(**lab.environment, TERM="xterm-256color", COLUMNS="", LINES="")
    environment = {name: value for name, value in environment.items() if value}
    process = subprocess.Popen((*HOOKLINE, *arguments), cwd=lab.directory, env=environment, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=theirs)  # fmt: skip
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other side is gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return process.wait(timeout=60), shown.decode(errors="replace")


def test_a_progress_bar_leaves_log_lines_alone(lab: Lab) -> None:
    """On a narrow terminal every log line comes out whole, above a bar that counts and is gone at the end."""
    with lab.receiver("--fail", "503:0.4") as receiver:
        lab.apply(url(receiver))
        events = str(lab.write_events("events", (xdm_event(n, n) for n in range(200))))
        options = lab.relay_arguments(receiver, events, "--log-level", "debug", "--log-format", "json")
        code, shown = on_a_terminal(lab, *options)
    assert 0 == code
    plain = _CONTROL.sub("", shown.replace("\r\n", "\n")).replace("\r", "\n")
    lines = [json.loads(line) for line in plain.splitlines() if line.startswith("{")]
    attempts = [line for line in lines if line["event"] == "attempt"]
    assert 200 == sum(line["outcome"] == "delivered" for line in attempts)
    assert plain.count('"event"') == len(lines)
    assert "delivered" in plain
    assert "pending" in plain
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_draining_shows_what_is_left(lab: Lab) -> None:
    """Without input the bar goes by what was pending at first, and says how old the oldest is."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver))
        port = receiver.port
        lab.relay(receiver, "-", "--max-wait", "1s", stdin=as_lines(xdm_event(n, n) for n in range(300)), code=4)
    with lab.receiver("--delay", "40ms", port=port) as receiver:  # slow enough for the bar to be drawn
        code, shown = on_a_terminal(lab, *lab.relay_arguments(receiver, "--drain"), width=120)
    plain = _CONTROL.sub("", shown)
    assert 0 == code
    assert "settled" in plain
    assert re.search(r"\d+ pending, oldest \d+ s", plain)


# -- a service manager


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(30)
        self.told: list[str] = []

    def wait_for(self, beginning: str) -> str:
        """The next message that begins like that."""
        while True:
            message = self.socket.recv(10_000).decode()
            self.told.append(message)
            if message.startswith(beginning):
                return message

    def wait_for_silence(self) -> None:
        """Until a second has passed without a message: five times as long as between two signs of life."""
        self.socket.settimeout(1.0)
        with suppress(TimeoutError):
            for _ in range(1000):
                self.socket.recv(10_000)
            pytest.fail("it is never silent")
        self.socket.settimeout(30)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.socket.close()


def test_a_service_manager_is_told(lab: Lab, manager: Manager) -> None:
    """READY once the state is read, signs of life, a status line, RELOADING and READY again, then STOPPING."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver))
        lab.environment |= {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as process:
            manager.wait_for("READY=1")
            send(process, 1, 2, 3)
            while "STATUS=3 pending, oldest " not in manager.wait_for("STATUS="):
                pass
            for _ in range(3):
                manager.wait_for("WATCHDOG=1")
            manager.told.clear()
            process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.wait_for("RELOADING=1"))
            manager.wait_for("READY=1")
            process.send_signal(signal.SIGTERM)
            manager.wait_for("STOPPING=1")
            process.wait(timeout=60)


def test_a_relay_that_hangs_is_silent(lab: Lab, manager: Manager) -> None:
    """While its spool's thread is stuck in a write, the watchdog hears nothing; afterwards it does again."""
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver))
        lab.environment |= {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as process:
            manager.wait_for("READY=1")
            keep = (
                "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                "c.execute('BEGIN IMMEDIATE')\nprint('kept', flush=True)\nsys.stdin.read()"
            )
            path = lab.directory / ".hookline" / "spool" / "spool.db"
            with subprocess.Popen((sys.executable, "-c", keep, str(path)), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) as keeper:  # fmt: skip
                assert keeper.stdout is not None
                assert b"kept\n" == keeper.stdout.readline()
                send(process, 1)
                time.sleep(1.0)
                manager.wait_for_silence()
                keeper.communicate()
            manager.wait_for("WATCHDOG=1")


def test_followed_input_in_which_nothing_is_recognized_is_reported(lab: Lab) -> None:
    """A warning and a metric, until the first event arrives. Bytes that begin no line are in a metric, too."""
    log = lab.directory / "app.log"
    log.write_bytes(b"".join(b"container runtime line %d\n" % n for n in range(1100)))
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        with asked(lab, receiver, "--follow", str(log)) as (address, process):
            wait_until(lambda: 1 == metric(get(f"{address}/metrics")[1], "input_unrecognized"))
            with log.open("ab") as file:
                file.write(b"\0" * 7 + as_lines([xdm_event(1, 1)]))
            wait_until(lambda: 0 == metric(get(f"{address}/metrics")[1], "input_unrecognized"))
            assert 7 == metric(get(f"{address}/metrics")[1], "input_stray_bytes_total")
            process.terminate()
            assert 0 == process.wait(timeout=60)
    assert 1 == (lab.directory / "relay.log").read_text().count("no line is recognized so far, check --format")
