"""What can be explained, by every name that it goes by, and what the reference says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from modelops.errors import Exit, ModelOpsError, failure
from modelops.handbook.pages import Section, linked, names, page
from modelops.spec.explain import nearest

__all__ = ["Topic", "contents", "find", "known", "unknown"]

Sort = Literal["error code", "exit code", "kind", "field", "plugin", "parameter", "verb"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing of the reference: what it is, its full name, the page that tells of it, and what that says."""

    sort: Sort
    name: str
    page: str
    facts: Mapping[str, str]
    prose: str = ""
    fields: tuple[Mapping[str, str], ...] = ()


def find(asked: str) -> tuple[Topic, ...]:
    """Return everything that goes by a name, as `Model`, `spec.training.seed`, `fairness.minimumRows` or a code."""
    wanted = asked.strip().strip("[]`").strip(".")
    found = (*_kinds(wanted), *_codes(wanted), *_exits(wanted), *_plugins(wanted), *_verbs(wanted))
    return found or tuple(_fields(wanted))


def known() -> tuple[str, ...]:
    """Return every name that has a page or a row of its own, sorted; fields are found below their kinds."""
    plugins = [
        section.heading for shelf in names("shelves") for section in page(f"shelves/{shelf}") if _is_top(section)
    ]
    verbs = [section.heading.removeprefix("modelops ") for section in page("cli") if section.level > 1]
    return tuple(sorted({*_table_of("errors", "code"), *names("kinds"), *plugins, *verbs}))


def unknown(asked: str) -> ModelOpsError:
    """Return the error for a name that nothing goes by, with the nearest one that something does."""
    many = asked.count(".") + 1
    ends = {".".join(path.split(".")[-many:]) for kind in names("kinds") for path, _ in _paths(kind)}
    parameters = {
        f"{section.heading}.{row['field'].strip('`')}"
        for shelf in names("shelves")
        for section in page(f"shelves/{shelf}")
        for row in section.rows
        if _is_top(section)
    }
    among = (ends | parameters, known()) if many > 1 else (known(), ends)
    hints = [nearest(asked, each) for each in among]
    hint = next((each for each in hints if each.startswith("did you")), "`modelops explain` says what there is")
    return failure("unknown-topic", f"the reference knows no {asked!r}", exit=Exit.USAGE, hint=hint)


def _table_of(name: str, header: str) -> Mapping[str, Mapping[str, str]]:
    return {row[header].strip("`"): row for section in page(name) for row in section.rows if header in row}


def _codes(wanted: str) -> Iterator[Topic]:
    row = _table_of("errors", "code").get(wanted.lower())
    if row is not None:
        exits = _table_of("exit-codes", "code")
        told = [f"{code} ({exits[code]['meaning']})" for code in re.findall(r"\d+", row["exit"])]
        # Of collected problems the page says that they end with 3.
        ends = ", ".join(told) or f"3 ({exits['3']['meaning']}), with all other problems that were found"
        facts = {"exits with": ends, "says": row["says"], "raised in": row["raised in"]}
        yield Topic("error code", wanted.lower(), "errors.md", facts)


def _exits(wanted: str) -> Iterator[Topic]:
    for code, row in _table_of("exit-codes", "code").items():
        if wanted.upper() in (code, row["name"], f"EXIT {code}"):
            facts = {"name": row["name"], "meaning": row["meaning"]}
            yield Topic("exit code", code, "exit-codes.md", facts, row["what it says to you"])


def _kinds(wanted: str) -> Iterator[Topic]:
    for kind in names("kinds"):
        if kind.lower() == wanted.lower():
            top, *rest = page(f"kinds/{kind}")
            spec = next(section for section in rest if section.heading == "spec")
            yield Topic("kind", kind, f"kinds/{kind}.md", {}, f"{top.prose}\n\n{spec.prose}".strip(), spec.rows)


def _is_top(section: Section) -> bool:
    return section.level == 2


def _plugins(wanted: str) -> Iterator[Topic]:
    """Yield plugins, by `fairness` or `gates/fairness`, and their parameters, by `fairness.minimumRows`."""
    asked, _, parameter = wanted.partition(".")
    shelf_asked, _, name = asked.rpartition("/")
    for shelf in names("shelves"):
        if shelf_asked and shelf != shelf_asked:
            continue
        for section in page(f"shelves/{shelf}"):
            if not _is_top(section) or section.heading != name.lower().replace("_", "-"):
                continue
            where = f"shelves/{shelf}.md#{section.heading}"
            if not parameter:
                yield Topic("plugin", f"{shelf}/{section.heading}", where, {}, section.prose, section.rows)
            for row in section.rows if parameter else ():
                if row["field"].strip("`") == parameter:
                    yield _field(f"{shelf}/{section.heading}.{parameter}", where, row, "parameter")


def _verbs(wanted: str) -> Iterator[Topic]:
    verb = wanted.removeprefix("modelops ").lower()
    for section in page("cli"):
        if section.level > 1 and section.heading == f"modelops {verb}":
            where = f"cli.md#modelops-{verb.replace(' ', '-')}"
            prose = re.sub(r"```text\n(.*?)\n```", r"\1", section.prose, flags=re.DOTALL)
            yield Topic("verb", f"modelops {verb}", where, {}, prose, section.rows)


def _paths(kind: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield every field of a kind by its dotted path, as deep as records lie in records; none within itself."""
    sections = {section.heading.lower(): section for section in page(f"kinds/{kind}")}

    def below(section: Section, path: str, through: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, str]]]:
        for row in section.rows:
            here = f"{path}.{row['field'].strip('`')}"
            yield here, row
            for anchor in linked(row["type"]):
                if anchor in sections and anchor not in through:
                    yield from below(sections[anchor], here, (*through, anchor))

    yield from below(sections["spec"], f"{kind}.spec", ())


def _fields(wanted: str) -> Iterator[Topic]:
    """Yield the fields whose path ends in what is asked, the kind and `spec` said or not; indices do not matter."""
    asked = re.sub(r"\[\d*\]", "", wanted)
    for kind in names("kinds"):
        for path, row in _paths(kind):
            bare = path.replace(".spec.", ".", 1)
            if path == asked or bare == asked or path.endswith(f".{asked}") or bare.endswith(f".{asked}"):
                yield _field(path, f"kinds/{kind}.md", row, "field")


def _field(path: str, where: str, row: Mapping[str, str], sort: Sort) -> Topic:
    facts = {key: row[key] for key in ("type", "default", "constraints") if row[key] != "–"}
    return Topic(sort, path, where, facts, row["meaning"])


def contents() -> Mapping[str, tuple[str, ...]]:
    """Return what there is: the kinds, the plugins of each shelf, and the error codes."""
    shelves = {
        shelf: tuple(one.heading for one in page(f"shelves/{shelf}") if _is_top(one)) for shelf in names("shelves")
    }
    return {"kinds": names("kinds"), **shelves, "codes": tuple(_table_of("errors", "code"))}
