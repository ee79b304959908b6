"""The observations of each endpoint: its requests, and its requests to wait.

A process forgets some of them when it ends, and an operator or an apply cancels others. The checks may only
demand the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hookline.model import Address, Webhook
from hookline.relay.http.exchange import Response
from simulation.checks.spool_view import SavedWait, SpoolView
from simulation.endpoints import SimulatedTransport
from simulation.state import SimulatedState
from simulation.storage import SimulatedStorage
from simulation.world import World

# The relay notices the requests of operators within this time.
NOTICE_SECONDS: Final = 1.5
# The relay saves a Retry-After with its next round of writes.
SAVE_SECONDS: Final = 1.5
_NOTHING_SAVED: Final = SavedWait(None, None)


@dataclass(slots=True, kw_only=True)
class WaitRequest:
    """A Retry-After or 410 that the relay has received: no request before `until`. Times are those of World.now."""

    webhook: Webhook
    received_at: float
    until: float
    gone: bool


@dataclass(slots=True)
class EndpointHistory:
    """The observations of one webhook.

    Attributes:
        last_transport: The transport of the latest request of this process.
        next_turn: The rate limit permits no request before this time.
        last_request_at: The time of the latest request.
        waits: The requests to wait, by URL.
        idle_since: Since this time the lane has work and sends nothing.
        refused_while_healthy: The length of the current run of refusals by a healthy endpoint.
        permitted_until: An operator ran `retry-now`. The relay notices it at this time at the latest.
        deleted_at: The time at which the webhook was deleted for the last time.
    """

    last_transport: SimulatedTransport | None = None
    next_turn: float = 0.0
    last_request_at: float = 0.0
    waits: dict[str, WaitRequest] = field(default_factory=dict)
    idle_since: float | None = None
    refused_while_healthy: int = 0
    permitted_until: float = 0.0
    deleted_at: float = -1.0

    def forget_waits(self) -> None:
        """The relay may send again."""
        self.waits.clear()


class EndpointHistories:
    """The histories of all webhooks, by address."""

    def __init__(self, world: World, storage: SimulatedStorage, state: SimulatedState) -> None:
        self._world = world
        self._storage = storage
        self._state = state
        self._histories: dict[Address, EndpointHistory] = {}
        self.clock_noticed_at = 0.0  # the relay has noticed by then that the clock was set

    def of(self, address: Address) -> EndpointHistory:
        """The history of this webhook, which is empty at first."""
        return self._histories.setdefault(address, EndpointHistory())

    def note_wait(self, transport: SimulatedTransport, response: Response) -> None:
        """Remember the wait that this response requests, if it requests one. A shorter wait changes nothing."""
        webhook, now = transport.webhook, self._world.now
        waits = self.of(webhook.address).waits
        url = transport.endpoint.url
        if response.status == 410 and transport.created_at <= self.of(webhook.address).deleted_at:
            return  # the webhook was deleted since, so that its address may belong to a new one
        if response.status == 410:
            waits[url] = WaitRequest(webhook=webhook, received_at=now, until=float("inf"), gone=True)
        elif response.retry_after is not None and _is_retried(response.status):
            policies = [webhook, self._state.webhooks.get(webhook.address, webhook)]
            longest = min(one.delivery.retry.max_delay.total_seconds() for one in policies)
            until = now + min(response.retry_after, longest)
            if url not in waits or waits[url].until < until:
                waits[url] = WaitRequest(webhook=webhook, received_at=now, until=until, gone=False)

    def process_started(self) -> None:
        """The lanes of a new process have fresh limits."""
        applied = self._state.webhooks
        for address, history in self._histories.items():
            history.last_transport, history.next_turn = None, 0.0
            history.idle_since = None
            # A start with another configuration gives an endpoint that was gone a new chance.
            current = applied.get(address)
            history.waits = {
                url: wait for url, wait in history.waits.items() if not wait.gone or wait.webhook == current
            }

    def process_ended(self, view: SpoolView) -> None:
        """A crash may lose a Retry-After or 410 that the relay had no time to save."""
        saved_waits = view.saved_waits()
        for address, history in self._histories.items():
            saved = saved_waits.get(address, _NOTHING_SAVED)
            for wait in history.waits.values():
                if not self._had_time(wait):
                    wait.until = min(wait.until, self._saved_until(wait, saved))
            history.waits = {url: wait for url, wait in history.waits.items() if wait.until > self._world.now}

    def _had_time(self, wait: WaitRequest) -> bool:
        return self._world.now - wait.received_at >= SAVE_SECONDS and not self._storage.is_ill

    def _saved_until(self, wait: WaitRequest, saved: SavedWait) -> float:
        """The end of the wait in the spool, which may be that of an earlier, shorter one. It may be over."""
        if wait.gone:
            return 0.0 if saved.gone_reason is None else wait.until
        return 0.0 if saved.not_before is None else saved.not_before - self._world.wall() + self._world.now

    def requests_permitted(self, address: Address) -> None:
        """An operator ran `retry-now`: requests to wait no longer count, until the relay has noticed it."""
        history = self.of(address)
        history.permitted_until = self._world.now + NOTICE_SECONDS
        history.forget_waits()
        self._world.after(NOTICE_SECONDS, history.forget_waits)

    def will_change(self, webhook: Webhook, *, is_current: bool) -> bool:
        """Whether the relay will see another configuration. `is_current`: it has a lane with this one."""
        if is_current and self._state.webhooks.get(webhook.address) != webhook:
            return True
        return self._state.is_unread(
            webhook.address
        )  # also while it already exchanges the lane for an earlier change

    def configured(self, address: Address, webhook: Webhook | None) -> None:
        """The webhook has a new configuration, None if it was deleted.

        An endpoint that was gone gets requests again, and no wait is longer than the new maxDelay.
        """
        history = self.of(address)
        if webhook is None:
            history.waits = {}
            history.deleted_at = self._world.now
            return
        history.waits = {url: wait for url, wait in history.waits.items() if not wait.gone}
        latest = self._world.now + webhook.delivery.retry.max_delay.total_seconds()
        for wait in history.waits.values():
            wait.until = min(wait.until, latest)

    def time_passed(self) -> None:
        """Every lane begins to idle now at the earliest."""
        for history in self._histories.values():
            history.idle_since = None

    def clock_set(self) -> None:
        """Waits until a time of the wall clock no longer count, because that clock was set.

        The relay notices it later, and its waits of that time may end early.
        """
        self.clock_noticed_at = self._world.now + NOTICE_SECONDS
        self._world.after(NOTICE_SECONDS, self._forget_times)

    def _forget_times(self) -> None:
        for history in self._histories.values():
            history.waits = {url: wait for url, wait in history.waits.items() if wait.gone}
            history.next_turn = 0.0
            history.idle_since = None


def _is_retried(status: int) -> bool:
    return status in (408, 421, 425, 429) or (status >= 500 and status not in (501, 505, 511))
