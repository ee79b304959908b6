"""`hookline drift`: compare the state with the applied changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, assert_never

import click

from hookline.cli.applied_state import read_with_history
from hookline.cli.options import config_option, examples, format_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import put_code_first
from hookline.cli.policy_file_note import compare_policy_file, policy_file_option
from hookline.escaping import by_code_point, printable
from hookline.exit_codes import ExitCode
from hookline.plan.look_alikes import look_alike
from hookline.state.drift import Drift, DriftedPolicy, DriftedWebhook, DriftKind, find_drift
from hookline.state.factory import open_state, without_password
from hookline.state.store import HistoryRecord, Snapshot
from hookline.state.store_errors import damaged_state_error


@click.command(
    epilog=examples("hookline drift --format json", exits="0 no drift, 8 the state cannot be used, 9 drift found")
)
@state_option
@config_option
@policy_file_option
@format_option("text", "json", help="Text for people, or JSON.")
def drift_command(state: str, config: Path, policy_file: Path | None, form: str) -> int:
    """Check whether the stored state is still the one that was applied. Writes nothing.

    Verifies the history's chain of hashes, replays the applied changes, and compares the result with the state.
    Also says whether the policy file of the repository is the policy of the state; that is no drift.
    Store the head that it shows in another place: it reveals a history that was rewritten as a whole.
    """
    put_code_first()
    snapshot, records = read_with_history(open_state(state), state)
    try:
        drift = find_drift(snapshot, records)
    except ValueError as broken:
        raise damaged_state_error(without_password(state), str(broken)) from broken
    if form == "json":
        compared = compare_policy_file(policy_file, config, snapshot)
        print_json(_document(snapshot, records, drift) | {"policyFile": compared})
    else:
        click.echo("\n".join(map(printable, _lines(snapshot, records, drift))))
        compare_policy_file(policy_file, config, snapshot)
    for hint in _hints(drift):
        click.echo(f"  hint: {hint}", err=True)
    return ExitCode.DRIFTED if drift else ExitCode.DONE


def _document(snapshot: Snapshot, records: tuple[HistoryRecord, ...], drift: Drift) -> dict[str, Any]:
    return {
        "lineage": snapshot.lineage,
        "serial": snapshot.serial,
        "head": records[-1].hash if records else None,
        "history": [asdict(broken) for broken in drift.breaks],
        "webhooks": [{**asdict(drifted), "address": str(drifted.address)} for drifted in drift.webhooks],
        "policy": None if drift.policy is None else asdict(drift.policy),
        "moves": [
            {"from": str(one.move.old), "to": str(one.move.new), "serial": one.move.serial, "kind": one.kind}
            for one in drift.moves
        ],
    }


def _lines(snapshot: Snapshot, records: tuple[HistoryRecord, ...], drift: Drift) -> Iterator[str]:
    yield from (f"history, serial {broken.serial}: {broken.reason}" for broken in drift.breaks)
    for drifted in drift.webhooks:
        yield f"{drifted.address}: {_kind_text(drifted)}"
        for field in drifted.fields:
            yield f"    {field.path}: {_sides(_value_text(field.applied), _value_text(field.stored))}"
    if (policy := drift.policy) is not None:
        yield f"policy: {_policy_text(policy)}"
        yield f"    {policy.applied or '(no policy)'} -> {policy.stored or '(no policy)'}"
    for one in drift.moves:
        yield f"move {one.move.old} -> {one.move.new} of serial {one.move.serial}: {one.kind} by hand"
    if drift:
        others = ", the policy differs" if drift.policy else ""
        others += f", {len(drift.moves)} move(s) differ" if drift.moves else ""
        yield f"Drift: {len(drift.breaks)} break(s) in the history, {len(drift.webhooks)} webhook(s) differ{others}."
    else:
        yield f"No drift: {len(snapshot.webhooks)} webhook(s) match serial {snapshot.serial}."
    if records:
        yield f"Head of the history: {records[-1].hash}"


def _policy_text(drifted: DriftedPolicy) -> str:
    if drifted.applied is None:
        return "added to the state by hand: no apply set it"
    verb = "removed from the state" if drifted.stored is None else "changed"
    return f"{verb} by hand since serial {drifted.serial} set it"


def _kind_text(drifted: DriftedWebhook) -> str:
    match drifted.kind:
        case DriftKind.ADDED:
            return "added to the state by hand: no apply created it"
        case DriftKind.REMOVED:
            return f"removed from the state by hand: serial {drifted.serial} applied it"
        case DriftKind.CHANGED:
            return f"changed by hand since serial {drifted.serial} applied it"
        case _:
            assert_never(drifted.kind)


def _sides(applied: str, stored: str) -> str:
    """Both values; by code point where they look alike."""
    shown = (by_code_point(applied), by_code_point(stored)) if look_alike(applied, stored) else (applied, stored)
    return " -> ".join(shown)


def _value_text(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)


def _hints(drift: Drift) -> Iterator[str]:
    if drift.webhooks:
        yield "`hookline plan` shows how the webhook files differ from the state; apply that to remove the drift"
    if drift.policy:
        yield "set the policy again: `hookline policy set FILE`, or `hookline policy clear`"
    if drift.breaks:
        yield "hookline does not repair a broken history: compare it with a backup, and find who writes to the state"
