"""Keys are rotated under traffic, at a receiver that verifies every token: not one request is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from builders import as_lines, xdm_event
from hookline.units import utc_text
from hookline_process import ADDRESS, Lab, Receiver
from waiting import wait_until

PASSPHRASE = "correct horse battery staple"


def new_key(lab: Lab, name: str) -> dict[str, Any]:
    """A key of the webhook file, whose PEM file is encrypted."""
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode()))
    (lab.secrets / f"{name}.pem").write_bytes(pem)
    (lab.secrets / "passphrase").write_text(PASSPHRASE + "\n")
    return {"id": name, "secret": {"file": f"{name}.pem"}, "passphrase": {"file": "passphrase"}}


def soon(seconds: float) -> str:
    return utc_text(datetime.now(UTC) + timedelta(seconds=seconds))


def signed_by(receiver: Receiver) -> list[str]:
    tokens = [one["headers"]["authorization"].removeprefix("Bearer ") for one in receiver.records()]
    return [str(jwt.get_unverified_header(token)["kid"]) for token in tokens]


def refused(receiver: Receiver) -> list[Any]:
    return [one["verified"]["jwt"] for one in receiver.records() if one["status"] is None or one["status"] >= 300]


def traffic(lab: Lab, numbers: count[int], until: Callable[[], bool]) -> None:
    """Events, one hundred a second, until something is the case."""
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline
        with (lab.directory / "events").open("ab") as log:
            log.write(as_lines(xdm_event(number, number) for number in (next(numbers) for _ in range(10))))
        time.sleep(0.1)


@pytest.mark.parametrize(
    "rotations", [pytest.param(2, id="short"), pytest.param(30, id="long", marks=pytest.mark.soak)]
)
def test_no_request_is_refused_while_keys_rotate(lab: Lab, rotations: int) -> None:
    """Key after key takes over at its time while events flow; the receiver's JWK Set verifies every token.

    Each rotation is applied while the relay runs: the next key is active soon, and the last one retires
    soon after that. Before each of them the relay is told to reload.
    """
    (lab.directory / "events").touch()
    keys = [new_key(lab, f"key-{number}") for number in range(rotations + 1)]
    authentication = {"type": "jwt", "algorithm": "ES256", "lifetime": "30s", "audience": "receiver"}
    (lab.directory / "jwks.json").write_text(json.dumps({"keys": [*published(lab, authentication, keys)]}))
    with lab.receiver("--jwks", "jwks.json", "--audience", "receiver") as receiver:
        url = f"https://localhost:{receiver.port}/feedback"
        lab.apply(url, authentication={**authentication, "keys": keys[:1]})
        with lab.running(*lab.relay_arguments(receiver, "--follow", "events")) as relay:
            numbers = count()
            traffic(lab, numbers, lambda: len(signed_by(receiver)) > 20)
            for old, new in pairwise(keys):
                relay.send_signal(signal.SIGHUP)
                timed = [{**new, "activate": soon(2)}, {**old, "retire": soon(4)}]
                lab.apply(url, authentication={**authentication, "keys": timed})
                traffic(lab, numbers, lambda new=new: signed_by(receiver)[-20:] == [new["id"]] * 20)  # type: ignore[misc]
            sent = next(numbers)
            wait_until(lambda: len(set(receiver.accepted())) >= sent)
            relay.send_signal(signal.SIGTERM)
            assert 0 == relay.wait(timeout=120)
    assert [] == refused(receiver)
    used = list(dict.fromkeys(signed_by(receiver)))
    assert [key["id"] for key in keys] == used


def published(lab: Lab, authentication: dict[str, Any], keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The public halves of all keys, as `hookline jwks` prints them; a webhook holds sixteen at most."""
    for first in range(0, len(keys), 16):
        lab.apply("https://localhost:1/", authentication={**authentication, "keys": keys[first : first + 16]})
        printed = lab.hookline("jwks", ADDRESS, "--secrets-dir", str(lab.secrets)).stdout
        yield from json.loads(printed)["keys"]
