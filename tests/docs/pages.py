"""The Markdown pages of the project: where they are, and what stands in their fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"```(?P<language>[a-z]*)")
_FILE = re.compile(r"<!-- file: (?P<path>\S+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` is that of its opening fence; `file` is the path that a comment above it names."""

    language: str
    text: str
    line: int
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block: what is typed, and the output that the page shows."""

    typed: str
    shown: str
    line: int

    @property
    def in_background(self) -> bool:
        return self.typed.endswith(" &")


def pages() -> list[Path]:
    """Every page, README first."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order. Raises ValueError for one that does not end."""
    found: list[Block] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.fullmatch(lines[number])
        if fence is None:
            number += 1
            continue
        begin = number + 1
        number = begin
        while number < len(lines) and lines[number] != "```":
            number += 1
        if number == len(lines):
            raise ValueError(f"the block of line {begin} does not end")
        above = _FILE.fullmatch(lines[begin - 2]) if begin > 1 else None
        body = "".join(f"{line}\n" for line in lines[begin:number])
        found.append(Block(fence["language"], body, begin, above["path"] if above else None))
        number += 1
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block; a line that ends with a backslash goes on in the next one.

    Raises ValueError when the block begins with output.
    """
    found: list[Command] = []
    lines = block.text.splitlines()
    number = 0
    while number < len(lines):
        if not lines[number].startswith("$ "):
            raise ValueError(f"line {block.line + 1 + number}: output without a command")
        begin = number
        typed = lines[number][2:]
        while lines[number].endswith("\\"):
            number += 1
            typed += "\n" + lines[number]
        number += 1
        shown = number
        while number < len(lines) and not lines[number].startswith("$ "):
            number += 1
        found.append(Command(typed, "\n".join(lines[shown:number]), block.line + 1 + begin))
    return found
