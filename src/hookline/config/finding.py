"""What a check hands back: a finding that knows where in the document it is, not yet where in the file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from hookline.escaping import printable

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`path` leads to the value in its document; with `on_key` the key itself is at fault, not its value."""

    code: str
    path: Path
    summary: str
    hint: str | None = None
    on_key: bool = False


def path_text(path: Path) -> str:
    """``authentication.keys[0].secret``, as a person would name the place; ``""`` for the whole document."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text


def shown(value: object) -> str:
    """A value as JSON, on one line, cut after 60 characters, nothing in it that a terminal would obey."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + "…" + ('"' if text.startswith('"') else "")
