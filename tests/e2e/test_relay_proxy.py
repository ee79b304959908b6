"""`hookline relay --proxy` as operators use it: a real relay, a real receiver, and a real proxy between them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from builders import as_lines, xdm_event
from contract.tunnel import TestProxy, tunnelling
from hookline_process import LOOPBACK, Lab

EVENT = as_lines([xdm_event(1, 1)])


@contextmanager
def proxy_beside() -> Iterator[TestProxy]:
    """A proxy on a loop of its own, beside the test."""
    proxy, ready = TestProxy(), threading.Event()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with tunnelling(proxy):
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_named_on_the_command_line(lab: Lab, transport: str) -> None:
    """What is delivered has gone through the proxy that --proxy names, to an address."""
    with proxy_beside() as proxy, lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        where = f"http://127.0.0.1:{proxy.port}"
        assert 1 == lab.relay(receiver, "--transport", transport, "--proxy", where, "-", stdin=EVENT)["delivered"]
    assert proxy.asked
    assert all(asked.startswith((b"CONNECT 127.0.0.1:", b"CONNECT [::1]:")) for asked in proxy.asked)


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_check_goes_the_same_way(lab: Lab, transport: str) -> None:
    """`check` takes the relay's proxy from its variable or its own --proxy, to look and to send."""
    with proxy_beside() as proxy, lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        where = f"http://127.0.0.1:{proxy.port}"
        options = ("--ca-file", str(receiver.ca_file), *LOOPBACK, "--transport", transport)
        lab.hookline("check", *options, "--proxy", where)
        looked = len(proxy.asked)
        lab.environment = {"HOOKLINE_RELAY_PROXY": where}
        done = lab.hookline("check", *options, "--send")
    assert f"through the proxy 127.0.0.1:{proxy.port}".encode() in done.stdout
    assert 0 < looked < looked + 1 < len(proxy.asked)


@pytest.mark.parametrize("options", [(), ("--proxy", "environment")], ids=["without", "with"])
def test_the_environment_is_asked_only_when_that_is_said(lab: Lab, options: tuple[str, ...]) -> None:
    """HTTPS_PROXY counts with --proxy environment, and with nothing else."""
    with proxy_beside() as proxy, lab.receiver() as receiver:
        lab.environment = {
            "HTTPS_PROXY": f"127.0.0.1:{proxy.port}",
            "https_proxy": "",
            "NO_PROXY": "",
            "no_proxy": "",
        }
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        assert 1 == lab.relay(receiver, *options, "-", stdin=EVENT)["delivered"]
    assert bool(options) == bool(proxy.asked)


def test_credentials_are_sent_and_never_shown(lab: Lab) -> None:
    """Credentials in HOOKLINE_RELAY_PROXY reach the proxy, and neither a log at debug level nor the spool."""
    with proxy_beside() as proxy, lab.receiver() as receiver:
        lab.environment = {"HOOKLINE_RELAY_PROXY": f"http://hookline:hunter2@127.0.0.1:{proxy.port}"}
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        arguments = lab.relay_arguments(receiver, "--log-level", "debug", "-")
        done = lab.hookline(*arguments, stdin=EVENT)
        proxy.answer = b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n"
        refused = lab.hookline(*arguments, "--max-wait", "1s", stdin=as_lines([xdm_event(2, 2)]), code=4)
    assert b"Proxy-Authorization: Basic aG9va2xpbmU6aHVudGVyMg==" in proxy.asked[0]
    assert b"the proxy requires other credentials (status 407)" in refused.stderr
    kept = b"".join(path.read_bytes() for path in (lab.directory / ".hookline").rglob("*") if path.is_file())
    for text in (done.stdout, done.stderr, refused.stdout, refused.stderr, kept):
        assert b"hunter2" not in text
        assert b"aG9va2xpbmU6aHVudGVyMg" not in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://u:hunter2@proxy:1", b"credentials on the command line"),
        ("https://u:hunter2@proxy:1", b"only http:// proxies"),
        ("http://u:hunter2@proxy:port", b"not a URL"),
        ("http://proxy/hunter2", b"not of the form"),
        ("environment", b"HTTPS_PROXY is not set"),
    ],
)
def test_a_proxy_that_cannot_be(lab: Lab, value: str, words: bytes) -> None:
    """A wrong --proxy is a wrong use, told without what might be a password."""
    lab.environment = {"HTTPS_PROXY": "", "https_proxy": ""}
    done = lab.hookline("relay", "--proxy", value, "-", code=64)
    assert words in b" ".join(done.stderr.replace(b"\xe2\x94\x82", b"").split())
    assert b"hunter2" not in done.stderr + done.stdout
