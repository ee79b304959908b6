"""The goals of the relay's speed: one row for each promise, with the measurement that decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from results import Results, Row

SUPPOSED_NOISE: Final = 1.1  # the factor within which a figure counts as "no worse" than an earlier one


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A limit for one row of a benchmark's raw data. Exactly one of `at_most` and `at_least` is set.

    `before` is the figure before the work on the cost of an event, as text. `rest` says where the time goes, for a
    figure that misses the goal.
    """

    title: str
    benchmark: str
    measure: str
    at_most: float | None = None
    at_least: float | None = None
    before: str = "-"
    rest: str = ""

    @property
    def limit(self) -> float:
        limit = self.at_most if self.at_most is not None else self.at_least
        assert limit is not None
        return limit

    @property
    def sign(self) -> str:
        return "≥" if self.at_most is None else "≤"

    def is_reached(self, row: Row) -> bool:
        """Whether the median keeps to the limit."""
        return row.value >= self.limit if self.at_most is None else row.value <= self.limit


def _no_worse(title: str, measure: str, figure: float, unit: str) -> Goal:
    return Goal(
        title=f"1,000,000 waiting: {title}",
        benchmark="backlog",
        measure=measure,
        at_most=round(figure * SUPPOSED_NOISE, 3),
        before=f"{figure:g} {unit}",
    )


def _to_plain(title: str, condition: str, at_least: float = 0.85, *, rest: str = "") -> Goal:
    return Goal(
        title=f"rate, {title} ÷ the plain case",
        benchmark="peers",
        measure=f"{condition}-to-plain",
        at_least=at_least,
        rest=rest,
    )


_IDLE: Final = """Once a second the relay looks for changes of the state, the spool and the followed files, and at the
status of each webhook."""

GOALS: Final = (
    Goal(
        title="CPU for an event ÷ syslog-ng's",
        benchmark="peers", measure="cpu-to-peer", at_most=1.1, before="1.8-2.1",
        rest="""Python in the thread of the event loop needs most of it, then SQL ([by
        thread](#where-the-time-of-an-event-goes)). SQL in the thread of the event loop would save little, and a disk
        that stalls would stop all lanes ([decision 0088](decisions/0088-sql-has-its-thread.md)).""",
    ),
    Goal(
        title="rate ÷ syslog-ng's, which uses both cores",
        benchmark="peers", measure="rate-to-peer", at_least=0.7, before="0.28-0.38",
        rest="""Python runs one thread at a time, and syslog-ng uses both cores.""",
    ),
    Goal(
        title="POST alone ÷ bare TLS sockets, CPU",
        benchmark="engine", measure="relay-to-bare", at_most=1.2, before="1.5-2.0",
        rest="""The lines of the request, the head of the response and the state of the connection cost a few
        microseconds of Python above `send` and `recv` ([decision
        0061](decisions/0061-callbacks-on-the-hot-path.md)).""",
    ),
    _to_plain("pipe", "pipe"),
    _to_plain("100 webhooks", "webhooks-100"),
    _to_plain("duplicate window off", "window-off"),
    _to_plain(
        "beside a backlog of 100,000", "beside-backlog",
        rest="""The index of ids is larger. A group of new events changes more of its pages, each of which is written
        into the log and the database.""",
    ),
    _to_plain("with an own backlog of 100,000", "own-backlog"),
    _to_plain(
        "endpoint of 50 ms, concurrency 512", "delay-50", 0.8,
        rest="""512 connections with one request at a time allow 10,240 events/s, which is less than 0.8 of the plain
        case if that is faster than 12,800 events/s. The next row has the share of what they allow.""",
    ),
    Goal(
        title="the same ÷ the 10,240/s that its connections allow",
        benchmark="peers", measure="delay-50-to-most", at_least=0.8,
    ),
    Goal(
        title="peak memory, 1,000,000 events ÷ 100,000",
        benchmark="memory", measure="memory-ratio", at_most=1.1,
    ),
    Goal(
        title="line → POST, 5,000/s from a pipe: median",
        benchmark="follow", measure="pipe-5000-median", at_most=2, before="4.8 ms",
    ),
    Goal(
        title="line → POST, 5,000/s from a pipe: p99",
        benchmark="follow", measure="pipe-5000-p99", at_most=25, before="40 ms",
    ),
    Goal(title="--follow, 500/s: median", benchmark="follow", measure="file-500-median", at_most=5, before="5 ms"),
    Goal(title="--follow, 500/s: p99", benchmark="follow", measure="file-500-p99", at_most=25, before="57-220 ms"),
    Goal(
        title="--follow, 500/s: CPU for an event",
        benchmark="follow", measure="file-500-cpu", at_most=250, before="630 µs",
        rest="""Lines are read and stored in groups of 2.5 events on average, and each group costs a wake-up of three
        threads, a transaction and a sync. Larger groups would cost less for an event, but the median time to the
        POST would exceed its goal.""",
    ),
    Goal(
        title="idle relay, 50 webhooks, followed file: CPU of a core",
        benchmark="idle", measure="file-cpu", at_most=0.3, rest=_IDLE,
    ),
    Goal(
        title="idle relay, 50 webhooks, pipe: CPU of a core",
        benchmark="idle", measure="pipe-cpu", at_most=0.3, rest=_IDLE,
    ),
    _no_worse("start-up", "draining-start-up-to-the-first-request", 0.6, "s"),
    _no_worse("memory", "memory-most", 93, "MiB"),
    _no_worse("`status`", "at-rest-status", 0.24, "s"),
    _no_worse("`dead list`", "at-rest-dead-list", 0.5, "s"),
    Goal(
        title="size of the spool for a delivered event",
        benchmark="memory", measure="spool-many", at_most=250, before="930 bytes",
    ),
    Goal(
        title="`plan` of 10,000 webhooks, nothing changed, cold",
        benchmark="reconcile", measure="plan-nothing-to-do-seconds", at_most=2.5, before="4.2 s",
    ),
    Goal(
        title="`serve`, 10,000 webhooks: first page of the inventory",
        benchmark="page", measure="the-inventory-first-request-milliseconds", at_most=300,
    ),
    Goal(
        title="duplicates after a SIGKILL ÷ those promised, the most of all kills",
        benchmark="kills", measure="repeated-to-promised", at_most=1,
    ),
    Goal(
        title="shared spool ÷ embedded, rate", benchmark="machines", measure="shared-to-embedded", at_least=0.6,
        rest="""PostgreSQL runs on the same two cores and stores each event a second time in its log.""",
    ),
    Goal(title="2 deliverers ÷ 1, rate", benchmark="machines", measure="deliverers-2-to-1", at_least=1.8),
    Goal(title="4 deliverers ÷ 1, rate", benchmark="machines", measure="deliverers-4-to-1", at_least=3.0),
    Goal(
        title="shared spool, snapshot held open ÷ not, rate",
        benchmark="machines", measure="snapshot-to-shared", at_least=0.8,
    ),
    Goal(title="takeover after SIGKILL, lease 10 s", benchmark="machines", measure="takeover", at_most=11),
    Goal(title="simulated seeds", benchmark="simulated", measure="seeds", at_least=10_000),
    Goal(title="seeds that violate an invariant", benchmark="simulated", measure="violations", at_most=0),
    Goal(
        title="planted faults that are caught",
        benchmark="simulated", measure="faults-caught", at_least=31, before="29",
    ),
    Goal(
        title="planted faults that are not caught",
        benchmark="simulated", measure="faults-missed", at_most=0, before="0",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A goal with its row; the row is None if the run did not measure it."""

    goal: Goal
    row: Row | None

    @property
    def is_missed(self) -> bool:
        return self.row is not None and not self.goal.is_reached(self.row)

    @property
    def verdict(self) -> str:
        if self.row is None:
            return "not measured"
        return "**missed**" if self.is_missed else "reached"


def findings(measured: Mapping[str, Results], goals: Iterable[Goal] = GOALS) -> list[Finding]:
    """Every goal with its row in the results, which are given by their benchmark."""
    return [
        Finding(goal, found.get(goal.measure) if (found := measured.get(goal.benchmark)) is not None else None)
        for goal in goals
    ]
