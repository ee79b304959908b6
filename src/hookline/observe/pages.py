"""What the relay answers when it is asked: /metrics, /healthz, /readyz and /status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Final, Protocol

from hookline.errors import HooklineError
from hookline.observe.http_server import PageResponse, text_page
from hookline.observe.metrics import Metrics
from hookline.observe.snapshot import StatusSnapshot
from hookline.observe.status import status_document

HEALTH_SECONDS: Final = 10.0
_INDEX: Final = "/metrics\n/healthz\n/readyz\n/status"


class MonitoredRelay(Protocol):
    """The relay, asked at any time, from the event loop."""

    def answers(self) -> Awaitable[None]:
        """Done once its parts have answered."""
        ...

    def unready(self) -> str | None:
        """Why it does not do its work at the moment."""
        ...

    def report(self) -> Awaitable[StatusSnapshot]:
        """Everything that there is to tell. Raises HooklineError when that cannot be found out."""
        ...


class MonitoringPages:
    """Implements listener.Answer. A page is made in a thread: it may have many thousands of lines."""

    def __init__(self, relay: MonitoredRelay, metrics: Metrics) -> None:
        self._relay = relay
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, path: str, accept: str) -> PageResponse:
        match path:
            case "/metrics" | "/status":
                return await self._told(path, accept)
            case "/healthz":
                return await self._health()
            case "/readyz":
                unready = self._relay.unready()
                return (
                    text_page(HTTPStatus.SERVICE_UNAVAILABLE, unready)
                    if unready
                    else text_page(HTTPStatus.OK, "ready")
                )
            case "/":
                return text_page(HTTPStatus.OK, _INDEX)
            case _:
                return text_page(HTTPStatus.NOT_FOUND, f"there is no such page; there are\n{_INDEX}")

    async def _told(self, path: str, accept: str) -> PageResponse:
        async with self._one_at_a_time:
            try:
                report = await self._relay.report()
            except HooklineError as error:
                return text_page(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
            if path == "/metrics":
                return PageResponse(HTTPStatus.OK, *await asyncio.to_thread(self._metrics.page, report, accept))
            return PageResponse(HTTPStatus.OK, "application/json", await asyncio.to_thread(_status, report))

    async def _health(self) -> PageResponse:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._relay.answers()
        except TimeoutError:
            return text_page(HTTPStatus.SERVICE_UNAVAILABLE, "the spool's thread does not answer")
        return text_page(HTTPStatus.OK, "alive")


def _status(report: StatusSnapshot) -> bytes:
    return json.dumps(status_document(report.spool, report.relay)).encode() + b"\n"
