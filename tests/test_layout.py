"""The tree of the unit tests mirrors the tree of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
UNIT, SOURCE = TESTS / "unit", TESTS.parent / "src" / "hookline"


def subjects(folder: Path) -> set[str]:
    """The names of the modules and folders of a source folder."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__pycache__",
    }


def names_one_of(test: str, names: set[str]) -> bool:
    """Whether a test file `test_X` is named after a module: X is its name, or begins with it and an underscore."""
    subject = test.removeprefix("test_")
    return any(subject == name or subject.startswith(f"{name}_") for name in names)


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=lambda path: str(path.relative_to(UNIT)))
def test_a_unit_test_is_named_after_its_module(path: Path) -> None:
    """tests/unit/F/test_X.py tests the module or folder X of src/hookline/F, or one whose name begins X."""
    folder = SOURCE / path.parent.relative_to(UNIT)
    assert folder.is_dir(), f"{folder} does not exist: move {path.name} to the tests of its module"
    assert names_one_of(path.stem, subjects(folder)), f"no module of {folder} has a name that begins {path.stem[5:]}"


def test_the_rule_has_teeth() -> None:
    """A part of a module's name is not enough."""
    assert names_one_of("test_lane", {"lane"})
    assert names_one_of("test_lane_order", {"lane"})
    assert not names_one_of("test_lanes", {"lane"})
    assert not names_one_of("test_order", {"order_key"})
