"""Every answer reads as its golden files, and nothing that it quotes becomes markup or steers a terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelops.views
from conftest import Golden
from modelops.handbook.topics import find
from modelops.rollouts.simulation import Run, Simulation, World
from modelops.rollouts.worlds import Truth
from modelops.views import (
    differences,
    findings,
    forecasts,
    locks,
    maturity,
    monitor,
    packages,
    plan,
    pull_requests,
    reconciliation,
    release,
    reproduction,
    rollback,
    rollout,
    scoring,
    status,
    telling,
)
from modelops.views.data import outcomes, snapshot, travelling, upstream
from modelops.views.handbook import topics
from modelops.views.proofs import audit as audited
from modelops.views.proofs import branch, fence, judging, listings, repository, trust, verified, waivers
from modelops.views.proposals import (
    aims,
    delivery,
    ending,
    labels,
    measured,
    postmortem,
    promotion,
    published,
    restoration,
    retraining,
)
from modelops.views.reports import audited as audits
from modelops.views.reports import built, documents, incidents, monitored, simulated
from modelops.views.trials import picture, rehearsal, replay, runs
from views import answers as plain_answers
from views import listed_answers as listed
from views import loop_answers as said
from views import pull_answers as pulls
from views import source_answers as sources
from views import told_answers as told
from views import tried_answers as tried
from views.test_views import UNSEEN, dumped

REPORT = measured.report(pulls.MEASURED).model_copy(update={"modelops": "0.1.0"})
CHECKED = published.gates(REPORT, None, (f".github/{said.HOSTILE}",), (said.HOSTILE,), "https://github.example/runs/1")
PENDING = published.approvals(pulls.LOOK.verdict, None, "")
ASKED = audits.Asked("2026-05-04T08:00:00Z", plain_answers.COMMIT, "main", f"modelops audit prediction {said.HOSTILE}")
AUDITED = {
    "audited-prediction": listed.EXPLAINED,
    "audited-release": plain_answers.RELEASE,
    "audited-environment": plain_answers.ENVIRONMENT,
    "audited-log": plain_answers.FLAWED,
    "audited-branch": said.JUDGEMENT,
    "audited-everything": told.VERIFIED,
}
TEXTS = {
    "measured": measured.text(REPORT),
    "maturity": maturity.text(said.MATURITY),
    "repository": repository.text(said.POINTS),
    "plan": plan.text(said.PLAN, said.PLANNED),
    "plan-nothing": plan.text(said.NOTHING),
    "plan-renders-nothing": plan.text(said.RENDERS_NOTHING),
    "delivery": delivery.text(
        [{"model": "churn", "result": "released churn 1"}], [said.RESULT], said.UNREACHED, [said.PROPOSAL], "production"
    ),
    "delivery-intention": delivery.intention(["staging"], "production"),
    "delivery-nothing": delivery.text([], [], {}, [], "production"),
    "reconciliation": reconciliation.text(said.RESULT),
    "reconciliation-nothing": reconciliation.text(replace(said.RESULT, done=(), conditions=())),
    "status": status.text(said.ENVIRONMENTS),
    "status-nothing": status.text(()),
    "status-model": status.model_text(said.MODEL),
    "status-unapproved": status.text(said.ENVIRONMENTS[:1], (said.PUSHED,) * 22),
    "trust-endorsed": trust.endorsed_text(said.ENDORSED),
    "branch": branch.text(said.JUDGEMENT),
    "verified": verified.text(told.VERIFIED),
    "listings-package": listings.text(listed.DEPENDENTS),
    "listings-approvals": listings.text(listed.APPROVED),
    "listings-gates": listings.text(listed.UNPASSED),
    "listings-waivers": listings.waivers_text((), listed.WAIVED, f"no policies {listed.HOSTILE}"),
    "listings-entity": listings.entity_text(listed.ENTITY, 7),
    "audit-explained": audited.text(listed.EXPLAINED),
    "audit-unexplained": audited.text(listed.UNEXPLAINED),
    "documents": documents.gaps_text(told.PAPER),
    "branch-clears": branch.clears_line(said.PUSHED),
    "rollout": rollout.text(said.ROLLOUT),
    "rollout-none": rollout.text(said.NO_ROLLOUT),
    "rollout-steered": rollout.steered_text(said.STEERED),
    "rollout-steered-already": rollout.steered_text(replace(said.STEERED, already=f"by ana {said.HOSTILE}")),
    "replay": replay.text(said.REPLAY),
    "release": release.text([said.BUILT]),
    "release-nothing": release.text([]),
    "release-waived": release.text([said.WAIVED]),
    "release-undecided": release.text([said.UNDECIDED]),
    "waivers": waivers.text(said.WAIVERS),
    "reproduction": reproduction.text(said.COMPARISON),
    "monitor": monitor.text("production", said.WATCHED),
    "monitor-nothing": monitor.text("production", ()),
    "promotion": promotion.text(said.PROPOSAL),
    "pull-request": pull_requests.text(said.DISCUSSION, pulls.LOOK),
    "differences": differences.text(pulls.COMPARED),
    "pull-request-list": pull_requests.list_text([said.PULL], "all"),
    "pull-request-list-none": pull_requests.list_text([], "open"),
    "pull-request-opened": pull_requests.opened_text(said.OPENED),
    "pull-request-merged": pull_requests.merged_text(said.PULL, said.PULL),
    "pull-request-closed": pull_requests.closed_text(said.PULL, replace(said.PULL, closed_by=said.ANA)),
    "findings": findings.text(said.FINDINGS),
    "fence": fence.text(*said.FENCE),
    "snapshot": snapshot.text("q1", said.SNAPSHOT),
    "snapshot-verified": snapshot.verified_text("q1", 3, 1),
    "rehearsal": rehearsal.text(said.REHEARSED),
    "rehearsal-none": rehearsal.text(said.UNREHEARSED),
    "travelling-sent": travelling.sent_text(said.SENT),
    "travelling-pulled": travelling.pulled_text(said.PULLED),
    "travelling-status": travelling.status_text(said.FOUND),
    "locks": locks.text(said.LOCK),
    "labels": labels.text(sources.DECLARED),
    "aims": aims.text(sources.AIMS),
    "monitor-aimed": monitor.text("production", sources.AIMED),
    "outcomes": outcomes.text("fraud", sources.AIMS[0].objective, sources.ENTERED),
    "upstream-impact": upstream.impact_text(sources.IMPACT),
    "upstream-impact-nothing": upstream.impact_text(sources.NOTHING_BELOW),
    "upstream-checks": upstream.checks_text(sources.CHECKED),
    "upstream-checks-nothing": upstream.checks_text(()),
    "scoring": scoring.text(said.SCORED, f"fraud {said.HOSTILE}"),
    "rollback": rollback.text(said.ROLLED_BACK),
    "rollback-kept": rollback.text(said.KEPT),
    "packages": packages.text(told.PACKAGE, told.BUILT, told.FOLDER),
    "packages-unbuilt": packages.text(told.PACKAGE, None, told.FOLDER),
    "telling": "\n".join(telling.lines(told.STANDING)),
    "runs": runs.text(tried.RUNS),
    "runs-none": runs.text(()),
    "runs-compared": runs.compared_text(tried.BESIDE),
    "runs-tried": runs.tried_text(tried.BESIDE, "roc-auc", 7, 3),
    "runs-branched": runs.branched_text(tried.BRANCHED),
    "topics": topics.text(find("Silence")),
    "topics-code": topics.text(find("approval-missing")),
    "judging": judging.text(tried.JUDGEMENT),
    "judging-drift": judging.drift_text(tried.DRIFTED),
    "judging-proven": judging.proven_text(tried.PROVEN),
    "incidents": "\n".join([*incidents.lines(told.KEPT), *map(incidents.filed_line, told.FILED)]),
    "incidents-brief": "\n".join(incidents.brief(told.KEPT)),
    "rollback-already": rollback.text(replace(said.ROLLED_BACK, already=f"by ana {said.HOSTILE}")),
}
DATA: dict[str, Any] = {
    "measured": REPORT.model_dump(mode="json", by_alias=True),
    "maturity": maturity.data(said.MATURITY),
    "repository": repository.data(said.POINTS),
    "plan": plan.data(said.PLAN, said.PLANNED),
    "forecasts": forecasts.data(said.PLANNED),
    "delivery": delivery.data(
        [{"model": "churn", "result": "released churn 1"}], [said.RESULT], said.UNREACHED, [said.PROPOSAL]
    ),
    "reconciliation": reconciliation.data(said.RESULT),
    "status": status.data(said.ENVIRONMENTS),
    "status-model": status.model_data(said.MODEL),
    "branch": branch.data(said.JUDGEMENT),
    "verified": verified.data(told.VERIFIED),
    "listings-package": listings.data(listed.DEPENDENTS),
    "listings-approvals": listings.data(listed.APPROVED),
    "listings-gates": listings.data(listed.UNPASSED),
    "listings-waivers": listings.waivers_data((), listed.WAIVED),
    "audit-explained": audited.data(listed.EXPLAINED),
    "documents": documents.data(told.PAPER),
    "rollout": rollout.data(said.ROLLOUT),
    "rollout-none": rollout.data(said.NO_ROLLOUT),
    "rollout-steered": rollout.steered_data(said.STEERED),
    "release": release.data([said.BUILT]),
    "release-waived": release.data([said.WAIVED]),
    "reproduction": reproduction.data(said.COMPARISON),
    "monitor": monitor.data("production", said.WATCHED),
    "monitor-whole": monitor.data("production", said.REPORTED),
    "promotion": promotion.data(said.PROPOSAL),
    "pull-request": pull_requests.data(said.DISCUSSION, pulls.LOOK),
    "differences": differences.data(pulls.COMPARED),
    "pull-request-list": pull_requests.list_data([said.PULL]),
    "pull-request-opened": pull_requests.opened_data(said.OPENED),
    "findings": findings.data(said.FINDINGS),
    "fence": fence.data(*said.FENCE),
    "travelling-status": travelling.status_data(said.FOUND),
    "locks": locks.data(said.LOCK),
    "labels": labels.data(sources.DECLARED),
    "aims": aims.data(sources.AIMS),
    "monitor-aimed": monitor.data("production", sources.AIMED[:1]),
    "outcomes": outcomes.data("fraud", sources.ENTERED),
    "upstream-impact": upstream.impact_data(sources.IMPACT),
    "upstream-checks": upstream.checks_data(sources.CHECKED),
    "monitor-fed": monitor.data("production", sources.FED),
    "scoring": scoring.data(said.SCORED, "fraud"),
    "snapshot": snapshot.data("q1", "models/fraud/data/q1.yaml", said.SNAPSHOT),
    "snapshot-verified": snapshot.verified_data("q1", said.SNAPSHOT, said.FINDINGS.problems),
    "rehearsal": rehearsal.data(said.REHEARSED),
    "packages": packages.data(told.PACKAGE, told.BUILT, Path("out")),
    "telling": telling.data(told.STANDING),
    "runs": runs.data(tried.RUNS),
    "runs-compared": runs.compared_data(tried.BESIDE, "roc-auc", 7, 3),
    "runs-branched": runs.branched_data(tried.BRANCHED),
    "topics": topics.data(find("training.seed")),
    "judging": judging.data(tried.JUDGEMENT),
    "judging-drift": judging.drift_data(tried.DRIFTED),
    "judging-proven": judging.proven_data(tried.PROVEN),
    "incidents": incidents.data(told.KEPT) | {"filed": [incidents.filed(one) for one in told.FILED]},
    "rollback": rollback.data(said.ROLLED_BACK, said.RESULT),
    "rollback-kept": rollback.data(said.KEPT, None),
}
MARKDOWN = {
    "release": release.markdown(said.BUILT),
    "release-waived": release.markdown(said.WAIVED),
    "release-undecided": release.markdown(said.UNDECIDED),
    "promotion": promotion.markdown(said.PROMOTION),
    "promotion-challenger": promotion.markdown(said.CHALLENGE),
    "ending": ending.markdown(said.ENDING),
    "ending-forgotten": ending.markdown(replace(said.ENDING, state=None)),
    "restoration": restoration.markdown(said.RESTORATION),
    "retraining": retraining.markdown(said.RETRAINING),
    "postmortem": postmortem.markdown(told.POSTMORTEM),
    "documents": documents.markdown(told.PAPER),
    "monitored": monitored.markdown(f"production {said.HOSTILE}", said.REPORTED),
    "built": built.markdown([said.BUILT], {}),
    "simulated": simulated.markdown(tried.SIMULATED),
    **{name: audits.markdown(audits.report(answer, ASKED)) for name, answer in AUDITED.items()},
    "monitored-nothing": monitored.markdown("production", ()),
    "published": published.comment(said.PULL, REPORT, CHECKED, PENDING),
    "published-unknown": published.comment(said.PULL, None, published.gates(None, None, (), (), ""), PENDING),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_terminal_is_told_in_plain_text(name: str, golden: Golden) -> None:
    """Each text is its golden file; no value of a file or a caller brings a control or turns the direction of text."""
    assert not UNSEEN.search(TEXTS[name])
    golden(f"{name}.txt", TEXTS[name] + "\n")


@pytest.mark.parametrize("name", DATA)
def test_a_program_is_told_in_stable_keys(name: str, golden: Golden) -> None:
    """Each document is its golden file, with values as they are."""
    golden(f"{name}.json", dumped(DATA[name]))


def test_a_replay_is_told_in_stable_keys(golden: Golden) -> None:
    """It names today's version beside those that decided then."""
    data = replay.data(said.REPLAY)
    assert data["versions"]
    golden("replay.json", dumped(data | {"versions": ["0.1.0"]}))


@pytest.mark.parametrize("name", MARKDOWN)
def test_a_reviewer_reads_no_markup_of_others(name: str, golden: Golden) -> None:
    """Each body is its golden file; outside of code a value is neither tag, link, heading nor another cell."""
    text = MARKDOWN[name]
    assert not UNSEEN.search(text)
    bare = re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert "<img" not in bare
    assert not re.search(r"(?<!\\)\]\((?!https://github\.example/runs/1\))", bare)
    assert "\n# h" not in bare
    tables = [block.split("\n") for block in re.findall(r"(?:^\|.*(?:\n|$))+", bare, re.M)]
    for rows in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows if row}) == 1
    golden(f"{name}.md", text + "\n")


def test_a_picture_is_well_formed(golden: Golden) -> None:
    """Its words are text, whatever they say, and hold no control that XML has no letter for."""
    world = World(requests_per_hour=600.0, arms={"stable": Truth(), "candidate": Truth()}, every=20.0, until=10080.0)
    runs = tuple(Run("promote", "candidate", 60.0 * n, 600 * n, n, 0.0, ((0.0, 0.1),)) for n in range(1, 4))
    drawn = picture.picture(f"fraud {said.HOSTILE}", [(said.HOSTILE, Simulation(world, runs))])
    words = [each.text or "" for each in ElementTree.fromstring(drawn).iter() if each.tag.endswith("text")]
    assert any("<img src=x>" in word for word in words)
    golden("picture.svg", drawn)


@given(st.text(min_size=1))
def test_no_reason_forges_the_block_that_programs_read(reason: str) -> None:
    """What a body says of a pull request for programs is a comment of HTML, which no value can open."""
    for text in (
        ending.markdown(replace(said.ENDING, reason=reason)),
        restoration.markdown(replace(said.RESTORATION, reason=f"<!-- {reason}")),
        retraining.markdown(replace(said.RETRAINING, reason=f"<!-- {reason}")),
    ):
        assert "<!--" not in text
        assert not UNSEEN.search(text)


def test_every_view_has_golden_files() -> None:
    """A view whose text nobody compares whole is no view."""
    known = {path.name.partition(".")[0] for path in (Path(__file__).parent / "golden").iterdir()}
    shared = {"__init__", "terminal", "sections", "groups"}  # what several views are made of
    names = {path.stem for path in Path(modelops.views.__path__[0]).rglob("*.py")} - shared
    plural = {"pull_requests": "pull-request"}
    missing = {
        name for name in names if not any(file.startswith(plural.get(name, name).replace("_", "-")) for file in known)
    }
    assert not missing
