"""A deterministic asyncio event loop: virtual time, a seeded choice of the next callback, and simulated threads.

The loop implements only documented methods, and of these only the ones that the relay uses. A call of any other
method raises NotImplementedError in the base class, so that a simulation never waits for something real.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context
from typing import Any, Final

from hookline.relay.one_thread import OneThread
from simulation.world import World

# The time of a job in a simulated thread, in seconds: the limits of a uniform choice.
JOB_SECONDS: Final = (0.0001, 0.002)
DEFAULT_EXECUTOR_WORKERS: Final = 4
# Its methods raise NotImplementedError, but their type stubs call them abstract and demand all of them. As Any, it
# is a base class for an implementation of some.
_PartialLoop: Any = asyncio.AbstractEventLoop


class Job:
    """A call that waits for a simulated thread, runs in it, or has run in it."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.args = args
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Threads:
    """The simulated threads of one executor: `free` jobs may still start, the others wait in the queue.

    `runs_cancelled`: a job whose future was cancelled runs nevertheless.
    """

    def __init__(self, executor: Executor | None) -> None:
        self.free = _workers(executor)
        self.runs_cancelled = isinstance(executor, OneThread)
        self.queue: deque[Job] = deque()


class SimulatedLoop(_PartialLoop):  # type: ignore[misc]
    """The loop of one simulated process. After `kill` it runs nothing more.

    `shuffle` is the probability that it chooses its next callback at random. `job_seconds` returns the time that the
    next job takes; a slow disk lengthens it.
    """

    def __init__(self, world: World, *, shuffle: float, job_seconds: Callable[[], float]) -> None:
        self.dead = False
        self.errors: list[str] = []
        self._world = world
        self._shuffle = shuffle
        self._job_seconds = job_seconds
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = 0
        self._threads: dict[Executor | None, Threads] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._signal_handlers: dict[int, Callable[[], object]] = {}

    # -- driven by the simulation

    @property
    def has_ready(self) -> bool:
        """Whether a callback is ready."""
        return bool(self._ready)

    @property
    def next_at(self) -> float:
        """When the next timer is due; infinity if there is none."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    def make_timers_ready(self) -> None:
        """Move the timers that are due now to the ready callbacks."""
        while self.next_at <= self._world.now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def run_one(self) -> None:
        """Run one of the ready callbacks: in their order, or a chosen one."""
        ready, random = self._ready, self._world.random
        index = random.randrange(len(ready)) if len(ready) > 1 and random.random() < self._shuffle else 0
        handle = ready.pop(index)
        if handle.cancelled():
            return
        # As BaseEventLoop.run_forever and _run_once do; they have no public parts that run one callback.
        asyncio.events._set_running_loop(self)
        try:
            handle._run()
        finally:
            asyncio.events._set_running_loop(None)

    def signal(self, number: int) -> None:
        """The process receives a signal. Without a handler nothing happens."""
        if number in self._signal_handlers:
            self.call_soon(self._signal_handlers[number])

    def kill(self) -> None:
        """End the process: no callback, timer or job runs any more, and no `finally` block has an effect."""
        self.dead = True
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # no warning: it is a kill
                try:
                    task.get_coro().close()
                except (Exception, asyncio.CancelledError):  # a `finally` block that awaits
                    continue
        self._tasks.clear()
        self._threads.clear()

    # -- asyncio.AbstractEventLoop

    def time(self) -> float:
        return self._world.even()

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self._number += 1
            heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by TimerHandle.cancel. The timer is dropped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None) -> Any:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        if len(self._tasks) > 200:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)
        return task

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        self._signal_handlers[sig] = lambda: callback(*args)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # -- simulated threads

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        """Queue a job. It runs as one step at its start; its result arrives when its time is over."""
        if self.dead:
            raise RuntimeError("the process was killed")
        job = Job(func, args, self.create_future())
        threads = self._threads.get(executor)
        if threads is None:
            threads = self._threads[executor] = Threads(executor)
        threads.queue.append(job)
        self.call_later(self._world.random.uniform(0, JOB_SECONDS[0]), self._start, threads)
        return job.future

    def _start(self, threads: Threads) -> None:
        if not threads.free or not threads.queue:
            return
        threads.free -= 1
        job = threads.queue.popleft()
        if job.future.cancelled() and not threads.runs_cancelled:
            self._finish(threads, job)
            return
        asyncio.events._set_running_loop(None)
        self._world.job_seconds = 0.0
        try:
            job.result = job.function(*job.args)
        except BaseException as raised:
            job.error = raised
        seconds = self._world.job_seconds + self._job_seconds()
        self._world.job_seconds = 0.0
        self.call_later(seconds, self._finish, threads, job)

    def _finish(self, threads: Threads, job: Job) -> None:
        threads.free += 1
        if threads.queue:
            self.call_soon(self._start, threads)
        if job.future.cancelled():
            return
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _workers(executor: Executor | None) -> int:
    if isinstance(executor, OneThread):
        return 1
    if isinstance(executor, ThreadPoolExecutor):
        return executor._max_workers  # no public way leads to the number
    return DEFAULT_EXECUTOR_WORKERS
