"""The edges of the process that are not files: flags and environment, as frozen values.

The only module that reads the environment. Command options take theirs from it through click (`HOOKLINE_STATE` …),
which the command line declares with `ENVIRONMENT_PREFIX`.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

ENVIRONMENT_PREFIX = "HOOKLINE"
SECRET_PREFIX = "HOOKLINE_SECRET_"  # noqa: S105 - the beginning of a variable's name
DEFAULT_CONFIG = "webhooks"
DEFAULT_STATE = ".hookline/state.db"
DEFAULT_SPOOL = ".hookline/spool"
DEFAULT_SECRETS_DIR = "/run/secrets"


def secret_environment() -> Mapping[str, str]:
    """The variables that secret references may name, and no others."""
    return {name: value for name, value in os.environ.items() if name.startswith(SECRET_PREFIX)}


def user_name() -> str:
    """Who runs this process, for the history: the CI's actor, else the login name, else the user id."""
    for variable in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"):
        if name := os.environ.get(variable):
            return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that no account has
        return str(os.getuid())


def proxy_variables() -> tuple[str | None, str]:
    """HTTPS_PROXY and NO_PROXY, or their lower case forms, which come first; for ``--proxy environment`` only."""
    proxy, bypass = (os.environ.get(name.lower()) or os.environ.get(name) for name in ("HTTPS_PROXY", "NO_PROXY"))
    return proxy, bypass or ""


def notify_socket() -> str | None:
    """Where a service manager wants to be told that the relay is ready (sd_notify(3))."""
    return os.environ.get("NOTIFY_SOCKET")


def watchdog_seconds() -> float | None:
    """How often a service manager wants to hear of this process (sd_watchdog_enabled(3)); None: not at all."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(microseconds) / 1e6 if meant and microseconds.isdecimal() and int(microseconds) else None


def no_colour() -> bool:
    """NO_COLOR is set to anything but the empty string (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))
