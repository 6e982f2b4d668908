"""The ladder of randomness in paper A's chapters: which rung the paper's numbers fit, as figures and tables."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lib import (
    claims,
    evidence,
    figures,
    ladder,
    pages,
    pages_a,
    paper_a,
)
from lib.experiments import find
from lib.notebook import View, markdown, show, show_levels, table
from lib.sources import Source
from lib.statistics import interval_words
from lib.tickets import Store


def ladder_strips(
    store: Store, key: str, network: str, level: str, name: str, partner: str = "", layers: str = "all"
) -> None:
    """Show a figure of the paper on every rung of the ladder of randomness, or what stands in the place of that.

    Parameters
    ----------
    store : Store
    key : str
        Of the figure, as for `ladder.statements`.
    network, partner : str
        As for `ladder.rungs`.
    level, name, layers : str
        As for `overlap_panel`; the level may be 'all' for figures that show all of them, 4a, 4b and 11.
    """
    rungs = ladder.rungs(network, partner)
    trained_on = pages.network_words(rungs[0].experiment, rungs[0].partner)
    levels = [v.name for v in find(rungs[0].experiment).levels[1:]]
    ready: dict[str, dict[str, ladder.Layers]] = {}
    lacking: list[Sequence[claims.Lack]] = []
    for rung in rungs:
        try:
            ready[rung.words] = {
                v: ladder.measure(store, key, rung, v) for v in (levels if level == "all" else [level])
            }
        except evidence.Missing as missing:
            lacking.append(missing.lacks)
    title = f"The paper's Figure {_figure(key)} on every rung"
    if not ready:
        markdown(pages.missing_panel(title, lacking[0]))
        return
    label = _SHARES.get(_figure(key), "")
    panel = key if key in paper_a.PANELS else ""
    ranges, other = (paper_a.paper_ranges(panel, rungs[0].experiment, start) for start in (1, 0))
    said = {v: pages_a.stated_shares(key, rungs[0].experiment, v) for v in levels} if label else {}
    chosen = pages_a.chosen_layers(rungs[0].experiment, layers)

    def draw(words: str) -> tuple[Figure, str]:
        found = {v: [y for y in row if y.layer in chosen] for v, row in ready[words].items()}
        means = [f"at {v} % {', '.join(f'{y.layer} {y.values.mean():.3g}' for y in row)}" for v, row in found.items()]
        runs = {rung.words: find(rung.experiment).runs for rung in rungs}
        of = f" ({runs[words]} runs)" if runs[words] != runs[rungs[0].words] else ""
        across = next(rung.across for rung in rungs if rung.words == words)
        kind = type(next(iter(found.values()))[0])
        what = _PAIR if _figure(key) == "11" else _ACROSS[kind]
        sentence = f"Means, {words}{of}: {'; '.join(means)}.{f' {what}' * across}"
        if level == "all":
            shares = {v: [y for y in row if isinstance(y, evidence.LayerShare)] for v, row in found.items()}
            return figures.share_by_level(shares, label, said, reach), sentence
        return figures.strips(found[level], ranges or said.get(level, {}), label, reach, other), sentence

    reach = _reach(y.values for by_level in ready.values() for row in by_level.values() for y in row)
    orange = ", orange what the paper's text says" if ranges or any(said.values()) else ""
    if orange and len(_countings(key, rungs[0].experiment)) > 1:
        orange += ", thick with layers counted from one, thin from zero" if other else ", with layers counted from one"
    at = "all levels" if level == "all" else f"{level} % pruned"
    measured, dot = _KINDS[type(next(iter(ready.values()))[levels[0] if level == "all" else level][0])]
    inits = [store.find(rung.experiment).inits for rung in rungs if rung.words in ready]
    deviation = ", with one standard deviation over initialisations" * (max(inits) > 1)
    alone = " where there are several" * (min(inits) == 1)
    mark = (
        f"a marker is the mean of a layer{deviation + alone if deviation else ', of one initialisation'}"
        if level == "all"
        else f"a row is a layer, a dot {dot}, in the shade of its initialisation"
    )
    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(key),
        name,
        f"{_on_a_rung(_figure(key))}: {label or measured}, {trained_on}, at {at}; {mark}. Grey is chance{orange}.",
        "Measured values by layer, over what chance gives.",
        pages.origin(store, _experiments(rungs, ready), "A" if orange else ""),
        View(f"rungs: {_unit(key)}", f"{trained_on}, {at}"),
    )


def order_brief(store: Store, network: str, level: str) -> None:
    """Say how alike tickets of one initialisation are, rung by rung; nothing if fewer than two rungs are trained.

    Parameters
    ----------
    store : Store
    network, level : str
        Such as 'a/fashion-lenet' and '90'.
    """
    shares = {}
    for rung in ladder.rungs(network):
        if rung.across or find(rung.experiment).inits == 1:  # new initial weights; all fixed, which are equal
            continue
        with contextlib.suppress(evidence.Missing):
            shares[rung.words] = float(
                np.mean([y.values.mean() for y in evidence.overlaps(store, rung.experiment, level)])
            )
    free = shares.pop("free", None)
    if free is None or not shares:
        return
    ways = "; ".join(
        f"*{words}* {share:.1f} %, {100 * (share - free) / (100 - free):.0f} % of the way from there to equal tickets"
        for words, share in shares.items()
    )
    markdown(
        f"**Measured here.** At {level} % pruned, on average over the layers, two tickets of one initialisation share "
        f"{free:.1f} % of a mask where the batch order is *free*; {ways}."
    )


def _reach(values: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the least and the largest of all values of all rungs, so that these have one scale."""
    joined = np.concatenate([part.ravel() for part in values])
    return float(joined.min()), float(joined.max())


def _show_rungs(
    draw: Callable[[str], tuple[Figure, str]],
    words: Sequence[str],
    own: str,
    name: str,
    caption: str,
    alt: str,
    origin: Sequence[Source],
    view: View,
) -> None:
    """Show a figure on several rungs, each on a tab, the paper's first if it is there; on one alone without tabs."""
    if len(words) == 1:
        said = " ".join(draw(words[0])[1].split())
        show(lambda: draw(words[0])[0], name, f"{caption} Only *{words[0]}* is trained. {said}", alt, origin, view)
        return
    labels = {w: f"{w} (the paper's)" if w == own else w for w in words}
    first = own if own in words else words[0]
    show_levels(draw, labels, first, name, caption, alt, origin, "What the runs share", view)


def _on_a_rung(figure: str) -> str:
    """Return how the caption of a figure of the paper begins that has a tab for each rung."""
    return f"The paper's Figure {figure} on a rung of the {{term}}`ladder of randomness`, which is what the runs share"


# Of what is measured layer by layer: its words, and what a dot is.
_KINDS: dict[type, tuple[str, str]] = {
    evidence.LayerOverlap: ("overlap of two masks (% of the mask)", "a pair of tickets"),
    evidence.LayerCorrelation: ("rank correlation of initial and final weights", "a ticket"),
    evidence.LayerShare: ("share", "an initialisation"),
}


# Of what is measured on new initial weights: what a dot is there.
_PAIR = "Here a value is of the pairs of tickets of two initialisations, not of one."
_ACROSS: dict[type, str] = {
    evidence.LayerOverlap: f"Here a dot is a pair across initialisations: {pages_a.MARK_ACROSS}.",
    evidence.LayerCorrelation: "Here the initial weights are those of the next initialisation, and the shade tells "
    "that of the ticket.",
    evidence.LayerShare: "Here a value is of several tickets, one of each initialisation, not of one initialisation.",
}


_SHARES = {
    "4a": pages_a.SHARED.axis,
    "4b": pages_a.UNUSED.axis,
    "11": pages_a.significant(0.95).axis,
}


def ladder_figure(
    store: Store, key: str, network: str, readings: Mapping[str, str], name: str, partner: str = ""
) -> None:
    """Show how far every rung is from what the paper's text says of a figure, at every level it can be read at.

    Where no rung is trained, nothing is shown: `ladder_strips` says what is missing.

    Parameters
    ----------
    store : Store
    key, network, partner : str
        As for `ladder_strips`.
    readings : mapping of str to str
        How the figure's level is read, in words, to its name, as `paper_a.Panel` has it.
    name : str
    """
    rungs = ladder.rungs(network, partner)
    trained_on = pages.network_words(rungs[0].experiment, rungs[0].partner)
    stated, countings = _stated_levels(key, rungs[0].experiment), _countings(key, rungs[0].experiment)
    read = {words: ladder.fits(store, key, network, stated, partner, start) for words, start in countings.items()}
    found = next(iter(read.values()))
    there = {fit.rung.words for fit in found if not fit.missing}
    title = f"Which tickets the numbers of the paper's Figure {_figure(key)} fit"
    if len(there) < 2:  # none is nearer than another
        if there:
            markdown(pages.missing_panel(title, next(fit.missing for fit in found if fit.missing)))
        return
    levels = list(dict.fromkeys(fit.level for fit in found))
    marks, unit = pages.marks(readings), _unit(key)
    columns = [f"{v} %\n{marks[v]}" if v in marks else f"{v} %" for v in levels]
    close = {words: np.zeros((len(rungs), len(levels)), bool) for words in read}
    which = {}
    for words, fits in read.items():
        nearest = {}
        for column, level in enumerate(levels):
            own = [fit for fit in fits if fit.level == level]
            if sum(not fit.missing for fit in own) > 1:  # else none is nearer than another
                equal, others = ladder.nearest(own)
                close[words][:, column] = [fit in others for fit in own]
                shared = ", ".join(fit.rung.words for fit in equal)
                nearest[level] = f"{shared} at {level} % pruned ({equal[0].distance:.3g})"
        if any(level in marks for level in levels):
            nearest = {level: said for level, said in nearest.items() if level in marks}
        counted = f", {words}" * bool(words)
        which[words] = (
            f"Nearest{counted}: {'; '.join(nearest.values())}." if nearest else "Which is nearest is not known yet."
        )

    def draw(words: str) -> tuple[Figure, str]:
        distances = np.array([fit.distance for fit in read[words]]).reshape(len(levels), len(rungs)).T
        drawn = figures.ladder_grid(
            [rung.words for rung in rungs], columns, distances, f"distance ({unit})", close[words]
        )
        return drawn, which[words]

    dashed = ", dashed those not told apart from it" * any(marked.any() for marked in close.values())
    caption = (
        f"{title}, {trained_on}: the distance between what its text says and what tickets show, one row a rung (what "
        f"the runs share), one column a level, in {unit}, mean of the layers; zero would be agreement in every "
        f"number. Framed: the nearest rung at each level{dashed}. "
        f"{_hatched([lack for fit in found for lack in fit.missing])}{' '.join(dict.fromkeys(which.values()))}"
    )
    alt, origin = (
        "A table in colours of distances by rung and level.",
        pages.origin(store, _experiments(rungs, there), "A"),
    )
    first = next(iter(read))
    if len(read) > 1:
        show_levels(draw, {words: words for words in read}, first, name, caption, alt, origin, "The paper's numbers")
    else:
        show(lambda: draw(first)[0], name, caption, f"{alt} {which[first]}", origin)


def ladder_table(
    store: Store, key: str, network: str, readings: Mapping[str, str], name: str, partner: str = ""
) -> None:
    """Show which rung fits a figure of the paper best, with intervals and layer by layer, at every reading.

    Parameters are those of `ladder_figure`; nothing is shown where it shows nothing.
    """
    rungs, figure, unit, own = ladder.rungs(network, partner), _figure(key), _unit(key), ladder.own_rung(key)
    trained_on = pages.network_words(rungs[0].experiment, rungs[0].partner)
    countings = _countings(key, rungs[0].experiment)
    rows: list[tuple[list[str], ladder.Fit, int]] = []
    sentences: list[str] = []
    lacking: dict[str, Sequence[claims.Lack]] = {}
    trained: list[str] = []
    known = [level.name for level in find(rungs[0].experiment).levels]
    for (reading, level), (counted, start) in itertools.product(readings.items(), countings.items()):
        if level not in known:
            continue  # the network that the paper speaks of has it, this one does not
        found = ladder.fits(store, key, network, [level], partner, start)
        lacking |= {f.rung.words: f.missing for f in found if f.missing}
        there = [f for f in found if not f.missing]
        if not there:
            continue
        equal, others = ladder.nearest(found)
        trained += [f.rung.words for f in there]
        # Distances of one initialisation each are not told apart however far they are.
        alike = all(np.isnan(f.low) for f in [equal[0], *others])
        why = ", all of one initialisation, which has no interval" if alike else ""
        also = f"; not told apart: {', '.join(f'*{f.rung.words}*' for f in others)}{why}" if others else ""
        alone = len(there) == 1
        read = f"Read at the {reading}{f', {counted}' if counted else ''}, the numbers of Figure {figure} lie"
        sentences.append(
            f"{read} {_with_interval(equal[0])} {unit} from tickets "
            f"of *{equal[0].rung.words}*, the only rung that is trained: which one is nearest is not known."
            if alone
            else f"{read} nearest to tickets of "
            f"{', '.join(f'**{f.rung.words}**' for f in equal)}, {_with_interval(equal[0])} {unit} away{also}."
        )
        sentences += [
            f"Tickets of the paper's own setting, *{own}*, are {_with_interval(f)} away."
            for f in there
            if f.rung.words == own and f not in equal
        ]
        rows += [
            (
                [
                    f"{level} %",
                    *([counted.rpartition(" ")[2]] if counted else []),
                    f"**{f.rung.words}**" if f in equal and not alone else f.rung.words,
                    _with_interval(f),
                ],
                f,
                start,
            )
            for f in there
        ]
    if rows:
        markdown(f"**Measured.** {' '.join(sentences)}")
        both = len(countings) > 1
        of_all = {y for _, f, _ in rows for y in f.by_layer}  # the text may speak of other layers at another level
        layers = [y.name for y in find(rungs[0].experiment).architecture.layers if y.name in of_all]
        numbers = sorted({number for s in ladder.statements(key) for number in (*s.layers, *s.but)})
        if both:
            heads = [*(f"layer {number}" for number in numbers), "all others"]
            cells = [_by_number(f, numbers, start) for _, f, start in rows]
        elif len(layers) > _MOST_COLUMNS:
            heads, cells = ["least of a layer", "most"], [[*_ends(f.by_layer.values())] for _, f, _ in rows]
        else:
            heads, cells = layers, [[f.by_layer.get(y, np.nan) for y in layers] for _, f, _ in rows]
        kept = [k for k in range(len(heads)) if not np.isnan([row[k] for row in cells]).all()]
        table(
            ["pruned", *["layers from"] * both, "what the runs share", "distance (95 %)", *(heads[k] for k in kept)],
            [
                [*row, *("–" if np.isnan(own[k]) else f"{own[k]:.3g}" for k in kept)]
                for (row, *_), own in zip(rows, cells, strict=True)
            ],
            name,
            f"Distance of each rung of the ladder of randomness, {trained_on}, "
            f"from what the paper's text says of its Figure {figure} {{cite:p}}`grosse2020`, in {unit}: mean of the "
            "layers with its 95 % interval (bootstrap over initialisations), and "
            f"{'layer by layer' if both or heads == layers else 'the least and the most of its layers'}"
            f"{_BY_NUMBER * both}. "
            "The nearest at each reading is bold.",
            pages.origin(store, _experiments(rungs, trained), "A"),
        )
        _name_missing(lacking, ladder.unspecified(network, partner))


_MOST_COLUMNS = 8  # of layers, for which a page has room
_BY_NUMBER = ", by the paper's numbers, which may count from one or from zero"


def _countings(key: str, experiment: str) -> Mapping[str, int]:
    """Return from where the numbers of layers in a figure's text may be counted, in words; '' where that is clear."""
    numbered = any(statement.layers or statement.but for statement in ladder.statements(key))
    resnet = find(experiment).architecture == find(paper_a.RESNET).architecture
    return paper_a.COUNTED if numbered and resnet else {"": 1}


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and the largest; NaN of none."""
    there = list(values)
    return (min(there), max(there)) if there else (np.nan, np.nan)


def _by_number(fit: ladder.Fit, numbers: Sequence[int], start: int) -> list[float]:
    """Return the distances of the layers of some numbers, and the mean of the others; NaN where nothing is stated."""
    counted = [layer.name for layer in find(fit.rung.experiment).architecture.layers if not layer.linear]
    named = [counted[number - start] for number in numbers]
    others = [value for layer, value in fit.by_layer.items() if layer not in named]
    return [*(fit.by_layer.get(layer, np.nan) for layer in named), float(np.mean(others)) if others else np.nan]


def ladder_violins(store: Store, network: str, measure: str, name: str, figure: str) -> None:
    """Show how alike outputs are on every rung, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    network : str
        As for `ladder.rungs`.
    measure : str
        One of `evidence.MEASURES`.
    name : str
    figure : str
        Of the paper, such as '6'.
    """
    every = [rung for rung in ladder.rungs(network) if not rung.across]
    rungs = [rung for rung in every if find(rung.experiment).inits > 1]
    trained_on = pages.network_words(rungs[0].experiment)
    ready: dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    lacking: list[Sequence[claims.Lack]] = []
    for rung in rungs:
        try:
            ready[rung.words] = evidence.similarities_by_level(store, rung.experiment, measure)
        except evidence.Missing as missing:
            lacking.append(missing.lacks)
    title = f"The paper's Figure {figure} on every rung"
    if not ready:
        markdown(pages.missing_panel(title, lacking[0]))
        return
    label = pages_a.measure_label(measure)
    reach = _reach(y for by_level in ready.values() for both in by_level.values() for y in both)

    def draw(words: str) -> tuple[Figure, str]:
        within, across = ({v: both[side] for v, both in ready[words].items()} for side in (0, 1))
        means = ", ".join(f"{pages_a.at(v)}: {within[v].mean():.3f} and {across[v].mean():.3f}" for v in within)
        drawn = figures.similarity_violins(within, across, label, reach, pages_a.equal_outputs(measure))
        return drawn, f"Means within and across, {words}: {means}."

    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(f"A-F{figure}"),
        name,
        f"{_on_a_rung(figure)}: {label}, {trained_on}; pairs within an initialisation on the left, of different "
        f"initialisations, which share nothing on any rung, on the right, a line at the median. {pages_a.EQUAL}."
        f"{' Two runs with everything fixed have equal outputs, and are left out.' if rungs != every else ''}",
        f"The {label} of pairs of tickets by level, within initialisations and across.",
        pages.origin(store, _experiments(rungs, ready), "A"),
        View(f"rungs: {label}", trained_on),
    )


def ladder_accuracies(store: Store, network: str, name: str, figure: str) -> None:
    """Show accuracies by level on every rung, or what stands in the place of that figure.

    Parameters are those of `ladder_violins`.
    """
    rungs = [rung for rung in ladder.rungs(network) if not rung.across]
    trained_on = pages.network_words(rungs[0].experiment)
    ready = {}
    for rung in rungs:
        with contextlib.suppress(evidence.Missing):
            ready[rung.words] = evidence.accuracies(store, rung.experiment)
    title = f"The paper's Figure {figure} on every rung"
    if not ready:
        markdown(pages.missing_panel(title, [claims.Lack(rungs[0].experiment)]))
        return

    reach = _reach(values for by_level in ready.values() for values in by_level.values())

    def draw(words: str) -> tuple[Figure, str]:
        means = ", ".join(f"{pages_a.at(v)}: {values.mean():.2f} %" for v, values in ready[words].items())
        return figures.accuracy_lines(ready[words], reach), f"Means, {words}: {means}."

    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(f"A-F{figure}"),
        name,
        f"{_on_a_rung(figure)}: test accuracy by weights pruned, {trained_on}; one line a run, one shade an "
        "initialisation, black the mean.",
        "Lines of test accuracy over the fraction of pruned weights, one for each run.",
        pages.origin(store, _experiments(rungs, ready)),
        View("rungs: accuracy", trained_on),
    )


def ladder_gains(store: Store, network: str, name: str) -> None:
    """Show on every rung by how much tickets are more accurate than those with a free batch order.

    The paper gives an order and no numbers: more accurate when randomness is partly fixed. Nothing is shown where
    tickets with a free order, or all others, are missing: `gain_table` says so.

    Parameters are those of `ladder_outputs`.
    """
    rungs = [rung for rung in ladder.rungs(network) if not rung.across and rung.words != "free"]
    trained_on = pages.network_words(rungs[0].experiment)
    levels = [level.name for level in find(rungs[0].experiment).levels]
    columns: dict[str, list[str]] = {}
    for rung in rungs:
        try:
            gains = evidence.accuracy_gains(store, rung.experiment, f"{network}/free")
        except evidence.Missing:
            continue
        cells = [
            f"{gains[v].difference:+.2f}{'' if np.isnan(gains[v].low) else f'<br>({gains[v].interval})'}"
            if v in gains
            else "–"
            for v in levels
        ]
        clear = sum(g.low > 0 for g in gains.values()), sum(g.high < 0 for g in gains.values())
        higher = sum(g.difference > 0 for g in gains.values())
        columns[rung.words] = [*cells, f"{higher} of {len(gains)}", f"{clear[0]}; {clear[1]}"]
    if columns:
        labels = [*map(pages_a.at, levels), "levels higher than free", "clearly higher; lower"]
        table(
            ["pruned", *columns],
            list(zip(labels, *columns.values(), strict=True)),
            name,
            f"Mean test accuracy of {trained_on} less that of tickets with a free batch order from the same initial "
            "weights, in points, one column a rung (what the runs share), with 95 % intervals (bootstrap over "
            "initialisations; of a single one there is none). *Clearly*: zero lies outside of the interval. The paper "
            "says that partly fixed tickets are more accurate {cite:p}`grosse2020`.",
            pages.origin(store, [f"{network}/free", *_experiments(rungs, columns)]),
        )


def ladder_outputs(store: Store, network: str, measure: str, name: str) -> None:
    """Show on every rung whether outputs are closer within an initialisation than across.

    The paper gives an order and no numbers: closer across in its Figures 6 and 9, closer within in its Figure 15. Where
    no rung is trained, nothing is shown: `ladder_violins` says what is missing.

    Parameters are those of `ladder_figure` and `similarity_panel`.
    """
    rungs = ladder.rungs(network)
    trained_on = pages.network_words(rungs[0].experiment)
    levels = [level.name for level in find(rungs[0].experiment).levels[1:]]
    found = ladder.output_gaps(store, network, levels, measure)
    words = {rung.experiment: rung.words for rung in rungs if not rung.across}
    columns: dict[str, list[str]] = {}
    lacking: dict[str, Sequence[claims.Lack]] = {}
    for experiment in dict.fromkeys(gap.experiment for gap in found):
        own = [gap for gap in found if gap.experiment == experiment]
        lacking |= {words[g.experiment]: g.missing for g in own if g.missing}
        there = [gap for gap in own if not gap.missing]
        if there:
            columns[words[experiment]] = [
                *("–" if g.missing else f"{g.gap:+.3f}<br>({g.low:+.3f} to {g.high:+.3f})" for g in own),
                f"{sum(g.gap < 0 for g in there)} of {len(there)}",
                f"{sum(g.gap > 0 for g in there)} of {len(there)}",
            ]
    if columns:
        labels = [*map(pages_a.at, levels), "levels closer across", "levels closer within"]
        table(
            ["pruned", *columns],
            list(zip(labels, *columns.values(), strict=True)),
            name,
            f"By how much outputs of one initialisation are closer than those of different ones, {trained_on}, "
            f"{pages_a.measure_label(measure)}{', distance turned round' if measure == 'L2' else ''}, one column a "
            "rung (what the runs share), with 95 % intervals (bootstrap over initialisations). The paper says *closer "
            "across* in its Figures 6 and 9 (free) and *closer within* in its Figure 15 (partial) "
            "{cite:p}`grosse2020`.",
            pages.origin(store, _experiments(rungs, columns)),
        )
        _name_missing(lacking, ladder.unspecified(network))


def _hatched(lacks: Sequence[claims.Lack]) -> str:
    """Return the sentence that says why fields of a grid are hatched; '' if none is."""
    untrained = any(not lack.beyond and not lack.such for lack in lacks)
    few = any(lack.beyond for lack in lacks)
    why = ["not trained yet"] * untrained + ["one initialisation alone where two are needed"] * few
    why += dict.fromkeys(f"no ticket {lack.such}" for lack in lacks if lack.such)
    return f"Hatched: {', or '.join(why)}. " if why else ""


def _name_missing(lacking: Mapping[str, Sequence[claims.Lack]], unspecified: Sequence[str]) -> None:
    """Say which rungs are not trained, and how they are, and which are not specified."""
    sentences = []
    if lacking:
        names = dict.fromkeys(lack.experiment for lacks in lacking.values() for lack in lacks)
        commands = ", ".join(f"`python -m lib train {name}`" for name in names)
        # A rung that lacks a level alone is shown at the others.
        details = {words: dict.fromkeys(lack.detail for lack in lacks) for words, lacks in lacking.items()}
        rungs = ", ".join(words + " and".join(own) * ("" not in own) for words, own in details.items())
        sentences.append(f"Rungs that are not trained yet: {rungs}. To train them: {commands}.")
    if unspecified:
        sentences.append(f"Rungs that are not specified for this network: {', '.join(unspecified)}.")
    if sentences:
        markdown(f"*{' '.join(sentences)}*")


def _stated_levels(key: str, experiment: str) -> list[str]:
    """Return the levels at which a figure's numbers can be held against tickets."""
    own = {statement.level for statement in ladder.statements(key)}
    levels = [level.name for level in find(experiment).levels[1:]]
    return levels if own == {""} else [level for level in levels if level in own]


def _figure(key: str) -> str:
    return key.removeprefix("A-F").partition("-")[0]


def _unit(key: str) -> str:
    return "units of the correlation" if _figure(key)[:-1] in ("5", "12") else "percentage points"


def _with_interval(fit: ladder.Fit) -> str:
    return f"{fit.distance:.3g} ({interval_words(fit.low, fit.high, '.3g')})"


def _experiments(rungs: Sequence[ladder.Rung], words: Iterable[str]) -> list[str]:
    """Return the names of the experiments of some rungs."""
    chosen = set(words)
    return [name for rung in rungs if rung.words in chosen for name in (rung.experiment, rung.partner) if name]
