"""`hookline relay --transport`, as its users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import xdm_event
from hookline_process import Lab


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_both_deliver_the_same(tmp_path: Path, transport: str) -> None:
    """Whatever carries them, the same requests arrive, but for what differs in each attempt."""
    lab = Lab(tmp_path)
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", headers={"X-Team": "crm"})
        events = lab.write_events("events", (xdm_event(number, number) for number in range(40)))
        summary = lab.relay(receiver, "--transport", transport, str(events))
        assert (40, 40) == (summary["delivered"], summary["attempts"])
        sent = [record["headers"] for record in receiver.records()]
        assert 40 == len({headers["webhook-id"] for headers in sent})
        names = {
            "host", "content-type", "user-agent", "x-team", "webhook-id", "webhook-timestamp", "hookline-attempt",
            "hookline-event-time", "content-length",
        }  # fmt: skip
        assert [names] * 40 == [set(headers) for headers in sent]
