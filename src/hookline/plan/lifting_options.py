"""The options of the command line that lift the rules that deny a plan."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator

from hookline.policy.policy import OverrideTerms
from hookline.policy.violation import MissingApprovals, Violation


def missing_approvals(terms: OverrideTerms, people: Collection[str]) -> MissingApprovals | None:
    """The approvals that a rule needs besides those of the people; None if it needs no more."""
    count = terms.approvals - sum(one in people for one in terms.owners)
    if not terms.owners or count <= 0:
        return None
    return MissingApprovals(count, tuple(one for one in terms.owners if one not in people))


def lifting_options(violations: Collection[Violation]) -> str:
    """The options that lift the rules of violations that deny, besides those that the command line has already."""
    denying = [one for one in violations if one.denies]
    rules = " ".join(f"--override {rule}" for rule in dict.fromkeys(one.rule for one in denying))
    reason = "" if any(one.overridden is not None for one in violations) else " --reason TEXT"
    approvals = approval_options(one.approvals for one in denying if one.approvals is not None)
    return f"{rules}{reason}{approvals}"


def approval_options(missing: Iterable[MissingApprovals]) -> str:
    """The options for all of the missing approvals. Where owners can choose who approves, OWNER stands for one."""
    known = list(dict.fromkeys(missing))
    named = dict.fromkeys(name for one in known if not one.has_choice for name in one.owners)
    options = [f"--approved-by {shlex.quote(name)}" for name in named]
    options += _choices(known, named)
    return "".join(f" {option}" for option in options)


def _choices(missing: Iterable[MissingApprovals], named: Collection[str]) -> Iterator[str]:
    for one in missing:
        owners = [name for name in one.owners if name not in named]
        count = one.count - (len(one.owners) - len(owners))
        if count > 0:
            yield f"{' '.join(['--approved-by OWNER'] * count)} ({count} of {', '.join(owners)})"
