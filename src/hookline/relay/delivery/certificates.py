"""The files that TLS to one webhook rests on, as a value: what an operator has replaced makes another one."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from hookline.model import FileRef, TlsPolicy
from hookline.relay.delivery.tls import ClientCertificate, tls_context
from hookline.relay.secrets import SecretResolver


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


def public_files(policy: TlsPolicy) -> frozenset[FileRef]:
    """Which of the files of `policy` hold no secret. A client certificate without a key's file holds its key too."""
    own = {policy.client_certificate} if policy.client_key is not None else set()
    authorities = set() if policy.ca_file is None else {FileRef(policy.ca_file)}
    return frozenset(ref for ref in own | authorities if ref is not None and ref != policy.client_key)


def read_certificates(
    policy: TlsPolicy, *, ca_file: Path | None, resolver: SecretResolver, organization: str
) -> Certificates:
    """Read what `policy` names, and the relay's own `ca_file`. Raises SecretUnavailable."""

    def read(ref: FileRef) -> bytes:
        return resolver.resolve(ref, organization, public=ref in public_files(policy)).reveal()

    texts = []
    if ca_file is not None:
        with suppress(OSError):  # whether it can be used is for the context to say
            texts.append(ca_file.read_bytes())
    client = None
    if policy.client_certificate is not None:
        key = None if policy.client_key is None else resolver.locate(policy.client_key, organization)
        client = ClientCertificate(resolver.locate(policy.client_certificate, organization), key)
        texts += [read(ref) for ref in (policy.client_certificate, policy.client_key) if ref is not None]
    authorities = None if policy.ca_file is None else read(FileRef(policy.ca_file))
    return Certificates(ca_file, client, authorities, tuple(texts))


def context_for(certificates: Certificates) -> ssl.SSLContext:
    """The context for these, which others may share. Raises HooklineError when they hold nothing that can be used."""
    context = _CONTEXTS.get(certificates)
    if context is None:
        context = _CONTEXTS[certificates] = tls_context(
            ca_file=certificates.ca_file, authorities=certificates.authorities, client=certificates.client
        )
    return context
