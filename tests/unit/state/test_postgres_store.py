"""The PostgreSQL store's own promises: who may read and write, what is refused, and in which words."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from builders import document, entry
from hookline.errors import Stale, StateUnusable
from hookline.model import Address
from hookline.state import postgres_sql
from hookline.state.factory import open_state
from hookline.state.store import EMPTY, PolicyChange, Snapshot, StateStore
from postgres_server import Server, shared_server

PROD, STAGE = Address("acme", "prod"), Address("acme", "stage")
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "state-on-postgresql.md"
READERS: list[Callable[[StateStore], object]] = [
    lambda store: store.read(),
    lambda store: store.version(),
    lambda store: store.history(),
]


@pytest.fixture
def server() -> Server:
    return shared_server()


@pytest.fixture
def database(server: Server) -> str:
    return server.new_database()


@contextmanager
def holding(server: Server, database: str, statement: str, *values: object) -> Iterator[int]:
    """A session in the middle of a transaction that has run `statement`; its process id."""
    with psycopg.connect(server.url(database, more="?application_name=someone")) as connection:
        connection.execute(statement.encode(), values)
        yield connection.info.backend_pid
        connection.rollback()


@pytest.mark.parametrize("ask", READERS, ids=["read", "version", "history"])
def test_whatever_reads_cannot_write(server: Server, database: str, ask: Callable[[StateStore], object]) -> None:
    """Reading happens in a read-only transaction: a write that is smuggled into it is refused by the server."""
    open_state(server.url(database)).commit(EMPTY, {}, entry())
    server.execute(
        database,
        "ALTER TABLE hookline.meta RENAME TO real_meta",
        "CREATE TABLE public.marks (id int)",
        "CREATE FUNCTION public.mark() RETURNS int LANGUAGE sql VOLATILE AS "
        "'INSERT INTO public.marks VALUES (1) RETURNING 1'",
        "CREATE VIEW hookline.meta AS SELECT id, public.mark() AS format, application FROM hookline.real_meta",
    )
    with pytest.raises(StateUnusable) as refused:
        ask(open_state(server.url(database)))
    assert "read-only transaction" in refused.value.message
    assert [(0,)] == server.execute(database, "SELECT count(*) FROM public.marks")


def test_a_read_is_of_one_moment(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apply that commits between two statements of a read is in all of what is read, or in none of it."""
    store = open_state(server.url(database))
    old = store.commit(EMPTY, {PROD: document(PROD, name="Old")}, entry())
    execute = psycopg.Connection.execute

    def interrupted(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        if query == postgres_sql.READ_WEBHOOKS:
            monkeypatch.setattr(psycopg.Connection, "execute", execute)
            store.commit(old, {PROD: document(PROD, name="New"), STAGE: document(STAGE)}, entry())
        return execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", interrupted)
    assert old == open_state(server.url(database)).read()
    assert 2 == open_state(server.url(database)).read().serial


def test_states_of_one_database_do_not_see_each_other(server: Server, database: str) -> None:
    """Two names are two states: each with its lineage, serial, webhooks and history, and its own lock."""
    blue = open_state(server.url(database, more="?state=blue"))
    green = open_state(server.url(database, more="?application_name=me&state=green"))
    first = blue.commit(EMPTY, {PROD: document(PROD, name="Blue")}, entry("ada"))
    assert EMPTY == green.read()
    assert () == green.history()
    other = green.commit(EMPTY, {PROD: document(PROD, name="Green"), STAGE: document(STAGE)}, entry("bob"))
    with holding(server, database, postgres_sql.ACQUIRE_LOCK, postgres_sql.state_key("green")):
        blue.commit(first, {PROD: None}, entry("ada"))
    assert other == green.read()
    assert {} == blue.read().webhooks
    assert [["ada", "ada"], ["bob"]] == [[one.entry.who for one in store.history()] for store in (blue, green)]


def test_roles_as_documented(server: Server, database: str) -> None:
    """The page's statements make what an apply makes; its planner reads and no more, its applier cannot rewrite."""
    (statements,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert postgres_sql.CREATE_TABLES in statements
    roles = ("hookline_planner", "hookline_applier", "hookline_policy")
    for role in roles:
        server.execute("postgres", f"DROP ROLE IF EXISTS {role}")
    try:
        server.execute(database, *[one for one in statements.split(";\n") if one.strip()])
        planner = open_state(server.url(database, "hookline_planner"))
        applier = open_state(server.url(database, "hookline_applier"))
        assert EMPTY == planner.read()
        first = applier.commit(EMPTY, {PROD: document(PROD), STAGE: document(STAGE)}, entry())
        second = applier.commit(first, {PROD: document(PROD, name="New"), STAGE: None}, entry())
        assert second == planner.read()
        assert 2 == len(planner.history()) == planner.version()[1]
        with pytest.raises(StateUnusable) as refused:
            planner.commit(second, {PROD: None}, entry())
        assert "permission denied" in refused.value.message
        assert "GRANT" in str(refused.value.hint)
        for statement in (
            "UPDATE hookline.history SET who = 'mallory'",
            "DELETE FROM hookline.history",
            "DROP TABLE hookline.history",
            "DELETE FROM hookline.moves",
            "UPDATE hookline.moves SET serial = 7",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                server.execute(database, statement, user="hookline_applier")
        applied = applier.commit(second, {STAGE: document(STAGE), PROD: None}, entry(changes=MOVED))
        assert [(PROD, STAGE)] == [(move.old, move.new) for move in applied.moves]
        _check_policy_rights(server, database, applied)
    finally:
        server.execute(database, "DROP SCHEMA hookline CASCADE")
        server.execute("postgres", *(f"DROP ROLE {role}" for role in roles))


MOVED = ({"address": "acme/stage", "action": "move", "movedFrom": "acme/prod", "fields": []},)


def _check_policy_rights(server: Server, database: str, applied: Snapshot) -> None:
    """The documented role for policies sets and clears them and writes no webhook; the applying role cannot do so."""
    applier = open_state(server.url(database, "hookline_applier"))
    officer = open_state(server.url(database, "hookline_policy"))
    first = officer.commit(applied, {}, entry("eve", policy=PolicyChange('{"rules":[]}')))
    for text in ('{"rules":["other"]}', None):
        with pytest.raises(StateUnusable) as refused:
            applier.commit(first, {}, entry(policy=PolicyChange(text)))
        assert "this role may not set or clear the policy of the state" in refused.value.message
        assert "docs/how-to/state-on-postgresql.md" in str(refused.value.hint)
        assert 8 == refused.value.exit_code
    assert first == applier.read()
    for statement in (
        "DELETE FROM hookline.policies",
        "UPDATE hookline.policies SET document = '{}'",
        "INSERT INTO hookline.policies VALUES ('other', '{}', 1)",
        "TRUNCATE hookline.policies",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.execute(database, statement, user="hookline_applier")
    with pytest.raises(StateUnusable, match="permission denied"):
        officer.commit(first, {PROD: document(PROD)}, entry("eve"))
    kept = applier.commit(first, {PROD: document(PROD)}, entry())
    assert first.policy == kept.policy
    assert officer.commit(kept, {}, entry("eve", policy=PolicyChange(None))).policy is None
    assert ["ada", "ada", "ada", "eve", "ada", "eve"] == [record.entry.who for record in officer.history()]


@pytest.mark.parametrize("ask", READERS, ids=["read", "version", "history"])
def test_without_rights_is_not_empty(server: Server, database: str, ask: Callable[[StateStore], object]) -> None:
    """A role that may not see the tables is refused: it never takes a state that is there for none."""
    server.execute("postgres", "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
    open_state(server.url(database)).commit(EMPTY, {PROD: document(PROD)}, entry())
    with pytest.raises(StateUnusable) as refused:
        ask(open_state(server.url(database, "stranger")))
    assert "permission denied" in refused.value.message


def test_owner_of_the_schema_makes_the_tables(server: Server, database: str) -> None:
    """Who owns the schema makes its tables with the first apply, without a right to make schemas."""
    server.execute("postgres", "DROP ROLE IF EXISTS owner", "CREATE ROLE owner LOGIN")
    try:
        server.execute(database, "CREATE SCHEMA hookline AUTHORIZATION owner")
        store = open_state(server.url(database, "owner"))
        assert EMPTY == store.read()
        assert 1 == store.commit(EMPTY, {PROD: document(PROD)}, entry()).serial
    finally:
        server.execute(database, "DROP SCHEMA hookline CASCADE")
        server.execute("postgres", "DROP ROLE owner")


@pytest.mark.parametrize("timeout", [0.0, 0.3], ids=["at once", "after waiting"])
def test_locked_names_the_holder(server: Server, database: str, timeout: float) -> None:
    """A state that another session holds is refused with 8, and the message says which session that is."""
    store = open_state(server.url(database), lock_timeout=timedelta(seconds=timeout))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    key = postgres_sql.state_key("default")
    with holding(server, database, postgres_sql.ACQUIRE_LOCK, key) as pid, pytest.raises(StateUnusable) as refused:
        store.commit(first, {PROD: None}, entry())
    found = re.search(r"held by session (\d+) of postgres someone, since (\S+)$", refused.value.message)
    assert found is not None, refused.value.message
    assert str(pid) == found[1]
    assert datetime.fromisoformat(found[2]) <= datetime.now(UTC)
    assert "--lock-timeout" in str(refused.value.hint)
    assert first == store.read()


@pytest.mark.parametrize("setting", ["statement_timeout", "transaction_timeout"])
def test_the_timeout_of_a_role_is_shorter(server: Server, database: str, setting: str) -> None:
    """If the role's own timeout ends the wait before --lock-timeout, the error is 8 and names the holder as well."""
    where = server.url(database, more=f"?options=-c%20{setting}%3D300")
    store = open_state(where, lock_timeout=timedelta(seconds=30))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    holds = (
        (postgres_sql.ACQUIRE_LOCK, postgres_sql.state_key("default")),
        ("SELECT * FROM hookline.states FOR UPDATE",),
    )
    for statement, *values in holds:
        with holding(server, database, statement, *values) as pid, pytest.raises(StateUnusable) as refused:
            store.commit(first, {PROD: None}, entry())
        assert f"is locked: it is held by session {pid} of postgres someone, since " in refused.value.message
        assert "statement_timeout or transaction_timeout ended the wait before --lock-timeout" in str(
            refused.value.hint
        )
    assert first == store.read()


def test_a_statement_that_takes_too_long(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody holds the state, the role's timeout is named as such (8), not as a lock."""
    store = open_state(server.url(database, more="?options=-c%20statement_timeout%3D200"))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    monkeypatch.setattr(postgres_sql, "INSERT_HISTORY", "SELECT pg_sleep(5), " + ", ".join(["%s"] * 13))
    with pytest.raises(StateUnusable) as refused:
        store.commit(first, {PROD: None}, entry())
    assert "the server ended a statement on the state" in refused.value.message
    assert "ALTER ROLE" in str(refused.value.hint)
    assert first == store.read()


def test_an_apply_that_holds_the_state_says_whose_it_is(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is refused by an apply that is still at work is told who runs that."""
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    execute = psycopg.Connection.execute
    refused = []

    def rival(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        if query == "COMMIT":
            monkeypatch.setattr(psycopg.Connection, "execute", execute)
            with pytest.raises(StateUnusable) as told:
                store.commit(first, {PROD: None}, entry("ada"))
            refused.append(told.value.message)
        return execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", rival)
    store.commit(first, {STAGE: document(STAGE)}, entry("grace"))
    assert "hookline (grace)" in refused[0]


def test_row_held_by_hand(server: Server, database: str) -> None:
    """A session that holds the state's row without asking for our lock stops an apply too, and is named."""
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    statement = "UPDATE hookline.states SET serial = serial"
    with holding(server, database, statement) as pid, pytest.raises(StateUnusable) as refused:
        store.commit(first, {PROD: None}, entry())
    assert f"session {pid} " in refused.value.message


def test_stale_names_the_winner(server: Server, database: str) -> None:
    """Whose apply came first is told with the time and the commit."""
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    store.commit(first, {STAGE: document(STAGE)}, entry("grace"))
    for base in (first, EMPTY):
        with pytest.raises(Stale) as refused:
            store.commit(base, {PROD: None}, entry("ada"))
        for told in ("grace", "2026-11-03T09:30:00.000Z", "c0ffee"):
            assert told in refused.value.message


def test_vanished(server: Server, database: str) -> None:
    """A state that was removed since it was read is not made again: its base is gone."""
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    server.execute(database, "DROP SCHEMA hookline CASCADE")
    with pytest.raises(Stale, match="no longer exists"):
        store.commit(first, {PROD: None}, entry())
    assert EMPTY == store.read()


DAMAGE = {
    "newer format": ("UPDATE hookline.meta SET format = 99", "newer hookline (format 99"),
    "older format": ("UPDATE hookline.meta SET format = 0", "before its first release"),
    "earlier build": ("ALTER TABLE hookline.meta DROP COLUMN application", "before its first release"),
    "no format": ("DELETE FROM hookline.meta", "its format is missing"),
    "missing table": ("DROP TABLE hookline.history", "missing tables: hookline.history"),
    "missing column": ("ALTER TABLE hookline.states DROP COLUMN lineage", "lineage"),
    "other type": ("UPDATE hookline.webhooks SET document = '{'", "the document of acme/prod cannot be read"),
    "other address": ("UPDATE hookline.webhooks SET sandbox = 'x'", "document of acme/x has the address acme/prod"),
}


@pytest.mark.parametrize(("statement", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused(server: Server, database: str, statement: str, message: str) -> None:
    """Tables that are newer, damaged or missing are refused with what is wrong, and never rebuilt."""
    store = open_state(server.url(database))
    store.commit(EMPTY, {PROD: document(PROD)}, entry())
    server.execute(database, statement)
    with pytest.raises(StateUnusable) as refused:
        store.read()
    assert message in refused.value.message
    assert server.url(database) in refused.value.message


def test_damaged_history_is_refused(server: Server, database: str) -> None:
    """An entry of history that cannot be read is named by its serial."""
    store = open_state(server.url(database))
    store.commit(EMPTY, {PROD: document(PROD)}, entry())
    server.execute(database, "UPDATE hookline.history SET changes = '7'")
    with pytest.raises(StateUnusable, match="history entry of serial 1 cannot be read"):
        store.history()


def test_rows_written_by_others_do_not_pass(server: Server, database: str) -> None:
    """A history that runs ahead of the state stops the next apply, which writes nothing."""
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    server.execute(database, "UPDATE hookline.history SET serial = 2")
    with pytest.raises(StateUnusable, match="damaged"):
        store.commit(first, {PROD: None}, entry())
    assert first == store.read()


@pytest.mark.parametrize("ask", READERS, ids=["read", "version", "history"])
def test_another_format_is_seen_before_anything_else(
    server: Server, database: str, ask: Callable[[StateStore], object]
) -> None:
    """A later format may have other columns: it is recognized by its number, not by what is missing."""
    open_state(server.url(database)).commit(EMPTY, {PROD: document(PROD)}, entry())
    server.execute(
        database,
        "UPDATE hookline.meta SET format = 2",
        "ALTER TABLE hookline.states DROP COLUMN lineage",
        "ALTER TABLE hookline.history DROP COLUMN who",
        "ALTER TABLE hookline.webhooks DROP COLUMN document",
    )
    with pytest.raises(StateUnusable, match="newer hookline"):
        ask(open_state(server.url(database)))


UNREACHED = {
    "no such host": ("postgresql://nowhere.invalid/db", "host name does not resolve", "host name in"),
    "no socket": ("postgresql://%2Fnowhere/db", "cannot be reached", "check that the server runs"),
}


@pytest.mark.parametrize(("target", "message", "hint"), UNREACHED.values(), ids=UNREACHED)
def test_no_server(target: str, message: str, hint: str) -> None:
    """Without a server at the address the message says why, and what to check."""
    with pytest.raises(StateUnusable) as refused:
        open_state(target).read()
    assert message in refused.value.message
    assert hint in str(refused.value.hint)


def test_nobody_listens() -> None:
    """A port that is bound but does not listen refuses, and the message says so."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(StateUnusable, match="cannot be reached"):
            open_state(f"postgresql://127.0.0.1:{bound.getsockname()[1]}/db").read()


def test_a_server_that_does_not_answer() -> None:
    """A host that takes the connection and then says nothing is given up, and the message says how to wait longer."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StateUnusable) as refused:
        open_state(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2").read()
    assert "does not answer" in refused.value.message
    assert "connect_timeout" in str(refused.value.hint)


def test_refused_by_the_server(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, user or database each have their own message; the password is in none, nor in a repr."""
    server.execute("postgres", "DROP ROLE IF EXISTS secretive", "CREATE ROLE secretive LOGIN PASSWORD 'right-horse'")
    url = server.url(database, "secretive")
    cases = {
        url.replace("secretive@", "secretive:wrong-horse@"): ("refuses the login", "PGPASSWORD"),
        url: ("refuses the login", "PGPASSWORD"),
        url + "?password=wrong-horse": ("refuses the login", "PGPASSWORD"),
        server.url("no_such_database"): ("the database does not exist", "createdb"),
        server.url(database, "no_such_role"): ("the user does not exist", "CREATE ROLE"),
    }
    for target, (message, hint) in cases.items():
        with pytest.raises(StateUnusable) as refused:
            open_state(target).read()
        told = f"{refused.value.message} {refused.value.hint} {open_state(target)!r}"
        assert message in told
        assert hint in told
        assert "wrong-horse" not in told
    monkeypatch.setenv("PGPASSWORD", "right-horse")
    server.execute("postgres", f"GRANT CREATE ON DATABASE {database} TO secretive")
    assert 1 == open_state(url).commit(EMPTY, {}, entry()).serial


def test_standby_or_read_only_role(server: Server, database: str) -> None:
    """Where the database lets itself only be read, planning works, and an apply is told to go to the primary."""
    url = server.url(database)
    first = open_state(url).commit(EMPTY, {PROD: document(PROD)}, entry())
    reading = open_state(f"{url}?options=-cdefault_transaction_read_only%3Don")
    assert first == reading.read()
    with pytest.raises(StateUnusable) as refused:
        reading.commit(first, {PROD: None}, entry())
    assert "is read-only" in refused.value.message
    assert "primary" in str(refused.value.hint)


def test_other_encoding(server: Server) -> None:
    """A database that cannot store every character says so, and nothing is written."""
    server.execute(
        "postgres",
        "DROP DATABASE IF EXISTS latin",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    store = open_state(server.url("latin"))
    with pytest.raises(StateUnusable, match="cannot store every character"):
        store.commit(EMPTY, {PROD: document(PROD, name="反馈")}, entry())
    assert EMPTY == store.read()


def test_version_uses_one_connection(server: Server, database: str) -> None:
    """Asked again and again, one session serves; when the server ends it, the next question opens another."""
    server.execute(
        database,
        "CREATE VIEW sessions AS SELECT pid FROM pg_stat_activity "
        "WHERE application_name = 'hookline' AND datname = current_database()",
    )
    store = open_state(server.url(database))
    first = store.commit(EMPTY, {PROD: document(PROD)}, entry())
    assert {(first.lineage, 1)} == {store.version() for _ in range(5)}
    ((before,),) = server.execute(database, "SELECT pid FROM sessions")
    server.execute(database, "SELECT pg_terminate_backend(pid, 5000) FROM sessions")
    assert (first.lineage, 1) == store.version()
    ((after,),) = server.execute(database, "SELECT pid FROM sessions")
    assert before != after


def test_documents_keep_their_bytes(server: Server, database: str) -> None:
    """What is stored is the canonical text, byte for byte, with every character that JSON can name."""
    store = open_state(server.url(database))
    name = "nul \x00, quote ', backslash \\, percent %s, 反馈, \U0001f600"
    written = store.commit(EMPTY, {PROD: document(PROD, name=name)}, entry())
    assert written == store.read()
    assert name == store.read().webhooks[PROD].document["name"]


def test_careless_defaults_do_not_get_through(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the database's own settings are, an apply waits for the disk, and a session that hangs lets go."""
    for setting in ("search_path TO public", "synchronous_commit TO off", "lock_timeout TO 0"):
        server.execute("postgres", f"ALTER DATABASE {database} SET {setting}")
    execute = psycopg.Connection.execute
    settings = []

    def looking(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        if query == "COMMIT":
            for name in ("synchronous_commit", "idle_in_transaction_session_timeout", "lock_timeout"):
                settings.append(execute(connection, f"SHOW {name}".encode()).fetchone())
        return execute(connection, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", looking)
    open_state(server.url(database)).commit(EMPTY, {PROD: document(PROD)}, entry())
    assert [("on",), ("1min",), ("1ms",)] == settings


def test_the_clock_of_the_database_decides(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a freeze window is the database's: a machine whose clock is wrong cannot apply inside one."""
    store = open_state(server.url(database))
    monkeypatch.setattr(postgres_sql, "READ_CLOCK", "SELECT timestamptz '2026-11-27 16:00:00+01'")
    times: list[datetime] = []
    store.commit(EMPTY, {Address("acme", "prod"): document()}, entry(), times.append)
    assert [datetime(2026, 11, 27, 15, tzinfo=UTC)] == times == [store.now()]
