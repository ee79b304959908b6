"""Opens the source for the address of a distributed log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from hookline.errors import HooklineError, WrongUse
from hookline.relay.sources.broker.source_address import SourceAddress, parse_source_address
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.kafka.kafka_address import KAFKA_EXAMPLE, KAFKA_PARAMETERS, kafka_address
from hookline.relay.sources.nats.nats_target import NATS_EXAMPLE, NATS_PARAMETERS, nats_target
from hookline.relay.sources.source import LineSource, Position, SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a log is read.

    Attributes:
        follow: reading does not end. Otherwise it ends at the end that the log has at the start.
        from_start: the stored positions are ignored.
        acknowledges: the relay joins the group and acknowledges what it has stored. A dry run does not.
        credentials: the content of the secret, or None.
        ca_file: certificates of authorities, besides the system's.
        certificate: the relay's own certificate, for servers that ask for one.
    """

    follow: bool
    from_start: bool = False
    acknowledges: bool = True
    credentials: bytes | None = None
    ca_file: Path | None = None
    certificate: SourceCertificate | None = None


def require_address(text: str, *, from_start: bool = False) -> SourceAddress:
    """Returns the address of a source. Raises WrongUse, without quoting the address, if hookline cannot use it."""
    address = parse_source_address(text, {name: (one.example, one.parameters) for name, one in _SCHEMES.items()})
    _SCHEMES[address.scheme].require(address)
    if from_start and not _SCHEMES[address.scheme].can_start_again:
        raise WrongUse(
            "--from-start reads a source again, but a NATS stream delivers a message until it is acknowledged",
            hint="name another consumer with durable=: it begins with the first message",
        )
    return address


def open_broker(
    text: str,
    positions: Callable[[], list[Position]],
    options: BrokerOptions,
    *,
    logger: SourceLog,
    timing: Timing = SYSTEM_TIMING,
) -> LineSource:
    """Opens a source. It connects in threads of its own.

    Args:
        text: the address.
        positions: returns the current positions of the spool. Called from a thread of the source whenever a part of
            the log is given to it, because another relay may have moved them.
        options: how the log is read.
        logger, timing: the log, the clocks and the waits of the source.

    Raises:
        WrongUse: the address cannot be used.
        HooklineError: the package for the log is missing, or the credentials or certificates cannot be used.
    """
    address = require_address(text, from_start=options.from_start)
    return _SCHEMES[address.scheme].open(address, positions, options, logger, timing)


def _open_kafka(
    address: SourceAddress,
    positions: Callable[[], list[Position]],
    options: BrokerOptions,
    logger: SourceLog,
    timing: Timing,
) -> LineSource:
    try:
        # Imported here because files are read without the package for Kafka.
        from hookline.relay.sources.kafka.kafka_consumer import KafkaConsumer  # noqa: PLC0415
        from hookline.relay.sources.kafka.kafka_settings import kafka_settings  # noqa: PLC0415
        from hookline.relay.sources.kafka.kafka_source import KafkaSource  # noqa: PLC0415
        from hookline.relay.sources.kafka.poll_thread import ReadingRules  # noqa: PLC0415
    except ImportError as missing:
        raise _missing_package("Kafka", "confluent-kafka", missing) from missing
    target = kafka_address(address)
    settings = kafka_settings(
        target, credentials=options.credentials, ca_file=options.ca_file, certificate=options.certificate
    )
    return KafkaSource(
        target,
        partial(KafkaConsumer, settings, target.topic, lambda text: logger.debug("Kafka client", text=text)),
        positions,
        ReadingRules(follow=options.follow, from_start=options.from_start, joins_group=options.acknowledges),
        logger=logger,
        timing=timing,
    )


def _open_nats(
    address: SourceAddress,
    positions: Callable[[], list[Position]],
    options: BrokerOptions,
    logger: SourceLog,
    timing: Timing,
) -> LineSource:
    try:
        # Imported here because files are read without the package for NATS.
        from hookline.relay.sources.nats.nats_client import verifying_context  # noqa: PLC0415
        from hookline.relay.sources.nats.nats_credentials import ANONYMOUS, parse_credentials  # noqa: PLC0415
        from hookline.relay.sources.nats.nats_source import NatsOptions, NatsSource  # noqa: PLC0415
    except ImportError as missing:
        raise _missing_package("NATS", "nats-py", missing) from missing
    own = NatsOptions(
        follow=options.follow,
        preview=not options.acknowledges,
        credentials=ANONYMOUS if options.credentials is None else parse_credentials(options.credentials),
        tls=verifying_context(options.ca_file, options.certificate),
        wait_seconds=timing.wait_seconds,
    )
    return NatsSource(nats_target(address), own, positions, logger)


class _Scheme(NamedTuple):
    """A kind of log.

    Attributes:
        example: a complete address, for hints.
        parameters: the names of the parameters of an address.
        require: raises WrongUse if the address cannot be used.
        open: opens the source, like `open_broker`.
        can_start_again: the relay can read the log from its start again.
    """

    example: str
    parameters: tuple[str, ...]
    require: Callable[[SourceAddress], object]
    open: Callable[[SourceAddress, Callable[[], list[Position]], BrokerOptions, SourceLog, Timing], LineSource]
    can_start_again: bool


_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "kafka": _Scheme(KAFKA_EXAMPLE, KAFKA_PARAMETERS, kafka_address, _open_kafka, can_start_again=True),
    "nats": _Scheme(NATS_EXAMPLE, NATS_PARAMETERS, nats_target, _open_nats, can_start_again=False),
}


def _missing_package(name: str, package: str, missing: ImportError) -> HooklineError:
    """Raises the error again if a module of hookline is missing, which is a bug."""
    if missing.name is not None and missing.name.split(".")[0] == "hookline":
        raise missing
    return HooklineError(
        f"the package for {name} cannot be loaded: {missing}",
        hint=f"install it in hookline's environment: pip install {package}, or pipx inject hookline {package}",
    )
