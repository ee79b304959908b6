"""Checks of the relay's side of a webhook: its secrets, its keys and its TLS files."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from hookline.errors import HooklineError, KeyUnusable, SecretUnavailable
from hookline.key_rotation import TimedKey, unretired_keys
from hookline.model import JwtAuthentication, NoAuthentication, Webhook
from hookline.relay.auth.body_signature import load_signature_key
from hookline.relay.auth.client_certificates import public_files, read_certificates
from hookline.relay.auth.credentials import fixed_headers, usable_keys
from hookline.relay.auth.keys import load_key
from hookline.relay.http.tls import context_for
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade
from hookline.relay.secrets import SecretResolver


def secret_findings(webhook: Webhook, resolver: SecretResolver, now: float) -> Iterator[CheckFinding]:
    """Every reference that cannot be resolved, and a header value that cannot be sent.

    `now` is Unix time in seconds. Secrets of retired keys are not checked, because the relay does not read them.
    """
    references = [*dict.fromkeys(_without_retired(webhook, now).secrets())]
    public = public_files(webhook.delivery.tls)
    refused = False
    for reference in references:
        try:
            resolver.resolve(reference, webhook.address.organization, public=reference in public)
        except SecretUnavailable as error:
            refused = True
            yield _failed(CheckStep.SECRETS, error)
    if refused:
        return
    try:
        fixed_headers(webhook, resolver)
    except SecretUnavailable as error:
        yield _failed(CheckStep.SECRETS, error)
    else:
        yield CheckFinding(
            CheckStep.SECRETS, Grade.OK, f"{len(references)} resolved" if references else "none are needed"
        )


def key_findings(webhook: Webhook, resolver: SecretResolver, now: float) -> Iterator[CheckFinding]:
    """A finding for every key that is not retired, and a failure if no key is active.

    Keys that become active later are checked, too. A key without its secret has no finding here, because
    `secret_findings` reports the secret.
    """
    organization = webhook.address.organization
    if webhook.signature is not None:
        for signature_key in unretired_keys(webhook.signature.keys, now):
            name = str(signature_key.secret)
            try:
                load_signature_key(resolver.resolve(signature_key.secret, organization), name)
            except SecretUnavailable:
                continue
            except KeyUnusable as error:
                yield _failed(CheckStep.KEY, error)
            else:
                yield CheckFinding(CheckStep.KEY, Grade.OK, f"{name} signs bodies")
        yield from _inactive(webhook.signature.keys, now)
    authentication = webhook.authentication
    match authentication:
        case NoAuthentication():
            return
        case JwtAuthentication():
            yield from _jwt_key_findings(authentication, resolver, organization, now)
            yield from _inactive(authentication.keys, now)
        case _:
            assert_never(authentication)


def _jwt_key_findings(
    authentication: JwtAuthentication, resolver: SecretResolver, organization: str, now: float
) -> Iterator[CheckFinding]:
    for key in unretired_keys(authentication.keys, now):
        try:
            passphrase = None if key.passphrase is None else resolver.resolve(key.passphrase, organization)
            secret = resolver.resolve(key.secret, organization)
            load_key(secret, authentication.algorithm, key.id, passphrase=passphrase)
        except SecretUnavailable:
            continue
        except KeyUnusable as error:
            yield _failed(CheckStep.KEY, error)
        else:
            yield CheckFinding(CheckStep.KEY, Grade.OK, f"{key.id} fits {authentication.algorithm}")


def _inactive(keys: Sequence[TimedKey], now: float) -> Iterator[CheckFinding]:
    try:
        usable_keys(keys, now)
    except KeyUnusable as error:
        yield _failed(CheckStep.KEY, error)


def _without_retired(webhook: Webhook, now: float) -> Webhook:
    authentication, signature = webhook.authentication, webhook.signature
    if isinstance(authentication, JwtAuthentication):
        authentication = replace(authentication, keys=tuple(unretired_keys(authentication.keys, now)))
    if signature is not None:
        signature = replace(signature, keys=tuple(unretired_keys(signature.keys, now)))
    return replace(webhook, authentication=authentication, signature=signature)


def make_tls_context(
    webhook: Webhook, resolver: SecretResolver, ca_file: Path | None
) -> tuple[ssl.SSLContext | None, list[CheckFinding]]:
    """The relay's TLS context for this webhook. It is None if a file cannot be used; the findings give the reason."""
    try:
        certificates = read_certificates(
            webhook.delivery.tls, ca_file=ca_file, resolver=resolver, organization=webhook.address.organization
        )
        return context_for(certificates), []
    except SecretUnavailable:
        return None, []  # secret_findings reports it
    except HooklineError as error:
        return None, [_failed(CheckStep.KEY if isinstance(error, KeyUnusable) else CheckStep.TLS, error)]


def _failed(step: CheckStep, error: HooklineError) -> CheckFinding:
    return CheckFinding(step, Grade.FAILED, error.message, error.hint)
