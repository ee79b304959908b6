"""What is applied while a relay runs is what it goes by from then on, also for what is already waiting."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders import as_lines, xdm_event
from hookline_process import ADDRESS, ORGANIZATION, SANDBOX, Lab, Receiver
from waiting import wait_until

GONE = "https://localhost:1/nobody-listens-here"


@contextmanager
def following(lab: Lab, receiver: Receiver) -> Iterator[subprocess.Popen[bytes]]:
    """A relay that follows the file `events`."""
    (lab.directory / "events").touch()
    with lab.running(*lab.relay_arguments(receiver, "--follow", "--log-level", "info", "events")) as relay:
        yield relay


def happens(lab: Lab, *numbers: int) -> None:
    """Further events, each of a message of its own."""
    with (lab.directory / "events").open("ab") as log:
        log.write(as_lines(xdm_event(number, number) for number in numbers))


def accepted(receiver: Receiver, path: str = "/feedback") -> set[int]:
    return {
        int(one["body"]["requestId"].removeprefix("request-"))
        for one in receiver.records()
        if one["status"] < 300 and one["path"] == path
    }


def pending(lab: Lab) -> int:
    listed = json.loads(lab.hookline("list", "--format", "json").stdout)
    return next(int(one["pending"] or 0) for one in listed if one["address"] == ADDRESS)


def stopped(relay: subprocess.Popen[bytes]) -> int:
    relay.send_signal(signal.SIGTERM)
    return relay.wait(timeout=120)


def test_pending_deliveries_go_to_the_new_url(lab: Lab) -> None:
    """An endpoint that moved: what has been waiting for the old one is sent to the new one, without a restart."""
    with lab.receiver() as receiver:
        lab.apply(GONE)
        with following(lab, receiver) as relay:
            happens(lab, *range(20))
            wait_until(lambda: "connection refused" in (lab.directory / "relay.log").read_text())
            lab.apply(f"https://localhost:{receiver.port}/feedback")
            wait_until(lambda: accepted(receiver) == set(range(20)))
            assert 0 == stopped(relay)


def test_a_new_header_is_sent_from_then_on(lab: Lab) -> None:
    """A header parameter that changes is the changed one in the next requests."""
    with lab.receiver() as receiver:
        url = f"https://localhost:{receiver.port}/feedback"
        lab.apply(url, headers={"X-Team": "one"})
        with following(lab, receiver) as relay:
            happens(lab, 1)
            wait_until(lambda: accepted(receiver) == {1})
            lab.apply(url, headers={"X-Team": "two"})
            wait_until(lambda: "webhook changed" in (lab.directory / "relay.log").read_text())
            happens(lab, 2)
            wait_until(lambda: accepted(receiver) == {1, 2})
            assert ["one", "two"] == [one["headers"]["x-team"] for one in receiver.records()]
            assert 0 == stopped(relay)


def test_a_disabled_webhook_keeps_its_events_until_it_is_enabled(lab: Lab) -> None:
    """Disabling holds what comes; enabling lets all of it go. A relay that is stopped meanwhile says 4."""
    with lab.receiver() as receiver:
        url = f"https://localhost:{receiver.port}/feedback"
        lab.apply(url, enabled=False)
        with following(lab, receiver) as relay:
            happens(lab, 1, 2)
            wait_until(lambda: pending(lab) == 2)
            assert 4 == stopped(relay)
        with following(lab, receiver) as relay:
            lab.apply(url)
            wait_until(lambda: accepted(receiver) == {1, 2})
            assert 0 == stopped(relay)


def test_a_deleted_webhooks_events_become_dead_letters_and_come_back_with_it(lab: Lab) -> None:
    """Deleted while events wait: dead letters with that reason. Created again: new events go, and replayed ones."""
    with lab.receiver() as receiver:
        url = f"https://localhost:{receiver.port}/feedback"
        lab.apply(url, sandbox="other")
        lab.apply(GONE)
        with following(lab, receiver) as relay:
            happens(lab, 1, 2, 3)
            wait_until(lambda: pending(lab) == 3)
            path = lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml"
            path.unlink()
            lab.hookline("apply", "--auto-approve")
            wait_until(lambda: len(lab.dead()) == 3)
            assert {"webhook deleted"} == {letter["reason"] for letter in lab.dead()}
            lab.apply(url)
            wait_until(lambda: "serial=4" in (lab.directory / "relay.log").read_text())
            happens(lab, 4)
            wait_until(lambda: accepted(receiver) == {4})
            lab.hookline("dead", "replay", "--all")
            wait_until(lambda: accepted(receiver) == {1, 2, 3, 4})
            assert 0 == stopped(relay)


def test_sighup_reads_secrets_again(lab: Lab) -> None:
    """A header's secret that was replaced is the new one after SIGHUP, and nothing in flight is disturbed."""
    secret = lab.secrets / "team"
    secret.write_text("one")
    address = str(lab.directory / "notify")
    lab.environment["NOTIFY_SOCKET"] = address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, lab.receiver() as receiver:
        manager.bind(address)
        manager.settimeout(120)
        lab.apply(f"https://localhost:{receiver.port}/feedback", headers={"X-Team": {"file": "team"}})
        with following(lab, receiver) as relay:
            happens(lab, 1)
            wait_until(lambda: accepted(receiver) == {1})
            secret.write_text("two")
            relay.send_signal(signal.SIGHUP)
            while b"RELOADING=1" not in manager.recv(4096):
                pass
            while b"READY=1" not in manager.recv(4096):  # the secret has been read
                pass
            wait_until(lambda: "reloading" in (lab.directory / "relay.log").read_text())
            happens(lab, 2)
            wait_until(lambda: accepted(receiver) == {1, 2})
            assert ["one", "two"] == [one["headers"]["x-team"] for one in receiver.records()]
            assert 0 == stopped(relay)


def test_a_state_that_cannot_be_read_for_a_while_changes_nothing(lab: Lab) -> None:
    """The relay goes on by what it knows, says so, and picks the state up when it is there again."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        state = lab.directory / ".hookline" / "state.db"
        with following(lab, receiver) as relay:
            happens(lab, 1)
            wait_until(lambda: accepted(receiver) == {1})
            kept = state.read_bytes()
            state.write_bytes(b"not a database any more")
            wait_until(lambda: "state cannot be read" in (lab.directory / "relay.log").read_text())
            happens(lab, 2)
            wait_until(lambda: accepted(receiver) == {1, 2})
            state.write_bytes(kept)
            lab.apply(f"https://localhost:{receiver.port}/moved")
            wait_until(lambda: "webhook changed" in (lab.directory / "relay.log").read_text())
            happens(lab, 3)
            wait_until(lambda: accepted(receiver, "/moved") == {3})
            assert 0 == stopped(relay)


def test_a_state_that_vanishes_for_a_while_changes_nothing(lab: Lab) -> None:
    """A state that was moved away, or whose volume is not mounted, is not an empty state: no event is skipped."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        state = lab.directory / ".hookline" / "state.db"
        with following(lab, receiver) as relay:
            happens(lab, 1)
            wait_until(lambda: accepted(receiver) == {1})
            state.rename(lab.directory / "elsewhere")
            wait_until(lambda: "the state no longer exists" in (lab.directory / "relay.log").read_text())
            happens(lab, 2)
            wait_until(lambda: accepted(receiver) == {1, 2})
            (lab.directory / "elsewhere").rename(state)
            wait_until(lambda: "state can be read again" in (lab.directory / "relay.log").read_text())
            happens(lab, 3)
            wait_until(lambda: accepted(receiver) == {1, 2, 3})
            assert 0 == stopped(relay)
        assert 1 == (lab.directory / "relay.log").read_text().count("state cannot be read")


def test_what_is_replayed_for_a_deleted_webhook_does_not_wait_for_ever(lab: Lab) -> None:
    """Dead letters of a deleted webhook that an operator replays beside a running relay become dead letters again."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", sandbox="other")
        lab.apply(GONE)
        with following(lab, receiver) as relay:
            happens(lab, 1, 2, 3)
            wait_until(lambda: pending(lab) == 3)
            (lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml").unlink()
            lab.hookline("apply", "--auto-approve")
            wait_until(lambda: len(lab.dead()) == 3)
            lab.hookline("dead", "replay", "--all")
            wait_until(lambda: (lab.directory / "relay.log").read_text().count("dead-lettered") >= 2)
            wait_until(lambda: len(lab.dead()) == 3)
            assert 0 == stopped(relay)


@pytest.mark.parametrize("status", [410])
def test_a_gone_endpoint_stays_so_over_a_restart_until_its_configuration_changes(lab: Lab, status: int) -> None:
    """After 410 not one more request comes, also of a new relay; events become dead letters; a change lets it go."""
    with lab.receiver("--fail", f"{status}:1") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=3)
        asked = len(receiver.records())
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(2, 2)]), code=3)
        assert asked == len(receiver.records())
        assert [f"http {status}"] * 2 == [letter["reason"] for letter in lab.dead()]
        lab.apply(f"https://localhost:{receiver.port}/moved")
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(3, 3)]), code=3)
        assert asked < len(receiver.records())


def test_retry_after_outlives_a_restart(lab: Lab, tmp_path: Path) -> None:
    """An endpoint that asked to be left alone is left alone by the next relay, too."""
    with lab.receiver("--fail", "503:1", "--retry-after", "3600") as receiver:
        lab.apply(
            f"https://localhost:{receiver.port}/feedback",
            delivery={"concurrency": 1, "retry": {"initialDelay": "10ms", "maxDelay": "1h"}},
        )
        lab.relay(receiver, "--max-wait", "1s", "-", stdin=as_lines([xdm_event(1, 1)]), code=4)
        lab.relay(receiver, "--max-wait", "1s", "-", stdin=as_lines([xdm_event(2, 2)]), code=4)
        assert 1 == len(receiver.records())
