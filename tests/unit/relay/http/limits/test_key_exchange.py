"""The key exchanges that the relay offers."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from hookline.relay.http.limits.key_exchange import finite_field_context, restrict_key_exchange
from hookline.relay.http.tls import tls_context


def test_no_finite_field_is_offered() -> None:
    """The relay's TLS 1.2 ciphers all use elliptic curves and authenticate, and no handshake can be repeated."""
    context = tls_context()
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert names
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in names)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all(one["name"].startswith(("DHE-", "TLS_")) for one in finite_field_context().get_ciphers())


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("X25519MLKEM768:X25519:P-256:P-384:P-521", "X25519MLKEM768:X25519:P-256:P-384:P-521"),
        ("X25519:P-256:P-384:P-521", "X25519:P-256:P-384:P-521"),
    ],
)
def test_groups_are_restricted_where_the_runtime_can(known: str, expected: str) -> None:
    """A runtime that can set groups gets the first list that it knows, which has no finite-field group."""
    chosen = list[str]()

    class Context(ssl.SSLContext):
        def set_groups(self, groups: str, /) -> None:
            if groups != known:
                raise ssl.SSLError("unknown group")
            chosen.append(groups)

    context: Any = Context(ssl.PROTOCOL_TLS_CLIENT)
    restrict_key_exchange(context)
    assert [expected] == chosen
