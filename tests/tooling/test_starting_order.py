"""Long tests are the first ones of the workers of a parallel run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from xdist.scheduler.worksteal import WorkStealingScheduling  # type: ignore[import-untyped]

from starting_order import block_sizes, starting_order

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
