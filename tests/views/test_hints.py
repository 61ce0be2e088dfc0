"""Messages name only verbs and options that there are: a hint that cannot be typed is worse than none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import modelops
from modelops.cli import cli

SOURCE = Path(modelops.__file__).parent
_OTHERS = re.compile(r"\b(git|docker|pip|uv|kubectl|cosign|gh|conda|skopeo|oras|curl|python|model_signing)\b[^`;:]*$")
"""Programs whose options are their own."""
_ALONE = frozenset({"--hash", "--format", "--no-deps", "--repo", "--method", "--input"})
"""Options of other programs that are written without these: of lines of a lock, git's log, pip and gh."""
_OPTION = re.compile(r"(?<![\w\-/])--[a-z][a-z-]*[a-z]")
_VERB = re.compile(r"(?<![\w./-])modelops((?: [a-z][a-z-]+)+)")
_TYPED = re.compile(r"(`|\brun |: )$")
"""What stands before something to type; elsewhere the word modelops may be followed by any other."""
_PROSE = frozenset({"starts"})
Options = dict[tuple[str, ...], set[str]]


def options(command: click.Command, path: tuple[str, ...] = ()) -> Options:
    """Return the options of a command and of all below it, by their names."""
    found = {path: {"--help", *(one for param in command.params for one in (*param.opts, *param.secondary_opts))}}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= options(below, (*path, name))
    return found


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what is said to people: texts of several words that are no docstrings; of what is filled in, a mark."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inside):
            text = node.value
        else:
            continue
        if " " in text:
            yield node.lineno, text


def unknown(text: str, known: Options) -> Iterator[str]:
    """Yield the verbs and options of a text that there are not."""
    every = set().union(*known.values())
    named = []
    for match in _VERB.finditer(text):
        verb = called(match[1].split(), known)
        if isinstance(verb, tuple):
            named.append((match.start(1) + len(" ".join(["", *verb])), verb))
        elif _TYPED.search(text[: match.start()]) and verb not in _PROSE:
            yield f"modelops {verb}"
    for match in _OPTION.finditer(text):
        before = [verb for end, verb in named if end <= match.start()]
        if _OTHERS.search(text[: match.start()].rpartition("modelops ")[2] if before else text[: match.start()]):
            continue
        allowed = known[before[-1]] if before and _typed(text, named, match.start()) else every
        if match[0] not in allowed | _ALONE:
            yield match[0]


def _typed(text: str, named: list[tuple[int, tuple[str, ...]]], start: int) -> bool:
    """Tell whether an option stands behind its verb, as it is typed, with nothing but words to fill in between."""
    end = max(end for end, _ in named if end <= start)
    return re.fullmatch(r"(?: +(?:[A-Z0-9\"'./_-]\S*|--\S+))* *", text[end:start]) is not None


def called(words: list[str], known: Options) -> tuple[str, ...] | str:
    """Return the verb that some words are, or the first of them if there is none such."""
    for count in (2, 1):
        if tuple(words[:count]) in known and len(words) >= count:
            return tuple(words[:count])
    return words[0]


_FILLED = re.compile(r"\{\{.*?\}\}")


Needs = dict[tuple[str, ...], list[list[str]]]


def required(command: click.Command, path: tuple[str, ...] = ()) -> Needs:
    """Return the options that a command and all below it cannot do without, each by all of its names."""
    found = {path: [one.opts for one in command.params if isinstance(one, click.Option) and one.required]}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= required(below, (*path, name))
    return found


def unfinished(text: str, known: Options, needed: Needs) -> Iterator[str]:
    """Yield the commands of a text that are written out, with what they are about, and lack a required option."""
    for match in _VERB.finditer(text):
        verb = called(match[1].split(), known)
        end = match.start(1) + len(" ".join(["", *verb])) if isinstance(verb, tuple) else 0
        if not end or not re.match(r" (?:[A-Z\"'<]|--)", text[end:]):
            continue
        said = re.split(r"[`;<\n]|, ", text[end:], maxsplit=1)[0]
        for names in needed[verb]:  # type: ignore[index]
            if not set(names) & set(said.split()):
                yield f"modelops {' '.join(verb)} lacks {names[-1]}"


def shown() -> Iterator[tuple[str, str]]:
    """Yield what sources and templates say to people, and where."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "templates" not in path.parts:
            for line, text in sentences(ast.parse(path.read_text(encoding="utf-8"))):
                yield f"{path.relative_to(SOURCE)}:{line}", text
    for path in sorted((SOURCE / "dashboard" / "templates").glob("*.html")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.relative_to(SOURCE)}:{number}", _FILLED.sub("X", line)


def test_commands_that_are_written_out_have_all_that_they_need() -> None:
    """A command with its arguments has every option that it cannot do without: it is typed as it stands."""
    known, needed = options(cli), required(cli)
    assert list(unfinished("go back: modelops rollback X -e X, or wait", known, needed)) == [
        "modelops rollback lacks --reason"
    ]
    assert not list(unfinished("`modelops rollback` goes back", known, needed))
    found = [f"{where}: {each} in {text!r}" for where, text in shown() for each in unfinished(text, known, needed)]
    assert not found, "\n".join(found)


def test_messages_name_what_can_be_typed() -> None:
    """Each verb that a message names is one, and each option one of that verb."""
    known = options(cli)
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {said} in {text!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        if "templates" not in path.parts
        for line, text in sentences(ast.parse(path.read_text(encoding="utf-8")))
        for said in unknown(text, known)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("verb", [("init",), ("data", "snapshot"), ("predict",)], ids=" ".join)
def test_whoever_reads_a_file_has_the_options_that_reading_it_hints_at(verb: tuple[str, ...]) -> None:
    """What is said of a file by the code that all verbs read with can be typed for each of them."""
    known = options(cli)
    texts = [
        text
        for path in [*(SOURCE / "data" / "formats").glob("*.py"), SOURCE / "data" / "tables.py"]
        for _, text in sentences(ast.parse(path.read_text(encoding="utf-8")))
    ]
    hinted = {option for text in texts for option in _OPTION.findall(text)}
    assert "--encoding" in hinted
    assert hinted <= known[verb]


def test_a_hint_that_cannot_be_typed_is_found() -> None:
    """An option of another verb, and one of none, are both seen."""
    known = options(cli)
    assert list(unknown("name it: modelops predict MODEL FILE --target y", known)) == ["--target"]
    assert list(unknown("say it with --such-an-option", known)) == ["--such-an-option"]
    assert list(unknown("run modelops nosuch first", known)) == ["modelops nosuch"]
    assert not list(unknown("run `git remote rename a b`, then modelops lock --check", known))
