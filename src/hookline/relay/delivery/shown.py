"""The certificate behind a refusal, for the words about it: until when it held, whose it is, which names it has.

OpenSSL refuses a certificate without handing it over. So one more connection goes to the same address, on which
nothing is verified and nothing is ever sent: it ends with the handshake. No secret, client certificate or request is
near it, and nothing but a message comes of it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from hookline.relay.delivery.certificate import Certificate, fault_words, read_certificate
from hookline.relay.delivery.target import server_name

# What an operator's message may cost an attempt that has failed already.
LOOK_SECONDS: Final = 1.0

# Makes a further connection to the very address that was refused.
Reconnect = Callable[[], Awaitable[socket.socket]]


class CertificateRefused(ssl.SSLError):
    """A certificate that was not accepted.

    `code` is OpenSSL's, `fault` says why, `words` also with what stands in the certificate, where that could be had.
    """

    def __init__(self, code: int, message: str, certificate: Certificate | None) -> None:
        self.code = code
        self.certificate = certificate
        self.fault = fault_words(code, message)
        self.words = fault_words(code, message, certificate)
        super().__init__(self.words)


async def refusal(
    error: ssl.SSLCertVerificationError, host: str, reconnect: Reconnect, *, due: float = inf
) -> CertificateRefused:
    """What to raise in place of `error`. At `due`, on the loop's clock, it is there with or without a certificate."""
    certificate = await presented(reconnect, host, due=due)
    return CertificateRefused(error.verify_code, error.verify_message, certificate)


async def presented(reconnect: Reconnect, host: str, *, due: float = inf) -> Certificate | None:
    """The certificate that is shown for `host`, None when it cannot be had within LOOK_SECONDS, or until `due`."""
    try:
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + LOOK_SECONDS, due)):
            der = await _look(await reconnect(), host)
    except Exception:  # whatever a stranger does the second time, the first time is what is told
        return None
    return None if der is None else read_certificate(der)


async def _look(connected: socket.socket, host: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whoever it is has been refused; this only finds out who it claims to be
    try:
        _, writer = await asyncio.open_connection(sock=connected, ssl=context, server_hostname=server_name(host))
    except BaseException:
        connected.close()
        raise
    try:
        shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.transport.abort()
