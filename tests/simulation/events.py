"""The events of a simulation: their lines, and the observations of each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from hookline.model import Address

_REQUEST_ID_PREFIX: Final = "request-"


@dataclass(slots=True)
class SimulatedEvent:
    """One event of one message, and the observations of it.

    Attributes:
        number: Unique; names the request id.
        address: The first address of its webhook.
        line_address: The address in its line, if its webhook has moved before the line is written.
        message: The number of its message.
        bad: Every endpoint refuses it with 400.
        poison: Until the faults end, every endpoint answers it as if it refused every request.
        failing: Until the faults end, every endpoint answers it as if it were down.
        readable: Its line is an event.
        written_at: When it was first written, in seconds since the start.
        accepted: The number of its 2xx responses.
        attempts: The number of its requests.
        durable: The relay has stored it.
        durable_at: When a check first saw it in the spool, in seconds since the start.
        replayed: An operator has replayed it.
        unordered: It was sent while its webhook had no order.
        repeatable: The guarantees permit this many acceptances.
        in_hand: It was in hand at a crash, as a delivery.
        dead_at: When a check first saw it as a dead letter, in seconds since the start.
    """

    number: int
    address: Address
    message: int
    bad: bool = False
    poison: bool = False
    failing: bool = False
    readable: bool = True
    written_at: float | None = None
    accepted: int = 0
    attempts: int = 0
    durable: bool = False
    durable_at: float | None = None
    replayed: bool = False
    unordered: bool = False
    repeatable: int = 1
    in_hand: bool = False
    dead_at: float | None = None
    line_address: Address | None = None

    @property
    def good(self) -> bool:
        """A healthy endpoint accepts it."""
        return self.readable and not (self.bad or self.poison or self.failing)

    @property
    def request_id(self) -> str:
        """The requestId of the event, which the relay passes through."""
        return f"{_REQUEST_ID_PREFIX}{self.number}"

    def written(self, now: float) -> None:
        """The event is written, perhaps not for the first time."""
        if self.written_at is None:
            self.written_at = now

    @property
    def text(self) -> bytes:
        """The event as one line of a log."""
        return self.line().rstrip(b"\n")

    def line(self) -> bytes:
        """The event as one line of a log, with its terminator."""
        if not self.readable:
            return b'{"requestId": "request-%d", broken\n' % self.number
        address = self.line_address or self.address
        payload = {
            "requestId": self.request_id,
            "imsOrg": address.organization,
            "sandbox": {"id": None, "name": address.sandbox},
            "channel": "email",
            "eventType": "message.feedback",
            "messageExecution": {
                "messageExecutionID": f"HUMA-{self.message}",
                "messageType": "transactional",
                "campaignID": "campaign-1",
                "campaignVersionID": None,
            },
            "messageDeliveryFeedback": {
                "feedbackStatus": {"value": "sent"},
                "offers": None,
                "messageExclusion": None,
                "messageFailure": None,
                "retryCount": self.number % 7,
            },
            "identityMap": {"email": [{"id": f"user-{self.message}@example.com", "primary": True}]},
        }
        return json.dumps(payload, separators=(",", ":")).encode() + b"\n"


def number_of(request_id: str) -> int:
    """The number of the event with this request id."""
    return int(request_id.removeprefix(_REQUEST_ID_PREFIX))
