"""One function per kind of plot: measured arrays in, a matplotlib figure out."""

import contextlib
import contextvars
import dataclasses
import io
import re
import textwrap
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection, PathCollection, QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image

from lib import baselines
from lib.claims import Scored
from lib.evidence import LayerCorrelation, LayerOverlap, LayerShare
from lib.experiments import Experiment
from lib.patterns import Statistic
from lib.topology import Match

T = TypeVar("T")

# Inches: the columns of a page and of a phone. An inch is 100 CSS pixels, so that 8 points, the least, are 11.
_WIDE, _NARROW = 7.2, 3.5
_narrow = contextvars.ContextVar("narrow", default=False)
# Where the axes of figures of a shape lie, while figures are drawn that should look alike.
_alike: contextvars.ContextVar[dict[tuple[object, ...], dict[str, float]] | None] = contextvars.ContextVar(
    "alike", default=None
)


@contextlib.contextmanager
def narrow() -> Iterator[None]:
    """Draw for a narrow screen: the same content in a column of half the width, in letters as large."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """Lay out figures of one shape as the first of them, so that nothing moves from tab to tab; it saves time too."""
    token = _alike.set({})
    try:
        yield
    finally:
        _alike.reset(token)


def _either(wide: T, narrow: T) -> T:
    """Return what fits the screen that is drawn for."""
    return narrow if _narrow.get() else wide


def _size(height: float) -> tuple[float, float]:
    """Return the width and height of a figure, in inches."""
    return _either(_WIDE, _NARROW), height


CHANCE, PAPER, INK = "#8a8a8a", "#c2410c", "#22262b"
_PAPER_MARK: dict[str, Any] = {"color": PAPER, "marker": "D", "ms": 5, "mec": "white", "mew": 0.6, "zorder": 4}
# Of weights, as paper B colours them.
SIGNS = {1: "#c0392b", -1: "#2b6cb0"}
_GLYPHS = {1: "+", -1: "\N{MINUS SIGN}"}
VERDICTS = {
    "reproduced": "#1a7f4b",
    "partly": "#b7791f",
    "not reproduced": "#b3261e",
    "not testable here": "#7b8794",
    "open": "#c9d1d9",
    "not a claim": "#e7eaee",
}


def _style() -> None:
    sns.set_theme(
        style="ticks",
        rc={
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.labelsize": 9,
            "axes.titlesize": 10,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "figure.facecolor": "white",
        },
    )


def shades(count: int) -> list[tuple[float, float, float]]:
    """Return `count` shades of one hue, one for each initialisation."""
    return [tuple(c) for c in sns.color_palette("crest", count)]


def _lay_out(figure: Figure, **layout: Any) -> None:
    """Lay a figure out tightly, as `Figure.tight_layout` does; that leaves a mark for which it is drawn twice."""
    known, shape = _alike.get(), (*figure.get_size_inches(), len(figure.axes), str(layout))
    if known is not None and shape in known:
        figure.subplots_adjust(**known[shape])
        return
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # of Agg, which all are drawn with
    for axes in figure.axes:  # Matplotlib measures all twice, for what it draws inside a part of the figure
        axes.get_tightbbox = _always(axes.get_tightbbox(renderer, for_layout_only=True))  # type: ignore[method-assign]
    TightLayoutEngine(**layout).execute(figure)
    for axes in figure.axes:
        del axes.get_tightbbox
    if known is not None:
        places = ("left", "right", "bottom", "top", "wspace", "hspace")
        known[shape] = {place: getattr(figure.subplotpars, place) for place in places}


def _always(value: T) -> Callable[..., T]:
    return lambda *_, **__: value


def _legend_above(figure: Figure, handles: Sequence[Any], columns: int, **layout: float) -> None:
    """Put a legend above all axes, in half as many columns on a narrow screen, and lay the figure out below it."""
    columns = min(len(handles), _either(columns, 2))
    lines = -(-len(handles) // columns)
    figure.legend(
        handles=handles,
        ncols=columns,
        loc="upper center",
        frameon=False,
        fontsize=8,
        columnspacing=1.2,
        handlelength=1.4,
    )
    top = 1 - (0.12 + 0.18 * lines) / figure.get_figheight()
    _lay_out(figure, rect=(0, 0, 1, top), **layout)


def accuracy_lines(accuracies: Mapping[str, NDArray[np.float64]], reach: tuple[float, float] | None = None) -> Figure:
    """Draw test accuracy by level, one line a run, one shade an initialisation.

    Parameters
    ----------
    accuracies : mapping of str to float array, shape (inits, runs)
        In %, by the name of the level, in order.
    reach : (low, high), optional
        What the axis has to hold besides, so that figures on tabs have one scale.

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(3.4))
    values = np.stack(list(accuracies.values()))
    inits = values.shape[1]
    positions = np.arange(len(accuracies))
    for init, colour in enumerate(shades(inits)):
        axes.plot(positions, values[:, init], color=colour, lw=0.9, alpha=0.75)
        axes.plot([], [], color=colour, label=f"{init + 1}")
    names = [f"initialisation {init + 1}, run {run + 1}" for init, run in np.ndindex(values.shape[1:])]
    for x, (level, own) in zip(positions, accuracies.items(), strict=True):
        points = axes.scatter(np.full(own.size, x), own.ravel(), s=0)  # unseen: what is pointed at on the lines
        _NAMED[points] = Dots("dense" if level == "dense" else f"{level} % pruned", names, own.ravel(), " %")
    mean = values.mean(axis=(1, 2))
    axes.plot(positions, mean, color=INK, lw=1.8, marker="o", ms=4, label="mean")
    for x, y in zip(positions, mean, strict=True):
        axes.annotate(
            f"{y:.1f}", (x, y), (0, 9), textcoords="offset points", ha="center", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
        )  # fmt: skip
    axes.set_xticks(positions, list(accuracies))
    axes.set(xlabel="weights pruned (%)", ylabel="test accuracy (%)")
    axes.margins(y=_either(0.12, 0.2))
    if reach:
        axes.update_datalim([(0, y) for y in reach])
        axes.autoscale_view()
    axes.legend(
        title="initialisation",
        ncols=_either(inits + 1, 3),
        frameon=False,
        loc="lower left",
        fontsize=8,
        title_fontsize=8,
    )
    sns.despine(figure)
    _lay_out(figure)
    return figure


def overlap_strips(
    layers: Sequence[LayerOverlap],
    paper: Mapping[str, tuple[float, float]] | None = None,
    other: Mapping[str, tuple[float, float]] | None = None,
    reach: tuple[float, float] | None = None,
) -> Figure:
    """Draw the overlaps of all pairs of masks, one row a layer, over the distribution that chance gives.

    Pairs within an initialisation lie in one band for each initialisation, in its shade; pairs across
    initialisations in one band for each pair of them. The height of a point carries no other meaning.

    Parameters
    ----------
    layers : sequence of LayerOverlap
    paper : mapping of str to (low, high), optional
        What the paper says of a layer, in % of the mask.
    other : mapping of str to (low, high), optional
        The same with the layers counted from zero, where the paper does not say how it counts.
    reach : (low, high), optional
        What the axis has to hold besides, so that figures on tabs have one scale.

    Returns
    -------
    Figure
    """
    paper, other = paper or {}, other or {}
    rows = []
    for layer in layers:
        support, pmf = baselines.overlap_pmf(layer.weights, layer.kept)
        inits = int(max(layer.first.max(), layer.second.max())) + 1
        rows.append(
            _Row(
                f"{layer.layer}\n{layer.kept:,} of\n{layer.weights:,}",
                layer.values,
                layer.first * inits + layer.second,
                layer.first,
                100 * support / layer.kept,
                pmf,
                layer.expected,
                (layer.low, layer.high),
                paper.get(layer.layer),
                _pairs(layer),
                other=other.get(layer.layer),
            )
        )
    return _strips(
        rows, "overlap of two masks (% of the mask)", "pair of tickets", "chance (hypergeometric)", (0.0, 100.0), reach
    )


def correlation_strips(
    layers: Sequence[LayerCorrelation],
    paper: Mapping[str, tuple[float, float]] | None = None,
    other: Mapping[str, tuple[float, float]] | None = None,
    reach: tuple[float, float] | None = None,
) -> Figure:
    """Draw the rank correlations of all tickets, one row a layer, over their distribution under no relationship.

    Parameters
    ----------
    layers : sequence of LayerCorrelation
    paper, other : mapping of str to (low, high), optional
        What the paper says of a layer, as for `overlap_strips`.
    reach : (low, high), optional
        As for `overlap_strips`.

    Returns
    -------
    Figure
    """
    paper, other = paper or {}, other or {}
    steps = np.linspace(-3.5, 3.5, 141)
    rows = [
        _Row(
            f"{layer.layer}\n{layer.kept:,} of\n{layer.weights:,}",
            layer.values,
            layer.init,
            layer.init,
            steps * layer.null,
            np.exp(-(steps**2) / 2),
            0.0,
            (-1.96 * layer.null, 1.96 * layer.null),
            paper.get(layer.layer),
            [
                f"initialisation {init + 1}, run {run + 1}"
                for init, run in zip(layer.init, _runs(layer.init), strict=True)
            ],
            "",
            other=other.get(layer.layer),
        )
        for layer in layers
    ]
    return _strips(
        rows, "rank correlation of initial and final weights", "ticket", "no relationship (normal)", (-1.0, 1.0), reach
    )


def strips(
    layers: Sequence[LayerOverlap | LayerCorrelation | LayerShare],
    paper: Mapping[str, tuple[float, float]],
    share_label: str,
    reach: tuple[float, float] | None = None,
    other: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw overlaps, rank correlations or shares (under `share_label`), each by the function made for them."""
    if isinstance(layers[0], LayerOverlap):
        return overlap_strips([y for y in layers if isinstance(y, LayerOverlap)], paper, other, reach)
    if isinstance(layers[0], LayerCorrelation):
        return correlation_strips([y for y in layers if isinstance(y, LayerCorrelation)], paper, other, reach)
    return share_strips([y for y in layers if isinstance(y, LayerShare)], share_label, paper, reach)


@dataclasses.dataclass(frozen=True)
class _Row:
    """One row of dots: values in bands, each in the shade of its initialisation, over a distribution."""

    label: str
    values: NDArray[np.float64]
    band: NDArray[np.int64]
    shade: NDArray[np.int64]
    chance_x: NDArray[np.float64]
    chance_y: NDArray[np.float64]
    expected: float
    interval: tuple[float, float]
    paper: tuple[float, float] | None
    names: Sequence[str] = ()  # of the dots, in words
    unit: str = " %"
    other: tuple[float, float] | None = None


def _pairs(layer: LayerOverlap) -> list[str]:
    """Return in words which two runs of which initialisations each overlap is of."""
    if layer.runs is None:
        return []
    return [
        f"initialisation {i + 1}, runs {a + 1} and {b + 1}"
        if i == j
        else f"run {a + 1} of initialisation {i + 1}, run {b + 1} of {j + 1}"
        for i, j, (a, b) in zip(layer.first, layer.second, layer.runs, strict=True)
    ]


def _runs(init: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of each run within its initialisation."""
    return np.array([np.sum(init[:n] == number) for n, number in enumerate(init)])


@dataclasses.dataclass(frozen=True)
class Dots:
    """The dots of one row of a figure: what each is, its value, where it lies, and what they are held against.

    Attributes
    ----------
    row : str
    names : sequence of str
        In words.
    values : float array, shape (dots,)
    unit : str
        Of the values.
    axis : str
        What the values are, in words.
    shades : sequence of int
        Which of the shades of the initialisations each has; empty where they have none.
    chance : (expected, low, high), optional
    paper : (low, high), optional
        What the paper says of the row.
    places : float array, shape (dots, 2)
        From the left and from the top of the figure's frame, in CSS pixels.
    """

    row: str
    names: Sequence[str]
    values: NDArray[np.float64]
    unit: str
    axis: str = ""
    shades: Sequence[int] = ()
    chance: tuple[float, float, float] | None = None
    paper: tuple[float, float] | None = None
    places: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty((0, 2)))


# Of dots that were drawn, as long as they exist: all but their places.
_NAMED: weakref.WeakKeyDictionary[PathCollection, Dots] = weakref.WeakKeyDictionary()


_MARGIN = 0.1  # inches


def rendered(figure: Figure, dpi: float) -> tuple[NDArray[np.uint8], Bbox]:
    """Draw a figure on white: its axes, whatever ink is outside of them, and a margin.

    Where ink is, the picture shows: to have Matplotlib measure it takes as long again as to draw it.

    Parameters
    ----------
    figure : Figure
    dpi : float
        Pixels an inch, which the figure has from then on.

    Returns
    -------
    pixels : uint8 array, shape (height, width, 4)
        Red, green, blue and 255.
    frame : Bbox
        What they show, in inches.
    """
    figure.set(dpi=dpi, facecolor="white")
    canvas = FigureCanvasAgg(figure)  # what was closed has its own no more
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    inked = pixels.view(np.uint32)[..., 0] != 0xFFFFFFFF
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    height, width = inked.shape
    if not rows.size or min(rows[0], columns[0]) == 0 or rows[-1] == height - 1 or columns[-1] == width - 1:
        # There may be more of it outside of the figure.
        frame, buffer = figure.get_tightbbox().padded(_MARGIN), io.BytesIO()
        figure.savefig(buffer, dpi=dpi, bbox_inches=frame)
        return np.asarray(Image.open(buffer)), frame
    margin = round(_MARGIN * dpi)
    ink = Bbox.from_extents(columns[0], height - rows[-1] - 1, columns[-1] + 1, height - rows[0])
    boxes = [ink, *(axes.get_window_extent() for axes in figure.axes if axes.get_visible())]
    (left, bottom), (right, top) = np.rint(Bbox.union(boxes).get_points()).astype(int)
    pixels = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
    pixels = pixels[height - top : height - bottom + 2 * margin, left : right + 2 * margin]
    return pixels, Bbox(Bbox.from_extents(left, bottom, right, top).padded(margin).get_points() / dpi)


def dots(figure: Figure, frame: Bbox) -> list[Dots]:
    """Return the dots of a figure that have a name, row by row.

    Parameters
    ----------
    figure : Figure
        As it is when it has been drawn.
    frame : Bbox
        As `rendered` gives it.
    """
    found = []
    for axes in figure.axes:
        for artist in axes.collections:
            known = _NAMED.get(artist) if isinstance(artist, PathCollection) else None
            if known is not None:
                inches = axes.transData.transform(np.asarray(artist.get_offsets())) / figure.dpi
                places = 100 * np.column_stack([inches[:, 0] - frame.x0, frame.y1 - inches[:, 1]])
                found.append(dataclasses.replace(known, places=places))
    return found


def _strips(
    rows: Sequence[_Row],
    xlabel: str,
    dot: str,
    chance: str,
    limits: tuple[float, float],
    reach: tuple[float, float] | None = None,
) -> Figure:
    _style()
    figure, grid = plt.subplots(len(rows), 1, figsize=_size(1.05 * len(rows) + 0.75), sharex=True, squeeze=False)
    for axes, row in zip(grid[:, 0], rows, strict=True):
        _draw_row(axes, row, xlabel)
    shown = [np.ravel(part) for row in rows for part in (row.values, row.interval, row.paper or (), row.other or ())]
    shown.append(np.ravel(reach or ()))
    low, high = np.concatenate(shown).min(), np.concatenate(shown).max()
    margin = 0.04 * (high - low)
    # Where all values are equal an axis still needs a width; a dot at a limit is not cut in half.
    edge = 0.01 * (high - low or limits[1] - limits[0])
    left, right = max(limits[0], low - margin) - edge, min(limits[1], high + margin) + edge
    grid[-1, 0].set_xlim(left, right)
    grid[-1, 0].set_xlabel(xlabel)
    handles = [
        plt.Line2D([], [], color=shades(5)[2], marker="o", ls="", ms=4, label=dot),
        plt.Rectangle((0, 0), 1, 1, color=CHANCE, alpha=0.45, label=chance),
        plt.Line2D([], [], color=INK, lw=1, ls=(0, (2, 2)), label="expected by chance"),
    ]
    if any(row.paper is not None for row in rows):
        handles.append(plt.Line2D([], [], color=PAPER, lw=3, label="paper's text"))
    if any(row.other is not None for row in rows):
        handles.append(plt.Line2D([], [], color=PAPER, lw=1, label="the same, counted from 0"))
    sns.despine(figure, left=True)
    for axes in grid[:-1, 0]:
        axes.spines["bottom"].set(linewidth=0.5, alpha=0.4)
        axes.tick_params(bottom=False)
    _legend_above(figure, handles, len(handles), h_pad=0.4)
    return figure


def _draw_row(axes: Axes, row: _Row, axis: str) -> None:
    seen = row.chance_y > 1e-3 * row.chance_y.max()
    axes.fill_between(
        row.chance_x[seen], row.chance_y[seen] / row.chance_y.max(), color=CHANCE, alpha=0.45, lw=0, step="mid"
    )
    axes.axvline(row.expected, color=INK, lw=1, ls=(0, (2, 2)))
    names, band = np.unique(row.band, return_inverse=True)
    # Within a band the points step through fixed heights, so that a page looks the same at every build.
    order = np.zeros(len(band))
    for b in range(len(names)):
        members = band == b
        order[members] = np.linspace(-0.3, 0.3, members.sum()) if members.sum() > 1 else 0
    height = 0.06 + 0.88 * (band + 0.5 + order) / len(names)
    palette = np.array(shades(int(row.shade.max()) + 1))
    # Hundreds of smooth edges would make up most of the file; at two pixels for one nobody sees them.
    points = axes.scatter(
        row.values, height, s=11, c=palette[row.shade], lw=0.3, edgecolors="white", zorder=3, antialiased=False
    )
    if row.names:
        name = re.sub(r"\n[\d,]+ of\n.*", "", row.label).replace("\n", ", ")
        chance = (row.expected, *row.interval)
        _NAMED[points] = Dots(name, row.names, row.values, row.unit, axis, row.shade.tolist(), chance, row.paper)
    for said, at, width, filled in ((row.paper, -0.12, 3.0, "full"), (row.other, -0.19, 1.0, "none")):
        if said is not None:
            axes.plot(said, (at, at), color=PAPER, lw=width, solid_capstyle="butt", clip_on=False, zorder=4)
            if said[0] == said[1]:
                axes.plot(said[0], at, color=PAPER, marker="^", ms=6, fillstyle=filled, clip_on=False, zorder=4)
    axes.set(ylim=(-0.22, 1.06), yticks=[])
    axes.set_ylabel(row.label, rotation=0, ha="right", va="center", labelpad=8)


# One for each layer, all far from the orange of the paper's text and from the grey of chance.
_LAYERS = ("#0173b2", "#029e73", "#7c3aed", "#cc78bc", "#1e293b", "#4d7c0f", "#38bdf8", "#a16207")


def share_by_level(
    shares: Mapping[str, Sequence[LayerShare]],
    ylabel: str,
    paper: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    reach: tuple[float, float] | None = None,
) -> Figure:
    """Draw, level by level and layer by layer, a share of weights beside what chance gives.

    Parameters
    ----------
    shares : mapping of str to sequence of LayerShare
        By the name of the level, in order.
    ylabel : str
    paper : mapping of str to mapping of str to (low, high), optional
        What the paper says, by level and layer.
    reach : (low, high), optional
        As for `overlap_strips`.

    Returns
    -------
    Figure
        A bar of one standard deviation over the initialisations on each mean; grey, the central 95 % of chance.
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(3.6))
    layers = [share.layer for share in next(iter(shares.values()))]
    paper = paper or {}
    chance, expected = [], []
    for number, layer in enumerate(layers):
        # Layers that keep no weight at a level are not in its row.
        own = {level: share for level, row in enumerate(shares.values()) for share in row if share.layer == layer}
        places = np.array(list(own)) + 0.72 * ((number + 0.5) / len(layers) - 0.5)
        for x, (level, share) in zip(places, own.items(), strict=True):
            chance.append(Rectangle((x - 0.06, share.low), 0.12, share.high - share.low))
            expected.append((x, share.expected))
            said = paper.get(list(shares)[level], {}).get(layer)
            if said:
                axes.add_patch(
                    Rectangle((x - 0.07, said[0]), 0.14, said[1] - said[0], fill=False, ec=PAPER, lw=2, zorder=3)
                )
        means = np.array([share.values.mean() for share in own.values()])
        spread = np.array([share.values.std(ddof=1) if len(share.values) > 1 else 0.0 for share in own.values()])
        # A share lies between 0 and 100 %, and so does the bar.
        bars = np.minimum(spread, abs(means)), np.minimum(spread, abs(100 - means))
        axes.errorbar(
            places, means, bars, fmt="os^Dv"[number % 5],
            ms=_either(4.5, 3.5), color=_LAYERS[number % len(_LAYERS)], capsize=2, lw=1.2, label=layer,
        )  # fmt: skip
    x, y = np.array(expected).T
    axes.add_collection(PatchCollection(chance, color=CHANCE, alpha=0.45, lw=0))
    axes.hlines(y, x - 0.06, x + 0.06, color=INK, lw=1)
    axes.fill_between([], [], color=CHANCE, alpha=0.45, lw=0, label="chance (95 %)")
    if reach:
        axes.update_datalim([(0, y) for y in reach])
        axes.autoscale_view()
    if any(paper.values()):
        axes.plot([], [], color=PAPER, lw=2, label="paper's text")
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set(xlabel="weights pruned (%)", ylabel=ylabel)
    sns.despine(figure)
    _legend_above(figure, axes.get_legend_handles_labels()[0], len(layers) + 2)
    return figure


def share_strips(
    shares: Sequence[LayerShare],
    xlabel: str,
    paper: Mapping[str, tuple[float, float]] | None = None,
    reach: tuple[float, float] | None = None,
) -> Figure:
    """Draw a share of weights at one level, one row a layer and one dot an initialisation, over what chance gives.

    Parameters
    ----------
    shares : sequence of LayerShare
    xlabel : str
    paper : mapping of str to (low, high), optional
        What the paper says of a layer.
    reach : (low, high), optional
        As for `overlap_strips`.

    Returns
    -------
    Figure
    """
    rows = [
        _Row(
            share.layer,
            share.values,
            np.arange(len(share.values)),
            np.arange(len(share.values)),
            np.array([share.low, share.high]),
            np.ones(2),
            share.expected,
            (share.low, share.high),
            (paper or {}).get(share.layer),
            [f"initialisation {number + 1}" for number in range(len(share.values))],
        )
        for share in shares
    ]
    return _strips(rows, xlabel, "initialisation", "chance (central 95 %)", (0.0, 100.0), reach)


def similarity_matrix(matrix: NDArray[np.float64], runs: int, label: str) -> Figure:
    """Draw a similarity of the outputs of every pair of tickets, as a square of one field a pair.

    Parameters
    ----------
    matrix : float array, shape (replicas, replicas)
        NaN is drawn as a hatched field.
    runs : int
        Of each initialisation; lines are drawn between initialisations.
    label : str
        Of the scale.

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(_either(4.4, 2.9)))
    # What a ticket has with itself says nothing, and would stretch the scale.
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    axes.set_facecolor("#e5e7eb")
    axes.patch.set(hatch="////", edgecolor="#9ca3af")
    image = axes.imshow(shown, cmap="viridis")
    edges = np.arange(runs, len(matrix), runs) - 0.5
    axes.hlines(edges, -0.5, len(matrix) - 0.5, color="white", lw=1.6)
    axes.vlines(edges, -0.5, len(matrix) - 0.5, color="white", lw=1.6)
    middle = np.arange(0, len(matrix), runs) + (runs - 1) / 2
    names = [f"{number + 1}" for number in range(len(middle))]
    axes.set_xticks(middle, names)
    axes.set_yticks(middle, names)
    axes.tick_params(length=0)
    axes.set(xlabel="ticket, by initialisation", ylabel="ticket, by initialisation")
    figure.colorbar(image, label=label, shrink=0.85)
    sns.despine(figure, left=True, bottom=True)
    _lay_out(figure)
    return figure


def similarity_violins(
    within: Mapping[str, NDArray[np.float64]],
    across: Mapping[str, NDArray[np.float64]],
    ylabel: str,
    reach: tuple[float, float] | None = None,
    equal: float | None = None,
) -> Figure:
    """Draw a similarity of pairs of tickets by level: within an initialisation on the left, across on the right.

    Parameters
    ----------
    within, across : mapping of str to float array, shape (pairs,)
        By the name of the level, in order; the same names in both.
    ylabel : str
    reach : (low, high), optional
        What the axis has to hold besides, so that figures on tabs have one scale.
    equal : float, optional
        What equal outputs would have; the paper's text says that no two tickets do.

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(3.2))
    x = np.arange(len(within))
    halves: tuple[tuple[Mapping[str, NDArray[np.float64]], Literal["low", "high"], Any, str], ...] = (
        (within, "low", shades(5)[2], "one initialisation"),
        (across, "high", CHANCE, "different initialisations"),
    )
    for values, side, colour, label in halves:
        parts: dict[str, Any] = axes.violinplot(
            list(values.values()), x, widths=0.8, showextrema=False, showmedians=True, side=side
        )
        for body in parts["bodies"]:
            body.set(facecolor=colour, alpha=0.75, linewidth=0)
        parts["cmedians"].set(color=INK, linewidth=1)
        axes.bar(0, 0, color=colour, alpha=0.75, label=label)
    if equal is not None:
        axes.axhline(equal, color=PAPER, lw=2, label="equal outputs")
    shown = np.concatenate(
        [*within.values(), *across.values(), np.ravel(reach or ()), [] if equal is None else [equal]]
    )
    low, high = shown.min(), shown.max()
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xticks(x, list(within))
    axes.set(xlabel="weights pruned (%)", ylabel=ylabel)
    sns.despine(figure)
    _legend_above(figure, axes.get_legend_handles_labels()[0], 3)
    return figure


# Of paper B's conditions, all far from the orange of the paper's numbers; random pairs are what chance gives.
_CATEGORIES = {"WTs": "#0e7490", "between_DS": "#7c3aed", "mixed": "#4d7c0f", "controls": "#be185d", "random": CHANCE}


def distance_strips(
    panels: Mapping[str, Mapping[str, NDArray[np.float64]]],
    categories: Mapping[str, str],
    shared: bool = False,
    pairs: Mapping[str, Sequence[str]] | None = None,
    paper: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw distances of pairs of tickets: one panel a metric or layer, one row a condition, one dot a pair.

    Parameters
    ----------
    panels : mapping of str to mapping of str to float array, shape (pairs,)
        By the panel's title, then by condition, the same ones in every panel.
    categories : mapping of str to str
        The category of every condition, in the order of the rows: 'WTs', 'between_DS', 'mixed', 'controls' or 'random'.
        There may be conditions without pairs.
    shared : bool
        Whether all panels have one scale.
    pairs : mapping of str to sequence of str, optional
        By condition, which tickets each pair is of, in words.
    paper : mapping of str to mapping of str to float, optional
        By the panel's title and condition, the mean that the paper's difference gives.

    Returns
    -------
    Figure
    """
    _style()
    names, pairs, paper = list(categories), pairs or {}, paper or {}
    columns = min(_either(2, 1), len(panels))
    rows = -(-len(panels) // columns)
    height = 0.27 * len(names) + 0.75
    figure, grid = plt.subplots(
        rows, columns, figsize=_size(rows * height + _either(0.4, 0.9)), sharey=True, sharex=shared, squeeze=False
    )
    for axes, (title, values) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
        if "random" in values:
            axes.axvline(values["random"].mean(), color=INK, lw=0.8, ls=(0, (2, 2)), zorder=1)
        for name, dots in values.items():
            row, colour = names.index(name), _CATEGORIES[categories[name]]
            jitter = 0.28 * np.cos(2.4 * np.arange(len(dots)))  # the same at every build
            points = axes.scatter(dots, row + jitter, s=7, color=colour, alpha=0.55, lw=0, zorder=2)
            if name in pairs:
                _NAMED[points] = Dots(f"{title}, {name}", pairs[name], dots, "")
            axes.plot([dots.mean()] * 2, [row - 0.38, row + 0.38], color=INK, lw=1.6, zorder=3)
        for name, said in paper.get(title, {}).items():
            axes.plot(said, names.index(name), **_PAPER_MARK)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="x", lw=0.4, alpha=0.5)
        axes.set_axisbelow(True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.set_xlabel("distance")
        lowest.tick_params(labelbottom=True)  # a scale that panels share is labelled at the last one of the grid
    present = [c for c in _CATEGORIES if c in categories.values()]
    # As pale as the dots: a picture keeps 64 colours, and one that is nowhere else would become another.
    handles = [plt.Line2D([], [], color=_CATEGORIES[c], alpha=0.55, marker="o", ls="", ms=4, label=c) for c in present]
    handles.append(plt.Line2D([], [], color=INK, lw=1.6, label="mean"))
    if "random" in names:
        handles.append(plt.Line2D([], [], color=INK, lw=0.8, ls=(0, (2, 2)), label="mean of random"))
    if any(paper.values()):
        handles.append(plt.Line2D([], [], color=PAPER, marker="D", ls="", ms=5, label="paper's mean"))
    sns.despine(figure)
    _legend_above(figure, handles, len(handles))
    return figure


def match_maps(matches: Mapping[str, Sequence[Match]]) -> Figure:
    """Draw the distance of every unit of one network from every unit of another, with the matched pairs framed.

    Parameters
    ----------
    matches : mapping of str to sequence of Match
        One row of panels for each name, such as a metric; one panel for each layer.

    Returns
    -------
    Figure
    """
    _style()
    shape = (len(matches), max(len(row) for row in matches.values()))
    rows, columns = _either(shape, (shape[0] * shape[1], 1))
    figure, grid = plt.subplots(rows, columns, figsize=_size(2.9 * rows), squeeze=False)
    for line, (name, row) in zip(grid.reshape(shape), matches.items(), strict=True):
        for axes, match in zip(line, row, strict=True):
            units = len(match.partner)
            axes.imshow(match.costs, cmap="Blues", vmin=0, vmax=1.9)  # pale enough for dark digits
            for i, j in np.ndindex(match.costs.shape):
                axes.text(j, i, f"{match.costs[i, j]:.2f}", ha="center", va="center", fontsize=9)
            for i, j in enumerate(match.partner):
                axes.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec=PAPER, lw=2.2))
            axes.set_xticks(range(units), range(1, units + 1))
            axes.set_yticks(range(units), range(1, units + 1))
            axes.set(xlabel="unit of network 2", ylabel="unit of network 1")
            axes.set_title(f"{name}, {match.layer}: {match.distance:.3f}", fontsize=9)
            axes.tick_params(length=0)
            sns.despine(ax=axes, left=True, bottom=True)
    _lay_out(figure)
    return figure


def accuracy_by_round(accuracies: Mapping[str, NDArray[np.float64]], random: NDArray[np.float64] | None) -> Figure:
    """Draw the test accuracies of the dense network and of the ticket after every round, and of random tickets.

    Parameters
    ----------
    accuracies : mapping of str to float array, shape (trials,)
        In %, by the name of the level, in order.
    random : float array, shape (trials,), or None
        Of random tickets as sparse as those of the last round; None if they are not trained.

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(3.3))
    values = np.stack(list(accuracies.values()))
    x, colour = np.arange(len(values)), _CATEGORIES["WTs"]
    axes.plot(x, values, color=colour, lw=0.6, alpha=0.35)
    axes.plot(x, values.mean(axis=1), color=colour, lw=1.8, marker="o", ms=4, label="winning tickets, mean")
    trials = [f"trial {number + 1}" for number in range(values.shape[1])]
    for place, own in zip(x, values, strict=True):
        points = axes.scatter(np.full(own.size, place), own, s=0)  # unseen: what is pointed at on the lines
        _NAMED[points] = Dots("dense network" if place == 0 else f"round {place}", trials, own, " %")
    axes.axhline(values[0].mean(), color=INK, lw=1, ls=(0, (2, 2)), label="dense network, mean")
    if random is not None:
        points = axes.scatter(
            np.full(len(random), x[-1] + 0.3), random, s=14, color=_CATEGORIES["random"], label="random tickets"
        )
        _NAMED[points] = Dots("random ticket", trials, random, " %")
    axes.set_xticks(x, ["0", *(name.removeprefix("round-") for name in list(accuracies)[1:])])
    axes.set(xlabel="round of pruning", ylabel="test accuracy (%)")
    axes.legend(frameon=False, fontsize=8)
    sns.despine(figure)
    _lay_out(figure)
    return figure


def ladder_grid(
    rungs: Sequence[str],
    columns: Sequence[str],
    distances: NDArray[np.float64],
    label: str,
    close: NDArray[np.bool_],
) -> Figure:
    """Draw how far each rung of the ladder of randomness is from what the paper states, column by column.

    Parameters
    ----------
    rungs, columns : sequence of str
        Names of the rows and of the columns.
    distances : float array, shape (rungs, columns)
        NaN where a rung is not trained, which is hatched. The smallest of each column, and all equal to it, are framed,
        if it has two or more to choose from.
    label : str
        Of the scale.
    close : bool array, shape (rungs, columns)
        What is not told apart from the smallest of its column: framed with dashes.

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(_either(0.42, 0.55) * len(rungs) + _either(1.3, 2.0)))
    axes.set_facecolor("#f3f4f6")
    axes.patch.set(hatch="////", edgecolor="#c4c9d1")
    image = axes.imshow(distances, cmap=sns.color_palette("rocket_r", as_cmap=True), aspect="auto", vmin=0)
    most = np.nanmax(distances) if not np.isnan(distances).all() else 1.0
    for row, column in np.argwhere(~np.isnan(distances)):
        value = distances[row, column]
        axes.text(
            column, row, f"{value:.2f}" if most < 10 else f"{value:.1f}",
            ha="center", va="center", fontsize=8, color="white" if value > 0.42 * most else INK,
        )  # fmt: skip
    least = np.where(np.isnan(distances), np.inf, distances).min(axis=0)
    several = (~np.isnan(distances)).sum(axis=0) > 1
    nearest = (distances == least) & several
    for row, column in np.argwhere(nearest | close):
        width, style = (2, "solid") if nearest[row, column] else (1, (0, (4, 3)))
        under = {"dash_offset": 0, "dash_list": None}  # white, and never dashed: seen on a dark field too
        seen = [patheffects.Stroke(linewidth=2.5 * width, foreground="white", dashes=under), patheffects.Normal()]
        axes.add_patch(
            plt.Rectangle(
                (column - 0.48, row - 0.46), 0.96, 0.92,
                fill=False, ec=INK, lw=width, ls=style, path_effects=seen,
            )
        )  # fmt: skip
    room = _either(66 // max(len(columns), 1), 70)  # letters that fit a column
    names = ["\n".join(textwrap.fill(line, room) for line in name.splitlines()) for name in columns]
    axes.set_xticks(range(len(columns)), names, rotation=_either(0, 90))
    axes.set_yticks(range(len(rungs)), [textwrap.fill(rung, _either(70, 14)) for rung in rungs])
    axes.tick_params(length=0)
    axes.set_xlabel("weights pruned")
    if _either(True, False):
        figure.colorbar(image, label=label)
    else:  # every field holds its number, so that the scale can give its room to them
        axes.set_title(label, fontsize=9)
    sns.despine(figure, left=True, bottom=True)
    _lay_out(figure)
    return figure


def baseline_comparison(
    names: Sequence[str],
    exact: NDArray[np.float64],
    simulated: NDArray[np.float64],
    printed: Mapping[str, NDArray[np.float64]],
    ylabel: str,
) -> Figure:
    """Draw, level by level, exact intervals, simulated values and the printed approximations.

    Parameters
    ----------
    names : sequence of str
        Of the levels.
    exact : float array, shape (levels, 3)
        Low end of the 95 % interval, mean, high end.
    simulated : float array, shape (levels, repetitions)
    printed : mapping of str to float array, shape (levels,)
        Printed approximations by label.
    ylabel : str

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(_either(3.6, 4.2)))
    x = np.arange(len(names))
    parts: dict[str, Any] = axes.violinplot(list(simulated), x - 0.12, widths=0.22, showextrema=False, side="low")
    for body in parts["bodies"]:
        body.set(facecolor=shades(5)[1], alpha=0.7, linewidth=0)
    axes.errorbar(
        # A mean far below one lies above its interval, which is then zero to zero.
        x, exact[:, 1], np.maximum([exact[:, 1] - exact[:, 0], exact[:, 2] - exact[:, 1]], 0),
        fmt="o", ms=4, color=INK, capsize=3, lw=1.2, label="exact: mean and 95 % interval",
    )  # fmt: skip
    axes.bar(0, 0, color=shades(5)[1], alpha=0.7, label="simulation")
    for (label, values), marker, colour in zip(printed.items(), "Ds^", (PAPER, "#7c3aed", "#0e7490"), strict=False):
        axes.plot(x + 0.18, values, marker, ms=5.5, color=colour, label=label, ls="")
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xticks(x, names)
    axes.set(xlabel="weights pruned (%)", ylabel=ylabel)
    axes.legend(frameon=False, fontsize=8)
    sns.despine(figure)
    _lay_out(figure)
    return figure


def filter_bars(groups: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Figure:
    """Draw how many filters keep 0, 1, 2, ... weights, one row a group, over what chance gives.

    Parameters
    ----------
    groups : mapping of str to (int array, float array), both of shape (weights of a filter + 1,)
        By name: filters counted, and expected by chance; equally many bins in all.

    Returns
    -------
    Figure
        Heights in percent of the group's filters.
    """
    _style()
    figure, grid = plt.subplots(
        len(groups), 1, figsize=_size(1.0 * len(groups) + 0.9), sharex=True, sharey=True, squeeze=False
    )
    for axes, (name, (counts, expected)) in zip(grid[:, 0], groups.items(), strict=True):
        x = np.arange(len(counts))
        axes.fill_between(x, 100 * expected / expected.sum(), color=CHANCE, alpha=0.45, lw=0, step="mid")
        axes.bar(x, 100 * counts / counts.sum(), width=0.6, color=shades(5)[2], lw=0)
        _name_group(axes, name, 26)
    most = max(np.flatnonzero((counts > 0) | (expected > 0.5)).max() for counts, expected in groups.values())
    axes.set_xlim(-0.8, most + 0.8)
    label = f"weights that a filter keeps, of {len(x) - 1} (bars: % of the filters)"
    grid[-1, 0].set_xlabel(textwrap.fill(label, _either(90, 36)))
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=shades(5)[2], label="counted"),
        plt.Rectangle((0, 0), 1, 1, color=CHANCE, alpha=0.45, label="chance (hypergeometric)"),
    ]
    sns.despine(figure)
    _legend_above(figure, handles, 2, h_pad=0.5)
    return figure


def statistic_strips(
    panels: Mapping[str, Mapping[str, Statistic]],
    paper: Mapping[str, Mapping[str, float]],
    groups: Sequence[str],
    controlled: str = "",
) -> Figure:
    """Draw statistics of groups of tickets, and what the paper prints of them, over what random tickets give.

    Parameters
    ----------
    panels : mapping of str to mapping of str to Statistic
        By the panel's title, then by group; every panel has some.
    paper : mapping of str to mapping of str to float
        What the paper prints, in the same way.
    groups : sequence of str
        In the order of the rows; of some there may be only what the paper prints.
    controlled : str
        The title of a panel in which the intervals of the groups' controls are drawn too.

    Returns
    -------
    Figure
    """
    _style()
    columns = _either(2, 1)
    lines = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=_size(lines * (0.24 * len(groups) + 0.85) + 0.5), sharey=True, squeeze=False
    )
    for axes, (title, values) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(textwrap.fill(title, _either(40, 24)), loc="left", fontsize=9)
        chance = next(iter(values.values()))  # the same for all
        axes.axvspan(chance.low, chance.high, color=CHANCE, alpha=0.3, lw=0)
        axes.axvline(chance.expected, color=INK, lw=0.8, ls=(0, (2, 2)), zorder=1)
        for row, group in enumerate(groups):
            if group in values:
                own = values[group]
                if title == controlled:
                    ends = (own.control_low, own.control_high)
                    axes.plot(ends, (row, row), color=INK, lw=0.9, marker="|", ms=8, zorder=2)
                axes.plot(own.value, row, color=_CATEGORIES["WTs"], marker="o", ms=6, mec="white", mew=0.6, zorder=3)
            if group in paper.get(title, {}):
                axes.plot(paper[title][group], row, **_PAPER_MARK)
        axes.set_yticks(range(len(groups)), groups)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", lw=0.4, alpha=0.5)
        axes.set_axisbelow(True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    handles = [
        plt.Line2D([], [], color=_CATEGORIES["WTs"], marker="o", ls="", ms=5, label="here"),
        plt.Line2D([], [], color=PAPER, marker="D", ls="", ms=5, label="the paper"),
        plt.Rectangle((0, 0), 1, 1, color=CHANCE, alpha=0.3, label="random tickets (95 %)"),
        plt.Line2D([], [], color=INK, lw=0.8, ls=(0, (2, 2)), label="chance"),
    ]
    if controlled:
        handles.append(plt.Line2D([], [], color=INK, lw=0.9, marker="|", ms=8, label="control (95 %)"))
    sns.despine(figure, left=True)
    for axes in grid.flat:
        axes.tick_params(left=False)
    _legend_above(figure, handles, len(handles))
    return figure


def position_maps(groups: Mapping[str, tuple[NDArray[np.int64], float]], channels: Sequence[str]) -> Figure:
    """Draw how often each position of a filter keeps its weight: one row a group, one map a channel.

    Parameters
    ----------
    groups : mapping of str to (int array, shape (channels, 3, 3), and float)
        By name: filters that keep a weight there, and the same number expected by chance.
    channels : sequence of str
        Their names.

    Returns
    -------
    Figure
        Colour is the difference from chance, on one scale for all maps.
    """
    _style()
    figure, grid = plt.subplots(
        len(groups),
        figsize=_size(_either(1.2, 1.22) * len(groups) + _either(0.6, 0.9)),
        squeeze=False,
        layout="constrained",
    )
    excess = {name: 100 * counts / expected - 100 for name, (counts, expected) in groups.items()}
    most = max(float(np.abs(values).max()) for values in excess.values())
    for axes, (name, (counts, _)) in zip(grid.flat, groups.items(), strict=True):
        image, x, y = _mosaic(axes, excess[name], len(channels), 0.5, cmap="PuOr_r", vmin=-most, vmax=most)
        for (channel, r, c), count in np.ndenumerate(counts):
            strong = abs(excess[name][channel, r, c]) > 0.7 * most
            place = (x[channel] + c + 0.5, y[channel] + r + 0.5)
            axes.text(*place, str(count), ha="center", va="center", fontsize=8, color="white" if strong else INK)
        _name_group(axes, name)
    grid[0, 0].xaxis.tick_top()
    grid[0, 0].set_xticks(x + 1.5, channels)
    grid[0, 0].tick_params(length=0)
    figure.colorbar(
        image,
        ax=grid,
        location=_either("right", "bottom"),
        shrink=_either(min(1.0, 3 / len(groups)), 1.0),
        label="% more or fewer than chance",
        aspect=25,
    )
    return figure


def pair_maps(groups: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]], reference: int) -> Figure:
    """Draw how often two weights lie in one kernel together: one row a group, one map a reference place.

    Parameters
    ----------
    groups : mapping of str to (int array, float array), both of shape (3, 3, 3, 3)
        By name: what `kernels.together` counts, and what chance gives for it.
    reference : int
        Sign of the weight at the reference place, 1 or -1, for its colour.

    Returns
    -------
    Figure
        Colour is the difference from chance, on one scale for all maps; the reference place holds its sign.
    """
    _style()
    columns = _either(9, 3)
    figure, grid = plt.subplots(
        len(groups), figsize=_size(_either(0.68, 3.2) * len(groups) + 0.95), squeeze=False, layout="constrained"
    )
    # Where chance gives nothing there is nothing: a place has not both signs.
    excess = {
        name: 100 * np.divide(counts, expected, out=np.ones(counts.shape), where=expected > 0) - 100
        for name, (counts, expected) in groups.items()
    }
    others = ~np.eye(9, dtype=bool).reshape((3,) * 4)
    most = max(float(np.abs(values[others]).max()) for values in excess.values())
    places = np.arange(9)
    for axes, (name, values) in zip(grid.flat, excess.items(), strict=True):
        shown = np.where(others, values, 0).reshape(9, 3, 3)
        image, x, y = _mosaic(axes, shown, columns, 0.5, cmap="PuOr_r", vmin=-most, vmax=most)
        x, y = x + places % 3, y + places // 3  # of each map's reference place
        squares = [plt.Rectangle(corner, 1, 1) for corner in zip(x, y, strict=True)]
        axes.add_collection(PatchCollection(squares, facecolor=SIGNS[reference], linewidth=0))
        axes.scatter(x + 0.5, y + 0.5, marker=f"${_GLYPHS[reference]}$", s=22, color="white", lw=0, zorder=3)
        _name_group(axes, name)
    figure.colorbar(
        image,
        ax=grid,
        location="bottom",
        shrink=_either(0.5, 1.0),
        aspect=35,
        label="% more or fewer together than by chance",
    )
    return figure


def expected_count(count: float) -> str:
    """Return what stands for a count that chance gives, of which a tenth is said at most."""
    return "<0.1" if count < 0.05 else f"{count:.{1 if count < 9.95 else 0}f}"


def pattern_grid(groups: Mapping[str, tuple[NDArray[np.int8], NDArray[np.int64], Sequence[float]]]) -> Figure:
    """Draw the most frequent patterns of signs in a kernel, one row a group, the most frequent first.

    Parameters
    ----------
    groups : mapping of str to (int8 array, shape (patterns, 3, 3); int array; sequence of float)
        By name: patterns, how many kernels have each, and how many chance gives.

    Returns
    -------
    Figure
        Above each pattern its count, in brackets that of chance.
    """
    _style()
    most = max(len(patterns) for patterns, _, _ in groups.values())
    columns = _either(most, min(most, 3))
    rows = -(-most // columns)  # of a group
    figure, grid = plt.subplots(
        len(groups), figsize=_size(_either(0.95, 1.15) * rows * len(groups) + 0.25), squeeze=False, layout="constrained"
    )
    palette = ListedColormap([SIGNS[-1], "#eceef1", SIGNS[1]])
    for axes, (name, (patterns, counts, expected)) in zip(grid.flat, groups.items(), strict=True):
        _, x, y = _mosaic(axes, patterns, columns, (1.2, 1.6), cmap=palette, vmin=-1, vmax=1)
        for sign, glyph in _GLYPHS.items():
            tile, row, column = np.nonzero(patterns == sign)
            axes.scatter(
                x[tile] + column + 0.5, y[tile] + row + 0.5, marker=f"${glyph}$", s=26, color="white", lw=0, zorder=3
            )
        for left, top, count, chance in zip(x, y, counts, expected, strict=True):
            expectation = expected_count(chance)
            text = f"{count} ({expectation})"
            axes.text(left + 1.5, top - 0.25, text, ha="center", va="bottom", fontsize=8)
        axes.set_xlim(0, columns * 4.2 - 1.2)  # rows of fewer patterns keep the size of the others
        axes.set_ylim(y.max() + 3, _either(-1.4, -1.1))
        _name_group(axes, name)
    if _narrow.get():  # a group's name stands above it, nearer to it than to the group before
        figure.set_layout_engine("constrained", h_pad=0.12)
    return figure


def _mosaic(
    axes: Axes, maps: NDArray, columns: int, gap: float | tuple[float, float], **colours: Any
) -> tuple[QuadMesh, NDArray[np.floating], NDArray[np.floating]]:
    """Draw maps of shape (n, 3, 3) side by side in one system of axes: dozens of systems take seconds to lay out.

    Returns
    -------
    mesh : QuadMesh
        Its array holds the maps, with an empty column and an empty row between two.
    x, y : float arrays, shape (n,)
        Upper left corners of the maps, whose places are 1 wide and high.
    """
    rows, (right, down) = -(-len(maps) // columns), gap if isinstance(gap, tuple) else (gap, gap)
    number = np.arange(len(maps))
    values = np.full((4 * rows, 4 * columns), np.nan)
    for n, tile in enumerate(maps):
        row, column = divmod(n, columns)
        values[4 * row : 4 * row + 3, 4 * column : 4 * column + 3] = tile
    across, along = (
        np.append((np.arange(count)[:, None] * (3 + space) + np.arange(4)).ravel(), count * (3 + space))
        for count, space in ((columns, right), (rows, down))
    )
    mesh = axes.pcolormesh(across, along, np.ma.masked_invalid(values), edgecolors="white", linewidth=1, **colours)
    axes.set(xlim=(0, across[-1] - right), ylim=(along[-1] - down, 0), aspect="equal", xticks=[], yticks=[])
    sns.despine(ax=axes, left=True, bottom=True)
    return mesh, number % columns * (3 + right), number // columns * (3 + down)


def _name_group(axes: Axes, name: str, pad: float = 6) -> None:
    if _narrow.get():
        axes.set_title(" ".join(name.split()), loc="left", fontsize=9)
    else:
        axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=pad)


def verdict_bars(scored: Sequence[Scored]) -> Figure:
    """Draw the state of the ledger: one bar a section, one segment a verdict; entries that claim nothing left out.

    Parameters
    ----------
    scored : sequence of Scored

    Returns
    -------
    Figure
    """
    _style()
    sections: dict[str, dict[str, int]] = {}
    for s in scored:
        if s.verdict != "not a claim":
            counts = sections.setdefault(f"{s.claim.paper}  {s.claim.section}", dict.fromkeys(VERDICTS, 0))
            counts[s.verdict] += 1
    figure, axes = plt.subplots(figsize=_size(0.24 * len(sections) + _either(1.2, 1.5)))
    y = np.arange(len(sections))
    digit = max(sum(counts.values()) for counts in sections.values()) / _either(70, 25)  # how wide one is, in claims
    left = np.zeros(len(sections))
    for verdict, colour in VERDICTS.items():
        width = np.array([counts[verdict] for counts in sections.values()])
        if width.any():
            axes.barh(y, width, left=left, color=colour, height=0.74, label=f"{verdict} ({width.sum()})")
            for where in np.flatnonzero(width > digit * np.char.str_len(width.astype(str))):
                dark = verdict in ("open", "not a claim")
                axes.text(
                    left[where] + width[where] / 2, y[where], str(width[where]),
                    ha="center", va="center", fontsize=8, color=INK if dark else "white",
                )  # fmt: skip
            left += width
    axes.set_yticks(y, list(sections))
    axes.set(xlabel="claims that can be decided", ylabel=_either("paper and section", ""))
    axes.set_ylim(len(sections) - 0.4, -0.6)
    axes.margins(x=0.01)
    sns.despine(figure, left=True)
    axes.tick_params(left=False)
    _legend_above(figure, axes.get_legend_handles_labels()[0], 5)
    return figure


def setup_diagram(experiment: Experiment) -> Figure:
    """Draw the experimental set-up: initialisations, runs, pruning steps, and which tickets are compared.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    Figure
    """
    _style()
    figure, axes = plt.subplots(figsize=_size(_either(3.9, 4.6)))
    axes.axis("off")
    _either(_setup_across, _setup_down)(axes, experiment)
    _lay_out(figure, pad=0.2)
    return figure


_PAIRS_B = "#0e7490"  # of the arrow between tickets of different initialisations; the other is orange


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: Any) -> None:
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", fc=colour, ec=INK, lw=0.8)
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **style: object) -> None:
    options: dict = {"arrowstyle": "-|>", "mutation_scale": 9, "color": INK, "lw": 0.9} | style
    axes.add_patch(FancyArrowPatch(start, end, **options))


def _compared(axes: Axes, start: tuple[float, float], end: tuple[float, float], curve: float, colour: str) -> None:
    style = {"arrowstyle": "<|-|>", "connectionstyle": f"arc3,rad={curve}", "color": colour, "lw": 1.4}
    _arrow(axes, start, end, **style)


def _setup_words(experiment: Experiment) -> tuple[str, list[Any]]:
    """Return what stands in the box of the network, and pale shades for the first and the last initialisation."""
    network = f"{experiment.architecture.name}\n{experiment.architecture.weight_count:,} weights"
    ends = (shades(experiment.inits)[0], shades(experiment.inits)[-1])
    return network, [tuple(0.55 + 0.45 * c for c in shade) for shade in ends]


def _setup_across(axes: Axes, experiment: Experiment) -> None:
    """Draw the set-up from left to right."""
    axes.set(xlim=(0, 10), ylim=(0, 5.1))
    network, pale = _setup_words(experiment)
    steps = "train, prune, reset: " + ", ".join(v.name for v in experiment.levels[1:]) + " %"
    small: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "style": "italic"}
    letter: dict[str, Any] = {"fontsize": 11, "weight": "bold", "va": "center"}
    _box(axes, 0.05, 1.85, 1.55, 1.3, network, "#f3f4f6")
    tickets = {}
    for row, (init, top) in enumerate((("1", 3.15), (str(experiment.inits), 0.35))):
        _box(axes, 2.2, top + 0.35, 1.4, 0.85, f"initial weights\nseed {init}", pale[row])
        _arrow(axes, (1.62, 2.5), (2.17, top + 0.78))
        for column, (run, up) in enumerate((("1", 0.95), (str(experiment.runs), -0.05))):
            y = top + up
            _box(axes, 4.15, y, 3.5, 0.62, steps, "#ffffff")
            _box(axes, 8.15, y, 1.1, 0.62, f"ticket {run}", pale[row])
            _arrow(axes, (3.63, top + 0.78), (4.12, y + 0.31))
            _arrow(axes, (7.68, y + 0.31), (8.12, y + 0.31))
            tickets[row, column] = y + 0.31
        runs = f"… {experiment.runs} runs, each with its own batch order …"
        axes.text(5.9, top + 0.755, runs, **small)
        _compared(axes, (9.3, tickets[row, 0]), (9.3, tickets[row, 1]), -0.45, PAPER)
        axes.text(9.66, top + 0.79, "A", color=PAPER, ha="left", **letter)
    axes.text(2.9, 2.5, f"… {experiment.inits} seeds …", **small)
    _compared(axes, (8.65, tickets[0, 1] - 0.34), (8.65, tickets[1, 0] + 0.34), 0, _PAIRS_B)
    axes.text(8.83, 2.36, "B", color=_PAIRS_B, **letter)


def _setup_down(axes: Axes, experiment: Experiment) -> None:
    """Draw the set-up from top to bottom, in inches."""
    axes.set(xlim=(0, 3.5), ylim=(0.25, 4.85))
    network, pale = _setup_words(experiment)
    names = [v.name for v in experiment.levels[1:]]
    levels = "\n".join(", ".join(names[i : i + 2]) for i in range(0, len(names), 2))
    steps = f"train,\nprune,\nreset:\n{levels} %"
    small: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "style": "italic"}
    letter: dict[str, Any] = {"fontsize": 11, "weight": "bold", "ha": "center", "va": "center"}
    _box(axes, 1.05, 4.3, 1.4, 0.45, network, "#f3f4f6")
    for column, (init, left) in enumerate((("1", 0.05), (str(experiment.inits), 1.95))):
        _box(axes, left + 0.1, 3.4, 1.25, 0.45, f"initial weights\nseed {init}", pale[column])
        _arrow(axes, (1.75, 4.27), (left + 0.72, 3.88))
        middles = []
        for run, x in (("1", left), (str(experiment.runs), left + 0.8)):
            middles.append(x + 0.35)
            _arrow(axes, (left + 0.72, 3.37), (x + 0.35, 2.98))
            _box(axes, x, 1.8, 0.7, 1.15, steps, "#ffffff")
            _arrow(axes, (x + 0.35, 1.77), (x + 0.35, 1.53))
            _box(axes, x, 1.2, 0.7, 0.3, f"ticket {run}", pale[column])
        _compared(axes, (middles[0], 1.17), (middles[1], 1.17), 0.45, PAPER)
        axes.text(left + 0.75, 0.82, "A", color=PAPER, **letter)
    axes.text(1.75, 3.62, f"… {experiment.inits} …", **small)
    _compared(axes, (1.57, 1.35), (1.93, 1.35), 0, _PAIRS_B)
    axes.text(1.75, 1.1, "B", color=_PAIRS_B, **letter)
    runs = f"… {experiment.inits} seeds, {experiment.runs} runs of each, every run\nwith its own batch order …"
    axes.text(1.75, 0.47, runs, **small)
