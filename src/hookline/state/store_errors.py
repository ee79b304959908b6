"""Why a state is not read or written, in our words: the one place where SQLite's results become errors of ours."""

from __future__ import annotations

from pathlib import Path

from hookline.errors import HooklineError, Stale, StateUnusable
from hookline.state.history_chain import time_text
from hookline.state.store import Entry, Snapshot

# Who holds a lock on a file, as far as the kernel tells.
# Each line: "1: POSIX  ADVISORY  WRITE 4711 fd:01:12345 1073741824 1073742335"
# (https://man7.org/linux/man-pages/man5/proc_locks.5.html)
_LOCKS = Path("/proc/locks")


def holder(path: Path) -> int | None:
    """The process that holds a write lock on `path`; None where that is not to be learned (any more)."""
    try:
        inode, lines = path.stat().st_ino, _LOCKS.read_text().splitlines()
    except OSError:
        return None
    return writer(lines, inode)


def writer(lines: list[str], inode: int) -> int | None:
    """The process with a write lock on this inode, in the lines of /proc/locks; not one of another PID namespace."""
    for line in lines:
        fields = line.split()
        if fields[1:4] == ["POSIX", "ADVISORY", "WRITE"] and fields[5].rpartition(":")[2] == str(inode):
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None


_BACKUP = "restore the file from a backup; hookline never rebuilds a state by itself"


def damaged(path: Path, what: str) -> StateUnusable:
    return StateUnusable(f"the state {path} is damaged: {what}", hint=_BACKUP)


def newer(path: Path, found: int, known: int) -> StateUnusable:
    return StateUnusable(
        f"the state {path} was written by a newer hookline (format {found}; this one reads {known})",
        hint="upgrade hookline, here and wherever else it uses this state",
    )


def earlier_build(path: Path) -> StateUnusable:
    return StateUnusable(
        f"the state {path} was written by a build of hookline before its first release, and cannot be read",
        hint="move the file away, then run `hookline apply`: it creates a new state from the webhook files, with no "
        "history",
    )


def foreign(path: Path) -> StateUnusable:
    return StateUnusable(
        f"{path} is an SQLite database, but not a state of hookline", hint="name the state's file with --state"
    )


def unreplayable(state: str, what: str) -> StateUnusable:
    """`state` is what the user calls it: a path or an address."""
    return StateUnusable(f"the state {state} is damaged: {what}", hint=_BACKUP)


def changed_meanwhile(what: str, winner: Entry | None = None) -> Stale:
    """`winner` is the apply that came first, where history still knows it."""
    by = f", applied by {described(winner)}" if winner else ""
    return Stale(f"{what}{by}", hint="nothing was changed; plan again, and apply what that shows")


def described(entry: Entry) -> str:
    """Who, when and at which commit: as a message names an apply."""
    commit = f" at commit {entry.commit[:12]}" if entry.commit else ""
    return f"{entry.who} on {time_text(entry.at)}{commit}"


def refuse_stale(path: Path, base: Snapshot, lineage: str, serial: int, winner: Entry | None) -> None:
    """Raise Stale unless `base` is still what is stored. `winner` is the last apply."""
    if base.lineage is None:
        raise changed_meanwhile(f"the state {path} was made meanwhile (now serial {serial})", winner)
    if base.lineage != lineage:
        raise changed_meanwhile(
            f"{path} holds another state by now (lineage {lineage}; this was planned on {base.lineage})"
        )
    if base.serial != serial:
        what = f"the state {path} has moved: this was planned on serial {base.serial}, now it is at {serial}"
        raise changed_meanwhile(what, winner)


def from_sqlite(path: Path, result: str, text: str) -> HooklineError:
    """`result` is the extended result code's name (https://www.sqlite.org/rescode.html), "" where there is none."""
    if result == "SQLITE_READONLY_ROLLBACK":
        return StateUnusable(
            f"an apply to {path} was interrupted, and what it left cannot be undone without write access",
            hint="run `hookline list` once as a user who may write the state",
        )
    match result.split("_")[1:2]:
        case ["BUSY" | "LOCKED"]:
            process = holder(path)
            by = "another process" if process is None else f"another process ({process})"
            return StateUnusable(
                f"the state {path} is locked by {by}",
                hint="another apply is at work: wait for it, or give --lock-timeout 30s",
            )
        case ["NOTADB"]:
            return StateUnusable(
                f"{path} is not an SQLite database", hint=f"name the state's file with --state, or {_BACKUP}"
            )
        case ["READONLY" | "CANTOPEN" | "PERM" | "AUTH"]:
            return StateUnusable(
                f"the state {path} cannot be opened: {text}",
                hint="check the permissions of the file and of its directory",
            )
        case ["FULL" | "IOERR"]:
            return HooklineError(f"the state {path}: {text}", hint="nothing was changed; check the disk")
        case _:
            return damaged(path, text)
