"""Every target on its seeds, on seeds that are taken apart and put together anew, and on bytes of no meaning."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS

EXAMPLES = [200, pytest.param(1_500, marks=pytest.mark.soak)]
# What parsers of text, YAML, JSON and HTTP look at twice.
SCRAPS = [
    *(b"\x00", b"\x1b[2J", b"\r", b"\n", b"\r\n\r\n", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8"),
    *(b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b'"', b"'", b"\\u0000", rb"\ud800", b":", b",", b"- ", b"# ", b"&a "),
    *(b"*a", b"<<: ", b"!!", b"%YAML 1.2\n", b"---\n", b"|\n", b"null", b"true", b"1e999", b"-0", b"9" * 40),
    *(b"[" * 200, b"{a: " * 60, b"content-length: 1\r\n", b"transfer-encoding: chunked\r\n", b"HTTP/1.1 "),
    *(b"ffffffff\r\n", b"0\r\n\r\n"),
]


@st.composite
def taken_apart(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with some pieces overwritten, left out, put in or taken from another."""
    data = draw(st.sampled_from(seeds))
    piece = st.one_of(st.sampled_from(SCRAPS), st.binary(max_size=8), st.just(b""))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 8, 40, 400])))
        data = data[:start] + draw(piece) + data[end:]
    if draw(st.booleans()):
        other = draw(st.sampled_from(seeds))
        data = data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """What the other tests know well holds here, too."""
    target, seeds = TARGETS[name]
    for seed in seeds():
        target(seed)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str, examples: int) -> None:
    """Whatever is made of the seeds, the target holds."""
    target, seeds = TARGETS[name]

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(taken_apart(seeds()))
    def holds(data: bytes) -> None:
        target(data)

    holds()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", TARGETS)
def test_bytes(name: str, examples: int) -> None:
    """So it does for bytes of no meaning."""

    @settings(max_examples=examples // 3, database=None)
    @given(st.binary(max_size=300))
    def holds(data: bytes) -> None:
        TARGETS[name][0](data)

    holds()
