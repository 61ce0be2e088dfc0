"""The page on adding an alert: its files are taken from it, installed beside modelops, tested, typed and used."""

from __future__ import annotations

import json
import mailbox
import re
from pathlib import Path

import pytest

from page_world import install, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-an-alert.md").read_text(encoding="utf-8")
USE = """
from pathlib import Path
from modelops import alerts
from modelops.alerts import Sending
from modelops.conformance.alerts import INCIDENT
from modelops.spec.load import load_resource
from modelops.spec.schema import json_schema

text = "apiVersion: modelops/v1\\nkind: AlertPolicy\\nmetadata: {name: alerting}\\nspec:\\n  routes:\\n"
policy = load_resource((text + open("use.yaml").read()).encode(), "policies/alerting.yaml")
assert "alerts.maildir" in json_schema("AlertPolicy")["$defs"]
bound = alerts.bind(policy.spec.routes[0].send, policy, "spec.routes[0].send")
bound.module.send(bound.params, INCIDENT, Sending(Path.cwd(), {}, 5.0))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page's files, and what an installer would write about them."""
    folder = tmp_path_factory.mktemp("team")
    module, test = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    entry = re.search(r'maildir = "(.*)"', PAGE)
    use = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert entry is not None
    assert use is not None
    files = {
        "src/team_alerts/maildir.py": module,
        "tests/test_maildir.py": test,
        "use.yaml": use[1],
        "use.py": USE,
    }
    install(folder, "team_alerts", files, "modelops.alerts", f"maildir = {entry[1]}")
    return folder


def test_the_example_keeps_what_every_way_keeps(package: Path) -> None:
    """The page's own test passes."""
    assert "1 passed" in run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_maildir.py")


def test_the_example_is_found_by_its_entry_point(package: Path) -> None:
    """A policy that names it is valid, its schema knows it, and what is sent by it arrives."""
    run(package, "use.py")
    (message,) = mailbox.Maildir(package / "mail", create=False)
    assert message["To"] == "growth@example.com"
    assert json.loads(message.get_payload(decode=True))["event"] == "stalled"


@pytest.mark.slow
def test_the_example_is_typed(package: Path) -> None:
    """Mypy holds the module to the Protocol by the assignment in the page's test."""
    run(package, "-m", "mypy", "--strict", "--ignore-missing-imports", "tests/test_maildir.py")
