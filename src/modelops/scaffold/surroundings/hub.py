"""Which repository on which GitHub a clone is of, as its remote says; nothing is asked of anybody."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelops.errors import Exit, failure
from modelops.repository.process import Git
from modelops.scaffold.site import Site

__all__ = ["PUBLIC", "Hub", "hub_of", "parse"]

PUBLIC = "github.com"
"""The host that everybody shares."""
_FORMS = (
    re.compile(r"(?:https?|git)://(?:[^@/]+@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.+)"),
    re.compile(r"ssh://(?:[^@/]+@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.+)"),
    re.compile(r"(?:[^@/]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/].*)"),
)
_PATH = re.compile(r"(?P<owner>[A-Za-z0-9][A-Za-z0-9-]{0,38})/(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?")


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on GitHub: ``host`` is github.com, a tenant of ghe.com, or an Enterprise Server."""

    host: str
    owner: str
    name: str

    @property
    def repository(self) -> str:
        """The repository, as OWNER/NAME."""
        return f"{self.owner}/{self.name}"

    @property
    def api_url(self) -> str | None:
        """Where the API is; None for github.com, where everybody knows it."""
        if self.host == PUBLIC:
            return None
        return f"https://api.{self.host}" if self.hosted else f"https://{self.host}/api/v3"

    @property
    def hosted(self) -> bool:
        """Whether GitHub itself runs it, and keeps it new."""
        return self.host == PUBLIC or self.host.endswith(".ghe.com")

    @property
    def registry(self) -> str:
        """The host of its container registry."""
        return "ghcr.io" if self.host == PUBLIC else f"containers.{self.host}"

    @property
    def address(self) -> str:
        """What people open in a browser."""
        return f"https://{self.host}/{self.repository}"


def hub_of(site: Site, environ: Mapping[str, str] = os.environ) -> Hub:
    """Return the repository that the project's remote is; what is none of GitHub's, or a fork's clone, is refused.

    An Enterprise Server is known by a host that is called after GitHub, or by GH_HOST, which GitHub's own command line
    reads too.
    """
    remote = site.home.remote
    if remote not in site.repository.remotes:
        raise failure(
            "not-on-github",
            f"{site.repository.top} has no remote {remote!r}, so nobody can say which repository on GitHub it is",
            exit=Exit.NO,
            hint="clone the repository, or: git remote add origin https://github.com/OWNER/NAME.git",
        )
    found = _of_remote(site, remote, environ)
    _refuse_fork(site, remote, found, environ)
    return found


def _of_remote(site: Site, remote: str, environ: Mapping[str, str]) -> Hub:
    spelled = _addresses(site, remote)
    for address in spelled:
        found = parse(address, environ.get("GH_HOST", ""))
        if found is not None:
            return found
    raise failure(
        "not-on-github",
        f"the remote {remote} is {_public(spelled[0]) if spelled else 'nowhere'}, which is no repository of GitHub",
        exit=Exit.NO,
        hint="for a GitHub Enterprise Server: export GH_HOST=HOST; other forges need no file of this",
    )


def _addresses(site: Site, remote: str) -> list[str]:
    """Return the addresses of a remote as they are written, then as git reads them with this machine's short forms."""
    git = Git(site.repository.top)
    lines = git.run("config", "--get-all", f"remote.{remote}.url").text.splitlines()
    return [*lines, *git.run("remote", "get-url", remote).text.splitlines()]


def _public(address: str) -> str:
    """Return an address without what may be a password in it."""
    return re.sub(r"//[^@/]+@", "//", address)


def parse(address: str, named: str = "") -> Hub | None:
    """Return the repository that an address is of, in any of git's spellings; None where it is none of GitHub's."""
    for form in _FORMS:
        match = form.fullmatch(address)
        if match is None:
            continue
        host = match["host"].lower()
        host = PUBLIC if host in ("www.github.com", "ssh.github.com") else host
        path = _PATH.fullmatch(match["path"])
        if path is None or not _is_github(host, named.lower()):
            return None
        return Hub(host, path["owner"], path["name"])
    return None


def _is_github(host: str, named: str) -> bool:
    called = {"github", "ghe"} & set(re.split(r"[.-]", host.removesuffix(".com")))
    return host in (PUBLIC, named) or host.endswith(".ghe.com") or bool(called)


def _refuse_fork(site: Site, remote: str, hub: Hub, environ: Mapping[str, str]) -> None:
    """Refuse the clone of a fork: a remote beside it is a repository of the same GitHub that is called so."""
    for other in site.repository.remotes:
        if other == remote:
            continue
        for address in _addresses(site, other):
            found = parse(address, environ.get("GH_HOST", ""))
            if found is not None and found.host == hub.host and found != hub:
                raise failure(
                    "github-fork",
                    f"this is a clone of {hub.repository} that also knows {found.repository} as {other}: a fork, in"
                    " which no release is made",
                    exit=Exit.NO,
                    hint=f"clone {found.repository} itself; if they are two projects: git remote remove {other}",
                )
