"""Reads the environment. No other module does.

Command options take their values from variables such as `HOOKLINE_STATE` through click; the command line declares
them with `ENVIRONMENT_PREFIX`.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass

ENVIRONMENT_PREFIX = "HOOKLINE"
# They lead git to another repository or history than that of its directory (git rev-parse --local-env-vars).
_GIT_VARIABLES = frozenset(
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_REPLACE_REF_BASE"),
        *("GIT_PREFIX", "GIT_INTERNAL_SUPER_PREFIX", "GIT_IMPLICIT_WORK_TREE"),
    ]
)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The person whom a CI system names as the one who started the job.
_CI_USERS = (
    *("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID", "BUILD_REQUESTEDFOR", "BUILDKITE_BUILD_CREATOR"),
    "CIRCLE_USERNAME",
)


@dataclass(frozen=True, slots=True)
class _CiSystem:
    """Variables of the jobs of a CI system.

    `marker` is set in all of them, `tag` only in those for a tag. `commit` is the commit of the job. `branches` have
    its branch, the source branch of a pull request first; each has the prefix that a branch has there.
    """

    marker: str
    commit: str
    tag: str
    branches: tuple[tuple[str, str], ...]


_HEADS = "refs/heads/"
_CI_SYSTEMS = (
    _CiSystem("GITHUB_ACTIONS", "GITHUB_SHA", "", (("GITHUB_HEAD_REF", ""), ("GITHUB_REF", _HEADS))),
    _CiSystem(
        *("GITLAB_CI", "CI_COMMIT_SHA", "CI_COMMIT_TAG"),
        (("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", ""), ("CI_COMMIT_BRANCH", "")),
    ),
    _CiSystem(
        *("TF_BUILD", "BUILD_SOURCEVERSION", ""),
        (("SYSTEM_PULLREQUEST_SOURCEBRANCH", _HEADS), ("BUILD_SOURCEBRANCH", _HEADS)),
    ),
    _CiSystem("BITBUCKET_BUILD_NUMBER", "BITBUCKET_COMMIT", "BITBUCKET_TAG", (("BITBUCKET_BRANCH", ""),)),
    _CiSystem("BUILDKITE", "BUILDKITE_COMMIT", "BUILDKITE_TAG", (("BUILDKITE_BRANCH", ""),)),
    _CiSystem("CIRCLECI", "CIRCLE_SHA1", "CIRCLE_TAG", (("CIRCLE_BRANCH", ""),)),
    _CiSystem(
        *("JENKINS_URL", "GIT_COMMIT", "TAG_NAME"),
        (("CHANGE_BRANCH", ""), ("BRANCH_NAME", ""), ("GIT_BRANCH", "origin/")),
    ),
)
SECRET_PREFIX = "HOOKLINE_SECRET_"  # noqa: S105 - the prefix of a variable's name
DEFAULT_CONFIG = "webhooks"
DEFAULT_STATE = ".hookline/state.db"
DEFAULT_SPOOL = ".hookline/spool"
DEFAULT_SECRETS_DIR = "/run/secrets"


def is_empty_variable(name: str) -> bool:
    """Whether a variable is set to an empty text, as by a script that did not find its value."""
    return os.environ.get(name) == ""


def secret_environment() -> Mapping[str, str]:
    """Returns the variables that secret references may name, and no others."""
    return {name: value for name, value in os.environ.items() if name.startswith(SECRET_PREFIX)}


def environment_without_settings() -> dict[str, str]:
    """Returns the environment for a process that no setting of hookline shall reach."""
    return {name: value for name, value in os.environ.items() if not name.startswith(f"{ENVIRONMENT_PREFIX}_")}


def variable_names(prefix: str) -> list[str]:
    """Returns the names of the variables that begin with `prefix`, sorted."""
    return sorted(name for name in os.environ if name.startswith(prefix))


def user_name() -> str:
    """Returns the user for the history: the actor in CI, otherwise the login name, otherwise the user id."""
    for variable in (*_CI_USERS, "USER", "LOGNAME"):
        if name := os.environ.get(variable):
            return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user id without an account
        return str(os.getuid())


def ci_branch(commit: str) -> str | None:
    """Returns the branch that the CI job runs for; None if the job is for another commit, for a tag, or no CI job.

    CI checks out a commit and no branch, so git cannot name the branch. For a pull request it is the source branch.
    """
    system = next((one for one in _CI_SYSTEMS if os.environ.get(one.marker)), None)
    if system is None or os.environ.get(system.tag):
        return None
    built = os.environ.get(system.commit, "")
    if _COMMIT.fullmatch(built) and built != commit:
        return None  # this repository is not the one that the job was started for
    for variable, prefix in system.branches:
        name = os.environ.get(variable, "")
        if name.startswith(prefix) and (branch := name.removeprefix(prefix)):
            return branch
    return None


def git_environment() -> Mapping[str, str]:
    """Returns the environment for git: without the variables that name another repository, and in English."""
    return {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES} | {"LC_ALL": "C"}


def proxy_variables() -> tuple[str | None, str]:
    """Returns HTTPS_PROXY and NO_PROXY for ``--proxy environment``. Lower-case variables have precedence."""
    proxy, bypass = (os.environ.get(name.lower()) or os.environ.get(name) for name in ("HTTPS_PROXY", "NO_PROXY"))
    return proxy, bypass or ""


def notify_socket() -> str | None:
    """Returns the socket of a service manager that waits for the relay to be ready (sd_notify(3))."""
    return os.environ.get("NOTIFY_SOCKET")


def watchdog_seconds() -> float | None:
    """Returns the watchdog interval of the service manager (sd_watchdog_enabled(3)), or None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    for_this_process = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(microseconds) / 1e6 if for_this_process and microseconds.isdecimal() and int(microseconds) else None


def log_format() -> str | None:
    """Returns the format of the relay's log if the environment gives it. Wrong options are reported in it too."""
    return os.environ.get(f"{ENVIRONMENT_PREFIX}_RELAY_LOG_FORMAT")


def no_colour() -> bool:
    """Whether NO_COLOR is set and not empty (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


# Variables that CI systems set for their jobs. Most set CI too; Jenkins, Azure Pipelines and TeamCity do not.
CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "BUILDKITE")


def in_ci() -> bool:
    """Whether the process is part of a CI job, whose runner reads the output as its log."""
    return any(os.environ.get(name, "").lower() not in ("", "0", "false", "no") for name in CI_VARIABLES)


def repository_url() -> str | None:
    """Returns the address of a file of the CI job's repository, with {commit}, {file} and {line}; None elsewhere."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        return f"{server}/{repository}/blob/{{commit}}/{{file}}#L{{line}}"
    if project := os.environ.get("CI_PROJECT_URL"):  # GitLab
        return f"{project}/-/blob/{{commit}}/{{file}}#L{{line}}"
    return None
