"""Ten thousand webhooks from a cold start: validate, plan, apply and plan again, with the limit of reading.

    python benchmarks/reconcile.py [NUMBER] [--json FILE]

Every command is a separate process, as in CI. The limit is a process that reads the same files and parses them with
the C loader of the YAML library. No Python program that reads YAML on one core can be faster. Times are in seconds.
For commands that change nothing, the best of three runs counts. Memory is the largest resident set of the process or
of one of its workers. The last rows have the same webhooks with their shared values in defaults files. A second table
shows the cost of short commands, with the number of modules that they import (`python -X importtime`). --json writes
every run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_lab import HOOKLINE, Usage, machine, run, table

NUMBER = 10_000
REPEATS = 3
SHORT_COMMANDS = ("--version", "--help", "validate", "plan")
LIMIT_ROW = "the limit: and parse, C loader"
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


def write(directory: Path, number: int, *, concurrency: int = 32) -> None:
    """Write the file of webhook `number`; an organization has fifty webhooks."""
    folder = directory / "webhooks" / f"organization-{number // 50}"
    folder.mkdir(parents=True, exist_ok=True)
    text = WEBHOOK.format(
        organization=f"org{number // 50:06}@AdobeOrg", number=number, team=number % 37, concurrency=concurrency
    )
    (folder / f"box-{number}.yaml").write_text(text)


ROOT_DEFAULTS = """\
channels: [email, sms]
campaigns: all
events: [sent, delivered, bounce]
delivery:
  timeout: 10s
  concurrency: 32
  rateLimit: 200/s
  retry: {initialDelay: 2s, maxDelay: 1h, maxAge: 72h}
"""
FOLDER_DEFAULTS = """\
headers:
  X-Team: crm
  X-Api-Key: {env: HOOKLINE_SECRET_ACME_API_KEY}
"""
# The lines of a webhook file that the defaults files replace.
SHARED = re.compile(r"(?m)^(?:channels|campaigns|events): .*\n|^(?:headers|delivery):\n(?:  .*\n)+")


def share(directory: Path) -> None:
    """Move the values that all webhooks share to defaults files, which changes no webhook."""
    for folder in (directory / "webhooks").iterdir():
        for path in folder.iterdir():
            path.write_text(SHARED.sub("", path.read_text()))
        (folder / "_defaults.yaml").write_text(FOLDER_DEFAULTS)
    (directory / "webhooks" / "_defaults.yaml").write_text(ROOT_DEFAULTS)


def repeat(command: tuple[str, ...], directory: Path) -> list[Usage]:
    return [run(command, directory) for _ in range(REPEATS)]


def best(runs: list[Usage]) -> Usage:
    """The fastest of several runs, because other load on the machine only adds time."""
    return min(runs, key=lambda each: each.seconds)


def measure(number: int, directory: Path) -> dict[str, list[Usage]]:
    """The runs of each row of the table, in order."""
    for each in range(number):
        write(directory, each)
    rows = {
        "read the files, nothing else": repeat(READING, directory),
        LIMIT_ROW: repeat(LIMIT, directory),
        "validate": repeat((*HOOKLINE, "validate"), directory),
        "plan, all to create": repeat((*HOOKLINE, "plan"), directory),
        "apply": [run((*HOOKLINE, "apply", "--auto-approve", "--max-deletes", "0"), directory)],
        "plan, nothing to do": repeat((*HOOKLINE, "plan"), directory),
    }
    for each in range(0, number, 100):
        write(directory, each, concurrency=16)
    rows["plan, one in a hundred changed"] = repeat((*HOOKLINE, "plan"), directory)
    for each in range(0, number, 100):
        write(directory, each)
    share(directory)
    rows["validate, with defaults files"] = repeat((*HOOKLINE, "validate"), directory)
    return rows | {"plan, with defaults files, nothing to do": repeat((*HOOKLINE, "plan"), directory)}


def measure_short(directory: Path) -> dict[str, list[Usage]]:
    """The runs of commands whose start is most of their work, in a directory with one webhook."""
    write(directory, 0)
    run((*HOOKLINE, "apply", "--auto-approve"), directory)
    return {command: repeat((*HOOKLINE, command), directory) for command in SHORT_COMMANDS}


def imported_modules(command: str, directory: Path) -> int:
    traced = (sys.executable, "-X", "importtime", *HOOKLINE[1:], command)
    found = subprocess.run(traced, cwd=directory, check=True, capture_output=True, text=True).stderr
    return sum(line.startswith("import time:") for line in found.splitlines()) - 1  # the first line is the heading


def flat(command: str, one: Usage) -> dict[str, float | str]:
    return {
        "command": command,
        "seconds": one.seconds,
        "processor_seconds": one.processor,
        "mebibytes": one.mebibytes,
    }


def show(number: int, rows: dict[str, list[Usage]], short: dict[str, list[Usage]], modules: dict[str, int]) -> None:
    limit = best(rows[LIMIT_ROW]).seconds
    print(f"{number} webhooks, a file each; {machine()}")
    lines = []
    for label, runs in rows.items():
        row = best(runs)
        lines.append((
            label, f"{row.seconds:.2f}", f"{row.seconds / limit:.2f}", f"{row.processor:.2f}", f"{row.mebibytes:.0f}",
            f"{row.seconds / number * 1e6:.0f}",
        ))  # fmt: skip
    print(table(("", "seconds", "x limit", "CPU s", "MiB", "µs each"), lines), end="\n\n")
    starts = [
        (
            f"hookline {command}", f"{(row := best(runs)).seconds:.3f}", f"{row.processor:.3f}",
            f"{row.mebibytes:.0f}", f"{modules[command]}",
        )
        for command, runs in short.items()
    ]  # fmt: skip
    print(table(("one webhook", "seconds", "CPU s", "MiB", "modules"), starts))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure validate, plan and apply of many webhooks.")
    parser.add_argument("number", nargs="?", type=int, default=NUMBER, help="webhooks (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        many, one = Path(name, "many"), Path(name, "one")
        many.mkdir()
        one.mkdir()
        rows, short = measure(options.number, many), measure_short(one)
        modules = {command: imported_modules(command, one) for command in short}
    show(options.number, rows, short, modules)
    if options.json is not None:
        runs = [flat(label, each) for label, runs in rows.items() for each in runs]
        runs += [
            {**flat(f"one webhook, {command.lstrip('-')}", each), "modules": modules[command]}
            for command, runs in short.items()
            for each in runs
        ]
        options.json.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
