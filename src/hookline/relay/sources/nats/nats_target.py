"""The stream and the consumer that an address such as ``nats://host/STREAM?durable=NAME`` names."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hookline.errors import WrongUse
from hookline.relay.sources.broker.source_address import SourceAddress, is_this_machine

NATS_EXAMPLE: Final = "nats://nats.example.net/EVENTS?durable=hookline"
NATS_PARAMETERS: Final = ("durable",)
DEFAULT_PORT: Final = 4222
# A name is a token of a subject and the name of a directory of the server.
_NAME: Final = re.compile(r"[^\s.*>/\\%\x00-\x1f\x7f]+")


class NatsTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A durable consumer of a stream. `port` is None if the address has none."""

    host: str
    port: int | None
    stream: str
    durable: str

    @property
    def server(self) -> tuple[str, int]:
        """The host and port of the server that the address names."""
        return self.host, self.port or DEFAULT_PORT

    @property
    def name(self) -> str:
        """The name of the source in logs, dead letters and trace: ``nats://host/STREAM``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nats://{host}{'' if self.port is None else f':{self.port}'}/{self.stream}"

    def allows_plaintext(self, host: str) -> bool:
        """Returns whether a connection to `host`, a server of the cluster, may be without TLS."""
        return is_this_machine(self.host) and is_this_machine(host)


def nats_target(address: SourceAddress) -> NatsTarget:
    """Returns the target of an address. Raises WrongUse, without a part of the address."""
    durable = address.parameters.get("durable", "")
    if not _NAME.fullmatch(address.path):
        raise WrongUse(
            "FILE: the address of nats has no name of one stream after the host", hint=f"an example is {NATS_EXAMPLE}"
        )
    if not _NAME.fullmatch(durable):
        raise WrongUse(
            "FILE: the address of nats has no valid name of a durable consumer",
            hint=f"name it with ?durable=NAME, for example {NATS_EXAMPLE}; relays with the same name share the work",
        )
    return NatsTarget(host=address.host, port=address.port, stream=address.path, durable=durable)
