"""`modelops rollout simulate` and the forecasts of `modelops plan`, from files to text, JSON and a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from git_world import git, nobodys_configuration
from modelops.cli import main
from modelops.rollouts.simulation import Run, Simulation, World
from modelops.rollouts.worlds import Truth
from modelops.views.trials.picture import picture
from spec_world import NAME, world

PLAN = f"""\
apiVersion: modelops/v1
kind: RolloutPlan
metadata:
  name: {NAME}
spec:
  expect: {{requestsPerHour: 6000.0, effect: 10.0}}
  strategy:
    type: canary
    params:
      slow: null
      outcome: null
      scores: null
      steps:
        - {{weight: 0.2, minRequests: 200, deadlineMinutes: 600.0}}
        - {{weight: 0.5, minRequests: 400}}
"""


@pytest.fixture(scope="module", autouse=True)
def _configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two models, one of which has a plan that expects traffic, as the current folder."""
    for path, data in world(2, {f"models/{NAME}/rollout.yaml": PLAN}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.com")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def simulated(capsys, *arguments: str) -> tuple[int, str, str]:
    return run(capsys, "rollout", "simulate", NAME, "--runs", "10", "--days", "0.1", "--every", "3", *arguments)


def test_a_plan_is_simulated_without_and_with_what_it_expects(folder, capsys) -> None:
    """Both are reported: a candidate like stable is promoted, one with ten times the errors is rolled back."""
    code, out, _ = simulated(capsys, "-o", "json")
    found = json.loads(out)
    good, harmful = found["scenarios"]
    assert (code, found["requestsPerHour"], found["strategy"]) == (0, 6000, "canary")
    assert (good["name"], good["ends"]["promote"]["share"]) == ("no effect", 1.0)
    assert (harmful["name"], harmful["ends"]["rollback"]["share"]) == ("errors=10x", 1.0)
    assert harmful["ends"]["rollback"]["lower"] < 1.0
    assert harmful["decision"]["minutes"]["median"] <= harmful["decision"]["minutes"]["p90"]
    assert simulated(capsys, "-o", "json")[1] == out


def test_the_text_names_shares_intervals_times_and_bad_requests(folder, capsys) -> None:
    """People read a table per scenario; effects that are named are simulated alone."""
    code, out, _ = simulated(capsys, "--effect", "errors=5x", "--effect", "stable:slow=0.01", "--traffic", "2/s")
    assert code == 0
    assert "7200 requests an hour" in out
    assert "errors=5x, stable:slow=0.01:" in out
    assert "no effect" not in out
    assert "rollback" in out
    assert "bad requests served" in out


def test_traffic_is_drawn_as_it_is_said_to_be(folder, capsys) -> None:
    """One world of all kinds that are named, or each in turn without an effect; the text says what the plan sees."""
    _, out, _ = simulated(capsys, "--effect", "errors=1x", "--world", "bursts=3", "--world", "day")
    assert "bursts=3, day: errors=1x:" in out
    assert "are seen in" in out
    found = json.loads(run(capsys, "rollout", "simulate", NAME, "--runs", "1", "--days", "0.02", "--every", "10",
                           "--world", "all", "-o", "json")[1])  # fmt: skip
    kinds = ["even", "heavy", "entities", "bad", "bursts", "day", "outages", "incident", "labels", "novelty", "tails"]
    assert [one["name"] for one in found["scenarios"]] == [f"{kind}: no effect" for kind in kinds]


def test_a_hold_says_what_it_waited_for(folder, capsys) -> None:
    """Where the time is over before a decision, the reasons of the last looks are told with how often each was met."""
    _, out, _ = simulated(capsys, "--effect", "errors=1x", "--traffic", "60/h")
    assert re.search(r"held in 10 of 10 runs: \S+", out)
    (scenario,) = json.loads(simulated(capsys, "--effect", "errors=1x", "--traffic", "60/h", "-o", "json")[1])[
        "scenarios"
    ]
    assert sum(one["runs"] for one in scenario["holds"]) == 10
    assert all(one["reason"] for one in scenario["holds"])


def test_a_picture_is_drawn(folder, capsys) -> None:
    """The picture is well-formed SVG with a panel for each scenario."""
    code, _, err = simulated(capsys, "--picture", "found.svg")
    assert (code, "drew found.svg" in err) == (0, True)
    root = ElementTree.parse(folder / "found.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"no effect (10 runs)", "errors=10x (10 runs)"} <= set(texts)


def test_words_in_a_picture_are_escaped() -> None:
    """A name cannot break out of its element."""
    runs = (Run("keep", "stable", 30.0, 10, 0.0, 0.0, ((0.0, 0.5), (30.0, 0.0))),)
    found = Simulation(World(1.0, {"stable": Truth()}), runs)
    drawn = picture("a <b> & c", [("<script>", found)])
    root = ElementTree.fromstring(drawn)
    assert "a <b> & c" in [element.text for element in root.iter()]
    assert "<script" not in drawn


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--effect", "errors"), 2, "is not an effect"),
        (("--effect", "charm=2x"), 2, "is not an effect"),
        (("--effect", "challenger-9:errors=2x"), 2, "there is no arm 'challenger-9'"),
        (("--effect", "errors=200x"), 2, "it is a share"),
        (("--world", "rain"), 2, "there is no world 'rain'"),
        (("--world", "labels=some"), 2, "none of all, flagged, unflagged"),
        (("--world", "bursts=0.5"), 2, "no number of at least 1"),
        (("--world", "all", "--world", "day"), 2, "goes with no other"),
        (("--traffic", "many"), 2, "is not a number of requests"),
        (("--traffic", "0/h"), 2, "is not a traffic"),
        (("--environment", "nowhere"), 2, "has no deployment in 'nowhere'"),
        (("--picture", "missing/found.svg"), 4, "cannot be written"),
    ],
)
def test_wrong_input_is_said_in_words(folder, capsys, arguments, code, said) -> None:
    """Each wrong option is named, with the exit code of a wrong question."""
    found = simulated(capsys, *arguments)
    assert found[0] == code
    assert said in found[2]


def test_a_plan_without_traffic_asks_for_it(folder, capsys) -> None:
    """Without `expect` the traffic must be passed; without a plan there is nothing to simulate."""
    code, _, err = run(capsys, "rollout", "simulate", "model-0001", "--runs", "1")
    assert (code, "--traffic" in err) == (2, True)
    (folder / "models/model-0001/rollout.yaml").unlink()
    code, _, err = run(capsys, "rollout", "simulate", "model-0001", "--traffic", "1/s")
    assert (code, "no-rollout-plan" in err) == (2, True)
    assert run(capsys, "rollout", "simulate", "model-7777")[0] == 2


def test_a_plan_shows_what_each_step_needs(folder, capsys) -> None:
    """`modelops plan` has a table of forecasts, in JSON too, for plans that expect traffic."""
    _, out, _ = run(capsys, "plan")
    assert f"{NAME} step 1" in out
    assert "errors from 0.01 to 0.1 at 20%" in out
    assert "model-0001 step" not in out
    told = {one["model"]: one for one in json.loads(run(capsys, "plan", "-o", "json")[1])["forecasts"]}
    found = told[NAME]
    assert [step["sees"] for step in found["steps"]] == [True, True]
    assert found["steps"][0]["requests"] > found["steps"][0]["fixed"] > 0


def test_a_plan_of_a_change_forecasts_what_the_change_touches(folder, capsys) -> None:
    """A pull request shows the forecasts of its own models only."""

    def forecast() -> list[str]:
        found = json.loads(run(capsys, "plan", "--since", "HEAD~1", "-o", "json")[1])
        return [one["model"] for one in found["forecasts"]]

    git(folder, "switch", "-q", "-c", "change")
    for path, expected in ((f"models/{NAME}/rollout.yaml", [NAME]), ("models/model-0001/train.py", ["model-0001"])):
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
        git(folder, "commit", "-q", "-a", "-m", "Change")
        assert forecast() == expected
