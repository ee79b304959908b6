"""What a receiver needs to verify a webhook's tokens: the public halves of its keys (RFC 7517 §5)."""

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
    """``{"keys": […]}`` with the public half of every key that is not retired at `now`, in Unix seconds, in order.

    Of those that are active at a moment, the first one signs.
    Raises SecretUnavailable or KeyUnusable, also for symmetric keys: those have no public half.
    """
    return {
        "keys": [
            public_jwk(
                load_key(
                    resolver.resolve(key.secret, organization),
                    authentication.algorithm,
                    key.id,
                    passphrase=None if key.passphrase is None else resolver.resolve(key.passphrase, organization),
                )
            )
            for key in unretired_keys(authentication.keys, now)
        ]
    }


def public_signature_keys(webhook: Webhook, resolver: SecretResolver, now: float) -> list[str]:
    """``whpk_…`` of every Ed25519 key of the body's signature that is not retired at `now`, in their order.

    Raises HooklineError for a webhook without signature, SecretUnavailable, and KeyUnusable, also where all are
    shared.
    """
    if webhook.signature is None:
        raise HooklineError(
            f"{webhook.address} signs no bodies: it has no signature",
            hint="give it a signature of type standard-webhooks, and apply that",
        )
    organization = webhook.address.organization
    texts = [
        public_text(load_signature_key(resolver.resolve(key.secret, organization), str(key.secret)))
        for key in unretired_keys(webhook.signature.keys, now)
    ]
    found = [text for text in texts if text is not None]
    if not found:
        raise KeyUnusable(
            "signature keys of type whsec_ are symmetric, they have no public half to export",
            hint="hand the secret to the receiver itself, or use a whsk_ key",
        )
    return found
