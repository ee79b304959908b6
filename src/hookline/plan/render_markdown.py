"""A plan as a comment on a pull request (GitHub's and GitLab's Markdown).

It begins with a marker. A bot finds its previous comment by the marker, and takes the fingerprint for
`apply --expect` from it. The comment has no time, no serial and no count of unchanged webhooks or pending events, so
an unchanged plan gives an unchanged comment. Text from files is in a fenced block, where nothing is a link, a
mention, HTML or a table. The fence is longer than any run of backticks in the block.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hookline.escaping import printable
from hookline.plan.plan import Action, Plan
from hookline.plan.render_text import (
    MAX_DETAILED_CREATIONS,
    change_counts,
    change_rows,
    rename_rows,
    rows_of_violation,
    sorted_changes,
)

MAX_COMMENT_CHARACTERS = 60_000
"""Characters of a whole comment; GitHub refuses one of more than 65,536."""
_MARK = "hookline:plan"
_MAX_LINE_CHARACTERS = 1_000
_NOTES_CHARACTERS = 2_000
_HEAD_SHARE = 0.7

_TITLES = {
    "delete": "Deleted",
    "blocked": "Blocked",
    "denied": "Denied by the policy",
    "warning": "Warnings of the policy",
    "move": "Moved",
    "update": "Updated",
    "create": "Created",
    "rename": "Possible renames",
}
# GitHub shows these lines of a diff in red, orange and green.
_MARKS = {Action.DELETE: "-", Action.UPDATE: "!", Action.CREATE: "+", Action.MOVE: "!"}


@dataclass(frozen=True, slots=True)
class _Line:
    """`action` is set in the first line of a change only."""

    section: str
    text: str
    action: Action | None = None


def marker(fingerprint: str) -> str:
    """The first line of a comment. `fingerprint` is ``sha256:`` and 64 digits."""
    return f"<!-- {_MARK} {fingerprint} -->"


def render_markdown(plan: Plan) -> str:
    """The comment, at most 60,000 characters. A longer one is cut in the middle. It ends with a line break."""
    parts = [marker(plan.fingerprint), f"### hookline plan: {change_counts(plan) if plan.changes else 'no changes'}"]
    if plan.is_denied:
        parts.append("**Nothing is applied while the policy denies the plan.**")
    if plan.blocked:
        parts.append("**Nothing is applied while a change is blocked.**")
    lines = list(_lines(plan))
    head, omitted, tail = _cut(lines, MAX_COMMENT_CHARACTERS - _NOTES_CHARACTERS)
    parts += _blocks(head)
    if omitted:
        parts.append(f"*… {_omission(omitted)} cut here: this comment would be too long.*")
        parts += _blocks(tail)
    parts.append(f"Fingerprint: `{plan.fingerprint}`")
    return "\n\n".join(parts) + "\n"


def _lines(plan: Plan) -> Iterator[_Line]:
    """The lines of all sections. What denies the plan comes first, because the middle of a long comment is cut."""
    for violation in plan.violations:
        section, mark = ("denied", "-") if violation.denies else ("warning", "!")
        for row in rows_of_violation(violation):
            yield _Line(section, _escape(f"{mark}{row.text[1:]}"))
    folded = plan.count(Action.CREATE) > MAX_DETAILED_CREATIONS
    for change in sorted_changes(plan):
        section = "blocked" if change.blocked else str(change.action)
        rows = change_rows(replace(change, pending=None, drain=None), folded=folded)
        for number, row in enumerate(rows):
            text = _MARKS[change.action] + row.text[1:]  # instead of the row's symbol, or of a space
            yield _Line(section, _escape(text), change.action if number == 0 else None)
    for row in rename_rows(plan):
        yield _Line("rename", _escape(f"  {row.text}"))


def _escape(text: str) -> str:
    """Escape a row, so that it cannot look like the marker, and shorten it."""
    text = printable(text).replace("<!--", "\\u003c!--").replace(_MARK, _MARK.replace(":", "\\u003a"))
    half = _MAX_LINE_CHARACTERS // 2
    if len(text) <= _MAX_LINE_CHARACTERS:
        return text
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def _cut(lines: Sequence[_Line], budget: int) -> tuple[Sequence[_Line], Sequence[_Line], Sequence[_Line]]:
    """The lines from the beginning that fit, the omitted lines, and the lines from the end that fit."""
    # Each section of head and tail adds a title and two fences.
    overhead = len(_TITLES) * 2 * (40 + 2 * _fence_length(lines))
    if sum(len(line.text) + 1 for line in lines) + overhead <= budget:
        return lines, (), ()
    head_budget = int((budget - overhead) * _HEAD_SHARE)
    first = _fitting([len(line.text) + 1 for line in lines], head_budget)
    rest = lines[first:]
    last = _fitting([len(line.text) + 1 for line in reversed(rest)], budget - overhead - head_budget)
    return lines[:first], rest[: len(rest) - last], rest[len(rest) - last :]


def _fitting(lengths: Sequence[int], budget: int) -> int:
    """The number of leading lengths whose sum fits the budget."""
    used = 0
    for count, length in enumerate(lengths):
        used += length
        if used > budget:
            return count
    return len(lengths)


def _omission(lines: Sequence[_Line]) -> str:
    found = Counter(line.action for line in lines if line.action is not None)
    counts = ", ".join(f"{found[action]} to {action}" for action in Action if found[action])
    webhooks = f" with {sum(found.values())} webhooks ({counts})" if counts else ""
    return f"{len(lines)} lines{webhooks} are"


def _blocks(lines: Sequence[_Line]) -> Iterator[str]:
    fence = "`" * _fence_length(lines)
    for section, title in _TITLES.items():
        texts = [line.text for line in lines if line.section == section]
        if texts:
            body = "\n".join(texts)
            yield f"#### {title}\n\n{fence}diff\n{body}\n{fence}"


def _fence_length(lines: Sequence[_Line]) -> int:
    longest = max((len(run) for line in lines for run in re.findall("`+", line.text)), default=0)
    return max(3, longest + 1)
