"""Secrets: resolved when they are used, from where an operator put them within reach, and never shown.

The scope is the point. Someone who can open a pull request writes references, and must not be able to have the
relay post its own environment or another team's key to a URL of theirs. So a variable must begin with
``HOOKLINE_SECRET_``, a file must lie below the secrets directory once every link is resolved, and with
`by_organization` both must belong to the webhook's own organization: variables that begin with
``HOOKLINE_SECRET_<ORGANIZATION>__``, files below ``<secrets directory>/<organization>/``. ``<ORGANIZATION>`` is the
organization in upper case with one ``_`` for whatever stands between letters and digits:
``1234567890ABCDEF@AdobeOrg`` becomes ``1234567890ABCDEF_ADOBEORG``. It never holds two of them in a row, so where it
ends is certain: `acme` does not reach what belongs to `acme-eu` (docs/decisions/0028-secret-variable-names.md).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from hookline.errors import SecretUnavailable
from hookline.model import EnvRef, FileRef, SecretRef
from hookline.settings import SECRET_PREFIX

# A secret's file: opened once, judged on what was opened, and read.
#
# Who else may read the file has the secret, and who else may write it, or the directory it is named in, chooses it
# (docs/decisions/0027-secret-files.md). Names are not judged: between a look at a name and opening it, another
# file can take its place.
MAX_SECRET_FILE_BYTES = 64 * 1024
_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnusableSecretFile(Exception):
    """`what` is wrong with the file, and the next step. Never with its content."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


# What tells that a file is another one, or has other content: device, inode, size, times of content and of mode.
FileStamp = tuple[int, int, int, int, int]


def read_secret_file(path: Path, root: Path, *, public: bool, lenient: bool) -> bytes:
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
            raise UnusableSecretFile(f"{path} is not a regular file", "name a file that holds it")
        if not lenient:
            _judge_mode(path, status, public=public)
            _judge_directory(root)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            value = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(value) > MAX_SECRET_FILE_BYTES:
        raise UnusableSecretFile(
            f"{path} is larger than {MAX_SECRET_FILE_BYTES // 1024} KiB", "name a file that holds only the secret"
        )
    if not value.strip():
        raise UnusableSecretFile(f"{path} is empty", "write the secret into it")
    return value


def file_stamp(path: Path) -> FileStamp | None:
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
    if mode & stat.S_IROTH or not is_handed_over_by_root(status.st_uid, status.st_gid, groups):
        raise _too_open(f"{path} can be read by {_who(mode, stat.S_IRGRP, stat.S_IROTH)}", mode)


def is_handed_over_by_root(owner: int, group: int, groups: Collection[int]) -> bool:
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
        raise UnusableSecretFile(
            f"anybody can write to the secrets directory {root}",
            f"chmod o-w {root}, or accept it with --insecure-secret-files",
        )


def _who(mode: int, group: int, others: int) -> str:
    return "everybody" if mode & others else "its group" if mode & group else "nobody"


def _too_open(what: str, mode: int) -> UnusableSecretFile:
    return UnusableSecretFile(
        f"{what} (mode {mode:04o})",
        "chmod 0400 it; of a mounted Kubernetes secret, set defaultMode: 0400 (0440 with an fsGroup), its default is"
        " 0644; or accept such files with --insecure-secret-files",
    )


def _unreadable(path: Path, error: OSError) -> UnusableSecretFile:
    return UnusableSecretFile(
        f"cannot read {path}: {error.strerror}",
        "put it below --secrets-dir, readable for the user that runs hookline",
    )


class Secret:
    """A value that shows itself only to who asks by `reveal`. Printed, formatted or logged it is ``****``."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        self.__value = value

    def reveal(self) -> bytes:
        """The value as it was stored: of a variable in UTF-8, of a file byte for byte."""
        return self.__value

    def __repr__(self) -> str:
        return "****"

    def __format__(self, specification: str) -> str:
        return "****"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: hand the reference over instead")


def without_newline(value: bytes) -> bytes:
    """Drop the one line end that editors and ``echo`` put after a value: for header values and HMAC keys."""
    return value.removesuffix(b"\n").removesuffix(b"\r")


def variable_part(organization: str) -> str:
    """How an organization is written within a variable's name: never with two underscores in a row, or at an end."""
    return re.sub(r"[^A-Z0-9]+", "_", organization.upper()).strip("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretResolver:
    """Where secrets may come from. `environment` needs to hold no more than the HOOKLINE_SECRET_ variables.

    `insecure_files`: files are taken whoever else may read or write them. `organizations`: those of all applied
    webhooks, at the moment of the call; of two that are written alike within a variable's name, neither has any.
    """

    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    by_organization: bool = False
    insecure_files: bool = False
    organizations: Callable[[], Iterable[str]] = tuple

    def resolve(self, ref: SecretRef, organization: str, *, public: bool = False) -> Secret:
        """Read what `ref` names for a webhook of `organization`, anew in every call.

        `public`: it is no secret, such as a certificate, so anybody may read it. Raises SecretUnavailable, never
        with a value, when it is out of scope, missing, empty, no plain file, or open to others.
        """
        match ref:
            case EnvRef(name):
                return self._variable(ref, name, organization)
            case FileRef():
                path = self.locate(ref, organization)
                try:
                    root = Path(os.path.realpath(self.directory))
                    return Secret(read_secret_file(path, root, public=public, lenient=self.insecure_files))
                except UnusableSecretFile as unfit:
                    raise SecretUnavailable(f"secret {ref}: {unfit.what}", hint=unfit.hint) from unfit

    def stamp(self, ref: FileRef, organization: str) -> FileStamp | None:
        """What tells whether the file that `ref` names has changed; None while there is none within its scope."""
        try:
            return file_stamp(self.locate(ref, organization))
        except SecretUnavailable:
            return None

    def locate(self, ref: FileRef, organization: str) -> Path:
        """The file that `ref` names, with links resolved: for libraries that insist on reading it themselves.

        Raises SecretUnavailable when it lies outside of the scope. Says nothing about whether it exists.
        """
        root = os.path.realpath(self.directory)
        scope = self._own_folder(ref, root, organization) if self.by_organization else root
        if "\0" in ref.path:
            raise SecretUnavailable(f"secret {ref!s:.200}: the path holds a NUL character", hint="write a plain path")
        found = os.path.realpath(os.path.join(root, ref.path))  # noqa: PTH118 - an absolute path replaces the root
        if not _is_below(found, scope):
            raise SecretUnavailable(
                f"secret {ref}: the path leads out of {scope}",
                hint=f"put the file, not a link that leads elsewhere, below {scope}",
            )
        return Path(found)

    def _variable(self, ref: EnvRef, name: str, organization: str) -> Secret:
        prefix = self._own_prefix(ref, organization) if self.by_organization else SECRET_PREFIX
        if not name.startswith(prefix):
            raise SecretUnavailable(
                f"secret {ref}: the name does not begin with {prefix}",
                hint=f"only variables named {prefix}… are within this webhook's reach: name it"
                f" {_fitting(name, prefix)} in the relay's environment and in the webhook file",
            )
        value = self.environment.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise SecretUnavailable(
                f"secret {ref}: the variable is {state}", hint=f"set {name} where hookline runs, and start it again"
            )
        return Secret(value.encode("utf-8", "surrogateescape"))

    def _own_prefix(self, ref: EnvRef, organization: str) -> str:
        part = variable_part(organization)
        if not part:
            raise SecretUnavailable(
                f"secret {ref}: organization {organization!r} has no letter or digit that a variable's name can hold",
                hint="keep its secrets in files",
            )
        for other in sorted(self.organizations()):
            if other != organization and variable_part(other) == part:
                raise SecretUnavailable(
                    f"secret {ref}: variables named {SECRET_PREFIX}{part}__… would be within reach of both"
                    f" {organization!r} and {other!r}",
                    hint="keep the secrets of both in files: each has a folder of its own",
                )
        return f"{SECRET_PREFIX}{part}__"

    def _own_folder(self, ref: FileRef, root: str, organization: str) -> str:
        plain = "/" not in organization and "\0" not in organization
        own = os.path.realpath(os.path.join(root, organization)) if plain else root  # noqa: PTH118
        if not _is_below(own, root):
            raise SecretUnavailable(
                f"secret {ref}: organization {organization!r} has no folder of its own in {root}",
                hint="make a folder with the organization's name in the secrets directory",
            )
        return own


def _fitting(name: str, prefix: str) -> str:
    """The name that would be within reach, with what tells it from others kept."""
    own = name.removeprefix(prefix.rstrip("_")) if prefix != SECRET_PREFIX else name
    return prefix + (own.removeprefix(SECRET_PREFIX).strip("_") or "NAME")


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")
