"""Ten thousand webhooks from a cold start: validate, plan, apply and plan again, with the limit of reading.

    python benchmarks/reconcile.py [NUMBER]

Every command is a separate process, as in CI. The limit is a process that reads the same files and parses them with
the C loader of the YAML library. No Python program that reads YAML on one core can be faster. Times are in seconds.
For commands that change nothing, the best of three runs counts. Memory is the largest resident set of the process
or of one of its workers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench_lab import HOOKLINE, Usage, machine, run, table

NUMBER = 10_000
REPEATS = 3
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


def best(command: tuple[str, ...], directory: Path) -> Usage:
    """The fastest of several runs, because other load on the machine only adds time."""
    return min((run(command, directory) for _ in range(REPEATS)), key=lambda each: each.seconds)


def measure(number: int, directory: Path) -> dict[str, Usage]:
    """The rows of the table, in order."""
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
    print(f"{number} webhooks, a file each; {machine()}")
    lines = [
        (
            label, f"{row.seconds:.2f}", f"{row.seconds / limit:.2f}", f"{row.processor:.2f}", f"{row.mebibytes:.0f}",
            f"{row.seconds / number * 1e6:.0f}",
        )
        for label, row in rows.items()
    ]  # fmt: skip
    print(table(("", "seconds", "x limit", "CPU s", "MiB", "µs each"), lines))


if __name__ == "__main__":
    main()
