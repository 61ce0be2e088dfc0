"""A GitHub App: its proof, its tokens, the commits that GitHub makes for it, and every way in which that fails."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_world import ADA, NOON, World, git
from github_git import Installed, Rules, protect
from github_world import REPOSITORY, FakeGitHub, github
from modelops.errors import Exit, ModelOpsError
from modelops.evidence import Signer, generate_key
from modelops.evidence.commits import inscribed, signed_by
from modelops.forges import Opening
from modelops.forges.github import GitHub, Params, credentials, open, session
from modelops.forges.github.credentials import App, Token
from modelops.forges.github.permissions import NEEDED, PERMISSIONS
from modelops.repository import Landing, Repository


@pytest.fixture(scope="module")
def installed() -> Installed:
    """One key for all tests: making it is slow."""
    return Installed()


@dataclass
class Scene:
    """A served repository, a clone, and the App's key."""

    served: FakeGitHub
    world: World
    clone: Repository

    def forge(self, environ: Mapping[str, str] | None = None, url: str | None = None) -> GitHub:
        given = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": self.served.app.pem}
        params = Params(repository=REPOSITORY, api_url=url or self.served.url)
        return open(params, Opening(self.clone, "main", lambda: NOON, given if environ is None else environ))

    def commit(self, path: str = "one", data: bytes | None = b"1\n") -> tuple[str, str]:
        """Return the tip of main and a commit on it that nobody has yet."""
        self.clone.fetch()
        tip = self.clone.tip("main")
        return tip, self.clone.commit_files(tip, {path: data}, f"Put {path}\n\nWhy.\n", ADA, NOON)

    def main(self) -> str:
        return git(self.world.remote, "rev-parse", "main")

    def count(self, method: str, part: str) -> int:
        return sum(each == method and part in path for each, path in self.served.seen)


@pytest.fixture
def scene(world: World, monkeypatch: pytest.MonkeyPatch, installed: Installed) -> Iterator[Scene]:
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(credentials, "PAUSES", (0.01, 0.01, 0.01))
    with github(world.remote) as served:
        fresh = Installed(installed.key)
        served.__dict__["app"] = fresh
        yield Scene(served, world, world.clone("ada"))


def _code(forge: GitHub) -> tuple[str, Exit, str]:
    with pytest.raises(ModelOpsError) as caught:
        forge.find()
    said = f"{caught.value.first}"
    assert "BEGIN" not in said
    assert "ghs_" not in said
    return caught.value.first.code, caught.value.exit, said


def test_an_app_gets_a_token_for_what_it_needs_and_no_more(scene: Scene) -> None:
    """One installation, one token of this repository with the named permissions, used again until it ends."""
    forge = scene.forge()
    forge.find()
    forge.find()
    assert list(scene.served.app.tokens.values()) == [dict(NEEDED)]
    assert scene.served.seen.count(("POST", "/app/installations/7/access_tokens")) == 1
    assert forge.whoami().login == "modelops[bot]"


def test_the_key_may_be_in_one_line_or_in_base64(scene: Scene) -> None:
    """A secret that lost its line ends, or was encoded to keep them, is the same key."""
    pem = scene.served.app.pem
    for text in (pem.replace("\n", "\\n"), base64.b64encode(pem.encode()).decode(), f"\n{pem}\n"):
        scene.forge({"MODELOPS_APP_ID": " 4711 ", "MODELOPS_APP_PRIVATE_KEY": text}).find()


@pytest.mark.parametrize("text", ["nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"])
def test_what_is_no_key_is_said_without_showing_it(scene: Scene, text: str) -> None:
    """A key that cannot be read is named by its variable."""
    code, exit, said = _code_of_open(scene, text)
    assert (code, exit) == ("app-key-invalid", Exit.WORLD)
    assert "MODELOPS_APP_PRIVATE_KEY" in said
    assert text not in said


def _code_of_open(scene: Scene, text: str) -> tuple[str, Exit, str]:
    with pytest.raises(ModelOpsError) as caught:
        scene.forge({"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": text}).find()
    return caught.value.first.code, caught.value.exit, str(caught.value.first)


def test_another_apps_key_is_refused_in_words(scene: Scene) -> None:
    """GitHub does not accept the proof: which two variables have to fit is said."""
    environ = {"MODELOPS_APP_ID": "4712", "MODELOPS_APP_PRIVATE_KEY": scene.served.app.pem}
    code, exit, said = _code(scene.forge(environ))
    assert (code, exit) == ("app-refused", Exit.WORLD)
    assert "MODELOPS_APP_ID" in said


def test_an_app_that_is_not_installed_or_suspended_says_so(scene: Scene) -> None:
    """Both are an owner's to mend, and nothing else is tried."""
    scene.served.app.suspended = True
    assert _code(scene.forge())[0] == "app-suspended"
    scene.served.app.suspended = False
    scene.served.name = "acme/renamed"
    assert _code(scene.forge())[0] == "app-not-installed"


def test_an_app_on_a_renamed_repository_asks_for_it_by_its_number(scene: Scene) -> None:
    """GitHub sends the old name to a number; a token for the old name there is none."""
    scene.served.name, scene.served.moved = "acme/renamed", True
    scene.forge().find()
    assert len(scene.served.app.tokens) == 1


@pytest.mark.parametrize(("header", "said"), [("3600", "until"), ("0", None)])
def test_a_limit_of_the_app_itself_is_waited_for_or_told(scene: Scene, header: str, said: str | None) -> None:
    """An hour is told at once, after one request, with the time; a moment is waited for."""
    limit = b'{"message": "You have exceeded a secondary rate limit"}'
    scene.served.fault = lambda method, path, number: (
        (403, {"Retry-After": header}, limit) if path.endswith("/access_tokens") and (said or number == 0) else None
    )
    if said is None:
        scene.forge().find()
    else:
        code, exit, told = _code(scene.forge())
        assert (code, exit, said in told) == ("forge-limited", Exit.WORLD, True)
    assert scene.count("POST", "/access_tokens") == (1 if said else 2)


def test_a_permission_that_the_installation_lacks_is_named(scene: Scene) -> None:
    """What the App was not given is named before any token is asked for."""
    scene.served.app.permissions = {**scene.served.app.permissions, "contents": "read"}
    del scene.served.app.permissions["checks"]
    code, _, said = _code(scene.forge())
    assert code == "app-permission-missing"
    assert "checks: write, contents: write" in said
    assert scene.served.app.tokens == {}


@pytest.mark.parametrize("ahead", [-4000.0, -90.0, 90.0, 4000.0])
def test_a_clock_that_is_wrong_does_not_matter(scene: Scene, ahead: float) -> None:
    """GitHub's answer says what time it is there, and the proof is made anew by that."""
    scene.served.app.ahead = ahead
    scene.forge().find()
    assert len(scene.served.app.tokens) == 1


def test_a_token_that_ends_between_two_calls_is_replaced(scene: Scene) -> None:
    """Taken back by GitHub: another is minted and the call is made once; shortly before its end: without a refusal."""
    forge = scene.forge()
    forge.find()
    scene.served.app.tokens.clear()
    tip, commit = scene.commit()
    there = forge.put(tip, commit)
    assert there == scene.main()
    now = [time.time()]
    app = App("4711", scene.served.app.pem, scene.served.url, REPOSITORY, now=lambda: now[0])
    first = app.token()
    assert app.token() == first
    now[0] += 3400
    scene.served.app.ahead = 3400
    assert app.token() != first


def test_a_token_that_is_never_accepted_is_not_asked_for_for_ever(scene: Scene) -> None:
    """A second refusal in a row is told; a token from the environment is never exchanged."""
    forge = scene.forge()
    forge.find()
    scene.served.fault = lambda method, path, number: (401, {}, b'{"message": "Bad credentials"}')
    assert _code(forge)[0] in ("forge-unauthorized", "app-refused")
    assert len(scene.served.seen) < 12


def test_nothing_shows_a_key_or_a_token(scene: Scene) -> None:
    """What holds one does not show it."""
    app = App("4711", scene.served.app.pem, scene.served.url, REPOSITORY)
    token = app.token()
    for shown in (repr(app), repr(Token("GH_TOKEN", token)), str(Token("GH_TOKEN", token))):
        assert token not in shown
        assert "BEGIN" not in shown


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "protect-main-on-github.md"


def test_the_page_says_what_each_permission_is_for() -> None:
    """The table of the page is the one that the App, the manifest and every refusal go by."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("| permission | for |\n| --- | --- |\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines()]
    assert rows == [[f"`{name}: {one.level}`", one.purpose] for name, one in sorted(PERMISSIONS.items())]


# --- commits


def test_the_commit_is_githubs_and_carries_our_signature(scene: Scene) -> None:
    """GitHub signs it as the App's; our key's signature, of tree, parent and message, is in the message."""
    path = Path(scene.clone.root) / ".modelops" / "key.pem"
    generate_key(path)
    signer = Signer.load(path)
    forge = scene.forge()
    there = scene.clone.land(
        "main",
        lambda tip: Landing({"two words/ä.txt": b"1\n", "bytes": b"\xff\x00"}, "Put\n\nWhy.\n"),
        ADA,
        NOON,
        inscribe=lambda tree, parents, message: inscribed(tree, parents, message, signer),
        put=forge.put,
    )
    assert there == scene.main()
    data = scene.clone.blobs([there], 1 << 20)[there]
    assert isinstance(data, bytes)
    assert b"gpgsig -----BEGIN PGP SIGNATURE-----" in data
    assert signed_by(data, [signer.public_pem]) == signer.public_pem
    for old, new in ((b"Why.", b"Who?"), (b"parent ", b"parent 0000000000000000000000000000000000000000\nparent ")):
        assert signed_by(data.replace(old, new), [signer.public_pem]) is None
    assert scene.clone.read(there, "bytes") == b"\xff\x00"
    author = git(scene.world.remote, "show", "-s", "--format=%an %cn", "main")
    assert author == "modelops[bot] GitHub"


@pytest.mark.parametrize("path", ["/git/trees", "/git/commits", "/git/refs/heads/main"])
@pytest.mark.parametrize("fault", ["lost", "drop", 502])
def test_an_answer_that_is_lost_in_the_middle_ends_once(scene: Scene, path: str, fault: str | int) -> None:
    """Done or not done, told or not told: main has the commit once."""
    answer = (fault, {}, b"") if isinstance(fault, int) else fault
    scene.served.fault = lambda method, at, number: answer if at.endswith(path) and number == 0 else None
    tip, commit = scene.commit()
    there = scene.forge().put(tip, commit)
    assert there == scene.main()
    assert git(scene.world.remote, "rev-list", "--count", f"{tip}..main") == "1"


def test_main_that_moved_is_left_as_it_is(scene: Scene) -> None:
    """Who is late is told, and asked again by the caller on the new tip; two of them both land."""
    tip, commit = scene.commit()
    forge = scene.forge()
    assert forge.put(*scene.commit("first")) is not None
    assert forge.put(tip, commit) is None
    landed = scene.clone.land("main", lambda tip: Landing({"late": b"1"}, "Late\n"), ADA, NOON, put=forge.put)
    assert landed == scene.main()
    assert git(scene.world.remote, "ls-tree", "--name-only", "main").split() >= ["first", "late"]


def test_a_checkout_that_rewound_the_branch_does_not_matter(scene: Scene) -> None:
    """As a job's checkout does it: what the clone believes to be main is older, and the commit is on the true tip."""
    tip, commit = scene.commit("first")
    forge = scene.forge()
    first = forge.put(tip, commit)
    git(scene.clone.root, "update-ref", "refs/remotes/origin/main", tip)
    landed = scene.clone.land("main", lambda tip: Landing({"second": b"1"}, "Second\n"), ADA, NOON, put=forge.put)
    assert (landed, git(scene.world.remote, "rev-parse", "main^")) == (scene.main(), first)


def test_a_lost_answer_with_more_on_top_is_found(scene: Scene) -> None:
    """The branch moved, the answer was lost and somebody else was there since: it is there, and not made again."""
    tip, commit = scene.commit()
    seen: list[str] = []

    def fault(method: str, path: str, number: int) -> str | None:
        if method != "PATCH" or number > 1:
            return None
        if number == 1:
            top = scene.main()
            seen.append(top)
            tree = git(scene.world.remote, "rev-parse", f"{top}^{{tree}}")
            more = git(scene.world.remote, "-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", tree, "-p", top,
                       "-m", "more")  # fmt: skip
            git(scene.world.remote, "update-ref", "refs/heads/main", more)
            return None
        return "lost"

    scene.served.fault = fault
    there = scene.forge().put(tip, commit)
    assert [there] == seen


def test_a_protected_main_is_told_from_a_moved_one(scene: Scene) -> None:
    """Rules that refuse it are `branch-protected`, by the API and by a push; nothing was moved."""
    protect(scene.served, Rules())
    tip, commit = scene.commit()
    for environ in (None, {"GITHUB_TOKEN": "ghs_of_job"}, {"GH_TOKEN": "token-of-ada"}):
        with pytest.raises(ModelOpsError) as caught:
            scene.forge(environ).put(tip, commit)
        assert caught.value.first.code == "branch-protected"
    assert scene.main() == tip
    scene.served.rules = Rules(bypass=frozenset({"modelops[bot]"}))
    assert scene.forge().put(tip, commit) == scene.main()


def test_a_tree_that_github_makes_otherwise_is_not_committed(scene: Scene) -> None:
    """What is committed is what was judged: another tree stops before anything points to it."""
    tip, commit = scene.commit()
    other = b'{"sha": "1111111111111111111111111111111111111111"}'
    scene.served.fault = lambda method, path, number: (201, {}, other) if path.endswith("/git/trees") else None
    with pytest.raises(ModelOpsError) as caught:
        scene.forge().put(tip, commit)
    assert caught.value.first.code == "commit-altered"
    assert scene.main() == tip
    assert scene.count("POST", "/git/commits") == 0


def test_the_permission_to_write_is_named(scene: Scene) -> None:
    """A token that may not write contents says which permission it needs."""
    forge = scene.forge()
    forge.find()
    for given in scene.served.app.tokens.values():
        given["contents"] = "read"
    with pytest.raises(ModelOpsError) as caught:
        forge.put(*scene.commit())
    assert caught.value.first.code == "forge-forbidden"
    assert "contents=write" in str(caught.value.first)


def test_a_job_that_only_reads_may_have_another_way_to_push(scene: Scene) -> None:
    """Where a job's token may not write by the API, git is tried with what the clone has, such as a deploy key."""
    refused = b'{"message": "Resource not accessible by integration"}'
    scene.served.fault = lambda method, path, number: (403, {}, refused) if path.endswith("/git/trees") else None
    tip, commit = scene.commit()
    assert scene.forge({"GITHUB_TOKEN": "ghs_of_job"}).put(tip, commit) == commit == scene.main()


def test_an_enterprise_server_is_asked_at_its_own_place(scene: Scene) -> None:
    """The App's calls go below the path of the API, as all others."""
    forge = scene.forge(url=scene.served.url + "/api/v3")
    assert _code(forge)[0] in ("app-not-installed", "forge-absent", "app-refused")
    assert all(path.startswith("/api/v3/") for _, path in scene.served.seen)
