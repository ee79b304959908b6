"""After `forget`, no file of the spool's directory contains the recipient."""

from __future__ import annotations

import base64
import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders import delivery, settlement
from contract.spool_stores import fresh, put, put_rejected
from hookline.errors import SpoolStalled
from hookline.relay.ids import WebhookIds
from hookline.relay.spool.admin import ForgetCount, ForgetResult
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_values import State
from hookline.relay.spool.sqlite.embedded import EmbeddedStore
from hookline.relay.spool.sqlite.recovery.recover import recover
from hookline.relay.spool.sqlite.schema import keep_spool_copy
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from hookline.relay.spool.sqlite.transfer.spool_copy import copy_spool

NAME = "zebediah.quux"
ADDRESS = f"{NAME}@acme.example"
RECIPIENT = Recipient(ADDRESS)
IN_BASE64 = base64.b64encode(b'{"to":"%b"}' % ADDRESS.encode())


def connect_without_zeros(*arguments: Any, **options: Any) -> sqlite3.Connection:
    """SQLite's own default: deleted rows stay in the file. Debian builds it with another one."""
    connection: sqlite3.Connection = sqlite3.connect(*arguments, **options)
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


def store_at(directory: Path) -> EmbeddedStore:
    return EmbeddedStore(directory, StorageAccess(connect=connect_without_zeros))


def text_of(number: int, address: str) -> bytes:
    return b'{"n":%d,"id":"%b","filler":"%b"}' % (number, address.encode(), b"x" * (300 + number % 7 * 100))


def fill(spool: SqliteSpool) -> None:
    """Deliveries of the recipient among others: pending, dead, delivered, and lines."""
    for start in range(0, 900, 100):
        put(
            spool,
            *(
                delivery(
                    f"e{n}", body=text_of(n, ADDRESS if n % 3 == 0 else f"user{n}@acme.example"),
                    detail=f"550 <{ADDRESS}>" if n % 30 == 0 else None,
                )
                for n in range(start, start + 100)
            ),
        )  # fmt: skip
    items = fresh(spool, limit=600)
    spool.settle([settlement(item) for item in items[:400]], now=5.0)
    spool.settle([settlement(item, State.DEAD, reason="http 422") for item in items[400:]], now=6.0)
    put_rejected(spool, b"<" + ADDRESS.upper().encode() + b">", b'{"data_base64":"' + IN_BASE64 + b'"}', b"other")


def raw_finds(directory: Path) -> list[str]:
    """The files whose bytes contain the recipient's name, plain or in base64."""
    needles = (NAME.encode(), IN_BASE64[4:20])
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        and any(needle in data or needle in data.lower() for needle in needles for data in [path.read_bytes()])
    ]


def forget(store: EmbeddedStore) -> ForgetResult:
    with store.recipient_removal() as removal:
        result = removal.forget(RECIPIENT, now=50.0)
        removal.overwrite()
    return result


@pytest.mark.parametrize("relay_runs", [True, False])
def test_no_file_contains_the_recipient(tmp_path: Path, relay_runs: bool) -> None:
    """Also not the free pages, the rests in pages, and the write-ahead log; also beside a relay."""
    store = store_at(tmp_path / "spool")
    spool = store.open(since="now")
    fill(spool)
    if not relay_runs:
        spool.close()
    assert "spool.db" in " ".join(raw_finds(tmp_path))
    count = forget(store).count
    assert [] == raw_finds(tmp_path)
    assert ForgetCount(pending=100, dead=66, records=14, lines=2) == count
    if not relay_runs:
        spool = store.open(since="now")
    assert 200 == len(fresh(spool, limit=1000))
    put(spool, delivery("later"))  # the relay's own connection still works
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool" / "spool.db")) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()


def test_copies_and_texts_in_the_directory(tmp_path: Path) -> None:
    """A copy before a migration, a recovered spool inside, an export and the file of an interrupted run."""
    directory = tmp_path / "spool"
    store = store_at(directory)
    spool = store.open(since="now")
    fill(spool)
    spool.close()
    with closing(sqlite3.connect(directory / "spool.db")) as connection:
        keep_spool_copy(connection, directory / "spool.db", 1)
    copy_spool(directory, directory / "recovered")
    (directory / "letters.ndjson").write_bytes(text_of(1, ADDRESS) + b"\n" + text_of(2, "b@acme.example") + b"\n")
    (directory / ".letters.ndjson.forget").write_bytes(text_of(1, ADDRESS))
    with store.recipient_removal() as removal:
        counted = removal.count(RECIPIENT)
    assert 5 <= len(raw_finds(directory))
    result = forget(store)
    assert [] == raw_finds(directory)
    assert () == result.remains
    assert counted.count.copies == result.count.copies + 1  # the file of the interrupted run is not counted any more
    assert text_of(2, "b@acme.example") + b"\n" == (directory / "letters.ndjson").read_bytes()
    assert 0o600 == (directory / "letters.ndjson").stat().st_mode & 0o777
    recovered = EmbeddedStore(directory / "recovered").open(since="now")
    assert 200 == len(fresh(recovered, limit=1000))
    recovered.close()


def test_files_that_cannot_be_searched_are_named(tmp_path: Path) -> None:
    """Packed files, and databases that are no spool. They remain as they are."""
    directory = tmp_path / "spool"
    store = store_at(directory)
    store.create()
    (directory / "old.gz").write_bytes(gzip.compress(ADDRESS.encode()))
    with closing(sqlite3.connect(directory / "foreign.db")) as connection:
        connection.execute("CREATE TABLE a (b)")
    remains = forget(store).remains
    assert ["foreign.db", "old.gz"] == [Path(one.partition(":")[0]).name for one in remains]


def test_a_reader_holds_the_log(tmp_path: Path) -> None:
    """A process that reads an old state of the spool keeps the log: the command says so, and is repeated."""
    directory = tmp_path / "spool"
    store = store_at(directory)
    spool = store.open(since="now")
    fill(spool)
    spool.close()
    with closing(sqlite3.connect(directory / "spool.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM delivery").fetchall()
        with store.recipient_removal() as removal:
            removal.forget(RECIPIENT, now=50.0)
            removal._connection.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(SpoolStalled, match="another process reads the spool"):
                removal.overwrite()
    forget(store)
    assert [] == raw_finds(directory)


def test_ids_of_the_caller_that_name_the_recipient(tmp_path: Path) -> None:
    """A request id and a message execution can contain the address. `spool recover` still knows such a record."""
    directory = tmp_path / "spool"
    store = store_at(directory)
    spool = store.open(since="now")
    webhook_ids = WebhookIds(b"seed")
    request = f"{ADDRESS}-1"
    one = delivery(
        "a", id=webhook_ids.delivery_id(b"a", request), request_id=request, execution_id=f"{NAME}@acme.example/7"
    )
    put(spool, one)
    spool.settle(
        [settlement(item, history=f'[[1.0,1,"{ADDRESS} is unknown",422]]') for item in fresh(spool)], now=5.0
    )
    spool.close()
    assert ForgetCount(records=1) == forget(store).count
    assert [] == raw_finds(tmp_path)
    recovered = recover(directory, tmp_path / "new")
    assert (True, 1) == (recovered.complete, recovered.saved["records"])
