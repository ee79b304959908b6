"""`export`: its files correspond to the state."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookline.cli.commands.export import file_names, render
from hookline.cli.main import main
from hookline.config.loader import load
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.planner import make_plan
from hookline.state.store import EMPTY, Snapshot
from hookline_process import Lab
from random_webhooks import addresses, desired, documents


def applied(found: Desired) -> Snapshot:
    return EMPTY.after("L", documents(found))


@settings(max_examples=150)
@given(desired())
def test_exported_state_plans_nothing(found: Desired) -> None:
    """Exported files of any applied webhooks read back as these webhooks, byte for byte: the plan is empty."""
    stored = applied(found)
    with tempfile.TemporaryDirectory() as directory:
        for name, content in render(stored).items():
            path = Path(directory) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        plan = make_plan(stored, load(Path(directory)), DeletionLimits())
    assert () == plan.changes
    assert len(found.webhooks) == plan.unchanged


@given(st.lists(addresses, unique=True))
@example([Address("..", ".."), Address(".", "."), Address("..", "etc\\passwd"), Address("$(id)", "*")])
@example([Address("acme", "Prod"), Address("acme", "prod"), Address("ACME", "prod"), Address("acme", "PROD")])
@example([Address("x" * 256, "反" * 256), Address("x" * 255 + "y", "反" * 255)])
@example([Address("é", "x"), Address("e\u0301", "x")])
def test_every_address_has_a_safe_place(given_addresses: list[Address]) -> None:
    """Paths have two levels, are not hidden, stay below the directory, and differ also without case."""
    places = file_names(given_addresses)
    assert set(given_addresses) == set(places)
    assert len(places) == len({str(place).casefold() for place in places.values()})
    for place in places.values():
        assert len(place.parts) == 2
        assert place.suffix == ".yaml"
        assert not any(part.startswith((".", "-", "~")) for part in place.parts)
        assert all(len(os.fsencode(part)) <= 255 for part in place.parts)


def test_usual_names_are_written_as_they_are() -> None:
    """An organization and a sandbox of the platform give the path that the documentation shows."""
    address = Address("1234567890ABCDEF@AdobeOrg", "prod")
    assert {address: PurePosixPath("1234567890ABCDEF@AdobeOrg/prod.yaml")} == file_names([address])


def test_new_directory(lab: Lab) -> None:
    """A new directory gets a file for each webhook, with the schema for editors, and a plan of it is empty."""
    lab.apply("https://hooks.acme.example/a", organization="acme")
    done = lab.hookline("export", "made/webhooks")
    assert b"Wrote 1 webhook file(s) to made/webhooks.\n" == done.stdout
    text = (lab.directory / "made/webhooks/acme/prod.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../../schemas/webhook.v1.schema.json\nversion: 1\n")
    assert ["webhooks"] == [path.name for path in (lab.directory / "made").iterdir()]
    lab.hookline("plan", "--config", "made/webhooks", "--detailed-exitcode")


def test_same_files_are_left_alone(lab: Lab) -> None:
    """A second export of the same state finds its files and writes nothing."""
    lab.apply("https://hooks.acme.example/a")
    lab.hookline("export", "out")
    before = {path: path.stat().st_mtime_ns for path in lab.directory.glob("out/**/*")}
    assert b"already" in lab.hookline("export", "out").stdout
    assert before == {path: path.stat().st_mtime_ns for path in lab.directory.glob("out/**/*")}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("out/notes.txt", "mine", b"notes.txt has other content"),
        ("out/acme@AdobeOrg/prod.yaml", "version: 1", b"prod.yaml has other content"),
        ("out/acme@AdobeOrg/.keep", "", b".keep has other content"),
    ],
)
def test_other_files_are_never_touched(name: str, content: str, reason: bytes, lab: Lab) -> None:
    """A directory with other content is refused and not changed; the message names the content."""
    lab.apply("https://hooks.acme.example/a")
    path = lab.directory / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    done = lab.hookline("export", "out", code=6)
    assert reason in done.stderr
    assert [path] == [found for found in lab.directory.glob("out/**/*") if found.is_file()]
    assert content == path.read_text()


def test_written_whole_or_not_at_all(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file cannot be written, neither the directory nor a draft of it remains."""
    lab.apply("https://hooks.acme.example/a")
    lab.apply("https://hooks.acme.example/b", sandbox="stage")
    monkeypatch.chdir(lab.directory)
    before = sorted(path.name for path in lab.directory.iterdir())
    write_bytes = Path.write_bytes

    def full_disk(path: Path, content: bytes) -> int:
        if path.name == "stage.yaml":
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert 1 == main(["export", "out"])
    assert before == sorted(path.name for path in lab.directory.iterdir())


def test_nothing_applied_yet(lab: Lab) -> None:
    """Without a state the command fails and creates nothing."""
    assert b"no state exists" in lab.hookline("export", "out", code=8).stderr
    assert not (lab.directory / "out").exists()


def test_current_directory_is_not_replaced(lab: Lab) -> None:
    """The current directory is refused, because replacing it would remove it from under the shell."""
    lab.apply("https://hooks.acme.example/a")
    here = lab.directory / "empty"
    here.mkdir()
    lab.directory, state = here, str(lab.directory / ".hookline" / "state.db")
    assert b"current directory" in lab.hookline("export", ".", "--state", state, code=6).stderr
    assert [] == list(here.iterdir())


def test_file_in_the_place(lab: Lab) -> None:
    """A file in the place of the directory is refused."""
    lab.apply("https://hooks.acme.example/a")
    (lab.directory / "out").write_text("mine")
    assert b"is not a directory" in lab.hookline("export", "out", code=6).stderr
