"""The map of the code: each module and each name on it exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.pages import ROOT

PAGE = ROOT / "docs" / "explanation" / "where-things-are.md"
SOURCE = ROOT / "src" / "hookline"
_PATH = re.compile(r"[\w./-]+/(?:[\w.-]+)?|[\w-]+\.(?:py|md|json|yaml)")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[a-z_]\w*)?")


def _resolve(path: str) -> Path | None:
    return next((root / path for root in (SOURCE, ROOT) if (root / path).exists()), None)


def names_in(module: Path) -> set[str]:
    """The names that a module defines, and ``Class.member`` for the members of its classes."""
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.ClassDef(name=name, body=body):
                found.add(name)
                found |= {
                    f"{name}.{one.name}" for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                }
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def missing(text: str) -> list[str]:
    """The paths and names of a page that do not exist. A name belongs to the module that the text names before it."""
    lost = []
    module: Path | None = None
    for line in text.splitlines():
        for code in re.findall(r"`([^`]+)`", line):
            if _PATH.fullmatch(code):
                module = _resolve(code)
                lost += [] if module else [code]
            elif _NAME.fullmatch(code) and module is not None and module.suffix == ".py":
                lost += (
                    []
                    if code in names_in(module) or (code.islower() and "_" not in code)
                    else [f"{module.name}: {code}"]
                )
        if line.startswith("|") or not line.strip():
            module = None
    return lost


def test_every_place_exists() -> None:
    """Every module, folder and name that the page gives exists."""
    assert [] == missing(PAGE.read_text())


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("`relay/routing.py` `Routes.route`", []),
        ("`relay/routing.py` `Routes.rout`", ["routing.py: Routes.rout"]),
        ("`relay/routes.py`", ["relay/routes.py"]),
        ("`relay/routing.py` then `NoSuchName`", ["routing.py: NoSuchName"]),
    ],
)
def test_a_wrong_place_is_found(text: str, lost: list[str]) -> None:
    """The check finds a module and a name that do not exist."""
    assert lost == missing(text)


def test_the_table_covers_the_common_changes() -> None:
    """At least fifteen changes have a row, with the module to open and the next step."""
    rows = [
        line.split(" | ")
        for line in PAGE.read_text().splitlines()
        if line.startswith("| a") or line.startswith("| the")
    ]
    assert len(rows) >= 15
    assert all(len(row) == 3 and "`" in row[1] for row in rows)
