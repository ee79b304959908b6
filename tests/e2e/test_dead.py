"""Dead letters as operators handle them: replayed, exported, imported, and relayed from a file."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jsonschema import Draft202012Validator

from builders import as_lines, xdm_event
from hookline.relay.delivery.response_policy import MAX_REFUSALS_IN_A_ROW
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters
from hookline.schemas import load_schema
from hookline_process import ADDRESS, ORGANIZATION, SANDBOX, Lab, Receiver, clean_environment
from waiting import wait_until

BROKEN = b'{"broken\n'
NO_UTF8 = b'{"broken \xff\n'


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


@contextmanager
def with_dead(lab: Lab, events: int, lines: bytes = b"", **webhook: Any) -> Iterator[Receiver]:
    """So many events refused with 422 and these lines rejected; the endpoint that is yielded accepts again.

    An endpoint that refuses twenty events in a row keeps the others pending, so many events are refused with 410.
    """
    few = events < MAX_REFUSALS_IN_A_ROW
    with lab.receiver("--fail", "422:1" if few else "410:1") as refusing:
        lab.apply(url(refusing), **webhook)
        lab.relay(refusing, "-", stdin=as_lines([xdm_event(n, n) for n in range(events)]) + lines, code=3)
    if not few:
        lab.hookline("retry-now", ADDRESS)
    refusing.record_file.unlink()
    with lab.receiver(port=refusing.port) as healed:
        yield healed


def exported(lab: Lab, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.hookline("dead", "export", *arguments).stdout.splitlines()]


def test_a_replay_is_counted_first_and_remembered_after(lab: Lab) -> None:
    """--dry-run changes nothing; a replayed delivery keeps its id, its attempts and its history."""
    with with_dead(lab, 2) as receiver:
        assert (
            b"Would replay 2 deliveries and 0 rejected lines."
            in lab.hookline("dead", "replay", "--all", "--dry-run").stdout
        )
        before = [letter["id"] for letter in lab.dead()]
        lab.hookline("dead", "replay", before[0][:8])
        assert [before[1]] == [letter["id"] for letter in lab.dead()]
        lab.relay(receiver, "--drain")
        assert [before[0]] == receiver.accepted()
        assert ["3"] == [one["headers"]["hookline-attempt"] for one in receiver.records()]
    with lab.receiver("--fail", "422:1", port=receiver.port) as refusing:
        lab.hookline("dead", "replay", "--all")
        lab.relay(refusing, "--drain", code=3)
    shown = json.loads(lab.hookline("dead", "show", before[1]).stdout)
    assert [(1, "http 422"), (2, "http 422"), (0, "replayed"), (3, "http 422"), (4, "http 422")] == [
        (one["attempt"], one["reason"]) for one in shown["history"]
    ]


def test_a_replay_can_be_spaced_out(lab: Lab) -> None:
    """--rate makes them due one after the other; what a second replay puts back comes after the first one's."""
    with with_dead(lab, 4):
        first, *_ = (letter["id"] for letter in lab.dead())
        lab.hookline("dead", "replay", first, "--rate", "60/h")
        lab.hookline("dead", "replay", "--all", "--rate", "60/h")
        with lab.receiver() as receiver:
            lab.apply(url(receiver))
            summary = lab.relay(receiver, "--drain", "--max-wait", "500ms", code=4)
    assert (1, 3) == (summary["delivered"], summary["pending"])


def test_a_running_relay_reads_rejected_lines_again(lab: Lab) -> None:
    """Once the cause is gone, a replay needs no restart: the line becomes a delivery while the relay runs."""
    payload = {"channel": "email", "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}}}
    payload |= {"imsOrg": ORGANIZATION, "sandbox": {"name": SANDBOX}}
    with lab.receiver() as receiver:
        lab.apply(url(receiver), campaigns=["another"])
        line = json.dumps(payload).encode() + b"\n"
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as relay:
            assert relay.stdin is not None
            relay.stdin.write(line)
            relay.stdin.flush()
            wait_until(lambda: (lab.directory / ".hookline/spool/spool.db").exists() and lab.dead())
            lab.apply(url(receiver), campaigns="all")
            done = lab.hookline("dead", "replay", "line-1")
            assert b"a running relay delivers them within a second" in done.stderr
            wait_until(receiver.accepted)
            relay.communicate(timeout=30)


def test_a_killed_replay_goes_on_with_the_rest(lab: Lab) -> None:
    """Killed in the middle and started again, with a relay beside it: each letter is replayed and sent once."""
    events = 1500
    with with_dead(lab, events, delivery={"concurrency": 16, "retry": {"initialDelay": "1s"}}) as receiver:
        ids = {letter["id"] for letter in exported(lab)}
        relay_arguments = lab.relay_arguments(receiver, "-")
        with lab.running(*relay_arguments, stdin=subprocess.PIPE) as relay:
            script = (
                "import os, signal, sys, time; from pathlib import Path\n"
                "from hookline.relay.spool.admin import Filter\n"
                "from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters\n"
                "def told(count):\n"
                "    if count.total >= 600: os.kill(os.getpid(), signal.SIGKILL)\n"
                "with SqliteDeadLetters(Path(sys.argv[1]), chunk=100) as dead:\n"
                "    dead.replay(Filter(), now=time.time(), on_progress=told)\n"
            )
            spool = str(lab.directory / ".hookline" / "spool")
            killed = subprocess.run(
                (sys.executable, "-c", script, spool), env=clean_environment(), check=False, timeout=60
            )
            assert -signal.SIGKILL == killed.returncode
            done = lab.hookline("dead", "replay", "--all")
            assert f"Replayed {events - 600} deliveries".encode() in done.stdout
            relay.communicate(timeout=60)
            assert 0 == relay.returncode
        accepted = receiver.accepted()
    assert (ids, len(ids)) == (set(accepted), len(accepted))


def test_exported_letters_are_whole_and_described_by_their_schema(lab: Lab) -> None:
    """Deliveries with ids, history and payload, lines as text or base64; twice the same; filters hold."""
    with with_dead(lab, 3, BROKEN + NO_UTF8):
        letters = exported(lab)
        assert letters == exported(lab)
        assert 3 == len(exported(lab, "--http-status", "422"))
        assert 1 == len(exported(lab, letters[0]["id"]))
    validator = Draft202012Validator(load_schema("dead-letter"))
    assert [] == [error.message for letter in letters for error in validator.iter_errors(letter)]
    assert [None, None, None, '{"broken', None] == [letter.get("text") for letter in letters]
    assert "eyJicm9rZW4g/w==" == letters[4]["base64"]
    assert {ADDRESS} == {letter["webhook"] for letter in letters[:3]}
    assert ["http 422", "http 422"] == [one["reason"] for one in letters[0]["history"]]


def test_an_exported_file_belongs_to_its_owner(lab: Lab) -> None:
    """--out writes the file whole, readable for nobody else, and says how many it holds."""
    with with_dead(lab, 1):
        done = lab.hookline("dead", "export", "--out", "letters")
        assert b"Exported 1 delivery and 0 rejected lines." in done.stderr
    assert 0o600 == stat.S_IMODE((lab.directory / "letters").stat().st_mode)
    assert b"cannot be written" in lab.hookline("dead", "export", "--out", "no/where", code=1).stderr


def test_imported_letters_are_dead_letters_under_the_same_ids(lab: Lab) -> None:
    """Into a spool that is made for them, once, and replayed from there with the same webhook-id."""
    with with_dead(lab, 3, BROKEN + NO_UTF8) as receiver:
        lab.hookline("dead", "export", "--out", "letters")
        before = exported(lab)
        lab.environment["HOOKLINE_SPOOL"] = "second"
        said = lab.hookline("dead", "import", "letters").stdout
        assert b"Imported 3 deliveries and 2 rejected lines; 0 already known, 0 refused." in said
        assert (
            b"Imported 0 deliveries and 0 rejected lines; 5 already known"
            in lab.hookline("dead", "import", "-", stdin=(lab.directory / "letters").read_bytes()).stdout
        )
        assert before == exported(lab)
        lab.hookline("dead", "replay", "--webhook", ADDRESS)
        assert {"carried": 3, "delivered": 3}.items() <= lab.relay(receiver, "--drain").items()
        assert {letter["id"] for letter in before[:3]} == set(receiver.accepted())


def test_importing_beside_a_running_relay(lab: Lab) -> None:
    """Letters of a webhook that the spool had never heard of are taken and replayed while the relay reads on."""
    with with_dead(lab, 3) as receiver:
        lab.hookline("dead", "export", "--out", "letters")
        lab.environment["HOOKLINE_SPOOL"] = "second"
        lab.apply(url(receiver), sandbox="other")
        arguments = lab.relay_arguments(receiver, "--sandbox", "other", "-")
        with lab.running(*arguments, stdin=subprocess.PIPE) as relay:
            assert relay.stdin is not None
            relay.stdin.write(as_lines([xdm_event(10, 10)]))
            relay.stdin.flush()
            wait_until(receiver.accepted)
            lab.hookline("dead", "import", "letters")
            relay.stdin.write(as_lines([xdm_event(11, 11)]))
            relay.stdin.flush()
            lab.hookline("dead", "replay", "--all")
            wait_until(lambda: len(receiver.accepted()) >= 5)
            relay.communicate(timeout=30)
            assert 0 == relay.returncode


def test_a_relay_delivers_an_exported_file(lab: Lab) -> None:
    """Under the same ids, to the webhooks that they were for, not those that are known; only by the named format."""
    with with_dead(lab, 2) as receiver:
        lab.hookline("dead", "export", "--out", "letters")
        ids = {letter["id"] for letter in exported(lab)}
        letters = ("--format", "dead-letter", "letters")
        assert {"read": 2, "duplicates": 2}.items() <= lab.relay(receiver, *letters).items()
        lab.environment["HOOKLINE_SPOOL"] = "auto"
        assert {"read": 2, "rejected": 2}.items() <= lab.relay(receiver, "letters", code=3).items()
        lab.environment["HOOKLINE_SPOOL"] = "second"
        elsewhere = ("--organization", "nobody", "--sandbox", "nowhere")
        assert {"read": 2, "delivered": 2}.items() <= lab.relay(receiver, *elsewhere, *letters).items()
        assert ids == set(receiver.accepted())
        lab.environment |= {"HOOKLINE_SPOOL": "third", "HOOKLINE_STATE": "other.db"}
        (lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml").unlink()
        lab.apply(url(receiver), sandbox="other")
        assert {"no_webhook": 2} == lab.relay(receiver, *letters, code=3)["skipped"]


def test_a_relay_reads_an_exported_line_as_what_it_was(lab: Lab) -> None:
    """With the flag that was missing, a rejected event becomes the delivery that it would have been."""
    payload = {"channel": "email", "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}}}
    line = json.dumps({**payload, "imsOrg": ORGANIZATION, "sandbox": {"name": SANDBOX}}).encode() + b"\n"
    with lab.receiver() as receiver:
        lab.apply(url(receiver), campaigns=["c1"])
        lab.relay(receiver, "-", stdin=line + BROKEN, code=3)
        lab.hookline("dead", "export", "--out", "letters")
        lab.environment["HOOKLINE_SPOOL"] = "second"
        summary = lab.relay(receiver, "--campaign", "c1", "--format", "dead-letter", "letters", code=3)
        assert {"read": 2, "delivered": 1, "rejected": 1}.items() <= summary.items()
        expected = lab.hookline("relay", "--campaign", "c1", "--dry-run", "-", stdin=line).stdout.split()[-1]
        assert [expected.decode()] == receiver.accepted()


def test_what_does_not_hold_is_named_and_refused(lab: Lab) -> None:
    """A line that was changed, or is none, is refused alone (3); when nothing can be taken, the exit code is 1."""
    with with_dead(lab, 1):
        (letter,) = exported(lab)
    lines = [
        letter,
        {**letter, "webhook": "evil/prod"},
        {**letter, "id": "0" * 32},
        {**letter, "attempts": -1},
        {**letter, "more": 1},
        {**letter, "payload": {**letter["payload"], "channel": "sms"}},
        {**letter, "payload": None},
    ]
    text = b"".join(json.dumps(one).encode() + b"\n" for one in lines) + b"\xff\n\n[[[\n"
    (lab.directory / "letters").write_bytes(text)
    lab.environment["HOOKLINE_SPOOL"] = "second"
    done = lab.hookline("dead", "import", "letters", code=3)
    assert b"Imported 1 delivery and 0 rejected lines; 0 already known, 8 refused." in done.stdout
    created, *refused = done.stderr.splitlines()
    assert created.startswith(b"Created the spool ")
    assert [2, 3, 4, 5, 6, 7, 8, 10] == [int(line.split(b":")[1]) for line in refused]
    assert b"letters:2: payload.imsOrg: differs from the field beside the payload" in done.stderr
    (lab.directory / "letters").write_bytes(as_lines([xdm_event(1, 1)]))
    assert b"not a dead letter" in lab.hookline("dead", "import", "letters", code=1).stderr


def test_a_missing_file_makes_no_spool(lab: Lab) -> None:
    """Where there is nothing to import, nothing is made for it."""
    assert b"cannot be read" in lab.hookline("dead", "import", "nothing", code=1).stderr
    assert not (lab.directory / ".hookline" / "spool").exists()


def test_a_damaged_spool_is_refused_by_every_command(lab: Lab) -> None:
    """Each says which way out there is (8), or goes on without the spool where it is only mentioned."""
    with with_dead(lab, 40, BROKEN):
        (identity, *_) = (letter["id"] for letter in lab.dead())
    database = lab.directory / ".hookline" / "spool" / "spool.db"
    data = database.read_bytes()
    database.write_bytes(data[:8192] + b"\xa5" * (len(data) - 8192))
    for arguments in (
        ("list",), ("show", identity), ("replay", "--all"), ("replay", "--all", "--dry-run"), ("export",),
        ("discard", "--all", "--yes"),
    ):  # fmt: skip
        assert b"hookline spool recover" in lab.hookline("dead", *arguments, code=8).stderr, arguments
    for command in ("pause", "resume", "retry-now"):
        assert b"hookline spool recover" in lab.hookline(command, ADDRESS, code=8).stderr, command
    assert b"hookline spool recover" in lab.hookline("relay", "--drain", code=8).stderr
    for command in ("list", "plan"):
        assert b"warning: the number of pending deliveries is unknown" in lab.hookline(command).stderr


def test_many_letters_take_bounded_transactions(lab: Lab) -> None:
    """Replaying and discarding go in chunks: each is durable before the next begins."""
    with with_dead(lab, 25):
        seen: list[int] = []
        with SqliteDeadLetters(lab.directory / ".hookline" / "spool", chunk=10) as dead:
            dead.replay(Filter(reason="410"), now=time.time(), on_progress=lambda count: seen.append(count.total))
    assert [10, 20, 25] == seen
