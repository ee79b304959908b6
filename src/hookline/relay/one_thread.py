"""An executor with one thread, whose results reach the event loop in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from queue import SimpleQueue
from threading import Thread
from typing import Any

_Call = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class OneThread(Executor):
    """Runs the calls of `loop.run_in_executor` one after the other.

    A ThreadPoolExecutor gives each call a future with a lock and a condition, to which asyncio chains a future of the
    loop. A relay that reads a few lines at a time makes a call for every event, and that would be a tenth of its
    work. Here `submit` returns the future of the loop, and `run_in_executor` passes that on as it is.

    A call that was submitted runs, even if its future is cancelled. The thread starts with the first call, and does
    not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_none: Any) -> Any:
        """Called by `run_in_executor` only, and so in the event loop. Returns an asyncio.Future."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future = asyncio.get_running_loop().create_future()
        self._calls.put((future, fn, args))
        return future

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, args = call
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(*args)
            except BaseException as raised:
                error = raised
            loop = future.get_loop()
            try:
                loop.call_soon_threadsafe(_end, future, result, error)
            except RuntimeError:  # the loop was closed, so nothing waits for the result
                if not loop.is_closed():
                    raise
            del call, future, function, args, result, error, loop  # the wait for the next call keeps nothing alive

    def shutdown(self, *_none: Any, **_nothing: Any) -> None:
        """Wait until the calls so far have ended. Called once, after the last `submit`."""
        self._calls.put(None)
        if self._thread is not None:
            self._thread.join()


def _end(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
