"""An HTTPS endpoint that fails at random (by a seed) and records every request, for fault tests and benchmarks.

    python tests/faulty_endpoint.py DIRECTORY [--seed N] [--share MANNER:SHARE …] [--requests MANNER:PREFIX …]

It is fast, not complete: it supports only requests with a Content-Length and parses only the fields that it records.
It writes `ca.pem`, `port` and `ledger` into DIRECTORY. The ledger gets a line for each request before the answer. A
path such as `/as/hang` always gets the manner that it names, and so does a request whose requestId has the prefix.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Final, cast

import trustme

from waiting import wait_until

_OPENSSL_CONFIGURATION: Final = """\
openssl_conf = main
[main]
ssl_conf = tls
[tls]
system_default = defaults
[defaults]
Groups = {groups}
"""
LARGEST_REQUEST: Final = 1 << 20  # bytes


class End(Enum):
    """The state of the connection after the answer."""

    KEEP = "is kept"
    CLOSE = "is closed"
    RESET = "is reset"
    HANG = "stays, and nothing more is said"


@dataclass(frozen=True, slots=True)
class Manner:
    """One way to treat a request: whether it is accepted, the bytes of the answer, and the end of the connection."""

    accepts: bool
    answer: bytes
    end: End = End.KEEP

    @property
    def loses_the_answer(self) -> bool:
        """Whether the sender cannot know that the request was accepted. It sends again: an explained duplicate."""
        return self.accepts and b"\r\n\r\n" not in self.answer


OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
MANNERS: Final[dict[str, Manner]] = {
    "accept": Manner(True, OK),
    "accept-close": Manner(True, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", End.CLOSE),
    "accept-reset": Manner(True, b"", End.RESET),
    "accept-hang": Manner(True, b"", End.HANG),
    "accept-truncate": Manner(True, OK[:27], End.CLOSE),
    "accept-cut-body": Manner(True, b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nthank", End.CLOSE),
    "busy": Manner(False, b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
    "busy-until": Manner(
        False,
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n",
    ),
    "error": Manner(False, b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"),
    "refuse": Manner(False, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    "reset": Manner(False, b"", End.RESET),
    "hang": Manner(False, b"", End.HANG),
    "truncate": Manner(False, b"HTTP/1.1 500 Inter", End.CLOSE),
}

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_IDENTITY = re.compile(rb"\r\nwebhook-id: *([^\r ]*)", re.IGNORECASE)
_SENT = re.compile(rb"\r\nwebhook-timestamp: *(\d+)", re.IGNORECASE)
_LIFE = re.compile(rb"\r\nx-life: *(\d+)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb'"requestId":"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    `time` is its arrival in Unix nanoseconds, `sent` the second of its webhook-timestamp header, `life` the number of
    the sender's process (X-Life header, 0 without), `identity` the webhook-id, `request_id` the event's requestId,
    `checksum` that of the body, and `manner` the treatment.
    """

    time: int
    sent: int
    path: str
    life: int
    identity: str
    request_id: str
    checksum: int
    manner: str

    @classmethod
    def parse(cls, line: bytes) -> Entry:
        time, sent, path, life, identity, request_id, checksum, manner = line.decode().split("\t")
        return cls(int(time), int(sent), path, int(life), identity, request_id, int(checksum), manner)

    @property
    def accepted(self) -> bool:
        return MANNERS[self.manner].accepts


class Ledger:
    """Reads a ledger while the endpoint writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def news(self) -> Iterator[Entry]:
        """The complete entries since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        yield from map(Entry.parse, whole.splitlines())


class Choice:
    """Chooses a manner for each request: by its path, by the beginning of its requestId, or at random."""

    def __init__(
        self, shares: Sequence[tuple[str, float]], random: Random, prefixes: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._names = [*(name for name, _ in shares), "accept"]
        self._weights = [*(share for _, share in shares), 1 - sum(share for _, share in shares)]
        self._random = random
        self._prefixes = prefixes

    def of(self, path: str, request_id: str = "") -> str:
        for name, prefix in self._prefixes:
            if request_id.startswith(prefix):
                return name
        _, found, name = path.partition("/as/")
        return name if found else self._random.choices(self._names, self._weights)[0]


class Connection(asyncio.Protocol):
    """A client connection."""

    def __init__(self, choice: Choice, ledger: int, hold_seconds: float) -> None:
        self._choice = choice
        self._ledger = ledger
        self._hold_seconds = hold_seconds
        self._buffer = b""
        self._silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._silent:
            return
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0 and not self._silent:
            length = _LENGTH.search(self._buffer, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < end:
                break
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._treat(request, head)
        if len(self._buffer) > LARGEST_REQUEST:
            self._transport.abort()

    def _treat(self, request: bytes, head: int) -> None:
        path = request.split(b" ", 2)[1].decode()
        body = request[head + 4 :]
        sent, life, identity = (header.search(request, 0, head) for header in (_SENT, _LIFE, _IDENTITY))
        request_id = _REQUEST_ID.search(body)
        name = self._choice.of(path, request_id[1].decode() if request_id else "")
        os.write(
            self._ledger,
            b"%d\t%b\t%b\t%b\t%b\t%b\t%d\t%b\n"
            % (
                time.time_ns(),
                sent[1] if sent else b"0",
                path.encode(),
                life[1] if life else b"0",
                identity[1] if identity else b"",
                request_id[1] if request_id else b"",
                zlib.crc32(body),
                name.encode(),
            ),
        )
        if self._hold_seconds:
            asyncio.get_running_loop().call_later(self._hold_seconds, self._answer, MANNERS[name])
        else:
            self._answer(MANNERS[name])

    def _answer(self, manner: Manner) -> None:
        if manner.answer:
            self._transport.write(manner.answer)
        self._silent = manner.end is not End.KEEP
        if manner.end is End.CLOSE:
            self._transport.close()
        elif manner.end is End.RESET:
            underneath = self._transport.get_extra_info("socket")
            underneath.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


async def serve(directory: Path, choice: Choice, hold_seconds: float = 0.0) -> None:
    """Serve until SIGTERM. Each answer is held for `hold_seconds`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ledger = os.open(directory / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(
        lambda: Connection(choice, ledger, hold_seconds), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    (directory / "port.new").write_text(str(server.sockets[0].getsockname()[1]))
    (directory / "port.new").rename(directory / "port")
    await stopped.wait()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint."""

    process: subprocess.Popen[bytes]
    port: int
    ca_file: Path
    ledger: Path


@contextmanager
def running(directory: Path, *options: str, groups: str | None = None) -> Iterator[Endpoint]:
    """Start an endpoint in a process; end it afterwards.

    `groups`: the groups of its key exchange, as OpenSSL names them. The usual ones if None.
    """
    directory.mkdir()
    environment = dict(os.environ)
    if groups is not None:  # Python has no way to set them before 3.15
        configuration = directory / "openssl.cnf"
        configuration.write_text(_OPENSSL_CONFIGURATION.format(groups=groups))
        environment["OPENSSL_CONF"] = str(configuration)
    command = (sys.executable, __file__, str(directory), *options)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    try:
        wait_until((directory / "port").exists, process=process)
        port = int((directory / "port").read_text())
        yield Endpoint(process, port, directory / "ca.pem", directory / "ledger")
    finally:
        process.terminate()
        process.wait(timeout=120)


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition(":")
    if name not in MANNERS:
        raise argparse.ArgumentTypeError(f"no such manner: {name!r} (one of {', '.join(MANNERS)})")
    return name, float(share)


def _prefix(text: str) -> tuple[str, str]:
    name, _, prefix = text.partition(":")
    return _share(f"{name}:0")[0], prefix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=_share, action="append", default=[], metavar="MANNER:SHARE")
    parser.add_argument("--requests", type=_prefix, action="append", default=[], metavar="MANNER:PREFIX")
    parser.add_argument("--hold", type=float, default=0.0, metavar="SECONDS", help="before each answer")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.directory, _choice(arguments), arguments.hold))


def _choice(arguments: argparse.Namespace) -> Choice:
    return Choice(arguments.share, Random(arguments.seed), arguments.requests)


if __name__ == "__main__":
    main()
