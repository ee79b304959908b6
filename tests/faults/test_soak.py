"""Kills without end: the relay is killed at random moments while its log rotates and its endpoint misbehaves.

Whatever happens, no event is lost, those of a message are first accepted in their order, each duplicate has a reason,
and every summary adds up. A short form runs with the other tests; `make soak` runs the long one and shows how it
comes along.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from threading import Thread
from typing import Any, Final

import pytest

from faulty_endpoint import Endpoint, running
from hookline.relay.delivery.lane import max_unwritten
from hookline_process import LOOPBACK, ORGANIZATION, SANDBOX, Lab, adds_up
from soak_run import Audit, RotatingLog, line_of

CONCURRENCY: Final = 16
AT_A_KILL: Final = CONCURRENCY + max_unwritten(CONCURRENCY)  # on the wire, and answered and not yet written
TIMEOUT: Final = 3  # seconds: longer than a busy machine lets a good answer wait
LONGEST_LIFE: Final = 8.0  # seconds; a life that has its share of events accepted ends before
SHARES: Final = {
    "accept-reset": 0.004, "accept-hang": 0.001, "accept-truncate": 0.004, "accept-cut-body": 0.005, "busy": 0.001,
    "busy-until": 0.001, "error": 0.03, "reset": 0.005, "hang": 0.001, "truncate": 0.005,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How many events and kills, and the most seconds that it may take."""

    events: int
    kills: int
    patience: float
    seed: int = 20261122


SIZES = [
    pytest.param(Size(events=10_000, kills=15, patience=300), id="short"),
    pytest.param(Size(events=110_000, kills=110, patience=1800), id="long", marks=pytest.mark.soak),
]


@dataclass(frozen=True, slots=True)
class Moment:
    """Is over when `target` events are accepted in all, or when `latest` (of the monotonic clock) has passed."""

    audit: Audit
    target: int
    latest: float

    @property
    def over(self) -> bool:
        return time.monotonic() > self.latest or self.audit.accepted() >= self.target


@dataclass(slots=True)
class Run:
    """One run: its laboratory, its chance, and what has happened so far."""

    lab: Lab
    size: Size
    endpoint: Endpoint
    random: Random
    audit: Audit
    begin: float
    lives: int = 0
    killed: list[int] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def life(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
        """A relay with a number of its own, which it sends with every request."""
        assert self.seconds < self.size.patience, f"not within {self.size.patience} s: {self}\n{self.log()}"
        self.lives += 1
        self.lab.environment["HOOKLINE_SECRET_LIFE"] = str(self.lives)
        options = ("--summary", "json", "--log-level", "warning", "--ca-file", str(self.endpoint.ca_file))
        where = ("--organization", ORGANIZATION, "--sandbox", SANDBOX)
        with self.lab.running("relay", *where, *LOOPBACK, *options, *arguments, stdin=stdin) as relay:
            yield relay
        self.show()

    def moment(self) -> Moment:
        """When the next life is to end: mostly when some more events are accepted, sometimes soon after its start."""
        accepted, share = self.audit.accepted(), self.size.events // self.size.kills
        target = min(self.size.events, accepted + int(share * self.random.uniform(0.1, 2.2)))
        longest = self.random.uniform(0.2, 1.5) if self.random.random() < 0.3 else LONGEST_LIFE
        return Moment(self.audit, target, time.monotonic() + longest)

    def end_of_life(self, relay: subprocess.Popen[bytes]) -> None:
        """Mostly a kill; sometimes the relay is asked to stop, and then its summary must add up."""
        assert relay.poll() is None, self.log()
        if self.random.random() < 0.85:
            if self.audit.accepted() < self.size.events:
                self.lab.wait_for_progress(relay)
            relay.kill()
            relay.wait()
            self.killed.append(self.lives)
        else:
            self.stop(relay)

    def stop(self, relay: subprocess.Popen[bytes]) -> None:
        """It commits before it goes, so no duplicate is explained by this. Asked before it listens to signals, it
        ends without a summary, and without having sent anything."""
        relay.terminate()
        code = relay.wait(timeout=120)
        if code == -signal.SIGTERM:
            assert not self.audit.has_heard_of(self.lives)
        else:
            assert code in (0, 4, 130), self.log()
            self.summarize(relay)

    def summarize(self, relay: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert relay.stdout is not None
        summary: dict[str, Any] = json.loads(relay.stdout.read())
        assert adds_up(summary), summary
        self.summaries.append(summary)
        return summary

    def wait_for(self, what: Callable[[], bool]) -> None:
        while not what():
            assert self.seconds < self.size.patience, f"not within {self.size.patience} s: {self}\n{self.log()}"
            time.sleep(0.2)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def log(self) -> str:
        return (self.lab.directory / "relay.log").read_text()[-4_000:]

    def __str__(self) -> str:
        done = f"all of the first {self.audit.first_missing()} events accepted"
        return f"seed {self.size.seed}, {self.seconds:4.0f} s: {len(self.killed)} kills in {self.lives} lives, {done}"

    def show(self) -> None:
        if self.lives % 10 == 0:
            sys.stderr.write(f"{self}\n")

    def judge(self) -> None:
        """Drain what a lost answer has left behind, then look at the whole of it."""
        with self.life("--drain") as relay:
            assert 0 == relay.wait(timeout=300), self.log()
            assert 0 == self.summarize(relay)["pending"]
        assert set() == self.audit.missing(self.size.events), "lost"
        assert self.size.events == self.audit.identities()
        assert [] == self.audit.bodies_changed()
        assert [] == self.audit.out_of_order()
        assert [] == self.lab.dead()
        duplicates = self.audit.duplicates(killed=self.killed, timeout=TIMEOUT)
        sys.stderr.write(f"{self}, {len(self.summaries)} summaries add up; {duplicates}\n")
        assert () == duplicates.unexplained
        assert {} == {life: times for life, times in duplicates.by_kill.items() if times > AT_A_KILL}
        assert len(self.killed) >= self.size.kills


@contextmanager
def soak(lab: Lab, size: Size) -> Iterator[Run]:
    options = ["--seed", str(size.seed)]
    for manner, share in SHARES.items():
        options += ["--share", f"{manner}:{share}"]
    with running(lab.directory / "endpoint", *options) as endpoint:
        lab.apply(
            f"https://localhost:{endpoint.port}/feedback",
            headers={"X-Life": {"env": "HOOKLINE_SECRET_LIFE"}},
            delivery={
                "concurrency": CONCURRENCY, "timeout": f"{TIMEOUT}s",
                "retry": {"initialDelay": "10ms", "maxDelay": "200ms", "maxAge": "24h"},
            },
        )  # fmt: skip
        yield Run(lab, size, endpoint, Random(size.seed), Audit(endpoint.ledger), time.monotonic())


def handle(run: Run, log: RotatingLog, moment: Moment) -> None:
    """Write events into the log, in bursts, and rotate it until the moment comes; a relay may be running or not."""
    goal = min(run.size.events, moment.target + run.random.randrange(1_000))
    while True:
        burst = min(goal - log.written, run.random.randrange(1, 400)) if goal > log.written else 0
        match run.random.randrange(8) if burst else None:
            case None:
                pass  # what is written is enough for this life
            case 0:
                log.rename(late=burst)
            case 1:
                log.write(burst)
                log.compress()
            case 2 if run.audit.first_missing() == log.written:
                log.copy_and_truncate()
                log.write(burst)
            case 3 if run.audit.first_missing() == log.written:
                log.forget()
                log.write(burst)
            case _:
                log.write(burst)
        if moment.over:
            break
        time.sleep(run.random.uniform(0, 0.1))


@pytest.mark.starts_first(35)
@pytest.mark.parametrize("size", SIZES)
def test_killed_while_the_log_rotates(lab: Lab, size: Size) -> None:
    """A followed log is renamed, compressed, copied and truncated, while the relay lives and while it is dead."""
    with soak(lab, size) as run:
        log = RotatingLog(lab.directory / "log" / "events.log", run.random)
        log.write(1)
        log.complete()
        with run.life("--follow", str(log.path)) as relay:  # until it has seen the log, it knows of no earlier files
            run.wait_for(lambda: run.audit.first_missing() == log.written)
            run.end_of_life(relay)
        while len(run.killed) < size.kills or log.written < size.events:
            with run.life("--follow", str(log.path)) as relay:
                handle(run, log, run.moment())
                run.end_of_life(relay)
            if run.random.random() < 0.3:
                handle(run, log, Moment(run.audit, log.written + 500, latest=0.0))
        log.close()
        with run.life("--follow", str(log.path)) as relay:
            run.wait_for(lambda: relay.poll() is not None or run.audit.first_missing() == size.events)
            run.stop(relay)
        run.judge()


def produce(relay: subprocess.Popen[bytes], first: int, end: int, *, then_close: bool) -> Thread:
    """Write events into a relay's standard input, as long as it takes them."""

    def write() -> None:
        assert relay.stdin is not None
        with suppress(OSError):
            for start in range(first, end, 50):
                relay.stdin.write(b"".join(map(line_of, range(start, min(end, start + 50)))))
            relay.stdin.flush()
            if then_close:
                relay.stdin.close()

    thread = Thread(target=write)
    thread.start()
    return thread


@pytest.mark.starts_first(40)
@pytest.mark.parametrize("size", SIZES)
def test_killed_while_reading_a_pipe(lab: Lab, size: Size) -> None:
    """The producer begins again where it is safe, and now and then at its very start: that sends nothing twice."""
    with soak(lab, size) as run:
        while len(run.killed) < size.kills or run.audit.first_missing() < size.events:
            with run.life("-", stdin=subprocess.PIPE) as relay:
                moment = run.moment()
                first = 0 if run.random.random() < 0.05 else run.audit.first_missing()
                end = min(size.events, moment.target + run.random.randrange(1_000))
                producer = produce(relay, first, end, then_close=False)
                while not moment.over:
                    time.sleep(run.random.uniform(0, 0.05))
                run.end_of_life(relay)
                producer.join()
        with run.life("-", stdin=subprocess.PIPE) as relay:
            producer = produce(relay, 0, size.events, then_close=True)
            run.wait_for(lambda: relay.poll() is not None)
            producer.join()
            summary = run.summarize(relay)
        assert size.events == summary["read"]
        run.judge()
