"""A real browser behind the protocol that drives browsers, and what it saw: errors, requests, faults for people."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 120.0
"""Seconds that a busy machine may take for anything."""


@dataclass
class Browser:
    """One session of a browser."""

    client: httpx.Client
    session: str

    def ask(self, method: str, path: str, said: Any = None) -> Any:
        answer = self.client.request(method, f"/session/{self.session}{path}", json=said)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def open(self, address: str) -> None:
        """Go to a page and wait until it is whole."""
        self.ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any, later: bool = False) -> Any:
        """Run a script in the page, as a person's tools do: what the page itself may run is another matter."""
        how = "async" if later else "sync"
        return self.ask("POST", f"/execute/{how}", {"script": script, "args": list(arguments)})

    def size(self, width: int, height: int = 900) -> None:
        """Give the page a width and height in CSS pixels, narrower ones than a window can have, too."""
        shown = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", shown)

    def dark(self, on: bool = True) -> None:
        """Say that the person prefers dark pages."""
        value = "dark" if on else "light"
        self.devtools("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]})

    def scripts(self, on: bool) -> None:
        """Let pages run scripts, or none."""
        self.devtools("Emulation.setScriptExecutionDisabled", {"value": not on})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def complaints(self) -> list[str]:
        """Return what was written to the console since the last question."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def asked_for(self) -> list[str]:
        """Return the address of every request since the last question."""
        found = []
        for entry in self.ask("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(str(message["params"]["request"]["url"]))
        return found

    def shot(self, path: Path) -> None:
        """Save what the page looks like, all of it."""
        size = self.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        taken = self.devtools("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(taken["data"]))

    def faults(self) -> list[str]:
        """Return what axe-core finds serious or critical on the page."""
        self.run(AXE.read_text(encoding="utf-8") + "\nwindow.axe = axe;")
        script = "axe.run(document, {resultTypes: ['violations']}).then((r) => arguments[0](r.violations))"
        found = self.run(script, later=True)
        return [
            f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary')}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps everything of it in a folder."""
    assert CHROMIUM is not None
    assert DRIVER is not None
    with subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    ) as driver:
        try:
            assert driver.stdout is not None
            said = next(line for line in driver.stdout if "started successfully on port" in line)
            port = int(said.rsplit(" ", 1)[1].strip().rstrip("."))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
                options = {
                    "binary": CHROMIUM,
                    "args": [
                        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
                        f"--user-data-dir={folder / 'profile'}",
                    ],
                }
                logged = {"browser": "ALL", "performance": "ALL"}
                wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logged}
                made = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
                assert "sessionId" in made, made
                found = Browser(client, made["sessionId"])
                try:
                    yield found
                finally:
                    found.ask("DELETE", "")
        finally:
            driver.terminate()


def until(holds: Any, what: str) -> Any:
    """Ask until something holds, or a machine that is merely busy would have done it long ago."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")
