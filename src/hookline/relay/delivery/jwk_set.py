"""What a receiver needs to verify a webhook's tokens: the public halves of its keys (RFC 7517 §5)."""

from __future__ import annotations

from hookline.model import JwtAuthentication
from hookline.relay.delivery.keys import load_key, public_jwk
from hookline.relay.secrets import SecretResolver
from hookline.rotation import unretired


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
            for key in unretired(authentication.keys, now)
        ]
    }
