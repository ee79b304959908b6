"""Checking a request's body against the payload structure, version 1."""

from __future__ import annotations

from typing import Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hookline.receiver.record import parse_json
from hookline.schemas import load_schema

LONGEST = 300


class PayloadCheck:
    """Holds the compiled schema: compiling costs as much as checking thousands of bodies."""

    def __init__(self) -> None:
        self._validator = Draft202012Validator(load_schema("payload"))

    def check(self, body: bytes) -> Literal[True] | str:
        """True, or what is wrong with the body: the JSON path, and what was expected there."""
        try:
            value = parse_json(body)
        except ValueError as error:
            return f"not JSON: {error}"
        worst = best_match(self._validator.iter_errors(value))
        if worst is None:
            return True
        message = f"{worst.json_path}: {worst.message}"
        return message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"
