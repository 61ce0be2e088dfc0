"""How a release answers logged traffic, beside what was answered: for a terminal, as data, and in a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelops.clock import format_instant
from modelops.markup import escape, plain
from modelops.markup import table as markdown_table
from modelops.rollouts.rehearsal import LEVEL, Known, Outcome, Rehearsal, Share, Shift
from modelops.rollouts.rehearsing import Rehearsed

_MOST = 5


def text(found: Rehearsed) -> str:
    """Return what was compared, what fails, what is decided otherwise, how scores move, and what is known of it."""
    if found.found is None:
        return plain(_nothing(found))
    head = f"rehearsal of {found.model} release {found.release}, beside release {found.found.stable}"
    lines = [plain(f"{head} in {found.environment}" if found.environment else head)]
    lines += [f"  {what:10} {plain(said)}" for what, said in _lines(found, found.found)]
    if found.found.examples:
        ids = [plain(id) for id in found.found.examples]
        lines += [f"  {'examples':10} {', '.join(ids)} move most: modelops audit prediction ID"]
    return "\n".join(lines)


def markdown(found: Rehearsed | None) -> str:
    """Return the section of a pull request; ids of predictions stay on the machine that has the log."""
    if found is None:
        return "### Rehearsal\n\nNot rehearsed: the release could not be read on the machine that asked."
    if found.found is None:
        return f"### Rehearsal\n\n{escape(_nothing(found))}"
    where = f" in {found.environment}" if found.environment else ""
    head = f"Release {found.release} answers what release {found.found.stable} was asked{where}; nothing was deployed."
    rows = _lines(found, found.found)
    return f"### Rehearsal\n\n{escape(head)}\n\n{markdown_table(['what', 'found'], rows)}"


def _nothing(found: Rehearsed) -> str:
    return f"{found.model} release {found.release} is not rehearsed: {found.why}"


def _lines(found: Rehearsed, seen: Rehearsal) -> list[tuple[str, str]]:
    drawn = "all" if seen.rows == seen.logged else f"{seen.rows:,} drawn evenly"
    span = f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    lines = [
        ("traffic", f"{drawn} of {seen.logged:,} answers of release {seen.stable}, {seen.entities:,} entities, {span}")
    ]
    if found.begins is not None and found.begins > found.since:
        lines.append(("", f"the log begins on {found.begins:%Y-%m-%d}"))
    left = [f"{seen.others:,} of other releases"] if seen.others else []
    left += [f"{seen.pinned:,} that asked for a version"] if seen.pinned else []
    lines += [("left out", f"answers: {' and '.join(left)}")] if left else []
    lines += _features(seen)
    lines += _errors(seen)
    lines += [("decisions", _changed(seen, seen.changed))] if seen.changed is not None else []
    lines += [("scores", _shift(seen.shift))] if seen.shift is not None else []
    lines += _known(seen.known)
    return lines


def _features(seen: Rehearsal) -> list[tuple[str, str]]:
    lines = []
    if seen.features.absent:
        names = ", ".join(seen.features.absent)
        lines.append(("features", f"{names}: no logged request has it, so callers must send it before the trial"))
    if seen.features.unused:
        lines.append(("features", f"{', '.join(seen.features.unused)}: logged, and not taken by this release"))
    return lines


def _errors(seen: Rehearsal) -> list[tuple[str, str]]:
    if seen.errors is None:
        return [("errors", "no logged request was answered, so there is nothing to compare")]
    lines = [("errors", f"{_share(seen.errors)} that release {seen.stable} answered are not answered")]
    lines += [("", f"{count:,}: {why}") for why, count in seen.failures[:_MOST]]
    rest = len(seen.failures) - _MOST
    lines += [("", f"and {rest} more reasons")] if rest > 0 else []
    if seen.stable_failed:
        lines.append(("", f"of {seen.stable_failed:,} that it failed on, {seen.rescued:,} are answered"))
    return lines


def _share(share: Share) -> str:
    return f"{share.count:,} of {share.of:,} ({share.share:.2%} [{share.lower:.2%}, {share.upper:.2%}])"


def _changed(seen: Rehearsal, changed: Share) -> str:
    pairs = [f"{count:,} from {was} to {now}" for was, now, count in seen.changes[:_MOST]]
    rest = sum(count for _, _, count in seen.changes[_MOST:])
    pairs += [f"{rest:,} others"] if rest else []
    return f"{_share(changed)} change" + (f": {', '.join(pairs)}" if pairs else "")


def _shift(shift: Shift) -> str:
    mean = f"{shift.mean:+.4g} [{shift.lower:+.4g}, {shift.upper:+.4g}] on average of {shift.n:,}"
    spread = f"half move by at most {shift.half:.3g}, 95 % by at most {shift.most:.3g}, the most by {shift.largest:.3g}"
    return f"{mean}; {spread}; the distributions are {shift.distance:.3f} apart"


def _known(known: Known) -> list[tuple[str, str]]:
    if not known.labelled:
        return [("outcomes", "no label has arrived, so it is not known who is right")]
    lines = [("outcomes", f"{known.labelled:,} answers have a label")]
    if known.early:
        said = f"{known.early:,} of them came before the release was made: it may have learned from them"
        lines.append(("", said))
    lines += [("", f"not compared: {known.void}")] if known.void else []
    return [*lines, *(("", _outcome(one)) for one in known.outcomes)]


def _outcome(one: Outcome) -> str:
    values = f"{one.stable:.4g} before, {one.release:.4g} with this release"
    return f"{one.name}: {values}, {one.difference:+.4g} [{one.lower:+.4g}, {one.upper:+.4g}], n {one.n:,}"


def data(found: Rehearsed) -> dict[str, Any]:
    """Return everything that was found, with counts and intervals."""
    seen = found.found
    head: dict[str, Any] = {
        "model": found.model,
        "release": found.release,
        "environment": found.environment or None,
        "log": found.place or None,
        "since": format_instant(found.since),
        "until": format_instant(found.until),
        "days": found.days,
        "level": LEVEL,
        "why": found.why or None,
    }
    if seen is None:
        return head | {"rehearsed": False}
    return head | {
        "rehearsed": True,
        "beside": seen.stable,
        "logBegins": format_instant(found.begins) if found.begins is not None else None,
        "logged": seen.logged,
        "rows": seen.rows,
        "sampled": seen.rows < seen.logged,
        "entities": seen.entities,
        "leftOut": {"otherReleases": seen.others, "pinned": seen.pinned},
        "features": {"absent": list(seen.features.absent), "unused": list(seen.features.unused)},
        "errors": _plain(seen.errors),
        "failures": [{"why": why, "count": count} for why, count in seen.failures],
        "stableFailed": seen.stable_failed,
        "rescued": seen.rescued,
        "changed": _plain(seen.changed),
        "changes": [{"from": was, "to": now, "count": count} for was, now, count in seen.changes],
        "scoreShift": _plain(seen.shift),
        "outcomes": {
            "labelled": seen.known.labelled,
            "early": seen.known.early,
            "void": seen.known.void or None,
            "measures": _all(seen.known.outcomes),
        },
        "examples": list(seen.examples),
    }


def _plain(value: Share | Shift | None) -> dict[str, Any] | None:
    return asdict(value) if value is not None else None


def _all(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [asdict(one) for one in outcomes]
