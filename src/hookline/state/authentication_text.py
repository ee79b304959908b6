"""The authentication of an applied webhook in lists: as text for people, and as the type that webhook files have."""

from __future__ import annotations

from typing import assert_never

from hookline.model import BodySignature, JwtAuthentication, NoAuthentication, Webhook


def authentication_name(webhook: Webhook) -> str:
    """The type as in webhook files."""
    match webhook.authentication:
        case NoAuthentication():
            return "none"
        case JwtAuthentication():
            return "jwt"
        case _:
            assert_never(webhook.authentication)


def signature_name(webhook: Webhook) -> str | None:
    match webhook.signature:
        case None:
            return None
        case BodySignature():
            return "standard-webhooks"
        case _:
            assert_never(webhook.signature)


def authentication_text(webhook: Webhook) -> str:
    """Token, signature, both or neither."""
    authentication, signature = authentication_name(webhook), signature_name(webhook)
    if signature is None:
        return authentication
    return signature if authentication == "none" else f"{authentication},{signature}"
