"""A shared spool and its processes, as `status`, its document and the metrics show them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from hookline.cli.status.status_text import status_text
from hookline.observe.metrics import Metrics
from hookline.observe.snapshot import (
    Checkpoint,
    Counts,
    LagStatus,
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    StatusSnapshot,
    WebhookStatus,
)
from hookline.observe.spool_owners import lanes_of, slot_ranges
from hookline.observe.status import status_document, waiting_by_reason
from hookline.schemas import load_schema

SPOOL = SpoolStatus(
    at=100.0,
    tally={"pending": 15},
    webhooks=[
        WebhookStatus(webhook="acme/a", slot=0, pending=5, oldest=9.0),
        WebhookStatus(webhook="acme/b", slot=1, pending=1, oldest=2.0),
        WebhookStatus(webhook="acme/c", slot=2, pending=2, oldest=60.0),
        WebhookStatus(webhook="acme/d", slot=3, pending=7, oldest=7.0),
    ],
    checkpoints=[
        Checkpoint(name="log", line=9, offset=90, at=99.0, reader="eu"),
        Checkpoint(name="log", line=4, offset=40, at=98.0, reader="us"),
    ],
)


def said(pid: int, *lanes: LaneStatus, **more: Any) -> RelayStatus:
    return RelayStatus(version="1", process=pid, started=1.0, at=99.0, lanes=lanes, **more)


def lane(webhook: str, phase: str = "closed", in_flight: int = 0) -> LaneStatus:
    return LaneStatus(webhook=webhook, phase=phase, in_flight=in_flight, reason="http 503", until=160.0)


LAG = LagStatus(name="log", line=9, offset=90, behind=5, seconds=0.0)
READER = ProcessStatus(
    name="eu", host="one", pid=11, started=10.0, lease_seconds=8.2, slots=[0], reads=True,
    status=said(11, lane("acme/a", in_flight=3), lags=[LAG]),
)  # fmt: skip
DELIVERER = ProcessStatus(
    kind="deliver", host="two", pid=22, started=20.0, lease_seconds=7.0, slots=[1], reads=False,
    status=said(22, lane("acme/b", "open"), lane("acme/a", "gone"), unready="no progress"),
)  # fmt: skip
GONE = ProcessStatus(
    kind="deliver", host="three", pid=33, started=30.0, lease_seconds=-4.0, slots=[2],
    status=said(33, lane("acme/c")),
)  # fmt: skip
PROCESSES = SpoolProcesses(processes=[READER, DELIVERER, GONE], slots=4, unowned=[3])


def test_the_owner_of_a_webhook_reports_its_lane() -> None:
    """A former owner's report of a lane does not count, and neither does that of a process that is gone."""
    lanes = lanes_of(SPOOL, None, PROCESSES)
    assert {"acme/a": "closed", "acme/b": "open"} == {name: one.phase for name, one in lanes.items()}


def test_a_new_webhook_belongs_to_the_process_that_reports_it() -> None:
    """A webhook of which the spool has no row yet has a lane, and its process is named as the owner."""
    process = msgspec.structs.replace(DELIVERER, status=said(22, lane("acme/new")))
    processes = SpoolProcesses(processes=[READER, process], slots=4)
    assert "closed" == lanes_of(SPOOL, None, processes)["acme/new"].phase
    document = status_document(SPOOL, None, processes=processes)
    (new,) = (one for one in document["webhooks"] if one["webhook"] == "acme/new")
    assert (None, "two/22") == (new["slot"], new["owner"])


def test_a_relay_knows_its_own_lanes_best() -> None:
    """The page of a relay shows its own lanes as they are now, not as it published them."""
    own = said(11, lane("acme/a", "half_open"))
    assert "half_open" == lanes_of(SPOOL, own, PROCESSES)["acme/a"].phase


def test_status_has_a_block_for_each_process() -> None:
    """Each process is named with its slots, its backlog and its lease; one whose lease is over is gone, and slots
    without an owner are named."""
    lines = list(status_text(SPOOL, None, None, processes=PROCESSES, everything=False))
    text = "\n".join(" ".join(line.split()) for line in lines)
    for expected in (
        "processes 1 relay, 1 deliverer, 1 gone; 4 slots",
        "unowned 1 slot has no owner: 3; 7 pending, the oldest 7 s old",
        "relay eu (one/11) since 1970-01-01T00:00:10Z, ready, reads its files, state serial 0\n"
        "slots 1: 0; the lease ends in 8 s\nbacklog 5 pending, the oldest 9 s old\n",
        "deliver two/22 since 1970-01-01T00:00:20Z, not ready: no progress, state serial 0\n",
        "deliver three/33 since 1970-01-01T00:00:30Z, gone: others take its slots over\n"
        "slots 1: 2; the lease ended 4 s ago\nbacklog 2 pending, the oldest 60 s old\n",
        "acme/a 5 9 s 0 closed, 3 in flight one/11\n",
        "acme/c 2 60 s 0 three/33 (gone)\n",
        "acme/d 7 7 s 0 none\n",
        "log 9 90 1970-01-01T00:01:39Z 5 B eu\n",
        "log 4 40 1970-01-01T00:01:38Z us",
    ):
        assert expected in text


def test_without_a_process_all_slots_are_unowned() -> None:
    """A shared spool that no process uses is shown as that."""
    none = SpoolProcesses(slots=4, unowned=[0, 1, 2, 3])
    lines = [" ".join(line.split()) for line in status_text(SPOOL, None, None, processes=none, everything=False)]
    assert "processes none running; 4 slots" == lines[0]
    assert "unowned 4 slots have no owner: 0-3; 15 pending, the oldest 60 s old" == lines[1]


def test_the_document_names_owners_and_processes() -> None:
    """It fits its schema; webhooks have their owner, sources their reader, and each process its share."""
    for relay in (None, said(11)):
        document = json.loads(json.dumps(status_document(SPOOL, relay, processes=PROCESSES)))
        assert [] == [error.message for error in Draft202012Validator(load_schema("status")).iter_errors(document)]
    assert {"total": 4, "unowned": [3]} == document["slots"]
    assert [(0, "one/11"), (1, "two/22"), (2, "three/33"), (3, None)] == [
        (one["slot"], one["owner"]) for one in document["webhooks"]
    ]
    assert [("eu", 5), ("us", None)] == [
        (one["reader"], (one["reading"] or {}).get("behindBytes")) for one in document["sources"]
    ]
    assert [("one/11", False, 5, 9.0), ("two/22", False, 1, 2.0), ("three/33", True, 2, 60.0)] == [
        (one["process"], one["gone"], one["pending"], one["oldestSeconds"]) for one in document["processes"]
    ]


def test_a_spool_with_one_owner_has_none_of_it() -> None:
    """The document of an embedded spool has no part of a shared one."""
    document = status_document(SPOOL, said(11), "process 11 since then")
    assert not {"slots", "processes"} & document.keys()
    assert not {"slot", "owner"} & document["webhooks"][0].keys()
    assert "reader" not in document["sources"][0]


def snapshot(processes: SpoolProcesses = PROCESSES) -> StatusSnapshot:
    counts = Counts(attempts={}, latency={}, bounds=(), dead={})
    return StatusSnapshot(spool=SPOOL, relay=said(11, lane("acme/a")), counts=counts, processes=processes)


def test_a_metrics_page_covers_all_processes() -> None:
    """Each page has the slots, the backlog and the lease of every process."""
    _, page = Metrics(max_webhooks=10).page(snapshot(), "")
    found = {
        (sample.name.removeprefix("hookline_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }
    assert {
        ("processes", "relay"): 1, ("processes", "deliver"): 1, ("slots",): 4, ("slots_unowned",): 1,
        ("process_slots", "one/11"): 1, ("process_slots", "three/33"): 1, ("process_pending", "two/22"): 1,
        ("process_oldest_undelivered_age_seconds", "one/11"): 9.0, ("process_lease_seconds", "three/33"): 0.0,
        ("process_lease_seconds", "one/11"): 8.2, ("waiting_by_reason", "other_owner"): 1,
    }.items() <= found.items()  # fmt: skip


def test_why_deliveries_wait_in_a_shared_spool() -> None:
    """Webhooks of other processes are not the work of this relay. Those without a living owner wait for one."""
    waiting = waiting_by_reason(snapshot())
    assert {"other_owner": 1, "no_owner": 9} == {reason: n for reason, n in waiting.items() if n}
    for status, reason in ((None, "other_owner"), (said(22), "not_applied")):
        other = msgspec.structs.replace(DELIVERER, status=status)
        waiting = waiting_by_reason(snapshot(SpoolProcesses(processes=[READER, other], slots=4)))
        assert {reason: 1, "no_owner": 9} == {reason: n for reason, n in waiting.items() if n}


@pytest.mark.parametrize(
    ("slots", "expected"), [([], ""), ([5], "5"), ([0, 1, 2, 7, 9, 10], "0-2, 7, 9-10"), ([*range(64)], "0-63")]
)
def test_ranges_of_slots(slots: list[int], expected: str) -> None:
    assert expected == slot_ranges(slots)
