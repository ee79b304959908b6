"""The mappings and lists of a document that are open while it is parsed, and the place of the next value in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hookline.config.document_access import DocumentPath

REFUSED_KEY_NAME = "\0"  # replaces a refused key in a path; a key of a file cannot contain it unescaped


class RefusedKey:
    """Replaces a refused key. It never equals a key of the file."""


@dataclass(slots=True)
class OpenContainer:
    """An open mapping or list. `lines` has the lines of its keys; `expects_key` is true if a key comes next.

    `below_secret`: it is a value under a key whose name looks secret. `secret`: so is its present value.
    """

    container: dict[Any, Any] | list[Any]
    expects_key: bool
    below_secret: bool
    secret: bool
    key: Any = None
    lines: dict[Any, int] = field(default_factory=dict)


class Nesting:
    """`stack` contains the open mappings and lists, the outermost first."""

    def __init__(self) -> None:
        self.stack: list[OpenContainer] = []

    def expects_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].expects_key

    def refuse_key(self) -> None:
        """Takes a refused key, so that its value is skipped."""
        self.stack[-1].key, self.stack[-1].expects_key = RefusedKey(), False

    def path(self) -> DocumentPath:
        """The path of the next value. If a key comes next, it is the path of its mapping."""
        parts: list[str | int] = []
        last = len(self.stack) - 1
        for depth, one in enumerate(self.stack):
            if isinstance(one.container, list):
                parts.append(len(one.container) - (depth < last))  # an open container is already in its list
            elif depth < last or not one.expects_key:
                parts.append(one.key if isinstance(one.key, str) else REFUSED_KEY_NAME)
        return tuple(parts)

    def is_secret(self) -> bool:
        """Whether the present value is under a key whose name looks secret, or the present key is below one."""
        if not self.stack:
            return False
        return self.stack[-1].below_secret if self.stack[-1].expects_key else self.stack[-1].secret
