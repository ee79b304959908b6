"""Write the software bill of materials of a release: CycloneDX 1.6 in JSON, with all installed dependencies.

    python .ci/sbom.py [FILE]

Names and relations come from the installed packages, versions and hashes from requirements.lock. If the two differ,
or a package does not satisfy a requirement, the script reports it and writes nothing. Equal locks give equal bytes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = Path(__file__).parents[1] / "requirements.lock"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# Installed on demand: hookline[postgres,policy].
OPTIONAL = frozenset({"postgres", "policy"})


@dataclass(frozen=True)
class Locked:
    version: str
    hashes: tuple[str, ...]


class Inconsistent(Exception):
    """The installed packages, the locked ones and the requirements do not agree."""


def read_lock(text: str) -> dict[str, Locked]:
    """Every pinned package by its canonical name, with the SHA-256 of each of its files."""
    found: dict[str, Locked] = {}
    for block in re.split(r"\n(?=\S)", text):
        if pinned := _PINNED.match(block):
            name = canonicalize_name(pinned["name"])
            found[name] = Locked(pinned["version"], tuple(sorted(_HASH.findall(block))))
    return found


def closure(extras: frozenset[str], lock: Mapping[str, Locked], *, root: str = "hookline") -> dict[str, list[str]]:
    """Every package that `root` needs with these extras, and its own dependencies. Raises Inconsistent."""
    needs: dict[str, list[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(root, extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for requirement in _requirements(_installed(name), wanted):
            other = canonicalize_name(requirement.name)
            _check(requirement, other, lock)
            needs.setdefault(name, []).append(other)
            waiting.append((other, frozenset(requirement.extras)))
        needs.setdefault(name, [])
    return {name: sorted({*others}) for name, others in sorted(needs.items())}


def _requirements(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in package.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in ("", *extras)):
            yield requirement


def _check(requirement: Requirement, name: str, lock: Mapping[str, Locked]) -> None:
    if name not in lock:
        raise Inconsistent(f"{name} is not in {LOCK.name}: make lock")
    locked, installed = lock[name].version, _installed(name).version
    if locked != installed:
        raise Inconsistent(
            f"{name} {installed} is installed, {locked} is locked: make it anew with `make clean check`"
        )
    if not requirement.specifier.contains(locked, prereleases=True):
        raise Inconsistent(f"{name} {locked} is locked, {requirement} is asked for: make lock")


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as missing:
        raise Inconsistent(f"{name} is not installed: make it anew with `make clean check`") from missing


def document(lock: Mapping[str, Locked]) -> dict[str, Any]:
    """The bill of materials. Raises Inconsistent."""
    needed, everything = closure(frozenset(), lock), closure(OPTIONAL, lock)
    own = distribution("hookline")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", **_identity("hookline", own.version), **_licence(own)}},
        "components": [_component(name, lock[name], name in needed) for name in everything if name != "hookline"],
        "dependencies": [
            {"ref": _ref(name, lock, own), "dependsOn": [_ref(other, lock, own) for other in others]}
            for name, others in everything.items()
        ],
    }


def _component(name: str, locked: Locked, required: bool) -> dict[str, Any]:
    return {
        "type": "library",
        **_identity(name, locked.version),
        "scope": "required" if required else "optional",
        "hashes": [{"alg": "SHA-256", "content": content} for content in locked.hashes],
        **_licence(_installed(name)),
    }


def _identity(name: str, version: str) -> dict[str, str]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"bom-ref": purl, "name": name, "version": version, "purl": purl}


def _ref(name: str, lock: Mapping[str, Locked], own: Distribution) -> str:
    return _identity(name, own.version if name == "hookline" else lock[name].version)["bom-ref"]


def _licence(package: Distribution) -> dict[str, Any]:
    """The SPDX expression of the package (PEP 639). Older licence fields are ambiguous and are not used."""
    if "License-Expression" not in package.metadata:
        return {}
    return {"licenses": [{"expression": package.metadata["License-Expression"]}]}


def main(arguments: list[str]) -> int:
    try:
        text = json.dumps(document(read_lock(LOCK.read_text(encoding="utf-8"))), indent=2) + "\n"
    except Inconsistent as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    if arguments:
        Path(arguments[0]).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
