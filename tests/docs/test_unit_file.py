"""docs/hookline-relay.service, and that what it says is there: in systemd, and in hookline."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.pages import ROOT
from hookline.cli.main import program
from hookline.relay.delivery.dispatcher import LAST_WRITE_SECONDS
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults

UNIT = ROOT / "docs" / "hookline-relay.service"
# Of systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5), as of
# systemd 250: those that a unit like this one may want.
KNOWN = {
    "Unit": {"Description", "Documentation", "Wants", "Requires", "After", "Before", "StartLimitIntervalSec",
             "StartLimitBurst", "RequiresMountsFor", "ConditionPathExists"},
    "Service": {
        "Type", "NotifyAccess", "ExecStart", "ExecStartPre", "ExecReload", "ExecStop", "TimeoutStartSec",
        "TimeoutStopSec", "WatchdogSec", "Restart", "RestartSec", "SuccessExitStatus", "RestartPreventExitStatus",
        "KillMode", "KillSignal", "User", "Group", "DynamicUser", "SupplementaryGroups", "UMask", "StateDirectory",
        "StateDirectoryMode", "RuntimeDirectory", "Environment", "EnvironmentFile", "LoadCredential", "LimitNOFILE",
        "MemoryMax", "MemoryHigh", "CPUQuota", "TasksMax", "ProtectSystem", "ProtectHome", "PrivateTmp",
        "PrivateDevices", "PrivateUsers", "ProtectClock", "ProtectControlGroups", "ProtectHostname",
        "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProcSubset",
        "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "LockPersonality",
        "MemoryDenyWriteExecute", "RemoveIPC", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime",
        "RestrictSUIDSGID", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "ReadOnlyPaths",
        "ReadWritePaths", "BindReadOnlyPaths", "StandardOutput", "StandardError", "Nice",
    },
    "Install": {"WantedBy"},
}  # fmt: skip
_SPANS = {"s": 1, "min": 60, "h": 3600}


def settings(text: str) -> list[tuple[str, str, str]]:
    """Section, option and value of every line; raises ValueError for a line that is neither that nor a comment."""
    found, section = [], ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        option, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"not a setting: {line}")
        found.append((section, option, value))
    return found


def values(option: str) -> list[str]:
    return [value for _, name, value in settings(UNIT.read_text()) if name == option]


def unknown(text: str) -> list[str]:
    return [f"{section}.{option}" for section, option, _ in settings(text) if option not in KNOWN.get(section, ())]


def relay_options() -> dict[str, click.Option]:
    command = program.get_command(click.Context(program), "relay")
    assert command is not None
    return {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}


def seconds(span: str) -> int:
    """``60s``, ``15min``."""
    found = re.fullmatch(r"(\d+)(s|min|h)", span)
    assert found is not None, span
    return int(found[1]) * _SPANS[found[2]]


def test_every_option_is_systemds() -> None:
    """A misspelt option is ignored by systemd with a line in a log that nobody reads."""
    assert [] == unknown(UNIT.read_text())
    assert ["Service.WatchdogSecs", "Serivce.User"] == unknown("[Service]\nWatchdogSecs=1\n[Serivce]\nUser=x")


def test_the_command_line_is_hooklines() -> None:
    """What ExecStart gives to the relay are options of it, with values that it takes."""
    (line,) = values("ExecStart")
    path, command, *arguments = shlex.split(line)
    assert ("hookline", "relay") == (Path(path).name, command)
    assert set() == {word for word in arguments if word.startswith("--")} - relay_options().keys()
    relay = program.get_command(click.Context(program), "relay")
    assert relay is not None
    context = relay.make_context("relay", [word for word in arguments if not word.startswith("$")])
    assert ("127.0.0.1", 9469) == context.params["listen"]
    assert context.params["follow"], "without it the relay ends with the file, and nothing starts it again"


def test_its_variables_are_read() -> None:
    """Each variable but that of the files, which the command line names, gives an option of the relay its value."""
    names = {value.partition("=")[0] for value in values("Environment")}
    known = {one.envvar for one in relay_options().values()}
    assert {"HOOKLINE_FILES"} == names - known
    assert "$HOOKLINE_FILES" in values("ExecStart")[0]


def test_stopping_has_the_time_that_it_takes() -> None:
    """systemd waits longer than the relay: its grace for what is read, for what is in flight, and its last writes."""
    grace = RelaySettings(defaults=Defaults()).grace_seconds
    assert f"--grace {grace:g}s" in values("ExecStart")[0]
    assert seconds(values("TimeoutStopSec")[0]) > 2 * grace + LAST_WRITE_SECONDS
    assert ["notify"] == values("Type")
    assert ["/bin/kill -HUP $MAINPID"] == values("ExecReload")


def test_it_is_locked_up() -> None:
    """What the how-to promises: no privileges, a read-only system, few families of addresses and system calls."""
    assert {"strict"} == set(values("ProtectSystem"))
    assert [""] == values("CapabilityBoundingSet") == values("AmbientCapabilities")
    assert ["yes"] == values("NoNewPrivileges")
    assert ["AF_INET AF_INET6 AF_UNIX"] == values("RestrictAddressFamilies")
    assert ["@system-service", "~@privileged @resources"] == values("SystemCallFilter")


def test_it_needs_no_file_that_may_be_missing() -> None:
    """systemd does not start a service whose credential is missing, so the example of one is a comment."""
    assert [] == values("LoadCredential")
    assert "\n#LoadCredential=" in UNIT.read_text()
    assert all(path.startswith("-") for path in values("EnvironmentFile"))


def test_systemd_takes_it(tmp_path: Path) -> None:
    """Where systemd is at hand it verifies the unit, with this hookline in place of the one that it names."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # then the tests above are what there is
        assert [] == unknown(UNIT.read_text())
        return
    here = str(Path(sys.executable).parent / "hookline")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/hookline/bin/hookline", here))
    done = subprocess.run((analyze, "verify", str(copy)), capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_line_that_is_no_setting() -> None:
    """The reader of these tests does not pass over what it does not understand."""
    with pytest.raises(ValueError, match="not a setting"):
        settings("[Service]\nUser hookline")
