"""`hookline check` as a user runs it, against receivers that are real, and broken in one way each."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from jsonschema import Draft202012Validator

from builders import private_key, private_pem
from contract.https_server import sends
from hookline.schemas import load_schema
from hookline_process import ADDRESS, LOOPBACK, Lab
from https_server_thread import AUTHORITY, running

NOW = datetime.now(UTC)
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
JWT = {"type": "jwt", "algorithm": "ES256", "keys": [{"id": "2026-11", "secret": {"file": "key.pem"}}]}


@dataclass
class Checked:
    code: int
    reports: list[dict[str, Any]]

    def last(self) -> dict[str, Any]:
        """The one finding that failed, of the one report."""
        (failed,) = [one for one in self.reports[0]["findings"] if one["grade"] == "failed"]
        assert failed["step"] == self.reports[0]["failedAt"]
        assert failed["hint"]
        found: dict[str, Any] = failed
        return found


def check(lab: Lab, *arguments: str, network: tuple[str, ...] = LOOPBACK) -> Checked:
    ca_file = lab.directory / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(ca_file)
    options = ("--ca-file", str(ca_file), "--secrets-dir", str(lab.secrets), "--format", "json", *network)
    done = lab.hookline("check", *options, *arguments, code=None)
    return Checked(done.returncode, json.loads(done.stdout or b"[]"))


def put_key(path: Path, algorithm: str) -> None:
    path.write_bytes(private_pem(private_key(algorithm)))
    path.chmod(0o600)


def test_all_is_well(lab: Lab) -> None:
    """Every step is ok, the certificate is told with its days, and the test event is marked, signed and valid."""
    put_key(lab.secrets / "key.pem", "ES256")
    with running(sends(OK)) as server:
        lab.apply(f"https://localhost:{server.port}/feedback", authentication=JWT, sandbox="prod")
        checked = check(lab, ADDRESS, "--send")
    (report,) = checked.reports
    assert (0, True, None) == (checked.code, report["ok"], report["failedAt"])
    steps = [(one["step"], one["grade"]) for one in report["findings"]]
    assert [(step, "ok") for step in ("secrets", "key", "dns", "address", "connect", "tls", "http")] == steps
    assert report["certificates"][0]["names"] == ["localhost"]
    assert report["certificates"][0]["daysLeft"] > 30
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"\r\nhookline-test: true" in head
    assert b"\r\nauthorization: Bearer " in head
    Draft202012Validator(load_schema("payload.v1")).validate(json.loads(body))


def test_nothing_is_sent_unasked(lab: Lab) -> None:
    """Without --send no request goes out, and there is no finding on HTTP."""
    with running(sends(OK)) as server:
        lab.apply(f"https://localhost:{server.port}/")
        checked = check(lab)
        assert [] == server.requests
    assert 0 == checked.code
    assert "tls" == checked.reports[0]["findings"][-1]["step"]


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (
            AUTHORITY.issue_cert("localhost", not_after=datetime(2025, 3, 1, tzinfo=UTC)),
            ("has expired", "to 2025-03-01"),
        ),
        (AUTHORITY.issue_cert("other.acme.test"), ("is for another host", "it is for other.acme.test")),
        (trustme.CA().issue_cert("localhost"), ("from an unknown authority", "issued by")),
    ],
    ids=["expired", "other host", "unknown authority"],
)
def test_certificate_that_does_not_hold(lab: Lab, certificate: trustme.LeafCert, words: tuple[str, str]) -> None:
    """It fails at TLS, with the fault, and with the names and dates that the certificate has; no event is sent."""
    with running(sends(OK), certificate) as server:
        lab.apply(f"https://localhost:{server.port}/")
        checked = check(lab, "--send")
        assert [] == server.requests
    failed = checked.last()
    assert (1, "tls") == (checked.code, failed["step"])
    for word in words:
        assert word in failed["detail"]


def test_certificate_that_expires_soon(lab: Lab) -> None:
    """Below 30 days it is a warning with the days, and the exit code stays 0."""
    soon = AUTHORITY.issue_cert("localhost", not_after=NOW + timedelta(days=12, hours=6))
    with running(sends(OK), soon) as server:
        lab.apply(f"https://localhost:{server.port}/")
        checked = check(lab)
    finding = checked.reports[0]["findings"][-1]
    assert (0, "tls", "warning") == (checked.code, finding["step"], finding["grade"])
    assert "expires in 12 days" in finding["detail"]


def test_nobody_listens(lab: Lab) -> None:
    """A refused connection fails at connecting, with address and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    lab.apply(f"https://localhost:{port}/")
    failed = check(lab).last()
    assert "connect" == failed["step"]
    assert "connection refused" in failed["detail"]
    assert f"127.0.0.1 port {port}" in failed["detail"]


def test_address_that_is_not_admitted(lab: Lab) -> None:
    """Loopback is refused at the address, without --allow-network, and the flag that would admit it is named."""
    with running(sends(OK)) as server:
        lab.apply(f"https://localhost:{server.port}/")
        checked = check(lab, "--send", network=())
        assert 0 == server.connections
    findings = [one for one in checked.reports[0]["findings"] if one["grade"] == "failed"]
    assert {"address"} == {one["step"] for one in findings}
    assert any("127.0.0.1 is loopback" in one["detail"] for one in findings)
    assert any("--allow-network 127.0.0.1" in one["hint"] for one in findings)


def test_name_that_does_not_resolve(lab: Lab) -> None:
    """It fails at DNS."""
    lab.apply("https://nobody.invalid/")
    failed = check(lab).last()
    assert "dns" == failed["step"]


def test_missing_secrets(lab: Lab) -> None:
    """Every secret that is missing is told, not only the first; the way is looked at as well; nothing is sent."""
    headers = {"X-Api-Key": {"env": "HOOKLINE_SECRET_A"}, "X-Other": {"env": "HOOKLINE_SECRET_B"}}
    with running(sends(OK)) as server:
        lab.apply(f"https://localhost:{server.port}/", headers=headers, authentication=JWT)
        checked = check(lab, "--send")
        assert [] == server.requests
    (report,) = checked.reports
    assert (1, "secrets") == (checked.code, report["failedAt"])
    failed = [one["detail"] for one in report["findings"] if one["grade"] == "failed"]
    for name in ("HOOKLINE_SECRET_A", "HOOKLINE_SECRET_B", "key.pem"):
        assert any(name in detail for detail in failed)
    assert ("tls", "ok") == (report["findings"][-1]["step"], report["findings"][-1]["grade"])


def test_key_of_another_kind(lab: Lab) -> None:
    """A key on the wrong curve fails at the key, and says what was found; a second key is looked at too."""
    put_key(lab.secrets / "key.pem", "ES256")
    put_key(lab.secrets / "next.pem", "ES384")
    keys = [*JWT["keys"], {"id": "next", "secret": {"file": "next.pem"}}]
    with running(sends(OK)) as server:
        lab.apply(f"https://localhost:{server.port}/", authentication={**JWT, "keys": keys})
        failed = check(lab, "--send").last()
    assert "key" == failed["step"]
    assert "'next': ES256 needs the curve P-256, found P-384" in failed["detail"]


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "401: the relay would pause", "hookline jwks"),
        (
            b"HTTP/1.1 302 Go\r\nlocation: https://x.test/\r\ncontent-length: 0\r\n\r\n",
            "302:",
            "never follows redirects",
        ),
        (b"HTTP/1.1 422 No\r\ncontent-length: 0\r\n\r\n", "422: such events would become dead", "schema payload"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "503: the relay would retry", "own log"),
        (b"220 mail.test ESMTP\r\n\r\n", "no complete HTTP response", "own log"),
    ],
    ids=["401", "redirect", "422", "503", "no HTTP"],
)
def test_answer_that_is_no_success(lab: Lab, answer: bytes, words: str, hint: str) -> None:
    """It fails at HTTP, with what the relay would make of it, and one request was made, to this server alone."""
    with running(sends(answer)) as server:
        lab.apply(f"https://localhost:{server.port}/")
        checked = check(lab, "--send")
        assert 1 == len(server.requests)
    failed = checked.last()
    assert (1, "http") == (checked.code, failed["step"])
    assert words in failed["detail"]
    assert hint in failed["hint"]


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_redirect_leads_nowhere(lab: Lab, transport: str) -> None:
    """Whoever is redirected to never hears of it, though it is admitted and trusted."""
    with running(sends(OK)) as other:
        location = f"https://localhost:{other.port}/".encode()
        redirect = b"HTTP/1.1 307 Go\r\nlocation: " + location + b"\r\ncontent-length: 0\r\n\r\n"
        with running(sends(redirect)) as server:
            lab.apply(f"https://localhost:{server.port}/")
            assert "http" == check(lab, "--send", "--transport", transport).last()["step"]
            assert 1 == len(server.requests)
        assert 0 == other.connections


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_one_that_hangs_beside_one_that_answers(lab: Lab, transport: str) -> None:
    """Each has its own timeout: the one that hangs fails at HTTP, the other is good, and both are told in order."""
    with running(sends(then="hang")) as hanging, running(sends(OK)) as good:
        lab.apply(f"https://localhost:{good.port}/", sandbox="b")
        lab.apply(f"https://localhost:{hanging.port}/", sandbox="a", delivery={"timeout": "1s"})
        checked = check(lab, "--send", "--transport", transport)
        assert b"hookline-test: true" in good.requests[0].lower()
    assert ["acme@AdobeOrg/a", "acme@AdobeOrg/b"] == [report["address"] for report in checked.reports]
    assert ["http", None] == [report["failedAt"] for report in checked.reports]


def test_one_that_accepts_and_says_nothing(lab: Lab) -> None:
    """A port that takes connections and never speaks TLS fails at TLS once the webhook's timeout is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lab.apply(f"https://localhost:{listener.getsockname()[1]}/", delivery={"timeout": "1s"})
        failed = check(lab).last()
    assert ("tls", "no answer within 1 s") == (failed["step"], failed["detail"])


def test_text(lab: Lab) -> None:
    """For people: a line a step, the hint below what fails, a sum on stderr, and names of webhooks that are not."""
    lab.apply("https://nobody.invalid/")
    done = lab.hookline("check", code=1)
    lines = done.stdout.decode().splitlines()
    assert f"{ADDRESS}  https://nobody.invalid/" == lines[0]
    assert "  ok      secrets  none are needed" == lines[1]
    assert lines[2].startswith("  failed  dns      the name does not resolve")
    assert lines[3].startswith("    hint: correct the host in url")
    assert "1 checked: 0 passed, 0 with warnings, 1 failed." in done.stderr.decode()
    assert "did you mean acme@AdobeOrg/prod?" in lab.hookline("check", "acme@AdobeOrg/prd", code=1).stderr.decode()
