"""What a schema cannot say about one document, in one place."""

from __future__ import annotations

from typing import Any

from hookline.config.document_access import RuleFinding
from hookline.config.rules import delivery, headers, secret_rules, urls

_CHECKS = (
    urls.check,
    headers.check,
    secret_rules.check_secrets,
    secret_rules.check_signing,
    secret_rules.check_key_times,
    delivery.check,
)


def check_rules(document: Any) -> list[RuleFinding]:
    """The findings of every check. The document may have any shape: a check looks at what it can read."""
    return [finding for check_ in _CHECKS for finding in check_(document)]
