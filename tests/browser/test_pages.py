"""The report and the batch page in a real browser: no script fails, and what can be clicked does what it says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import Workflow, simulate

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIMULATION = ("--frames", "600", "--dims", "72x96", "--n-cells", "9", "--cell-diameter-px", "9")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a recording with cells, one without and one that failed."""
    workflow = Workflow(tmp_path_factory.mktemp("pages"))
    good = simulate(workflow.folder / "good.tif", *SIMULATION)
    empty = ("--n-cells", "0", "--neuropil", "0.2", "--vessels", "0", "--nonrigid-px", "0")
    simulate(workflow.folder / "noise.tif", *SIMULATION, *empty, "--truth", str(workflow.folder / "noise.h5"))
    (workflow.folder / "cut.tif").write_bytes(good.read_bytes()[:-5000])
    workflow.write_sheet("good good.tif", "noise noise.tif", "cut cut.tif")
    workflow.snakemake(ok=False)
    return workflow.folder / "results"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Open a page; at the end no script may have failed and nothing may have been asked of a network."""
    failures: list[str] = []
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda message: failures.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else failures.append(asked.url))

    def go(path: Path) -> Any:
        page.goto(path.resolve().as_uri())
        return page

    yield go
    page.close()
    assert not failures


def _drawn(page: Any) -> int:
    """Count the coloured pixels of the trace's canvas."""
    return page.evaluate(
        """() => {
            const canvas = document.querySelector("#trace");
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
            return count;
        }"""
    )


def test_clicking_an_outline_shows_that_component_and_its_trace(visit, results):
    page = visit(results / "good/report/good.html")
    outlines = page.locator("#outlines path")
    assert outlines.count() >= 5
    shown = set()
    for i in range(3):
        outlines.nth(i).dispatch_event("click")
        shown.add(page.locator("#details h3").inner_text())
        assert outlines.nth(i).get_attribute("class").split()[-1] == "selected"
        assert page.locator("#outlines path.selected").count() == 1
        assert _drawn(page) > 500
    assert len(shown) == 3


def test_arrow_keys_walk_through_the_components_that_are_shown(visit, results):
    page = visit(results / "good/report/good.html")
    count, seen = page.locator("#outlines path").count(), set()
    for _ in range(count):
        page.keyboard.press("ArrowRight")
        seen.add(page.locator("#details h3").inner_text())
    assert len(seen) == count


def test_images_and_layers_can_be_switched(visit, results):
    page = visit(results / "good/report/good.html")
    for choice in page.locator("input[name=image]").all():
        choice.check()
        visible = page.locator(".picture:not([hidden])")
        assert visible.count() == 1
        assert visible.get_attribute("id") == "img-" + choice.get_attribute("value")
    accepted = page.locator("#outlines .accepted")
    page.locator("input[data-layer=accepted]").uncheck()
    assert not accepted.is_visible()
    page.locator("input[data-layer=accepted]").check()
    assert accepted.is_visible()


def test_every_section_of_a_report_is_reached_from_its_head(visit, results):
    page = visit(results / "good/report/good.html")
    for link in page.locator("nav a").all():
        section = page.locator(link.get_attribute("href"))
        assert section.bounding_box()["height"] > 50


def test_a_recording_without_cells_has_a_page_that_says_so(visit, results):
    page = visit(results / "noise/report/noise.html")
    assert page.locator("#outlines path").count() == 0
    assert "no " in page.locator("#cells").inner_text().lower()


def test_the_batch_page_filters_sorts_and_leads_to_reports(visit, results):
    page = visit(results / "batch.html")
    rows = page.locator("#recordings tbody tr")
    assert rows.count() == 3
    page.locator("#filter").fill("cut")
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    page.locator("#filter").fill("")
    page.locator(".chip[data-state=ok]").click()
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    page.locator(".chip[data-state=ok]").click()
    page.locator("th", has_text="Cells").click()
    numbers = [float(cell.get_attribute("data-sort")) for cell in page.locator("tbody tr td:nth-child(4)").all()]
    assert numbers == sorted(numbers, reverse=True)
    page.locator("a", has_text="good").first.click()
    assert page.locator("h1").inner_text() == "good"
