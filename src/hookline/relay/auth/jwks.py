"""The public keys with which a receiver verifies a webhook's tokens (RFC 7517 §5) and body signatures."""

from __future__ import annotations

from hookline.errors import HooklineError, KeyUnusable
from hookline.key_rotation import unretired_keys
from hookline.model import JwtAuthentication, Webhook
from hookline.relay.auth.body_signature import load_signature_key, public_text
from hookline.relay.auth.keys import load_key, public_jwk
from hookline.relay.secrets import SecretResolver


def jwk_set(
    authentication: JwtAuthentication, resolver: SecretResolver, organization: str, now: float
) -> dict[str, list[dict[str, str]]]:
    """``{"keys": […]}`` with the public half of every key that is not retired, in order. The first active key signs.

    `now` is Unix time in seconds. Raises SecretUnavailable, and KeyUnusable, also for a symmetric key.
    """
    found = []
    for key in unretired_keys(authentication.keys, now):
        secret = resolver.resolve(key.secret, organization)
        passphrase = None if key.passphrase is None else resolver.resolve(key.passphrase, organization)
        found.append(public_jwk(load_key(secret, authentication.algorithm, key.id, passphrase)))
    return {"keys": found}


def public_signature_keys(webhook: Webhook, resolver: SecretResolver, now: float) -> list[str]:
    """``whpk_…`` of every Ed25519 key for body signatures that is not retired at `now` (Unix seconds), in order.

    Raises HooklineError if the webhook has no signature, SecretUnavailable, and KeyUnusable (also without such keys).
    """
    if webhook.signature is None:
        raise HooklineError(
            f"{webhook.address} signs no bodies: it has no signature",
            hint="add a signature of type standard-webhooks, and apply it",
        )
    organization = webhook.address.organization
    texts = [
        public_text(load_signature_key(resolver.resolve(key.secret, organization), str(key.secret)))
        for key in unretired_keys(webhook.signature.keys, now)
    ]
    found = [text for text in texts if text is not None]
    if not found:
        raise KeyUnusable(
            "signature keys of type whsec_ are symmetric and have no public half to export",
            hint="give the secret to the receiver directly, or use a whsk_ key",
        )
    return found
