import asyncio
import errno
import time

import pytest

from hookline.relay.http.address_policy import AddressRefused, NetworkRules
from hookline.relay.http.connector import MAX_FAILED_ADDRESSES, STAGGER_SECONDS, AddressMemory, connect_checked
from hookline.relay.http.resolver import system_addresses

SILENT, DEAD, SLOW, ALIVE = "8.8.4.1", "8.8.4.2", "8.8.4.3", "8.8.4.4"


class Connection:
    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Network:
    """Four addresses with different behaviour, and a record of the attempts."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.made: list[Connection] = []

    async def connect(self, address: str) -> Connection:
        self.tried.append(address)
        match address:
            case "8.8.4.1":
                await asyncio.sleep(60)
            case "8.8.4.2":
                raise ConnectionRefusedError(111, address)
            case "8.8.4.3":
                await asyncio.sleep(STAGGER_SECONDS * 1.5)
        self.made.append(Connection(address))
        return self.made[-1]


async def connect(network: Network, *addresses: str, memory: AddressMemory | None = None) -> Connection:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return await connect_checked(
        "name.test",
        443,
        rules=NetworkRules(),
        resolve=resolve,
        connect=network.connect,
        memory=memory or AddressMemory(),
    )


@pytest.mark.parametrize(
    ("addresses", "expected", "tried"),
    [
        ([ALIVE], ALIVE, [ALIVE]),
        ([ALIVE, ALIVE, DEAD], ALIVE, [ALIVE]),
        ([DEAD, ALIVE], ALIVE, [DEAD, ALIVE]),
        ([SILENT, ALIVE], ALIVE, [SILENT, ALIVE]),
        ([SILENT, DEAD, ALIVE], ALIVE, [SILENT, DEAD, ALIVE]),
        ([SLOW, DEAD], SLOW, [SLOW, DEAD]),
    ],
)
def test_first_that_answers(addresses: list[str], expected: str, tried: list[str]) -> None:
    """The first connection wins, addresses are tried in order, and a silent one delays only by its turn."""
    network = Network()
    begin = time.monotonic()
    assert expected == asyncio.run(connect(network, *addresses)).address
    assert tried == network.tried
    assert time.monotonic() - begin < 5


def test_losers_are_closed() -> None:
    """Connections that were made beside the winner are closed, the winner is not."""

    async def scenario() -> list[Connection]:
        network, both = Network(), asyncio.Event()

        async def together(address: str) -> Connection:
            if address == ALIVE:
                both.set()
            await both.wait()
            return await network.connect(ALIVE)

        async def resolve(host: str, port: int) -> list[str]:
            return [SILENT, ALIVE]

        await connect_checked(
            "name.test", 443, rules=NetworkRules(), resolve=resolve, connect=together, memory=AddressMemory()
        )
        assert len(network.made) == 2
        return network.made

    winners = [connection for connection in asyncio.run(scenario()) if not connection.closed]
    assert len(winners) == 1


def test_all_fail() -> None:
    """If no address answers, the last failure is raised."""
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(connect(Network(), DEAD, DEAD, "8.8.4.2"))


def test_cancelled_while_connecting() -> None:
    """A cancelled race leaves no attempt running."""

    async def scenario() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(STAGGER_SECONDS * 2):
                await connect(Network(), SILENT, "8.8.4.1", SILENT)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


def test_no_address() -> None:
    """A name without any address is an error that names it."""
    with pytest.raises(OSError, match=r"no address for name\.test"):
        asyncio.run(connect(Network()))


def test_refused_before_connecting() -> None:
    """One refused address among several means that none is tried."""
    network = Network()
    with pytest.raises(AddressRefused):
        asyncio.run(connect(network, ALIVE, "10.0.0.1"))
    assert network.tried == []


def test_system_addresses() -> None:
    """The system's resolver knows localhost, and raises OSError for an invalid name."""
    assert {"127.0.0.1", "::1"} & set(asyncio.run(system_addresses("localhost", 443)))
    for name in ("a..b", "x" * 70 + ".test", "no-such-name.invalid"):
        with pytest.raises(OSError):  # noqa: PT011 - each resolver has its own words
            asyncio.run(system_addresses(name, 443))


def test_an_address_that_failed_is_tried_last() -> None:
    """A refused and a silent address are tried after the one that answers, the one that failed longest ago first."""

    async def scenario() -> list[str]:
        network, memory = Network(), AddressMemory()
        await connect(network, SILENT, DEAD, ALIVE, memory=memory)
        network.tried.clear()
        assert ALIVE == (await connect(network, SILENT, DEAD, ALIVE, memory=memory)).address
        assert [ALIVE] == network.tried
        memory.note_failure(ALIVE)
        memory.note_success(DEAD)
        return memory.ordered([ALIVE, DEAD, SILENT])

    assert [DEAD, SILENT, ALIVE] == asyncio.run(scenario())


def test_a_lack_of_descriptors_is_no_fault_of_an_address() -> None:
    """An address keeps its place if no descriptor was left, and the memory of failures is bounded."""

    async def scenario() -> None:
        memory = AddressMemory()
        memory.note_failure(ALIVE, OSError(errno.EMFILE, "Too many open files"))
        assert [ALIVE, DEAD] == memory.ordered([ALIVE, DEAD])
        for number in range(2 * MAX_FAILED_ADDRESSES):
            memory.note_failure(f"10.0.0.{number}")
        assert MAX_FAILED_ADDRESSES == len(memory._failed)

    asyncio.run(scenario())
