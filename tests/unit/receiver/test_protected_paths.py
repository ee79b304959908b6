"""Which request targets need a token with `--protect`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.receiver.protected_paths import is_protected, normal_path


@pytest.mark.parametrize("target", [
    "/orders", "/orders/", "/orders/1?x=/public", "//orders", "/./orders", "/public/../orders", "/%6frders",
    "/%256frders", "/public/%2e%2e/orders", "/public/..%2forders", "/;a=b/orders", "/orders;a=b/1", "\\orders",
    "/\\orders", "/public\\..\\orders", "https://localhost:8443/orders", "https://localhost:8443//orders", "*",
    "localhost:443", "/%25252525256frders", "/../../orders", "/orders#x",
])  # fmt: skip
def test_protected(target: str) -> None:
    """A protected path stays protected, however it is written."""
    assert is_protected(target, ("/orders",))


@pytest.mark.parametrize(
    "target", ["/", "/public", "/order", "/orders/../public", "https://localhost:8443", "/?/orders"]
)
def test_not_protected(target: str) -> None:
    """Other paths need no token."""
    assert not is_protected(target, ("/orders", "/internal/"))


@given(st.text(alphabet="/.;%2eoO\\a5c", max_size=20))
def test_a_normal_path_stays_the_same(text: str) -> None:
    """Normalizing a normal path changes nothing, and such a path has no dot segment."""
    path = normal_path("/" + text)
    if path is not None:
        assert path == normal_path(path)
        assert {".", ".."}.isdisjoint(path.split("/"))


def test_everything_is_protected_by_default() -> None:
    """The prefix / protects every path."""
    assert is_protected("/anything", ("/",))
