"""Writes one image and prints its findings: `python -m crash_images.replay SEED IMAGE DIRECTORY`, in tests/."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

from crash_images.examination import Examiner, write_image
from crash_images.power_cuts import bounds, findings_of, images, states_of
from crash_images.record import Begun
from crash_images.running import fast_directory, record_run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int)
    parser.add_argument("image", type=int)
    parser.add_argument("directory", type=Path, help="receives the spool as the power cut left it")
    parser.add_argument("--share", type=float, default=1.0, help="as in the test that named the image")
    parser.add_argument("--mutant", default="")
    parser.add_argument("--script", nargs="+", help="the calls of a short run")
    arguments = parser.parse_args()
    script = {"script": arguments.script, "calls": 0} if arguments.script else {}
    record = record_run(arguments.seed, mutant=arguments.mutant, **script)
    image = next(islice(images(record, share=arguments.share), arguments.image, None))
    arguments.directory.mkdir(parents=True, exist_ok=True)
    write_image(arguments.directory, image.files)
    calls = [step.call for step in record.steps[: image.cut] if isinstance(step, Begun)]
    lines = [
        f"power cut after step {image.cut}: {record.steps[image.cut - 1]!r:.200}",
        f"the latest calls: {', '.join(calls[-5:])}",
        *(f"{name}: {len(content)} bytes" for name, content in image.files.items()),
    ]
    with fast_directory() as root:
        examiner = Examiner(root, record.script)
        states, _ = states_of(record, examiner)
        found = findings_of(examiner.examine(image.files), bounds(record.steps)[image.cut], states)
    lines += found or ["all invariants hold"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
