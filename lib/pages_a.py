"""Figures and tables of paper A's chapters."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lib import (
    claims,
    evidence,
    figures,
    ladder,
    pages,
    paper_a,
    sources,
    statistics,
)
from lib.experiments import find
from lib.notebook import View, markdown, show, show_levels, table
from lib.pruning import kept_counts
from lib.sources import Source
from lib.tickets import TEST_LOGITS, Store, contents


def overlap_panel(
    store: Store, panel: paper_a.Panel, level: str, name: str, what: str, layers: str = "all", key: str = ""
) -> None:
    """Show the overlaps of an experiment's masks, level by level, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    panel : paper_a.Panel
        Which experiment, and which pairs.
    level : str
        Name of the level that is shown first.
    name : str
        By which the text refers to the figure.
    what : str
        Which figure of the paper this is, such as "the paper's Figure 8a".
    layers : str
        'all', or names with commas between.
    key : str
        Of the panel in `paper_a.PANELS`, to draw what the paper's text says of each layer; '' for none.
    """
    pairs = "one initialisation" if panel.within else "different initialisations"
    try:
        evidence.overlaps(store, panel.experiment, level, panel.within)
    except evidence.Missing as missing:  # not trained, or with one initialisation alone
        markdown(pages.missing_panel(_title(what, panel.experiment), missing.lacks))
        return
    ranges, other = (paper_a.paper_ranges(key, panel.experiment, start) for start in (1, 0))

    def draw(level: str) -> tuple[Figure, str]:
        chosen = chosen_layers(panel.experiment, layers)
        measured = [y for y in evidence.overlaps(store, panel.experiment, level, panel.within) if y.layer in chosen]
        means = ", ".join(f"{y.layer} {y.values.mean():.1f} % (chance {y.expected:.1f} %)" for y in measured)
        drawn = figures.overlap_strips(measured, ranges, other)
        lost = _left_out(panel.experiment, level, chosen)
        return drawn, f"Means of {len(measured[0].values)} pairs at {level} % pruned: {means}.{lost}"

    _levels_panel(
        store,
        panel,
        level,
        draw,
        name,
        what,
        f"Overlap of the masks of two tickets of {pairs}, in % of a mask; {what}: "
        f"{tickets_of(panel.experiment)}. A row is a layer with the weights that a mask keeps; a dot is one of "
        f"{_pairs(store, panel)} pairs, {_MARK if panel.within else MARK_ACROSS}. {_CHANCE}"
        f"{_orange(panel.experiment, bool(ranges))}",
        "Dots over a grey chance distribution, one row a layer, overlap in percent of the mask.",
        pages.origin(store, [panel.experiment], "A" if ranges else ""),
        View(f"overlaps of {pairs}", tickets_of(panel.experiment)),
    )


_SHARED = {"free": "batch order free", "partial": "partly fixed", "fixed": "all fixed"}


def tickets_of(experiment: str) -> str:
    """Return which network on which images an experiment's tickets are of, and what its runs share, in words."""
    rung = experiment.rpartition("/")[2]
    return f"{pages.network_words(experiment)}, {_SHARED.get(rung, rung)}"


def _pairs(store: Store, panel: paper_a.Panel) -> int:
    """Return how many pairs of tickets a panel compares."""
    experiment = store.find(panel.experiment)
    inits, runs = experiment.inits, experiment.runs
    return inits * math.comb(runs, 2) if panel.within else math.comb(inits, 2) * runs**2


def at(level: str) -> str:
    """Return how a level is named, such as '80 %'."""
    return level if level == "dense" else f"{level} %"


# What a dot's shade and height say.
_MARK = "its shade and height tell the initialisation"
MARK_ACROSS = "its shade tells the lower-numbered of its two initialisations, its height which two they are"
_CHANCE = "Grey: the distribution that chance gives (hypergeometric); dashed: its mean."


def _orange(experiment: str, said: bool, both: bool = True) -> str:
    """Return the sentences of a caption on what the paper says, and on the ways to count layers, both drawn or one."""
    if find(experiment).architecture != find(paper_a.RESNET).architecture:
        return " Orange: what the paper's text says of the layer." if said else ""
    counted = [
        f"{words} these are {', '.join(paper_a.layer_readings(experiment, n)[words] for n in paper_a.PLOTTED)}"
        for words in paper_a.COUNTED
    ]
    numbers = ", ".join(map(str, paper_a.PLOTTED))
    ways = "thick for the first way to count, thin for the second" if both else "for the first way to count"
    orange = f" Orange: what the paper's text says, {ways}." if said else ""
    return f" The paper shows layers {numbers}: with {'; with '.join(counted)}.{orange}"


def _title(what: str, experiment: str) -> str:
    """Return how a figure is called where its tickets are missing."""
    return f"{_capital(what)}, {pages.network_words(experiment)}"


def _levels_panel(
    store: Store,
    panel: paper_a.Panel,
    level: str,
    draw: Callable[[str], tuple[Figure, str]],
    name: str,
    what: str,
    caption: str,
    alt: str,
    origin: Sequence[Source],
    view: View,
    without: Sequence[str] = (),
) -> None:
    """Show a figure at every level trained but some, `level` first, or what stands in its place if that is missing."""
    try:
        evidence.record(store, panel.experiment, level)
    except evidence.Missing as missing:
        markdown(pages.missing_panel(_title(what, panel.experiment), missing.lacks))
        return
    marks = pages.marks(panel.levels)
    labels = {
        v.name: f"{v.name} %, {marks[v.name]}" if v.name in marks else f"{v.name} %"
        for v in store.finished(store.find(panel.experiment))[1:]
        if v.name not in without
    }
    show_levels(draw, labels, level, name, caption, alt, origin, view=view)


def chosen_layers(experiment: str, layers: str) -> list[str]:
    """Return the layers that a figure shows: those named, or all; of the ResNet those that the paper may mean."""
    return paper_a.plotted_layers(experiment) if layers == "all" else evidence.choose_layers(experiment, layers)


def _left_out(experiment: str, level: str, chosen: Sequence[str], least: int = 1) -> str:
    """Return the sentence about layers that keep fewer weights than can be measured, for a caption; '' if none does."""
    lost = [layer for layer in evidence.left_out(experiment, level, least) if layer in chosen]
    few = "no weight" if least == 1 else f"fewer than {least} weights"
    return f" Left out, as they keep {few} at {level} %: {', '.join(lost)}." if lost else ""


def task_panel(store: Store, panel: paper_a.Panel, level: str, name: str, what: str, key: str = "") -> None:
    """Show the overlaps of tickets trained on different images, or what stands in the place of that figure.

    Parameters are those of `overlap_panel`; a partner of the panel that is not trained is left out and named.
    """
    ranges = paper_a.paper_ranges(key, panel.experiment)
    order = [layer.name for layer in find(panel.experiment).architecture.layers]
    partners = []
    for partner in panel.partners:
        try:
            evidence.task_overlaps(store, panel.experiment, partner, level)
        except evidence.Missing as missing:
            markdown(pages.missing_panel(f"{_capital(what)}, with {pages.images_words(partner)}", missing.lacks))
        else:
            partners.append(partner)
    if not partners:
        return

    def draw(level: str) -> tuple[Figure, str]:
        rows = {}
        for layer in order:
            for partner in partners:
                for y in evidence.task_overlaps(store, panel.experiment, partner, level):
                    if y.layer == layer:
                        row = layer, pages.images_words(partner)
                        rows[row] = dataclasses.replace(y, layer="\n".join(row))
        paper = {y.layer: ranges[layer] for (layer, _), y in rows.items() if layer in ranges}
        means = "; ".join(
            f"{layer} with {images} {y.values.mean():.1f} % (chance {y.expected:.1f} %)"
            for (layer, images), y in rows.items()
        )
        drawn = figures.overlap_strips(list(rows.values()), paper)
        return drawn, f"Means of {pairs} pairs at {level} % pruned: {means}."

    pairs = len(evidence.task_overlaps(store, panel.experiment, partners[0], level)[0].values)
    _levels_panel(
        store,
        panel,
        level,
        draw,
        name,
        what,
        f"Overlap of a mask trained on {pages.images_words(panel.experiment)} with one trained on other images from "
        f"the same initial weights, in % of a mask; {what}: {tickets_of(panel.experiment)}. A row is a "
        f"layer and the other images, with the weights that a mask keeps; a dot is one of {pairs} pairs of tickets, "
        f"{_MARK}. {_CHANCE}{_orange(panel.experiment, bool(ranges))}",
        "Dots over a grey chance distribution, one row a layer and data set, overlap in percent of the mask.",
        pages.origin(store, [panel.experiment, *partners], "A" if ranges else ""),
        View("overlaps across images", tickets_of(panel.experiment)),
    )


def gain_table(store: Store, experiment: str, name: str) -> None:
    """Show by how much tickets are more accurate than those with a free batch order, or what stands in its place.

    Parameters are those of `overlap_panel`.
    """
    free = paper_a.FREE[experiment]
    try:
        gains = evidence.accuracy_gains(store, experiment, free)
    except evidence.Missing as missing:
        markdown(pages.missing_panel(f"Accuracies of `{experiment}` beside `{free}`", missing.lacks))
        return
    both = min(store.find(name).inits for name in (experiment, free))
    clear = sum(gain.low > 0 or gain.high < 0 for gain in gains.values())
    certainty = (
        f"with its interval by bootstrap over the {both} initialisations, too short from so few. It leaves out zero at "
        f"{clear} of {len(gains)} levels"
        if both > 1
        else "of one initialisation, and so without an interval"
    )
    table(
        ["pruned", "partly fixed", "free", "difference", "95 % interval"],
        [
            [
                at(level),
                f"{gain.accuracy:.2f} %",
                f"{gain.reference:.2f} %",
                f"{gain.difference:+.2f}",
                gain.interval,
            ]
            for level, gain in gains.items()
        ],
        name,
        f"Mean test accuracy of {pages.network_words(experiment)}, partly fixed and with a free batch order, and the "
        f"difference in points, {certainty}.",
        pages.origin(store, [experiment, free]),
    )


def significance_panel(
    store: Store, experiment: str, probability: float, name: str, what: str, level: str = "all"
) -> None:
    """Show the share of significant overlaps by level and layer, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    experiment, name, what : str
        As for `overlap_panel`.
    level : str
        As for `share_panel`.
    probability : float
        Of the interval of chance.
    """

    share_panel(store, experiment, significant(probability), name, what, level=level)


def significance_table(store: Store, experiment: str, probability: float, repetitions: int, name: str) -> None:
    """Show the share of significant overlaps beside what chance alone gives, or what stands in the place of that table.

    Parameters
    ----------
    store : Store
    experiment, name : str
        As for `overlap_panel`.
    probability : float
        Of the interval of chance.
    repetitions : int
        How many pairs of masks are drawn for each layer and level.
    """
    rows = []
    try:
        levels = list(paper_a.significant_shares(store, experiment, probability))
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Significant overlaps beside chance", missing.lacks))
        return
    for level in levels:
        within = evidence.significance(store, experiment, level, probability)
        values = np.mean([y.values for y in within], axis=0)
        low, high, others = np.nan, np.nan, "–"
        if len(values) > 1:
            low, high = statistics.bootstrap_over_inits([[value] for value in values])
            across = evidence.significance(store, experiment, level, probability, within=False)
            others = f"{np.mean([y.values.mean() for y in across]):.1f} %"
        drawn = evidence.drawn_significance(experiment, level, probability, repetitions)
        rows.append(
            [
                f"{level} %",
                f"{values.mean():.1f} % ({statistics.interval_words(low, high, '.0f')})",
                others,
                f"{np.mean([y.expected for y in within]):.1f} %",
                f"{drawn:.1f} %",
            ]
        )
    table(
        ["pruned", "one initialisation", "different ones", "chance, exact", "chance, simulated"],
        rows,
        name,
        f"Share of pairs whose overlap lies outside the central {100 * probability:g} % of chance, mean of all layers, "
        f"{tickets_of(experiment)}: "
        "tickets of one initialisation (with its interval by bootstrap over initialisations), tickets of different "
        f"ones, and random masks, exactly and in {repetitions:,} drawn pairs a layer.",
        [*pages.origin(store, [experiment]), sources.COMPUTED],
    )


def correlation_table(store: Store, experiments: Sequence[str], level: str, name: str) -> None:
    """Show the rank correlations of several experiments side by side, or what stands in the place of that table.

    Parameters
    ----------
    store : Store
    experiments : sequence of str
        Of the same network.
    level, name : str
        As for `overlap_panel`.
    """
    try:
        found = [evidence.rank_correlations(store, experiment, level) for experiment in experiments]
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Rank correlations side by side", missing.lacks))
        return

    table(
        ["layer", *(f"`{experiment}`" for experiment in experiments), "null deviation"],
        [
            [row[0].layer, *(pages.mean_interval(y.values, y.init, 2) for y in row), f"{row[0].null:.3f}"]
            for row in zip(*found, strict=True)
        ],
        name,
        f"Mean rank correlation of initial and final weights (signed, of survivors) at {level} % pruned, "
        f"{pages.network_words(experiments[0])}, with its 95 % interval by bootstrap over initialisations; and the "
        "standard deviation of one ticket's correlation under no relationship.",
        pages.origin(store, experiments),
    )


def ranking_table(store: Store, experiment: str, level: str, name: str) -> None:
    """Show the rank correlations under each reading of what is ranked, beside their spread by chance.

    Parameters are those of `overlap_panel`.
    """
    readings = [(of, over) for over in ("survivors", "all") for of in ("signed", "magnitude")]
    try:
        found = [evidence.rank_correlations(store, experiment, level, of, over) for of, over in readings]
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Rank correlations under each reading", missing.lacks))
        return
    table(
        ["layer", "signed, survivors", "magnitude, survivors", "null", "signed, all", "magnitude, all", "null"],
        [
            [
                row[0].layer,
                *(pages.mean_interval(y.values, y.init, 2) for y in row[:2]),
                f"{row[0].null:.3f}",
                *(pages.mean_interval(y.values, y.init, 2) for y in row[2:]),
                f"{row[2].null:.3f}",
            ]
            for row in zip(*found, strict=True)
        ],
        name,
        f"Mean rank correlation of initial and final weights at {level} % pruned, {tickets_of(experiment)}, with its "
        "95 % interval by bootstrap over initialisations: of signed weights or of magnitudes, over the survivors or "
        "over all weights of the layer (pruned ones end as zero). *Null*: the standard deviation of one ticket's "
        "correlation under no relationship.",
        pages.origin(store, [experiment]),
    )


def task_table(store: Store, levels: Sequence[str], name: str) -> None:
    """Show overlaps of Fashion-MNIST with CIFAR-10, of free and of partly fixed tickets, or what stands in its place.

    Parameters are those of `overlap_panel`.
    """
    pairs = {"free": (paper_a.FASHION, paper_a.CIFAR), "partly fixed": (paper_a.FASHION_PARTIAL, paper_a.CIFAR_PARTIAL)}
    try:
        found = {
            (words, level): evidence.task_overlaps(store, *pair, level)
            for words, pair in pairs.items()
            for level in levels
        }
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Overlaps across data sets, free and partly fixed", missing.lacks))
        return

    table(
        ["pruned", "layer", "chance", *pairs],
        [
            [
                f"{level} %",
                row[0].layer,
                f"{row[0].expected:.1f}",
                *(pages.mean_interval(y.values, y.first, 1) for y in row),
            ]
            for level in levels
            for row in zip(*(found[which, level] for which in pairs), strict=True)
        ],
        name,
        "Mean overlap of tickets of Fashion-MNIST and CIFAR-10 from the same initial weights, in % of the mask, free "
        "and partly fixed randomness; in brackets the 95 % interval by bootstrap over initialisations.",
        pages.origin(store, [experiment for pair in pairs.values() for experiment in pair]),
    )


def symmetry_table(store: Store, experiment: str, name: str) -> None:
    """Show how far any two masks are from one network with its units permuted, or what stands in that table's place.

    Parameters are those of `overlap_panel`.
    """
    try:
        evidence.accuracies(store, experiment)  # raises if nothing is trained
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Two masks, up to a permutation of units", missing.lacks))
        return

    def nearest(level: str, random: bool) -> str:
        return "{:,} of {:,}".format(*paper_a.fewest_other_degrees(store, experiment, level, random))

    levels = [level.name for level in store.finished(store.find(experiment))][1:]
    table(
        ["pruned", "units that keep other numbers of inputs, any two masks", "of as many random masks"],
        [[f"{level} %", *(nearest(level, random) for random in (False, True))] for level in levels],
        name,
        f"In how many units any two masks, {tickets_of(experiment)}, differ at least by the number of inputs that they "
        "keep, however the units of each layer are matched; 0 could be the same network up to a permutation of "
        "hidden units, more cannot. All pairs of tickets; beside them all pairs of as many masks that keep as many "
        "weights of every layer at random places.",
        pages.origin(store, [experiment]),
    )


def overlap_brief(store: Store, *panels: paper_a.Panel) -> None:
    """Show in a sentence for each level how far the overlaps of some panels are from chance; nothing if not trained."""
    sentences = []
    for panel in panels:
        pairs = "one initialisation" if panel.within else "different initialisations"
        for level in dict.fromkeys(panel.levels.values()):
            try:
                layers = evidence.overlaps(store, panel.experiment, level, panel.within)
            except evidence.Missing:
                continue
            fits = sum(claims.matches_chance(evidence.chance_group(layer)) for layer in layers)
            most = max(layers, key=lambda layer: layer.values.mean() - layer.expected)
            least = min(layers, key=lambda layer: layer.values.mean() - layer.expected)
            sentences.append(
                f"At {level} % pruned the overlaps of tickets of {pairs} are as by chance in {fits} of {len(layers)} "
                f"layers; where chance gives {most.expected:.0f} %, they share between {least.values.mean():.1f} % "
                f"(`{least.layer}`) and {most.values.mean():.1f} % (`{most.layer}`) of a mask on average."
            )
    if sentences:
        markdown(f"**Measured here.** {' '.join(sentences)}")


def excess_table(store: Store, experiment: str, name: str) -> None:
    """Show how far the overlaps of every level and layer are from chance, or what stands in the place of that table.

    Parameters are those of `overlap_panel`.
    """
    rows = []
    for level in (v.name for v in store.finished(store.find(experiment)) if v.name != "dense"):
        for layer in evidence.overlaps(store, experiment, level):
            outside = 100 * ((layer.values < layer.low) | (layer.values > layer.high)).mean()
            rows.append(
                [
                    f"{level} %",
                    layer.layer,
                    f"{layer.expected:.1f} ({layer.low:.1f} to {layer.high:.1f})",
                    pages.mean_interval(layer.values, layer.first, 1),
                    f"{layer.values.min():.1f} to {layer.values.max():.1f}",
                    f"{outside:.0f} %",
                ]
            )
    if not rows:
        markdown(pages.missing_panel("Overlaps at every level", [claims.Lack(experiment)]))
        return
    table(
        ["pruned", "layer", "chance: mean (95 %)", "measured: mean (95 %)", "smallest to largest", "outside of chance"],
        rows,
        name,
        f"Overlaps of the {len(layer.values)} pairs within an initialisation, in % of the mask, at every level that is "
        f"trained, {tickets_of(experiment)}. Of chance the central 95 % of single pairs, of the measured mean its 95 "
        "% interval by bootstrap over "
        "initialisations.",
        sources.tickets(store, experiment),
    )


# What hangs on settings that paper A does not give: by experiment, what is other than in the first.
SETTINGS = {
    paper_a.FASHION: "as in this book",
    "a/fashion-lenet/sgd": "SGD in place of Adam",
    "a/fashion-lenet/slow": "a lower learning rate",
    "a/fashion-lenet/fast": "a higher learning rate",
    "a/fashion-lenet/standardised": "standardised pixels",
}


def sensitivity_table(store: Store, name: str) -> None:
    """Show overlaps of tickets that were trained with other settings, beside those of this book, and chance.

    Says in a sentence how far they are apart, at each pruned level that all of these experiments have, and which are
    not trained.

    Parameters
    ----------
    store : Store
    name : str
        As for `overlap_panel`.
    """
    rows, lacking, sentences = [], [], []
    ordered: list[bool] = []
    specified = [[level.name for level in find(experiment).levels[1:]] for experiment in SETTINGS]
    for level in (level for level in specified[0] if all(level in names for names in specified)):
        found: dict[str, list[evidence.LayerOverlap]] = {}
        for experiment in SETTINGS:
            try:
                found[experiment] = evidence.overlaps(store, experiment, level)
            except evidence.Missing:
                lacking.append(experiment)
        for number, (experiment, measured) in enumerate(found.items()):
            if not number:
                rows.append([f"{level} %", "chance", *(f"{y.expected:.1f}" for y in measured)])
            # The interval below its mean: seven columns are narrower so, though a phone still has to scroll them.
            cells = [
                pages.mean_interval(y.values, y.first, 1).replace(" (", "<br>(").replace(" to ", "–") for y in measured
            ]
            rows.append([f"{level} %", f"{SETTINGS[experiment]}{_rate(experiment)}", *cells])
        rates = [found[n] for n in ("a/fashion-lenet/slow", paper_a.FASHION, "a/fashion-lenet/fast") if n in found]
        if len(rates) == 3:
            means = np.array([[y.values.mean() for y in measured] for measured in rates])
            ordered.extend(np.all(np.diff(means, axis=0) < 0, axis=0))
        if paper_a.FASHION in found and len(found) > 1:
            own = found.pop(paper_a.FASHION)
            apart = {
                SETTINGS[n]: max(
                    (float(y.values.mean() - z.values.mean()) for y, z in zip(m, own, strict=True)), key=abs
                )
                for n, m in found.items()
            }
            least = min(float(y.values.mean() - y.expected) for m in found.values() for y in m)
            said = ", ".join(f"{words} by up to {points:+.1f}" for words, points in apart.items())
            sentences.append(
                f"At {level} % pruned the mean overlap of a layer changes with {said} points; with each of these "
                f"settings every layer lies at least {least:.1f} points above chance."
                if least > 0
                else f"At {level} % pruned the mean overlap of a layer changes with {said} points."
            )
    if ordered:
        sentences.append(
            f"In {sum(ordered)} of {len(ordered)} layers and levels tickets share the more, the lower the learning "
            "rate that they were trained with."
        )
    lacking = list(dict.fromkeys(lacking))
    if rows:
        layers = [layer.name for layer in find(paper_a.FASHION).architecture.layers]
        said = "\n".join(f"- {sentence}" for sentence in sentences)
        markdown(said or "None of the other settings is trained yet, so their effect is not known.")
        table(
            ["pruned", "setting", *layers],
            rows,
            name,
            f"Mean overlap of tickets of one initialisation, in % of the mask, {pages.network_words(paper_a.FASHION)}, "
            "when one setting is changed, with its 95 % interval by bootstrap over initialisations. The other settings "
            "have two runs of each.",
            sources.tickets(store, *SETTINGS),
        )
    if lacking:
        title = f"Overlaps with {' and '.join(SETTINGS[experiment] for experiment in lacking)}"
        markdown(pages.missing_panel(title, [claims.Lack(experiment) for experiment in lacking]))


def _rate(name: str) -> str:
    experiment = find(name)
    return f" ({experiment.optimiser}, {experiment.learning_rate:g})"


def counted_table(experiment: str, name: str) -> None:
    """Show which layers the paper may mean by its numbers, and how many weights they keep at every level.

    Parameters are those of `overlap_panel`; nothing needs to be trained.
    """
    network = find(experiment)
    counts = {level.name: kept_counts(network.architecture, level) for level in network.levels[1:]}
    sizes = {layer.name: layer.size for layer in network.architecture.layers}
    rows = [
        [str(number), words.removeprefix("layers counted from "), layer, f"{sizes[layer]:,}"]
        + [f"{kept[layer]:,}" for kept in counts.values()]
        for number in paper_a.PLOTTED
        for words, layer in paper_a.layer_readings(experiment, number).items()
    ]
    last = network.levels[-1].name
    lost, few = evidence.left_out(experiment, last), evidence.left_out(experiment, last, evidence.LEAST_RANKED)
    table(
        ["paper's layer", "counted from", "layer", "weights", *(f"{level} %" for level in counts)],
        rows,
        name,
        f"Layers of `{network.architecture.name}` that the paper's numbers can mean, their weights, and how many they "
        f"keep at each level (percent pruned). Of all {len(sizes)} layers, at {last} %, no weight is kept by "
        f"{', '.join(f'`{y}`' for y in lost) or 'none'}, and fewer than {evidence.LEAST_RANKED} by "
        f"{', '.join(f'`{y}`' for y in few if y not in lost) or 'no other'}.",
        [sources.SPECIFIED],
    )


def origin_table(store: Store, experiment: str, level: str, name: str) -> None:
    """Show what explains the overlap of tickets of one initialisation, or what stands in the place of that table.

    Parameters are those of `overlap_panel`.
    """
    dense = find(experiment).levels[0]
    if "weights" not in contents(find(experiment), dense):
        markdown(
            f"Where the overlap comes from cannot be asked of {tickets_of(experiment)}: it takes the weights of the "
            "dense networks, which the store does not keep of them."
        )
        return
    try:
        origins = evidence.origins(store, experiment, level)
    except evidence.Missing as missing:
        markdown(pages.missing_panel("Where the overlap comes from", missing.lacks))
        return
    table(
        ["layer", "overlap", "chance", "initial magnitudes alone", "learned alike, same start", "other start"],
        [
            [
                o.layer,
                f"{o.overlap:.1f} %",
                f"{o.chance:.1f} %",
                f"{o.from_initial:.1f} %",
                f"{o.updates_within:z.2f}",
                f"{o.updates_across:z.2f}",
            ]
            for o in origins
        ],
        name,
        f"Where the overlap within an initialisation comes from, at {level} % pruned, {tickets_of(experiment)}. "
        "*Initial magnitudes alone*: the "
        "overlap of masks that knew nothing but the rank of each initial magnitude. *Learned alike*: correlation of "
        "what two dense networks learned (final less initial weights), from the same and from other initial weights.",
        pages.origin(store, [experiment]),
    )


def spread_table(store: Store, panel: paper_a.Panel, level: str, name: str) -> None:
    """Show how far the overlaps of a panel scatter, beside chance, or what stands in the place of that table.

    Parameters are those of `overlap_panel`.
    """
    try:
        spreads = evidence.spreads(store, panel.experiment, level, panel.within)
    except evidence.Missing as missing:
        markdown(pages.missing_panel("How far the overlaps scatter", missing.lacks))
        return
    table(
        ["layer", "measured", "chance", "correlation with counts per unit"],
        [[x.layer, f"{x.measured:.2f}", f"{x.chance:.2f}", f"{x.explained:.2f}"] for x in spreads],
        name,
        f"Standard deviation of the overlaps at {level} % pruned, in % of the mask, {tickets_of(panel.experiment)}, "
        "and of chance; and the correlation of the overlaps with those expected from how many weights each unit "
        "keeps.",
        pages.origin(store, [panel.experiment]),
    )


def accuracy_panel(store: Store, experiment: str, name: str, what: str) -> None:
    """Show the accuracies of an experiment by level, or what stands in the place of that figure.

    Parameters are those of `overlap_panel`.
    """
    try:
        accuracy = evidence.accuracies(store, experiment)
    except evidence.Missing as missing:
        markdown(pages.missing_panel(_title(what, experiment), missing.lacks))
        return
    means = ", ".join(
        f"{values.mean():.2f} % {'dense' if level == 'dense' else f'at {level} %'}"
        for level, values in accuracy.items()
    )
    output = find(experiment).architecture.layers[-1].name
    cut = " and ".join(f"{y} %" for y in accuracy if output in evidence.left_out(experiment, y))
    same = f"At {cut} the output layer keeps no weight, and a ticket says the same of every image. " if cut else ""
    show(
        lambda: figures.accuracy_lines(accuracy),
        name,
        f"Test accuracy by weights pruned; {what}: {tickets_of(experiment)}. One line a run, one shade an "
        "initialisation, "
        f"black the mean of all {store.find(experiment).replicas} runs: {means}. {same}"
        "The paper's text states no accuracy.",
        f"Lines of test accuracy over the fraction of pruned weights, one for each run. Means: {means}.",
        pages.origin(store, [experiment]),
        View("accuracies", tickets_of(experiment)),
    )


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of weights or of pairs that is shown by level and layer.

    Attributes
    ----------
    measure : callable
        From the store, an experiment and a level to the share in each layer.
    axis : str
        Its words on an axis.
    words : str
        Its words in a sentence.
    """

    measure: Callable[[Store, str, str], list[evidence.LayerShare]]
    axis: str
    words: str


SHARED, SHARED_OF_LAYER = (
    Share(
        functools.partial(evidence.shared, of_layer=of_layer),
        f"weights in all masks (% of {whole})",
        f"weights that lie in the masks of all runs of an initialisation, in % of {whole}",
    )
    for of_layer, whole in ((False, "a mask"), (True, "the layer"))
)
UNUSED = Share(
    evidence.unused,
    "weights in no mask (% of the layer)",
    "weights that no run of an initialisation keeps, in % of the layer",
)
UNCOVERED = Share(
    functools.partial(evidence.unused, of_coverage=True),
    "lacking to the largest coverage (% of it)",
    "what the masks of an initialisation lack together to the most weights of a layer that they could cover, in % of "
    "these",
)


def significant(probability: float) -> Share:
    """Return the share of pairs of tickets whose overlap lies outside of a central interval of chance."""
    return Share(
        functools.partial(evidence.significance, probability=probability),
        f"pairs outside of chance's {100 * probability:g} % (%)",
        f"pairs of tickets of an initialisation whose overlap lies outside of the central {100 * probability:g} % of "
        "chance, in % of the pairs",
    )


def share_brief(store: Store, experiment: str, share: Share) -> None:
    """Show in a sentence how large a share is at every level beside chance; nothing if not trained."""
    found = {}
    for level in find(experiment).levels[1:]:
        with contextlib.suppress(evidence.Missing):
            found[level.name] = share.measure(store, experiment, level.name)
    if found:
        means = "; ".join(
            f"{_percent(float(np.mean([y.values.mean() for y in layers])))} at {at(level)} pruned (chance "
            f"{_percent(float(np.mean([y.expected for y in layers])))})"
            for level, layers in found.items()
        )
        markdown(f"**Measured here.** {_capital(share.words)}, mean of the layers, {tickets_of(experiment)}: {means}.")


def _capital(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}"


def share_panel(
    store: Store,
    experiment: str,
    share: Share,
    name: str,
    what: str,
    layers: str = "all",
    level: str = "all",
    key: str = "",
) -> None:
    """Show a share of weights by level and layer beside chance, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    experiment, name, what, layers : str
        As for `overlap_panel`.
    share : Share
    level : str
        Name of the level that is shown first, or 'all'.
    key : str
        As for `ladder.statements`, to draw what the paper's text says; '' for nothing.
    """
    try:
        evidence.accuracies(store, experiment)  # raises if nothing is trained
        levels = [level.name for level in store.finished(store.find(experiment))][1:]
        if not levels or level not in ("all", *levels):
            raise evidence.Missing(claims.Lack(experiment, "any pruned level" if level == "all" else f"{level} %"))
        chosen = chosen_layers(experiment, layers)
        shares = {level: [y for y in share.measure(store, experiment, level) if y.layer in chosen] for level in levels}
    except evidence.Missing as missing:
        markdown(pages.missing_panel(_title(what, experiment), missing.lacks))
        return
    said = {level: stated_shares(key, experiment, level) for level in levels} if key else {}

    def draw(level: str) -> tuple[Figure, str]:
        if level != "all":
            means = ", ".join(
                f"{y.layer} {_percent(y.values.mean())} (chance {_percent(y.expected)})" for y in shares[level]
            )
            lost = _left_out(experiment, level, chosen)
            drawn = figures.share_strips(shares[level], share.axis, said.get(level))
            return drawn, f"Means at {level} % pruned: {means}.{lost}"
        last = {y.layer: (level, y) for level in levels for y in shares[level]}  # where it keeps a weight
        means = "; ".join(
            f"{y.layer} {_percent(y.values.mean())} (chance {_percent(y.expected)}) at {levels[0]} % pruned, "
            f"{_percent(z.values.mean())} ({_percent(z.expected)}) at {level} %"
            for y in shares[levels[0]]
            for level, z in [last[y.layer]]
        )
        gone = {v: [y for y in evidence.left_out(experiment, v) if y in chosen] for v in levels}
        lost = "".join(
            f" Without {', '.join(names)} at {v} %, where no weight is left." for v, names in gone.items() if names
        )
        return figures.share_by_level(shares, share.axis, said), f"Means: {means}.{lost}"

    inits = store.find(experiment).inits
    over = (
        f"mean and standard deviation (cut at 0 and 100 %) over {inits} initialisations"
        if inits > 1
        else "of one initialisation"
    )
    show_levels(
        draw,
        {"all": "all levels", **{level: f"{level} %" for level in levels}},
        level,
        name,
        f"{_capital(share.words)}; {what}: {tickets_of(experiment)}, {find(experiment).runs} runs of each "
        f"initialisation. All levels: a marker is a layer, {over}; one level: a row is a layer, a dot an "
        "initialisation. Grey: "
        f"the central 95 % of what chance gives; black: its mean.{_orange(experiment, any(said.values()), both=False)}",
        "Shares of weights by layer beside grey intervals of chance.",
        pages.origin(store, [experiment], "A" if any(said.values()) else ""),
        view=View(share.axis, tickets_of(experiment)),
    )


def _percent(value: float) -> str:
    """Return a percentage with a digit after the point, or as many as one below 1 % needs, down to a hundredth."""
    if 0 < abs(value) < 0.01:
        return "< 0.01 %"
    return f"{value:.1f} %" if abs(value) >= 0.95 or not value else f"{value:.2f} %"


def stated_shares(key: str, experiment: str, level: str) -> dict[str, tuple[float, float]]:
    """Return what the paper's text says of each layer at one level, of a figure that shows all levels."""
    counted = [layer.name for layer in find(experiment).architecture.layers if not layer.linear]
    found: dict[str, tuple[float, float]] = {}
    for statement in ladder.statements(key):
        if statement.level == level:
            span = statement.spans[0] if statement.spans else (statement.mean, statement.mean)
            found |= {counted[n - 1]: span for n in range(1, len(counted) + 1) if statement.about(n)}
    return found


_UNCHANGED = "as no gradient comes through and no weight changes there"
_OF = {"signed": "signed weights", "magnitude": "magnitudes"}
_OVER = {"survivors": "the survivors", "all": "all weights (pruned ones end as zero)"}


def correlation_brief(store: Store, panel: paper_a.Panel) -> None:
    """Show in a sentence for each level how large the rank correlations of a panel are; nothing if not trained."""
    said = []
    for level in dict.fromkeys(panel.levels.values()):
        with contextlib.suppress(evidence.Missing):
            means = {y.layer: y.values.mean() for y in evidence.rank_correlations(store, panel.experiment, level)}
            least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            said.append(f"from {means[least]:.2f} (`{least}`) to {means[most]:.2f} (`{most}`) at {level} % pruned")
    if said:
        markdown(
            f"**Measured here.** Mean rank correlation of a layer, signed weights of the survivors, "
            f"{tickets_of(panel.experiment)}: {'; '.join(said)}."
        )


def correlation_panel(
    store: Store,
    key: str,
    level: str,
    name: str,
    what: str,
    layers: str = "all",
    of: str = "signed",
    over: str = "survivors",
    panels: Mapping[str, paper_a.Panel] | None = None,
) -> None:
    """Show the rank correlations of initial and final weights, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    key : str
        Of the panel in `paper_a.PANELS`.
    level, name, what, layers : str
        As for `overlap_panel`.
    of, over : str
        As `similarity.rank_correlations` has them.
    panels : mapping, optional
        In place of `paper_a.PANELS`, for other readings of the level.
    """
    panel = (panels or paper_a.PANELS)[key]
    ranges, other = (paper_a.paper_ranges(key, panel.experiment, start) for start in (1, 0))
    silent = []
    try:
        evidence.record(store, panel.experiment, level)
        levels = [v.name for v in store.finished(store.find(panel.experiment))[1:]]
        silent = [v for v in levels if not evidence.trained(store, panel.experiment, v).any()]
        if level in silent:
            evidence.rank_correlations(store, panel.experiment, level)
    except evidence.Missing as missing:
        markdown(pages.missing_panel(_title(what, panel.experiment), missing.lacks))
        return
    lost = f" Left out, {_UNCHANGED}: {', '.join(silent)} %." if silent else ""

    def draw(level: str) -> tuple[Figure, str]:
        chosen = chosen_layers(panel.experiment, layers)
        measured = [
            y for y in evidence.rank_correlations(store, panel.experiment, level, of, over) if y.layer in chosen
        ]
        spread = ", ".join(f"{y.layer} {y.values.min():.2f} to {y.values.max():.2f}" for y in measured)
        few = _left_out(panel.experiment, level, chosen, evidence.LEAST_RANKED)
        same = int((~evidence.trained(store, panel.experiment, level)).sum())
        without = f" Left out, as none of their weights has changed: {same} of the tickets." if same else ""
        drawn = figures.correlation_strips(measured, ranges, other)
        return drawn, f"Rank correlations at {level} % pruned: {spread}.{few}{without}"

    _levels_panel(
        store,
        panel,
        level,
        draw,
        name,
        what,
        f"Rank correlation (Spearman) of a layer's initial and final weights; {what}: "
        f"{tickets_of(panel.experiment)}. A row is a layer with the weights that a mask keeps; a dot is one of "
        f"{store.find(panel.experiment).replicas} tickets, {_MARK}. Ranked: "
        f"{_OF[of]} of {_OVER[over]}. Grey: the distribution if there is no relationship; dashed: its mean, "
        f"zero.{_orange(panel.experiment, bool(ranges))}{lost}",
        "Dots over grey distributions around zero, one row a layer.",
        pages.origin(store, [panel.experiment], "A" if ranges else ""),
        View(f"rank correlations, {of}, {over}", tickets_of(panel.experiment)),
        silent,
    )


def similarity_panel(store: Store, experiment: str, measure: str, name: str, what: str, level: str = "all") -> None:
    """Show how alike the outputs of tickets are, by level, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    experiment, name, what : str
        As for `overlap_panel`.
    measure : str
        One of `evidence.MEASURES`.
    level : str
        Name of the level that is shown first, or 'all'.
    """
    try:
        both = evidence.similarities_by_level(store, experiment, measure)
        if level not in ("all", *both):
            raise evidence.Missing(claims.Lack(experiment, f"{level} %"))
    except evidence.Missing as missing:
        markdown(pages.missing_panel(_title(what, experiment), missing.lacks))
        return
    label = measure_label(measure)
    words = {level: at(level) for level in both}
    constant = [level for level in evidence.accuracies(store, experiment) if level not in both]
    lost = f" Left out, as no output depends on the image there: {', '.join(constant)} %." if constant else ""

    silent = {level: evidence.constant_tickets(store, experiment, level) for level in both if measure != "L2"}
    silent = {level: count for level, count in silent.items() if count}
    if silent:
        counts = ", ".join(f"{count} at {words[level]}" for level, count in silent.items())
        lost += (
            f" Tickets that give every image the same output ({counts}) have no CKA: hatched, and left out of means."
        )

    def draw(level: str) -> tuple[Figure, str]:
        if level != "all":
            own, other = both[level]
            matrix = evidence.output_matrix(store, experiment, level, measure)
            return (
                figures.similarity_matrix(matrix, find(experiment).runs, label),
                f"Means at {words[level]}: {own.mean():.3f} of {len(own)} pairs within an initialisation, "
                f"{other.mean():.3f} of {len(other)} across.",
            )
        means = ", ".join(f"{words[v]}: {w.mean():.3f} and {a.mean():.3f}" for v, (w, a) in both.items())
        within, across = ({v: pair[side] for v, pair in both.items()} for side in (0, 1))
        return figures.similarity_violins(
            within, across, label, equal=equal_outputs(measure)
        ), f"Means within and across: {means}."

    show_levels(
        draw,
        {"all": "all levels", **words},
        level,
        name,
        f"How alike the outputs of two tickets are for {TEST_LOGITS:,} test images, {label}; {what}: "
        f"{tickets_of(experiment)}. All levels: pairs within an initialisation (left halves, shaded) and across "
        "(right, grey), a line at the median. One level: every pair of tickets, white lines between initialisations. "
        f"{EQUAL}; it states an order and no other number.{lost}",
        f"The {label} of pairs of tickets, within initialisations and across.",
        pages.origin(store, [experiment], "A"),
        view=View(label, tickets_of(experiment)),
    )


EQUAL = "Orange: equal outputs; by the paper's text no two tickets have them"


def equal_outputs(measure: str) -> float:
    """Return what a measure of similarity is between equal outputs."""
    return 0.0 if measure == "L2" else 1.0


def measure_label(measure: str) -> str:
    if measure == "L2":
        return "L2 distance of softmax outputs"
    return "linear CKA of the logits" if measure == "CKA" else "linear CKA of softmax outputs"
