"""The relay compared with syslog-ng's http() destination and wrk, in one run, over TLS to one nginx.

    python benchmarks/peers.py [--events 60000] [--runs 3] [--concurrency 16] [-- RELAY OPTION …]

wrk is the limit: it builds one request, and it reads, writes and stores nothing. syslog-ng is the peer: it also
reads a file, keeps the lines in a queue on disk, and posts each event separately. It signs nothing; the relay signs
with ES256. A figure counts only if nginx answered exactly one request per event. Options after `--` go to `hookline
relay`, such as `-- --transport httpx`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench_lab import Process, Usage, apply, event, machine, relay_command, table, write_events, write_key
from debian import ensure_programs, find
from nginx import Nginx

WRK_CONNECTIONS = 64
WRK_SECONDS = 5

SYSLOG_NG = """\
@version: 3.38
options {{ stats-freq(0); }};
source events {{
  file("{events}" flags(no-parse) follow-freq(0.1) log-fetch-limit(1000) log-iw-size(100000) log-msg-size(65536));
}};
destination sink {{
  http(
    url("https://localhost:{port}/feedback") method("POST") body("${{MESSAGE}}")
    headers("Content-Type: application/json", "Authorization: Bearer {token}")
    workers({concurrency}) batch-lines(1) persist-name("sink")
    tls(ca-file("{ca_file}") peer-verify(yes))
    disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(10485760) dir("{directory}"))
  );
}};
log {{ source(events); destination(sink); flags(flow-control); }};
"""
WRK = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run.

    Events per second from the first to the last answer, events per second from the start of the process, and
    processor time per event in microseconds, with the start and the end of the process."""

    rate: float
    rate_from_start: float
    microseconds: float


@dataclass(frozen=True, slots=True)
class Course:
    """The input of every program: its own directory, the events and the sink."""

    directory: Path
    events: Path
    number: int
    concurrency: int
    sink: Nginx

    @property
    def token(self) -> str:
        """A token with the length of the relay's JWT; no server checks it."""
        return "x" * 400


def of(usage: Usage, course: Course, first: float, last: float, started: float) -> Result:
    return Result(
        course.number / (last - first), course.number / (last - started), usage.processor / course.number * 1e6
    )


def until_all_are_answered(process: Process, course: Course) -> tuple[float, float]:
    """The times of the first and the last answer. If their number is wrong, the benchmark ends."""
    first, last, answered = course.sink.watch(course.number, lambda: process.usage(wait=False) is None)
    if answered != course.number:
        sys.exit(f"{process.command[0]}: {answered} of {course.number} answered\n{process.said()}")
    return first, last


def relay(course: Course, *options: str) -> Result:
    command = relay_command(course.sink.ca_file, "--spool", "spool", *options, str(course.events))
    write_key(course.directory)
    process = Process(command, course.directory)
    first, last = until_all_are_answered(process, course)
    usage = process.finish()
    if usage.code or course.sink.answered() != course.number:
        sys.exit(f"hookline: exit code {usage.code}\n{process.said()}")
    return of(usage, course, first, last, process.started)


def syslog_ng(course: Course) -> Result:
    where = course.directory
    (where / "syslog-ng.conf").write_text(
        SYSLOG_NG.format(
            events=course.events, port=course.sink.port, token=course.token, concurrency=course.concurrency,
            ca_file=course.sink.ca_file, directory=where,
        )
    )  # fmt: skip
    files = [f"--{name}={where}/syslog-ng.{name}" for name in ("persist-file", "pidfile", "control")]
    process = Process(("syslog-ng", "-F", "--no-caps", "-f", "syslog-ng.conf", *files), where)
    first, last = until_all_are_answered(process, course)
    usage = process.end()
    return of(usage, course, first, last, process.started)


def wrk(course: Course) -> Result:
    """Send requests for a fixed time. The count of nginx is used, not the count of wrk."""
    body = event(0).decode().rstrip()
    (course.directory / "wrk.lua").write_text(WRK.format(token=course.token, body=body))
    url = f"https://localhost:{course.sink.port}/feedback"
    command = ("wrk", "-t2", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", "wrk.lua", url)
    process = Process(command, course.directory)
    usage = process.finish()
    answered = course.sink.answered()
    if usage.code or "Non-2xx" in process.said():
        sys.exit(f"wrk: exit code {usage.code}\n{process.said()}")
    rate = answered / WRK_SECONDS
    return Result(rate, rate, usage.processor / answered * 1e6)


def measure(arguments: argparse.Namespace, programs: set[str], directory: Path) -> dict[str, list[Result]]:
    """Measure the programs in turn, so that other load on the machine affects them equally."""
    contestants: dict[str, Callable[[Course], Result]] = {}
    contestants["hookline relay"] = lambda course: relay(course, *arguments.relay)
    if "syslog-ng" in programs:
        contestants["syslog-ng http()"] = syslog_ng
    if "wrk" in programs:
        contestants[f"wrk, {WRK_CONNECTIONS} connections"] = wrk
    write_events(directory / "events", map(event, range(arguments.events)))
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for run in range(arguments.runs):
        for at, (name, contest) in enumerate(contestants.items()):
            own = directory / f"{run}-{at}"
            own.mkdir()
            with Nginx.running(find("nginx") or "nginx", own) as sink:
                delivery = {"concurrency": arguments.concurrency}
                apply(own, [{"url": f"https://localhost:{sink.port}/feedback", "delivery": delivery}])
                results[name].append(
                    contest(Course(own, directory / "events", arguments.events, arguments.concurrency, sink))
                )
            shutil.rmtree(own)
    return results


def report(arguments: argparse.Namespace, results: dict[str, list[Result]]) -> None:
    medians = {
        name: Result(*(statistics.median(getattr(one, field) for one in of_one) for field in Result.__slots__))
        for name, of_one in results.items()
    }
    limit = next((one.rate for name, one in medians.items() if name.startswith("wrk")), None)
    rows = [
        (
            name, f"{one.rate:,.0f}", f"{one.rate_from_start:,.0f}", f"{one.microseconds:.0f}",
            f"{one.rate / limit:.0%}" if limit else "-",
            f"{min(each.rate for each in results[name]):,.0f}-{max(each.rate for each in results[name]):,.0f}",
        )
        for name, one in medians.items()
    ]  # fmt: skip
    options = " ".join(arguments.relay)
    print(
        f"{arguments.events} events of 662 bytes, TLS, concurrency {arguments.concurrency}; medians of "
        f"{arguments.runs} runs; {machine()}" + (f"; relay {options}" if options else "")
    )
    print(table(("", "events/s", "with start-up", "CPU µs/event", "of wrk", "lowest-highest"), rows))
    if (peer := medians.get("syslog-ng http()")) is not None:
        own = medians["hookline relay"]
        print(
            f"hookline : syslog-ng = {own.rate / peer.rate:.2f} in events/s, "
            f"{own.microseconds / peer.microseconds:.2f} in processor time an event"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    arguments = parser.parse_args()
    programs = ensure_programs(("nginx", "syslog-ng", "wrk"))
    if "nginx" not in programs:
        print("No nginx, no sink: nothing to measure.")
        return
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        report(arguments, measure(arguments, programs, Path(name)))


if __name__ == "__main__":
    main()
