"""The explanation of each error code for `explain`: the reason, an example of the mistake, and its correction.

The texts are in explanations.md, so that an edit needs no Python. A test validates every example.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from textwrap import dedent
from types import MappingProxyType

from hookline.config.codes import TITLES
from hookline.diagnostics import nearest

_CODE = re.compile(r"(?:HL)?[-_ ]?0*([0-9]{1,3})", re.IGNORECASE)
_SECTION = re.compile(
    r"^## (?P<code>HL[0-9]{3})\n\n(?P<why>.+?)\n\nWrong:\n\n(?P<wrong>.+?)\n\nRight:\n\n(?P<right>.+?)\n*(?=^## |\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`wrong` and `right` are the relevant lines of a webhook file, or commands, which begin with ``$``."""

    code: str
    title: str
    why: str
    wrong: str
    right: str


@cache
def explanations() -> Mapping[str, Explanation]:
    """Returns every explanation by its code, in the order of the codes."""
    text = (files("hookline.config") / "explanations.md").read_text(encoding="utf-8")
    found = {section["code"]: _explanation(section) for section in _SECTION.finditer(text)}
    return MappingProxyType({code: found[code] for code in sorted(found)})


def _explanation(section: re.Match[str]) -> Explanation:
    return Explanation(
        code=section["code"],
        title=TITLES[section["code"]],
        why=section["why"],
        wrong=dedent(section["wrong"]),
        right=dedent(section["right"]),
    )


def find_code(text: str) -> str | None:
    """Returns the code for ``HL012``, ``hl12`` or ``12``, or None if no code has that number."""
    written = _CODE.fullmatch(text.strip())
    code = f"HL{int(written[1]):03}" if written else ""
    return code if code in TITLES else None


def nearest_codes(text: str) -> list[str]:
    """Returns at most three codes that are similar to an unknown one: by a word of their titles, otherwise by
    spelling.
    """
    word = text.strip().lower()
    by_title = [code for code, title in TITLES.items() if len(word) > 2 and word in title.lower()]
    return by_title[:3] or nearest(text.strip(), TITLES, at_most=3, likeness=0.5)
