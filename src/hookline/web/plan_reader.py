"""The plan of the configuration directory, for one of the pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.diagnostics import Diagnostic
from hookline.errors import InvalidConfiguration
from hookline.plan.plan import Plan
from hookline.plan.render_text import PlanRow, plan_summary, render_text

# Reading 10,000 files takes seconds, so a plan is shown again for this long.
PLAN_KEPT_SECONDS: Final = 5.0
MAX_PLAN_ROWS: Final = 3000
MAX_PLAN_DIAGNOSTICS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
    """The rows of a plan, or the findings in the files. `left_out` counts the rows or findings that are not shown."""

    summary: str = ""
    rows: Sequence[PlanRow] = ()
    diagnostics: Sequence[Diagnostic] = ()
    left_out: int = 0


class PlanReader:
    """Any thread may call it. `make` reads the files and the state; `place` names the directory."""

    def __init__(self, make: Callable[[], Plan], place: str) -> None:
        self.place = place
        self._make = make
        self._lock = threading.Lock()
        self._known: tuple[float, ShownPlan] | None = None

    def read(self) -> ShownPlan:
        """Raises HooklineError if the directory or the state cannot be read."""
        with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > PLAN_KEPT_SECONDS:
                self._known = (now, self._read())
            return self._known[1]

    def _read(self) -> ShownPlan:
        try:
            plan = self._make()
            rows = render_text(plan, verbose=True)
        except InvalidConfiguration as invalid:
            found = invalid.diagnostics
            return ShownPlan(
                diagnostics=found[:MAX_PLAN_DIAGNOSTICS], left_out=max(0, len(found) - MAX_PLAN_DIAGNOSTICS)
            )
        return ShownPlan(
            summary=plan_summary(plan), rows=rows[:MAX_PLAN_ROWS], left_out=max(0, len(rows) - MAX_PLAN_ROWS)
        )
