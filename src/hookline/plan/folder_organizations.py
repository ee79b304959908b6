"""Notes for a created or moved webhook in a folder that has held other organizations so far.

CODEOWNERS gives a folder to a team, but any file may name any organization, and the relay then uses the secrets and
events of that organization. A reviewer of the folder sees the note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from hookline.model import Address, Desired
from hookline.plan.plan import Action, Change, Plan
from hookline.state.store import HistoryRecord, Snapshot

_MAX_LISTED = 3

Organizations = dict[PurePosixPath, set[str]]


def note_folders(
    plan: Plan, desired: Desired, stored: Snapshot, records: Iterable[HistoryRecord], root: PurePosixPath
) -> Plan:
    """The plan with the notes.

    Args:
        plan: The plan that was made of `desired` and `stored`.
        desired: The webhooks of the files, with their files.
        stored: The webhooks that are applied.
        records: The history, which names the files of earlier applies.
        root: The configuration directory, as the files are named. It belongs to no team.
    """
    known: Organizations = defaultdict(set)
    for address, file in (*_applied_files(desired, stored), *_earlier_files(records)):
        folder = PurePosixPath(file).parent
        known[folder].add(address.organization)
        for above in _below_root(folder.parent, root) if folder != root else ():
            known[above].add(address.organization)
    return replace(plan, changes=tuple(_with_note(change, known, root) for change in plan.changes))


def _applied_files(desired: Desired, stored: Snapshot) -> Iterator[tuple[Address, str]]:
    return ((address, one.source.file) for address, one in desired.webhooks.items() if address in stored.webhooks)


def _earlier_files(records: Iterable[HistoryRecord]) -> Iterator[tuple[Address, str]]:
    for record in records:
        for change in record.entry.changes:
            source = change.get("source")
            if isinstance(source, dict) and isinstance(source.get("file"), str) and "/" in change["address"]:
                yield Address(*change["address"].split("/", 1)), source["file"]


def _below_root(folder: PurePosixPath, root: PurePosixPath) -> Iterator[PurePosixPath]:
    """The folder and those above it, without the configuration directory."""
    for one in (folder, *folder.parents):
        if one in (root, one.parent):
            return
        yield one


def _with_note(change: Change, known: Organizations, root: PurePosixPath) -> Change:
    if change.action not in {Action.CREATE, Action.MOVE} or change.source is None:
        return change
    folder = PurePosixPath(change.source.file).parent
    folders = [root] if folder == root else _below_root(folder, root)
    nearest = next((one for one in folders if known.get(one)), None)
    if nearest is None or change.address.organization in known[nearest]:
        return change
    names = sorted(known[nearest])
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    text = f"the folder {nearest} has held other organizations so far: {', '.join(names[:_MAX_LISTED])}{more}"
    return replace(change, note=text)
