"""Crashes that are planted in the process of a relay, in place of a fault in a C library: it ends without a word."""

from __future__ import annotations

import urllib.error
import urllib.request

MARK = "request-7"
KILL = "import os, signal; kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
# For tests that are not about the wait before a start.
NO_WAIT = "from hookline.relay.spool import crash_guard; crash_guard.MAX_START_WAIT_SECONDS = 0.01\n"
CRASHING_PARSER = f"""
from hookline.relay.ingest import batch, ingester
real = batch.route_line
def route_line(line, context):
    if b'"{MARK}"' in line.data:
        kill()
    return real(line, context)
batch.route_line = ingester.route_line = route_line
"""
CRASHING_POST = f"""
from hookline.relay.delivery.endpoint import HttpEndpoint
post, begin = HttpEndpoint.post, HttpEndpoint.begin
async def crashing_post(self, attempt):
    if b'"{MARK}"' in attempt.body:
        kill()
    return await post(self, attempt)
def crashing_begin(self, attempt, on_result):
    if b'"{MARK}"' in attempt.body:
        kill()
    return begin(self, attempt, on_result)
HttpEndpoint.post, HttpEndpoint.begin = crashing_post, crashing_begin
"""


def planted(*parts: str) -> str:
    """The code that a process runs before the command."""
    return "".join((KILL, *parts))


def page(url: str) -> str:
    """The text of a page, also of one that reports a fault."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode().strip())
    except urllib.error.HTTPError as refused:
        return str(refused.read().decode().strip())
