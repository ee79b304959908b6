"""Time that passes at once for a running event loop, whose sockets and threads stay real.

A test that sleeps until a limit is over needs a short limit. A busy machine then exceeds the limit earlier than the
test expects. With this module the limit stays long and the test does not wait.
"""

from __future__ import annotations

import asyncio


def let_pass(seconds: float) -> None:
    """Advance the clock of the running event loop. Timers that are due by then run in the next iteration."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


async def arrived() -> None:
    """Wait until the loop has handled the bytes that another task has written to a loopback socket.

    The kernel hands them over during the write. Each iteration reads what the one before it made readable.
    """
    for _ in range(20):
        await asyncio.sleep(0)
