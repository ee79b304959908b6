"""Noticing that an operator has replaced a secret's file."""

from __future__ import annotations

from hookline.model import FileRef, Webhook
from hookline.relay.secretfile import Stamp
from hookline.relay.secrets import SecretResolver

# Looking costs some system calls for each file, so it is not done for each event.
LOOK_SECONDS = 1.0


class Watch:
    """The files that one webhook names. Its user says what time it is, in Unix seconds."""

    def __init__(self, webhook: Webhook, resolver: SecretResolver) -> None:
        self._files = [reference for reference in dict.fromkeys(webhook.secrets()) if isinstance(reference, FileRef)]
        self._organization = webhook.address.organization
        self._resolver = resolver
        self._looked_at = 0.0
        self._stamps: list[Stamp | None] | None = None

    def changed(self, now: float) -> bool:
        """Whether a file is another one than at the last look. Looks at most once a second; the first tells nothing.

        Called before files are read: what changes after that is seen by the next look.
        """
        if not self._files or 0 <= now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        before = self._stamps
        self._stamps = [self._resolver.stamp(reference, self._organization) for reference in self._files]
        return before is not None and before != self._stamps

    def look_again(self) -> None:
        """The next look says that something has changed: what was found could not be used yet."""
        if self._stamps is not None:
            self._stamps = []
