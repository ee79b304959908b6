"""Certificates that OpenSSL accepts and that other parsers fail on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ssl import DER_cert_to_PEM_cert

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID, NameOID

# GeneralName (RFC 5280 §4.2.1.6) has nine forms; nobody uses these two.
X400_ADDRESS = b"\xa3\x02\x30\x00"
EDI_PARTY_NAME = b"\xa5\x05\xa1\x03\x0c\x01x"
_VERSION_3, _VERSION_4 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"


def with_name(authority: trustme.CA, host: str, further: bytes) -> trustme.LeafCert:
    """A certificate for `host` with one more name, given as DER."""
    return _leaf(authority, _dns(host) + further)


def of_version_4(authority: trustme.CA, host: str) -> trustme.LeafCert:
    """A certificate with the version 4, which does not exist."""
    return _leaf(authority, _dns(host), future=True)


def _dns(host: str) -> bytes:
    return bytes([0x82, len(host)]) + host.encode()


def _leaf(authority: trustme.CA, names: bytes, *, future: bool = False) -> trustme.LeafCert:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signer = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Strange")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(400))
        .add_extension(
            x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, _tagged(0x30, names)), critical=False
        )
        .sign(signer, SHA256())
    )
    der = _as_version_4(made, signer) if future else made.public_bytes(Encoding.DER)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return trustme.LeafCert(private, DER_cert_to_PEM_cert(der).encode(), [])


def _as_version_4(made: x509.Certificate, signer: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """The certificate with version 4, signed again, because the builder does not support it."""
    body = made.tbs_certificate_bytes.replace(_VERSION_3, _VERSION_4, 1)
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        signature = signer.sign(body, ec.ECDSA(SHA256()))
    else:
        signature = signer.sign(body, PKCS1v15(), SHA256())
    whole = made.public_bytes(Encoding.DER)
    at = whole.index(made.tbs_certificate_bytes) + len(made.tbs_certificate_bytes)
    algorithm = whole[at : at + 2 + whole[at + 1]]
    return _tagged(0x30, body + algorithm + _tagged(0x03, b"\0" + signature))


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
