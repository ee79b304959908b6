"""`hookline policy set`, `clear` and `show`: the policy in the state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import Any

import click

from hookline.apply import check_commit_order, commit_policy
from hookline.cli.applied_state import read_with_history
from hookline.cli.commands.apply import ask_for_approval
from hookline.cli.completions import complete_files
from hookline.cli.options import auto_approve_option, examples, format_option, lock_timeout_option, state_option
from hookline.cli.output.colour import coloured
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import print_result, put_work_first
from hookline.cli.output.tables import columns
from hookline.cli.output.yaml_writer import policy_as_yaml
from hookline.config.policy_file import read_policy_file
from hookline.errors import HooklineError
from hookline.escaping import printable
from hookline.plan.stale_plan import DIRTY_SUFFIX, attribution, short_commit
from hookline.provenance import Provenance, is_ancestor, is_uncommitted, provenance_of
from hookline.settings import user_name
from hookline.state.factory import open_state, state_place, without_password
from hookline.state.history_chain import time_text
from hookline.state.policy_history import applied_policy, blame_policy
from hookline.state.store import HistoryRecord, PolicyChange, StoredPolicy
from hookline.state.store_errors import damaged_state_error

_HEADINGS = ("PART", "SERIAL", "TIME", "WHO", "COMMIT", "FILE")
_COLOURS = {"+": "green", "-": "red"}


@click.command(
    "set",
    epilog=examples(
        "hookline policy set policy.yaml",
        "hookline policy set --state postgresql://hookline_policy@db.example/hookline policy.yaml",
        exits="0 done, 5 the policy file has errors, 6 not approved, or an older commit, 7 another apply has changed "
        "the policy, 8 the state cannot be used, or this role may not set the policy",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path), shell_complete=complete_files)
@state_option
@click.option(
    "--allow-older",
    is_flag=True,
    help="Set the policy of a commit even if it is not a descendant of the one set last, or is not known.",
)
@auto_approve_option
@lock_timeout_option
def policy_set_command(*, file: Path, state: str, allow_older: bool, auto_approve: bool, lock_timeout: float) -> None:
    """Set the policy of the state to that of FILE.

    Shows the difference, asks for approval on a terminal, and writes the policy as an apply of its own: the history
    records who set it, from which file and commit. Inside a git repository, the commit must be a descendant of the
    one from which the policy was set last. `policy test` shows the webhooks that would violate FILE.
    """
    put_work_first()
    policy = read_policy_file(file)
    store = open_state(state, lock_timeout=timedelta(seconds=lock_timeout))
    stored = store.read()
    if stored.policy is not None and stored.policy.text == policy.canonical:
        click.echo(f"Nothing to do: the state has this policy since serial {stored.policy.serial}.")
        return
    provenance = _provenance(file)
    follows = partial(is_ancestor, file.parent)
    records = [record for record in store.history() if record.entry.policy is not None]
    lifted = check_commit_order(records, provenance, follows, allow_older=allow_older, files="the policy files")
    _print_difference(stored.policy, policy.canonical, policy.name)
    if not auto_approve:
        ask_for_approval()
    change = PolicyChange(policy.canonical, policy.name)
    applied = commit_policy(store, stored, change, provenance, datetime.now(UTC), lifted=lifted)
    if applied.serial == 1:
        click.echo(f"Created the state {state_place(state)}: no state existed there.", err=True)
    print_result(f"Set the policy: the state is at serial {applied.serial}.")


@click.command(
    "clear",
    epilog=examples(
        "hookline policy clear",
        exits="0 done, 6 not approved, 7 another apply has changed the policy, 8 the state cannot be used, or this "
        "role may not clear the policy",
    ),
)
@state_option
@auto_approve_option
@lock_timeout_option
def policy_clear_command(*, state: str, auto_approve: bool, lock_timeout: float) -> None:
    """Remove the policy from the state. The history keeps it; `policy show --serial N` prints it."""
    put_work_first()
    store = open_state(state, lock_timeout=timedelta(seconds=lock_timeout))
    stored, _ = read_with_history(store, state)
    if stored.policy is None:
        click.echo("Nothing to do: the state has no policy.")
        return
    _print_difference(stored.policy, None, "no policy")
    if not auto_approve:
        ask_for_approval()
    provenance = Provenance(user_name(), None, None)
    applied = commit_policy(store, stored, PolicyChange(None), provenance, datetime.now(UTC))
    print_result(f"Cleared the policy: the state is at serial {applied.serial}.")


def _provenance(file: Path) -> Provenance:
    """The provenance of the file. If it differs from its commit, the commit gets a mark, and stderr a warning."""
    provenance = provenance_of(file.parent)
    if provenance.commit is None or is_uncommitted(file) is False:
        return provenance
    commit = provenance.commit[:12]
    name = printable(str(file))
    click.echo(
        f"warning: {name} differs from commit {commit}: the history will record {commit}{DIRTY_SUFFIX}", err=True
    )
    return Provenance(provenance.who, provenance.commit + DIRTY_SUFFIX, provenance.branch)


def _print_difference(before: StoredPolicy | None, after: str | None, name: str) -> None:
    old = "" if before is None else _yaml(before.text)
    new = "" if after is None else _yaml(after)
    label = "no policy" if before is None else f"the policy of serial {before.serial}"
    for line in unified_diff(old.splitlines(), new.splitlines(), label, name, lineterm="", n=2):
        colour = None if line.startswith(("---", "+++")) else _COLOURS.get(line[:1])
        click.echo(coloured(printable(line), colour) if colour else printable(line))


def _yaml(text: str) -> str:
    """The policy as YAML; the text itself if somebody has changed it to something else."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return policy_as_yaml(document) if isinstance(document, dict) else text


@click.command(
    "show",
    epilog=examples(
        "hookline policy show",
        "hookline policy show --origin",
        "hookline policy show --serial 12 > policy.yaml && hookline policy set policy.yaml",
        exits="0 done, 1 the state has no policy, 8 the state cannot be used",
    ),
)
@state_option
@click.option(
    "--origin",
    is_flag=True,
    help="Show which apply set each part of the policy, from which file and commit.",
)
@click.option(
    "--serial",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the policy that the state had at this serial.  [default: the present one]",
)
@format_option("yaml", "json", help="A policy file, or JSON.")
def policy_show_command(*, state: str, origin: bool, serial: int | None, form: str) -> None:
    """Show the policy that the state holds, as a policy file without fields that have their default value."""
    snapshot, records = read_with_history(open_state(state), state)
    if serial is not None and serial > snapshot.serial:
        raise HooklineError(
            f"serial {serial} does not exist: the state is at serial {snapshot.serial}",
            hint="`hookline history` shows all serials",
        )
    policy = snapshot.policy if serial is None else applied_policy(records, serial)
    if policy is None:
        text = "the state has no policy" if serial is None else f"the state had no policy at serial {serial}"
        raise HooklineError(text, hint="set one with `hookline policy set FILE`")
    known = [record for record in records if serial is None or record.serial <= serial]
    try:
        _show(policy, known, origin=origin, form=form)
    except ValueError as broken:
        raise damaged_state_error(without_password(state), str(broken)) from broken


def _show(policy: StoredPolicy, records: list[HistoryRecord], *, origin: bool, form: str) -> None:
    """Raises ValueError for a policy that is not JSON."""
    setter = next((record for record in records if record.serial == policy.serial), None)
    if form == "json":
        found = {"policy": json.loads(policy.text), "hash": policy.hash, "serial": policy.serial}
        if origin:
            parts = {part.name: _origin(part.record) for part in blame_policy(policy, records)}
            found |= {"origin": _origin(setter), "parts": parts}
        print_json(found)
    elif origin:
        by = "no apply: somebody edited the state by hand" if setter is None else attribution(setter)
        source = f", from {setter.entry.policy.source}" if setter and setter.entry.policy else ""
        click.echo(printable(f"Policy {policy.hash}, set by {by}{source}"))
        click.echo("\n".join(columns([_HEADINGS, *_rows(policy, records)])))
    else:
        click.echo(_yaml(policy.text), nl=False)


def _rows(policy: StoredPolicy, records: list[HistoryRecord]) -> Iterator[tuple[str, ...]]:
    for part in blame_policy(policy, records):
        origin = _origin(part.record)
        commit = short_commit(origin["commit"]) if origin["commit"] else "-"
        cells = (part.name, origin["serial"] or "-", origin["at"] or "-", origin["who"] or "no apply", commit)
        yield tuple(printable(str(cell)) for cell in (*cells, origin["source"] or "-"))


def _origin(record: HistoryRecord | None) -> dict[str, Any]:
    entry = record and record.entry
    return {
        "serial": record and record.serial,
        "at": entry and time_text(entry.at),
        **{name: getattr(entry, name, None) for name in ("who", "commit", "branch")},
        "source": entry and entry.policy and entry.policy.source,
    }
