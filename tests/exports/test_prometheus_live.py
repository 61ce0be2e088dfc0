"""A real Prometheus scrapes a real server, its rules fire, and a real Alertmanager tells the owner."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from alerts.receivers import receiver
from exports.test_exports import exported, looked, served
from modelops.alerts import Sending, alertmanager
from modelops.conformance.alerts import INCIDENT
from modelops.conformance.exports import VIEW
from modelops.conformance.shelf import params_of
from modelops.exports import View
from waiting import wait_for

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
OWNER = "payments-risk"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or ALERTMANAGER is None,
        reason="no Prometheus or Alertmanager (Debian: prometheus, prometheus-alertmanager)",
    ),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@contextlib.contextmanager
def program(folder: Path, ready: str, *words: str) -> Iterator[None]:
    """Run a program of Prometheus' family until it says that it is ready, and end it."""
    with (folder / f"{Path(words[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(lambda: _answers(ready))
            yield
        finally:
            process.terminate()
            process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def asked(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def alerting(folder: Path, view: View, **urls: str) -> Iterator[str]:
    """Run Alertmanager with the exported configuration; a receiver's URL lies in its file."""
    (text,) = exported("alertmanager", view, directory=str(folder)).values()
    for route in yaml.safe_load(text)["route"]["routes"]:
        (folder / f"{route['receiver']}.url").write_text(urls.get(route["receiver"], "http://127.0.0.1:9/"))
    for wait in ("group_wait: 30s", "group_interval: 5m"):
        text = text.replace(wait, f"{wait.partition(chr(58))[0]}: 1s")
    (folder / "alertmanager.yaml").write_text(text, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    words = [str(ALERTMANAGER), "--config.file=alertmanager.yaml", "--storage.path=alerts"]
    words += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with program(folder, f"http://{address}/-/ready", *words):
        yield f"http://{address}"


def test_what_the_server_says_wakes_its_owner(tmp_path: Path) -> None:
    """Rules hold on what is scraped, tickets are routed to the owner, and a server that is down is a page."""
    view = View("production", tuple(replace(one, owner=OWNER) for one in VIEW.models if one.name == "a/b"))
    with receiver() as chat, alerting(tmp_path, view, **{"operators-page": chat.url}) as manager:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(served(tmp_path / "served"))
            looked(tmp_path / "served" / "runtime", datetime.now(UTC))
            target = server.url.removeprefix("http://")
            files = exported("prometheus", view, targets=[target], interval="1s", after="1s", missingAfter="1s")
            config = yaml.safe_load(files["scrape-production.yaml"])
            config |= {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yaml"]}
            near = {"static_configs": [{"targets": [manager.removeprefix("http://")]}]}
            config["alerting"] = {"alertmanagers": [near]}
            (tmp_path / "rules.yaml").write_text(files["rules-production.yaml"], encoding="utf-8")
            (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
            address = f"127.0.0.1:{free_port()}"
            words = ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data"]
            beside = program(tmp_path, f"http://{address}/-/ready", *words, f"--web.listen-address={address}")
            prometheus = contextlib.ExitStack()
            prometheus.enter_context(beside)
            with prometheus:

                def firing() -> dict[str, Any]:
                    query = quote('ALERTS{alertstate="firing"}')
                    found = asked(f"http://{address}/api/v1/query?query={query}")["data"]["result"]
                    return {one["metric"]["alertname"]: one["metric"] for one in found}

                wait_for(lambda: {"ModelWindowAlerts", "ModelStalled", "SigningKeyEnds"} <= firing().keys())
                told = firing()
                assert told["ModelWindowAlerts"]["owner"] == OWNER
                assert told["ModelWindowAlerts"]["severity"] == "ticket"
                assert "ModelServerDown" not in told
                groups = asked(f"http://{address}/api/v1/rules")["data"]["groups"]
                assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}

                def routed() -> dict[str, list[str]]:
                    alerts = asked(f"{manager}/api/v2/alerts")
                    return {one["labels"]["alertname"]: [each["name"] for each in one["receivers"]] for one in alerts}

                wait_for(lambda: {"ModelWindowAlerts", "SigningKeyEnds"} <= routed().keys())
                assert routed()["ModelWindowAlerts"] == [f"{OWNER}-ticket"]
                assert routed()["SigningKeyEnds"] == ["operators-ticket"]
                assert chat.received == []
                stack.close()
                wait_for(lambda: chat.received)
        assert "ModelServerDown" in json.dumps(chat.received[0])


def test_an_incident_lives_and_ends_in_alertmanager(tmp_path: Path) -> None:
    """What is told by the way `alertmanager` is one alert there, whatever is told of it, until it is over."""
    now = datetime.now(UTC)
    began = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    first = replace(INCIDENT, opened=began, since=began)
    with alerting(tmp_path, View("production", ())) as manager:
        params = params_of(alertmanager, {"url": manager})
        sending = Sending(tmp_path, {}, 30.0, now)
        for incident in (first, first, replace(first, code="other", summary="For another reason.")):
            alertmanager.send(params, incident, sending)
        (one,) = asked(f"{manager}/api/v2/alerts")
        assert one["labels"]["incident"] == first.key
        assert one["annotations"]["summary"] == "For another reason."
        assert one["status"]["state"] == "active"
        alertmanager.send(params, replace(first, event="recovered"), sending)
        wait_for(lambda: asked(f"{manager}/api/v2/alerts") == [])
