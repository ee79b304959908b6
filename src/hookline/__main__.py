"""``python -m hookline`` is the `hookline` program."""

from hookline.cli.main import run

run()
