"""How each kind of hostile input meets hookline, and what hookline says. Where a socket is involved it is a real one.

A function here takes the input and a directory to work in, and gives the words of the refusal, the exit code of a
command before them. What must hold for the whole kind (nothing was sent, nothing was written) is asserted here.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme

from builders import document, routes, webhook
from contract.https_server import (
    AUTHORITY,
    DEADLINE,
    HOST,
    LOCAL,
    OK,
    Script,
    client_context,
    post,
    posting,
    resolves_to,
    sends,
    server_context,
    serving,
)
from contract.tunnel import TestProxy, tunnelling
from hookline.cli.main import main
from hookline.model import Address, EnvRef, SecretRef
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, LocalFault, Response
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.transport import open_client
from hookline.relay.http.transport_factory import transport_factory
from hookline.relay.ingest.batch import IngestContext, route_line
from hookline.relay.preflight.checks import CheckContext, check_all
from hookline.relay.preflight.report import CheckReport, CheckStep
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.sources.line_splitter import LineSplitter

ACME = Address("ACME@AdobeOrg", "prod")
DOCUMENT = document(ACME, url="https://hooks.acme.test/feedback")
ROUTES = routes(DOCUMENT)
READING = IngestContext(routes=ROUTES, defaults=Defaults(organization="ACME@AdobeOrg", sandbox="prod"))
PLANTED = "planted-value-8d1f"


def command(directory: Path, *arguments: str) -> str:
    """What a command prints, its exit code before it, run in `directory` with nothing on standard input."""
    out, before = io.StringIO(), Path.cwd()
    os.chdir(directory)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            before_input, sys.stdin = sys.stdin, io.StringIO()
            try:
                code = main(list(arguments))
            finally:
                sys.stdin = before_input
    finally:
        os.chdir(before)
    return f"{code} {out.getvalue()}"


def webhook_file(text: bytes, directory: Path) -> str:
    """`hookline validate` on a file that somebody put into a pull request."""
    (directory / "webhooks").mkdir()
    (directory / "webhooks" / "prod.yaml").write_bytes(text)
    said = command(directory, "validate")
    assert "Traceback" not in said
    assert PLANTED not in said
    return said


def policy_file(text: bytes, directory: Path) -> str:
    """`hookline policy test` on a policy file that somebody put into a pull request."""
    (directory / "policy.yaml").write_bytes(text)
    said = command(directory, "policy", "test", "policy.yaml")
    assert "Traceback" not in said
    return said


def field(name: str, value: object) -> Callable[[object, Path], str]:
    """The same on a file that is sound but for one field."""

    def meet(_: object, directory: Path) -> str:
        return webhook_file(json.dumps({**DOCUMENT, name: value}).encode(), directory)

    return meet


def url(value: str, directory: Path) -> str:
    return field("url", value)(None, directory)


def plan_file(data: bytes, directory: Path) -> str:
    """`hookline apply` of a plan file that somebody made or edited. No state comes of it."""
    (directory / "p.json").write_bytes(data)
    said = command(directory, "apply", "p.json", "--auto-approve")
    assert "Traceback" not in said
    assert not (directory / ".hookline" / "state.db").exists()
    return said


def dead_letters(data: bytes, directory: Path) -> str:
    """`hookline dead import` of a file that somebody edited. None of it becomes a dead letter."""
    (directory / "l.ndjson").write_bytes(data)
    said = command(directory, "dead", "import", "l.ndjson")
    assert "Traceback" not in said
    assert "Imported 0 deliveries and 0 rejected lines" in said
    assert said.replace("\n", "").isprintable()
    return said


def dead_letter_shown(data: bytes, directory: Path) -> str:
    """A sound dead letter, imported, as `dead list` and `dead show` print it: nothing in it moves a terminal."""
    (directory / "l.ndjson").write_bytes(data)
    said = [command(directory, "dead", *rest) for rest in (("import", "l.ndjson"), ("list",), ("show", "line-1"))]
    assert all(text.replace("\n", "").isprintable() for text in said), said
    return said[1]


def event_line(data: bytes, directory: Path) -> str:
    """The reason why a line of an event log is rejected or skipped."""
    cutter = LineSplitter()
    cutter.feed(data + b"\n")
    (line,) = cutter.take(1)
    ((_, _, result),) = route_line(line, READING)
    assert isinstance(result, Rejected | Skipped)
    return result.reason


def file_name(name: bytes, directory: Path) -> str:
    """What a relay says that is given a directory with a file of this name: it reads that, and the one beside it."""
    _logs(directory, {name: b"{}\n", b"beside": b"{}\n"})
    said = [
        command(directory, "relay", *options, "logs")
        for options in (("--dry-run",), ("--summary", "json"), ("--log-level", "debug"))
    ]
    for one in said:
        assert one.encode().decode().replace("\n", "").isprintable(), one
    assert json.JSONDecoder().raw_decode(said[1][said[1].index('{"read"') :])[0]["read"] == 2
    assert said[2].startswith("0 ")
    return said[0]


def refused_file_name(name: bytes, directory: Path) -> str:
    """The text on stderr if the file does not exist."""
    _logs(directory, {})
    said = command(directory, "relay", f"logs/{os.fsdecode(name)}")
    assert said.encode().decode().replace("\n", "").isprintable(), said
    return said


def _logs(directory: Path, files: dict[bytes, bytes]) -> None:
    """A webhook that is applied, and a directory of logs."""
    (directory / "webhooks").mkdir()
    (directory / "webhooks" / "prod.yaml").write_text(json.dumps(DOCUMENT))
    command(directory, "apply", "--auto-approve")
    (directory / "logs").mkdir()
    for name, content in files.items():
        Path(directory / "logs", os.fsdecode(name)).write_bytes(content)


def words(result: ExchangeResult) -> str:
    """The result in words, which can stand on a terminal whoever wrote them."""
    match result:
        case Response(status):
            return f"answer {status}"
        case Failure(kind, detail):
            said = f"{kind} {detail}"
        case LocalFault(detail):
            said = f"fault {detail}"
    assert said.isprintable()
    assert len(said) < 700
    return said


def dns_answer(addresses: list[str], directory: Path) -> str:
    """What a name's addresses come to, with an endpoint listening on loopback that must not hear of it."""

    async def scenario() -> str:
        async with (
            serving(sends(OK)) as server,
            posting(open_client, server.port, rules=NetworkRules(), resolve=resolves_to(*addresses)) as poster,
        ):
            said = words(await post(poster))
            assert 0 == server.connections
            return said

    return asyncio.run(scenario())


def certificate(shown: trustme.LeafCert | trustme.CA, directory: Path) -> str:
    """What comes of an endpoint that shows this certificate. It gets no request, and `check` fails at TLS."""

    async def scenario() -> str:
        async with (
            serving(sends(OK), server_context(shown)) as server,
            posting(open_client, server.port, context=client_context()) as poster,
        ):
            said = words(await post(poster))
            report = await _checked(server.port, directory)
            assert CheckStep.TLS is report.failed_at
            assert said.startswith(f"tls {report.findings[-1].detail.partition(';')[0]}")
            assert [] == server.requests
            return said

    return asyncio.run(scenario())


async def _checked(port: int, directory: Path) -> CheckReport:
    AUTHORITY.cert_pem.write_to_path(directory / "ca.pem")
    means = CheckContext(
        resolver=SecretResolver(environment={}, directory=directory),
        rules=LOCAL,
        clock=lambda: 1.0,
        random=bytes,
        ca_file=directory / "ca.pem",
        resolve=resolves_to("127.0.0.1"),
    )
    checked = webhook(ACME, url=f"https://{HOST}:{port}/")
    (report,) = [one async for one in check_all([checked], means, send=False)]
    return report


def response(script: Script, directory: Path) -> str:
    """What an answer comes to; the endpoint then gets a second request, whose answer is its own."""

    async def scenario() -> str:
        async with serving(script) as server, posting(open_client, server.port) as poster:
            said = words(await post(poster, DEADLINE / 5))
            server.script = sends(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            assert Response(202) == await post(poster)
            return said

    return asyncio.run(scenario())


def proxy_answer(answer: bytes, directory: Path) -> str:
    """What comes of a proxy that says this when it is asked for a tunnel."""

    async def scenario() -> str:
        async with tunnelling(TestProxy(answer)) as proxy, serving(sends(OK)) as server:

            def through(*given: Any, **named: Any) -> Any:
                return open_client(*given, **named, proxy=Proxy("127.0.0.1", proxy.port))

            async with posting(through, server.port) as poster:
                said = words(await post(poster))
            assert 0 == server.connections
            return said

    return asyncio.run(scenario())


def secret(ref: SecretRef, directory: Path) -> str:
    """What the relay says to a webhook, with this reference for a header, that made it into the state."""
    return _attempt({"X-Key": ref}, directory)


def secret_value(value: str, directory: Path) -> str:
    """The same for a reference in scope, whose value is this."""
    return _attempt({"X-Key": EnvRef("HOOKLINE_SECRET_ACME_ADOBEORG__KEY")}, directory, value=value)


def event_time(value: str, directory: Path) -> str:
    """What reaches an endpoint as hookline-event-time, of an event whose source says that this is its time."""

    async def scenario() -> str:
        async with serving(sends(OK)) as server, posting(open_client, server.port) as poster:
            attempt = Attempt(bytes(16), b"{}", 1, 1.0, value)
            assert Response(200) == await poster.post([], attempt, deadline=DEADLINE)
            lines = server.requests[0].split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        assert 1 == sum(line.lower().startswith("content-length:") for line in lines)
        return " | ".join(line for line in lines if "event-time" in line) or "left out"

    return asyncio.run(scenario())


def _attempt(headers: dict[str, str | SecretRef], directory: Path, value: str = PLANTED) -> str:
    secrets = directory / "secrets"
    (secrets / "ACME@AdobeOrg").mkdir(parents=True)
    (secrets / "OTHER@AdobeOrg").mkdir()
    (secrets / "OTHER@AdobeOrg" / "key").write_text(PLANTED)
    (directory / "outside").write_text(PLANTED)
    (secrets / "ACME@AdobeOrg" / "link").symlink_to(directory / "outside")
    (secrets / "ACME@AdobeOrg" / "huge").write_bytes(b"x" * 100_000)
    (secrets / "ACME@AdobeOrg" / "open").write_text(PLANTED)
    os.mkfifo(secrets / "ACME@AdobeOrg" / "pipe")
    for path in (secrets / "ACME@AdobeOrg").iterdir():
        if not path.is_symlink():
            path.chmod(0o644 if path.name == "open" else 0o600)

    async def scenario() -> str:
        async with serving(sends(OK)) as server:
            described = webhook(ACME, url=f"https://localhost:{server.port}/", headers=tuple(headers.items()))
            environment = {
                "PATH": PLANTED,
                "HOOKLINE_SECRET_OTHER_ADOBEORG__KEY": PLANTED,
                "HOOKLINE_SECRET_ACME_ADOBEORG__KEY": value,
            }
            endpoint = HttpEndpoint(
                described,
                resolver=SecretResolver(environment=environment, directory=secrets, by_organization=True),
                clock=lambda: 1.0,
                random=bytes,
                transport_factory=transport_factory(open_client, NetworkRules(), lambda: 1.0),
            )
            try:
                said = words(await endpoint.post(Attempt(bytes(16), b"{}", 1, 1.0)))
            finally:
                await endpoint.aclose()
            assert 0 == server.connections
        assert PLANTED not in said
        return said

    return asyncio.run(scenario())


def state_file(data: bytes, directory: Path) -> str:
    """What commands say to a state that is something else."""
    (directory / "state.db").write_bytes(data)
    said = command(directory, "plan", "--state", "state.db")
    assert data == (directory / "state.db").read_bytes()
    assert "Traceback" not in said
    return said
