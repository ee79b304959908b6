"""A scripted HTTPS server in a thread, for tests of commands that run as separate processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

from contract.https_server import Script, Server, server_context, serving

AUTHORITY = trustme.CA()


@contextmanager
def running(script: Script, certificate: trustme.LeafCert | None = None) -> Iterator[Server]:
    """Serve in a thread with its own event loop."""
    found: list[Server] = []
    ready, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        context = server_context(certificate or AUTHORITY.issue_cert("localhost"))
        async with serving(script, context) as server:
            found.append(server)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
