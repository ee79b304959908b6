"""The `hookline` program, also as ``python -m hookline``. It can be interrupted before its modules are loaded."""

from __future__ import annotations

import sys


def start() -> None:
    """Run the program, and end it with an exit code."""
    try:
        from hookline.cli.main import run  # noqa: PLC0415 - loading takes most of the time of a short command

        run()
    except KeyboardInterrupt:
        from hookline.exit_codes import ExitCode  # noqa: PLC0415 - as above

        if sys.stderr is not None:
            sys.stderr.write("Interrupted.\n")
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    start()
