"""The floor of a stream: the message up to which all are acknowledged."""

from __future__ import annotations

from hookline.relay.sources.nats.acknowledged_floor import SETTLED_SECONDS, AcknowledgedFloor, Floor


def test_a_floor_is_settled_after_some_minutes() -> None:
    """A server may forget what it has not written to its disk. Messages above the settled floor then come again."""
    floor = AcknowledgedFloor()
    for second in range(0, int(SETTLED_SECONDS) + 11):
        floor.report(b"a", 10 * second, float(second))
        floor.report(b"a", 10 * second + 1, second + 0.5)
    assert Floor(b"a", 10 * int(SETTLED_SECONDS) + 101, 100) == floor.current


def test_another_stream_begins_again() -> None:
    """A stream that was created again has other messages with the same numbers."""
    floor = AcknowledgedFloor()
    floor.report(b"a", 100, 0.0)
    floor.report(b"a", 100, SETTLED_SECONDS)
    assert 100 == floor.current.settled
    floor.report(b"b", 3, SETTLED_SECONDS + 1)
    assert Floor(b"b", 3, 0) == floor.current
