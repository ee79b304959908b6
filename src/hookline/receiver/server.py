"""The receiver: for each request it verifies, decides, records and responds, in this order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from hookline.errors import HooklineError, OutputLost
from hookline.http_connection import HttpConnection, HttpRequest, RequestLimits
from hookline.receiver import certificates
from hookline.receiver.faults import OUTAGE_STATUS, random_status
from hookline.receiver.protected_paths import is_protected
from hookline.receiver.receiver_settings import MAX_RECEIVED_BODY_BYTES, MAX_RECEIVED_HEAD_BYTES, ReceiverSettings
from hookline.receiver.request_log import RequestLine, RequestLog, request_as_line
from hookline.receiver.responses import ReceiverResponse, Stats, Verified, respond_to
from hookline.receiver.signature_verifier import SignatureVerifier, read_signature_keys
from hookline.receiver.verification import PayloadCheck, TokenVerifier, read_keys

# An idle client need not answer the end of TLS (RFC 8446 section 6.1), so the receiver waits at most this long.
CLOSING_SECONDS = 0.5


class Receiver:
    """One run. Each of `outputs` gets a line of JSON for each request, and `live` the line that its function returns.

    `clock` is in Unix seconds. Raises HooklineError for bad keys.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        outputs: Sequence[BinaryIO] = (),
        live: tuple[RequestLine, BinaryIO] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        # The record comes first: a terminal that is lost loses no recorded request.
        self._logs = [RequestLog(request_as_line, *outputs)] if outputs else []
        self._logs += [] if live is None else [RequestLog(live[0], live[1])]
        self._clock = clock
        self.identity = certificates.prepare_certificates(
            settings.tls_dir, settings.names, now=datetime.fromtimestamp(clock(), UTC)
        )
        self._tokens: TokenVerifier | None = None
        if settings.jwks is not None or settings.hmac_secret_file is not None:
            keys = read_keys(settings.jwks, settings.hmac_secret_file)
            self._tokens = TokenVerifier(keys, audience=settings.audience, clock=clock)
        secrets = settings.signature_secret_file
        self._signatures = None if secrets is None else SignatureVerifier(read_signature_keys(secrets), clock=clock)
        self._payloads = PayloadCheck() if settings.verify_payload else None
        self._random = random.Random(settings.seed)  # noqa: S311 - the seed repeats the sequence; it is no secret
        self._first_request_at: float | None = None
        self._stats = Stats()
        self._connections: set[HttpConnection] = set()
        self._outbox: list[tuple[HttpConnection, ReceiverResponse]] = []
        self.unanswered = 0
        self._stopping = asyncio.Event()
        self._failure: OSError | OutputLost | None = None

    def stop(self) -> None:
        """Stops accepting requests and ends `serve` after the pending responses. Call it in the event loop."""
        self._stopping.set()

    async def serve(self, ready: Callable[[int], object]) -> Stats:
        """Serves until `stop`. Calls `ready` with the port when it accepts connections.

        Raises:
            HooklineError: the address is not available, or a request cannot be recorded.
            OutputLost: standard output is one of the outputs and cannot be written.
        """
        server = await self._listen()
        ready(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.close()
        await self._close_connections()
        if isinstance(self._failure, OutputLost):
            raise self._failure
        if self._failure is not None:
            raise HooklineError(
                f"requests cannot be recorded: {self._failure.strerror}",
                hint="check the disk, or the program that reads the pipe of --record",
            ) from self._failure
        return self._stats

    async def _listen(self) -> asyncio.Server:
        host, port = self._settings.host, self._settings.port
        context = certificates.server_context(self.identity)
        try:
            return await asyncio.get_running_loop().create_server(
                self._connection, host, port, ssl=context, backlog=1024
            )
        except OSError as error:
            raise HooklineError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="end the program that listens there, or use any free port: --listen 127.0.0.1:0",
            ) from error

    def _connection(self) -> HttpConnection:
        return HttpConnection(
            RequestLimits(head_bytes=MAX_RECEIVED_HEAD_BYTES, body_bytes=MAX_RECEIVED_BODY_BYTES),
            on_request=self._on_request,
            on_open=self._connections.add,
            on_close=self._connections.discard,
            on_malformed=self._stats.count_malformed,
        )

    async def _close_connections(self) -> None:
        for connection in tuple(self._connections):
            connection.finish()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.delay.total_seconds() + CLOSING_SECONDS
        while (self._connections or self.unanswered) and clock() < deadline:
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()

    def _on_request(self, connection: HttpConnection, request: HttpRequest) -> None:
        arrived = self._clock()
        verified = self._verify(request)
        response = respond_to(request, verified, self._failure_status(request, arrived), self._settings)
        self.unanswered += 1
        if delay := self._settings.delay.total_seconds():
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._complete, connection, request, verified, response, arrived)
        else:
            self._complete(connection, request, verified, response, arrived)

    def _verify(self, request: HttpRequest) -> Verified:
        if request.method != "POST" or request.body is None:
            return Verified()
        protected = is_protected(request.path, self._settings.protected)
        tokens = self._tokens if protected else None
        signatures = self._signatures if protected else None
        return Verified(
            None if tokens is None else tokens.check(request.headers.get(self._settings.token_header.lower())),
            None if self._payloads is None else self._payloads.check(request.body),
            None if signatures is None else signatures.check(request),
        )

    def _failure_status(self, request: HttpRequest, now: float) -> int | None:
        if request.method != "POST":
            return None
        if self._first_request_at is None:
            self._first_request_at = now
        plan = self._settings.fault_plan
        if plan.is_out(timedelta(seconds=now - self._first_request_at)):
            return OUTAGE_STATUS  # draws no random number: the sequence of the seed begins after the outage
        return random_status(plan.faults, self._random.random())

    def _complete(
        self,
        connection: HttpConnection,
        request: HttpRequest,
        verified: Verified,
        response: ReceiverResponse,
        arrived: float,
    ) -> None:
        """Counts and records a request that `arrived` (Unix time in seconds), and schedules its response."""
        if self._stats.accepted == self._settings.stop_after:  # accepts exactly the given number
            response = ReceiverResponse(503, close=True, on_purpose=True)
        sent = None if connection.closed.is_set() else response
        self._stats.count(request, verified, sent)
        for log in self._logs:
            log.add(request, verified, at=arrived, status=sent.status if sent else None)
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append((connection, response))
        if self._stats.accepted == self._settings.stop_after:
            self.stop()

    def _flush(self) -> None:
        """Writes the lines of this iteration of the event loop, then sends their responses."""
        outbox, self._outbox = self._outbox, []
        self.unanswered -= len(outbox)
        try:
            for log in self._logs:
                log.flush()
        except (OSError, OutputLost) as error:
            # A request that is not recorded must not get a response.
            self._failure = error
            for connection, _ in outbox:
                connection.abort()
            self.stop()
            return
        for connection, response in outbox:
            connection.respond(response)
