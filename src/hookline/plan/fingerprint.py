"""The identity of what a plan would do."""

from __future__ import annotations

from collections.abc import Iterable

from hookline.canonical import digest
from hookline.plan.changes import Change


def fingerprint(changes: Iterable[Change]) -> str:
    """``sha256:…`` over address, action, hash before and document after of each change, by address.

    Over nothing else: where a webhook is written, what is pending for it, and the serial move by themselves.
    """
    return digest(
        [
            {
                "address": str(change.address),
                "action": str(change.action),
                "beforeHash": change.before_hash,
                "after": change.after,
            }
            for change in sorted(changes, key=lambda change: change.address)
        ]
    )
