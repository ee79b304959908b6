"""`pause`, `resume` and `retry-now` as operators use them: beside a running relay, and while none runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builders import as_lines, xdm_event
from hookline_process import ADDRESS, Lab, Receiver
from waiting import wait_until


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


@contextmanager
def fed(lab: Lab, receiver: Receiver) -> Iterator[Callable[[int], None]]:
    """A relay that reads a pipe; what is yielded writes the event of a number into it."""
    with lab.running(*lab.relay_arguments(receiver, "--log-level", "info", "-"), stdin=subprocess.PIPE) as relay:
        assert relay.stdin is not None
        pipe = relay.stdin

        def feed(number: int) -> None:
            pipe.write(as_lines([xdm_event(number, number)]))
            pipe.flush()

        yield feed
        pipe.close()
        relay.wait(timeout=30)


def logged(lab: Lab, text: str) -> bool:
    return text in (lab.directory / "relay.log").read_text()


def pending(lab: Lab) -> int:
    status = json.loads(lab.hookline("status", "--format", "json").stdout)
    return int(status["pending"])


def waits(lab: Lab, number: int) -> bool:
    """Whether the delivery of the event waits for its next attempt."""
    done = lab.hookline("trace", f"request-{number}", "--format", "json", code=None)
    found = json.loads(done.stdout)["deliveries"] if done.returncode == 0 else []
    return bool(found) and "next attempt is at" in (found[0]["waits"] or "")


def test_a_paused_webhook_gets_nothing_until_it_is_resumed(lab: Lab) -> None:
    """Beside a running relay: pausing holds new events back, resuming sends them, without a restart."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        with fed(lab, receiver) as feed:
            feed(1)
            # The relay records an accepted delivery a moment after the answer.
            wait_until(lambda: len(receiver.accepted()) == 1 and not pending(lab))
            said = lab.hookline("pause", ADDRESS).stdout.decode()
            assert f"{ADDRESS} is paused: 0 pending deliveries" in said
            wait_until(lambda: logged(lab, f"paused webhook={ADDRESS}"))
            feed(2)
            wait_until(lambda: b"1 pending delivery" in lab.hookline("pause", ADDRESS).stdout)
            assert 1 == len(receiver.records())
            assert f"{ADDRESS} is resumed: 1 pending delivery;" in lab.hookline("resume", ADDRESS).stdout.decode()
            wait_until(lambda: len(receiver.accepted()) == 2)
    assert b"was not paused: 0 pending deliveries; nothing changed" in lab.hookline("resume", ADDRESS).stdout


def test_a_pause_is_kept_for_the_next_relay(lab: Lab) -> None:
    """Said before any relay has run, it holds from the first event on, does not hold up a finite run (4), and
    outlives the relay."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        lab.hookline("pause", ADDRESS)
        assert 1 == lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=4)["pending"]
        assert 1 == lab.relay(receiver, "--drain", code=4)["pending"]
        assert [] == receiver.records()
        assert b"was already paused" in lab.hookline("pause", ADDRESS).stdout
        lab.hookline("resume", ADDRESS)
        assert 1 == lab.relay(receiver, "--drain")["delivered"]


def test_retry_now_does_not_wait_for_the_schedule(lab: Lab) -> None:
    """An endpoint that is back is tried at once, though its next attempt was an hour away."""
    hourly = {"retry": {"initialDelay": "1h", "maxDelay": "1h", "maxAge": "72h"}}
    with lab.receiver("--fail", "503:1") as receiver:
        lab.apply(url(receiver), delivery=hourly)
        events = as_lines([xdm_event(n, n) for n in range(3)])
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as relay:
            assert relay.stdin is not None
            relay.stdin.write(events)
            relay.stdin.flush()
            # The relay records a refused attempt a moment after the answer.
            wait_until(lambda: all(waits(lab, n) for n in range(3)))
            receiver.end()
            with lab.receiver(port=receiver.port) as healed:
                said = lab.hookline("retry-now", ADDRESS).stdout.decode()
                assert f"{ADDRESS}: 3 retries are due now" in said
                wait_until(lambda: len(set(healed.accepted())) == 3)
                relay.communicate(timeout=30)
    assert 0 == relay.returncode


def test_retry_now_tries_again_after_a_410(lab: Lab) -> None:
    """A stopped endpoint stays stopped over a restart; after `retry-now` new and replayed events are sent."""
    with lab.receiver("--fail", "410:1") as receiver:
        lab.apply(url(receiver))
        assert 1 == lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=3)["dead"]
        tried = len(receiver.records())
    with lab.receiver(port=receiver.port) as healed:
        assert 1 == lab.relay(healed, "-", stdin=as_lines([xdm_event(2, 2)]), code=3)["dead"]
        assert tried == len(healed.records())
        done = lab.hookline("retry-now", ADDRESS)
        assert b"2 dead letters remain: hookline dead replay --webhook " in done.stderr
        lab.hookline("dead", "replay", "--webhook", ADDRESS)
        assert 3 == lab.relay(healed, "-", stdin=as_lines([xdm_event(3, 3)]))["delivered"]


def test_a_misspelt_webhook_is_named_with_the_nearest(lab: Lab) -> None:
    """What neither the spool nor the state knows is an error, and no spool is made for it."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        for command in ("pause", "resume", "retry-now"):
            done = lab.hookline(command, f"{ADDRESS}x", code=1)
            assert f"did you mean {ADDRESS}?".encode() in done.stderr
        assert b"not an address" in lab.hookline("pause", "prod", code=64).stderr
        assert not (lab.directory / ".hookline" / "spool").exists()


def test_a_webhook_of_the_spool_needs_no_state(lab: Lab) -> None:
    """Holding an endpoint works while the state cannot be reached, and says what else keeps it from sending."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver), enabled=False)
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=4)
    lab.environment["HOOKLINE_STATE"] = "nowhere.db"
    assert b"1 pending delivery" in lab.hookline("pause", ADDRESS).stdout
    assert b"it is paused, so the relay sends nothing yet" in lab.hookline("retry-now", ADDRESS).stderr
    assert b"it is also disabled" in lab.hookline("resume", ADDRESS).stderr


def test_a_created_spool_is_reported(lab: Lab) -> None:
    """The command that creates the spool reports its path; the next one, and a relay on it, report nothing."""
    lab.apply("https://hooks.acme.example/feedback")
    created = f"Created the spool {lab.directory / '.hookline/spool'}: no spool existed there."
    assert created in lab.hookline("pause", ADDRESS).stderr.decode()
    assert b"Created" not in lab.hookline("pause", ADDRESS).stderr
    assert b"spool created" not in lab.hookline("relay", "--drain").stderr
    first = lab.hookline("relay", "--drain", "--spool", "other").stderr.decode()
    assert f" info spool created spool={lab.directory / 'other'}\n" in first
