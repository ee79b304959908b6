"""Ten thousand webhooks, from cold: validate, plan, apply and plan again, beside the limit of reading the files.

    python benchmarks/reconcile.py [NUMBER]

Every command is a process of its own, as in CI. The limit is a process that reads the same files and parses them with
the YAML library's C loader: what no program that reads YAML in Python on one core can beat. Times are in seconds, the
best of three for what changes nothing; memory is the largest resident set of the process or of one of its workers.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

NUMBER = 10_000
REPEATS = 3
HOOKLINE = (sys.executable, "-m", "hookline")
LIMIT = (
    sys.executable,
    "-c",
    "import yaml, pathlib\n"
    "for path in pathlib.Path('webhooks').rglob('*.yaml'):\n"
    "    yaml.load(path.read_bytes(), yaml.CSafeLoader)",
)
READING = (sys.executable, "-c", "import pathlib\nfor p in pathlib.Path('webhooks').rglob('*.yaml'): p.read_bytes()")

WEBHOOK = """\
# yaml-language-server: $schema=../../schemas/webhook.v1.schema.json
version: 1
organization: {organization}
sandbox: box-{number}
name: Transactional feedback {number}
description: Feeds the order service of sandbox {number}
owner: team-{team}@acme.example
channels: [email, sms]
url: https://hooks-{number}.acme.example/feedback
authentication:
  type: jwt
  algorithm: ES256
  keys:
    - {{id: 2026-11-a, secret: {{file: feedback-{number}.pem}}}}
  issuer: https://acme.example
  lifetime: 10m
headers:
  X-Team: crm
  X-Api-Key: {{env: HOOKLINE_SECRET_ACME_API_KEY}}
campaigns: all
events: [sent, delivered, bounce]
delivery:
  timeout: 10s
  concurrency: {concurrency}
  rateLimit: 200/s
  retry: {{initialDelay: 2s, maxDelay: 1h, maxAge: 72h}}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds` on the clock and of processor time (workers included), `mebibytes` at most."""

    seconds: float
    processor: float
    mebibytes: float


def write(directory: Path, number: int, *, concurrency: int = 32) -> None:
    """Webhook files of this number, fifty of an organization."""
    folder = directory / "webhooks" / f"organization-{number // 50}"
    folder.mkdir(parents=True, exist_ok=True)
    text = WEBHOOK.format(
        organization=f"org{number // 50:06}@AdobeOrg", number=number, team=number % 37, concurrency=concurrency
    )
    (folder / f"box-{number}.yaml").write_text(text)


def run(command: tuple[str, ...], directory: Path) -> Run:
    """One process from its start to its end. Ends the benchmark when it fails."""
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.chdir(directory)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    if status:
        sys.exit(f"{' '.join(command[1:])}: exit code {os.waitstatus_to_exitcode(status)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def best(command: tuple[str, ...], directory: Path) -> Run:
    """Of several runs the fastest: what else this machine does only adds."""
    return min((run(command, directory) for _ in range(REPEATS)), key=lambda each: each.seconds)


def measure(number: int, directory: Path) -> dict[str, Run]:
    """Every row of the table, in its order."""
    for each in range(number):
        write(directory, each)
    rows = {
        "read the files, nothing else": best(READING, directory),
        "the limit: and parse, C loader": best(LIMIT, directory),
        "validate": best((*HOOKLINE, "validate"), directory),
        "plan, all to create": best((*HOOKLINE, "plan"), directory),
        "apply": run((*HOOKLINE, "apply", "--auto-approve", "--max-deletes", "0"), directory),
        "plan, nothing to do": best((*HOOKLINE, "plan"), directory),
    }
    for each in range(0, number, 100):
        write(directory, each, concurrency=16)
    rows["plan, one in a hundred changed"] = best((*HOOKLINE, "plan"), directory)
    return rows


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else NUMBER
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        rows = measure(number, Path(name))
    limit = rows["the limit: and parse, C loader"].seconds
    print(f"{number} webhooks, a file each; {len(os.sched_getaffinity(0))} cores\n")
    print(f"{'':34}{'seconds':>9}{'x limit':>9}{'CPU s':>8}{'MiB':>7}{'µs each':>10}")
    for label, row in rows.items():
        each = row.seconds / number * 1e6
        ratio = row.seconds / limit
        print(f"{label:34}{row.seconds:9.2f}{ratio:9.2f}{row.processor:8.2f}{row.mebibytes:7.0f}{each:10.0f}")


if __name__ == "__main__":
    main()
