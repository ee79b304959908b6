"""The address of a topic in Kafka, and the names of its partitions."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec

from hookline.errors import WrongUse
from hookline.relay.sources.broker.source_address import SourceAddress, is_this_machine
from hookline.relay.sources.checkpoints import content_digest

KAFKA_EXAMPLE: Final = "kafka://HOST:9093/TOPIC?group=NAME"
KAFKA_PARAMETERS: Final = ("group", "mechanism", "tls")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_DEFAULT_PORT: Final = 9092
# The names that a broker accepts: org.apache.kafka.common.internals.Topic.
_TOPIC: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")


class KafkaAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The topic that the relays of a group read. `mechanism` is the one of SASL, if there are credentials."""

    host: str
    port: int
    topic: str
    group: str
    tls: bool
    mechanism: str = MECHANISMS[0]

    @property
    def bootstrap(self) -> str:
        """The address of the first broker, as librdkafka takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"kafka://{host}/{self.topic}"

    def source(self, partition: int) -> str:
        """The name of a partition in dead letters, logs and status."""
        return f"{self.name}/{partition}"

    def position_name(self, partition: int) -> str:
        return f"{self.source(partition)}?group={quote(self.group, safe='')}"

    def key(self, cluster: str, partition: int) -> bytes:
        """The identity of the group's position in a partition. Brokers may get other names, but the cluster keeps
        its id."""
        return content_digest("\0".join(("kafka", cluster, self.group, self.topic, str(partition))).encode())


def kafka_address(address: SourceAddress) -> KafkaAddress:
    """Raises WrongUse if the address is no topic with a group, or if its connections would be unencrypted."""
    parameters = address.parameters
    if not _TOPIC.fullmatch(address.path):
        raise _refused("it does not end with the name of one topic", address)
    if "group" not in parameters:
        raise _refused("its group is missing", address)
    if parameters.get("tls", "on") not in {"on", "off"}:
        raise _refused("its parameter tls is neither on nor off", address)
    mechanism = parameters.get("mechanism", MECHANISMS[0]).upper()
    if mechanism not in MECHANISMS:
        raise _refused(f"its mechanism is none of {', '.join(MECHANISMS)}", address)
    is_local = is_this_machine(address.host)
    if not is_local and parameters.get("tls") == "off":
        raise WrongUse(
            "FILE: connections to Kafka on another machine need TLS",
            hint="leave out tls=off, and name the port of a listener with TLS",
        )
    tls = not is_local if "tls" not in parameters else parameters["tls"] == "on"
    return KafkaAddress(
        host=address.host,
        port=address.port or _DEFAULT_PORT,
        topic=address.path,
        group=parameters["group"],
        tls=tls,
        mechanism=mechanism,
    )


def _refused(reason: str, address: SourceAddress) -> WrongUse:
    return WrongUse(f"FILE: the address of kafka cannot be used: {reason}", hint=f"an example is {address.example}")
