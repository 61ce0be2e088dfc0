"""What of a user's table looks like data about persons, and whether it is about to go into git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from modelops.repository.process import Git
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site
from modelops.scaffold.surroundings.git_files import bytes_stay, extend, not_ignored
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec

__all__ = ["about_git", "about_persons", "personal"]

LARGE = 1 << 20
"""Bytes from which data in the repository is worth a word, whatever is in it."""
_SAMPLE = 200
_NAMES: Mapping[str, re.Pattern[str]] = {
    what: re.compile(rf"(^|[_\s.-])({words})($|[_\s.-])", re.IGNORECASE)
    for what, words in {
        "names": r"(full|first|last|given|family|middle|sur|user|nick)[_\s-]?names?|vor-?name|nach-?name|surname|name",
        "e-mail addresses": r"e?-?mails?([_\s-]?address(es)?)?",
        "phone numbers": r"(tele|cell|mobile)?[_\s-]?phones?([_\s-]?(no|nr|number))?|mobile|telefon\w*|fax",
        "bank accounts": r"iban|bic|(bank[_\s-]?)?account[_\s-]?(no|nr|number)|card[_\s-]?(no|nr|number)",
        "addresses": r"(home|street|postal)?[_\s-]?address|street|strasse|stra\u00dfe",
        "identity numbers": r"ssn|social[_\s-]?security\w*|passport\w*|tax[_\s-]?id|national[_\s-]?id",
        "dates of birth": r"dob|birth[_\s-]?(date|day)|date[_\s-]?of[_\s-]?birth|geburts\w*",
        "network addresses": r"ip([_\s-]?addr(ess)?)?",
    }.items()
}
_VALUES: Mapping[str, re.Pattern[str]] = {
    "e-mail addresses": re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
    "bank accounts": re.compile(r"[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){3,7}( ?[A-Z0-9]{1,3})?"),
    "phone numbers": re.compile(r"(\+|00)\d[\d ()/.-]{5,17}\d|\(?0\d{2,5}\)?[ /-]\d[\d -]{4,12}\d"),
    "network addresses": re.compile(r"(\d{1,3}\.){3}\d{1,3}"),
}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def personal(table: pa.Table) -> dict[str, str]:
    """Return the columns that look like data about persons, each with what it seems to hold."""
    found = ((name, _seems(name, table.column(name))) for name in table.column_names)
    return {name: what for name, what in found if what is not None}


def _seems(name: str, values: pa.ChunkedArray) -> str | None:
    """Return what a column seems to hold: by half of its first values, else by its name."""
    words = _CAMEL.sub("_", name)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    text, telling = pa.types.is_string(values.type) or pa.types.is_large_string(values.type), False
    if text:
        some = [value for value in values.slice(0, 10 * _SAMPLE).to_pylist() if value][:_SAMPLE]
        for what, pattern in _VALUES.items():
            if some and 2 * sum(pattern.fullmatch(value.strip()) is not None for value in some) >= len(some):
                return what
        # A name that comes again and again is that of a kind, not of a person.
        telling = 2 * len(set(some)) > len(some)
    elif pa.types.is_boolean(values.type) or (pa.types.is_integer(values.type) and len(pc.unique(values)) <= 3):
        return None  # a flag, of which some may be missing, says whether there is an address, and not which
    for what, pattern in _NAMES.items():
        if pattern.search(words) and (what != "names" or (text and telling)):
            return what
    return None


def about_persons(found: Mapping[str, str], features: Mapping[str, str]) -> list[str]:
    """Return what is to be said of columns that look like data about persons."""
    if not found:
        return []
    listed = ", ".join(f"{name} ({what})" for name, what in list(found.items())[:10])
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    used = [name for name in found if name in features]
    kept = "no value that fewer than 10 rows share is written into git"
    said = [f"{listed}{more}: looks like data about persons; {kept}"]
    if used:
        said.append(f"{', '.join(used[:10])}: the model would learn from it; take it out of `features` in model.yaml")
    return said


def about_git(site: Site, spec: DataSnapshotSpec, found: Mapping[str, str], result: Result) -> None:
    """Keep data out of git that should not go there unasked, where it lies in the project, and say what was done.

    What is small and about nobody goes into git with the next commit, which is said too; its bytes stay as they are.
    """
    location = spec.source.location
    if spec.source.type != "files" or location is None or "://" in location or Path(location).is_absolute():
        return
    base = "" if location in ("", ".") else f"{location}/"
    shown = not_ignored(site.root, (f"{base}{file.path}" for file in spec.files))
    if not shown:
        return
    size = sum(file.size for file in spec.files)
    what = f"{shown[0]}" + (f" and {len(shown) - 1} more files" if len(shown) > 1 else "")
    lines = [f"/{base}" if base and len(spec.files) > 1 else f"/{shown[0]}"]
    known = Git(site.root).run("ls-files", "-z", "--", *shown).words()
    if size < LARGE and not found:
        bytes_stay(site, shown)
        if not known:
            told = f"{what} ({size / 1e6:.2g} MB) goes into git with the first commit, for all who clone it"
            result.next.append(f"{told}; to keep it out: echo '{lines[0]}' >> .gitignore")
        return
    why = "holds data about persons" if found else f"has {size / 1e6:.1f} MB"
    if known:
        result.warnings.append(f"{what} {why} and is in git, which keeps it for ever; {_ELSEWHERE}")
        return
    extend(site, ".gitignore", f"{lines[0]}\n")
    result.warnings.append(
        f"{what} {why}, so `{lines[0]}` was added to .gitignore: git would keep it for ever. Other machines get it "
        f"by `modelops data push` and `data pull`; {_ELSEWHERE}. To give it to git all the same, take the line out"
    )


_ELSEWHERE = "or keep it elsewhere and list the place under `dataLocations` in policies/project.yaml"
