"""A connection that is lost in the middle of an apply: all of it is there or nothing, and the user is told which."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from builders import document, entry
from commit_proxy import Wire
from hookline.errors import HooklineError
from hookline.model import Address
from hookline.state.factory import open_state
from hookline.state.history_chain import find_breaks
from hookline.state.postgres_address import parse_postgres
from hookline.state.postgres_store import PostgresStore
from hookline.state.store import EMPTY, Snapshot, StateStore
from postgres_server import Server, running_server, shared_server

PROD, STAGE = Address("acme", "prod"), Address("acme", "stage")


@contextmanager
def wire(server: Server, database: str, at_commit: str, patience: float = 10) -> Iterator[StateStore]:
    """A store that reaches `database` over a proxy."""
    proxy = Wire(server, at_commit)
    address = parse_postgres(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable")
    try:
        yield PostgresStore(address, new_lineage=lambda: "L", patience=timedelta(seconds=patience))
    finally:
        proxy.close()


@pytest.fixture(params=["first apply", "later apply"])
def stored(request: pytest.FixtureRequest) -> tuple[str, Snapshot]:
    """A database, and the state in it."""
    database = shared_server().new_database()
    if request.param == "first apply":
        return database, EMPTY
    return database, at(database).commit(EMPTY, {PROD: document(PROD)}, entry())


def at(database: str) -> StateStore:
    return open_state(shared_server().url(database))


def holds(database: str) -> bool:
    """Whether the chain of the history does, and the lock is free."""
    store = at(database)
    found = store.read()
    store.commit(found, {PROD: None}, entry())
    after = store.read()
    return not list(find_breaks(str(after.lineage), after.serial, store.history()))


def test_answer_to_commit_lost(stored: tuple[str, Snapshot]) -> None:
    """When COMMIT was carried out and its answer got lost, hookline looks, and goes on: it was applied."""
    database, base = stored
    with wire(shared_server(), database, "swallow answer") as store:
        after = store.commit(base, {STAGE: document(STAGE)}, entry())
    assert base.serial + 1 == after.serial
    assert after == at(database).read()
    assert holds(database)


def test_commit_itself_lost(stored: tuple[str, Snapshot]) -> None:
    """When COMMIT never came to the server, hookline looks, and says that nothing was applied."""
    database, base = stored
    with wire(shared_server(), database, "cut") as store, pytest.raises(HooklineError) as told:
        store.commit(base, {STAGE: document(STAGE)}, entry())
    assert "nothing was applied" in told.value.message
    assert f"serial {base.serial + 1}" in told.value.message
    assert 1 == told.value.exit_code
    assert base == at(database).read()
    assert holds(database)


@pytest.mark.parametrize("how", ["cut, then silence", "swallow answer, then silence"])
def test_nobody_answers_any_more(stored: tuple[str, Snapshot], how: str) -> None:
    """When the server stays silent after COMMIT, hookline says that it does not know, and how to find out."""
    database, base = stored
    with wire(shared_server(), database, how, patience=0.5) as store, pytest.raises(HooklineError) as told:
        store.commit(base, {STAGE: document(STAGE)}, entry())
    assert "whether it was applied is unknown" in told.value.message
    assert "nothing was applied" not in told.value.message
    assert "hookline history" in str(told.value.hint)
    assert f"serial {base.serial + 1}" in str(told.value.hint)
    assert entry().fingerprint in str(told.value.hint)
    assert base.serial + ("swallow" in how) == at(database).read().serial
    assert holds(database)


def steps_of(commit: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that a commit runs."""
    execute = psycopg.Connection.execute
    statements: list[str] = []

    def noting(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        statements.append(str(query))
        return execute(connection, query, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", noting)
        commit()
    return statements


def test_terminated_before_every_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server ends the session before any statement, the user is told that nothing was applied; so it is."""
    server = shared_server()
    written = {PROD: None, STAGE: document(STAGE)}
    rehearsal = server.new_database()
    first = at(rehearsal).commit(EMPTY, {PROD: document(PROD)}, entry())
    statements = steps_of(lambda: at(rehearsal).commit(first, written, entry()), monkeypatch)
    assert "COMMIT" == statements[-1]
    database = server.new_database()
    base = at(database).commit(EMPTY, {PROD: document(PROD)}, entry())
    execute = psycopg.Connection.execute

    for number in range(len(statements)):
        left = number

        def ending(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                server.execute("postgres", f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)")
            return execute(connection, query, *rest, **named)

        monkeypatch.setattr(psycopg.Connection, "execute", ending)
        with pytest.raises(HooklineError) as told:
            at(database).commit(base, written, entry())
        monkeypatch.undo()
        assert "nothing was applied" in told.value.message, statements[number]
        assert base == at(database).read()
    assert holds(database)


def test_server_restarts_at_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that crashes right before COMMIT and comes up again is waited for, and asked what became of it."""
    with running_server() as server:
        database = server.new_database()
        store = open_state(server.url(database))
        base = store.commit(EMPTY, {PROD: document(PROD)}, entry())
        execute = psycopg.Connection.execute
        done = threading.Event()

        def start_later() -> None:
            time.sleep(0.5)
            server.start()
            # The server ends with the thread that started it.
            done.wait()

        starting = threading.Thread(target=start_later)

        def crashing(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
            if query == "COMMIT":
                monkeypatch.setattr(psycopg.Connection, "execute", execute)
                server.stop()
                starting.start()
            return execute(connection, query, *rest, **named)

        monkeypatch.setattr(psycopg.Connection, "execute", crashing)
        with pytest.raises(HooklineError, match="nothing was applied"):
            store.commit(base, {STAGE: document(STAGE)}, entry())
        assert base == store.read()
        assert 2 == store.commit(base, {STAGE: document(STAGE)}, entry()).serial
        done.set()
