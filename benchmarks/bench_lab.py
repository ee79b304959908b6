"""Shared parts of the benchmarks: events, webhooks, processes with their resource usage, and the table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

# The endpoint of the fault tests is also the sink of the benchmarks that nginx cannot serve.
sys.path.append(str(Path(__file__).parents[1] / "tests"))

# The processes write bytecode, also where the environment forbids it, as in many containers. Without it, each start
# would compile all modules of the checkout. An installed package has its bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

HOOKLINE: Final = (sys.executable, "-m", "hookline")
ORGANIZATION: Final = "bench@AdobeOrg"
BYTES_OF_AN_EVENT: Final = 662  # the size of the platform's documented example as compact JSON
KEY_FILE: Final = "bench.pem"
JWT: Final = {"type": "jwt", "algorithm": "ES256", "keys": [{"id": "bench", "secret": {"file": KEY_FILE}}]}


def event(number: int, *, sandbox: str = "prod", request_id: str | None = None) -> bytes:
    """A line in the format `payload`, 662 bytes without the line end; every event has its own message.

    The relay passes `request_id` on to the endpoint, so a benchmark can put a time into it.
    """
    value: dict[str, Any] = {
        "requestId": request_id or f"req-{number:024}", "imsOrg": ORGANIZATION,
        "sandbox": {"id": "068abf40-575e-11ea-8512-9b1bfdb82603", "name": sandbox},
        "channel": "email", "eventType": "message.feedback",
        "messageExecution": {
            "messageExecutionID": f"HUMA-{number:08}", "messageType": "transactional",
            "campaignID": "16f24a15-7e21-477c-848a-d5695ca7f137",
            "campaignVersionID": "2ca10c10-56dd-4505-87cd-fa5da84e7a5d"},
        "messageDeliveryFeedback": {
            "feedbackStatus": {"value": "bounce"}, "offers": None, "messageExclusion": None,
            "messageFailure": {"category": "sync", "type": "Ignored", "code": "25", "reason": ""},
            "retryCount": 0},
        "identityMap": {"email": [{"id": "u@luma.com", "primary": True}]},
    }  # fmt: skip
    short = len(json.dumps(value, separators=(",", ":")))
    value["messageDeliveryFeedback"]["messageFailure"]["reason"] = "Admin Failure".ljust(
        BYTES_OF_AN_EVENT - short, "."
    )
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def write_events(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def apply(directory: Path, webhooks: Iterable[dict[str, Any]]) -> None:
    """Apply exactly these webhooks. Each is a document without the fields that all of them share."""
    shutil.rmtree(directory / "webhooks", ignore_errors=True)
    (directory / "webhooks").mkdir()
    for webhook in webhooks:
        document = {
            "version": 1, "organization": ORGANIZATION, "sandbox": "prod", "name": "bench", "channels": ["email"],
            "campaigns": "all", "authentication": JWT, **webhook,
        }  # fmt: skip
        (directory / "webhooks" / f"{document['sandbox']}.yaml").write_text(json.dumps(document))
    command = (*HOOKLINE, "apply", "--auto-approve", "--max-deletes", "1000")
    applied = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
    if applied.returncode:
        sys.exit(f"apply: exit code {applied.returncode}\n{applied.stderr}{applied.stdout}")


def write_key(directory: Path) -> None:
    """Write the key that signs the tokens, in the secrets directory of `relay_command`."""
    (directory / "secrets").mkdir(exist_ok=True)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = directory / "secrets" / KEY_FILE
    key.touch(mode=0o600)  # the relay refuses a secret that others can read
    key.write_bytes(pem)


def relay_command(ca_file: Path, *options: str, program: Sequence[str] = HOOKLINE) -> tuple[str, ...]:
    """The command of a relay that may connect to this machine."""
    return (
        *program, "relay", "--allow-network", "127.0.0.0/8", "--allow-network", "::1/128", "--ca-file", str(ca_file),
        "--secrets-dir", "secrets", "--log-level", "warning", "--summary", "json", *options,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that an ended process used.

    Seconds are wall-clock time. Processor time and the largest resident set (MiB) include its children."""

    code: int
    seconds: float
    processor: float
    mebibytes: float


class Process:
    """A process that measures its usage. Its output goes to the files `out` and `err` in its directory."""

    def __init__(self, command: Sequence[str], directory: Path, *, stdin: int = subprocess.DEVNULL) -> None:
        self.command = command
        self.out, self.err = (directory / f"{Path(command[0]).name}.{name}" for name in ("out", "err"))
        self.started = time.perf_counter()
        self._usage: Usage | None = None
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.popen = subprocess.Popen(command, cwd=directory, stdin=stdin, stdout=out, stderr=err)

    def usage(self, *, wait: bool = True) -> Usage | None:
        """The usage; None if the process still runs, which needs `wait` to be false."""
        if self._usage is None:
            pid, status, used = os.wait4(self.popen.pid, 0 if wait else os.WNOHANG)
            if pid:
                code = self.popen.returncode = os.waitstatus_to_exitcode(status)
                seconds = time.perf_counter() - self.started
                self._usage = Usage(code, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
        return self._usage

    def end(self) -> Usage:
        """Send SIGTERM if it still runs, and wait for its end."""
        if (usage := self.usage(wait=False)) is not None:
            return usage
        self.popen.send_signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> Usage:
        """Wait until the process ends by itself."""
        usage = self.usage()
        assert usage is not None
        return usage

    def said(self) -> str:
        """The end of its output, for a message."""
        return (self.err.read_text(errors="replace") + self.out.read_text(errors="replace"))[-2_000:]


def run(command: Sequence[str], directory: Path, *, codes: Sequence[int] = (0,)) -> Usage:
    """Run one process to its end. If it fails, the benchmark ends."""
    process = Process(command, directory)
    usage = process.finish()
    if usage.code not in codes:
        sys.exit(f"{' '.join(command)}: exit code {usage.code}\n{process.said()}")
    return usage


def machine() -> str:
    return f"{len(os.sched_getaffinity(0))} cores, Python {sys.version.split()[0]}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The rows as text: the first column aligned left, the others right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
