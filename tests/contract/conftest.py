"""The fixtures of the suites of a spool's ports: each runs on every registered store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.spool_stores import LOCATIONS, REGISTERED
from hookline.relay.spool.factory import STORES, SpoolStore, spool_store
from hookline.relay.spool.spool import Spool


@pytest.fixture(params=LOCATIONS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a store."""
    name: str = request.param
    return name


@pytest.fixture
def store(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpoolStore:
    """A location without a spool yet."""
    for scheme, opened in REGISTERED.items():
        monkeypatch.setitem(STORES, scheme, opened)
    return spool_store(LOCATIONS[kind](tmp_path))


@pytest.fixture
def new_store(kind: str, store: SpoolStore, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SpoolStore]:
    """Another location at each call."""
    return lambda: spool_store(LOCATIONS[kind](tmp_path_factory.mktemp("spools")))


@pytest.fixture
def spool(store: SpoolStore) -> Iterator[Spool]:
    """A new spool that a relay holds."""
    opened = store.open(since="now")
    yield opened
    opened.close()
