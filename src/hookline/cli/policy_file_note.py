"""Compares the policy file of a repository with the policy of the state.

The file is a proposal: it changes nothing until somebody sets it. A reviewer who sees it must know whether it counts.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import click

from hookline.cli.options import PathParameter
from hookline.config.discovery import name_of_path
from hookline.config.policy_file import canonical_policy_text
from hookline.errors import WrongUse
from hookline.escaping import printable
from hookline.paths import path_exists
from hookline.state.store import Snapshot

DEFAULT_POLICY_FILE = "policy.yaml"

policy_file_option = click.option(
    "--policy-file",
    type=PathParameter(path_type=Path),
    metavar="FILE",
    help="The policy file of the repository, to say whether it is the policy of the state.  "
    "[default: policy.yaml beside the configuration directory, if it exists]",
)


class PolicyFileState(StrEnum):
    """How a policy file compares with the policy of the state."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_SET = "not set"
    INVALID = "invalid"


_NOTES = {
    PolicyFileState.DIFFERENT: "differs from the policy of the state, which decides",
    PolicyFileState.NOT_SET: "is not set: the state has no policy",
    PolicyFileState.INVALID: "cannot be read as a policy",
}


def compare_policy_file(file: Path | None, config: Path, stored: Snapshot) -> PolicyFileState | None:
    """How a policy file compares with the policy of the state; None if there is no file.

    Args:
        file: The file that the user named; None for the one beside the configuration directory.
        config: The configuration directory.
        stored: The state.

    Raises WrongUse if the user named a file that does not exist.
    """
    path = Path(os.path.abspath(config)).parent / DEFAULT_POLICY_FILE if file is None else file  # noqa: PTH100 - as named
    if not path_exists(path):
        if file is None:
            return None
        raise WrongUse(f"no policy file {file}", hint="leave out --policy-file, or name the file of the repository")
    text = canonical_policy_text(path)
    if text is None:
        found = PolicyFileState.INVALID
    elif stored.policy is None:
        found = PolicyFileState.NOT_SET
    else:
        found = PolicyFileState.SAME if text == stored.policy.text else PolicyFileState.DIFFERENT
    if found in _NOTES:
        name = printable(name_of_path(str(path)))
        command = "test" if found is PolicyFileState.INVALID else "set"
        click.echo(f"note: {name} {_NOTES[found]}\n  hint: hookline policy {command} {name}", err=True)
    return found
