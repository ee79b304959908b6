"""An HTTP proxy as the operator configures it, and the exchange that opens a tunnel (RFC 9110 §9.3.6). No I/O.

The relay asks the proxy for the address that it checked, never for the name. The proxy would resolve the name again,
and no rule would apply to its result (docs/decisions/0029-a-proxy-gets-the-checked-address.md).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from hookline.errors import HooklineError
from hookline.relay.http.response_head import NotHttp, begins_like_http, find_head_end, parse_head
from hookline.relay.secrets import Secret

MAX_PROXY_HEAD_BYTES: Final = 16 * 1024


class ProxyFailed(OSError):
    """The proxy opened no tunnel this time. The message names the proxy, so that no one suspects the endpoint."""


class ProxyRefused(HooklineError):
    """The proxy refuses the relay, and only an operator can change that."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization`: the value of Proxy-Authorization. `bypass`: names that include all names below, or ``*``."""

    host: str
    port: int
    authorization: Secret | None = None
    bypass: tuple[str, ...] = ()

    @property
    def host_and_port(self) -> str:
        """``host:port``, with an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def applies_to(self, host: str, port: int) -> bool:
        """Whether the relay connects to this host through the proxy."""
        name = host.lower().rstrip(".")
        return not any(_covers(entry, name, port) for entry in self.bypass)


def _covers(entry: str, name: str, port: int) -> bool:
    """As curl and Go read NO_PROXY: ``acme.example`` and ``.acme.example`` include all names below."""
    if entry == "*":
        return True
    domain, _, only_port = entry.partition(":")
    domain = domain.removeprefix("*").strip(".")
    if not domain or (only_port and only_port != str(port)):
        return False
    return name == domain or name.endswith(f".{domain}")


def parse_proxy(url: str, bypass: str = "") -> Proxy:
    """Read ``http://[user:password@]host[:port]`` and `bypass` (NO_PROXY). Raises ValueError without the password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise ValueError("not a URL such as http://proxy.acme.example:3128") from None
    if parts.scheme != "http":
        raise ValueError("only http:// proxies are supported; the requests inside the tunnel are encrypted")
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or not host.isprintable():
        raise ValueError("not of the form http://host:port")
    entries = tuple(entry for part in bypass.lower().split(",") if (entry := part.strip()))
    authorization = None
    if parts.username is not None:  # RFC 7617
        pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
        authorization = Secret(b"Basic " + b64encode(pair))
    return Proxy(host, port, authorization, entries)


def connect_request(address: str, port: int, authorization: Secret | None) -> bytes:
    """The request for a tunnel to an IP address. An IPv6 address is in brackets and without its zone."""
    bare = address.partition("%")[0]
    where = (f"[{bare}]" if ":" in bare else bare) + f":{port}"
    lines = [f"CONNECT {where} HTTP/1.1".encode(), f"Host: {where}".encode()]
    if authorization is not None:
        lines.append(b"Proxy-Authorization: " + authorization.reveal())
    return b"\r\n".join([*lines, b"", b""])


class ProxyResponseReader:
    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> bool:
        """Returns whether the tunnel is open after the next bytes of the response to CONNECT; none: it was closed.

        Raises ProxyRefused and ProxyFailed.
        """
        if not data:
            raise ProxyFailed("the proxy closed the connection")
        self._pending += data
        self._require_http()
        while (end := find_head_end(self._pending)) >= 0:
            try:
                status, self._pending = parse_head(self._pending[:end]).status, self._pending[end:]
            except NotHttp:
                raise ProxyFailed("the proxy does not answer in HTTP") from None
            if status >= 200:
                if status == 407:
                    raise ProxyRefused(
                        "the proxy requires other credentials (status 407)",
                        hint="put http://user:password@host:port into HOOKLINE_RELAY_PROXY",
                    )
                if status >= 300:
                    raise ProxyFailed(f"the proxy makes no connection: status {status}")
                if self._pending:  # in TLS the client sends first
                    raise ProxyFailed("the proxy sent more than its response")
                return True
            self._require_http()
        if len(self._pending) > MAX_PROXY_HEAD_BYTES:
            raise ProxyFailed(f"the proxy answers with a head of more than {MAX_PROXY_HEAD_BYTES // 1024} KiB")
        return False

    def _require_http(self) -> None:
        """Bytes that are not HTTP never contain the end of a head, so the relay does not wait for it."""
        if not begins_like_http(self._pending):
            raise ProxyFailed("the proxy does not answer in HTTP")
