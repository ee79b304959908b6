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
from contextlib import suppress
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

# What an operator's message may cost an attempt that has failed already.
LOOK_SECONDS: Final = 1.0
_MOST_NAMES: Final = 5

# OpenSSL's X509_V_ERR_…, see openssl-verification-options(1).
_NOT_YET, _EXPIRED, _SELF_SIGNED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 18, 62, 64
_UNKNOWN_AUTHORITY: Final = (19, 20, 21)


class CertificateRefused(ssl.SSLError):
    """A certificate that was not accepted. `words` say why, with what stands in it where it could be had."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


async def refusal(
    error: ssl.SSLCertVerificationError, host: str, reconnect: Callable[[], Awaitable[socket.socket]]
) -> CertificateRefused:
    """What to raise in place of `error`. `reconnect` makes a further connection to the address that was refused."""
    der = None
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(LOOK_SECONDS):
            der = await _look(await reconnect(), host)
    return CertificateRefused(certificate_words(error, der))


async def _look(connected: socket.socket, host: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whoever it is has been refused; this only finds out who it claims to be
    try:
        _, writer = await asyncio.open_connection(sock=connected, ssl=context, server_hostname=host)
    except BaseException:
        connected.close()
        raise
    try:
        shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.transport.abort()


def certificate_words(error: ssl.SSLCertVerificationError, der: bytes | None) -> str:
    """Which fault a certificate has. `der`: the certificate, where it could be had; it comes from a stranger."""
    code = error.verify_code
    words = _WORDS.get(code, f"the certificate is not accepted: {error.verify_message}")
    try:
        certificate = None if der is None else x509.load_der_x509_certificate(der)
        detail = None if certificate is None else _detail(code, certificate)
    except Exception:
        detail = None
    return words if detail is None else f"{words}: {detail}"


_WORDS = {
    _NOT_YET: "the certificate is not valid yet",
    _EXPIRED: "the certificate has expired",
    _SELF_SIGNED: "the certificate is self-signed",
    **dict.fromkeys(_UNKNOWN_AUTHORITY, "the certificate is of an unknown authority"),
    23: "the certificate was revoked",
    _OTHER_HOST: "the certificate is for another host",
    _OTHER_ADDRESS: "the certificate is for another address",
}


def _detail(code: int, certificate: x509.Certificate) -> str | None:
    if code == _EXPIRED:
        return _unless(certificate.not_valid_after_utc.isoformat(" ", "minutes"), "valid until {}")
    if code == _NOT_YET:
        return _unless(certificate.not_valid_before_utc.isoformat(" ", "minutes"), "valid from {}")
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return _names(certificate)
    if code in _UNKNOWN_AUTHORITY:
        return _unless(_issuer(certificate), "issued by {}")
    return None


def _unless(value: str, sentence: str) -> str | None:
    return sentence.format(value) if value else None


def _names(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return "it has no names"
    assert isinstance(found, x509.SubjectAlternativeName)
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    if not names:
        return "it has no names"
    more = len(names) - _MOST_NAMES
    return f"it has {', '.join(names[:_MOST_NAMES])}" + (f" and {more} more" if more > 0 else "")


def _issuer(certificate: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in certificate.issuer.get_attributes_for_oid(kind):
            return str(attribute.value)
    return ""
