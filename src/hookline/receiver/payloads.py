"""Checking a request's body against the structure of the payload that it is in."""

from __future__ import annotations

from typing import Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hookline.receiver.record import parse_json
from hookline.schemas import load_schema

LONGEST = 300


class PayloadCheck:
    """Holds the compiled schemas: compiling costs as much as checking thousands of bodies."""

    def __init__(self) -> None:
        self._first = Draft202012Validator(load_schema("payload.v1"))
        # One schema for each channel: what is wrong with an email is not told by how an SMS would look.
        second = load_schema("payload.v2")
        self._second = {
            channel: Draft202012Validator({"$ref": f"#/$defs/{channel}", "$defs": second["$defs"]})
            for channel in ("email", "sms")
        }

    def check(self, body: bytes) -> Literal[True] | str:
        """True, or what is wrong with the body: the JSON path, and what was expected there."""
        try:
            value = parse_json(body)
        except ValueError as error:
            return f"not JSON: {error}"
        worst = best_match(self._validator(value).iter_errors(value))
        if worst is None:
            return True
        message = f"{worst.json_path}: {worst.message}"
        return message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"

    def _validator(self, value: object) -> Draft202012Validator:
        """Structure 2 is known by its campaignType, and differs by channel; all else is held to structure 1."""
        match value:
            case {"messageExecution": {"campaignType": _}, "channel": "email" | "sms" as channel}:
                return self._second[channel]
        return self._first
