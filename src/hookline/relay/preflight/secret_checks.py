"""Checks of the relay's side of a webhook: its secrets, its keys and its TLS files."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, assert_never

from hookline.errors import HooklineError, KeyUnusable, SecretUnavailable
from hookline.key_rotation import TimedKey, unretired_keys
from hookline.model import JwtAuthentication, NoAuthentication, SignatureKey, SigningKey, Webhook
from hookline.relay.auth.body_signature import load_signature_key
from hookline.relay.auth.client_certificates import public_files, read_certificates
from hookline.relay.auth.credentials import added_query, fixed_headers, usable_keys
from hookline.relay.auth.keys import load_key
from hookline.relay.http.tls import context_for
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade
from hookline.relay.secrets import SecretResolver

_Key = TypeVar("_Key", bound=TimedKey)


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
        added_query(webhook, resolver)
    except SecretUnavailable as error:
        yield _failed(CheckStep.SECRETS, error)
    else:
        yield CheckFinding(
            CheckStep.SECRETS, Grade.OK, f"{len(references)} resolved" if references else "none are needed"
        )


def key_findings(webhook: Webhook, resolver: SecretResolver, now: float) -> Iterator[CheckFinding]:
    """A finding for every key that is not retired, and a failure if no key is active.

    Keys that become active later are checked, too. `secret_findings` reports a key without its secret.
    """
    organization = webhook.address.organization
    if webhook.signature is not None:

        def load_for_bodies(key: SignatureKey) -> str:
            load_signature_key(resolver.resolve(key.secret, organization), str(key.secret))
            return f"{key.secret} signs bodies"

        yield from _key_findings(webhook.signature.keys, now, load_for_bodies)
    authentication = webhook.authentication
    match authentication:
        case NoAuthentication():
            return
        case JwtAuthentication():

            def load_for_tokens(key: SigningKey) -> str:
                passphrase = None if key.passphrase is None else resolver.resolve(key.passphrase, organization)
                secret = resolver.resolve(key.secret, organization)
                load_key(secret, authentication.algorithm, key.id, passphrase)
                return f"{key.id} fits {authentication.algorithm}"

            yield from _key_findings(authentication.keys, now, load_for_tokens)
        case _:
            assert_never(authentication)


def _key_findings(keys: Sequence[_Key], now: float, load: Callable[[_Key], str]) -> Iterator[CheckFinding]:
    """`load` returns the finding on a key that fits. Raises SecretUnavailable or KeyUnusable for any other."""
    for key in unretired_keys(keys, now):
        try:
            yield CheckFinding(CheckStep.KEY, Grade.OK, load(key))
        except SecretUnavailable:
            continue
        except KeyUnusable as error:
            yield _failed(CheckStep.KEY, error)
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
