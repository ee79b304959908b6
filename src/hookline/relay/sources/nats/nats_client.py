"""Connects to a server of NATS: with TLS to all but this machine."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client

from hookline.errors import HooklineError, WrongUse
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.nats.nats_credentials import NatsCredentials
from hookline.relay.sources.nats.nats_faults import CLIENT_FAULTS, fault
from hookline.relay.sources.nats.nats_target import DEFAULT_PORT, NatsTarget

CONNECT_SECONDS: Final = 5
DISCONNECT_SECONDS: Final = 0.5  # of a connection that failed: the server need not notice its end
MAX_LOST_ANSWERS: Final = 5
PING_SECONDS: Final = 10  # a connection without two answers in turn is over


class BrokerContext(ssl.SSLContext):
    """The context of all connections to a server. `has_certificate`: it presents a certificate of the relay."""

    has_certificate = False


class SecureClient(Client):
    """A client that sends nothing to another machine without TLS, above all no credentials.

    The client of the library encrypts only if the server asks for it, and a program that answers in the place of
    the server does not.

    Attributes:
        target: the source.
        errors: those of the connection.
        is_checked: the check was made.
        has_certificate: the relay presents a certificate. Set before the connection is opened.
        closed: set at the end of the connection.
        refused: fails with a HooklineError if the server refuses a request of the user.
    """

    def __init__(self, target: NatsTarget, host: str, credentials: NatsCredentials) -> None:
        """`host` is the server to which it connects: that of the target, or another one of its cluster."""
        super().__init__()
        self.target = target
        self.errors: list[Exception] = []
        self.is_checked = self.has_certificate = False
        self._host = host
        self._credentials = credentials
        self.closed = asyncio.Event()
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused.add_done_callback(_note_exception)

    def user_options(self) -> dict[str, Any]:
        """Returns the arguments of `connect` that depend on the user and the server."""
        options = self._credentials.client_options()
        if self._host != self.target.host and _is_ip(self._host):
            # A server of the cluster is often known by its IP address only.
            options["tls_hostname"] = self.target.host
        return options

    async def note_error(self, error: Exception) -> None:
        """Called with an error of the connection, such as a request that the user may not make."""
        self.errors.append(error)
        found = fault(error, self.target)
        if self.is_connected and isinstance(found, HooklineError) and not self.refused.done():
            self.refused.set_exception(found)

    async def note_closed(self) -> None:
        """Called at the end of the connection."""
        self.closed.set()

    def may_have_been_refused(self, error: Exception) -> bool:
        """Returns whether the server may have refused the user: the end of a connection can overtake its reason."""
        return self.is_checked and isinstance(error, ConnectionError) and bool(self._server_info.get("auth_required"))

    @property
    def has_jetstream(self) -> bool:
        """Whether the connected server runs JetStream. Another one of its cluster may do so."""
        return bool(self._server_info.get("jetstream"))

    def usable_servers(self) -> list[tuple[str, int]]:
        """Returns the hosts and ports of the cluster's servers, without those that would be reached in plaintext."""
        is_encrypted = bool(self._server_info.get("tls_required"))
        return [
            (one.hostname, one.port or DEFAULT_PORT)
            for one in self.servers
            if one.hostname and (is_encrypted or self.target.allows_plaintext(one.hostname))
        ]

    def _connect_command(self) -> bytes:
        """Called before the first bytes are sent, after the handshake."""
        if not self.target.allows_plaintext(self._host) and not self._server_info.get("tls_required"):
            raise WrongUse(
                f"{self.target.name}: the server does not require TLS, and the connection leaves this machine",
                hint="configure a certificate in the server's `tls` section, or reach it at localhost",
            )
        if self._server_info.get("tls_verify") and not self.has_certificate:
            raise HooklineError(
                f"{self.target.name}: the server asks for a certificate of the relay",
                hint="name a file with a certificate and its key below --secrets-dir: --source-certificate file:PATH",
            )
        self.is_checked = True
        self._public_nkey = self._credentials.public_nkey
        return super()._connect_command()


async def connect(
    target: NatsTarget,
    server: tuple[str, int],
    *,
    credentials: NatsCredentials,
    tls: BrokerContext,
) -> SecureClient:
    """Connects to one server.

    Args:
        target: the source.
        server: the host and port.
        credentials: those of the user.
        tls: verifies the certificate of the server.

    Raises:
        HooklineError: the server refuses the credentials, has no TLS or an invalid certificate.
        ServerAway: the server cannot be reached.
    """
    for _ in range(MAX_LOST_ANSWERS):
        client = SecureClient(target, server[0], credentials)
        client.has_certificate = tls.has_certificate
        try:
            await _open(client, server, tls)
        except (HooklineError, asyncio.CancelledError):
            await _close(client)
            raise
        except CLIENT_FAULTS as error:
            reason = client.errors[-1] if client.errors else error  # before its end, which has errors of its own
            await _close(client)
            if not client.may_have_been_refused(error):
                raise fault(reason, target) from error
        else:
            return client
    raise HooklineError(
        f"{target.name}: the server closes the connection after it has received the credentials of the user",
        hint="name the secret that holds them with --source-credentials, and check the user's rights",
    )


async def _open(client: SecureClient, server: tuple[str, int], tls: ssl.SSLContext) -> None:
    host, port = server
    await asyncio.wait_for(
        client.connect(
            f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}",
            error_cb=client.note_error,
            closed_cb=client.note_closed,
            name=f"hookline {client.target.durable}",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            tls=tls,
            **client.user_options(),
        ),
        3 * CONNECT_SECONDS,
    )
    if not client.is_connected:
        raise ConnectionResetError("the server has closed the connection")
    if not client.is_checked:
        raise HooklineError("the installed nats-py has no place for the check of TLS", hint="install nats-py 2.16")


def _note_exception(future: asyncio.Future[None]) -> None:
    """An exception that nobody asks for is no fault."""
    if not future.cancelled():
        future.exception()


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def verifying_context(ca_file: Path | None, certificate: SourceCertificate | None = None) -> BrokerContext:
    """Returns a context that trusts the authorities of the system and those of `ca_file`, and presents `certificate`
    if the server asks for one. Raises HooklineError."""
    context = BrokerContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificates and names
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise HooklineError(
                f"cannot use {ca_file} as certificate authorities: {error.strerror or error}",
                hint="name a readable file with certificates in PEM",
            ) from error
    if certificate is not None:
        certificate.load_into(context)
        context.has_certificate = True
    return context


async def _close(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), DISCONNECT_SECONDS)
    except CLIENT_FAULTS:
        return
