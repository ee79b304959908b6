"""Which paths of the receiver require a token: a request cannot avoid the check by another spelling of its path."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from urllib.parse import unquote

# How many times a path may be percent-encoded. One that is encoded more often counts as protected.
MAX_PATH_DECODINGS = 4
_ABSOLUTE_FORM = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def is_protected(target: str, prefixes: Iterable[str]) -> bool:
    """Whether the path of a request target (RFC 9112 §3.2) begins with one of the prefixes, however it is written.

    A target without a path (``*``, an authority) is protected, because no prefix can exempt it.
    """
    path = normal_path(_ABSOLUTE_FORM.sub("", target, count=1) or "/")
    return path is None or any(path.startswith(normal_path(prefix) or "/") for prefix in prefixes)


def normal_path(target: str) -> str | None:
    """Returns the path as the most generous server reads it, or None if there is none.

    Without query, percent-encoding, path parameters, empty and dot segments; a backslash is a slash. A slash at the
    end is dropped, so ``/orders/`` is the same as ``/orders``.
    """
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    if not path.startswith("/"):
        return None
    for _ in range(MAX_PATH_DECODINGS):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return None
    segments = (segment.partition(";")[0] for segment in path.replace("\\", "/").split("/"))
    return posixpath.normpath("/" + "/".join(segments).lstrip("/"))
