"""The demonstration's script: seven chapters told with modelops' own verbs and plain git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from modelops.demo.traffic import Answered, Row, Traffic, read_months
from modelops.errors import Exit, failure
from modelops.spec import layout
from modelops.views.terminal import colored

MODEL = "fraud-detection"
AUTHOR = ("Ada Lovelace", "ada@example.com")
REVIEWER = "grace"
SLICE_BREAKS = ('handle_unknown="ignore"', 'handle_unknown="error"')
"""The third pull request's one-word change: sound on all the data there is, wrong for a channel that is new."""


Verb = Callable[[Sequence[str], Path, Mapping[str, str]], tuple[int, str, str]]
"""Runs one of modelops' verbs in a folder with these variables; returns its code, its output and what it said."""


@dataclass
class Story:
    """One telling: the folders, the logical clock, how verbs are run, and what was measured on the way."""

    folder: Path
    verb: Verb
    began: float = field(default_factory=time.perf_counter)

    @property
    def checkout(self) -> Path:
        """The checkout in which everything is done."""
        return self.folder / "repository"

    @property
    def clock(self) -> Path:
        """The file that holds the logical time."""
        return self.folder / "clock"

    def at(self, instant: str) -> None:
        """Set the logical time."""
        self.clock.write_text(instant, encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """Return the variables that git and modelops run with."""
        # The story ends with its machine's job as its servers do, so that what it sees of them counts.
        left_out = ("GIT_", "RUNNER_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        now = self.clock.read_text(encoding="utf-8").strip()
        return kept | {
            "MODELOPS_CLOCK": str(self.clock),
            "GIT_AUTHOR_DATE": now,
            "GIT_COMMITTER_DATE": now,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "NO_COLOR": "1",
        }

    def run(self, *words: str, expect: tuple[int, ...] = (0,), show: bool = True) -> str:
        """Run a command in the checkout, show it with its output, and stop the story if it ends unexpectedly."""
        shown = " ".join(f"'{word}'" if " " in word else word for word in words)
        if show:
            click.echo(colored(f"$ {shown}", "cyan"))
        code, output, errors = self._done(words)
        if code not in expect:
            said = (errors or output).strip()[-2000:]
            raise failure("story-broken", f"`{shown}` ended with {code}: {said}", exit=Exit.BUG)
        if show and output.strip():
            click.echo("\n".join("  " + line for line in output.rstrip().splitlines()))
        return output

    def _done(self, words: Sequence[str]) -> tuple[int, str, str]:
        if words[0] == "modelops":
            return self.verb(words[1:], self.checkout, self.environment())
        done = subprocess.run(words, cwd=self.checkout, env=self.environment(), capture_output=True)
        output, errors = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
        return done.returncode, output, errors

    def ask(self, *words: str, expect: tuple[int, ...] = (0, 1)) -> Any:
        """Run a verb with JSON output, quietly."""
        return json.loads(self.run("modelops", *words, "-o", "json", expect=expect, show=False))

    def require(self, holds: bool, claim: str) -> None:
        """End the story when what it tells has not happened."""
        if not holds:
            raise failure("story-broken", f"it was not so that {claim}", exit=Exit.BUG)

    def chapter(self, number: int, title: str) -> None:
        """Begin a chapter."""
        now = self.clock.read_text(encoding="utf-8")[:10]
        click.echo(colored(f"\n{number}. {title}  [{now}]", "green", bold=True))

    def say(self, text: str) -> None:
        """Say something that was measured or that the reader needs to know."""
        click.echo(text)


def tell(folder: Path, verb: Verb, *, kept: bool) -> int:
    """Tell the story in a folder; servers are stopped at the end whatever happens."""
    story = Story(folder, verb)
    story.at("2026-01-02T09:00:00Z")
    try:
        _scaffold(story)
        _propose(story)
        _release(story)
        april = _months(story)
        _retrain(story)
        _bad_release(story)
        _audit(story, april)
    finally:
        if (story.checkout / "policies").is_dir():
            for name in ("staging", "production"):
                story.run("modelops", "reconcile", name, "--stop", "--yes", expect=(0, 1, 2, 3, 4), show=False)
    click.echo(
        colored(f"\ntold in {time.perf_counter() - story.began:.0f} s; every number was measured in this run", "green")
    )
    if kept:
        click.echo(f"look around: cd {story.checkout} && modelops status && git log --oneline --graph")
        click.echo(f"ask again:   modelops audit prediction {april}")
        click.echo("run it:      modelops reconcile production")
    else:
        click.echo("keep it to look around in: modelops demo --keep DIR")
        click.echo("start your own: modelops init, then modelops init --model NAME --data FILE --target COLUMN")
    return 0


def _commit(story: Story, branch: str, message: str) -> None:
    story.run("git", "checkout", "-q", "-b", branch, show=False)
    story.run("git", "add", "-A", show=False)
    story.run("git", "commit", "-q", "-m", message, show=False)
    story.run("git", "push", "-q", "-u", "origin", branch, show=False)


def _open(story: Story, title: str) -> int:
    found = story.ask("pr", "create", "--title", title, "--body", title)
    number = int(found["number"])
    story.say(f"pull request {number}: {title}")
    return number


def _approve_and_merge(story: Story, number: int) -> None:
    story.run("modelops", "pr", "review", str(number), "--approve", "--as", REVIEWER)
    story.run("modelops", "pr", "merge", str(number), "--as", REVIEWER)
    story.run("git", "checkout", "-q", "main", show=False)
    story.run("git", "pull", "-q", "--ff-only", show=False)


def _scaffold(story: Story) -> None:
    story.chapter(1, "A new repository")
    origin = story.folder / "origin.git"
    for words in (
        ["git", "init", "-q", "--bare", "-b", "main", str(origin)],
        ["git", "init", "-q", "-b", "main", str(story.checkout)],
    ):
        subprocess.run(words, check=True, env=story.environment())
    for key, value in zip(("user.name", "user.email"), AUTHOR, strict=True):
        story.run("git", "config", key, value, show=False)
    story.run("git", "remote", "add", "origin", str(origin), show=False)
    story.run("modelops", "init")
    approvals = story.checkout / "policies" / "approvals.yaml"
    text = approvals.read_text(encoding="utf-8").replace("reviewers: [ada]", f"reviewers: [ada, {REVIEWER}]")
    approvals.write_text(text, encoding="utf-8")
    project = story.checkout / "policies" / "project.yaml"
    # The months of the story pass in logical time; what is signed says so.
    text = project.read_text(encoding="utf-8").replace("key: local\n", "key: local\n    simulatedClock: true\n")
    project.write_text(text, encoding="utf-8")
    story.run("git", "add", "-A", show=False)
    story.run("git", "commit", "-q", "-m", "Scaffold the repository", show=False)
    story.run("git", "push", "-q", "-u", "origin", "main", show=False)


def _propose(story: Story) -> None:
    story.chapter(2, "A pull request proposes a model")
    story.run("git", "checkout", "-q", "-b", "add-fraud-detection", show=False)
    story.run("modelops", "init", "--example", MODEL)
    story.run("git", "add", "-A", show=False)
    story.run("git", "commit", "-q", "-m", "Propose fraud detection", show=False)
    story.run("git", "push", "-q", "-u", "origin", "add-fraud-detection", show=False)
    number = _open(story, "Propose fraud detection")
    story.run("modelops", "validate", "--since", "origin/main")
    story.run("modelops", "plan", "--since", "origin/main")
    story.run("modelops", "build", "--since", "origin/main", "--pull-request", str(number))
    story.run("modelops", "pr", "merge", str(number), expect=(1,), show=False)
    story.say("merging it now is refused: the author's own word does not count, and nobody else has approved")
    _approve_and_merge(story, number)


def _release(story: Story) -> None:
    story.chapter(3, "The merge becomes release 1, in staging and then in production")
    _promote(story)
    url = _url(story, "production")
    story.say(f"production answers real HTTP requests on {url}")


def _promote(story: Story) -> None:
    click.echo(colored("$ modelops deliver --yes", "cyan"))
    delivered = story.ask("deliver", "--yes", expect=(0,))
    done = [*(row["result"] for row in delivered["released"]), *(d for r in delivered["reconciled"] for d in r["done"])]
    story.say("\n".join(f"  {line}" for line in done))
    (found,) = delivered["proposals"]
    number = int(found["pullRequest"])
    story.say(f"pull request {number}: promote release {found['release']} to production; its whole change:")
    diff = story.run("git", "diff", "--unified=0", f"origin/main...origin/{found['branch']}", show=False)
    changed = [line for line in diff.splitlines() if line[:1] in "+-" and not line.startswith(("+++", "---"))]
    story.say("\n".join("  " + line for line in changed))
    _approve_and_merge(story, number)
    story.run("modelops", "reconcile", "production", "--yes")


def _url(story: Story, environment: str) -> str:
    rows = story.ask("status")
    return str(next(row["url"] for row in rows if row["environment"] == environment))


def _traffic(story: Story) -> Traffic:
    from modelops.spec.load import load_resource

    path = layout.MODEL.path(MODEL)
    model = load_resource((story.checkout / path).read_bytes(), path)
    features = [(feature.name, feature.type) for feature in model.spec.data.features]
    return Traffic(_url(story, "production"), MODEL, features, story.clock)


def _generated(story: Story, first: str, last: str) -> dict[str, list[Row]]:
    folder = story.folder / "traffic"
    script = story.checkout / "models" / MODEL / "generate.py"
    words = [sys.executable, str(script), "--from", first, "--to", last, "--output", str(folder), "--seed", "1"]
    subprocess.run(words, check=True, cwd=story.folder, capture_output=True, env=story.environment())
    return read_months(folder, first, last)


def _strongest(feature: dict[str, Any]) -> tuple[str, float, float, str]:
    """Return a feature's name, and strength, value and name of its strongest score."""
    found = [(each["value"] / each["alert"], each["value"], each["name"]) for each in feature["scores"].values()]
    return (feature["name"], *max(found, default=(0.0, 0.0, "drift")))


def _drift_line(found: dict[str, Any]) -> str:
    report = found["report"]
    ranked = sorted((_strongest(feature) for feature in report["features"]), key=lambda found: -found[1])[:4]
    shifts = ", ".join(f"{name} {value:.3f}" for name, _, value, _ in ranked)
    score = ranked[0][3] if ranked else "drift"
    performance = report["performance"] or {}
    value = performance.get("value")
    measured = "no labels yet"
    if value:
        share = f"{performance['labelledShare']:.0%} labelled"
        measured = f"{value['name']} {value['value']:.3f} [{value['lower']:.3f}, {value['upper']:.3f}], {share}"
    return f"level {report['level']}; largest {score}: {shifts}; {measured}"


def _months(story: Story) -> str:
    story.chapter(4, "Traffic, month by month; the labels of the second half come a month late")
    traffic = _traffic(story)
    asked = ""
    earlier: list[Row] = []
    for month, rows in _generated(story, "2026-01", "2026-04").items():
        answered = traffic.send(rows)
        traffic.label([*earlier, *rows[: len(rows) // 2]], "is_fraud")
        earlier = rows[len(rows) // 2 :]
        story.at(_after(month))
        found = story.ask("monitor", "production", "--yes")[0]
        rate = answered.requests / answered.seconds
        story.say(f"{month}: {answered.requests} requests at {rate:.0f}/s, {_statuses(answered)}; {_drift_line(found)}")
        level = "alert" if month == "2026-04" else "none"
        story.require(found["report"]["level"] == level, f"the level of {month} is {level}")
        if month == "2026-04":
            asked = answered.ids[100]
            story.say(f"retraining: {found['retraining']['reason']}")
            story.say(f"the monitor opened pull request {found['pullRequest']}")
    story.run("modelops", "pr", "list")
    return asked


def _after(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02d}-01T06:00:00Z"


def _statuses(answered: Answered) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answered.statuses.items()))


def _retrain(story: Story) -> None:
    story.chapter(5, "The retrained candidate is judged, approved and rolled out as a canary")
    pull = next(p for p in story.ask("pr", "list") if p["title"].startswith("Retrain"))
    story.run("modelops", "build", "--pull-request", str(pull["number"]))
    _approve_and_merge(story, int(pull["number"]))
    _promote(story)
    _require_better(story)
    _roll_out(story, "2026-05", "2026-06")
    _require_stable(story, 2)


def _require_better(story: Story) -> None:
    """The retrained release must beat the stable one on the same recent rows, with its whole interval."""
    from modelops.spec.load import load_resource

    path = layout.RELEASE.path(MODEL, 2)
    release = load_resource(story.run("git", "show", f"origin/main:{path}", show=False).encode(), path)
    compared = next(verdict for verdict in release.spec.verdicts if verdict.type == "champion")
    lower = compared.lower
    story.require(lower is not None and lower > 0, f"release 2 is better than release 1: {compared.reason}")


def _require_stable(story: Story, release: int) -> None:
    """A rollout must have ended, with this release in production and nothing on trial."""
    from modelops.spec.load import load_resource

    path = layout.DEPLOYMENT.path(MODEL, "production")
    found = load_resource((story.checkout / path).read_bytes(), path).spec
    ended = (found.stable, found.candidate) == (release, None)
    story.require(ended, f"the rollout ended with release {release} in production")


def _roll_out(story: Story, first: str, last: str) -> None:
    """Send traffic and reconcile in turn until the rollout has ended."""
    traffic = _traffic(story)
    rows = [row for month in _generated(story, first, last).values() for row in month]
    for start in range(0, len(rows), 500):
        answered = traffic.send(rows[start : start + 500], pieces=2)
        result = story.ask("reconcile", "production", "--yes")
        for line in result["done"]:
            story.say(f"  after {start + answered.requests} requests ({_statuses(answered)}): {line}")
        if any(": promote, commit" in line or ": rollback, commit" in line for line in result["done"]):
            break
    story.run("git", "pull", "-q", "--ff-only", show=False)
    story.run("git", "log", "-1", "--format=%h %an %s%n%b")
    story.run("git", "show", "--format=", "--unified=0", "HEAD", "--", layout.DEPLOYMENT.path(MODEL, "production"))


def _bad_release(story: Story) -> None:
    story.chapter(6, "A release that passes its gates and fails in traffic")
    path = story.checkout / "models" / MODEL / "train.py"
    before, after = SLICE_BREAKS
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    _commit(story, "strict-categories", "Refuse unknown categories")
    number = _open(story, "Refuse unknown categories")
    story.run("modelops", "build", "--pull-request", str(number))
    _approve_and_merge(story, number)
    _promote(story)
    _roll_out(story, "2026-07", "2026-07")
    _require_stable(story, 2)


def _audit(story: Story, prediction: str) -> None:
    story.at("2026-11-02T09:00:00Z")
    story.chapter(7, "The audit, months later")
    story.run("modelops", "audit", "prediction", prediction)
    story.run("modelops", "reproduce", MODEL, "1")
    story.run("modelops", "status", expect=(0, 1))
