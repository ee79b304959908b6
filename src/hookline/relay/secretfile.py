"""A secret's file: opened once, judged on what was opened, and read.

Who else may read the file has the secret, and who else may write it, or the directory it is named in, chooses it
(docs/decisions/0027-secret-files.md). Names are not judged: between a look at a name and opening it, another
file can take its place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

LARGEST_FILE = 64 * 1024
_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Unfit(Exception):
    """`what` is wrong with the file, and the next step. Never with its content."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


# What tells that a file is another one, or has other content: device, inode, size, times of content and of mode.
Stamp = tuple[int, int, int, int, int]


def read_file(path: Path, root: Path, *, public: bool, lenient: bool) -> bytes:
    """The content of the file at `path`, which holds no link any more, below the secrets directory `root`.

    `public`: anybody may read it, such as a certificate. `lenient`: modes are not looked at. Raises Unfit.
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer. O_NOFOLLOW: links were resolved, none may appear.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unfit(f"{path} is not a regular file", "name a file that holds it")
        if not lenient:
            _judge_mode(path, status, public=public)
            _judge_directory(root)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            value = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(value) > LARGEST_FILE:
        raise Unfit(f"{path} is larger than {LARGEST_FILE // 1024} KiB", "name a file that holds only the secret")
    if not value.strip():
        raise Unfit(f"{path} is empty", "write the secret into it")
    return value


def stamp(path: Path) -> Stamp | None:
    """What tells whether the file has changed; None while it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _judge_mode(path: Path, status: os.stat_result, *, public: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & _GROUP_OR_OTHERS_WRITE:
        raise _too_open(f"{path} can be written by {_who(mode, stat.S_IWGRP, stat.S_IWOTH)}", mode)
    if public or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    groups = {0, os.getegid(), *os.getgroups()}
    if mode & stat.S_IROTH or not handed_over(status.st_uid, status.st_gid, groups):
        raise _too_open(f"{path} can be read by {_who(mode, stat.S_IRGRP, stat.S_IROTH)}", mode)


def handed_over(owner: int, group: int, groups: Collection[int]) -> bool:
    """Whether a file's group is how root hands the file to this process, which is in `groups`.

    systemd's credentials are root:root 0440, where the group's bits stand for an access list of one user (acl(5));
    a secret volume of Kubernetes with an fsGroup is root:GROUP 0440.
    """
    return owner == 0 and group in groups


def _judge_directory(root: Path) -> None:
    """In a directory that anybody may write to, files can be exchanged; in a sticky one only by their owners."""
    status = root.stat()
    sticky = bool(status.st_mode & stat.S_ISVTX) and status.st_uid in (0, os.geteuid())
    if status.st_mode & stat.S_IWOTH and not sticky:
        raise Unfit(
            f"anybody can write to the secrets directory {root}",
            f"chmod o-w {root}, or accept it with --insecure-secret-files",
        )


def _who(mode: int, group: int, others: int) -> str:
    return "everybody" if mode & others else "its group" if mode & group else "nobody"


def _too_open(what: str, mode: int) -> Unfit:
    return Unfit(
        f"{what} (mode {mode:04o})",
        "chmod 0400 it; of a mounted Kubernetes secret, set defaultMode: 0400 (0440 with an fsGroup), its default is"
        " 0644; or accept such files with --insecure-secret-files",
    )


def _unreadable(path: Path, error: OSError) -> Unfit:
    return Unfit(
        f"cannot read {path}: {error.strerror}",
        "put it below --secrets-dir, readable for the user that runs hookline",
    )
