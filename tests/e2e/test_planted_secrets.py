"""Planted secrets are looked for in everything that a whole run leaves behind or says."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus
from urllib.request import urlopen

from cryptography.hazmat.primitives.asymmetric import ec

from builders import as_lines, private_key, private_pem, xdm_event
from hookline_process import ADDRESS, LOOPBACK, Lab
from https_server_thread import AUTHORITY, running
from waiting import wait_until

HEADER_VARIABLE = "planted-variable-6f1f0c53"
HEADER_FILE = "planted-file-2b7e9d10"
QUERY = "planted-query-7d0e & more"
HMAC = "planted-hmac-93b1a4c8-with-at-least-32-bytes"
UNFIT = "planted-unfit-58d0\nsecond-line-of-it-77aa"
SHORT = "planted-short-key-41e6"
_TOKEN = re.compile(rb"authorization: Bearer (\S+)", re.IGNORECASE)


def written_otherwise(value: bytes) -> Iterator[bytes]:
    """A value as it is, and as somebody might have encoded it."""
    yield value
    yield value.hex().encode()
    yield base64.b64encode(value).rstrip(b"=")
    yield base64.urlsafe_b64encode(value).rstrip(b"=")
    yield json.dumps(value.decode()).strip('"').encode()
    yield repr(value.decode()).strip("'").encode()


def finds(places: dict[str, bytes], values: Iterable[bytes]) -> list[str]:
    """Where any of the values stands, and which."""
    wanted = {form for value in values for form in written_otherwise(value)}
    return [f"{place}: {value!r:.40}" for place, content in places.items() for value in wanted if value in content]


class Everything:
    """Runs commands, and keeps what they say."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.said: dict[str, bytes] = {}

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        done = self.lab.hookline(*arguments, stdin=stdin, code=None)
        self.said[f"{len(self.said)} {' '.join(arguments)}"] = done.stdout + b"\n" + done.stderr
        return done

    def places(self) -> dict[str, bytes]:
        """All that was said, and every file but those of the secrets themselves."""
        files = (path for path in self.lab.directory.rglob("*") if path.is_file())
        kept = (path for path in files if self.lab.secrets not in path.parents)
        return {**self.said, **{str(path.relative_to(self.lab.directory)): path.read_bytes() for path in kept}}


def plant(lab: Lab) -> list[bytes]:
    """Secrets of every kind; their values, of a PEM key each line."""
    lab.environment["HOOKLINE_SECRET_PLANTED"] = HEADER_VARIABLE
    made = private_key()
    assert isinstance(made, ec.EllipticCurvePrivateKey)
    pem = private_pem(made)
    (lab.secrets / "key.pem").write_bytes(pem)
    files = {"header": HEADER_FILE, "query": QUERY, "hmac": HMAC, "unfit": UNFIT, "short": SHORT}
    for name, value in files.items():
        (lab.secrets / name).write_text(value)
    lines = [line for line in pem.splitlines() if not line.startswith(b"-----")]
    scalar = made.private_numbers().private_value.to_bytes(32, "big")
    unfit = [line.encode() for line in UNFIT.split("\n")]
    values = (HEADER_VARIABLE, HEADER_FILE, QUERY, quote(QUERY), quote_plus(QUERY), HMAC, SHORT)
    return [*lines, base64.urlsafe_b64encode(scalar).rstrip(b"="), *unfit, *(value.encode() for value in values)]


def jwt(algorithm: str, file: str) -> dict[str, object]:
    return {"type": "jwt", "algorithm": algorithm, "keys": [{"id": "k", "secret": {"file": file}}], "lifetime": "1m"}


def test_planted_secrets_are_found_nowhere(lab: Lab) -> None:
    """Not in what any command says, at its most talkative, nor in state, spool and its log, plans or exports."""
    planted = plant(lab)
    everything = Everything(lab)
    AUTHORITY.cert_pem.write_to_path(lab.directory / "ca.pem")
    answers = iter((503, 400, 400, 401, 403, *[204] * 1000))

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d Answer\r\ncontent-length: 0\r\n\r\n" % next(answers))

    options = ("--secrets-dir", str(lab.secrets), "--ca-file", "ca.pem", *LOOPBACK)
    with running(answer) as server:
        url = f"https://localhost:{server.port}/feedback"
        headers = {"X-Api-Key": {"env": "HOOKLINE_SECRET_PLANTED"}, "X-Token": {"file": "header"}}
        lab.apply(url, headers=headers, query={"code": {"file": "query"}}, authentication=jwt("ES256", "key.pem"))
        lab.apply(url, sandbox="shared", authentication=jwt("HS256", "hmac"))
        lab.apply(url, sandbox="unfit", headers={"X-Token": {"file": "unfit"}})
        lab.apply(url, sandbox="short", authentication=jwt("HS256", "short"))
        lab.apply(url, sandbox="wrong", authentication=jwt("RS256", "key.pem"))
        reconcile(everything)
        for sandbox in ("prod", "shared", "unfit", "short", "wrong"):
            events = as_lines(xdm_event(number, number) for number in range(6))
            relay = ("relay", "--organization", "acme@AdobeOrg", "--sandbox", sandbox, *options, "--max-wait", "2s")
            for form in ("text", "json"):
                everything.run(*relay, "--log-level", "debug", "--log-format", form, stdin=events)
        everything.run("relay", *options, "--dry-run", stdin=as_lines([xdm_event(9, 9)]))
        everything.run("check", *options, "--send")
        everything.run("check", *options, "--format", "json")
        everything.run("jwks", ADDRESS, "--secrets-dir", str(lab.secrets))
        for words in (("list",), ("list", "--format", "json"), ("show", "1")):
            everything.run("dead", *words)
        everything.run("dead", "export", "--out", "letters.ndjson")
        everything.run("status", "--format", "json")
        for form in ("text", "json"):
            everything.run("trace", "request-1", "--payload", "--format", form)
        tokens = [match[1] for request in server.requests for match in _TOKEN.finditer(request)]
        listening = ("--log-level", "debug", "--listen", "127.0.0.1:0")
        with lab.running(*relay, *listening, "-", stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(as_lines(xdm_event(number, number) for number in range(20, 30)))
            process.stdin.flush()
            log = lab.directory / ".hookline" / "spool" / "spool.db-wal"
            wait_until(lambda: log.exists() and log.stat().st_size)
            everything.run("status")
            alive = everything.places() | served(lab.directory / "relay.log")
    assert any(HEADER_VARIABLE.encode() in request for request in server.requests)
    assert any(
        request.startswith(b"POST /feedback?code=planted-query-7d0e%20%26%20more ") for request in server.requests
    )
    assert len(tokens) > 5
    places = everything.places()
    assert any(name.endswith("spool.db-wal") for name in alive)
    assert b"hookline_unsettled" in alive["/metrics"]
    assert {"letters.ndjson", "plan.json", "relay.log", ".hookline/state.db", ".hookline/spool/spool.db"} <= set(
        places
    )
    assert b"HOOKLINE_SECRET_PLANTED" in places["plan.json"]
    values = [*planted, *(token.rpartition(b".")[2] for token in tokens)]
    assert [] == finds({**places, **{f"alive {name}": content for name, content in alive.items()}}, values)


def reconcile(everything: Everything) -> None:
    """What teams run, with a plan that has something to show."""
    path = everything.lab.directory / "webhooks" / "acme@AdobeOrg" / "prod.yaml"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "name": "changed"}))
    everything.run("validate")
    for form in ("text", "json", "markdown"):
        everything.run("plan", "--format", form)
    everything.run("plan", "--out", "plan.json")
    everything.run("apply", "plan.json", "--auto-approve")
    for words in (("list",), ("show", ADDRESS), ("history",), ("blame", ADDRESS), ("drift",), ("export", "exported")):
        assert 0 == everything.run(*words).returncode


def served(log: Path) -> dict[str, bytes]:
    """What a running relay tells whoever asks it, by path."""
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", log.read_text()))
    return {path: urlopen(url + path, timeout=30).read() for path in ("/metrics", "/status", "/healthz")}


def test_a_planted_value_would_be_found() -> None:
    """The search bites: as it is, in base64, in hex and escaped."""
    for place in (b"..s3cret..", base64.b64encode(b"s3cret"), b"x" + b"s3cret".hex().encode()):
        assert 1 == len(finds({"log": place}, [b"s3cret"]))
