"""Which store a `--state` means."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookline.errors import StateUnusable, WrongUse
from hookline.state.factory import open_state, without_password
from hookline.state.postgres_address import parse_postgres
from hookline.state.store import EMPTY, HistoryEntry

SECRET = "correct-horse"


def test_path_is_an_sqlite_file(tmp_path: Path) -> None:
    """A path opens a store that makes its file with the first commit, under a fresh random lineage."""
    entry = HistoryEntry(
        at=datetime.now(UTC), who="ada", commit=None, branch=None, fingerprint="sha256:0", changes=()
    )
    first = open_state(str(tmp_path / "a.db")).commit(EMPTY, {}, entry)
    second = open_state(str(tmp_path / "b.db")).commit(EMPTY, {}, entry)
    assert open_state(str(tmp_path / "a.db")).version() == (first.lineage, 1)
    assert uuid.UUID(first.lineage).version == 4
    assert first.lineage != second.lineage


@pytest.mark.parametrize("target", ["mysql://db/hookline", "s3://bucket/state", "POSTGRESQL://db/hookline", ""])
def test_unknown_kind(target: str) -> None:
    """An address that is not a path is refused, and the message says what is supported."""
    with pytest.raises(WrongUse) as refused:
        open_state(target)
    assert "SQLite file" in str(refused.value.hint)
    assert "postgresql://" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("target", "conninfo", "name"),
    [
        ("postgresql://ada@db:5433/hl", "postgresql://ada@db:5433/hl", "default"),
        ("postgres://db/hl?state=eu-1", "postgres://db/hl", "eu-1"),
        ("postgresql:///hl?host=/run&state=a&sslmode=require", "postgresql:///hl?host=/run&sslmode=require", "a"),
        ("postgresql://a:1,b:2/hl?st%61te=x.y&", "postgresql://a:1,b:2/hl", "x.y"),
        ("postgresql://ada@[::1]:5433/hl?state=a", "postgresql://ada@[::1]:5433/hl", "a"),
    ],
)
def test_state_is_taken_out_of_the_address(target: str, conninfo: str, name: str) -> None:
    """libpq gets the address as it was given, but for the state's name, which is ours."""
    found = parse_postgres(target)
    assert (conninfo, name) == (found.conninfo, found.name)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("postgresql://ada@db:5433/hl", "postgresql://ada@db:5433/hl"),
        (f"postgresql://ada:{SECRET}@db/hl?state=eu", "postgresql://ada@db/hl?state=eu"),
        (f"postgresql://:{SECRET}@db/hl", "postgresql://@db/hl"),
        (f"postgresql://db/hl?password={SECRET}&sslpassword={SECRET}", "postgresql://db/hl"),
        (".hookline/state.db", ".hookline/state.db"),
    ],
)
def test_no_password_is_shown(target: str, expected: str) -> None:
    """What messages print of an address is user, host, port, database and state; so does its repr."""
    assert expected == without_password(target)
    assert SECRET not in repr(open_state(target))
    assert "://" not in target or SECRET not in repr(parse_postgres(target))


@pytest.mark.parametrize(
    "target",
    [
        f"postgresql://ada:p@{SECRET}@db/hl",
        f"postgresql://ada:p/{SECRET}@db/hl",
        f"postgresql://ada:p?{SECRET}@db/hl",
        f"postgresql://db/hl?password=p@{SECRET}",
        f"postgresql://db/{SECRET}/hl",
        f"postgresql://ada:{SECRET}@db:port/hl",
        f"postgresql://ada:{SECRET}",
        f"postgresql://ada:{SECRET}/hl",
        f"postgresql://ada:{SECRET}@db/hl?no_such_parameter={SECRET}",
        f"postgresql://ada:{SECRET}%zz@db/hl",
        f"postgresql://ada:{SECRET}@db/hl?state=a&state=b",
        f"postgresql://ada:{SECRET}@db/hl?state=",
        f"postgresql://ada:{SECRET}@db/hl?state=a%20b",
        f"postgresql://ada:{SECRET}@db/hl?state={'a' * 64}",
    ],
)
def test_unclear_address_is_refused_without_quoting_it(target: str) -> None:
    """An address that libpq cannot read, or could read otherwise than meant, is refused; no password comes out."""
    with pytest.raises(WrongUse) as refused:
        open_state(target)
    assert "--state" in refused.value.message
    assert refused.value.hint
    assert SECRET not in f"{refused.value.message} {refused.value.hint} {refused.value.__cause__!r}"
    assert refused.value.__cause__ is None


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the message names what to install, and no password."""
    monkeypatch.delitem(sys.modules, "hookline.state.postgres_store", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateUnusable) as refused:
        open_state(f"postgresql://ada:{SECRET}@db/hl")
    assert "pip install 'psycopg[binary]'" in str(refused.value.hint)
    assert "postgresql://ada@db/hl" in refused.value.message
    assert SECRET not in refused.value.message


def test_a_file_needs_no_psycopg() -> None:
    """Opening a state in a file does not load the PostgreSQL package."""
    opening = "from hookline.state.factory import open_state; open_state('x.db')"
    script = f"{opening}; import sys; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout
