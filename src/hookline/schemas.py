"""Finds the JSON Schemas (2020-12) of hookline's documents: in the wheel, otherwise in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_FILE_NAME = re.compile(r"(?P<name>[a-z-]+)\.v(?P<version>[0-9]+)\.schema\.json")


def schema_names() -> list[str]:
    """Returns the sorted names of all schemas, such as ``webhook.v1``."""
    found = (_FILE_NAME.fullmatch(entry.name) for entry in _directory().iterdir())
    return sorted(f"{entry['name']}.v{entry['version']}" for entry in found if entry)


def schema_text(name: str) -> str:
    """The text of ``webhook.v1``, or of ``webhook`` in its newest version. Raises KeyError for another name."""
    candidates = [known for known in schema_names() if name in (known, known.partition(".")[0])]
    if not candidates:
        raise KeyError(name)
    newest = max(candidates, key=lambda known: int(known.rpartition(".v")[2]))
    return (_directory() / f"{newest}.schema.json").read_text(encoding="utf-8")


def load_schema(name: str) -> dict[str, Any]:
    """Returns a schema as a value. `name` and errors are those of `schema_text`."""
    schema: dict[str, Any] = json.loads(schema_text(name))
    return schema


def _directory() -> Path:
    # Not importlib.resources, whose import takes a tenth of the time of a short command. It would find files in a zip
    # archive, too, but the libraries that hookline uses cannot be imported from one.
    here = Path(__file__).resolve()
    shipped = here.with_name("schemas")
    return shipped if shipped.is_dir() else here.parents[2] / "schemas"
