"""Where an exported webhook goes: a relative path for each address, whatever the platform calls its tenants."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from hookline.model import Address

# A file name has at most 255 bytes on most file systems; ".yaml" and a mark of its own must fit as well.
_LONGEST = 200
_PLAIN = frozenset("@_-.+=,")


def place_all(addresses: Iterable[Address]) -> dict[Address, PurePosixPath]:
    """``organization/sandbox.yaml`` for each address, no two alike, also where upper and lower case are one.

    A name is percent-encoded but for letters, digits and a few marks; so none of them leaves its directory, is
    hidden, or means something to a shell. One that is too long, or taken, gets a mark made from the address.
    """
    sandboxes: dict[str, set[str]] = {}
    for address in addresses:
        sandboxes.setdefault(address.organization, set()).add(address.sandbox)
    folders = _distinct(sandboxes.keys())
    placed: dict[Address, PurePosixPath] = {}
    for organization, own in sandboxes.items():
        for sandbox, name in _distinct(own).items():
            placed[Address(organization, sandbox)] = PurePosixPath(folders[organization], f"{name}.yaml")
    return placed


def _distinct(names: Iterable[str]) -> dict[str, str]:
    """An encoding for each name, in their order: the first of two that a file system may take for one stays plain."""
    taken: set[str] = set()
    encodings: dict[str, str] = {}
    for name in sorted(names):
        encoding = _encoded(name)
        if len(encoding.encode()) > _LONGEST or _folded(encoding) in taken:
            mark = hashlib.sha256(name.encode()).hexdigest()[:16]
            encoding = f"{encoding.encode()[:_LONGEST].decode(errors='ignore')}~{mark}"
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
