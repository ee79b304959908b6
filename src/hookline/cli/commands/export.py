"""`hookline export`: write webhook files from the stored state."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import click

from hookline.cli.applied_state import read_applied
from hookline.cli.options import PathParameter, examples, state_option
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.output.yaml_writer import as_yaml
from hookline.errors import Blocked, HooklineError
from hookline.model import Address
from hookline.paths import is_directory, path_exists, resolved
from hookline.state.store import Snapshot

# Most file systems allow 255 bytes in a file name. ".yaml" and a distinguishing suffix must fit as well.
_MAX_NAME_BYTES = 200
_PLAIN = frozenset("@_-.+=,")


def file_names(addresses: Iterable[Address]) -> dict[Address, PurePosixPath]:
    """``organization/sandbox.yaml`` for each address. The paths also differ on file systems that ignore case.

    All characters except letters, digits and a few others are percent-encoded. So a name cannot leave its directory,
    be hidden, or have a meaning in a shell. A name that is too long or taken gets a hash as its suffix.
    """
    sandboxes: dict[str, set[str]] = {}
    for address in addresses:
        sandboxes.setdefault(address.organization, set()).add(address.sandbox)
    folders = _distinct(sandboxes.keys())
    files: dict[Address, PurePosixPath] = {}
    for organization, names in sandboxes.items():
        for sandbox, name in _distinct(names).items():
            files[Address(organization, sandbox)] = PurePosixPath(folders[organization], f"{name}.yaml")
    return files


def _distinct(names: Iterable[str]) -> dict[str, str]:
    """A distinct encoding for each name. If two are equal without case, the first in sorted order gets no suffix."""
    taken: set[str] = set()
    encodings: dict[str, str] = {}
    for name in sorted(names):
        encoding = _encoded(name)
        if len(encoding.encode()) > _MAX_NAME_BYTES or _folded(encoding) in taken:
            suffix = hashlib.sha256(name.encode()).hexdigest()[:16]
            encoding = f"{encoding.encode()[:_MAX_NAME_BYTES].decode(errors='ignore')}~{suffix}"
        taken.add(_folded(encoding))
        encodings[name] = encoding
    return encodings


def _encoded(name: str) -> str:
    text = "".join(char if char.isalnum() or char in _PLAIN else _percent(char) for char in name)
    return _percent(text[0]) + text[1:] if text[:1] in {".", "-"} else text


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


_SCHEMA = "# yaml-language-server: $schema=../../schemas/webhook.v1.schema.json\n"


@click.command(
    epilog=examples(
        "hookline export webhooks && hookline plan",
        exits="0 done, 1 the files cannot be written, 6 the directory contains other files, 8 the state cannot "
        "be used",
    )
)
@click.argument("directory", metavar="DIR", type=PathParameter(path_type=Path))
@state_option
def export_command(directory: Path, state: str) -> None:
    """Write a webhook file for every applied webhook: DIR/ORGANIZATION/SANDBOX.yaml.

    DIR is then a configuration directory, and a plan of it is empty. The command writes all files or none. DIR must
    be new or empty, or contain exactly these files.
    """
    put_work_first()
    files = render(read_applied(state))
    target = resolved(directory)
    if not _is_free(target):
        _require_same(directory, target, files)
        click.echo(f"{directory} already contains these {len(files)} webhook file(s).")
        return
    try:
        _write(target, files)
    except OSError as failed:
        raise HooklineError(
            f"{directory} cannot be written: {failed.strerror}", hint="nothing was written; name another directory"
        ) from failed
    click.echo(f"Wrote {len(files)} webhook file(s) to {directory}.")


def render(snapshot: Snapshot) -> dict[PurePosixPath, bytes]:
    paths = file_names(snapshot.webhooks)
    return {
        paths[address]: f"{_SCHEMA}{as_yaml(stored.document)}".encode()
        for address, stored in snapshot.webhooks.items()
    }


def _is_free(target: Path) -> bool:
    if path_exists(target) and not is_directory(target):
        raise Blocked(f"{target} is not a directory", hint="name a directory that does not exist yet")
    return not path_exists(target) or not any(target.iterdir())


def _require_same(directory: Path, target: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    """Raise Blocked unless the directory contains exactly `files`, with the same content."""
    found = {PurePosixPath(path.relative_to(target)): path for path in target.rglob("*") if not is_directory(path)}
    different = sorted(name for name in found if name not in files or found[name].read_bytes() != files[name])
    missing = sorted(files.keys() - found.keys())
    if different or missing:
        difference = f"{different[0]} has other content" if different else f"{missing[0]} is missing"
        raise Blocked(
            f"{directory} is not empty and differs from the state: {difference}; nothing was written",
            hint="export to a new directory, and compare the two: diff -r",
        )


def _write(target: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    """Write all files to a new directory, then rename it to the empty target. Raises OSError."""
    if path_exists(target) and target.samefile(Path.cwd()):
        raise Blocked("the current directory cannot be replaced", hint="name a directory below it")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            (draft / name).parent.mkdir(mode=0o700, exist_ok=True)
            (draft / name).touch(mode=0o600)
            (draft / name).write_bytes(content)
        os.replace(draft, target)  # noqa: PTH105 - rename(2) replaces only an empty directory
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
