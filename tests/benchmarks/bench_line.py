"""What judging the whole branch costs: cold and warm, beside a plain ``git log`` of the same commits.

``python -m benchmarks.bench_line promotions COUNT FOLDER`` in ``tests/`` makes a branch with so many promotions, each a
merged pull request and its record; ``pushes COUNT FOLDER`` one with so many direct pushes. ``--whole``
measures, too, what it takes to believe no record.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from git_world import ADA, NOON, git, identify, nobodys_configuration
from modelops.clock import format_instant
from modelops.evidence import Signer, generate_key
from modelops.forges._stored import REF, StoredPull, StoredReview, file_of
from modelops.governance.judged import _from, course_of
from modelops.governance.judging.course import Course
from modelops.governance.judging.proof import begin
from modelops.project.workspace import Workspace
from modelops.releases import promotion_files
from modelops.repository import Repository
from modelops.scaffold.repository import trust_policy
from modelops.spec.kinds.promotion import Approval, PromotionSpec, PullRequestReference

DEPLOYMENT = (
    "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: production\nspec:\n  stable: 1\n  candidate: {}\n"
)
PLAIN = DEPLOYMENT.rpartition("  candidate")[0]
SEAT = "models/m/environments/production.yaml"
NOBODY = "0" * 64
POLICY = """apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  rules:
    - {change: promotion, approvers: [grace], minimum: 1}
    - {change: model, approvers: [grace], minimum: 1}
    - {change: policy, approvers: [grace], minimum: 1}
"""


class Import:
    """Commits written by one ``git fast-import``, whose ids are known as they are made."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            ["git", "fast-import", "--quiet", "--force"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.marks = 0

    def commit(self, ref: str, parents: list[str], files: dict[str, str], message: str, who: str) -> str:
        """Write a commit and return its mark."""
        self.marks += 1
        lines = [f"commit {ref}\nmark :{self.marks}\nauthor {who} 1772366400 +0000\ncommitter {who} 1772366400 +0000\n"]
        lines.append(f"data {len(message.encode())}\n{message}\n")
        lines += [f"{'merge' if at else 'from'} {parent}\n" for at, parent in enumerate(parents)]
        for path, text in files.items():
            lines.append(f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n")
        self.write("".join(lines))
        return f":{self.marks}"

    def id(self, mark: str) -> str:
        """Return the id of a commit."""
        self.write(f"get-mark {mark}\n")
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def begun(folder: Path) -> tuple[Path, Signer]:
    """Return a repository without a remote that has policies and a key, and the key."""
    root = folder / "r"
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    identify(root, ADA)
    key = root / ".modelops" / "keys" / "local.pem"
    public = generate_key(key)
    files = {"policies/approvals.yaml": POLICY, ".gitignore": ".modelops/\n", SEAT: PLAIN}
    files["policies/project.yaml"] = "apiVersion: modelops/v1\nkind: Project\nmetadata:\n  name: project\nspec: {}\n"
    files["policies/trust.yaml"] = trust_policy(public).decode()
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "Begin")
    return root, Signer.load(key)


def promotions(root: Path, signer: Signer, count: int) -> None:
    """Write promotions: a head, its merge, and the signed record, with the line that it speaks of."""
    made, start = Import(root), git(root, "rev-parse", "HEAD")
    tip, at, loop = start, start, "modelops <modelops@modelops.invalid>"
    stored: list[StoredPull] = []
    for number in range(1, count + 1):
        release = 2 + number % 2
        said = {SEAT: DEPLOYMENT.format(release)}
        asked = made.commit("refs/heads/side", [at], said, "Promote", str(ADA))
        merged = made.commit("refs/heads/main", [at, asked], said, "Merge", str(ADA))
        head, merge = made.id(asked), made.id(merged)
        spec = PromotionSpec(
            model="m", environment="production", release=release, artifact=f"sha256:{NOBODY}",
            evidence=f"sha256:{NOBODY}", path="pull-request", commit=merge, policy=f"sha256:{NOBODY}",
            pull_request=PullRequestReference(
                number=number, author="ada", head=head, head_tree=head, base=tip, merge=merge
            ),
            approvals=(Approval(login="grace", commit=head, submitted_at=format_instant(NOON)),),
            reason="measured", promoted_at=format_instant(NOON),
        )  # fmt: skip
        line = {"from": None, "to": merge, "proven": merge, "commits": {}, "violations": []}
        files = promotion_files(spec, number=number, signer=signer, line=line)
        text = {f"models/m/{path}": data.decode() for path, data in files.items()}
        at = made.commit("refs/heads/main", [merged], text, "Record", loop)
        tip = made.id(at)
        review = StoredReview(login="grace", state="approved", commit=head, submitted_at=format_instant(NOON), body="")
        stored.append(
            StoredPull(
                number=number, title="Promote", body="", author="ada", source="side", target="main", head=head,
                base=tip, state="merged", opened_at=format_instant(NOON), pushers=("ada",), merge=merge,
                merged_by="ada", merged_at=format_instant(NOON), reviews=(review,),
            )
        )  # fmt: skip
    pulls = {path: data.decode() for pull in stored for path, data in file_of(pull).items()}
    made.commit(REF, [], pulls, "Pulls", str(ADA))
    made.end()


def pushes(root: Path, count: int) -> None:
    """Write direct pushes, each of which has to be looked at by itself and is open then: the worst that can be."""
    made, tip = Import(root), git(root, "rev-parse", "HEAD")
    for number in range(count):
        tip = made.commit("refs/heads/main", [tip], {"docs/notes.md": f"{number}\n"}, "Note", str(ADA))
    made.end()


def measured(name: str, act: Callable[[], object], least: float) -> float:
    """Print how long something takes, beside the least that git itself takes."""
    start = time.perf_counter()
    act()
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.2f} s, {seconds / least:.1f} times git log --raw")
    return seconds


def workspace(root: Path) -> Workspace:
    return Workspace(Repository.discover(root), {}, lambda: NOON)


def main(kind: str, count: int, folder: Path) -> None:
    """Make the branch and measure."""
    root, signer = begun(folder)
    if kind == "promotions":
        promotions(root, signer, count)
    else:
        pushes(root, count)
    git(root, "reset", "-q", "--hard", "main")
    start = time.perf_counter()
    subprocess.run(
        ["git", "log", "--first-parent", "--raw", "-z", "--no-abbrev", "--diff-merges=first-parent"],
        cwd=root, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    least = time.perf_counter() - start
    steps = int(git(root, "rev-list", "--first-parent", "--count", "main"))
    print(f"{steps} commits on the line; git log --raw of them: {least:.2f} s")

    def whole() -> Iterator[object]:
        one = workspace(root)
        yield _from(one, one.tip(), Course())

    if "--whole" in sys.argv:
        measured("cold, from the first commit, no record believed", lambda: list(whole()), least)
        shutil.rmtree(root / ".modelops" / "cache", ignore_errors=True)
    one = workspace(root)
    measured("cold, to the state that records prove", lambda: begin(one.repository, one.tip()), least)
    one = workspace(root)
    measured("cold, in all", lambda: course_of(one, one.tip()), least)
    one = workspace(root)
    measured("warm, in a new process", lambda: course_of(one, one.tip()), least)
    measured("warm, in the same one", lambda: course_of(one, one.tip()), least)


if __name__ == "__main__":
    with nobodys_configuration(Path(sys.argv[3]).parent):
        main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
