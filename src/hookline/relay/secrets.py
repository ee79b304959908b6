"""Secrets: resolved when they are used, from where an operator put them within reach, and never shown.

The scope is the point. Someone who can open a pull request writes references, and must not be able to have the
relay post its own environment or another team's key to a URL of theirs. So a variable must begin with
``HOOKLINE_SECRET_``, a file must lie below the secrets directory once every link is resolved, and with
`by_organization` both must belong to the webhook's own organization: variables that begin with
``HOOKLINE_SECRET_<ORGANIZATION>_``, files below ``<secrets directory>/<organization>/``. ``<ORGANIZATION>`` is the
organization in upper case with ``_`` for every character other than A-Z and 0-9:
``1234567890ABCDEF@AdobeOrg`` becomes ``1234567890ABCDEF_ADOBEORG``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hookline.errors import SecretUnavailable
from hookline.model import EnvRef, FileRef, SecretRef
from hookline.settings import SECRET_PREFIX

LARGEST_FILE = 64 * 1024


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
    """How an organization is written within a variable's name."""
    return re.sub(r"[^A-Z0-9]", "_", organization.upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretResolver:
    """Where secrets may come from. `environment` needs to hold no more than the HOOKLINE_SECRET_ variables."""

    environment: Mapping[str, str]
    directory: Path
    by_organization: bool = False

    def resolve(self, ref: SecretRef, organization: str) -> Secret:
        """Read what `ref` names for a webhook of `organization`, anew in every call.

        Raises SecretUnavailable, never with a value, when it is out of scope, missing, empty or no plain file.
        """
        match ref:
            case EnvRef(name):
                return self._variable(ref, name, organization)
            case FileRef():
                return _read(ref, self.locate(ref, organization))

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
        prefix = f"{SECRET_PREFIX}{variable_part(organization)}_" if self.by_organization else SECRET_PREFIX
        if not name.startswith(prefix):
            raise SecretUnavailable(
                f"secret {ref}: the name does not begin with {prefix}",
                hint=f"only variables named {prefix}… are within a webhook's reach: rename it in the relay's"
                " environment and in the webhook file",
            )
        value = self.environment.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise SecretUnavailable(
                f"secret {ref}: the variable is {state}", hint=f"set {name} where hookline runs, and start it again"
            )
        return Secret(value.encode("utf-8", "surrogateescape"))

    def _own_folder(self, ref: FileRef, root: str, organization: str) -> str:
        plain = "/" not in organization and "\0" not in organization
        own = os.path.realpath(os.path.join(root, organization)) if plain else root  # noqa: PTH118
        if not _is_below(own, root):
            raise SecretUnavailable(
                f"secret {ref}: organization {organization!r} has no folder of its own in {root}",
                hint="make a folder with the organization's name in the secrets directory",
            )
        return own


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def _read(ref: FileRef, path: Path) -> Secret:
    # O_NONBLOCK: opening a FIFO would otherwise wait for a writer. O_NOFOLLOW: links were resolved, none may appear.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(ref, path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretUnavailable(f"secret {ref}: {path} is not a regular file", hint="name a file that holds it")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            value = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unreadable(ref, path, error) from error
    finally:
        os.close(descriptor)
    if len(value) > LARGEST_FILE:
        raise SecretUnavailable(
            f"secret {ref}: {path} is larger than {LARGEST_FILE // 1024} KiB",
            hint="name a file that holds only the secret",
        )
    if not value.strip():
        raise SecretUnavailable(f"secret {ref}: {path} is empty", hint="write the secret into it")
    return Secret(value)


def _unreadable(ref: FileRef, path: Path, error: OSError) -> SecretUnavailable:
    return SecretUnavailable(
        f"secret {ref}: cannot read {path}: {error.strerror}",
        hint="put it below --secrets-dir, readable for the user that runs hookline",
    )
