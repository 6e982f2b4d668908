"""Blocks that chapters share: panels of figures, claims, provenance, and what stands where tickets are missing."""

import contextlib
import dataclasses
import html
import re
import textwrap
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lib import (
    claims,
    comparisons,
    deviations,
    evidence,
    figures,
    kernels,
    ladder,
    paper_a,
    paper_b,
    patterns,
    scoring,
    sources,
    statistics,
)
from lib.claims import Scored
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, find
from lib.notebook import markdown, png, show, show_html, show_levels, table
from lib.pruning import kept_counts
from lib.sources import Source
from lib.tickets import Store


def claims_block(scored: Sequence[Scored]) -> str:
    """Return a section's claims with their verdicts, and the count of each verdict, over the width of the page."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in claims.summary(scored).items() if count)
    return f"{len(scored)} entries of the ledger: {counts}.\n\n:::{{div}} full-width\n{claims.table(scored)}:::\n"


def ledger(scored: Sequence[Scored]) -> str:
    """Return the whole ledger, a heading and a table for each section."""
    parts = []
    for paper in dict.fromkeys(s.claim.paper for s in scored):
        parts.append(f"## Paper {paper}")
        for section in dict.fromkeys(s.claim.section for s in scored if s.claim.paper == paper):
            own = [s for s in scored if (s.claim.paper, s.claim.section) == (paper, section)]
            parts.append(f"### {paper} {claims.escaped(section)}\n\n{claims.table(own)}")
    return "\n\n".join(parts)


_CLAIMS_PAGE = "notebooks/claims.html"  # as the landing page links to it
_TITLES = {
    claims.Verdict.REPRODUCED: "What held",
    claims.Verdict.PARTLY: "What held in part",
    claims.Verdict.NOT_REPRODUCED: "What did not hold",
    claims.Verdict.NOT_TESTABLE: "What cannot be said yet",
    claims.Verdict.OPEN: "What is not measured yet",
}


def answers(store: Store, scored: Sequence[Scored]) -> str:
    """Return what became of the claims of the papers' abstracts, and why, by verdict, for the landing page."""
    parts = []
    for verdict, title in _TITLES.items():
        own = [s for s in scored if s.claim.section == "Abstract" and s.verdict == verdict]
        items = [
            f'- <a href="{_CLAIMS_PAGE}#claim-{s.claim.id}">{s.claim.paper}</a>: '
            f"*{claims.escaped(s.claim.claimed.statement)}.* Here: {_because(store, s)}"
            for s in own
        ]
        if items:
            parts.append(f"**{title}**\n" + "\n".join(items))
    return ":::{div} answers\n" + "\n\n".join(parts) + "\n:::\n"


def _because(store: Store, scored: Scored) -> str:
    """Return in a sentence or two what decided a claim of an abstract."""
    measured = [(name, words) for name, verdict, words in scored.readings if verdict != claims.Verdict.NOT_TESTABLE]
    if not measured:
        lacking = dict.fromkeys(re.findall(r"[ab]/[a-z0-9-]+/[a-z0-9-]+", scored.measured))
        return f"its tickets are not trained: {', '.join(lacking)}."
    if scored.claim.id == "A-ABS-3":
        with contextlib.suppress(evidence.Missing):
            return _not_by_chance(store, paper_a.FASHION, "50")
    said = [
        f"{claims.escaped(textwrap.shorten(words.removeprefix('holds: '), 110, placeholder=' …'))}{_on(name)}"
        for name, words in measured
    ]
    return f"{'; '.join(said)}.".replace("; above chance in ", ", in ")


def _on(reading: str) -> str:
    """Return the data sets of a reading that is named after experiments, for the end of a sentence."""
    names = [name for name in reading.split(" with ") if name in EXPERIMENTS]
    return f" ({' with '.join(find(name).dataset for name in names)})" if names else ""


def _not_by_chance(store: Store, experiment: str, level: str) -> str:
    """Return by how much tickets of one initialisation share more than by chance, and what explains it."""
    layers = evidence.origins(store, experiment, level)
    shared, alone = [y.overlap for y in layers], [y.from_initial for y in layers]
    learned = [y.updates_within for y in layers]
    return (
        f"at {level} % pruned two tickets of one start share {min(shared):.0f} to {max(shared):.0f} % of a mask, by "
        f"layer; chance gives {layers[0].chance:.0f} %{_on(experiment)}. Why: the same weights start large, which "
        f"alone would give {min(alone):.0f} to {max(alone):.0f} %, and two runs learn alike (correlation "
        f"{min(learned):.2f} to {max(learned):.2f}): {{ref}}`A 3.1 <a-3-1>`."
    )


def ledger_chart(store: Store, scored: Sequence[Scored], name: str) -> None:
    """Show how many claims of each section have which verdict; each part of the chart leads to its claims.

    Where HTML is not shown stands a picture of it.

    Parameters
    ----------
    store : Store
    scored : sequence of Scored
    name : str
        By which the text refers to the figure.
    """
    sections: dict[str, Counter[claims.Verdict]] = {}
    for s in scored:
        if s.verdict != claims.Verdict.NOT_A_CLAIM:
            sections.setdefault(f"{s.claim.paper} {s.claim.section}", Counter())[s.verdict] += 1
    most = max(counts.total() for counts in sections.values())
    rows = []
    for section, counts in sections.items():
        anchor = re.sub(r"[^a-z0-9]+", "-", section.lower())

        def link(words: str, kind: str = "", style: str = "", anchor: str = anchor, **chosen: str) -> str:
            where = f"{_CLAIMS_PAGE}?{urllib.parse.urlencode(chosen)}#{anchor}"
            return f'<a{kind} href="{html.escape(where)}"{style}>{words}</a>'

        bar = "".join(
            link(
                f"{counts[v]}<span> {v}</span>",
                f' class="verdict-{v.removesuffix(" here").replace(" ", "-")}" title="{section}: {counts[v]} {v}"',
                f' style="flex-grow:{counts[v]}"',
                section=section,
                verdict=v.value,
            )
            for v in claims.Verdict
            if counts[v]
        )
        width = 100 * counts.total() / most
        rows.append(f'<li>{link(section, section=section)}<div style="width:{width:.1f}%">{bar}</div></li>')
    said = ", ".join(f"{count} {verdict}" for verdict, count in claims.summary(scored).items() if count)
    keys = "".join(f"<li>{claims.badge(v)}</li>" for v in claims.Verdict if any(c[v] for c in sections.values()))
    show_html(
        f'<ul class="ledger-key" aria-label="Verdicts">{keys}</ul>'
        f'<ul class="ledger-chart" aria-label="Claims by section">{"".join(rows)}</ul>',
        lambda: figures.verdict_bars(scored),
        name,
        f"Claims by section of the two papers, and by verdict: each part leads to its claims. Of the {len(scored)} "
        f"entries of the ledger: {said}; the last are not drawn.",
        f"Stacked bars, one for each section of the papers, coloured by verdict: {said}.",
        sources.tickets(store, *(experiment.name for experiment in store.experiments())),
    )


def state_of_the_ledger(store: Store, scored: Sequence[Scored]) -> str:
    """Return in a few sentences how many entries there are and what became of them, and what is trained."""
    counts = claims.summary(scored)
    nothing = counts[claims.Verdict.NOT_A_CLAIM]
    decided = [v for v in claims.Verdict if v not in (claims.Verdict.NOT_A_CLAIM, claims.Verdict.OPEN)]
    words = ", ".join(f"{counts[v]} {claims.badge(v)}" for v in decided if counts[v])
    trained = [
        f"`{e.name}` ({e.replicas} networks x {len(store.finished(e)) - 1} pruned levels)" for e in store.experiments()
    ]
    unwritten = counts[claims.Verdict.OPEN]
    if unwritten:
        words += f"; {unwritten} {claims.badge(claims.Verdict.OPEN)} until their chapter is written"
    return (
        f"The ledger has {len(scored)} entries. {nothing} of them claim nothing (set-up, background). Of the other "
        f"{len(scored) - nothing}: {words}. Trained so far: {', '.join(trained) or 'nothing yet'}."
    )


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
    ranges, other = (paper_a.paper_ranges(key, panel.experiment, start) for start in (1, 0))

    def draw(level: str) -> tuple[Figure, str]:
        chosen = _choose(panel.experiment, layers)
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
        f"Overlap of tickets of {pairs}, at the level chosen above it; {what}. Each dot is one pair; shade and height "
        f"tell the initialisation. Grey: the hypergeometric distribution.{_orange(panel.experiment, bool(ranges))}",
        "Dots over a grey chance distribution, one row a layer, overlap in percent of the mask.",
        _origin(store, [panel.experiment], "A" if ranges else ""),
    )


def _orange(experiment: str, said: bool) -> str:
    """Return the sentences of a caption on what the paper says, and on the ways to count layers of the ResNet."""
    if find(experiment).architecture != find(paper_a.RESNET).architecture:
        return " Orange: what the paper's text says of the layer." if said else ""
    counted = [
        f"{words} these are {', '.join(paper_a.layer_readings(experiment, n)[words] for n in paper_a.PLOTTED)}"
        for words in paper_a.COUNTED
    ]
    numbers = ", ".join(map(str, paper_a.PLOTTED))
    orange = (
        " Orange: what the paper's text says, thick for the first way to count, thin for the second." if said else ""
    )
    return f" The paper shows layers {numbers}: with {'; with '.join(counted)}.{orange}"


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
) -> None:
    """Show a figure at every level trained, `level` first, or what stands in its place if that is not trained."""
    try:
        evidence.record(store, panel.experiment, level)
    except evidence.Missing as missing:
        markdown(missing_panel(f"{what[0].upper()}{what[1:]}", str(missing)))
        return
    marks = _marks(panel.levels)
    labels = {
        v.name: f"{v.name} %, {marks[v.name]}" if v.name in marks else f"{v.name} %"
        for v in store.finished(find(panel.experiment))[1:]
    }
    show_levels(draw, labels, level, name, caption, alt, origin)


def _origin(store: Store, experiments: Iterable[str], paper: str = "") -> list[Source]:
    """Return where a figure or table comes from: tickets, and numbers that a paper prints, 'A' or 'B'; '' for none."""
    quoted = {"": [], "A": [sources.PAPER_A], "B": [sources.PAPER_B]}[paper]
    return [*sources.tickets(store, *experiments), *quoted]


def _choose(experiment: str, layers: str) -> list[str]:
    """Return the layers that a figure shows: those named, or all; of the ResNet those that the paper may mean."""
    return paper_a.plotted_layers(experiment) if layers == "all" else evidence.choose_layers(experiment, layers)


def _left_out(experiment: str, level: str, chosen: Sequence[str], least: int = 1) -> str:
    """Return the sentence about layers that keep fewer weights than can be measured, for a caption; '' if none does."""
    lost = [layer for layer in evidence.left_out(experiment, level, least) if layer in chosen]
    few = "no weight" if least == 1 else f"fewer than {least} weights"
    return f" Left out, as they keep {few}: {', '.join(lost)}." if lost else ""


def beside(scored: Sequence[Scored], *keys: str) -> str:
    """Return a Markdown table of what the paper's text says of some panels, with the verdicts: it stands by the figure.

    A claim that is read in several ways has the verdict of each that could be tested.

    Parameters
    ----------
    scored : sequence of Scored
    *keys : str
        With which the ids of the panels' claims begin, up to a number: 'A-F10a', or 'A-F4a-F' for one network's.
    """
    rows = []
    for s in scored:
        if any(re.match(re.escape(key) + r"(-[\dS]|\d)", s.claim.id) for key in keys):
            tested = [(name, verdict) for name, verdict, _ in s.readings if verdict != claims.Verdict.NOT_TESTABLE]
            verdicts = [f"{claims.badge(verdict)} {claims.escaped(name)}" for name, verdict in tested if name]
            here = "<br>".join(verdicts) or claims.badge(s.verdict)
            rows.append(f"| {claims.escaped(s.claim.layer)} | {claims.escaped(s.paper.split(': ', 1)[-1])} | {here} |")
    if not rows:
        raise UserError(f"keys is {', '.join(keys)!r}: no claim that was scored begins with it")
    return "\n".join(["| layer | the paper says | here |", "| --- | --- | --- |", *rows]) + "\n"


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
            markdown(missing_panel(f"{what[0].upper()}{what[1:]}, with {find(partner).dataset}", str(missing)))
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
                        rows[layer, find(partner).dataset] = dataclasses.replace(
                            y, layer=f"{layer}\n{find(partner).dataset}"
                        )
        paper = {y.layer: ranges[layer] for (layer, _), y in rows.items() if layer in ranges}
        means = "; ".join(
            f"{layer} with {images} {y.values.mean():.1f} % (chance {y.expected:.1f} %)"
            for (layer, images), y in rows.items()
        )
        pairs = len(next(iter(rows.values())).values)
        return figures.overlap_strips(list(rows.values()), paper), f"Means of {pairs} pairs at {level} %: {means}."

    said = " Orange: what the paper's text says of the layer." if ranges else ""
    _levels_panel(
        store,
        panel,
        level,
        draw,
        name,
        what,
        f"Overlap of tickets of {find(panel.experiment).dataset} with tickets of other images, from the same initial "
        f"weights, at the level chosen above it; {what}. Each dot is one pair; shade and height tell the "
        f"initialisation. Grey: the hypergeometric distribution.{said}",
        "Dots over a grey chance distribution, one row a layer and data set, overlap in percent of the mask.",
        _origin(store, [panel.experiment, *partners], "A" if ranges else ""),
    )


def gain_table(store: Store, experiment: str, name: str) -> None:
    """Show by how much tickets are more accurate than those with a free batch order, or what stands in its place.

    Parameters are those of `overlap_panel`.
    """
    free = paper_a.FREE[experiment]
    try:
        gains = evidence.accuracy_gains(store, experiment, free)
    except evidence.Missing as missing:
        markdown(missing_panel(f"Accuracies of `{experiment}` beside `{free}`", str(missing)))
        return
    clear = sum(not gain.low <= 0 <= gain.high for gain in gains.values())
    table(
        ["pruned", "partly fixed", "free", "difference", "95 % interval"],
        [
            [
                "dense" if level == "dense" else f"{level} %",
                f"{gain.accuracy:.2f} %",
                f"{gain.reference:.2f} %",
                f"{gain.difference:+.2f}",
                f"{gain.low:+.2f} to {gain.high:+.2f}",
            ]
            for level, gain in gains.items()
        ],
        name,
        "Mean test accuracy with partly fixed and with free randomness, and the difference in points with its interval "
        f"by bootstrap over the {find(experiment).inits} initialisations, too short from so few. It leaves out "
        f"zero at {clear} of {len(gains)} levels.",
        _origin(store, [experiment, free]),
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

    def measure(store: Store, experiment: str, level: str) -> list[evidence.LayerShare]:
        return evidence.significance(store, experiment, level, probability)

    label = f"pairs outside of chance's {100 * probability:g} % (%)"
    share_panel(store, experiment, measure, name, what, label, level=level)


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
        markdown(missing_panel("Significant overlaps beside chance", str(missing)))
        return
    for level in levels:
        within = evidence.significance(store, experiment, level, probability)
        across = evidence.significance(store, experiment, level, probability, within=False)
        values = np.mean([y.values for y in within], axis=0)
        low, high = statistics.bootstrap_over_inits([[value] for value in values])
        drawn = evidence.drawn_significance(experiment, level, probability, repetitions)
        rows.append(
            [
                f"{level} %",
                f"{values.mean():.1f} % ({low:.0f} to {high:.0f})",
                f"{np.mean([y.values.mean() for y in across]):.1f} %",
                f"{np.mean([y.expected for y in within]):.1f} %",
                f"{drawn:.1f} %",
            ]
        )
    table(
        ["pruned", "one initialisation", "different ones", "chance, exact", "chance, simulated"],
        rows,
        name,
        f"Share of pairs whose overlap lies outside the central {100 * probability:g} % of chance, mean of all layers: "
        "tickets of one initialisation (with its interval by bootstrap over initialisations), tickets of different "
        f"ones, and random masks, exactly and in {repetitions:,} drawn pairs a layer.",
        [*_origin(store, [experiment]), sources.COMPUTED],
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
        markdown(missing_panel("Rank correlations side by side", str(missing)))
        return

    table(
        ["layer", *(f"`{experiment}`" for experiment in experiments), "null deviation"],
        [
            [row[0].layer, *(mean_interval(y.values, y.init, 2) for y in row), f"{row[0].null:.3f}"]
            for row in zip(*found, strict=True)
        ],
        name,
        f"Mean rank correlation of initial and final weights at {level} % pruned, with its 95 % interval by bootstrap "
        "over initialisations; and the standard deviation of one ticket's correlation under no relationship.",
        _origin(store, experiments),
    )


def mean_interval(values: NDArray[np.float64], init: NDArray[np.int64], digits: int) -> str:
    """Return a mean and its 95 % interval by bootstrap over initialisations, such as '0.71 (0.68 to 0.74)'.

    Parameters
    ----------
    values : float array, shape (n,)
    init : int array, shape (n,)
        The initialisation of each; of a single one there is no interval.
    digits : int
        After the point.
    """
    by_init = [values[init == number] for number in np.unique(init)]
    if len(by_init) < 2:
        return f"{values.mean():.{digits}f}"
    low, high = statistics.bootstrap_over_inits(by_init)
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ranking_table(store: Store, experiment: str, level: str, name: str) -> None:
    """Show the rank correlations under each reading of what is ranked, beside their spread by chance.

    Parameters are those of `overlap_panel`.
    """
    readings = [(of, over) for over in ("survivors", "all") for of in ("signed", "magnitude")]
    try:
        found = [evidence.rank_correlations(store, experiment, level, of, over) for of, over in readings]
    except evidence.Missing as missing:
        markdown(missing_panel("Rank correlations under each reading", str(missing)))
        return
    table(
        ["layer", "signed, survivors", "magnitude, survivors", "null", "signed, all", "magnitude, all", "null"],
        [
            [
                row[0].layer,
                *(mean_interval(y.values, y.init, 2) for y in row[:2]),
                f"{row[0].null:.3f}",
                *(mean_interval(y.values, y.init, 2) for y in row[2:]),
                f"{row[2].null:.3f}",
            ]
            for row in zip(*found, strict=True)
        ],
        name,
        f"Mean rank correlation of initial and final weights at {level} % pruned, with its 95 % interval by bootstrap "
        "over initialisations: of signed weights or of magnitudes, over the survivors or over all weights of the layer "
        "(pruned ones end as zero). *Null*: the standard deviation of one ticket's correlation under no relationship.",
        _origin(store, [experiment]),
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
        markdown(missing_panel("Overlaps across data sets, free and partly fixed", str(missing)))
        return

    table(
        ["pruned", "layer", "chance", *pairs],
        [
            [f"{level} %", row[0].layer, f"{row[0].expected:.1f}", *(mean_interval(y.values, y.first, 1) for y in row)]
            for level in levels
            for row in zip(*(found[which, level] for which in pairs), strict=True)
        ],
        name,
        "Mean overlap of tickets of Fashion-MNIST and CIFAR-10 from the same initial weights, in % of the mask, free "
        "and partly fixed randomness; in brackets the 95 % interval by bootstrap over initialisations.",
        _origin(store, [experiment for pair in pairs.values() for experiment in pair]),
    )


def nnstd_table(store: Store, experiment: str, name: str) -> None:
    """Show the smallest distance of two masks with their units matched, or what stands in the place of that table.

    Parameters are those of `overlap_panel`.
    """
    try:
        evidence.accuracies(store, experiment)  # raises if nothing is trained
    except evidence.Missing as missing:
        markdown(missing_panel("Smallest distance of two masks", str(missing)))
        return
    levels = [level.name for level in store.finished(find(experiment))][1:]
    table(
        ["pruned", "smallest NNSTD of any two masks"],
        [[f"{level} %", f"{paper_a.smallest_nnstd(store, experiment, level):.3f}"] for level in levels],
        name,
        "The smallest distance of any two masks with their units matched; 0 would be the same network up to a "
        "permutation of hidden units, 1 no shared connection at all. All pairs of tickets.",
        _origin(store, [experiment]),
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
    for level in (v.name for v in store.finished(find(experiment)) if v.name != "dense"):
        for layer in evidence.overlaps(store, experiment, level):
            outside = 100 * ((layer.values < layer.low) | (layer.values > layer.high)).mean()
            rows.append(
                [
                    f"{level} %",
                    layer.layer,
                    f"{layer.expected:.1f} ({layer.low:.1f} to {layer.high:.1f})",
                    mean_interval(layer.values, layer.first, 1),
                    f"{layer.values.min():.1f} to {layer.values.max():.1f}",
                    f"{outside:.0f} %",
                ]
            )
    if not rows:
        markdown(missing_panel("Overlaps at every level", experiment))
        return
    table(
        ["pruned", "layer", "chance: mean (95 %)", "measured: mean (95 %)", "smallest to largest", "outside of chance"],
        rows,
        name,
        f"Overlaps of the {len(layer.values)} pairs within an initialisation, in % of the mask, at every level that is "
        "trained. Of chance the central 95 % of single pairs, of the measured mean its 95 % interval by bootstrap over "
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
            cells = [mean_interval(y.values, y.first, 1) for y in measured]
            rows.append([f"{level} %", f"{SETTINGS[experiment]}{_rate(experiment)}", *cells])
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
    lacking = list(dict.fromkeys(lacking))
    if rows:
        layers = [layer.name for layer in find(paper_a.FASHION).architecture.layers]
        markdown(" ".join(sentences) or "None of the other settings is trained yet, so their effect is not known.")
        table(
            ["pruned", "setting", *layers],
            rows,
            name,
            "Mean overlap of tickets of one initialisation, in % of the mask, when one setting is changed, with its "
            "95 % interval by bootstrap over initialisations. The other settings have two runs of each.",
            sources.tickets(store, *SETTINGS),
        )
    if lacking:
        title = f"Overlaps with {' and '.join(SETTINGS[experiment] for experiment in lacking)}"
        markdown(missing_panel(title, " and ".join(lacking)))


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
    try:
        origins = evidence.origins(store, experiment, level)
    except evidence.Missing as missing:
        markdown(missing_panel("Where the overlap comes from", str(missing)))
        return
    table(
        ["layer", "overlap", "chance", "initial magnitudes alone", "learned alike, same start", "other start"],
        [
            [
                o.layer,
                f"{o.overlap:.1f} %",
                f"{o.chance:.1f} %",
                f"{o.from_initial:.1f} %",
                f"{o.updates_within:.2f}",
                f"{o.updates_across:.2f}",
            ]
            for o in origins
        ],
        name,
        f"Where the overlap within an initialisation comes from, at {level} % pruned. *Initial magnitudes alone*: the "
        "overlap of masks that knew nothing but the rank of each initial magnitude. *Learned alike*: correlation of "
        "what two dense networks learned (final less initial weights), from the same and from other initial weights.",
        _origin(store, [experiment]),
    )


def spread_table(store: Store, panel: paper_a.Panel, level: str, name: str) -> None:
    """Show how far the overlaps of a panel scatter, beside chance, or what stands in the place of that table.

    Parameters are those of `overlap_panel`.
    """
    try:
        spreads = evidence.spreads(store, panel.experiment, level, panel.within)
    except evidence.Missing as missing:
        markdown(missing_panel("How far the overlaps scatter", str(missing)))
        return
    table(
        ["layer", "measured", "chance", "correlation with counts per unit"],
        [[x.layer, f"{x.measured:.2f}", f"{x.chance:.2f}", f"{x.explained:.2f}"] for x in spreads],
        name,
        f"Standard deviation of the overlaps at {level} % pruned, in % of the mask, and of chance; and the correlation "
        "of the overlaps with those expected from how many weights each unit keeps.",
        _origin(store, [panel.experiment]),
    )


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
    levels = [v.name for v in find(rungs[0].experiment).levels[1:]]
    ready: dict[str, dict[str, ladder.Layers]] = {}
    lacking: list[str] = []
    for rung in rungs:
        try:
            ready[rung.words] = {
                v: ladder.measure(store, key, rung, v) for v in (levels if level == "all" else [level])
            }
        except evidence.Missing as missing:
            lacking.append(str(missing))
    title = f"The paper's Figure {_figure(key)} on every rung"
    if not ready:
        markdown(missing_panel(title, lacking[0]))
        return
    label = _SHARES.get(_figure(key), "")
    ranges = paper_a.paper_ranges(key, rungs[0].experiment) if key in paper_a.PANELS else {}
    said = {v: _stated_shares(key, rungs[0].experiment, v) for v in levels} if label else {}
    chosen = _choose(rungs[0].experiment, layers)

    def draw(words: str) -> tuple[Figure, str]:
        found = {v: [y for y in row if y.layer in chosen] for v, row in ready[words].items()}
        means = [f"at {v} % {', '.join(f'{y.layer} {y.values.mean():.3g}' for y in row)}" for v, row in found.items()]
        runs = {rung.words: find(rung.experiment).runs for rung in rungs}
        of = f" ({runs[words]} runs)" if runs[words] != runs[rungs[0].words] else ""
        sentence = f"Means, {words}{of}: {'; '.join(means)}."
        if level == "all":
            shares = {v: [y for y in row if isinstance(y, evidence.LayerShare)] for v, row in found.items()}
            return figures.share_by_level(shares, label, said, reach), sentence
        return figures.strips(found[level], ranges or said.get(level, {}), label, reach), sentence

    reach = _reach(y.values for by_level in ready.values() for row in by_level.values() for y in row)
    orange = ", orange what the paper's text says" if ranges or any(said.values()) else ""
    at = "all levels" if level == "all" else f"{level} % pruned"
    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(key),
        name,
        f"{title} of the ladder of randomness that is trained, at {at}. Grey is chance{orange}.",
        "Measured values by layer, over what chance gives.",
        _origin(store, _experiments(rungs, ready), "A" if orange else ""),
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
) -> None:
    """Show a figure on several rungs, each on a tab, the paper's first if it is there."""
    labels = {w: f"{w} (the paper's)" if w == own else w for w in words}
    show_levels(draw, labels, own if own in words else words[0], name, caption, alt, origin, "What the runs share")


_SHARES = {
    "4a": "weights in all masks (% of a mask)",
    "4b": "weights in no mask (% of the layer)",
    "11": "pairs outside of chance's 95 % (%)",
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
    found = ladder.fits(store, key, network, _stated_levels(key, rungs[0].experiment), partner)
    there = {fit.rung.words for fit in found if not fit.missing}
    title = f"Which tickets the numbers of the paper's Figure {_figure(key)} fit"
    if len(there) < 2:  # none is nearer than another
        if there:
            markdown(missing_panel(title, next(fit.missing for fit in found if fit.missing)))
        return
    levels = list(dict.fromkeys(fit.level for fit in found))
    distances = np.array([fit.distance for fit in found]).reshape(len(levels), len(rungs)).T
    marks, unit = _marks(readings), _unit(key)
    nearest = {}
    for level in [v for v in levels if v in marks] or levels:
        own = [fit for fit in found if fit.level == level]
        if not all(fit.missing for fit in own):
            first, _ = ladder.best(own)
            nearest[level] = f"{first.rung.words} at {level} % pruned ({first.distance:.3g})"
    columns = [f"{v} %\n{marks[v]}" if v in marks else f"{v} %" for v in levels]
    show(
        lambda: figures.ladder_grid([rung.words for rung in rungs], columns, distances, f"distance ({unit})"),
        name,
        f"{title}: the distance between what its text says and what tickets of each rung show, in {unit}, mean of the "
        "layers; zero would be agreement in every number. Framed: the nearest rung at each level. Hatched: not trained "
        f"yet. Nearest: {'; '.join(nearest.values())}.",
        f"A table in colours of distances by rung and level. Nearest: {'; '.join(nearest.values())}.",
        _origin(store, _experiments(rungs, there), "A"),
    )


def ladder_table(
    store: Store, key: str, network: str, readings: Mapping[str, str], name: str, partner: str = ""
) -> None:
    """Show which rung fits a figure of the paper best, with intervals and layer by layer, at every reading.

    Parameters are those of `ladder_figure`; nothing is shown where it shows nothing.
    """
    rungs, figure, unit, own = ladder.rungs(network, partner), _figure(key), _unit(key), ladder.own_rung(key)
    rows: list[list[str]] = []
    sentences: list[str] = []
    lacking: dict[str, str] = {}
    layers: list[str] = []
    trained: list[str] = []
    for reading, level in readings.items():
        found = ladder.fits(store, key, network, [level], partner)
        lacking |= {f.rung.words: f.missing for f in found if f.missing}
        there = [f for f in found if not f.missing]
        if not there:
            continue
        first, others = ladder.best(found)
        layers = layers or list(first.by_layer)
        trained += [f.rung.words for f in there]
        also = f"; not told apart: {', '.join(f'*{f.rung.words}*' for f in others)}" if others else ""
        alone = len(there) == 1
        sentences.append(
            f"Read at the {reading}, the numbers of Figure {figure} lie {_with_interval(first)} {unit} from tickets of "
            f"*{first.rung.words}*, the only rung that is trained: which one is nearest is not known."
            if alone
            else f"Read at the {reading}, the numbers of Figure {figure} lie nearest to tickets of "
            f"**{first.rung.words}**, {_with_interval(first)} {unit} away{also}."
        )
        sentences += [
            f"Tickets of the paper's own setting, *{own}*, are {_with_interval(f)} away."
            for f in there
            if f.rung.words == own and f is not first
        ]
        rows += [
            [
                f"{level} %",
                f"**{f.rung.words}**" if f is first and not alone else f.rung.words,
                _with_interval(f),
                *(f"{f.by_layer[y]:.3g}" if y in f.by_layer else "–" for y in layers),
            ]
            for f in there
        ]
    if rows:
        markdown(f"**Measured.** {' '.join(sentences)}")
        table(
            ["pruned", "what the runs share", "distance (95 %)", *layers],
            rows,
            name,
            f"Distance of each rung from what the paper's text says of its Figure {figure} {{cite:p}}`grosse2020`, in "
            f"{unit}: mean of the layers with its 95 % interval (bootstrap over initialisations), and layer by layer. "
            "The nearest rung at each reading is bold.",
            _origin(store, _experiments(rungs, trained), "A"),
        )
        _name_missing(lacking, ladder.unspecified(network, partner))


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
    rungs = [rung for rung in ladder.rungs(network) if not rung.across and find(rung.experiment).inits > 1]
    ready = {}
    for rung in rungs:
        with contextlib.suppress(evidence.Missing):
            ready[rung.words] = evidence.similarities_by_level(store, rung.experiment, measure)
    title = f"The paper's Figure {figure} on every rung"
    if not ready:
        markdown(missing_panel(title, rungs[0].experiment))
        return
    label, reach = _label(measure), _reach(y for by_level in ready.values() for both in by_level.values() for y in both)

    def draw(words: str) -> tuple[Figure, str]:
        within, across = ({v: both[side] for v, both in ready[words].items()} for side in (0, 1))
        means = ", ".join(f"{v} {within[v].mean():.3f} and {across[v].mean():.3f}" for v in within)
        return figures.similarity_violins(within, across, label, reach), f"Means within and across, {words}: {means}."

    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(f"A-F{figure}"),
        name,
        f"{title} of the ladder of randomness that is trained: {label}, pairs within an initialisation on the left, "
        "different initialisations, which share nothing on any rung, on the right. Two runs with everything fixed have "
        "equal outputs.",
        f"The {label} of pairs of tickets by level, within initialisations and across.",
        _origin(store, _experiments(rungs, ready)),
    )


def ladder_accuracies(store: Store, network: str, name: str, figure: str) -> None:
    """Show accuracies by level on every rung, or what stands in the place of that figure.

    Parameters are those of `ladder_violins`.
    """
    rungs = [rung for rung in ladder.rungs(network) if not rung.across]
    ready = {}
    for rung in rungs:
        with contextlib.suppress(evidence.Missing):
            ready[rung.words] = evidence.accuracies(store, rung.experiment)
    title = f"The paper's Figure {figure} on every rung"
    if not ready:
        markdown(missing_panel(title, rungs[0].experiment))
        return

    reach = _reach(values for by_level in ready.values() for values in by_level.values())

    def draw(words: str) -> tuple[Figure, str]:
        means = ", ".join(f"{v} {values.mean():.2f} %" for v, values in ready[words].items())
        return figures.accuracy_lines(ready[words], reach), f"Means, {words}: {means}."

    _show_rungs(
        draw,
        list(ready),
        ladder.own_rung(f"A-F{figure}"),
        name,
        f"{title} of the ladder of randomness that is trained: test accuracy by level, one line a run, one shade an "
        "initialisation, black the mean.",
        "Lines of test accuracy over the fraction of pruned weights, one for each run.",
        _origin(store, _experiments(rungs, ready)),
    )


def ladder_gains(store: Store, network: str, name: str) -> None:
    """Show on every rung by how much tickets are more accurate than those with a free batch order.

    The paper gives an order and no numbers: more accurate when randomness is partly fixed. Nothing is shown where
    tickets with a free order, or all others, are missing: `gain_table` says so.

    Parameters are those of `ladder_outputs`.
    """
    rungs = [rung for rung in ladder.rungs(network) if not rung.across and rung.words != "free"]
    levels = [level.name for level in find(rungs[0].experiment).levels]
    rows, trained = [], []
    for rung in rungs:
        try:
            gains = evidence.accuracy_gains(store, rung.experiment, f"{network}/free")
        except evidence.Missing:
            continue
        trained.append(rung.words)
        cells = [
            f"{g.difference:+.2f}" + ("" if np.isnan(g.low) else f" ({g.low:+.2f} to {g.high:+.2f})")
            for g in gains.values()
        ]
        clear = sum(g.low > 0 for g in gains.values()), sum(g.high < 0 for g in gains.values())
        higher = sum(g.difference > 0 for g in gains.values())
        rows.append([rung.words, f"{higher} of {len(gains)}", f"{clear[0]}; {clear[1]}", *cells])
    if rows:
        table(
            [
                "what the runs share",
                "higher than free",
                "clearly higher; lower",
                *(level if level == "dense" else f"{level} %" for level in levels),
            ],
            rows,
            name,
            "Mean test accuracy less that of tickets with a free batch order from the same initial weights, in points, "
            "with 95 % intervals (bootstrap over initialisations; of a single one there is none). *Clearly*: zero lies "
            "outside of the interval. The paper says that partly fixed tickets are more accurate {cite:p}`grosse2020`.",
            _origin(store, [f"{network}/free", *_experiments(rungs, trained)]),
        )


def ladder_outputs(store: Store, network: str, measure: str, name: str) -> None:
    """Show on every rung whether outputs are closer within an initialisation than across.

    The paper gives an order and no numbers: closer across in its Figures 6 and 9, closer within in its Figure 15. Where
    no rung is trained, nothing is shown: `ladder_violins` says what is missing.

    Parameters are those of `ladder_figure` and `similarity_panel`.
    """
    rungs = ladder.rungs(network)
    levels = [level.name for level in find(rungs[0].experiment).levels[1:]]
    found = ladder.output_gaps(store, network, levels, measure)
    words = {rung.experiment: rung.words for rung in rungs if not rung.across}
    rows: list[list[str]] = []
    lacking: dict[str, str] = {}
    for experiment in dict.fromkeys(gap.experiment for gap in found):
        own = [gap for gap in found if gap.experiment == experiment]
        lacking |= {words[g.experiment]: g.missing for g in own if g.missing}
        there = [gap for gap in own if not gap.missing]
        if there:
            rows.append(
                [
                    words[experiment],
                    f"{sum(g.gap < 0 for g in there)} of {len(there)}",
                    f"{sum(g.gap > 0 for g in there)} of {len(there)}",
                    *("–" if g.missing else f"{g.gap:+.3f} ({g.low:+.3f} to {g.high:+.3f})" for g in own),
                ]
            )
    if rows:
        table(
            ["what the runs share", "closer across", "closer within", *(f"{level} %" for level in levels)],
            rows,
            name,
            f"By how much outputs of one initialisation are closer than those of different ones, {_label(measure)}"
            f"{', distance turned round' if measure == 'L2' else ''}, with 95 % intervals (bootstrap over "
            "initialisations). The paper says *closer across* in its Figures 6 and 9 (free) and *closer within* in its "
            "Figure 15 (partial) {cite:p}`grosse2020`.",
            _origin(store, _experiments(rungs, [row[0] for row in rows])),
        )
        _name_missing(lacking, ladder.unspecified(network))


def _name_missing(lacking: Mapping[str, str], unspecified: Sequence[str]) -> None:
    """Say which rungs are not trained, and how they are, and which are not specified."""
    sentences = []
    if lacking:
        names = dict.fromkeys(missing.split(" at ")[0] for missing in lacking.values())
        commands = ", ".join(f"`python -m lib train {name}`" for name in names)
        sentences.append(f"Rungs that are not trained yet: {', '.join(lacking)}. To train them: {commands}.")
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
    interval = "too few initialisations" if np.isnan(fit.low) else f"{fit.low:.3g} to {fit.high:.3g}"
    return f"{fit.distance:.3g} ({interval})"


def _experiments(rungs: Sequence[ladder.Rung], words: Iterable[str]) -> list[str]:
    """Return the names of the experiments of some rungs."""
    chosen = set(words)
    return [name for rung in rungs if rung.words in chosen for name in (rung.experiment, rung.partner) if name]


def _marks(readings: Mapping[str, str]) -> dict[str, str]:
    """Return by level how it is read, such as 'captioned'; nothing of a reading that has no words of its own."""
    return {at: words.rsplit(", ", 1)[0].removesuffix(" level") for words, at in readings.items() if ", " in words}


def accuracy_panel(store: Store, experiment: str, name: str, what: str) -> None:
    """Show the accuracies of an experiment by level, or what stands in the place of that figure.

    Parameters are those of `overlap_panel`.
    """
    try:
        accuracy = evidence.accuracies(store, experiment)
    except evidence.Missing as missing:
        markdown(missing_panel(f"{what[0].upper()}{what[1:]}", str(missing)))
        return
    means = ", ".join(
        f"{values.mean():.2f} % {'dense' if level == 'dense' else f'at {level} %'}"
        for level, values in accuracy.items()
    )
    show(
        lambda: figures.accuracy_lines(accuracy),
        name,
        f"Test accuracy by level; {what}. One line a run, one shade an initialisation, black the mean of all "
        f"{find(experiment).replicas} runs: {means}.",
        f"Lines of test accuracy over the fraction of pruned weights, one for each run. Means: {means}.",
        _origin(store, [experiment]),
    )


def share_panel(
    store: Store,
    experiment: str,
    measure: Callable[[Store, str, str], list[evidence.LayerShare]],
    name: str,
    what: str,
    ylabel: str,
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
    measure : callable
        `evidence.shared` or `evidence.unused`.
    ylabel : str
    level : str
        Name of the level that is shown first, or 'all'.
    key : str
        As for `ladder.statements`, to draw what the paper's text says; '' for nothing.
    """
    try:
        evidence.accuracies(store, experiment)  # raises if nothing is trained
        levels = [level.name for level in store.finished(find(experiment))][1:]
        if not levels or level not in ("all", *levels):
            raise evidence.Missing(f"{experiment} at {'any pruned level' if level == 'all' else f'{level} %'}")
        chosen = _choose(experiment, layers)
        shares = {level: [y for y in measure(store, experiment, level) if y.layer in chosen] for level in levels}
    except evidence.Missing as missing:
        markdown(missing_panel(f"{what[0].upper()}{what[1:]}", str(missing)))
        return
    said = {level: _stated_shares(key, experiment, level) for level in levels} if key else {}

    def draw(level: str) -> tuple[Figure, str]:
        if level != "all":
            means = ", ".join(
                f"{y.layer} {_percent(y.values.mean())} (chance {_percent(y.expected)})" for y in shares[level]
            )
            lost = _left_out(experiment, level, chosen)
            drawn = figures.share_strips(shares[level], ylabel, said.get(level))
            return drawn, f"Means at {level} % pruned: {means}.{lost}"
        first, last = levels[0], levels[-1]
        means = "; ".join(
            f"{y.layer} {_percent(y.values.mean())} (chance {_percent(y.expected)}) at {first} % pruned, "
            f"{_percent(z.values.mean())} ({_percent(z.expected)}) at {last} %"
            for y in shares[first]
            for z in shares[last]
            if y.layer == z.layer
        )
        return figures.share_by_level(shares, ylabel, said), f"Means: {means}."

    show_levels(
        draw,
        {"all": "all levels", **{level: f"{level} %" for level in levels}},
        level,
        name,
        f"{ylabel[0].upper()}{ylabel[1:]}; {what}. All levels: mean and standard deviation over "
        f"{find(experiment).inits} initialisations; one level: a dot for each of them. Grey is the central 95 % of "
        f"chance.{_orange(experiment, any(said.values()))}",
        "Shares of weights by layer beside grey intervals of chance.",
        _origin(store, [experiment], "A" if any(said.values()) else ""),
    )


def _percent(value: float) -> str:
    """Return a percentage with a digit after the point, or as many as one below 1 % needs, down to a hundredth."""
    if 0 < abs(value) < 0.01:
        return "< 0.01 %"
    return f"{value:.1f} %" if abs(value) >= 0.95 or not value else f"{value:.2f} %"


def _stated_shares(key: str, experiment: str, level: str) -> dict[str, tuple[float, float]]:
    """Return what the paper's text says of each layer at one level, of a figure that shows all levels."""
    counted = [layer.name for layer in find(experiment).architecture.layers if not layer.linear]
    found: dict[str, tuple[float, float]] = {}
    for statement in ladder.statements(key):
        if statement.level == level:
            span = statement.spans[0] if statement.spans else (statement.mean, statement.mean)
            found |= {counted[n - 1]: span for n in statement.layers or range(1, len(counted) + 1)}
    return found


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

    def draw(level: str) -> tuple[Figure, str]:
        chosen = _choose(panel.experiment, layers)
        measured = [
            y for y in evidence.rank_correlations(store, panel.experiment, level, of, over) if y.layer in chosen
        ]
        spread = ", ".join(f"{y.layer} {y.values.min():.2f} to {y.values.max():.2f}" for y in measured)
        lost = _left_out(panel.experiment, level, chosen, evidence.LEAST_RANKED)
        drawn = figures.correlation_strips(measured, ranges, other)
        return drawn, f"Rank correlations at {level} % pruned: {spread}.{lost}"

    _levels_panel(
        store,
        panel,
        level,
        draw,
        name,
        what,
        f"Rank correlation of initial and final weights in each ticket, at the level chosen above it; {what}. Each dot "
        f"is one ticket, in the shade of its initialisation. Ranked: {of}, {over}. Grey: no relationship."
        f"{_orange(panel.experiment, bool(ranges))}",
        "Dots over grey distributions around zero, one row a layer.",
        _origin(store, [panel.experiment], "A" if ranges else ""),
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
            raise evidence.Missing(f"{experiment} at {level} %")
    except evidence.Missing as missing:
        markdown(missing_panel(f"{what[0].upper()}{what[1:]}", str(missing)))
        return
    label = _label(measure)
    words = {level: level if level == "dense" else f"{level} %" for level in both}
    constant = [level for level in evidence.accuracies(store, experiment) if level not in both]
    lost = f" Left out, as no output depends on the image there: {', '.join(constant)} %." if constant else ""

    def draw(level: str) -> tuple[Figure, str]:
        if level != "all":
            own, other = both[level]
            matrix = evidence.output_matrix(store, experiment, level, measure)
            return (
                figures.similarity_matrix(matrix, find(experiment).runs, label),
                f"Means at {words[level]}: {own.mean():.3f} within an initialisation, {other.mean():.3f} across.",
            )
        means = ", ".join(f"{words[v]}: {w.mean():.3f} and {a.mean():.3f}" for v, (w, a) in both.items())
        within, across = ({v: pair[side] for v, pair in both.items()} for side in (0, 1))
        return figures.similarity_violins(within, across, label), f"Means within and across: {means}."

    show_levels(
        draw,
        {"all": "all levels", **words},
        level,
        name,
        f"How alike the outputs of two tickets are, {label}; {what}. All levels: pairs within an initialisation (left "
        f"halves) and across (right halves). One level: every pair of tickets, white lines between initialisations."
        f"{lost}",
        f"The {label} of pairs of tickets, within initialisations and across.",
        _origin(store, [experiment]),
    )


def _label(measure: str) -> str:
    if measure == "L2":
        return "L2 distance of softmax outputs"
    return "linear CKA of the logits" if measure == "CKA" else "linear CKA of softmax outputs"


def kernel_groups(store: Store, settings: paper_b.Settings) -> dict[str, patterns.Group]:
    """Return the groups of tickets whose kernels a chapter shows, by name; say which are not trained yet."""
    groups, lacking = paper_b.kernel_groups(store, settings)
    if lacking:
        names = ", ".join(f"`{name}`" for name in lacking)
        markdown(
            f":::{{admonition}} Not trained yet: {names}\n:class: note missing-panel\nThe figures show the groups that "
            f"there are. {how_to_train(lacking[0].split(' at ')[0])} The others fill themselves in at the next "
            "`python -m lib build`.\n:::\n"
        )
    return groups


def filter_panel(store: Store, groups: Mapping[str, patterns.Group], name: str, what: str) -> None:
    """Show how many weights the filters of the first layer keep.

    Parameters
    ----------
    store : Store
    groups : mapping of str to patterns.Group
    name : str
        By which the text refers to the figure.
    what : str
        Which figure of the paper this is.
    """
    deviations = _by_group(
        groups,
        lambda g: f"{kernels.filter_deviation(g.signs):.2f} (chance {kernels.expected_filter_deviation(g.signs):.2f})",
    )
    counts = {
        label: (kernels.filter_histogram(g.signs), kernels.expected_filter_histogram(g.signs))
        for label, g in groups.items()
    }
    show(
        lambda: figures.filter_bars(counts),
        name,
        f"Weights left in each filter of the first layer; {what}. {_tickets(groups)} Standard deviations: "
        f"{deviations}.",
        f"Bars over grey distributions of chance, one row a group. Standard deviations: {deviations}.",
        _group_origin(store, groups),
    )


def position_panel(store: Store, groups: Mapping[str, patterns.Group], name: str, what: str) -> None:
    """Show how often each position of a filter keeps its weight; parameters are those of `filter_panel`."""
    deviations = _by_group(
        groups,
        lambda g: (
            f"{kernels.position_deviation(g.signs):.1f} (chance {kernels.expected_position_deviation(g.signs):.1f})"
        ),
    )
    first = next(iter(groups.values())).signs
    channels = ["red", "green", "blue"] if first.shape[2] == 3 else [f"channel {c + 1}" for c in range(first.shape[2])]
    counts = {
        label: (kernels.position_counts(g.signs), (g.signs != 0).sum() / g.signs[0, 0].size)
        for label, g in groups.items()
    }
    show(
        lambda: figures.position_maps(counts, channels),
        name,
        f"Filters of the first layer that keep a weight at each of their {first[0, 0].size} positions; {what}. One map "
        f"a colour channel; purple, fewer than by chance, orange, more. {_tickets(groups)} Standard deviations over "
        f"the positions: {deviations}.",
        f"Maps of 3 by 3 numbers, one row a group. Standard deviations over the positions: {deviations}.",
        _group_origin(store, groups),
    )


def pair_panel(
    store: Store,
    groups: Mapping[str, patterns.Group],
    other: int,
    settings: paper_b.Settings,
    name: str,
    what: str,
) -> None:
    """Show how often weights of some sign lie in one kernel with a positive one, by place.

    Parameters
    ----------
    store, groups, name, what
        As for `filter_panel`.
    other : int
        Sign of the weights counted, 1 or -1.
    settings : paper_b.Settings
        Which places are neighbours.
    """

    def excess(group: patterns.Group) -> str:
        near, far = (
            np.nansum(part)
            for part in patterns.near_and_far(kernels.together(group.signs, 1, other), settings.diagonal)
        )
        return f"{near / far:.2f}"

    kind = "positive" if other == 1 else "negative"
    ratios = _by_group(groups, excess)
    counts = {
        label: (kernels.together(g.signs, 1, other), kernels.expected_together(g.signs, 1, other))
        for label, g in groups.items()
    }
    show(
        lambda: figures.pair_maps(counts, 1),
        name,
        f"How often a kernel has a {kind} weight at each place when the one at the reference place (red) is positive; "
        f"{what}. Nine reference places a group; purple, less often than by chance, orange, more often. "
        f"{_tickets(groups)} Mean count at the {'eight' if settings.diagonal else 'four'}-neighbours of the reference "
        f"over that at other places: {ratios}.",
        f"Nine maps of 3 by 3 places for each group. Mean at the neighbours over mean elsewhere: {ratios}.",
        _group_origin(store, groups),
    )


def pattern_panel(store: Store, groups: Mapping[str, patterns.Group], weights: int, name: str, what: str) -> None:
    """Show the nine most frequent patterns of the kernels with some number of weights.

    Parameters
    ----------
    store, groups, name, what
        As for `filter_panel`.
    weights : int
        That a kernel keeps.
    """
    found = {}
    for label, group in groups.items():
        shown, counts = kernels.frequent_patterns(group.signs, weights)
        found[label] = (shown, counts, [kernels.expected_pattern_count(group.signs, pattern) for pattern in shown])
    if not any(len(counts) for _, counts, _ in found.values()):
        markdown(f"No kernel keeps {weights} weights.")
        return
    most = ", ".join(
        f"{label} {counts[0]} (chance {expected[0]:.1f})"
        for label, (_, counts, expected) in found.items()
        if len(counts)
    )
    show(
        lambda: figures.pattern_grid({label: row for label, row in found.items() if len(row[1])}),
        name,
        f"The most frequent patterns of kernels with {weights} weights left; {what}. Red (+) positive, blue (−) "
        f"negative. Above each its count, in brackets the count expected if the ticket's weights lay anywhere in the "
        f"layer. {_tickets(groups)} Most frequent: {most}.",
        f"Nine patterns of signs in 3 by 3 places for each group. Counts of the most frequent: {most}.",
        _group_origin(store, groups),
    )


def kernel_table(store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings, name: str) -> None:
    """Show the statistics of filters, positions and signs of each group beside those of random tickets."""
    keys = ("filters", "sparse", "dense", "positions", "ratio", "empty")
    measured = {
        label: patterns.statistics(group, settings.diagonal, settings.pooled) for label, group in groups.items()
    }
    random = measured["random"]
    rows = [
        ["*chance*", *(_plain_number(random[key].expected, key) for key in keys)],
        [
            "*95 % of random tickets*",
            *(f"{_plain_number(random[k].low, k)} to {_plain_number(random[k].high, k)}" for k in keys),
        ],
    ]
    for label, own in measured.items():
        cells = [
            _marked(_plain_number(own[key].value, key), not random[key].low <= own[key].value <= random[key].high)
            if key in own
            else "–"
            for key in keys
        ]
        rows.append([label, *cells])
    table(
        [
            "group",
            "per filter",
            "sparse filters",
            "dense filters",
            "per position",
            "positive to negative",
            "empty kernels",
        ],
        rows,
        name,
        "Weights left per filter and per position (standard deviations), filters that keep far fewer or far more "
        "weights than the mean (by two standard deviations of chance), the ratio of signs, and kernels without a "
        f"weight. **Bold**: outside of the central 95 % of {patterns.RANDOM_DRAWS} groups of random tickets. "
        f"{_tickets(groups)}",
        _group_origin(store, groups),
    )


def neighbour_table(store: Store, groups: Mapping[str, patterns.Group], name: str) -> None:
    """Show, under every reading of the word, how many pairs of weights in a kernel are neighbours."""
    readings = [(diagonal, pooled) for diagonal in (False, True) for pooled in (True, False)]
    kinds = {"positive": "positive pairs", "negative": "negative pairs", "opposite": "opposite signs"}
    rows = [["*chance*", "any", *(f"{100 * kernels.expected_neighbour_share(d):.1f} %" for d, _ in readings), ""]]
    for label, group in groups.items():
        own = [patterns.measure(group.signs, d, p) for d, p in readings]
        control = patterns.statistics(group)
        for key, kind in kinds.items():
            if key not in control:
                continue
            cells = [
                "–" if key == "opposite" and not pooled else f"{values[key]:.1f} %"
                for values, (_, pooled) in zip(own, readings, strict=True)
            ]
            interval = control[key]
            rows.append([label, kind, *cells, f"{interval.control_low:.1f} to {interval.control_high:.1f} %"])
    table(
        ["group", "pairs", "4, all pairs", "4, by kernel", "8, all pairs", "8, by kernel", "control"],
        rows,
        name,
        "Pairs of weights in one kernel that are neighbours: with four or eight neighbours to a place; all pairs of "
        "the group together, or kernel by kernel and then averaged. *Control*: 95 % of tickets with the group's own "
        f"numbers of either sign and survivors per filter, in the first of the four readings. {_tickets(groups)}",
        _group_origin(store, groups),
    )


def grouped_table(store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings, name: str) -> None:
    """Show how many kernels with three and four weights have a grouped pattern, beside chance and control."""
    rows = []
    for label, group in groups.items():
        measured = patterns.statistics(group, settings.diagonal)
        for weights in (3, 4):
            own = measured.get(f"grouped{weights}")
            if own is None:
                continue
            found, _ = kernels.frequent_patterns(group.signs, weights)
            good = int(kernels.grouped(found, settings.diagonal).sum())
            rows.append(
                [
                    label,
                    weights,
                    f"{own.value:.1f} %",
                    f"{own.expected:.1f} %",
                    f"{own.control_low:.1f} to {own.control_high:.1f} %",
                    f"{good} of {len(found)}",
                ]
            )
    table(
        ["group", "weights", "grouped kernels", "chance", "control", "of the most frequent patterns"],
        rows,
        name,
        "Kernels in which the weights of each sign lie in one block. *Chance*: the group's weights of either sign "
        "anywhere in the layer, exact. *Control*: 95 % of tickets that also have the group's survivors in each filter. "
        f"{_tickets(groups)}",
        _group_origin(store, groups),
    )


def kernel_brief(groups: Mapping[str, patterns.Group], settings: paper_b.Settings) -> None:
    """Show in a few sentences what the paper's numbers, and our tickets' are beside what random tickets give."""
    chance = patterns.statistics(groups["random"], settings.diagonal, settings.pooled)
    outside: dict[bool, list[bool]] = {True: [], False: []}
    for part, key in paper_b.KERNEL_VALUES.items():
        for label in paper_b.KERNEL_GROUPS:
            (value,) = paper_b.printed(f"B-6-{part}-{label}")
            outside[label == "random"].append(not chance[key].low <= value <= chance[key].high)
    sentences = [
        f"Of the {len(outside[False])} numbers that the paper prints for filters, positions, signs and neighbours of "
        f"its winning tickets, {sum(outside[False])} lie outside of what 95 % of random tickets give; of the "
        f"{len(outside[True])} for its random tickets, {sum(outside[True])}."
    ]
    for label, group in groups.items():
        own = patterns.statistics(group, settings.diagonal, settings.pooled)
        parts = [
            f"{own[key].value:.{digits}f}{unit} {words} (chance {own[key].expected:.{digits}f}{unit})"
            for key, digits, unit, words in (
                ("filters", 2, "", "standard deviation of the weights per filter"),
                ("ratio", 2, "", "positive weights to a negative one"),
                ("positive", 1, " %", "of the pairs of positive weights neighbours"),
            )
            if key in own
        ]
        sentences.append(f"{' '.join(label.split())}, {len(group.signs)} tickets: {', '.join(parts)}.")
    markdown(f"**Measured here.** {' '.join(sentences)}")


def printed_table(settings: paper_b.Settings, name: str) -> None:
    """Show the numbers that the paper prints about kernels beside those of random tickets, which need no training."""
    group = paper_b.kernel_group(Store(), "random", dataclasses.replace(settings, trained=False))
    short = {
        "filters": "per filter",
        "positions": "per position",
        "ratio": "positive to negative",
        "positive": "neighbours (%)",
    }
    rows = []
    for part, key in paper_b.KERNEL_VALUES.items():
        own = patterns.statistics(group, settings.diagonal, settings.pooled)[key]
        printed = [x for label in paper_b.KERNEL_GROUPS for x in paper_b.printed(f"B-6-{part}-{label}")]
        rows.append(
            [
                short[key],
                _plain_number(own.expected, key),
                f"{_plain_number(own.low, key)} to {_plain_number(own.high, key)}",
                _plain_number(own.value, key),
                *(_marked(f"{value:g}", not own.low <= value <= own.high) for value in printed),
            ]
        )
    table(
        [
            "statistic",
            "chance",
            "95 % of random",
            "ours",
            *(label.replace("-WTs", "") for label in paper_b.KERNEL_GROUPS),
        ],
        rows,
        name,
        "Standard deviations of the weights left per filter and per position, positive weights to a negative one, and "
        "pairs of positive weights that are neighbours. Last four columns: what the paper prints of its random tickets "
        "and of the winning ones of its three data sets {cite:p}`signs2022`, beside what "
        f"{patterns.RANDOM_DRAWS} groups of {settings.kernel_tickets} random tickets give, which need no training. "
        "**Bold**: outside of the central 95 %.",
        [sources.COMPUTED, sources.PAPER_B],
    )


def kernel_count_table(
    store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings, name: str
) -> None:
    """Show how many kernels keep 0 to 9 weights: by chance, in the paper's table, and here."""
    tickets = settings.kernel_tickets
    expected, low, high = patterns.kernel_counts(paper_b.CIFAR, tickets)
    share = tickets / paper_b.KERNEL_TICKETS
    rows = [
        ["*chance*", *(f"{x:.1f}" for x in expected)],
        ["*95 % of random tickets*", *(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))],
    ]

    def row(label: str, counts: Sequence[float], scale: float) -> list[str]:
        marks = [not a <= x * scale <= b for a, b, x in zip(low, high, counts, strict=True)]
        return [label, *(_marked(f"{x:.0f}", mark) for x, mark in zip(counts, marks, strict=True))]

    for label in paper_b.KERNEL_GROUPS:
        rows.append(row(f"the paper's {label}", paper_b.printed(f"B-TA3-{label}"), share))
    rows += [row(label, kernels.kernel_histogram(group.signs).tolist(), 1.0) for label, group in groups.items()]
    table(
        ["group", *(str(n) for n in range(10))],
        rows,
        name,
        f"Kernels of the first layer with 0 to 9 weights left; the paper's Table A.3 {{cite:p}}`signs2022` and this "
        f"book's tickets. **Bold**: outside of the central 95 % of random tickets. {_tickets(groups)}",
        [*_group_origin(store, groups), sources.PAPER_B],
    )


def _by_group(groups: Mapping[str, patterns.Group], make: Callable[[patterns.Group], str]) -> str:
    return ", ".join(f"{' '.join(label.split())} {make(group)}" for label, group in groups.items())


def _tickets(groups: Mapping[str, patterns.Group]) -> str:
    """Return how many tickets are shown."""
    count = len(next(iter(groups.values())).signs)
    only = "" if any(not group.random for group in groups.values()) else " Only random tickets, which need no training."
    return f"{count} tickets a group.{only}"


def _group_origin(store: Store, groups: Mapping[str, patterns.Group]) -> list[Source]:
    """Return where groups come from; random ones, and what chance gives, are computed."""
    return [*_origin(store, (g.experiment for g in groups.values() if not g.random)), sources.COMPUTED]


def _plain_number(value: float, key: str) -> str:
    digits = 2 if key in ("filters", "ratio") else 1
    return f"{value:.{digits}f}"


def _marked(text: str, strong: bool) -> str:
    return f"**{text}**" if strong else text


def summary_table(parts: Mapping[str, Sequence[Scored]]) -> str:
    """Return a Markdown table of how many claims of each section have each verdict."""
    shown = [v for v in claims.Verdict if any(claims.summary(scored)[v] for scored in parts.values())]
    head = f"| section | {' | '.join(claims.badge(v) for v in shown)} |\n| --- |{' ---: |' * len(shown)}\n"
    rows = (
        f"| {section} | {' | '.join(str(claims.summary(scored)[v]) for v in shown)} |"
        for section, scored in parts.items()
    )
    return head + "\n".join(rows) + "\n"


METRICS = {False: "NNSTD", True: "NNSTD±"}


def _conditions(stand_ins: bool) -> list[paper_b.Condition]:
    """Return paper B's conditions, with those of the stand-ins behind if wanted; random pairs are last."""
    own = list(paper_b.CONDITIONS.values())
    more = paper_b.conditions(["CIFAR", *paper_b.STAND_INS]) if stand_ins else []
    return [*own[:-1], *(c for c in more if c not in own), own[-1]]


def untrained_note(store: Store, settings: paper_b.Settings, stand_ins: bool = True) -> None:
    """Say which of paper B's winning tickets are not trained, and so which conditions the chapter cannot show."""
    absent = paper_b.lacking(store, {**paper_b.DATASETS, **(paper_b.STAND_INS if stand_ins else {})}, settings)
    if absent:
        markdown(missing_panel("Conditions with winning tickets", " and ".join(absent)))


def distance_panel(
    store: Store, settings: paper_b.Settings, name: str, what: str, sample: int = paper_b.SAMPLE, stand_ins: bool = True
) -> None:
    """Show the distances of all conditions in both metrics, the mean over the layers: the paper's Figure 1.

    Parameters
    ----------
    store : Store
    settings : paper_b.Settings
    name, what : str
        As for `overlap_panel`.
    sample : int
        Comparisons drawn of each condition; 0 for all.
    stand_ins : bool
        Whether the conditions of the stand-ins are shown too.
    """
    panels = {}
    for signed, metric in METRICS.items():
        found = paper_b.measured(store, _conditions(stand_ins), signed, settings, sample)
        panels[metric] = {condition: compared.values().mean(axis=1) for condition, compared in found.items()}
    _show_distances(store, panels, name, f"Distances of pairs of tickets, the mean over the layers; {what}.", stand_ins)


def layer_distance_panel(
    store: Store, settings: paper_b.Settings, signed: bool, name: str, what: str, shared: bool, stand_ins: bool = True
) -> None:
    """Show the distances of all conditions in every layer: the paper's Figures A.1 to A.4.

    Parameters are those of `distance_panel`, and whether all layers are drawn on one scale.
    """
    found = paper_b.measured(store, _conditions(stand_ins), signed, settings)
    layers = [layer.name for layer in find(paper_b.CIFAR).architecture.layers]
    panels = {
        layer: {condition: compared.values()[:, number] for condition, compared in found.items()}
        for number, layer in enumerate(layers)
    }
    _show_distances(
        store, panels, name, f"{METRICS[signed]} of pairs of tickets, layer by layer; {what}.", stand_ins, shared
    )


def _show_distances(
    store: Store,
    panels: Mapping[str, Mapping[str, NDArray[np.float64]]],
    name: str,
    what: str,
    stand_ins: bool,
    shared: bool = False,
) -> None:
    first = next(iter(panels.values()))
    if not first:
        return  # signs after training, and nothing is trained: the note above says so
    conditions = {c.name: c for c in _conditions(stand_ins) if c.name in first}
    means = "; ".join(
        f"{title}: " + ", ".join(f"{condition} {values.mean():.4f}" for condition, values in panel.items())
        for title, panel in panels.items()
    )
    show(
        lambda: figures.distance_strips(panels, {c.name: c.category for c in conditions.values()}, shared),
        name,
        f"{what} One dot a pair, up to {max(map(len, first.values()))} of each condition; the line is its mean. "
        + (
            "*super10* and *photo* are stand-ins."
            if any(key in name for key in paper_b.STAND_INS for name in first)
            else ""
        ),
        f"Dots by condition, one panel each for {', '.join(panels)}. Means: {means}.",
        _condition_origin(store, conditions.values()),
    )


def _condition_origin(store: Store, conditions: Iterable[paper_b.Condition]) -> list[Source]:
    """Return where the tickets of some conditions come from; random ones are computed."""
    names = (paper_b.experiment_of(key) for c in conditions if c.category != "random" for key in (c.a, c.b))
    return [*_origin(store, names), sources.COMPUTED]


def comparison_table(
    store: Store,
    settings: paper_b.Settings,
    signed: bool,
    layer: str,
    name: str,
    sample: int = paper_b.SAMPLE,
    stand_ins: bool = True,
) -> None:
    """Show one metric of the paper's Table 1, or of one layer of Tables A.1 and A.2, beside what was measured.

    Parameters
    ----------
    store, settings, name, sample, stand_ins
        As for `distance_panel`.
    signed : bool
        NNSTD with signs, not NNSTD.
    layer : str
        Its name, or '' for the mean over the layers.
    """
    layers = [y.name for y in find(paper_b.CIFAR).architecture.layers]
    number = layers.index(layer) if layer else None
    printed = {
        c.setting["dataset"]: c.claimed
        for c in claims.load().values()
        if c.paper == "B"
        and c.check == "table-row"
        and c.claimed.cohen_d is not None
        and ("+-" in c.quantity) == signed
        and c.layer == (layer or "mean of five layers")
    }
    chosen = [c for c in _conditions(stand_ins) if c.category != "random"]
    found = paper_b.measured(store, chosen, signed, settings, sample)
    rows = []
    for condition in chosen:
        if condition.name not in printed and condition.name not in found:
            continue
        said = printed.get(condition.name)
        row = [f"`{condition.name}`"]
        row.append(f"{said.diff_mean:g}; {said.p_value:.2g}; {said.cohen_d:g} ({said.label})" if said else "–")
        compared = found.get(condition.name)
        if compared is None:
            rows.append([*row, "not trained", "", ""])
            continue
        for drawn in (True, False):
            d = compared.difference(number, drawn)
            row.append(f"{d.diff_mean:.4f}; {d.p_value:.2g}; {d.cohen_d:.2f} ({statistics.effect_word(d.cohen_d)})")
        rows.append([*row, f"{compared.permutation_p(number):.2g}"])
    table(
        ["condition", "the paper", f"here, {sample or 'all'} pairs", "here, all pairs", "p, tickets permuted"],
        rows,
        name,
        f"{METRICS[signed]}{f' in {layer}' if layer else ''}, each condition against *random*: difference of the "
        "means; p of Welch's test; Cohen's d, in the paper's words. The last column permutes the labels of tickets, "
        "because pairs that share a ticket are not independent. The paper's numbers: {cite:p}`signs2022`.",
        [*(_condition_origin(store, (c for c in chosen if c.name in found)) if found else []), sources.PAPER_B],
    )


def random_spread_table(store: Store, settings: paper_b.Settings, signed: bool, name: str) -> None:
    """Show how far the distances of random pairs scatter in every layer, beside what the paper's rows imply."""
    random = paper_b.measured(store, [paper_b.CONDITIONS["random"]], signed, settings, 0).get("random")
    if random is None:
        return  # signs after training, and nothing is trained: the note above says so
    # A row's difference over its effect is the pooled deviation of its two groups; of mixed rows, because half of their
    # tickets are random; of those whose difference has at least two digits.
    implied: dict[str, list[float]] = {}
    for c in claims.load().values():
        said, fits = c.claimed, ("+-" in c.quantity) == signed and c.setting.get("dataset", "").startswith("mixed")
        if c.paper == "B" and fits and said.cohen_d and said.diff_mean is not None and abs(said.diff_mean) >= 0.001:
            implied.setdefault(c.layer, []).append(said.diff_mean / said.cohen_d)
    layers = [layer.name for layer in find(paper_b.CIFAR).architecture.layers]
    spread = {"mean of five layers": random.values().mean(axis=1)}
    spread |= {layer: random.values()[:, number] for number, layer in enumerate(layers)}
    table(
        ["layer", "mean, random pairs", "standard deviation", "implied by the paper"],
        [
            [layer, f"{values.mean():.4f}", f"{values.std(ddof=1):.5f}", _range_of(implied.get(layer, []))]
            for layer, values in spread.items()
        ],
        name,
        f"{METRICS[signed]} of all {len(random.values())} pairs of random tickets, and the pooled standard deviation "
        "that the paper's *mixed* rows imply, each its difference over its effect {cite:p}`signs2022`; left out are "
        "rows whose difference is printed with a single digit. Random tickets need no training.",
        [sources.COMPUTED, sources.PAPER_B],
    )


def _range_of(values: Sequence[float]) -> str:
    if not values:
        return "–"
    low, high = f"{min(values):.5f}", f"{max(values):.5f}"
    return low if low == high else f"{low} to {high}"


def switch_table(store: Store, name: str) -> None:
    """Show for every condition whether its pairs are closer than random ones, whatever the switches say."""
    switches = ["as the ledger is scored", "match not carried", "signs after training", "pairs of one start count"]
    switches += ["14 tickets", paper_b.CONTROLS]
    found = {switch: paper_b.distinguished(store, switch) for switch in switches}
    if not found[switches[0]]:
        markdown(missing_panel("What the conclusion hangs on", paper_b.CIFAR))
        return

    def cell(switch: str, condition: str) -> str:
        if condition not in found[switch]:
            return "not trained"
        if switch == "pairs of one start count" and condition.startswith("WTs"):
            return "–"
        d, p, closer = found[switch][condition]
        return f"{'yes' if closer else '**no**'}: {d.cohen_d:.2f}; {p:.2g}"

    table(
        ["pairs", *switches],
        [[f"`{c}`", *(cell(switch, c) for switch in switches)] for c in found[switches[0]]],
        name,
        "Whether pairs of tickets are closer than *random* ones by NNSTD±, with one switch turned at a time: Welch's "
        "test of the drawn pairs and the permutation of tickets must both say so, at 0.01. Behind it Cohen's d; p of "
        "the permutation. Within a data set no pair has one start. *Controls*: random tickets with the counts of "
        "either sign of the winning ones in every layer, and their survivors in every unit; if they are as close as "
        "the winning ones, it is these numbers that make them so, not where the signs lie.",
        _condition_origin(store, (c for c in _conditions(True) if c.name in found[switches[0]])),
    )


def conclusion_table(store: Store, name: str) -> None:
    """Show in how many cases each half of the paper's conclusion holds when one switch is turned at a time."""
    rows = []
    for switch, settings in {**paper_b.SWITCHES, paper_b.CONTROLS: paper_b.Settings()}.items():
        # A switch that a half of the conclusion does not know changes nothing of it.
        scored = paper_b.SWITCHES["as the ledger is scored"]
        fields = ("carry", "trained", "same_start", "tickets")
        turned = switch == paper_b.CONTROLS or any(getattr(settings, f) != getattr(scored, f) for f in fields)
        pairs = paper_b.distinguished(store, switch) if turned or settings == scored else {}
        cells = [_held([x for c, x in pairs.items() if c.startswith("WTs") == own], "d") for own in (True, False)]
        if switch == "pairs of one start count":
            cells[0] = "–"  # there are none within a data set
        fields = ("trained", "kernel_tickets", "diagonal", "pooled")
        turned = settings == scored or any(getattr(settings, f) != getattr(scored, f) for f in fields)
        signs = paper_b.grouped_signs(store, switch) if turned and switch != paper_b.CONTROLS else {}
        rows.append([switch, *cells, _held(list(signs.values()), "%")])
    names = (*paper_b.DATASETS.values(), *paper_b.STAND_INS.values())
    used = [n for n in names if store.finished(find(n))]
    if all(set(row[1:]) == {"–"} for row in rows):
        markdown(missing_panel("What the conclusion hangs on", paper_b.CIFAR))
        return
    table(
        ["switch", "two tickets of one data set closer than random ones", "of two data sets", "signs lie together"],
        rows,
        name,
        "In how many cases, stand-ins included, each half of the conclusion holds with one switch turned at a time, "
        "and from where to where the measured values go. *Closer*: NNSTD± below random pairs by Welch's test and by a "
        "permutation of tickets; Cohen's d. *Signs lie together*: positive and negative pairs of the first layer are "
        "neighbours more often than in 95 % of the controls; share of positive pairs. *Controls* are random tickets "
        "with the winning ones' numbers of either sign and survivors per unit: where they too are closer, these "
        "numbers are enough. –: the switch changes nothing there.",
        [*_origin(store, used), sources.COMPUTED],
    )


def _held(cases: Sequence[tuple[object, float, bool]], unit: str) -> str:
    if not cases:
        return "–"
    values = [f"{x[0].cohen_d:.2f}" if isinstance(x[0], comparisons.Difference) else f"{x[0]:.1f}" for x in cases]
    values = sorted(dict.fromkeys(values), key=float)
    span = f"{values[0]} to {values[-1]}" if len(values) > 1 else values[0]
    count = f"{sum(x[2] for x in cases)} of {len(cases)}"
    return f"{count}; d {span}" if unit == "d" else f"{count}; {span} %"


def implied_table(name: str) -> None:
    """Show which size of groups the p-values and effects that paper B prints together imply."""
    rows = []
    printed = paper_b.printed_rows(c for c in claims.load().values() if c.paper == "B")
    for title in ("Table 1", "Table A.1", "Table A.2"):
        sizes = [n for c, n in printed if c.artefact.split("(")[0].strip() == title]
        low, median, high = np.percentile(sizes, [5, 50, 95])
        rows.append([title, len(sizes), f"{median:.1f}", f"{low:.1f} to {high:.1f}"])
    table(
        ["table", "rows", "median size of a group", "nine in ten rows"],
        rows,
        name,
        "How large the two groups of a row are if its effect and its p-value belong together: Welch's statistic of two "
        r"groups of $n$ values with equal variances is $d \sqrt{n/2}$. Rows with p below 0.001 and d of at least 0.5, "
        "which are printed exactly enough {cite:p}`signs2022`.",
        [sources.COMPUTED, sources.PAPER_B],
    )


def round_panel(store: Store, key: str, name: str, what: str) -> None:
    """Show accuracies by round of pruning, and of random tickets, or what stands in the place of that figure.

    Parameters
    ----------
    store : Store
    key : str
        Of the data set, as in `paper_b.DATASETS`.
    name, what : str
        As for `overlap_panel`.
    """
    experiment = paper_b.experiment_of(key)
    try:
        accuracy = {level: values.ravel() for level, values in evidence.accuracies(store, experiment).items()}
    except evidence.Missing as missing:
        markdown(missing_panel(f"Accuracies by round, {what}", str(missing)))
        return
    random = accuracy.pop("random", None)
    means = ", ".join(f"{level} {values.mean():.2f} %" for level, values in accuracy.items())
    drawn = "not trained" if random is None else f"{random.mean():.2f} %"
    show(
        lambda: figures.accuracy_by_round(accuracy, random),
        name,
        f"Test accuracy of the dense network (0) and of the ticket after each round; {what}. One thin line each of "
        f"{len(accuracy['dense'])} trials. Means: {means}; random tickets {drawn}.",
        f"Lines of test accuracy by round of pruning. Means: {means}; random tickets {drawn}.",
        _origin(store, [experiment]),
    )


def effect_table(store: Store, name: str) -> None:
    """Show how many claims have another verdict when what a paper leaves open is decided otherwise, and which."""
    rows, changed = [], []
    for effect in deviations.effects(store):
        none = f"`{effect.lacking}` is not trained yet" if effect.lacking else "none yet"
        rows.append(
            [
                effect.paper,
                effect.departure,
                effect.otherwise,
                len(effect.verdicts),
                len(effect.measured) or none,
                len(effect.changed) if effect.measured else "–",
            ]
        )
        if effect.changed:
            words = (f"{claims.escaped(c)} {' → '.join(map(str, effect.verdicts[c]))}" for c in effect.changed)
            changed.append(f"- *{effect.departure}; otherwise: {effect.otherwise}.* {'; '.join(words)}")
    table(
        ["paper", "decided here", "otherwise", "claims touched", "testable both ways", "other verdict"],
        rows,
        name,
        "Claims whose verdict is another when what a paper leaves open is decided otherwise. Claims about whole "
        "figures, which follow from the others, are left out.",
        sources.tickets(store, *(experiment.name for experiment in store.experiments())),
    )
    if changed:
        markdown("Which they are, with the verdict as decided here and otherwise:\n\n" + "\n".join(changed))


def missing_panel(title: str, experiments: str) -> str:
    """Return what stands in the place of a panel whose tickets are not there.

    Parameters
    ----------
    title : str
        Of the panel, such as 'Figure 3b, CIFAR-10'.
    experiments : str
        What `lib.evidence.Missing` says: the experiment's name, perhaps with the level.
    """
    parts = re.split(r" and (?=[a-z]+/)", experiments)
    return (
        f":::{{admonition}} {title}: not trained yet\n:class: note missing-panel\n"
        f"This panel needs the tickets of {' and '.join(f'`{part}`' for part in parts)}. "
        f"{how_to_train(' '.join(part.split(' at ')[0] for part in parts))} It fills itself at the next "
        f"`python -m lib build`.\n:::\n"
    )


def how_to_train(name: str) -> str:
    """Return the sentence that says how experiments are trained, names with blanks between, or cannot be yet."""
    if all(part in EXPERIMENTS for part in name.split()):
        return f"`python -m lib train {name}` trains them."
    return f"`python -m lib train {name}` will train them; its specification is not in `lib.experiments` yet."


def provenance(store: Store, names: Sequence[str]) -> str:
    """Return where a chapter's numbers come from: ticket files, hashes, device, versions, data, command.

    Parameters
    ----------
    store : Store
    names : sequence of str
        Of the experiments that the chapter uses; those that are not trained are named as such.
    """
    parts = []
    for name in names:
        levels = store.finished(find(name)) if name in EXPERIMENTS else []
        if not levels:
            parts.append(f"**`{name}`**: not trained. {how_to_train(name)}")
            continue
        experiment = find(name)
        manifest = store.manifest(experiment)
        entries = {level.name: manifest["levels"][level.name] for level in levels}
        first = next(iter(entries.values()))
        # What a manifest says of the machine is text from elsewhere.
        device = claims.escaped(first["device"])
        versions, data = (
            {key: claims.escaped(said) if isinstance(said, str) else said for key, said in first[part].items()}
            for part in ("versions", "data")
        )
        seconds = sum(entry["wall seconds"] for entry in entries.values())
        cost = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
        days = sorted({entry["finished"][:10] for entry in entries.values()})
        lacking = [level.name for level in experiment.levels if level.name not in entries]
        rows = "\n".join(
            f"| {evidence.level_words(level)} | `{entry['file']}` | {entry['bytes']:,} | `{entry['sha256'][:16]}…` |"
            for level, entry in entries.items()
        )
        parts.append(
            f"**`{name}`**: {experiment.inits} initialisations x {experiment.runs} runs, fingerprint "
            f"`{manifest['fingerprint']}`, trained on {' and '.join(dict.fromkeys((days[0], days[-1])))} in {cost} on "
            f"{device} ({first['processes']} process{'es' if first['processes'] > 1 else ''}), "
            f"Python {versions['python']}, torch {versions['torch']}, NumPy {versions['numpy']}. Images: "
            f"{data['name']} ({data['source']}; {data['training images']:,} for training, {data['test images']:,} for "
            f"the test), SHA-256 `{data['sha256'][:16]}…`. "
            + (f"Levels not trained yet: {', '.join(lacking)}. " if lacking else "")
            + f"To train it again: `python -m lib train {name}`.\n\n"
            f"| pruned | file in `data/tickets/{name}` | bytes | SHA-256 |\n| --- | --- | ---: | --- |\n{rows}"
        )
    return ":::{dropdown} Where these numbers come from\n" + "\n\n".join(parts) + "\n:::\n"


_STATE = re.compile(r"(<!-- state:.*?-->\n).*?(<!-- end of state -->)", re.DOTALL)


def readme(text: str, store: Store | None = None) -> tuple[str, bytes]:
    """Return the README with the state of the ledger brought up to date, and its figure.

    Parameters
    ----------
    text : str
        The README as it is.
    store : Store, optional
        The project's own if not given.

    Returns
    -------
    text : str
    figure : bytes
        A PNG file, for ``book/readme.png``.
    """
    store = store or Store()
    panel, level = paper_a.PANELS["A-F8a"], "50"
    layers = evidence.overlaps(store, panel.experiment, level)
    plain = re.sub(r"<[^>]*>", "", state_of_the_ledger(store, scoring.score_all(store=store)))
    spread = ", ".join(f"{y.layer} {y.values.mean():.0f} %" for y in layers)
    block = (
        f"\n{textwrap.fill(plain, 120, break_on_hyphens=False)}\n\n"
        "![Overlap of pairs of tickets by layer, over what chance gives](book/readme.png)\n\n"
        + textwrap.fill(
            f"*One figure of the book, the paper's Figure 8a: how much two tickets of the same initialisation share "
            f"when {level} % of the weights are pruned (Fashion-MNIST, {len(layers[0].values)} pairs). Grey is what "
            f"chance gives, orange what the paper says. Means: {spread}.*",
            120,
            break_on_hyphens=False,
        )
        + "\n\n"
    )
    return _STATE.sub(lambda m: m[1] + block + m[2], text), png(
        figures.overlap_strips(layers, paper_a.paper_ranges("A-F8a"))
    )
