"""What was measured of a change, as a file that leaves the job which ran the change's own code.

Whoever reads it believes none of it: it is data of a bounded size, checked against this form, and is about one commit.
What it says of the change decides nothing but what people are shown; what is released is measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from modelops.errors import ModelOpsError, failure
from modelops.fence.written import read_written
from modelops.releases.verdicts import Outcome
from modelops.spec.meta import Digest, GitId, ModelName, Strict, VerdictWord

__all__ = [
    "BuildReport",
    "Conclusion",
    "DataReport",
    "EntryReport",
    "MetricReport",
    "ProblemReport",
    "Report",
    "RuleReport",
    "StepReport",
    "VerdictReport",
    "read_report",
    "written",
]

LARGEST = 4 << 20
"""Bytes of a report."""
Conclusion = Literal["success", "failure", "neutral"]
_Line = Annotated[str, Field(max_length=2_000)]
_Name = Annotated[str, Field(max_length=300)]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]
_MANY = 2_000


class MetricReport(Strict):
    """A metric of a build with its interval, beside what knowing nothing and what stable scored."""

    name: _Name
    value: float
    lower: float
    upper: float
    level: float
    n: _Count
    effective: float | None = Field(default=None, description="of how many equally weighted rows they are worth")
    baseline: float | None = None
    stable: tuple[float, float, float] | None = Field(default=None, description="value, lower and upper")


class VerdictReport(Strict):
    """What a gate found."""

    policy: _Name
    gate: _Name
    verdict: VerdictWord
    blocking: bool
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    n: _Count | None = None
    reason: _Line
    waived: _Line = ""


class DataReport(Strict):
    """The snapshot of a build, and what it changes of the one that stable was made from."""

    snapshot: _Name
    root: Digest
    rows: _Count
    before: _Count | None = None
    changes: tuple[_Line, ...] = Field(default=(), max_length=_MANY)


class BuildReport(Strict):
    """A judged build; ``passed`` says whether it may be released, ``outcome`` what the gates found."""

    model: ModelName
    outcome: Outcome
    passed: bool
    stable: _Count | None = None
    weight: _Name = Field(default="", description="the column that rows were weighted by")
    metrics: tuple[MetricReport, ...] = Field(default=(), max_length=_MANY)
    verdicts: tuple[VerdictReport, ...] = Field(default=(), max_length=_MANY)
    data: DataReport
    notes: tuple[_Line, ...] = Field(default=(), max_length=_MANY)


class EntryReport(Strict):
    """One thing that merging leads to."""

    text: _Line
    does: Literal["changes", "informs", "refused"]


class StepReport(Strict):
    """What a step of a rollout needs to see what it guards against."""

    model: ModelName
    step: _Count
    what: _Line
    requests: _Count | None = None
    minutes: float | None = None
    sees: bool


class RuleReport(Strict):
    """What a rule of the base's approval policy asks of the change."""

    change: _Name
    environment: _Name | None = None
    minimum: _Count
    approvers: tuple[_Name, ...] = Field(default=(), max_length=_MANY)


class ProblemReport(Strict):
    """What is wrong, or a warning, with its place; lines count from 1, 0 is the whole file."""

    level: Literal["failure", "warning"]
    code: _Name
    message: _Line
    hint: _Line = ""
    path: Annotated[str, Field(max_length=1_000)] = ""
    line: Annotated[int, Field(ge=0, le=1 << 31)] = 0


class Report(Strict):
    """Everything that was measured of ``head``, as merged into ``base``.

    ``unmeasured`` are models that would have to be built and were not. ``folder`` is where the project lies in its
    repository.
    """

    report: Literal[1] = 1
    modelops: _Name
    head: GitId
    base: GitId
    result: GitId | None = None
    folder: Annotated[str, Field(max_length=1_000)] = ""
    plan: tuple[EntryReport, ...] = Field(default=(), max_length=_MANY)
    builds: tuple[BuildReport, ...] = Field(default=(), max_length=_MANY)
    unmeasured: tuple[ModelName, ...] = Field(default=(), max_length=_MANY)
    forecasts: tuple[StepReport, ...] = Field(default=(), max_length=_MANY)
    expectations: tuple[_Line, ...] = Field(default=(), max_length=_MANY)
    waivers: tuple[_Line, ...] = Field(default=(), max_length=_MANY)
    objectives: tuple[_Line, ...] = Field(default=(), max_length=_MANY)
    labels: tuple[_Line, ...] = Field(default=(), max_length=_MANY)
    rules: tuple[RuleReport, ...] = Field(default=(), max_length=_MANY)
    problems: tuple[ProblemReport, ...] = Field(default=(), max_length=_MANY)

    @property
    def broken(self) -> bool:
        """Whether something could not be done, so that what was measured is not all."""
        return any(one.level == "failure" for one in self.problems)

    @property
    def conclusion(self) -> Conclusion:
        """Success only where something was measured and all of it may be released; neutral where nothing decides."""
        refused = self.broken or any(one.does == "refused" for one in self.plan)
        if refused or self.unmeasured or not all(one.passed for one in self.builds):
            return "failure"
        return "neutral" if not self.builds or any(one.outcome == "undecided" for one in self.builds) else "success"


def written(report: Report) -> str:
    """Return a report as its file says it."""
    return report.model_dump_json(by_alias=True, exclude_defaults=True, indent=1) + "\n"


def read_report(path: Path, head: str) -> Report:
    """Read a report about a commit; what is no plain file, too large, of another form or about another is an error.

    A link that was unpacked would lead to what the job that reads it alone may see.
    """
    try:
        data = read_written(path, LARGEST)
    except OSError as error:
        raise _invalid(path, f"it cannot be read, or is larger than {LARGEST:,} bytes: {error.strerror}") from None
    try:
        report = Report.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:200]
        raise _invalid(path, f"{place + ': ' if place else ''}{first['msg'][:200]}") from None
    if report.head != head:
        raise _invalid(path, f"it is about {report.head[:12]}, not {head[:12]}")
    return report


def _invalid(path: Path, why: str) -> ModelOpsError:
    hint = "it is what `modelops pr report` writes, run on the head of the pull request"
    return failure("report-invalid", f"{path.name} is no report: {why}", hint=hint)
