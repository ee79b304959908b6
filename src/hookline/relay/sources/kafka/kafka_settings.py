"""The settings of librdkafka for a consumer of hookline
(https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from hookline.errors import HooklineError, WrongUse
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.kafka.kafka_address import KafkaAddress

# A member that dies is missed after this time: as long as the lease of a deliverer.
SESSION_SECONDS: Final = 10
HEARTBEAT_SECONDS: Final = 3
# The poll thread polls more often. Between two polls it may wait for a spool that stalls.
MAX_POLL_INTERVAL_SECONDS: Final = 120
# A new partition of the topic is read after this time.
METADATA_SECONDS: Final = 30
RECONNECT_SECONDS: Final = 1
MAX_RECONNECT_SECONDS: Final = 10
FETCHED_AHEAD_KIB: Final = 16 * 1024
FETCHED_AHEAD_MESSAGES: Final = 10_000
# The library's default of a second would limit the rate: a partition waits for this time whenever enough is fetched.
FETCH_PAUSE_MILLISECONDS: Final = 20

Setting = str | int | bool


def kafka_settings(
    address: KafkaAddress,
    *,
    credentials: bytes | None,
    ca_file: Path | None,
    certificate: SourceCertificate | None = None,
) -> dict[str, Setting]:
    """Returns the settings. They contain the password.

    Args:
        address: the topic and the group.
        credentials: ``user:password``, or None.
        ca_file: certificates of authorities in PEM, besides the system's.
        certificate: that of the relay.

    Raises:
        HooklineError: the credentials or the certificates cannot be used.
    """
    return {
        "bootstrap.servers": address.bootstrap,
        "client.id": "hookline",
        "group.id": address.group,
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A position outside of the log is reported, and never replaced silently.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "check.crcs": True,
        "session.timeout.ms": SESSION_SECONDS * 1000,
        "heartbeat.interval.ms": HEARTBEAT_SECONDS * 1000,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_SECONDS * 1000,
        "topic.metadata.refresh.interval.ms": METADATA_SECONDS * 1000,
        "reconnect.backoff.ms": RECONNECT_SECONDS * 1000,
        "reconnect.backoff.max.ms": MAX_RECONNECT_SECONDS * 1000,
        "queued.max.messages.kbytes": FETCHED_AHEAD_KIB,
        "queued.min.messages": FETCHED_AHEAD_MESSAGES,
        "fetch.queue.backoff.ms": FETCH_PAUSE_MILLISECONDS,
        **_security(address, credentials, ca_file),
        **({} if certificate is None else _certificate(address, certificate)),
    }


def _security(address: KafkaAddress, credentials: bytes | None, ca_file: Path | None) -> dict[str, Setting]:
    protocol = ("SASL_" if credentials is not None else "") + ("SSL" if address.tls else "PLAINTEXT")
    settings: dict[str, Setting] = {"security.protocol": protocol}
    if address.tls:
        settings |= {"ssl.endpoint.identification.algorithm": "https", **_authorities(ca_file)}
    if credentials is not None:
        user, password = _user_and_password(credentials)
        settings |= {"sasl.mechanism": address.mechanism, "sasl.username": user, "sasl.password": password}
    return settings


def _certificate(address: KafkaAddress, certificate: SourceCertificate) -> dict[str, Setting]:
    """The library reads the files itself, and its errors name no file, so they are tried before."""
    if not address.tls:
        raise WrongUse(
            f"{address.name}: --source-certificate needs TLS",
            hint="add tls=on, and name the port of a listener with TLS",
        )
    certificate.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    key = certificate.key or certificate.certificate
    return {"ssl.certificate.location": str(certificate.certificate), "ssl.key.location": str(key)}


def _authorities(ca_file: Path | None) -> dict[str, Setting]:
    """Those of the system, and of `ca_file`. The library replaces the former by the latter, so they are joined."""
    system = ssl.get_default_verify_paths().cafile
    if ca_file is None:
        return {"ssl.ca.location": system or "probe"}
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=ca_file)
        own = ca_file.read_bytes()
    except OSError as error:
        raise HooklineError(
            f"cannot use {ca_file} as certificate authorities: {error.strerror or error}",
            hint="name a readable file with certificates in PEM",
        ) from error
    others = Path(system).read_bytes() if system else b""
    # Bundles have comments in UTF-8.
    return {"ssl.ca.pem": (others + b"\n" + own).decode("ascii", "ignore")}


def _user_and_password(credentials: bytes) -> tuple[str, str]:
    try:
        user, colon, password = credentials.strip().decode("utf-8").partition(":")
    except UnicodeDecodeError:
        raise _unusable("it is not UTF-8") from None
    if not colon or not user or not password:
        raise _unusable("it is not of the form user:password")
    return user, password


def _unusable(reason: str) -> HooklineError:
    return HooklineError(
        f"--source-credentials: the secret cannot be used: {reason}",
        hint="for Kafka it is user:password of a SASL user",
    )
