from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator

import pytest

from hookline.relay.http.resolver import Resolver

SOON = 0.05


class NameServer:
    """Names that begin with ``slow`` hang until `open` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.threads: set[int] = set()

    def look_up(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        self.threads.add(threading.get_ident())
        if host.startswith("slow"):
            assert self.open.wait(30)
        return [f"{host}:{port}"]


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.open.set()


async def given_up(names: NameServer, asked: int, *asking: Coroutine[object, object, list[str]]) -> None:
    """Callers give up when `asked` names have been asked for."""
    callers = [asyncio.ensure_future(one) for one in asking]
    while len(names.asked) < asked:
        await asyncio.sleep(0.001)
    await asyncio.sleep(SOON)
    for caller in callers:
        caller.cancel()
    for outcome in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError)


def test_a_name_that_hangs_is_asked_for_once(names: NameServer) -> None:
    """All attempts wait for the same look-up. The later ones get its result although the earlier ones gave up."""

    async def scenario() -> None:
        resolver = Resolver(names.look_up)
        for _ in range(3):
            await given_up(names, 1, *(resolver.addresses("slow", 443) for _ in range(16)))
        waiting = asyncio.gather(resolver.addresses("slow", 443), resolver.addresses("slow", 443))
        await asyncio.sleep(SOON)
        names.open.set()
        assert [["slow:443"]] * 2 == [*await waiting]
        assert ["slow"] == names.asked

    asyncio.run(scenario())


def test_it_delays_nobody_else(names: NameServer) -> None:
    """Another name, and another port of the same name, is resolved at the same time."""

    async def scenario() -> None:
        resolver = Resolver(names.look_up)
        await given_up(names, 1, resolver.addresses("slow", 443))
        assert ["quick:443"] == await resolver.addresses("quick", 443)
        await given_up(names, 3, resolver.addresses("slow", 8443))
        assert ["slow", "quick", "slow"] == names.asked

    asyncio.run(scenario())


def test_threads_are_bounded(names: NameServer) -> None:
    """Further names wait for a thread. A name whose callers all gave up is not resolved."""

    async def scenario() -> None:
        resolver = Resolver(names.look_up, max_threads=2)
        await given_up(names, 2, *(resolver.addresses(f"slow{number}", 443) for number in range(9)))
        assert 2 == len(names.asked)
        waiting = asyncio.ensure_future(resolver.addresses("quick", 443))
        await asyncio.sleep(SOON)
        names.open.set()
        assert ["quick:443"] == await waiting
        assert ["quick", "slow0", "slow1"] == sorted(names.asked)
        assert 2 >= len(names.threads)

    asyncio.run(scenario())


def test_failures() -> None:
    """All callers get the exception of a look-up, and the next caller starts another look-up."""
    asked: list[str] = []
    both_asked = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        both_asked.wait(timeout=30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        resolver = Resolver(look_up)
        asyncio.get_running_loop().call_later(SOON, both_asked.set)
        for turn in (1, 2):
            both = (resolver.addresses("unknown", 443), resolver.addresses("unknown", 443))
            for error in await asyncio.gather(*both, return_exceptions=True):
                assert isinstance(error, socket.gaierror)
            assert turn <= len(asked)
            if turn == 1:
                assert ["unknown"] == asked

    asyncio.run(scenario())


def test_no_thread_to_be_had(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system has no thread left, that is an OSError, and the name can be resolved later."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        resolver = Resolver(names.look_up)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(OSError, match="no thread left"):
                await resolver.addresses("quick", 443)
        assert ["quick:443"] == await resolver.addresses("quick", 443)

    asyncio.run(scenario())


def test_a_loop_that_is_closed(names: NameServer) -> None:
    """The result for a closed loop is dropped, and the thread serves other callers."""
    resolver = Resolver(names.look_up, max_threads=1)

    async def ask(host: str) -> list[str]:
        return await resolver.addresses(host, 443)

    asyncio.run(given_up(names, 1, ask("slow")))
    names.open.set()
    assert ["quick:443"] == asyncio.run(ask("quick"))
