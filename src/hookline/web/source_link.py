"""The address of a webhook file at its commit, on the site that holds the repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

_FIELD: Final = re.compile(r"\{(commit|file|line)\}")
_ANY_FIELD: Final = re.compile(r"\{[^}]*\}")
_FULL_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class SourceLink:
    """`template` is an https URL with {commit}, {file} and {line}."""

    template: str

    @classmethod
    def parse(cls, text: str) -> SourceLink:
        """Raises ValueError, with a message for users, for a text that is no such URL."""
        example = "https://github.com/acme/hooks/blob/{commit}/{file}#L{line}"
        if unknown := next((one for one in _ANY_FIELD.findall(text) if not _FIELD.fullmatch(one)), None):
            raise ValueError(f"unknown field {unknown} (write a URL such as {example})")
        parts = urlsplit(_FIELD.sub("1", text))
        if parts.scheme not in ("https", "http") or not parts.hostname or "{file}" not in text:
            raise ValueError(f"not a URL with {{file}}: {text!r} (write a URL such as {example})")
        return cls(text)

    def url(self, commit: str | None, file: str, line: int) -> str | None:
        """The address of a line; None without a commit, or for a file outside the repository."""
        if commit is None or not _FULL_COMMIT.fullmatch(commit) or file.startswith(("/", "../")):
            return None
        values = {"commit": commit, "file": quote(file), "line": str(line)}
        return _FIELD.sub(lambda found: values[found[1]], self.template)
