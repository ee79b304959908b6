"""While a relay runs: answers whoever asks how it is, and tells a service manager that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hookline.observe.log import Log
from hookline.relay.service_manager import keep_alive
from hookline.relay.status_collector import StatusCollector


@asynccontextmanager
async def serving_monitoring(
    listen: tuple[str, int] | None, max_webhooks: int, log: Log
) -> AsyncIterator[Callable[[StatusCollector], None]]:
    """Metrics, health and status at a host and port, None: nowhere.

    Bound on entering, before anything is read; what is yielded takes the reporter once there is something to tell.
    Raises HooklineError when the address cannot be had.
    """
    if listen is None:
        yield lambda _: None
        return
    # The library of metrics is loaded by those who want metrics.
    from hookline.observe.http_server import HttpServer, is_loopback  # noqa: PLC0415
    from hookline.observe.metrics import Metrics  # noqa: PLC0415
    from hookline.observe.pages import MonitoringPages  # noqa: PLC0415

    host, port = listen
    async with HttpServer(host, port) as listener:
        # A port that the system has chosen is told at any level: nobody knows it otherwise.
        (log.info if port else log.warning)("listening", url=listener.url)
        if not is_loopback(host):
            log.warning("whoever can reach this address can read metrics and status", url=listener.url)

        def serve(status_collector: StatusCollector) -> None:
            listener.handler = MonitoringPages(status_collector, Metrics(max_webhooks=max_webhooks))

        yield serve


@asynccontextmanager
async def watchdog(
    tell: Callable[[str], None], status_collector: StatusCollector, every: float | None
) -> AsyncIterator[None]:
    """A service manager that wants to hear of the relay each `every` seconds does, also while it starts and ends."""
    if every is None:
        yield
        return
    alive = asyncio.create_task(keep_alive(tell, status_collector.ping, every / 2))
    try:
        yield
    finally:
        alive.cancel()
