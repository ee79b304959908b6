"""Serves the pages: an address with or without TLS, or a Unix socket that only its owner can open."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from hookline.errors import HooklineError
from hookline.observe.http_server import is_loopback, listen_address
from hookline.observe.log import Log
from hookline.private_files import exposed_directory
from hookline.web.serving.page_connections import MAX_PAGE_CONNECTIONS, PageConnection, close_waiting

MAX_PAGE_REQUEST_BYTES: Final = 32 * 1024
IDLE_CONNECTION_SECONDS: Final = 15
STOP_SECONDS: Final = 3
_BACKLOG: Final = 64
_HINTS: Final = {
    errno.EADDRINUSE: "another process uses this port; name another one with --listen, or port 0 for a free one",
    errno.EACCES: "ports below 1024 need privileges; name a higher one with --listen",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEndpoint:
    """Where the pages are served: `listen`, or the Unix socket at `path`. With `certificate`, over TLS."""

    listen: tuple[str, int]
    path: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class _Server(uvicorn.Server):
    """Leaves signals to the caller: uvicorn would raise them again. Calls `on_ready` when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        close_waiting(self.server_state.connections, time.monotonic())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _LogHandler(logging.Handler):
    """Errors of the server as log lines."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warning("server failed", reason=record.getMessage().partition("\n")[0])


@contextmanager
def page_socket(endpoint: PageEndpoint) -> Iterator[socket.socket]:
    """The bound socket, which does not listen yet. Raises HooklineError if the address or path cannot be used."""
    if endpoint.path is not None:
        with _unix_socket(endpoint.path) as listening:
            yield listening
        return
    host, port = endpoint.listen
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        yield listening


def _cannot_listen(host: str, port: int, error: OSError) -> HooklineError:
    return HooklineError(
        f"cannot listen on {listen_address(host, port)}: {error.strerror or error}",
        hint=_HINTS.get(error.errno or 0, "name an address of this machine with --listen"),
    )


@contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    if (exposed := exposed_directory(path.absolute())) is not None:
        hint = "name a path in a directory that only you can change"
        raise HooklineError(f"{path}: every user can change the directory {exposed}", hint=hint)
    _remove_left_socket(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        before = os.umask(0o177)  # the socket never has other permissions, not even for a moment
        try:
            listening.bind(str(path))
        except OSError as error:
            hint = "name another path with --socket"
            raise HooklineError(f"{path} cannot be created: {error.strerror or error}", hint=hint) from error
        finally:
            os.umask(before)
        created = path.lstat()
        try:
            yield listening
        finally:
            with suppress(OSError):  # another process may have replaced it
                if os.path.samestat(path.lstat(), created):
                    path.unlink()


def _remove_left_socket(path: Path) -> None:
    """Remove the socket of a process that was killed. Raises HooklineError if a process listens, or for a file."""
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise HooklineError(f"{path} exists and is no socket", hint="name another path with --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise HooklineError(f"{path} cannot be used: {error.strerror}") from error
        else:
            raise HooklineError(f"another process serves the page at {path}", hint="name another path with --socket")


async def serve_pages(
    app: Any, listening: socket.socket, endpoint: PageEndpoint, log: Log, *, announce: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is called when the server listens, and for each SIGHUP.

    Raises HooklineError for a wrong certificate.
    """
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [_LogHandler(log)], False
    config = uvicorn.Config(
        app,
        http=PageConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # it would contain the token of a one-time URL
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=MAX_PAGE_CONNECTIONS + 1,  # reached if a page is being made for each connection
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=MAX_PAGE_REQUEST_BYTES,
        ssl_certfile=endpoint.certificate,
        ssl_keyfile=endpoint.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise HooklineError(
            f"the certificate {endpoint.certificate} or its key cannot be used: {error.strerror or error}",
            hint="--tls-certificate and --tls-key name PEM files that belong together",
        ) from error
    server = _Server(config, announce)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, announce)
    await server.serve(sockets=[listening])


def page_url(listening: socket.socket, endpoint: PageEndpoint, name: str | None, *, behind_proxy: bool) -> str:
    """The address of the page, without a path. `name` is the one by which browsers call it, if it has one."""
    if behind_proxy and name is not None:
        return f"https://{name}"
    host, port = endpoint.listen[0], listening.getsockname()[1]
    scheme = "http" if endpoint.certificate is None else "https"
    shown = name or (host if is_loopback(host) or endpoint.certificate is None else socket.getfqdn(host))
    return f"{scheme}://{listen_address(shown, port)}"
