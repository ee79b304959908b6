"""`hookline receive`: a local HTTPS receiver for development."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import click

from hookline.cli.options import DURATION, LISTEN, ParsedParameter, PathParameter, examples
from hookline.cli.output.output_file import (
    is_standard_output,
    open_appended,
    open_output,
    refuse_output,
    waits_for_reader,
)
from hookline.cli.output.request_line import request_line
from hookline.errors import HooklineError, WrongUse
from hookline.exit_codes import ExitCode
from hookline.receiver.faults import Fault, FaultPlan, parse_fault
from hookline.receiver.receiver_settings import LOCAL_NAMES, ReceiverSettings
from hookline.receiver.responses import Stats
from hookline.receiver.server import Receiver
from hookline.units import parse_duration

FILE = click.Path(path_type=Path, dir_okay=False)


def _retry_after(text: str) -> int:
    """Whole seconds: a duration, or the number itself as in the header."""
    if text.isascii() and text.isdecimal():
        return int(text)
    seconds = parse_duration(text).total_seconds()
    if not seconds.is_integer():
        raise ValueError(f"not whole seconds: {text!r} (write 30s or 5m)")
    return int(seconds)


@click.command(
    epilog=examples(
        "hookline receive --fail 503:0.2 --jwks acme.jwks.json --record received.ndjson",
    )
)
@click.option(
    "--listen", default="127.0.0.1:8443", type=LISTEN, help="The address to listen on. Port 0: any free port."
)
@click.option("--host", multiple=True, metavar="NAME", help="An additional name for the certificate (repeatable).")
@click.option(
    "--tls-dir",
    type=PathParameter(path_type=Path, file_okay=False),
    default=".hookline/receive",
    help="The directory of the certificates. Clients trust its ca.pem (relay --ca-file).",
)
@click.option("--port-file", type=FILE, help="Write the port to this file once the receiver accepts connections.")
@click.option(
    "--record", type=FILE, help="Append each request to this file, as one line of JSON; - is standard output."
)
@click.option("--quiet", is_flag=True, help="Do not print requests.")
@click.option(
    "--jwks", type=FILE, help="Answer 401 unless the token is valid for this JWK Set (from: hookline jwks)."
)
@click.option(
    "--hmac-secret-file",
    type=FILE,
    help="Answer 401 unless the HS256, HS384 or HS512 token is valid for this secret.",
)
@click.option(
    "--signature-secret-file",
    type=FILE,
    help="Answer 401 unless webhook-signature is valid for a secret in this file: one whsec_… or whpk_… per line.",
)
@click.option("--audience", metavar="TEXT", help="The audience (aud) that a token must have.")
@click.option("--token-header", default="Authorization", help="The header that carries the token.")
@click.option(
    "--protect",
    multiple=True,
    metavar="PATH",
    help="Require a token or signature only for paths that begin with this one (repeatable).",
)
@click.option(
    "--verify-payload/--no-verify-payload",
    default=True,
    show_default=False,
    help="Check bodies against the payload schema.",
)
@click.option("--strict", is_flag=True, help="Answer 422 if a body does not match the schema.")
@click.option(
    "--fail",
    multiple=True,
    type=ParsedParameter("status:share", parse_fault),
    help="Fail a share of the requests, such as 503:0.2 (repeatable).",
)
@click.option(
    "--seed", type=int, default=0, help="The seed of --fail. Equal seeds fail the same sequence of requests."
)
@click.option(
    "--outage",
    type=DURATION,
    default="0s",
    show_default=False,
    help="Answer 503 for this long, starting with the first request.",
)
@click.option("--delay", type=DURATION, default="0s", show_default=False, help="Wait this long before each response.")
@click.option(
    "--retry-after",
    type=ParsedParameter("duration", _retry_after),
    help="Send Retry-After with each response of --fail and --outage, such as 30s. The header has whole seconds.",
)
@click.option(
    "--requests", "stop_after", type=click.IntRange(min=1), metavar="N", help="Exit after N accepted requests."
)
def receive_command(
    *,
    listen: tuple[str, int],
    host: tuple[str, ...],
    port_file: Path | None,
    record: Path | None,
    quiet: bool,
    protect: tuple[str, ...],
    fail: tuple[Fault, ...],
    outage: float,
    delay: float,
    **settings_by_name: Any,
) -> int:
    """Run a local HTTPS receiver for development.

    Prints each request as it comes. On a terminal, that is a readable line, without the recipient. Otherwise it is a
    line of JSON: time, method, path, headers, body, the status of the response, and whether token and payload are
    valid. The first start creates a certificate and keeps it. Ends on Ctrl-C or
    SIGTERM with a summary.
    """
    try:
        fault_plan = FaultPlan(faults=fail, outage=timedelta(seconds=outage))
    except ValueError as error:
        raise WrongUse(str(error), hint="lower the shares of --fail") from error
    if relative := next((path for path in protect if not path.startswith("/")), None):
        raise WrongUse(f"--protect {relative}: not a path of a request", hint=f"write --protect /{relative}")
    address, port = listen
    own_name = address if address not in ("0.0.0.0", "::") else "localhost"  # noqa: S104 - compared, not listened on
    settings = ReceiverSettings(
        host=address,
        port=port,
        names=tuple(dict.fromkeys((*LOCAL_NAMES, own_name, *host))),
        protected=protect or ("/",),
        fault_plan=fault_plan,
        delay=timedelta(seconds=delay),
        **settings_by_name,
    )
    url_host = next(iter(host), "localhost" if own_name in LOCAL_NAMES else own_name)
    for output in (one for one in (port_file, record) if one is not None):
        refuse_output(output)
    with ExitStack() as opened:
        on_stdout = record is not None and is_standard_output(record)
        shows_lines = not quiet and not on_stdout and sys.stdout.isatty()
        outputs = () if quiet or shows_lines else (sys.stdout.buffer,)
        if record is not None and (quiet or not on_stdout):
            outputs = (*outputs, opened.enter_context(open_appended(record, mode=0o600)))
        live = (request_line, sys.stdout.buffer) if shows_lines else None
        receiver = Receiver(settings, outputs=outputs, live=live)
        write_port = opened.enter_context(_port_writer(port_file))
        stats = asyncio.run(_serve(receiver, url_host, write_port))
    _print_summary(stats)
    return ExitCode.DONE


def _print_summary(stats: Stats) -> None:
    rows = {
        "requests": stats.requests,
        "accepted": stats.accepted,
        "failed on purpose": stats.failed_on_purpose,
        "invalid": stats.invalid,
        "client closed early": stats.disconnected,
        "distinct webhook-id": len(stats.ids),
        "repeated webhook-id": stats.repeated,
    }
    for label, count in rows.items():
        click.echo(f"{label:<24}{count:>9,}", err=True)


async def _serve(receiver: Receiver, url_host: str, write_port: Callable[[int], None]) -> Stats:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, receiver.stop)

    def ready(port: int) -> None:
        host = f"[{url_host}]" if ":" in url_host else url_host
        click.echo(f"listening on https://{host}:{port}", err=True)
        click.echo(f"clients trust it with --ca-file {receiver.identity.ca_file}", err=True)
        write_port(port)

    return await receiver.serve(ready)


@contextmanager
def _port_writer(path: Path | None) -> Iterator[Callable[[int], None]]:
    """Yield the function that writes the port. A pipe is opened here: its reader may come late, or never.

    A regular file is replaced in one step, because other programs wait for it.
    """
    if path is None:
        yield lambda _: None
    elif waits_for_reader(path):
        with open_appended(path, mode=0o666) as pipe:
            yield lambda port: _write_port(pipe, path, port)  # closes it, so that the reader sees its end
    else:
        yield lambda port: _write_port(open_output(path, mode=0o666, synced=False), path, port)


def _write_port(output: AbstractContextManager[IO[bytes]], path: Path, port: int) -> None:
    try:
        with output as file:
            file.write(f"{port}\n".encode())
    except OSError as failed:
        hint = "check the program that reads the pipe"
        raise HooklineError(f"{path} cannot be written: {failed.strerror}", hint=hint) from failed
