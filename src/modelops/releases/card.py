"""The model card: every number from evidence, every sentence about use and limits from the spec."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from modelops.artifacts import BuildRecord
from modelops.releases import markdown
from modelops.spec.data import Column, DataSnapshotSpec
from modelops.spec.delivery import MetricValue, ReleaseSpec
from modelops.spec.kinds import Resource
from modelops.spec.model import FeatureType, ModelSpec, Task

if TYPE_CHECKING:
    from modelops.releases.approval import ModelApproval

PIPELINE_TAGS: dict[Task, str] = {
    "binary-classification": "tabular-classification",
    "multiclass-classification": "tabular-classification",
    "regression": "tabular-regression",
}
_TYPES: dict[FeatureType, str] = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "datetime": "BYTES",
}


def model_card(
    release: ReleaseSpec,
    record: BuildRecord,
    *,
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    approved_by: ModelApproval | None,
) -> bytes:
    """Return the model card of a release: Hugging Face front matter and a body in that template's order."""
    front = yaml.safe_dump(_front_matter(release, model), sort_keys=False, allow_unicode=True, width=110)
    body = _template().render(
        release=release,
        record=record,
        model=model.spec,
        data=snapshot.spec,
        snapshot=snapshot.name,
        data_size=sum(file.size for file in snapshot.spec.files),
        approved_by=approved_by,
        metrics=_metrics_table(release.metrics),
        gates=markdown.gates_table(release.verdicts),
        fairness=markdown.gates_table([one for one in release.verdicts if one.type == "fairness"]),
        has_fairness=any(one.type == "fairness" for one in release.verdicts),
        request=markdown.Markup(_request(model.spec, snapshot.spec)),
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
        finalize=lambda value: value if isinstance(value, markdown.Markup) else markdown.escape(value),
    )
    environment.filters["code"] = markdown.code
    environment.filters["number"] = markdown.number
    environment.filters["thousands"] = lambda value: markdown.Markup(f"{value:,}")
    return environment.from_string(files("modelops.releases").joinpath("MODEL_CARD.md.jinja").read_text("utf-8"))


def _front_matter(release: ReleaseSpec, model: Resource[ModelSpec]) -> dict[str, Any]:
    tag = PIPELINE_TAGS[model.spec.task]
    license_name = model.metadata.annotations.get("license")
    front: dict[str, Any] = {"license": license_name} if license_name else {}
    front |= {
        "library_name": "sklearn",
        "pipeline_tag": tag,
        "tags": [tag, "sklearn", "skops", *(["onnx"] if release.artifact.engine == "onnx" else []), "modelops"],
        "metrics": [metric.name for metric in release.metrics],
        "model-index": [{"name": f"{release.model}-{release.version}", "results": [_result(release, tag)]}],
    }
    return front


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


def _metrics_table(metrics: tuple[MetricValue, ...]) -> markdown.Markup:
    rows = [
        (
            markdown.code(metric.name),
            markdown.number(metric.value),
            markdown.interval(metric.lower, metric.upper),
            f"{metric.level:.0%}",
            f"{metric.n:,}",
            metric.method,
        )
        for metric in metrics
    ]
    return markdown.table(("Metric", "Value", "Interval", "Level", "n", "Method"), rows)


def _request(model: ModelSpec, data: DataSnapshotSpec) -> str:
    """Return the body of an example request; it stays inside a shell quote and a code fence whatever the values are."""
    columns = {column.name: column for column in data.columns}
    inputs = [
        {
            "name": feature.name,
            "shape": [1],
            "datatype": _TYPES[feature.type],
            "data": [_example(feature.type, columns.get(feature.name))],
        }
        for feature in model.data.features
    ]
    lines = ",\n  ".join(json.dumps(entry) for entry in inputs)
    return f'{{"inputs": [\n  {lines}\n]}}'.replace("'", "\\u0027").replace("`", "\\u0060")


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
