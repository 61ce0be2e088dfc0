"""Whether a prediction log is what was written: its chains, its seals, and answers given once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelops.audit.answers import Dropped, LogAnswer, Part, Rescored, RowProof, Sample
from modelops.audit.rescoring import Rescorer
from modelops.audit.seals import NO_SEALS, Remembered, Seals
from modelops.logs import Log
from modelops.predictions import Examined, Flaw, Logged, Mark, Row

__all__ = ["KnownLog", "examine_log", "prove_row", "rescore_sample"]


@dataclass(frozen=True)
class KnownLog:
    """A log of an environment with what was sealed of it, and what the repository remembers of the seals."""

    environment: str
    log: Log
    seals: Seals = NO_SEALS
    remembered: Remembered | None = None

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """What is wrong with the seals themselves."""
        if self.seals.trust.status == "refused":
            return (Flaw("", "seals", detail="; ".join(self.seals.trust.problems)),)
        if self.remembered is not None and self.remembered.contradicts(self.seals):
            many = f"{self.remembered.number} seals are remembered, and the {self.seals.number} here are not those"
            return (Flaw("", "seals", detail=many),)
        return ()

    @property
    def dropped(self) -> Mapping[str, Dropped]:
        """The parts that were dropped by rule."""
        return self.seals.dropped


def examine_log(known: KnownLog) -> LogAnswer:
    """Go through a whole log."""
    seals = known.seals
    found = known.log.examine(seals.marks, list(seals.dropped))
    parts = tuple(_part(each, seals) for each in found)
    return LogAnswer(
        environment=known.environment,
        log=known.log.place,
        parts=parts,
        flaws=(*known.flaws, *(flaw for part in parts for flaw in part.flaws)),
        dropped=tuple(seals.dropped[name] for name in sorted(seals.dropped)),
        seals=seals.number,
        remembered=known.remembered.number if known.remembered is not None else 0,
        trust=seals.trust,
    )


def _part(found: Examined, seals: Seals) -> Part:
    sealed = seals.marks.get(found.name)
    return Part(
        name=found.name,
        chained=found.chained,
        rows=found.rows,
        sealed_rows=min(sealed.answers, found.rows) if sealed is not None else 0,
        labels=found.mark.labels if found.mark is not None else 0,
        sealed_labels=sealed.labels if sealed is not None else 0,
        sealed_at=seals.sealed_at.get(found.name),
        flaws=found.flaws,
    )


def prove_row(known: KnownLog, logged: Logged, artifact: str | None, rescorer: Rescorer | None) -> RowProof:
    """Return what vouches for a row: its part is gone through, and the release answers it once more."""
    places, seals = known.log.places(logged.row.id), known.seals
    name, number = places[0] if places else ("", 0)
    found = {each.name: each for each in known.log.examine(seals.marks, list(seals.dropped), name)}
    part = found.get(name)
    flaws = (*known.flaws, *(part.flaws if part is not None else ()))
    if len(places) > 1:
        flaws += (Flaw(name, "twice", first=number, last=number, detail=places[1][0]),)
    sealed = seals.marks.get(name)
    status, truth = _standing(part, flaws, number, sealed.answers if sealed is not None else 0), None
    if logged.truth is not None:
        truth = _standing_of_truth(part, flaws, sealed)
    if rescorer is None or artifact is None:
        rescored = Rescored("impossible", "the release that answered is not proven")
    else:
        rescored = rescorer(logged.row, artifact)
    explained = rescorer.explain(logged.row, artifact) if rescorer is not None else None
    at = seals.sealed_at.get(name) if status == "sealed" else None
    return RowProof(
        name, number, status, truth, at, seals.trust.keys if at is not None else (), flaws, rescored, explained
    )


def _standing(
    part: Examined | None, flaws: Sequence[Flaw], number: int, sealed: int
) -> Literal["sealed", "chained", "unchained", "flawed"]:
    if flaws:
        return "flawed"
    if part is None or not part.chained:
        return "unchained"
    return "sealed" if number <= sealed else "chained"


def _standing_of_truth(
    part: Examined | None, flaws: Sequence[Flaw], sealed: Mark | None
) -> Literal["sealed", "chained", "unchained", "flawed"]:
    """Return what vouches for the labels of a part; an export carries no chain of them."""
    if part is None or part.mark is None:
        return "flawed" if flaws else "unchained"
    return _standing(part, flaws, part.mark.labels, sealed.labels if sealed is not None else 0)


def rescore_sample(
    answer: LogAnswer,
    rows: Sequence[Row],
    artifacts: Callable[[str, int], str | None],
    rescorer: Rescorer,
    seed: int,
) -> LogAnswer:
    """Answer rows of a log once more; ``artifacts`` returns the artifact of a proven release."""
    results: list[tuple[Row, Rescored]] = []
    for row in rows:
        artifact = artifacts(row.model, row.release)
        unproven = Rescored("impossible", f"{row.model} release {row.release} is not proven")
        results.append((row, unproven if artifact is None else rescorer(row, artifact)))

    def told(status: str) -> tuple[tuple[str, str], ...]:
        return tuple((row.id, found.reason) for row, found in results if found.status == status)

    sample = Sample(len(rows), len(told("equal")), len(told("close")), told("different"), told("impossible"), seed)
    return replace(answer, sample=sample)
