"""Writes the pages as files, for the artifacts of a CI job: all of them, or none."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from hookline.errors import Blocked, HooklineError, SpoolUnusable
from hookline.paths import is_directory, path_exists, resolved
from hookline.web.lanes_view import lane_webhooks
from hookline.web.letters_view import MAX_LETTER_PAGES
from hookline.web.page_templates import ASSETS, asset
from hookline.web.paging import ROWS_PER_PAGE
from hookline.web.site import HtmlPage, PageQuery, Site

_SCRIPTS: Final = (".js",)


def exported_files(site: Site) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of each file, and a function that makes its content. Raises HooklineError if the state cannot be read.

    Without a spool, the pages about it show that there is none.
    """
    links, applied = site.links, site.sources.state.read()
    for name in ASSETS:
        if not name.endswith(_SCRIPTS):
            yield name, partial(asset, name)
    webhooks = [str(address) for address in applied.snapshot.webhooks]
    for number in _numbers(len(webhooks)):
        yield links.inventory(number), partial(_content, site.inventory, {"page": str(number)})
    for address in webhooks:
        yield links.webhook(address), partial(_content, site.webhook, {"address": address})
    yield from _spool_files(site)
    if site.sources.plan is not None:
        yield links.plan(), partial(_content, site.plan, {})


def _spool_files(site: Site) -> Iterator[tuple[str, Callable[[], bytes]]]:
    links, lanes = site.links, 0
    letters: Sequence[str] = ()
    with suppress(SpoolUnusable):
        lanes = len(lane_webhooks(site.sources.spool.view(), ""))
        letters = site.sources.spool.letter_identities(MAX_LETTER_PAGES * ROWS_PER_PAGE)
    for number in _numbers(lanes):
        yield links.lanes(number), partial(_content, site.lanes, {"page": str(number)})
    for number in _numbers(len(letters)):
        yield links.letters(number), partial(_content, site.letters, {"page": str(number)})
    for identity in letters:
        yield links.letter(identity), partial(_content, site.letter, {"id": identity})


def _numbers(rows: int) -> range:
    return range(1, max(1, -(-rows // ROWS_PER_PAGE)) + 1)


def _content(page: Callable[[PageQuery], HtmlPage], query: PageQuery) -> bytes:
    return page(query).html.encode()


def write_site(site: Site, directory: Path, on_file: Callable[[int, int | None], None] | None = None) -> int:
    """Write all pages to a new or empty directory, readable by its owner only. Returns the number of files.

    Args:
        site: The pages, with the links of files.
        directory: A directory that does not exist yet, or is empty.
        on_file: Receives the number of files so far, and of all.

    Raises:
        Blocked: The directory contains files.
        HooklineError: The state cannot be read, or the files cannot be written. Nothing remains of them.
    """
    target = resolved(directory)
    if path_exists(target) and (not is_directory(target) or any(target.iterdir())):
        raise Blocked(f"{directory} is not an empty directory", hint="name a directory that does not exist yet")
    if target == Path.cwd():
        raise Blocked("the current directory cannot be replaced", hint="name a directory below it")
    files = list(exported_files(site))
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        for number, (name, content) in enumerate(files, 1):
            (draft / name).touch(mode=0o600)
            (draft / name).write_bytes(content())
            if on_file is not None:
                on_file(number, len(files))
        os.replace(draft, target)  # noqa: PTH105 - rename(2) replaces only an empty directory
    except OSError as failed:
        hint = "nothing was written; name another directory"
        raise HooklineError(f"{directory} cannot be written: {failed.strerror}", hint=hint) from failed
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return len(files)
