"""Every page of the book in a browser, as readers open it: from disk, on a phone and wide, light and dark.

A file of its own, which any worker takes once the book should be built (`LONGEST` in conftest.py).
"""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from opened import complaints_of, no_violations
from playwright.sync_api import Browser

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Contrast is a matter of styles, not of words: of the texts that look the same on the same grounds, on whatever page,
# one is measured.  Told are all looks of the page, and what is wrong with those that are not among the known ones.
_CONTRAST = """known => {
    const looks = new Map(), grounds = new Map([[null, ""]]);
    const ground = node => {
        if (!grounds.has(node)) {
            const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(node);
            const own = [backgroundColor, backgroundImage, opacity, filter].join();
            grounds.set(node, ground(node.parentElement) + (own == "rgba(0, 0, 0, 0),none,1,none" ? "" : own + ";"));
        }
        return grounds.get(node);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !text.checkVisibility()) continue;
        const { color, fontSize, fontWeight } = getComputedStyle(text);
        const look = [color, fontSize, fontWeight, ground(text)].join();
        if (!looks.has(look)) looks.set(look, text);
    }
    const all = [...looks.keys()], unknown = all.filter(look => !known.includes(look));
    if (!unknown.length) return [all, []];
    return axe.run(unknown.map(look => looks.get(look)), {runOnly: ["color-contrast"], preload: false})
        .then(found => [all, found.violations]);
}"""


@pytest.mark.browser
def test_every_page_opens_from_disk_and_is_accessible(
    book: Path, pages: dict[Path, BeautifulSoup], browser: Browser, subtests: pytest.Subtests
) -> None:
    """On a phone; formulas are set, pictures there, and axe finds nothing; contrast in light, dark, narrow and wide."""
    from axe_playwright_python.base import AXE_SCRIPT

    page = browser.new_page(viewport={"width": 390, "height": 800}, reduced_motion="reduce")
    complaints = complaints_of(page)
    looks: set[str] = set()
    for path, content in pages.items():
        with subtests.test(page=str(path.relative_to(book))):
            complaints.clear()
            page.set_viewport_size({"width": 390, "height": 800})
            page.emulate_media(color_scheme="light")
            page.goto(path.as_uri(), wait_until="load")
            formulas = len(content.select(".math"))
            if formulas:
                page.wait_for_function("document.querySelectorAll('mjx-container').length > 0")
                page.wait_for_function("MathJax.startup.promise.then(() => true)")
                assert page.locator("mjx-container").count() >= formulas
                assert page.locator("[data-mml-node=merror]").count() == 0, "a formula is not understood"
            assert not page.evaluate(_BROKEN_IMAGES)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, "the page is wider than a phone"
            assert not complaints
            page.evaluate(AXE_SCRIPT)
            no_violations(page.evaluate(_STRUCTURE, _RULES))
            for scheme, width in (("light", 390), ("dark", 390), ("dark", 1280), ("light", 1280)):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
                of_page, found = page.evaluate(_CONTRAST, list(looks))
                assert len(of_page) > 5
                looks |= set(of_page)
                no_violations(found)
            assert not page.evaluate(_CUT_FORMULAS), (
                "at the end of a formula that does not fit a number looks like another"
            )
            assert not page.evaluate(_CUT_OFF), "the ends of what is wide are cut off"
            if path.name in ("index.html", "claims.html", "3-1.html"):  # wide; the others are built alike
                no_violations(page.evaluate(_STRUCTURE, _RULES))
    page.close()


_STRUCTURE = """rules => axe.run(document, {
    runOnly: rules, rules: {"color-contrast": {enabled: false}}, resultTypes: ["violations"], preload: false,
}).then(found => found.violations)"""


# On a desktop; a phone has to scroll the long ones.
_CUT_FORMULAS = """() => [...document.querySelectorAll("mjx-container")]
    .filter(formula => getComputedStyle(formula).overflowX != "visible")
    .filter(formula => formula.scrollWidth > formula.clientWidth + 1)
    .map(formula => formula.parentElement.id)"""


# Those that nobody has to open.
_CUT_OFF = """() => [...document.querySelectorAll("table, pre")]
    .filter(wide => wide.offsetParent && !wide.closest("details"))
    .filter(wide => {
        let box = wide;
        while (box.tagName != "MAIN" && getComputedStyle(box).overflowX == "visible") box = box.parentElement;
        return box.tagName != "MAIN" && box.scrollWidth > box.clientWidth + 1;
    })
    .map(wide => wide.id || wide.innerText.slice(0, 40))"""


_BROKEN_IMAGES = """async () => (await Promise.all([...document.images].map(image => {
    image.loading = "eager";
    return image.decode().then(() => null, () => image.src);
}))).filter(source => source)"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [600, 800, 1000, 1150, 1200, 1500])
def test_nothing_scrolls_sideways_between_phone_and_wide_screen(book: Path, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for name in ("index.html", "notebooks/a/3-1.html", "notebooks/claims.html"):
        page.goto((book / name).as_uri(), wait_until="load")
        page.evaluate("scrollTo(500, 0)")
        assert page.evaluate("scrollX") == 0, name
        for picture in page.locator("picture img:visible").all():
            shown = picture.bounding_box()
            assert shown is not None and shown["x"] + shown["width"] <= width, name
    page.close()
