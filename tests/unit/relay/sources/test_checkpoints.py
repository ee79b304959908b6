"""Which checkpoint belongs to which file: by what is in it."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.delivery_record import Line
from hookline.relay.sources import batch_source, input_files, rotated_log, rotation_search, tracked_file
from hookline.relay.sources.checkpoints import (
    HEAD_BYTES,
    Checkpoints,
    FileIdentity,
    content_digest,
    file_position,
    is_match,
)
from hookline.relay.sources.files.file_inspector import FileInspector
from hookline.relay.sources.line_splitter import TAIL_BYTES
from hookline.relay.sources.source import Position
from source_reader import Book

HEADER = b"# a log with a long header, the same in each of its files\n" * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def book() -> Book:
    return Book()


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def many(prefix: bytes, n: int) -> list[bytes]:
    """Lines that are longer together than the beginning and the end that are compared."""
    return [b"%s %d" % (prefix, number * 7919) for number in range(n)]


# -- finite runs, one after the other


def test_checkpoint_follows_a_renamed_file(path: Path, book: Book) -> None:
    """A rotated file is known under its new name; the new one under the old name is read from its start."""
    append(path, b"a", b"b")
    book.run(path)
    rotated = path.rename(path.with_suffix(".1"))
    append(path, b"c")
    assert [] == book.run(rotated)
    assert [b"c"] == book.run(path)


def test_inode_used_again_is_another_file(path: Path, book: Book) -> None:
    """Another content in the same inode is read from its start, though it is longer than the checkpoint's offset."""
    path.write_bytes(b"old one\n")
    book.run(path)
    inode = path.stat().st_ino
    path.write_bytes(b"new one\nand more\n")  # same inode: truncated and written anew
    assert inode == path.stat().st_ino
    assert [b"new one", b"and more"] == book.run(path)


def test_same_beginning_in_the_same_inode_is_told_apart(path: Path, book: Book) -> None:
    """Logs begin alike; what stood just before the checkpoint tells a new one from the old one."""
    path.write_bytes(HEADER + b"old\n")
    book.run(path)
    path.write_bytes(HEADER + b"new\nand more\n")
    assert len(HEADER) > HEAD_BYTES
    assert [*HEADER.splitlines(), b"new", b"and more"] == book.run(path)


def test_truncated_file_is_read_from_its_start(path: Path, book: Book) -> None:
    """After copytruncate the file is shorter than its checkpoint."""
    append(path, b"same", b"same", b"same")
    book.run(path)
    path.write_bytes(b"new\n")
    assert [b"new"] == book.run(path)


def test_restored_file_is_known(path: Path, tmp_path: Path, book: Book) -> None:
    """A file that came back from a backup has another inode, and goes on where it was."""
    append(path, b"a", b"b")
    book.run(path)
    restored = tmp_path / "restored"
    shutil.copy(path, restored)
    restored.replace(path)
    append(path, b"c")
    assert [Line(3, b"c", 1)] == book.lines(path)


def test_device_number_may_change(path: Path, book: Book) -> None:
    """After a restart of the machine, device numbers are others; the file is the same."""
    append(path, b"a")
    book.run(path)
    known = book.reached
    moved = Position(**{field: getattr(known, field) for field in known.__struct_fields__} | {"device": 99})
    assert [] == Book([moved]).run(path)


def test_moved_file_is_known_by_enough_of_its_content(path: Path, tmp_path: Path, book: Book) -> None:
    """Copied to another directory under another name, a file is the same when it has more than a few lines."""
    append(path, *many(b"event", 200))
    book.run(path)
    archived = tmp_path / "archive" / "2026-11-22.ndjson"
    archived.parent.mkdir()
    shutil.copy(path, archived)
    append(archived, b"more")
    assert [b"more"] == book.run(archived)


def test_small_file_of_another_name_is_another(path: Path, tmp_path: Path, book: Book) -> None:
    """A few equal lines do not make a file another one's copy."""
    append(path, b"a")
    book.run(path)
    other = tmp_path / "other.ndjson"
    append(other, b"a", b"b")
    assert [b"a", b"b"] == book.run(other)


def test_two_copies_do_not_move_each_others_checkpoint(path: Path, tmp_path: Path, book: Book) -> None:
    """Files that hold the same, and are continued each in its own way, are two from then on."""
    append(path, *many(b"event", 200))
    book.run(path)
    copy = tmp_path / "copy.ndjson"
    shutil.copy(path, copy)
    with book.following(path, copy) as follower:
        follower.takes_nothing()
        append(path, b"one")
        append(copy, b"two")
        assert {b"one", b"two"} == {line.data for line in follower.read_lines(2)}
    append(path, b"three")
    append(copy, b"four")
    assert [b"three", b"four"] == book.run(path, copy)


@pytest.mark.parametrize("follow", [False, True])
def test_name_that_is_not_utf8(tmp_path: Path, book: Book, follow: bool) -> None:
    """It is opened by its own name and shown by one that can be kept; its checkpoint is found again, and rotated."""
    path = tmp_path / os.fsdecode(b"caf\xe9.log")
    append(path, b"a1")
    book.run(path)
    assert f"{tmp_path}/caf\\xe9.log" == book.reached.name
    append(path, b"a2")
    shutil.copy(path, f"{path}.1")
    path.unlink()
    append(path, b"b1")
    if follow:
        with book.following(path) as follower:
            follower.takes(b"a2", b"b1")
    else:
        assert [b"a2", b"b1"] == book.run(path)
    for _, what, fields in book.notes.said:
        assert f"{what} {fields}".isprintable()


# -- rotated while nobody looked


def test_rotated_while_stopped_is_read_to_its_end_first(path: Path, book: Book) -> None:
    """What an earlier run had left of the file that was rotated comes before the new one."""
    append(path, b"a1")
    book.run(path)
    append(path, b"a2")
    path.rename(f"{path}.1")
    append(path, b"b1")
    assert [b"a2", b"b1"] == book.run(path)
    assert [] == book.run(path)


@pytest.mark.parametrize(
    "name",
    [
        *("app.log.1", "app.log-0001", "app.log-20261122", "app.log.2026-11-22T10:00", "app.log.old"),
        *("app.1.log", "app-20261122.log", "app-2026-11-22-1.log", "app_2026-11.log", "app-old.log"),
    ],
)
def test_rotated_files_are_found_by_their_usual_names(path: Path, book: Book, name: str) -> None:
    """Numbers, dates, and both before the extension."""
    append(path, b"a1")
    book.run(path)
    append(path, b"a2")
    path.rename(path.with_name(name))
    append(path, b"b1")
    assert [b"a2", b"b1"] == book.run(path)


@pytest.mark.parametrize("name", ["worker-2.log", "worker_2.log", "worker-2.log.gz", "worker-12345.log"])
@pytest.mark.parametrize("follow", [False, True])
def test_neighbour_is_no_rotated_file(tmp_path: Path, book: Book, name: str, follow: bool) -> None:
    """A log whose name has a number before the extension is one of its own: nobody has asked for its lines."""
    path = tmp_path / "worker.log"
    append(path, b"a1")
    read_in(path, book, follow, b"a1")
    append(path, b"a2")
    path.rename(f"{path}.1")
    append(tmp_path / name, b"not ours")
    append(path, b"b1")
    read_in(path, book, follow, b"a2", b"b1")


def test_rotated_twice_while_stopped(path: Path, book: Book) -> None:
    """A file that came and went between two runs is read too: it is newer than the one that is known."""
    append(path, b"a1")
    book.run(path)
    append(path, b"a2")
    os.utime(path, (1000, 1000))
    path.rename(f"{path}.2")
    append(path, b"b1")
    os.utime(path, (2000, 2000))
    path.rename(f"{path}.1")
    append(path, b"c1")
    assert [b"a2", b"b1", b"c1"] == book.run(path)


def test_the_past_of_a_log_that_is_new_to_us_is_not_read(path: Path, book: Book) -> None:
    """Only what was named is read, when no run was there before."""
    path.with_name("app.log.1").write_bytes(b"long ago\n")
    append(path, b"now")
    assert [b"now"] == book.run(path)
    assert [] == book.run(path)


def test_older_files_that_were_never_read_stay_unread(path: Path, book: Book) -> None:
    """What was rotated before the first run is not read because of a rotation after it."""
    append(path.with_name("app.log.1"), b"long ago")
    os.utime(path.with_name("app.log.1"), (1000, 1000))
    append(path, b"a1")
    book.run(path)
    path.with_name("app.log.1").rename(path.with_name("app.log.2"))
    append(path, b"a2")
    path.rename(f"{path}.1")
    append(path, b"b1")
    assert [b"a2", b"b1"] == book.run(path)


def test_copytruncate_while_stopped(path: Path, book: Book) -> None:
    """The copy goes on where the log was, and the log begins anew, whatever its length is by now."""
    append(path, b"a1")
    book.run(path)
    append(path, b"a2")
    shutil.copy(path, f"{path}.1")
    os.truncate(path, 0)
    append(path, b"b1", b"b2 that makes it longer than the checkpoint")
    assert [b"a2", b"b1", b"b2 that makes it longer than the checkpoint"] == book.run(path)
    assert [] == book.run(path)


# -- compressed


def gzipped(path: Path) -> Path:
    """As `gzip` does it: another file with the same time."""
    status = path.stat()
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()
    return target


@pytest.mark.parametrize("n", [2, 3000])
def test_compressed_after_it_was_read(path: Path, book: Book, n: int) -> None:
    """A file that was read and then compressed has nothing new in it."""
    append(path, *many(b"event", n))
    book.run(path)
    packed = gzipped(path)
    assert [] == book.run(packed)
    assert packed.stat().st_size == book.reached.packed
    assert [] == book.run(packed)


@pytest.mark.parametrize("n", [2, 3000])
def test_compressed_while_it_was_read(path: Path, book: Book, n: int) -> None:
    """A file of which a part was read goes on at the same place in what it unpacks to."""
    append(path, *many(b"event", n))
    book.run(path)
    append(path, b"more", b"and more")
    assert [Line(n + 1, b"more", 4), Line(n + 2, b"and more", 8)] == book.lines(gzipped(path))


def test_compressed_file_of_the_same_beginning_is_another(path: Path, book: Book) -> None:
    """A log header that both have does not make one compressed file the other: it is read whole."""
    path.write_bytes(HEADER + b"old\n")
    book.run(gzipped(path))
    path.write_bytes(HEADER + b"new\nand more\n")
    assert [*HEADER.splitlines(), b"new", b"and more"] == book.run(gzipped(path))


def test_unpacked_again_is_known(path: Path, book: Book) -> None:
    """It works in the other direction, too."""
    append(path, b"a", b"b")
    packed = gzipped(path)
    assert [b"a", b"b"] == book.run(packed)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    assert [] == book.run(path)


def test_rotated_and_compressed_while_stopped(path: Path, book: Book) -> None:
    """The rest of the compressed file comes before the new one; the next run does not look into it again."""
    append(path, *many(b"event", 2000))
    book.run(path)
    append(path, b"a2")
    gzipped(path.rename(f"{path}.1"))
    append(path, b"b1")
    assert [b"a2", b"b1"] == book.run(path)
    assert [] == book.run(path)
    assert 1 == sum(what == "rotated file is read first" for _, what, _ in book.notes.said)


def test_older_archives_are_left_alone(path: Path, book: Book) -> None:
    """Once the newest file that is known was found, compressed ones that are older are not unpacked again."""
    for turn in range(3):
        append(path, *many(b"turn %d" % turn, 500))
        os.utime(path, (1000 + turn, 1000 + turn))
        book.run(path)
        gzipped(path.rename(path.with_name(f"app.log-2026112{turn}")))
    append(path, b"now")
    assert [b"now"] == book.run(path)
    said = [fields["source"] for _, what, fields in book.notes.said if what == "rotated file is read first"]
    assert [str(path.with_name(f"app.log-2026112{turn}.gz")) for turn in range(3)] == said


# -- as values

FACTS = FileIdentity(name="/logs/f", device=1, inode=2, size=5000, head=b"h" * HEAD_BYTES)
CONTENT = b"h" * 5000


def facts(**changes: object) -> FileIdentity:
    known = {field: getattr(FACTS, field) for field in FACTS.__struct_fields__}
    return FileIdentity(**{**known, **changes})


@pytest.mark.parametrize(
    ("there", "content", "expected"),
    [
        (FACTS, CONTENT, True),
        (facts(device=9), CONTENT, True),
        (facts(inode=3), CONTENT, True),  # of the same name
        (facts(inode=3, name="/other/g"), CONTENT, True),  # and enough of it is the same
        (facts(size=2999), CONTENT, False),
        (facts(size=3000), CONTENT, True),
        (facts(head=b"x" + FACTS.head[1:]), CONTENT, False),
        (facts(head=FACTS.head[:-1] + b"x"), CONTENT, False),
        (FACTS, b"h" * 2999 + b"x" * 2001, False),
        (FACTS, b"h" * 3000 + b"x" * 2000, True),
    ],
)
def test_checkpoint_belongs_by_what_is_in_the_file(there: FileIdentity, content: bytes, expected: bool) -> None:
    """The beginning and what stands before the checkpoint must be the same; numbers and names may change."""
    position = file_position(FACTS, offset=3000, line=30, tail=CONTENT[:3000])
    assert expected == is_match(position, there, lambda offset, length: content[offset : offset + length])


@given(st.binary(min_size=1, max_size=2 * TAIL_BYTES), st.data())
def test_position_of_a_file_belongs_to_it_as_it_grows(content: bytes, data: st.DataObject) -> None:
    """Whatever is appended, a position reached earlier still belongs to the file."""
    offset = data.draw(st.integers(1, len(content)))
    size = data.draw(st.integers(offset, len(content)))
    then = facts(size=size, head=content[: min(size, HEAD_BYTES)])
    now = facts(size=len(content), head=content[:HEAD_BYTES])
    position = file_position(then, offset=offset, line=1, tail=content[max(0, offset - TAIL_BYTES) : offset])
    assert is_match(position, now, lambda at, length: content[at : at + length])
    assert content_digest(content[: min(offset, HEAD_BYTES)]) == position.head_hash


def test_best_of_several_checkpoints_is_taken() -> None:
    """The farthest, since all before it was read; of equal ones that of the same inode and device."""

    def at(offset: int, **changes: object) -> Position:
        return file_position(facts(**changes), offset=offset, line=1, tail=CONTENT[: min(TAIL_BYTES, offset)])

    def find(*positions: Position) -> Position | None:
        return Checkpoints(positions).find(FACTS, lambda offset, length: CONTENT[offset : offset + length])

    near, far, elsewhere, copy = at(1000), at(2000), at(2000, device=7), at(2000, inode=7)
    farthest = at(4500, name="g", inode=9)
    assert far == find(elsewhere, near, far, copy)
    assert elsewhere == find(copy, near, elsewhere)
    assert farthest == find(far, farthest)
    assert find() is None


def test_number_of_checkpoints_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were moved last stay, and those of files that are open; nothing is left of the others."""
    monkeypatch.setattr("hookline.relay.sources.checkpoints.MAX_CHECKPOINTS", 3)
    content = [b"%d" % number * HEAD_BYTES for number in range(9)]

    def at(number: int, **changes: object) -> Position:
        there = facts(head=content[number][:HEAD_BYTES], inode=number, **changes)
        return file_position(there, offset=2 * HEAD_BYTES, line=1, tail=content[number][-1:], key=b"%d" % number)

    checkpoints = Checkpoints(map(at, range(3)))
    assert checkpoints.claim(b"0")
    checkpoints.keep(at(1))
    for number in range(3, 9):
        checkpoints.keep(at(number))
    heads = [facts(head=one[:HEAD_BYTES], inode=number) for number, one in enumerate(content)]
    assert [0, 7, 8] == [one.inode for one in heads if checkpoints.candidates(one)]
    assert 3 == len(checkpoints._rows) == sum(map(len, checkpoints._by_head.values()))


# -- renamed at the worst moment


def rotate(path: Path) -> None:
    """Every file of the log moves one place up, as logrotate moves them."""
    for number in range(5, 0, -1):
        if (old := path.with_name(f"app.log.{number}")).exists():
            old.rename(path.with_name(f"app.log.{number + 1}"))
    if path.exists():
        path.rename(f"{path}.1")


def left_after_two_rotations(path: Path, book: Book) -> None:
    """A known file with a rest, one that nobody has seen, and the log."""
    append(path, b"a1")
    book.run(path)
    for number, line in enumerate((b"a2", b"b1")):
        append(path, line)
        os.utime(path, (1000 + number, 1000 + number))
        rotate(path)
    append(path, b"c1")


def once(call: Callable[..., Any], happening: Callable[[], None], *, before: bool = False) -> Callable[..., Any]:
    """The call, with something that happens right after it (or before it) the first time."""
    waiting = [happening]

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if before and waiting:
            waiting.pop()()
        result = call(*arguments, **options)
        if waiting:
            waiting.pop()()
        return result

    return wrapped


@pytest.mark.parametrize("module", [batch_source, rotated_log])
def test_rotated_between_the_search_and_the_opening(
    path: Path, book: Book, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found stands under other names by the time that it is opened: it is searched for again."""
    left_after_two_rotations(path, book)

    def happening() -> None:
        rotate(path)
        append(path, b"d1")

    monkeypatch.setattr(module, "find_unread_files", once(rotation_search.find_unread_files, happening))
    if module is batch_source:
        assert [b"a2", b"b1", b"c1", b"d1"] == book.run(path)
    else:
        with book.following(path) as follower:
            follower.takes(b"a2", b"b1", b"c1", b"d1")
    monkeypatch.undo()
    assert [] == book.run(path)


def test_rotated_in_the_midst_of_the_search(path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that change their names while they are looked at, one by one, are all looked at."""
    left_after_two_rotations(path, book)

    def happening() -> None:
        rotate(path)
        append(path, b"d1")

    monkeypatch.setattr(FileInspector, "inspect", once(FileInspector.inspect, happening))
    with book.following(path) as follower:
        follower.takes(b"a2", b"b1", b"c1", b"d1")


def test_log_renamed_before_it_is_opened(path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log that was looked at is another one when it is opened: the first is found among the rotated ones."""
    append(path, b"a1")
    with book.following(path) as follower:
        follower.takes(b"a1")
        rotate(path)
        append(path, b"b1")

        def happening() -> None:
            rotate(path)
            append(path, b"c1")

        monkeypatch.setattr(tracked_file, "open_reader", once(input_files.open_reader, happening, before=True))
        follower.takes(b"b1", b"c1")


# -- nothing is left that was read

LOST = "last read file not found: rotated files may be unread"


def read_in(path: Path, book: Book, follow: bool, *expected: bytes) -> None:
    """What a finite run, or one that follows, reads."""
    if follow:
        with book.following(path) as follower:
            follower.takes(*expected)
    else:
        assert list(expected) == book.run(path)


@pytest.mark.parametrize("follow", [False, True])
def test_last_file_that_was_read_is_gone(path: Path, book: Book, follow: bool) -> None:
    """With one rotated file kept, two rotations remove it: what came after it is read, and its loss is told."""
    append(path.with_name("app.log.1"), b"long ago")
    os.utime(path.with_name("app.log.1"), (1000, 1000))
    append(path, b"a1")
    read_in(path, book, follow, b"a1")
    path.replace(path.with_name("app.log.1"))
    append(path, b"b1")
    path.replace(path.with_name("app.log.1"))
    append(path, b"c1")
    read_in(path, book, follow, b"b1", b"c1")
    assert [LOST] == book.notes.warnings
    read_in(path, book, follow)
    assert [LOST] == book.notes.warnings


@pytest.mark.parametrize("follow", [False, True])
def test_last_file_that_was_read_is_gone_and_nothing_newer_is_there(path: Path, book: Book, follow: bool) -> None:
    """What was rotated before the last run has read anything stays unread."""
    append(path.with_name("app.log.1"), b"long ago")
    os.utime(path.with_name("app.log.1"), (1000, 1000))
    append(path, b"a1")
    read_in(path, book, follow, b"a1")
    path.unlink()
    append(path, b"b1")
    read_in(path, book, follow, b"b1")
    assert [LOST] == book.notes.warnings


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_rotated_after_it_was_empty(path: Path, book: Book, follow: bool, packed: bool) -> None:
    """A log that was empty when it was read last is known all the same: what came in it before it rotated is read."""
    append(path.with_name("app.log.1"), b"long ago")
    os.utime(path.with_name("app.log.1"), (1000, 1000))
    path.touch()
    read_in(path, book, follow)
    append(path, b"a1", b"a2")
    path.with_name("app.log.1").unlink()
    path.rename(f"{path}.1")
    if packed:
        gzipped(path.with_name("app.log.1"))
    append(path, b"b1")
    read_in(path, book, follow, b"a1", b"a2", b"b1")
    read_in(path, book, follow)
    assert [] == book.notes.warnings


def test_empty_log_has_no_past(path: Path, book: Book) -> None:
    """What was rotated before anybody looked at the empty log is left alone."""
    append(path.with_name("app.log.1"), b"long ago")
    os.utime(path.with_name("app.log.1"), (1000, 1000))
    path.touch()
    assert [] == book.run(path)
    append(path, b"a1")
    assert [b"a1"] == book.run(path)
    assert [] == book.notes.warnings


@pytest.mark.parametrize("follow", [False, True])
def test_rotated_after_the_clock_was_set_back(path: Path, book: Book, follow: bool) -> None:
    """When a file that was read is newer than the log, times say nothing, and numbers tell which came later."""
    append(path.with_name("app.log.4"), b"long ago")
    os.utime(path.with_name("app.log.4"), (1000, 1000))
    append(path, b"a1")
    read_in(path, book, follow, b"a1")
    for number, line in ((3, b"a2"), (2, b"b1"), (1, b"c1")):
        append(path, line)
        os.utime(path, (5000, 9000 if number == 3 else 2000 - number))
        path.rename(f"{path}.{number}")
    append(path, b"d1")
    os.utime(path, (5000, 3000))
    read_in(path, book, follow, b"a2", b"b1", b"c1", b"d1")
    assert [] == book.notes.warnings


@pytest.mark.parametrize("follow", [False, True])
def test_rotated_files_after_the_clock_was_set_back(path: Path, book: Book, follow: bool) -> None:
    """If a file that was read is newer than a file with a later number, the numbers give the order. The time of the
    log itself does not matter, because the clock may be right again when the log is written."""
    append(path, b"a1")
    os.utime(path, (9000, 9000))
    read_in(path, book, follow, b"a1")
    path.rename(f"{path}.3")
    for number, line in ((2, b"b1"), (1, b"c1")):
        append(path, line)
        os.utime(path, (2000, 2000))
        path.rename(f"{path}.{number}")
    append(path, b"d1")
    read_in(path, book, follow, b"b1", b"c1", b"d1")
    assert [] == book.notes.warnings


def test_renamed_while_stopped_and_no_new_log_yet(path: Path, book: Book) -> None:
    """The rest of it does not wait for a new log of that name."""
    append(path, b"a1")
    read_in(path, book, True, b"a1")
    append(path, b"a2")
    rotated = path.rename(f"{path}.1")
    with book.following(path) as follower:
        follower.takes(b"a2")
        append(rotated, b"a3")
        append(path, b"b1")
        follower.takes(b"a3", b"b1")
    assert ["file does not exist yet, waiting for it"] == book.notes.warnings


def test_removed_while_stopped_and_no_new_log_yet(path: Path, book: Book) -> None:
    """Each is told once: that nothing is left, and that the log is not there."""
    append(path, b"a1")
    read_in(path, book, True, b"a1")
    path.unlink()
    with book.following(path) as follower:
        follower.read_for(2.5)
        append(path, b"b1")
        follower.takes(b"b1")
    assert ["file does not exist yet, waiting for it", LOST] == book.notes.warnings
