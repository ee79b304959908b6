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
    """While no key is active, the relay pauses the endpoint, and check reports the same reason."""
    words = "no key is active now: the next key becomes active at 2026-11-02T00:00:00Z"
    assert [(CheckStep.KEY, words)] == failed(signed(SigningKey("k", PRESENT, activate=LATER)))
    assert [] == failed(signed(SigningKey("k", PRESENT, activate=LATER), SigningKey("old", PRESENT, retire=LATER)))


def test_all_keys_are_retired() -> None:
    """If all keys are retired, that is the failure, and not their missing files."""
    words = "no key is active now: all keys are retired"
    assert [(CheckStep.KEY, words)] == failed(signed(SigningKey("k", GONE, retire=EARLIER)))


def test_what_only_a_retired_key_names() -> None:
    """A retired key is not read. Its file and passphrase may be missing, and it has no finding."""
    webhook = signed(SigningKey("new", PRESENT), SigningKey("old", GONE, passphrase=GONE, retire=EARLIER))
    assert [] == failed(webhook)
    assert ["1 resolved", "new fits HS256"] == [one.detail for one in findings(webhook)]


def test_a_secret_that_a_retired_key_shares() -> None:
    """A secret that an active key also uses must exist."""
    webhook = signed(SigningKey("new", GONE), SigningKey("old", GONE, retire=EARLIER))
    ((step, detail),) = failed(webhook)
    assert CheckStep.SECRETS is step
    assert "gone.pem" in detail


def test_a_key_that_waits_for_its_turn() -> None:
    """The next key is checked before it becomes active, while there is time to correct it."""
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
    assert "no key is active now" in found[-1].detail
    assert Grade.FAILED is found[-1].grade


def test_a_query_parameter_without_its_secret() -> None:
    """The check names the reference of a query parameter that cannot be resolved."""
    ((step, detail),) = failed(replace(PLAIN, query=(("code", EnvRef("HOOKLINE_SECRET_GONE")), ("a", PRESENT))))
    assert CheckStep.SECRETS is step
    assert "HOOKLINE_SECRET_GONE" in detail
