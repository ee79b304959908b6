"""A stub of GitLab: a bare repository, merge requests, the API as an HTTP server, and a runner for `.gitlab-ci.yml`.

The runner supports only the features that the file of `init` uses. It evaluates `rules:`, `extends:`, `!reference`
and `needs:`, and runs the scripts with bash in a checkout. A job gets a protected variable only for the protected
branch, and a variable with an environment scope only in that environment.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from git_site import GitSite
from hookline_process import clean_environment

PROJECT, FORK = "7", "8"
BOT = {"id": 41, "username": "project_7_bot"}
PAGE_SIZE = 2
_WORD = re.compile(r'\$(\w+)|"([^"]*)"|(==|!=|&&|\|\||[()])|\s+')
_OPERATORS = {"&&": " and ", "||": " or "}


class _Loader(yaml.SafeLoader):
    pass


@dataclass(frozen=True, slots=True)
class _Reference:
    path: tuple[str, ...]


def _reference(loader: _Loader, node: yaml.SequenceNode) -> _Reference:
    return _Reference(tuple(loader.construct_sequence(node)))


_Loader.add_constructor("!reference", _reference)


def load(text: str) -> dict[str, Any]:
    """The document, with `!reference` tags as values."""
    document: dict[str, Any] = yaml.load(text, _Loader)
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    value: str
    protected: bool = False
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """`request` is the merge request of a merge request pipeline; `source_project` is where its branch is."""

    source: str
    sha: str
    request: int | None = None
    source_project: str = PROJECT
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A finished job. `code` is the exit code of its script, `log` the whole output."""

    code: int
    log: str


class GitlabStub(GitSite):
    """The project. `variables` are its CI/CD variables; the default branch `main` is protected."""

    def __init__(self, directory: Path, address: str) -> None:
        super().__init__(directory)
        self.address = address
        self.token = "glpat-0123456789"
        self.variables: dict[str, Variable] = {"HOOKLINE_GITLAB_TOKEN": Variable(value=self.token)}
        self.requests: dict[int, dict[str, Any]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.pipelines: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self._next = 100

    def number(self) -> int:
        self._next += 1
        return self._next

    def open_request(self, branch: str) -> int:
        """A merge request of a pushed branch into main; its number."""
        number = self.number()
        self.requests[number] = {
            "iid": number, "state": "opened", "source_branch": branch, "target_branch": "main",
            "target_project_id": int(PROJECT), "merge_commit_sha": None, "squash_commit_sha": None,
        }  # fmt: skip
        self.notes[number] = []
        return number

    def say(self, request: int, author: Mapping[str, Any], body: str) -> None:
        self.notes[request].append({"id": self.number(), "author": dict(author), "body": body})

    def check(self, request: int, *, source_project: str = PROJECT) -> dict[str, Job]:
        """Run the pipeline of a merge request, as for a push to its branch."""
        known = self.requests[request]
        known["sha"] = self.git("rev-parse", known["source_branch"], at=self.origin)
        return self.run(
            Pipeline(source="merge_request_event", sha=known["sha"], request=request, source_project=source_project)
        )

    def merge(self, request: int, how: str = "merge") -> str:
        """Merge into main with a merge commit, as a squash, or as a fast-forward; the new commit of main."""
        known = self.requests[request]
        place = self.clone(f"merge-{self.number()}")
        branch = f"origin/{known['source_branch']}"
        if how == "squash":
            self.git("merge", "--quiet", "--squash", branch, at=place)
            self.git("commit", "--quiet", "--message", "Squashed", at=place)
        else:
            self.git("merge", "--quiet", "--no-edit", "--no-ff" if how == "merge" else "--ff-only", branch, at=place)
        self.git("push", "--quiet", "origin", "HEAD:main", at=place)
        sha = self.git("rev-parse", "HEAD", at=place)
        ends = {"merge": "merge_commit_sha", "squash": "squash_commit_sha"}
        known.update(state="merged", **({ends[how]: sha} if how in ends else {}))
        return sha

    def push(self, sha: str) -> Job:
        """The job of a push to main."""
        jobs = self.run(Pipeline(source="push", sha=sha))
        assert {"apply"} == set(jobs)
        return jobs["apply"]

    def run(self, pipeline: Pipeline) -> dict[str, Job]:
        """Run the pipeline of the commit; the jobs that ran, by name."""
        text = self.git("show", f"{pipeline.sha}:.gitlab-ci.yml", at=self.origin)
        document = load(text)
        number = self.number()
        predefined = self._predefined(pipeline)
        defaults = {
            name: one["value"] if isinstance(one, dict) else one for name, one in document["variables"].items()
        }
        context = {**defaults, **predefined, **pipeline.inputs}
        assert any(_holds(rule["if"], context) for rule in document["workflow"]["rules"]), (
            "the pipeline is not started"
        )
        self.pipelines.append(
            {
                "id": number, "project_id": int(predefined["CI_PROJECT_ID"]), "sha": pipeline.sha,
                "ref": f"refs/merge-requests/{pipeline.request}/head" if pipeline.request else "main",
                "source": pipeline.source, "request": pipeline.request,
            }
        )  # fmt: skip
        ran: dict[str, Job] = {}
        stages = document["stages"]
        jobs = {name: one for name, one in document.items() if isinstance(one, dict) and "script" in one}
        for name, job in sorted(jobs.items(), key=lambda item: stages.index(item[1]["stage"])):
            rule = next((rule for rule in job["rules"] if _holds(rule["if"], context)), None)
            failed = any(done.code for done in ran.values())
            if rule is not None and (not failed or rule.get("when") == "always"):
                ran[name] = self._job(number, name, _resolved(document, job), context, pipeline)
        return ran

    def _predefined(self, pipeline: Pipeline) -> dict[str, str]:
        project = PROJECT if pipeline.request is None else pipeline.source_project
        found = {
            "CI": "true", "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": pipeline.source, "CI_COMMIT_SHA": pipeline.sha,
            "CI_DEFAULT_BRANCH": "main", "CI_PROJECT_ID": project, "CI_API_V4_URL": f"{self.address}/api/v4",
            "GITLAB_USER_LOGIN": "ada",
        }  # fmt: skip
        if pipeline.request is None:
            return found | {"CI_COMMIT_BRANCH": "main"}
        request = self.requests[pipeline.request]
        return found | {
            "CI_MERGE_REQUEST_IID": str(pipeline.request), "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
            "CI_MERGE_REQUEST_PROJECT_ID": PROJECT, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": pipeline.source_project,
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": request["source_branch"],
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": request["target_branch"],
        }  # fmt: skip

    def _job(self, pipeline_id: int, name: str, job: Any, context: Mapping[str, str], pipeline: Pipeline) -> Job:
        base = self.directory / f"runner-{self.number()}-{name}"
        workspace = base / "workspace"
        workspace.mkdir(parents=True)
        if job.get("variables", {}).get("GIT_STRATEGY") != "none":
            self.git("clone", "--quiet", "--no-checkout", str(self.origin), ".", at=workspace)
            self.git("checkout", "--quiet", pipeline.sha, at=workspace)
        for needed in job.get("needs", []):
            (earlier,) = (one for one in self.jobs if one["pipeline"] == pipeline_id and one["name"] == needed)
            for file, text in earlier["artifacts"].items():
                (workspace / file).write_text(text)
        given = {} if context["CI_PROJECT_ID"] != PROJECT else {
            name: one.value for name, one in self.variables.items()
            if (not one.protected or pipeline.request is None) and one.environment in (None, job.get("environment"))
        }  # fmt: skip
        environment = clean_environment(
            **{**context, **job.get("variables", {}), **given}, CI_PROJECT_DIR=str(workspace), HOME=str(base),
            PATH=self.search_path, CI_JOB_NAME=name,
        )  # fmt: skip
        # The runner joins both scripts and runs them in one shell (docs.gitlab.com, "before_script").
        script = "\n".join([*job.get("before_script", []), *job["script"]])
        done = subprocess.run(
            ("bash", "-eo", "pipefail", "-c", script), cwd=workspace, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        kept = job.get("artifacts", {"paths": []})
        paths = [*kept["paths"], *kept.get("reports", {}).values()]
        artifacts = {path: (workspace / path).read_text() for path in paths if (workspace / path).exists()}
        if done.returncode and kept.get("when") != "always":
            artifacts = {}
        self.jobs.append({"id": self.number(), "pipeline": pipeline_id, "name": name, "artifacts": artifacts})
        return Job(done.returncode, done.stdout)

    def artifact(self, job: str, path: str) -> str:
        """A file of the latest job of this name."""
        text: str = next(one for one in reversed(self.jobs) if one["name"] == job)["artifacts"][path]
        return text

    def answer(self, method: str, parts: list[str], body: Any) -> Any:
        """The API. Returns None for an address that it does not know."""
        match method, parts:
            case "GET", ["user"]:
                return BOT
            case "GET", ["projects", project, "merge_requests", number, "notes"] if project == PROJECT:
                return self.notes[int(number)]
            case "POST", ["projects", project, "merge_requests", number, "notes"] if project == PROJECT:
                self.say(int(number), BOT, body["body"])
                return self.notes[int(number)][-1]
            case "PUT", ["projects", project, "merge_requests", number, "notes", known] if project == PROJECT:
                (note,) = (one for one in self.notes[int(number)] if str(one["id"]) == known)
                note["body"] = body["body"]
                return note
            case "GET", ["projects", project, "repository", "commits", sha, "merge_requests"] if project == PROJECT:
                ends = ("sha", "merge_commit_sha", "squash_commit_sha")
                return [one for one in self.requests.values() if sha in [one.get(end) for end in ends]]
            case "GET", ["projects", project, "merge_requests", number, "pipelines"] if project == PROJECT:
                return [one for one in self.pipelines if one["request"] == int(number)]
            case "GET", ["projects", project, "pipelines", number, "jobs"] if project == PROJECT:
                return [{"id": one["id"], "name": one["name"]} for one in self.jobs if str(one["pipeline"]) == number]
            case "GET", ["projects", project, "jobs", number, "artifacts", path] if project == PROJECT:
                (job,) = (one for one in self.jobs if str(one["id"]) == number)
                return job["artifacts"].get(path)
        return None


@contextmanager
def gitlab(directory: Path) -> Iterator[GitlabStub]:
    """The project, with its API on a port of this machine."""
    sites: list[GitlabStub] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            address = urlsplit(self.path)
            parts = address.path.removeprefix("/api/v4/").split("/")
            if self.headers.get("PRIVATE-TOKEN") != sites[0].token:
                self._answer(401, b"{}", {})
                return
            found = sites[0].answer(self.command, parts, body)
            headers: dict[str, str] = {}
            if isinstance(found, list):
                page = int(parse_qs(address.query).get("page", ["1"])[0])
                more = len(found) > page * PAGE_SIZE
                found = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
                headers["x-next-page"] = str(page + 1) if more else ""
            text = found if isinstance(found, str) else json.dumps(found)
            self._answer(404 if found is None else 200, text.encode(), headers)

        do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server calls

        def _answer(self, status: int, text: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        sites.append(GitlabStub(directory, f"http://127.0.0.1:{server.server_port}"))
        yield sites[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _resolved(document: Mapping[str, Any], job: Any) -> Any:
    """The job with the keys of the one that it extends, and without references."""
    whole = {**(document[job["extends"]] if "extends" in job else {}), **job}
    for key in ("before_script", "script"):
        parts = whole.get(key, [])
        whole[key] = [line for part in parts for line in _lines(document, part)]
    return whole


def _lines(document: Mapping[str, Any], part: str | _Reference) -> list[str]:
    if isinstance(part, str):
        return [part]
    found: Any = document
    for name in part.path:
        found = found[name]
    return [line for inner in found for line in _lines(document, inner)]


def _holds(condition: str, context: Mapping[str, str]) -> bool:
    """Evaluate a condition of `rules:if`: variables, texts, comparisons, `&&`, `||`."""
    python, position = "", 0
    while position < len(condition):
        found = _WORD.match(condition, position)
        assert found is not None, f"the runner cannot read {condition[position:]!r}"
        variable, text, operator = found.groups()
        if variable is not None:
            python += repr(context.get(variable))
        elif text is not None:
            python += repr(text)
        elif operator is not None:
            python += _OPERATORS.get(operator, operator)
        position = found.end()
    return bool(eval(python, {"__builtins__": {}}))
