"""The addresses of pages."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from hookline.web.links import FileLinks, ServedLinks


def test_names_of_others_are_in_the_query() -> None:
    """A name that looks like a path, an address or a query leads to the page with that name."""
    links = ServedLinks()
    for name in ("..", "a/../..", "//evil.example", "javascript:x", "a&page=2#b", "ü ?"):
        found = urlsplit(links.webhook(name))
        assert ("", "", "/webhook", "") == (found.scheme, found.netloc, found.path, found.fragment)
        assert {"address": [name]} == parse_qs(found.query)
    assert ("/", "/?q=a&page=2") == (links.inventory(), links.inventory(2, "a"))
    assert "/dead-letters?status=sent" == links.letters(1, {"status": "sent", "reason": ""})


def test_file_names_are_plain_and_distinct() -> None:
    """A file name cannot leave its directory, and names that differ in case or signs have different files."""
    links = FileLinks()
    names = [links.webhook(name) for name in ("../../etc/passwd", "..", "a/b", "a-b", "A/b", "<x>", "x" * 999)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") for name in names)
    assert all(".." not in name and len(name) < 120 for name in names)
    assert links.trace("x") is None
    assert ("index.html", "lanes-2.html") == (links.inventory(), links.lanes(2))
