"""What a chapter shows: figures and tables with name and caption, and text made by code.

Captions hold measured values, so they are known only when the chapter runs, while the book wants them in
the cell's metadata, which is written before.  `show` and `table` therefore emit them beside the figure, as an
output that `lib.build` moves to where the book looks for it.  In a plain Jupyter the caption simply stands
below the figure.
"""

import io
import re
import struct
from collections.abc import Iterable, Sequence

from IPython.display import Markdown, display
from matplotlib import pyplot
from matplotlib.figure import Figure

from lib.errors import UserError

FIGURE_TYPE = "application/vnd.winning-tickets.figure+json"
TABLE_TYPE = "application/vnd.winning-tickets.table+json"
_SCALE = 2  # pixels stored for each pixel shown, so that text is crisp on dense screens


def show(figure: Figure, name: str, caption: str, alt: str) -> None:
    """Show a figure with its number, caption and alternative text; at most one a cell.

    Parameters
    ----------
    figure : Figure
        Is closed afterwards.
    name : str
        By which the text refers to it: ``{numref}`fig-overlap` ``.  Lower-case letters, digits, hyphens; unique in
        the book.
    caption : str
        One paragraph of MyST Markdown (mathematics, references and citations included).
    alt : str
        What the figure shows, for who cannot see it, in a sentence.
    """
    _check(name, caption)
    if not alt.strip():
        raise UserError(f"figure {name!r}: alt is empty; it should say what the figure shows")
    content = png(figure)
    width, height = (n // _SCALE for n in struct.unpack(">II", content[16:24]))
    alt = " ".join(alt.split())
    caption = " ".join(caption.split())
    display(
        {"image/png": content, "text/plain": alt},
        metadata={"image/png": {"width": width, "height": height, "alt": alt}},
        raw=True,
    )
    display(
        {
            FIGURE_TYPE: {"name": name, "caption": caption, "alt": alt, "width": width},
            "text/markdown": f"**Figure.** {caption}",
            "text/plain": caption,
        },
        raw=True,
    )


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG of twice its size, on white; close it.

    White is what makes a figure readable on a dark page. The file names no software version, so that the same figure
    has the same bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=_SCALE * figure.dpi,
        facecolor="white",
        bbox_inches="tight",
        metadata={"Software": None},
    )
    pyplot.close(figure)
    return buffer.getvalue()


def table(header: Sequence[str], rows: Iterable[Sequence[object]], name: str, caption: str) -> None:
    """Show a table with its number and caption.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences
        Cells are MyST Markdown; what is not a string is shown by ``str``.  A column whose cells are all numbers
        (a sign, digits, a unit) is set flush right.
    name : str
        By which the text refers to it: ``{numref}`tab-levels` ``.
    caption : str
        One paragraph of MyST Markdown.
    """
    _check(name, caption)
    cells = [[_cell(value) for value in row] for row in rows]
    for row in cells:
        if len(row) != len(header):
            raise UserError(f"table {name!r}: a row has {len(row)} cells; the header has {len(header)}")
    numeric = [bool(cells) and all(_NUMBER.match(row[i]) for row in cells) for i in range(len(header))]
    lines = [[_cell(h) for h in header], ["---:" if n else "---" for n in numeric], *cells]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    caption = " ".join(caption.split())
    display(
        {
            TABLE_TYPE: {"name": name, "caption": caption, "body": body},
            "text/markdown": f"**Table.** {caption}\n\n{body}\n",
            "text/plain": body,
        },
        raw=True,
    )


def markdown(text: str) -> None:
    """Show text made by code, in MyST Markdown."""
    display(Markdown(text))


_NUMBER = re.compile(r"[-+−±–—]?\s*[\d.,]*\s*\d[\d.,]*\s*%?$|[–—-]$")


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _check(name: str, caption: str) -> None:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UserError(f"name is {name!r}: it should be lower-case letters, digits and single hyphens")
    if not caption.strip():
        raise UserError(f"{name!r}: caption is empty")
