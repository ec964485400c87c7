"""The site in headless Chromium, from its file path: it works, and nothing foreign runs in it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root cannot have the sandbox
    with playwright.sync_playwright() as tool:
        found = tool.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a desktop, with what went wrong in it under ``page.troubles``."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    one = context.new_page()
    one.troubles = []
    one.on("console", lambda message: one.troubles.append(message.text))
    one.on("pageerror", lambda error: one.troubles.append(str(error)))
    one.on("requestfailed", lambda request: one.troubles.append(request.url))
    yield one
    context.close()


def column(page: Any, table: int, place: int) -> list[str]:
    cells = page.locator("table").nth(table).locator(f"tbody tr:visible td:nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_every_page_opens_without_errors(page: Any, site: Path) -> None:
    """No console message, no failed request, every picture loaded, no sideways scrolling."""
    for path in sorted(site.rglob("*.html")):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path.as_uri())
            for image in page.locator("img").all():
                image.scroll_into_view_if_needed()
                page.wait_for_function(
                    "image => image.complete && image.naturalWidth > 0", arg=image.element_handle()
                )
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide == width, f"{path.name} is {wide} wide"
            assert page.title() != "pwned"
    assert page.troubles == []


def test_a_heading_sorts_its_table_by_value_and_says_so(page: Any, site: Path) -> None:
    page.goto((site / "benchmarks" / "step.Long.time_step.html").as_uri())
    values = page.locator("th", has_text="value")
    assert values.get_attribute("aria-sort") is None
    values.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert values.get_attribute("aria-sort") == "descending"
    numbers = page.locator("td.number[data-value]").evaluate_all(
        "cells => cells.filter(c => c.cellIndex === 4).map(c => Number(c.dataset.value))"
    )
    assert len(numbers) > 60
    assert numbers == sorted(numbers, reverse=True)
    page.keyboard.press("Space")
    assert values.get_attribute("aria-sort") == "ascending"
    levels = page.locator("th", has_text="level").last
    levels.get_by_role("button").click()
    assert values.get_attribute("aria-sort") is None
    assert column(page, 1, 2) == sorted(column(page, 1, 2), key=float)


def test_a_search_leaves_the_rows_that_hold_all_words(page: Any, site: Path) -> None:
    page.goto((site / "benchmarks" / "step.Long.time_step.html").as_uri())
    search = page.get_by_role("searchbox")
    assert page.locator("output").inner_text() == "72 rows"
    search.fill("CUDA 255x324")
    assert page.locator("output").inner_text() == "18 of 72 rows"
    assert set(column(page, 1, 1)) == {"255x324"}
    search.fill("no such case")
    assert column(page, 1, 1) == []


def test_all_can_be_reached_and_read_by_keyboard(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    unnamed = page.locator("[role=region]:not([aria-label])")
    assert unnamed.count() == 0


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const light = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const part = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const back = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
    if (!own || node.closest("noscript")) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(back(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(node.textContent.trim().slice(0, 40));
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(page: Any, site: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate(CONTRAST) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 22)",
    }[scheme]  # fmt: skip
