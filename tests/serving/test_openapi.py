"""The description for tools, and the pages for people."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from modelops.stores import Store
from serving.served_models import Running, route, running, write_table
from waiting import wait_for

CHURN = {"amount": 3.5, "items": 2, "country": "DE", "abroad": False, "opened": "2026-01-03T00:00:00Z"}
RECORDS: dict[str, Any] = {
    "payments/churn": CHURN,
    "fraud": {"x": 1.0, "y": 2.0},
    "risk": {"x": None, "group": "a"},
    "price": {"x": 1, "y": 2.5},
}


def resolved(document: Any, name: str) -> Any:
    """Return a schema of the document with the others beside it, as a validator wants them."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_the_description_is_true_of_requests_and_answers(server: Running) -> None:
    """What each model takes and answers is valid by its schema, and what it refuses is not."""
    document = server.ask("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for model, record in RECORDS.items():
        prefix = model.replace("/", ".")
        takes, gives = (resolved(document, f"{prefix}.{each}") for each in ("Records", "Predictions"))
        for body in (record, [record, record], {"records": [record]}):
            jsonschema.validate(body, takes)
            answer = server.ask(f"/v2/models/{model}/predict", body)
            jsonschema.validate(answer.json, gives)
        for wrong in ({**record, "zz": 1}, {"x": "a", "amount": "a"}, [5]):
            assert server.ask(f"/v2/models/{model}/predict", wrong).status == 400
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, takes)


def test_every_path_of_the_description_is_there(server: Running) -> None:
    """Each path answers its method, with the example where there is one; the answer is valid by the schema."""
    document = server.ask("/openapi.json").json
    assert set(document["components"]["responses"]) == {"400", "401", "403", "404", "429", "503"}
    asked = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if method == "post" and "example" not in content:
                continue
            reply = server.ask(path, content.get("example"), method=method.upper())
            if reply.status != 200:
                # The values of an example are made up, and one encoder refuses what it has not seen.
                assert path == "/v2/models/payments/churn/predict"
                assert "text" in reply.json["error"]
                continue
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.validate(reply.json, {**schema, "components": document["components"]})
            asked += 1
    assert asked >= 10


def test_one_model_has_a_description_and_a_page_of_its_own(server: Running) -> None:
    """They name that model alone; the page shows a command that works when it is pasted."""
    document = server.ask("/v2/models/fraud/openapi.json").json
    assert {path.split("/")[3] for path in document["paths"]} == {"fraud"}
    page = server.ask("/v2/models/fraud/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    commands = re.findall(r"<pre>(.*?)</pre>", page.body.decode(), re.S)
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(shlex.split(html.unescape(command)), capture_output=True, check=True)
        assert json.loads(done.stdout)["model_name"] == "fraud"
    assert b"/v2/models/payments/churn/docs" in server.ask("/docs").body


def test_a_description_shows_a_key_its_own_models(
    tmp_path: Path, store: Store, digests: dict[str, str], models: dict[str, Any]
) -> None:
    """Without a key there is none, and no other model is named to a key of one."""
    key = {"name": "one", "sha256": hashlib.sha256(b"k").hexdigest(), "models": ["fraud"], "scopes": ["infer"]}
    chosen = {"fraud": models["fraud"], "price": route(("stable", 1, digests["price"], 1.0))}
    write_table(tmp_path / "routes.json", chosen, keys=[key])
    with running(tmp_path, store, None) as server:
        mine = {"x-api-key": "k"}
        wait_for(lambda: server.ask("/v2/health/ready").status == 200)
        for path in ("/openapi.json", "/docs"):
            assert server.ask(path).status == 401
            shown = server.ask(path, headers=mine).body.decode()
            assert "fraud" in shown
            assert "price" not in shown
        assert server.ask("/openapi.json", headers=mine).json["security"] == [{"key": []}]
        assert server.ask("/v2/models/price/openapi.json", headers=mine).status in (403, 404)
        assert "Authorization: Bearer $MODELOPS_API_KEY" in html.unescape(
            server.ask("/v2/models/fraud/docs", headers=mine).body.decode()
        )


def test_a_page_says_back_nothing_that_could_be_a_command(server: Running) -> None:
    """The address is that by which it was asked for, unless it holds anything but a host."""
    page = server.ask("/v2/models/fraud/docs", headers={"host": "a$(reboot)"}).body.decode()
    assert "reboot" not in page
    assert "http://HOST/v2" in page
