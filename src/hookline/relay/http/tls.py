"""TLS as the relay speaks it: 1.2 or newer, certificates always verified, and what a failure says in plain words."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from hookline.errors import HooklineError, KeyUnusable
from hookline.relay.http.certificate_info import CertificateRefused, fault_words


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Files in PEM. `key` None: the key stands in the certificate's file."""

    certificate: Path
    key: Path | None = None


def tls_context(
    *, ca_file: Path | None = None, authorities: bytes | None = None, client: ClientCertificate | None = None
) -> ssl.SSLContext:
    """A client's context with the system's authorities, and those of `ca_file` and `authorities` (PEM) besides.

    Raises HooklineError when `ca_file` or `authorities` hold no certificate, KeyUnusable for the client's.
    """
    # Not ssl.create_default_context: that writes the keys of every connection into the file that SSLKEYLOGFILE names,
    # and is stricter with a newer Python than with an older one. A client's context verifies from its birth.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525 §2: a name in the subject names nobody
    context.load_default_certs()
    if ca_file is not None:
        _trust_file(context, ca_file)
    if authorities is not None:
        _trust_text(context, authorities)
    if client is not None:
        _load_client(context, client)
    return context


def _trust_file(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise HooklineError(
            f"cannot use {ca_file} as certificate authorities: {_reason(error)}",
            hint="name a readable file with certificates in PEM",
        ) from error


def _trust_text(context: ssl.SSLContext, authorities: bytes) -> None:
    try:
        # Bundles name authorities in comments, in UTF-8; OpenSSL is only given the ASCII of it.
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (OSError, ValueError) as error:
        raise HooklineError(
            "the webhook's tls.caFile holds no certificate authorities", hint="put certificates in PEM into it"
        ) from error


def _load_client(context: ssl.SSLContext, client: ClientCertificate) -> None:
    try:
        # A password, though there is none: OpenSSL would otherwise ask for it on the terminal and wait.
        context.load_cert_chain(client.certificate, client.key, password="")
    except OSError as error:
        raise KeyUnusable(
            f"cannot use the client certificate {client.certificate}: {_reason(error)}",
            hint="it takes the certificate and its unencrypted private key, both in PEM",
        ) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        words = _words(error)
        return "nothing in PEM" if words in ("", "no start line", "pem lib", "no certificate or crl found") else words
    return error.strerror or type(error).__name__


def _words(error: ssl.SSLError) -> str:
    # Only the errors that OpenSSL itself reports carry a reason.
    return (getattr(error, "reason", None) or "").replace("_", " ").lower()


def describe_tls_error(error: ssl.SSLError) -> str:
    """What went wrong in a handshake, for people: which fault a certificate has, or OpenSSL's reason in words."""
    if isinstance(error, CertificateRefused):
        return error.words
    if isinstance(error, ssl.SSLCertVerificationError):
        return fault_words(error.verify_code, error.verify_message)
    reason = _words(error) or "the connection ended in the handshake"
    if reason in ("wrong version number", "http request", "record layer failure"):
        return "the server does not speak TLS on this port"
    return reason


# The files that TLS to one webhook rests on, as a value: what an operator has replaced makes another one.
@dataclass(frozen=True, slots=True)
class Certificates:
    """`ca_file` and `client` are where OpenSSL reads; the texts are what stood there when this was made."""

    ca_file: Path | None
    client: ClientCertificate | None
    authorities: bytes | None
    texts: tuple[bytes, ...] = field(repr=False)  # a private key is among them


# Making a context reads all of the system's authorities, in tens of milliseconds. Most webhooks have no files of
# their own and share one; none is changed once it is made.
_CONTEXTS: WeakValueDictionary[Certificates, ssl.SSLContext] = WeakValueDictionary()


def context_for(certificates: Certificates) -> ssl.SSLContext:
    """The context for these, which others may share. Raises HooklineError when they hold nothing that can be used."""
    context = _CONTEXTS.get(certificates)
    if context is None:
        context = _CONTEXTS[certificates] = tls_context(
            ca_file=certificates.ca_file, authorities=certificates.authorities, client=certificates.client
        )
    return context
