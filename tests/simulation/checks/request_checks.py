"""The checks of each request: may it leave now, and is its event neither early, late nor twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from hookline.model import Ordering
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import max_unwritten
from hookline.relay.delivery.rate_limiter import TOLERANCE_SECONDS
from hookline.relay.http.exchange import ExchangeResult, Response
from hookline.relay.spool.spool_values import State
from simulation.checks.endpoint_history import EndpointHistories, EndpointHistory
from simulation.endpoints import Mood, SimulatedTransport
from simulation.events import SimulatedEvent
from simulation.process import RelayProcess
from simulation.scenario import first_address
from simulation.storage import SimulatedStorage
from simulation.world import World

# A run of refused probes at a healthy endpoint, while events that it would accept are pending.
MAX_REFUSALS_IN_A_ROW: Final = 40
# A request may leave this much earlier than a limit, because timers are not exact.
SLACK_SECONDS: Final = 0.02


class RequestChecks:
    """Implements endpoints.Observer."""

    def __init__(
        self,
        world: World,
        events: Mapping[int, SimulatedEvent],
        histories: EndpointHistories,
        storage: SimulatedStorage,
        *,
        is_reread: bool,
    ) -> None:
        """Create the checks of one simulation.

        Args:
            world: Time and chance.
            events: The events by number.
            histories: The observations of each endpoint.
            storage: The storage of the spool.
            is_reread: The input begins again after a crash, so that events are read in several orders.
        """
        self._world = world
        self._events = events
        self._histories = histories
        self._storage = storage
        self._is_reread = is_reread
        self._process: RelayProcess | None = None
        # The requests in flight, by transport and number. The value: the endpoint has accepted the event.
        self._in_flight: dict[tuple[int, int], bool] = {}
        self._by_message: dict[int, list[SimulatedEvent]] = defaultdict(list)
        for event in events.values():
            if event.readable:
                self._by_message[event.message].append(event)

    def process_started(self, process: RelayProcess) -> None:
        """From now on only this process may send."""
        self._process = process
        self._in_flight.clear()

    def process_ended(self) -> None:
        """From now on no process may send."""
        self._process = None

    # -- endpoints.Observer

    def request_started(self, transport: SimulatedTransport, number: int) -> None:
        """Check everything that may forbid this request."""
        event, webhook = self._events[number], transport.webhook
        event.attempts += 1
        event.unordered |= webhook.delivery.ordering is Ordering.NONE
        self._world.note(f"POST {event.request_id} to {transport.endpoint.url}, attempt {event.attempts}")
        if first_address(webhook.address) != event.address:
            self._world.violate(
                "right address", f"{event.request_id} of {event.address} was sent to {webhook.address}"
            )
        self._check_lane(transport, event)
        if transport.in_flight > webhook.delivery.concurrency:
            self._world.violate("concurrency", f"{transport.in_flight} requests at once to {webhook.address}")
        history = self._histories.of(webhook.address)
        self._check_rate(transport, history)
        history.last_request_at = self._world.now
        self._check_wait(transport, history, event)
        self._in_flight[id(transport), number] = False

    def event_accepted(self, transport: SimulatedTransport, number: int, *, response_lost: bool) -> None:
        """Check that the event is not a duplicate, and that no predecessor is pending."""
        event = self._events[number]
        if (id(transport), number) in self._in_flight:
            self._in_flight[id(transport), number] = True
        event.accepted += 1
        event.repeatable += response_lost
        if event.accepted > event.repeatable:
            self._world.violate("no duplicates", f"{event.request_id} was accepted {event.accepted} times")
        if not event.unordered and not event.replayed:
            self._check_order(event)

    def request_ended(self, transport: SimulatedTransport, number: int, result: ExchangeResult | None) -> None:
        """Remember the endpoint's wish. An accepted request that the relay cancels may be repeated."""
        process, event = self._process, self._events[number]
        if process is None or process.loop.dead or transport.process is not process:
            return
        is_accepted = self._in_flight.pop((id(transport), number), False)
        self._world.note(f"     {event.request_id}: {_described(result)}")
        self._check_lockout(transport, event, result)
        if result is None:
            event.repeatable += is_accepted
            return
        if isinstance(result, Response) and not self._is_forgotten(transport, result):
            self._histories.note_wait(transport, result)

    def _is_forgotten(self, transport: SimulatedTransport, response: Response) -> bool:
        """Whether the relay will try again after this 410, because it is about to see a new configuration.

        A 410 that arrives while the relay already exchanges the lane for the latest configuration counts.
        """
        dispatcher = self._process.dispatcher if self._process is not None else None
        lane = dispatcher.lanes.get(transport.webhook.address) if dispatcher is not None else None
        is_current = lane is not None and lane.webhook is transport.webhook
        return response.status == 410 and self._histories.will_change(transport.webhook, is_current=is_current)

    # -- one rule each

    def _check_lane(self, transport: SimulatedTransport, event: SimulatedEvent) -> None:
        """The lane of the running process permits the request."""
        name, process = event.request_id, self._process
        if process is None or transport.process is not process or process.dispatcher is None:
            self._world.violate("one process", f"{name} was sent by a process that has ended")
            return
        lane = process.dispatcher.lanes.get(transport.webhook.address)
        if lane is None:
            self._world.violate("nothing after deletion", f"{name} was sent for a webhook without a lane")
            return
        if lane.webhook is not transport.webhook:
            self._world.violate("current configuration", f"{name} was sent by an earlier configuration")
        if lane.suspended:
            self._world.violate("nothing during a pause", f"{name} was sent to a suspended webhook")
        concurrency = lane.webhook.delivery.concurrency
        # A private count: the relay itself asks only `lane.full`, which a planted fault replaces.
        if lane._unwritten >= max_unwritten(concurrency) + concurrency:
            self._world.violate("bounded duplicates", f"{event.address}: {lane._unwritten} settlements are unwritten")
        if lane.breaker.phase in (BreakerPhase.GONE, BreakerPhase.OPEN):
            self._world.violate("circuit breaker", f"{name} was sent while it was {lane.breaker.phase}")

    def _check_rate(self, transport: SimulatedTransport, history: EndpointHistory) -> None:
        """The request waits for its turn."""
        webhook, before = transport.webhook, history.last_transport
        rate = webhook.delivery.rate_limit
        history.last_transport = transport
        if rate is None:
            history.next_turn = 0.0
            return
        now, interval = self._world.now, rate.per_seconds / rate.count
        if before is not transport:
            # A new configuration keeps the distance to the last request, if it has the same endpoint.
            same = before is not None and before.endpoint is transport.endpoint
            history.next_turn = history.last_request_at + interval if same and history.next_turn else 0.0
        if history.next_turn - now > TOLERANCE_SECONDS + SLACK_SECONDS:
            self._world.violate("rate limit", f"{webhook.address}: {history.next_turn - now:.3f} s before its turn")
        history.next_turn = max(history.next_turn, now) + interval

    def _check_wait(self, transport: SimulatedTransport, history: EndpointHistory, event: SimulatedEvent) -> None:
        """The endpoint has not requested a later time. A request at the moment of the response is legal."""
        now, wait = self._world.now, history.waits.get(transport.endpoint.url)
        if now < max(history.permitted_until, self._histories.clock_noticed_at):
            return
        if wait is not None and wait.received_at < now < wait.until - SLACK_SECONDS:
            self._world.violate(
                "nothing after 410" if wait.gone else "Retry-After",
                f"{event.request_id} was sent at {now:.3f}, not before {wait.until:.3f} was requested",
            )

    def _check_lockout(
        self, transport: SimulatedTransport, event: SimulatedEvent, result: ExchangeResult | None
    ) -> None:
        """Events that an endpoint refuses do not keep a healthy endpoint closed for the others."""
        history = self._histories.of(event.address)
        if transport.endpoint.mood is not Mood.HEALTHY or not event.poison or result is None:
            history.refused_while_healthy = 0
            return
        history.refused_while_healthy += 1
        if history.refused_while_healthy <= MAX_REFUSALS_IN_A_ROW:
            return
        own = [one for one in self._events.values() if one.address == event.address and one.durable]
        blocked = {one.message for one in own if one.poison}
        others = [one for one in own if not (one.accepted or one.bad) and one.message not in blocked]
        if any(state == State.PENDING for _, state in self._places(others).values()):
            self._world.violate(
                "no lockout by bad events", f"{event.address}: {history.refused_while_healthy} refusals"
            )
        history.refused_while_healthy = 0  # nobody waited, and later events do not count for these refusals

    def _check_order(self, event: SimulatedEvent) -> None:
        """No event of the message that was read earlier is still pending and was never accepted.

        The lines of a log are read once, in their order. A producer that begins again can supply an event that no
        webhook received before, so the order of a pipe is that of the spool.
        """
        earlier = [
            one
            for one in self._by_message[event.message]
            if one is not event and one.durable and not (one.accepted or one.replayed or one.unordered)
        ]
        if not self._is_reread:
            earlier = [one for one in earlier if one.number < event.number]
        if not earlier:
            return
        places = self._places((event, *earlier))
        own = places.get(event.number, (0, State.PENDING))[0]
        for one in earlier:
            sequence, state = places.get(one.number, (0, State.DEAD))
            if state == State.PENDING and (not self._is_reread or sequence < own):
                self._world.violate("order per message", f"{event.request_id} was accepted before {one.request_id}")

    def _places(self, events: Sequence[SimulatedEvent]) -> dict[int, tuple[int, int]]:
        with self._storage.view() as view:
            return {} if view is None else view.places(events)


def _described(result: ExchangeResult | None) -> str:
    if result is None:
        return "cancelled"
    if isinstance(result, Response):
        wait = "" if result.retry_after is None else f", Retry-After {result.retry_after:g} s"
        return f"{result.status}{wait}"
    return result.detail
