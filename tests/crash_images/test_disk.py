"""The model of the disk: which states are legal after a power cut, and which are not."""

from __future__ import annotations

from random import Random

from crash_images.choices import choices
from crash_images.disk import SECTOR_BYTES, Disk
from crash_images.record import Create, MakeDirectory, Rename, Step, Sync, SyncDirectory, Truncate, Unlink, Write

A, B, C = b"a" * SECTOR_BYTES, b"b" * SECTOR_BYTES, b"c" * SECTOR_BYTES


def states(*steps: Step, draws: int = 200) -> set[tuple[tuple[str, bytes], ...]]:
    """The states that are drawn after the steps, in the directory `d`, whose name is synced."""
    disk = Disk()
    for step in (MakeDirectory("d"), SyncDirectory(""), *steps):
        disk.make(step)
    random = Random(1)
    chosen = [choice for _ in range(draws) for choice in choices(disk, random, new=False)] or [disk.everything()]
    return {tuple(disk.files(choice).items()) for choice in chosen}


def contents(*steps: Step) -> set[bytes]:
    """The contents of a file that was created and synced before the steps."""
    found = states(Create("d/f", 1), SyncDirectory("d"), *steps)
    assert all(len(files) == 1 for files in found)
    return {files[0][1] for files in found}


def test_a_synced_write_is_always_there() -> None:
    """After a sync of the file and of the directory only one state is legal."""
    assert {A} == contents(Write(1, 0, A), Sync(1))


def test_an_unsynced_write_is_there_or_not_or_torn() -> None:
    """Each sector of a write is there or not, and the size too."""
    found = contents(Write(1, 0, A + B))
    assert {b"", A, A + B, bytes(SECTOR_BYTES) + B} <= found
    assert all(one[:SECTOR_BYTES] in (b"", A, bytes(SECTOR_BYTES)) for one in found)


def test_a_sector_is_never_torn() -> None:
    """A sector has one of the contents that it has had: a later part of it is never there without the earlier one."""
    half = SECTOR_BYTES // 2
    found = contents(Write(1, 0, A), Sync(1), Write(1, 0, B[:half]), Write(1, half, B[half:]))
    assert {A, B[:half] + A[half:], B} == found


def test_writes_persist_in_any_order() -> None:
    """A later write may be there without an earlier one."""
    found = contents(Write(1, 0, A + A), Sync(1), Write(1, 0, B), Write(1, SECTOR_BYTES, C))
    assert {A + A, B + A, A + C, B + C} == found


def test_a_truncation_may_be_lost() -> None:
    """A truncated file has its old or its new size."""
    assert {A + B, A} <= contents(Write(1, 0, A + B), Sync(1), Truncate(1, SECTOR_BYTES))


def test_names_persist_in_any_order() -> None:
    """Until the directory is synced, a new, a removed and a changed name may be there or not."""
    created = (Create("d/f", 1), Write(1, 0, A), Sync(1))
    assert {(), (("d/f", A),)} == states(*created)
    assert {(("d/f", A),), (("d/g", A),)} == states(*created, SyncDirectory("d"), Rename("d/f", "d/g"))
    assert {(("d/f", A),), ()} == states(*created, SyncDirectory("d"), Unlink("d/f"))
    assert {(("d/g", A),)} == states(*created, Rename("d/f", "d/g"), SyncDirectory("d"))


def test_a_lost_directory_takes_its_files_along() -> None:
    """A directory whose own name is not synced may be missing, with the files in it."""
    disk = Disk()
    for step in (MakeDirectory("d"), Create("d/f", 1), SyncDirectory("d"), Write(1, 0, A), Sync(1)):
        disk.make(step)
    found = {tuple(disk.files(choice).items()) for choice in choices(disk, Random(1), new=False)}
    assert {(), (("d/f", A),)} == found
