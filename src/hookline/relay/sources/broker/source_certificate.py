"""The certificate with which a relay identifies itself to the server of a distributed log."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from hookline.errors import HooklineError


class SourceCertificate(NamedTuple):
    """Files in PEM. `certificate` has the chain, and the key unless `key` names another file."""

    certificate: Path
    key: Path | None = None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Present the certificate in each handshake. Raises HooklineError, which never contains the key."""
        try:
            # With a password of its own, the library does not ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as error:  # also an ssl.SSLError
            reason = error.strerror if error.strerror and not isinstance(error, ssl.SSLError) else _reason(error)
            raise HooklineError(
                f"--source-certificate: {self.certificate} cannot be used: {reason}",
                hint="it is a file in PEM with the certificate and its chain, and with the key unless --source-key "
                "names the file of the key; a key with a password cannot be used",
            ) from error


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else "no certificate with a fitting key"
