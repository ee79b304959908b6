"""Requests to JetStream, and the parts of its answers that the source uses
(https://docs.nats.io/reference/reference-protocols/nats_api_reference)."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
import nats.errors

from hookline.relay.sources.nats.nats_client import SecureClient

REQUEST_SECONDS: Final = 5.0
NANOSECONDS: Final = 1_000_000_000
UNAVAILABLE: Final = 503
# Codes of errors: https://github.com/nats-io/nats-server/blob/main/server/errors.json
NOT_ENABLED: Final = (10039, 10076)
CONSUMER_NOT_FOUND: Final = 10014
STREAM_NOT_FOUND: Final = 10059
CONSUMER_EXISTS: Final = (10105, 10148)
# A stream with the retention workqueue accepts neither another ack policy, another start, nor a second consumer.
WORK_QUEUE_REFUSALS: Final = (10084, 10099, 10100, 10101)

_T = TypeVar("_T", bound=msgspec.Struct)


class ConsumerConfig(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The settings of a consumer. Durations are in nanoseconds."""

    name: str = ""
    durable_name: str = ""
    description: str = ""
    deliver_policy: str = ""
    opt_start_seq: int = 0
    ack_policy: str = ""
    ack_wait: int = 0
    max_deliver: int = 0
    backoff: list[int] = []
    filter_subject: str = ""
    filter_subjects: list[str] = []
    replay_policy: str = ""
    max_ack_pending: int = 0
    headers_only: bool = False
    deliver_subject: str = ""
    max_batch: int = 0
    max_bytes: int = 0
    max_expires: int = 0
    inactive_threshold: int = 0
    mem_storage: bool = False
    priority_policy: str = ""


class SequencePair(msgspec.Struct):
    """The sequence numbers of a message: among the deliveries of the consumer, and in the stream."""

    consumer_seq: int = 0
    stream_seq: int = 0


class ConsumerInfo(msgspec.Struct):
    """The state of a consumer."""

    name: str
    config: ConsumerConfig
    delivered: SequencePair
    ack_floor: SequencePair
    num_pending: int = 0
    num_ack_pending: int = 0


class _StreamConfig(msgspec.Struct):
    name: str


class StreamInfo(msgspec.Struct):
    """The state of a stream."""

    config: _StreamConfig
    created: str


class JetStreamError(Exception):
    """JetStream refuses a request. `code` is like a status of HTTP."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.description = description


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Error | None = None


async def ask(client: SecureClient, subject: str, body: object, answer: type[_T]) -> _T:
    """Sends a request to ``$JS.API.<subject>`` and returns its answer.

    Raises JetStreamError; HooklineError if the user may not ask; nats.errors.Error or TimeoutError without an answer.
    """
    data = b"" if body is None else msgspec.json.encode(body)
    request = asyncio.ensure_future(client.request(f"$JS.API.{subject}", data, timeout=REQUEST_SECONDS))
    client.refused.add_done_callback(lambda _: request.cancel())
    try:
        message = await request
    except asyncio.CancelledError:
        if client.refused.done():
            client.refused.result()
        raise
    except nats.errors.NoRespondersError:
        if not client.has_jetstream:
            raise JetStreamError(UNAVAILABLE, NOT_ENABLED[0], "the server runs without it") from None
        raise JetStreamError(UNAVAILABLE, 0, "no server of JetStream answers") from None
    if (error := msgspec.json.decode(message.data, type=_Answer).error) is not None:
        raise JetStreamError(error.code, error.err_code, error.description)
    return msgspec.json.decode(message.data, type=answer)
