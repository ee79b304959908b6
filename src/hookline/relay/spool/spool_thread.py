"""The one thread that the spool is called from, so that waiting for the disk does not hold up the sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.spool.spool import Spool

PATIENCE_SECONDS: Final = 0.5

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SpoolThread:
    """`stalled`: why the spool cannot be written at the moment, None while it can."""

    def __init__(self, spool: Spool, log: Log) -> None:
        self.spool = spool
        self.stalled: str | None = None
        self._log = log
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Whoever is cancelled while waiting, the transaction is finished all the same."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
        return await asyncio.shield(work)

    async def retry_while_stalled(
        self, what: str, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Make a call again and again while the disk is full, or the spool is kept by another process.

        `what` stands still meanwhile (``reading``); that is said once, and once more when it goes on.
        """
        said = False
        try:
            while True:
                try:
                    result = await self.call(function, *args, **kwargs)
                except SpoolStalled as stalled:
                    self.stalled = stalled.message
                    if not said:
                        self._log.warning(f"{what} waits for the spool", reason=stalled.message)
                    said = True
                    await asyncio.sleep(PATIENCE_SECONDS)
                else:
                    if said:
                        self._log.warning(f"{what} goes on")
                    return result
        finally:
            if said:  # also when nobody waits for it any more: who finds it stalled says so again
                self.stalled = None

    def close(self) -> None:
        self._thread.shutdown()
