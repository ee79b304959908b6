"""Who may read a NATS stream: TLS, credentials, rights, and consumers whose settings could lose messages."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from hookline.errors import HooklineError, WrongUse
from hookline.relay.sources.broker.open_broker import BrokerOptions, open_broker
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.nats.nats_client import verifying_context
from hookline.relay.sources.nats.nats_credentials import NatsCredentials, parse_credentials
from nats_identities import Identity, Organization
from nats_reader import Lines, nats_reader
from nats_server import NatsServer, running_nats, shared_nats

SECOND = 10**9
# A host name that is not known to be this machine, although it is.
ELSEWHERE = "0.0.0.0"


def fault(server: NatsServer, stream: str, **options: Any) -> HooklineError:
    """The error with which a finite run ends. It has a next step."""
    with nats_reader(server, stream, **options) as reader, pytest.raises(HooklineError) as failed:
        reader.read_to_end()
    assert failed.value.hint
    return failed.value


def read(server: NatsServer, stream: str, **options: Any) -> int:
    with nats_reader(server, stream, **options) as reader:
        return len(reader.read_to_end())


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The file of a certificate authority, and the settings of a server with a certificate of it."""
    directory = tmp_path_factory.mktemp("nats-tls")
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(directory / "ca.pem")
    certificate = issuer.issue_cert("localhost", ELSEWHERE)
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    with (directory / "cert.pem").open("wb") as file:
        file.writelines(blob.bytes() for blob in certificate.cert_chain_pems)
    tls = f"tls {{ cert_file: '{directory / 'cert.pem'}', key_file: '{directory / 'key.pem'}' }}"
    return directory / "ca.pem", [tls]


@pytest.fixture(scope="module")
def server_with_tls(authority: tuple[Path, list[str]]) -> Iterator[NatsServer]:
    ca_file, settings = authority
    with running_nats(*settings, "authorization { token: s3cret }", host=ELSEWHERE) as server:
        server.user = {"token": "s3cret"}
        server.ca_file = ca_file
        server.add_stream("tls")
        server.publish("tls", [b"{}"] * 3)
        yield server


def test_another_machine_is_reached_through_tls(server_with_tls: NatsServer) -> None:
    """The certificate is verified with the authorities of --ca-file."""
    credentials = parse_credentials(b"s3cret")
    assert 3 == read(server_with_tls, "tls", host=ELSEWHERE, credentials=credentials, ca_file=server_with_tls.ca_file)


def test_a_certificate_is_verified(server_with_tls: NatsServer) -> None:
    """Its authority and its names."""
    credentials = parse_credentials(b"s3cret")
    unknown = fault(server_with_tls, "tls", host="localhost", credentials=credentials)
    assert "TLS failed: unable to get local issuer certificate" in unknown.message
    assert "--ca-file" in (unknown.hint or "")
    ca_file = server_with_tls.ca_file
    other = fault(server_with_tls, "tls", host="127.0.0.1", credentials=credentials, ca_file=ca_file)
    assert "IP address mismatch" in other.message


def test_a_server_without_tls_is_refused() -> None:
    """On another machine. The relay sends nothing to it, above all no credentials."""
    with running_nats(host=ELSEWHERE) as server:
        server.add_stream("plain")
        assert 0 == read(server, "plain", host="localhost")
        refused = fault(server, "plain", host=ELSEWHERE)
    assert isinstance(refused, WrongUse)
    assert "does not require TLS" in refused.message
    received = bytearray()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def pretend() -> None:
            connection, _ = listener.accept()
            connection.sendall(b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}\r\n')
            with connection:
                while part := connection.recv(1000):
                    received.extend(part)

        thread = threading.Thread(target=pretend)
        thread.start()
        imposter = NatsServer(Path(), port=listener.getsockname()[1])
        refused = fault(imposter, "plain", host=ELSEWHERE, credentials=parse_credentials(b"relay:s3cret"))
        thread.join(30)
    assert isinstance(refused, WrongUse)
    assert b"" == received


def client_certificate(issuer: trustme.CA, directory: Path, *, own_key: bool) -> SourceCertificate:
    """A certificate of the authority, with its key in the same file or in its own."""
    certificate, key = issuer.issue_cert("relay@acme.example"), directory / "client-key.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "client.pem")
    certificate.private_key_pem.write_to_path(key)
    return SourceCertificate(directory / "client.pem", key if own_key else None)


@pytest.mark.parametrize("own_key", [False, True])
def test_a_server_that_asks_for_a_certificate(tmp_path: Path, own_key: bool) -> None:
    """A relay without one ends, with the option that names it."""
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(tmp_path / "ca.pem")
    issuer.issue_cert("localhost", ELSEWHERE).private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    files = f"cert_file: '{tmp_path}/server.pem', key_file: '{tmp_path}/server.pem', ca_file: '{tmp_path}/ca.pem'"
    given = client_certificate(issuer, tmp_path, own_key=own_key)
    with running_nats(f"tls {{ {files}, verify: true }}", host=ELSEWHERE) as server:
        server.ca_file, server.certificate = tmp_path / "ca.pem", given.certificate
        server.add_stream("mutual")
        server.publish("mutual", [b"{}"] * 3)
        where: dict[str, Any] = {"host": ELSEWHERE, "ca_file": server.ca_file}
        assert 3 == read(server, "mutual", certificate=given, **where)
        assert "--source-certificate" in (fault(server, "mutual", **where).hint or "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no certificate"), ("broken", "no certificate"), (None, "No such file")],
)
def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, reason: str) -> None:
    """With its file, and the form that it must have."""
    path = tmp_path / "client.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(HooklineError, match=reason) as refused:
        verifying_context(None, SourceCertificate(path))
    assert str(path) in refused.value.message
    assert "--source-key" in (refused.value.hint or "")


# -- credentials


def nkey_settings(user: Identity) -> str:
    return f"authorization {{ users: [ {{ nkey: {user.public} }}, {{ user: admin, password: admin }} ] }}"


def test_a_user_of_an_nkey() -> None:
    """The secret is the seed. The server gets a signature."""
    user = Identity("user")
    with running_nats(nkey_settings(user)) as server:
        server.user = {"user": "admin", "password": "admin"}
        server.add_stream("nkey")
        server.publish("nkey", [b"{}"])
        assert 1 == read(server, "nkey", credentials=parse_credentials(user.seed.encode() + b"\n"))
        stranger = parse_credentials(Identity("user").seed.encode())
        assert "refuses these credentials" in fault(server, "nkey", credentials=stranger).message


def test_a_user_of_a_file_of_credentials(tmp_path: Path) -> None:
    """As `nsc` writes it: a JWT and a seed."""
    organization = Organization()
    (tmp_path / "user.creds").write_text(organization.credentials())
    with running_nats(*organization.settings()) as server:
        server.user = {"signature_cb": None}
        credentials = parse_credentials((tmp_path / "user.creds").read_bytes())
        server.user = credentials.client_options()
        server.add_stream("creds")
        server.publish("creds", [b"{}"])
        assert 1 == read(server, "creds", credentials=credentials)
        stranger = parse_credentials(Organization().credentials().encode())
        assert "refuses these credentials" in fault(server, "creds", credentials=stranger).message


@pytest.mark.parametrize("secret", [None, b"relay:wrong-s3cret", b"wrong-s3cret"])
def test_a_user_that_the_server_does_not_know(secret: bytes | None) -> None:
    """The message names the option, and shows no secret. A relay that follows ends too: it has never worked."""
    credentials = NatsCredentials({}) if secret is None else parse_credentials(secret)
    with running_nats("authorization { user: relay, password: s3cret }") as server:
        for follow in (False, True):
            refused = fault(server, "any", credentials=credentials, follow=follow)
            assert "credentials" in refused.message
            assert "--source-credentials" in (refused.hint or "")
            assert "s3cret" not in refused.message


RIGHTS = {
    "STREAM.INFO": '"$JS.API.STREAM.INFO.rights"',
    "CONSUMER.INFO": '"$JS.API.CONSUMER.INFO.rights.hookline"',
    "CONSUMER.CREATE": '"$JS.API.CONSUMER.CREATE.rights.hookline"',
    "MSG.NEXT": '"$JS.API.CONSUMER.MSG.NEXT.rights.hookline"',
    "ACK": '"$JS.ACK.rights.hookline.>"',
}


@pytest.mark.parametrize("missing", [None, *RIGHTS])
def test_the_rights_of_a_user(missing: str | None) -> None:
    """The subjects in docs/how-to/nats.md are enough. Without one of them, the message names it."""
    given = ", ".join(subject for name, subject in RIGHTS.items() if name != missing)
    rights = f'permissions: {{ publish: [{given}], subscribe: ["_INBOX.>"] }}'
    users = f"{{ user: admin, password: admin }}, {{ user: relay, password: s3cret, {rights} }}"
    with running_nats(f"authorization {{ users: [ {users} ] }}") as server:
        server.user = {"user": "admin", "password": "admin"}
        server.add_stream("rights")
        server.publish("rights", [b"{}"] * 3)
        credentials = parse_credentials(b"relay:s3cret")
        if missing is None:
            assert 3 == read(server, "rights", credentials=credentials)
            return
        refused = fault(server, "rights", credentials=credentials)
        assert missing.lower() in refused.message
        assert "docs/how-to/nats.md" in (refused.hint or "")


def test_the_rights_of_a_dry_run() -> None:
    """As in docs/how-to/nats.md."""
    given = ", ".join(subject.replace("hookline", "*") for name, subject in RIGHTS.items() if name != "ACK")
    rights = f'permissions: {{ publish: [{given}], subscribe: ["_INBOX.>"] }}'
    users = f"{{ user: admin, password: admin }}, {{ user: relay, password: s3cret, {rights} }}"
    with running_nats(f"authorization {{ users: [ {users} ] }}") as server:
        server.user = {"user": "admin", "password": "admin"}
        server.add_stream("rights")
        server.publish("rights", [b"{}"] * 3)
        assert 3 == read(server, "rights", credentials=parse_credentials(b"relay:s3cret"), preview=True)


# -- the stream and its consumer


def test_a_server_without_jetstream() -> None:
    """The message says where it is enabled."""
    with running_nats(jetstream=False) as server:
        assert "JetStream is not enabled" in fault(server, "any").message


def test_an_account_without_jetstream() -> None:
    """Its server has it for other accounts."""
    accounts = "accounts { A { users: [ { user: a, password: a } ] }, B { jetstream: enabled } }"
    with running_nats(accounts) as server:
        message = fault(server, "any", credentials=parse_credentials(b"a:a")).message
    assert "JetStream is not enabled" in message


def test_a_stream_that_does_not_exist() -> None:
    """The message says how to list the streams."""
    assert "the stream absent does not exist" in fault(shared_nats(), "absent").message


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("none", {"ack_policy": "none"}, "its ack policy is none"),
        ("all", {"ack_policy": "all"}, "its ack policy is all"),
        ("push", {"ack_policy": "explicit", "deliver_subject": "x"}, "it is a push consumer"),
        ("headers", {"ack_policy": "explicit", "headers_only": True}, "without data"),
        ("few", {"ack_policy": "explicit", "max_deliver": 3}, "gives a message up after 3 deliveries"),
        ("short", {"ack_policy": "explicit", "ack_wait": 2 * SECOND}, "again after 2 s"),
        ("bytes", {"ack_policy": "explicit", "max_bytes": 1000}, "at most 1,000 bytes at once"),
        (
            "early",
            {"ack_policy": "explicit", "backoff": [SECOND, 60 * SECOND], "max_deliver": 3},
            "gives a message up",
        ),
    ],
)
def test_a_consumer_that_could_lose_messages_is_refused(name: str, settings: dict[str, Any], reason: str) -> None:
    """Its settings are not changed. The message gives the next step."""
    server, stream = shared_nats(), f"consumer-{name}"
    server.add_stream(stream)
    server.add_consumer(stream, "own", **settings)
    before = server.consumer(stream, "own")["config"]
    for preview in (False, True):
        assert reason in fault(server, stream, durable="own", preview=preview).message
    assert before == server.consumer(stream, "own")["config"]


def test_a_consumer_with_other_limits_is_used() -> None:
    """A small window, small requests, and a filter."""
    server = shared_nats()
    server.add_stream("limits", subjects=["limits.>"])
    server.publish("limits", [b"{}"] * 50)
    server.add_consumer(
        "limits", "own", ack_policy="explicit", max_ack_pending=7, max_batch=3, max_expires=2 * SECOND,
        max_bytes=2_000_000, filter_subject="limits.x", ack_wait=10 * SECOND,
    )  # fmt: skip
    assert 50 == read(server, "limits", durable="own")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it. Files are read without it."""
    for name in [name for name in sys.modules if name.startswith("hookline.relay.sources.nats.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(HooklineError, match="the package for NATS cannot be loaded") as refused:
        open_broker("nats://localhost/S?durable=a", list, BrokerOptions(follow=True), logger=Lines())
    assert "pip install nats-py" in (refused.value.hint or "")
