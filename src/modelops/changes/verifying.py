"""Everything that is claimed, checked again from the first commit: line, trust, releases, promotions, data, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from modelops.audit import Asked
from modelops.audit.answers import Trust
from modelops.audit.making import changed_code
from modelops.audit.records import Records
from modelops.errors import Location, ModelOpsError, Problem
from modelops.governance.judged import Judgement, judged_anew
from modelops.project.state import accepted_roots
from modelops.project.trust import TrustChain
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.repository.line import Line, Version
from modelops.spec.kinds import IMMUTABLE_KINDS, place
from modelops.spec.layout import MODEL, MODELS, PROMOTION_EVIDENCE, SNAPSHOT_SIGNATURE, release_of

__all__ = ["Verification", "verify"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, by its kind, and everything of it that does not hold.

    ``unsigned`` are snapshots without a signature: they were made before there was one, or where no key was, which is
    no contradiction. ``trust`` is None where the branch has no trust policy.
    """

    judgement: Judgement
    trust: TrustChain | None
    counted: Mapping[str, int]
    problems: tuple[Problem, ...]
    unsigned: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems and not self.judgement.open


def verify(workspace: Workspace) -> Verification:
    """Check the branch as it was last fetched; a shallow clone is refused, as it lacks what would be checked."""
    repository, tip = workspace.repository, workspace.tip()
    repository.require_history()
    workspace.doing("judging every commit of the branch")
    judgement = judged_anew(workspace)
    open_commits = frozenset(one.commit for one in judgement.open)
    asked = Asked(workspace.clock(), accepted_roots(workspace.state, workspace.environ), (), open_commits)
    records = Records(repository, tip, asked)
    workspace.doing("reading every version of what may not change")
    problems = [*_trust(records), *_dates(records), *_changed(repository, repository.line(tip, MODELS))]
    counted = {"commits": sum(judgement.commits.values()), "releases": 0, "promotions": 0, "snapshots": 0}
    unsigned: list[str] = []
    models = sorted({model for kind in ("Release", "Promotion") for _, model, _ in records.places(kind)})
    for at, model in enumerate(models, start=1):
        workspace.doing(f"checking releases and promotions: model {at:,} of {len(models):,}, {model}")
        releases, promotions = list(_releases(records, model)), records.promotions(model)
        counted["releases"] += len(releases)
        counted["promotions"] += len(promotions)
        problems += [problem for _, found in releases for problem in found]
        problems += [one for each in promotions for one in _unproven("promotion", each.file, each.trust)]
    for path, model, name in records.places("DataSnapshot"):
        counted["snapshots"] += 1
        signature = _signature(records, path)
        if signature is None:
            unsigned.append(f"{model}/{name}")
        else:
            problems += _unproven("snapshot", path, signature)
    return Verification(judgement, records.chain, counted, tuple(problems), tuple(unsigned))


def _trust(records: Records) -> Iterator[Problem]:
    """Yield why versions of the trust policy do not count, or why there is none."""
    if isinstance(records.trust, tuple):
        yield from records.trust
    elif records.chain is not None:
        yield from records.chain.problems


def _dates(records: Records) -> Iterator[Problem]:
    """Yield the dates of commits that contradict the order of the line, or today."""
    for one in records.dates.contradictions:
        against = f"{len(one.others)} commits that build on it are dated before it" if one.others else "it is to come"
        yield Problem("date-contradicts", f"commit {one.commit[:12]} is dated {one.date.isoformat()}, and {against}")


def _releases(records: Records, model: str) -> Iterator[tuple[str, list[Problem]]]:
    """Yield each release of a model with what does not hold of it."""
    for path, _, _ in records.places("Release", model):
        try:
            resource = records.load(path)
        except ModelOpsError as error:
            yield path, list(error.problems)
            continue
        if resource is None:
            continue
        trust, statements = records.judge_release(resource)
        found = list(_unproven("release", path, trust))
        code = changed_code(resource.spec, records.repository, statements)
        found += [code] if code is not None else []
        found += _ancestry(records, path, resource.spec.code.commit)
        yield path, found


def _ancestry(records: Records, path: str, commit: str) -> Iterator[Problem]:
    """Yield that a release was built from a commit that the branch does not contain, or that this clone has not got."""
    repository = records.repository
    if repository.find(commit) is None:
        said = f"the commit {commit[:12]} that it was built from is not in this clone"
        yield Problem("code-gone", said, Location(path), hint="fetch it, or find out when the branch was rewritten")
    elif not repository.is_ancestor(commit, records.revision):
        said = f"the commit {commit[:12]} that it was built from is not part of the branch"
        yield Problem("code-gone", said, Location(path), hint="find out when the branch was rewritten")


def _unproven(what: str, path: str, trust: Trust) -> Iterator[Problem]:
    if not trust.ok:
        why = "; ".join(trust.problems) or f"its evidence is {trust.status}"
        yield Problem("not-proven", f"the {what} is not proven: {why}", Location(path))


def _signature(records: Records, path: str) -> Trust | None:
    try:
        resource = records.load(path)
    except ModelOpsError as error:
        return Trust("refused", problems=tuple(map(str, error.problems)))
    return None if resource is None else records.judge_snapshot(resource)


def _changed(repository: Repository, line: Line) -> Iterator[Problem]:
    """Yield every file that may not change and was changed by some commit of the line, whatever it is now."""
    for path in sorted(line.files):
        kept = _kept(path)
        if kept is None:
            continue
        versions = line.versions(path)[::-1]
        for before, after in pairwise(versions):
            what = _broke(repository, path, kept, before, after)
            if what is not None:
                said = f"commit {after.commit[:12]} ({after.subject}) {what}"
                hint = f"see it: git show {after.commit[:12]} -- {path}"
                yield Problem("immutable-file", said, Location(path), hint=hint)


def _kept(path: str) -> str | None:
    """Return whether a file has to stay as it is (``same``), may only grow (``longer``), or neither."""
    if PROMOTION_EVIDENCE.parse(path) is not None:
        return "longer"
    found = place(path)
    fixed = found is not None and found[0] in IMMUTABLE_KINDS
    return "same" if fixed or SNAPSHOT_SIGNATURE.parse(path) is not None or release_of(path) is not None else None


def _broke(repository: Repository, path: str, kept: str, before: Version, after: Version) -> str | None:
    if before.blob is None or before.blob == after.blob:
        return None
    if after.blob is None:
        found = place(path)
        files = release_of(path)
        model = found[1] if found is not None else files.model if files is not None else None
        # With its whole model a file goes, too, and git still has it.
        stays = model is not None and MODEL.path(model) in repository.paths(after.commit, MODEL.path(model))
        return "removed it, and its model stayed" if stays else None
    if kept == "longer":
        was, now = repository.blob(before.blob) or b"", repository.blob(after.blob) or b""
        return None if now.startswith(was) else "changed statements that were signed before"
    return "changed it"
