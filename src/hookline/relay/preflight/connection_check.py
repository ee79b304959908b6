"""The connection check: it makes one connection as a delivery does, and reports each step. It sends no request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from hookline.relay.http.address_policy import AddressRefused, NetworkRules
from hookline.relay.http.certificate_info import (
    Certificate,
    CertificateRefused,
    fault_hint,
    read_certificate,
    unverified_session,
)
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connector import Connected, ConnectEvent, Connector, Encrypted, Resolved
from hookline.relay.http.error_mapping import map_error
from hookline.relay.http.limits.handshake_threads import HandshakeRefused, Handshakes
from hookline.relay.http.limits.key_exchange import finite_field_context
from hookline.relay.http.proxy import Proxy, ProxyFailed, ProxyRefused
from hookline.relay.http.proxy_tunnel import connection_opener
from hookline.relay.http.request import Target
from hookline.relay.http.resolver import Resolve
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade

WARN_DAYS: Final = 30
_HINTS = {
    CheckStep.DNS: "correct the host in url, or the name servers of this machine",
    CheckStep.CONNECT: "check whether the receiver runs, and whether firewalls admit connections from this machine",
    CheckStep.TLS: "ask the receiver's operator which TLS it expects, and whether this port uses TLS",
}
_FINITE_FIELDS = (
    "the endpoint offers only finite-field key exchange (DHE), which the relay does not use: it costs up to 0.2 s of "
    "processor time for each connection"
)
_FINITE_FIELDS_HINT = "have ECDHE enabled at the receiver: TLS 1.3, or ECDHE cipher suites of TLS 1.2"
_PROXY_HINT = "check whether the proxy runs, and whether it admits connections from this machine to this address"


async def check_connection(
    target: Target,
    context: ssl.SSLContext | None,
    *,
    rules: NetworkRules,
    resolve: Resolve,
    proxy: Proxy | None,
    deadline: float,
    now: datetime,
) -> ConnectionReport:
    """Connect as a delivery does, and report each step.

    Args:
        target: The endpoint.
        context: TLS with the webhook's certificates. None: the check ends before TLS.
        rules: Which addresses may be connected to.
        resolve: The resolver.
        proxy: The relay's proxy. It is used when it applies to this endpoint.
        deadline: Seconds for the whole connection.
        now: The time by which certificates expire.
    """
    if proxy is not None and not proxy.applies_to(target.host, target.port):
        proxy = None
    report = ConnectionReport(target, rules, proxy, now)
    connector = Connector(
        host=target.host,
        port=target.port,
        rules=rules,
        resolve=resolve,
        open_connection=connection_opener(proxy, target.host, target.port),
        observe=report.add,
    )
    if (error := await _connect(connector, context, deadline)) is not None:
        report.fail(error, deadline)
        if report.ended_in_handshake(error) and await _uses_only_finite_fields(connector, deadline):
            report.findings[-1] = CheckFinding(CheckStep.TLS, Grade.FAILED, _FINITE_FIELDS, _FINITE_FIELDS_HINT)
    return report


async def _uses_only_finite_fields(connector: Connector, deadline: float) -> bool:
    """Whether a handshake that offers nothing but finite-field key exchange succeeds. It verifies nothing."""
    due = asyncio.get_running_loop().time() + deadline
    quiet = replace(connector, observe=lambda _: None)
    with suppress(AddressRefused, ProxyRefused, OSError, ValueError):
        async with asyncio.timeout_at(due):
            raw = await quiet.connect(due)
            await unverified_session(raw.socket, connector.host, finite_field_context(), Handshakes())
            return True
    return False


async def _connect(connector: Connector, context: ssl.SSLContext | None, deadline: float) -> Exception | None:
    """The error that ended the connection, None when it was made."""
    try:
        if context is None:
            due = asyncio.get_running_loop().time() + deadline
            async with asyncio.timeout_at(due):
                await (await connector.connect(due)).aclose()
            return None
        client = HttpClient(connector, context, 1)
        try:
            await client.connect(deadline)
        finally:
            await client.aclose()
    except (AddressRefused, ProxyRefused, OSError, ValueError) as error:
        return error  # ValueError: no certificate can have the name
    return None


class ConnectionReport:
    """Turns the events of one connection, and the error that ended it, into findings. No I/O.

    `addresses`: those of the name. `certificates`: those that the endpoint shows, its own first.
    """

    def __init__(self, target: Target, rules: NetworkRules, proxy: Proxy | None, now: datetime) -> None:
        self._target, self._rules, self._proxy, self._now = target, rules, proxy, now
        self._step = CheckStep.DNS  # the one that an error belongs to
        self.findings: list[CheckFinding] = []
        self.addresses: tuple[str, ...] = ()
        self.certificates: tuple[Certificate, ...] = ()

    def add(self, event: ConnectEvent) -> None:
        match event:
            case Resolved(addresses):
                self._resolved(addresses)
            case Connected(address):
                through = "" if self._proxy is None else f", through the proxy {self._proxy.host_and_port}"
                self._ok(f"{address} port {self._target.port}{through}")
                self._step = CheckStep.TLS
            case Encrypted(version, chain):
                self.certificates = tuple(read for der in chain if (read := read_certificate(der)) is not None)
                self.findings.append(self._expiry(version))
            case _:
                assert_never(event)

    def ended_in_handshake(self, error: Exception) -> bool:
        """Whether the endpoint ended the handshake, with an alert or without, and not because of a certificate."""
        own = TimeoutError | CertificateRefused | HandshakeRefused
        return self._step is CheckStep.TLS and isinstance(error, OSError) and not isinstance(error, own)

    def fail(self, error: Exception, deadline: float) -> None:
        match error:
            case AddressRefused():
                pass  # each refused address has its finding
            case TimeoutError(errno=None):
                self._failed(f"no answer within {deadline:g} s", _HINTS[self._step])
            case CertificateRefused():
                detail = error.fault
                if error.certificate is not None:
                    self.certificates = (error.certificate,)
                    detail += f"; {_description(error.certificate)}"
                self._failed(detail, fault_hint(error.code, self._target.host))
            case ProxyRefused():
                self._failed(error.message, error.hint or _PROXY_HINT)
            case _ if self._step is CheckStep.CONNECT:
                where = ", ".join(f"{address} port {self._target.port}" for address in self.addresses)
                hint = _PROXY_HINT if isinstance(error, ProxyFailed) else _HINTS[CheckStep.CONNECT]
                self._failed(f"{map_error(error, deadline).detail}: {where}", hint)
            case _:
                self._failed(map_error(error, deadline).detail, _HINTS[self._step])

    def _resolved(self, addresses: Sequence[str]) -> None:
        if not addresses:
            return
        self.addresses = tuple(addresses)
        self._ok(f"{self._target.host}: {', '.join(addresses)}")
        self._step = CheckStep.ADDRESS
        refused = {address: reason for address in addresses if (reason := self._rules.refusal_reason(address))}
        for address, reason in refused.items():
            self._failed(reason, f"if this is intended, admit it with --allow-network {address.partition('%')[0]}")
        if not refused:
            self._ok("admitted" if len(addresses) == 1 else f"all {len(addresses)} are admitted")
        self._step = CheckStep.CONNECT

    def _expiry(self, version: str) -> CheckFinding:
        detail = f"{version}, certificate for {self._target.host}"
        if not self.certificates:
            return CheckFinding(CheckStep.TLS, Grade.OK, detail)
        soonest = min(self.certificates, key=lambda one: one.not_after)
        days = soonest.days_left(self._now)
        in_chain = "" if soonest is self.certificates[0] else f" (of the chain: {soonest.subject})"
        detail += f", expires in {days} days, on {_date(soonest.not_after)}{in_chain}"
        if days < WARN_DAYS:
            return CheckFinding(
                CheckStep.TLS, Grade.WARNING, detail, "have the receiver's certificate renewed in time"
            )
        return CheckFinding(CheckStep.TLS, Grade.OK, detail)

    def _ok(self, detail: str) -> None:
        self.findings.append(CheckFinding(self._step, Grade.OK, detail))

    def _failed(self, detail: str, hint: str) -> None:
        self.findings.append(CheckFinding(self._step, Grade.FAILED, detail, hint))


def _description(own: Certificate) -> str:
    names = ", ".join(own.names) or "no name"
    dates = f"valid from {_date(own.not_before)} to {_date(own.not_after)}"
    return f"it is for {names}, {dates}, issued by {own.issuer}"


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
