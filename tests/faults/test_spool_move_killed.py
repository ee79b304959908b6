"""`spool move`, killed with SIGKILL at each boundary of its transactions, and run again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from contract.move_contents import (
    CONTENTS,
    comparable,
    drain,
    fill,
    location_of,
    tally,
)
from contract.spool_stores import balanced
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.postgres.shared import SharedStore
from killed_commands import KilledCommands, killed_commands

KINDS = [
    ("embedded", "shared"),
    ("shared", "embedded"),
    pytest.param("embedded", "embedded", marks=pytest.mark.soak),
    pytest.param("shared", "shared", marks=pytest.mark.soak),
]


@pytest.fixture(scope="module")
def commands() -> Iterator[KilledCommands]:
    with killed_commands() as running:
        yield running


@pytest.mark.parametrize(("origin", "destination"), KINDS)
def test_a_killed_move_loses_and_repeats_nothing(
    commands: KilledCommands, origin: str, destination: str, tmp_path: Path
) -> None:
    """Before and after each commit of each spool: the accounts add up at once, and the next run moves the rest."""
    places = [location_of(kind, tmp_path / str(n)) for n, kind in enumerate((origin, destination))]
    source, target = map(spool_store, places)
    source.create(since="now")
    target.create(since="now")
    named = (origin, destination) == ("embedded", "shared")
    move = ("spool", "move", *places, *(("--name", "edge") if named else ()))
    for boundary in count(1):
        fill(source)
        code = commands.run(*move, boundary=boundary)
        assert code in (0, -signal.SIGKILL)
        end_lease(source)
        check_both(source, target)
        if code == 0:
            break
        assert 0 == commands.run(*move)
        check_both(source, target)
        before, after = tally(source), tally(target)
        assert (4 * boundary, 0, 0) == (before["moved_out"], before["pending"], before["rows"])
        assert (4 * boundary, 4, CONTENTS.size) == (after["moved_in"], after["pending"], after["rows"])
        assert comparable(CONTENTS, reader="edge" if named else "") == comparable(drain(target))
    assert boundary > 12


def check_both(source: SpoolStore, target: SpoolStore) -> None:
    """The account of each spool adds up, and no row is in neither."""
    accounts = [tally(source), tally(target)]
    assert [True, True] == [balanced(account) for account in accounts]
    assert sum(account["rows"] for account in accounts) >= CONTENTS.size


def end_lease(store: SpoolStore) -> None:
    """Let the lease of the killed move end."""
    if isinstance(store, SharedStore):
        connection = store.connection()
        connection.query("UPDATE spool.process SET expires = clock_timestamp()")
        connection.close()
