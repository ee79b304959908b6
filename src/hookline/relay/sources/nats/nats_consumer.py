"""The consumer of a source: finds it, checks its settings, or creates it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from hookline.errors import HooklineError
from hookline.relay.sources.nats.jetstream import (
    CONSUMER_EXISTS,
    CONSUMER_NOT_FOUND,
    NANOSECONDS,
    NOT_ENABLED,
    STREAM_NOT_FOUND,
    UNAVAILABLE,
    WORK_QUEUE_REFUSALS,
    ConsumerConfig,
    ConsumerInfo,
    JetStreamError,
    StreamInfo,
    ask,
)
from hookline.relay.sources.nats.nats_client import SecureClient
from hookline.relay.sources.nats.nats_faults import ServerAway
from hookline.relay.sources.nats.nats_target import NatsTarget

ACK_WAIT_SECONDS: Final = 15
MIN_ACK_WAIT_SECONDS: Final = 5
# For all relays of the consumer together. A relay holds at most some 2,000.
MAX_ACK_PENDING: Final = 20_000
_PREVIEW_SECONDS: Final = 60  # the server removes the consumer of a dry run after this time


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer that is ready.

    Attributes:
        identity: the identity of the stream and the consumer (Messages.stream).
        stream, name: as in the requests to the server.
        ack_wait_seconds: the server delivers a message again after this time, unless it is acknowledged or kept.
        config: its settings.
        acknowledges: false for the consumer of a dry run.
        is_new: it was created now.
    """

    identity: bytes
    stream: str
    name: str
    ack_wait_seconds: float
    config: ConsumerConfig
    acknowledges: bool = True
    is_new: bool = False


async def ready_consumer(client: SecureClient, target: NatsTarget, floor: Callable[[bytes], int]) -> Consumer:
    """Returns the consumer of a source. A missing one is created.

    Args:
        client: a connection.
        target: the source.
        floor: returns, for an identity, the message up to which all were acknowledged. A consumer that was removed
            begins behind it.

    Raises:
        HooklineError: the stream does not exist, JetStream is disabled, or the settings cannot be used.
        ServerAway: the server cannot answer now.
    """
    identity = await _identity(client, target)
    is_new = False
    try:
        info = await ask(client, f"CONSUMER.INFO.{target.stream}.{target.durable}", None, ConsumerInfo)
    except JetStreamError as error:
        if error.err_code != CONSUMER_NOT_FOUND:
            raise refusal(error, target) from error
        info, is_new = await _create_durable(client, target, floor(identity)), True
    require_settings(info.config, target, max_payload=client.max_payload)
    seconds = min([info.config.ack_wait, *info.config.backoff[:1]]) / NANOSECONDS
    return Consumer(
        identity=identity,
        stream=target.stream,
        name=target.durable,
        ack_wait_seconds=seconds,
        config=info.config,
        is_new=is_new,
    )


async def preview_consumer(client: SecureClient, target: NatsTarget) -> Consumer:
    """Creates a consumer for a dry run: of the messages that the durable one has not acknowledged, without changing
    anything that others see. Raises like `ready_consumer`."""
    identity = await _identity(client, target)
    try:
        durable = await ask(client, f"CONSUMER.INFO.{target.stream}.{target.durable}", None, ConsumerInfo)
        require_settings(durable.config, target, max_payload=client.max_payload)
        config, start = durable.config, durable.ack_floor.stream_seq + 1
    except JetStreamError as error:
        if error.err_code != CONSUMER_NOT_FOUND:
            raise refusal(error, target) from error
        config, start = ConsumerConfig(), 1
    name = f"{target.durable}-preview-{client.new_inbox().rsplit('.', 1)[-1]}"
    preview = ConsumerConfig(
        name=name,
        description="A dry run of hookline",
        deliver_policy="by_start_sequence",
        opt_start_seq=start,
        ack_policy="none",
        filter_subject=config.filter_subject,
        filter_subjects=config.filter_subjects,
        replay_policy="instant",
        inactive_threshold=_PREVIEW_SECONDS * NANOSECONDS,
        mem_storage=True,
    )
    try:
        info = await _create(client, target, preview)
    except JetStreamError as error:
        if error.err_code in WORK_QUEUE_REFUSALS:
            raise HooklineError(
                f"{target.name}: a dry run cannot read the stream: each of its messages is for one consumer only",
                hint="the stream has the retention workqueue; `nats stream view` shows its messages, and "
                "`hookline formats test` how a file with them is read",
            ) from error
        raise refusal(error, target) from error
    return Consumer(
        identity=identity,
        stream=target.stream,
        name=name,
        ack_wait_seconds=ACK_WAIT_SECONDS,
        config=info.config,
        acknowledges=False,
    )


async def _identity(client: SecureClient, target: NatsTarget) -> bytes:
    try:
        stream = await ask(client, f"STREAM.INFO.{target.stream}", None, StreamInfo)
    except JetStreamError as error:
        raise refusal(error, target) from error
    parts = (stream.config.name, stream.created, target.durable)
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def _new_config(target: NatsTarget, floor: int) -> ConsumerConfig:
    config = ConsumerConfig(
        name=target.durable,
        durable_name=target.durable,
        description="Created by hookline relay",
        deliver_policy="all",
        ack_policy="explicit",
        ack_wait=ACK_WAIT_SECONDS * NANOSECONDS,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
        replay_policy="instant",
    )
    if floor:
        config.deliver_policy, config.opt_start_seq = "by_start_sequence", floor + 1
    return config


async def _create_durable(client: SecureClient, target: NatsTarget, floor: int) -> ConsumerInfo:
    """Creates the durable consumer. Another relay may create the same one at the same time."""
    try:
        return await _create(client, target, _new_config(target, floor))
    except JetStreamError as error:
        if error.err_code in CONSUMER_EXISTS:
            raise ServerAway(error.description) from error
        if floor and error.err_code in WORK_QUEUE_REFUSALS:  # it has no acknowledged messages
            return await _create_durable(client, target, 0)
        raise refusal(error, target) from error


async def _create(client: SecureClient, target: NatsTarget, config: ConsumerConfig) -> ConsumerInfo:
    body = {"stream_name": target.stream, "config": config, "action": "create"}
    return await ask(client, f"CONSUMER.CREATE.{target.stream}.{config.name}", body, ConsumerInfo)


def require_settings(config: ConsumerConfig, target: NatsTarget, *, max_payload: int) -> None:
    """Raises HooklineError if messages could be lost, or never read, with the settings of a consumer that exists.
    `max_payload` is the size of the largest message in bytes."""
    other = "name another consumer with durable=, and the relay creates it with the settings that it needs"
    edit = f"nats consumer edit {target.stream} {target.durable}"
    wait = min([config.ack_wait, *config.backoff[:1]])
    faults = (
        (config.deliver_subject, "it is a push consumer", other),
        (not config.durable_name, "it is not durable", other),
        (
            config.ack_policy != "explicit",
            f"its ack policy is {config.ack_policy or 'none'}, but the relay acknowledges each message by itself",
            other,
        ),
        (config.headers_only, "it delivers headers without data (headers_only)", other),
        (
            0 < config.max_bytes < max_payload,
            f"it delivers at most {config.max_bytes:,} bytes at once (max_bytes), and a message may have "
            f"{max_payload:,}",
            f"{edit} --max-pull-bytes={max_payload}",
        ),
        (config.priority_policy not in ("", "none"), "it has a priority policy", other),
        (
            config.max_deliver > 0,
            f"the server gives a message up after {config.max_deliver} deliveries (max_deliver)",
            f"{edit} --max-deliver=-1",
        ),
        (
            wait < MIN_ACK_WAIT_SECONDS * NANOSECONDS,
            f"the server delivers a message again after {wait / NANOSECONDS:g} s (ack_wait)",
            f"{edit} --wait={ACK_WAIT_SECONDS}s",
        ),
    )
    for is_wrong, reason, hint in faults:
        if is_wrong:
            raise HooklineError(f"{target.name}: the consumer {target.durable} cannot be used: {reason}", hint=hint)


def refusal(error: JetStreamError, target: NatsTarget) -> Exception:
    """Returns the error of hookline for an answer of JetStream."""
    if error.err_code == STREAM_NOT_FOUND:
        return HooklineError(
            f"{target.name}: the stream {target.stream} does not exist",
            hint="`nats stream ls` lists the streams of this account; the name is case-sensitive",
        )
    if error.err_code in NOT_ENABLED:
        return HooklineError(
            f"{target.name}: JetStream is not enabled: {error.description}",
            hint="enable it in the server's configuration (jetstream {}), and for the account",
        )
    if error.code == UNAVAILABLE:
        return ServerAway(error.description)
    return HooklineError(
        f"{target.name}: JetStream refuses a request: {error.description}",
        hint=f"compare `nats consumer info {target.stream} {target.durable}` with docs/how-to/nats.md",
    )
