"""The errors of the NATS client and of JetStream, as errors of hookline or as ServerAway."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import nats.errors

from hookline.errors import HooklineError
from hookline.relay.sources.nats.nats_target import NatsTarget

_NOT_ALLOWED: Final = "permissions violation"
_NOT_AUTHORIZED: Final = ("authorization violation", "authentication", "nkey", "invalid user jwt", "user jwt")


class ServerAway(Exception):
    """The server cannot be reached, or has a temporary fault: the source tries again."""


# The exceptions that a call of the client may raise, apart from those of hookline.
CLIENT_FAULTS: Final = (nats.errors.Error, OSError, asyncio.TimeoutError)


def fault(error: BaseException, target: NatsTarget) -> Exception:
    """Returns the error of hookline for an exception of the client: a HooklineError, or ServerAway."""
    text = _text(error)
    lower = text.lower()
    if _NOT_ALLOWED in lower:
        return HooklineError(
            f"{target.name}: the server refuses a request of this user: {text}",
            hint=f"permit the subjects that docs/how-to/nats.md lists for the stream {target.stream}",
        )
    if isinstance(error, ssl.SSLError):
        return HooklineError(
            f"{target.name}: TLS failed: {_tls_text(error)}",
            hint="name the authority of the server's certificate with --ca-file, and the server by a name in it",
        )
    if isinstance(error, nats.errors.AuthorizationError) or any(word in lower for word in _NOT_AUTHORIZED):
        return HooklineError(
            f"{target.name}: the server refuses these credentials: {text}",
            hint="name the secret that holds them with --source-credentials, and check the user's rights",
        )
    return ServerAway(text)


def _text(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, nats.errors.NoServersError):
        return "no server can be reached"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix("nats: ").strip("'\" ") or type(error).__name__


def _tls_text(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "the connection ended in the handshake").replace("_", " ").lower()
