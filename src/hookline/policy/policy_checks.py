"""The checks of a policy document beyond its JSON Schema (schemas/policy.v1.schema.json)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hookline.policy.freeze_window import DEFAULT_ZONE, parse_minute_of_week, parse_moment_of_zone, parse_window
from hookline.policy.policy import RESERVED_IDS
from hookline.policy.policy_problem import PolicyPath, PolicyProblem, ProblemKind
from hookline.policy.require_schema import FieldNames, schema_problems

# Rules and freeze windows, together.
MAX_POLICY_RULES = 200

ENDPOINT_FIELDS: FieldNames = {"host": {}, "port": {}, "path": {}}


def policy_problems(
    document: Mapping[str, Any], fields: FieldNames, is_zone: Callable[[str], bool]
) -> Iterator[PolicyProblem]:
    """The problems of a document that the JSON Schema accepts.

    Args:
        document: The policy document.
        fields: The names of the fields of an effective document, each with those of its own fields.
        is_zone: Whether a time zone is known.
    """
    yield from _id_problems(document)
    definitions = document.get("$defs", {})
    for name, schema in definitions.items():
        yield from schema_problems(schema, ("$defs", name), definitions, {})
    for index, rule in enumerate(document.get("rules", ())):
        yield from schema_problems(rule["require"], ("rules", index, "require"), definitions, fields)
        yield from _owner_problems(rule, ("rules", index))
    for index, freeze in enumerate(document.get("freeze", ())):
        yield from _window_problems(freeze, ("freeze", index), is_zone)
        yield from _owner_problems(freeze, ("freeze", index))
    for index, one in enumerate(document.get("folders", ())):
        yield from _folder_problems(one["folder"], ("folders", index, "folder"))
    yield from _owner_problems(document.get("deletions", {}), ("deletions",))


def too_many_rules(document: Mapping[str, Any]) -> PolicyProblem | None:
    """The problem of a document, of any form, with too many rules. Nothing else of it is worth a look."""
    lists = [document.get(key) for key in ("rules", "freeze")]
    count = sum(len(found) for found in lists if isinstance(found, list))
    if count <= MAX_POLICY_RULES:
        return None
    problem = f"{count:,} rules and freeze windows; the limit is {MAX_POLICY_RULES}"
    return PolicyProblem(ProblemKind.TOO_LARGE, (), problem, "merge rules: a schema may have several properties")


def _id_problems(document: Mapping[str, Any]) -> Iterator[PolicyProblem]:
    first: dict[str, PolicyPath] = {}
    named = [
        (key, index, one["id"]) for key in ("rules", "freeze") for index, one in enumerate(document.get(key, ()))
    ]
    for key, index, name in named:
        path: PolicyPath = (key, index, "id")
        if name in RESERVED_IDS:
            problem = f"{name} is the id of the rule that {name}: makes"
            yield PolicyProblem(ProblemKind.RULE_ID, path, problem, "choose another id")
        elif name in first:
            problem = f"{name} is also the id of {first[name][0]}[{first[name][1]}]"
            yield PolicyProblem(
                ProblemKind.RULE_ID, path, problem, "an override and the history name a rule by its id"
            )
        first.setdefault(name, path)


def _owner_problems(rule: Mapping[str, Any], path: PolicyPath) -> Iterator[PolicyProblem]:
    for key in ("owners", "approvals"):
        if key in rule and not rule.get("overridable", False):
            problem = f"{key} has no meaning: nobody may override the rule"
            yield PolicyProblem(ProblemKind.RULE_ID, (*path, key), problem, "add overridable: true", on_key=True)
            return
    owners, approvals = rule.get("owners", []), rule.get("approvals", 1)
    if approvals > max(1, len(owners)):
        problem = f"{approvals} approvals, but {len(owners)} owners"
        yield PolicyProblem(ProblemKind.RULE_ID, (*path, "approvals"), problem, "name at least that many owners")


def _window_problems(
    freeze: Mapping[str, Any], path: PolicyPath, is_zone: Callable[[str], bool]
) -> Iterator[PolicyProblem]:
    hint = (
        "write local times of timeZone: from: '2026-11-27', to: '2026-11-30T18:00', or weekly: [{from: Fri 16:00, …}]"
    )
    times = [
        *(((key,), freeze[key], _parse_moment) for key in ("from", "to") if key in freeze),
        *(
            (("weekly", index, key), one[key], parse_minute_of_week)
            for index, one in enumerate(freeze.get("weekly", ()))
            for key in ("from", "to")
        ),
    ]
    found = False
    for inner, text, parse in times:
        try:
            parse(text)
        except ValueError as wrong:
            found = True
            yield PolicyProblem(ProblemKind.WINDOW, (*path, *inner), str(wrong), hint)
    if not found:
        try:
            parse_window(freeze)
        except ValueError as wrong:
            yield PolicyProblem(ProblemKind.WINDOW, path, str(wrong), hint)
    zone = freeze.get("timeZone", DEFAULT_ZONE)
    if not is_zone(zone):
        problem = f"this machine knows no time zone {zone}"
        hint = "write a name such as Europe/Berlin; if it is one, install the time zone database (tzdata)"
        yield PolicyProblem(ProblemKind.ZONE, (*path, "timeZone"), problem, hint)


def _parse_moment(text: str) -> object:
    return parse_moment_of_zone(text, whole_day=False)


def _folder_problems(folder: str, path: PolicyPath) -> Iterator[PolicyProblem]:
    parts = folder.split("/")
    if folder != "." and (folder.startswith("/") or not {"", ".", ".."}.isdisjoint(parts)):
        problem = f"{folder} is no folder below the configuration directory"
        hint = "write acme or acme/emea, without a slash at the ends; . is the configuration directory itself"
        yield PolicyProblem(ProblemKind.FOLDER, path, problem, hint)
