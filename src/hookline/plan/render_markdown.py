"""A plan as a comment on a pull request (GitHub's and GitLab's Markdown).

It begins with a marker, by which a bot finds the comment that it wrote before, and from which the fingerprint for
`apply --expect` is taken. Nothing that moves by itself is in it (no time, no serial, no count of what is unchanged or
pending), so an unchanged plan is an unchanged comment. Whatever comes from files stands in a fenced block, where
nothing is a link, a mention, HTML or a table; the fence is longer than any run of backticks within.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hookline.escaping import printable
from hookline.plan.plan import Action, Change, Plan
from hookline.plan.render_text import MANY_CREATED, change_rows, changes_in_order, rename_rows

LIMIT = 60_000
"""Characters of a whole comment; GitHub refuses one of more than 65,536."""
_MARK = "hookline:plan"
_LONGEST_LINE = 1_000
_FOR_NOTES = 2_000
_HEAD_SHARE = 0.7

_TITLES = {
    "delete": "Deleted",
    "blocked": "Blocked",
    "update": "Updated",
    "create": "Created",
    "rename": "Possible renames",
}
# What GitHub colours a line of a diff by: red, green, and orange for what is neither.
_MARKS = {Action.DELETE: "-", Action.UPDATE: "!", Action.CREATE: "+"}


@dataclass(frozen=True, slots=True)
class _Line:
    """`heads` is the action of a change that begins here, None for its further lines."""

    section: str
    text: str
    heads: Action | None = None


def marker(fingerprint: str) -> str:
    """The first line of a comment. `fingerprint` is ``sha256:`` and 64 digits."""
    return f"<!-- {_MARK} {fingerprint} -->"


def render_markdown(plan: Plan) -> str:
    """The comment, shorter than 60,000 characters, cut in the middle if need be; it ends in a line break."""
    parts = [marker(plan.fingerprint), f"### hookline plan: {_counts(plan)}"]
    if plan.blocked:
        parts.append("**Nothing of this is applied as long as a change is blocked.**")
    lines = list(_lines(plan))
    head, omitted, tail = _cut(lines, LIMIT - _FOR_NOTES)
    parts += _blocks(head)
    if omitted:
        parts.append(f"*… {_omission(omitted)} cut here: this comment would be too long.*")
        parts += _blocks(tail)
    parts.append(f"Fingerprint: `{plan.fingerprint}`")
    return "\n\n".join(parts) + "\n"


def _counts(plan: Plan) -> str:
    if not plan.changes:
        return "no changes"
    blocked = f" ({len(plan.blocked)} blocked)" if plan.blocked else ""
    return (
        f"{plan.count(Action.CREATE)} to create, {plan.count(Action.UPDATE)} to update, "
        f"{plan.count(Action.DELETE)} to delete{blocked}"
    )


def _lines(plan: Plan) -> Iterator[_Line]:
    folded = plan.count(Action.CREATE) > MANY_CREATED
    for change in changes_in_order(plan):
        section = "blocked" if change.blocked else str(change.action)
        rows = change_rows(replace(change, pending=None), folded=folded)
        for number, row in enumerate(rows):
            yield _Line(section, _marked(change, row.text), change.action if number == 0 else None)
    for row in rename_rows(plan):
        yield _Line("rename", _tame(f"  {row.text}"))


def _marked(change: Change, text: str) -> str:
    """A first line begins with a sign already; what follows begins with spaces, one of which gives way."""
    return _tame(_MARKS[change.action] + text[1:])


def _tame(text: str) -> str:
    """One line that cannot be taken for the marker, nor be longer than a screen or two."""
    text = printable(text).replace("<!--", "\\u003c!--").replace(_MARK, _MARK.replace(":", "\\u003a"))
    half = _LONGEST_LINE // 2
    return (
        text if len(text) <= _LONGEST_LINE else f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"
    )


def _cut(lines: Sequence[_Line], budget: int) -> tuple[Sequence[_Line], Sequence[_Line], Sequence[_Line]]:
    """Lines from the beginning and from the end that fit together, and what lies between."""
    # Every line may begin a block of its own with fences and a title; the budget is for the worst of them.
    overhead = len(_TITLES) * 2 * (40 + 2 * _fence_length(lines))
    if sum(len(line.text) + 1 for line in lines) + overhead <= budget:
        return lines, (), ()
    for_head = int((budget - overhead) * _HEAD_SHARE)
    first = _fitting([len(line.text) + 1 for line in lines], for_head)
    rest = lines[first:]
    last = _fitting([len(line.text) + 1 for line in reversed(rest)], budget - overhead - for_head)
    return lines[:first], rest[: len(rest) - last], rest[len(rest) - last :]


def _fitting(lengths: Sequence[int], budget: int) -> int:
    """How many from the beginning fit."""
    used = 0
    for count, length in enumerate(lengths):
        used += length
        if used > budget:
            return count
    return len(lengths)


def _omission(lines: Sequence[_Line]) -> str:
    found = Counter(line.heads for line in lines if line.heads is not None)
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
