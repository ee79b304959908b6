"""Files with an end: where reading begins, and how far it came."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import HooklineError
from hookline.relay.fates import Line
from hookline.relay.sources.files import FileSource
from hookline.relay.sources.identity import HEAD, FileFacts, belongs, checkpoint_for, head_hash, reached
from hookline.relay.sources.lines import LONGEST
from hookline.relay.sources.opening import open_source
from hookline.relay.sources.port import Position


def drain(path: Path | str, *known: Position, from_start: bool = False) -> tuple[list[bytes], Position, int]:
    """Everything that one run takes: the lines' data, the position reached, the bytes left over."""
    source = open_source(str(path), known, from_start=from_start)
    assert isinstance(source, FileSource)
    lines: list[Line] = []
    try:
        while True:
            batch = source.read()
            lines += batch.lines
            assert len(batch.lines) <= 500
            if batch.end:
                return [line.data for line in lines], batch.position, source.unfinished
    finally:
        source.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def test_finished_file_gives_nothing_again(path: Path) -> None:
    """A second run begins where the first one ended."""
    path.write_bytes(b'{"n":1}\n{"n":2}\r\n')
    lines, position, _ = drain(path)
    assert [b'{"n":1}', b'{"n":2}'] == lines
    expected = (2, 17)
    assert expected == (position.line, position.offset)
    assert drain(path, position)[0] == []


def test_file_that_has_grown_goes_on_with_its_numbers(path: Path) -> None:
    """What was appended is read, and its lines are counted from the file's beginning."""
    path.write_bytes(b"a\nb\n")
    _, position, _ = drain(path)
    with path.open("ab") as file:
        file.write(b"c\n")
    source = open_source(str(path), [position])
    assert [Line(3, b"c", 1)] == source.read().lines
    source.close()


def test_from_start_ignores_the_checkpoint(path: Path) -> None:
    """On demand a finished file is read again."""
    path.write_bytes(b"a\nb\n")
    _, position, _ = drain(path)
    assert [b"a", b"b"] == drain(path, position, from_start=True)[0]


def test_checkpoint_follows_a_renamed_file(path: Path) -> None:
    """A rotated file is known under its new name; the new one under the old name is read from its start."""
    path.write_bytes(b"a\nb\n")
    _, position, _ = drain(path)
    rotated = path.rename(path.with_suffix(".1"))
    path.write_bytes(b"c\n")
    assert drain(rotated, position)[0] == []
    assert [b"c"] == drain(path, position)[0]


def test_inode_used_again_is_another_file(path: Path) -> None:
    """Another content in the same inode is read from its start, though it is longer than the checkpoint's offset."""
    path.write_bytes(b"old one\n")
    _, position, _ = drain(path)
    path.write_bytes(b"new one\nand more\n")  # same inode: truncated and written anew
    assert position.inode == path.stat().st_ino
    assert [b"new one", b"and more"] == drain(path, position)[0]


def test_truncated_file_is_read_from_its_start(path: Path) -> None:
    """After copytruncate the file is shorter than its checkpoint."""
    path.write_bytes(b"same\n" * 3)
    _, position, _ = drain(path)
    path.write_bytes(b"same\n")
    assert [b"same"] == drain(path, position)[0]


def test_unterminated_json_is_taken_once(path: Path) -> None:
    """A last line that is a whole object counts, and is neither repeated nor torn when its terminator comes later."""
    path.write_bytes(b'{"n":1}\n{"n":2}')
    lines, position, unfinished = drain(path)
    assert [b'{"n":1}', b'{"n":2}'] == lines
    assert not unfinished
    with path.open("ab") as file:
        file.write(b'\r\n{"n":3}\n')
    source = open_source(str(path), [position])
    assert [Line(3, b'{"n":3}', 7)] == source.read().lines
    source.close()


@pytest.mark.parametrize("tail", [b'{"n":', b"12", b'"te', b"plain text", b"\0" * 20, b"[" * 5000])
def test_unterminated_beginning_is_left_and_told(path: Path, tail: bytes) -> None:
    """A last line that may still be written to is not taken: the next run has it whole."""
    path.write_bytes(b"a\n" + tail)
    lines, position, unfinished = drain(path)
    assert [b"a"] == lines
    assert len(tail) == unfinished
    with path.open("ab") as file:
        file.write(b" ...\n")
    assert [tail + b" ..."] == drain(path, position)[0]


def test_blanks_at_the_end_are_nothing(path: Path) -> None:
    """Blanks behind the last line are no unfinished line."""
    path.write_bytes(b"a\n  ")
    assert ([b"a"], 0) == drain(path)[::2]


def test_byte_order_mark_is_dropped(path: Path) -> None:
    """Editors on some systems begin a file with one; it belongs to no line, and the offset counts it."""
    path.write_bytes(b"\xef\xbb\xbf{}\n")
    lines, position, _ = drain(path)
    assert [b"{}"] == lines
    assert path.stat().st_size == position.offset


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_empty_file_ends_at_once(path: Path, content: bytes) -> None:
    """Nothing in it, nothing wrong with it."""
    path.write_bytes(content)
    assert ([], 0) == drain(path)[::2]


def test_batches_are_bounded_and_each_has_its_position(path: Path) -> None:
    """At most 500 lines come at a time, and reading can go on from any batch as if it were the last one read."""
    path.write_bytes(b"".join(b'{"n":%d}\n' % number for number in range(1234)))
    source = open_source(str(path))
    batches = [source.read() for _ in range(3)]
    source.close()
    assert [500, 500, 234] == [len(batch.lines) for batch in batches]
    assert [False, False, True] == [batch.end for batch in batches]
    rest, _, _ = drain(path, batches[0].position)
    assert [line.data for batch in batches[1:] for line in batch.lines] == rest


def test_endless_line_does_not_hold_up_the_reader(path: Path) -> None:
    """While an endless line goes by, batches without lines come back, and the position waits before it."""
    path.write_bytes(b"x" * (9 * LONGEST) + b"\n{}\n")
    source = open_source(str(path))
    first = source.read()
    assert [] == first.lines
    assert not first.end
    expected = 0
    assert expected == first.position.offset
    lines = [line for _ in range(3) for line in source.read().lines]
    source.close()
    assert [9 * LONGEST, 2] == [line.length for line in lines]
    assert lines[0].sha256 is not None


def test_progress_is_in_bytes(path: Path) -> None:
    """The progress bar gets what was taken and the whole size."""
    path.write_bytes(b"abc\n" * 10)
    source = open_source(str(path))
    source.read()
    assert (40, 40) == source.progress()
    source.close()


@pytest.mark.parametrize(("name", "found"), [("missing.ndjson", "no such file"), (".", "is a directory")])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, found: str) -> None:
    """A wrong path is a message with the next step, not a traceback."""
    with pytest.raises(HooklineError, match=found) as raised:
        open_source(str(tmp_path / name))
    assert raised.value.hint


def test_name_that_no_file_can_have_is_told() -> None:
    """A NUL byte in a name is refused like any other wrong path."""
    with pytest.raises(HooklineError, match="not a file name"):
        open_source("a\0b")


def test_compressed_file_is_refused_at_the_door(path: Path) -> None:
    """Compressed bytes are not read as lines; the message has the command that helps."""
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(HooklineError, match="gzip") as raised:
        open_source(str(path))
    assert f"gzip -dc {path} | hookline relay -" in str(raised.value.hint)


FACTS = FileFacts(device=1, inode=2, size=5000, head=b"h" * HEAD)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, True),
        (FileFacts(device=9, inode=2, size=5000, head=FACTS.head), True),
        (FileFacts(device=1, inode=3, size=5000, head=FACTS.head), False),
        (FileFacts(device=1, inode=2, size=2999, head=FACTS.head), False),
        (FileFacts(device=1, inode=2, size=3000, head=FACTS.head), True),
        (FileFacts(device=1, inode=2, size=5000, head=b"x" + FACTS.head[1:]), False),
        (FileFacts(device=1, inode=2, size=5000, head=FACTS.head[:-1] + b"x"), False),
    ],
)
def test_checkpoint_belongs_by_inode_beginning_and_size(facts: FileFacts, expected: bool) -> None:
    """The device may change over a restart of the machine; inode, beginning and size may not."""
    assert expected == belongs(reached("f", FACTS, offset=3000, line=30), facts)


@given(st.binary(min_size=1, max_size=3 * HEAD), st.data())
def test_position_of_a_file_belongs_to_it_as_it_grows(content: bytes, data: st.DataObject) -> None:
    """Whatever is appended, a position reached earlier still belongs to the file."""
    offset = data.draw(st.integers(1, len(content)))
    size = data.draw(st.integers(offset, len(content)))
    then = FileFacts(device=1, inode=2, size=size, head=content[: min(size, HEAD)])
    now = FileFacts(device=1, inode=2, size=len(content), head=content[:HEAD])
    position = reached("f", then, offset=offset, line=1)
    assert belongs(position, now)
    assert head_hash(content[: min(offset, HEAD)]) == position.head_hash


def test_best_of_several_checkpoints_is_taken() -> None:
    """On the same device before others, then the farthest."""
    near = reached("f", FACTS, offset=1000, line=1)
    far = reached("g", FACTS, offset=2000, line=2)
    elsewhere = reached("h", FileFacts(device=7, inode=2, size=5000, head=FACTS.head), offset=4000, line=4)
    assert far == checkpoint_for(FACTS, [elsewhere, near, far])
    assert elsewhere == checkpoint_for(FACTS, [elsewhere])
    assert checkpoint_for(FACTS, []) is None


def test_failing_device_is_an_error_of_ours(path: Path) -> None:
    """When the system refuses to go on reading, the message names file and byte."""
    path.write_bytes(b"a\n")
    descriptor = os.open(path, os.O_RDONLY)
    source = FileSource(str(path), descriptor)
    os.close(descriptor)
    with pytest.raises(HooklineError, match=r"cannot be read at byte 2: Bad file descriptor"):
        source.read()
