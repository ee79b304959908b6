"""Links to webhook files at their commit."""

from __future__ import annotations

import pytest

from hookline.web.source_link import SourceLink

GITHUB = "https://github.com/acme/hooks/blob/{commit}/{file}#L{line}"


def test_a_place_becomes_an_address() -> None:
    """Only a commit and a file inside the repository have one, and their characters cannot change it."""
    links = SourceLink.parse(GITHUB)
    assert "https://github.com/acme/hooks/blob/c0ffee12/webhooks/a.yaml#L7" == links.url(
        "c0ffee12", "webhooks/a.yaml", 7
    )
    assert "https://github.com/acme/hooks/blob/c0ffee12/a%3F%23%20b%7Bline%7D#L1" == links.url(
        "c0ffee12", "a?# b{line}", 1
    )
    assert [None, None, None] == [
        links.url(None, "a", 1), links.url("main\"><b>", "a", 1), links.url("c0ffee12", "/etc/passwd", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["javascript:{file}", "https://x.example/{commit}", "{file}", "https://x/{file}{user}"]
)
def test_other_texts_are_refused(text: str) -> None:
    """A template is a URL of the web with the file in it, and has no unknown field."""
    with pytest.raises(ValueError, match="write a URL such as"):
        SourceLink.parse(text)
