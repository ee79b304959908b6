"""Write .github/actions/ from the workflow of `hookline init`: one composite action for the steps of each job.

    python .ci/actions.py

A workflow that uses the actions is short, and runs the same steps. The steps are generated, so that both cannot
differ: an action has its own inputs in the place of secrets, a shell for each script, and PYTHONSAFEPATH.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / "src" / "hookline" / "templates" / "workflow.yml"
ACTIONS = ROOT / ".github" / "actions"
HEAD = "# Written by .ci/actions.py from the job `{job}` of src/hookline/templates/workflow.yml.\n"
DESCRIPTIONS = {
    "plan": "Validates the webhook files, plans their changes, and saves the plan with the run",
    "comment": "Writes the saved plan into the one comment of the pull request",
    "apply": "Applies exactly the plan that was reviewed",
    "drift": "Checks that the state has not drifted, and that the branch is applied",
}
OUTPUTS = {"planned": "true if a plan was made and saved"}
INPUTS = {
    "state": "The state: postgresql://… of a role that may only read, and for the action apply of one that may write",
    "fingerprint": "The fingerprint of a plan; without it, the plan of the merged pull request",
    "allow_delete": "Webhooks that may be deleted, as ORGANIZATION/SANDBOX, separated by spaces",
    "allow_again": "true: apply the plan even if it was applied before and has been undone since",
    "override": "Rules of the policy to lift, if they are overridable, separated by spaces",
    "reason": "The reason why they are lifted; the history records it",
}


def texts() -> dict[Path, str]:
    """The text of each file."""
    source = WORKFLOW.read_text(encoding="utf-8")
    jobs = yaml.safe_load(source)["jobs"]
    versions = dict(re.findall(r"uses: (\S+) # (\S+)", source))
    return {ACTIONS / job / "action.yml": _action(job, jobs[job], versions) for job in DESCRIPTIONS}


def _action(name: str, job: dict[str, Any], versions: dict[str, str]) -> str:
    steps = "".join(_step(step, versions) for step in job["steps"])
    lines = [f"name: hookline {name}", f"description: {DESCRIPTIONS[name]}"]
    used = [one for one in INPUTS if f"inputs.{one}" in steps]
    if used:
        lines.append("inputs:")
    for one in used:
        lines += [f"  {one}:", f'    description: "{INPUTS[one]}"']
    if "outputs" in job:
        lines.append("outputs:")
    for output, value in job.get("outputs", {}).items():
        lines += [f"  {output}:", f"    description: {OUTPUTS[output]}", f"    value: {value}"]
    return HEAD.format(job=name) + "\n".join([*lines, "runs:", "  using: composite", "  steps:"]) + "\n" + steps


def _step(step: dict[str, Any], versions: dict[str, str]) -> str:
    """A step as text: its keys in their order, scripts as block scalars."""
    if "run" in step:
        environment = {"PYTHONSAFEPATH": "1", **step.get("env", {})}
        step = {**{key: value for key, value in step.items() if key not in ("env", "run")},
                "shell": "bash", "env": environment, "run": step["run"]}  # fmt: skip
    lines = [line for key, value in step.items() for line in _entry(key, value, versions)]
    return "".join(f"    {'- ' if number == 0 else '  '}{line}".rstrip() + "\n" for number, line in enumerate(lines))


def _entry(key: str, value: Any, versions: dict[str, str]) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}:", *(f"  {line}" for name, inner in value.items() for line in _entry(name, inner, versions))]
    if isinstance(value, str) and "\n" in value:
        return [f"{key}: |", *(f"  {line}" for line in value.splitlines())]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+", value):
        text = f'"{value}"'
    text = re.sub(r"secrets\.HOOKLINE_STATE(_READONLY)?\b", "inputs.state", text)
    comment = f" # {versions[text]}" if key == "uses" else ""
    return [f"{key}: {text}{comment}"]


def main() -> None:
    for path, text in texts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
