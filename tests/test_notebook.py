"""What a chapter shows: pictures for wide and narrow screens, the tabs of a figure at several levels."""

import base64
import contextlib
import io
import json
import zlib

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lib import figures, notebook
from lib.errors import UserError
from lib.sources import Source

LABELS = {"50": "50 %", "80": "80 %, captioned", "99.9": "99.9 % & <more>"}
ORIGIN = [Source("drawn here", "kind", "for a test")]


def draw(level):
    figure, axes = plt.subplots(figsize=(figures._either(2, 1) + float(level) / 100, 1))
    axes.set_title(level)
    axes.axhline(float(level), color="red")
    return figure, f"A line at\n{level} & <so on>."


@pytest.fixture
def shown(monkeypatch):
    plt.close("all")  # of other tests
    found = []
    monkeypatch.setattr(notebook, "display", lambda data, **_: found.append(data))
    return found


def assert_is(url, width, height, drawn):
    """Check that a picture is the one that was drawn, of the size that is told."""
    content = base64.b64decode(url.removeprefix("data:image/webp;base64,"), validate=True)
    with Image.open(io.BytesIO(content)) as stored, Image.open(io.BytesIO(drawn)) as expected:
        assert stored.format == "WEBP"
        assert (2 * int(width), 2 * int(height)) == pytest.approx(expected.size, abs=1)
        off = np.abs(np.asarray(stored, dtype=int) - np.asarray(expected.convert("RGB"), dtype=int))
        assert off.mean() < 2  # it looks the same: at most 128 colours are kept


def assert_both(picture, level):
    wide = notebook.png(draw(level)[0])
    with figures.narrow():
        narrow = notebook.png(draw(level)[0])
    assert narrow != wide
    assert picture.source["media"] == "screen and (max-width: 640px)"
    assert_is(picture.source["srcset"], picture.source["width"], picture.source["height"], narrow)
    assert_is(picture.img["src"], picture.img["width"], picture.img["height"], wide)
    return wide


def test_a_scale_of_colours_looks_the_same(shown):
    """Every colour of a scale lies in few pixels beside the fields; none may be taken for another."""
    distances = np.random.default_rng(0).uniform(0, 0.7, (7, 6))

    def grid():
        return figures.ladder_grid(list("abcdefg"), list("uvwxyz"), distances, "distance", np.zeros((7, 6), bool))

    notebook.show(grid, "fig-x", "A caption.", "A grid.", ORIGIN)
    (picture,) = BeautifulSoup(shown[0]["text/html"], "html.parser").select("picture")
    content = base64.b64decode(picture.img["src"].removeprefix("data:image/webp;base64,"), validate=True)
    with Image.open(io.BytesIO(content)) as stored, Image.open(io.BytesIO(notebook.png(grid()))) as expected:
        pair = [np.asarray(image.convert("RGB"), dtype=int) for image in (stored, expected)]
    off = np.abs(pair[0] - pair[1]).max(axis=2)
    assert off.max() < 40 and (off > 12).mean() < 0.005


def test_a_figure_is_drawn_for_wide_and_for_narrow_screens(shown):
    notebook.show(lambda: draw("7")[0], "fig-x", "A\ncaption.", "A\n<line>.", ORIGIN)
    figure, caption = shown
    (picture,) = BeautifulSoup(figure["text/html"], "html.parser").select("picture")
    assert figure["image/png"] == assert_both(picture, "7")  # where HTML is not shown
    assert picture.img["alt"] == figure["text/plain"] == "A <line>."
    told = caption[notebook.FIGURE_TYPE]
    assert (told["name"], told["caption"], told["alt"]) == ("fig-x", "A caption.", "A <line>.")
    assert caption["text/markdown"] == "**Figure.** A caption.\n\nDrawn here: for a test"
    assert not plt.get_fignums()


def test_tabs_hold_the_picture_and_the_text_of_every_level(shown):
    notebook.show_levels(draw, LABELS, "80", "fig-x", "A\ncaption.", "Lines.", ORIGIN)
    tabs, caption = shown
    page = BeautifulSoup(tabs["text/html"], "html.parser")
    assert page.fieldset.legend.text == "Weights pruned"
    buttons, labels, panels = (page.select(f".levels > {tag}") for tag in ("input", "label", "div"))
    assert [b.has_attr("checked") for b in buttons] == [False, True, False]
    assert {b["name"] for b in buttons} == {"fig-x-level"} and all(b["type"] == "radio" for b in buttons)
    assert [y["for"] for y in labels] == [b["id"] for b in buttons] and len({b["id"] for b in buttons}) == 3
    assert [y.text for y in labels] == list(LABELS.values())
    for level, panel in zip(LABELS, panels, strict=True):
        said = f"A line at {level} & <so on>."
        assert panel.p.text == said
        assert panel.img["alt"] == f"Lines. {LABELS[level]}. {said}"
        wide = assert_both(panel.picture, level)
        if level == "80":  # where HTML is not shown
            assert tabs["image/png"] == wide
    assert caption[notebook.FIGURE_TYPE]["caption"] == "A caption. In print: 80 %, captioned."
    assert caption[notebook.FIGURE_TYPE]["name"] == "fig-x"
    assert not plt.get_fignums()


def test_a_figure_says_of_which_tickets_it_is(shown):
    view = notebook.View("lines", 'one "net" & more')
    notebook.show(lambda: draw("7")[0], "fig-x", "A caption.", "A line.", ORIGIN, view)
    notebook.show_levels(draw, LABELS, "80", "fig-y", "A caption.", "Lines.", ORIGIN, view=view)
    for figure, content in zip(shown[::2], ("picture", "fieldset.levels"), strict=True):
        (box,) = BeautifulSoup(figure["text/html"], "html.parser").select("div.view")
        assert (box["data-kind"], box["data-tickets"]) == (view.kind, view.tickets)
        assert box.select_one(f":scope > {content}")


@pytest.mark.parametrize(("labels", "selected"), [(LABELS, "60"), ({}, "50")])
def test_a_level_that_is_not_there_cannot_be_selected(shown, labels, selected):
    with pytest.raises(UserError, match=f"selected is '{selected}'; it should be one of"):
        notebook.show_levels(draw, labels, selected, "fig-x", "Caption.", "Lines.", ORIGIN)
    assert not shown


def test_dots_are_told_with_both_of_their_places(shown):
    values = [np.array([50.0, 123.456]), np.array([1.0, 2.0])]
    rest = np.arange(3.0), np.ones(3), 1.0, (0.0, 2.0)

    def scattered():
        rows = [
            figures._Row("a\n1 of\n2", values[0], np.arange(2), np.arange(2), *rest, None, ["x", "y"]),
            figures._Row("b", values[1], np.arange(2), np.arange(2) + 1, *rest, (3.0, 4.0), ["y", "z"]),
        ]
        return figures._strips(rows, "label", "dot", "chance", (0, 200))

    notebook.show(scattered, "fig-x", "Caption.", "Alt.", ORIGIN)
    box = BeautifulSoup(shown[0]["text/html"], "html.parser").select_one("div.dots:has(picture)")
    told = json.loads(zlib.decompress(base64.b64decode(box["data-dots"])))
    assert (told["unit"], told["names"]) == (" %", ["x", "y", "z"])
    assert [row[:3] for row in told["rows"]] == [["a", [0, 1], [50.0, 123.5]], ["b", [1, 2], [1.0, 2.0]]]
    assert told["against"] == [[1, 0, 2], [1, 0, 2, 3, 4]] and told["axis"] == "label"
    assert told["shades"] == [0, 1, 2] and len(told["colours"]) == 3
    for narrow, place in ((False, slice(3, 5)), (True, slice(5, 7))):
        with figures.narrow() if narrow else contextlib.nullcontext():
            figure = scattered()
        for row, expected in zip(told["rows"], figures.dots(figure, figures.rendered(figure, 200)[1]), strict=True):
            np.testing.assert_allclose(np.transpose(row[place]), expected.places, atol=0.5)
    plt.close("all")


def test_a_cell_of_a_table_is_one_line_and_breaks_only_where_it_may(shown):
    space = "\N{NO-BREAK SPACE}"
    notebook.table(["a | b", "what\nis"], [[f"p{space}2.5 \n  and", 7]], "tab-x", "One\n caption.", ORIGIN)
    (said,) = (data[notebook.TABLE_TYPE] for data in shown)
    assert said["body"] == f"| a \\| b | what is |\n| --- | ---: |\n| p{space}2.5 and | 7 |"
    assert said["caption"] == "One caption."
