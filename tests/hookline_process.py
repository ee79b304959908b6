"""Runs hookline as its users do: as processes, with real files, sockets and certificates.

The processes are forks of one that has hookline imported, unless a test names a program.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from builders import as_lines
from quick_hookline import start_hookline
from waiting import wait_until

HOOKLINE = (sys.executable, "-m", "hookline")
FACTS = Path(__file__).parent / "facts"
ORGANIZATION, SANDBOX = "acme@AdobeOrg", "prod"
ADDRESS = f"{ORGANIZATION}/{SANDBOX}"
LOOPBACK = ("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128")


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without HOOKLINE_ variables, plus `more`."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}, **more}


def start_process(
    program: Sequence[str] | None, *arguments: str, before: str = "", **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program, or hookline as a fork if `program` is None. The options are those of start_hookline."""
    if program is None:
        return start_hookline(*arguments, before=before, **options)
    return subprocess.Popen((*program, *arguments), **options)


def run_process(
    program: Sequence[str] | None, *arguments: str, stdin: bytes = b"", **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """The same, to its end."""
    pipe = subprocess.PIPE
    with start_process(program, *arguments, **options, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            out, errors = process.communicate(stdin, timeout=300)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


class Receiver:
    """A `hookline receive` process that accepts connections."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        record: str = "received.ndjson",
        port: int = 0,
        program: Sequence[str] | None = None,
    ) -> None:
        port_file = directory / "port"
        port_file.unlink(missing_ok=True)
        self.record_file = directory / record
        self.ca_file = directory / "tls" / "ca.pem"
        with (directory / "receiver.log").open("ab") as log:
            arguments = self._arguments(options, record, port)
            self.process = start_process(
                program, *arguments, cwd=directory, env=clean_environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        wait_until(port_file.exists, process=self.process, detail=(directory / "receiver.log").read_text)
        self.port = int(port_file.read_text())

    @staticmethod
    def _arguments(options: tuple[str, ...], record: str, port: int) -> tuple[str, ...]:
        where = ("--listen", f"127.0.0.1:{port}", "--tls-dir", "tls", "--port-file", "port")
        return ("receive", *where, "--record", record, "--quiet", *options)

    def records(self) -> list[dict[str, Any]]:
        """All recorded requests in the order of arrival, without the one that is being written."""
        if not self.record_file.exists():
            return []
        # The text after the last line end is still being written.
        return [json.loads(line) for line in self.record_file.read_text().split("\n")[:-1]]

    def accepted(self) -> list[str]:
        """The webhook-id of every accepted request, in the order of arrival."""
        return [one["headers"]["webhook-id"] for one in self.records() if one["status"] and one["status"] < 300]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)


class Lab:
    """A directory with webhooks, state and spool, in which a test runs commands."""

    def __init__(self, directory: Path, program: Sequence[str] | None = None) -> None:
        self.program = program
        self.before = ""  # code that the processes run first, if they are forks
        self.directory = directory
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        self.environment: dict[str, str] = {}

    def hookline(
        self, *arguments: str, stdin: bytes | None = None, code: int | None = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; `code` None accepts any exit code."""
        done = run_process(
            self.program,
            *arguments,
            stdin=stdin or b"",
            cwd=self.directory,
            env=clean_environment(**self.environment),
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    @contextmanager
    def receiver(self, *options: str, port: int = 0) -> Iterator[Receiver]:
        started = Receiver(self.directory, *options, port=port, program=self.program)
        try:
            yield started
        finally:
            started.end()

    def apply(self, url: str, *, organization: str = ORGANIZATION, sandbox: str = SANDBOX, **fields: Any) -> None:
        """Write a webhook file (JSON is YAML) and apply the directory."""
        document = {
            "version": 1, "organization": organization, "sandbox": sandbox, "name": "lab",
            "channels": ["email", "sms"], "url": url, "campaigns": "all",
            "delivery": {"concurrency": 16, "retry": {"initialDelay": "20ms", "maxDelay": "500ms", "maxAge": "1h"}},
            **fields,
        }  # fmt: skip
        path = self.directory / "webhooks" / organization / f"{sandbox}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
        self.hookline("apply", "--auto-approve")

    def relay_arguments(self, receiver: Receiver, *arguments: str) -> tuple[str, ...]:
        return (
            "relay", "--organization", ORGANIZATION, "--sandbox", SANDBOX, *LOOPBACK, "--ca-file",
            str(receiver.ca_file), "--secrets-dir", str(self.secrets), "--log-level", "warning", *arguments,
        )  # fmt: skip

    def relay(
        self, receiver: Receiver, *arguments: str, stdin: bytes | None = None, code: int | None = 0
    ) -> dict[str, Any]:
        """Run the relay to its end; its summary, whose counts must balance."""
        options = self.relay_arguments(receiver, "--summary", "json", *arguments)
        done = self.hookline(*options, stdin=stdin, code=code)
        summary: dict[str, Any] = json.loads(done.stdout)
        assert adds_up(summary), summary
        return summary

    @contextmanager
    def running(self, *arguments: str, stdin: int | None = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command during the test. If it still runs at the end, it is killed."""
        with (self.directory / "relay.log").open("ab") as log:
            process = start_process(
                self.program, *arguments, cwd=self.directory, env=clean_environment(**self.environment),
                stdin=stdin, stdout=subprocess.PIPE, stderr=log, before=self.before,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):  # the rest of the buffer for a killed process
                if process.stdin is not None:
                    process.stdin.close()
            assert process.stdout is not None
            process.stdout.close()

    def wait_for_progress(self, relay: subprocess.Popen[bytes], *, within_seconds: float = 60.0) -> None:
        """Wait until a relay may be killed without becoming careful at its next starts.

        Kills without progress are crashes to the relay. After CRASHES_BEFORE_CARE of them it delivers one event after
        the other, and takes the event in hand at a further kill for the cause. One start without progress is allowed
        here. Returns also if the relay ends, or if it makes no progress in time, because it has nothing to do.
        """
        deadline = time.monotonic() + within_seconds
        while relay.poll() is None and self.starts_without_progress() > 1 and time.monotonic() < deadline:
            time.sleep(0.02)

    def starts_without_progress(self) -> int:
        """The most starts since the last progress of any work in the spool of the directory."""
        path = self.directory / ".hookline" / "spool" / "spool.db"
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as spool:
                return int(spool.execute("SELECT coalesce(max(starts), 0) FROM work").fetchone()[0])
        except sqlite3.OperationalError:  # there is no spool yet
            return 0

    def write_events(self, name: str, events: Iterable[dict[str, Any]]) -> Path:
        path = self.directory / name
        path.write_bytes(as_lines(events))
        return path

    def dead(self) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = json.loads(self.hookline("dead", "list", "--format", "json").stdout)
        return letters


def adds_up(summary: dict[str, Any]) -> bool:
    """read + carried = delivered + skipped + rejected + dead + pending + duplicates."""
    fates = ("delivered", "rejected", "dead", "pending", "duplicates")
    settled = sum(summary[fate] for fate in fates) + sum(summary["skipped"].values())
    return bool(summary["read"] + summary["carried"] == settled)


def platform_log_is_delivered(lab: Lab) -> None:
    """Relay the platform's example log: every line is a request or a skip; a second run sends nothing."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        log = str(FACTS / "xdm-feedback-events.ndjson")
        summary = lab.relay(receiver, log)
        statuses = {f"status_not_relayed:{name}": 1 for name in ("delay", "denylist", "exclude")}
        skipped = {"channel_not_relayed": 1, "journey": 1, "message_type_not_selected": 1, **statuses}
        assert {
            "read": 17, "carried": 0, "delivered": 11, "skipped": skipped, "rejected": 0, "dead": 0, "pending": 0,
            "duplicates": 0, "attempts": 11,
        } == {key: value for key, value in summary.items() if key != "seconds"}  # fmt: skip
        assert [True] * 11 == [request["verified"]["payload"] for request in receiver.records()]
        assert 0 == lab.relay(receiver, log)["read"]
        assert {"delivered": 0, "duplicates": 11}.items() <= lab.relay(receiver, "--from-start", log).items()
        forced = lab.relay(receiver, "--from-start", "--dedupe-window", "0", log)
        assert {"delivered": 11, "duplicates": 0}.items() <= forced.items()
