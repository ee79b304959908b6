"""`hookline relay --follow` beside everything that happens to logs: each event is accepted once, and in its order."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backports import zstd

from builders import as_lines, xdm_event
from hookline_process import Lab, Receiver, adds_up
from waiting import wait_until

BURST = 60
SECONDS = 120


class Log:
    """A log that events are appended to; two in a row are of one message. `written` counts them."""

    def __init__(self, lab: Lab) -> None:
        self.path = lab.directory / "logs" / "app.log"
        self.path.parent.mkdir()
        self.written = 0

    def burst(self, path: Path | None = None) -> None:
        """Some more events, to the log or to another file that its writer still has open."""
        events = (xdm_event(n, n // 2) for n in range(self.written, self.written + BURST))
        with (path or self.path).open("ab") as file:
            file.write(as_lines(events))
        self.written += BURST

    def make_room(self) -> None:
        """Move what was rotated one place up, as logrotate does, so that the first is free."""
        for number in range(20, 0, -1):
            for packed in ("", ".gz"):
                if (rotated := self.beside(f".{number}{packed}")).exists():
                    rotated.rename(self.beside(f".{number + 1}{packed}"))

    def beside(self, suffix: str) -> Path:
        return self.path.with_name(f"app.log{suffix}")


class Relay:
    """A relay that follows a log, and what its receiver has accepted."""

    def __init__(self, log: Log, receiver: Receiver, process: subprocess.Popen[bytes]) -> None:
        self.log = log
        self.receiver = receiver
        self.process = process

    def has_all(self) -> None:
        """Wait until as many different events were accepted as were written."""
        wait_until(
            lambda: len(set(self.receiver.accepted())) >= self.log.written,
            within_seconds=SECONDS,
            process=self.process,
            detail=lambda: f"{len(set(self.receiver.accepted()))} of {self.log.written}",
        )

    def obeys(self) -> bool:
        """Whether it has got as far as to handle SIGTERM itself (SigCgt in proc(5))."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def stop(self) -> None:
        while not self.obeys():
            assert self.process.poll() is None, "the relay has ended"
            time.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=SECONDS)
        assert 0 == self.process.returncode
        summary = json.loads(out)
        assert adds_up(summary)
        assert 0 == summary["pending"] + summary["duplicates"] + summary["rejected"], summary


@contextmanager
def relay(lab: Lab, log: Log, receiver: Receiver, *names: Path | str) -> Iterator[Relay]:
    """A relay in the background that follows the log, or the names instead; it is stopped at the end."""
    followed = map(str, names or (log.path,))
    arguments = lab.relay_arguments(receiver, "--follow", "--summary", "json", *followed)
    with lab.running(*arguments) as process:
        running = Relay(log, receiver, process)
        yield running
        running.stop()


def each_was_accepted_once_and_in_order(log: Log, receiver: Receiver) -> None:
    """No event is missing, none came twice, and those of a message came as they were written."""
    numbers = [
        int(request["body"]["requestId"].removeprefix("request-"))
        for request in receiver.records()
        if request["status"] < 300
    ]
    assert list(range(log.written)) == sorted(numbers)
    assert all(numbers.index(n) < numbers.index(n + 1) for n in range(0, log.written, 2)), "order by message"


def gzipped(path: Path) -> None:
    """As logrotate has it done: a new file, then the old one goes."""
    shutil.copystat(path, _packed(path, ".gz", gzip.compress))
    path.unlink()


def zstandard(path: Path) -> None:
    shutil.copystat(path, _packed(path, ".zst", zstd.compress))
    path.unlink()


def _packed(path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> Path:
    target = path.with_name(path.name + suffix)
    target.write_bytes(pack(path.read_bytes()))
    return target


# Each hazard: what happens to the log, at once and with events before, in between and after.


def rename(log: Log) -> None:
    """Renamed and made anew; its writer changes over a little later."""
    log.path.rename(log.beside(".1"))
    log.burst(log.beside(".1"))
    log.burst()


def recreate(log: Log) -> None:
    """Removed by its writer, which begins a new one under the same name. What it held was read, or is open."""
    log.path.unlink()
    log.burst()


def copytruncate(log: Log) -> None:
    """Copied, then cut to nothing; by the time anybody looks it may be longer than before."""
    shutil.copy(log.path, log.beside(".1"))
    os.truncate(log.path, 0)
    log.burst()
    log.burst()


def truncate_and_rewrite(log: Log) -> None:
    """Cut to nothing and written anew, to more than what was there."""
    os.truncate(log.path, 0)
    for _ in range(4):
        log.burst()


def inode_reuse(log: Log) -> None:
    """The new file gets the inode of the one that was removed, where the file system gives it away at once."""
    inode = log.path.stat().st_ino
    log.path.unlink()
    for _ in range(100):
        log.path.touch()
        if log.path.stat().st_ino == inode:
            break
        log.path.unlink()
    else:
        log.path.touch()
    for _ in range(4):
        log.burst()


def deleted_while_open(log: Log) -> None:
    """Removed while its writer goes on writing into it."""
    with log.path.open("ab") as file:
        log.path.unlink()
        events = (xdm_event(n, n // 2) for n in range(log.written, log.written + BURST))
        file.write(as_lines(events))
    log.written += BURST


def rotated_to_gz(log: Log) -> None:
    log.path.rename(log.beside(".1"))
    log.burst()
    gzipped(log.beside(".1"))
    log.burst()


def rotated_to_zstd(log: Log) -> None:
    log.path.rename(log.beside("-20261122"))
    log.burst()
    zstandard(log.beside("-20261122"))
    log.burst()


def rotated_twice(log: Log) -> None:
    log.path.rename(log.beside(".2"))
    log.burst()
    log.path.rename(log.beside(".1"))
    log.burst()


KEEPING = [rename, copytruncate, rotated_to_gz, rotated_to_zstd, rotated_twice]
# What destroys lines that nobody has read loses them, whoever follows. What was read before is all there is.
DESTROYING = [recreate, truncate_and_rewrite, inode_reuse]


def name_of(hazard: Callable[[Log], None]) -> str:
    return hazard.__name__


@pytest.mark.parametrize("hazard", [*KEEPING, *DESTROYING, deleted_while_open], ids=name_of)
def test_while_it_runs(lab: Lab, hazard: Callable[[Log], None]) -> None:
    """It happens under the eyes of the relay, which is restarted then, and repeats nothing."""
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = Log(lab)
        log.burst()
        with relay(lab, log, receiver) as running:
            running.has_all()
            if hazard in KEEPING:
                log.burst()  # not read yet
            hazard(log)
            running.has_all()
        log.burst()
        with relay(lab, log, receiver) as running:
            running.has_all()
        each_was_accepted_once_and_in_order(log, receiver)


@pytest.mark.parametrize("hazard", [*KEEPING, *DESTROYING], ids=name_of)
def test_while_it_is_stopped(lab: Lab, hazard: Callable[[Log], None]) -> None:
    """It happens between two runs, with events that the first one has not seen; a third repeats nothing."""
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = Log(lab)
        log.burst()
        with relay(lab, log, receiver) as running:
            running.has_all()
        if hazard in KEEPING:
            log.burst()
        hazard(log)
        for _ in range(2):
            with relay(lab, log, receiver) as running:
                running.has_all()
            log.burst()
        with relay(lab, log, receiver) as running:
            running.has_all()
        each_was_accepted_once_and_in_order(log, receiver)


def test_pattern_with_everything(lab: Lab) -> None:
    """Under a pattern that takes in the rotated and the compressed files, each event comes once all the same."""
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = Log(lab)
        with relay(lab, log, receiver, f"{log.path}*") as running:
            for turn in range(3):
                log.burst()
                running.has_all()
                log.path.rename(log.beside(f"-{turn}"))
                log.burst()
                gzipped(log.beside(f"-{turn}"))
                running.has_all()
        log.burst()
        with relay(lab, log, receiver, f"{log.path}*") as running:
            running.has_all()
        each_was_accepted_once_and_in_order(log, receiver)


def test_killed_while_logs_rotate(lab: Lab) -> None:
    """Killed again and again, with rotation going on: nothing is lost, and only what was in flight comes twice."""
    rng = random.Random(20261122)
    kills = 6
    with lab.receiver("--no-verify-payload") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = Log(lab)
        log.burst()
        with relay(lab, log, receiver) as running:
            running.has_all()  # the past of a log that nobody has begun with is not read
        for _ in range(kills):
            with lab.running(*lab.relay_arguments(receiver, "--follow", str(log.path))) as process:
                for _ in range(3):
                    log.burst()
                    time.sleep(rng.uniform(0, 0.4))
                    log.make_room()
                    rng.choice([rename, copytruncate, rotated_to_gz])(log)
                    time.sleep(rng.uniform(0, 0.4))
                lab.wait_for_progress(process)
                process.kill()
        with relay(lab, log, receiver) as running:
            running.has_all()
        accepted = [request for request in receiver.records() if request["status"] < 300]
    first = list(dict.fromkeys(int(one["body"]["requestId"].removeprefix("request-")) for one in accepted))
    assert list(range(log.written)) == sorted(first)
    assert all(first.index(n) < first.index(n + 1) for n in range(0, log.written, 2)), "order by message"
    repeated = len(accepted) - log.written
    assert repeated <= kills * 2 * 16
