"""Pages for people: how a model is called, with the types of what it takes and gives; plain HTML that loads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from modelops.markup import curl
from modelops.serving.http import Answer
from modelops.serving.inputs import Binder
from modelops.serving.table import LoadedArm, LoadedModel

__all__ = ["index_page", "model_page"]

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_TYPE = b"text/html; charset=utf-8"
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "pre{background:#f3f4f6;padding:1rem;overflow-x:auto}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #d0d7de;padding:.3rem .8rem .3rem 0;text-align:left}"
    "@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#161b22}a{color:#58a6ff}}"
)
_OUTPUTS = {
    "regression": "<code>prediction</code>: the predicted number",
    "binary-classification": "<code>label</code>, and <code>probability</code> of <code>{positive}</code>",
    "multiclass-classification": "<code>label</code>, and <code>probabilities</code> by class: {classes}",
}


def index_page(models: Iterable[LoadedModel]) -> Answer:
    """Return a page that lists models."""
    rows = [
        f'<li><a href="/v2/models/{quote(model.name)}/docs">{escape(model.name)}</a></li>'
        for model in sorted(models, key=lambda model: model.name)
    ]
    listed = f"<ul>{''.join(rows)}</ul>" if rows else "<p>No model is served here.</p>"
    return _page("Models", f'{listed}<p>For tools: <a href="/openapi.json">/openapi.json</a></p>')


def model_page(model: LoadedModel, host: str, *, keyed: bool) -> Answer:
    """Return the page of one model; ``host`` is the address by which it was asked for."""
    arm = model.main
    if arm is None:
        return _page(model.name, "<p>No release of it could be loaded.</p>")
    at = f"http://{host if _HOST.fullmatch(host) else 'HOST'}/v2/models/{quote(model.name)}"
    example, key = arm.binder.example(), "MODELOPS_API_KEY" if keyed else ""
    parts = [
        f"<p>Release {arm.release} answers, the task is {escape(arm.encoder.task)}. "
        f'For tools: <a href="/v2/models/{quote(model.name)}/openapi.json">openapi.json</a></p>',
        "<h2>Ask with a record</h2>",
        f"<pre>{escape(curl(f'{at}/predict', example, key=key))}</pre>",
        "<p>The values are made up. Send a list of records for several rows.</p>",
        f"<h2>What it takes</h2>{_inputs(arm.binder)}",
        f"<h2>What it answers</h2><p>For each row {_outputs(arm)}, and the <code>id</code> under which it is logged "
        "and takes <code>feedback</code>.</p>",
        "<h2>Ask with tensors</h2>",
        f"<p>The Open Inference Protocol v2, as clients of KServe, Triton and MLServer speak it, is at "
        f"<code>{escape(at)}/infer</code>.</p>",
        f"<pre>{escape(curl(f'{at}/infer', _tensors(arm.binder), key=key))}</pre>",
    ]
    return _page(model.name, "".join(parts))


def _page(title: str, body: str) -> Answer:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    text = f"<!doctype html><html lang=en><head>{head}<style>{_STYLE}</style></head>"
    return Answer(200, f"{text}<body><h1>{escape(title)}</h1>{body}</body></html>".encode(), _TYPE, _HEADERS)


def _tensors(binder: Binder) -> dict[str, object]:
    example = binder.example()
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": datatype, "data": [example[name]]}
            for name, datatype in binder.declared.items()
        ]
    }


def _inputs(binder: Binder) -> str:
    rows = [
        (name, kind, datatype, "yes" if nullable else "no")
        for (name, kind, nullable), datatype in zip(binder.features, binder.declared.values(), strict=True)
    ]
    return _table(("Input", "Type", "Datatype", "May be missing"), rows)


def _outputs(arm: LoadedArm) -> str:
    encoder = arm.encoder
    positive = escape(encoder.class_names[-1]) if encoder.class_names else ""
    classes = ", ".join(f"<code>{escape(name)}</code>" for name in encoder.class_names)
    return _OUTPUTS[encoder.task].format(positive=positive, classes=classes)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rest = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{rest}</table>"
