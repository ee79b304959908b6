"""What a relay and its workers say arrives as it was said, however the socket cuts it."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.delivery.certificates import Certificates
from hookline.relay.delivery.outcome import FailureKind
from hookline.relay.delivery.proxy import Proxy
from hookline.relay.delivery.target import parse_target
from hookline.relay.delivery.tls import ClientCertificate
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import Secret
from hookline.relay.workers.messages import (
    Answered,
    Cancel,
    Close,
    Failed,
    Faulted,
    Frames,
    Open,
    Order,
    Post,
    Report,
    Setup,
    Use,
    frame,
)

Message = TypeVar("Message")

TARGET = parse_target("https://hooks.acme.test:8443/feedback?team=crm")
ORDERS: list[list[Order]] = [
    [Setup("engine", ("127.0.0.0/8",), None)],
    [Open(1, TARGET, 16, b"/ca.pem", None, None, b"PEM", b""), Use(1, ((b"x-team", b"crm"),))],
    [Post(7, 1, b"\x01" * 16, b'{"a":1}', 2, 1.5, None, 10.0, "v1,abc"), Cancel(7), Close(1)],
]
REPORTS: list[list[Report]] = [
    [Answered(7, 503, 30.0), Answered(8, 200, None)],
    [Failed(9, FailureKind.TLS, "it has expired"), Faulted(10, "no key is active")],
]


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1))
def test_cuts_do_not_matter(sizes: list[int]) -> None:
    """Orders and reports come out whole and in their order, in whatever pieces the bytes arrive."""
    orders, reports = Frames[Order](list[Order]), Frames[Report](list[Report])
    assert [one for group in ORDERS for one in group] == fed(orders, b"".join(map(frame, ORDERS)), sizes)
    assert [one for group in REPORTS for one in group] == fed(reports, b"".join(map(frame, REPORTS)), sizes)


def fed(frames: Frames[Message], data: bytes, sizes: list[int]) -> list[Message]:
    found: list[Message] = []
    at = 0
    while data:
        size = sizes[at % len(sizes)]
        found += frames.feed(data[:size])
        data, at = data[size:], at + 1
    return found


def test_nonsense_is_an_error() -> None:
    """What no relay of this version says is not guessed at."""
    with pytest.raises(msgspec.DecodeError):
        list(Frames[Order](list[Order]).feed(frame(REPORTS[1])))


def test_rules_and_proxy_come_over() -> None:
    """A worker keeps to the relay's network rules, and goes through its proxy with its credentials."""
    rules = NetworkRules((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    proxy = Proxy("proxy.acme.test", 3128, Secret(b"Basic eA=="), ("acme.test", "*.internal"))
    (setup,) = fed(Frames[Order](list[Order]), frame([Setup.of("httpx", rules, proxy)]), [4096])
    assert isinstance(setup, Setup)
    through = setup.through()
    assert through is not None
    assert through.authorization is not None
    assert b"Basic eA==" == through.authorization.reveal()
    assert replace(proxy, authorization=None) == replace(through, authorization=None)
    assert (rules, "httpx") == (setup.rules(), setup.transport)
    assert Setup.of("engine", rules, None).through() is None


@pytest.mark.parametrize(
    "certificates",
    [
        Certificates(None, None, None, ()),
        Certificates(Path("/ca.pem"), None, b"PEM", ()),
        Certificates(None, ClientCertificate(Path("/c.pem")), None, ()),
        Certificates(Path(os.fsdecode(b"/caf\xe9.pem")), None, None, (b"text",)),
        Certificates(None, ClientCertificate(Path("/c.pem"), Path("/k.pem")), None, ()),
    ],
)
def test_certificates_come_over(certificates: Certificates) -> None:
    """A worker trusts and shows what the relay would: paths and authorities, no private key's text."""
    (opened,) = fed(Frames[Order](list[Order]), frame([Open.of(1, TARGET, 16, certificates)]), [7])
    assert isinstance(opened, Open)
    assert (replace(certificates, texts=()), TARGET) == (replace(opened.certificates(), texts=()), opened.target)


def test_replaced_certificates_are_others() -> None:
    """A file with another text makes another context in a worker, and no private key goes over to it for that."""
    files = [Certificates(None, ClientCertificate(Path("/c.pem")), None, (text,)) for text in (b"old", b"new")]
    old, new = (Open.of(1, TARGET, 16, one) for one in files)
    assert old.certificates() != new.certificates()
    assert old.certificates() == Open.of(2, TARGET, 16, files[0]).certificates()
    assert b"old" not in frame([old])


def test_no_secret_is_printed() -> None:
    """What is said in a traceback or a debugger holds neither tokens nor a proxy's credentials."""
    proxy = Proxy("proxy.acme.test", 3128, Secret(b"Basic eA=="))
    assert "eA==" not in repr(Setup.of("engine", NetworkRules(), proxy))
    assert "token" not in repr(Use(1, ((b"authorization", b"Bearer token"),)))
