"""What a schema cannot say about one document, in one place."""

from __future__ import annotations

from typing import Any

from hookline.config import delivery, headers, rotating, secrets, signing, urls
from hookline.config.finding import Finding

_CHECKS = (urls.check, headers.check, secrets.check, signing.check, rotating.check, delivery.check)


def check(document: Any) -> list[Finding]:
    """The findings of every check. The document may have any shape: a check looks at what it can read."""
    return [finding for check_ in _CHECKS for finding in check_(document)]
