"""A whole relay follows the move of a webhook, on each store."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from builders import xdm_event
from contract.spool_stores import LOCATIONS
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.summary import Summary
from hookline.state.factory import open_state
from hookline.wiring.run_options import RelayOptions
from hookline.wiring.run_relay import run_relay
from hookline_process import ORGANIZATION, SANDBOX, Lab, Receiver

MESSAGES = 6
STATUSES = ("sent", "delivered", "bounce")


def move(lab: Lab, url: str, old: str, new: str) -> None:
    """Applies the move of a webhook to another sandbox. It is enabled afterwards."""
    (lab.directory / "webhooks" / ORGANIZATION / f"{old}.yaml").unlink()
    lab.apply(url, sandbox=new, movedFrom=f"{ORGANIZATION}/{old}")


def options_of(lab: Lab, receiver: Receiver, spool: str, sandbox: str, source: Path) -> RelayOptions:
    return RelayOptions(
        state=str(lab.directory / ".hookline" / "state.db"),
        spool=spool,
        sources=[str(source)],
        settings=RelaySettings(defaults=Defaults(organization=ORGANIZATION, sandbox=sandbox), max_wait_seconds=60.0),
        resolver=SecretResolver(environment={}, directory=lab.secrets, by_organization=False),
        rules=NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128"))),
        ca_file=receiver.ca_file,
    )


def test_deliveries_follow_a_move(kind: str, store: SpoolStore, lab: Lab, tmp_path: Path) -> None:
    """Of each message, one event is pending at the old address, and two come later at the new one, after two moves.
    The endpoint gets each once and in order; events that are known under the old address are duplicates.

    A relay has followed the first move and was killed before the second. On a shared spool, one process follows both,
    as soon as it owns their slots.
    """
    killed = kind != "shared"
    with lab.receiver() as receiver:
        url, spool = f"https://localhost:{receiver.port}/feedback", LOCATIONS[kind](tmp_path)
        lines: list[str] = []
        log = Log(lines.append, level="info", format="text", clock=time.time)

        def run(options: RelayOptions) -> Summary:
            return asyncio.run(run_relay(options, log))[1]

        numbers = [(status, message) for status in range(len(STATUSES)) for message in range(MESSAGES)]
        events = [xdm_event(100 * status + message, message, STATUSES[status]) for status, message in numbers]
        lab.apply(url, enabled=False)
        store.create_if_missing(since="now")
        before = lab.write_events("before", events[:MESSAGES])
        first = options_of(lab, receiver, spool, SANDBOX, before)
        assert MESSAGES == run(first).pending
        move(lab, url, SANDBOX, "between")
        move(lab, url, "between", "live")
        if killed:
            snapshot = open_state(first.state).read()
            opened = store.open(since="now")
            one = snapshot.moves[0]
            assert opened.follow_move(RecordedMove(snapshot.lineage or "", one.serial, one.old, one.new), now=1.0)
            opened.close()
        # In another order, because a file with the same beginning would be the same file.
        after = lab.write_events("after", sorted(events, key=lambda one: -(int(one["_id"][6:]) % 100)))
        second = run(options_of(lab, receiver, spool, "live", after))
        expected = (2 * MESSAGES + MESSAGES, MESSAGES, 0, 0)
        assert expected == (second.delivered, second.duplicates, second.dead, second.pending)
        got = [(one["messageExecution"]["messageExecutionID"], status_of(one)) for one in bodies(receiver)]
        assert len(got) == len(set(got)) == len(events)
        for message in range(MESSAGES):
            assert list(STATUSES) == [status for name, status in got if name == f"message-{message}"]
        sandboxes = {(status_of(one), one["sandbox"]["name"]) for one in bodies(receiver)}
        assert {("sent", SANDBOX), ("delivered", "live"), ("bounce", "live")} == sandboxes
    assert {Address(ORGANIZATION, "live")} == {*store.statistics().endpoint_states()}
    assert 2 - killed == sum("webhook moved" in line for line in lines)


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [one["body"] for one in receiver.records()]


def status_of(body: dict[str, Any]) -> str:
    return str(body["messageDeliveryFeedback"]["feedbackStatus"]["value"])
