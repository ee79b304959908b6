"""Events that an endpoint gets again after a relay was killed: SIGKILL at random moments, at the full rate.

    python benchmarks/kills.py [--events 60000] [--kills 10] [--concurrency 16] [--seed 1] [--json FILE]

nginx records the id of each request that it answers. The relay is started again after each kill, until the input
ends. An event that is missing ends the benchmark. The promise is that a kill repeats at most max(64, 4 x concurrency)
outcomes of a webhook that were not written yet, and its attempts in flight.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from bench_lab import Process, apply, event, machine, relay_command, write_events, write_key
from debian import ensure_programs, find
from nginx import ID_LOG, Nginx
from results import Results

MIN_UNWRITTEN: Final = 64
POLL_SECONDS: Final = 0.005  # between two looks at the number of answers
SETTLE_SECONDS: Final = 0.3  # from the kill until nginx has recorded the requests that were on their way


def promised(concurrency: int) -> int:
    """The most events of one webhook that one kill may repeat."""
    return max(MIN_UNWRITTEN, 4 * concurrency) + concurrency


def answered(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def repeated_by(lives: list[list[str]]) -> list[int]:
    """For each life but the last, how many of its events a later life posted again.

    Raises ValueError if one life posted an event twice, which no kill explains."""
    found, latest = Counter[int](), dict[str, int]()
    for number, life in enumerate(lives):
        for identity in life:
            before = latest.get(identity)
            if before == number:
                raise ValueError(f"{identity}: posted twice by one process")
            if before is not None:
                found[before] += 1
            latest[identity] = number
    return [found[number] for number in range(len(lives) - 1)]


def lives_of(directory: Path, events: int, kills: int, concurrency: int, seed: int) -> list[list[str]]:
    """Run the relay to the end of its input, with kills between. Returns the ids that each process posted."""
    choice, log, lives, before = random.Random(seed), directory / ID_LOG, list[list[str]](), 0
    with Nginx.running(find("nginx") or "nginx", directory, log=True) as sink:
        webhook = {"url": f"https://localhost:{sink.port}/feedback", "delivery": {"concurrency": concurrency}}
        apply(directory, [webhook])
        command = relay_command(sink.ca_file, "--spool", "spool", "events")
        for kill in range(kills + 1):
            last = kill == kills
            share = events / (kills + 1)
            goal = before + choice.uniform(0.5, 1.0) * share
            process = Process(command, directory)
            while process.usage(wait=False) is None and (last or sink.answered() < goal):
                time.sleep(POLL_SECONDS)
            if not last and process.usage(wait=False) is None:
                process.popen.kill()
            usage = process.finish()
            if usage.code not in (0, -9):
                sys.exit(f"hookline: exit code {usage.code}\n{process.said()}")
            time.sleep(SETTLE_SECONDS)
            ids = answered(log)
            lives.append(ids[before:])
            before = len(ids)
            print(f"process {kill + 1} of {kills + 1}: {len(lives[-1]):,} posted", flush=True)
    return lives


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    given = parser.parse_args()
    if "nginx" not in ensure_programs(("nginx",)):
        print("No nginx, no sink: nothing to measure.")
        return
    results = Results(benchmark="kills")
    results.parameters = {"events": given.events, "kills": given.kills, "concurrency": given.concurrency}
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        directory = Path(name)
        write_events(directory / "events", map(event, range(given.events)))
        write_key(directory)
        lives = lives_of(directory, given.events, given.kills, given.concurrency, given.seed)
    missing = given.events - len(set().union(*lives))
    if missing:
        sys.exit(f"{missing} of {given.events} events were never posted")
    repeated, most = repeated_by(lives), promised(given.concurrency)
    results.add("repeated", "repeated by a kill", "events", repeated)
    results.add("repeated-most", "the most that one kill repeated", "events", [max(repeated)])
    results.add("repeated-to-promised", f"the most ÷ the promised {most}", "", [max(repeated) / most])
    print(f"{given.kills} kills, concurrency {given.concurrency}; {machine()}")
    print(f"repeated by each kill: {', '.join(map(str, repeated))}; promised: at most {most}; none is missing")
    results.write(given.json)


if __name__ == "__main__":
    main()
