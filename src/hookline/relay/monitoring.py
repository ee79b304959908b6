"""Monitoring of a running relay: the HTTP server for metrics, health and status, and the watchdog's signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from hookline.observe.log import Log
from hookline.relay.service_manager import keep_alive
from hookline.relay.status_collector import StatusCollector


@asynccontextmanager
async def monitoring_server(
    listen: tuple[str, int] | None, names: Sequence[str], max_webhooks: int, log: Log
) -> AsyncIterator[Callable[[StatusCollector], None]]:
    """Serve metrics, health and status at a host and port; with `listen` None it does nothing. `names` are further
    names of this machine that clients use.

    The address is bound on entering, before any input is read. The context manager yields a function that takes the
    status collector once it exists. Metrics have labels for at most `max_webhooks` webhooks. Raises HooklineError if
    the address cannot be bound.
    """
    if listen is None:
        yield lambda _: None
        return
    # Importing the metrics library takes time, so a relay without --listen does not import it.
    from hookline.observe.http_server import HttpServer, is_loopback  # noqa: PLC0415
    from hookline.observe.metrics import Metrics  # noqa: PLC0415
    from hookline.observe.pages import MonitoringPages  # noqa: PLC0415

    host, port = listen
    async with HttpServer(host, port, names) as server:
        # The port that the system chose is logged at every level, because it is known nowhere else.
        (log.info if port else log.warning)("listening", url=server.url)
        if not is_loopback(host):
            log.warning("other machines can read metrics and status at this address", url=server.url)

        def serve(status_collector: StatusCollector) -> None:
            server.handler = MonitoringPages(status_collector, Metrics(max_webhooks=max_webhooks))

        yield serve


@asynccontextmanager
async def watchdog(
    send: Callable[[str], None], status_collector: StatusCollector, timeout_seconds: float | None
) -> AsyncIterator[None]:
    """Send signs of life to a service manager, also while the relay starts and stops.

    The service manager restarts the relay if it receives none for `timeout_seconds`; None: it has no watchdog.
    """
    if timeout_seconds is None:
        yield
        return
    alive = asyncio.create_task(keep_alive(send, status_collector.ping, timeout_seconds / 2))
    try:
        yield
    finally:
        alive.cancel()
