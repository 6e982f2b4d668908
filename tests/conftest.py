"""What several test files share."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from playwright.sync_api import Browser

# How long an example takes says how busy the machine is, and nothing about the library.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent
# The longest files, in the order in which they begin; the pages in a browser when the book should be built.
LONGEST = ("book", "training", "mutations", "paper_b", "inputs", "patterns", "pages", "build", "whole_book")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that short ones are left to share out when the first worker is done."""
    rank = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with the real library and no chapter."""
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / "notebooks" / "a").mkdir(parents=True)
    (tmp_path / "book").mkdir()
    return tmp_path


@pytest.fixture
def double(monkeypatch):
    """Everything in double precision, so that two ways to compute the same differ by hardly anything."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def few_draws(monkeypatch):
    """Intervals of random tickets and controls from few draws, for tests that look at none."""
    from lib import patterns

    caches = (patterns._random_draws, patterns._random_intervals, patterns._control_intervals)
    monkeypatch.setattr(patterns, "RANDOM_DRAWS", 9)
    monkeypatch.setattr(patterns, "CONTROL_DRAWS", 9)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


# What these need is imported where it is needed: training is tested where there is no Jupyter Book.


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built book; building it fails on any warning of Sphinx and on any other host."""
    from lib import build

    return build.build(quiet=True).parent


@pytest.fixture(scope="session")
def pages(book: Path) -> "dict[Path, BeautifulSoup]":
    """Every page, parsed."""
    from bs4 import BeautifulSoup

    from lib import browser

    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in browser.pages()}


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """A headless Chromium, where there is one on the machine."""
    from playwright.sync_api import sync_playwright

    from lib import browser as chromium
    from lib.errors import UserError

    try:
        command = chromium.chromium()
    except UserError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, args=list(chromium.FLAGS))
        yield browser
        browser.close()
