"""The branch judged commit by commit, from a state that is proven up to its tip: what nobody approved does not count.

Every commit of the branch's own line is what merging an approved pull request gives, or a signed commit of the loop
that writes no more than the loop does, or a way back that the policy allows. Everything else is a violation. It stops
what depends on it until a reviewed pull request names it; what ran before goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import Keyring
from modelops.forges import Account, Forge, PullRequest
from modelops.governance.approvals import Judged, classify, judge_pull, models_at, risks_at
from modelops.governance.history import deployment_history, legible
from modelops.governance.judging.course import Course, violation_of
from modelops.governance.judging.facts import told_facts
from modelops.governance.judging.loop_commits import Told, is_evidence, is_signed, told
from modelops.governance.judging.merges import Arrival, arrivals, clears, judge_arrival, judge_clearing, merged_pulls
from modelops.governance.returns import left_by_return, require_allowed
from modelops.project.standing import NOT_JUDGED
from modelops.project.trust import TrustChain, read_trust
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.repository.dates import Dates, read_dates
from modelops.repository.line import Line
from modelops.repository.objects import MAXIMUM_BYTES
from modelops.repository.steps import Step
from modelops.spec.layout import APPROVALS, DEPLOYMENT, MODEL, MODELS, POLICIES, PROJECT, TRUST, TRUST_SIGNATURES, Seat
from modelops.spec.load import load_resource
from modelops.spec.resource import AnyResource

__all__ = ["brings_fact", "judge_steps", "oversteps", "signed_by_loop"]

_APPROVALS, _PROJECT = APPROVALS.path(), PROJECT.path()
_FOLLOWED = frozenset({_APPROVALS, TRUST.path(), TRUST_SIGNATURES})


def judge_steps(workspace: Workspace, course: Course, steps: Sequence[Step]) -> Course:
    """Take a course over more commits; return it as it was before the first one that cannot be judged now.

    ``course`` itself goes to the end: what cannot be judged yet is held there like what nobody approved.
    """
    settled: Course | None = None
    rest = list(steps)
    while rest:
        # Which forge is asked is said by the project as it was approved, so that a change of it ends a batch.
        last = next((at for at, step in enumerate(rest) if _PROJECT in step.changes), len(rest) - 1)
        found = _Batch(workspace, course, rest[: last + 1]).judge()
        settled = settled or found
        rest = rest[last + 1 :]
    return settled or course.copy()


def oversteps(workspace: Workspace, course: Course, step: Step) -> str | None:
    """Return why a commit on the branch's tip would not count as the loop's if it were put there, None where it would.

    ``course`` is that of the branch up to the tip.
    """
    return _Batch(workspace, course, (step,)).oversteps(step)


def brings_fact(workspace: Workspace, course: Course, step: Step, head: str, at: datetime) -> Told:
    """Tell whether merging a head at a time, as ``step`` does, brings what the loop signed.

    ``course`` is of the parent of ``step``.
    """
    return _Batch(workspace, course, (step,)).fact(step, head, at)


def signed_by_loop(workspace: Workspace, course: Course, last: Step, head: str) -> bool:
    """Tell whether a commit carries a signature of the loop that counts at the tip, whatever it says."""
    parent = last.parent
    if parent is None:
        return False
    batch = _Batch(workspace, course, (last,))
    return is_signed(workspace.repository, head, batch._trusted(last.id), batch._keys(last, last.id))


@dataclass
class _Batch:
    """Some commits in their order, and what it takes to judge them."""

    workspace: Workspace
    course: Course
    steps: Sequence[Step]
    arrived: Mapping[int, Arrival] = field(default_factory=dict)
    inner: frozenset[int] = frozenset()
    away: ModelOpsError | None = None
    settled: Course | None = None
    objects: Mapping[str, bytes | int] = field(default_factory=dict)
    _parsed: dict[str, AnyResource | None] = field(default_factory=dict)
    _chains: list[TrustChain | None] = field(default_factory=list)

    @property
    def repository(self) -> Repository:
        return self.workspace.repository

    def judge(self) -> Course | None:
        """Judge all of them; return the course before the first that could not be judged, None where all were."""
        self._ask()
        waiting: list[Step] = []
        for at, step in enumerate(self.steps):
            if at and not self.steps[at - 1].changes.keys().isdisjoint(_FOLLOWED):
                self._parsed.clear()
                self._chains.clear()
            if not self._begin(step):
                continue
            if at in self.inner:
                waiting.append(step)
                continue
            arrival = self.arrived.get(at)
            if arrival is not None:
                self._arrive(arrival, [*waiting, step])
                waiting = []
            else:
                self._alone(at, step)
        return self.settled

    # --- what is asked before

    def _ask(self) -> None:
        """Learn which pull requests brought these commits; a forge that is away leaves them unjudged."""
        begun = self.course.begun
        asked: list[Step] = []
        for step in self.steps:
            # A commit with evidence is the loop's as a rule; what is not is asked for by itself.
            if begun and step.changes and not (len(step.parents) == 1 and _brings_evidence(step)):
                asked.append(step)
            begun = begun or _APPROVALS in step.changes
        self.objects = self.repository.blobs((step.id for step in self.steps if len(step.parents) == 1), MAXIMUM_BYTES)
        try:
            pulls = merged_pulls(self._forge(), asked) if asked else {}
            self.arrived, self.inner = arrivals(self.repository, self.steps, pulls)
        except ModelOpsError as error:
            if error.exit is not Exit.WORLD:
                raise
            self.away = error

    def _forge(self) -> Forge:
        """Return the forge that the project names as it was approved."""
        settings = self.workspace.settings.resource
        at = self.steps[0].parents[0] if self.steps[0].parents else None
        data = self._stands(_PROJECT, at)
        if data is None or (settings is not None and self._read(self.steps[-1].id, _PROJECT) == data):
            return self.workspace.forge
        try:
            return self.workspace.forge_of(load_resource(data, _PROJECT))
        except ModelOpsError:
            return self.workspace.forge

    # --- files as they were approved

    def _read(self, commit: str | None, path: str) -> bytes | None:
        return self.repository.blob(self.repository.blob_id(commit, path)) if commit is not None else None

    def _stands(self, path: str, parent: str | None) -> bytes | None:
        """Return the bytes that stand for a file before a commit: those it has, or those before a violation."""
        if self.course.astray_at(path) is not None:
            return self.repository.blob(self.course.held[path].base[1])
        return self._read(parent, path)

    def _policies(self) -> str | None:
        """Return the commit whose approval policy counts in the place of one that nobody approved."""
        found = self.course.astray_at(_APPROVALS)
        return found.parent if found is not None else None

    def _tiers(self) -> tuple[str, ...]:
        """Return the commits whose risk tiers count, too: those before somebody pushed another one past the review."""
        found = (self.course.astray_at(path) for path in self.course.astray if MODEL.parse(path))
        return tuple({one.parent for one in found if one is not None})

    def _trusted(self, parent: str) -> TrustChain | None:
        """Return whose signatures counted before a commit; it is looked for anew only after a policy was touched."""
        if not self._chains:
            astray = frozenset(one.commit for one in self.course.open)
            self._chains[:] = [read_trust(self.repository, parent, self.workspace.clock(), (), astray)]
        return self._chains[0]

    def _keys(self, step: Step, parent: str) -> Keyring | None:
        """Return the keys that count for what a commit brings, at its place and by its date."""
        chain = self._trusted(parent)
        if chain is None:
            return None
        place = self.line.places[step.id]
        return replace(chain.keyring, now=place, came=lambda path, text: None, time=self.dates.of)

    @cached_property
    def line(self) -> Line:
        """The branch's own line up to the last of these commits."""
        return self.repository.line(self.steps[-1].id, POLICIES)

    @cached_property
    def dates(self) -> Dates:
        """The dates of the line as its order allows them."""
        return read_dates(self.line.dates[: self.line.top + 1], self.workspace.clock())

    def _policy(self, path: str, parent: str) -> AnyResource | None:
        """Return a policy as it was approved before a commit; it is looked for anew only after it was touched."""
        if path not in self._parsed:
            data = self._stands(path, parent)
            try:
                self._parsed[path] = load_resource(data, path) if data is not None else None
            except ModelOpsError:
                # One that cannot be read trusts nobody and lets nothing in.
                self._parsed[path] = None
        return self._parsed[path]

    # --- one commit

    def _begin(self, step: Step) -> bool:
        """Pass by what needs no judgement: the beginning of the project, and what changes nothing."""
        if self.course.begun and step.changes:
            return True
        self.course.went(step, "idle" if self.course.begun else "root")
        self.course.begun = self.course.begun or _APPROVALS in step.changes
        return False

    def _arrive(self, arrival: Arrival, steps: Sequence[Step]) -> None:
        """Judge a pull request, of whose steps the last one is what it was merged with."""
        first, pull = steps[0], arrival.pull
        fact = self._facts(first, pull.head) if len(steps) == 1 else Told(False)
        if fact.counts:
            return
        try:
            wrong = judge_arrival(
                *(self.repository, self._forge(), Arrival(pull, 0, len(steps) - 1), steps),
                *(self._policies(), self._tiers()),
            )
            named = self._cleared(pull, first.parents[0]) if wrong is None else ()
        except ModelOpsError as error:
            wrong, named = self._unanswered(pull, error), ()
        if wrong is not None and fact.signed and wrong.first.code != NOT_JUDGED:
            said = f"{wrong.first.message}; the loop signed it, and {fact.wrong}"
            wrong = failure(wrong.first.code, said, exit=wrong.exit)
        for step in steps:
            if wrong is not None:
                self._violation(step, wrong)
            else:
                self.course.allowed(step, "pull")
        for commit in named:
            self.course.clear(commit, pull.number, steps[-1].id)

    def _facts(self, step: Step, head: str) -> Told:
        """Let in what a pull request brought that the loop had signed itself, as far as it stands; return that."""
        found = self.fact(step, head, self.dates.of(self.line.places[step.id]))
        if found.counts:
            self.course.allowed(step, "loop", [path for path in step.changes if DEPLOYMENT.parse(path)])
        return found

    def fact(self, step: Step, head: str, at: datetime) -> Told:
        """Tell whether a commit brings at a time what the loop signed as ``head``, and what is wrong with that."""
        parent = step.parents[0]
        return told_facts(
            *(self.repository, step, head, self._trusted(parent), self._keys(step, parent)),
            *(lambda path: self._stands(path, parent), at),
        )

    def oversteps(self, step: Step) -> str | None:
        """Return what a signed commit oversteps that is to be made."""
        parent = step.parents[0]
        data = self.repository.blobs([step.id], MAXIMUM_BYTES)[step.id]
        found = told(
            *(self.repository, step, data, self._trusted(parent), self._keys(step, parent)),
            lambda path: self._stands(path, parent),
        )
        return found.wrong if found.signed else None

    def _unanswered(self, pull: PullRequest, error: ModelOpsError) -> ModelOpsError:
        if error.exit is Exit.WORLD:
            return _unknown(f"who approved pull request #{pull.number} is not known now", error)
        said = f"pull request #{pull.number} cannot be judged: {error.first.message}"
        return failure("approval-missing", said, exit=Exit.NO)

    def _cleared(self, pull: PullRequest, base: str) -> tuple[str, ...]:
        """Return the violations that an approved pull request names, as far as its approvals are enough for them."""
        if not self.course.open:
            return ()
        named = clears(self.repository, pull, base, [one.commit for one in self.course.open])
        found = [one for one in self.course.open if one.commit in named]
        return tuple(
            one.commit
            for one in found
            if judge_clearing(
                self.repository,
                self._forge(),
                pull,
                base,
                (one.commit, one.parent),
                one.changed(self.repository),
                *(self._policies(), self._tiers()),
            )
        )

    def _alone(self, at: int, step: Step) -> None:
        """Judge a commit that no pull request is known to have brought."""
        reason = None
        if len(step.parents) == 2:
            fact = self._facts(step, step.parents[1])
            if fact.counts:
                return
            reason = f"the loop signed it, and {fact.wrong}" if fact.signed else None
        if len(step.parents) == 1:
            parent = step.parents[0]
            found = told(
                *(self.repository, step, self.objects[step.id], self._trusted(parent), self._keys(step, parent)),
                lambda path: self._stands(path, parent),
            )
            if found.counts:
                # What it says of an environment was held against the file as it was approved.
                self.course.allowed(step, "loop", [path for path in step.changes if DEPLOYMENT.parse(path)])
                return
            if found.signed:
                said = f"it is signed as the loop's, and {found.wrong}"
                self._violation(step, failure("loop-overstepped", said, exit=Exit.NO))
                return
            reason = found.wrong
        if self.away is not None and not _brings_evidence(step):
            self._violation(step, _unknown("whether a pull request brought it is not known now", self.away))
            return
        if _brings_evidence(step) and self._late(step):
            return
        back = self._way_back(step)
        if back is None:
            self.course.allowed(step, "back")
        elif self._free(step):
            self.course.allowed(step, "free")
        else:
            said = "; ".join(filter(None, ("it came without a pull request", reason, back)))
            self._violation(step, failure("no-pull-request", said, exit=Exit.NO))

    def _late(self, step: Step) -> bool:
        """Judge what looked like the loop's and is no commit of it: a squashed pull request may bring evidence."""
        try:
            pull = self._forge().merged_with(step.id)
        except ModelOpsError as error:
            if error.exit is not Exit.WORLD:
                raise
            self._violation(step, _unknown("whether a pull request brought it is not known now", error))
            return True
        if pull is None or pull.merge != step.id:
            return False
        self._arrive(Arrival(pull, 0, 0), [step])
        return True

    def _way_back(self, step: Step) -> str | None:
        """Return why a commit is no way back by git alone, None where it is one; "" says nothing of it."""
        seats = [
            Seat(str(found[0]), found[1]) for path in step.changes if (found := DEPLOYMENT.parse(path)) is not None
        ]
        if len(seats) != 1 or len(step.parents) != 1:
            return ""
        (seat,) = seats
        if self.course.astray_at(seat.deployment) is not None:
            return ""
        # Read to the end at once, so that it is not read again for each of many commits.
        self.repository.line(self.steps[-1].id, MODELS)
        # What nobody approved made nothing stable that one could go back to.
        broken = {one.commit for one in self.course.open}
        history = tuple(
            one for one in legible(deployment_history(self.repository, step.id, seat)) if one.commit not in broken
        )
        if not history or history[0].commit != step.id:
            return ""
        moment = history[0]
        before = history[1].stable if len(history) > 1 else None
        if moment.stable != before:
            left = left_by_return(history)
            if left is None or left[0] != moment:
                return ""
        try:
            require_allowed(self.repository, seat, moment, self._policies())
        except ModelOpsError as error:
            return f"{error.first.message}; {error.first.hint}"
        return None

    def _free(self, step: Step) -> bool:
        """Tell whether the approval policy asks nobody about what a commit changes."""
        base = step.parents[0] if step.parents else step.id
        try:
            policy = self._policy(_APPROVALS, base)
            if policy is None or all(rule.minimum for rule in policy.spec.rules):
                return False
            changes = classify(step.changes, models_at(self.repository, base, step.id))
            risks = risks_at(self.repository, {change.model for change in changes}, base, step.id, *self._tiers())
            return judge_pull(policy, Judged(_nobodys(step), (), ()), changes, risks).ok
        except ModelOpsError:
            # A policy that cannot be read lets nothing in by itself.
            return False

    def _violation(self, step: Step, wrong: ModelOpsError) -> None:
        if wrong.first.code == NOT_JUDGED and self.settled is None:
            self.settled = self.course.copy()
        self.course.broken(step, violation_of(step, wrong.first.code, wrong.first.message))


def _unknown(what: str, error: ModelOpsError) -> ModelOpsError:
    """Return why a commit is not judged yet."""
    return failure(
        "not-judged-yet", f"it is not judged yet: {what}: {error.first.message}", exit=Exit.WORLD, retryable=True
    )


def _nobodys(step: Step) -> PullRequest:
    """Return what asks for the approvals of nobody."""
    nobody = Account("nobody", "nobody")
    return PullRequest(0, step.subject, "", nobody, "", "", step.id, step.id, "merged", "")


def _brings_evidence(step: Step) -> bool:
    return any(is_evidence(path) for path in step.changes)
