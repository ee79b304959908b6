"""The programs that post the same events to one nginx: the relay, syslog-ng and wrk, and the figures of a run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench_lab import HOOKLINE, Process, Usage, event, relay_command, write_key
from nginx import Nginx

WRK_CONNECTIONS: Final = 64
WRK_SECONDS: Final = 5
RESERVE_FILE: Final = "reserve"  # the spool's reserved disk space, which no event uses
PENDING: Final = 4  # the relay's exit code if deliveries are still pending

SYSLOG_NG: Final = """\
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
WRK: Final = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one run.

    Events per second from the first to the last answer, events per second from the start of the process, processor
    time per event in microseconds, with the start and the end of the process, the largest resident set, and the size
    of the spool at the end for each event, without its reserve."""

    rate: float
    rate_from_start: float
    microseconds: float
    mebibytes: float
    spool_bytes_per_event: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The input of every program: its own directory, the events, the number of requests they cause, and the sink."""

    directory: Path
    events: Path
    number: int
    concurrency: int
    sink: Nginx

    @property
    def token(self) -> str:
        """A token with the length of the relay's JWT; no server checks it."""
        return "x" * 400


def result_of(
    usage: Usage, course: Course, times: tuple[float, float], started: float, spool_bytes: int = 0
) -> Result:
    first, last = times
    return Result(
        course.number / (last - first),
        course.number / (last - started),
        usage.processor / course.number * 1e6,
        usage.mebibytes,
        spool_bytes / course.number,
    )


def until_all_are_answered(process: Process, course: Course) -> tuple[float, float]:
    """The times of the first and the last answer. If their number is wrong, the benchmark ends."""
    first, last, answered = course.sink.watch(course.number, lambda: process.usage(wait=False) is None)
    if answered != course.number:
        sys.exit(f"{process.command[0]}: {answered} of {course.number} answered\n{process.said()}")
    return first, last


def relay(
    course: Course,
    *options: str,
    pipe: bool = False,
    codes: Sequence[int] = (0,),
    program: Sequence[str] = HOOKLINE,
) -> Result:
    """Deliver the events from their file, or through a pipe that another process fills."""
    spool = course.directory / "spool"
    source = "-" if pipe else str(course.events)
    command = relay_command(course.sink.ca_file, "--spool", str(spool), *options, source, program=program)
    write_key(course.directory)
    feeder = subprocess.Popen(("cat", course.events), stdout=subprocess.PIPE) if pipe else None
    assert feeder is None or feeder.stdout is not None
    stdin = feeder.stdout.fileno() if feeder and feeder.stdout else subprocess.DEVNULL
    process = Process(command, course.directory, stdin=stdin)
    if feeder and feeder.stdout:
        feeder.stdout.close()  # only the relay holds the reading end now
    times = until_all_are_answered(process, course)
    usage = process.finish()
    if feeder:
        feeder.wait()
    if usage.code not in codes or course.sink.answered() != course.number:
        sys.exit(f"hookline: exit code {usage.code}\n{process.said()}")
    return result_of(usage, course, times, process.started, spool_size(spool))


def peak_mebibytes(process: Process) -> float:
    """The largest resident set of a running process so far.

    `Usage` has at least the memory of the benchmark itself, which started the process; a small program needs less.
    """
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def spool_size(spool: Path) -> int:
    """The bytes of a spool's files, without the disk space that it only reserves."""
    return sum(path.stat().st_size for path in spool.rglob("*") if path.is_file() and path.name != RESERVE_FILE)


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
    times = until_all_are_answered(process, course)
    memory = peak_mebibytes(process)
    return replace(result_of(process.end(), course, times, process.started), mebibytes=memory)


def wrk(course: Course) -> Result:
    """Send requests for a fixed time. The count of nginx is used, not the count of wrk."""
    body = event(0).decode().rstrip()
    (course.directory / "wrk.lua").write_text(WRK.format(token=course.token, body=body))
    url = f"https://localhost:{course.sink.port}/feedback"
    command = ("wrk", "-t2", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", "wrk.lua", url)
    process = Process(command, course.directory)
    time.sleep(WRK_SECONDS / 2)
    memory = peak_mebibytes(process)
    usage = process.finish()
    answered = course.sink.answered()
    if usage.code or "Non-2xx" in process.said():
        sys.exit(f"wrk: exit code {usage.code}\n{process.said()}")
    rate = answered / WRK_SECONDS
    return Result(rate, rate, usage.processor / answered * 1e6, memory)
