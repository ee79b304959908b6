"""Looking at the way to an endpoint: its name, each address, a connection, and TLS. No request is sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from hookline.relay.checking.report import Finding, Grade, Step
from hookline.relay.delivery.certificate import Certificate, fault_hint, read_certificate
from hookline.relay.delivery.connecting import Raw, connect_checked, connect_socket
from hookline.relay.delivery.connection import Connection
from hookline.relay.delivery.describing import describe
from hookline.relay.delivery.dialing import Dial
from hookline.relay.delivery.outcome import Failure, FailureKind
from hookline.relay.delivery.proxy import Proxy, ProxyFailed, ProxyRefused
from hookline.relay.delivery.resolving import Resolve
from hookline.relay.delivery.shown import refusal
from hookline.relay.delivery.target import Target
from hookline.relay.delivery.tunnelling import dialling
from hookline.relay.delivery.wording import one_line
from hookline.relay.network import NetworkRules

WARN_DAYS = 30


@dataclass(slots=True)
class Way:
    """How far it went: filled step by step, so that a deadline in the middle leaves what was found before.

    `due` is on the loop's clock; `proxy` is the one that stands before this target.
    """

    target: Target
    now: datetime
    due: float
    dial: Dial
    proxy: Proxy | None
    step: Step = Step.DNS
    findings: list[Finding] = field(default_factory=list)
    addresses: tuple[str, ...] = ()
    connected: str = ""  # the address
    certificates: tuple[Certificate, ...] = ()

    def ok(self, detail: str) -> None:
        self.findings.append(Finding(self.step, Grade.OK, detail))

    def failed(self, detail: str, hint: str) -> None:
        self.findings.append(Finding(self.step, Grade.FAILED, detail, hint))


async def look(
    target: Target,
    context: ssl.SSLContext | None,
    *,
    rules: NetworkRules,
    resolve: Resolve,
    proxy: Proxy | None,
    deadline: float,
    now: datetime,
) -> Way:
    """Go the way that an attempt goes, within `deadline` seconds. Without a context it ends before TLS."""
    before = proxy if proxy is not None and proxy.stands_before(target.host, target.port) else None
    due = asyncio.get_running_loop().time() + deadline
    way = Way(target, now, due, dialling(before, target.host, target.port), before)
    try:
        async with asyncio.timeout_at(due):
            if await _resolved(way, resolve) and _admitted(way, rules):
                await _connected(way, context, rules)
    except TimeoutError:
        way.failed(f"no answer within {deadline:g} s", _HINTS[way.step])
    except ssl.SSLCertVerificationError as error:
        await _refused(way, error)
    return way


_HINTS = {
    Step.DNS: "correct the host in url, or the name servers of this machine",
    Step.CONNECT: "see whether the receiver runs, and whether firewalls let connections from here through",
    Step.TLS: "ask whoever runs the receiver what it expects of TLS, and whether it speaks it on this port",
}
_PROXY = "see whether the proxy runs, and whether it lets connections from here to this address through"


async def _resolved(way: Way, resolve: Resolve) -> bool:
    host = way.target.host
    try:
        way.addresses = tuple(dict.fromkeys(await resolve(host, way.target.port)))
    except OSError as error:
        way.failed(_words(error), _HINTS[Step.DNS])
        return False
    if not way.addresses:
        way.failed(f"no address for {host}", _HINTS[Step.DNS])
        return False
    way.ok(f"{host}: {', '.join(way.addresses)}")
    return True


def _admitted(way: Way, rules: NetworkRules) -> bool:
    way.step = Step.ADDRESS
    refused = {address: reason for address in way.addresses if (reason := rules.refusal(address))}
    for address, reason in refused.items():
        way.failed(reason, f"if that is meant, admit it with --allow-network {address.partition('%')[0]}")
    if not refused:
        way.ok("admitted" if len(way.addresses) == 1 else f"all {len(way.addresses)} are admitted")
    return not refused


async def _connected(way: Way, context: ssl.SSLContext | None, rules: NetworkRules) -> None:
    way.step = Step.CONNECT
    try:
        raw = await _connect(way, rules)
    except ProxyRefused as error:
        way.failed(error.message, error.hint or _PROXY)
        return
    except OSError as error:
        where = ", ".join(f"{address} port {way.target.port}" for address in way.addresses)
        hint = _PROXY if isinstance(error, ProxyFailed) else _HINTS[Step.CONNECT]
        way.failed(f"{_words(error)}: {where}", hint)
        return
    way.connected = raw.address
    through = "" if way.proxy is None else f", through the proxy {way.proxy.where}"
    way.ok(f"{raw.address} port {way.target.port}{through}")
    if context is None:
        await raw.aclose()
        return
    await _shaken(way, raw, context)


async def _connect(way: Way, rules: NetworkRules) -> Raw:
    async def known(*_: object) -> list[str]:
        return list(way.addresses)

    port = way.target.port
    connect = partial(connect_socket, port=port, due=way.due, dial=way.dial)
    return await connect_checked(way.target.host, port, rules=rules, resolve=known, connect=connect)


async def _shaken(way: Way, raw: Raw, context: ssl.SSLContext) -> None:
    """Raises ssl.SSLCertVerificationError: what there is to say of that may take a while."""
    way.step = Step.TLS
    try:
        session = await _handshake(raw, context, way.target.host)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no certificate can be for
        way.failed(_words(error), _HINTS[Step.TLS])
        return
    way.certificates = _chain(session)
    way.findings.append(_expiry(session, way))


async def _refused(way: Way, error: ssl.SSLCertVerificationError) -> None:
    again = partial(way.dial, way.connected, way.target.port, way.due)
    refused = await refusal(error, way.target.host, again, due=way.due)
    hint = fault_hint(refused.code, way.target.host)
    if refused.certificate is None:
        way.failed(refused.fault, hint)
        return
    way.certificates = (refused.certificate,)
    way.failed(f"{refused.fault}; {_details(refused.certificate)}", hint)


async def _handshake(raw: Raw, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
    try:
        connection = Connection(raw.socket, context, host, hurry=lambda *_: None, closed=lambda _: None)
    except ValueError:
        await raw.aclose()
        raise
    try:
        await connection.handshake()
        return connection.tls
    finally:
        connection.close()


def _chain(session: ssl.SSLObject) -> tuple[Certificate, ...]:
    """The certificates that lead to the authority, the endpoint's own first; only that one before Python 3.13."""
    verified = getattr(session, "get_verified_chain", None)
    chain: Sequence[bytes | None] = [] if verified is None else verified()
    chain = chain or [session.getpeercert(binary_form=True)]
    return tuple(read for der in chain if der is not None and (read := read_certificate(der)) is not None)


def _expiry(session: ssl.SSLObject, way: Way) -> Finding:
    agreed = f"{session.version()}, certificate for {way.target.host}"
    if not way.certificates:
        return Finding(Step.TLS, Grade.OK, agreed)
    soonest = min(way.certificates, key=lambda one: one.not_after)
    days = soonest.days_left(way.now)
    whose = "" if soonest is way.certificates[0] else f" (of the chain: {soonest.subject})"
    detail = f"{agreed}, expires in {days} days, on {_date(soonest.not_after)}{whose}"
    if days < WARN_DAYS:
        return Finding(Step.TLS, Grade.WARNING, detail, "see that the receiver's certificate is renewed in time")
    return Finding(Step.TLS, Grade.OK, detail)


def _details(own: Certificate) -> str:
    names = ", ".join(own.names) or "no name"
    dates = f"valid from {_date(own.not_before)} to {_date(own.not_after)}"
    return f"it is for {names}, {dates}, issued by {own.issuer}"


def _words(error: Exception) -> str:
    described = describe(error, 0.0)
    if isinstance(described, Failure) and described.kind is not FailureKind.TIMEOUT:
        return described.detail
    return one_line(str(error))


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
