"""What an endpoint's certificate says of itself, whether it is accepted or not. Nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from hookline.relay.delivery.wording import one_line

_MOST_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One certificate. Its texts are an endpoint's: bounded, and without control characters. Times are in UTC."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative once it has."""
        return (self.not_after - now).days


def read_certificate(der: bytes) -> Shown | None:
    """What stands in a certificate in DER, None when it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Shown(
            subject=one_line(certificate.subject.rfc4514_string()),
            issuer=one_line(certificate.issuer.rfc4514_string()),
            names=tuple(one_line(name) for _, name in zip(range(_MOST_NAMES), _names(certificate), strict=False)),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    except ValueError:  # of whatever part: it is only shown, so half of it is of no use
        return None


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return
    yield from alternatives.get_values_for_type(x509.DNSName)
    yield from map(str, alternatives.get_values_for_type(x509.IPAddress))
