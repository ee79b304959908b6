"""Compressed files: unpacked step by step, and what is wrong with them is told."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import HooklineError
from hookline.relay.sources import decompression
from hookline.relay.sources.decompression import Compression, Decompressor, compression_of
from source_reader import Book

Pack = Callable[[bytes], bytes]
RNG = random.Random(20261122)
LINES = [b"%d" % RNG.getrandbits(200) for _ in range(20_000)]
DATA = b"\n".join(LINES) + b"\n"
both = pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"notes"
DAMAGED = "compressed file is damaged, its intact part was read"


def checked_zstd(data: bytes) -> bytes:
    """With a checksum at its end, as the zstd program writes it."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.packed"


@pytest.fixture
def book() -> Book:
    return Book()


def unpacked(*chunks: bytes, most: int = 1000) -> bytes:
    unpacker = Decompressor()
    out = b""
    for chunk in chunks:
        unpacker.feed(chunk)
        while piece := unpacker.next(most):
            assert len(piece) <= most
            out += piece
    assert unpacker.is_complete
    return out


@both
@given(data=st.lists(st.binary(max_size=400), min_size=1, max_size=4), size=st.integers(1, 300))
def test_pieces_do_not_matter(pack: Pack, data: list[bytes], size: int) -> None:
    """However a stream of one or more members comes in, and however little may come out at a time."""
    stream = b"".join(map(pack, data))
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert b"".join(data) == unpacked(*chunks, most=size)


@both
def test_compressed_file_is_read_as_it_is(path: Path, book: Book, pack: Pack) -> None:
    """By its first bytes, whatever its name; it has a checkpoint in what it unpacks to."""
    path.write_bytes(pack(DATA))
    assert LINES == book.run(path)
    assert (len(LINES), len(DATA), path.stat().st_size) == (
        book.reached.line, book.reached.offset, book.reached.packed
    )  # fmt: skip
    assert [] == book.run(path)
    assert [] == book.notes.warnings


@both
def test_resumed_in_the_middle(path: Path, pack: Pack) -> None:
    """Each batch has a position to go on from."""
    path.write_bytes(pack(DATA))
    source = Book().open(path)
    batches = [source.read() for _ in range(10)]
    source.close()
    lines = [line for batch in batches for line in batch.lines]
    rest = Book([batches[-1].position]).lines(path)
    assert LINES == [line.data for line in (*lines, *rest)]
    assert list(range(1, len(LINES) + 1)) == [line.number for line in (*lines, *rest)]


@both
def test_members_in_a_row(path: Path, book: Book, pack: Pack) -> None:
    """Appended members are one stream; a line may go from one into the next, and an empty one is nothing."""
    path.write_bytes(pack(b"one\ntw") + pack(b"") + pack(b"o\n"))
    assert [b"one", b"two"] == book.run(path)
    with path.open("ab") as file:
        file.write(pack(b"three\n"))
    assert [b"three"] == book.run(path)
    assert [] == book.notes.warnings


def test_skippable_frames_are_skipped(path: Path, book: Book) -> None:
    """zstd's programs put notes of their own before, between and behind the frames."""
    path.write_bytes(SKIPPABLE + zstd.compress(b"one\n") + SKIPPABLE + zstd.compress(b"two\n") + SKIPPABLE)
    assert [b"one", b"two"] == book.run(path)
    assert [] == book.notes.warnings


@both
def test_unterminated_last_line(path: Path, book: Book, pack: Pack) -> None:
    """Nothing can follow the rest of a complete archive, so it is a line, JSON or not."""
    path.write_bytes(pack(b'{"n":1}\n{"n":2}'))
    assert [b'{"n":1}', b'{"n":2}'] == book.run(path)
    path.write_bytes(pack(b'{"n":3}\n{"n":'))
    assert [b'{"n":3}', b'{"n":'] == book.run(path)
    assert [] == book.unfinished


@both
def test_cut_off(path: Path, book: Book, pack: Pack) -> None:
    """What is whole is read, the rest is told; when the rest is there after all, it goes on where it was."""
    packed = pack(DATA)
    path.write_bytes(packed[: len(packed) // 2])
    lines = book.run(path)
    assert LINES[: len(lines)] == lines
    assert len(lines) > 5000
    assert [("warning", DAMAGED, str(path), "it ends too early", len(lines))] == [
        (level, what, fields["source"], fields["reason"], fields["line"]) for level, what, fields in book.notes.said
    ]
    path.write_bytes(packed)
    assert LINES[len(lines) :] == book.run(path)


@pytest.mark.parametrize("pack", [gzip.compress, checked_zstd], ids=["gzip", "zstd"])
def test_wrong_checksum(path: Path, book: Book, pack: Pack) -> None:
    """All lines were there, and are taken; that they may be wrong is told."""
    packed = bytearray(pack(DATA))
    packed[-7 if packed[0] == 0x1F else -2] ^= 0xFF
    path.write_bytes(packed)
    assert LINES == book.run(path)
    assert [DAMAGED] == book.notes.warnings


@pytest.mark.parametrize("pack", [gzip.compress, checked_zstd], ids=["gzip", "zstd"])
def test_damage_in_the_middle(path: Path, tmp_path: Path, book: Book, pack: Pack) -> None:
    """What comes before it is taken, and the next file is read."""
    packed = bytearray(pack(DATA))
    for at in range(len(packed) // 2, len(packed) // 2 + 64):
        packed[at] ^= 0xFF
    path.write_bytes(packed)
    after = tmp_path / "after"
    after.write_bytes(b"after\n")
    lines = book.run(path, after)
    assert b"after" == lines[-1]
    assert 5000 < len(lines) < 12_000
    assert LINES[:5000] == lines[:5000]
    assert [DAMAGED] == book.notes.warnings


@both
def test_garbage_behind(path: Path, book: Book, pack: Pack) -> None:
    """It is told, and is no line."""
    path.write_bytes(pack(b"one\n") + b"garbage that is long enough\n")
    assert [b"one"] == book.run(path)
    assert [DAMAGED] == book.notes.warnings


def test_padding_behind(path: Path, book: Book) -> None:
    """Tapes and block devices pad with NUL bytes; gzip takes no notice of them, and neither do we."""
    path.write_bytes(gzip.compress(b"one\n") + b"\0" * 5000)
    assert [b"one"] == book.run(path)
    assert [] == book.notes.warnings


def test_random_bytes_behind_a_magic(path: Path, book: Book) -> None:
    """What only begins like a compressed file is damaged from its start."""
    for magic in (b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        path.write_bytes(magic + RNG.randbytes(5000))
        assert [] == book.run(path)
    assert [DAMAGED] * 2 == book.notes.warnings


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_xz_and_bzip2_are_read(path: Path, book: Book, pack: Pack) -> None:
    """Archives of both are read to their end, several streams in one file too, and continue from their checkpoint."""
    path.write_bytes(pack(b"one\n") + pack(b"two"))
    assert [b"one", b"two"] == book.run(path)
    assert [] == book.run(path)


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_damaged_xz_and_bzip2_give_their_intact_part(path: Path, book: Book, pack: Pack) -> None:
    """Damage is a warning and an unread rest, not an error."""
    path.write_bytes(pack(b"one\n") + pack(b"two\n")[:-6])
    os.utime(path, (1, 1))
    assert b"one" in book.run(path)
    assert [str(path)] == [name for name, _ in book.unfinished]
    assert ["compressed file is damaged, its intact part was read"] == book.notes.warnings


@pytest.mark.parametrize(("magic", "program"), [(b"\xfd7zXZ\0more", "xz"), (b"BZh91AY&SYmore", "bzip2")])
def test_other_compression_is_refused(
    path: Path, book: Book, magic: bytes, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the modules of Python it would become many dead letters; the message has the command that helps."""
    monkeypatch.setattr(decompression, "PACKED", frozenset({Compression.GZIP, Compression.ZSTD}))
    path.write_bytes(magic)
    with pytest.raises(HooklineError, match=program) as raised:
        book.run(path)
    assert f"{program} -dc {path} | hookline relay -" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", Compression.UNKNOWN),
        (b"\x1f", Compression.UNKNOWN),
        (b"\x28\xb5\x2f", Compression.UNKNOWN),
        (b"BZh9", Compression.UNKNOWN),
        (b"P", Compression.UNKNOWN),
        (b"Plain text", Compression.PLAIN),
        (b"BZh is text", Compression.PLAIN),
        (b"{}\n", Compression.PLAIN),
        (b"\x1f\x8b", Compression.GZIP),
        (SKIPPABLE, Compression.ZSTD),
    ],
)
def test_first_bytes_tell(head: bytes, expected: Compression) -> None:
    """As few of them as needed; too few leave it open."""
    assert expected is compression_of(head)


@both
def test_bomb_costs_no_memory(pack: Pack) -> None:
    """What comes out at a time is bounded, and what went in is not kept in any other form."""
    bomb = pack(b"\0" * 50_000_000)
    unpacker = Decompressor()
    unpacker.feed(bomb)
    out = 0
    while piece := unpacker.next(4096):
        assert len(piece) <= 4096
        out += len(piece)
    expected = 50_000_000
    assert expected == out
    unpacker.feed(b"no packed data, and long enough")
    assert b"" == unpacker.next(4096)
    assert unpacker.damage
