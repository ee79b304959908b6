"""What a receiver needs to verify a webhook's tokens: the public halves of its keys (RFC 7517 §5)."""

from __future__ import annotations

from hookline.model import JwtAuthentication
from hookline.relay.delivery.keys import load_key, public_jwk
from hookline.relay.secrets import SecretResolver


def jwk_set(
    authentication: JwtAuthentication, resolver: SecretResolver, organization: str
) -> dict[str, list[dict[str, str]]]:
    """``{"keys": […]}`` with the public half of every key in the order they are written; the first one signs.

    Raises SecretUnavailable or KeyUnusable, also for symmetric keys: those have no public half.
    """
    keys = (
        load_key(resolver.resolve(key.secret, organization), authentication.algorithm, key.id)
        for key in authentication.keys
    )
    return {"keys": [public_jwk(key) for key in keys]}
