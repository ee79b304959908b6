"""The order in which the servers of a cluster are tried, and the pauses."""

from __future__ import annotations

from hookline.relay.sources.nats.nats_servers import FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, NatsServers


def test_servers_are_tried_in_turn() -> None:
    """The pause grows after each round of all servers, up to a limit, and begins again after a success."""
    servers = NatsServers(("a", 1), lambda: 1.0)
    servers.learn([("b", 1), ("a", 1), ("b", 1)])
    tried, pauses = [], []
    for _ in range(20):
        tried.append(servers.current()[0])
        pauses.append(servers.failed())
    assert ["a", "b", "a", "b"] == tried[:4]
    first = FIRST_BACKOFF_SECONDS
    assert [first, first, 2 * first, 2 * first, 4 * first] == pauses[:5]
    assert MAX_BACKOFF_SECONDS == pauses[-1]
    servers.succeeded()
    assert first == servers.failed()


def test_pauses_have_jitter() -> None:
    """Many relays do not come at once after a server has returned."""
    assert FIRST_BACKOFF_SECONDS / 2 == NatsServers(("a", 1), lambda: 0.0).failed()
