"""Results from the plain JSON of benchmarks that do not write rows: a list of flat objects, one for each run, or one
object of figures by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from results import Results, read_results, slug

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
}  # by the last word of a field's name; other fields are counts of the thing that they name
WORDS: Final = {"seconds": "time", "processor_seconds": "CPU", "mebibytes": "memory"}


def _any(runs: Runs, results: Results) -> None:
    """A row for each numeric field of the objects that have the same texts."""

    def texts_of(run: dict[str, Any]) -> str:
        return ", ".join(text for text in run.values() if isinstance(text, str))

    for texts, some in _grouped(runs, texts_of).items():
        for name, value in some[0].items():
            if isinstance(value, int | float):
                measure = slug(f"{texts}-{name}")
                unit = UNITS.get(name.rpartition("_")[2], name)
                results.add(measure, f"{texts}: {WORDS.get(name, name)}", unit, (run[name] for run in some))


def _figures(figures: dict[str, float], results: Results) -> None:
    """A row for each figure. Its name ends with its unit: ``append, µs/event``."""
    for name, value in figures.items():
        unit = name.rpartition(" ")[2].partition("/")[0]
        title = name.removesuffix(unit).rstrip() if name.endswith(f" {unit}") else name
        results.add(slug(name), title, unit, [value])


ADAPTERS: Final = {"follow": _follow, "idle": _idle}


def load(path: Path, benchmark: str) -> Results:
    """Read the file of a benchmark, in any of its forms. Raises msgspec.ValidationError for other content."""
    data = msgspec.json.decode(path.read_bytes())
    if isinstance(data, dict) and "rows" in data:
        return read_results(path)
    results = Results(benchmark=benchmark)
    if isinstance(data, dict):
        _figures(data, results)
    else:
        ADAPTERS.get(benchmark, _any)(data, results)
    return results


def measured_in(directory: Path) -> dict[str, Results]:
    """The raw data of a directory, by benchmark."""
    return {path.stem: load(path, path.stem) for path in sorted(directory.glob("*.json"))}
