"""The relay compared with syslog-ng's http() destination and wrk, and with itself under other conditions.

    python benchmarks/peers.py [--events 60000] [--rounds 5] [--only NAME …] [--json FILE] [-- RELAY OPTION …]

All post over TLS to one nginx, in turns; the order is reversed each round. wrk is the limit: it builds one request,
and it reads, writes and stores nothing. syslog-ng is the peer: it also reads a file, keeps the lines in a queue on
disk, and posts each event separately. It signs nothing; the relay signs with ES256. A figure counts only if nginx
answered exactly one request per event. Options after `--` go to `hookline relay`, such as `-- --transport httpx`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench_lab import machine, table
from conditions import CONDITIONS, PLAIN, Bench
from contestants import WRK_CONNECTIONS, Course, Result, syslog_ng, wrk
from debian import ensure_programs
from nginx import ECHO
from results import Results

PEER: Final = "syslog-ng"
LIMIT: Final = "wrk"
TITLES: Final = {
    **{condition.name: condition.title for condition in CONDITIONS},
    PEER: "syslog-ng http()",
    LIMIT: f"wrk, {WRK_CONNECTIONS} connections",
}
QUANTITIES: Final[dict[str, tuple[str, Callable[[Result], float]]]] = {
    "rate": ("1/s", lambda one: one.rate),
    "rate-from-start": ("1/s", lambda one: one.rate_from_start),
    "cpu": ("µs", lambda one: one.microseconds),
    "memory": ("MiB", lambda one: one.mebibytes),
}  # of every run: unit and value
Runs = dict[str, list[Result]]


def contests(bench: Bench, programs: set[str], only: list[str]) -> dict[str, Callable[[], Result]]:
    """Each run by its name: the programs and the conditions that are wanted and possible."""
    found: dict[str, Callable[[], Result]] = {PLAIN: partial(bench.run, CONDITIONS[0])}
    if PEER in programs:
        found[PEER] = partial(_other, bench, syslog_ng)
    if LIMIT in programs:
        found[LIMIT] = partial(_other, bench, wrk)
    for condition in CONDITIONS[1:]:
        if condition.delay_seconds and not ECHO.exists():
            print(f"Without {condition.title}: install Debian's libnginx-mod-http-echo", flush=True)
        else:
            found[condition.name] = partial(bench.run, condition)
    return {name: run for name, run in found.items() if not only or name in only}


def _other(bench: Bench, send: Callable[[Course], Result]) -> Result:
    """A run of another program, with the input and the nginx of the plain case."""
    with bench.course(CONDITIONS[0]) as course:
        return send(course)


def measure(found: dict[str, Callable[[], Result]], rounds: int) -> Runs:
    """Measure in turns, so that other load on the machine affects all of them equally."""
    runs: Runs = {name: [] for name in found}
    for number in range(rounds):
        names = list(found) if number % 2 == 0 else list(found)[::-1]
        for name in names:
            result = found[name]()
            runs[name].append(result)
            print(
                f"round {number + 1} of {rounds}: {TITLES[name]}: {result.rate:,.0f} events/s, "
                f"{result.microseconds:.1f} µs",
                flush=True,
            )
    return runs


def fill(results: Results, runs: Runs) -> None:
    """Add the rows: the quantities of each run, and the ratios of the runs of one round."""
    for name, of_one in runs.items():
        for quantity, (unit, value) in QUANTITIES.items():
            results.add(f"{name}-{quantity}", TITLES[name], unit, map(value, of_one))
    if PLAIN not in runs:
        return
    plain = runs[PLAIN]
    results.add("spool", "spool for a delivered event", "bytes", (one.spool_bytes_per_event for one in plain))
    if PEER in runs:
        pairs = list(zip(plain, runs[PEER], strict=True))
        ratios = (own.microseconds / other.microseconds for own, other in pairs)
        results.add("cpu-to-peer", "processor time of an event ÷ syslog-ng's", "", ratios)
        results.add("rate-to-peer", "rate ÷ syslog-ng's", "", (own.rate / other.rate for own, other in pairs))
    for condition in CONDITIONS[1:]:
        if condition.name in runs:
            title = f"{condition.title}: rate ÷ the plain case"
            ratios = (one.rate / own.rate for one, own in zip(runs[condition.name], plain, strict=True))
            results.add(f"{condition.name}-to-plain", title, "", ratios)
            if condition.delay_seconds:
                most = condition.concurrency / condition.delay_seconds  # each connection has one request at a time
                shares = (one.rate / most for one in runs[condition.name])
                results.add(f"{condition.name}-to-most", f"{condition.title}: rate ÷ {most:,.0f}/s", "", shares)


def report(results: Results, runs: Runs) -> None:
    limit = results.get(f"{LIMIT}-rate")
    rows = []
    for name, of_one in runs.items():
        rate, started, cpu, memory = (results.get(f"{name}-{quantity}") for quantity in QUANTITIES)
        assert rate is not None
        assert started is not None
        assert cpu is not None
        assert memory is not None
        rows.append(
            (
                TITLES[name], f"{rate.value:,.0f}", f"{started.value:,.0f}", f"{cpu.value:.1f}",
                f"{rate.value / limit.value:.0%}" if limit else "-",
                f"{min(each.rate for each in of_one):,.0f}-{max(each.rate for each in of_one):,.0f}",
                f"{memory.value:.0f}",
            )
        )  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in results.parameters.items()) + f"; medians; {machine()}")
    print(table(("", "events/s", "with start-up", "CPU µs/event", "of wrk", "lowest-highest", "MiB"), rows))
    for row in results.rows:
        if not row.unit:
            print(f"{row.title}: {row.value:.2f} ({min(row.rounds):.2f}-{max(row.rounds):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--backlog", type=int, default=100_000, help="pending deliveries of an earlier run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--only", action="append", default=[], choices=TITLES, metavar="NAME", help=", ".join(TITLES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    given = parser.parse_args()
    programs = ensure_programs(("nginx", PEER, LIMIT))
    if "nginx" not in programs:
        print("No nginx, no sink: nothing to measure.")
        return
    results = Results(benchmark="peers")
    results.parameters = {
        "events": given.events, "backlog": given.backlog, "rounds": given.rounds, "concurrency": given.concurrency,
    }  # fmt: skip
    if given.relay:
        results.parameters["relay options"] = " ".join(given.relay)
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        bench = Bench(Path(name), given.events, given.backlog, given.concurrency, given.relay)
        runs = measure(contests(bench, programs, given.only), given.rounds)
    fill(results, runs)
    report(results, runs)
    results.write(given.json)


if __name__ == "__main__":
    main()
