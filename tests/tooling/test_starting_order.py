"""Long tests are the first ones of the workers of a parallel run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.scheduler.worksteal import WorkStealingScheduling  # type: ignore[import-untyped]

from hookline_process import clean_environment
from starting_order import block_sizes, starting_order

TESTS = Path(__file__).parents[1]
LONG = {"a": 60.0, "b": 50.0, "c": 20.0, "d": 15.0}


class Worker:
    """A worker of pytest-xdist that notes the numbers of its tests."""

    def __init__(self, name: str) -> None:
        self.gateway, self.shutting_down = SimpleNamespace(id=name), False
        self.tests: list[int] = []

    def send_runtest_some(self, numbers: list[int]) -> None:
        self.tests += numbers


def begin(tests: list[str], workers: int) -> list[list[str]]:
    """The tests with which each worker begins, as the scheduler hands them out."""
    config: Any = SimpleNamespace(getvalue=lambda name: ["popen"] * workers, hook=None)
    scheduler, nodes = WorkStealingScheduling(config), [Worker(str(number)) for number in range(workers)]
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    return [[tests[number] for number in node.tests] for node in nodes]


def ordered(tests: list[str], workers: int) -> list[str]:
    return starting_order(tests, lambda one: LONG.get(one, 0.0), workers)


@pytest.mark.parametrize("count", [40, 41, 42, 43])
def test_every_second_worker_begins_with_long_tests(count: int) -> None:
    """The longest first, so that their sums are about equal. The other tests keep their order."""
    tests = [f"t{number}" for number in range(count)]
    collected = [*tests[:7], "d", *tests[7:20], "b", "c", *tests[20:], "a"]
    order = ordered(collected, 4)
    assert sorted(collected) == sorted(order)
    assert tests == [one for one in order if one not in LONG]
    blocks = begin(order, 4)
    assert [["a", "d"], ["b", "c"]] == [blocks[0][:2], blocks[2][:2]]
    assert [len(block) for block in blocks] == block_sizes(len(order), 4)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
def test_no_test_is_left_out(workers: int) -> None:
    """Also if there are fewer tests than workers, or only long ones."""
    for tests in ([], ["a"], ["t", "a"], ["a", "b", "c", "d"], ["t", "d", "c", "b", "u", "a"]):
        assert sorted(tests) == sorted(ordered(tests, workers))


RECORDED = """
import os
import pytest

@pytest.fixture(autouse=True)
def record(request):
    with open(os.environ["PYTEST_XDIST_WORKER"], "a") as file:
        file.write(request.node.name + "\\n")

@pytest.mark.soak
@pytest.mark.parametrize("number", range(3))
def test_left_out(number): pass

@pytest.mark.parametrize("number", range(5))
def test_before(number): pass

@pytest.mark.starts_first(10)
def test_long(): pass

@pytest.mark.starts_first(20)
def test_longest(): pass

@pytest.mark.parametrize("number", range(2))
def test_after(number): pass
"""


def test_a_parallel_run_starts_with_the_marked_tests(tmp_path: Path) -> None:
    """The hook of conftest.py orders the tests of a real run. It counts no tests that `-m` leaves out."""
    (tmp_path / "test_recorded.py").write_text(RECORDED)
    settings = ("-c", TESTS.parent / "pyproject.toml", "--rootdir", tmp_path, "-p", "conftest")
    done = subprocess.run(
        (sys.executable, "-m", "pytest", *settings, "-n", "3", "--dist", "worksteal", "-m", "not soak", "."),
        cwd=tmp_path, env=clean_environment(PYTHONPATH=str(TESTS)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    workers = {path.name: path.read_text().split() for path in tmp_path.glob("gw*")}
    assert {"test_longest", "test_long"} <= {names[0] for names in workers.values()}, workers
    assert 9 == sum(map(len, workers.values()))
