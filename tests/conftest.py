"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.settings import CI_VARIABLES
from hookline_process import Lab

# Variables that change the output, the user, the state or the connections of a command. A test sets those it needs.
_VARIABLES = (
    *CI_VARIABLES,
    *("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "NOTIFY_SOCKET", "WATCHDOG_USEC"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


def pytest_configure() -> None:
    """Make the tests independent of the environment that they run in, such as a CI job."""
    for name in list(os.environ):
        if name.upper() in _VARIABLES or name.startswith("HOOKLINE_"):
            del os.environ[name]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that a missing program leaves out."""
    from pgbouncer import MISSING, PROGRAM  # noqa: PLC0415 - loads the driver of PostgreSQL

    if PROGRAM is None:
        terminalreporter.write_line(f"left out: {MISSING}")


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
