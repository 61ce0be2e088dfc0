"""Who may approve what, and whether enough of them did: positive evidence for the exact head, or no."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from modelops.errors import ModelOpsError
from modelops.forges import PullRequest, Review
from modelops.repository import Repository
from modelops.spec.delivery import Approval
from modelops.spec.kinds import Resource, place
from modelops.spec.load import load_resource
from modelops.spec.meta import Risk
from modelops.spec.policy import ApprovalPolicySpec, ApprovalRule

__all__ = [
    "ApprovalVerdict",
    "Change",
    "ChangeKind",
    "classify",
    "involved_in",
    "judge_approvals",
    "judge_pull",
    "judge_whole",
    "models_at",
    "policy_at",
    "risks_at",
]

ChangeKind = Literal["promotion", "model", "policy"]

MACHINE = "modelops"
POLICY = "policies/approvals.yaml"
_MODEL = "/model.yaml"
_EVIDENCE = re.compile(r"models/(.+)/promotions/(.+)-[0-9]+\.intoto\.jsonl")
_TIERS: tuple[Risk, ...] = get_args(Risk)


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One thing that a pull request changes and that the approval policy has rules about."""

    kind: ChangeKind
    model: str | None = None
    environment: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case "promotion":
                return f"promotion of {self.model} in {self.environment}"
            case "model":
                return f"change of model {self.model}" if self.model else "change of the models"
            case "policy":
                return "change of the policies"


@dataclass(frozen=True, slots=True)
class ApprovalVerdict:
    """Whether a change may go ahead, the approvals that counted, and sentences that say why."""

    ok: bool
    counted: tuple[Approval, ...]
    reasons: tuple[str, ...]


def classify(paths: Iterable[str], models: Collection[str] = ()) -> tuple[Change, ...]:
    """Return what a set of changed files amounts to, sorted.

    An environment's file below a model, and the signed evidence of a promotion, are a promotion; everything else below
    models/ is a change of that model. Whatever lies elsewhere (policies/, .github/, the lock file) governs all models
    and counts as a change of the policies.
    ``models`` are the known names, for files whose place alone does not say which model they belong to.
    """
    return tuple(sorted({_change(path, models) for path in paths}, key=str))


def _change(path: str, models: Collection[str]) -> Change:
    if not path.startswith("models/"):
        return Change("policy")
    found = place(path)
    if found is not None:
        kind, model, name = found
        return Change("promotion", model, name) if kind == "Deployment" else Change("model", model)
    record = _EVIDENCE.fullmatch(path)
    if record is not None:
        # A signed statement that comes with the end of a rollout; what it may say is checked where it is read.
        return Change("promotion", record[1], record[2])
    owners = [name for name in models if path.startswith(f"models/{name}/")]
    return Change("model", max(owners, key=len, default=None))


def involved_in(repository: Repository, base: str, head: str) -> set[str]:
    """Return the logins of everyone who authored or committed what ``head`` has and ``base`` has not."""
    commits = repository.log(revision=head, excluding=[base])
    return {person.login for commit in commits for person in commit.people}


def policy_at(repository: Repository, commit: str) -> Resource[ApprovalPolicySpec] | None:
    """Return the approval policy of a commit; it is read alone, so that a broken file elsewhere blocks no repair."""
    if POLICY not in repository.paths(commit, POLICY):
        return None
    return load_resource(repository.read(commit, POLICY), POLICY)


def models_at(repository: Repository, *commits: str) -> set[str]:
    """Return the names of the models that any of some commits has."""
    paths = (path for commit in commits for path in repository.paths(commit, "models/"))
    return {path[len("models/") : -len(_MODEL)] for path in paths if path.endswith(_MODEL)}


def risks_at(repository: Repository, models: Iterable[str | None], *commits: str) -> dict[str, Risk]:
    """Return the risk tier of models, the highest that any of the commits gives; unreadable ones are left out.

    Asked for base and head of a change, so that a change cannot lower the tier that it is judged by.
    """
    wanted = [f"models/{model}{_MODEL}" for model in sorted({model for model in models if model})]
    found: dict[str, Risk] = {}
    unreadable: set[str] = set()
    for commit in commits:
        present = repository.paths(commit, "models/")
        for path, data in repository.read_many(commit, [path for path in wanted if path in present]).items():
            name = path[len("models/") : -len(_MODEL)]
            try:
                risk: Risk = load_resource(data, path).spec.risk
            except ModelOpsError:
                unreadable.add(name)
                continue
            found[name] = max(risk, found.get(name, risk), key=_TIERS.index)
    return {name: risk for name, risk in found.items() if name not in unreadable}


def judge_approvals(
    policy: Resource[ApprovalPolicySpec],
    pull: PullRequest,
    *,
    change: ChangeKind,
    environment: str | None,
    risk: Risk | None,
    involved: set[str],
) -> ApprovalVerdict:
    """Judge one change by the approval policy of its base commit; every rule that matches must be met.

    The newest decision of each reviewer counts, and only if it approves the exact head. Whoever opened the pull
    request, wrote or committed or pushed any of it (``involved`` and the pull request's own record), and machines
    never count. An unknown risk is taken for every risk, no matching rule and an unknown group for no.
    """
    what = f"{change} in {environment}" if environment else change
    if pull.state == "closed" or not pull.head:
        return ApprovalVerdict(False, (), (f"pull request #{pull.number} is {pull.state} and cannot be approved",))
    rules = [rule for rule in policy.spec.rules if _matches(rule, change, environment, risk)]
    if not rules:
        return ApprovalVerdict(False, (), (f"no rule of {policy.path} says who may approve a {what} ({risk} risk)",))
    own = {login.lower() for login in (pull.author, *pull.pushers, *involved)}
    decisions = _decisions(pull.reviews)
    counted: dict[str, Approval] = {}
    reasons: list[str] = []
    ok = True
    for rule in rules:
        met, found, said = _judge_rule(policy.spec, rule, pull, decisions, own, what)
        ok = ok and met
        reasons += said
        counted |= {approval.login.lower(): approval for approval in found}
    return ApprovalVerdict(ok, tuple(counted[login] for login in sorted(counted)), tuple(dict.fromkeys(reasons)))


def judge_pull(
    policy: Resource[ApprovalPolicySpec],
    pull: PullRequest,
    changes: Sequence[Change],
    risks: Mapping[str, Risk],
    involved: set[str],
) -> ApprovalVerdict:
    """Judge everything that a pull request changes; each change must have its approvals."""
    if not changes:
        return ApprovalVerdict(False, (), (f"pull request #{pull.number} changes no file",))
    verdicts = [
        judge_approvals(
            policy,
            pull,
            change=change.kind,
            environment=change.environment,
            risk=risks.get(change.model or ""),
            involved=involved,
        )
        for change in changes
    ]
    counted = {approval.login.lower(): approval for verdict in verdicts for approval in verdict.counted}
    reasons = dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons)
    ok = all(verdict.ok for verdict in verdicts)
    return ApprovalVerdict(ok, tuple(counted[login] for login in sorted(counted)), tuple(reasons))


def judge_whole(
    repository: Repository, pull: PullRequest, base: str
) -> tuple[Resource[ApprovalPolicySpec] | None, ApprovalVerdict]:
    """Judge everything that a pull request changes by the approval policy of its base; without one nobody may approve.

    The whole of it counts, whoever merged it and however: a pull request that brings a looser gate with its model needs
    the approvals of a policy's change too.
    """
    policy = policy_at(repository, base)
    if policy is None:
        return None, ApprovalVerdict(
            False, (), (f"{pull.target} has no {POLICY}, so nobody may approve a change of it",)
        )
    changed = repository.changed_paths(repository.merge_base(base, pull.head), pull.head)
    changes = classify(changed, models_at(repository, base, pull.head))
    risks = risks_at(repository, {change.model for change in changes}, base, pull.head)
    return policy, judge_pull(policy, pull, changes, risks, involved_in(repository, base, pull.head))


def _matches(rule: ApprovalRule, change: ChangeKind, environment: str | None, risk: Risk | None) -> bool:
    if rule.change != change or (risk is not None and risk not in rule.risk):
        return False
    return change != "promotion" or "*" in rule.environments or environment is None or environment in rule.environments


def _decisions(reviews: Sequence[Review]) -> dict[str, Review]:
    """Return each reviewer's newest decision; a mere comment takes nothing back, as on every forge."""
    decisions: dict[str, Review] = {}
    for review in reviews:
        if review.state != "commented":
            decisions[review.login.lower()] = review
    return decisions


def _eligible(policy: ApprovalPolicySpec, rule: ApprovalRule) -> tuple[set[str], list[str]]:
    """Return the logins that a rule names, through its groups, and what is wrong with them."""
    logins: set[str] = set()
    wrong: list[str] = []
    for approver in rule.approvers:
        name = approver.removeprefix("group:")
        if name == approver:
            logins.add(approver.lower())
        elif name in policy.groups:
            logins |= {login.lower() for login in policy.groups[name]}
        else:
            wrong.append(f"the approval policy has no group {name!r}, so nobody is in it")
    return logins, wrong


def _is_machine(login: str) -> bool:
    return login.endswith("[bot]") or login == MACHINE


def _refusal(login: str, review: Review, pull: PullRequest, own: set[str]) -> str | None:
    """Return why an eligible reviewer's decision does not count as an approval, or None when it does."""
    if _is_machine(login):
        return f"{login} is a machine, which cannot approve"
    if login in own:
        return f"{login} opened, wrote, committed or pushed a part of it, so their approval does not count"
    if review.state != "approved":
        return f"{login} requested changes"
    if review.commit != pull.head:
        return f"{login} approved {review.commit[:12]}, but the head is {pull.head[:12]} now"
    return None


def _judge_rule(
    policy: ApprovalPolicySpec,
    rule: ApprovalRule,
    pull: PullRequest,
    decisions: Mapping[str, Review],
    own: set[str],
    what: str,
) -> tuple[bool, list[Approval], list[str]]:
    eligible, reasons = _eligible(policy, rule)
    approved: list[Approval] = []
    blocked = False
    for login in sorted(eligible & decisions.keys()):
        review = decisions[login]
        refusal = _refusal(login, review, pull, own)
        if refusal is None:
            approved.append(Approval(login=review.login, commit=review.commit, submitted_at=review.submitted_at))
        else:
            reasons.append(refusal)
            # Who may say yes may also say no: a request for changes stands until the same person approves.
            blocked = blocked or (review.state == "changes-requested" and login not in own and not _is_machine(login))
    enough = len(approved) >= rule.minimum
    count = f"{len(approved)} of {rule.minimum} approval{'' if rule.minimum == 1 else 's'}"
    if enough and not blocked:
        names = ", ".join(approval.login for approval in approved)
        return True, approved, [f"{what}: {count}" + (f" ({names})" if names else "")]
    could = sorted(login for login in eligible - own if not _is_machine(login) and login not in decisions)
    ask = f"; ask {', '.join(could)}" if could and not enough else ""
    return False, approved, [*reasons, f"{what}: {count} by {', '.join(rule.approvers)}{ask}"]
