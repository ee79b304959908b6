"""Secrets: read when they are used, within the scope of a webhook, and never shown.

The scope protects against the author of a pull request, who writes references. The author must not be able to send
the relay's environment or another team's key to a URL. A variable therefore begins with ``HOOKLINE_SECRET_``, and a
file is below the secrets directory after every link is resolved. With `by_organization`, both belong to the webhook's
organization: variables begin with ``HOOKLINE_SECRET_<ORGANIZATION>__``, and files are below
``<secrets directory>/<organization>/``. ``<ORGANIZATION>`` is the organization in upper case, with one ``_`` for all
characters between letters and digits: ``1234567890ABCDEF@AdobeOrg`` becomes ``1234567890ABCDEF_ADOBEORG``. It never
contains ``__``, so its end is unambiguous: `acme` cannot use the secrets of `acme-eu`
(docs/decisions/0028-secret-variable-names.md).

A secret file is opened once, and the open file is checked and read. A check of the name would be unsafe, because
another file can replace it before it is opened. Everyone else who may read the file has the secret. Everyone else who
may write the file, or its directory, can choose it (docs/decisions/0027-secret-files.md).
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
from hookline.private_files import exposed_directory
from hookline.settings import SECRET_PREFIX

MAX_SECRET_FILE_BYTES = 64 * 1024
_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


# Changes if the file or its content changes: device, inode, size, time of change of content and of status.
FileStamp = tuple[int, int, int, int, int]


def read_secret_file(path: Path, way: Path, root: Path, *, public: bool, insecure: bool) -> bytes:
    """Returns the content of a secret file. Raises SecretUnavailable, which never contains it.

    Args:
        path: the path of the file, without links.
        way: the same path as it is written, which may lead through links.
        root: the secrets directory, without links.
        public: everyone may read the file, for example a certificate.
        insecure: do not check the modes.
    """
    try:
        # O_NONBLOCK: without it, opening a FIFO waits for a writer. O_NOFOLLOW: the path must not become a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretUnavailable(
                f"{path} is not a regular file", hint="name a regular file that contains the secret"
            )
        if not insecure:
            _check_mode(path, status, public=public)
            _check_directories(way, root)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            value = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(value) > MAX_SECRET_FILE_BYTES:
        size = f"{MAX_SECRET_FILE_BYTES // 1024} KiB"
        raise SecretUnavailable(f"{path} is larger than {size}", hint="name a file that contains only the secret")
    if not value.strip():
        raise SecretUnavailable(f"{path} is empty", hint="write the secret into it")
    return value


def _check_mode(path: Path, status: os.stat_result, *, public: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & _GROUP_OR_OTHERS_WRITE:
        raise _too_open(f"{path} can be written by {_who(mode, stat.S_IWOTH)}", mode)
    if public or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    groups = {0, os.getegid(), *os.getgroups()}
    if mode & stat.S_IROTH or not is_handed_over_by_root(status.st_uid, status.st_gid, groups):
        raise _too_open(f"{path} can be read by {_who(mode, stat.S_IROTH)}", mode)


def is_handed_over_by_root(owner: int, group: int, groups: Collection[int]) -> bool:
    """Returns whether root gives the file to this process, which has the given groups, by the file's group.

    systemd's credentials are root:root 0440. The group's bits are the mask of an access list with one user (acl(5)).
    A secret volume of Kubernetes with an fsGroup is root:GROUP 0440.
    """
    return owner == 0 and group in groups


def _check_directories(way: Path, root: Path) -> None:
    """Rejects a directory on the way to a secret in which anyone can exchange files.

    In a sticky one, only their owners can.
    """
    if (exposed := exposed_directory(way)) is not None:
        raise SecretUnavailable(
            f"anybody can write to the secrets directory {root}"
            if exposed == root
            else f"anybody can write to {exposed}, a directory on the way to {way}",
            hint=f"chmod o-w {exposed}, or accept it with --insecure-secret-files",
        )


def _who(mode: int, others: int) -> str:
    return "everybody" if mode & others else "its group"


def _too_open(problem: str, mode: int) -> SecretUnavailable:
    return SecretUnavailable(
        f"{problem} (mode {mode:04o})",
        hint="chmod 0400 it; of a mounted Kubernetes secret, set defaultMode: 0400 (0440 with an fsGroup), its"
        " default is 0644; or accept such files with --insecure-secret-files",
    )


def _unreadable(path: Path, error: OSError) -> SecretUnavailable:
    return SecretUnavailable(
        f"cannot read {path}: {error.strerror}",
        hint="put it below --secrets-dir, readable for the user that runs hookline",
    )


class Secret:
    """A value that only `reveal` returns. It is printed, formatted and logged as ``****``."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes) -> None:
        self.__value = value

    def reveal(self) -> bytes:
        """Returns the stored value: a variable in UTF-8, a file byte for byte."""
        return self.__value

    def __repr__(self) -> str:
        return "****"

    def __format__(self, specification: str) -> str:
        return "****"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled: pass its reference instead")


def without_newline(value: bytes) -> bytes:
    """Returns the value without the one line end that editors and ``echo`` add, for header values and HMAC keys."""
    return value.removesuffix(b"\n").removesuffix(b"\r")


def variable_part(organization: str) -> str:
    """Returns the organization's part of a variable's name. It has no ``__`` and no ``_`` at its ends."""
    return re.sub(r"[^A-Z0-9]+", "_", organization.upper()).strip("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretResolver:
    """Reads secrets within their scope.

    Attributes:
        environment: the HOOKLINE_SECRET_ variables; others have no effect.
        directory: the secrets directory.
        by_organization: whether each organization has its own scope.
        insecure_files: accept files that others may read or write.
        organizations: returns the organizations of all applied webhooks at the time of the call. Two organizations
            with the same part of a variable's name cannot use variables.
    """

    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    by_organization: bool = False
    insecure_files: bool = False
    organizations: Callable[[], Iterable[str]] = tuple

    def resolve(self, ref: SecretRef, organization: str, *, public: bool = False) -> Secret:
        """Reads the secret `ref` of a webhook of `organization`, in each call again.

        With `public`, the value is not a secret, for example a certificate, and everyone may read it. Raises
        SecretUnavailable, without the value, if the secret is out of scope, missing, empty, not a regular file, or
        open to others.
        """
        match ref:
            case EnvRef(name):
                return self._variable(ref, name, organization)
            case FileRef():
                path = self.locate(ref, organization)
                try:
                    root = Path(os.path.realpath(self.directory))
                    way = self.directory / ref.path
                    return Secret(read_secret_file(path, way, root, public=public, insecure=self.insecure_files))
                except SecretUnavailable as error:
                    raise SecretUnavailable(f"secret {ref}: {error.message}", hint=error.hint) from error

    def stamp(self, ref: FileRef, organization: str) -> FileStamp | None:
        """Returns the stamp of the file `ref`, or None if it does not exist within its scope."""
        try:
            status = self.locate(ref, organization).stat()
        except (SecretUnavailable, OSError):
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def locate(self, ref: FileRef, organization: str) -> Path:
        """Returns the path of the file `ref` with links resolved, for libraries that read it themselves.

        Raises SecretUnavailable if it is out of scope. Does not check whether it exists.
        """
        root = os.path.realpath(self.directory)
        scope = self._own_folder(ref, root, organization) if self.by_organization else root
        if "\0" in ref.path:
            raise SecretUnavailable(f"secret {ref!s:.200}: the path contains a NUL character", hint="remove it")
        found = os.path.realpath(os.path.join(root, ref.path))  # noqa: PTH118 - an absolute path replaces the root
        if not _is_below(found, scope):
            raise SecretUnavailable(
                f"secret {ref}: the path leads out of {scope}",
                hint=f"put the file itself, not a link to another directory, below {scope}",
            )
        return Path(found)

    def _variable(self, ref: EnvRef, name: str, organization: str) -> Secret:
        prefix = self._own_prefix(ref, organization) if self.by_organization else SECRET_PREFIX
        if not name.startswith(prefix):
            raise SecretUnavailable(
                f"secret {ref}: the name does not begin with {prefix}",
                hint=f"this webhook can use only variables named {prefix}…: name it"
                f" {_name_in_scope(name, prefix)} in the relay's environment and in the webhook file",
            )
        value = self.environment.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise SecretUnavailable(
                f"secret {ref}: the variable is {state}", hint=f"set {name} where hookline runs, and restart it"
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
                    f"secret {ref}: variables named {SECRET_PREFIX}{part}__… would be in the scope of both"
                    f" {organization!r} and {other!r}",
                    hint="keep the secrets of both in files: each organization has its own folder",
                )
        return f"{SECRET_PREFIX}{part}__"

    def _own_folder(self, ref: FileRef, root: str, organization: str) -> str:
        plain = "/" not in organization and "\0" not in organization
        own = os.path.realpath(os.path.join(root, organization)) if plain else root  # noqa: PTH118
        if not _is_below(own, root):
            raise SecretUnavailable(
                f"secret {ref}: organization {organization!r} has no folder of its own in {root}",
                hint="create a folder with the organization's name in the secrets directory",
            )
        return own


def _name_in_scope(name: str, prefix: str) -> str:

    own = name.removeprefix(prefix.rstrip("_")) if prefix != SECRET_PREFIX else name
    return prefix + (own.removeprefix(SECRET_PREFIX).strip("_") or "NAME")


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")
