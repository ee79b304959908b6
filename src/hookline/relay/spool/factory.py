"""Finds the store of a `--spool` location. A store is one folder and one entry in STORES. No other code knows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from hookline.errors import SpoolUnusable, WrongUse
from hookline.paths import name_is_taken
from hookline.storage_location import address_scheme

if TYPE_CHECKING:  # a command that only checks a location, or finds no spool there, loads no store
    from hookline.relay.spool.admin import (
        DeadLetterImport,
        DeadLetterQueries,
        DeadLetterStore,
        DryRunSpool,
        RecipientRemoval,
        SpoolStatistics,
        TraceSearch,
        WebhookControl,
    )
    from hookline.relay.spool.leases import SharedSpool
    from hookline.relay.spool.spool import Spool, StatusPublisher
    from hookline.relay.spool.transfer import MoveSource, MoveTarget


class SpoolStore(Protocol):
    """The spool at one location. It opens nothing itself: a command asks for the port that it needs.

    `name` is the location for messages, without a password. A `shared` spool can be open in several processes, each
    of which owns a share of the endpoints.
    """

    shared: bool

    @property
    def name(self) -> str: ...

    # -- for a relay

    def open(self, *, since: str) -> Spool:
        """Open or create the spool and own it. `since` is the time now as text, for the message to a second relay.

        Raises SpoolUnusable when another process owns it, or when it is damaged or of a newer format.
        """

    def join(self, *, kind: str, name: str) -> SharedSpool:
        """Open a shared spool as one of its processes, without a share of its endpoints yet.

        `kind` is ``relay`` or ``deliver``, `name` that of the relays that read the same files. Raises SpoolUnusable
        if no spool exists there, and WrongUse for a spool that is not shared.
        """

    def status_publisher(self) -> StatusPublisher: ...

    # -- for operators

    def exists(self) -> bool:
        """Whether a spool exists at the location, in any condition."""

    def create_if_missing(self, *, since: str) -> None:
        """Create an empty spool if none exists. `since` as in `open`. Raises SpoolUnusable."""

    def create(self, *, since: str = "", slots: int | None = None, lease_seconds: float | None = None) -> None:
        """Create an empty spool. `since` as in `open`. Only a shared one has slots and leases (None: the default).

        Raises SpoolUnusable, also if a spool exists.
        """

    def migrate(self, *, since: str) -> tuple[int, int]:
        """Change the format to that of this version. Returns the formats before and afterwards. `since` as in `open`.

        Raises SpoolUnusable, also while a relay owns an embedded spool, and while a process of an older version uses
        a shared one.
        """

    def move_source(self, *, since: str) -> AbstractContextManager[MoveSource]:
        """`since` as in `open`. Raises SpoolUnusable while a process owns the spool, or a share of it."""

    def move_target(self, *, since: str) -> AbstractContextManager[MoveTarget]:
        """`since` as in `open`. Raises SpoolUnusable while a relay owns an embedded spool, and while the spool is the
        source of a move."""

    def dead_letters(self) -> AbstractContextManager[DeadLetterStore]: ...

    def dead_letter_queries(self) -> AbstractContextManager[DeadLetterQueries]:
        """The queries alone, through a connection that cannot write."""

    def dead_letter_import(self) -> AbstractContextManager[DeadLetterImport]: ...

    def webhook_control(self) -> AbstractContextManager[WebhookControl]: ...

    def recipient_removal(self) -> AbstractContextManager[RecipientRemoval]: ...

    def trace_search(self) -> TraceSearch: ...

    def statistics(self) -> SpoolStatistics: ...

    def dry_run(self) -> DryRunSpool: ...


def _embedded(location: str) -> SpoolStore:
    from hookline.relay.spool.sqlite.embedded import EmbeddedStore  # noqa: PLC0415 - each store loads its own driver

    return EmbeddedStore(Path(location))


def _shared(location: str) -> SpoolStore:
    try:
        from hookline.relay.spool.postgres.shared import SharedStore  # noqa: PLC0415 - as above
    except ImportError as missing:
        if missing.name is not None and missing.name.split(".")[0] == "hookline":
            raise
        raise SpoolUnusable(
            f"the package for a spool in PostgreSQL cannot be loaded: {missing}",
            hint="install it in hookline's environment: pip install 'psycopg[binary]', or pipx inject hookline "
            "'psycopg[binary]'",
        ) from missing
    return SharedStore(location)


# By the scheme of the location (`scheme://…`). A location without a scheme is a directory.
DIRECTORY_SCHEME: Final = ""
STORES: Final[dict[str, Callable[[str], SpoolStore]]] = {
    DIRECTORY_SCHEME: _embedded,
    "postgresql": _shared,
    "postgres": _shared,
}


def spool_store(location: str | Path) -> SpoolStore:
    """The store at a `--spool` location. Raises WrongUse like `require_spool_location`."""
    text = str(location)
    return STORES[_scheme(text)](text)


def is_missing_directory(location: str) -> bool:
    """Whether the location is a directory that does not exist, so that no store needs to be loaded.

    Raises WrongUse like `require_spool_location`, and SpoolUnusable if the location cannot be examined.
    """
    return _scheme(location) == DIRECTORY_SCHEME and not name_is_taken(location, error=SpoolUnusable)


def spool_place(store: SpoolStore) -> str:
    """The absolute path of a spool in a directory, or its address without its password."""
    return store.name if "://" in store.name else str(Path(store.name).absolute())


def require_spool_location(text: str) -> str:
    """`text`, if it is clearly a path, or an address with a registered store. Raises WrongUse, without quoting it."""
    _scheme(text)
    return text


def _scheme(text: str) -> str:
    known = "".join(f", or {other}://…" for other in STORES if other)
    hint = f"give a directory, such as .hookline/spool{known}"
    scheme = (address_scheme(text, "--spool", hint) or DIRECTORY_SCHEME).lower()
    if scheme not in STORES:
        raise WrongUse(f"--spool: unknown kind of spool: {scheme}://", hint=hint)
    return scheme
