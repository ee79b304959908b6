from __future__ import annotations

import pytest

from hookline.receiver.settings import parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8443", ("127.0.0.1", 8443)), ("localhost:0", ("localhost", 0)), ("[::1]:9", ("::1", 9))],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    """Names, IPv4 and bracketed IPv6 addresses are read."""
    assert expected == parse_listen(text)


@pytest.mark.parametrize(
    "text", ["8443", ":8443", "localhost", "localhost:", "::1:9", "localhost:http", "localhost:70000"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Half an address, a bare IPv6 address and ports that do not exist are refused."""
    with pytest.raises(ValueError, match=r"not an address|no such port"):
        parse_listen(text)
