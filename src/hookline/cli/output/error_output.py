"""An error for people, as it is written to stderr."""

from __future__ import annotations

from hookline.cli.output.colour import coloured
from hookline.errors import HooklineError
from hookline.escaping import printable_lines
from hookline.storage_location import without_passwords


def format_error(error: HooklineError) -> str:
    """The message with its hint and notes, with colour.

    The message and the hint may quote untrusted text, and an address with a password. Their line breaks remain.
    """
    message, hint = map(printable_lines, (without_passwords(error.message), without_passwords(error.hint or "")))
    lines = [f"{coloured('error', 'red', bold=True)}: {message}"]
    if hint:
        lines.append(f"  hint: {hint}")
    lines += [f"  note: {note}" for note in getattr(error, "__notes__", ())]
    return "".join(f"{line}\n" for line in lines)
