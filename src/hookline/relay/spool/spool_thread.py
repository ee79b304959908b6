"""The one thread that calls the spool, so that a slow disk does not delay the sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.one_thread import OneThread
from hookline.relay.spool.spool import Spool

STALLED_RETRY_SECONDS: Final = 0.5

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SpoolThread:
    """Runs calls of the spool. `stalled` is the reason why the spool cannot be written now; None: it can. `stalls`
    counts the calls that failed for such a reason until now."""

    def __init__(self, spool: Spool, log: Log, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Create it. `loop`: that of the calls; without it, `run_from_thread` is for the time after the first one."""
        self.spool = spool
        self.stalled: str | None = None
        self.stalls = 0
        self._log = log
        self._loop = loop
        self._thread = OneThread("spool")

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call that reads, and repeat it while the spool cannot be reached."""
        return await self.retry_while_stalled("the relay", function, *args, **kwargs)

    async def run_once(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call in the thread. If the caller is cancelled, the call still runs to its end.

        Raises SpoolStalled.
        """
        self._loop = asyncio.get_running_loop()
        return await self._loop.run_in_executor(self._thread, partial(function, *args, **kwargs))

    def run_from_thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call that reads, and wait for it. Called from another thread."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self.run(function, *args, **kwargs), self._loop).result()

    async def retry_while_stalled(
        self, activity: str, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Repeat a call while the disk is full or another process keeps the spool locked.

        Logs the `activity` (``reading``) once when the call waits, and once when it succeeds.
        """
        waiting = False
        try:
            while True:
                try:
                    result = await self.run_once(function, *args, **kwargs)
                except SpoolStalled as stalled:
                    self.stalled = stalled.message
                    self.stalls += 1
                    if not waiting:
                        self._log.warning(f"{activity} waits for the spool", reason=stalled.message)
                    waiting = True
                    await asyncio.sleep(STALLED_RETRY_SECONDS)
                else:
                    if waiting:
                        self._log.warning(f"{activity} continues")
                    return result
        finally:
            if waiting:  # also when the caller was cancelled; the next stalled call sets it again
                self.stalled = None

    def close(self) -> None:
        self._thread.shutdown()
