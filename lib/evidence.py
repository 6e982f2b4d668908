"""What the tickets say about each claim: from the store to the measurements that `lib.claims` judges.

One function a section of a paper gives the measurements of that section's claims. Which level a claim
is read at, and which comparison decides it, is fixed here; how a measurement becomes a verdict, in
`lib.claims`. A claim for which no function has a measurement stays `open`.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lib import baselines, claims, overlap
from lib.claims import ChanceGroup, Claim, Measurement, Scored
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment, find
from lib.pruning import Level, kept_counts
from lib.tickets import LevelRecord, Store

FASHION, CIFAR, RESNET = "a/fashion-lenet/free", "a/cifar-lenet/free", "a/cifar-resnet18/free"
SMALL = (FASHION, CIFAR)
LADDER_PARTIAL = "a/fashion-lenet/partial"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel of a figure of paper A that shows overlaps.

    Attributes
    ----------
    experiment : str
    levels : mapping of str to str
        How the paper's level can be read, in words, to the name of that level. Where a caption and the
        numbers of the text do not fit each other there are two readings, and a claim is scored at both.
    within : bool
        Pairs of tickets of one initialisation, or else of different ones.
    """

    experiment: str
    levels: Mapping[str, str]
    within: bool = True


# The levels of Figure 3: the captions say 80, 90 and 90 %; the expected overlaps that the text gives, and
# for the second and third panel its own words, are those of the next level (90, 95 and 98 %).
PANELS: dict[str, Panel] = {
    "A-1": Panel(FASHION, {f"{level.name} %": level.name for level in find(FASHION).levels[1:]}),
    "A-F2-1": Panel(FASHION, {"first step, 50 %": "50"}, within=False),
    "A-F2-2": Panel(CIFAR, {"fifth step, 95 %": "95"}, within=False),
    "A-F2-3": Panel(RESNET, {"third step, 90 %": "90"}, within=False),
    "A-F3a": Panel(FASHION, {"captioned level, 80 %": "80", "implied level, 90 %": "90"}),
    "A-F3b": Panel(CIFAR, {"captioned level, 90 %": "90", "implied level, 95 %": "95"}),
    "A-F3c": Panel(RESNET, {"captioned level, 90 %": "90", "implied level, 98 %": "98"}),
    "A-F8a": Panel(FASHION, {"first step, 50 %": "50"}),
    "A-F8b": Panel(CIFAR, {"first step, 50 %": "50"}),
    "A-F8c": Panel(RESNET, {"first step, 50 %": "50"}),
}


@dataclasses.dataclass(frozen=True)
class LayerOverlap:
    """Overlaps of pairs of masks in one layer, and what chance gives; all in % of the mask.

    Attributes
    ----------
    layer : str
    weights, kept : int
        Of the layer, and of its mask.
    values : float array, shape (pairs,)
    first, second : int array, shape (pairs,)
        Initialisation of each of the two masks.
    expected, low, high : float
        Mean and central 95 % interval of the hypergeometric distribution.
    """

    layer: str
    weights: int
    kept: int
    values: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    expected: float
    low: float
    high: float


class Missing(Exception):  # noqa: N818 - it is no error: the book says what is missing
    """The tickets that a measurement needs are not trained; its text names them."""


def record(store: Store, name: str, level: str) -> LevelRecord:
    """Return one stored level; raise `Missing` if it is not trained."""
    if name not in EXPERIMENTS:
        raise Missing(name)
    experiment = find(name)
    if experiment.level(level) not in store.finished(experiment):
        raise Missing(name if not store.finished(experiment) else f"{name} at {level} %")
    return _read(store, experiment, experiment.level(level))


@functools.lru_cache(maxsize=64)
def _read(store: Store, experiment: Experiment, level: Level) -> LevelRecord:
    return store.read(experiment, level)


def overlaps(store: Store, name: str, level: str, within: bool = True) -> list[LayerOverlap]:
    """Return the overlaps of all pairs of masks of an experiment at one level, layer by layer.

    Parameters
    ----------
    store : Store
    name : str
        Of the experiment.
    level : str
        Name of the level.
    within : bool
        Pairs of one initialisation (10 for each, of five runs), or else of different ones.

    Returns
    -------
    list of LayerOverlap

    Raises
    ------
    Missing
        If the level is not trained.
    UserError
        If there are no such pairs: one run an initialisation, or one initialisation.
    """
    masks = record(store, name, level).masks
    experiment = find(name)
    architecture = experiment.architecture
    choose = overlap.within_pairs if within else overlap.across_pairs
    i, j = choose(experiment.inits, experiment.runs)
    if not len(i):
        pairs = "one initialisation" if within else "different initialisations"
        raise UserError(f"{name}: {experiment.inits} x {experiment.runs} runs have no pairs of {pairs}")
    measured = overlap.layer_overlaps(masks, architecture.weight_slices(), (i, j))
    counts = kept_counts(architecture, experiment.level(level))
    result = []
    for layer in architecture.layers:
        n, kept = layer.size, counts[layer.name]
        low, high = baselines.overlap_interval(n, kept)
        result.append(
            LayerOverlap(
                layer.name,
                n,
                kept,
                measured[layer.name],
                i // experiment.runs,
                j // experiment.runs,
                100 * baselines.overlap_mean(n, kept) / kept,
                100 * low / kept,
                100 * high / kept,
            )
        )
    return result


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the overlap of masks of one initialisation can come from, in one layer.

    Attributes
    ----------
    layer : str
    overlap : float
        Mean of all pairs within an initialisation, in % of the mask.
    chance : float
        What independent masks would give.
    from_initial : float
        What masks would give that knew nothing but the rank of each initial magnitude.
    updates_within, updates_across : float
        Mean correlation of what two dense networks have learned (final less initial weights), of one
        initialisation and of different ones.
    """

    layer: str
    overlap: float
    chance: float
    from_initial: float
    updates_within: float
    updates_across: float


def origins(store: Store, name: str, level: str) -> list[Origin]:
    """Return, layer by layer, what explains the overlap of masks within an initialisation at one level.

    Raises
    ------
    Missing
        If the level, or the dense one, is not trained.
    """
    experiment = find(name)
    masks = record(store, name, level).masks
    initial = store.initial_weights(experiment)
    updates = record(store, name, "dense").weights - np.repeat(initial, experiment.runs, axis=0)
    within = overlap.within_pairs(experiment.inits, experiment.runs)
    across = overlap.across_pairs(experiment.inits, experiment.runs)
    result = []
    for layer in overlaps(store, name, level):
        where = experiment.architecture.weight_slices()[layer.layer]
        bins = min(50, max(1, layer.weights // 3))
        alone = overlap.overlap_from_initial_magnitude(
            initial[:, where], masks[:, where], experiment.inits, experiment.runs, bins
        )
        correlation = np.corrcoef(updates[:, where])
        result.append(
            Origin(
                layer.layer,
                float(layer.values.mean()),
                layer.expected,
                float(alone.mean()),
                float(correlation[within].mean()),
                float(correlation[across].mean()),
            )
        )
    return result


def as_if_across(store: Store, key: str, panel: Panel, level: str) -> list[tuple[Scored, Scored]]:
    """Score the claims of a panel on tickets of one initialisation, and as if they were about different ones.

    Shows which of the two the paper's numbers fit. The second of each pair is no verdict of the ledger.

    Parameters
    ----------
    store : Store
    key : str
        Of the panel in `PANELS`; its claims are those about the overlaps of one layer.
    panel : Panel
    level : str
        Name of the level at which both are scored.

    Returns
    -------
    list of (Scored, Scored)

    Raises
    ------
    Missing
        If the level is not trained.
    """
    record(store, panel.experiment, level)
    both = [dataclasses.replace(panel, levels={"": level}, within=within) for within in (True, False)]
    return [
        (
            claims.judge(c, _panel_measurements(store, c, both[0])),
            claims.judge(c, _panel_measurements(store, c, both[1])),
        )
        for c in claims.load().values()
        if c.id.startswith(key + "-") and _layer_number(c)
    ]


def panels_at(key: str, levels: Mapping[str, float | str]) -> dict[str, Panel]:
    """Return the panels of `PANELS` with one of them read at other levels.

    Parameters
    ----------
    key : str
        Of the panel.
    levels : mapping of str to float or str
        How a level is called, to the fraction of the weights that is pruned.

    Raises
    ------
    UserError
        If the panel's experiment has no such level.
    """
    panel = PANELS[key]
    experiment = find(panel.experiment)
    names = {}
    for words, fraction in levels.items():
        known = {level.name: level.pruned for level in experiment.levels[1:]}
        try:
            match = [name for name, pruned in known.items() if abs(pruned - float(fraction)) < 1e-9]
        except ValueError:
            match = []
        if not match:
            listed = ", ".join(f"{pruned:g}" for pruned in known.values())
            raise UserError(f"level is {fraction} ({words}): {experiment.name} has levels at {listed} pruned")
        names[f"{words}, {match[0]} %"] = match[0]
    return {**PANELS, key: dataclasses.replace(panel, levels=names)}


def choose_layers(name: str, layers: str) -> list[str]:
    """Return the layers of an experiment that a chapter's parameter names: 'all', or names with commas between."""
    known = [layer.name for layer in find(name).architecture.layers]
    chosen = known if layers == "all" else [part.strip() for part in layers.split(",")]
    for layer in chosen:
        if layer not in known:
            raise UserError(f"layers names {layer!r}: {name} has {', '.join(known)} (or all)")
    return chosen


def paper_ranges(key: str) -> dict[str, tuple[float, float]]:
    """Return what the paper's text says of the overlaps in each layer of a panel, in % of the mask, by layer.

    A value, such as 'around 10 %', is a range of no width; a range without one of its ends is left out.
    """
    layers = find(PANELS[key].experiment).architecture.layers
    found = {}
    for claim in claims.load().values():
        said, number = claim.claimed, _layer_number(claim)
        if not claim.id.startswith(key + "-") or not number:
            continue
        if claim.check == "range" and said.low is not None and said.high is not None:
            found[layers[number - 1].name] = (said.low, said.high)
        elif claim.check == "value" and isinstance(said.value, int | float):
            found[layers[number - 1].name] = (float(said.value), float(said.value))
    return found


def accuracies(store: Store, name: str) -> dict[str, NDArray[np.float64]]:
    """Return the test accuracy in % of every replica, shape (inits, runs), for each level trained."""
    if name not in EXPERIMENTS or not store.finished(find(name)):
        raise Missing(name)
    experiment = find(name)
    result = {}
    for level in store.finished(experiment):
        images = store.manifest(experiment)["levels"][level.name]["data"]["test images"]
        correct = record(store, name, level.name).correct
        result[level.name] = 100 * correct.reshape(experiment.inits, experiment.runs) / images
    return result


def score(
    paper: str, section: str, store: Store | None = None, panels: Mapping[str, Panel] | None = None
) -> list[Scored]:
    """Score every claim of one section.

    Parameters
    ----------
    paper : str
        'A' or 'B'.
    section : str
        As in the ledger, such as '3.1' or 'Appendix A'.
    store : Store, optional
        The project's own if not given.
    panels : mapping, optional
        Panels to use in place of those of `PANELS`; for a chapter executed with other levels.

    Returns
    -------
    list of Scored
        In the ledger's order.
    """
    ledger = [c for c in claims.load().values() if (c.paper, c.section) == (paper, section)]
    if not ledger:
        raise UserError(f"section is {section!r}: the ledger has no entry for it in paper {paper}")
    return _score(ledger, store or Store(), panels or {})


def _score(ledger: Sequence[Claim], store: Store, panels: Mapping[str, Panel]) -> list[Scored]:
    """Score the claims of one section."""
    paper, section = ledger[0].paper, ledger[0].section
    measure = _SECTIONS.get((paper, section))
    measured = measure(store, ledger, {**PANELS, **panels}) if measure else {}
    scored = [claims.judge(c, measured.get(c.id, [])) for c in ledger]
    return [
        claims.figure_verdict(s.claim, scored)
        if measure and s.claim.check == "figure" and s.claim.id not in measured
        else s
        for s in scored
    ]


def score_all(paper: str | None = None, section: str | None = None, store: Store | None = None) -> list[Scored]:
    """Score the whole ledger, or one paper, or one section, in the ledger's order."""
    sections: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims.load().values():
        sections.setdefault((claim.paper, claim.section), []).append(claim)
    wanted = [own for (p, s), own in sections.items() if paper in (None, p) and section in (None, s)]
    if not wanted:
        raise UserError(f"section is {section!r}: the ledger has {', '.join(sorted({s for _, s in sections}))}")
    store = store or Store()
    return [scored for own in wanted for scored in _score(own, store, {})]


# --- how one claim is measured -------------------------------------------------------------------------------


def _attempt(reading: str, names: Sequence[str], make: Callable[[], Measurement]) -> Measurement:
    """Return the measurement, or one that says which tickets it lacks."""
    try:
        return dataclasses.replace(make(), reading=reading, experiments=tuple(names))
    except Missing as missing:
        return Measurement(reading=reading, missing=str(missing))


def _layer_number(claim: Claim) -> int:
    """Return the layer that a claim is about, counted from one, or 0 if it is about all."""
    match = re.match(r"\d+", claim.layer)
    return int(match.group()) if match else 0


def _panel_measurements(store: Store, claim: Claim, panel: Panel) -> list[Measurement]:
    """Measure a claim about the overlaps that one panel shows, at every reading of its level."""

    def make(level: str) -> Measurement:
        layers = overlaps(store, panel.experiment, level, panel.within)
        if claim.check == "chance-match":
            return Measurement(groups=tuple(chance_group(layer) for layer in layers))
        if claim.layer == "expected":
            return Measurement(values=np.array([layer.expected for layer in layers]))
        return Measurement(values=layers[_layer_number(claim) - 1].values)

    several = len(panel.levels) > 1
    return [
        _attempt(words if several else "", (panel.experiment,), functools.partial(make, level))
        for words, level in panel.levels.items()
    ]


def chance_group(layer: LayerOverlap, name: str = "") -> ChanceGroup:
    """Return what `lib.claims` needs to judge one layer's overlaps against chance."""
    return ChanceGroup(name or layer.layer, layer.values, layer.expected, layer.low, layer.high)


def _by_panel(store: Store, ledger: Iterable[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    """Measure every claim that belongs to a panel: its id is the panel's, or starts with it and a dash."""
    found = {}
    for claim in ledger:
        for key, panel in panels.items():
            if claim.id == key or claim.id.startswith(key + "-"):
                found[claim.id] = _panel_measurements(store, claim, panel)
    return found


def _chance_everywhere(store: Store, names: Sequence[str], levels: Mapping[str, Sequence[str]]) -> list[Measurement]:
    """Measure whether the overlaps within an initialisation match chance, one reading an experiment."""

    def make(name: str) -> Measurement:
        groups = [
            chance_group(layer, f"{layer.layer} at {level} %")
            for level in levels[name]
            for layer in overlaps(store, name, level)
        ]
        return Measurement(groups=tuple(groups))

    return [_attempt(name, (name,), functools.partial(make, name)) for name in names]


# --- paper A -------------------------------------------------------------------------------------------------


def _a_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    levels = list(panels["A-1"].levels.values())

    def different() -> Measurement:
        checks = {}
        for level in levels:
            masks = record(store, FASHION, level).masks
            i, j = overlap.within_pairs(find(FASHION).inits, find(FASHION).runs)
            checks[f"no two of the masks of an initialisation are equal at {level} %"] = bool(
                (masks[i] != masks[j]).any(axis=1).all()
            )
        return Measurement(checks=checks)

    def as_by_chance() -> Measurement:
        checks = {}
        for level in levels:
            for layer in overlaps(store, FASHION, level):
                match = claims.matches_chance(chance_group(layer))
                checks[f"{layer.layer} at {level} % ({layer.values.mean():.1f}, chance {layer.expected:.1f})"] = match
        return Measurement(
            checks=checks,
            note="whether the overlaps are as by chance, mean in brackets; shared weights and rank correlations are "
            "measured in sections 3.2.1 to 3.2.3",
        )

    partial = [Measurement(missing=LADDER_PARTIAL)]
    return {
        "A-1-C1": [_attempt("", (FASHION,), different)],
        "A-1-C2": [_attempt("", (FASHION,), as_by_chance)],
        "A-1-C4": partial,
        "A-1-C5": partial,
    }


def _a_2(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion = find(FASHION)
    layers = fashion.architecture.layers
    percent = [100 * level.pruned for level in fashion.levels[1:]]
    kept = [float(level.kept) for level in fashion.levels[1:]]

    def setup(**checks: bool) -> list[Measurement]:
        return [Measurement(experiments=(FASHION,), checks={k.replace("_", " "): v for k, v in checks.items()})]

    def shape(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in accuracies(store, name).items()}
        pruned = [level.name for level in find(name).levels[1:]]
        lacking = [level for level in pruned if level not in mean]
        if lacking:
            raise Missing(f"{name} at {', '.join(lacking)} %")
        best = 3 if name == RESNET else 2
        ranked = sorted(pruned, key=lambda level: -mean[level])
        checks = {
            f"the best {best} of the pruned levels are the first {best} (best: {', '.join(ranked[:best])} %)": set(
                ranked[:best]
            )
            == set(pruned[:best])
        }
        for before, after in zip(pruned[best - 1 :], pruned[best:], strict=False):
            checks[
                f"from {before} to {after} % the mean accuracy falls ({mean[before]:.2f} to {mean[after]:.2f} %)"
            ] = bool(mean[after] < mean[before])
        return Measurement(checks=checks)

    def smallest(name: str) -> Measurement:
        mean = {level: values.mean() for level, values in accuracies(store, name).items()}
        last = find(name).levels[-1].name
        if last not in mean:
            raise Missing(f"{name} at {last} %")
        # "Good for its size" has no number in the paper; fixed here as three quarters of the dense accuracy.
        return Measurement(
            checks={
                f"at {last} % the mean accuracy ({mean[last]:.2f}) is below the dense one ({mean['dense']:.2f})": bool(
                    mean[last] < mean["dense"]
                ),
                f"at {last} % it is at least three quarters of the dense one": bool(mean[last] >= 0.75 * mean["dense"]),
            }
        )

    return {
        **_by_panel(store, ledger, panels),
        "A-2-S1": setup(
            Fashion_MNIST_is_used=fashion.dataset == "fashion-mnist", CIFAR_10_is_used=CIFAR in EXPERIMENTS
        ),
        "A-2-S2": setup(
            convolutions_of_6_and_16_filters_of_5_x_5=[y.shape[0] for y in layers[:2]] == [6, 16]
            and all(y.shape[2:] == (5, 5) for y in layers[:2]),
            max_pooling_after_each=all(y.pool for y in layers[:2]),
            dense_layers_of_120_and_84_units_then_10=[y.shape[0] for y in layers[2:]] == [120, 84, 10],
        ),
        "A-2-S3": [Measurement(missing=RESNET)],
        "A-2-S4": setup(**{f"{fashion.epochs}_epochs_for_every_step": fashion.epochs == 15}),
        "A-2-S5": setup(large_final_within_every_layer="large final" in fashion.specification()["criterion"]),
        "A-2-S6": setup(**{f"{fashion.inits}_initialisations": fashion.inits == 5}),
        "A-2-S7": setup(**{f"{fashion.runs}_runs_from_each": fashion.runs == 5}),
        "A-2-S8": setup(**{f"{len(percent)}_steps": len(percent) == 6}),
        "A-2-S9": setup(**{f"levels_{', '.join(f'{p:g}' for p in percent)}_%": percent == [50, 60, 80, 90, 95, 98]}),
        "A-2-S10": [Measurement(missing=RESNET)],
        "A-2-S11": setup(
            **{f"{100 * (1 - kept[1] / kept[0]):.0f}_%_of_the_kept_weights": abs(1 - kept[1] / kept[0] - 0.2) < 1e-12}
        ),
        "A-2-S12": setup(**{f"kept_{', '.join(f'{k:g}' for k in kept)}": kept == [0.5, 0.4, 0.2, 0.1, 0.05, 0.02]}),
        "A-2-S13": [Measurement(checks=_equation_1())],
        "A-F1a": setup(
            **{
                f"{fashion.inits}_x_{fashion.runs}_runs_x_{len(percent)}_steps": (
                    fashion.inits,
                    fashion.runs,
                    len(percent),
                )
                == (5, 5, 6)
            }
        ),
        "A-F1b-1": [_attempt(name, (name,), functools.partial(shape, name)) for name in SMALL],
        "A-F1b-2": [_attempt("", (RESNET,), functools.partial(shape, RESNET))],
        "A-F1b-3": [_attempt(name, (name,), functools.partial(smallest, name)) for name in (*SMALL, RESNET)],
    }


def _equation_1() -> dict[str, bool]:
    """Check equation 1 against masks that were really drawn."""
    checks = {}
    for n, kept in ((150, 75), (840, 84), (2400, 48)):
        drawn = baselines.simulate(n, kept, masks=2, repetitions=2000, seed=1).overlap
        error = np.sqrt(baselines.overlap_variance(n, kept) / len(drawn))
        mean = baselines.overlap_mean(n, kept)
        checks[f"{kept} of {n} weights: simulated mean {drawn.mean():.2f}, exact {mean:.2f}"] = bool(
            abs(drawn.mean() - mean) < 4 * error
        )
    return checks


def _a_3_1(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    fashion = find(FASHION)
    first, _ = overlap.within_pairs(fashion.inits, fashion.runs)
    per_init = np.bincount(first // fashion.runs)
    figure = {key: panels[key] for key in ("A-F3a", "A-F3b", "A-F3c")}
    levels = {p.experiment: list(p.levels.values()) for p in figure.values()}
    return {
        **_by_panel(store, ledger, panels),
        "A-3.1-S1": [
            Measurement(
                checks={
                    f"{p.experiment} is looked at at {', '.join(p.levels.values())} %": True for p in figure.values()
                }
            )
        ],
        "A-3.1-S2": [
            Measurement(checks={f"{per_init.max()} pairs of {fashion.runs} runs": bool((per_init == 10).all())})
        ],
        "A-3.1-S3": [Measurement(checks={f"{len(first)} pairs in all": len(first) == 50})],
        "A-3.1-C": _chance_everywhere(store, (FASHION, CIFAR, RESNET), levels),
    }


def _a_appendix_a(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    figure = {key: panels[key] for key in ("A-F8a", "A-F8b", "A-F8c")}
    levels = {p.experiment: list(p.levels.values()) for p in figure.values()}
    return {
        **_by_panel(store, ledger, panels),
        "A-F8-C": _chance_everywhere(store, (FASHION, CIFAR, RESNET), levels),
    }


def formula_cases() -> list[tuple[str, str, int, int]]:
    """Return (level, layer, weights, kept) for every pruned level and layer of the Fashion-MNIST network."""
    experiment = find(FASHION)
    return [
        (level.name, layer.name, layer.size, kept_counts(experiment.architecture, level)[layer.name])
        for level in experiment.levels[1:]
        for layer in experiment.architecture.layers
    ]


def _a_appendix_b(store: Store, ledger: Sequence[Claim], panels: Mapping[str, Panel]) -> dict[str, list[Measurement]]:
    cases = formula_cases()
    levels = list(dict.fromkeys(level for level, *_ in cases))

    def agree(printed: Callable[[int, int], float], exact: Callable[[int, int], float]) -> dict[str, bool]:
        """Compare a printed formula with the exact value, to 1 % in every layer, level by level."""
        checks = {}
        for level in levels:
            ratios = [printed(n, k) / exact(n, k) for name, _, n, k in cases if name == level]
            worst = max(ratios, key=lambda r: abs(r - 1))
            checks[f"{level} % ({f'{worst:,.0f}' if abs(worst) >= 100 else f'{worst:.3g}'})"] = abs(worst - 1) <= 0.01
        return checks

    def by_level(what: str, checks: dict[str, bool]) -> list[Measurement]:
        return [Measurement(checks=checks, note=f"by level, in brackets {what}, in the worst of the five layers")]

    def deviation(n: int, k: int) -> float:
        return float(np.sqrt(baselines.overlap_variance(n, k)))

    def shared_high(n: int, k: int) -> float:
        return baselines.shared_mean(n, k) + 3 * float(np.sqrt(baselines.shared_variance(n, k)))

    def covered_high(n: int, k: int) -> float:
        return n - baselines.uncovered_mean(n, k) + 3 * float(np.sqrt(baselines.uncovered_variance(n, k)))

    def everywhere(checks: dict[str, bool]) -> bool:
        return all(checks.values())

    mean = everywhere(agree(lambda n, k: baselines.printed_overlap(n, k)[0], baselines.overlap_mean))
    # Equation 2's expression, written out as it is printed.
    spread = functools.partial(agree, lambda n, k: k * (k / n) * ((n - k) / n) * ((n - k) / (n - 1)))
    return {
        "A-B-eq2": [
            Measurement(
                checks={
                    "the mean is exact": mean,
                    "what is called sigma is the standard deviation": everywhere(spread(deviation)),
                    "it is the variance": everywhere(spread(baselines.overlap_variance)),
                },
                note="at all levels, in all five layers",
            )
        ],
        "A-B-eq3": [
            Measurement(
                checks={
                    "the mean is exact": mean,
                    "the plus-minus is the standard deviation": everywhere(
                        agree(lambda n, k: baselines.printed_overlap(n, k)[1], deviation)
                    ),
                },
                note="at all levels, in all five layers",
            )
        ],
        "A-B-eq4": by_level(
            "printed over exact mean number of weights in all five masks",
            agree(lambda n, k: float(baselines.printed_shared(n, k)[-1]), baselines.shared_mean),
        ),
        "A-B-eq5": by_level(
            "printed upper end over exact mean + 3 standard deviations",
            agree(lambda n, k: float(baselines.printed_shared_max(n, k)[-1]), shared_high),
        ),
        "A-B-sd": by_level(
            "half the printed difference over the exact standard deviation",
            agree(
                lambda n, k: baselines.printed_spread(
                    float(baselines.printed_shared(n, k)[-1]), float(baselines.printed_shared_max(n, k)[-1])
                ),
                lambda n, k: float(np.sqrt(baselines.shared_variance(n, k))),
            ),
        ),
        "A-B-eq6": by_level(
            "printed over exact mean number of weights in no mask",
            agree(baselines.printed_uncovered, baselines.uncovered_mean),
        ),
        "A-B-eq7": by_level(
            "printed largest coverage over exact mean + 3 standard deviations",
            agree(baselines.printed_covered_max, covered_high),
        ),
    }


_SECTIONS: dict[tuple[str, str], Callable[..., dict[str, list[Measurement]]]] = {
    ("A", "1"): _a_1,
    ("A", "2"): _a_2,
    ("A", "3.1"): _a_3_1,
    ("A", "Appendix A"): _a_appendix_a,
    ("A", "Appendix B"): _a_appendix_b,
}
