"""What a chapter shows: figures and tables with name, caption and sources, and text made by code.

Captions hold measured values, so they are known only when the chapter runs, while the book wants them in
the cell's metadata, which is written before.  `show` and `table` therefore emit them beside the figure, as an
output that `lib.build` moves to where the book looks for it.  In a plain Jupyter the caption simply stands
below the figure.
"""

import base64
import dataclasses
import html
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown, display
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lib import figures, sources
from lib.errors import UserError
from lib.sources import Source

FIGURE_TYPE = "application/vnd.winning-tickets.figure+json"
TABLE_TYPE = "application/vnd.winning-tickets.table+json"
_SCALE = 2  # pixels stored for each pixel shown, so that text is crisp on dense screens
_DPI = 100 * _SCALE  # an inch is 100 CSS pixels


@dataclasses.dataclass(frozen=True)
class View:
    """What a figure shows of which tickets: readers may put another figure of one kind, on its page, in its place.

    Attributes
    ----------
    kind : str
        The same for figures that show the same, such as 'overlaps within an initialisation'.
    tickets : str
        What stands on the buttons, such as 'LeNet on CIFAR-10, partly fixed' or 'LeNet on MNIST, 50 % pruned'.
    """

    kind: str
    tickets: str


def show(
    draw: Callable[[], Figure],
    name: str,
    caption: str,
    alt: str,
    origin: Sequence[Source],
    view: View | None = None,
) -> None:
    """Show a figure with its number, caption, sources and alternative text; at most one a cell.

    Parameters
    ----------
    draw : callable
        Makes the figure. It is called twice, for a wide and for a narrow screen, and what it makes is closed.
    name : str
        By which the text refers to it, with the role numref.  Lower-case letters, digits, hyphens; unique in
        the book.
    caption : str
        One paragraph of MyST Markdown (mathematics, references and citations included).
    alt : str
        What the figure shows, for who cannot see it, in a sentence.
    origin : sequence of Source
        Where its content comes from.
    view : View, optional
        Given if there may be other figures of its kind on the page.
    """
    _check(name, caption, origin, alt)
    alt = _one_line(alt)
    with figures.narrow():
        narrow = _drawn(draw())
    wide = _drawn(draw())
    content = _view(_picture(wide, narrow, alt), view) if view else _picture(wide, narrow, alt)
    display({"text/html": content, "image/png": _png(wide.image), "text/plain": alt}, raw=True)
    _caption(name, caption, alt, origin)


def show_levels(
    draw: Callable[[str], tuple[Figure, str]],
    labels: Mapping[str, str],
    selected: str,
    name: str,
    caption: str,
    alt: str,
    origin: Sequence[Source],
    choice: str = "Weights pruned",
    view: View | None = None,
) -> None:
    """Show one figure at all of its levels, with tabs to choose between them; at most one a cell.

    The tabs are radio buttons and a style, so they need no script, work from disk and with the arrow keys, and a
    screen reader says what is chosen of what. Where HTML is not shown stands the picture of the selected level. In
    the book ``figures.js`` adds the choice of a layer, which it draws over all levels from the dots' values, and of
    other tickets.

    Parameters
    ----------
    draw : callable
        From the name of a level to its figure, and to a plain sentence with the numbers in it; that stands below the
        picture and ends its alternative text.
    labels : mapping of str to str
        From the names of the levels, in order, to what stands on their tabs.
    selected : str
        The level that is shown first.
    name, caption, alt, origin
        As for `show`; what is the same at all levels. To the caption is added which level paper shows.
    choice : str
        What the tabs choose, such as a level by the weights pruned.
    view : View, optional
        As for `show`.

    Raises
    ------
    UserError
        If `selected` is none of the levels, or a name or text does not fit.
    """
    _check(name, caption, origin, alt)
    if selected not in labels:
        raise UserError(f"{name!r}: selected is {selected!r}; it should be one of {', '.join(labels) or 'no levels'}")
    tabs, first = [], b""
    with figures.alike():
        for number, (level, label) in enumerate(labels.items()):
            with figures.narrow():
                narrow = _drawn(draw(level)[0])
            figure, said = draw(level)
            wide, said = _drawn(figure), _one_line(said)
            if level == selected:
                first = _png(wide.image)
            picture = _picture(wide, narrow, _one_line(f"{alt} {label}. {said}"))
            tabs.append(
                f'<input type="radio" name="{name}-level" id="{name}-level-{number}"{" checked" * (level == selected)}>'
                f'<label for="{name}-level-{number}">{html.escape(label)}</label>'
                f"<div>{picture}<p>{html.escape(said)}</p></div>"
            )
    legend = f"<legend>{html.escape(choice)}</legend>"
    group = f'<style>{_TABS}</style><fieldset class="levels">{legend}{"".join(tabs)}</fieldset>'
    display({"text/html": _view(group, view), "image/png": first, "text/plain": alt}, raw=True)
    _caption(name, f"{caption} In print: {labels[selected]}.", alt, origin)


def show_html(
    content: str, draw: Callable[[], Figure], name: str, caption: str, alt: str, origin: Sequence[Source]
) -> None:
    """Show a figure that is made of HTML; where HTML is not shown, its picture. At most one a cell.

    Parameters
    ----------
    content : str
        HTML that needs no script and no other file; how it looks is in ``book.css``.
    draw : callable
        Makes the picture, which is closed afterwards.
    name, caption, alt, origin
        As for `show`.
    """
    _check(name, caption, origin, alt)
    alt = _one_line(alt)
    display({"text/html": content, "image/png": png(draw()), "text/plain": alt}, raw=True)
    _caption(name, caption, alt, origin)


def _view(content: str, view: View | None) -> str:
    said = f' data-kind="{html.escape(view.kind)}" data-tickets="{html.escape(view.tickets)}"' if view else ""
    return f'<div class="view"{said}>{content}</div>'


# All that the tabs need to work; how they look is in book.css.
_TABS = (
    ".levels{display:flex;flex-wrap:wrap;position:relative;border:0}"
    ".levels>input{position:absolute;opacity:0}"
    ".levels>label{padding:.2em .6em;cursor:pointer}"
    ".levels>input:checked+label{font-weight:bold;text-decoration:underline}"
    ".levels>input:focus-visible+label{outline:2px solid}"
    ".levels>div{display:none;order:1;width:100%}"
    ".levels>input:checked+label+div{display:block}"
)


# Below this width of the window, in CSS pixels, the narrow picture is shown; paper gets the wide one.
_NARROW = "screen and (max-width: 640px)"


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """The picture of a figure, and where its dots are."""

    image: Image.Image
    dots: list[figures.Dots]


def _drawn(figure: Figure) -> _Drawn:
    """Draw a figure and close it."""
    pixels, frame = figures.rendered(figure, _DPI)
    dots = figures.dots(figure, frame)
    pyplot.close(figure)
    return _Drawn(Image.fromarray(pixels), dots)


def _picture(wide: _Drawn, narrow: _Drawn, alt: str) -> str:
    """Return two pictures of one figure as HTML that shows the one that fits the screen, and says what its dots are."""
    stored = []
    for drawn in (narrow, wide):
        buffer = io.BytesIO()
        # In few colours it has a sixth of the size: a page has many. A seventh less would take twice the time.
        _in_few_colours(drawn.image).save(buffer, format="webp", lossless=True, quality=10, method=2)
        width, height = (n // _SCALE for n in drawn.image.size)
        data = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        stored.append((data, f'width="{width}" height="{height}"'))
    (small, small_size), (large, large_size) = stored
    picture = (
        f'<picture><source media="{_NARROW}" srcset="{small}" {small_size}>'
        f'<img src="{large}" {large_size} loading="lazy" alt="{html.escape(alt)}"></picture>'
    )
    if not wide.dots:
        return picture
    return f'<div class="dots" data-dots="{_dots(wide.dots, narrow.dots)}">{picture}</div>'


def _dots(wide: Sequence[figures.Dots], narrow: Sequence[figures.Dots]) -> str:
    """Return what ``figures.js`` shows of the dots of a figure: JSON, deflated, in base 64.

    The names of the dots stand once, in 'names', with their shades in 'shades', as numbers into 'colours'; of each row
    there are its name, which of the names its dots have, their values, and their places in the wide and in the narrow
    picture. Where there is something to hold rows against, 'against' has for each row what chance gives (expected, low,
    high) and, if it is stated, the paper's range.
    """
    names = list(dict.fromkeys(name for row in wide for name in row.names))
    number = {name: n for n, name in enumerate(names)}
    shade = {name: n for row in wide for name, n in zip(row.names, row.shades, strict=False)}
    rows = []
    for one, other in zip(wide, narrow, strict=True):
        which = [number[name] for name in one.names]
        # Dots that have all the names in order, as they mostly have, need not say so.
        where = [axis.round().astype(int).tolist() for dots in (one, other) for axis in dots.places.T]
        rows.append([one.row, 0 if which == list(range(len(names))) else which, _short(one.values), *where])
    told: dict[str, Any] = {"unit": wide[0].unit, "names": names, "rows": rows}
    if all(row.chance for row in wide):
        told["axis"] = wide[0].axis
        told["against"] = [_short([*(row.chance or ()), *(row.paper or ())]) for row in wide]
        told["shades"] = [shade.get(name, 0) for name in names]
        told["colours"] = [to_hex(colour) for colour in figures.shades(max(shade.values(), default=0) + 1)]
    said = json.dumps(told, separators=(",", ":"))
    return base64.b64encode(zlib.compress(said.encode(), 9)).decode()


def _short(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG of twice its size, on white; close it.

    White is what makes a figure readable on a dark page. The file names no software version, so that the same figure
    has the same bytes.
    """
    return _png(_drawn(figure).image)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="png", dpi=(_DPI, _DPI))
    return buffer.getvalue()


def _in_few_colours(image: Image.Image) -> Image.Image:
    """Return a picture in 128 colours, which look the same: white, as most of it is, and 127 for the rest.

    The most common ones are kept as they are: fields and lines. The others cover what is left, however few pixels have
    it: a scale of colours has every colour in few.
    """
    pixels = np.asarray(image).view(np.uint32)[..., 0]  # four bytes, the colours and 255, as one number
    inked = pixels != _WHITE
    inked[0, 0] = True  # that there is something
    colours, which, counts = np.unique(pixels[inked], return_inverse=True, return_counts=True)
    line = Image.fromarray(colours.view(np.uint8).reshape(1, -1, 4)).convert("RGB")
    common = colours[np.argsort(-counts, kind="stable")[:_COMMON]].view(np.uint8).reshape(-1, 4)[:, :3]
    covering = line.quantize(127 - _COMMON, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*common.ravel().tolist(), *(covering or [])[: 3 * (127 - _COMMON)]])
    few = np.full(pixels.shape, _WHITE, np.uint32)
    shown = np.asarray(line.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGBA")).view(np.uint32)
    few[inked] = shown[0, which, 0]
    return Image.fromarray(few.view(np.uint8).reshape(*few.shape, 4)).convert("RGB")


_COMMON = 48
_WHITE = np.uint32(0xFFFFFFFF)


def _caption(name: str, caption: str, alt: str, origin: Sequence[Source]) -> None:
    caption = _one_line(caption)
    display(
        {
            FIGURE_TYPE: {"name": name, "caption": caption, "alt": alt, "sources": sources.in_book(origin)},
            "text/markdown": f"**Figure.** {caption}\n\n{sources.in_words(origin)}",
            "text/plain": f"{caption} {sources.in_words(origin)}",
        },
        raw=True,
    )


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], name: str, caption: str, origin: Sequence[Source]
) -> None:
    """Show a table with its number, caption and sources.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences
        Cells are MyST Markdown; what is not a string is shown by ``str``.  A column whose cells are all numbers
        (a sign, digits, a unit) is set flush right.
    name : str
        By which the text refers to it, with the role numref.
    caption : str
        One paragraph of MyST Markdown.
    origin : sequence of Source
        Where its content comes from.
    """
    _check(name, caption, origin)
    cells = [[_cell(value) for value in row] for row in rows]
    for row in cells:
        if len(row) != len(header):
            raise UserError(f"table {name!r}: a row has {len(row)} cells; the header has {len(header)}")
    numeric = [bool(cells) and all(_NUMBER.match(row[i]) for row in cells) for i in range(len(header))]
    lines = [[_cell(h) for h in header], ["---:" if n else "---" for n in numeric], *cells]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    caption = _one_line(caption)
    display(
        {
            TABLE_TYPE: {"name": name, "caption": caption, "body": body, "sources": sources.in_book(origin)},
            "text/markdown": f"**Table.** {caption}\n\n{body}\n\n{sources.in_words(origin)}\n",
            "text/plain": f"{body}\n{sources.in_words(origin)}",
        },
        raw=True,
    )


def markdown(text: str) -> None:
    """Show text made by code, in MyST Markdown."""
    display(Markdown(text))


_NUMBER = re.compile(r"[-+−±–—]?\s*[\d.,]*\s*\d[\d.,]*\s*%?$|[–—-]$")


def _cell(value: object) -> str:
    return _one_line(str(value)).replace("|", "\\|")


def _one_line(text: str) -> str:
    """Return a text with its line ends and runs of spaces as one space; a space that does not break stays."""
    return re.sub(r"[^\S\xa0]+", " ", text).strip(" ")


def _check(name: str, caption: str, origin: Sequence[Source], alt: str = "none") -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UserError(f"name is {name!r}: it should be lower-case letters, digits and single hyphens")
    if not caption.strip():
        raise UserError(f"{name!r}: caption is empty")
    if not origin:
        raise UserError(f"{name!r}: origin is empty; it should say where the content comes from")
    if not alt.strip():
        raise UserError(f"figure {name!r}: alt is empty; it should say what the figure shows")
