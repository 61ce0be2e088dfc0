"""What a terminal explains is what the reference says, and everything that has a name there is found by it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from modelops import plugins
from modelops.cli import cli
from modelops.errors import Exit, ModelOpsError
from modelops.handbook.topics import find, known, unknown
from modelops.spec.kinds import KINDS
from modelops.views.handbook.topics import data, text


def paths(model: type[BaseModel], path: str, through: tuple[type[BaseModel], ...] = ()) -> Iterator[str]:
    """Yield the dotted path of every field of a record, and of the records in it."""
    for name, info in model.model_fields.items():
        here = f"{path}.{info.alias or name}"
        yield here
        for inner in records(info.annotation):
            if inner not in through:
                yield from paths(inner, here, (*through, inner))


def records(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from records(argument)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_a_kind_has_is_explained(kind: str) -> None:
    """Each path that a file may hold is found by its whole name, and says what type it has and what it means."""
    assert find(kind)[0].sort == "kind"
    for path in paths(KINDS[kind], f"{kind}.spec"):
        [found] = find(path)
        assert (found.sort, found.name) == ("field", path)
        assert found.facts["type"], path
        assert found.prose, path


@pytest.mark.parametrize("shelf", plugins.SHELVES)
def test_every_plugin_and_its_parameters_are_explained(shelf: str) -> None:
    """By shelf and key, and each parameter by its name behind a dot."""
    for key in plugins.built_in(shelf):
        [found] = find(f"{shelf}/{key}")
        assert (found.sort, found.name) == ("plugin", f"{shelf}/{key}")
        params = plugins.load(shelf, key).Params.model_fields
        assert [row["field"].strip("`") for row in found.fields] == [one.alias or name for name, one in params.items()]
        for row in found.fields:
            [one] = find(f"{shelf}/{key}.{row['field'].strip('`')}")
            assert one.facts["default"] == row["default"]


def test_codes_say_how_they_exit_and_what_they_say() -> None:
    """A code says its exit with what that means; one that is collected with others ends with 3."""
    [found] = find("approval-missing")
    assert found.facts["exits with"] == "1 (the answer is no)"
    assert "was not approved" in found.facts["says"]
    assert find("[approval-missing]") == (found,)
    [collected] = find("advice-blocks")
    assert collected.facts["exits with"].startswith("3 (your files are wrong)")
    assert [find(str(int(code)))[0].facts["name"] for code in Exit] == [code.name for code in Exit]


def test_every_known_name_is_explained() -> None:
    """What completion offers is found, and told within the width of a terminal unless a word is longer."""
    for name in known():
        assert text(find(name)), name
        assert data(find(name))[0]["page"].startswith("docs/reference/")


def test_fields_are_found_by_the_end_of_their_path() -> None:
    """Without kind, without `spec`, with the index that an error names; what many have is listed."""
    assert [one.name for one in find("training.seed")] == ["Model.spec.training.seed"]
    assert [one.name for one in find("spec.data.features[3].type")] == ["Model.spec.data.features.type"]
    assert "fields go by that name" in text(find("name"))


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("aproval-missing", "approval-missing"),
        ("Modl", "Model"),
        ("trainin.sead", "training.seed"),
        ("fairness.minimumGroups", "fairness.minimumGroup"),
        ("rollout simulat", "rollout simulate"),
    ],
)
def test_the_nearest_name_is_named(asked: str, near: str) -> None:
    """Codes, kinds, fields, parameters and verbs that there are not: asked wrongly, with the nearest there is."""
    assert find(asked) == ()
    error = unknown(asked)
    assert isinstance(error, ModelOpsError)
    assert (error.first.code, error.exit, error.first.hint) == ("unknown-topic", Exit.USAGE, f"did you mean {near!r}?")


def test_the_verb_answers_and_completes() -> None:
    """Words of a verb need no quotes, without any it says what there is, and names are completed."""
    run = CliRunner().invoke(cli, ["explain", "rollout", "simulate"], standalone_mode=False)
    assert run.stdout.startswith("modelops rollout simulate (verb, docs/reference/cli.md#modelops-rollout-simulate)")
    assert "RolloutPlan" in CliRunner().invoke(cli, ["explain"], standalone_mode=False).stdout
    verb = cli.get_command(click.Context(cli), "explain")
    assert verb is not None
    offered = verb.params[0].shell_complete(click.Context(verb), "approval-m")
    assert [one.value for one in offered] == ["approval-missing"]
