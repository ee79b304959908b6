"""Every code has an explanation with correct examples."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hookline.config.error_codes import TITLES, explanations, find_code, nearest_codes
from hookline.config.loader import inspect

BASE = {
    "version": "version: 1",
    "organization": "organization: 1234567890ABCDEF@AdobeOrg",
    "sandbox": "sandbox: prod",
    "name": "name: Feedback",
    "channels": "channels: [email]",
    "url": "url: https://hooks.acme.example/feedback",
    "campaigns": "campaigns: all",
}


def webhook(example: str) -> str:
    """A whole file: each document of the example, and from a valid webhook the keys that it does not write."""
    parts = example.split("\n---\n")
    return "\n---\n".join("\n".join([*_missing(part), part]) for part in parts) + "\n"


def _missing(part: str) -> list[str]:
    written = set(re.findall(r"^(\w+):", part, re.MULTILINE))
    return [line for key, line in BASE.items() if key not in written]


def found_in(example: str, directory: Path) -> set[str]:
    """The codes that validate finds in a directory made of one example."""
    folder = directory / "webhooks"
    folder.mkdir()
    if example.startswith("$ "):
        (folder / "prod.yaml").write_text(webhook(""))
        (directory / "stage.yaml").write_text(webhook("sandbox: stage"))
        subprocess.run(["sh", "-c", example.removeprefix("$ ")], cwd=directory, check=True, timeout=30)
    else:
        (folder / "prod.yaml").write_text(webhook(example))
    return {diagnostic.code for diagnostic in inspect(folder).diagnostics}


def test_every_code_is_explained() -> None:
    """No code without an explanation, no explanation without a code."""
    assert list(TITLES) == list(explanations())


@pytest.mark.parametrize("code", TITLES)
def test_the_wrong_example_gives_exactly_its_code(code: str, tmp_path: Path) -> None:
    """What is shown as the mistake is refused with this code and with no other."""
    explained = {"HL021"} if code == "HL017" else set()  # the errors of the first documents
    assert {code} == found_in(explanations()[code].wrong, tmp_path) - explained


@pytest.mark.parametrize("code", TITLES)
def test_the_right_example_is_valid(code: str, tmp_path: Path) -> None:
    """The correction in an explanation is a valid file."""
    assert set() == found_in(explanations()[code].right, tmp_path)


@pytest.mark.parametrize("text", ["HL012", "hl012", "HL12", "12", "HL-12", "HL0012", " HL012 "])
def test_a_code_is_found_however_it_is_written(text: str) -> None:
    """Case, leading zeros and the letters themselves may be missing."""
    assert find_code(text) == "HL012"


@pytest.mark.parametrize("text", ["HL999", "HL", "", "HL0012x", "url"])
def test_what_is_no_code_is_not_taken_for_one(text: str) -> None:
    """Nothing is guessed where the number is not one of a code."""
    assert find_code(text) is None


def test_near_misses() -> None:
    """A word of a title leads to its codes, and a mistyped code to those that look like it."""
    assert nearest_codes("anchor") == ["HL009"]
    assert "HL012" in nearest_codes("HL0122")
    assert nearest_codes("zzzzz") == []
