"""A TCP proxy in front of a PostgreSQL server that loses the connection when the client sends COMMIT."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from postgres_server import Server


class Wire:
    """A TCP proxy in front of a server. When the client says COMMIT, `at_commit` has a say in what comes of it."""

    def __init__(self, server: Server, at_commit: str) -> None:
        self._server = server
        self._at_commit = at_commit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, at_commit: str) -> None:
        """Lose the next COMMIT."""
        self._at_commit = at_commit

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                upstream.connect(str(self._server.socket))
                threading.Thread(target=self._up, args=(client, upstream), daemon=True).start()
                threading.Thread(target=self._down, args=(client, upstream), daemon=True).start()

    def _up(self, client: socket.socket, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT\0" in data and self._at_commit != "pass":
                    self._cut(client, upstream, data)
                    return
                upstream.sendall(data)
        _end(upstream)

    def _cut(self, client: socket.socket, upstream: socket.socket, data: bytes) -> None:
        how, self._at_commit = self._at_commit, "pass"
        if "silence" in how:
            self.close()
        if "swallow answer" in how:
            # The other thread would hand the answer on: it finds the client gone.
            client.shutdown(socket.SHUT_WR)
            upstream.sendall(data)
            upstream.settimeout(5)
            with suppress(OSError):
                upstream.recv(65536)
        _end(client)
        _end(upstream)

    @staticmethod
    def _down(client: socket.socket, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := upstream.recv(65536):
                client.sendall(data)
        _end(client)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
