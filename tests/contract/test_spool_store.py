"""The conformance suite of factory.SpoolStore, and the registration of stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from builders import ACME, delivery
from contract.spool_stores import LOCATIONS, REGISTERED, put
from hookline.cli.applied_state import read_backlogs
from hookline.cli.commands.dead import dead_command
from hookline.cli.commands.status import status_command
from hookline.errors import SpoolUnusable, WrongUse
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.factory import STORES, SpoolStore, spool_store
from hookline.relay.spool.spool import Spool


def test_a_second_holder_is_refused_by_name(store: SpoolStore, spool: Spool) -> None:
    """Two relays on one spool: the message to the second names the process that holds it, and since when. Several
    processes share a shared spool, and a slot has one owner."""
    if store.shared:
        second = store.open(since="later")
        owned = [set(one.slots) for one in store.statistics().processes().processes]
        second.close()
        assert [64, set()] == [len(owned[0] | owned[1]), owned[0] & owned[1]]
        return
    with pytest.raises(SpoolUnusable, match=r"held by process \d+ since now"):
        store.open(since="later")


def test_a_closed_spool_can_be_opened_again(store: SpoolStore) -> None:
    """The next relay finds everything that the last one stored."""
    first = store.open(since="now")
    put(first, delivery("a"))
    first.close()
    second = store.open(since="now")
    assert {ACME} == second.pending()
    second.close()


def test_creating_changes_nothing_in_a_spool(store: SpoolStore, spool: Spool) -> None:
    """Also while a relay holds it."""
    put(spool, delivery("a"))
    store.create_if_missing(since="now")
    assert {ACME: Backlog(1, 0)} == store.statistics().backlogs()


def test_commands_show_every_store(kind: str, store: SpoolStore, spool: Spool, tmp_path: Path) -> None:
    """A command reaches a store by its location alone: `list` and `plan` (backlog), `status`, `dead list`."""
    put(spool, delivery("a"))
    location = LOCATIONS[kind](tmp_path)
    assert {ACME: Backlog(1, 0)} == read_backlogs(location)
    shown = CliRunner().invoke(status_command, ["--spool", location, "--format", "json"], standalone_mode=False)
    assert {"read": 1, "pending": 1}.items() <= json.loads(shown.output)["tally"].items()
    listed = CliRunner().invoke(dead_command, ["list", "--spool", location], standalone_mode=False)
    assert "0 deliveries and 0 rejected lines" in listed.output


def test_every_registered_store_has_its_suites() -> None:
    """A scheme that is registered and not listed for the suites fails here."""
    assert len(LOCATIONS) == len({*STORES.values(), *REGISTERED.values()})


@pytest.mark.parametrize("location", ["kafka://host/spool", "POSTGRESQL+tls://host/spool"])
def test_an_unknown_kind_of_spool_is_refused(location: str) -> None:
    """A location with an unknown scheme is refused, not used as a directory."""
    with pytest.raises(WrongUse, match="unknown kind of spool"):
        spool_store(location)
