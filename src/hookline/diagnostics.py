"""One finding about what a user wrote: a value that is collected and handed on, never printed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """What was found, where, and what to do next.

    `code` is stable across releases (``HL012``). `line` and `column` count from 1, and are None where a finding
    has no single place. `excerpt` is the source line itself, for the caret.
    """

    code: str
    summary: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    severity: Severity = Severity.ERROR
    address: str | None = None
    hint: str | None = None
    excerpt: str | None = None

    @property
    def place(self) -> str:
        """``file:line:column``, as far as it is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Files in order, then places from top to bottom: the same findings always come out in the same order."""
        return (self.file or "", self.line or 0, self.column or 0, self.code, self.summary)


def nearest(text: str, known: Iterable[str], *, at_most: int = 1, likeness: float = 0.6) -> list[str]:
    """The names among `known` that `text` may be a misspelling of, the most similar first.

    Upper and lower case, hyphens and underscores make no difference. `likeness` is the least share of equal
    characters, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only a message needs it

    names: dict[str, str] = {}
    for name in known:
        names.setdefault(_folded(name), name)
    return [names[found] for found in get_close_matches(_folded(text), names, n=at_most, cutoff=likeness)]


def did_you_mean(near: Iterable[str], otherwise: str) -> str:
    """A hint that names the nearest names, or `otherwise` if there is none."""
    names = " or ".join(near)
    return f"did you mean {names}?" if names else otherwise


def _folded(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def sorted_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings, each once, in the order in which a reader meets them."""
    return tuple(sorted(set(diagnostics), key=Diagnostic.sort_key))
