"""Who may approve what, and whether enough of them did: positive evidence for the exact head, or no."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from modelops.clock import format_instant, parse_instant, wall_clock
from modelops.errors import ModelOpsError
from modelops.forges import MACHINE, Account, Forge, Heard, PullRequest, Review, Teams
from modelops.governance.results import Result, result_of, why_stale
from modelops.repository import Repository
from modelops.spec.kinds import Resource, place
from modelops.spec.kinds.approval_policy import TEAM, ApprovalPolicySpec, ApprovalRule
from modelops.spec.kinds.promotion import Approval
from modelops.spec.layout import APPROVALS, MODEL, MODELS, WAIVER, model_folder, promoted
from modelops.spec.load import load_resource
from modelops.spec.meta import Risk

__all__ = [
    "ApprovalVerdict",
    "Change",
    "ChangeKind",
    "Judged",
    "RuleVerdict",
    "approvers_of",
    "classify",
    "judge_approvals",
    "judge_pull",
    "judge_whole",
    "models_at",
    "policy_at",
    "risks_at",
    "rules_asked",
]

ChangeKind = Literal["promotion", "model", "policy", "waiver"]

POLICY = APPROVALS.path()
_AHEAD = timedelta(hours=1)
"""So far the clocks of two machines may differ."""
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
            case "waiver":
                return "grant of a waiver"


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule asks of one change, and who gave it.

    ``approvers`` are those the rule names, in lower case, without groups and known teams; ``until`` says when each
    approval that counts stops to, for those that do.
    """

    change: ChangeKind
    environment: str | None
    minimum: int
    approvers: tuple[str, ...]
    ok: bool
    counted: tuple[Approval, ...]
    until: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalVerdict:
    """Whether a change may go ahead, the approvals that counted, and sentences that say why.

    Of a whole pull request: what it makes of its base, what that amounts to, what each rule says of it, and which
    answers of the forge that rests on. ``signed`` is what the loop signed, which needs nobody.
    """

    ok: bool
    counted: tuple[Approval, ...]
    reasons: tuple[str, ...]
    rules: tuple[RuleVerdict, ...] = ()
    changes: tuple[Change, ...] = ()
    risks: tuple[tuple[str, Risk], ...] = ()
    result: Result | None = None
    heard: tuple[Heard, ...] = ()
    signed: bool = False


def classify(paths: Iterable[str], models: Collection[str] = ()) -> tuple[Change, ...]:
    """Return what a set of changed files amounts to, sorted.

    An environment's file below a model, and the signed evidence of a promotion, are a promotion; everything else below
    models/ is a change of that model. Whatever lies elsewhere (policies/, .github/, the lock file) governs all models
    and counts as a change of the policies.
    ``models`` are the known names, for files whose place alone does not say which model they belong to.
    """
    return tuple(sorted({_change(path, models) for path in paths}, key=str))


def _change(path: str, models: Collection[str]) -> Change:
    if not path.startswith(MODELS):
        return Change("waiver" if WAIVER.parse(path) is not None else "policy")
    found = place(path)
    if found is not None:
        kind, model, name = found
        return Change("promotion", model, name) if kind == "Deployment" else Change("model", model)
    record = promoted(path)
    if record is not None:
        # A signed statement that comes with the end of a rollout; what it may say is checked where it is read.
        return Change("promotion", *record)
    owners = [name for name in models if path.startswith(model_folder(name))]
    return Change("model", max(owners, key=len, default=None))


def policy_at(repository: Repository, commit: str) -> Resource[ApprovalPolicySpec] | None:
    """Return the approval policy of a commit; it is read alone, so that a broken file elsewhere blocks no repair."""
    if POLICY not in repository.paths(commit, POLICY):
        return None
    return load_resource(repository.read(commit, POLICY), POLICY)


def models_at(repository: Repository, *commits: str) -> set[str]:
    """Return the names of the models that any of some commits has."""
    paths = (path for commit in commits for path in repository.paths(commit, MODELS))
    return {found[1] for path in paths if (found := MODEL.parse(path)) is not None}


def risks_at(repository: Repository, models: Iterable[str | None], *commits: str) -> dict[str, Risk]:
    """Return the risk tier of models, the highest that any of the commits gives; unreadable ones are left out.

    Asked for base and head of a change, so that a change cannot lower the tier that it is judged by.
    """
    wanted = {MODEL.path(model): model for model in sorted({model for model in models if model})}
    found: dict[str, Risk] = {}
    unreadable: set[str] = set()
    for commit in commits:
        present = repository.paths(commit, MODELS)
        for path, data in repository.read_many(commit, [path for path in wanted if path in present]).items():
            name = wanted[path]
            try:
                risk: Risk = load_resource(data, path).spec.risk
            except ModelOpsError:
                unreadable.add(name)
                continue
            found[name] = max(risk, found.get(name, risk), key=_TIERS.index)
    return {name: risk for name, risk in found.items() if name not in unreadable}


@dataclass(frozen=True, slots=True)
class Judged:
    """A pull request with what its judgement needs to know of people; ``involved`` have had a hand in it.

    ``at`` is when it is judged: now, or when it was merged. ``stale`` says why an approval of the head does not speak
    of what is judged, where it does not. ``teams`` are those that rules name, by their name: who is in them, or why
    nobody knows.
    """

    pull: PullRequest
    reviews: tuple[Review, ...]
    involved: tuple[Account, ...]
    at: datetime | None = None
    stale: Callable[[Review], str | None] = lambda review: None
    teams: Mapping[str, tuple[Account, ...] | str] = field(default_factory=dict)


def judge_approvals(
    policy: Resource[ApprovalPolicySpec],
    asked: Judged,
    *,
    change: ChangeKind,
    environment: str | None,
    risk: Risk | None,
) -> ApprovalVerdict:
    """Judge one change by the approval policy of its base commit; every rule that matches must be met.

    People are told apart by the forge's ids: a login that changed is the same person, two logins of one id are one.
    The newest decision of each reviewer counts, and only if it approves the exact head. Whoever opened the pull
    request, wrote or committed or pushed any of it, machines, and people whom the forge cannot tell never count. An
    unknown risk is taken for every risk, no matching rule and an unknown group for no.
    """
    pull = asked.pull
    what = f"{change} in {environment}" if environment else change
    if pull.state == "closed" or not pull.head:
        return ApprovalVerdict(False, (), (f"pull request #{pull.number} is {pull.state} and cannot be approved",))
    rules = _rules_of(policy.spec, change, environment, risk)
    if not rules:
        return ApprovalVerdict(False, (), (f"no rule of {policy.path} says who may approve a {what} ({risk} risk)",))
    decisions = _decisions(asked.reviews)
    reasons: list[str] = []
    judged: list[RuleVerdict] = []
    for rule in rules:
        found, said = _judge_rule(policy.spec, rule, asked, decisions, (change, environment))
        judged.append(found)
        reasons += said
    counted = {approval.login.lower(): approval for found in judged for approval in found.counted}
    approvals = tuple(counted[login] for login in sorted(counted))
    return ApprovalVerdict(all(one.ok for one in judged), approvals, tuple(dict.fromkeys(reasons)), tuple(judged))


def rules_asked(
    policy: Resource[ApprovalPolicySpec], changes: Sequence[Change], risks: Mapping[str, Risk]
) -> tuple[RuleVerdict, ...]:
    """Return what the rules ask of some changes before anybody has said anything, each once."""
    found: dict[RuleVerdict, None] = {}
    for change in changes:
        kind, environment = change.kind, change.environment
        for rule in _rules_of(policy.spec, kind, environment, risks.get(change.model or "")):
            eligible = tuple(sorted(_eligible(policy.spec, rule, {})[0]))
            found[RuleVerdict(kind, environment, rule.minimum, eligible, rule.minimum == 0, ())] = None
    return tuple(found)


def judge_pull(
    policy: Resource[ApprovalPolicySpec],
    asked: Judged,
    changes: Sequence[Change],
    risks: Mapping[str, Risk],
) -> ApprovalVerdict:
    """Judge everything that a pull request changes; each change must have its approvals."""
    if not changes:
        return ApprovalVerdict(False, (), (f"pull request #{asked.pull.number} changes no file",))
    verdicts = [
        judge_approvals(
            policy,
            asked,
            change=change.kind,
            environment=change.environment,
            risk=risks.get(change.model or ""),
        )
        for change in changes
    ]
    counted = {approval.login.lower(): approval for verdict in verdicts for approval in verdict.counted}
    reasons = dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons)
    ok = all(verdict.ok for verdict in verdicts)
    rules = dict.fromkeys(rule for verdict in verdicts for rule in verdict.rules)
    return ApprovalVerdict(
        *(ok, tuple(counted[login] for login in sorted(counted)), tuple(reasons), tuple(rules)),
        changes=tuple(changes),
        risks=tuple(sorted(risks.items())),
    )


def judge_whole(
    repository: Repository,
    forge: Forge,
    pull: PullRequest,
    base: str,
    policies: str | None = None,
    *,
    now: datetime | None = None,
    tiers: Sequence[str] = (),
) -> tuple[Resource[ApprovalPolicySpec] | None, ApprovalVerdict]:
    """Judge everything that a pull request makes of its base, by the approval policy there; without one nobody may.

    ``base`` is the target's tip, or the first parent of the merge; ``now`` is when an open one is judged. ``policies``
    is the commit whose approval policy counts in the place of one that nobody approved, ``tiers`` are those whose risk
    tiers count beside the base's, where nobody approved what that says of them. The whole of it counts, whoever
    merged it and however: a pull request that brings a looser gate with its model needs the approvals of a policy's
    change too, and a merge that holds anything else than merging makes has none.
    """
    result = result_of(repository, pull, base) if pull.head and pull.state != "closed" else None
    policy = policy_at(repository, policies or base)
    if policy is None:
        said = f"{pull.target} has no {POLICY}, so nobody may approve a change of it"
        return None, ApprovalVerdict(False, (), (said,), result=result)
    if result is None or result.trouble is not None or result.commit is None:
        why = result.trouble if result is not None else f"it is {pull.state} and cannot be approved"
        return policy, ApprovalVerdict(False, (), (f"pull request #{pull.number}: {why}",), result=result)
    changes = classify(result.paths, models_at(repository, base, result.commit))
    risks = risks_at(repository, {change.model for change in changes}, base, result.commit, *tiers)
    at = repository.commit(pull.merge).time if pull.state == "merged" and pull.merge else now or wall_clock()
    stale = why_stale(repository, pull, result)
    teams = _teams(forge, policy.spec, changes, risks)
    asked = Judged(pull, forge.reviews(pull.number), forge.involved(pull, base), at, stale, teams)
    return policy, replace(judge_pull(policy, asked, changes, risks), result=result, heard=forge.heard(pull))


def _teams(
    forge: Forge, policy: ApprovalPolicySpec, changes: Sequence[Change], risks: Mapping[str, Risk]
) -> dict[str, tuple[Account, ...] | str]:
    """Return who is in the teams that the rules of some changes name; of one that cannot be read, why."""
    found: dict[str, tuple[Account, ...] | str] = {}
    for change in changes:
        for rule in _rules_of(policy, change.kind, change.environment, risks.get(change.model or "")):
            for name in _eligible(policy, rule, {})[0]:
                if not name.startswith(TEAM) or name in found:
                    continue
                if not isinstance(forge, Teams):
                    found[name] = f"this forge has no teams, so nobody is in {name}"
                    continue
                try:
                    found[name] = forge.team(name.removeprefix(TEAM))
                except ModelOpsError as error:
                    if error.retryable:
                        raise
                    found[name] = f"nobody knows who is in {name}: {error.first.message}; {error.first.hint}"
    return found


def _rules_of(
    policy: ApprovalPolicySpec, change: ChangeKind, environment: str | None, risk: Risk | None
) -> list[ApprovalRule]:
    rules = [rule for rule in policy.rules if _matches(rule, change, environment, risk)]
    if not rules and change == "waiver":
        # Who says nothing of exceptions lets those grant them who may change what they are exceptions from.
        rules = [rule for rule in policy.rules if _matches(rule, "policy", environment, risk)]
    return rules


def _matches(rule: ApprovalRule, change: ChangeKind, environment: str | None, risk: Risk | None) -> bool:
    if rule.change != change or (risk is not None and risk not in rule.risk):
        return False
    return change != "promotion" or "*" in rule.environments or environment is None or environment in rule.environments


def _decisions(reviews: Sequence[Review]) -> dict[str, Review]:
    """Return each reviewer's newest decision by id; a mere comment takes nothing back, as on every forge."""
    return {review.by.id: review for review in reviews if review.state != "commented" and review.by.id}


def _eligible(
    policy: ApprovalPolicySpec, rule: ApprovalRule, teams: Mapping[str, tuple[Account, ...] | str]
) -> tuple[dict[str, str], list[str]]:
    """Return whom a rule names, directly, by groups and by teams, and what is wrong with those.

    Each is a name in lower case with what it is shown as; who is in a team counts by id. A team that is not among
    ``teams`` stands for itself.
    """
    names: dict[str, str] = {}
    wrong: list[str] = []
    for approver in rule.approvers:
        group = approver.removeprefix("group:")
        if group != approver and group not in policy.groups:
            wrong.append(f"the approval policy has no group {group!r}, so nobody is in it")
            continue
        for name in (approver,) if group == approver else policy.groups[group]:
            members = teams.get(name.lower(), ())
            if isinstance(members, str):
                wrong.append(members)
            elif name.lower() in teams:
                names |= {f"id:{one.id}".lower(): one.login.lower() for one in members if one.id}
            else:
                names[name.lower()] = name.lower()
    return names, wrong


def _names(accounts: Iterable[Account]) -> dict[str, set[str]]:
    """Return for each id what a policy may call that person: by any login they are seen under, or by the id."""
    names: dict[str, set[str]] = {}
    for account in accounts:
        called = names.setdefault(account.id, {f"id:{account.id.lower()}"})
        # Nobody gets to be another's id, or a team, by calling themselves so.
        called.update({account.login.lower()} if not account.login.lower().startswith(("id:", TEAM)) else ())
    return names


def approvers_of(policy: Resource[ApprovalPolicySpec], environment: str, risk: Risk | None) -> set[str]:
    """Return whom some rule lets approve promotions in an environment, as the policy calls them, in lower case.

    Of a model whose risk cannot be read, those who may whatever it is.
    """
    rules = [
        [rule for rule in policy.spec.rules if _matches(rule, "promotion", environment, tier)]
        for tier in (_TIERS if risk is None else (risk,))
    ]
    return set.intersection(
        *({name for rule in some for name in _eligible(policy.spec, rule, {})[0]} for some in rules)
    )


def _is_machine(name: str) -> bool:
    """Tell whether a name in a policy can only be a machine's."""
    return name.endswith("[bot]") or name == MACHINE


def _refusal(review: Review, asked: Judged, own: Collection[str], days: int | None) -> str | None:
    """Return why an eligible reviewer's decision does not count as an approval, or None when it does."""
    pull = asked.pull
    login = review.by.login.lower()
    if review.by.machine:
        return f"{login} is a machine, which cannot approve"
    if review.by.id in own:
        return f"{login} opened, wrote, committed or pushed a part of it, so their approval does not count"
    if review.state == "dismissed":
        return f"the review of {login} was dismissed"
    if review.state != "approved":
        return f"{login} requested changes"
    if review.commit != pull.head:
        return f"{login} approved {review.commit[:12]}, but the head is {pull.head[:12]} now"
    stale = asked.stale(review)
    if stale is not None:
        return f"{login} has to look again: {stale}"
    return _expired(review, asked.at, days) if days is not None else None


def _expiry(review: Review, days: int) -> datetime | None:
    """Return when an approval stops to count; None for one whose date cannot be read."""
    try:
        return parse_instant(review.submitted_at) + timedelta(days=days)
    except (ModelOpsError, OverflowError):
        return None


def _expired(review: Review, at: datetime | None, days: int) -> str | None:
    """Return why an approval does not count by its date: it is too old, or says no date that can be."""
    login, end = review.by.login.lower(), _expiry(review, days)
    if at is None or end is None:
        return f"nobody can tell how old the approval of {login} is ({review.submitted_at!r}); it counts {days} days"
    if end - timedelta(days=days) > at + _AHEAD:
        return f"{login} approved it in the future, on {review.submitted_at}; it is {format_instant(at)}"
    return f"the approval of {login} expired on {format_instant(end)}; it counted {days} days" if end <= at else None


def _judge_rule(
    policy: ApprovalPolicySpec,
    rule: ApprovalRule,
    asked: Judged,
    decisions: Mapping[str, Review],
    change: tuple[ChangeKind, str | None],
) -> tuple[RuleVerdict, list[str]]:
    eligible, reasons = _eligible(policy, rule, asked.teams)
    involved = (asked.pull.author, *asked.involved)
    names = _names((*involved, *(review.by for review in asked.reviews)))
    own = {account.id for account in involved}
    days = rule.expires_days or policy.expires_days
    approved: dict[str, Review] = {}
    blocked = False
    for id, review in sorted(decisions.items(), key=lambda item: item[1].by.login.lower()):
        if names[id].isdisjoint(eligible):
            continue
        refusal = _refusal(review, asked, own, days)
        if refusal is None:
            approved[id] = review
        else:
            reasons.append(refusal)
            # Who may say yes may also say no: a request for changes stands until the same person approves.
            mine = id in own or review.by.machine
            blocked = blocked or (review.state == "changes-requested" and not mine)
    unknown = sorted({account.login for account in involved if not account.id})
    if unknown and rule.minimum:
        who = ", ".join(unknown)
        reasons.append(f"the forge cannot tell who {who} is, who had a hand in it, so nobody is known to be another")
        blocked = True
    enough = len(approved) >= rule.minimum
    seen = {name for id in own | decisions.keys() for name in names[id]}
    could = sorted({shown for name, shown in eligible.items() if name not in seen and not _is_machine(name)})
    could = [] if enough else could
    verdict = RuleVerdict(
        *(*change, rule.minimum, tuple(sorted(set(eligible.values()))), enough and not blocked),
        tuple(map(_approval, approved.values())),
        tuple(
            (each.by.login, format_instant(end)) for each in approved.values() if days and (end := _expiry(each, days))
        ),
    )
    return verdict, _said(verdict, rule, reasons, could)


def _said(verdict: RuleVerdict, rule: ApprovalRule, reasons: list[str], could: Sequence[str]) -> list[str]:
    """Return in sentences how many approvals a rule has got; where they are too few, why and whom to ask."""
    what = f"{verdict.change} in {verdict.environment}" if verdict.environment else verdict.change
    given = len(verdict.counted)
    count = f"{given} of {rule.minimum} approval{'' if rule.minimum == 1 else 's'}"
    if verdict.ok:
        who = ", ".join(approval.login for approval in verdict.counted)
        return [f"{what}: {count}" + (f" ({who})" if who else "")]
    ask = f"; ask {', '.join(could)}" if could else ""
    return [*reasons, f"{what}: {count} by {', '.join(rule.approvers)}{ask}"]


def _approval(review: Review) -> Approval:
    """Return what is signed of an approval; an id that is the login itself says nothing more."""
    by = review.by
    id = by.id if by.id != by.login.lower() else None
    return Approval(login=by.login, id=id, commit=review.commit, base=review.base, submitted_at=review.submitted_at)
