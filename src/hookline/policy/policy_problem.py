"""A problem of a policy document, found without its file. `config.policy_file` gives it a place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

PolicyPath = tuple[str | int, ...]


class ProblemKind(Enum):
    """`config.policy_file` has an error code for each kind."""

    RULE_ID = auto()
    KEYWORD = auto()
    REFERENCE = auto()
    PATTERN = auto()
    TOO_LARGE = auto()
    FIELD = auto()
    WINDOW = auto()
    ZONE = auto()
    FOLDER = auto()


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """`path` leads to the value; if `on_key` is true, its key is wrong."""

    kind: ProblemKind
    path: PolicyPath
    problem: str
    hint: str
    on_key: bool = False
