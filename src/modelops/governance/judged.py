"""A branch with what counts of it: the graph in which what nobody approved is held, and what is signed of the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelops.audit import Unapproved
from modelops.errors import Location, ModelOpsError, Problem
from modelops.forges import PullRequest
from modelops.governance.approvals import models_at
from modelops.governance.judging import line
from modelops.governance.judging.course import Cleared, Course, Violation
from modelops.governance.judging.facts import signed_step
from modelops.governance.judging.line import judge_steps
from modelops.governance.judging.merges import clears
from modelops.governance.judging.proof import begin, recall, remember
from modelops.project.standing import AS_IT_IS, NOT_JUDGED, Standing
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.repository.merging import CONFLICT
from modelops.repository.steps import Step
from modelops.spec.graph import Graph
from modelops.spec.kinds import place
from modelops.spec.layout import (
    APPROVALS,
    MODELS,
    PROJECT,
    TRUST,
    TRUST_SIGNATURES,
    governs_all,
    model_folder,
    promoted,
)
from modelops.spec.load import load_resource

__all__ = [
    "Judgement",
    "Stretch",
    "by_approved_project",
    "cleared_by",
    "course_of",
    "desired",
    "graph_at",
    "judged_anew",
    "judgement",
    "known",
    "oversteps",
    "policies_at",
    "pushed_paths",
    "signed_by_loop",
    "signed_fact",
    "stretch",
    "unapproved",
    "unapproved_commits",
]

_TRUST_FILES = (TRUST.path(), TRUST_SIGNATURES)
_TOLD = 3
"""How many violations are told one by one for each thing that they stop."""


def known(workspace: Workspace) -> tuple[str, Graph]:
    """Return the tip of the project's branch as last fetched or landed, with the graph of what counts there."""
    tip = workspace.tip()
    return tip, graph_at(workspace, tip)


def desired(workspace: Workspace) -> tuple[str, Graph]:
    """Fetch, and return the tip of the project's branch with the graph of what counts there."""
    workspace.fetch()
    return known(workspace)


def graph_at(workspace: Workspace, tip: str) -> Graph:
    """Return the graph of a tip of the branch in which files stand as they were approved."""
    course_of(workspace, tip)
    return workspace.graph(tip)


def course_of(workspace: Workspace, tip: str) -> Course:
    """Judge the branch up to a tip, and let the workspace hold what does not count there.

    A clone that lacks a part of history cannot judge, and says so where history is needed.
    """
    if workspace.repository.is_shallow:
        return Course(tip)
    last: tuple[str, Course] | None = workspace.once(("course", "last"), lambda: None)
    if last is not None and last[0] == tip:
        return last[1]
    course = _judge(workspace, tip)
    if all(one.code != NOT_JUDGED for one in course.open):
        # Only the newest is kept: of a long branch it is not small.
        workspace.found(("course", "last"), (tip, course))
    workspace.hold(tip, _standing(workspace, tip, course))
    return course


def oversteps(workspace: Workspace, tip: str, commit: str) -> str | None:
    """Return why a commit that is made on the tip of the branch may not be put there as the loop's, None if it may."""
    if workspace.repository.is_shallow:
        return None
    (step,) = workspace.repository.steps(commit, tip)
    return line.oversteps(workspace, course_of(workspace, tip).copy(), step)


def signed_fact(workspace: Workspace, base: str, head: str, merge: str | None = None) -> Step | None:
    """Return the one commit of a head if the loop signed it, and merging it into a base counts by that.

    ``base`` is the tip of the branch, or what a merge queue tries it on: then it is merged now. Where it was, as
    ``merge``, it is the parent of that.
    """
    repository = workspace.repository
    if repository.is_shallow:
        return None
    signed = signed_step(repository, base, head)
    if signed is None:
        return None
    try:
        steps = repository.steps(merge or repository.merged(base, head), base)
    except ModelOpsError as error:
        if error.first.code != CONFLICT:
            raise
        return None
    if len(steps) != 1 or steps[0].parents[:1] != (base,):
        return None
    at = workspace.clock() if merge is None else repository.commit(merge).time
    found = line.brings_fact(workspace, course_of(workspace, base).copy(), steps[0], head, at)
    return signed if found.counts else None


def signed_by_loop(workspace: Workspace, tip: str, head: str) -> bool:
    """Tell whether the loop signed a commit, by the keys that count at the tip of the branch, whatever it says."""
    repository = workspace.repository
    if repository.is_shallow or repository.find(head) is None:
        return False
    parents = repository.commit(tip).parents
    if not parents:
        return False
    step = repository.steps(tip, parents[0])[-1]
    return line.signed_by_loop(workspace, course_of(workspace, tip).copy(), step, head)


def by_approved_project(workspace: Workspace) -> None:
    """Let the Project and the trust of the tip count as they were approved, and every other file as it is.

    They say where builds are kept, whose are taken and by which forge people are asked, also for code that nobody
    approved yet.
    """
    tip = workspace.repository.find_tip(workspace.branch)
    if tip is None or workspace.dirty or workspace.repository.is_shallow:
        return
    course, path = _judge(workspace, tip), PROJECT.path()
    workspace.hold(tip, Standing(unapproved=_of_trust(course)))
    if course.astray_at(path) is not None:
        workspace.take_project(tip, course.held[path].base[1] or None)


def _judge(workspace: Workspace, tip: str) -> Course:
    before: Course | None = workspace.once(("course", workspace.branch), lambda: recall(workspace))
    course = _from(workspace, tip, before.copy()) if before is not None else None
    if course is None:
        course = _from(workspace, tip, begin(workspace.repository, tip, workspace.clock()))
    assert course is not None, "the state was found on the line"
    return course


def _from(workspace: Workspace, tip: str, course: Course, *, keep: bool = True) -> Course | None:
    """Take a course to a tip and keep it as far as it is settled; None where the tip's line does not pass it."""
    if course.tip == tip:
        return course
    if course.tip is not None and workspace.repository.find(course.tip) is None:
        return None
    steps = workspace.repository.steps(tip, course.tip)
    if course.tip is not None and (not steps or steps[0].parents[:1] != (course.tip,)):
        return None
    settled = judge_steps(workspace, course, steps)
    if settled.tip is not None and keep:
        remember(workspace, settled)
        workspace.found(("course", workspace.branch), settled)
    return course


# --- what it stops


def unapproved(workspace: Workspace) -> tuple[Violation, ...]:
    """Return every open violation of the branch as it is known, the oldest first."""
    return tuple(course_of(workspace, workspace.tip()).open)


def _of_trust(course: Course) -> frozenset[str]:
    """Return the open violations that touched the trust policy, whatever came of it since."""
    return frozenset(one.commit for one in course.open if not one.files.keys().isdisjoint(_TRUST_FILES))


def _standing(workspace: Workspace, tip: str, course: Course) -> Standing:
    astray = course.astray
    unapproved = _of_trust(course)
    if not astray:
        return Standing(unapproved=unapproved) if unapproved else AS_IT_IS
    repository = workspace.repository
    blobs = {path: held.base[1] or None for path, held in astray.items()}
    models = models_at(repository, tip) | {
        found[1] for path in astray if (found := place(path)) is not None and found[1] is not None
    }
    groups: dict[tuple[str, str], list[str]] = {}
    for path in sorted(astray):
        groups.setdefault(_stops(path, models), []).append(path)
    problems: dict[str, tuple[Problem, ...]] = {}
    for stops, paths in groups.items():
        if stops == ("", ""):
            continue
        concerned = [one for one in course.in_force if not one.files.keys().isdisjoint(paths)]
        wrong = [problem for path in paths[:_TOLD] for problem in _wrong(repository, tip, path)]
        problems[paths[0]] = (*wrong, *_problems(workspace, concerned, paths))
    return Standing(blobs, problems, unapproved)


def _stops(path: str, models: Iterable[str]) -> tuple[str, str]:
    """Return what a file stops: (model, environment), (model, ""), ("", the file that others need) or ("", "")."""
    found = place(path)
    if found is not None and found[1] is None:
        return "", path
    if found is not None and found[0] == "Deployment":
        return str(found[1]), found[2]
    record = promoted(path)
    if record is not None:
        return record
    if path.startswith(MODELS):
        owners = [name for name in models if path.startswith(model_folder(name))]
        return max(owners, key=len, default=""), ""
    return ("", path) if governs_all(path) else ("", "")


def _wrong(repository: Repository, tip: str, path: str) -> tuple[Problem, ...]:
    """Return what is wrong with a spec as it is, beside that nobody approved it."""
    data = repository.blob(repository.blob_id(tip, path)) if place(path) is not None else None
    try:
        if data is not None:
            load_resource(data, path)
    except ModelOpsError as error:
        return error.problems
    return ()


def _problems(workspace: Workspace, found: Sequence[Violation], paths: Sequence[str]) -> tuple[Problem, ...]:
    """Return a few problems for however many violations that stop the same."""
    told = tuple(problem_of(workspace, one, next(path for path in paths if path in one.files)) for one in found[:_TOLD])
    rest = found[_TOLD:]
    if not rest:
        return told
    people = Counter(one.author for one in rest)
    who = ", ".join(f"{author} ({count})" for author, count in people.most_common(_TOLD))
    others = f" and {len(people) - _TOLD} more people" if len(people) > _TOLD else ""
    said = f"{len(rest)} more commits that nobody approved change it, by {who}{others}"
    hint = "see all of them: modelops audit branch"
    return (*told, Problem(rest[0].code, said, Location(paths[0]), hint=hint))


def problem_of(workspace: Workspace, one: Violation, path: str) -> Problem:
    """Return what a violation is to whom it stops."""
    if one.code == NOT_JUDGED:
        said = f"commit {one.commit[:10]} by {one.author} ({one.subject}): {one.reason}"
        return Problem(one.code, said, Location(path), hint="run it again when the forge answers")
    said = f"nobody approved commit {one.commit[:10]} by {one.author} ({one.subject}): {one.reason}"
    return Problem(one.code, said, Location(path), hint=how_to_clear(workspace, one))


def how_to_clear(workspace: Workspace, one: Violation) -> str:
    """Return the commands that begin the way out."""
    remote, branch = workspace.repository.remote, workspace.branch
    base, commit = (f"{remote}/{branch}" if remote else branch), one.commit[:12]
    back = f"git switch -c take-back {base} && git revert {'-m 1 ' if one.merge else ''}{commit}"
    return (
        f"take it back in a pull request: {back}; or let reviewers take it on: a pull request with a commit whose "
        f"message says `Clears: {commit}`"
    )


def policies_at(workspace: Workspace, tip: str) -> str | None:
    """Return the commit whose approval policy counts at a tip, where nobody approved the one that is there."""
    if workspace.tip() != tip:
        return None
    astray = course_of(workspace, tip).astray_at(APPROVALS.path())
    return astray.parent if astray is not None else None


def cleared_by(workspace: Workspace, pull: PullRequest) -> tuple[Violation, ...]:
    """Return the open violations that a pull request names in the messages of its own commits."""
    tip = workspace.tip()
    course = course_of(workspace, tip)
    if not course.open:
        return ()
    named = clears(workspace.repository, pull, tip, [one.commit for one in course.open])
    return tuple(one for one in course.open if one.commit in named)


def unapproved_commits(workspace: Workspace) -> tuple[Unapproved, ...]:
    """Return the open violations of the branch as an audit tells of them."""
    return tuple(
        Unapproved(one.commit, one.author, one.time, one.subject, one.code, one.reason, one.touched, one.count)
        for one in course_of(workspace, workspace.tip()).open
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    """The whole branch: from where it was judged up to where, what it is made of, and what is open or was cleared.

    Of the ``open`` violations, those ``in_force`` left something behind; ``way_out`` says how the first is cleared.
    """

    since: str | None
    to: str
    proven: str | None
    commits: Mapping[str, int]
    open: tuple[Violation, ...]
    in_force: frozenset[str]
    cleared: tuple[Cleared, ...]
    way_out: str = ""


def judgement(workspace: Workspace) -> Judgement:
    """Return how the branch stands as it is known."""
    tip = workspace.tip()
    workspace.repository.require_history()
    course = course_of(workspace, tip)
    in_force = frozenset(one.commit for one in course.in_force)
    return Judgement(
        *(course.start, tip, course.proven, course.counted(), tuple(course.open), in_force, tuple(course.cleared)),
        how_to_clear(workspace, course.open[0]) if course.open else "",
    )


def judged_anew(workspace: Workspace) -> Judgement:
    """Return how the branch stands if it is judged from its first commit, whatever is remembered or was recorded."""
    tip = workspace.tip()
    workspace.repository.require_history()
    course = _from(workspace, tip, Course(), keep=False)
    assert course is not None, "the first commit is on every line"
    in_force = frozenset(one.commit for one in course.in_force)
    way_out = how_to_clear(workspace, course.open[0]) if course.open else ""
    found = (course.start, tip, course.proven, course.counted(), tuple(course.open), in_force, tuple(course.cleared))
    return Judgement(*found, way_out)


# --- what is signed of it


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is signed of the way to a release or a promotion: from where it was judged, up to where, and what was met.

    ``since`` None is the first commit. ``proven`` is the commit up to which nothing was open.
    """

    since: str | None
    to: str
    proven: str | None
    commits: Mapping[str, int]
    violations: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return it as it is signed."""
        return {
            "from": self.since,
            "to": self.to,
            "proven": self.proven,
            "commits": dict(self.commits),
            "violations": list(self.violations),
        }


_SIGNED = 100
"""So many open violations are named in what is signed; the state that is proven lies before all of them."""


def _since(workspace: Workspace, tip: str, since: str | None) -> tuple[Course, int]:
    """Return the course up to a tip from a state on, or from where its judgement began, and that place.

    What was judged before by others is judged again, so that this counts all of it.
    """
    course = course_of(workspace, tip)
    places = workspace.repository.line(tip, MODELS).places
    start = places.get(course.start or "", -1)
    asked = places.get(since or "", start)
    if asked < start:
        again = _from(workspace, tip, Course(since, since, begun=True), keep=False)
        return (again, asked) if again is not None else (course, start)
    return course, asked


def pushed_paths(workspace: Workspace, tip: str, since: str | None) -> frozenset[str]:
    """Return the files that a violation since a state ever changed, whatever became of it."""
    course, _ = _since(workspace, tip, since)
    repository = workspace.repository
    paths = {path for one in course.open for path in (*one.touched, *one.files)}
    paths |= {path for one in course.open if one.count > len(one.touched) for path in one.changed(repository)}
    for one in course.cleared:
        paths |= set(repository.changed_paths(f"{one.commit}^", one.commit))
    return frozenset(paths)


def stretch(workspace: Workspace, tip: str, since: str | None = None) -> Stretch:
    """Return what is to be signed of the branch from a state (or where its judgement began) up to a tip."""
    course = course_of(workspace, tip)
    places = workspace.repository.line(tip, MODELS).places
    # What is open stays open, from wherever it is counted.
    counted, at = _since(workspace, tip, since)
    named = tuple(one.commit for one in course.open[:_SIGNED])
    first = next((commit for commit, place in places.items() if place == at), None)
    return Stretch(first, tip, course.proven, counted.counted(places[tip] - at), named)
