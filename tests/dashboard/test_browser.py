"""Pages as a browser shows them: no error, no request elsewhere, no serious fault for people, at any width.

They need Debian's ``chromium`` and ``chromium-driver``, and axe-core by ``npm ci`` in this folder for the part about
people. With ``DASHBOARD_SHOTS=FOLDER`` pictures of the pages are left there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from assets.kept import ASSETS, MODEL, prediction_ids
from dashboard.browser import AXE, CHROMIUM, DRIVER, PATIENCE, Browser, browser, until
from dashboard.conftest import Put, Site
from dashboard.test_audit_report import ASKED
from dashboard.test_build_report import CURVES, FOUND
from dashboard.test_build_report import MODEL as MODEL_BUILT
from dashboard.test_export import exported
from dashboard.test_serving import renamed, served
from modelops.dashboard.live import MOST
from modelops.dashboard.reports import audited, built, monitored, simulated
from views import answers
from views import listed_answers as listed
from views import loop_answers as loop
from views import told_answers as told
from views import tried_answers as tried
from world.hostile import Hostile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no browser (Debian: chromium-driver)"),
]
SHOTS = os.environ.get("DASHBOARD_SHOTS")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return one browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def address(on_trial: Hostile) -> Iterator[str]:
    """Return the address of a served dashboard."""
    with served(on_trial) as found:
        yield found


def visited(chromium: Browser, address: str, path: str, name: str = "") -> None:
    """Open a page and hold it against everything that no page may do."""
    chromium.asked_for()
    chromium.complaints()
    chromium.open(address + path)
    assert chromium.run("return document.querySelectorAll('h1').length") == 1, path
    elsewhere = [one for one in chromium.asked_for() if not one.startswith((address, "data:", "chrome:"))]
    assert not elsewhere, (path, elsewhere)
    # What is not there answers 404, and the browser says so; that is the page's own status.
    complaints = [one for one in chromium.complaints() if "status of 404" not in one]
    assert not complaints, (path, complaints)
    assert chromium.run("return getComputedStyle(document.querySelector('.skip')).position") == "absolute", path
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        chromium.shot(Path(SHOTS) / f"{name or path.strip('/').replace('/', '_') or 'index.html'}.png")


def of_interest(site: Site) -> list[str]:
    """Return a page of each kind, and every page of the seats and releases."""
    found = sorted(site.crawl())
    commits = [path for path in found if path.startswith("commit/")]
    return [path for path in found if path not in commits[1:]]


def test_no_page_complains_or_asks_elsewhere(chromium: Browser, address: str, site: Site) -> None:
    """No console error, no request to anybody else, and the style is there, on every kind of page."""
    for path in [*of_interest(site), "nowhere.html"]:
        visited(chromium, address, path)
    visited(chromium, address, f"audit.html?id={prediction_ids(ASSETS[0])[0]}", "audit-prediction")


@pytest.mark.skipif(not AXE.is_file(), reason="there is no axe-core (npm ci in tests/dashboard)")
@pytest.mark.parametrize("dark", [False, True])
def test_no_serious_fault_for_people(chromium: Browser, address: str, site: Site, dark: bool) -> None:
    """Nothing that axe-core calls serious or critical, by light and by dark."""
    chromium.dark(dark)
    try:
        audits = [
            "audit.html",
            f"audit.html?id={prediction_ids(ASSETS[0])[0]}",
            "audit.html?environment=production&at=2026-05-05",
        ]
        for path in [*of_interest(site), *audits, "nowhere.html"]:
            visited(chromium, address, path, f"{path.replace('/', '_')}-dark" if dark else "")
            assert not chromium.faults(), path
    finally:
        chromium.dark(False)


@pytest.mark.skipif(not AXE.is_file(), reason="there is no axe-core (npm ci in tests/dashboard)")
@pytest.mark.parametrize("dark", [False, True])
def test_reports_have_no_serious_fault_for_people(chromium: Browser, tmp_path: Path, dark: bool) -> None:
    """A report of each kind, opened from disk: no error, nothing loaded, no fault, and no wider than 320 pixels."""
    reports = {
        "audit-prediction": audited(listed.EXPLAINED, ASKED),
        "audit-release": audited(answers.RELEASE, ASKED, CURVES, "binary-classification"),
        "audit-log": audited(answers.FLAWED, ASKED),
        "audit-everything": audited(told.VERIFIED, ASKED),
        "build": built([FOUND], {MODEL_BUILT: CURVES}),
        "monitor": monitored("production", loop.REPORTED),
        "simulate": simulated(tried.SIMULATED),
    }
    chromium.dark(dark)
    chromium.size(320)
    try:
        for name, html in reports.items():
            (tmp_path / f"{name}.html").write_text(html, encoding="utf-8", errors="backslashreplace")
            visited(chromium, f"{tmp_path.as_uri()}/", f"{name}.html", f"report-{name}{'-dark' * dark}")
            assert not chromium.faults(), name
            assert chromium.run("return document.documentElement.scrollWidth") <= 320, name
    finally:
        chromium.dark(False)
        chromium.devtools("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [320, 768, 1440])
def test_no_page_is_wider_than_its_window(chromium: Browser, address: str, site: Site, width: int) -> None:
    """At 320 pixels nothing is cut off: what is wide scrolls by itself."""
    chromium.size(width)
    try:
        for path in of_interest(site):
            visited(chromium, address, path, f"{path.replace('/', '_')}-{width}")
            assert chromium.run("return document.documentElement.scrollWidth") <= width, path
    finally:
        chromium.devtools("Emulation.clearDeviceMetricsOverride", {})


def test_a_keyboard_is_enough(chromium: Browser, address: str) -> None:
    """The first stop of the keyboard leads past the head, and every stop is seen."""
    chromium.open(address)
    script = """
    const stops = [...document.querySelectorAll('a[href], input, button, select, summary, [tabindex="0"]')];
    return stops.filter((one) => one.checkVisibility()).map((one) => one.tabIndex);
    """
    assert set(chromium.run(script)) == {0}
    chromium.run("document.querySelector('.skip').focus()")
    assert chromium.run("return getComputedStyle(document.activeElement).left") == "16px"


def test_it_works_without_scripts(chromium: Browser, address: str) -> None:
    """With scripts off a person finds a model, filters and pages: forms and links do it."""
    chromium.scripts(False)
    try:
        chromium.open(address)
        field = chromium.ask("POST", "/element", {"using": "css selector", "value": "#q"})
        id = next(iter(field.values()))
        chromium.ask("POST", f"/element/{id}/value", {"text": "nothing-like-it\ue007"})
        body = chromium.ask("GET", "/source")
        assert "No model matches" in body
    finally:
        chromium.scripts(True)


def test_typing_narrows_the_list(chromium: Browser, address: str) -> None:
    """With scripts on the list narrows while somebody types."""
    chromium.open(address)
    field = chromium.ask("POST", "/element", {"using": "css selector", "value": "#q"})
    id = next(iter(field.values()))
    chromium.ask("POST", f"/element/{id}/value", {"text": "zzz"})
    hidden = "return [...document.querySelectorAll('#models tbody tr')].every((row) => row.hidden)"
    assert chromium.run(hidden)


def test_an_open_page_follows_what_is_seen(chromium: Browser, put: Put) -> None:
    """What was merged elsewhere is shown without a reload; somebody who is typing is asked first."""
    world = put()
    with served(world) as address:
        visited(chromium, address, "", "before")
        assert not chromium.run("return document.body.textContent.includes('other-')")
        world.settle("renamed", {f"models/{MODEL}/model.yaml": renamed(world)})
        until(lambda: chromium.run("return document.body.textContent.includes('other-')"), "the new owner is shown")
        assert chromium.run("return document.getElementById('live').textContent").startswith("Shown anew at ")
        assert not chromium.complaints()
        field = next(iter(chromium.ask("POST", "/element", {"using": "css selector", "value": "#q"}).values()))
        chromium.ask("POST", f"/element/{field}/value", {"text": "zzz"})
        assert chromium.run("return [...document.querySelectorAll('#models tbody tr')].every((row) => row.hidden)")
        text = renamed(world).replace("owner: other-", "owner: later-")
        world.settle("renamed-again", {f"models/{MODEL}/model.yaml": text})
        offered = "return document.querySelector('#live button')?.textContent === 'Show it'"
        until(lambda: chromium.run(offered), "the newer page is offered")
        assert not chromium.run("return document.body.textContent.includes('later-')")
        if SHOTS:
            chromium.shot(Path(SHOTS) / "live.png")
        chromium.run("document.querySelector('#live button').click()")
        until(lambda: chromium.run("return document.body.textContent.includes('later-')"), "the newer page is shown")
        chromium.open("about:blank")


def test_a_served_page_can_be_saved_by_a_browser_without_a_window(put: Put, tmp_path: Path) -> None:
    """What waits until nothing more is loaded comes to an end: no line is open from the start."""
    with served(put()) as address:
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
        words += ["--virtual-time-budget=8000", "--dump-dom", address]
        saved = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert MODEL in saved


def test_an_exported_folder_opens_from_disk(chromium: Browser, put: Put, tmp_path: Path) -> None:
    """Opened as files, without any server, pages have their style and lead to each other."""
    exported(put(), tmp_path / "site")
    address = (tmp_path / "site").as_uri() + "/"
    for path in ("index.html", f"model/{MODEL}.html", f"release/{MODEL}/3.html"):
        visited(chromium, address, path, f"file-{path.replace('/', '_')}")


def test_a_page_that_cannot_follow_says_so_and_asks_again(chromium: Browser, address: str) -> None:
    """Refused its stream a page says so, and follows when it is seen again; a hidden one takes nobody's place."""
    note = "return document.getElementById('live').textContent"
    shown = "return !document.getElementById('live').hidden"
    hide = """
    Object.defineProperty(document, 'hidden', {configurable: true, value: arguments[0]});
    document.dispatchEvent(new Event('visibilitychange'));
    """

    def full(streams: ExitStack) -> bool:
        while True:
            answer = streams.enter_context(client.stream("GET", "live", params={"of": "index.html"}))
            if answer.status_code == 503:
                return True

    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=address, timeout=120, trust_env=False, limits=limits) as client:
        with ExitStack() as streams:
            assert full(streams)
            chromium.open(address)
            until(lambda: chromium.run(shown), "the page says that it does not follow")
            assert "tried again in a minute" in chromium.run(note)
        until(lambda: chromium.run(hide, True) or chromium.run(hide, False) or not chromium.run(shown), "it follows")
        chromium.run(hide, True)

        def alone() -> bool:
            with ExitStack() as streams:
                said = [
                    streams.enter_context(client.stream("GET", "live", params={"of": "index.html"})).status_code
                    for _ in range(MOST)
                ]
            return set(said) == {200}

        until(alone, "the hidden page has given its place back")
    chromium.complaints()
    chromium.open("about:blank")
