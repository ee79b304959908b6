"""What a relay and its worker processes say to each other: frames of messages over a socket. No I/O.

A frame is its length (four bytes, big-endian) and a MessagePack array of messages, as many as there were to say at
the time: what a request costs here is a few microseconds, whatever a system call costs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from hookline.relay.delivery.certificates import Certificates
from hookline.relay.delivery.outcome import FailureKind
from hookline.relay.delivery.proxy import Proxy
from hookline.relay.delivery.target import Target
from hookline.relay.delivery.tls import ClientCertificate
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import Secret

_LENGTH_BYTES: Final = 4


class ProxyAs(msgspec.Struct, frozen=True, array_like=True):
    """A `proxy.Proxy`, its credentials in the clear: this goes over a socket that only two processes hold."""

    def __repr__(self) -> str:
        return f"ProxyAs({self.host!r}, {self.port})"

    host: str
    port: int
    authorization: bytes | None
    bypass: tuple[str, ...]


class Setup(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first message: by which transport, to which networks, through which proxy requests go."""

    transport: str
    allowed: tuple[str, ...]
    proxy: ProxyAs | None

    @classmethod
    def of(cls, transport: str, rules: NetworkRules, proxy: Proxy | None) -> Setup:
        spoken = None
        if proxy is not None:
            authorization = None if proxy.authorization is None else proxy.authorization.reveal()
            spoken = ProxyAs(proxy.host, proxy.port, authorization, proxy.bypass)
        return cls(transport, tuple(map(str, rules.allowed)), spoken)

    def rules(self) -> NetworkRules:
        return NetworkRules(tuple(map(ip_network, self.allowed)))

    def through(self) -> Proxy | None:
        if (said := self.proxy) is None:
            return None
        authorization = None if said.authorization is None else Secret(said.authorization)
        return Proxy(said.host, said.port, authorization, said.bypass)


class Open(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Make ready to post to a target. `ca_file`, `certificate` and `key` are paths, `authorities` is PEM. `seen` is a
    hash of what stands in these files: it tells replaced ones from those before, and a private key is among them."""

    poster: int
    target: Target
    limit: int
    ca_file: bytes | None
    certificate: bytes | None
    key: bytes | None
    authorities: bytes | None
    seen: bytes

    @classmethod
    def of(cls, poster: int, target: Target, limit: int, certificates: Certificates) -> Open:
        client = certificates.client
        return cls(
            poster,
            target,
            limit,
            _encoded(certificates.ca_file),
            None if client is None else _encoded(client.certificate),
            None if client is None else _encoded(client.key),
            certificates.authorities,
            _hash(certificates.texts),
        )

    def certificates(self) -> Certificates:
        certificate = _path(self.certificate)
        client = None if certificate is None else ClientCertificate(certificate, _path(self.key))
        return Certificates(_path(self.ca_file), client, self.authorities, (self.seen,))


class Use(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Send these headers with every request of a poster from now on."""

    poster: int
    headers: tuple[tuple[bytes, bytes], ...]

    def __repr__(self) -> str:  # there are tokens in them
        return f"Use({self.poster}, {[name for name, _ in self.headers]})"


class Post(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Make one POST. `number` comes back in the report, the rest is `port.Attempt`'s and `Poster.post`'s."""

    number: int
    poster: int
    id: bytes
    body: bytes
    attempt: int
    at: float
    event_time: str | None
    deadline: float
    signature: str


class Close(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """There will be no more posts by this poster."""

    poster: int


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Break off a post: nobody waits for its report any more."""

    number: int


Order = Setup | Open | Use | Post | Close | Cancel


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """`outcome.Answer`."""

    number: int
    status: int
    retry_after: float | None


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """`outcome.Failure`."""

    number: int
    kind: FailureKind
    detail: str


class Faulted(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """`outcome.Fault`."""

    number: int
    detail: str


Report = Answered | Failed | Faulted

Message = TypeVar("Message")


class Frames(Generic[Message]):
    """Fed with what a socket gives, in whatever pieces."""

    def __init__(self, kind: type[list[Message]]) -> None:
        self._decoder: msgspec.msgpack.Decoder[list[Message]] = msgspec.msgpack.Decoder(kind)
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete now. Raises msgspec.DecodeError for what the other side never says."""
        self._pending += data
        while len(self._pending) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._pending[:_LENGTH_BYTES], "big")
            if len(self._pending) < end:
                return
            with memoryview(self._pending) as seen:
                messages = self._decoder.decode(seen[_LENGTH_BYTES:end])
            del self._pending[:end]
            yield from messages


_encoder = msgspec.msgpack.Encoder()


def frame(messages: Sequence[Order] | Sequence[Report]) -> bytes:
    """One frame that holds them all."""
    data = _encoder.encode(messages)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _encoded(path: Path | None) -> bytes | None:
    """A path may be called by any bytes."""
    return None if path is None else os.fsencode(path)


def _path(encoded: bytes | None) -> Path | None:
    return None if encoded is None else Path(os.fsdecode(encoded))


def _hash(texts: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()
