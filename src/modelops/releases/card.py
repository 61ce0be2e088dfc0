"""The model card: every number from evidence, every sentence about use and limits from the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from modelops import markup
from modelops.artifacts import BuildRecord
from modelops.metrics.aims import aim_of, sentences
from modelops.metrics.questions import too_good
from modelops.releases.details import details_markdown
from modelops.releases.markdown import (
    baseline_sentence,
    confusion_rows,
    confusion_title,
    equality_table,
    gates_table,
    library,
    rows_counted,
    search_sentence,
    served_by,
    waivers_table,
    weight_sentence,
)
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec
from modelops.spec.kinds.model import ModelSpec, Task
from modelops.spec.kinds.outcomes import Figure
from modelops.spec.kinds.release import Baseline, MetricValue, ReleaseSpec
from modelops.spec.meta import FeatureType
from modelops.stores import release_tag

if TYPE_CHECKING:
    from modelops.releases.approval import ModelApproval

PIPELINE_TAGS: dict[Task, str] = {
    "binary-classification": "tabular-classification",
    "multiclass-classification": "tabular-classification",
    "regression": "tabular-regression",
}


def model_card(
    release: ReleaseSpec,
    record: BuildRecord,
    *,
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    approved_by: ModelApproval | None,
    details: Mapping[str, Mapping[str, object]] | None = None,
    outcomes: Sequence[Figure] = (),
) -> bytes:
    """Return the model card of a release: Hugging Face front matter and a body in that template's order.

    ``details`` are the numbers behind the verdicts by ``policy/gate``, ``outcomes`` what the model's objective came to
    until then.
    """
    details = details or {}
    fair = [one for one in release.verdicts if one.type == "fairness"]
    others = [one for one in release.verdicts if one.type != "fairness"]
    front = yaml.safe_dump(_front_matter(release, model), sort_keys=False, allow_unicode=True, width=110)
    body = _template().render(
        release=release,
        tag=markup.Markup(release_tag(release.model, release.version)),
        record=record,
        model=model.spec,
        aim=tuple(sentences(aim_of(release.model, model.spec.objective, outcomes, None))),
        data=snapshot.spec,
        snapshot=snapshot.name,
        data_size=sum(file.size for file in snapshot.spec.files),
        approved_by=approved_by,
        search=search_sentence(release.search) if release.search is not None else None,
        metrics=_metrics_table(release.metrics, release.baseline),
        weight=weight_sentence(release.weight) if release.weight is not None else None,
        question=too_good(release.metrics),
        baseline=baseline_sentence(release.baseline, record.task) if release.baseline is not None else None,
        confusion=_confusion(release, record),
        gates=gates_table(release.verdicts),
        served_by=served_by(release.artifact),
        library=library(release.artifact),
        equality=equality_table(release.artifact) if release.artifact.equality else None,
        waivers=waivers_table(release.verdicts, release.waivers),
        fairness=gates_table(fair),
        fairness_details=details_markdown(details, [f"{one.policy}/{one.gate}" for one in fair]),
        other_details=details_markdown(details, [f"{one.policy}/{one.gate}" for one in others]),
        has_fairness=bool(fair),
        call=markup.Markup(_call(release.model, example_record(model.spec, snapshot.spec))),
        pipeline_tag=PIPELINE_TAGS[model.spec.task],
    )
    return f"---\n{front}---\n\n{body.rstrip()}\n".encode()


@cache
def _template() -> jinja2.Template:
    """Return the body's template; every value that is not our own Markdown is escaped on its way out."""
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML: finalize escapes what values say
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, markup.Markup) else markup.escape(value),
    )
    environment.filters["code"] = markup.code
    environment.filters["number"] = markup.number
    environment.filters["thousands"] = lambda value: markup.Markup(f"{value:,}")
    return environment.from_string(files("modelops.releases").joinpath("MODEL_CARD.md.jinja").read_text("utf-8"))


def _front_matter(release: ReleaseSpec, model: Resource[ModelSpec]) -> dict[str, Any]:
    tag = PIPELINE_TAGS[model.spec.task]
    license_name = model.metadata.annotations.get("license")
    front: dict[str, Any] = {"license": license_name} if license_name else {}
    front |= {
        "library_name": next(iter(release.artifact.runtimes), "sklearn"),
        "pipeline_tag": tag,
        "tags": [tag, *_tags(release), "modelops"],
        "metrics": [metric.name for metric in release.metrics],
        "model-index": [{"name": f"{release.model}-{release.version}", "results": [_result(release, tag)]}],
    }
    return front


def _tags(release: ReleaseSpec) -> list[str]:
    """Return the libraries and formats of a release, each once."""
    artifact = release.artifact
    trees = ["sklearn", "skops"] if any(file.path.endswith(".skops") for file in artifact.files) else []
    served = ["onnx"] if artifact.engine == "onnx" else []
    own = [] if artifact.runtimes else ["sklearn", "skops"]
    return list(dict.fromkeys([*(trees or own), *artifact.runtimes, *served]))


def _result(release: ReleaseSpec, tag: str) -> dict[str, Any]:
    metrics = [entry for metric in release.metrics for entry in _metric_entries(metric)]
    return {
        "task": {"type": tag},
        "dataset": {
            "type": release.data.snapshot,
            "name": f"{release.model}/{release.data.snapshot}",
            "split": "test",
            "revision": release.data.root,
        },
        "metrics": metrics,
    }


def _metric_entries(metric: MetricValue) -> list[dict[str, Any]]:
    """Return the entry of a metric and, since the format has no interval, one for each bound."""
    arguments = {"level": metric.level, "n": metric.n, "method": metric.method}
    arguments |= {} if metric.effective is None else {"effective": metric.effective}
    return [
        {
            "type": metric.name,
            "value": metric.value,
            "name": metric.name,
            "args": {"lower": metric.lower, "upper": metric.upper, **arguments},
        },
        {
            "type": f"{metric.name}-lower",
            "value": metric.lower,
            "name": f"{metric.name} (lower)",
            "args": dict(arguments),
        },
        {"type": f"{metric.name}-upper", "value": metric.upper, "name": f"{metric.name} (upper)", "args": arguments},
    ]


def _confusion(release: ReleaseSpec, record: BuildRecord) -> markup.Markup | None:
    if release.confusion is None:
        return None
    header, rows = confusion_rows(release.confusion, record.classes)
    told = markup.table([markup.escape(name, 80) for name in header], rows)
    return markup.Markup(f"The {confusion_title(release.confusion)}:\n\n{told}")


def _metrics_table(metrics: tuple[MetricValue, ...], baseline: Baseline | None) -> markup.Markup:
    known = baseline.metrics if baseline is not None else None
    rows = [
        (
            markup.code(metric.name),
            markup.number(metric.value),
            markup.interval(metric.lower, metric.upper),
            *([] if known is None else [markup.number(known.get(metric.name))]),
            f"{metric.level:.0%}",
            rows_counted(metric.n, metric.effective),
            metric.method,
        )
        for metric in metrics
    ]
    beside = [] if known is None else ["Baseline"]
    return markup.table(("Metric", "Value", "Interval", *beside, "Level", "n", "Method"), rows)


def example_record(model: ModelSpec, data: DataSnapshotSpec) -> dict[str, object]:
    """Return a row as a caller would send it, with plausible values from what its snapshot says of each column."""
    columns = {column.name: column for column in data.columns}
    return {feature.name: _example(feature.type, columns.get(feature.name)) for feature in model.data.features}


def _call(model: str, record: dict[str, object]) -> str:
    return markup.curl(f'"$URL/v2/models/{model}/predict"', record)


def _example(kind: FeatureType, column: Column | None) -> object:
    """Return a plausible value from what the snapshot measured of a column."""
    match kind:
        case "number" | "integer":
            value = column.mean if column is not None and column.mean is not None else 0.0
            return round(value) if kind == "integer" else float(f"{value:.4g}")
        case "boolean":
            return False
        case "datetime":
            return "2026-01-01T00:00:00Z" if column is None or column.maximum is None else str(column.maximum)
        case "category":
            return next(iter(column.top), "") if column is not None else ""
