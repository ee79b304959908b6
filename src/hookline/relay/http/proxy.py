"""An HTTP proxy as an operator names it, and what is said to it before TLS begins (RFC 9110 §9.3.6). No I/O.

The proxy is asked for the address that was checked, never for the name: it would look the name up again, and what it
found there nobody would have checked (docs/decisions/0029-a-proxy-gets-the-checked-address.md).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from hookline.errors import HooklineError
from hookline.relay.http.response_head import NotHttp, begins_like_http, find_end, parse_head
from hookline.relay.secrets import Secret

MAX_PROXY_HEAD_BYTES: Final = 16 * 1024


class ProxyFailed(OSError):
    """There is no tunnel this time. The message says so of the proxy: it would look like the endpoint's fault."""


class ProxyRefused(HooklineError):
    """The proxy does not let us through, and only an operator can change that."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization`: the value of Proxy-Authorization. `bypass`: names, each with all below it, or ``*``."""

    host: str
    port: int
    authorization: Secret | None = None
    bypass: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Host and port, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stands_before(self, host: str, port: int) -> bool:
        """Whether this host is reached through the proxy."""
        name = host.lower().rstrip(".")
        return not any(_covers(entry, name, port) for entry in self.bypass)


def _covers(entry: str, name: str, port: int) -> bool:
    """As curl and Go read NO_PROXY: ``acme.example`` and ``.acme.example`` are the name with all below it."""
    if entry == "*":
        return True
    domain, _, only = entry.partition(":")
    domain = domain.removeprefix("*").strip(".")
    if not domain or (only and only != str(port)):
        return False
    return name == domain or name.endswith(f".{domain}")


def parse_proxy(url: str, bypass: str = "") -> Proxy:
    """``http://[user:password@]host[:port]``; `bypass` as in NO_PROXY. Raises ValueError, without the password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise ValueError("not a URL such as http://proxy.acme.example:3128") from None
    if parts.scheme != "http":
        raise ValueError("only http:// proxies are spoken to; requests through them are encrypted all the same")
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or not host.isprintable():
        raise ValueError("not of the form http://host:port")
    entries = tuple(entry for part in bypass.lower().split(",") if (entry := part.strip()))
    return Proxy(host, port, _authorization(parts.username, parts.password), entries)


def _authorization(user: str | None, password: str | None) -> Secret | None:
    """RFC 7617."""
    if user is None:
        return None
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password or "")
    return Secret(b"Basic " + b64encode(pair))


def connect_request(address: str, port: int, authorization: Secret | None) -> bytes:
    """What asks for a tunnel to an address, in brackets where it is an IPv6 one."""
    bare = address.partition("%")[0]
    where = (f"[{bare}]" if ":" in bare else bare) + f":{port}"
    lines = [f"CONNECT {where} HTTP/1.1".encode(), f"Host: {where}".encode()]
    if authorization is not None:
        lines.append(b"Proxy-Authorization: " + authorization.reveal())
    return b"\r\n".join([*lines, b"", b""])


class Tunnel:
    """Fed with what a proxy says until the tunnel stands."""

    def __init__(self) -> None:
        self._part = b""

    def feed(self, data: bytes) -> bool:
        """Whether it stands now. Empty data: the proxy hung up. Raises ProxyRefused and ProxyFailed."""
        if not data:
            raise ProxyFailed("the proxy hung up")
        self._part += data
        self._require_http()
        while (end := find_end(self._part)) >= 0:
            status, self._part = self._status(end), self._part[end:]
            if status >= 200:
                return self._judge(status)
            self._require_http()
        if len(self._part) > MAX_PROXY_HEAD_BYTES:
            raise ProxyFailed(f"the proxy answers with a head of more than {MAX_PROXY_HEAD_BYTES // 1024} KiB")
        return False

    def _require_http(self) -> None:
        """Whoever waits for the end of what is no head waits for ever."""
        if not begins_like_http(self._part):
            raise ProxyFailed("the proxy does not answer in HTTP")

    def _status(self, end: int) -> int:
        try:
            return parse_head(self._part[:end]).status
        except NotHttp:
            raise ProxyFailed("the proxy does not answer in HTTP") from None

    def _judge(self, status: int) -> bool:
        if status == 407:
            raise ProxyRefused(
                "the proxy asks for other credentials (407)",
                hint="put http://user:password@host:port into HOOKLINE_RELAY_PROXY",
            )
        if status >= 300:
            raise ProxyFailed(f"the proxy makes no connection (it answers {status})")
        if self._part:  # in TLS the client speaks first
            raise ProxyFailed("the proxy says more than it was asked for")
        return True
