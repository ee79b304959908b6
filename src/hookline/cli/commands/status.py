"""`hookline status`: show the spool, and the relay that uses it."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Final

import click

from hookline.cli.options import DURATION, examples, format_option, spool_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.status.status_report import read_limits, read_report
from hookline.cli.status.status_text import status_text
from hookline.errors import WrongUse
from hookline.exit_codes import ExitCode
from hookline.observe.status import status_document
from hookline.relay.spool.factory import spool_store

MIN_INTERVAL_SECONDS: Final = 0.2
_MAX_REASON_CHARS: Final = 60


@click.command(
    epilog=examples(
        "hookline status",
        "hookline status --watch --interval 5s",
        "hookline status --format json | jq .oldestSeconds",
        exits="0 done, 8 no such spool, or it cannot be read",
    )
)
@spool_option
@state_option
@click.option("--all", "everything", is_flag=True, help="Show every webhook and every source.")
@click.option("--watch", is_flag=True, help="Show the status in the whole terminal until Ctrl-C, and read it again.")
@click.option("--interval", type=DURATION, default="2s", show_default=True, help="How often --watch reads it.")
@format_option("text", "json", help="Text for people, or the document of `hookline schema status`.")
def status_command(*, spool: str, state: str, everything: bool, watch: bool, interval: float, form: str) -> int:
    """Show the spool, its webhooks and checkpoints, and the relay that uses it.

    Reads the spool beside a running relay and changes nothing. Webhooks that need attention come first. The drain
    forecast shows how long the pending deliveries take, and how many of them pass maxAge before. It assumes that no
    new events come, and that endpoints answer as in the latest minutes. Without a relay, the limits are those of the
    applied state, if it can be read.

    --watch redraws the same in place, with the accepted attempts of the last hour, if the terminal is wide enough.
    It needs a terminal.
    """
    if watch:
        _require_watchable(form, interval)
        # Importing rich takes time.
        from hookline.cli.status.status_watch import watch_status  # noqa: PLC0415

        watch_status(spool, state, interval_seconds=interval, everything=everything)
        return ExitCode.DONE
    report = read_report(spool_store(spool).statistics(), applied=partial(read_limits, state), now=time.time())
    if form == "json":
        print_json(status_document(report.spool, report.relay, report.holder, report.processes, report.drain))
        return ExitCode.DONE
    # A reason that is too long for a terminal would wrap. A file or another program gets the whole of it.
    width = _MAX_REASON_CHARS if sys.stdout.isatty() else None
    lines = status_text(
        report.spool, report.relay, report.holder, processes=report.processes, drain=report.drain,
        everything=everything, max_reason_characters=width,
    )  # fmt: skip
    click.echo("\n".join(lines))
    return ExitCode.DONE


def _require_watchable(form: str, interval: float) -> None:
    """Raises WrongUse."""
    if form != "text":
        raise WrongUse("--watch shows text only", hint="call `hookline status --format json` again and again")
    if interval < MIN_INTERVAL_SECONDS:
        raise WrongUse(f"--interval is shorter than {MIN_INTERVAL_SECONDS:g} s", hint="give a longer one, such as 2s")
    if not sys.stdout.isatty():
        raise WrongUse(
            "--watch needs a terminal: standard output is none",
            hint="without --watch, `hookline status` prints the status once",
        )
