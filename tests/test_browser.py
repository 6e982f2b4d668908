"""Pictures and the PDF, of a small book that is made here."""

import concurrent.futures
import os
import re
import shutil
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lib import browser
from lib.errors import UserError

PAGE = """<!doctype html><html lang="en"><head><title>{title}</title><script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const choose = () => {{ document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; }};
dark.addEventListener("change", choose);
choose();
</script></head><body>
<article class="bd-article"><section id="top"><h1>{title}<a class="headerlink" href="#top">#</a></h1>
<p>See <a href="{other}.html#top">the other page</a>, <a href="{other}.html">its beginning</a>,
<a href="search.html">what is not printed</a>.</p>
<details class="hide"><summary>Show code</summary>print(1)</details>
<details><summary>More</summary>folded words</details>
<picture><source srcset="narrow.png"><img src="one.png" alt="red" loading="lazy"></picture>
</section></article></body></html>"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    book = tmp_path / "book" / "_build" / "html"
    (book / "notebooks").mkdir(parents=True)
    (book / "_static").mkdir()
    (book / "index.html").write_text(PAGE.format(title="Landing", other="notebooks/two"), encoding="utf-8")
    (book / "notebooks" / "two.html").write_text(
        PAGE.format(title="Two &amp; more", other="../index"), encoding="utf-8"
    )
    shutil.copy(browser.build.ROOT / "book" / "assets" / "print.css", book / "_static")
    (book / "_static" / "template.html").write_text("no page", encoding="utf-8")
    for folder in (book, book / "notebooks"):
        Image.new("RGB", (8, 8), "red").save(folder / "one.png")
    toc = "format: jb-book\nroot: index\nparts:\n  - caption: Paper A\n    chapters:\n      - file: notebooks/two\n"
    (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
    return tmp_path


def test_one_page_holds_all_pages_with_links_of_their_own(small: Path) -> None:
    text = browser.one_page(small)
    assert re.findall(r'<a href="([^"]*)"', text) == [
        *("#notebooks-two--top", "#notebooks-two"),
        *("#index--top", "#index"),
    ]
    assert "<a>what is not printed</a>" in text
    assert re.findall(r"id=[\"']([^\"']+)", text) == ["index", "index--top", "notebooks-two", "notebooks-two--top"]
    assert "print(1)" not in text and "headerlink" not in text and '<details open="">' in text
    assert re.findall(r'src="(\.\./html/[^"]*png)"', text) == ["../html/one.png", "../html/notebooks/one.png"]
    assert "narrow.png" not in text and "lazy" not in text
    assert re.findall(r"<h(\d)[^>]*>(.*?)</h\d>", text) == [
        *(("2", "Landing"), ("1", "Contents"), ("1", "Paper A"), ("2", "Two &amp; more")),
    ]


@pytest.mark.browser
def test_the_pdf_has_its_pages_an_outline_and_links(small: Path) -> None:
    _needs_chromium()
    made = browser.pdf(small / "out" / "book.pdf", small).read_bytes()
    assert made.startswith(b"%PDF-") and made.rstrip().endswith(b"%%EOF")
    assert [path.name for path in (small / "out").iterdir()] == ["book.pdf"]
    content = made + b"".join(_inflated(made))
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 4  # landing, contents, the part, its chapter
    assert b"/Outlines" in content and b"/Dest" in content
    assert sorted(p.name for p in (small / "book" / "_build").iterdir()) == ["html"], "nothing is left behind"


def _inflated(content: bytes) -> list[bytes]:
    """The streams of a PDF that are compressed, so far as they can be read."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
        try:
            found.append(zlib.decompressobj().decompress(stream))
        except zlib.error:
            continue
    return found


@pytest.mark.browser
def test_screenshots_are_of_each_page_width_and_theme(small: Path) -> None:
    _needs_chromium()
    # In a thread of its own: where the tests of the book ran before, this one has their browser's event loop.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        taken = pool.submit(browser.screenshots, small / "shots", quiet=True, root=small).result()
    names = {
        f"{page}-{w}-{theme}.png"
        for page in ("index", "notebooks-two")
        for w in (390, 1280)
        for theme in ("light", "dark")
    }
    assert {path.name for path in taken} == names == {path.name for path in (small / "shots").iterdir()}
    for path in taken:
        with Image.open(path) as image:
            assert image.width == int(path.stem.split("-")[-2])


def _needs_chromium() -> None:
    try:
        browser.chromium()
    except UserError as error:
        pytest.skip(str(error))


def test_what_lacks_is_said_in_a_sentence(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the book is not built yet: python -m lib build"):
        browser.screenshots(tmp_path / "shots", root=tmp_path / "elsewhere")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "playwright.sync_api", None)
        with pytest.raises(UserError, match=r"Playwright: pip install -r requirements/test\.txt"):
            browser.screenshots(tmp_path / "shots", root=small)
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(UserError, match="no Chromium on this machine: apt-get install chromium"):
        browser.pdf(tmp_path / "book.pdf", small)
