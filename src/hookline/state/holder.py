"""Who holds a lock on a file, as far as the kernel tells."""

from __future__ import annotations

from pathlib import Path

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
