"""Certificates of endpoints: their contents, their faults in words, and reading a refused one.

OpenSSL does not return a certificate that it refuses. To describe it, the relay connects to the same address once
more. It verifies nothing on that connection, sends nothing, and closes it after the handshake. No secret, client
certificate or request is involved, and the only result is a message.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from hookline.relay.http.connection import ClientConnection
from hookline.relay.http.connector import ConnectEvent, Encrypted
from hookline.relay.http.exchange import one_line
from hookline.relay.http.limits.handshake_threads import Handshakes
from hookline.relay.http.limits.key_exchange import restrict_key_exchange

_MAX_NAMES: Final = 20
_MAX_NAMES_SHOWN: Final = 5
# The time limit for reading a refused certificate. The attempt has failed already, and this delays its result.
CERTIFICATE_READ_SECONDS: Final = 1.0

# Makes a further connection to the address whose certificate was refused.
Reconnect = Callable[[], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The contents of a certificate. Its texts are bounded and without control characters. Times are in UTC.

    `issuer_name`: the common name or organization; may be empty. `more_names`: the number that `names` leaves out.
    """

    subject: str
    issuer: str
    issuer_name: str
    names: tuple[str, ...]
    more_names: int
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative after that."""
        return (self.not_after - now).days


def read_certificate(der: bytes) -> Certificate | None:
    """The contents of a certificate in DER, None if it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        return Certificate(
            subject=one_line(certificate.subject.rfc4514_string()),
            issuer=one_line(certificate.issuer.rfc4514_string()),
            issuer_name=one_line(_issuer_name(certificate)),
            names=tuple(map(one_line, names[:_MAX_NAMES])),
            more_names=len(names[_MAX_NAMES:]),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    # The certificate is only displayed, so an error in any part makes all of it unreadable. Some of cryptography's
    # exceptions are no ValueError: InvalidVersion and UnsupportedGeneralNameType.
    except Exception:
        return None


def end_of_pem(text: bytes) -> float | None:
    """The Unix time at which the first certificate of a file in PEM expires. None if it cannot be read."""
    with suppress(Exception):
        return x509.load_pem_x509_certificate(text).not_valid_after_utc.timestamp()
    return None


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    names: list[str] = [*alternatives.get_values_for_type(x509.DNSName)]
    return names + [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]


def _issuer_name(certificate: x509.Certificate) -> str:
    kinds = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
    return next((str(one.value) for kind in kinds for one in certificate.issuer.get_attributes_for_oid(kind)), "")


def fault_text(code: int, message: str, certificate: Certificate | None = None) -> str:
    """Why a certificate was refused, with the part of it that shows the fault. `code` and `message` are OpenSSL's."""
    words, _ = _FAULTS.get(code, (f"the certificate is not accepted: {message}", ""))
    detail = "" if certificate is None else _detail(code, certificate)
    return f"{words}: {detail}" if detail else words


def fault_hint(code: int, host: str) -> str:
    """The next step for an operator whose relay connects to `host`."""
    return _FAULTS.get(code, ("", _CHAIN))[1].format(host=host)


def _detail(code: int, certificate: Certificate) -> str:

    match code:
        case 9:
            return f"valid from {certificate.not_before.isoformat(' ', 'minutes')}"
        case 10:
            return f"valid until {certificate.not_after.isoformat(' ', 'minutes')}"
        case 19 | 20 | 21 if certificate.issuer_name:
            return f"issued by {certificate.issuer_name}"
        case 62 | 64:
            return _named(certificate)
    return ""


def _named(certificate: Certificate) -> str:
    if not certificate.names:
        return "it has no names"
    shown = certificate.names[:_MAX_NAMES_SHOWN]
    more = len(certificate.names) - len(shown) + certificate.more_names
    return f"it has {', '.join(shown)}" + (f" and {more} more" if more else "")


_CLOCK: Final = "have the receiver's certificate renewed, and check the clock of this machine"
_HOST: Final = "have a certificate issued for {host}, or correct the host in url"
_CHAIN: Final = (
    "the receiver must send its whole chain; to trust a private authority, use --ca-file, or delivery.tls.caFile in"
    " the webhook file"
)
_UNKNOWN_AUTHORITY: Final = ("the certificate is from an unknown authority", _CHAIN)

# Words and hint by OpenSSL's X509_V_ERR_…, see openssl-verification-options(1).
_FAULTS: Final = {
    9: ("the certificate is not valid yet", _CLOCK),
    10: ("the certificate has expired", _CLOCK),
    18: ("the certificate is self-signed", _CHAIN),
    **dict.fromkeys((19, 20, 21), _UNKNOWN_AUTHORITY),
    23: ("the certificate was revoked", _CHAIN),
    62: ("the certificate is for another host", _HOST),
    64: ("the certificate is for another address", _HOST),
}


class CertificateRefused(ssl.SSLError):
    """A certificate that was not accepted.

    `code` is OpenSSL's. `fault` is the reason. `text` adds the part of the certificate that shows it, if it was read.
    """

    def __init__(self, code: int, message: str, certificate: Certificate | None) -> None:
        self.code = code
        self.certificate = certificate
        self.fault = fault_text(code, message)
        self.text = fault_text(code, message, certificate)
        super().__init__(self.text)


class ShownCertificate:
    """The certificate that an endpoint showed at its latest handshake.

    `end`: the Unix time at which it expires. None before the first handshake, and if the certificate cannot be read.
    """

    def __init__(self) -> None:
        self.end: float | None = None

    def observe(self, event: ConnectEvent) -> None:
        """Follow the steps of a connection. This reads one date, and only after a handshake."""
        if isinstance(event, Encrypted):
            self.end = None
            with suppress(Exception):  # as in read_certificate
                self.end = x509.load_der_x509_certificate(event.chain[0]).not_valid_after_utc.timestamp()

    def observe_failure(self, error: Exception) -> None:
        """Follow a failed attempt. A refused certificate that could not be read leaves `end` as it was."""
        if isinstance(error, CertificateRefused) and error.certificate is not None:
            self.end = error.certificate.not_after.timestamp()


async def refused_certificate(
    error: ssl.SSLCertVerificationError, host: str, reconnect: Reconnect, handshakes: Handshakes, *, due: float = inf
) -> CertificateRefused:
    """The exception to raise in place of `error`.

    Args:
        error: OpenSSL's refusal.
        host: The name for which the certificate was shown.
        reconnect: Connects to the same address once more.
        handshakes: Those of this endpoint, one of which is on the second connection.
        due: When to stop reading the certificate, in seconds on the loop's clock. The exception then has none.
    """
    certificate = None
    with suppress(Exception):  # the message is about the first connection, so errors of the second are not reported
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + CERTIFICATE_READ_SECONDS, due)):
            session = await unverified_session(await reconnect(), host, _unverified_context(), handshakes)
            if (der := session.getpeercert(binary_form=True)) is not None:
                certificate = read_certificate(der)
    return CertificateRefused(error.verify_code, error.verify_message, certificate)


def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate was refused already; this only reads it
    restrict_key_exchange(context)
    return context


async def unverified_session(
    connected: socket.socket, host: str, context: ssl.SSLContext, handshakes: Handshakes
) -> ssl.SSLObject:
    """The session of a handshake in which nothing was verified. The connection is closed, and sent no request.

    Args:
        connected: The connection, which this function closes.
        host: The name to ask for.
        context: Verifies nothing.
        handshakes: Those of this endpoint.

    Raises:
        OSError: The handshake failed.
    """
    try:
        connection = ClientConnection(connected, context, host, set_due=lambda *_: None, on_closed=lambda _: None)
    except BaseException:
        connected.close()
        raise
    try:
        await connection.handshake(handshakes)
        return connection.tls
    finally:
        connection.close()
