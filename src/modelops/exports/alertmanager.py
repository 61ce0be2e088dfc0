"""The export `alertmanager`: who is told of what the rules of `prometheus` find, by owner and severity.

Of each owner a page and a ticket have a receiver of their own. Where it is lies in a file beside Alertmanager, as such
a URL is a secret: `<directory>/<owner>-page.url`, in the form of Slack's incoming webhooks or a plain webhook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from modelops.exports import View
from modelops.spec.layout import dns_label
from modelops.spec.meta import Strict

__all__ = ["Params", "files"]

_TIMES: Mapping[str, Mapping[str, str]] = {
    "page": {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"},
    "ticket": {"group_wait": "5m", "group_interval": "1h", "repeat_interval": "3d"},
}
Folder = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*$", description="an absolute path")]


class Params(Strict):
    """Where the files with the receivers' URLs lie, and in which form they are told.

    ``operators`` are told of what belongs to no model: servers, the loop and keys. ``webhook`` needs Alertmanager 0.26.
    """

    directory: Folder = "/etc/alertmanager/modelops"
    form: Literal["slack", "webhook"] = "slack"
    operators: str = Field(default="operators", min_length=1)


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the configuration of an environment; what is of another environment goes to nobody by it."""
    owners = sorted({model.owner for model in view.models} | {params.operators})
    names = {owner: dns_label(owner, 50) for owner in owners}
    here = f"environment={json.dumps(view.environment)}"
    routes = [
        {
            "receiver": f"{names[owner]}-{severity}",
            "matchers": [here, f"severity={json.dumps(severity)}", *_whose(owner, params.operators, view)],
            **times,
        }
        for owner in owners
        for severity, times in _TIMES.items()
    ]
    document = {
        "route": {"receiver": "nobody", "group_by": ["environment", "model", "alertname"], "routes": routes},
        "inhibit_rules": [
            {
                "source_matchers": [here, 'severity="page"'],
                "target_matchers": [here, 'severity="ticket"'],
                # The slow burn is known to who was woken by the fast one.
                "equal": ["environment", "model", "alertname"],
            },
            {
                "source_matchers": [here, 'alertname="ModelServerDown"', 'severity="page"'],
                "target_matchers": [here, 'alertname="ModelReleaseMissing"'],
                "equal": ["environment"],
            },
        ],
        "receivers": [
            {"name": "nobody"},
            *(
                {"name": f"{names[owner]}-{severity}", **_receiver(params, f"{names[owner]}-{severity}")}
                for owner in owners
                for severity in _TIMES
            ),
        ],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    return {f"alertmanager-{view.environment}.yaml": text}


def _whose(owner: str, operators: str, view: View) -> list[str]:
    """Return what an owner's alerts have; what has no owner is the operators'."""
    if owner != operators:
        return [f"owner={_quoted(owner)}"]
    owns = any(model.owner == operators for model in view.models)
    return [f'owner=~"|{_pattern(owner)}"' if owns else 'owner=""']


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _pattern(text: str) -> str:
    """Return a regular expression of RE2 that is this text alone, quoted as matchers are."""
    escaped = "".join(one if one.isalnum() or one in " -_" else f"\\x{{{ord(one):x}}}" for one in text)
    return _quoted(escaped)[1:-1]


def _receiver(params: Params, name: str) -> dict[str, Any]:
    path = f"{params.directory.rstrip('/')}/{name}.url"
    if params.form == "webhook":
        return {"webhook_configs": [{"url_file": path, "send_resolved": True}]}
    title = "[{{ .CommonLabels.severity }}] {{ .CommonLabels.alertname }} {{ .CommonLabels.model }}"
    text = "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ end }}"
    return {"slack_configs": [{"api_url_file": path, "send_resolved": True, "title": title, "text": text}]}
