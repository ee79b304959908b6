"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline_process import Lab


@pytest.fixture
def private_files() -> Iterator[None]:
    """New files of the test are accessible by their owner only, as secret files must be."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def lab(tmp_path: Path, private_files: None) -> Lab:
    """A fresh directory to run hookline in."""
    return Lab(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests marked `anyio` run on asyncio, as the relay does."""
    return "asyncio"
