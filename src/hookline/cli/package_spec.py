"""The package of hookline that CI installs: parses `init --package`, and finds the package of this installation.

A package is named so that nobody can replace it: by the hash of its files, by the URL of a wheel, or by a git commit.
A name and a version alone are refused, because the owner of the name in an index would decide the code.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

_NAME = r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9,._-]+\])?"
_HASHES = r"(?P<hashes>(?:\s+--hash[= ]sha256:[0-9a-f]{64})*)"
_PINNED = re.compile(rf"{_NAME}\s*==\s*(?P<version>[0-9A-Za-z.!+_-]+){_HASHES}")
_URL = re.compile(rf"(?:{_NAME}\s*@\s*)?(?P<url>(?:git\+)?(?:https|ssh|file)://[^\s'\"\\$`<>{{}}]+){_HASHES}")
_COMMIT = re.compile(r"@[0-9a-f]{40}(?:[0-9a-f]{24})?")
_GITHUB = re.compile(
    r"git\+https://github\.com/(?P<repository>[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+?)(?:\.git)?/?@(?P<commit>[0-9a-f]{40})"
)
_FRAGMENT = re.compile(r"sha256=([0-9a-f]{64})")
_DISTRIBUTION = "hookline"
_GIT_SECONDS = 10

EXPECTED = (
    "write a requirement with hashes ('hookline==0.1.0 --hash=sha256:…'), the https URL of a wheel "
    "('https://host/hookline-0.1.0-py3-none-any.whl#sha256=…'), or a git URL at a full commit "
    "('git+https://host/hookline.git@<40 digits>')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """`requirement` is in the form of pip, without hashes. `from_source`: pip builds it from a git commit."""

    requirement: str
    hashes: tuple[str, ...] = ()
    from_source: bool = False

    @property
    def pinned(self) -> bool:
        """Whether the content cannot change: the hash of a file or a commit names it."""
        return bool(self.hashes) or self.from_source

    def requirements_file(self) -> str:
        """The text of a requirements file of pip. With hashes, pip refuses every other file."""
        hashes = "".join(f" \\\n    --hash=sha256:{one}" for one in self.hashes)
        return ("--require-hashes\n" if self.hashes else "") + f"{self.requirement}{hashes}\n"

    def github_commit(self) -> tuple[str, str] | None:
        """The repository on GitHub (``owner/name``) and the commit that the package is built from; else None."""
        found = _GITHUB.search(self.requirement) if self.from_source else None
        return None if found is None else (found["repository"], found["commit"])

    def argument(self) -> str | None:
        """The package as one argument of `pip install`; None if an argument cannot carry its hashes."""
        if not self.hashes:
            return self.requirement
        return f"{self.requirement}#sha256={self.hashes[0]}" if " @ " in self.requirement else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where this hookline comes from. `package`: CI can install it too. `local`: only this machine can."""

    package: Package | None = None
    local: Package | None = None


def parse_package(text: str) -> Package:
    """Parses SPEC of `init --package`. Raises ValueError with the forms that it accepts."""
    text = text.strip()
    if (found := _PINNED.fullmatch(text)) is not None:
        if not found["hashes"]:
            raise ValueError(
                f"{text} is not pinned: an index may serve any file under this name and version. "
                f"`pip hash FILE` prints the hash of a file; {EXPECTED}"
            )
        requirement = f"{found['name']}{found['extras'] or ''}=={found['version']}"
        return Package(requirement=requirement, hashes=_digests(found["hashes"]))
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(f"not a package that CI can install: {EXPECTED}")
    return _from_url(found["url"], f"{found['name'] or _DISTRIBUTION}{found['extras'] or ''}", found["hashes"])


def _from_url(url: str, name: str, hashes: str) -> Package:
    parts = urlsplit(url)
    if parts.password is not None or (parts.username is not None and parts.scheme != "git+ssh"):
        raise ValueError("the URL contains credentials, which would be committed: give CI access in another way")
    if parts.scheme.startswith("git+"):
        if hashes or parts.fragment or parts.query or not _COMMIT.search(parts.path[parts.path.rfind("@") :]):
            raise ValueError(f"a git URL must end with a full commit, because a branch or tag can move: {EXPECTED}")
        # Older pips take a URL without a host only alone, and find the name in the source.
        return Package(requirement=f"{name} @ {url}" if parts.netloc else url, from_source=True)
    if parts.scheme == "ssh" or not parts.path.endswith(".whl"):
        raise ValueError(f"the URL is not that of a wheel (.whl): {EXPECTED}")
    fragment = _FRAGMENT.fullmatch(parts.fragment)
    if parts.fragment and fragment is None:
        raise ValueError(f"the part after # is not sha256= and 64 digits: {EXPECTED}")
    digests = (*((fragment[1],) if fragment else ()), *_digests(hashes))
    return Package(requirement=f"{name} @ {parts._replace(fragment='').geturl()}", hashes=digests)


def _digests(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[0-9a-f]{64}", text))


def this_installation() -> Installation:
    """How this hookline was installed, from the record of its installer (PEP 610) and from its git checkout."""
    try:
        record = _origin(distribution(_DISTRIBUTION))
        url = str(record["url"])
        if (vcs := record.get("vcs_info")) is not None:
            return _installation(f"git+{_without_user(url)}@{vcs['commit_id']}")
        if (digest := record.get("archive_info", {}).get("hashes", {}).get("sha256")) is not None:
            return _installation(f"{_without_user(url)}#sha256={digest}")
        if "dir_info" in record and url.startswith("file://"):
            return _of_checkout(Path(unquote(urlsplit(url).path)))
    except (PackageNotFoundError, KeyError, TypeError, ValueError, OSError):
        pass  # the record is missing or of another form
    return Installation()


def _origin(installed: Distribution) -> dict[str, dict[str, dict[str, str]]]:
    record = json.loads(installed.read_text("direct_url.json") or "{}")
    return record if isinstance(record, dict) else {}


def _installation(spec: str) -> Installation:
    package = parse_package(spec)
    return Installation(local=package) if "file://" in spec or "ssh://" in spec else Installation(package=package)


def _of_checkout(directory: Path) -> Installation:
    """The checkout's commit in the repository that it was cloned from, or in its own if nobody else has it."""
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    if not commit:
        return Installation()
    if _git(directory, "branch", "--remotes", "--contains", commit):
        remote = _without_user(_git(directory, "remote", "get-url", "origin"))
        if remote.startswith("https://"):
            return _installation(f"git+{remote}@{commit}")
    return _installation(f"git+{directory.as_uri()}@{commit}")


def _git(directory: Path, *arguments: str) -> str:
    """The output of git, or an empty text if it fails."""
    command = ("git", "-c", "core.fsmonitor=false", "-C", str(directory), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603 - a fixed program, no shell
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_user(url: str) -> str:
    """The URL without credentials, which a clone's configuration may contain."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.scheme else url
