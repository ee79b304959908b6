"""Reads the files for TLS to one webhook."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hookline.model import FileRef, TlsPolicy
from hookline.relay.http.certificate_info import end_of_pem
from hookline.relay.http.tls import Certificates, ClientCertificate
from hookline.relay.secrets import SecretResolver


def public_files(policy: TlsPolicy) -> frozenset[FileRef]:
    """The files of `policy` without a secret. A client certificate without a separate key file contains its key."""
    certificates = {policy.client_certificate} if policy.client_key is not None else set()
    authorities = set() if policy.ca_file is None else {FileRef(policy.ca_file)}
    return frozenset(ref for ref in certificates | authorities if ref is not None and ref != policy.client_key)


def read_certificates(
    policy: TlsPolicy, *, ca_file: Path | None, resolver: SecretResolver, organization: str
) -> Certificates:
    """Read the files that a webhook's `policy` names, and the relay's own `ca_file`.

    Raises SecretUnavailable if a file of the webhook cannot be read. The TLS context reports an unreadable `ca_file`.
    """

    def read(ref: FileRef) -> bytes:
        return resolver.resolve(ref, organization, public=ref in public_files(policy)).reveal()

    texts = []
    if ca_file is not None:
        with suppress(OSError):
            texts.append(ca_file.read_bytes())
    client = client_end = None
    if policy.client_certificate is not None:
        key = None if policy.client_key is None else resolver.locate(policy.client_key, organization)
        client = ClientCertificate(resolver.locate(policy.client_certificate, organization), key)
        client_end = end_of_pem(read(policy.client_certificate))
        texts += [read(ref) for ref in (policy.client_certificate, policy.client_key) if ref is not None]
    authorities = None if policy.ca_file is None else read(FileRef(policy.ca_file))
    return Certificates(ca_file, client, authorities, tuple(texts), client_end)
