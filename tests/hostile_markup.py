"""200 values that would become markup, a script, a link or a terminal's command if a page did not escape them, and a
directory whose state and spool contain them wherever a value from outside can be."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any, Final

from builders import delivery, document, entry, settlement
from contract.spool_stores import DAY, fresh
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, FailedAttempt, Line, encode_history
from hookline.relay.sources.source import Position
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import IngestBatch, NewDelivery, RejectedLine, State
from hookline.state.sqlite_store import SqliteStore
from hookline.state.store import EMPTY, Override

_RUN: Final = "window.ran='{0}'"
_VECTORS: Final = (
    "<script>{run}</script>", "<script src=//evil.example/x.js></script>", "<img src=x onerror=\"{run}\">",
    "<svg/onload={run}>", "<svg><script>{run}</script></svg>", "<iframe srcdoc=\"<script>parent.{run}</script>\">",
    "<body onload={run}>", "<a href=\"javascript:{run}\">x</a>", "javascript:{run}",
    "<style>@import '//evil.example';",
    "<meta http-equiv=refresh content='0;url=//evil.example'>", "<base href=//evil.example/>",
    "<form action=//evil.example><input name=q autofocus onfocus={run}>", "<details open ontoggle={run}>",
    "<math><mtext></p><img src=x onerror={run}>", "{{{{7*7}}}}", "{{% raw %}}<script>{run}</script>",
    "&lt;script&gt;{run}",
    "<object data=//evil.example/x>", "\x1b]0;owned\x07\x1b[2J<script>{run}</script>", "\u202e<script>{run}</script>",
    "<!--><script>{run}</script>", "\x00<script>{run}</script>", "%3Cscript%3E{run}", "::add-mask::x<b>",
)  # fmt: skip
# What stands before a vector to leave an attribute, an element or a comment.
_ESCAPES: Final = ("", '">', "'>", "</textarea>", "</title>", "--></script>", "]]>", '" x="')
HOSTILE_VALUES: Final = tuple(
    escape + vector.format(run=_RUN.format(number))
    for number, (escape, vector) in enumerate(product(_ESCAPES, _VECTORS))
)
assert len(set(HOSTILE_VALUES)) == 200
_GROUP: Final = 10  # values in one batch of lines
EXECUTION: Final = "HUMA-1 <script>window.ran='execution'</script>"
# Payloads and rejected lines contain recipients.
RECIPIENTS: Final = ("person@private.example", "+49 151 12345678")


def address_of(number: int) -> Address:
    """An address that contains a value, without the characters that no address has."""
    value = HOSTILE_VALUES[number]
    return Address(
        "acme@AdobeOrg", f"{number:03}" + "".join(one for one in value if one.isprintable() and one not in " /")
    )


def fill_state(path: Path) -> None:
    """200 webhooks, and one with 200 hostile headers that was changed 20 times."""
    documents = {
        address_of(number): document(
            address_of(number), name=value, description=value, owner=value,
            url=f"https://hooks.acme.example/?{number}={value}",
        )
        for number, value in enumerate(HOSTILE_VALUES)
    }  # fmt: skip
    busy = Address("acme@AdobeOrg", "busy")
    documents[busy] = document(
        busy, name=HOSTILE_VALUES[0], headers={f"x-{n}": one for n, one in enumerate(HOSTILE_VALUES)}
    )
    changes = tuple(_change(address, found, HOSTILE_VALUES[0]) for address, found in documents.items())
    store = SqliteStore(path, new_lineage=lambda: "lineage")
    snapshot = store.commit(EMPTY, documents, entry(HOSTILE_VALUES[0], changes=changes))
    for number, value in enumerate(HOSTILE_VALUES[-20:]):
        before = dict(documents[busy])
        documents[busy] = {**before, "description": value}
        change = _change(busy, documents[busy], value) | {
            "action": value if number == 19 else "update",
            "fields": [{"path": f"/description/{value}", "before": before.get("description"), "after": value}],
        }
        applied = entry(
            value,
            changes=(change,),
            branch=value,
            note=value,
            lifted=(value,),
            overrides=(Override(value, value),),
            commit="c0ffee" * 6,
        )
        snapshot = store.commit(snapshot, {busy: documents[busy]}, applied)


def _change(address: Address, after: dict[str, Any], file: str) -> dict[str, Any]:
    return {"address": str(address), "action": "create", "source": {"file": file, "line": 1}, "before": None,
            "after": after, "beforeHash": None, "fields": [], "blocked": None, "pending": None}  # fmt: skip


def fill_spool(directory: Path) -> None:
    """200 dead deliveries of one execution, 200 rejected lines, and endpoints that are gone for hostile reasons."""
    spool = spool_store(directory).open(since="now")
    everything = json.dumps({"values": HOSTILE_VALUES, "recipients": RECIPIENTS}).encode()
    settled = []
    try:
        for start in range(0, len(HOSTILE_VALUES), _GROUP):
            group = range(start, start + _GROUP)
            source = HOSTILE_VALUES[start]
            texts = [f"{RECIPIENTS[0]} {EXECUTION} {HOSTILE_VALUES[number]}".encode() for number in group]
            batch = IngestBatch(
                source=source, position=Position(name=source, line=1, offset=1, device=1, inode=2), read=2 * _GROUP,
                deliveries=[NewDelivery(1, _delivery(number, everything)) for number in group], skipped={},
                rejected=[RejectedLine(Line(2, one, len(one)), 0, HOSTILE_VALUES[number])
                          for number, one in zip(group, texts, strict=True)],
            )  # fmt: skip
            spool.enqueue(batch, now=0.0, dedupe_window=DAY)
            address = address_of(start)
            spool.save_endpoint_state(address, gone_reason=source, gone_configuration="x", not_before=None)
        for number, value in enumerate(HOSTILE_VALUES):
            (item,) = fresh(spool, address_of(number))
            failures = encode_history([FailedAttempt(1.0, 1, value[:150]), FailedAttempt(2.0, 0, "replayed")])
            reason = f"{value} for {RECIPIENTS[1]}"
            settled.append(settlement(item, State.DEAD, reason=reason, http=422, history=failures))
        spool.settle(settled, now=3.0)
    finally:
        spool.close()


def _delivery(number: int, body: bytes) -> Delivery:
    value = HOSTILE_VALUES[number]
    detail = f"{value} {RECIPIENTS[0]}"
    return delivery(
        value, address=address_of(number), request_id=value, execution_id=EXECUTION, detail=detail, body=body
    )


def fill_configuration(directory: Path) -> None:
    """A webhook file for each value that a webhook file may contain."""
    directory.mkdir()
    for number, value in enumerate(HOSTILE_VALUES):
        if value.isprintable():
            found = document(f"plan-{number}", name=f"plan {number}", description=value)
            (directory / f"{number}.yaml").write_text(json.dumps(found))
