"""Properties of the reader for any bytes of an endpoint, and cases for the rules of RFC 9112."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookline.relay.http.response_head import MAX_HEADER_LINES, NotHttp
from hookline.relay.http.response_reader import (
    MAX_HEAD_BYTES,
    MAX_INFORMATIONAL_RESPONSES,
    MAX_RESPONSE_BODY_BYTES,
    ResponseReader,
)

STATUS_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 503", b"HTTP/1.1 204 No Content", b"HTTP/1.1 100 Continue",
    b"HTTP/1.0 200 OK", b"HTTP/1.1 101 X", b"HTTP/1.1 304 X", b"HTTP/1.1 20 X", b"HTTP/2 200", b"garbage",
)  # fmt: skip
HEADERS = (
    b"content-length: 3", b"Content-Length: 0", b"content-length: 3, 3", b"content-length: -1", b"content-length:",
    b"content-length: 99999999999999999999", b"transfer-encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"connection: close", b"retry-after: 5", b"x: y", b" folded", b"x : y", b"no colon", b"x: \x00", b"x: \xff\x01",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"")
BODIES = (
    b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n", b"0\r\n\r\n", b"3\nabc\n0\n\n",
    b"-1\r\n", b"0\r\nno colon\r\n\r\n", b"ffffffffff\r\n", b"HTTP/1.1 299 X\r\n\r\n", b"\r\n", b"5\r\nabc",
)  # fmt: skip


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Some of it sound: mostly one end for all of the lines."""
    lines = [draw(st.sampled_from(STATUS_LINES)), *draw(st.lists(st.sampled_from(HEADERS), max_size=4)), b""]
    end = draw(st.sampled_from(ENDS))
    return b"".join(line + (draw(st.sampled_from(ENDS)) if draw(st.integers(0, 19)) == 0 else end) for line in lines)


early = st.sampled_from((b"", b"", b"HTTP/1.1 103 X\r\n\r\n"))
bodies = st.sampled_from(BODIES)
fitting = st.sampled_from([
    (HEADERS[0], BODIES[1]), (HEADERS[1], BODIES[0]), *((HEADERS[6], body) for body in BODIES[2:5])
])  # fmt: skip
# Mostly sound, so that much of it is read to its end.
answers = st.builds(
    lambda start, more, framed, behind: b"\r\n".join([start, *more, framed[0], b"", framed[1]]) + behind,
    st.sampled_from(STATUS_LINES[:4]),
    st.lists(st.sampled_from((b"retry-after: 5", b"x: \xff\x01", b"X: y")), max_size=1),
    fitting,
    st.sampled_from((b"", b"", b"", *BODIES)),
)
streams = st.one_of(
    st.binary(max_size=60),
    st.builds(b"".join, st.tuples(early, answers)),
    st.builds(b"".join, st.tuples(early, answers)),
    st.builds(b"".join, st.lists(st.one_of(heads(), bodies), max_size=4)),
    st.builds(b"".join, st.tuples(early, heads(), bodies)),
)


class Reading(NamedTuple):
    """The result of a stream. If the status is None, it was not HTTP."""

    status: int | None
    clean: bool = False


def read(*pieces: bytes, ended: bool = False) -> Reading:
    reader = ResponseReader()
    try:
        for piece in pieces:
            reader.feed(piece)
        if ended:
            reader.end()
    except NotHttp:
        assert reader.head is None, "once there is a head, nothing raises any more"
        return Reading(None)
    status = None if reader.head is None else reader.head.status
    return Reading(status, reader.clean)


@settings(max_examples=600)
@given(streams, st.lists(st.integers(0, 200), max_size=6), st.booleans())
@example(b"HTTP/1.1 200 OK\n\ncontent-length: 3\r\n\r\n", [20], True)
@example(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [50, 51, 52, 60], False)
def test_cuts_do_not_matter(stream: bytes, cuts: list[int], ended: bool) -> None:
    """A stream has the same result in one piece and cut anywhere."""
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    single = [stream[at : at + 1] for at in range(len(stream))]
    whole = read(stream, ended=ended)
    assert whole == read(*pieces, ended=ended)
    assert whole == read(*single, ended=ended)


@settings(max_examples=600)
@given(streams)
def test_an_independent_parser_agrees_before_a_connection_is_used_again(stream: bytes) -> None:
    """A response that ended cleanly here also ended for h11: with the same status, at the same byte."""
    ours = read(stream)
    if not ours.clean:
        return
    theirs = h11.Connection(our_role=h11.CLIENT)
    theirs.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(ResponseReader().skip_line_end(stream))  # h11 refuses a line end before a response
    status = None
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        if isinstance(event, h11.Response):
            status = event.status_code
    assert ours.status == status
    assert theirs.trailing_data == (b"", False)
    assert theirs.their_state is h11.DONE


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", Reading(200, True)),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", Reading(200, True)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Reading(204, True)),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n", Reading(204)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\nconnection: keep-alive, Close\r\ncontent-length: 0\r\n\r\n", Reading(200)),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", Reading(200)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", Reading(None)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Reading(200)),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            Reading(200),
        ),
        (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n", Reading(200)),
        (b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", Reading(200)),
        (b"HTTP/1.1 103 Hints\nx: y\n\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Reading(200)),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx y: z\r\n\r\nabc", Reading(200)),
        (b"HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n", Reading(200)),
        (b"HTTP/1.1 204 No Content\r\nno colon\r\n\r\n", Reading(204)),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\ncontent-length: 4\r\n\r\nabc", Reading(None)),
        (b"HTTP/1.1 200 OK\r\nx y: z\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", Reading(None)),
        (b"HTTP/1.1 200 OK\r\nx y: \x00\r\n\r\n", Reading(None)),
        (b"HTTP/1.1 200 OK\r\nx y: a\rb\r\n\r\n", Reading(None)),
    ],
)
def test_framing(stream: bytes, expected: Reading) -> None:
    """The status is taken at its word; only what two readers cannot take differently leaves a clean connection."""
    assert expected == read(stream)


@pytest.mark.parametrize(
    "odd", [b"Retry-After : 7", b"no colon\r\nretry-after: 7", b"r\xe9sum\xe9: 1\r\nRetry-After: 7"]
)
def test_what_an_odd_head_says(odd: bytes) -> None:
    """Lines that are no headers are left out; the others are used."""
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 503 No\r\n" + odd + b"\r\n\r\n")
    assert reader.head is not None
    assert (503, b"7") == (reader.head.status, reader.head.retry_after)
    assert [(b"retry-after", b"7")] == [(name.lower(), value) for name, value in reader.head.headers()]


def test_no_connection_is_used_after_its_end() -> None:
    """The end of the connection makes a response unclean: with a body up to the end, or one that breaks off."""
    assert Reading(200) == read(b"HTTP/1.1 200 OK\r\n\r\nabc", ended=True)
    assert Reading(200) == read(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", ended=True)


@pytest.mark.parametrize("beginning", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/2", b"h", b"\x15\x03"])
def test_what_cannot_become_an_answer_is_not_waited_for(beginning: bytes) -> None:
    """The first byte that cannot begin a response ends the reading."""
    with pytest.raises(NotHttp):
        ResponseReader().feed(beginning)


def test_how_much_a_head_may_be() -> None:
    """A head of exactly the greatest size is one; a byte or a line more, or one more answer before it, is none."""

    def head(size: int) -> bytes:
        line = b"HTTP/1.1 200 OK\r\nx: "
        return line + b"y" * (size - len(line) - 4) + b"\r\n\r\n"

    def lines(number: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (number - 2) + b"\r\n"

    assert 200 == read(head(MAX_HEAD_BYTES)).status
    assert Reading(None) == read(head(MAX_HEAD_BYTES + 1))
    assert 200 == read(lines(MAX_HEADER_LINES)).status
    assert Reading(None) == read(lines(MAX_HEADER_LINES + 1))
    hint = b"HTTP/1.1 103 Hints\r\n\r\n"
    assert 200 == read(hint * MAX_INFORMATIONAL_RESPONSES + lines(2)).status
    assert Reading(None) == read(hint * (MAX_INFORMATIONAL_RESPONSES + 1) + lines(2))
    assert Reading(None) == read(hint + head(MAX_HEAD_BYTES))


@pytest.mark.parametrize(
    "head", [b"transfer-encoding: chunked\r\n\r\nffff\r\n", b"\r\n", b"content-length: 16385\r\n\r\n"]
)
def test_how_much_of_a_body_is_read(head: bytes) -> None:
    """Nothing is read after the first 16 KiB, nor of a longer body. The response counts, the connection does not."""
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\n" + head)
    for _ in range(MAX_RESPONSE_BODY_BYTES + 1):
        reader.feed(b"x")
    assert reader.head is not None
    assert (True, False) == (reader.finished, reader.clean)


def test_body_of_the_greatest_size_is_read() -> None:
    """The connection can be used after a body of exactly 16 KiB."""
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 16384\r\n\r\n")
    reader.feed(bytes(16384))
    assert reader.clean
