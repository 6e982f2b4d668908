"""The book as readers get it: built from the repository, then checked page by page.

Pages are collected from what was built, so a new chapter is covered without a change here.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

from lib import build

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# The last ones keep the browser from looking up hosts of its maker.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built book; building it fails on any warning of Sphinx and on any other host."""
    return build.build(quiet=True).parent


@pytest.fixture(scope="session")
def pages(book: Path) -> dict[Path, BeautifulSoup]:
    """Every page, parsed; what the theme keeps in _static are templates."""
    paths = sorted(path for path in book.rglob("*.html") if "_static" not in path.relative_to(book).parts)
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in paths}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium, where there is one on the machine."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def test_every_chapter_is_a_page(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    for chapter, path in build.chapters().items():
        place = path.relative_to(build.ROOT / "notebooks" if chapter == "index" else build.ROOT)
        assert book / place.with_suffix(".html") in pages, f"chapter {chapter} is not in _toc.yml"


def test_every_internal_link_resolves(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    broken = []
    for path, page in pages.items():
        for link in page.find_all("a", href=True):
            url = urlsplit(link["href"])
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.is_file() or not target.is_relative_to(book):
                broken.append(f"{path.relative_to(book)}: {link['href']}")
            elif url.fragment and target in anchors and unquote(url.fragment) not in anchors[target]:
                broken.append(f"{path.relative_to(book)}: {link['href']} (no such anchor)")
    assert not broken


def test_every_image_says_what_it_shows(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    silent = []
    for path, page in pages.items():
        for image in page.find_all("img"):
            alt = image.get("alt", "").strip()
            if not alt or re.search(r"\.(png|svg|jpe?g)$", alt) or alt == Path(image["src"]).stem:
                silent.append(f"{path.relative_to(book)}: {image['src']}")
    assert not silent


def test_every_figure_and_numbered_table_has_a_caption(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    for path, page in pages.items():
        for figure in page.select("article figure"):
            caption = figure.find("figcaption")
            assert caption is not None, path.relative_to(book)
            assert re.match(r"(Figure|Table) \d+ .", " ".join(caption.get_text().split())), path.relative_to(book)


def test_nothing_of_the_machine_is_in_the_book(book: Path) -> None:
    private = [str(build.ROOT), str(Path.home()) + "/"]
    for path in [*book.rglob("*.html"), *book.rglob("*.ipynb"), book / "searchindex.js"]:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in private), path.relative_to(book)


@pytest.mark.browser
def test_every_page_opens_from_disk(
    book: Path, pages: dict[Path, BeautifulSoup], browser: Browser, subtests: pytest.Subtests
) -> None:
    for path, content in pages.items():
        with subtests.test(page=str(path.relative_to(book))):
            page = browser.new_page(viewport={"width": 390, "height": 800})
            complaints = _complaints(page)
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
            page.close()


def test_every_page_is_light(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    for path, page in pages.items():
        pictures = {(path.parent / unquote(image["src"])).resolve() for image in page.select('img:not([src^="data:"])')}
        size = path.stat().st_size + sum(picture.stat().st_size for picture in pictures)
        assert size < 2_000_000, f"{path.relative_to(book)}: {size:,} bytes with its pictures"


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False])
def test_the_level_control_changes_the_figure(
    book: Path, pages: dict[Path, BeautifulSoup], browser: Browser, subtests: pytest.Subtests, script: bool
) -> None:
    """With the pointer and with the keys, with and without JavaScript."""
    found = [path for path, content in pages.items() if content.select(".levels")]
    assert len(found) >= 5
    for path in found:
        with subtests.test(page=str(path.relative_to(book))):
            context = browser.new_context(java_script_enabled=script, viewport={"width": 390, "height": 800})
            page = context.new_page()
            page.goto(path.as_uri(), wait_until="load")
            for group in page.locator(".levels").all():
                buttons, labels = group.get_by_role("radio"), group.locator("label")
                assert page.get_by_role("group", name="Weights pruned").count() >= 1
                assert group.locator("input:checked").count() == 1
                seen = set()
                for number in range(labels.count()):
                    labels.nth(number).click()
                    picture = _only_picture(group)
                    assert labels.nth(number).inner_text() in (picture.get_attribute("alt") or "")
                    seen.add(picture.get_attribute("src"))
                assert len(seen) == labels.count() > 1
                # The last is chosen now; an arrow goes on to the first, one back returns.
                last = _only_picture(group).get_attribute("src")
                buttons.last.focus()
                page.keyboard.press("ArrowRight")
                assert buttons.first.is_checked() and _only_picture(group).get_attribute("src") != last
                page.keyboard.press("ArrowLeft")
                assert buttons.last.is_checked() and _only_picture(group).get_attribute("src") == last
            context.close()


def _only_picture(group: Locator) -> Locator:
    """The one picture of a figure that is seen, loaded."""
    seen = [picture for picture in group.locator("img").all() if picture.is_visible()]
    assert len(seen) == 1
    box = seen[0].bounding_box()
    assert box is not None and box["width"] > 200 and box["height"] > 50
    return seen[0]


@pytest.mark.browser
def test_the_book_can_be_searched_from_disk(book: Path, browser: Browser) -> None:
    page = browser.new_page()
    complaints = _complaints(page)
    page.goto((book / "search.html").as_uri() + "?q=verify")
    page.locator("#search-results li a", has_text="How to re-run this book").first.wait_for()
    assert not [c for c in complaints if "other host" in c]


# Those that wait until they are looked at are fetched now.
_BROKEN_IMAGES = """async () => (await Promise.all([...document.images].map(image => {
    image.loading = "eager";
    return image.decode().then(() => null, () => image.src);
}))).filter(source => source)"""


@pytest.mark.browser
def test_the_claims_can_be_searched_and_filtered_by_keyboard(book: Path, browser: Browser) -> None:
    path = book / "notebooks" / "claims.html"
    rows = [
        (row.find("span", id=re.compile("^claim-"))["id"], row.get_text(" ").lower(), row.select_one(".verdict").text)
        for row in BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select("tr:has(span.verdict)")
        if row.find("span", id=re.compile("^claim-"))
    ]
    page = browser.new_page()
    complaints = _complaints(page)
    page.goto(path.as_uri())
    output = page.locator("#claims-filter output")
    assert output.inner_text() == f"{len(rows)} of {len(rows)} claims"

    def shown() -> set[str]:
        found = page.evaluate(
            "[...document.querySelectorAll('tr:has(.verdict) [id^=claim-]')]"
            ".filter(e => e.checkVisibility()).map(e => e.id)"
        )
        assert output.inner_text() == f"{len(found)} of {len(rows)} claims"
        return set(found)

    page.locator("#claims-filter input").focus()
    page.keyboard.type("Overlap conv1")
    assert shown() == {name for name, text, _ in rows if "overlap" in text and "conv1" in text} != set()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.type("B")  # the paper
    assert shown() == {name for name, *_ in rows if name.startswith("claim-B")} != set()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("not a claim")
    assert shown() == {n for n, _, verdict in rows if n.startswith("claim-B") and verdict == "not a claim"} != set()
    empty = "[...document.querySelectorAll('article h3')].filter(e => e.checkVisibility()).length"
    assert page.evaluate(empty) < len({name for name, *_ in rows})
    assert not complaints
    page.close()

    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(path.as_uri())
    assert plain.locator("tr:has(.verdict):visible").count() >= len(rows)
    assert plain.locator("#claims-filter *").count() == 0
    plain.context.close()


def _complaints(page: Page) -> list[str]:
    """Collect what goes wrong while a page is open."""
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"console: {message.text}")

    def request(request: Request) -> None:
        if urlsplit(request.url).scheme not in ("file", "data", "blob"):
            complaints.append(f"other host: {request.url}")

    page.on("console", console)
    page.on("request", request)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"not loaded: {request.url}"))
    return complaints
