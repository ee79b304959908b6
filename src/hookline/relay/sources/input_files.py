"""Opens inputs by name, and expands patterns and directories to files."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat

from hookline.errors import HooklineError
from hookline.paths import is_directory, path_exists
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.listing import Listings
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.pipe_reader import PipeReader
from hookline.relay.sources.rotated_names import display_name, rotation_number
from hookline.relay.sources.timing import SYSTEM_TIMING

STANDARD_INPUT = "-"
Reader = FileReader | PipeReader


def open_reader(name: str, context: ReadContext, *, follow: bool = False, root: str | None = None) -> Reader:
    """Opens a file, a named pipe (``<(zcat …)``, a FIFO), or ``-`` for standard input, also redirected from a file.

    Args:
        name: the name.
        context: the values that all readers share.
        follow: a named pipe stays open when its writers close it.
        root: the resolved directory below which the file must be if it was found by listing; None for a file that the
            operator named.

    Raises:
        HooklineError: the name cannot be opened, or is a link that leads out of the root.
    """
    try:
        # O_NONBLOCK: opening a named pipe does not wait for its writer, so the relay can stop.
        descriptor = 0 if name == STANDARD_INPUT else os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unusable(name, error) from error
    try:
        mode = os.fstat(descriptor).st_mode
        # The path of the open file, so that a link that was made after the listing is found, too.
        target = "" if name == STANDARD_INPUT else _opened_path(descriptor, name)
        if root is not None and not context.links.admits(target, root):
            os.close(descriptor)
            raise link_refused(name, root)
        if stat.S_ISREG(mode):
            is_link = bool(target) and target != os.path.abspath(name)
            return FileReader(display_name(name), descriptor, context, target=display_name(target) if is_link else "")
    except OSError as error:
        if name != STANDARD_INPUT:
            raise _unusable(name, error) from error
        raise HooklineError("standard input is closed", hint="name a file, or pipe events in") from error
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise HooklineError(
            f"{display_name(name)} is a directory", hint="it was a file or a pipe at the start; start the relay again"
        )
    # The shell gives <(…) a name below /dev/fd, but no other writer can open it.
    has_path = name != STANDARD_INPUT and path_exists(os.path.realpath(name))
    reopens = follow and stat.S_ISFIFO(mode) and has_path
    logger, timing, stray = context.logger, context.timing, context.stray
    stop = context.stop.descriptor
    return PipeReader(display_name(name), descriptor, logger, timing, stop=stop, stray=stray, reopens=reopens)


def _opened_path(descriptor: int, name: str) -> str:
    """Returns the resolved path of an open file."""
    try:
        opened = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # the system has no /proc
        return os.path.realpath(name)
    return opened.removesuffix(" (deleted)")


def link_refused(name: str, root: str) -> HooklineError:
    return HooklineError(
        f"{display_name(name)} is a link that leads out of {display_name(root)}, so it is not followed",
        hint="name the file itself, or admit the directory where it ends with --links-below",
    )


def status_of(name: str) -> os.stat_result | None:
    """Returns the status of a regular file, also of a redirected standard input. Returns None for any other name."""
    try:
        status = os.fstat(0) if name == STANDARD_INPUT else os.stat(name)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _unusable(name: str, error: OSError | ValueError) -> HooklineError:
    match error:
        case FileNotFoundError():
            return HooklineError(f"{display_name(name)}: no such file", hint="check the path; - reads standard input")
        case OSError():
            return HooklineError(f"{display_name(name)}: cannot be opened: {error.strerror}")
        case ValueError():
            return HooklineError(f"{name!r} is not a file name: {error}")


def expand(name: str, context: ReadContext | None = None) -> list[str]:
    """Returns the paths that a name denotes in a finite run, the oldest first.

    A directory denotes its regular files that are not hidden, a pattern the files that match. With a context, links
    that may not be followed are left out with a warning. Raises HooklineError if a file does not exist, no file
    matches, or a directory cannot be listed.
    """
    if name == STANDARD_INPUT:
        return [name]
    if not is_pattern_or_directory(name):
        try:
            os.stat(name)
        except (FileNotFoundError, ValueError) as error:
            raise _unusable(name, error) from error
        except OSError:
            pass  # it exists; the error of opening it is more precise
        return [name]
    listed = list_files(name, context)
    found = [(status.st_mtime_ns, rotation_number(path), path) for path in listed if (status := status_of(path))]
    if not found and not is_directory(name):
        raise HooklineError(
            f"{display_name(name)}: no file matches", hint="check the pattern, and the directory that it names"
        )
    return [path for _, _, path in sorted(found)]


def is_pattern_or_directory(name: str) -> bool:
    """Returns whether the name is a directory, or a pattern and not the name of an existing file."""
    try:
        return stat.S_ISDIR(os.stat(name).st_mode)
    except FileNotFoundError:
        return _has_signs(name)
    except (OSError, ValueError):
        return False


def list_files(name: str, context: ReadContext | None) -> list[str]:
    """Returns the regular files of a directory or pattern, by name. Raises HooklineError if listing fails.

    With a context, leaves out links that lead out of the directory, with a warning, and uses its listings.
    """
    try:
        return _list_files(name, context)
    except FileNotFoundError as error:
        raise HooklineError(
            f"{display_name(name)}: no file matches: the directory does not exist",
            hint="check the pattern, and the directory that it names",
        ) from error
    except OSError as error:
        raise HooklineError(
            f"{display_name(name)}: cannot be listed: {error.strerror}",
            hint="a directory needs the permissions r and x for the user that the relay runs as",
        ) from error


def _list_files(name: str, context: ReadContext | None) -> list[str]:
    listings = Listings(SYSTEM_TIMING) if context is None else context.listings
    if os.path.isdir(name):
        listing = listings.of(name)
        if context is not None and (known := context.listed.get(name)) is not None and known[0] is listing:
            return known[1]
        found = [os.path.join(name, one) for one in listing.names if not one.startswith(".")]
        if context is not None and not listing.links:
            context.listed[name] = listing, found
        links = [os.path.join(name, one) for one in listing.links]
    elif (directory := os.path.dirname(name)) and not _has_signs(directory):
        listing = listings.of(directory)
        pattern = re.compile(fnmatch.translate(os.path.basename(name)))
        hidden = os.path.basename(name).startswith(".")
        names = [one for one in listing.names if pattern.match(one) and (hidden or not one.startswith("."))]
        found = [os.path.join(directory, one) for one in names]
        links = [os.path.join(directory, one) for one in names if one in listing.links]
    else:
        found = []
        for path in glob.iglob(name, recursive=True):
            if context is not None:
                context.stop.check()
            if os.path.isfile(path):
                found.append(path)
        found.sort()
        links = _links_among(found)
    if context is None or not links:
        return found
    root, refused = listing_root(name), dict[str, None]()
    for path in links:
        if not context.links.admits(os.path.realpath(path), root):
            refused[path] = None
            context.warn_of_link(link_refused(path, root))
    return [path for path in found if path not in refused]


def _has_signs(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _links_among(paths: list[str]) -> list[str]:
    """Returns the paths that are links, or below a directory that is one."""
    parents: dict[str, bool] = {}
    found = []
    for path in paths:
        parent = os.path.dirname(path)
        if parent not in parents:
            parents[parent] = os.path.realpath(parent) != os.path.abspath(parent)
        if parents[parent] or os.path.islink(path):
            found.append(path)
    return found


def listing_root(name: str) -> str:
    """Returns the resolved directory that a name lists."""
    return os.path.realpath(listed_directory(name) or ".")


def listed_directory(name: str) -> str:
    """Returns the directory that a name lists: the directory, or that before the first sign of a pattern."""
    if os.path.isdir(name):
        return name
    fixed = name[: min((at for sign in "*?[" if (at := name.find(sign)) >= 0), default=len(name))]
    return os.path.dirname(fixed)
