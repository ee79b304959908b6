"""A shared spool in a schema of its own, and processes that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from postgres_server import shared_server

Join = Callable[[], PostgresSpool]


@pytest.fixture
def store() -> SharedStore:
    """A new spool."""
    store = SharedStore(shared_server().url("postgres", more=f"?spool=p{uuid4().hex[:16]}"))
    store.create()
    return store


@pytest.fixture
def join(store: SharedStore) -> Iterator[Join]:
    """Start a process that owns the slots that are free."""
    started: list[PostgresSpool] = []

    def start() -> PostgresSpool:
        started.append(store.open(since="now"))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def owner(join: Join) -> PostgresSpool:
    """A process that owns all slots."""
    return join()
