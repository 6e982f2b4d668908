"""The book as readers get it: built from the repository, then checked page by page.

Pages are collected from what was built, so a new chapter is covered without a change here.
"""

import base64
import json
import re
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from opened import complaints_of, no_violations
from playwright.sync_api import Browser, Locator

from lib import browser as chromium
from lib import build


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


def test_every_page_has_a_title_and_a_description_of_its_own(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    titles = {path: page.title.get_text() for path, page in pages.items()}
    assert all(title.endswith("The winning-tickets book") for title in titles.values())
    assert len(set(titles.values())) == len(pages)
    said = {path: [tag["content"] for tag in page.select("meta[name=description]")] for path, page in pages.items()}
    assert all(len(found) == 1 and 20 < len(found[0]) <= 302 for found in said.values()), said
    assert len({found[0] for found in said.values()}) == len(pages)


def test_every_chapter_has_a_brief_and_the_paper_beside_the_measurement(
    book: Path, pages: dict[Path, BeautifulSoup]
) -> None:
    chapters = [path for path in pages if path.parent.name in ("a", "b")]
    assert len(chapters) == sum(chapter[:2] in ("a/", "b/") for chapter in build.chapters())
    for path in chapters:
        brief = pages[path].select_one("article h1").find_next("p").get_text()
        assert brief.startswith("In brief. ") and 100 < len(brief) < 900, path.relative_to(book)
        headers = [[cell.get_text().strip() for cell in row.select("th")] for row in pages[path].select("thead tr")]
        assert ["Claim", "What the paper says", "What we measured", "Verdict"] in headers, path.relative_to(book)


def test_the_landing_page_lists_every_chapter(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    landing = pages[book / "index.html"].select_one("article")
    linked = {(book / unquote(urlsplit(link["href"]).path)).resolve() for link in landing.select("a[href]")}
    assert {
        book / path.relative_to(build.ROOT).with_suffix(".html") for path in build.chapters().values()
    } - linked == {book / "notebooks" / "index.html"}


def test_the_landing_page_counts_the_claims_of_every_section(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    """Its chart, and what it says of the abstracts, against the table of all claims."""
    counted: Counter[tuple[str, str]] = Counter()
    for heading in pages[book / "notebooks" / "claims.html"].select("article h3"):
        for verdict in heading.find_next("table").select(".verdict"):
            counted[heading.get_text().removesuffix("#").strip(), verdict.get_text()] += 1
    landing = pages[book / "index.html"]
    drawn: Counter[tuple[str, str]] = Counter()
    for link in landing.select(".ledger-chart div a"):
        asked = parse_qs(urlsplit(link["href"]).query)
        drawn[asked["section"][0], asked["verdict"][0]] += int(re.match(r"\d+", link.get_text())[0])
    assert drawn == Counter({key: n for key, n in counted.items() if key[1] != "not a claim"})
    said = [urlsplit(link["href"]).fragment for link in landing.select(".answers li a[href*=claim-]")]
    abstracts = sum(
        n for (section, verdict), n in counted.items() if "Abstract" in section and verdict != "not a claim"
    )
    assert len(said) == len(set(said)) == abstracts
    of = [re.findall(r"\((\S+ on [^()]+)\)", answer.get_text()) for answer in landing.select(".answers li")]
    assert any(len(names) > 1 for names in of)
    for names in of:
        assert len(names) == len(set(names)), f"two readings are of the same network and images: {names}"


def test_nothing_of_the_machine_is_in_the_book(book: Path) -> None:
    private = [str(build.ROOT), str(Path.home()) + "/"]
    for path in [*book.rglob("*.html"), *book.rglob("*.ipynb"), book / "searchindex.js"]:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in private), path.relative_to(book)


def test_every_page_is_light(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    """With all its pictures, of which a screen loads one form, the wide or the narrow one."""
    for path, page in pages.items():
        wide = {image["src"] for image in page.select('img:not([src^="data:"])')}
        narrow = wide - {image["src"] for image in page.select("picture > img")}
        narrow |= {source["srcset"] for source in page.select("picture > source")}
        pictures = max(sum((path.parent / unquote(url)).stat().st_size for url in form) for form in (wide, narrow))
        size = path.stat().st_size + pictures
        assert size < 2_000_000, f"{path.relative_to(book)}: {size:,} bytes with its pictures"


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False])
def test_the_level_control_changes_the_figure(
    book: Path, pages: dict[Path, BeautifulSoup], browser: Browser, subtests: pytest.Subtests, script: bool
) -> None:
    """With the pointer and with the keys, with and without JavaScript."""
    found = [path for path, content in pages.items() if content.select(".levels")]
    assert len(found) >= 5
    context = browser.new_context(java_script_enabled=script, viewport={"width": 390, "height": 800})
    page = context.new_page()
    for path in found:
        with subtests.test(page=str(path.relative_to(book))):
            page.goto(path.as_uri(), wait_until="load")
            assert page.get_by_role("group", name="Weights pruned").get_by_role("radio").count() > 1
            for group in page.locator(".levels").all():
                buttons, labels = group.locator("input"), group.locator("label")
                assert group.locator("input:checked").count() == 1
                chosen = group.evaluate(_CHOOSE_EACH)
                assert len({source for _, pictures in chosen for _, source, *_ in pictures}) == len(chosen) > 1
                for label, pictures in chosen:
                    ((described, _, width, height),) = pictures
                    assert label in described and width > 200 and height > 50
                labels.first.click()
                first = _only_picture(group).get_attribute("src")
                # An arrow back goes round to the last, one on returns.
                buttons.first.focus()
                page.keyboard.press("ArrowLeft")
                assert buttons.last.is_checked() and _only_picture(group).get_attribute("src") != first
                page.keyboard.press("ArrowRight")
                assert buttons.first.is_checked() and _only_picture(group).get_attribute("src") == first
    context.close()


# Each label, if it is what a pointer meets at its middle, and what is seen of which pictures once it is chosen.
_CHOOSE_EACH = """group => [...group.querySelectorAll("label")].map(label => {
    label.scrollIntoView({block: "center"});
    const {x, y, width, height} = label.getBoundingClientRect();
    const met = document.elementFromPoint(x + width / 2, y + height / 2);
    if (!label.contains(met)) throw new Error(`${label.innerText} is below ${met?.outerHTML}`);
    label.click();
    const seen = [...group.querySelectorAll("img")].filter(picture => picture.checkVisibility());
    return [label.innerText, seen.map(picture => {
        const {width, height} = picture.getBoundingClientRect();
        return [picture.alt, picture.getAttribute("src"), width, height];
    })];
})"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_layer_control_shows_a_layer_over_all_levels(book: Path, browser: Browser, width: int) -> None:
    """What is drawn is what is told of each level; a dot can be pointed at; the keys choose."""
    from axe_playwright_python.base import AXE_SCRIPT

    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints = complaints_of(page)
    page.goto((book / "notebooks" / "a" / "3-1.html").as_uri(), wait_until="load")
    figure = page.locator("#fig-a-3a")
    told = [_told(box) for box in figure.locator(".levels .dots").all()]
    levels = figure.locator(".levels > label").all_inner_texts()
    row = figure.get_by_role("group", name="Layer", exact=True)
    row.wait_for()
    layers = [name for name, *_ in told[0]["rows"]]
    assert row.locator("label").all_inner_texts() == ["all layers", *layers]
    for n, layer in enumerate(layers):
        row.get_by_role("radio").nth(n).focus()
        page.keyboard.press("ArrowRight")
        assert row.get_by_role("radio", name=layer, exact=True).is_checked()
        chart = figure.locator(".layer-view svg")
        chart.wait_for()
        assert not figure.locator(".levels").is_visible()
        values = [next(v for name, _, v, *_ in data["rows"] if name == layer) for data in told]
        circles = chart.locator("circle")
        assert circles.count() == sum(map(len, values))
        assert chart.locator(".chance").count() == len(levels)
        against = [dict(zip([row[0] for row in d["rows"]], d["against"], strict=True))[layer] for d in told]
        assert chart.locator(".paper").count() == sum(len(a) > 3 for a in against)
        heights = circles.evaluate_all("all => all.map(e => Number(e.getAttribute('cy')))")
        joined = [value for column in values for value in column]
        order = sorted(range(len(joined)), key=lambda k: joined[k])
        assert all(heights[a] >= heights[b] for a, b in pairwise(order)), "higher is more"
        means = re.findall(r": mean ([-\d.]+)", chart.get_attribute("aria-label") or "")
        assert [float(mean) for mean in means] == pytest.approx([sum(v) / len(v) for v in values], rel=0.006)
    box, said = figure.locator(".layer-view .dots"), figure.locator(".layer-view output")
    box.scroll_into_view_if_needed()
    _, which, last, *_ = next(row for row in told[-1]["rows"] if row[0] == layers[-1])
    n = last.index(max(last))
    place = circles.nth(circles.count() - len(last) + n).bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    name = told[-1]["names"][which[n] if which else n]
    assert said.inner_text() == f"{levels[-1]}: {layers[-1]}, {name}: {last[n]:g}{told[-1]['unit']}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    no_violations(page.evaluate(_AXE_OF, ".layer-view"))
    row.locator("label").first.click()
    assert _only_picture(figure).is_visible() and not chart.is_visible() and not complaints
    page.close()


@pytest.mark.browser
def test_the_control_of_tickets_shows_the_figure_of_others(book: Path, browser: Browser) -> None:
    """At the level and layer that were chosen; without JavaScript each figure stands where it is, and no control."""
    path = book / "notebooks" / "a" / "3-1.html"
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = complaints_of(page)
    page.goto(path.as_uri(), wait_until="load")
    own, other = page.locator("#fig-a-3a"), page.locator("#fig-a-3b")
    row = own.get_by_role("group", name="Tickets", exact=True)
    words = row.locator("label").all_inner_texts()
    assert words[:2] == [figure.locator(".view").get_attribute("data-tickets") for figure in (own, other)]
    own.locator(".levels > label", has_text="95 %").click()
    other.locator(".levels > label", has_text="95 %").click()
    first, second = (_only_picture(figure).get_attribute("src") for figure in (own, other))
    row.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowRight")
    own.locator(".stage .layers:visible").wait_for()
    assert _only_picture(own).get_attribute("src") == second != first
    link = own.locator(".shown-instead a")
    assert link.get_attribute("href") == "#fig-a-3b" and re.fullmatch(r"Figure \d+", link.inner_text())
    # It has tabs, layers and dots of its own, and the figure that it is a copy of keeps its.
    own.locator(".stage:visible .layers label", has_text="conv2").click()
    assert own.locator(".layer-view svg").count() == 1 and _only_picture(other).get_attribute("src") == second
    row.locator("label").first.click()
    assert not own.locator(".shown-instead").is_visible() and _only_picture(own).get_attribute("src") == first
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids)) and not complaints
    page.close()

    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(path.as_uri())
    assert plain.locator(".choice").count() == 0 and _only_picture(plain.locator("#fig-a-3b")).is_visible()
    plain.context.close()


_AXE_OF = """place => axe.run(place, {preload: false, resultTypes: ["violations"]}).then(found => found.violations)"""


def _told(box: Locator) -> dict:
    """What a picture's dots are, as the page has it."""
    return json.loads(zlib.decompress(base64.b64decode(box.get_attribute("data-dots") or "")))


def _only_picture(group: Locator) -> Locator:
    """The one picture of a figure that is seen, loaded."""
    seen = group.locator("img:visible")
    assert seen.count() == 1
    box = seen.bounding_box()
    assert box is not None and box["width"] > 200 and box["height"] > 50
    return seen


@pytest.mark.browser
def test_the_book_can_be_searched_from_disk(book: Path, browser: Browser) -> None:
    page = browser.new_page()
    complaints = complaints_of(page)
    page.goto((book / "search.html").as_uri() + "?q=verify")
    page.locator("#search-results li a", has_text="How to re-run this book").first.wait_for()
    assert not [c for c in complaints if "other host" in c]


# Those that wait until they are looked at are fetched now.
@pytest.mark.browser
def test_the_claims_can_be_searched_and_filtered_by_keyboard(book: Path, browser: Browser) -> None:
    path = book / "notebooks" / "claims.html"
    rows = [
        (row.find("span", id=re.compile("^claim-"))["id"], row.get_text(" ").lower(), row.select_one(".verdict").text)
        for row in BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select("tr:has(span.verdict)")
        if row.find("span", id=re.compile("^claim-"))
    ]
    page = browser.new_page()
    complaints = complaints_of(page)
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
    sections = page.get_by_label("Section").locator("option:not([disabled])").all_inner_texts()
    assert sections[0] == "all" and {name[0] for name in sections[1:]} == {"B"}
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Show all"
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#claims-filter button').disabled")
    assert shown() == {name for name, *_ in rows}
    assert not complaints
    page.close()

    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(path.as_uri())
    assert plain.locator("tr:has(.verdict):visible").count() >= len(rows)
    assert plain.locator("#claims-filter *").count() == 0
    plain.context.close()


@pytest.mark.browser
def test_the_chart_on_the_landing_page_leads_to_its_claims(book: Path, browser: Browser) -> None:
    page = browser.new_page()
    complaints = complaints_of(page)
    page.goto((book / "index.html").as_uri())
    part = page.locator(".ledger-chart a[href*='A+3.1&']").first
    count, verdict = re.match(r"(\d+) (.+)", part.text_content() or "").groups()
    part.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/claims.html?*")
    rows = page.locator("tr:has([id^=claim-]):visible")
    assert rows.count() == int(count)
    assert set(rows.locator(".verdict").all_inner_texts()) == {verdict}
    assert all(
        text.startswith("A-3-") or text.startswith("A-F3") for text in rows.locator("[id^=claim-]").all_inner_texts()
    )
    # A link to a claim that the filter hides shows it all the same.
    page.evaluate("location.hash = 'claim-B-7-1'")
    page.locator("#claim-B-7-1").wait_for()
    assert page.locator("#claim-B-7-1").is_visible()
    assert not complaints
    page.close()


# What a pointer can reach; of radio buttons of one name the keys reach one, and from there the others.
_REACHABLE = """() => {
    const radios = new Set();
    return [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0'], audio[controls], video[controls]"
    )].filter(e => {
        if (!e.checkVisibility({visibilityProperty: true}) || e.disabled || e.tabIndex < 0) return false;
        if (e.closest("[inert]")) return false;
        if (e.type !== "radio") return true;
        const group = document.querySelector(`input[name="${e.name}"]:checked`) ?? e;
        return e === group;
    });
}"""


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width"), [("index", 390), ("index", 1280), ("notebooks/a/3-1", 1280)])
def test_the_keyboard_reaches_everything(book: Path, browser: Browser, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((book / f"{name}.html").as_uri(), wait_until="load")
    page.evaluate(f"window.wanted = new Set(({_REACHABLE})())")
    assert page.evaluate("wanted.size") > 30
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to main content"
    for _ in range(2 * page.evaluate("wanted.size") + 10):
        page.evaluate("wanted.delete(document.activeElement)")
        page.keyboard.press("Tab")
        if page.evaluate("wanted.size === 0"):
            break
    assert not page.evaluate("[...wanted].map(e => e.outerHTML.slice(0, 200))")
    page.close()


def test_the_whole_book_is_one_page_to_print(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    """With every claim and every chapter in it; no link within it leads nowhere, no picture is missing."""
    text = chromium.one_page()
    printed = BeautifulSoup(text, "html.parser")
    ids = [tag["id"] for tag in printed.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in printed.find_all("a", href=re.compile("^#"))]
    assert len(links) > 500 and not {link for link in links if link[1:] not in ids}
    assert {f"{chapter.parent.name}-{chapter.stem}" for chapter in build.chapters().values()} - {
        "-".join(name.split("-")[1:]) for name in ids
    } <= {"notebooks-index", "notebooks-claims", "notebooks-deviations", "notebooks-own"}
    for image in printed.find_all("img"):
        assert (book / unquote(image["src"])).resolve().is_file(), image["src"]
    assert not printed.select("details.hide, script[src*=http], link[href*=http]")


def test_every_decided_claim_links_to_what_decides_it_and_back(book: Path, pages: dict[Path, BeautifulSoup]) -> None:
    decided = {"reproduced", "partly", "not reproduced"}
    seen, forth, back = set(), set(), set()
    for path, page in pages.items():
        for anchor in page.select("tr [id^=claim-]"):
            row = anchor.find_parent("tr")
            links = {_target(path, a["href"]) for a in row.select(".decided-by a")}
            forth |= {(anchor.text, link) for link in links}
            if row.select_one(".verdict").text in decided:
                seen.add(anchor.text)
                assert links, f"{path.relative_to(book)}: {anchor.text} has no link to what decides it"
        for line in page.select("figure .decides, table .decides"):
            place = (path, line.find_parent(["figure", "table"])["id"])
            back |= {(a.text, place) for a in line.select("a")}
    assert len(seen) > 100
    assert forth == back


def _target(path: Path, href: str) -> tuple[Path, str]:
    url = urlsplit(href)
    return (path.parent / unquote(url.path)).resolve() if url.path else path, unquote(url.fragment)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_dot_of_a_figure_says_which_runs_it_is(book: Path, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints = complaints_of(page)
    page.goto((book / "notebooks" / "a" / "3-1.html").as_uri(), wait_until="load")
    box = page.locator("#fig-a-3a .dots:visible")
    told = _told(box)
    picture, said = box.locator("img"), box.locator("output")
    said.wait_for(state="attached")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.clientHeight > 50", arg=picture.element_handle())
    place = picture.bounding_box()
    natural = box.locator("img" if width > 640 else "source").get_attribute("width")
    assert place is not None and natural is not None
    scale = place["width"] / float(natural)
    assert said.is_hidden()
    for row, _, values, *places in told["rows"]:
        across, down = places[:2] if width > 640 else places[2:]
        n = across.index(max(across))  # the one furthest right is alone
        page.mouse.move(place["x"] + scale * across[n], place["y"] + scale * down[n])
        assert said.inner_text() == f"{row}, {told['names'][n]}: {values[n]}{told['unit']}"
    page.mouse.move(0, 0)
    assert said.is_hidden()
    row, _, values, *_ = told["rows"][0]
    box.focus()
    for key, n in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert said.inner_text() == f"{row}, {told['names'][n]}: {values[n]}{told['unit']}"
    page.keyboard.press("Escape")
    assert said.is_hidden() and not complaints
    page.close()
