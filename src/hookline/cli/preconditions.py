"""What must hold before a plan is applied: the fingerprint that is expected, and the commit's descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from hookline.apply import judge_descent
from hookline.errors import Stale
from hookline.escaping import printable
from hookline.plan.changes import Plan
from hookline.plan.rebase import DIRTY, attribution
from hookline.provenance import Provenance, contains, uncommitted
from hookline.state.port import StateStore


def commit_judge(
    store: StateStore, provenance: Provenance, config: Path, *, allow_older: bool
) -> Callable[[], tuple[str, ...]]:
    """What tells, whenever it is called, whether the commit follows the one that was applied last by then.

    It returns what is to be recorded as lifted, and raises Blocked.
    """

    def judge() -> tuple[str, ...]:
        if provenance.commit is None:
            return ()
        return judge_descent(store.history(), provenance.commit, partial(contains, config), allow_older=allow_older)

    return judge


def with_dirt(provenance: Provenance, config: Path) -> Provenance:
    """The provenance, its commit marked where the files are not that commit's, which is said on stderr too."""
    if provenance.commit is None:
        return provenance
    names = uncommitted(config)
    if not names:
        return provenance
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    click.echo(
        f"warning: {printable(str(config / names[0]))}{more} not as in commit {provenance.commit[:12]}: "
        f"the history will say {provenance.commit[:12]}{DIRTY}",
        err=True,
    )
    return replace(provenance, commit=provenance.commit + DIRTY)


def was_applied(store: StateStore, expect: str | None) -> bool:
    """Whether what is expected was applied already. With nothing left to do, a job that runs again has succeeded."""
    if expect is None:
        return False
    found = [record for record in store.history() if record.entry.fingerprint == expect]
    if found:
        click.echo(f"The expected plan was applied already, by {attribution(found[-1])}.")
    return bool(found)


def refuse_unexpected(store: StateStore, expect: str | None, plan: Plan) -> None:
    """Raise Stale when the plan is not the expected one, with what is known of why."""
    if expect in (None, plan.fingerprint):
        return
    records = store.history()
    since = f"; the last apply was by {attribution(records[-1])}" if records else ""
    if records:
        addresses = [printable(str(change.get("address"))) for change in records[-1].entry.changes]
        since += f", and changed {', '.join(addresses[:3])}{' and more' if len(addresses) > 3 else ''}"
    raise Stale(
        f"nothing is applied, for the plan is not what is expected: expected {expect}, "
        f"and the plan now is {plan.fingerprint}{since}",
        hint="the files or the state have changed since it was reviewed: have the plan shown here reviewed, "
        "and expect its fingerprint",
    )
