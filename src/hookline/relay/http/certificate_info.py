"""What stands in an endpoint's certificate, and which fault it has, in words. No I/O: DER and a code go in."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from hookline.relay.http.exchange import one_line
from hookline.relay.http.request import server_name

_MOST_NAMES: Final = 20
_MOST_NAMES_TOLD: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Its texts are a stranger's: bounded, and without control characters. Times are in UTC.

    `issuer_name`: what an issuer is commonly called; may be empty. `more_names`: how many there are besides `names`.
    """

    subject: str
    issuer: str
    issuer_name: str
    names: tuple[str, ...]
    more_names: int
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative once it has."""
        return (self.not_after - now).days


def read_certificate(der: bytes) -> Certificate | None:
    """What stands in a certificate in DER, None when it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        return Certificate(
            subject=one_line(certificate.subject.rfc4514_string()),
            issuer=one_line(certificate.issuer.rfc4514_string()),
            issuer_name=one_line(_issuer_name(certificate)),
            names=tuple(map(one_line, names[:_MOST_NAMES])),
            more_names=len(names[_MOST_NAMES:]),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    # Of whatever part: it is only shown, so half of it is of no use. Not all that cryptography raises for what it
    # does not like is a ValueError: InvalidVersion and UnsupportedGeneralNameType are not.
    except Exception:
        return None


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    names: list[str] = [*alternatives.get_values_for_type(x509.DNSName)]
    return names + [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]


def _issuer_name(certificate: x509.Certificate) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in certificate.issuer.get_attributes_for_oid(kind):
            return str(attribute.value)
    return ""


def fault_words(code: int, message: str, certificate: Certificate | None = None) -> str:
    """Why a certificate is refused, with what of it shows that, where it could be had.

    `code` is OpenSSL's X509_V_ERR_…, `message` what OpenSSL says of it.
    """
    fault = _FAULTS.get(code)
    words = f"the certificate is not accepted: {message}" if fault is None else fault.words
    detail = "" if fault is None or certificate is None else fault.detail(certificate)
    return f"{words}: {detail}" if detail else words


def fault_hint(code: int, host: str) -> str:
    """What to do about it, for who wants to reach `host`."""
    fault = _FAULTS.get(code)
    return (_CHAIN if fault is None else fault.hint).format(host=host)


def _until(certificate: Certificate) -> str:
    return f"valid until {certificate.not_after.isoformat(' ', 'minutes')}"


def _from(certificate: Certificate) -> str:
    return f"valid from {certificate.not_before.isoformat(' ', 'minutes')}"


def _issued(certificate: Certificate) -> str:
    return f"issued by {certificate.issuer_name}" if certificate.issuer_name else ""


def _named(certificate: Certificate) -> str:
    if not certificate.names:
        return "it has no names"
    told = certificate.names[:_MOST_NAMES_TOLD]
    more = len(certificate.names) - len(told) + certificate.more_names
    return f"it has {', '.join(told)}" + (f" and {more} more" if more else "")


def _nothing(_: Certificate) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class _Fault:
    words: str
    detail: Callable[[Certificate], str]
    hint: str


_CLOCK: Final = "have the receiver's certificate renewed, and see that the clock of this machine is right"
_HOST: Final = "have a certificate issued for {host}, or correct the host in url"
_CHAIN: Final = (
    "see that the receiver sends its whole chain; a private authority is trusted with --ca-file, or with"
    " delivery.tls.caFile in the webhook file"
)
_STRANGER: Final = _Fault("the certificate is of an unknown authority", _issued, _CHAIN)

# By OpenSSL's X509_V_ERR_…, see openssl-verification-options(1).
_FAULTS: Final = {
    9: _Fault("the certificate is not valid yet", _from, _CLOCK),
    10: _Fault("the certificate has expired", _until, _CLOCK),
    18: _Fault("the certificate is self-signed", _nothing, _CHAIN),
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
    23: _Fault("the certificate was revoked", _nothing, _CHAIN),
    62: _Fault("the certificate is for another host", _named, _HOST),
    64: _Fault("the certificate is for another address", _named, _HOST),
}


# The certificate behind a refusal, for the words about it: until when it held, whose it is, which names it has.
#
# OpenSSL refuses a certificate without handing it over. So one more connection goes to the same address, on which
# nothing is verified and nothing is ever sent: it ends with the handshake. No secret, client certificate or request
# is near it, and nothing but a message comes of it. What an operator's message may cost an attempt that has failed
# already.
CERTIFICATE_READ_SECONDS: Final = 1.0

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


async def certificate_refusal(
    error: ssl.SSLCertVerificationError, host: str, reconnect: Reconnect, *, due: float = inf
) -> CertificateRefused:
    """What to raise in place of `error`. At `due`, on the loop's clock, it is there with or without a certificate."""
    certificate = await presented_certificate(reconnect, host, due=due)
    return CertificateRefused(error.verify_code, error.verify_message, certificate)


async def presented_certificate(reconnect: Reconnect, host: str, *, due: float = inf) -> Certificate | None:
    """The certificate that is shown for `host`, None when it cannot be had within LOOK_SECONDS, or until `due`."""
    try:
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + CERTIFICATE_READ_SECONDS, due)):
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
