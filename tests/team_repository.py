"""A team's repository on a git host, as `init` makes it: two webhooks are on main and applied."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

from git_site import GitSite
from hookline_process import clean_environment
from quick_hookline import quick_hookline

# The first line of the comment with a plan.
MARKER: Final = "<!-- hookline:plan"
PACKAGE: Final = f"hookline==0.1.0 --hash=sha256:{'0' * 64}"

_WEBHOOK: Final = """\
version: 1
organization: {organization}
sandbox: prod
name: Transactional feedback

description: None yet

url: https://hooks.acme.example/feedback

channels: [email]
campaigns: all
"""


class TeamRepository:
    """A clone of the repository in `work`, whose commands write the state `location`."""

    def __init__(self, host: GitSite, location: str, *init_options: str) -> None:
        self._host = host
        self._location = location
        self.work = host.clone("work")
        self.hookline("init", *init_options, ".")
        (self.work / "webhooks/example/prod.yaml").unlink()
        for organization in ("alpha", "beta"):
            self.path(organization).parent.mkdir(parents=True)
            self.path(organization).write_text(_WEBHOOK.format(organization=organization))
        self.commit("main", "Begin")
        self.hookline("apply", "--auto-approve")

    def path(self, organization: str) -> Path:
        return self.work / "webhooks" / organization / "prod.yaml"

    def hookline(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            (quick_hookline(), *arguments), cwd=self.work, env=clean_environment(HOOKLINE_STATE=self._location),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert code == done.returncode, (done.stdout, done.stderr)
        return done.stdout

    def commit(self, branch: str, message: str) -> str:
        """Commit everything and push it. Returns the commit."""
        self._host.git("add", "--all", at=self.work)
        self._host.git("commit", "--quiet", "--message", message, at=self.work)
        self._host.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", at=self.work)
        return self._host.git("rev-parse", "HEAD", at=self.work)

    def change(self, organization: str, old: str, new: str) -> None:
        """Change the file of one webhook."""
        text = self.path(organization).read_text()
        assert old in text
        self.path(organization).write_text(text.replace(old, new))

    def push_change(self, branch: str, organization: str, old: str, new: str) -> None:
        """Push a branch that changes one webhook, from main as it is now."""
        self._host.git("fetch", "--quiet", "origin", at=self.work)
        self._host.git("checkout", "--quiet", "--detach", "origin/main", at=self.work)
        self.change(organization, old, new)
        self.commit(branch, f"Change {organization}")

    def history(self) -> list[dict[str, object]]:
        """Every apply, the oldest first."""
        found: list[dict[str, object]] = json.loads(self.hookline("history", "--format", "json"))
        return sorted(found, key=lambda entry: str(entry["at"]))
