"""Signed bodies from a webhook file to a receiver, and what others' packages say of them."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from standardwebhooks import Webhook

from builders import as_lines, xdm_event
from hookline.units import utc_text
from hookline_process import ADDRESS, FACTS, Lab
from waiting import wait_until

NODE = """
const { Webhook } = require("standardwebhooks");
let count = 0;
for (const { secret, headers, body } of JSON.parse(require("fs").readFileSync(0))) {
  new Webhook(secret).verify(body, headers);
  count += 1;
}
console.log(count);
"""


def secret(lab: Lab, name: str, letter: str) -> str:
    text = "whsec_" + base64.b64encode(letter.encode() * 32).decode()
    (lab.secrets / name).write_text(text + "\n")
    return text


def signature(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "standard-webhooks", "keys": list(keys)}


def body(record: dict[str, Any]) -> str:
    """As it was sent: compact JSON in UTF-8."""
    return json.dumps(record["body"], separators=(",", ":"), ensure_ascii=False)


def npm_package(directory: Path) -> bool:
    """Install the npm package; False where there is no node, no npm, or no registry."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    command = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "standardwebhooks@1")
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_both_packages_verify_every_request(lab: Lab, tmp_path: Path, transport: str) -> None:
    """With v1 and v1a beside a token, the receiver and the packages of PyPI and npm verify each request.

    Where npm cannot install its package here, signatures that it made elsewhere stand for it.
    """
    shared = secret(lab, "shared", "s")
    seed = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    (lab.secrets / "private").write_text("whsk_" + base64.b64encode(seed).decode())
    (lab.secrets / "hmac").write_text("h" * 32)
    keys = signature({"secret": {"file": "private"}}, {"secret": {"file": "shared"}})
    token = {"type": "jwt", "algorithm": "HS256", "keys": [{"id": "a", "secret": {"file": "hmac"}}]}
    lab.apply("https://localhost:1/", signature=keys, authentication=token)
    public = lab.hookline("jwks", ADDRESS, "--signature", "--secrets-dir", str(lab.secrets)).stdout
    (lab.directory / "public").write_bytes(public)
    options = ("--signature-secret-file", "public", "--hmac-secret-file", str(lab.secrets / "hmac"))
    with lab.receiver(*options) as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", signature=keys, authentication=token)
        log = str(FACTS / "xdm-feedback-events.ndjson")
        assert 11 == lab.relay(receiver, "--transport", transport, log)["delivered"]
        records = receiver.records()
    assert [{"jwt": True, "payload": True, "signature": True}] * 11 == [one["verified"] for one in records]
    for one in records:
        Webhook(shared).verify(body(one), one["headers"])

    requests = [{"secret": shared, "headers": one["headers"], "body": body(one)} for one in records]
    if npm_package(tmp_path):
        asked = subprocess.run(
            ("node", "-e", NODE),
            cwd=tmp_path,
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("11\n", "") == (asked.stdout, asked.stderr)
    for vector in json.loads((FACTS / "standard-webhooks-vectors.json").read_bytes()):
        at = datetime.fromtimestamp(vector["timestamp"], UTC)
        assert vector["signature"] == Webhook(vector["secret"]).sign(vector["id"], at, vector["body"])


def test_secrets_rotate_without_a_refused_request(lab: Lab) -> None:
    """The receiver knows only the old secret until the new one signs too, then only the new one: nothing is refused.

    A secret whose file was replaced takes over after SIGHUP.
    """
    old, new, last = (secret(lab, name, name[0]) for name in ("old", "new", "last"))
    (lab.directory / "events").touch()
    with lab.receiver() as receiver:
        url = f"https://localhost:{receiver.port}/feedback"
        soon = utc_text(datetime.now(UTC) + timedelta(seconds=2))
        lab.apply(
            url, signature=signature({"secret": {"file": "new"}, "activate": soon}, {"secret": {"file": "old"}})
        )
        with lab.running(*lab.relay_arguments(receiver, "--follow", "--log-level", "info", "events")) as relay:

            def happens(number: int) -> dict[str, Any]:
                with (lab.directory / "events").open("ab") as log:
                    log.write(as_lines([xdm_event(number, number)]))
                wait_until(lambda: len(receiver.records()) > number)
                return receiver.records()[number]

            number, both = 0, happens(0)
            while len(both["headers"]["webhook-signature"].split(" ")) < 2:
                Webhook(old).verify(body(both), both["headers"])
                number += 1
                assert number < 2000
                both = happens(number)
            for each in (old, new):
                Webhook(each).verify(body(both), both["headers"])
            shutil.copy(lab.secrets / "last", lab.secrets / "fresh")
            (lab.secrets / "fresh").replace(lab.secrets / "old")
            relay.send_signal(signal.SIGHUP)
            wait_until(lambda: "reloading" in (lab.directory / "relay.log").read_text())
            replaced = happens(number + 1)
            for each in (last, new):
                Webhook(each).verify(body(replaced), replaced["headers"])
            relay.send_signal(signal.SIGTERM)
            assert 0 == relay.wait(timeout=60)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (None, "signs no bodies"),
        (signature({"secret": {"file": "shared"}}), "symmetric"),
        (signature({"secret": {"file": "missing"}}), "{file: missing}: cannot read"),
    ],
)
def test_no_public_half(lab: Lab, keys: dict[str, Any] | None, words: str) -> None:
    """Without a signature, with shared secrets only, or with a secret that is not there, no public key is printed."""
    secret(lab, "shared", "s")
    fields: dict[str, Any] = {} if keys is None else {"signature": keys}
    lab.apply("https://localhost:1/", **fields)
    refused = lab.hookline("jwks", ADDRESS, "--signature", "--secrets-dir", str(lab.secrets), code=1)
    assert b"" == refused.stdout
    assert words in refused.stderr.decode()
