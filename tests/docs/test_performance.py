"""The page about performance is the one that its raw data gives."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from charts import Bar, bar_chart
from goals import GOALS, findings
from performance_page import DOCS, FOLDER, PAGE, page, pictures, take
from plain_data import measured_in
from results import Results, Row

RAW = DOCS / FOLDER
STALE = "run: python benchmarks/performance_page.py"


def test_the_page_is_generated_from_its_raw_data() -> None:
    """The raw data in docs/performance/ gives the page as it is, and each of its pictures."""
    measured = measured_in(RAW)
    assert page(measured) == (DOCS / PAGE).read_text(encoding="utf-8"), STALE
    kept = {path.name: path.read_text(encoding="utf-8") for path in RAW.glob("*.svg")}
    assert pictures(measured) == kept, STALE


def test_the_page_shows_every_goal() -> None:
    """Each goal has one row, whether it is reached, missed or not measured."""
    lines = page(measured_in(RAW)).partition("## Beside its peers")[0].splitlines()
    for goal in GOALS:
        assert 1 == sum(line.startswith(f"| {goal.title} | ") for line in lines), goal.title


def test_a_quick_run_is_marked() -> None:
    """A page from a quick run warns that its figures are worth nothing, and no other page does."""
    warning = "This run was a quick one"
    assert warning not in page(_measured(quick=False))
    assert warning in page(_measured(quick=True))


def test_a_goal_is_decided_by_the_median() -> None:
    """The verdict follows the median of the rounds; a goal that was not measured has its own."""
    found = {one.goal.measure: one for one in findings(_measured(quick=False))}
    assert "reached" == found["cpu-to-peer"].verdict
    assert "**missed**" == found["rate-to-peer"].verdict
    assert "not measured" == found["memory-ratio"].verdict


def test_every_goal_has_a_measure_of_its_own() -> None:
    """No row of raw data decides two goals, and no goal has two limits or none."""
    assert len(GOALS) == len({(goal.benchmark, goal.measure) for goal in GOALS})
    assert all((goal.at_most is None) != (goal.at_least is None) for goal in GOALS)


def test_a_picture_is_well_formed_and_has_its_text() -> None:
    """A chart is XML whose texts are the title, the labels, the figures and the limit."""
    bars = [Bar(label="a < b", value=2, low=1, high=3, text="2.0"), Bar(label="c", value=0, low=0, high=0, text="0")]
    text = bar_chart("Speed & cost", bars, limit=2.5, limit_text="goal")
    texts = [element.text for element in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert ["Speed & cost", "a < b", "2.0", "c", "0", "goal"] == texts


def test_a_run_replaces_the_raw_data(tmp_path: Path) -> None:
    """The raw data and pictures of an earlier run are removed, so that a page never mixes two runs."""
    run, kept = tmp_path / "run", tmp_path / "kept"
    _measured(quick=False)["peers"].write(run / "peers.json")
    kept.mkdir()
    (kept / "idle.json").write_text("[]")
    (kept / "latency.svg").write_text("<svg/>")
    take(run, kept)
    assert ["peers.json"] == [path.name for path in kept.iterdir()]
    assert measured_in(run) == measured_in(kept)


def test_a_run_without_the_relay_is_refused(tmp_path: Path) -> None:
    """Without the main benchmark there is no page, and the raw data stays as it is."""
    with pytest.raises(SystemExit, match="run `make bench` first"):
        take(tmp_path, tmp_path)


def _measured(*, quick: bool) -> Mapping[str, Results]:
    rows = [
        Row(measure=f"{name}-{quantity}", title=name, unit=unit, rounds=(10.0, 12.0, 11.0))
        for name in ("plain", "syslog-ng", "wrk")
        for quantity, unit in (("rate", "1/s"), ("cpu", "µs"), ("memory", "MiB"))
    ]
    rows.append(Row(measure="cpu-to-peer", title="CPU", unit="", rounds=(1.0, 1.1, 9.0)))
    rows.append(Row(measure="rate-to-peer", title="rate", unit="", rounds=(0.9, 0.6, 0.6)))
    parameters: dict[str, int | float | str] = {"events": 100}
    return {
        "peers": Results(benchmark="peers", quick=quick, machine={"cores": "2"}, parameters=parameters, rows=rows)
    }
