"""The conditions under which the relay delivers: one plain case, and one change to it for each other condition."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme

from bench_lab import apply, event, relay_command, run, write_events, write_key
from contestants import PENDING, Course, Result, relay
from debian import find
from nginx import Nginx

PLAIN: Final = "plain"
FIRST_WAITING: Final = 100_000_000  # the number of the first event of a backlog: no event of the input has it
NOBODY_LISTENS: Final = "https://localhost:1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What differs from the plain case.

    `concurrency` is that of each webhook; 0 is that of the plain case. `backlog` is the sandbox with pending
    deliveries of an earlier run: ``prod`` delivers them together with the new events, and ``waiting`` is disabled.
    """

    name: str
    title: str
    webhooks: int = 1
    concurrency: int = 0
    delay_seconds: float = 0.0
    pipe: bool = False
    options: tuple[str, ...] = ()
    backlog: str = ""


CONDITIONS: Final = (
    Condition(name=PLAIN, title="hookline relay"),
    Condition(name="webhooks-10", title="10 webhooks, concurrency 16", webhooks=10, concurrency=16),
    Condition(name="webhooks-100", title="100 webhooks, concurrency 4", webhooks=100, concurrency=4),
    Condition(name="delay-5", title="endpoint of 5 ms, concurrency 128", delay_seconds=0.005, concurrency=128),
    Condition(name="delay-50", title="endpoint of 50 ms, concurrency 512", delay_seconds=0.050, concurrency=512),
    Condition(name="connections-512", title="endpoint of 0 ms, concurrency 512", concurrency=512),
    Condition(name="pipe", title="pipe instead of file", pipe=True),
    Condition(name="window-off", title="duplicate window off", options=("--dedupe-window", "0s")),
    Condition(name="beside-backlog", title="beside a disabled webhook's backlog", backlog="waiting"),
    Condition(name="own-backlog", title="with its own backlog", backlog="prod"),
)


class Bench:
    """Runs conditions on the same events. Backlogs are written once, into spools that each run copies."""

    def __init__(self, directory: Path, events: int, backlog: int, concurrency: int, options: Sequence[str]) -> None:
        self._directory = directory
        self._events = events
        self._backlog = backlog
        self._concurrency = concurrency
        self._options = tuple(options)

    @contextmanager
    def course(self, condition: Condition) -> Iterator[Course]:
        """A directory with applied webhooks, the events and a running nginx. It is removed afterwards."""
        concurrency = condition.concurrency or self._concurrency
        with tempfile.TemporaryDirectory(dir=self._directory) as name:
            own = Path(name)
            delay = condition.delay_seconds
            with Nginx.running(find("nginx") or "nginx", own, delay_seconds=delay) as sink:
                sandboxes = _sandboxes(condition.webhooks)
                webhooks: list[dict[str, Any]] = [
                    {
                        "sandbox": sandbox,
                        "url": f"https://localhost:{sink.port}/{sandbox}",
                        "delivery": {"concurrency": concurrency},
                    }
                    for sandbox in sandboxes
                ]
                if condition.backlog:
                    shutil.copytree(self._filled(condition.backlog), own / "spool")
                if condition.backlog == "waiting":
                    webhooks.append({"sandbox": "waiting", "url": NOBODY_LISTENS, "enabled": False})
                apply(own, webhooks)
                delivered = self._events + (self._backlog if condition.backlog == "prod" else 0)
                yield Course(
                    directory=own, events=self._input(sandboxes), number=delivered, concurrency=concurrency, sink=sink
                )

    def run(self, condition: Condition) -> Result:
        with self.course(condition) as course:
            codes = (PENDING,) if condition.backlog == "waiting" else (0,)
            return relay(course, *self._options, *condition.options, pipe=condition.pipe, codes=codes)

    def _input(self, sandboxes: Sequence[str]) -> Path:
        """The events, spread evenly over the sandboxes; written at the first call."""
        path = self._directory / f"events-{len(sandboxes)}"
        if not path.exists():
            numbers = range(self._events)
            write_events(path, (event(number, sandbox=sandboxes[number % len(sandboxes)]) for number in numbers))
        return path

    def _filled(self, sandbox: str) -> Path:
        """The spool of an earlier run that left a backlog in a sandbox."""
        home = self._directory / f"backlog-{sandbox}"
        if not home.exists():
            home.mkdir()
            numbers = range(FIRST_WAITING, FIRST_WAITING + self._backlog)
            write_events(home / "events", (event(number, sandbox=sandbox) for number in numbers))
            write_key(home)
            apply(home, [{"sandbox": sandbox, "url": NOBODY_LISTENS, "enabled": False}])
            trustme.CA().cert_pem.write_to_path(str(home / "ca.pem"))  # of nobody: the run connects to nothing
            run(relay_command(home / "ca.pem", "--spool", "spool", "events"), home, codes=(PENDING,))
        return home / "spool"


def _sandboxes(webhooks: int) -> list[str]:
    return ["prod"] if webhooks == 1 else [f"box-{number}" for number in range(webhooks)]
