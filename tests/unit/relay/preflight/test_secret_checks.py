from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from builders import webhook
from hookline.model import (
    BodySignature,
    EnvRef,
    FileRef,
    JwtAuthentication,
    SignatureKey,
    SigningKey,
    Webhook,
)
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade
from hookline.relay.preflight.secret_checks import key_findings, secret_findings
from hookline.relay.secrets import SecretResolver

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(1), NOW - timedelta(1)
PLAIN = webhook()
PRESENT, GONE = EnvRef("HOOKLINE_SECRET_KEY"), FileRef("gone.pem")
RESOLVER = SecretResolver(environment={PRESENT.name: "s" * 32}, directory=Path("/nowhere"))


def signed(*keys: SigningKey) -> Webhook:
    return replace(PLAIN, authentication=JwtAuthentication(algorithm="HS256", keys=keys))


def signing_bodies(*keys: SignatureKey) -> Webhook:
    return replace(PLAIN, signature=BodySignature(keys))


def findings(webhook: Webhook) -> list[CheckFinding]:
    now = NOW.timestamp()
    return [*secret_findings(webhook, RESOLVER, now), *key_findings(webhook, RESOLVER, now)]


def failed(webhook: Webhook) -> list[tuple[CheckStep, str]]:
    return [(one.step, one.detail) for one in findings(webhook) if one.grade is Grade.FAILED]


def test_a_key_that_is_not_active_yet() -> None:
    """As long as no key is active the relay holds the endpoint, and says so; check says the same."""
    words = "no key is active at this moment: the next one is from 2026-11-02T00:00:00Z on"
    assert [(CheckStep.KEY, words)] == failed(signed(SigningKey("k", PRESENT, activate=LATER)))
    assert [] == failed(signed(SigningKey("k", PRESENT, activate=LATER), SigningKey("old", PRESENT, retire=LATER)))


def test_all_keys_are_retired() -> None:
    """Where all keys are retired, that is what fails, and not that their files are gone."""
    words = "no key is active at this moment: all are retired"
    assert [(CheckStep.KEY, words)] == failed(signed(SigningKey("k", GONE, retire=EARLIER)))


def test_what_only_a_retired_key_names() -> None:
    """A retired key is read by nobody: its file and passphrase may be gone, and it is not told as one that fits."""
    webhook = signed(SigningKey("new", PRESENT), SigningKey("old", GONE, passphrase=GONE, retire=EARLIER))
    assert [] == failed(webhook)
    assert ["1 resolved", "new fits HS256"] == [one.detail for one in findings(webhook)]


def test_a_secret_that_a_retired_key_shares() -> None:
    """What a key in use names as well must be there."""
    webhook = signed(SigningKey("new", GONE), SigningKey("old", GONE, retire=EARLIER))
    ((step, detail),) = failed(webhook)
    assert CheckStep.SECRETS is step
    assert "gone.pem" in detail


def test_a_key_that_waits_for_its_turn() -> None:
    """The next key is looked at before its time: that is when something can still be done."""
    webhook = signed(SigningKey("now", PRESENT), SigningKey("next", GONE, activate=LATER))
    assert [CheckStep.SECRETS] == [step for step, _ in failed(webhook)]


def test_keys_of_bodies_have_times_too() -> None:
    """The same holds for keys that sign bodies."""
    future, retired = SignatureKey(secret=PRESENT, activate=LATER), SignatureKey(secret=GONE, retire=EARLIER)
    resolver = replace(RESOLVER, environment={PRESENT.name: "whsec_" + "c2VjcmV0" * 6})
    now = NOW.timestamp()
    found = [
        *secret_findings(signing_bodies(future, retired), resolver, now),
        *key_findings(signing_bodies(future, retired), resolver, now),
    ]
    assert ["1 resolved", "{env: HOOKLINE_SECRET_KEY} signs bodies"] == [one.detail for one in found[:-1]]
    assert "no key is active at this moment" in found[-1].detail
    assert Grade.FAILED is found[-1].grade
