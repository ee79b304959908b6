"""The TLS of the relay: 1.2 or newer, with verified certificates, and a description of each failure."""

from __future__ import annotations

import errno
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from hookline.descriptors import is_any_descriptor_left
from hookline.errors import HooklineError, KeyUnusable
from hookline.relay.http.certificate_info import CertificateRefused, fault_text
from hookline.relay.http.limits.handshake_threads import HandshakeRefused
from hookline.relay.http.limits.key_exchange import restrict_key_exchange


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Files in PEM. If `key` is None, the certificate's file contains the key."""

    certificate: Path
    key: Path | None = None


def tls_context(
    *, ca_file: Path | None = None, authorities: bytes | None = None, client: ClientCertificate | None = None
) -> ssl.SSLContext:
    """A client's context. It trusts the system's authorities, and those of `ca_file` and `authorities` (PEM).

    Raises HooklineError if these contain no certificate, KeyUnusable if `client` cannot be used, and OSError if no
    file descriptor is left.
    """
    # Not ssl.create_default_context: it writes the keys of every connection into the file that SSLKEYLOGFILE names,
    # and its strictness depends on the Python version. PROTOCOL_TLS_CLIENT verifies certificates by default.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525 §2: the subject is not a host name
    restrict_key_exchange(context)
    context.load_default_certs()
    if not is_any_descriptor_left():  # OpenSSL has skipped the authorities silently, and trusts no certificate then
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise HooklineError(
                f"cannot use {ca_file} as certificate authorities: {_reason(error)}",
                hint="name a readable file with certificates in PEM",
            ) from error
    if authorities is not None:
        try:
            # Bundles have comments in UTF-8. OpenSSL accepts ASCII only.
            context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
        except (OSError, ValueError) as error:
            message = "the webhook's tls.caFile contains no certificate authorities"
            raise HooklineError(message, hint="put certificates in PEM into it") from error
    if client is not None:
        try:
            # Without a password, OpenSSL asks for that of an encrypted key on the terminal and waits.
            context.load_cert_chain(client.certificate, client.key, password="")
        except OSError as error:
            raise KeyUnusable(
                f"cannot use the client certificate {client.certificate}: {_reason(error)}",
                hint="use the certificate and its unencrypted private key, both in PEM",
            ) from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        reason, no_pem = _openssl_reason(error), ("", "no start line", "pem lib", "no certificate or crl found")
        return "nothing in PEM" if reason in no_pem else reason
    return error.strerror or type(error).__name__


def _openssl_reason(error: ssl.SSLError) -> str:
    # Only errors that OpenSSL reports have a reason.
    return (getattr(error, "reason", None) or "").replace("_", " ").lower()


def describe_tls_error(error: ssl.SSLError) -> str:
    """The fault of the certificate, or OpenSSL's reason, as text for people."""
    if isinstance(error, CertificateRefused | HandshakeRefused):
        return error.text
    if isinstance(error, ssl.SSLCertVerificationError):
        return fault_text(error.verify_code, error.verify_message)
    reason = _openssl_reason(error) or "the connection ended in the handshake"
    if reason in ("wrong version number", "http request", "record layer failure"):
        return "the server does not speak TLS on this port"
    if "alert handshake failure" in reason:  # RFC 8446 §6.2
        return f"{reason}: no cipher or group in common, or a client certificate is required"
    return reason


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files for TLS to one webhook, as a value: it changes when an operator replaces a file.

    OpenSSL reads the paths in `ca_file` and `client`. `texts` are the contents of the files when they were read.
    `client_end` is the Unix time at which the client certificate expires. None: there is none, or it is unreadable.
    """

    ca_file: Path | None
    client: ClientCertificate | None
    authorities: bytes | None
    texts: tuple[bytes, ...] = field(repr=False)  # one of them may be a private key
    client_end: float | None = None


# A new context reads all of the system's authorities, which takes tens of milliseconds. Most webhooks have no files
# of their own and share one context. No context changes after it was made.
_CONTEXTS: WeakValueDictionary[Certificates, ssl.SSLContext] = WeakValueDictionary()


def context_for(certificates: Certificates) -> ssl.SSLContext:
    """The context for these files. Webhooks with equal files share it. Raises HooklineError if one is unusable."""
    if (context := _CONTEXTS.get(certificates)) is None:
        context = _CONTEXTS[certificates] = tls_context(
            ca_file=certificates.ca_file, authorities=certificates.authorities, client=certificates.client
        )
    return context
