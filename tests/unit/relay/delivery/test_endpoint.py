import asyncio
import errno
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import jwt
import pytest
import trustme

import builders
from builders import private_key, private_pem
from hookline.model import (
    BodySignature,
    DeliveryPolicy,
    EnvRef,
    FileRef,
    JwtAuthentication,
    SignatureKey,
    SigningKey,
    TlsPolicy,
    Webhook,
)
from hookline.relay.auth.credentials import Credentials
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.error_mapping import map_error
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Header, Target, attempt_headers
from hookline.relay.http.transport import BegunPost, OnResult, Transport
from hookline.relay.http.transport_factory import transport_factory
from hookline.relay.secrets import SecretResolver

pytestmark = pytest.mark.usefixtures("private_files")

NOW = 1_800_000_000.0
VARIABLE = "HOOKLINE_SECRET_KEY"
PLAIN = builders.webhook(url="https://hooks.acme.test/feedback")
JWT = JwtAuthentication(algorithm="HS256", keys=(SigningKey("k1", EnvRef(VARIABLE)),))
Answering = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Receiver:
    """A transport that records and answers requests. `environment` and `directory` hold the secrets."""

    def __init__(self, directory: Path, answering: Answering | None = None) -> None:
        self.directory = directory
        self.environment: dict[str, str] = {VARIABLE: "s" * 32}
        self.requests: list[httpx.Request] = []
        self.opened: list[tuple[NetworkRules, ssl.SSLContext, int]] = []
        self.targets: list[Target] = []
        self.now = NOW
        self.answering = answering

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await self.answering(request) if self.answering else httpx.Response(200)

    def open(
        self,
        target: Target,
        rules: NetworkRules,
        context: ssl.SSLContext,
        limit: int,
        clock: Callable[[], float],
        *,
        proxy: Proxy | None = None,
        limits: SharedLimits | None = None,
    ) -> Transport:
        self.opened.append((rules, context, limit))
        self.targets.append(target)
        return RecordingTransport(self, target)

    def endpoint(self, webhook: Webhook, **options: Any) -> Endpoint:
        return HttpEndpoint(
            webhook,
            resolver=SecretResolver(environment=self.environment, directory=self.directory),
            clock=lambda: self.now,
            random=lambda size: b"r" * size,
            transport_factory=transport_factory(self.open, NetworkRules(), lambda: self.now),
            **options,
        )


class RecordingTransport(Transport):
    """Implements Transport: passes each request to the receiver."""

    def __init__(self, receiver: Receiver, target: Target) -> None:
        self.receiver = receiver
        self.url = target.url

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        sent = [*headers, *attempt_headers(attempt, signature)]
        request = httpx.Request("POST", self.url, headers=sent, content=attempt.body)
        try:
            async with asyncio.timeout(deadline):
                return Response((await self.receiver.answer(request)).status_code)
        except Exception as error:
            return map_error(error, deadline)

    def begin(
        self,
        headers: Sequence[Header],
        attempt: Attempt,
        *,
        deadline: float,
        on_result: OnResult,
        signature: str = "",
    ) -> BegunPost:
        task = asyncio.create_task(self.post(headers, attempt, deadline=deadline, signature=signature))
        task.add_done_callback(lambda done: on_result(done.result()))
        return task  # type: ignore[return-value]

    async def aclose(self) -> None: ...


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    return Receiver(tmp_path)


def attempt(number: int = 1) -> Attempt:
    return Attempt(b"\x01" * 16, b'{"a":1}', number, NOW + 5, "2026-11-22T10:00:00Z")


def post(endpoint: Endpoint, times: int = 1) -> list[ExchangeResult]:
    async def scenario() -> list[ExchangeResult]:
        return [await endpoint.post(attempt(number)) for number in range(1, times + 1)]

    return asyncio.run(scenario())


def only(results: list[ExchangeResult]) -> ExchangeResult:
    (result,) = results
    return result


def test_query(receiver: Receiver, tmp_path: Path) -> None:
    """Parameters are added to the URL's own query with their secrets, percent-encoded; a replaced secret is used."""
    (tmp_path / "code").write_text("a&b=c/\u00fc\n")
    (tmp_path / "code").chmod(0o400)
    query = (("code", FileRef("code")), ("filter[name]", "Größe 1"), ("key", EnvRef(VARIABLE)))
    endpoint = receiver.endpoint(replace(PLAIN, url="https://hooks.acme.test/feedback?tenant=crm", query=query))
    assert [Response(200)] * 2 == post(endpoint, 2)
    (tmp_path / "code").unlink()
    (tmp_path / "code").write_text("second")
    (tmp_path / "code").chmod(0o400)
    receiver.now += 11
    assert Response(200) == only(post(endpoint))
    rest = b"&filter%5Bname%5D=Gr%C3%B6%C3%9Fe%201&key=" + b"s" * 32
    expected = [b"/feedback?tenant=crm&code=a%26b%3Dc%2F%C3%BC" + rest, b"/feedback?tenant=crm&code=second" + rest]
    assert expected == [target.path for target in receiver.targets]
    assert all("sss" not in repr(target) + target.url for target in receiver.targets)


def test_query_without_its_secret(receiver: Receiver) -> None:
    """A parameter whose secret is missing is a local fault that names the reference, and nothing is sent."""
    webhook = replace(PLAIN, query=(("code", EnvRef("HOOKLINE_SECRET_GONE")),))
    fault = only(post(receiver.endpoint(webhook)))
    assert isinstance(fault, LocalFault)
    assert "HOOKLINE_SECRET_GONE" in fault.detail
    assert [] == receiver.requests


def test_request(receiver: Receiver) -> None:
    """An attempt is a POST of the body with hookline's headers, the attempt's, the webhook's and the token."""
    webhook = replace(PLAIN, headers=(("x-key", EnvRef(VARIABLE)), ("x-team", "crm")), authentication=JWT)
    assert Response(200) == only(post(receiver.endpoint(webhook)))
    (request,) = receiver.requests
    expected = {
        "host": "hooks.acme.test",
        "content-type": "application/json",
        "content-length": "7",
        "webhook-id": "01" * 16,
        "webhook-timestamp": "1800000005",
        "hookline-attempt": "1",
        "hookline-event-time": "2026-11-22T10:00:00Z",
        "x-key": "s" * 32,
        "x-team": "crm",
    }
    sent = dict(request.headers)
    scheme, _, token = sent.pop("authorization").partition(" ")
    assert sent.pop("user-agent").startswith("hookline/")
    assert expected == sent
    assert request.method == "POST"
    assert str(request.url) == PLAIN.url
    assert attempt().body == request.content
    assert scheme == "Bearer"
    read = jwt.decode(
        token,
        "s" * 32,
        ["HS256"],
        options={"verify_signature": True, "verify_aud": False, "verify_nbf": False, "verify_iat": False},
    )
    assert read["aud"] == "https://hooks.acme.test"


def test_token_in_another_header(receiver: Receiver) -> None:
    """The token goes into the header that is configured for it, and no other."""
    post(receiver.endpoint(replace(PLAIN, authentication=replace(JWT, header="x-token"))))
    assert receiver.requests[0].headers["x-token"].startswith("Bearer ")
    assert "authorization" not in receiver.requests[0].headers


def test_no_authentication(receiver: Receiver) -> None:
    """A webhook without authentication sends no token."""
    post(receiver.endpoint(PLAIN))
    assert "authorization" not in receiver.requests[0].headers


def test_one_transport(receiver: Receiver) -> None:
    """The transport is opened once, with the webhook's concurrency and strict TLS."""
    webhook = replace(PLAIN, delivery=DeliveryPolicy(concurrency=3))
    post(receiver.endpoint(webhook), times=5)
    ((rules, context, connections),) = receiver.opened
    assert (NetworkRules(), 3) == (rules, connections)
    assert ssl.CERT_REQUIRED is context.verify_mode


def test_token_is_reused_and_renewed(receiver: Receiver) -> None:
    """The token stays the same until it is renewed; a renewed one is signed with the secret of that moment."""
    endpoint = receiver.endpoint(replace(PLAIN, authentication=JWT))
    post(endpoint, times=3)
    receiver.environment[VARIABLE] = "t" * 32
    post(endpoint)
    endpoint.renew()
    post(endpoint)
    tokens = [request.headers["authorization"] for request in receiver.requests]
    assert len(set(tokens[:4])) == 1
    assert tokens[4] not in tokens[:4]
    unchecked = {"verify_aud": False, "verify_nbf": False, "verify_iat": False}
    jwt.decode(tokens[4].removeprefix("Bearer "), "t" * 32, ["HS256"], options=unchecked)  # type: ignore[arg-type]


async def begun(endpoint: Endpoint, receiver: Receiver) -> bool:
    """Whether an attempt begins without a task at `receiver.now`. Waits for its result, which is a success."""
    result: asyncio.Future[ExchangeResult] = asyncio.get_running_loop().create_future()
    one = Attempt(b"\x01" * 16, b'{"a":1}', 1, receiver.now)
    if endpoint.begin(one, result.set_result) is None:
        return False
    assert Response(200) == await result
    return True


def test_an_attempt_without_a_task_is_the_same_request(receiver: Receiver) -> None:
    """It has the token and the body signature of an attempt with one. Before the first attempt, nothing is ready."""
    signature = BodySignature((SignatureKey(secret=EnvRef("HOOKLINE_SECRET_SIGN")),))
    receiver.environment["HOOKLINE_SECRET_SIGN"] = "whsec_" + "QUJD" * 8
    endpoint = receiver.endpoint(replace(PLAIN, authentication=JWT, signature=signature))

    async def scenario() -> None:
        assert not await begun(endpoint, receiver)
        await endpoint.post(Attempt(b"\x01" * 16, b'{"a":1}', 1, receiver.now))
        assert await begun(endpoint, receiver)

    asyncio.run(scenario())
    first, second = receiver.requests
    assert first.headers == second.headers
    assert "webhook-signature" in first.headers


def test_attempts_without_a_task_look_at_the_credentials_in_intervals(receiver: Receiver) -> None:
    """A fresh token is used 50 ms after it is due. After `renew`, an attempt with a task signs one at once."""
    endpoint = receiver.endpoint(replace(PLAIN, authentication=JWT))
    looks: list[float] = []
    real = Credentials.headers

    def headers(self: Credentials, now: float) -> Sequence[Header]:
        looks.append(now)
        return real(self, now)

    async def scenario() -> None:
        await endpoint.post(attempt())
        looks.clear()
        for milliseconds in (0, 10, 40, 51, 60, 3_600_000, -3_600_000):
            receiver.now = NOW + milliseconds / 1000
            assert await begun(endpoint, receiver)
        assert [NOW, NOW + 0.051, NOW + 3600, NOW - 3600] == looks
        endpoint.renew()
        assert not await begun(endpoint, receiver)
        await endpoint.post(attempt())
        assert await begun(endpoint, receiver)

    with patch.object(Credentials, "headers", headers):
        asyncio.run(scenario())
    tokens = [request.headers["authorization"] for request in receiver.requests]
    assert 1 == len(set(tokens[:6]))
    assert 2 == len(set(tokens[5:7]))
    assert tokens[-2] == tokens[-1]


def test_an_attempt_with_a_task_renews_what_changed(receiver: Receiver) -> None:
    """Nothing begins with a missing secret, another query, or replaced files, until an attempt with a task."""
    secret = receiver.directory / "code"
    secret.write_text("old")
    endpoint = receiver.endpoint(
        replace(PLAIN, query=(("code", FileRef("code")),), headers=(("x-key", EnvRef(VARIABLE)),))
    )

    async def scenario() -> None:
        await endpoint.post(attempt())
        assert await begun(endpoint, receiver)
        (receiver.directory / "fresh").write_text("new")
        (receiver.directory / "fresh").replace(secret)
        receiver.now += 1.0
        assert not await begun(endpoint, receiver)
        await endpoint.post(attempt())
        assert await begun(endpoint, receiver)
        endpoint.renew()
        del receiver.environment[VARIABLE]
        assert isinstance(await endpoint.post(attempt()), LocalFault)
        assert not await begun(endpoint, receiver)

    asyncio.run(scenario())
    assert [b"/feedback?code=old", b"/feedback?code=new"] == [target.path for target in receiver.targets]
    assert 4 == len(receiver.requests)


def test_missing_secret_is_healed(receiver: Receiver) -> None:
    """A missing secret is a local fault that names it. Once it exists, the next attempt is sent."""
    endpoint = receiver.endpoint(replace(PLAIN, headers=(("x-key", EnvRef("HOOKLINE_SECRET_LATE")),)))
    result = only(post(endpoint))
    assert isinstance(result, LocalFault)
    assert "HOOKLINE_SECRET_LATE" in result.detail
    assert receiver.requests == []
    receiver.environment["HOOKLINE_SECRET_LATE"] = "here"
    assert Response(200) == only(post(endpoint))
    assert receiver.requests[0].headers["x-key"] == "here"


def test_replaced_file(receiver: Receiver) -> None:
    """A replaced file is read again a second later, without a refusal. Not every event checks it."""
    path = receiver.directory / "token"
    path.write_text("old")
    webhook = replace(PLAIN, headers=(("x-key", FileRef("token")),))
    endpoint = receiver.endpoint(webhook)

    async def scenario() -> None:
        assert Response(200) == await endpoint.post(attempt())
        (receiver.directory / "fresh").write_text("new")
        (receiver.directory / "fresh").replace(path)
        receiver.now += 0.5
        await endpoint.post(attempt())
        receiver.now += 0.5
        await endpoint.post(attempt())

    asyncio.run(scenario())
    assert ["old", "old", "new"] == [request.headers["x-key"] for request in receiver.requests]


def test_open_file(receiver: Receiver) -> None:
    """A secret file that others may read is a local fault, and no request is sent."""
    (receiver.directory / "token").write_text("value")
    (receiver.directory / "token").chmod(0o644)
    result = only(post(receiver.endpoint(replace(PLAIN, headers=(("x-key", FileRef("token")),)))))
    assert isinstance(result, LocalFault)
    assert "can be read by everybody (mode 0644)" in result.detail
    assert "--insecure-secret-files" in result.detail
    assert receiver.requests == []


def test_wrong_key(receiver: Receiver) -> None:
    """A key that does not fit the algorithm is a fault that says what was needed and found, in one line."""
    (receiver.directory / "k.pem").write_bytes(private_pem(private_key("ES384")))
    described = replace(JWT, algorithm="ES256", keys=(SigningKey("k1", FileRef("k.pem")),))
    result = only(post(receiver.endpoint(replace(PLAIN, authentication=described))))
    assert isinstance(result, LocalFault)
    assert "needs the curve P-256, found P-384" in result.detail
    assert result.detail.isprintable()


@pytest.mark.parametrize(
    "url", ["http://hooks.acme.test/", "https://", "no url", "https://a.test:99999/", "https://a\nb/"]
)
def test_wrong_url(receiver: Receiver, url: str) -> None:
    """A URL that is not https (only a state edited by hand has one) is a local fault, and no request is sent."""
    result = only(post(receiver.endpoint(replace(PLAIN, url=url))))
    assert isinstance(result, LocalFault)
    assert "URL" in result.detail
    assert receiver.requests == []


def test_timeout_of_the_webhook(receiver: Receiver) -> None:
    """The webhook's timeout ends the attempt."""

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    receiver.answering = never
    webhook = replace(PLAIN, delivery=DeliveryPolicy(timeout=timedelta(milliseconds=50)))
    expected = Failure(FailureKind.TIMEOUT, "no complete response head within 0.05 s")
    assert expected == only(post(receiver.endpoint(webhook)))


def test_a_library_that_misbehaves(receiver: Receiver) -> None:
    """An exception that no transport should raise is a failure of this attempt, in one clean line, and no crash."""

    async def broken(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("cannot\r\nhappen " + "x" * 500)

    receiver.answering = broken
    result = only(post(receiver.endpoint(PLAIN)))
    assert isinstance(result, Failure)
    assert result.detail.startswith("unexpected RuntimeError: cannot happen xxx")
    assert len(result.detail) == 200


def test_certificates_by_reference(receiver: Receiver) -> None:
    """The webhook's authorities, client certificate and key are read from the secrets directory."""
    authority = trustme.CA()
    own = authority.issue_cert("hookline@acme.test")
    authority.cert_pem.write_to_path(receiver.directory / "ca.pem")
    own.cert_chain_pems[0].write_to_path(receiver.directory / "cert.pem")
    own.private_key_pem.write_to_path(receiver.directory / "key.pem")
    tls = TlsPolicy(ca_file="ca.pem", client_certificate=FileRef("cert.pem"), client_key=FileRef("key.pem"))
    webhook = replace(PLAIN, delivery=DeliveryPolicy(tls=tls))
    post(receiver.endpoint(PLAIN))
    assert Response(200) == only(post(receiver.endpoint(webhook)))
    plain, trusting = (context.get_ca_certs(binary_form=True) for _, context, _ in receiver.opened)
    assert len(plain) + 1 == len(trusting)


def test_replaced_certificates_are_picked_up(receiver: Receiver) -> None:
    """After a renewal or a TLS failure, replaced files are read again. Without a change the transport remains."""
    certificate = receiver.directory / "ca.pem"
    broken = False

    async def answering(request: httpx.Request) -> httpx.Response:
        if broken:
            raise httpx.ConnectError("x") from ssl.SSLError(1, "x")
        return httpx.Response(200)

    async def scenario() -> None:
        nonlocal broken
        endpoint = receiver.endpoint(replace(PLAIN, delivery=DeliveryPolicy(tls=TlsPolicy(ca_file="ca.pem"))))
        for opened, happening in (
            (1, "start"),
            (1, "renew"),
            (1, "replace"),
            (2, "tls"),
            (2, "tls"),
            (3, "replace, renew"),
        ):
            broken = happening == "tls"
            if "replace" in happening:
                trustme.CA().cert_pem.write_to_path(certificate)
            if "renew" in happening:
                endpoint.renew()
            await endpoint.post(attempt())
            if broken:
                await endpoint.post(attempt())
            assert opened == len(receiver.opened), happening

    receiver.answering = answering
    trustme.CA().cert_pem.write_to_path(certificate)
    asyncio.run(scenario())


def test_certificates_in_the_middle_of_their_replacement(receiver: Receiver) -> None:
    """While files are missing or do not match, the earlier ones are used; matching files a second later."""
    directory = receiver.directory
    authority, first, second = trustme.CA(), *(trustme.CA().issue_cert("hookline@acme.test") for _ in range(2))
    steps: list[tuple[str, int, Callable[[], object]]] = [
        ("start", 1, lambda: None),
        ("no authority", 1, (directory / "ca.pem").unlink),
        ("another authority", 2, lambda: trustme.CA().cert_pem.write_to_path(directory / "ca.pem")),
        ("a certificate without its key", 2, lambda: second.cert_chain_pems[0].write_to_path(directory / "cert.pem")),
        ("still without", 2, lambda: None),
        ("no key", 2, (directory / "key.pem").unlink),
        ("its key", 3, lambda: second.private_key_pem.write_to_path(directory / "key.pem")),
        ("nothing new", 3, lambda: None),
    ]

    async def scenario() -> None:
        endpoint = receiver.endpoint(replace(PLAIN, delivery=DeliveryPolicy(tls=tls)))
        for happening, opened, happens in steps:
            happens()
            receiver.now += 1
            assert [Response(200)] * 2 == [await endpoint.post(attempt()) for _ in range(2)], happening
            assert opened == len(receiver.opened), happening

    authority.cert_pem.write_to_path(directory / "ca.pem")
    first.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    first.private_key_pem.write_to_path(directory / "key.pem")
    tls = TlsPolicy(ca_file="ca.pem", client_certificate=FileRef("cert.pem"), client_key=FileRef("key.pem"))
    asyncio.run(scenario())


def test_certificates_are_insisted_on(receiver: Receiver) -> None:
    """After a renewal, unreadable certificates are a local fault, because the earlier ones may be refused."""

    async def scenario() -> None:
        endpoint = receiver.endpoint(replace(PLAIN, delivery=DeliveryPolicy(tls=TlsPolicy(ca_file="ca.pem"))))
        assert Response(200) == await endpoint.post(attempt())
        (receiver.directory / "ca.pem").unlink()
        endpoint.renew()
        assert isinstance(await endpoint.post(attempt()), LocalFault)

    trustme.CA().cert_pem.write_to_path(receiver.directory / "ca.pem")
    asyncio.run(scenario())


def test_endpoints_without_files_of_their_own_share_one_context(receiver: Receiver) -> None:
    """Reading the system's authorities takes long: webhooks without certificates of their own do it once for all."""
    first, second = receiver.endpoint(PLAIN), receiver.endpoint(replace(PLAIN, url="https://other.acme.test/"))
    post(first)
    post(second)
    (_, one, _), (_, other, _) = receiver.opened
    assert one is other


def test_headers_are_made_once(receiver: Receiver) -> None:
    """While they do not change, a transport gets the same headers object, so that it can cache their bytes."""
    given: list[object] = []

    class Keeping(Transport):
        async def post(
            self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
        ) -> ExchangeResult:
            given.append(headers)
            return Response(200)

        async def aclose(self) -> None: ...

    endpoint = HttpEndpoint(
        replace(PLAIN, authentication=JWT),
        resolver=SecretResolver(environment=receiver.environment, directory=receiver.directory),
        clock=lambda: receiver.now,
        random=lambda size: b"r" * size,
        transport_factory=lambda *_: Keeping(),
    )
    post(endpoint, times=2)
    receiver.now += 3600
    post(endpoint, times=2)
    assert given[0] is given[1]
    assert given[1] is not given[2]
    assert given[2] is given[3]


@pytest.mark.parametrize(
    "tls",
    [
        TlsPolicy(ca_file="../ca.pem"),
        TlsPolicy(ca_file="missing.pem"),
        TlsPolicy(client_certificate=FileRef("/etc/passwd")),
        TlsPolicy(client_certificate=FileRef("missing.pem")),
    ],
)
def test_certificates_out_of_reach(receiver: Receiver, tls: TlsPolicy) -> None:
    """Certificates outside of the secrets directory, or missing ones, are a local fault."""
    assert isinstance(only(post(receiver.endpoint(replace(PLAIN, delivery=DeliveryPolicy(tls=tls))))), LocalFault)


def test_ca_file(receiver: Receiver) -> None:
    """The relay's own file of authorities is trusted by every endpoint."""
    trustme.CA().cert_pem.write_to_path(receiver.directory / "ca.pem")
    post(receiver.endpoint(PLAIN))
    post(receiver.endpoint(PLAIN, ca_file=receiver.directory / "ca.pem"))
    plain, trusting = (context.get_ca_certs(binary_form=True) for _, context, _ in receiver.opened)
    assert len(plain) + 1 == len(trusting)


def test_close_before_use(receiver: Receiver) -> None:
    """An endpoint that made no attempt can be closed."""
    asyncio.run(receiver.endpoint(PLAIN).aclose())
    assert receiver.opened == []


def test_no_secret_in_a_result(receiver: Receiver) -> None:
    """No local fault contains the value of a secret."""
    for value in ("s3cr3t\nvalue", "s3cr3t", "€ s3cr3t"):
        receiver.environment[VARIABLE] = value
        for webhook in (
            replace(PLAIN, headers=(("x-key", EnvRef(VARIABLE)),)),
            replace(PLAIN, authentication=JWT),
            replace(PLAIN, authentication=replace(JWT, algorithm="RS256")),
        ):
            assert "s3cr3t" not in repr(post(receiver.endpoint(webhook)))


def test_no_descriptor_is_no_fault_of_a_secret(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no file descriptor is left for a secret's file, the attempt waits for one instead of reporting a fault."""
    monkeypatch.setattr("hookline.relay.delivery.endpoint.NO_DESCRIPTOR_RETRY_SECONDS", 0.01)
    (tmp_path / "team").write_text("crm")
    (tmp_path / "team").chmod(0o400)
    opened, found = os.open, list[str]()

    def lacking(path: str, *arguments: Any, **named: Any) -> int:
        if str(path).endswith("team"):
            found.append(str(path))
            if len(found) < 3:
                raise OSError(errno.EMFILE, "Too many open files", path)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", lacking)
    endpoint = receiver.endpoint(builders.webhook(headers=(("x-team", FileRef("team")),)))
    assert Response(200) == only(post(endpoint))
    assert "crm" == receiver.requests[0].headers["x-team"]
    assert len(found) >= 3
