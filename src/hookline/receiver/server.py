"""The receiver: listens, and for each request verifies, decides, records and answers, in that order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from hookline.errors import HooklineError
from hookline.http_connection import HttpConnection, HttpRequest, RequestLimits
from hookline.receiver import certificates
from hookline.receiver.faults import OUTAGE_STATUS, random_status
from hookline.receiver.receiver_settings import MAX_RECEIVED_BODY_BYTES, MAX_RECEIVED_HEAD_BYTES, ReceiverSettings
from hookline.receiver.request_log import RequestLog, open_request_log, request_as_line
from hookline.receiver.responses import ReceiverResponse, Rules, Stats, Verified, respond_to
from hookline.receiver.signature_verifier import SignatureVerifier, read_signature_keys
from hookline.receiver.verification import TokenVerifier, read_keys

if TYPE_CHECKING:
    from hookline.receiver.verification import PayloadCheck

# An idle client need not answer the end of TLS (RFC 8446 section 6.1): it is not waited for longer than this.
CLOSING_SECONDS = 0.5


class Receiver:
    """One run of a receiver. `output` takes a line for each request; `clock` is Unix time in seconds.

    Raises HooklineError when keys or certificates cannot be used.
    """

    def __init__(
        self, settings: ReceiverSettings, *, output: BinaryIO | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._output = output
        self._clock = clock
        self.identity = certificates.prepare_certificates(
            settings.tls_dir, settings.names, now=datetime.fromtimestamp(clock(), UTC)
        )
        self._house = Rules(strict=settings.strict, retry_after=settings.retry_after)
        self._tokens = self._token_verifier()
        self._signatures = self._signature_verifier()
        self._payloads = self._payload_check()
        self._random = random.Random(settings.seed)  # noqa: S311 - chance that a seed repeats, not a secret
        self._first: float | None = None
        self._tally = Stats()
        self._connections: set[HttpConnection] = set()
        self._outbox: list[tuple[HttpConnection, ReceiverResponse]] = []
        self.in_hand = 0  # requests that were taken and not answered yet
        self._stopping = asyncio.Event()
        self._failure: OSError | None = None

    def _token_verifier(self) -> TokenVerifier | None:
        chosen = self._settings
        if chosen.jwks is None and chosen.hmac_secret_file is None:
            return None
        keys = read_keys(chosen.jwks, chosen.hmac_secret_file)
        return TokenVerifier(keys, audience=chosen.audience, clock=self._clock)

    def _signature_verifier(self) -> SignatureVerifier | None:
        path = self._settings.signature_secret_file
        return None if path is None else SignatureVerifier(read_signature_keys(path), clock=self._clock)

    def _payload_check(self) -> PayloadCheck | None:
        if not self._settings.verify_payload:
            return None
        from hookline.receiver.verification import PayloadCheck  # noqa: PLC0415 - jsonschema takes 165 ms to import

        return PayloadCheck()

    def stop(self) -> None:
        """Take no more requests, answer those in hand, and let `serve` return. To be called in the loop."""
        self._stopping.set()

    async def serve(self, ready: Callable[[int], object]) -> Stats:
        """Serve until stopped; `ready` is called with the port once connections are accepted.

        Raises HooklineError when the address is not to be had or a request cannot be recorded, and BrokenPipeError
        when nobody reads `output` any more.
        """
        with ExitStack() as stack:
            sinks = [] if self._output is None else [self._output]
            if self._settings.record is not None:
                sinks.append(stack.enter_context(open_request_log(self._settings.record)))
            self._journal = RequestLog(*sinks)
            server = await self._listen()
            ready(server.sockets[0].getsockname()[1])
            await self._stopping.wait()
            server.close()
            await self._wind_up()
        if isinstance(self._failure, BrokenPipeError):
            raise self._failure
        if self._failure is not None:
            raise HooklineError(f"requests cannot be recorded: {self._failure.strerror}") from self._failure
        return self._tally

    async def _listen(self) -> asyncio.Server:
        host, port = self._settings.host, self._settings.port
        try:
            return await asyncio.get_running_loop().create_server(
                self._connection,
                host,
                port,
                ssl=certificates.server_context(self.identity),
                backlog=1024,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise HooklineError(
                f"cannot listen on {host}:{port}: {reason}",
                hint="end what listens there, or take any free port: --listen 127.0.0.1:0",
            ) from error

    def _connection(self) -> HttpConnection:
        return HttpConnection(
            RequestLimits(head_bytes=MAX_RECEIVED_HEAD_BYTES, body_bytes=MAX_RECEIVED_BODY_BYTES),
            received=self._received,
            opened=self._connections.add,
            closed=self._connections.discard,
            malformed=self._malformed,
        )

    async def _wind_up(self) -> None:
        for connection in tuple(self._connections):
            connection.finish()
        patience = self._settings.delay.total_seconds() + CLOSING_SECONDS
        deadline = asyncio.get_running_loop().time() + patience
        while (self._connections or self.in_hand) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()

    def _malformed(self) -> None:
        self._tally.invalid += 1

    def _received(self, connection: HttpConnection, request: HttpRequest) -> None:
        arrived = self._clock()
        verified = self._verify(request)
        answer = respond_to(request, verified, self._failure_for(request, arrived), self._house)
        self.in_hand += 1
        if delay := self._settings.delay.total_seconds():
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self._settle, connection, request, verified, answer, arrived)
        else:
            self._settle(connection, request, verified, answer, arrived)

    def _verify(self, request: HttpRequest) -> Verified:
        if request.method != "POST" or request.body is None:
            return Verified()
        protected = request.path.startswith(self._settings.protected)
        tokens = self._tokens if protected else None
        signatures = self._signatures if protected else None
        return Verified(
            None if tokens is None else tokens.check(request.headers.get(self._settings.token_header.lower())),
            None if self._payloads is None else self._payloads.check(request.body),
            None if signatures is None else signatures.check(request),
        )

    def _failure_for(self, request: HttpRequest, now: float) -> int | None:
        if request.method != "POST":
            return None
        if self._first is None:
            self._first = now
        misbehaviour = self._settings.fault_plan
        if misbehaviour.is_out(timedelta(seconds=now - self._first)):
            return OUTAGE_STATUS  # and no number is drawn: the seed's sequence begins when the outage is over
        return random_status(misbehaviour.failures, self._random.random())

    def _settle(
        self,
        connection: HttpConnection,
        request: HttpRequest,
        verified: Verified,
        answer: ReceiverResponse,
        on_enqueued: float,
    ) -> None:
        if self._tally.accepted == self._settings.stop_after:
            answer = ReceiverResponse(
                503, close=True, on_purpose=True
            )  # exactly as many are accepted as were asked for
        given = None if connection.gone else answer
        self._tally.count(request, verified, given)
        self._journal.add(request_as_line(request, verified, at=on_enqueued, status=given.status if given else None))
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append((connection, answer))
        if self._tally.accepted == self._settings.stop_after:
            self.stop()

    def _flush(self) -> None:
        """Write the lines of this turn of the loop out, then send their answers."""
        outbox, self._outbox = self._outbox, []
        self.in_hand -= len(outbox)
        try:
            self._journal.flush()
        except OSError as error:
            # Nothing may be answered that is not on record.
            self._failure = error
            for connection, _ in outbox:
                connection.abort()
            self.stop()
            return
        for connection, answer in outbox:
            connection.respond(answer.response())
