"""What the relay can be given to read, as its users give it: directories, patterns, pipes, archives."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from builders import as_lines, xdm_event
from hookline_process import Lab, Receiver, adds_up
from waiting import wait_until

SECONDS = 60


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


def events(first: int, last: int) -> bytes:
    return as_lines(xdm_event(n, n) for n in range(first, last))


def stopped(relay: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The summary of a relay that is asked to stop."""
    relay.send_signal(signal.SIGTERM)
    out, _ = relay.communicate(timeout=SECONDS)
    summary: dict[str, Any] = json.loads(out)
    assert adds_up(summary)
    return summary


def follow(receiver: Receiver, lab: Lab, *names: Path) -> tuple[str, ...]:
    return lab.relay_arguments(receiver, "--follow", "--summary", "json", *map(str, names))


def test_everything_is_followed_at_once(lab: Lab) -> None:
    """A directory, a pattern, a named pipe and a file that comes later; archives among them are read as they are."""
    logs, other, fifo, later = (lab.directory / name for name in ("logs", "other", "fifo", "later.ndjson"))
    logs.mkdir()
    other.mkdir()
    os.mkfifo(fifo)
    (logs / "a.ndjson").write_bytes(events(0, 10))
    (logs / "b.ndjson.gz").write_bytes(gzip.compress(events(10, 20)))
    (other / "c.ndjson.zst").write_bytes(zstd.compress(events(20, 30)))
    (other / "ignored").write_bytes(events(500, 600))
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        with lab.running(*follow(receiver, lab, logs, other / "*.ndjson*", fifo, later)) as relay:
            wait_until(lambda: len(receiver.accepted()) == 30)
            fifo.write_bytes(events(30, 40))
            (logs / "d.ndjson").write_bytes(events(40, 50))
            (other / "e.ndjson").write_bytes(events(50, 60))
            later.write_bytes(events(60, 70))
            wait_until(lambda: len(receiver.accepted()) == 70)
            summary = stopped(relay)
            assert 0 == relay.returncode
        numbers = {int(one["body"]["requestId"].removeprefix("request-")) for one in receiver.records()}
    assert (70, 70, 0) == (summary["read"], summary["delivered"], summary["duplicates"])
    assert set(range(70)) == numbers
    assert f"file does not exist yet, waiting for it source={later}" in (lab.directory / "relay.log").read_text()


def test_stopped_with_deliveries_pending(lab: Lab) -> None:
    """4 says that there is something left; the next run goes on with it."""
    log = lab.directory / "log"
    log.write_bytes(events(0, 5))
    with lab.receiver("--fail", "503:1", "--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        with lab.running(*follow(receiver, lab, log)) as relay:
            wait_until(lambda: len(receiver.records()) >= 5)
            summary = stopped(relay)
            assert 4 == relay.returncode
    assert (5, 5) == (summary["read"], summary["pending"])


def test_rejected_lines_name_their_file(lab: Lab) -> None:
    """While several files are followed, a dead letter says which of them it is from, and in which line."""
    one, two = lab.directory / "one", lab.directory / "two"
    one.write_bytes(events(0, 3) + b"broken\n")
    two.write_bytes(b"broken too\n")
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        with lab.running(*follow(receiver, lab, one, two)) as relay:
            wait_until(lambda: len(receiver.accepted()) == 3)  # there is a spool
            wait_until(lambda: len(lab.dead()) == 2)
            stopped(relay)
            assert 0 == relay.returncode
    assert {(str(one), 4), (str(two), 1)} == {(letter["source"], letter["line"]) for letter in lab.dead()}


def test_archives_are_read_and_damage_is_told(lab: Lab) -> None:
    """What is whole of a cut-off archive is delivered, the rest is named (exit code 3), and the next one is read."""
    packed = gzip.compress(events(0, 400))
    broken, sound = lab.directory / "broken.gz", lab.directory / "sound.gz"
    broken.write_bytes(packed[: len(packed) // 2])
    sound.write_bytes(gzip.compress(events(400, 410)))
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        options = lab.relay_arguments(receiver, "--summary", "json", str(broken), str(sound))
        done = lab.hookline(*options, code=3)
        summary = json.loads(done.stdout)
        assert 0 == lab.relay(receiver, str(broken), str(sound), code=3)["read"]
    assert 20 < summary["delivered"] < 400
    assert f"compressed file is damaged, its intact part was read source={broken}".encode() in done.stderr
    assert b'reason="it ends too early"' in done.stderr


def test_pipe_waits_for_a_full_spool(lab: Lab) -> None:
    """With room for few deliveries the producer waits, and nothing of what it writes is dropped; it may be gzip."""
    with lab.receiver("--no-verify-payload", "--delay", "2ms") as receiver:
        lab.apply(url(receiver))
        summary = lab.relay(receiver, "--spool-max", "100", "-", stdin=gzip.compress(events(0, 2000)))
        assert 2000 == len(set(receiver.accepted()))
    assert (2000, 2000, 0) == (summary["read"], summary["delivered"], summary["pending"])


def test_redirected_file_is_followed(lab: Lab) -> None:
    """Standard input that is a file grows like one, and has its checkpoint."""
    log = lab.directory / "log"
    log.write_bytes(events(0, 10))
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        with (
            log.open("rb") as stdin,
            lab.running(*follow(receiver, lab, Path("-")), stdin=stdin.fileno()) as relay,
        ):
            wait_until(lambda: len(receiver.accepted()) == 10)
            with log.open("ab") as file:
                file.write(events(10, 20))
            wait_until(lambda: len(receiver.accepted()) == 20)
            stopped(relay)
            assert 0 == relay.returncode
        assert 0 == lab.relay(receiver, str(log))["read"]


def test_following_a_pipe_ends_with_it(lab: Lab) -> None:
    """There is nothing to wait for when the producer is gone."""
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        assert 10 == lab.relay(receiver, "--follow", "-", stdin=events(0, 10))["delivered"]


@pytest.mark.parametrize("other", ["--drain", "--dry-run"])
def test_following_has_no_end(lab: Lab, other: str) -> None:
    """What comes to an end cannot be combined with what does not."""
    done = lab.hookline("relay", "--follow", other, code=64)
    assert b"--follow reads without an end" in done.stderr


def test_rest_of_a_file_is_named_with_its_reason(lab: Lab) -> None:
    """An incomplete line is named in each run, and no run claims that the file was read to its end."""
    half = lab.directory / "half.ndjson"
    half.write_bytes(events(0, 2)[:-40])
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(url(receiver))
        for _ in range(2):
            done = lab.hookline(*lab.relay_arguments(receiver, str(half)), code=3)
            assert b"bytes after its last line end not read: no complete line" in done.stderr
            assert b"an earlier run has read" not in done.stderr
        half.write_bytes(gzip.compress(events(2, 4)) + b"garbage")
        done = lab.hookline(*lab.relay_arguments(receiver, str(half)), code=3)
    assert b"a part was not read, because the file is damaged" in done.stderr
    assert b"no complete line" not in done.stderr


def test_links_below_needs_a_name(lab: Lab) -> None:
    """An empty name, as of a variable that is not set, would admit the working directory, which can be /."""
    done = lab.hookline("relay", "--links-below", "", ".", code=64)
    assert b"the name is empty" in done.stderr


def test_formats_test_reads_a_file_as_the_relay_does(lab: Lab) -> None:
    """A complete last line needs no line end. A rest that is not read ends the command with 3."""
    log = lab.directory / "mail.log"
    line = "Nov 28 10:00:0{} mx postfix/smtp[1]: 4ABC{}: to=<a@example.com>, relay=x, dsn=2.0.0, status=sent (ok)"
    log.write_text("\n".join(line.format(n, n) for n in range(2)))
    done = lab.hookline("formats", "test", "--organization", "A@AdobeOrg", "--sandbox", "prod", str(log))
    assert b"relayed     delivered 2" in done.stdout
    log.write_bytes(gzip.compress(events(2, 4)) + b"garbage")
    done = lab.hookline("formats", "test", str(log), code=3)
    assert b"no line end" not in done.stderr
    assert b"compressed file is damaged" in done.stderr


def test_half_a_line_of_a_mail_log_is_not_lost(lab: Lab) -> None:
    """Its beginning is a line of a known program without an event. The next run reads all of it."""
    log = lab.directory / "mail.log"
    line = b"Nov 28 10:00:00 mx postfix/smtp[1]: 4ABC: to=<a@example.com>, relay=x, dsn=2.0.0, status=sent (ok)\n"
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        log.write_bytes(line[:-30])
        assert 0 == lab.relay(receiver, "--format", "postfix", str(log), code=3)["read"]
        log.write_bytes(line)
        summary = lab.relay(receiver, "--format", "postfix", str(log))
    assert (1, 1) == (summary["read"], summary["delivered"])
