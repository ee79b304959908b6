"""The parts of the benchmarks that decide about figures, without a measurement."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import bench
import instructions
import kills
from plain_data import load
from results import Results, read_results


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """The file has every round, the parameters with their types, and the machine."""
    results = Results(benchmark="one", machine={"cores": "2"}, parameters={"events": 5, "share": 0.5, "option": "-x"})
    results.add("cpu", "processor time", "µs", [3.0, 1.0, 2.0])
    results.write(tmp_path / "new" / "one.json")
    again = read_results(tmp_path / "new" / "one.json")
    assert results == again
    row = again.get("cpu")
    assert row is not None
    assert 2.0 == row.value


def test_a_row_has_values_and_a_name_of_its_own() -> None:
    """A row without a round, or with the name of another one, is a mistake of the benchmark."""
    results = Results(benchmark="one", machine={})
    results.add("cpu", "processor time", "µs", [1.0])
    with pytest.raises(ValueError, match="cpu: 1 rounds, or a second row"):
        results.add("cpu", "processor time", "µs", [1.0])
    with pytest.raises(ValueError, match="rate: 0 rounds"):
        results.add("rate", "rate", "1/s", [])


def test_plain_data_becomes_rows(tmp_path: Path) -> None:
    """The runs of one input and rate become one row for each quantile, with a value for each run."""
    runs = [
        {
            "input": "pipe",
            "rate": 5000.0,
            "processor_microseconds": cpu,
            "milliseconds": [float(n) for n in range(100)],
        }
        for cpu in (70.0, 90.0, 80.0)
    ]
    path = tmp_path / "follow.json"
    path.write_bytes(msgspec.json.encode(runs))
    found = {row.measure: row.value for row in load(path, "follow").rows}
    assert {"pipe-5000-median": 50.0, "pipe-5000-p90": 90.0, "pipe-5000-p99": 99.0, "pipe-5000-cpu": 80.0} == found


def test_other_plain_data_becomes_a_row_for_each_number(tmp_path: Path) -> None:
    """Objects with the same texts are the rounds of one measurement; the name of a field ends with its unit."""
    runs = [{"command": "plan, nothing to do", "seconds": seconds, "webhooks": 10} for seconds in (2.0, 4.0, 3.0)]
    path = tmp_path / "reconcile.json"
    path.write_bytes(msgspec.json.encode(runs))
    found = {row.measure: (row.value, row.unit) for row in load(path, "reconcile").rows}
    assert {"plan-nothing-to-do-seconds": (3.0, "s"), "plan-nothing-to-do-webhooks": (10, "webhooks")} == found


def test_named_figures_become_rows(tmp_path: Path) -> None:
    """The name of a figure ends with its unit, alone or for an event."""
    path = tmp_path / "spool.json"
    path.write_bytes(msgspec.json.encode({"append, µs/event": 9.5, "dead letters, longest ms": 4.0}))
    found = {row.measure: (row.value, row.unit) for row in load(path, "spool").rows}
    assert {"append-µs-event": (9.5, "µs"), "dead-letters-longest-ms": (4.0, "ms")} == found


def test_a_repeated_event_counts_for_the_process_that_was_killed() -> None:
    """An event that a later process posts again counts for the process that posted it before."""
    assert [2, 0] == kills.repeated_by([["a", "b", "c"], ["b", "c", "d"], ["e"]])
    assert [1, 1] == kills.repeated_by([["a"], ["a", "b"], ["b"]])


def test_one_process_repeats_nothing() -> None:
    """An event that one process posted twice has no kill as its reason."""
    with pytest.raises(ValueError, match="a: posted twice by one process"):
        kills.repeated_by([["a", "b", "a"]])


def test_the_promise_about_repeated_events() -> None:
    """At most the unwritten outcomes, 64 or four for each connection, and the attempts in flight."""
    assert 64 + 16 == kills.promised(16)
    assert 4 * 32 + 32 == kills.promised(32)


@pytest.mark.parametrize(
    ("count", "before", "code", "words"),
    [
        (1_000.0, None, 0, "record it with: make instructions RECORD=1"),
        (1_040.0, 1_000.0, 0, "+4.0%"),
        (1_060.0, 1_000.0, 1, "more than 5%"),
        (900.0, 1_000.0, 0, "Record it, so that it stays"),
    ],
)
def test_a_count_of_instructions_is_compared(count: float, before: float | None, code: int, words: str) -> None:
    """More than 5 % above the record fails. Less than it, or no record, asks to record the count."""
    found = instructions.verdict(count, before)
    assert code == found[0]
    assert words in found[1]


def test_recorded_counts_can_be_read() -> None:
    """Each entry names its versions and has the count and its runs."""
    records = msgspec.json.decode(instructions.RECORDS.read_bytes())
    for versions, entry in records.items():
        assert versions.startswith(("CPython ", "PyPy "))
        assert min(entry["runs"]) == entry["instructions"]


@pytest.mark.parametrize("name", bench.SCRIPTS)
def test_quick_options_exist(name: str) -> None:
    """Each benchmark of `make bench` has the options that make it quick."""
    script = bench.HERE / f"{name}.py"
    text = (
        script.read_text(encoding="utf-8") if script.exists() else "".join(f'"{one}"' for one in bench.SCRIPTS[name])
    )
    assert [] == [option for option in bench.SCRIPTS[name] if option.startswith("--") and f'"{option}"' not in text]
