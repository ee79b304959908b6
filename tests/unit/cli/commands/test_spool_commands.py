"""`hookline spool init`, `move`, `migrate` and `copy`, as users call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contract.move_contents import CONTENTS, MOVE_LOCATIONS, comparable, contents_of, drain, fill
from hookline.cli.commands.spool import spool_command
from hookline.errors import SpoolUnusable, WrongUse
from hookline.relay.sources.source import Position
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.transfer import MoveBatch, MovedPosition


def run(*arguments: object) -> Result:
    """Raises HooklineError."""
    return CliRunner().invoke(
        spool_command, [str(one) for one in arguments], standalone_mode=False, catch_exceptions=False
    )


@pytest.fixture
def shared(tmp_path: Path) -> str:
    return MOVE_LOCATIONS["shared"](tmp_path)


@pytest.fixture
def embedded(tmp_path: Path) -> str:
    """An embedded spool with everything in it."""
    fill_new(location := str(tmp_path / "spool"))
    return location


def fill_new(location: str) -> None:
    store = spool_store(location)
    store.create(since="now")
    fill(store)


def test_init_creates_a_shared_spool_once(shared: str) -> None:
    """With its number of slots and its lease, and never over an existing one."""
    shown = run("init", "--spool", shared, "--slots", "8", "--lease", "5s")
    assert shown.output.startswith(
        f"Created the spool {shared}.\n  next: hookline relay --spool '{shared}' --name NAME"
    )
    with spool_store(shared).move_source(since="now") as source:
        connection = source._spool  # type: ignore[attr-defined]
        assert (8, 5.0) == (connection.slots, connection.lease_seconds)
    with pytest.raises(SpoolUnusable, match="already exists"):
        run("init", "--spool", shared)


def test_init_creates_a_spool_in_a_directory(tmp_path: Path) -> None:
    """But not with slots, which it does not have, nor in a directory that has one."""
    place = tmp_path / "new"
    with pytest.raises(WrongUse, match="--slots and --lease are for a shared spool"):
        run("init", "--spool", place, "--slots", "8")
    assert not place.exists()
    run("init", "--spool", place)
    with pytest.raises(SpoolUnusable, match="already exists"):
        run("init", "--spool", place)


@pytest.mark.parametrize("lease", ["1s", "1h"])
def test_a_lease_has_a_usable_length(shared: str, lease: str) -> None:
    with pytest.raises(Exception, match="a lease lasts from 3s to 300s"):
        run("init", "--spool", shared, "--lease", lease)


def test_move_to_a_shared_spool_and_back(embedded: str, shared: str) -> None:
    """The positions of files get a name on the way, and lose it on the way back."""
    run("init", "--spool", shared)
    with pytest.raises(WrongUse, match=r"positions of files in .* need a name in a shared spool"):
        run("move", embedded, shared)
    shown = run("move", embedded, shared, "--name", "edge")
    assert "pending deliveries           4" in shown.output
    assert ("edge",) == contents_of(spool_store(shared)).readers
    run("move", shared, embedded)
    assert comparable(CONTENTS) == comparable(drain(spool_store(embedded)))


def test_a_second_move_finds_nothing(embedded: str, shared: str) -> None:
    """The empty spool is named, and its names are not asked for."""
    run("init", "--spool", shared)
    run("move", embedded, shared, "--name", "edge")
    assert f"Nothing to move: the spool {embedded} is empty.\n" == run("move", embedded, shared).output
    run("move", shared, embedded)
    again = run("move", shared, embedded, "--name", "edge").output
    assert f"Nothing to move: the spool {spool_store(shared).name} is empty.\n" == again


def test_a_command_in_a_hint_survives_a_shell(shared: str, embedded: str) -> None:
    """A shell would take the question mark of an address for a pattern."""
    name = spool_store(shared).name
    assert "?" in name
    with pytest.raises(SpoolUnusable) as refused:
        run("move", embedded, shared)
    assert f"--spool '{name}'" in str(refused.value.hint)
    assert f"next: hookline relay --spool '{name}' --name NAME" in run("init", "--spool", shared).output


def test_a_dry_run_moves_nothing(embedded: str, shared: str) -> None:
    run("init", "--spool", shared)
    shown = run("move", embedded, shared, "--name", "edge", "--dry-run", "--format", "json")
    moved = {"pending": 4, "dead": 1, "records": 2, "lines": 2, "messages": 3, "positions": 2, "webhooks": 2}
    expected = {"from": embedded, "to": shared, "dryRun": True, "moved": moved, "known": 0}
    assert expected == json.loads(shown.output)
    assert comparable(CONTENTS) == comparable(drain(spool_store(embedded)))


def test_a_directory_takes_the_positions_of_one_name(embedded: str, shared: str, tmp_path: Path) -> None:
    """Those of other names remain in the shared spool, because their files are read by other relays."""
    run("init", "--spool", shared)
    run("move", embedded, shared, "--name", "edge")
    other = [MovedPosition("other", one.position) for one in CONTENTS.positions]
    fill(spool_store(shared), MoveBatch(positions=other), [])
    target = tmp_path / "target"
    run("init", "--spool", target)
    with pytest.raises(WrongUse, match="the positions of several names: edge, other"):
        run("move", shared, target)
    with pytest.raises(WrongUse, match="has the name 'third'"):
        run("move", shared, target, "--name", "third")
    moved = run("move", shared, target, "--name", "edge").output
    assert "keeps the positions of other names: other." in moved
    assert ("other",) == contents_of(spool_store(shared)).readers
    assert comparable(CONTENTS) == comparable(drain(spool_store(target)))


def test_a_name_needs_a_shared_spool(embedded: str, tmp_path: Path) -> None:
    run("init", "--spool", tmp_path / "target")
    with pytest.raises(WrongUse, match="--name is for a shared spool"):
        run("move", embedded, tmp_path / "target", "--name", "edge")


def test_one_spool_is_not_moved_into_itself(embedded: str, tmp_path: Path) -> None:
    """Neither under its name nor under another one."""
    (tmp_path / "link").symlink_to(embedded)
    with pytest.raises(WrongUse, match="the same spool"):
        run("move", embedded, f"{embedded}/")
    with pytest.raises(SpoolUnusable, match="is held by process"):
        run("move", embedded, tmp_path / "link")
    assert 4 == contents_of(spool_store(embedded)).pending


def test_both_spools_must_exist(embedded: str, tmp_path: Path) -> None:
    """A mistyped target is not created."""
    with pytest.raises(SpoolUnusable, match="no spool exists at") as refused:
        run("move", embedded, tmp_path / "missing")
    assert "spool init" in str(refused.value.hint)
    with pytest.raises(SpoolUnusable, match="spool not found"):
        run("move", tmp_path / "missing", embedded)


@pytest.mark.parametrize("kind", ["embedded", "shared"])
def test_migrate_says_that_nothing_has_to_be_done(kind: str, tmp_path: Path) -> None:
    """With the newest format. A spool that does not exist is refused."""
    location = MOVE_LOCATIONS[kind](tmp_path)
    with pytest.raises(SpoolUnusable):
        run("migrate", "--spool", location)
    run("init", "--spool", location)
    assert run("migrate", "--spool", location).output.startswith("Nothing to do: the spool ")


def test_a_copy_is_a_spool(embedded: str, tmp_path: Path) -> None:
    """It is private, has everything, and is made while a relay holds the original."""
    copied = tmp_path / "backups" / "spool"
    held = spool_store(embedded).open(since="now")
    try:
        run("copy", "--spool", embedded, copied)
    finally:
        held.close()
    assert 0o700 == copied.stat().st_mode & 0o777
    assert [0o600] == [path.stat().st_mode & 0o777 for path in copied.iterdir()]
    spool_store(copied).open(since="now").close()
    assert comparable(CONTENTS) == comparable(drain(spool_store(copied)))
    assert comparable(CONTENTS) == comparable(drain(spool_store(embedded)))


def test_a_copy_overwrites_nothing(embedded: str, shared: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(WrongUse, match="already exists"):
        run("copy", "--spool", embedded, tmp_path / "there")
    with pytest.raises(WrongUse, match="is a spool in PostgreSQL"):
        run("copy", "--spool", shared, tmp_path / "new")
    with pytest.raises(SpoolUnusable, match="spool not found"):
        run("copy", "--spool", tmp_path / "missing", tmp_path / "new")
    assert ["spool", "there"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_log_needs_no_name(shared: str, tmp_path: Path) -> None:
    """The position in a topic belongs to all relays that read it, and that of a pipe to the name, if any."""
    run("init", "--spool", shared)
    location = str(tmp_path / "spool")
    run("init", "--spool", location)
    log = MovedPosition("", Position(name="kafka://kafka.acme.example/feedback/3", offset=7, key=b"topic", at=1.0))
    pipe = MovedPosition("", Position(name="-", line=7, key=b"pipe", at=1.0))
    fill(spool_store(location), MoveBatch(positions=[log, pipe]), [])
    run("move", location, shared)
    fill(spool_store(location), MoveBatch(positions=[pipe]), [])
    run("move", location, shared, "--name", "edge")
    found = {(one.reader, one.position.name) for one in drain(spool_store(shared)).positions}
    assert {("", log.position.name), ("", "-"), ("edge", "-")} == found
