"""Refuses requests that are not for this server, before any route sees them, and gives every answer its headers."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hookline.observe.http_server import is_own_host
from hookline.observe.log import Log

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
MAX_QUERY_BYTES: Final = 8192


class PageGuard:
    """An ASGI application around another one. `names` are those of this server in Host headers."""

    def __init__(self, guarded: ASGIApp, names: Iterable[str], log: Log) -> None:
        self._guarded = guarded
        self._names = frozenset(names)
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refusal(scope) or self._guarded)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not for this server, or that is too long."""
        if not is_own_host(Headers(scope=scope).get("host"), self._names):
            self._log.debug("request refused", reason="the Host header names another server")
            text = "The Host header names another server. Start the page with --listen-name and that name."
            return PlainTextResponse(text, HTTPStatus.MISDIRECTED_REQUEST)
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return PlainTextResponse("The query is too long.", HTTPStatus.REQUEST_URI_TOO_LONG)
        return None
