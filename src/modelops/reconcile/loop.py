"""The loop: observe, plan, apply one action, look again, until nothing is runnable; then say how it stands."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.files import sweep, write_atomically
from modelops.governance.judged import known
from modelops.governance.landing import PROPOSED
from modelops.governance.pending import has_kept
from modelops.project.standing import UNAPPROVED
from modelops.project.target import remembered, rendered_by, target_of
from modelops.project.workspace import Workspace, environment, keys_of
from modelops.reconcile.actions import Action, Blocked, Entry, Serve, Texts, Wait, describe, model_of, runnable
from modelops.reconcile.deployments import show_deployments
from modelops.reconcile.facts import ModelFacts
from modelops.reconcile.lease import leases
from modelops.reconcile.mark import rewritten, set_mark
from modelops.reconcile.observe import Runtime, environment_facts, ran_before, runtime_of
from modelops.reconcile.plan import Plan, plan_environment, plan_rendered, rendered_facts, undenied
from modelops.spec.graph import Graph
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.routing import RoutingTable, table_digest
from modelops.targets import Running, Site

STATUS_FILE = "status.json"


@dataclass(frozen=True, slots=True)
class Condition:
    """Ready, Reconciling or Stalled, with the reason, as in Kubernetes and Flux."""

    model: str
    type: Literal["Ready", "Reconciling", "Stalled"]
    reason: str
    message: str
    revision: str
    time: str


@dataclass(frozen=True)
class Result:
    """What one run of the loop did and how it stands."""

    plan: Plan
    done: tuple[str, ...]
    conditions: tuple[Condition, ...]
    problems: tuple[Problem, ...]
    exit: Exit
    failed: Mapping[str, ModelOpsError] = field(default_factory=dict)

    def exit_of(self, model: str) -> Exit:
        """Return how it ended for one model, the runtime that it shares with others included."""
        mine = [entry for entry in self.plan.entries if model_of(entry) in (None, model)]
        blocked = (entry.exit for entry in mine if isinstance(entry, Blocked))
        errors = (self.failed[subject].exit for entry in mine if (subject := _subject(entry)) in self.failed)
        return max([Exit.OK, *blocked, *errors])


@dataclass(frozen=True)
class Seen:
    """One observation with the plan that follows from it; of what is only rendered nothing is ``observed``."""

    tip: str
    graph: Graph
    facts: tuple[ModelFacts, ...]
    plan: Plan
    observed: Running | None


def look(workspace: Workspace, name: str, runtime: Runtime | None = None, stuck: Collection[str] = ()) -> Seen:
    """Observe an environment at the tip of the branch as last fetched or landed, and plan it."""
    tip, graph = known(workspace)
    target = rendered_by(graph, name)
    runtime = runtime or runtime_of(workspace, name)
    if target is not None:
        runtime = replace(runtime, running=ran_before(workspace, name))
        facts = rendered_facts(environment_facts(workspace, graph, tip, name, runtime))
        return Seen(tip, graph, facts, plan_rendered(name, target, facts), None)
    observed = target_of(workspace, graph, name).observe()
    runtime = replace(
        runtime,
        running=observed.routes or ran_before(workspace, name),
        loaded=frozenset(arm.digest for arm in observed.arms if arm.ready),
    )
    facts = environment_facts(workspace, graph, tip, name, runtime)
    plan = plan_environment(name, facts, observed, table_digest, stuck, _keys(graph, name, runtime.running))
    return Seen(tip, graph, facts, plan, observed)


def _keys(graph: Graph, name: str, running: RoutingTable | None) -> tuple[ApiKey, ...] | None:
    """Return the keys that callers need; a wrong file never opens to everyone what is closed now."""
    keys = keys_of(graph, name)
    # Nor does what nobody approved let somebody in.
    held = any(problem.code in UNAPPROVED for problem in graph.troubles(None, name))
    shut = running is not None and (held or (keys is None and graph.troubles(None, name)))
    return running.keys if shut and running is not None else keys


def before_a_pass(workspace: Workspace, name: str, away: ModelOpsError | None) -> Runtime:
    """Return what this machine knows before anything is decided: what keeps everything from going forward, too."""
    runtime = runtime_of(workspace, name)
    gone = rewritten(workspace, name, workspace.tip())
    if gone is not None:
        return replace(runtime, trouble=ModelOpsError(gone, exit=Exit.NO), frozen=True)
    wrong = workspace.settings.problems
    return replace(runtime, trouble=away or (ModelOpsError(*wrong, exit=Exit.FILES) if wrong else None))


def plan_now(workspace: Workspace, name: str) -> Seen:
    """Return what a reconciliation would do now, changing nothing."""
    away = workspace.reach()
    workspace.repository.require_history()
    environment(known(workspace)[1], name)
    return look(workspace, name, before_a_pass(workspace, name, away))


def most_actions(models: int) -> int:
    """Return how many actions a pass may take before it counts as one that never comes to rest."""
    return 100 + 20 * models


def _subject(entry: Entry) -> str:
    """Return what the failure of an action stalls: its model, or the routing table that the runtime was to take."""
    return entry.digest if isinstance(entry, Serve) else str(model_of(entry))


def reconcile(
    workspace: Workspace,
    name: str,
    texts: Texts,
    *,
    say: Callable[[str], None] = lambda text: None,
    agree: Callable[[Plan], None] = lambda plan: None,
) -> Result:
    """Make an environment match git as far as it can be done now; ``agree`` sees the first plan and may raise.

    Stopping after any action and running again ends in the same state: every action reads what it needs from git and
    the runtime, and none is taken twice. A failing action stalls its own model, and only until the next run.
    """
    away = workspace.reach()
    workspace.repository.require_history()
    _, graph = known(workspace)
    target_of(workspace, graph, name).must_be_durable()
    if away is None:
        _push_kept(workspace, name, say)
    runtime = before_a_pass(workspace, name, away)
    done: list[str] = []
    failed: dict[tuple[str, str], ModelOpsError] = {}
    deployed = sorted(model for model, entry in graph.models.items() if name in entry.deployments)
    for folder in (runtime.site.runtime, *runtime.site.runtime.glob("*/")):
        sweep(folder)
    with leases(runtime.site, deployed) as held, target_of(workspace, graph, name).reserved() as elsewhere:
        if elsewhere is not None:
            held = dict.fromkeys(deployed, elsewhere) | held
        runtime = replace(runtime, held=held)
        seen = look(workspace, name, runtime)
        agree(seen.plan)
        restless = None
        for _ in range(most := most_actions(len(deployed))):
            ours = (entry for entry in seen.plan.actions if elsewhere is None or not _is_theirs(entry, seen.facts))
            action = next((entry for entry in ours if not _hopeless(entry, failed)), None)
            if action is None:
                break
            say(describe(action))
            workspace.doing(describe(action))
            try:
                done.append(_apply(workspace, seen, action, texts))
            except ModelOpsError as error:
                failed[_subject(action), type(action).__name__ if _push_refused(error) else ""] = error
                say(f"{'waits' if _only_waits(error) else 'failed'}: {error.first.message}")
            unpushed = [subject for (subject, _), error in failed.items() if _push_refused(error)]
            seen = look(workspace, name, replace(runtime, unpushed=unpushed), {subject for subject, _ in failed})
        else:
            restless = failure("no-rest", f"{name} did not come to rest in {most} actions", exit=Exit.BUG)
        # What failed and then was no longer wanted is history; what is still to be done stalls.
        undone = {_subject(entry) for entry in seen.plan.actions}
        left = {subject: error for (subject, _), error in failed.items() if subject in undone}
        conditions = conditions_of(workspace, seen, left)
        write_atomically(workspace.site(name).runtime / STATUS_FILE, _status_bytes(conditions))
        if restless is not None:
            raise restless
        if not runtime.frozen:
            set_mark(workspace, name, seen.tip)
            if elsewhere is None:
                # Two that seal at once, each by the copy that it has, would call what the other one has gone.
                _seal(workspace, seen.graph, name, say)
            if seen.observed is not None:
                # What is only rendered is not observed, so that nothing is said of it.
                show_deployments(workspace, name, seen.tip, seen.facts, seen.observed, say)
    waits = [error for error in left.values() if _only_waits(error)]
    errors = [*([runtime.trouble] if runtime.trouble is not None else []), *left.values()]
    problems = tuple(dict.fromkeys(problem for one in errors if one not in waits for problem in one.problems))
    code = max([Exit.OK, seen.plan.exit, *(error.exit for error in errors)])
    return Result(seen.plan, tuple(done), conditions, problems, code, left)


def _is_theirs(entry: Entry, facts: Collection[ModelFacts]) -> bool:
    """Tell whether an action is left to the reconciler elsewhere that has the environment: every change of the runtime.

    It may be in the middle of one, and what is read here by then is that of before. A denied release loses its traffic
    at once all the same, whoever is at work.
    """
    if not isinstance(entry, Serve):
        return False
    return all(undenied(each, each.observed.running) == each.observed.running for each in facts)


def _hopeless(entry: Entry, failed: Mapping[tuple[str, str], ModelOpsError]) -> bool:
    """Tell whether an action is not tried again in this pass.

    What failed stalls its subject; what could only not be pushed waits by itself, and the rest of the subject goes on.
    """
    return (_subject(entry), "") in failed or (_subject(entry), type(entry).__name__) in failed


def _apply(workspace: Workspace, seen: Seen, action: Action, texts: Texts) -> str:
    # What acts is slow to import, and most passes have nothing to do.
    from modelops.reconcile.apply import apply

    return apply(workspace, seen.graph, seen.tip, action, seen.facts, texts)


def _push_refused(error: ModelOpsError) -> bool:
    return any(problem.code in ("push-rejected", "remote-unreachable", PROPOSED) for problem in error.problems)


def _only_waits(error: ModelOpsError) -> bool:
    return error.first.code == PROPOSED


def _seal(workspace: Workspace, graph: Graph, name: str, say: Callable[[str], None]) -> None:
    # What signs is slow to import, and one look an hour is enough.
    from modelops.changes.sealing import seal_when_due

    for problem in seal_when_due(workspace, graph, name):
        say(f"prediction log: {problem.message}")


def _push_kept(workspace: Workspace, name: str, say: Callable[[str], None]) -> None:
    if has_kept(workspace.site(name)):
        # What lands commits is slow to import, and hardly ever is anything kept.
        from modelops.governance.emergency import push_kept

        push_kept(workspace, name, say)


def read_conditions(site: Site) -> tuple[Condition, ...]:
    """Return the conditions that the last reconciliation left."""
    names = [each.name for each in fields(Condition)]
    try:
        rows = json.loads((site.runtime / STATUS_FILE).read_text(encoding="utf-8"))["conditions"]
        return tuple(Condition(**{name: str(row[name]) for name in names}) for row in rows)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _status_bytes(conditions: tuple[Condition, ...]) -> bytes:
    rows = [asdict(condition) for condition in conditions]
    return json.dumps({"conditions": rows}, indent=2, sort_keys=True).encode()


def conditions_of(
    workspace: Workspace, seen: Seen, failed: Mapping[str, ModelOpsError] | None = None
) -> tuple[Condition, ...]:
    """Return how every model stands, given what was seen and which actions failed just now."""
    failed = failed or {}
    now = format_instant(workspace.clock())
    conditions = []
    about: dict[str | None, list[int]] = {}
    for at, entry in enumerate(seen.plan.entries):
        about.setdefault(model_of(entry), []).append(at)
    for facts in seen.facts:
        mine = [seen.plan.entries[at] for at in sorted([*about.get(None, ()), *about.get(facts.seat.model, ())])]
        blocked = [entry for entry in mine if isinstance(entry, Blocked)]
        waiting = next((entry for entry in mine if isinstance(entry, Wait)), None)
        error = next((failed[_subject(entry)] for entry in mine if _subject(entry) in failed), None)
        kind: Literal["Ready", "Reconciling", "Stalled"]
        if error is not None and _only_waits(error):
            kind, reason, message = "Reconciling", PROPOSED, f"{error.first.message}; {error.first.hint}"
        elif error is not None:
            kind, reason, message = "Stalled", error.first.code, _failed(workspace, mine, error)
        elif blocked:
            kind, reason, message = "Stalled", blocked[0].code, "; ".join(entry.reason for entry in blocked)
        elif waiting is not None:
            kind, reason, message = "Reconciling", *_waits(facts, waiting)
        elif any(runnable(entry) for entry in mine):
            kind, reason, message = "Reconciling", "pending", "; ".join(map(describe, mine))
        else:
            kind, reason, message = "Ready", "reconciled", _takes(facts)
        conditions.append(Condition(facts.seat.model, kind, reason, message, seen.tip, now))
    return tuple(conditions)


def _failed(workspace: Workspace, mine: Sequence[Entry], error: ModelOpsError) -> str:
    """Return what went wrong, and what waits for a push that was refused, by whom it was tried."""
    said = error.first.message
    if not _push_refused(error):
        return said
    waits = "; ".join(describe(entry) for entry in mine if runnable(entry))
    who = workspace.repository.find_user()
    tried = f", as git's user here is {who.login}" if who is not None else ""
    return f"{said}{tried}; what was approved runs, and this waits for the right to push: {waits}"


def _takes(facts: ModelFacts) -> str:
    left = f"; {facts.observed.aftermath.told}" if facts.observed.aftermath is not None else ""
    return f"release {facts.desired.stable} takes the traffic{left}"


def _waits(facts: ModelFacts, waiting: Wait) -> tuple[str, str]:
    """Return why a rollout waits, and the failed guards of one that only reports them."""
    if facts.observed.held_by is not None:
        return "held", waiting.reason
    if facts.observed.kept:
        return "kept-here", waiting.reason
    failed = "; ".join(check.reason for check in waiting.checks if check.verdict == "fail")
    if facts.desired.on_failure == "alert" and failed:
        return "guard-failed", f"{failed}; the rollout goes on: {waiting.reason}"
    return "rollout", waiting.reason


def stop(workspace: Workspace, name: str) -> None:
    """End what runs an environment on this machine; what runs is known here, so that neither remote nor main matter."""
    (remembered(workspace, name) or target_of(workspace, workspace.known()[1], name)).stop()


def watch(
    workspace: Workspace,
    name: str,
    texts: Texts,
    interval: float,
    report: Callable[[Result | Problem], None],
    *,
    passes: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Reconcile again and again; one failing pass is reported and never ends the loop."""
    count = 0
    while passes is None or count < passes:
        count += 1
        try:
            report(reconcile(workspace, name, texts, say=say))
        except ModelOpsError as error:
            for problem in error.problems:
                report(problem)
        except Exception as error:
            # One pass may fail in ways nobody foresaw; the loop must outlive it and say what happened.
            report(Problem("pass-failed", "".join(traceback.format_exception_only(error)).strip()))
        time.sleep(interval)
