"""`hookline verify`: one request, as `receive --record` writes it, with its token, signature and payload."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from standardwebhooks import Webhook

from builders import private_key
from hookline.cli.main import main
from hookline.http_connection import HttpRequest
from hookline.receiver.next_steps import _OTHERWISE, Checked, next_step
from hookline.receiver.request_log import request_as_line
from hookline.receiver.responses import Verified

NOW = 1_800_000_000  # far from today: a record is checked as of its own time
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
KEY = private_key("ES256")
PAYLOAD = {
    "requestId": "REQ-1", "imsOrg": "acme", "sandbox": {"id": None, "name": "prod"}, "channel": "email",
    "eventType": "message.feedback",
    "messageExecution": dict.fromkeys(("messageExecutionID", "messageType", "campaignID", "campaignVersionID")),
    "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}, "offers": None, "messageExclusion": None,
                                "messageFailure": None, "retryCount": 0},
    "identityMap": {"email": [{"id": "ada@example.com", "primary": True}]},
}  # fmt: skip
BODY = json.dumps(PAYLOAD, separators=(",", ":")).encode()
KEYS = ("--jwks", "jwks.json", "--audience", "receiver", "--signature-secret-file", "secrets")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the receiver's keys."""
    monkeypatch.chdir(tmp_path)
    handler: Any = jwt.get_algorithm_by_name("ES256")
    public = json.loads(handler.to_jwk(KEY.public_key()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k1"}]}))
    (tmp_path / "secrets").write_text(f"{SECRET}\n")
    return tmp_path


def token(**claims: Any) -> str:
    own = {"aud": "receiver", "exp": NOW + 300, "iat": NOW, **claims}
    return jwt.encode(own, KEY, algorithm="ES256", headers={"kid": "k1"})


def record(body: bytes = BODY, *, signed: bytes | None = None, **headers: str) -> bytes:
    """The line of a request with a valid token and a signature over `signed`, by default the body."""
    signature = Webhook(SECRET).sign(
        "id", datetime.fromtimestamp(NOW, UTC), (body if signed is None else signed).decode()
    )
    own = {
        "authorization": f"Bearer {token()}", "webhook-id": "id", "webhook-timestamp": str(NOW),
        "webhook-signature": signature, **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    request = HttpRequest("POST", "/feedback?key=hunter2", own, body)
    return request_as_line(request, Verified(), at=NOW + 1.5, status=204)


def verified(capsys: pytest.CaptureFixture[str], *lines: bytes, options: tuple[str, ...] = KEYS) -> tuple[int, str]:
    Path("received.ndjson").write_bytes(b"".join(lines))
    code = main(["verify", "received.ndjson", *options])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def test_a_valid_request_is_valid_at_its_own_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The result does not depend on the day of the check. The query is not shown, because it may be a secret."""
    code, shown = verified(capsys, record())
    assert 0 == code
    assert (
        "received.ndjson:1  2027-01-15T08:00:01.500Z  POST /feedback\n"
        "token      valid\nsignature  valid\npayload    valid\n"
    ) == shown


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(PAYLOAD).encode(),
        BODY.replace(b"REQ-1", b"R\\u00e9Q"),
        BODY + b"\n",
        BODY.replace(b":0}", b":0.0}"),
    ],
    ids=["spaces", "escape", "line-end", "number"],
)
def test_a_signature_is_over_the_bytes_of_the_body(capsys: pytest.CaptureFixture[str], body: bytes) -> None:
    """Also over those of a body whose JSON is written in another form."""
    code, shown = verified(capsys, record(body))
    assert (0, True) == (code, "signature  valid" in shown), shown


@pytest.mark.parametrize(
    ("line", "finding", "step"),
    [
        (record(authorization="x"), "token      not valid: the token's header does not", "look for a proxy"),
        (record(authorization=f"Bearer {token(aud='a')}"), "token      not valid: the token is for an", "--audience"),
        (record(authorization=f"Bearer {token(exp=NOW - 90)}"), "token      not valid: the token exp", "clocks"),
        (record(signed=b"{}"), "signature  not valid: no signature matches a key", "--signature"),
        (record(webhook_timestamp="9"), "signature  not valid: the request was signed 17", "clocks"),
        (record(b"{}"), "payload    not valid: $: ", "hookline schema payload.v1"),
        (record(b"no"), "payload    not valid: not JSON: ", "changed on its way"),
    ],
)
def test_a_fault_is_shown_with_the_next_step(
    capsys: pytest.CaptureFixture[str], line: bytes, finding: str, step: str
) -> None:
    """The exit code is 1, and the hint follows its finding."""
    code, shown = verified(capsys, line)
    assert 1 == code
    lines = shown.splitlines()
    (at,) = [number for number, one in enumerate(lines) if one.startswith(finding)]
    assert lines[at + 1].startswith("  hint: ")
    assert step in lines[at + 1]
    assert 1 == sum("not valid" in one for one in lines)


def test_a_part_without_a_key_is_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says so, and names the option."""
    code, shown = verified(capsys, record(authorization="x"), options=())
    assert 0 == code
    assert "token      not checked: no key is given (--jwks or --hmac-secret-file)\n" in shown
    assert "signature  not checked: no key is given (--signature-secret-file)\n" in shown


def test_the_last_request_is_checked_or_the_one_of_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record has one request for each line. `-` is standard input."""
    lines = (record(b"{}"), record())
    assert 0 == verified(capsys, *lines)[0]
    assert 1 == verified(capsys, *lines, options=(*KEYS, "--line", "1"))[0]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines[1])))
    assert 0 == main(["verify", "-", *KEYS])
    assert capsys.readouterr().out.startswith("standard input:1 ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "received.ndjson: it contains no request"),
        (b"{}\n", "received.ndjson: line 1 is not a recorded request: no field 'headers'"),
        (b"[1]\n", "received.ndjson: line 1 is not a recorded request: not a JSON object"),
        (b'{"headers":{},"method":"POST","path":"/","bodyBase64":"?","time":"x"}', "line 1 is not a recorded req"),
        (b"[" * 100_000 + b"]" * 100_000, "received.ndjson: line 1: nested too deeply"),
        (b"\xff\n", "line 1 is not a recorded request"),
    ],
)
def test_another_file_is_refused(capsys: pytest.CaptureFixture[str], data: bytes, message: str) -> None:
    """With the place, the fault, and how to make a record."""
    code, shown = verified(capsys, data)
    assert 1 == code
    assert message in shown
    assert "hint: record requests with: hookline receive --record FILE" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.ndjson"], 1, "missing.ndjson cannot be read: No such file or directory"),
        (["received.ndjson", "--line", "7"], 1, "it has no request on line 7"),
        (["received.ndjson", "--audience", "a"], 64, "--audience needs a key"),
        (["received.ndjson", "--jwks", "none.json"], 1, "cannot read the JWK Set none.json"),
    ],
)
def test_wrong_use_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """Each message has its next step."""
    Path("received.ndjson").write_bytes(record())
    assert code == main(["verify", *arguments])
    shown = capsys.readouterr().err
    assert message in shown
    assert "  hint: " in shown


def test_other_requests_are_not_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """A GET, and a body that was too large to be recorded."""
    get = request_as_line(HttpRequest("GET", "/", {}, b""), Verified(), at=NOW, status=405)
    large = request_as_line(HttpRequest("POST", "/", {}, None), Verified(), at=NOW, status=413)
    assert (1, True) == ((found := verified(capsys, get))[0], "not valid: only POST is supported" in found[1])
    assert (1, True) == ((found := verified(capsys, large))[0], "its body was too large" in found[1])


@pytest.mark.parametrize(
    ("checked", "reason"),
    [
        ("token", "the request has no token"),
        ("token", "the token has no claim exp"),
        ("token", "the key 'k2' is not known (known: k1)"),
        ("token", "the signature does not match the key"),
        ("token", "the algorithm HS256 is not allowed"),
        ("token", "the token is not valid before 90 s from now"),
        ("signature", "the request lacks one of the headers webhook-id, webhook-timestamp, webhook-signature"),
        ("signature", "webhook-timestamp is not a number of seconds"),
    ],
)
def test_each_reason_has_a_step_of_its_own(checked: Checked, reason: str) -> None:
    """The step for other reasons is not used for it."""
    assert _OTHERWISE[checked] != next_step(checked, reason)
