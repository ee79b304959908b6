"""The addresses of the pages: paths of a server, or names of files that lie beside each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import quote, urlencode

_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9]+")
_MAX_SLUG_CHARACTERS: Final = 60
_DIGEST_BYTES: Final = 8


class PageLinks(Protocol):
    """Every method returns a relative or absolute reference that needs no further encoding, only HTML's.

    If `live` is False, there is no server: the pages have no forms, no script and no page of its own for a search.
    """

    live: bool

    def inventory(self, page: int = 1, search: str = "") -> str: ...

    def webhook(self, address: str) -> str: ...

    def lanes(self, page: int = 1, search: str = "") -> str: ...

    def letters(self, page: int = 1, filters: Mapping[str, str] | None = None, after: str = "") -> str:
        """`after` is the text of a LetterPageEnd: the page with the letters after it, if there is a server."""

    def letter(self, identity: str) -> str: ...

    def trace(self, identity: str = "") -> str | None:
        """The page of one trace. None: it does not exist among the files."""

    def plan(self) -> str: ...

    def asset(self, name: str) -> str: ...


class ServedLinks:
    """Implements PageLinks. Names are in the query: a browser would resolve ``..`` in a path."""

    live = True

    def inventory(self, page: int = 1, search: str = "") -> str:
        return _with_query("/", {"q": search, "page": _page(page)})

    def webhook(self, address: str) -> str:
        return _with_query("/webhook", {"address": address})

    def lanes(self, page: int = 1, search: str = "") -> str:
        return _with_query("/lanes", {"q": search, "page": _page(page)})

    def letters(self, page: int = 1, filters: Mapping[str, str] | None = None, after: str = "") -> str:
        return _with_query("/dead-letters", {**(filters or {}), "page": _page(page), "after": after})

    def letter(self, identity: str) -> str:
        return _with_query("/dead-letter", {"id": identity})

    def trace(self, identity: str = "") -> str:
        return _with_query("/trace", {"id": identity})

    def plan(self) -> str:
        return "/plan"

    def asset(self, name: str) -> str:
        return f"/assets/{quote(name, safe='')}"


class FileLinks:
    """Implements PageLinks for files in one directory."""

    live = False

    def inventory(self, page: int = 1, search: str = "") -> str:  # noqa: ARG002 - files have no search
        return "index.html" if page == 1 else f"index-{page}.html"

    def webhook(self, address: str) -> str:
        return _file_name("webhook", address)

    def lanes(self, page: int = 1, search: str = "") -> str:  # noqa: ARG002 - as above
        return "lanes.html" if page == 1 else f"lanes-{page}.html"

    def letters(  # as above
        self,
        page: int = 1,
        filters: Mapping[str, str] | None = None,  # noqa: ARG002
        after: str = "",  # noqa: ARG002
    ) -> str:
        return "dead-letters.html" if page == 1 else f"dead-letters-{page}.html"

    def letter(self, identity: str) -> str:
        return _file_name("dead-letter", identity)

    def trace(self, identity: str = "") -> str | None:  # noqa: ARG002 - a trace needs the spool
        return None

    def plan(self) -> str:
        return "plan.html"

    def asset(self, name: str) -> str:
        return name


def _page(number: int) -> str:
    return "" if number == 1 else str(number)


def _with_query(path: str, values: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in values.items() if value}, errors="replace")
    return f"{path}?{query}" if query else path


def _file_name(kind: str, identity: str) -> str:
    """A name that is plain ASCII, and distinct for distinct identities also without case."""
    slug = _NOT_PLAIN.sub("-", identity).strip("-")[:_MAX_SLUG_CHARACTERS]
    digest = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{kind}-{slug}-{digest}.html"
