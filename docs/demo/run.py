"""The whole of hookline in a few seconds: from webhook files to delivered feedback, with an endpoint that fails.

Run it by `make demo`, or `python docs/demo/run.py`. It uses the installed `hookline` command. It
writes into `.demo/` and changes nothing else.
"""

# ruff: noqa: T201, S603 - printing, and running the command that it is about, is the purpose of a demo

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(".demo")  # all paths are relative to ROOT, also in the commands that the demo shows
MARKER = SCRATCH / "made-by-the-hookline-demo"
PORT = 8443  # the repository's own webhooks point there
CONFIG = ("--config", f"{SCRATCH}/webhooks")
STATE = ("--state", f"{SCRATCH}/state.db")
PROD = "1234567890ABCDEF@AdobeOrg/prod"
RELAY = (
    *("relay", "-", "--organization", "1234567890ABCDEF@AdobeOrg", "--sandbox", "prod"),
    *(*STATE, "--spool", f"{SCRATCH}/spool", "--secrets-dir", f"{SCRATCH}/secrets"),
    *("--ca-file", f"{SCRATCH}/tls/ca.pem", "--allow-network", "127.0.0.0/8", "--allow-network", "::1/128"),
    *("--log-level", "warning"),
)
RECEIVE = (
    *("receive", "--listen", f"127.0.0.1:{PORT}", "--outage", "300ms", "--fail", "503:0.1", "--seed", "11"),
    *("--jwks", f"{SCRATCH}/prod.jwks.json", "--audience", "feedback-receiver", "--protect", "/feedback/prod"),
    *("--tls-dir", f"{SCRATCH}/tls", "--port-file", f"{SCRATCH}/port"),
    *("--record", f"{SCRATCH}/received.ndjson", "--quiet"),
)
REJECTED_LINES = 3  # relay's exit code when a line of a finite input could not be read: one of these is cut off

CLOSING = """\
The demo applied webhooks from files and delivered feedback as signed requests. The endpoint was down at first and
then failed one request in ten. The relay retried every event until the endpoint accepted it. It skipped events that
no webhook wants, and kept the line that it could not read as a dead letter.

Next: change a line in .demo/webhooks/acme/prod.yaml, a copy of the repository's file, and run the plan command
again. Read the received requests in .demo/received.ndjson. Run the relay command again: it sends nothing twice.
"""


class DemoFailed(Exception):
    """A step of the demo failed; the message is for the user."""


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    os.chdir(ROOT)
    try:
        _play(_hookline(), _environment())
    except DemoFailed as failed:
        print(f"\nThe demo stopped: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started has ended.", file=sys.stderr)
        return 130
    return 0


def _play(hookline: str, environment: Mapping[str, str]) -> None:
    _make_scratch()

    def run(*arguments: str, output: Path | None = None) -> None:
        _run(hookline, arguments, environment, output)

    _heading("Validate the webhook files")
    run("validate", *CONFIG)
    _heading("Plan the changes")
    run("plan", *CONFIG, *STATE)
    _heading("Apply the plan")
    run("apply", *CONFIG, *STATE, "--auto-approve")
    _heading("Give the public key to the receiver")
    run("jwks", PROD, *STATE, "--secrets-dir", f"{SCRATCH}/secrets", output=SCRATCH / "prod.jwks.json")
    _heading("Start a receiver that is down at first and then fails one request in ten")
    with _receiver(hookline, environment):
        _heading("Relay the events of an export")
        _run(hookline, RELAY, environment, None, source=Path("docs/demo/events.ndjson"), expected=REJECTED_LINES)
        _heading("Stop the receiver; it prints its counts")
    _heading("Accepted requests, by webhook")
    _print_received(SCRATCH / "received.ndjson")
    _heading("Dead letters, with their reasons")
    run("dead", "list", "--spool", f"{SCRATCH}/spool")
    print(f"\n{CLOSING}", flush=True)


def _hookline() -> str:
    beside = Path(sys.executable).with_name("hookline")
    found = str(beside) if beside.exists() else shutil.which("hookline")
    if found is None:
        raise DemoFailed("there is no hookline command; run `make demo`, or install it first: pipx install .")
    return found


def _environment() -> dict[str, str]:
    """The caller's environment without hookline's settings, plus the secret that the webhook of prod refers to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
    return {**kept, "HOOKLINE_SECRET_ACME_API_KEY": "an-api-key-for-the-demo"}


def _make_scratch() -> None:
    if SCRATCH.exists() or SCRATCH.is_symlink():
        if SCRATCH.is_symlink() or not MARKER.is_file():
            raise DemoFailed(f"{ROOT / SCRATCH} was not made by this demo; move it away first")
        shutil.rmtree(SCRATCH)
    (SCRATCH / "secrets").mkdir(parents=True, mode=0o700)
    # Copies, so that nothing that the demo suggests changes a file of the checkout.
    shutil.copytree("webhooks", SCRATCH / "webhooks")
    MARKER.write_text("This directory is deleted by the next run of docs/demo/run.py.\n")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = SCRATCH / "secrets" / "feedback-2026-11.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)


def _run(
    hookline: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    output: Path | None,
    *,
    source: Path | None = None,
    expected: int = 0,
) -> None:
    """Show a command, run it, and check its exit code. An interrupt also ends the command."""
    redirections = (f" < {source}" if source else "") + (f" > {output}" if output else "")
    _show(arguments, redirections)
    with (source or Path(os.devnull)).open("rb") as stdin, output.open("wb") if output else nullcontext() as stdout:
        process = subprocess.Popen((hookline, *arguments), env=environment, stdin=stdin, stdout=stdout)
        try:
            code = process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"`hookline {arguments[0]}` did not end within two minutes") from None
        finally:
            _end(process)
    if code != expected:
        raise DemoFailed(f"`hookline {arguments[0]}` ended with exit code {code}, not {expected}")


@contextmanager
def _receiver(hookline: str, environment: Mapping[str, str]) -> Iterator[None]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            raise DemoFailed(
                f"port {PORT} of 127.0.0.1 is taken ({error.strerror}); end what listens there"
            ) from error
    _show(RECEIVE, " &")
    process = subprocess.Popen((hookline, *RECEIVE), env=environment, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (SCRATCH / "port").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed("the receiver did not start")
            time.sleep(0.05)
        yield
    finally:
        _end(process)
    if process.returncode != 0:
        raise DemoFailed(f"the receiver ended with exit code {process.returncode}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _print_received(record: Path) -> None:
    requests: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    signed: Counter[str] = Counter()
    ids: dict[str, set[str]] = {}
    for text in record.read_text().splitlines():
        line = json.loads(text)
        path = line["path"]
        requests[path] += 1
        if 200 <= (line["status"] or 0) < 300:
            accepted[path] += 1
            signed[path] += line["verified"]["jwt"] is True
            ids.setdefault(path, set()).add(line["headers"]["webhook-id"])
    print(f"{'webhook path':<20}{'requests':>10}{'accepted':>10}{'events':>8}{'JWT verified':>14}")
    for path in sorted(requests):
        print(f"{path:<20}{requests[path]:>10}{accepted[path]:>10}{len(ids.get(path, ())):>8}{signed[path]:>14}")
    sys.stdout.flush()


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _show(arguments: tuple[str, ...], ending: str) -> None:
    print(f"$ hookline {shlex.join(arguments)}{ending}", flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
