"""The files that TLS to one webhook rests on, as a value: what an operator has replaced makes another one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hookline.model import FileRef, TlsPolicy
from hookline.relay.http.tls import Certificates, ClientCertificate
from hookline.relay.secrets import SecretResolver


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
