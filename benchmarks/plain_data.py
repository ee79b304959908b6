"""Results from the plain JSON of benchmarks that write their measurements as a list of flat objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from results import Results, read_results

Runs = Sequence[dict[str, Any]]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of the ordered values lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _grouped(runs: Runs, key: Callable[[dict[str, Any]], str]) -> dict[str, Runs]:
    names = dict.fromkeys(map(key, runs))
    return {name: [run for run in runs if key(run) == name] for name in names}


def _follow(runs: Runs, results: Results) -> None:
    """Latencies and processor time by input and rate. The single times of the events are not kept."""
    for name, some in _grouped(runs, lambda run: f"{run['input']}-{run['rate']:g}").items():
        title = f"{'--follow' if some[0]['input'] == 'file' else 'pipe'}, {some[0]['rate']:,.0f}/s"
        for word, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            times = (quantile(run["milliseconds"], share) for run in some)
            results.add(f"{name}-{word}", f"{title}: {word}", "ms", times)
        results.add(f"{name}-cpu", f"{title}: CPU", "µs", (run["processor_microseconds"] for run in some))


def _idle(runs: Runs, results: Results) -> None:
    """Processor time and wake-ups by input."""
    results.parameters["webhooks"] = runs[0]["webhooks"]
    for name, some in _grouped(runs, lambda run: str(run["input"])).items():
        results.add(f"{name}-cpu", f"idle, {name}: CPU of a core", "%", (run["processor_percent"] for run in some))
        wakeups = (run["wakeups_per_second"] for run in some)
        results.add(f"{name}-wakeups", f"idle, {name}: wake-ups", "1/s", wakeups)


UNITS: Final = {
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "µs",
    "mebibytes": "MiB",
    "percent": "%",
}  # by the last word of a field's name


def _any(runs: Runs, results: Results) -> None:
    """A row for each numeric field of the objects that have the same texts."""
    for texts, some in _grouped(
        runs, lambda run: ", ".join(text for text in run.values() if isinstance(text, str))
    ).items():
        for name, value in some[0].items():
            if isinstance(value, int | float):
                measure = re.sub(r"[^a-z0-9]+", "-", f"{texts}-{name}".lower())
                title = f"{texts}: {name.replace('_', ' ')}"
                results.add(measure, title, UNITS.get(name.rpartition("_")[2], ""), (run[name] for run in some))


ADAPTERS: Final = {"follow": _follow, "idle": _idle}


def load(path: Path, benchmark: str) -> Results:
    """Read the file of a benchmark, in either form. Raises msgspec.ValidationError for other content."""
    data = msgspec.json.decode(path.read_bytes())
    if not isinstance(data, list):
        return read_results(path)
    results = Results(benchmark=benchmark)
    ADAPTERS.get(benchmark, _any)(data, results)
    return results
