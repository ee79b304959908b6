"""The bill of materials of a release."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "sbom.py"


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    """The names of the script."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What it writes into a file of a directory that is not there yet."""
    path = tmp_path_factory.mktemp("sbom") / "dist" / "bill.json"
    subprocess.run((sys.executable, SCRIPT, path), check=True)
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def test_what_hookline_is_installed_with(bill: dict[str, Any]) -> None:
    """Each package by the installed version, with hashes; an extra's are optional, our tools are not in it."""
    assert ("CycloneDX", "1.6") == (bill["bomFormat"], bill["specVersion"])
    components = {one["name"]: one for one in bill["components"]}
    assert {"click", "cryptography", "cffi", "httpx", "jsonschema", "msgspec", "trustme"} <= set(components)
    assert {"pytest", "mypy", "ruff", "hypothesis"}.isdisjoint(components)
    assert ("required", "optional") == (components["click"]["scope"], components["psycopg"]["scope"])
    for name, component in components.items():
        assert distribution(name).version == component["version"]
        assert component["hashes"]
        assert all(64 == len(one["content"]) for one in component["hashes"])


def test_every_relation_leads_somewhere(bill: dict[str, Any]) -> None:
    """Each reference is a component's own, or hookline's."""
    known = {bill["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in bill["components"])}
    assert known == {one["ref"] for one in bill["dependencies"]}
    assert {ref for one in bill["dependencies"] for ref in one["dependsOn"]} <= known
    assert len(bill["components"]) == len({one["bom-ref"] for one in bill["components"]})


@pytest.mark.parametrize(
    ("version", "words"), [("0.0.1", "is installed, 0.0.1 is locked"), (None, "is not in requirements.lock")]
)
def test_lock_that_does_not_fit(sbom: dict[str, Any], version: str | None, words: str) -> None:
    """A lock that pins another version than what is installed, or not all of it, is named and nothing is written."""
    lock = sbom["read_lock"]((ROOT / "requirements.lock").read_text())
    if version is None:
        del lock["click"]
    else:
        lock["click"] = sbom["Locked"](version, ())
    with pytest.raises(sbom["Inconsistent"], match=words):
        sbom["document"](lock)
