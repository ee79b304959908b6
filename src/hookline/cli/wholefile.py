"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hookline.errors import HooklineError


@contextmanager
def replacing(file: Path, *, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """What is written in the block becomes the file at its end, synced; after an exception nothing has changed.

    `mode` is further narrowed by the umask. Raises HooklineError.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as open_file:
                yield open_file
                open_file.flush()
                os.fsync(open_file.fileno())
            draft.replace(file)
        finally:
            with suppress(OSError):
                draft.unlink()
    except OSError as failed:
        raise HooklineError(
            f"{file} cannot be written: {failed.strerror}", hint="check the path, its permissions and the disk"
        ) from failed
