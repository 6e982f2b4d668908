"""What a headless Chromium makes of the built book: one PDF of all pages, and pictures of each page to look at."""

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from tqdm import tqdm

from lib import build
from lib.errors import UserError
from lib.files import write_whole

# The last ones keep the browser from looking up hosts of its maker.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (390, 1280)  # pixels, of a phone and of a laptop
THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


def chromium() -> str:
    """Return the command of a Chromium; raise `UserError` if there is none."""
    found = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        raise UserError("there is no Chromium on this machine: apt-get install chromium")
    return found


def pages(root: Path = build.ROOT) -> list[Path]:
    """Return the pages of the built book, in the order of their paths; raise `UserError` if it is not built."""
    book = _built(root)
    # What the theme keeps in _static are templates.
    return sorted(path for path in book.rglob("*.html") if "_static" not in path.relative_to(book).parts)


def _built(root: Path) -> Path:
    book = root / "book" / "_build" / "html"
    if not (book / "index.html").exists():
        raise UserError("the book is not built yet: python -m lib build")
    return book


# --- pictures ------------------------------------------------------------------------------------------------


def screenshots(out: Path, quiet: bool = False, root: Path = build.ROOT) -> list[Path]:
    """Take a picture of every page, whole, on a phone and on a laptop, light and dark.

    Parameters
    ----------
    out : Path
        The folder for the pictures, ``<page>-<width>-<light or dark>.png``.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    list of Path
        Of the pictures.

    Raises
    ------
    UserError
        If the book is not built, or Chromium or Playwright is not there.
    """
    book = _built(root)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("screenshots need Playwright: pip install -r requirements/test.txt") from None
    taken = []
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page()
        for path in tqdm(pages(root), desc="screenshots", unit="page", disable=quiet):
            page.goto(path.as_uri(), wait_until="load")
            # Pictures that wait until they are looked at, and formulas.
            page.evaluate(
                "Promise.all([window.MathJax?.startup?.promise, ...[...document.images].map(image => {"
                "image.loading = 'eager'; return image.decode().catch(() => null); })])"
            )
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                for theme in THEMES:
                    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                    page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
                    name = path.relative_to(book).with_suffix("").as_posix().replace("/", "-")
                    taken.append(out / f"{name}-{width}-{theme}.png")
                    page.screenshot(path=taken[-1], full_page=True)
        browser.close()
    return taken


# --- PDF -----------------------------------------------------------------------------------------------------


def pdf(out: Path, root: Path = build.ROOT) -> Path:
    """Print the built book, all pages in the order of its table of contents, as one PDF.

    Links between pages become links within it, headings its outline; code is left out. A figure with several levels
    is there at the one that is shown first.

    Parameters
    ----------
    out : Path
        The file; it is written whole or not at all.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        If the book is not built, or Chromium is not there or prints nothing.
    """
    book = _built(root)
    with tempfile.TemporaryDirectory(dir=book.parent) as folder:
        page, printed = Path(folder) / "book.html", Path(folder) / "book.pdf"
        page.write_text(one_page(root), encoding="utf-8")
        command = [chromium(), *FLAGS, "--headless", f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        # Formulas are set by a script, which the printing does not wait for by itself.
        command += ["--generate-pdf-document-outline", "--virtual-time-budget=120000", f"--print-to-pdf={printed}"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=False)
        if not printed.exists():
            raise UserError(f"Chromium did not print the book: {' '.join(done.stderr.split())[-300:]}")
        write_whole(out, printed.read_bytes())
    return out


def one_page(root: Path = build.ROOT) -> str:
    """Return all pages of the built book as one, in HTML, to lie in a folder beside that of the book."""
    book = _built(root)
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = {"": [toc["root"]]} | {part["caption"]: [c["file"] for c in part["chapters"]] for part in toc["parts"]}
    listed = {book / f"{name}.html" for names in parts.values() for name in names}
    contents, bodies = [], []
    for caption, names in parts.items():
        if caption:
            contents.append(f"<li>{html.escape(caption)}<ol>")
            bodies.append(f"<h1 class='part'>{html.escape(caption)}</h1>")
        for name in names:
            title, body = _printed(book / f"{name}.html", book, listed)
            bodies.append(body)
            contents.append(f"<li><a href='#{_slug(book / f'{name}.html', book)}'>{title}</a></li>")
        contents.append("</ol></li>" * bool(caption))
    # The landing page comes before the contents.
    text = "".join([bodies[0], f"<nav><h1>Contents</h1><ol>{''.join(contents)}</ol></nav>", *bodies[1:]])
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>The winning-tickets book</title>"
        "<link rel='stylesheet' href='../html/_static/pygments.css'>"
        "<link rel='stylesheet' href='../html/_static/print.css'>"
        "<script>window.MathJax = {svg: {fontCache: 'global'}, options: {enableMenu: false, "
        "processHtmlClass: 'math|output_area', ignoreHtmlClass: 'book'}}</script>"
        "<script src='../html/_static/mathjax/tex-svg-full.js'></script></head>"
        f"<body class='book'>{text}</body></html>"
    )


def _slug(path: Path, book: Path) -> str:
    return path.relative_to(book).with_suffix("").as_posix().replace("/", "-")


_ALL_CLAIMS = "notebooks-claims"  # repeats what stands at the end of each chapter, so long cells stay folded
_LEFT_OUT = (
    "script, picture > source, a.headerlink, button, details.hide, #claims-filter, .sd-summary-state-marker, "
    ".tag_parameters"
)


def _printed(path: Path, book: Path, listed: set[Path]) -> tuple[str, str]:
    """Return a page's title and its content, in HTML, with ids that are its own in the whole book."""
    article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")
    if not isinstance(article, Tag):
        raise UserError(f"{path}: is no page of the book: python -m lib build makes it again")
    for tag in article.select(_LEFT_OUT):
        tag.decompose()
    slug = _slug(path, book)
    for tag in article.find_all(True):
        for key in ("id", "name", "for"):
            if tag.has_attr(key):
                tag[key] = f"{slug}--{tag[key]}"
        if tag.has_attr("src") and not urlsplit(str(tag["src"])).scheme:
            tag["src"] = f"../html/{(path.parent / str(tag['src'])).resolve().relative_to(book.resolve())}"
            del tag["loading"]
        if tag.name == "details" and slug != _ALL_CLAIMS:
            tag["open"] = ""
        if tag.name == "a" and tag.has_attr("href"):
            _relink(tag, path, book, listed)
        if level := re.fullmatch(r"h([1-5])", tag.name):
            tag.name = f"h{int(level[1]) + 1}"  # below the heading of the part
    heading = article.find("h2")
    title = html.escape(heading.get_text().strip()) if heading else slug
    return title, f"<article id='{slug}'>{article.decode_contents()}</article>"


def _relink(link: Tag, path: Path, book: Path, listed: set[Path]) -> None:
    """Turn a link to another page of the book into one within the PDF; unlink what is not in it."""
    url = urlsplit(str(link["href"]))
    if url.scheme or url.netloc:
        return
    target = (path.parent / url.path).resolve() if url.path else path
    if target in listed:
        slug = _slug(target, book)
        link["href"] = f"#{slug}--{url.fragment}" if url.fragment else f"#{slug}"
    else:
        del link["href"]
