"""Runs a workload in a process of its own and writes its record: `python -m crash_images.run_recorded`."""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from pathlib import Path
from random import Random
from typing import Final

from crash_images import recording_vfs
from crash_images.examination import RESERVE_BYTES, write_image
from crash_images.mutants import plant_in_code
from crash_images.record import Record, save_record
from crash_images.recorder import Recorder
from crash_images.workload import Workload
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.storage_access import StorageAccess

EXIT_UNSUPPORTED: Final = 75
_CHECKPOINT_PAGES: Final = (12, 25, 60)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path, help="an empty directory")
    parser.add_argument("record", type=Path, help="the file to write")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--calls", type=int, default=0, help="the number of drawn calls")
    parser.add_argument("--script", nargs="*", default=[], help="calls to make before those")
    parser.add_argument("--mutant", default="")
    parser.add_argument("--marks", help="a tracer records the run: write marks into this file, and record only them")
    parser.add_argument("--killed", type=Path, help="a file with the spool that a killed process left")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    os.umask(0o077)
    # Checkpoints come after some transactions instead of thousands.
    database._CHECKPOINT_PAGES = _CHECKPOINT_PAGES[arguments.seed % len(_CHECKPOINT_PAGES)] if arguments.calls else 60
    plant_in_code(arguments.mutant)
    killed = pickle.loads(arguments.killed.read_bytes()) if arguments.killed else None
    if killed is not None:
        write_image(root, killed.files)
    if arguments.marks:
        recorder = Recorder(root, marks=os.open(arguments.marks, os.O_WRONLY | os.O_CREAT, 0o600))
    else:
        recorder = Recorder(root, killed=killed)
        try:
            recording_vfs.install(recorder, Random(arguments.seed))
        except recording_vfs.UnsupportedSqlite as reason:
            sys.stdout.write(f"{reason}\n")
            raise SystemExit(EXIT_UNSUPPORTED) from None
        recorder.watch_os()
    access = StorageAccess(sync=os.fsync, reserve_bytes=RESERVE_BYTES)  # os.fsync as the recorder watches it
    workload = Workload(root, recorder, arguments.seed, access=access, again=killed is not None)
    workload.run([*arguments.script, *workload.draw(arguments.calls)])
    save_record(Record(arguments.seed, recorder.steps, workload.script), arguments.record)


if __name__ == "__main__":
    main()
