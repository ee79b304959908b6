"""Fixtures that several test folders share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from command_run import Run, run_captured
from hookline.settings import CI_VARIABLES
from hookline_process import Lab
from starting_order import starting_order

# Variables that change the output, the user, the state or the connections of a command. A test sets those it needs.
_VARIABLES = (
    *CI_VARIABLES,
    *("NO_COLOR", "FORCE_COLOR", "NOTIFY_SOCKET", "WATCHDOG_USEC", "BITBUCKET_BUILD_NUMBER", "CIRCLECI"),
    *("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID", "BUILD_REQUESTEDFOR", "BUILDKITE_BUILD_CREATOR"),
    "CIRCLE_USERNAME",
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


# An example may take long on a machine that does other work as well.
settings.register_profile("hookline", deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_configure() -> None:
    """Make the tests independent of the environment that they run in, such as a CI job."""
    settings.load_profile("hookline")
    for name in list(os.environ):
        if name.upper() in _VARIABLES or name.startswith("HOOKLINE_"):
            del os.environ[name]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the workers of a parallel run begin with the long tests. `trylast`: after -m has left tests out."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        items[:] = starting_order(items, _seconds, int(worker["workercount"]))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave the collected tests out of every garbage collection. A full one takes 0.2 s with them."""
    gc.collect()
    gc.freeze()


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("starts_first")
    return 0.0 if mark is None else float(mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that a missing program leaves out."""
    import browser  # noqa: PLC0415 - loads Playwright
    import pgbouncer  # noqa: PLC0415 - loads the driver of PostgreSQL
    import promtool  # noqa: PLC0415 - beside the others

    for needed in (browser, pgbouncer, promtool):
        if needed.PROGRAM is None:
            terminalreporter.write_line(f"left out: {needed.MISSING}")


@pytest.fixture
def private_files() -> Iterator[None]:
    """New files of the test are accessible by their owner only, as secret files must be."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, in the current directory."""
    return partial(run_captured, capsys)


@pytest.fixture
def lab(tmp_path: Path, private_files: None) -> Lab:
    """A fresh directory to run hookline in."""
    return Lab(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests marked `anyio` run on asyncio, as the relay does."""
    return "asyncio"
