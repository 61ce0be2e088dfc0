"""What an auditor is told about a prediction log: what is wrong, what was dropped by rule, how far it is sealed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from modelops.audit import Dropped, LogAnswer, Part, Reexplained, RowProof, Sample, to_dict
from modelops.markup import plain
from modelops.predictions import Flaw
from modelops.views.terminal import colored, table

_SHOWN = 20
_REASONS = 8
_WHAT = {"answers": "rows", "labels": "labels", "shadows": "shadow rows"}


def text(answer: LogAnswer) -> str:
    """Return what going through a log found, for a terminal; the verdict last."""
    parts = [f"prediction log of {plain(answer.environment)}\n{plain(answer.log)}", _parts(answer)]
    if answer.dropped:
        parts.append("\n".join(["dropped by rule", *(f"  {dropped_text(one)}" for one in answer.dropped)]))
    if answer.sample is not None:
        parts.append("\n".join(sample_lines(answer.sample)))
    if answer.flaws:
        wrong = [f"  {flaw_text(flaw)}" for flaw in answer.flaws[:_SHOWN]]
        more = [f"  and {len(answer.flaws) - _SHOWN} more"] if len(answer.flaws) > _SHOWN else []
        parts.append("\n".join(["what is wrong", *wrong, *more]))
    return "\n\n".join([*parts, "\n".join(verdict_lines(answer))]).rstrip()


def data(answer: LogAnswer) -> Any:
    """Return the answer as plain values."""
    return to_dict(answer)


def part_rows(answer: LogAnswer) -> list[tuple[object, ...]]:
    """Return a row for each file of a log: its rows, how many are sealed, its labels, and when it was sealed."""
    return [
        (part.name, part.rows, part.sealed_rows if part.chained else "not chained", part.labels, part.sealed_at or "-")
        for part in answer.parts
    ]


def _parts(answer: LogAnswer) -> str:
    if not answer.parts:
        return "the log holds nothing"
    return table(("FILE", "ROWS", "SEALED", "LABELS", "SEALED AT"), part_rows(answer))


def dropped_text(one: Dropped) -> str:
    """Return what a part held that was dropped by rule, and by which rule."""
    span = f", {_when(one.first)} to {_when(one.last)}" if one.first is not None else ""
    unproven = "" if one.link else "; they were not chained, or flawed already"
    rows = f"rows 1 to {one.rows:,}" if one.rows else "no rows"
    at = plain(one.dropped_at)
    return f"{plain(one.name)}: {rows}{span}, dropped {at} as older than {one.kept_days:g} days{unproven}"


def _when(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def sample_lines(sample: Sample, limit: int | None = _SHOWN) -> Iterator[str]:
    """Yield what answering some rows once more found, and the rows that are answered otherwise now."""
    yield (
        f"answered once more: {_many(sample.rows, 'row')} (seed {sample.seed}): {sample.equal} equal, "
        f"{sample.close} within 1e-6, {len(sample.different)} different, {len(sample.impossible)} could not be"
    )
    for id, reason in sample.different[:limit]:
        yield f"  {colored('DIFFERENT', 'red', bold=True)} {plain(id)}: {plain(reason)}"
    for reason in sorted({reason for _, reason in sample.impossible}):
        yield f"  not for {sum(reason == each for _, each in sample.impossible)}: {plain(reason)}"


def verdict_lines(answer: LogAnswer) -> Iterator[str]:
    """Yield whether the log is what was written, how far that is sealed, and of what nothing is shown."""
    if not answer.ok:
        said = "the log is not what was written" if answer.flaws else "the log contradicts the releases"
        yield colored("NOT PROVEN", "red", bold=True) + f": {said}"
        return
    if any(part.chained for part in answer.parts):
        yield colored("whole", "green") + ": nothing is changed, missing or out of place in what is chained"
    if answer.trust.ok:
        kept = "remembered in git" if answer.remembered else "remembered nowhere else yet"
        yield f"{_many(answer.seals, 'seal')}, the newest signed by {plain(', '.join(answer.trust.keys))}, {kept}"
    loose = [part for part in answer.parts if part.chained and (part.rows, part.labels) != _sealed(part)]
    if loose:
        rows = sum(part.rows - part.sealed_rows for part in loose)
        labels = sum(part.labels - part.sealed_labels for part in loose)
        yield (
            f"not sealed yet: {_many(rows, 'row')} and {_many(labels, 'label')}. Edits and gaps in them would "
            "show; a file that was written anew by who may write it, or the end cut off, would not"
        )
    bare = sum(part.rows for part in answer.parts if not part.chained)
    if bare:
        yield f"not chained: {_many(bare, 'row')}, written before logs were. Nothing shows whether they were edited"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sealed(part: Part) -> tuple[int, int]:
    return part.sealed_rows, part.sealed_labels


def flaw_text(flaw: Flaw) -> str:
    """Return one sentence about what is wrong."""
    where = f"{plain(flaw.segment)}: " if flaw.segment else ""
    rows = _rows(flaw)
    detail = plain(flaw.detail)
    match flaw.kind:
        case "changed":
            said = f"{rows} changed after they were written, or do not belong there"
        case "missing":
            said = f"{rows} missing"
        case "added":
            said = f"{rows} not in the chain"
        case "cut":
            said = f"{rows} missing at the end" + (f", by the word of {detail}" if detail else ", by the seal")
        case "rewritten":
            said = f"{rows} other than what " + (f"{detail} was begun behind" if detail else "was sealed")
        case "replaced":
            said = f"it is another file: {detail or 'one that was begun anew'}"
        case "gone":
            held = f", with {rows}" if flaw.last else ""
            said = f"the file is gone{held}" + (f", by the word of {detail}" if detail else ", by the seal")
        case "unreadable":
            said = f"it cannot be read: {detail}"
        case "feedback":
            said = f"the truth of {_rows(flaw, 'rows')} is not what the labels lead to"
        case "routes":
            said = f"route {detail} is of no row"
        case "tables":
            said = "its tables and views are not those that a server makes"
        case "seals":
            said = f"the seals do not hold: {detail}"
        case "twice":
            said = f"{_rows(flaw, 'rows')} has the id of one in {detail}"
    return where + said


def _rows(flaw: Flaw, what: str = "") -> str:
    name = what or _WHAT[flaw.chain]
    if flaw.first is None or flaw.first == flaw.last:
        return f"{name.removesuffix('s')} {flaw.last}" if flaw.last is not None else name
    return f"{name} {flaw.first} to {flaw.last}"


_STANDING = {
    "sealed": "chained and sealed",
    "chained": "chained, not sealed yet: an edit would show, a file that was written anew would not",
    "unchained": "NOT CHAINED: nothing shows whether it was edited",
}


def proof_rows(proof: RowProof) -> list[tuple[str, object]]:
    """Return what vouches for a logged answer, as rows of a table."""
    where = f"row {proof.row} of {proof.part}"
    if proof.status == "sealed":
        row = f"{where}: chained, sealed {proof.sealed_at}, signed by {', '.join(proof.keys)}"
    elif proof.status == "flawed":
        row = f"{where}: NOT PROVEN"
    else:
        row = f"{where}: {_STANDING[proof.status]}"
    rows: list[tuple[str, object]] = [("row", row)]
    rows += [("", flaw_text(flaw)) for flaw in proof.flaws[:_SHOWN]]
    if proof.truth is not None:
        rows.append(("truth", _STANDING.get(proof.truth, "NOT PROVEN")))
    rows.append(("score", _rescored(proof)))
    return [*rows, ("reasons", _reexplained(proof.reexplained))] if proof.reexplained is not None else rows


def reasons_rows(found: Reexplained) -> list[tuple[str, object]]:
    """Return the reasons that were logged, the largest contributions first, as rows of a table."""
    logged = found.logged
    parts = logged.get("contributions")
    if found.status == "none" or not isinstance(parts, Mapping):
        return [("reasons", f"asked for, and none were given: {found.reason}")]
    errors = numbers(logged.get("errors"))
    of = f" of {logged['label']}" if "label" in logged else ""
    head = f"{logged.get('scale')}{of}: {_short(logged.get('baseline'))} on average, {_short(logged.get('value'))} here"
    sizes = numbers(parts)
    order = sorted(parts, key=lambda name: -abs(sizes.get(name, 0.0)))
    rows: list[tuple[str, object]] = [("reasons", f"{head}; {logged.get('method')}, {logged.get('background')} rows")]
    for name in order[:_REASONS]:
        error = f" (± {_short(errors[name])})" if name in errors else ""
        rows.append(("", f"{name} {_signed(parts[name])}{error}"))
    more = len(order) - _REASONS
    return [*rows, ("", f"{more} more, see --output json")] if more > 0 else rows


def numbers(value: object) -> dict[str, float]:
    """Return what are finite numbers among what was logged under names; a log that was edited may hold anything."""
    return {
        str(name): number
        for name, each in (value.items() if isinstance(value, Mapping) else ())
        if (number := _number(each)) is not None
    }


def _number(value: object) -> float | None:
    """Return a finite number, None for what is none; JSON has whole numbers that no float holds."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _short(value: object) -> str:
    return str(value) if (number := _number(value)) is None else f"{number:.4g}"


def _signed(value: object) -> str:
    return str(value) if (number := _number(value)) is None else f"{number:+.4g}"


def _reexplained(found: Reexplained) -> str:
    match found.status:
        case "equal":
            return f"the release explains the logged features in the same way, within {found.largest or 0:.2g}"
        case "different":
            return f"CONTRADICTED: {found.reason}"
        case "none":
            return f"none were given: {found.reason}"
        case "impossible":
            return f"not recomputed: {found.reason}"


def _rescored(proof: RowProof) -> str:
    found = proof.rescored
    match found.status:
        case "equal":
            return "the release answers the logged features with the same score and label"
        case "close":
            return f"the release answers the logged features with {found.score!r}: the same within 1e-6"
        case "different":
            now = f"; it answers {found.score!r}" + (f", {found.label}" if found.label is not None else "")
            return f"CONTRADICTED: {found.reason}" + (now if found.score is not None else "")
        case "impossible":
            return f"not recomputed: {found.reason}"
