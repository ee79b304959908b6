from __future__ import annotations

import pytest

from hookline.relay.http.proxy import Proxy, connect_request, parse_proxy


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://proxy.acme.test:3128", "proxy.acme.test", 3128),
        ("http://proxy.acme.test/", "proxy.acme.test", 80),
        ("http://[fd00::1]:8080", "fd00::1", 8080),
    ],
)
def test_proxy_url(url: str, host: str, port: int) -> None:
    """A proxy is named by an http URL."""
    assert Proxy(host, port) == parse_proxy(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2@proxy:1", "socks5://hunter2@proxy:1", "http://", "http://u:hunter2@proxy:port",
        "http://proxy/hunter2", "http://proxy?hunter2", "http://proxy#hunter2", "proxy:3128", "http://u:hunter2@[::1",
    ],
)  # fmt: skip
def test_no_proxy_url(url: str) -> None:
    """Any other URL is refused, and the message does not contain it."""
    with pytest.raises(ValueError, match="http") as caught:
        parse_proxy(url)
    assert "hunter2" not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    """A proxy that is printed shows no credentials."""
    proxy = parse_proxy("http://hookline:hunter2@proxy.acme.test:3128")
    assert "hunter2" not in repr(proxy)
    assert "aG9va2xpbmU6aHVudGVyMg" not in repr(proxy)
    assert b"Basic aG9va2xpbmU6aHVudGVyMg==" in connect_request("192.0.2.1", 443, proxy.authorization)


def test_connect_request() -> None:
    """CONNECT has an IPv6 address in brackets, without a zone, and no other header."""
    assert b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n" == connect_request(
        "2001:db8::1%eth0", 443, None
    )


@pytest.mark.parametrize(
    ("bypass", "host", "applies"),
    [
        ("", "hooks.acme.test", True),
        ("*", "hooks.acme.test", False),
        ("acme.test", "hooks.acme.test", False),
        ("acme.test", "acme.test", False),
        (".acme.test", "hooks.acme.test.", False),
        ("*.acme.test", "hooks.acme.test", False),
        ("acme.test", "notacme.test", True),
        ("acme.test:8443", "acme.test", True),
        ("acme.test:443", "acme.test", False),
        (" a.test , ACME.test,", "hooks.acme.test", False),
        (",.,*.", "hooks.acme.test", True),
    ],
)
def test_bypass(bypass: str, host: str, applies: bool) -> None:
    """An entry of NO_PROXY covers a host and all names below, or only one port of them; ``*`` covers all hosts."""
    assert applies == parse_proxy("http://proxy", bypass).applies_to(host, 443)
