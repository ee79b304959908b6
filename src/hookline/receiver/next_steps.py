"""The next step for each reason for which a token, a signature or a payload is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Checked = Literal["token", "signature", "payload"]

_NEW_KEYS = "write the keys of the webhook again: hookline jwks ORG/SANDBOX > FILE"
_CLOCKS = "compare the clocks of relay and receiver; a proxy may also have held the request"
# The beginning of a reason, or a part of it, and the step. The first that occurs in the reason applies.
_STEPS: Mapping[Checked, tuple[tuple[str, str], ...]] = {
    "token": (
        (
            "has no token",
            "give the webhook `authentication: {type: jwt, …}` and apply; if it has one, a proxy has removed the "
            "header, or --token-header names another one",
        ),
        ("does not have the form", "the header must be `Bearer TOKEN`; look for a proxy that rewrites it"),
        ("another audience", "give --audience the `audience` of the webhook file; its default is the URL's origin"),
        ("expired", _CLOCKS),
        ("not valid before", _CLOCKS),
        ("has no claim", "the token is not from hookline, which sends exp, iat, iss, aud and sub"),
        ("is not known", _NEW_KEYS),
        ("does not match the key", _NEW_KEYS),
        (
            "is not allowed",
            "give the keys of this algorithm: --jwks for RS, PS, ES and EdDSA, --hmac-secret-file for HS",
        ),
    ),
    "signature": (
        ("lacks one of the headers", "give the webhook a `signature:` and apply; if it has one, look for a proxy"),
        ("was signed", _CLOCKS),
        ("is not a number", "the header is not from hookline; look for a proxy that rewrites it"),
        (
            "no signature matches",
            "give the webhook's own secret (whsec_…), or its public key: hookline jwks ORG/SANDBOX --signature; if "
            "the key is right, the body was changed on its way",
        ),
    ),
    "payload": (
        ("not JSON", "the body is not from hookline, or it was changed on its way"),
        ("$", "compare it with the schema: hookline schema payload.v1, or payload.v2"),
    ),
}
_OTHERWISE: Mapping[Checked, str] = {
    "token": "the token is damaged or not from hookline: compare it with the header that the relay sent",
    "signature": "compare the request with the one that the relay sent",
    "payload": "compare it with the schema: hookline schema payload.v1, or payload.v2",
}


def next_step(checked: Checked, reason: str) -> str:
    """Returns the step that helps against `reason`, a text of TokenVerifier, SignatureVerifier or PayloadCheck."""
    return next((step for part, step in _STEPS[checked] if part in reason), _OTHERWISE[checked])
