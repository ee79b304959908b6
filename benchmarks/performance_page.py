"""Generates docs/performance.md and its pictures from the raw data in docs/performance/.

    python benchmarks/performance_page.py [--take DIRECTORY]

`--take` first replaces the raw data with that of a run, such as build/bench after `make bench`. A test generates the
page again and compares it with the file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from charts import Bar, bar_chart
from goals import findings
from page_text import Measured, number, paragraph, row_table, rows_of, spread, table
from plain_data import measured_in
from results import Row

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = "performance.md"
FOLDER: Final = "performance"
# The files that a page needs to say anything; others are left out where they were not measured.
MAIN: Final = "peers"
CONDITIONS: Final = (
    *("webhooks-10", "webhooks-100", "delay-5", "delay-50", "connections-512", "pipe", "window-off"),
    *("beside-backlog", "own-backlog"),
)


def bars(rows: Iterable[Row], others: Iterable[str] = ()) -> list[Bar]:
    """A bar for each row; the titles in `others` are those of other programs."""
    return [
        Bar(
            label=row.title, value=row.value, low=min(row.rounds), high=max(row.rounds), text=number(row),
            other=row.title in others,
        )
        for row in rows
    ]  # fmt: skip


# -- the parts of the page


def heading(measured: Measured) -> str:
    main = measured[MAIN]
    text = f"""# Performance

{
        paragraph('''The figures of `make bench`; [the end](#raw-data) names the start of each part. This page and its
pictures are generated from the [raw data](performance/peers.json) beside it, which has the value of every
round. [How to read the results](../benchmarks/README.md#how-to-read-the-results) explains the measurements.''')
    }
"""
    if any(results.quick for results in measured.values()):
        text += """
**This run was a quick one**: few events and one round. It shows that the benchmarks run. Its figures, and the
verdicts below, are worth nothing.
"""
    facts = table(("", ""), main.machine.items())
    return f"{text}\n## The machine\n\n{facts}\n"


def goals(measured: Measured) -> str:
    found = findings(measured)
    reached, known = (
        sum(one.verdict == "reached" for one in found),
        sum(one.row is not None for one in found),
    )
    lines = [
        (
            one.goal.title, one.goal.before,
            f"{one.goal.sign} {number(one.row, one.goal.limit) if one.row else f'{one.goal.limit:g}'}",
            number(one.row) if one.row else "", spread(one.row) if one.row else "", one.verdict,
        )
        for one in found
    ]  # fmt: skip
    intro = paragraph(
        f"""{reached} of {len(found)} goals are reached, {known - reached} are missed, and {len(found) - known} were
        not measured in this run. "Before" is the figure before the cost of an event was worked on. With 1,000,000
        waiting the goal is to be no worse: within 10 %, the noise of one run."""
    )
    header = ("measure", "before", "goal", "median", "lowest to highest", "")
    missed = [
        paragraph(f"**{one.goal.title}**: {one.goal.rest}", bullet="- ")
        for one in found
        if one.is_missed and one.goal.rest
    ]
    rests = "\nWhere the rest goes, for goals that are missed:\n\n" + "\n".join(missed) + "\n" if missed else ""
    return f"## Goals\n\n{intro}\n\n{table(header, lines)}\n{rests}"


def peers(measured: Measured) -> str:
    names = [name for name in ("plain", "syslog-ng", "wrk") if measured[MAIN].get(f"{name}-rate")]
    lines = []
    for name in names:
        rate, cpu, memory = rows_of(measured, MAIN, (f"{name}-rate", f"{name}-cpu", f"{name}-memory"))
        lines.append((rate.title, number(rate), spread(rate), number(cpu), spread(cpu), number(memory)))
    header = ("", "events/s", "lowest to highest", "CPU for an event", "lowest to highest", "memory")
    events = measured[MAIN].parameters["events"]
    intro = paragraph(
        f"""{events:,} events of 662 bytes, one POST for each, TLS to one nginx that shares the cores. The programs
        take turns. CPU is the time, user and system, of the program with its start."""
    )
    return f"""## Beside its peers

{intro}

{table(header, lines)}

![Events per second](performance/rates.svg)

![Processor time for an event](performance/cpu.svg)

{THE_PEER}
"""


THE_PEER: Final = """### The work that the peer does not do

syslog-ng's `http()` destination posts the line as it is, with a constant `Authorization` header. In this
comparison it does not:

- parse the event, and choose its webhook by organization, sandbox, campaign and channel;
- sign a token for the endpoint and renew it, or sign the body;
- keep the order of the events of one message across retries and restarts;
- recognize a duplicate, or give the endpoint an id by which it can;
- sync its buffer. A power cut loses the events that the operating system has not written yet;
- keep an event that is answered 4xx, honour `Retry-After`, or stop at a 410;
- account for each event: `trace`, `status`, dead letters and replay have no counterpart.

### The work that the peer does better

- It is written in C and uses all cores. hookline's relay is one process, and Python runs one thread at a
  time.
- It starts in a few milliseconds. The relay needs some tenths of a second.
- It reads from many sources and writes to many destinations. hookline delivers feedback only.
- It has run in production for decades. hookline is an alpha version.

Both can work together: syslog-ng collects and filters logs, and the relay follows the file that it writes.

`wrk` is no peer but the limit: it sends one prepared request again and again. No program that does any work
can be faster against this nginx on these cores."""


def conditions(measured: Measured) -> str:
    lines = []
    for name in CONDITIONS:
        found = rows_of(measured, MAIN, (f"{name}-rate", f"{name}-cpu", f"{name}-to-plain"))
        if found:
            rate, cpu, ratio = found
            lines.append((rate.title, number(rate), number(cpu), number(ratio), spread(ratio)))
    if not lines:
        return ""
    header = ("", "events/s", "CPU for an event", "rate ÷ plain", "lowest to highest")
    most = rows_of(measured, MAIN, ("delay-5-to-most", "delay-50-to-most"))
    shares = "; ".join(f"{row.title}: {number(row)}" for row in most)
    note = paragraph(
        f"""Each run differs from the plain case in one point. New connections are included: a run with many of them
        pays for their handshakes once. An own backlog is delivered together with the new events and counts with
        them, although an earlier run has read it. A slow endpoint has a limit of its own, because each connection
        has one request at a time: 128 connections and 5 ms allow 25,600 events/s, 512 and 50 ms 10,240. If the
        plain case is faster than 12,800 events/s, an endpoint of 50 ms cannot reach 0.8 of it. Of what the
        connections allow the relay reaches: {shares or "not measured"}."""
    )
    return f"""## Under other conditions

{note}

{table(header, lines)}

![Rate under other conditions](performance/conditions.svg)
"""


SECTIONS: Final = (
    ("One POST alone", "engine", "The HTTP client without reader, spool and dispatcher, beside bare TLS sockets."),
    (
        "Memory and disk by the length of the input",
        "memory",
        "The largest resident set, and the spool after the run.",
    ),
    (
        "From a line to its POST",
        "follow",
        "The time from a write into a followed file, or into a pipe, to the request, and the relay's CPU for it.",
    ),
    ("A relay that has nothing to do", "idle", "Processor time and wake-ups while the input is silent."),
    (
        "A large backlog",
        "backlog",
        "Memory, start-up, and the time of the operators' commands, at rest and while the relay drains the backlog.",
    ),
    (
        "Where the time of an event goes",
        "threads",
        "Processor time by thread, beside a relay whose event loop runs the SQL itself. [Decision "
        "0088](decisions/0088-sql-has-its-thread.md) has the reasons for the thread.",
    ),
    ("The spool alone", "spool", "One thread, without reader, endpoint and dispatcher. Times are processor time."),
    ("After SIGKILL", "kills", "Events that the endpoint gets twice. None is missing: the benchmark would end."),
    ("The reconciler, cold", "reconcile", "Each command is a new process, as in CI."),
    (
        "Instructions for an event",
        "instructions",
        "Counted in the relay's process by Valgrind. `make instructions` compares the lowest run with a record.",
    ),
    (
        "The simulation",
        "simulated",
        "The measured relay keeps its guarantees: random faults by seed, and faults planted on purpose.",
    ),
)


def section(measured: Measured, title: str, benchmark: str, text: str) -> str:
    rows = [row for row in rows_of(measured, benchmark) if not row.measure.endswith(("-rate-from-start",))]
    if not rows:
        return ""
    parameters = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in measured[benchmark].parameters.items()
    )
    about = paragraph(f"{text} Parameters: {parameters}." if parameters else text)
    picture = "\n\n![Latency](performance/latency.svg)" if benchmark == "follow" else ""
    return f"## {title}\n\n{about}\n\n{row_table(rows)}{picture}\n"


def raw(measured: Measured) -> str:
    lines = [
        (
            f"[{name}.json](performance/{name}.json)",
            results.started.replace("T", " "),
            "yes" if results.quick else "no",
        )
        for name, results in sorted(measured.items(), key=lambda item: item[1].started)
    ]
    return f"## Raw data\n\n{table(('file', 'started', 'quick'), lines)}\n"


# -- the files


def page(measured: Measured) -> str:
    """The text of the page."""
    parts = [heading(measured), goals(measured), peers(measured), conditions(measured)]
    parts += [section(measured, *one) for one in SECTIONS]
    return "\n".join(part for part in [*parts, raw(measured)] if part)


def pictures(measured: Measured) -> dict[str, str]:
    """The pictures by the names of their files."""
    others = ("syslog-ng http()", "wrk, 64 connections")
    names = ("wrk", "syslog-ng", "plain")
    rates, cpus = (rows_of(measured, MAIN, (f"{name}-{quantity}" for name in names)) for quantity in ("rate", "cpu"))
    ratios = rows_of(measured, MAIN, (f"{name}-to-plain" for name in CONDITIONS))
    found = {
        "rates.svg": bar_chart("Events per second (longer is better)", bars(rates, others)),
        "cpu.svg": bar_chart("Processor time for an event (shorter is better)", bars(cpus, others)),
    }
    if ratios:
        shown = [
            Row(measure=row.measure, title=row.title.partition(": rate")[0], unit="", rounds=row.rounds)
            for row in ratios
        ]
        title = "Rate ÷ the plain case (longer is better)"
        found["conditions.svg"] = bar_chart(title, bars(shown), limit=0.85, limit_text="goal 0.85; 50 ms: 0.8")
    if latencies := [row for row in rows_of(measured, "follow") if row.unit == "ms"]:
        found["latency.svg"] = bar_chart("From a line to its POST (shorter is better)", bars(latencies))
    return found


def take(source: Path, target: Path) -> None:
    """Replace the raw data in `target` with that of `source`."""
    fresh = measured_in(source)
    if MAIN not in fresh:
        sys.exit(f"{source}: no {MAIN}.json; run `make bench` first")
    target.mkdir(exist_ok=True)
    for old in [*target.glob("*.json"), *target.glob("*.svg")]:
        old.unlink()
    for name, results in fresh.items():
        results.write(target / f"{name}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, metavar="DIRECTORY", help="the raw data of a run")
    given = parser.parse_args()
    if given.take is not None:
        take(given.take, DOCS / FOLDER)
    measured = measured_in(DOCS / FOLDER)
    (DOCS / PAGE).write_text(page(measured), encoding="utf-8")
    for name, text in pictures(measured).items():
        (DOCS / FOLDER / name).write_text(text, encoding="utf-8")
    print(f"written: docs/{PAGE} and the pictures in docs/{FOLDER}/")


if __name__ == "__main__":
    main()
