"""The targets under atheris, which looks for bytes that reach new code: `make soak`, or

    python tests/fuzz/fuzzing.py [TARGET] [--seconds N]

A finding is written into the working directory (crash-…), and shown. Without atheris this says how to get it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

HOW = "atheris is not installed, so nothing is fuzzed: pip install -e '.[fuzz]' (wheels: Linux, Python 3.11 to 3.13)"
# What stands between the bytes and what is done about them; the rest would only make it slower.
INSTRUMENTED = ("hookline.config", "hookline.plan", "hookline.relay", "hookline.canonical")


def fuzz(name: str, seconds: int, directory: str) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        targets = importlib.import_module("fuzz.targets")
    target, seeds = targets.TARGETS[name]
    for number, seed in enumerate(seeds()):
        (Path(directory) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            "-max_len=16384",
            "-timeout=20",
            "-print_final_stats=1",
            directory,
        ],
        target,
    )
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=["webhook-file", "event-line", "plan-file", "http-answer"])
    parser.add_argument("--seconds", type=int, default=300)
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(f"{HOW}\n")
        return 0
    if arguments.target is not None:
        with tempfile.TemporaryDirectory() as directory:
            fuzz(arguments.target, arguments.seconds, directory)
        return 0
    for name in ("webhook-file", "event-line", "plan-file", "http-answer"):
        sys.stderr.write(f"== {name}, {arguments.seconds} s\n")
        done = subprocess.run((sys.executable, __file__, name, "--seconds", str(arguments.seconds)), check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
