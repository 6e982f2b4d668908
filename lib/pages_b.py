"""Figures and tables of paper B's chapters."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lib import (
    claims,
    comparisons,
    evidence,
    figures,
    kernels,
    pages,
    paper_b,
    patterns,
    scoring,
    sources,
    statistics,
    topology,
)
from lib.experiments import find
from lib.notebook import markdown, show, table
from lib.sources import Source
from lib.tickets import Store


def kernel_groups(store: Store, settings: paper_b.Settings) -> dict[str, patterns.Group]:
    """Return the groups of tickets whose kernels a chapter shows, by name; say which are not trained yet."""
    groups, lacking = paper_b.kernel_groups(store, settings)
    trials_note(store, (group.experiment for group in groups.values() if not group.random))
    if lacking:
        left_out = (
            "Tickets that are fewer than those on the paper's data sets are left out, as some of these numbers hang on "
            "how many they are. "
            if any(lack.beyond for lack in lacking)
            else ""
        )
        markdown(
            f":::{{admonition}} Not trained yet: {pages.named(lacking)}\n:class: note missing-panel\n"
            f"The figures show the groups that there are. {left_out}{pages.how_to_train(lacking[0].experiment)} "
            "The others fill themselves in at the next `python -m lib build`.\n:::\n"
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
    printed = paper_b.printed_kernels("sdfilter")
    deviations = ", ".join(
        f"{_plain(label)} {kernels.filter_deviation(g.signs):.2f} "
        f"(chance {kernels.expected_filter_deviation(g.signs):.2f}{_said(printed.get(label))})"
        for label, g in groups.items()
    )
    counts = {
        label: (kernels.filter_histogram(g.signs), kernels.expected_filter_histogram(g.signs))
        for label, g in groups.items()
    }
    show(
        lambda: figures.filter_bars(counts),
        name,
        f"Filters of the first layer that keep 0, 1, 2, … of their weights, in % of all filters of a group; {what}. "
        f"Grey: tickets whose weights lie anywhere in the layer. {_tickets(store, groups)} Standard deviations, with "
        f"the paper's {{cite:p}}`signs2022`: {deviations}.",
        f"Bars over grey distributions of chance, one row a group. Standard deviations: {deviations}.",
        [*_group_origin(store, groups), sources.PAPER_B],
    )


def position_panel(store: Store, groups: Mapping[str, patterns.Group], name: str, what: str) -> None:
    """Show how often each position of a filter keeps its weight; parameters are those of `filter_panel`."""
    printed = paper_b.printed_kernels("sdpos") if _as_many_as_the_paper(groups) else {}
    deviations = ", ".join(
        f"{_plain(label)} {kernels.position_deviation(g.signs):.1f} "
        f"(chance {kernels.expected_position_deviation(g.signs):.1f}{_said(printed.get(label))})"
        for label, g in groups.items()
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
        f"a colour channel; purple, fewer than by chance, orange, more. {_tickets(store, groups)} Standard deviations "
        f"over the positions, with the paper's {{cite:p}}`signs2022`: {deviations}.",
        f"Maps of 3 by 3 numbers, one row a group. Standard deviations over the positions: {deviations}.",
        [*_group_origin(store, groups), sources.PAPER_B],
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
        f"{_tickets(store, groups)} Mean count at the {'eight' if settings.diagonal else 'four'}-neighbours of the "
        f"reference over that at other places: {ratios}.",
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
        f"{label} {counts[0]} (chance {figures.expected_count(expected[0])})"
        for label, (_, counts, expected) in found.items()
        if len(counts)
    )
    show(
        lambda: figures.pattern_grid({label: row for label, row in found.items() if len(row[1])}),
        name,
        f"The most frequent patterns of kernels with {weights} weights left; {what}. Red (+) positive, blue (−) "
        f"negative. Above each its count, in brackets the count expected if the ticket's weights lay anywhere in the "
        f"layer. {_tickets(store, groups)} Most frequent: {most}.",
        f"Nine patterns of signs in 3 by 3 places for each group. Counts of the most frequent: {most}.",
        _group_origin(store, groups),
    )


def kernel_table(store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings, name: str) -> None:
    """Show the statistics of filters, positions and signs of each group beside those of random tickets."""
    keys = ("filters", "sparse", "dense", "positions", "ratio", "positive", "empty")
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

    def row(label: str, values: Mapping[str, float], chance: Mapping[str, patterns.Statistic]) -> list[str]:
        marks = {key: not chance[key].low <= value <= chance[key].high for key, value in values.items()}
        return [label, *(_marked(_plain_number(values[k], k), marks[k]) if k in values else "–" for k in keys)]

    said = {key: printed for key, printed, comparable in _printed(groups) if comparable}
    rows += [
        row(
            f"{_plain(label)}, the paper",
            {key: printed[label] for key, printed in said.items()},
            _chance_for_the_paper(store, settings),
        )
        for label in paper_b.printed_kernels("adj")
    ]
    rows += [row(label, {key: own[key].value for key in keys if key in own}, random) for label, own in measured.items()]
    table(
        [
            "group",
            "per filter",
            "sparse filters (%)",
            "dense filters (%)",
            "per position",
            "positive to negative",
            "neighbours (%)",
            "empty kernels (%)",
        ],
        rows,
        name,
        "Weights left per filter and per position (standard deviations), filters that keep far fewer or far more "
        "weights than the mean (by two standard deviations of chance), the ratio of signs, pairs of positive weights "
        "in a kernel that are neighbours, and kernels without a weight; as the paper prints them {cite:p}`signs2022`, "
        f"and here. **Bold**: outside of the central 95 % of {patterns.RANDOM_DRAWS} groups of as many random tickets. "
        f"{_the_paper_s_tickets(groups)}{_tickets(store, groups)}",
        [*_group_origin(store, groups), sources.PAPER_B],
    )


def neighbour_table(store: Store, groups: Mapping[str, patterns.Group], name: str) -> None:
    """Show, under every reading of the word, how many pairs of weights in a kernel are neighbours."""
    readings = [(diagonal, pooled) for diagonal in (False, True) for pooled in (True, False)]
    kinds = {
        "any": "any signs",
        "positive": "positive pairs",
        "negative": "negative pairs",
        "opposite": "opposite signs",
    }
    printed = paper_b.printed_kernels("adj")
    rows = [["*chance*", "any", *(f"{100 * kernels.expected_neighbour_share(d):.1f} %" for d, _ in readings), "", ""]]
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
            said = f"{printed[label]:g} %" if key == "positive" and label in printed else "–"
            rows.append([label, kind, *cells, f"{interval.control_low:.1f} to {interval.control_high:.1f} %", said])
    table(
        ["group", "pairs", "4, all pairs", "4, by kernel", "8, all pairs", "8, by kernel", "control", "the paper"],
        rows,
        name,
        "Pairs of weights in one kernel that are neighbours: with four or eight neighbours to a place; all pairs of "
        "the group together, or kernel by kernel and then averaged. *Control*: 95 % of tickets with the group's own "
        "numbers of either sign and survivors per filter, in the first of the four readings. The paper gives a number "
        f"for positive pairs {{cite:p}}`signs2022`; those of negative ones are similar, it says. "
        f"{_tickets(store, groups)}",
        [*_group_origin(store, groups), sources.PAPER_B],
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
            least, most, of = _grouped_places(group.signs, weights, settings.diagonal)
            rows.append(
                [
                    label,
                    weights,
                    f"{own.value:.1f} %",
                    f"{own.expected:.1f} %",
                    f"{own.control_low:.1f} to {own.control_high:.1f} %",
                    f"{least}{f' to {most}' if most > least else ''} of {of}",
                ]
            )
    table(
        ["group", "weights", "grouped kernels", "chance", "control", "of the most frequent patterns"],
        rows,
        name,
        "Kernels in which the weights of each sign lie in one block. *Chance*: the group's weights of either sign "
        "anywhere in the layer, exact. *Control*: 95 % of tickets that also have the group's survivors in each filter. "
        "*Of the most frequent patterns*: of nine; where several are as frequent as the ninth, the fewest and the most "
        f"that it can be. {_tickets(store, groups)}",
        _group_origin(store, groups),
    )


def _grouped_places(signs: kernels.Signs, weights: int, diagonal: bool, places: int = 9) -> tuple[int, int, int]:
    """Return how many of the most frequent patterns are grouped, at least and at most, and of how many."""
    patterns, counts = kernels.frequent_patterns(signs, weights, most=3**kernels.PLACES)
    good, last = kernels.grouped(patterns, diagonal), counts[:places][-1]
    sure, tied = int(good[counts > last].sum()), good[counts == last]
    open_places = min(places, len(counts)) - int((counts > last).sum())
    least = max(0, open_places - int((~tied).sum()))
    return sure + least, sure + min(open_places, int(tied.sum())), min(places, len(counts))


def kernel_brief(store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings) -> None:
    """Show in a few sentences what the paper's numbers, and our tickets' are beside what random tickets give."""
    chance = patterns.statistics(groups["random"], settings.diagonal, settings.pooled)
    of_the_paper = _chance_for_the_paper(store, settings)
    outside: dict[bool, list[bool]] = {True: [], False: []}
    for part, key in paper_b.KERNEL_VALUES.items():
        for label in paper_b.KERNEL_GROUPS:
            (value,) = paper_b.printed(f"B-6-{part}-{label}")
            outside[label == "random"].append(not of_the_paper[key].low <= value <= of_the_paper[key].high)
    sentences = [
        f"Of the {len(outside[False])} numbers that the paper prints for filters, positions, signs and neighbours of "
        f"its winning tickets, {sum(outside[False])} lie outside of what 95 % of random tickets give; of the "
        f"{len(outside[True])} for its random tickets, {sum(outside[True])}."
    ]
    counts = []
    for label, group in groups.items():
        own = patterns.statistics(group, settings.diagonal, settings.pooled)
        keys = [key for key in paper_b.KERNEL_VALUES.values() if key in own]
        beyond = sum(not chance[key].low <= own[key].value <= chance[key].high for key in keys)
        counts.append(f"{beyond} of {len(keys)} for *{' '.join(label.split())}*")
    sentences.append(f"Of the same statistics of the tickets here: {', '.join(counts)}.")
    markdown(f"**Measured here.** {' '.join(sentences)}")


def _printed(groups: Mapping[str, patterns.Group]) -> list[tuple[str, dict[str, float], bool]]:
    """Return for each statistic that the paper prints its key, its values by group, and whether ours compare."""
    return [
        (key, paper_b.printed_kernels(part), key != "positions" or _as_many_as_the_paper(groups))
        for part, key in paper_b.KERNEL_VALUES.items()
    ]


def _chance_for_the_paper(store: Store, settings: paper_b.Settings) -> dict[str, patterns.Statistic]:
    """Return the statistics of random tickets that the paper's are held against: as many as the paper has."""
    random = patterns.random(store, paper_b.CIFAR, paper_b.KERNEL_TICKETS)
    return patterns.statistics(random, settings.diagonal, settings.pooled)


def _the_paper_s_tickets(groups: Mapping[str, patterns.Group]) -> str:
    """Return that the paper has another number of tickets, for a caption; '' if it has as many."""
    return (
        "" if _as_many_as_the_paper(groups) else f"The paper's numbers are those of {paper_b.KERNEL_TICKETS} tickets. "
    )


def _as_many_as_the_paper(groups: Mapping[str, patterns.Group]) -> bool:
    """Return whether a group has as many tickets as the paper's, on which counts at a position hang."""
    return len(groups["random"].signs) == paper_b.KERNEL_TICKETS


def statistic_panel(store: Store, groups: Mapping[str, patterns.Group], settings: paper_b.Settings, name: str) -> None:
    """Show the statistics of kernels that the paper prints, its numbers and ours, over what random tickets give."""
    own = {label: patterns.statistics(g, settings.diagonal, settings.pooled) for label, g in groups.items()}
    titles = {
        "filters": "weights per filter (deviation)",
        "positions": "weights per position (deviation)",
        "ratio": "positive weights to a negative one",
        "positive": "neighbouring positive pairs (%)",
    }
    panels, paper, said = {}, {}, []
    for key, printed, comparable in _printed(groups):
        panels[titles[key]] = {_plain(label): found[key] for label, found in own.items() if key in found}
        paper[titles[key]] = {_plain(label): value for label, value in printed.items() if comparable}
        both = (
            f"{label} {_plain_number(found.value, key)}{_said(paper[titles[key]].get(label))}"
            for label, found in panels[titles[key]].items()
        )
        said.append(f"{titles[key]}: {', '.join(both)}")
    printed = paper_b.printed_kernels("adj")
    shown = [_plain(label) for label in ("random", *paper_b.KERNEL_LABELS) if label in groups or label in printed]
    show(
        lambda: figures.statistic_strips(panels, paper, shown, titles["positive"]),
        name,
        "Four numbers about the weights that the first layer keeps, by group of tickets: standard deviations of how "
        "many a filter and a position keep; the ratio of signs; and how many pairs of positive weights in one kernel "
        "are neighbours. Teal: ours; orange: what the paper prints {cite:p}`signs2022`. Grey: the central 95 % of "
        f"{patterns.RANDOM_DRAWS} groups of as many random tickets, which need no training; dashed, what chance gives. "
        "In the last panel a bracket: 95 % of tickets with the group's own numbers of either sign and survivors per "
        f"filter. {_the_paper_s_tickets(groups)}{_tickets(store, groups)}",
        f"Dots and diamonds over a grey band, one row a group, four panels. {'; '.join(said)}.",
        [*_group_origin(store, groups), sources.PAPER_B],
    )


def kernel_count_table(store: Store, groups: Mapping[str, patterns.Group], name: str) -> None:
    """Show how many kernels keep 0 to 9 weights: by chance, in the paper's table, and here."""
    tickets = len(next(iter(groups.values())).signs)
    expected, low, high = patterns.kernel_counts(paper_b.CIFAR, tickets)
    rows = [
        ["*chance*", *(f"{x:.1f}" for x in expected)],
        ["*95 % of random tickets*", *(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))],
    ]

    def row(label: str, counts: Sequence[float], number: int) -> list[str]:
        _, least, most = patterns.kernel_counts(paper_b.CIFAR, number)
        marks = [not a <= x <= b for a, b, x in zip(least, most, counts, strict=True)]
        return [label, *(_marked(f"{x:.0f}", mark) for x, mark in zip(counts, marks, strict=True))]

    for label in paper_b.KERNEL_GROUPS:
        rows.append(row(f"the paper's {label}", paper_b.printed(f"B-TA3-{label}"), paper_b.KERNEL_TICKETS))
    rows += [row(label, kernels.kernel_histogram(group.signs).tolist(), tickets) for label, group in groups.items()]
    table(
        ["group", *(str(n) for n in range(10))],
        rows,
        name,
        f"Kernels of the first layer with 0 to 9 weights left; the paper's Table A.3 {{cite:p}}`signs2022` and this "
        "book's tickets. **Bold**: outside of the central 95 % of as many random tickets. "
        f"{_the_paper_s_tickets(groups)}{_tickets(store, groups)}",
        [*_group_origin(store, groups), sources.PAPER_B],
    )


def _by_group(groups: Mapping[str, patterns.Group], make: Callable[[patterns.Group], str]) -> str:
    return ", ".join(f"{_plain(label)} {make(group)}" for label, group in groups.items())


def _plain(label: str) -> str:
    """Return the label of a group in one line."""
    return " ".join(label.split())


def _said(printed: float | None) -> str:
    """Return what the paper prints, for the end of a bracket; nothing if it prints nothing."""
    return "" if printed is None else f", the paper {printed:g}"


def _tickets(store: Store, groups: Mapping[str, patterns.Group]) -> str:
    """Return how many tickets are shown."""
    count = len(next(iter(groups.values())).signs)
    winning = [group.experiment for group in groups.values() if not group.random]
    only = _trained(store, winning) if winning else " Only random tickets, which need no training."
    return f"{count} ticket{'' if count == 1 else 's'} a group.{only}"


def _trained(store: Store, names: Iterable[str]) -> str:
    """Return for the end of a caption how many trials of some experiments are trained; '' if all are."""
    said = scoring.trials_words(store, names)
    return f" Trained: {said}." if said else ""


def trials_note(store: Store, names: Iterable[str]) -> None:
    """Say of which experiments only some trials are trained, and what that changes; nothing if of none."""
    said = scoring.trials_words(store, names)
    if said:
        markdown(
            f":::{{admonition}} Trained: {said}\n:class: note\nWhat stands here is measured on these, the first ones; "
            "fewer pairs of tickets show less. Random tickets need no training, and are all there "
            "unless it is signs after training that are compared.\n:::\n"
        )


def _group_origin(store: Store, groups: Mapping[str, patterns.Group]) -> list[Source]:
    """Return where groups come from; random ones, and what chance gives, are computed."""
    return [*pages.origin(store, (g.experiment for g in groups.values() if not g.random)), sources.COMPUTED]


def _plain_number(value: float, key: str) -> str:
    digits = 2 if key in ("filters", "ratio") else 1
    return f"{value:.{digits}f}"


def _marked(text: str, strong: bool) -> str:
    return f"**{text}**" if strong else text


METRICS = {False: "NNSTD", True: "NNSTD±"}


def _conditions(stand_ins: bool) -> list[paper_b.Condition]:
    """Return paper B's conditions, with those of the stand-ins behind if wanted; random pairs are last."""
    own = list(paper_b.CONDITIONS.values())
    more = paper_b.conditions(["CIFAR", *paper_b.STAND_INS]) if stand_ins else []
    return [*own[:-1], *(c for c in more if c not in own), own[-1]]


def _stand_in(words: str) -> str:
    """Return ' (stand-in)' if what is named, such as a condition, is of a stand-in; else ''."""
    return " (stand-in)" if any(key in words for key in paper_b.STAND_INS) else ""


def untrained_note(store: Store, settings: paper_b.Settings, stand_ins: bool = True) -> None:
    """Say which of paper B's winning tickets, or trials, are not trained, and so what the chapter cannot show."""
    names = {**paper_b.DATASETS, **(paper_b.STAND_INS if stand_ins else {})}
    absent = paper_b.lacking(store, names, settings)
    trials_note(store, _with_tickets(names, absent))
    if absent:
        some = len(absent) < len(names)
        title = f"{'Other conditions' if some else 'Conditions'} with winning tickets"
        markdown(pages.missing_panel(title, absent))


def _with_tickets(names: Mapping[str, str], absent: Iterable[claims.Lack]) -> list[str]:
    """Return the experiments whose winning tickets are there, of those by data set: of others first levels may be."""
    return [name for name in names.values() if name not in {lack.experiment for lack in absent}]


def comparison_brief(store: Store, settings: paper_b.Settings) -> None:
    """Show in a few sentences how far winning tickets are from random ones; nothing where none are trained.

    Parameters
    ----------
    store, settings
        As for `distance_panel`.
    """
    chosen = [c for c in _conditions(True) if c.category == "WTs"]
    by_metric = {signed: paper_b.measured(store, chosen, signed, settings) for signed in (True, False)}
    sentences = []
    for condition in chosen:
        said = []
        for signed, found in by_metric.items():
            if condition.name in found:
                d, permuted = found[condition.name].difference(), found[condition.name].permutation_p()
                how = "significantly closer" if d.lower else "not significantly closer"
                said.append(
                    f"{how} than two random ones by {METRICS[signed]} (d {d.cohen_d:.1f}, p {_tiny(d.p_value)}; with "
                    f"the labels of tickets permuted {permuted:.2g})"
                )
        if said:
            said_of = " and ".join(said).replace("-", "−")
            sentences.append(f"Two winning tickets of {condition.a}{_stand_in(condition.a)} are {said_of}.")
    if sentences:
        sentences.append(f"*Significantly*: by Welch's test, below {statistics.SIGNIFICANCE}.")
        markdown(f"**Measured here.** {' '.join(sentences)}")


def distance_panel(store: Store, settings: paper_b.Settings, name: str, what: str, stand_ins: bool = True) -> None:
    """Show the distances of all conditions in both metrics, the mean over the layers: the paper's Figure 1.

    Parameters
    ----------
    store : Store
    settings : paper_b.Settings
    name, what : str
        As for `overlap_panel`.
    stand_ins : bool
        Whether the conditions of the stand-ins are shown too.
    """
    panels = {
        metric: (signed, None, paper_b.measured(store, _conditions(stand_ins), signed, settings))
        for signed, metric in METRICS.items()
    }
    _show_distances(store, panels, name, f"Distances of pairs of tickets, the mean over the layers; {what}.", stand_ins)


def layer_distance_panel(
    store: Store, settings: paper_b.Settings, signed: bool, name: str, what: str, shared: bool, stand_ins: bool = True
) -> None:
    """Show the distances of all conditions in every layer: the paper's Figures A.1 to A.4.

    Parameters are those of `distance_panel`, and whether all layers are drawn on one scale.
    """
    found = paper_b.measured(store, _conditions(stand_ins), signed, settings)
    layers = [layer.name for layer in find(paper_b.CIFAR).architecture.layers]
    panels = {layer: (signed, number, found) for number, layer in enumerate(layers)}
    _show_distances(
        store, panels, name, f"{METRICS[signed]} of pairs of tickets, layer by layer; {what}.", stand_ins, shared
    )


_CATEGORY_WORDS = {
    "WTs": "two winning tickets of one data set",
    "between_DS": "winning tickets of two data sets",
    "mixed": "a winning ticket and a random one",
    "random": "two random tickets",
}


def _show_distances(
    store: Store,
    panels: Mapping[str, tuple[bool, int | None, Mapping[str, comparisons.Comparison]]],
    name: str,
    what: str,
    stand_ins: bool,
    shared: bool = False,
) -> None:
    """Show panels of distances, each with or without signs, of one layer or the mean over them, by condition."""
    first = next(iter(panels.values()))[2]
    if not first:
        return  # signs after training, and nothing is trained: the note above says so
    values, paper = {}, {}
    for title, (signed, number, found) in panels.items():
        every = {condition: compared.values() for condition, compared in found.items()}
        values[title] = {c: x.mean(axis=1) if number is None else x[:, number] for c, x in every.items()}
        # The paper prints differences from random pairs, and no distance: ours stand in for its random ones. On one
        # scale for all layers they could not be told from zero.
        marks = "random" in found and not shared
        printed = paper_b.printed_differences(signed, "" if number is None else title) if marks else {}
        paper[title] = {c: values[title]["random"].mean() + said.diff_mean for c, said in printed.items()}
    marked = any(paper.values())
    rows = [c for c in _conditions(stand_ins) if c.name in first or any(c.name in marks for marks in paper.values())]
    categories = {c.name: c.category for c in rows}
    pairs = {condition: _pair_words(compared) for condition, compared in first.items()}
    counts = sorted({len(words) for words in pairs.values()})
    kinds = [f"*{kind}*, {words}" for kind, words in _CATEGORY_WORDS.items() if kind in categories.values()]
    means = "; ".join(
        f"{title}: "
        + ", ".join(
            f"{c}{_stand_in(c)} {own.mean():.4f}" + (_said(round(paper[title][c], 4)) if c in paper[title] else "")
            for c, own in panel.items()
        )
        for title, panel in values.items()
    )
    show(
        lambda: figures.distance_strips(values, categories, shared, pairs, paper),
        name,
        f"{what} At 0 two tickets have the same connections, at 1 none in common. One dot a pair, "
        f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} pairs a condition; black, their mean; "
        f"dashed, that of *random*. {'; '.join(kinds)}. "
        + "Orange: the paper's difference from *random* {cite:p}`signs2022`, added to our mean of *random*. " * marked
        + _stand_ins(first)
        + _trained(store, _experiments_of(c for c in rows if c.name in first)),
        f"Dots by condition, one panel each for {', '.join(panels)}. Means: {means}.",
        [*_condition_origin(store, (c for c in rows if c.name in first)), *([sources.PAPER_B] * marked)],
    )


def _stand_ins(conditions: Iterable[str]) -> str:
    """Return for a caption which of some conditions' data sets are stand-ins; '' if none is."""
    keys = [f"*{key}*" for key in paper_b.STAND_INS if any(key in c for c in conditions)]
    return f"{' and '.join(keys)} {'are stand-ins' if len(keys) > 1 else 'is a stand-in'}." if keys else ""


def _pair_words(compared: comparisons.Comparison) -> list[str]:
    """Return in words which two tickets each pair is of, counted from 1."""
    a, b = compared.a.label, compared.b.label

    def of(label: str, number: int) -> str:
        return f"random ticket {number + 1}" if label == "random" else f"ticket {number + 1} of {label}"

    if a == b:
        kind = "random tickets" if a == "random" else "tickets"
        return [f"{kind} {i + 1} and {j + 1}" for i, j in compared.pairs()]
    return [f"{of(a, i)} and {of(b, j)}" for i, j in compared.pairs()]


def _condition_origin(store: Store, conditions: Iterable[paper_b.Condition]) -> list[Source]:
    """Return where the tickets of some conditions come from; random ones are computed."""
    return [*pages.origin(store, _experiments_of(conditions)), sources.COMPUTED]


def _experiments_of(conditions: Iterable[paper_b.Condition]) -> list[str]:
    """Return the experiments whose winning tickets some conditions compare."""
    return [paper_b.experiment_of(key) for c in conditions if c.category != "random" for key in (c.a, c.b)]


def comparison_table(
    store: Store,
    settings: paper_b.Settings,
    signed: bool,
    layer: str,
    name: str,
    stand_ins: bool = True,
) -> None:
    """Show one metric of the paper's Table 1, or of one layer of Tables A.1 and A.2, beside what was measured.

    Parameters
    ----------
    store, settings, name, stand_ins
        As for `distance_panel`.
    signed : bool
        NNSTD with signs, not NNSTD.
    layer : str
        Its name, or '' for the mean over the layers.
    """
    layers = [y.name for y in find(paper_b.CIFAR).architecture.layers]
    number = layers.index(layer) if layer else None
    printed = paper_b.printed_differences(signed, layer)
    chosen = [c for c in _conditions(stand_ins) if c.category != "random"]
    found, sample = paper_b.measured(store, chosen, signed, settings), settings.sample
    rows = []
    for condition in chosen:
        if condition.name not in printed and condition.name not in found:
            continue
        said = printed.get(condition.name)
        row = [f"`{condition.name}`{_stand_in(condition.name)}"]
        row.append(
            _lines(f"{said.diff_mean:g}", f"p {said.p_value:.2g}", f"d {said.cohen_d:g}", said.label) if said else "–"
        )
        compared = found.get(condition.name)
        if compared is None:
            rows.append([*row, "not trained", "", ""])
            continue
        for drawn in (True, False):
            d = compared.difference(number, drawn)
            word = statistics.effect_word(d.cohen_d)
            row.append(_lines(f"{d.diff_mean:.4f}", f"p {_tiny(d.p_value)}", f"d {d.cohen_d:.2f}", word))
        if len(compared.values()) < sample:
            row[-1] = _lines(row[-1], f"{len(compared.values())} pairs")
        rows.append([*row, f"{compared.permutation_p(number):.2g}"])
    few = any(len(compared.values()) < sample for compared in found.values())
    drawn_words = f"{'at most ' if few else ''}{sample}" if sample else "all"
    table(
        ["condition", "the paper", f"here, {drawn_words} pairs", "here, all pairs", "p, tickets permuted"],
        rows,
        name,
        f"{METRICS[signed]}{f' in {layer}' if layer else ''}, each condition against *random*: difference of the "
        "means; p of Welch's test; Cohen's d, in the paper's words. The last column permutes the labels of tickets, "
        "because pairs that share a ticket are not independent. The paper's numbers: {cite:p}`signs2022`."
        + _trained(store, _experiments_of(c for c in chosen if c.name in found)),
        [*(_condition_origin(store, (c for c in chosen if c.name in found)) if found else []), sources.PAPER_B],
    )


def _lines(*parts: str) -> str:
    """Return numbers and words as lines of a cell, which neither a minus sign nor a space ends before."""
    return "<br>".join(parts).replace("-", "−").replace(" ", "\N{NO-BREAK SPACE}")


def _tiny(p: float) -> str:
    """Return a p-value, also one that is too small for a float."""
    return f"{p:.2g}" if p else "<1e-300"


def random_spread_table(store: Store, settings: paper_b.Settings, signed: bool, name: str) -> None:
    """Show how far the distances of random pairs scatter in every layer, beside what the paper's rows imply."""
    every = dataclasses.replace(settings, sample=0)
    random = paper_b.measured(store, [paper_b.CONDITIONS["random"]], signed, every).get("random")
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
        "rows whose printed difference is below 0.001. Random tickets need no training.",
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
    switches += ["at most 14 tickets", paper_b.CONTROLS]
    found = {switch: paper_b.distinguished(store, switch) for switch in switches}
    if not found[switches[0]]:
        markdown(pages.missing_panel("What the conclusion hangs on", [claims.Lack(paper_b.CIFAR)]))
        return

    def cell(switch: str, condition: str) -> str:
        if condition not in found[switch]:
            return "too few trained"
        if switch == "pairs of one start count" and condition.startswith("WTs"):
            return "–"
        d, p, closer = found[switch][condition]
        lines = ["yes" if closer else "**no**", f"d {d.cohen_d:.2f}", f"p {p:.2g}"]
        if switch == paper_b.CONTROLS and condition in found[switches[0]]:
            lines.append(f"{100 * d.diff_mean / found[switches[0]][condition][0].diff_mean:.0f} % of it")
        return _lines(*lines)

    table(
        ["pairs", *switches],
        [[f"`{c}`{_stand_in(c)}", *(cell(switch, c) for switch in switches)] for c in found[switches[0]]],
        name,
        "Whether pairs of tickets are closer than *random* ones by NNSTD±, with one switch turned at a time: Welch's "
        "test of the drawn pairs and the permutation of tickets must both say so, at 0.01. Below it Cohen's d; p of "
        "the permutation. Within a data set no pair has one start. *Controls*: random tickets with the counts of "
        "either sign of the winning ones in every layer, and their survivors in every unit; last how much of the "
        "winning ones' difference from random pairs they have: so much of it these numbers explain, and it needs no "
        "word about where the signs lie."
        + _trained(store, _experiments_of(c for c in _conditions(True) if c.name in found[switches[0]])),
        _condition_origin(store, (c for c in _conditions(True) if c.name in found[switches[0]])),
    )


def conclusion_table(store: Store, name: str) -> None:
    """Show in how many cases each half of the paper's conclusion holds when one switch is turned at a time."""
    rows, as_scored = [], paper_b.grouped_signs(store, "as the ledger is scored")
    winning = paper_b.distinguished(store, "as the ledger is scored")
    for switch, settings in {**paper_b.SWITCHES, paper_b.CONTROLS: paper_b.Settings()}.items():
        # A switch that a half of the conclusion does not know changes nothing of it.
        scored = paper_b.SWITCHES["as the ledger is scored"]
        fields = ("carry", "trained", "same_start", "tickets")
        turned = switch == paper_b.CONTROLS or any(getattr(settings, f) != getattr(scored, f) for f in fields)
        as_before = settings == scored and switch != paper_b.CONTROLS
        pairs = winning if as_before else paper_b.distinguished(store, switch) if turned else {}
        cells = [_held([x for c, x in pairs.items() if c.startswith("WTs") == own], "d") for own in (True, False)]
        if switch == paper_b.CONTROLS:
            shares = {c: 100 * x[0].diff_mean / winning[c][0].diff_mean for c, x in pairs.items() if c in winning}
            for n, own in enumerate((True, False)):
                part = [f"{share:.0f}" for c, share in shares.items() if c.startswith("WTs") == own]
                cells[n] = _lines(cells[n], f"{_span(part)} % of it") if part else cells[n]
        if switch == "pairs of one start count":
            cells[0] = "–"  # there are none within a data set
        fields = ("trained", "kernel_tickets", "diagonal", "pooled")
        turned = settings == scored or any(getattr(settings, f) != getattr(scored, f) for f in fields)
        signs = paper_b.grouped_signs(store, switch) if turned and switch != paper_b.CONTROLS else {}
        # Where fewer tickets are trained than a switch allows, it changes nothing either.
        signs = {} if settings != scored and signs == as_scored else signs
        rows.append([switch, *cells, _held(list(signs.values()), "%")])
    names = {**paper_b.DATASETS, **paper_b.STAND_INS}
    used = _with_tickets(names, paper_b.lacking(store, names))
    if all(set(row[1:]) == {"–"} for row in rows):
        markdown(pages.missing_panel("What the conclusion hangs on", [claims.Lack(paper_b.CIFAR)]))
        return
    table(
        ["switch", "two tickets of one data set closer than random ones", "of two data sets", "signs lie together"],
        rows,
        name,
        "In how many cases, stand-ins included, each half of the conclusion holds with one switch turned at a time, "
        "and from where to where the measured values go. *Closer*: NNSTD± below random pairs by Welch's test and by a "
        "permutation of tickets; Cohen's d. *Signs lie together*: positive and negative pairs of the first layer are "
        "neighbours more often than in 95 % of the controls; share of positive pairs. *Controls* are random tickets "
        "with the winning ones' numbers of either sign and survivors per unit; last how much of the winning ones' "
        "difference from random pairs they have, which is as much as these numbers explain. –: the switch changes "
        "nothing there." + _trained(store, used),
        [*pages.origin(store, used), sources.COMPUTED],
    )


def _held(cases: Sequence[tuple[object, float, bool]], unit: str) -> str:
    if not cases:
        return "–"
    span = _span([f"{x[0].cohen_d:.2f}" if isinstance(x[0], comparisons.Difference) else f"{x[0]:.1f}" for x in cases])
    count = f"{sum(x[2] for x in cases)} of {len(cases)}"
    return _lines(count, f"d {span}" if unit == "d" else f"{span} %")


def _span(numbers: Iterable[str]) -> str:
    """Return from where to where some numbers go, of those that are written differently."""
    values = sorted(dict.fromkeys(numbers), key=float)
    return f"{values[0]} to {values[-1]}" if len(values) > 1 else values[0]


def order_words(store: Store, tickets: int = 5) -> str:
    """Return in words what it does to a distance when its two networks change places, measured on some tickets."""
    names = {**paper_b.DATASETS, **paper_b.STAND_INS}
    used = _with_tickets(names, paper_b.lacking(store, names))[:1]
    if not used:
        return ""
    winning = comparisons.winning_tickets(store, used[0])[:tickets]
    drawn = comparisons.random_tickets(store, used[0])[:tickets]
    i, j = (k.ravel() for k in np.indices((len(winning), len(drawn))))
    said = []
    for words, signed in (("without signs", False), ("with signs", True)):
        both = np.concatenate([winning, drawn])
        both = both if signed else both != 0
        pairs = [(i, j + len(winning)), (j + len(winning), i)]
        one, other = (topology.distances(find(used[0]).architecture, both, p, quiet=True).mean(axis=1) for p in pairs)
        apart = np.abs(one - other)
        many = int((apart > 1e-12).sum())
        said.append(f"{words} {many}, by up to {apart.max():.4f}" if many else f"{words} none")
    return (
        f"Of {len(i)} pairs of a winning ticket (`{used[0]}`) and a random one, with another distance when the two "
        f"change places: {'; '.join(said)}."
    )


def balance_table(store: Store, name: str) -> None:
    """Show how many of the weights of tickets are positive, in each layer and in all, beside a fair coin."""
    names = {**paper_b.DATASETS, **paper_b.STAND_INS}
    used = _with_tickets(names, paper_b.lacking(store, names))
    layers = find(paper_b.CIFAR).architecture.weight_slices()
    tickets = {f"{key}{_stand_in(key)}": names[key] for key in names if names[key] in used}
    groups = {label: comparisons.winning_tickets(store, experiment) for label, experiment in tickets.items()}
    groups["random"] = comparisons.random_tickets(store, paper_b.CIFAR)
    rows = []
    for label, signs in groups.items():
        shares = {layer: paper_b.positive_shares(signs[:, where])[0].mean() for layer, where in layers.items()}
        every, outside = paper_b.positive_shares(signs)
        cells = (f"{100 * share:.1f} %" for share in (*shares.values(), every.mean()))
        rows.append([label, *map(_lines, (*cells, f"{outside.sum()} of {len(outside)}"))])
    table(
        ["tickets", *layers, "all", "no fair coin"],
        rows,
        name,
        "Share of positive weights among the survivors, mean over tickets, with the signs of the initial weights. *No "
        "fair coin*: tickets whose share in all layers lies outside of what 95 % of as many throws of a coin give."
        + _trained(store, used),
        [*pages.origin(store, used), sources.COMPUTED],
    )


def sign_table(store: Store, name: str) -> None:
    """Show how often neighbours have one sign, and how often survivors are neighbours, each beside chance."""
    names = {**paper_b.DATASETS, **paper_b.STAND_INS}
    labels = {experiment: label for label, experiment in paper_b.KERNEL_LABELS.items()}
    rows, used = [], []
    for experiment in _with_tickets(names, paper_b.lacking(store, names)):
        group = patterns.winning(store, experiment, paper_b.KERNEL_TICKETS)
        shares = map(paper_b.same_sign, (group.signs, paper_b.dense_signs(store, experiment)))
        own = patterns.statistics(group)
        cells = [_lines(_marked(f"{share:.1f} %", share > most), f"(up to {most:.1f} %)") for share, most in shares]
        for key in ("any", "positive"):
            value, low, high = own[key].value, own[key].low, own[key].high
            cells.append(_lines(_marked(f"{value:.1f} %", not low <= value <= high), f"({low:.1f} to {high:.1f} %)"))
        rows.append([_plain(labels[experiment]), *cells])
        used.append(experiment)
    if not rows:
        markdown(pages.missing_panel("How signs lie in the first layer", [claims.Lack(paper_b.CIFAR)]))
        return
    table(
        [
            "images",
            "neighbours of one sign, tickets before training",
            "trained dense networks",
            "any two survivors are neighbours",
            "two positive ones",
        ],
        rows,
        name,
        f"Weights of the first layer, of at most {paper_b.KERNEL_TICKETS} tickets. Neighbours of one sign: of all "
        "pairs of neighbours, in brackets the upper end of 95 % when every ticket's signs are dealt anew among its "
        "survivors. Neighbours among all pairs of survivors in a kernel, and among those of two positive ones: in "
        "brackets 95 % of as many random tickets. **Bold**: above or outside of what stands in the brackets."
        + _trained(store, used),
        [*pages.origin(store, used), sources.COMPUTED],
    )


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
        markdown(pages.missing_panel(f"Accuracies by round, {what}", missing.lacks))
        return
    random = accuracy.pop("random", None)
    means = ", ".join(f"{level} {values.mean():.2f} %" for level, values in accuracy.items())
    trials, drawn = len(accuracy["dense"]), "not trained" if random is None else f"{random.mean():.2f} %"
    show(
        lambda: figures.accuracy_by_round(accuracy, random),
        name,
        f"Test accuracy of the dense network (0) and of the ticket after each round; {what}. One thin line each of "
        f"{store.trials(experiment) or f'{trials} trials'}. Means: {means}; random tickets {drawn}.",
        f"Lines of test accuracy by round of pruning. Means: {means}; random tickets {drawn}.",
        pages.origin(store, [experiment]),
    )
