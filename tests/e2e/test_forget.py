"""`hookline forget` beside a running relay."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from builders import as_lines, xdm_event
from hookline_process import ADDRESS, Lab, Receiver
from waiting import wait_until

FORGOTTEN = "user1@example.com"
LOG = "events.ndjson"
COUNTED = "1  pending deliveries: counted as dead, with the reason forgotten"


def holding(lab: Lab, receiver: Receiver) -> tuple[str, ...]:
    """The arguments of a relay that follows a log with an event of the recipient and one of another."""
    lab.write_events(LOG, [xdm_event(1, 1), xdm_event(2, 2)])
    return lab.relay_arguments(receiver, "--follow", "--summary", "json", LOG)


def wait_for_pending(lab: Lab, relay: subprocess.Popen[bytes]) -> None:
    """Wait until both events are in the spool."""

    def pending() -> int:
        status: dict[str, Any] = json.loads(lab.hookline("status", "--format", "json", code=None).stdout or b"{}")
        return int(status.get("pending", 0))

    wait_until(lambda: 2 == pending(), process=relay)


def summary_after_successors(lab: Lab, receiver: Receiver, relay: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for the other recipient's event and for one that is added, and end the relay."""
    wait_until(receiver.accepted, process=relay)
    with Path(lab.directory, LOG).open("ab") as log:
        log.write(as_lines([xdm_event(3, 3)]))
    wait_until(lambda: 2 == len(receiver.accepted()), process=relay)
    relay.send_signal(signal.SIGTERM)
    output, _ = relay.communicate(timeout=30)
    assert ["request-2", "request-3"] == [one["body"]["requestId"] for one in receiver.records()]
    summary: dict[str, Any] = json.loads(output)
    return summary


def test_a_paused_webhook_never_gets_what_is_forgotten(lab: Lab) -> None:
    """The forgotten delivery counts as dead. The others are delivered when the webhook is resumed."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"concurrency": 1})
        lab.hookline("pause", ADDRESS)
        with lab.running(*holding(lab, receiver)) as relay:
            wait_for_pending(lab, relay)
            removed = lab.hookline("forget", FORGOTTEN, "--yes").stdout.decode()
            assert COUNTED in removed
            assert "A relay runs." in removed
            assert "0 of them were in flight" in removed
            lab.hookline("resume", ADDRESS)
            summary = summary_after_successors(lab, receiver, relay)
    assert {"read": 3, "delivered": 2, "dead": 1, "pending": 0}.items() <= summary.items()


def test_a_failing_endpoint_never_gets_what_is_forgotten(lab: Lab) -> None:
    """It fails while the relay retries the delivery. After the removal, the relay only tries the others."""
    retry = {"initialDelay": "20ms", "maxDelay": "500ms", "maxAge": "1h"}
    with lab.receiver("--fail", "503:1") as failing:
        lab.apply(f"https://localhost:{failing.port}/feedback", delivery={"concurrency": 1, "retry": retry})
        with lab.running(*holding(lab, failing)) as relay:
            wait_for_pending(lab, relay)
            wait_until(failing.records, process=relay)
            assert COUNTED in lab.hookline("forget", FORGOTTEN, "--yes").stdout.decode()
            failing.end()
            failing.record_file.unlink()
            with lab.receiver(port=failing.port) as healed:
                lab.hookline("retry-now", ADDRESS)
                summary = summary_after_successors(lab, healed, relay)
    assert {"read": 3, "delivered": 2, "dead": 1, "pending": 0}.items() <= summary.items()
