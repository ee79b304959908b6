"""The pages of the monitoring server: /metrics, /healthz, /readyz and /status."""

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
    """The relay behind the pages. They call every method at any time, from the event loop."""

    def ping(self) -> Awaitable[None]:
        """Return after all parts of the relay have responded. Called for each request of /healthz."""

    def unready(self) -> str | None:
        """The reason why the relay does not work at the moment; None if it does. Called for /readyz."""

    def report(self) -> Awaitable[StatusSnapshot]:
        """The current status. Raises HooklineError if it cannot be read. Called for /metrics and /status."""


class MonitoringPages:
    """A PageHandler. It renders pages in a thread, because a page can have many thousands of lines."""

    def __init__(self, relay: MonitoredRelay, metrics: Metrics) -> None:
        self._relay = relay
        self._metrics = metrics
        self._render_lock = asyncio.Lock()

    async def __call__(self, path: str, accept: str) -> PageResponse:
        match path:
            case "/metrics" | "/status":
                return await self._render(path, accept)
            case "/healthz":
                return await self._health()
            case "/readyz":
                unready = self._relay.unready()
                return text_page(HTTPStatus.SERVICE_UNAVAILABLE if unready else HTTPStatus.OK, unready or "ready")
            case "/":
                return text_page(HTTPStatus.OK, _INDEX)
            case _:
                return text_page(HTTPStatus.NOT_FOUND, f"no such page; the pages are\n{_INDEX}")

    async def _render(self, path: str, accept: str) -> PageResponse:
        async with self._render_lock:
            try:
                report = await self._relay.report()
            except HooklineError as error:
                return text_page(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
            if path == "/metrics":
                return PageResponse(HTTPStatus.OK, *await asyncio.to_thread(self._metrics.page, report, accept))
            return PageResponse(HTTPStatus.OK, "application/json", await asyncio.to_thread(_status_json, report))

    async def _health(self) -> PageResponse:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._relay.ping()
        except TimeoutError:
            return text_page(HTTPStatus.SERVICE_UNAVAILABLE, "the spool's thread does not respond")
        return text_page(HTTPStatus.OK, "alive")


def _status_json(report: StatusSnapshot) -> bytes:
    document = status_document(report.spool, report.relay, processes=report.processes, drain=report.drain)
    return json.dumps(document).encode() + b"\n"
