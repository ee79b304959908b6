"""The token and headers of an attempt, when keys become active and files are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest

from builders import webhook
from hookline.errors import HooklineError, KeyUnusable
from hookline.model import FileRef, JwtAuthentication, SigningKey
from hookline.relay.auth.credentials import CREDENTIAL_CHECK_SECONDS, Credentials
from hookline.relay.http.request import Header
from hookline.relay.secrets import SecretResolver

pytestmark = pytest.mark.usefixtures("private_files")

NOW = 1_800_000_000.0
WEBHOOK = webhook(url="https://hooks.acme.test/feedback")


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


def key(name: str, activate: float | None = None, retire: float | None = None) -> SigningKey:
    times = [None if moment is None else at(moment) for moment in (activate, retire)]
    return SigningKey(name, FileRef(name), activate=times[0], retire=times[1])


def credentials(directory: Path, *keys: SigningKey, header: str | None = None) -> Credentials:
    webhook = replace(
        WEBHOOK,
        authentication=JwtAuthentication(algorithm="HS256", keys=keys),
        headers=() if header is None else (("x-key", FileRef(header)),),
    )
    for each in keys:
        (directory / each.id).write_text(each.id * 32)
    return Credentials(webhook, SecretResolver(environment={}, directory=directory), lambda size: b"r" * size)


def kid(headers: Sequence[Header]) -> str:
    return str(jwt.get_unverified_header(dict(headers)[b"authorization"].removeprefix(b"Bearer "))["kid"])


def test_a_key_takes_over_at_its_moment(tmp_path: Path) -> None:
    """The first active key signs, from its activation on, however young the last token is; the clock rules."""
    made = credentials(tmp_path, key("b", activate=5), key("a", retire=8))
    assert ["a", "a", "b", "b", "a"] == [kid(made.headers(NOW + after)) for after in (0, 4.99, 5, 9, 1)]


def test_a_retired_keys_file_may_go(tmp_path: Path) -> None:
    """The secrets of retired and future keys may be missing."""
    made = credentials(tmp_path, key("c", activate=100), key("b"), key("a", retire=-1))
    (tmp_path / "a").unlink()
    (tmp_path / "c").unlink()
    assert "b" == kid(made.headers(NOW))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([key("a", activate=60)], "no key is active now: the next key becomes active at 2027-01-15T08:01:00Z"),
        ([key("a", retire=0)], "no key is active now: all keys are retired"),
    ],
)
def test_no_active_key(tmp_path: Path, keys: list[SigningKey], words: str) -> None:
    """Without an active key, the fault gives the time at which the next key becomes active."""
    with pytest.raises(KeyUnusable) as caught:
        credentials(tmp_path, *keys).headers(NOW)
    assert words == caught.value.message


def test_replaced_files_are_found_by_themselves(tmp_path: Path) -> None:
    """A secret whose file was replaced is the new one within ten seconds of use, without a refusal or a signal."""
    (tmp_path / "team").write_text("one")
    made = credentials(tmp_path, key("a"), header="team")
    first = made.headers(NOW)
    (tmp_path / "team").write_text("two")
    (tmp_path / "a").write_text("z" * 32)
    assert first is made.headers(NOW + CREDENTIAL_CHECK_SECONDS - 0.01)
    second = made.headers(NOW + CREDENTIAL_CHECK_SECONDS)
    assert b"two" == dict(second)[b"x-key"]
    token = dict(second)[b"authorization"].removeprefix(b"Bearer ")
    times = {"verify_nbf": False, "verify_iat": False, "verify_exp": False}
    assert jwt.decode(token, "z" * 32, ["HS256"], audience="https://hooks.acme.test", options=times)  # type: ignore[arg-type]
    assert second is made.headers(NOW + 2 * CREDENTIAL_CHECK_SECONDS)


def test_a_file_that_is_being_replaced_stops_nothing(tmp_path: Path) -> None:
    """While a file is missing or half written, the previous secret is used. A renewal requires the file."""
    made = credentials(tmp_path, key("a"))
    first = made.headers(NOW)
    for moment, broken in ((NOW + CREDENTIAL_CHECK_SECONDS, ""), (NOW + 2 * CREDENTIAL_CHECK_SECONDS, "short")):
        (tmp_path / "a").write_text(broken)
        assert first is made.headers(moment)
    made.renew()
    with pytest.raises(HooklineError):
        made.headers(NOW + 2 * CREDENTIAL_CHECK_SECONDS + 1)
    (tmp_path / "a").write_text("a" * 32)
    assert first is not made.headers(NOW + 2 * CREDENTIAL_CHECK_SECONDS + 2)
