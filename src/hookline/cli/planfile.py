"""Saved plans as files: told from webhook files, read within bounds, and shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hookline.cli.planoutput import FORMS, print_plan
from hookline.errors import WrongUse
from hookline.plan.changes import Plan
from hookline.plan.saved import read_plan

# Ten thousand webhooks that all change are some 50 MB.
MAX_BYTES = 256 << 20


def is_plan_file(path: Path) -> bool:
    """Whether apply takes a PATH for a saved plan: by what is in it, for the name may be any.

    A plan is a JSON object with a formatVersion. What is called .json is meant to be one, even when it is broken;
    what is called .yaml or .yml never is (a webhook file may well be written as JSON).
    """
    if path.is_dir() or path.suffix in {".yaml", ".yml"}:
        return False
    if path.suffix == ".json":
        return True
    data = _read(path) if path.is_file() else b""
    return data.lstrip().startswith(b"{") and b'"formatVersion"' in data


def read_plan_file(path: Path) -> Plan:
    """The plan in a file. Raises WrongUse when there is none, Stale when it was changed after it was made."""
    data = _read(path)
    if len(data) > MAX_BYTES:
        raise WrongUse(
            f"{path} is larger than {MAX_BYTES >> 20} MiB, and no plan is",
            hint="name a file that `hookline plan --out FILE` wrote",
        )
    return read_plan(data, str(path))


def show_plan_file(path: Path, form: str) -> None:
    """Write the plan in a file to stdout, in one of `FORMS`. Raises like `read_plan_file`, and WrongUse for the form.

    Nothing is compared with a state: whether the plan still fits is for apply to find out.
    """
    if form not in FORMS:
        raise WrongUse(f"a plan is not shown as {form}", hint=f"give --format {', '.join(FORMS)}")
    print_plan(read_plan_file(path), form)


def _read(path: Path) -> bytes:
    """At most one byte more than a plan may have."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise WrongUse(f"{path} is not a file", hint="write the plan into a file first")
            return file.read(MAX_BYTES + 1)
    except OSError as failed:
        raise WrongUse(
            f"{path} cannot be read: {failed.strerror}", hint="name a file that `hookline plan --out FILE` wrote"
        ) from failed
