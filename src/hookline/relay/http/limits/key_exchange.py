"""The key exchanges that the relay offers: elliptic curves only.

A finite-field exchange (DHE) over 8,192 bits costs the relay 0.2 s of processor time, and the endpoint chooses the
size. An exchange over an elliptic curve costs less than a millisecond.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

# The first list that the runtime knows. Python can restrict the groups of TLS 1.3 from 3.15 on. Before, an endpoint
# can still choose a finite-field group there, and Handshakes bounds its cost.
_GROUPS: Final = ("X25519MLKEM768:X25519:P-256:P-384:P-521", "X25519:P-256:P-384:P-521")


def restrict_key_exchange(context: ssl.SSLContext) -> None:
    """Offer only exchanges over elliptic curves, and refuse to repeat a handshake on an open connection."""
    context.set_ciphers(":".join(name for name in _names(context) if name.startswith("ECDHE-")))
    # In TLS 1.2 an endpoint may ask for a new handshake at any time. It would run on the event loop.
    context.options |= ssl.OP_NO_RENEGOTIATION
    if (set_groups := getattr(context, "set_groups", None)) is not None:
        for groups in _GROUPS:
            with suppress(ValueError, ssl.SSLError):
                set_groups(groups)
                break


def finite_field_context() -> ssl.SSLContext:
    """A context that offers only finite-field exchanges in TLS 1.2, to find out whether an endpoint uses only these.

    It verifies nothing. No request may be sent with it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(name for name in _names(context) if name.startswith("DHE-")))
    return context


def _names(context: ssl.SSLContext) -> list[str]:
    return [str(cipher["name"]) for cipher in context.get_ciphers()]
