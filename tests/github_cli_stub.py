"""A stub of GitHub's command line `gh`: it answers the calls of hookline's workflow from a JSON file.

It refuses calls that the job's token does not permit, so that tests find missing permissions. If jq is installed, it
runs the filters. Otherwise the stub knows the workflow's filters by their text.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

STORE = Path(os.environ.get("GITHUB_STUB_STORE", "store.json"))
FILTERS: dict[str, Any] = {
    '.[] | select(.user.login == "github-actions[bot]" and (.body | startswith("<!-- hookline:plan"))) | .id': (
        lambda found: [
            one["id"]
            for one in found
            if one["user"]["login"] == "github-actions[bot]" and one["body"].startswith("<!-- hookline:plan")
        ]
    ),
    (
        "map(select(.merged_at != null and .merge_commit_sha == env.GITHUB_SHA and .base.ref == env.GITHUB_REF_NAME))"
        " | .[0] | select(. != null) | [.number, .head.sha, .head.ref] | @tsv"
    ): lambda found: [
        f"{one['number']}\t{one['head']['sha']}\t{one['head']['ref']}"
        for one in found
        if one["merged_at"] is not None
        and one["merge_commit_sha"] == os.environ["GITHUB_SHA"]
        and one["base"]["ref"] == os.environ["GITHUB_REF_NAME"]
    ][:1],
    (
        '.workflow_runs[] | select((.path | split("@")[0]) == ".github/workflows/hookline.yml" and '
        ".head_branch == env.BRANCH and .head_repository.full_name == env.GITHUB_REPOSITORY) | .id"
    ): lambda found: [
        one["id"]
        for one in found["workflow_runs"]
        if one["path"].partition("@")[0] == ".github/workflows/hookline.yml"
        and one["head_branch"] == os.environ["BRANCH"]
        and one["head_repository"]["full_name"] == os.environ["GITHUB_REPOSITORY"]
    ],
}


def main(arguments: list[str]) -> int:
    store = json.loads(STORE.read_text())
    store["calls"].append(arguments)
    try:
        answer = _download(store, arguments) if arguments[:2] == ["run", "download"] else _api(store, arguments)
    except PermissionError as missing:
        sys.stderr.write(f"gh: Resource not accessible by integration (HTTP 403): {missing}\n")
        return 1
    except KeyError as missing:
        sys.stderr.write(f"gh: Not Found (HTTP 404): {missing}\n")
        return 1
    finally:
        STORE.write_text(json.dumps(store))
    sys.stdout.write(answer)
    return 0


def _need(scope: str, level: str) -> None:
    granted = json.loads(os.environ["GH_TOKEN"]).get(scope, "none")
    if granted != level and not (level == "read" and granted == "write"):
        raise PermissionError(f"{scope}: {level}")


def _option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def _api(store: dict[str, Any], arguments: list[str]) -> str:
    method = _option(arguments, "--method") or "GET"
    address = next(one for one in arguments if one.startswith("repos/"))
    path, _, query = address.partition("?")
    found = _answer(store, method, path.split("/")[3:], query, _option(arguments, "--field"))
    return "" if "--silent" in arguments else _filtered(found, _option(arguments, "--jq"))


def _answer(store: dict[str, Any], method: str, parts: list[str], query: str, field: str | None) -> Any:
    match method, parts:
        case "GET", ["issues", number, "comments"]:
            _need("pull-requests", "read")
            return store["comments"].get(number, [])
        case "POST", ["issues", number, "comments"]:
            _need("pull-requests", "write")
            comment = {"id": store["next"], "user": {"login": "github-actions[bot]"}, "body": _body(field)}
            store["next"] += 1
            store["comments"].setdefault(number, []).append(comment)
            return comment
        case "PATCH", ["issues", "comments", known]:
            _need("pull-requests", "write")
            comment = next(one for all_ in store["comments"].values() for one in all_ if str(one["id"]) == known)
            comment["body"] = _body(field)
            return comment
        case "GET", ["commits", sha, "pulls"]:
            _need("contents", "read")
            _need("pull-requests", "read")
            return [one for one in store["pulls"] if sha in (one["merge_commit_sha"], one["head"]["sha"])]
        case "GET", ["actions", "workflows", "hookline.yml", "runs"]:
            _need("actions", "read")
            wanted = dict(part.split("=") for part in query.split("&"))
            fits = [one for one in store["runs"]
                    if one["event"] == wanted["event"] and one["head_sha"] == wanted["head_sha"]]  # fmt: skip
            return {"workflow_runs": sorted(fits, key=lambda one: -one["id"])[: int(wanted["per_page"])]}
    raise KeyError("/".join(parts))


def _body(field: str | None) -> str:
    assert field is not None
    assert field.startswith("body=@"), field
    return Path(field.removeprefix("body=@")).read_text()


def _filtered(found: Any, text: str | None) -> str:
    if text is None:
        return json.dumps(found)
    jq = shutil.which("jq")
    if jq is None:
        return "".join(f"{one}\n" for one in FILTERS[text](found))
    done = subprocess.run([jq, "-r", text], input=json.dumps(found), capture_output=True, text=True, check=True)
    return done.stdout


def _download(store: dict[str, Any], arguments: list[str]) -> str:
    _need("actions", "read")
    run = next(one for one in store["runs"] if str(one["id"]) == arguments[2])
    kept = run["artifacts"][str(_option(arguments, "--name"))]
    shutil.copytree(kept, str(_option(arguments, "--dir")), dirs_exist_ok=True)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
