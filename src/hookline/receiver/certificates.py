"""The receiver's own certificate authority and server certificate. A directory keeps them between starts.

ca.pem        the authority; clients trust it (`relay --ca-file`)
ca-key.pem    its private key, so that clients trust a certificate for another name as well
server.pem    the server's private key and certificate, in one file so that both are replaced together
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from hookline.errors import HooklineError, WrongUse
from hookline.paths import path_exists
from hookline.private_files import exposed_directory, replace_file

CERTIFICATE_LIFETIME = timedelta(days=365)
MIN_REMAINING = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    ca_file: Path
    server_file: Path


def prepare_certificates(directory: Path, names: Sequence[str], *, now: datetime) -> ServerIdentity:
    """Creates missing or invalid files. Raises HooklineError for an unusable directory or a foreign authority."""
    identity = ServerIdentity(directory / "ca.pem", directory / "server.pem")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(directory)
        with _locked(directory):
            authority = _authority(identity.ca_file, directory / "ca-key.pem")
            if not _is_valid(identity.server_file, authority, names, now):
                replace_file(identity.server_file, _certificate(authority, names, now), mode=0o600)
    except OSError as error:
        raise HooklineError(
            f"cannot keep certificates in {directory}: {error.strerror}",
            hint="choose another directory with --tls-dir",
        ) from error
    return identity


def _require_private(directory: Path) -> None:
    """Raises HooklineError if every user can exchange the authority, which clients trust."""
    # A file below it, so that the directory itself is on the way.
    if (exposed := exposed_directory(directory / "ca.pem")) is not None:
        raise HooklineError(
            f"anybody can write to {exposed}, and so exchange the certificates in {directory}",
            hint=f"chmod o-w {exposed}, or choose another directory with --tls-dir",
        )


def server_context(identity: ServerIdentity) -> ssl.SSLContext:
    """Returns a context for TLS 1.2 or newer, with the server's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(identity.server_file)
    return context


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    # Two receivers that start at the same time must not create two authorities.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _authority(ca_file: Path, key_file: Path) -> trustme.CA:
    if not path_exists(ca_file) and not path_exists(key_file):
        authority = trustme.CA(organization_name="hookline receive", path_length=0)
        replace_file(key_file, authority.private_key_pem.bytes(), mode=0o600)
        replace_file(ca_file, authority.cert_pem.bytes(), mode=0o644)
        return authority
    try:
        return trustme.CA.from_pem(ca_file.read_bytes(), key_file.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise HooklineError(
            f"{ca_file.parent} contains no authority of `hookline receive`: {error}",
            hint=f"remove {ca_file.name} and {key_file.name} there, or choose another directory with --tls-dir",
        ) from error


def _certificate(authority: trustme.CA, names: Sequence[str], now: datetime) -> bytes:
    try:
        begin, end = now - timedelta(days=1), now + CERTIFICATE_LIFETIME
        issued = authority.issue_cert(*names, not_before=begin, not_after=end)
    except ValueError as error:
        raise WrongUse(f"cannot create a certificate for {', '.join(names)}: {error}") from error
    return issued.private_key_and_cert_chain_pem.bytes()


def _is_valid(server_file: Path, authority: trustme.CA, names: Sequence[str], now: datetime) -> bool:
    """Whether `authority` issued the server's certificate for all `names`, and it is valid for another day."""
    try:
        certificate = x509.load_pem_x509_certificate(server_file.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.cert_pem.bytes()))
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False  # missing, damaged or of another authority: a new one is issued
    known = {*covered.get_values_for_type(x509.DNSName), *map(str, covered.get_values_for_type(x509.IPAddress))}
    covers_all = known.issuperset(map(_canonical_name, names))
    return covers_all and certificate.not_valid_after_utc > now + MIN_REMAINING


def _canonical_name(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()
