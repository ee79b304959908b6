"""The document that the rules of a policy see: every default filled in, and the parts of the URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from hookline.canonical import Document, complete_document

_HTTPS_PORT = 443


def effective_document(document: Document) -> dict[str, Any]:
    """The effective document of a valid webhook document.

    It is the canonical form with every default, also those that depend on other fields, and with
    ``endpoint: {host, port, path}`` of the URL. The host is in lower case and without the dot of an absolute name, so
    that no spelling of it passes a rule. Raises KeyError or ValueError for an invalid document.
    """
    complete = complete_document(document)
    parts = urlsplit(complete["url"])
    host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    if complete["authentication"]["type"] == "jwt":
        origin = f"https://{host}" if port == _HTTPS_PORT else f"https://{host}:{port}"
        complete["authentication"].setdefault("audience", origin)
    return {**complete, "endpoint": {"host": host.removesuffix("."), "port": port, "path": parts.path or "/"}}
