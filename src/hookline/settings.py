"""Reads the environment. No other module does.

Command options take their values from variables such as `HOOKLINE_STATE` through click; the command line declares
them with `ENVIRONMENT_PREFIX`.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

ENVIRONMENT_PREFIX = "HOOKLINE"
# They lead git to another repository or history than that of its directory (git rev-parse --local-env-vars).
_GIT_VARIABLES = frozenset(
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_REPLACE_REF_BASE"),
        *("GIT_PREFIX", "GIT_INTERNAL_SUPER_PREFIX", "GIT_IMPLICIT_WORK_TREE"),
    ]
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


def variable_names(prefix: str) -> list[str]:
    """Returns the names of the variables that begin with `prefix`, sorted."""
    return sorted(name for name in os.environ if name.startswith(prefix))


def user_name() -> str:
    """Returns the user for the history: the actor in CI, otherwise the login name, otherwise the user id."""
    for variable in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"):
        if name := os.environ.get(variable):
            return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user id without an account
        return str(os.getuid())


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
