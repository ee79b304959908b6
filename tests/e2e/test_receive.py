"""`hookline receive` as a developer meets it: a process of its own, on a real port."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hookline_process import clean_environment, run_process
from quick_hookline import start_hookline
from waiting import wait_until

EVENT = {"webhook-id": "msg_1"}


class Receiving:
    """A receiver that is ready, and what it printed once it has ended."""

    def __init__(self, directory: Path, *options: str, stdout: int = subprocess.PIPE, **variables: str) -> None:
        self.directory = directory
        port_file = directory / "port"
        port_file.unlink(missing_ok=True)
        arguments = ("receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", "--port-file", "port", *options)
        self.process = start_hookline(
            *arguments, cwd=directory, env=clean_environment(**variables), stdout=stdout, stderr=subprocess.PIPE
        )
        wait_until(port_file.exists, process=self.process)
        self.port = int(port_file.read_text())
        self.out = self.err = ""

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=self.directory / "tls" / "ca.pem")
        return httpx.Client(verify=trust, base_url=f"https://localhost:{self.port}", trust_env=False)

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Wait for the end, asked for by a signal or not; returns the exit code."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=30)
        self.out, self.err = (out or b"").decode(), errors.decode()
        return self.process.returncode


@contextmanager
def receiving(directory: Path, *options: str, stdout: int = subprocess.PIPE, **variables: str) -> Iterator[Receiving]:
    started = Receiving(directory, *options, stdout=stdout, **variables)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.__exit__(None, None, None)


def hookline(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    done = run_process(None, *arguments, cwd=directory, env=clean_environment())
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_a_summary(tmp_path: Path, number: signal.Signals) -> None:
    """What came in is on stdout as NDJSON; where to send to and the summary are on stderr; the exit code is 0."""
    with receiving(tmp_path, "--no-verify-payload", "--fail", "503:0") as started, started.client() as client:
        for _ in range(2):
            assert 204 == client.post("/feedback", json={"a": 1}, headers=EVENT).status_code
        assert 405 == client.get("/").status_code
        assert 0 == started.end(number)
    assert [204, 204, 405] == [json.loads(line)["status"] for line in started.out.splitlines()]
    assert f"listening on https://localhost:{started.port}" == started.err.splitlines()[0]
    summary = dict(line.rsplit(maxsplit=1) for line in started.err.splitlines()[2:])
    assert {
        "requests": "3",
        "accepted": "2",
        "failed on purpose": "0",
        "invalid": "1",
        "client closed early": "0",
        "distinct webhook-id": "1",
        "repeated webhook-id": "1",
    } == summary


def test_a_terminal_shows_a_readable_line_for_each_request(tmp_path: Path) -> None:
    """Lines come with the requests. They show no recipient and no query; the record has the JSON all the same."""
    terminal, its_end = os.openpty()
    try:
        options = ("--record", "received.ndjson", "--hmac-secret-file", "secret")
        (tmp_path / "secret").write_text("s" * 32)
        with receiving(tmp_path, *options, stdout=its_end, NO_COLOR="1") as started, started.client() as client:
            body = {
                "channel": "sms",
                "messageDeliveryFeedback": {"feedbackStatus": {"value": "bounce"}},
                "to": "ada@x",
            }
            assert 401 == client.post("/a?key=hunter2", json=body, headers={"hookline-attempt": "2"}).status_code
            first = os.read(terminal, 65536).decode()
            assert 405 == client.get("/b").status_code
            assert os.read(terminal, 65536).decode().endswith("  405  GET /b\r\n")
            assert 0 == started.end()
    finally:
        os.close(terminal)
        os.close(its_end)
    shown = "  401  POST /a  sms bounce  attempt 2  token not valid: the request has no token  payload not valid: $"
    assert shown in first
    assert "hunter2" not in first
    assert "ada@x" not in first
    recorded = [json.loads(line) for line in (tmp_path / "received.ndjson").read_text().splitlines()]
    assert [("/a?key=hunter2", 401), ("/b", 405)] == [(one["path"], one["status"]) for one in recorded]


@pytest.mark.parametrize("options", [("--quiet",), ("--record", "-")])
def test_a_terminal_shows_nothing_or_json_if_asked(tmp_path: Path, options: tuple[str, ...]) -> None:
    """`--quiet` shows nothing; a record on standard output is JSON, once."""
    terminal, its_end = os.openpty()
    try:
        with receiving(tmp_path, *options, "--requests", "1", stdout=its_end) as started, started.client() as client:
            assert 204 == client.post("/a", json={}).status_code
            assert 0 == started.end(None)
        os.write(its_end, b"end\n")
        written = b""
        while not written.endswith(b"end\r\n"):
            written += os.read(terminal, 65536)
        shown = written.decode().splitlines()
    finally:
        os.close(terminal)
        os.close(its_end)
    assert "end" == shown[-1]
    assert (["/a"] if "--record" in options else []) == [json.loads(line)["path"] for line in shown[:-1]]


def test_it_ends_by_itself_after_the_requests_that_were_asked_for(tmp_path: Path) -> None:
    """With --quiet nothing goes to stdout; the record has it all the same, and failures do not count."""
    options = ("--requests", "3", "--quiet", "--record", "received.ndjson", "--fail", "500:0.5", "--seed", "3")
    with receiving(tmp_path, *options, "--no-verify-payload") as started, started.client() as client:
        statuses: list[int] = []
        while statuses.count(204) < 3:
            statuses.append(client.post("/", json={}).status_code)
        assert 0 == started.end(None)
    recorded = [json.loads(line)["status"] for line in (tmp_path / "received.ndjson").read_text().splitlines()]
    assert ("", statuses) == (started.out, recorded)
    assert 500 in statuses


def test_a_client_that_trusts_it_once_trusts_it_after_a_restart(tmp_path: Path) -> None:
    """The authority is kept, also when a name is added to the certificate."""
    with receiving(tmp_path, "--no-verify-payload") as first:
        trusted = (tmp_path / "tls" / "ca.pem").read_bytes()
        first.end()
    with (
        receiving(tmp_path, "--no-verify-payload", "--host", "hooks.example.com") as second,
        second.client() as client,
    ):
        assert 204 == client.post("/", json={}).status_code
        assert f"listening on https://hooks.example.com:{second.port}" in (second.end(), second.err)[1]
    assert trusted == (tmp_path / "tls" / "ca.pem").read_bytes()


def test_options_come_from_the_environment_too(tmp_path: Path) -> None:
    """HOOKLINE_RECEIVE_… stands for an option, repeatable ones divided by spaces."""
    with (
        receiving(
            tmp_path, "--no-verify-payload", HOOKLINE_RECEIVE_FAIL="503:0.5 429:0.5", HOOKLINE_RECEIVE_RETRY_AFTER="7"
        ) as started,
        started.client() as client,
    ):
        answers = [client.post("/", json={}) for _ in range(12)]
    assert {(503, "7"), (429, "7")} == {(answer.status_code, answer.headers["retry-after"]) for answer in answers}


def test_only_protected_paths_ask_for_a_token(tmp_path: Path) -> None:
    """--protect keeps one webhook's endpoint closed and leaves another one open."""
    (tmp_path / "secret").write_text("0123456789abcdef0123456789abcdef\n")
    options = ("--hmac-secret-file", "secret", "--protect", "/prod", "--no-verify-payload")
    with receiving(tmp_path, *options) as started, started.client() as client:
        assert [401, 204] == [client.post(path, json={}).status_code for path in ("/prod/1", "/stage")]


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (("--listen", "8443"), 64, "not HOST:PORT"),
        (("--fail", "503"), 64, "write STATUS:SHARE"),
        (("--fail", "503:0.6", "--fail", "500:0.6"), 64, "add up to 1.2"),
        (("--delay", "soon"), 64, "not a duration"),
        (("--jwks", "none.json"), 1, "cannot read the JWK Set none.json"),
        (("--record", "no/such/directory.ndjson"), 1, "no/such/directory.ndjson cannot be written: No such file"),
        (("--port-file", "no/such/port"), 1, "no/such/port cannot be written"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    tmp_path: Path, options: tuple[str, ...], code: int, complaint: str
) -> None:
    """The message names what was given and the way out; there is no traceback."""
    listen = () if "--listen" in options else ("--listen", "127.0.0.1:0")
    ended = hookline("receive", "--no-verify-payload", *listen, *options, directory=tmp_path)
    assert (code, "") == (ended.returncode, ended.stdout)
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("record", ["-", "/dev/stdout"])
def test_a_record_on_standard_output_is_there_once(tmp_path: Path, record: str) -> None:
    """`--record -` is standard output, with --quiet and without it, and never a file of that name."""
    for more in ((), ("--quiet",)):
        with receiving(tmp_path, "--record", record, "--no-verify-payload", *more) as started:
            with started.client() as client:
                assert 204 == client.post("/", json={}).status_code
            assert 0 == started.end()
        assert [204] == [json.loads(line)["status"] for line in started.out.splitlines()]
    assert ["port", "tls"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_record_is_appended_to_and_private(tmp_path: Path) -> None:
    """The file contains recipients and credentials, so only its owner can read it. Earlier runs remain in it."""
    for _ in range(2):
        with receiving(tmp_path, "--record", "r.ndjson", "--no-verify-payload", "--requests", "1") as started:
            with started.client() as client:
                client.post("/", json={})
            assert 0 == started.end(None)
    assert 2 == len((tmp_path / "r.ndjson").read_bytes().splitlines())
    assert 0o600 == stat.S_IMODE((tmp_path / "r.ndjson").stat().st_mode)


def test_a_record_that_leads_out_of_a_checkout_is_refused(tmp_path: Path) -> None:
    """A link in a repository does not make the receiver write elsewhere."""
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "r.ndjson").symlink_to(tmp_path / "elsewhere")
    done = hookline("receive", "--listen", "127.0.0.1:0", "--record", "r.ndjson", directory=tmp_path / "repository")
    assert 64 == done.returncode
    assert "leads out of the files of the repository" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("option", ["--record", "--port-file"])
def test_a_pipe_that_nobody_reads_does_not_hold_the_end(tmp_path: Path, option: str) -> None:
    """The receiver waits for the reader of a pipe. SIGTERM ends the wait."""
    os.mkfifo(tmp_path / "pipe")
    arguments = ("receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", option, "pipe")
    with start_hookline(*arguments, cwd=tmp_path, env=clean_environment()) as process:
        try:
            with pytest.raises(subprocess.TimeoutExpired):  # it starts, and then waits
                process.wait(1)
            process.terminate()
            assert -signal.SIGTERM == process.wait(5)
        finally:
            process.kill()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """A second receiver on the same port ends with the address and a hint."""
    with receiving(tmp_path, "--no-verify-payload") as started:
        ended = hookline("receive", "--listen", f"127.0.0.1:{started.port}", "--tls-dir", "tls", directory=tmp_path)
    assert 1 == ended.returncode
    assert f"cannot listen on 127.0.0.1:{started.port}" in ended.stderr
    assert "--listen" in ended.stderr


def test_a_reader_that_leaves_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """``hookline receive | head -1`` ends with the second request."""
    with receiving(tmp_path, "--no-verify-payload") as started, started.client() as client:
        assert 204 == client.post("/", json={}).status_code
        assert started.process.stdout is not None
        started.process.stdout.close()
        with pytest.raises(httpx.TransportError):
            client.post("/", json={})
        assert 1 == started.process.wait(30)
        assert started.process.stderr is not None
        assert b"Traceback" not in started.process.stderr.read()


def test_help_has_an_example(tmp_path: Path) -> None:
    """Who asks for help is shown a command that works."""
    shown = hookline("receive", "--help", directory=tmp_path)
    assert 0 == shown.returncode
    assert "Example: hookline receive" in shown.stdout
