"""Which store a `--state` means."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookline.errors import WrongUse
from hookline.state.opening import open_state
from hookline.state.port import Entry
from hookline.state.snapshot import EMPTY


def test_path_is_an_sqlite_file(tmp_path: Path) -> None:
    """A path opens a store that makes its file with the first commit, under a fresh random lineage."""
    entry = Entry(at=datetime.now(UTC), who="ada", commit=None, branch=None, fingerprint="sha256:0", changes=())
    first = open_state(str(tmp_path / "a.db")).commit(EMPTY, {}, entry)
    second = open_state(str(tmp_path / "b.db")).commit(EMPTY, {}, entry)
    assert open_state(str(tmp_path / "a.db")).version() == (first.lineage, 1)
    assert uuid.UUID(first.lineage).version == 4
    assert first.lineage != second.lineage


@pytest.mark.parametrize("target", ["postgresql://db/hookline", "s3://bucket/state", ""])
def test_unknown_kind(target: str) -> None:
    """An address that is not a path is refused, and the message says what is supported."""
    with pytest.raises(WrongUse) as refused:
        open_state(target)
    assert "SQLite file" in str(refused.value.hint)
