"""What a secret reference may name: only what was put within reach of webhook files on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hookline.config import codes
from hookline.config.finding import Finding, Path, path_text, shown
from hookline.config.shape import secret_references, text_at

_ENV = re.compile(r"HOOKLINE_SECRET_[A-Za-z0-9_]+")
_TLS_CA = ("delivery", "tls", "caFile")


def check(document: Any) -> Iterator[Finding]:
    """Findings about every `{env: …}` and `{file: …}`, and `delivery.tls.caFile`."""
    for path, reference in secret_references(document):
        name, file = reference.get("env"), reference.get("file")
        if isinstance(name, str) and _ENV.fullmatch(name) is None:
            yield _env_out_of_reach((*path, "env"), name)
        if isinstance(file, str):
            yield from _check_file((*path, "file"), file)
    if (ca_file := text_at(document, *_TLS_CA)) is not None:
        yield from _check_file(_TLS_CA, ca_file)


def _env_out_of_reach(path: Path, name: str) -> Finding:
    tail = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    hint = f"only HOOKLINE_SECRET_… variables are within reach: set HOOKLINE_SECRET_{tail or 'NAME'} for the relay"
    summary = f"{path_text(path)}: {shown(name)} does not begin with HOOKLINE_SECRET_"
    if name.startswith("HOOKLINE_SECRET_"):
        summary = f"{path_text(path)}: {shown(name)} is not the name of a variable"
        hint = "letters, digits and underscores, as in HOOKLINE_SECRET_ACME_API_KEY"
    return Finding(code=codes.SECRET_ENV, path=path, summary=summary, hint=hint)


def _check_file(path: Path, file: str) -> Iterator[Finding]:
    """An absolute path is left to the relay, which alone knows where the secrets directory is."""
    if ".." in file.split("/"):
        problem = f"{shown(file)} leaves the secrets directory"
    elif file and (not file.strip("./") or file.endswith("/") or not file.isprintable()):
        problem = f"{shown(file)} is not the path of a file"
    else:
        return
    hint = "write a path below the relay's --secrets-dir, as in feedback-2026-11.pem"
    yield Finding(code=codes.SECRET_FILE, path=path, summary=f"{path_text(path)}: {problem}", hint=hint)
