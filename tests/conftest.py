"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A fresh directory to run hookline in."""
    return Lab(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests marked `anyio` run on asyncio, as the relay does."""
    return "asyncio"
