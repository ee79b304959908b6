"""The pinned dependencies that `hookline init` gives to CI are those of the lock file."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_templates_are_those_of_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make dependencies` would write what the templates contain."""
    monkeypatch.setattr(sys, "path", [str(ROOT / ".ci"), *sys.path])
    written = runpy.run_path(str(ROOT / ".ci" / "dependencies.py"))["texts"]()
    assert {"dependencies.txt", "build-dependencies.txt"} == written.keys()
    behind = [name for name, text in written.items() if (ROOT / "src/hookline/templates" / name).read_text() != text]
    assert [] == behind, "run: make dependencies"
