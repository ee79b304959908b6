"""Links in watched directories and patterns, and beside logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.input_files import open_reader
from source_reader import Book, Notebook

KEY = b"-----BEGIN PRIVATE KEY-----\n"


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """A directory with a log, beside the file that no link may reveal."""
    directory = tmp_path / "logs"
    directory.mkdir()
    (directory / "a.log").write_bytes(b"a\n")
    (tmp_path / "key.pem").write_bytes(KEY)
    return directory


@pytest.fixture(params=["{}", "{}/*.log", "{}/../logs/*.log", "{}/**", "{}/../log*/*.log"])
def name(request: pytest.FixtureRequest, watched: Path) -> str:
    """A name that lists the directory."""
    pattern: str = request.param
    return pattern.format(watched)


def test_link_out_of_a_listed_directory_is_not_followed(watched: Path, name: str) -> None:
    """A finite run and a run that follows read the other files, and warn once."""
    (watched / "b.log").symlink_to(watched.parent / "key.pem")
    book = Book()
    if "log*/" not in name:  # a pattern for directories lists the directory above
        assert [b"a"] == book.run(name, from_start=True)
        assert ["link not followed"] == book.notes.warnings
        with Book().following(name) as follower:
            follower.takes(b"a")


def test_link_below_a_listed_directory_is_followed(watched: Path, name: str) -> None:
    """Whoever can create such a link can also create the file that it names."""
    (watched / "deep").mkdir()
    (watched / "deep" / "events").write_bytes(b"b\n")
    (watched / "b.log").symlink_to("deep/events")
    assert b"b" in Book().run(name)


def test_link_below_an_admitted_directory_is_followed(watched: Path) -> None:
    """Container logs are links: the operator admits the directory where they end."""
    pods = watched.parent / "pods"
    pods.mkdir()
    (pods / "0.log").write_bytes(b"b\n")
    (watched / "b.log").symlink_to(pods / "0.log")
    book = Book()
    book.links_below = [str(pods)]
    assert {b"a", b"b"} == set(book.run(watched))
    with Book().following(watched) as follower:
        follower.takes(b"a")


def test_linked_directory_in_a_pattern_is_not_followed(watched: Path) -> None:
    """The link may be a directory in the middle of the path."""
    secrets = watched.parent / "secrets"
    secrets.mkdir()
    (secrets / "x.log").write_bytes(KEY)
    (watched / "sub").symlink_to(secrets)
    book = Book()
    with pytest.raises(HooklineError, match="no file matches"):
        book.run(f"{watched}/s*/*.log")
    assert ["link not followed"] == book.notes.warnings


def test_named_link_is_followed(watched: Path) -> None:
    """The operator names this file."""
    link = watched / "b.log"
    link.symlink_to(watched.parent / "key.pem")
    assert [KEY.strip()] == Book().run(link)


def test_link_with_the_name_of_a_rotated_file_is_not_followed(watched: Path) -> None:
    """Rotated files are found by listing, also those of a log that the operator names."""
    log, book = watched / "a.log", Book()
    book.run(log)
    log.rename(watched / "a.log.1")
    log.write_bytes(b"b\n")
    (watched / "a.log.2").symlink_to(watched.parent / "key.pem")
    assert [b"b"] == book.run(log)


def test_link_that_replaces_a_listed_file_is_refused_when_it_is_opened(watched: Path) -> None:
    """The check is made on the open file, so a link that is made after the listing is found, too."""
    context = ReadContext(checkpoints=Checkpoints(()), logger=Notebook())
    (watched / "a.log").unlink()
    (watched / "a.log").symlink_to(watched.parent / "key.pem")
    with pytest.raises(HooklineError, match="leads out of") as raised:
        open_reader(str(watched / "a.log"), context, root=str(watched))
    assert "--links-below" in str(raised.value.hint)
