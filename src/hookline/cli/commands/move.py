"""`hookline move`: give a webhook another address in its file."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

import click

from hookline.cli.commands.export import file_names
from hookline.cli.options import ADDRESS, config_option, examples, state_option
from hookline.cli.output.standard_streams import put_work_first
from hookline.config.address_change import NotRewritable, change_address
from hookline.config.discovery import DEFAULTS_NAME, FilePath, read_file
from hookline.config.loader import load
from hookline.config.source_text import SourceText, decode_source
from hookline.config.yaml_parser import parse_yaml
from hookline.diagnostics import Diagnostic, did_you_mean, nearest
from hookline.errors import Blocked, HooklineError, WrongUse
from hookline.model import Address, Desired
from hookline.paths import is_link, name_is_taken
from hookline.private_files import open_replacement
from hookline.state.factory import open_state
from hookline.state.moved_webhooks import MovedWebhooks

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Change(NamedTuple):
    """The new content of the file `path`, which then gets the name `new_path`. `name` is for people."""

    name: str
    path: Path
    new_path: Path
    before: bytes
    after: bytes


@click.command(
    epilog=examples(
        "hookline move ACME@AdobeOrg/stage ACME@AdobeOrg/test",
        "hookline move --dry-run ACME@AdobeOrg/stage ACME@AdobeOrg/prod",
        exits="0 done, 1 the file cannot be written, 5 a webhook file is invalid, 6 the move is blocked, 8 the state "
        "cannot be read",
    )
)
@click.argument("old", type=ADDRESS, metavar="FROM")
@click.argument("new", type=ADDRESS, metavar="TO")
@click.option("--dry-run", is_flag=True, help="Show the change and write nothing.")
@config_option
@state_option
def move_command(old: Address, new: Address, dry_run: bool, config: Path, state: str) -> int:
    """Give a webhook another address: from FROM to TO, both ORG/SANDBOX.

    Changes organization and sandbox in the webhook's file, adds `movedFrom`, and keeps everything else, comments too.
    A file with one webhook whose name followed the address (ORG/SANDBOX.yaml) gets the new name. `hookline plan`
    then shows a move, and pending deliveries follow it once it is applied.

    If the webhook is moved again, `movedFrom` stays as it is: the state knows how far it was applied. Only a move
    back to that address reads the state, and removes `movedFrom` if nothing was applied in between.
    """
    if not dry_run:
        put_work_first()
    if old == new:
        raise WrongUse(f"{old} is the same address twice", hint="name the present address, then the new one")
    change = _change(load(config), config, old, new, state)
    if not dry_run:
        _write(change)
    click.echo(_difference(change), nl=False)
    note = f"would move {old} to {new}; nothing was written" if dry_run else f"moved {old} to {new}"
    click.echo(note, err=True)
    permission = " --allow-move" if old.organization != new.organization else ""
    click.echo(f"  hint: next: hookline plan{permission}", err=True)
    return 0


def _change(desired: Desired, config: Path, old: Address, new: Address, state: str) -> _Change:
    """Raises WrongUse for an unknown webhook, Blocked if the move is not possible."""
    if old not in desired.webhooks:
        known = [str(address) for address in desired.webhooks]
        others = f"known webhooks: {', '.join(known[:5])}" if known else "the configuration directory has no webhooks"
        near = nearest(str(old), known, min_similarity=0.75)
        raise WrongUse(f"no webhook file declares {old}", hint=did_you_mean(near, others))
    if taken := desired.webhooks.get(new):
        place = f"{taken.source.file}:{taken.source.line}"
        raise Blocked(f"{new} already has a webhook in {place}", hint="name an address without a webhook")
    for later, first in desired.moved_from.items():
        if first == new and later != old:
            place = f"{desired.webhooks[later].source.file}:{desired.webhooks[later].source.line}"
            hint = "apply that move, remove movedFrom there, then move again"
            raise Blocked(f"{later} in {place} has moved from {new}", hint=hint)
    name = desired.webhooks[old].source.file
    path = Path(name)
    if is_link(path):
        raise Blocked(f"{name} is a link", hint=f"change the file that it leads to: {path.resolve()}")
    file = read_file(FilePath(name, name))
    if isinstance(file, Diagnostic):
        raise HooklineError(f"{name}: {file.summary}", hint=file.hint)
    text = decode_source(file.data)
    assert isinstance(text, SourceText), "the loader has read it"
    earlier = _earlier_address(desired.moved_from.get(old), old, new, state)
    try:
        changed = change_address(text.text, old, new, earlier)
    except NotRewritable as refused:
        written = f"add `movedFrom: {earlier}`" if earlier else "remove movedFrom"
        hint = f"change organization and sandbox by hand, and {written}"
        raise Blocked(f"{old} in {name} cannot be moved: {refused}", hint=hint) from None
    mark = _BYTE_ORDER_MARK if file.data.startswith(_BYTE_ORDER_MARK) else b""
    single = len(parse_yaml(text.text).documents) == 1
    new_path = _new_path(path, config, old, new) if single else path
    if new_path != path and name_is_taken(new_path):
        raise Blocked(f"{new_path} already exists", hint=f"rename it, or move {name} away from its conventional name")
    return _Change(name, path, new_path, file.data, mark + changed.encode())


def _earlier_address(first: Address | None, old: Address, new: Address, location: str) -> Address | None:
    """The `movedFrom` of a webhook that has `first` there and moves from `old` to `new`. None: it needs none.

    A plan follows the recorded moves from `first` on. The way back to it is the exception: if the state does not
    know the webhook, `old` is right in any case, because it has no effect if nothing was applied.
    """
    if first is None:
        return old
    if first != new:
        return first
    stored = open_state(location).read()
    if first in stored.webhooks:
        return None
    return MovedWebhooks(stored.moves).new_address(first, stored.webhooks) or old


def _new_path(path: Path, config: Path, old: Address, new: Address) -> Path:
    """Each part of the name follows the address if it did before: the folder the organization, the name the sandbox.

    The file stays in its folder if another one would have other defaults.
    """
    before, after = (file_names([address])[address] for address in (old, new))
    follows = path.parent.name == before.parent.name and path.parent.resolve() != config.resolve()
    folder = path.parent.with_name(after.parent.name) if follows else path.parent
    if any(name_is_taken(one / DEFAULTS_NAME) for one in {folder, path.parent} if folder != path.parent):
        folder = path.parent
    return folder / (f"{after.stem}{path.suffix}" if path.stem == before.stem else path.name)


def _difference(change: _Change) -> str:
    """A unified diff, without the end of lines, and the new name of the file."""
    before, after = (
        [f"{line}\n" for line in data.decode("utf-8-sig").splitlines()] for data in (change.before, change.after)
    )
    shown = "".join(unified_diff(before, after, change.name, str(change.new_path), n=1))
    return shown if change.new_path == change.path else f"{shown}rename {change.name} -> {change.new_path}\n"


def _write(change: _Change) -> None:
    """Replace the content in one step, then the name. In between the file is valid and has its old name."""
    try:
        status = change.path.stat()
        if change.path.read_bytes() != change.before:
            raise HooklineError(f"{change.name} has changed in the meantime", hint="run the command again")
        change.new_path.parent.mkdir(exist_ok=True)
        with open_replacement(change.path) as draft:
            os.fchmod(draft.fileno(), stat.S_IMODE(status.st_mode))
            draft.write(change.after)
        if change.new_path != change.path:
            change.path.rename(change.new_path)
            with suppress(OSError):  # it has other files
                change.path.parent.rmdir()
    except OSError as failed:
        hint = "check the permissions of the file and its folder, then run the command again"
        raise HooklineError(f"{change.name} cannot be written: {failed.strerror}", hint=hint) from failed
