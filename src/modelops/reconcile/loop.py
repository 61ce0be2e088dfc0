"""The loop: observe, plan, apply one action, look again, until nothing is runnable; then say how it stands."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.reconcile.actions import Action, Blocked, Entry, Judge, Serve, Wait, describe, runnable
from modelops.reconcile.apply import apply
from modelops.reconcile.observe import environment_facts, observe_target, running_table, target_of
from modelops.reconcile.plan import ModelFacts, Plan, plan_environment
from modelops.reconcile.state import lease
from modelops.reconcile.workspace import Workspace, environment, keys_of
from modelops.spec.graph import Graph
from modelops.targets import Site
from modelops.targets._files import write_atomically

MAXIMUM_ACTIONS = 100
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


@dataclass(frozen=True)
class Seen:
    """One observation with the plan that follows from it."""

    tip: str
    graph: Graph
    facts: tuple[ModelFacts, ...]
    plan: Plan


@contextlib.contextmanager
def _leases(workspace: Workspace, graph: Graph, name: str) -> Iterator[dict[str, str]]:
    """Take the lease of every model deployed here; yields who holds the ones that could not be had."""
    site = workspace.site(name)
    with contextlib.ExitStack() as stack:
        held = {
            model: holder
            for model in sorted(graph.models)
            if name in graph.models[model].deployments
            and (holder := stack.enter_context(lease(site, model))) is not None
        }
        yield held


def look(workspace: Workspace, name: str, held: Mapping[str, str], stuck: Collection[str] = ()) -> Seen:
    """Observe an environment at the tip of the branch as last fetched or landed, and plan it."""
    return _look_at(workspace, *workspace.known(), name, held, stuck)


def _look_at(
    workspace: Workspace, tip: str, graph: Graph, name: str, held: Mapping[str, str], stuck: Collection[str] = ()
) -> Seen:
    module, _ = target_of(graph, name)
    observed = observe_target(graph, name, workspace.site(name))
    loaded = frozenset(arm.digest for arm in observed.arms if arm.ready)
    facts = environment_facts(workspace, graph, tip, name, held, loaded)
    plan = plan_environment(name, facts, observed, module.table_digest, stuck, keys_of(graph, name))
    return Seen(tip, graph, facts, plan)


def plan_now(workspace: Workspace, name: str) -> Seen:
    """Return what a reconciliation would do now, changing nothing."""
    _, graph = workspace.desired()
    environment(graph, name)
    return look(workspace, name, {})


def _subject(entry: Entry) -> str:
    """Return what the failure of an action stalls: its model, or the routing table that the runtime was to take."""
    return entry.digest if isinstance(entry, Serve) else entry.model


def reconcile(
    workspace: Workspace,
    name: str,
    *,
    say: Callable[[str], None] = lambda text: None,
    agree: Callable[[Plan], None] = lambda plan: None,
) -> Result:
    """Make an environment match git as far as it can be done now; ``agree`` sees the first plan and may raise.

    Stopping after any action and running again ends in the same state: every action reads what it needs from git and
    the runtime, and none is taken twice. A failing action stalls its own model, and only until the next run.
    """
    try:
        _, graph = workspace.desired()
    except ModelOpsError:
        try:
            keep_running(workspace, name, say)
        except ModelOpsError as other:
            # What is wrong with main is what people have to hear of.
            say(f"failed: {other.problems[0].message}")
        raise
    environment(graph, name)
    done: list[str] = []
    failed: dict[str, ModelOpsError] = {}
    with _leases(workspace, graph, name) as held:
        seen = look(workspace, name, held)
        agree(seen.plan)
        for _ in range(MAXIMUM_ACTIONS):
            action = next((entry for entry in seen.plan.actions if _subject(entry) not in failed), None)
            if action is None:
                break
            say(describe(action))
            try:
                done.append(apply(workspace, seen.graph, seen.tip, _as_action(action), seen.facts))
            except ModelOpsError as error:
                failed[_subject(action)] = error
                say(f"failed: {error.problems[0].message}")
            seen = look(workspace, name, held, failed)
        else:
            raise failure("no-rest", f"{name} did not come to rest in {MAXIMUM_ACTIONS} actions", exit=Exit.BUG)
        # What failed and then was no longer wanted is history; what is still to be done stalls.
        undone = {_subject(entry) for entry in seen.plan.actions}
        failed = {subject: error for subject, error in failed.items() if subject in undone}
        conditions = conditions_of(workspace, seen, failed)
        write_atomically(workspace.site(name).runtime / STATUS_FILE, _status_bytes(conditions))
    problems = tuple(dict.fromkeys(problem for error in failed.values() for problem in error.problems))
    blocked = [Exit.NO] if seen.plan.refused else []
    code = max([Exit.OK, *blocked, *(error.exit for error in failed.values())])
    return Result(seen.plan, tuple(done), conditions, problems, code)


def keep_running(workspace: Workspace, name: str, say: Callable[[str], None]) -> None:
    """Look after what runs when main cannot be read or fetched: what people broke must not hurt anybody else.

    What is down is started again, and by the revision that was reconciled last a failing candidate loses its traffic.
    Nothing goes forward, and nothing is committed before main can be read again.
    """
    site = workspace.site(name)
    table = running_table(site)
    revision = next((row["revision"] for row in read_conditions(site)), None)
    if table is None or revision is None:
        return
    graph = workspace.graph(str(revision))
    if not observe_target(graph, name, site).running:
        module, params = target_of(graph, name)
        module.apply(params, site, table)
    with _leases(workspace, graph, name) as held:
        seen = _look_at(workspace, str(revision), graph, name, held)
        failing = [each for each in seen.plan.actions if isinstance(each, Judge) and each.outcome == "rollback"]
        for judge in failing:
            say(describe(judge))
            apply(workspace, graph, seen.tip, judge, seen.facts)
        if failing:
            seen = _look_at(workspace, str(revision), graph, name, held)
            for serve in (each for each in seen.plan.actions if isinstance(each, Serve)):
                say(describe(serve))
                apply(workspace, graph, seen.tip, serve, seen.facts)


def read_conditions(site: Site) -> list[dict[str, Any]]:
    """Return the conditions that the last reconciliation left."""
    try:
        rows = json.loads((site.runtime / STATUS_FILE).read_text(encoding="utf-8"))["conditions"]
        return [{"model": row["model"], "revision": row["revision"], **row} for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _status_bytes(conditions: tuple[Condition, ...]) -> bytes:
    rows = [asdict(condition) for condition in conditions]
    return json.dumps({"conditions": rows}, indent=2, sort_keys=True).encode()


def _as_action(entry: object) -> Action:
    if isinstance(entry, Wait | Blocked) or not runnable(entry):  # type: ignore[arg-type]
        raise TypeError(f"{entry} is not an action")
    return entry  # type: ignore[return-value]


def conditions_of(
    workspace: Workspace, seen: Seen, failed: Mapping[str, ModelOpsError] | None = None
) -> tuple[Condition, ...]:
    """Return how every model stands, given what was seen and which actions failed just now."""
    failed = failed or {}
    now = format_instant(workspace.clock())
    conditions = []
    for facts in seen.facts:
        mine = [entry for entry in seen.plan.entries if getattr(entry, "model", facts.model) == facts.model]
        blocked = [entry for entry in mine if isinstance(entry, Blocked)]
        waiting = next((entry for entry in mine if isinstance(entry, Wait)), None)
        error = next((failed[_subject(entry)] for entry in mine if _subject(entry) in failed), None)
        kind: Literal["Ready", "Reconciling", "Stalled"]
        if error is not None:
            kind, reason, message = "Stalled", error.problems[0].code, error.problems[0].message
        elif blocked:
            kind, reason, message = "Stalled", blocked[0].code, "; ".join(entry.reason for entry in blocked)
        elif waiting is not None:
            kind, reason, message = "Reconciling", *_waits(facts, waiting)
        elif any(runnable(entry) for entry in mine):
            kind, reason, message = "Reconciling", "pending", "; ".join(map(describe, mine))
        else:
            kind, reason, message = "Ready", "reconciled", f"release {facts.stable} takes the traffic"
        conditions.append(Condition(facts.model, kind, reason, message, seen.tip, now))
    return tuple(conditions)


def _waits(facts: ModelFacts, waiting: Wait) -> tuple[str, str]:
    """Return why a rollout waits, and the failed guards of one that only reports them."""
    failed = "; ".join(check.reason for check in waiting.checks if check.verdict == "fail")
    if facts.on_failure == "alert" and failed:
        return "guard-failed", f"{failed}; the rollout goes on: {waiting.reason}"
    return "rollout", waiting.reason


def watch(
    workspace: Workspace,
    name: str,
    interval: float,
    report: Callable[[Result | Problem], None],
    *,
    passes: int | None = None,
) -> None:
    """Reconcile again and again; one failing pass is reported and never ends the loop."""
    count = 0
    while passes is None or count < passes:
        count += 1
        try:
            report(reconcile(workspace, name))
        except ModelOpsError as error:
            for problem in error.problems:
                report(problem)
        except Exception as error:
            # One pass may fail in ways nobody foresaw; the loop must outlive it and say what happened.
            report(Problem("pass-failed", "".join(traceback.format_exception_only(error)).strip()))
        time.sleep(interval)
