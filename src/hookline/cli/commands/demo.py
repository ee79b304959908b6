"""`hookline demo`: the whole of hookline in a few seconds, in a directory of its own."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hookline.cli.demo.demo_commands import DemoCommands, free_port
from hookline.cli.demo.demo_story import DEMO_PORT, copy_demo_files, play
from hookline.cli.options import PathParameter, examples
from hookline.errors import HooklineError
from hookline.paths import is_directory, is_link, is_regular_file, name_is_taken
from hookline.settings import environment_without_settings

_MARKER = "made-by-the-hookline-demo"
_CLOSING = """\
The demo applied webhooks from files and delivered feedback as signed requests. The endpoint was down at first and
then failed one request in ten. The relay retried every event until the endpoint accepted it. It skipped events that
no webhook wants, and kept the line that it could not read as a dead letter.
"""
_KEPT = """\
Next: change a line in {0}/webhooks/acme/prod.yaml and run the plan command again. Read the received requests in
{0}/received.ndjson. Run the relay command again: it sends nothing twice.
"""
_REMOVED = """\
The files of the demo are removed. `hookline demo DIR` keeps them, so that you can run its commands again.
"""


@click.command(
    epilog=examples("hookline demo", "hookline demo .demo", exits="0 done, 1 a step failed, 130 interrupted")
)
@click.argument("directory", metavar="[DIR]", required=False, type=PathParameter(path_type=Path))
def demo_command(*, directory: Path | None) -> None:
    """Run hookline once from webhook files to delivered feedback, against a receiver that fails.

    Takes about ten seconds. The receiver listens on 127.0.0.1, on port 8443 if it is free; nothing connects to
    another machine. The demo writes into a temporary directory, which it removes at the end, or into DIR, which it
    keeps. The next run in DIR replaces it.
    """
    with _ended_by_sigterm(), _directory(directory) as place:
        port = free_port(DEMO_PORT)
        _fill(place, port)
        secrets = {"HOOKLINE_SECRET_ACME_API_KEY": "an-api-key-for-the-demo"}
        play(place, port, DemoCommands({**environment_without_settings(), **secrets}))
    click.echo(f"\n{_CLOSING}\n{_REMOVED if directory is None else _KEPT.format(directory)}", nl=False)


@contextmanager
def _directory(named: Path | None) -> Iterator[Path]:
    if named is None:
        with tempfile.TemporaryDirectory(prefix="hookline-demo-") as made:
            yield Path(made)
        return
    if is_link(named) or (name_is_taken(named) and not is_directory(named)):
        raise HooklineError(f"{named} is not a directory of the demo", hint="name a new directory")
    if name_is_taken(named) and not is_regular_file(named / _MARKER) and any(named.iterdir()):
        raise HooklineError(
            f"{named} is not empty and was not made by the demo", hint="name a new directory, or move it away"
        )
    if name_is_taken(named):
        shutil.rmtree(named)
    named.mkdir(parents=True)
    yield named


def _fill(directory: Path, port: int) -> None:
    (directory / _MARKER).write_text("The next run of `hookline demo` deletes this directory.\n")
    copy_demo_files(directory, port)
    (directory / "secrets").mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    path = directory / "secrets" / "feedback-2026-11.pem"
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: its processes end, and a temporary directory is removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
