"""`python -m explorer` explores the scenarios, and shows the number of interleavings and states of each."""

from __future__ import annotations

import sys

from explorer.explorer import Explorer
from explorer.scenarios import LONG_SCENARIOS, SCENARIOS


def main() -> int:
    chosen = sys.argv[1:] or list(SCENARIOS)
    violated = False
    for name in chosen:
        report = Explorer((SCENARIOS | LONG_SCENARIOS)[name]).explore()
        violated = violated or report.violation is not None
        print(f"{name}: {report}")  # noqa: T201 - the output of a command
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
