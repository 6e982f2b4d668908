"""The ladder of randomness: with which tickets the paper's numbers would agree.

Where our tickets contradict the paper, the same figure is made from tickets whose runs share more, or less: the rungs,
from new initial weights to everything fixed. How well a rung fits is measured, as a distance between what the paper
states of a figure and what that rung's tickets show, by these rules, fixed before any distance was looked at:

* A statement of a range holds if all values lie in it (or at an outlier that it names), a statement of a value if the
  values have it as their mean. The distance is that between the measured distribution and the nearest one for which
  the statement holds (Wasserstein, of order 1): how far the values must be moved, on average.
* A statement about all layers but some is not held against those that the paper names as exceptions.
* Of a layer it is the mean over the statements about it, of a figure the mean over its layers. A statement about
  several layers counts in each.
* "Some are above 70 %" is left out: to move two values of fifty costs next to nothing.
* "As chance has it" (Figure 2) is a statement too: the distance is that to the hypergeometric distribution.
* The best rung is the one at the smallest distance. Rungs whose 95 % intervals (bootstrap over initialisations) reach
  down to the best one's upper end are named as not told apart from it.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lib import baselines, claims, evidence, overlap, similarity
from lib.claims import Claim, Lack
from lib.errors import UserError
from lib.evidence import LayerCorrelation, LayerOverlap, LayerShare, Missing
from lib.experiments import EXPERIMENTS, find
from lib.statistics import bootstrap_over_inits
from lib.tickets import Store

Layers = Sequence[LayerOverlap] | Sequence[LayerCorrelation] | Sequence[LayerShare]


@dataclasses.dataclass(frozen=True)
class Rung:
    """One rung: which tickets are compared.

    Attributes
    ----------
    words : str
        What their runs share.
    experiment : str
    across : bool
        Tickets of different initialisations; for rank correlations, a ticket and the initial weights of another one.
    partner : str
        An experiment on other images, with whose tickets those of `experiment` are compared; '' for none.
    """

    words: str
    experiment: str
    across: bool = False
    partner: str = ""


NEW = "new initial weights"
_NAMES = {
    "free": "free",
    "order shared for 1 %": "shared-1",
    "order shared for 10 %": "shared-10",
    "order shared for 50 %": "shared-50",
    "partial": "partial",
    "fixed": "fixed",
}


def rungs(network: str, partner: str = "") -> list[Rung]:
    """Return the rungs that are specified for a network, from new initial weights to all fixed.

    Parameters
    ----------
    network : str
        Such as 'a/fashion-lenet'.
    partner : str
        Another network, whose tickets for other images are compared with those of the first, each rung with the same.

    Returns
    -------
    list of Rung
        New initial weights are those of different initialisations of the first experiment that there is.
    """
    found = [
        Rung(words, f"{network}/{name}", partner=f"{partner}/{name}" if partner else "")
        for words, name in _NAMES.items()
        if f"{network}/{name}" in EXPERIMENTS and (not partner or f"{partner}/{name}" in EXPERIMENTS)
    ]
    if not found:
        also = f", and one of the same name with {partner!r}" if partner else ""
        raise UserError(f"network is {network!r}: no experiment of lib.experiments begins with it and a slash{also}")
    return [dataclasses.replace(found[0], words=NEW, across=True), *found]


def unspecified(network: str, partner: str = "") -> list[str]:
    """Return the rungs that are not specified for a network, in words."""
    there = {rung.words for rung in rungs(network, partner)}
    return [words for words in _NAMES if words not in there]


def own_rung(key: str) -> str:
    """Return the rung that a figure of the paper is said to be of.

    Figure 2 is of new initial weights; from Figure 10 on, and in Figure 7, they are partial, in the others free.
    """
    match = re.match(r"\d+", _figure(key))
    number = int(match[0]) if match else 0
    return NEW if number == 2 else "partial" if number == 7 or number >= 10 else "free"


# --- what the paper states ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Statement:
    """What the paper says in numbers of some layers of one figure.

    Attributes
    ----------
    layers : tuple of int
        By the paper's numbers; empty for all.
    level : str
        The pruned level that it is about; '' if the figure shows one level, however that is read.
    spans : tuple of (float, float)
        In one of these every value lies; empty if a mean is stated.
    mean : float
    chance : bool
        The values are distributed as chance has it; no span and no mean then.
    but : tuple of int
        Of all layers, those that the paper names as exceptions.
    """

    layers: tuple[int, ...]
    level: str = ""
    spans: tuple[tuple[float, float], ...] = ()
    mean: float = 0.0
    chance: bool = False
    but: tuple[int, ...] = ()

    def about(self, number: int | None) -> bool:
        """Return whether it is about the layer of a number, or about one that has none."""
        return number in self.layers if self.layers else number not in self.but


def statements(key: str) -> list[Statement]:
    """Return what the ledger holds of a figure in numbers.

    Parameters
    ----------
    key : str
        With which the ids of its claims begin, up to a number: 'A-F3a', or 'A-F4a-F' for one of its networks; or the
        id of a single claim.
    """
    found = []
    for claim in claims.load().values():
        if re.fullmatch(re.escape(key) + r"(-?\d.*)?", claim.id) and claim.layer != "expected":
            level = _level(claim) if _figure(key) in ("4a", "4b") else ""
            if claim.check == "range":
                found.append(Statement(_numbers(claim), level, tuple(claim.claimed.intervals()), but=claim.excepted))
            elif claim.check == "value" and isinstance(claim.claimed.value, int | float):
                found.append(Statement(_numbers(claim), level, mean=float(claim.claimed.value), but=claim.excepted))
            elif claim.check == "chance-match" and claim.id == key:
                found.append(Statement((), chance=True))
    if not found:
        raise UserError(f"key is {key!r}: the ledger has no claim in numbers whose id begins with it")
    return found


def _figure(key: str) -> str:
    match = re.match(r"A-F(\d+[a-z]?)", key)
    return match[1] if match else ""


def _level(claim: Claim) -> str:
    match = re.match(r"[\d.]+", claim.setting.get("pruning_level", ""))
    return match[0] if match else ""


def _numbers(claim: Claim) -> tuple[int, ...]:
    """Return the layers that a claim is about, such as (2, 3, 4, 5) of '2-5'; none of 'all'."""
    first = re.match(r"(\d+)(?:-(\d+)|((?:, \d+)+))?", claim.layer)
    if first is None:
        return ()
    if first[2]:
        return tuple(range(int(first[1]), int(first[2]) + 1))
    return tuple(int(number) for number in re.findall(r"\d+", first[0]))


# --- what the tickets of a rung show -----------------------------------------------------------------------------


def measure(store: Store, key: str, rung: Rung, level: str) -> Layers:
    """Return of one rung what a figure of the paper shows, layer by layer.

    Figures 2, 3, 8, 10 and 14 show overlaps, 7e and 13 those of tickets for different images, 5 and 12 rank
    correlations, 4 shared (a) and unused weights (b), 11 the share of overlaps outside of chance's central 95 %.

    Raises
    ------
    Missing
        If the level is not trained, or of one initialisation alone where two are needed.
    UserError
        If the figure shows none of these.
    """
    figure = _figure(key)
    if rung.across:
        evidence.several(store, rung.experiment)
    if rung.partner:
        return evidence.task_overlaps(store, rung.experiment, rung.partner, level, not rung.across)
    if figure == "2" or figure[:-1] in ("3", "8", "10", "14"):
        return evidence.overlaps(store, rung.experiment, level, not rung.across)
    if figure == "11":
        return evidence.significance(store, rung.experiment, level, within=not rung.across)
    if figure[:-1] in ("5", "12"):
        return _ranks(store, rung, level)
    if figure in ("4a", "4b"):
        return _shares(store, rung, level, figure == "4a")
    raise UserError(f"key is {key!r}: it should begin with A-F and a figure of overlaps, shares or rank correlations")


def _ranks(store: Store, rung: Rung, level: str) -> list[LayerCorrelation]:
    if not rung.across:
        return evidence.rank_correlations(store, rung.experiment, level)
    weights, masks = (evidence.part(store, rung.experiment, level, what) for what in ("weights", "masks"))
    experiment = store.find(rung.experiment)
    own = np.arange(experiment.replicas) // experiment.runs
    initial = store.initial_weights(experiment)[(own + 1) % experiment.inits]
    return [
        LayerCorrelation(
            layer,
            where.stop - where.start,
            kept,
            similarity.rank_correlations(initial[:, where], weights[:, where], masks[:, where]),
            own,
            similarity.null_deviation(kept),
        )
        for layer, (where, kept) in evidence.measured_layers(rung.experiment, level, evidence.LEAST_RANKED).items()
    ]


def _shares(store: Store, rung: Rung, level: str, shared: bool) -> list[LayerShare]:
    if not rung.across:
        return (evidence.shared if shared else evidence.unused)(store, rung.experiment, level)
    masks, experiment = evidence.part(store, rung.experiment, level, "masks"), store.find(rung.experiment)
    groups, size = experiment.runs, experiment.inits
    # One ticket of every initialisation in each group.
    masks = masks.reshape(size, groups, -1).swapaxes(0, 1).reshape(len(masks), -1)
    result = []
    for layer, (where, kept) in evidence.measured_layers(rung.experiment, level).items():
        n = where.stop - where.start
        if shared:
            values = overlap.shared_by_all(masks[:, where], groups, size)
            mean, interval = baselines.shared_mean(n, kept, size), baselines.shared_interval(n, kept, size)
        else:
            values = overlap.covered_by_none(masks[:, where], groups, size)
            mean, interval = baselines.uncovered_mean(n, kept, size), baselines.uncovered_interval(n, kept, size)
        percent = 100 * np.array([mean, *interval, *values]) / (kept if shared else n)
        result.append(LayerShare(layer, percent[3:], *percent[:3].tolist()))
    return result


def _inits(store: Store, layer: LayerOverlap | LayerCorrelation | LayerShare, rung: Rung) -> tuple[NDArray, NDArray]:
    """Return the two initialisations that each value belongs to; of a value that has one, twice that."""
    if not isinstance(layer, LayerCorrelation) and layer.first is not None and layer.second is not None:
        return layer.first, layer.second
    first = layer.init if isinstance(layer, LayerCorrelation) else np.arange(len(layer.values))
    if isinstance(layer, LayerCorrelation) and rung.across:
        return first, (first + 1) % store.find(rung.experiment).inits
    return first, first


# --- the distance between the two --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fit:
    """How far what one rung shows is from what the paper states of a figure, at one level.

    Attributes
    ----------
    rung : Rung
    level : str
    by_layer : mapping of str to float
        Distance of each layer of which anything is stated; empty where the tickets are missing.
    distance : float
        Their mean, in the unit of the figure; NaN where the tickets are missing.
    low, high : float
        Its 95 % interval by bootstrap over initialisations; NaN where there are too few of them.
    missing : tuple of Lack
        What is not there.
    """

    rung: Rung
    level: str
    by_layer: Mapping[str, float]
    distance: float
    low: float
    high: float
    missing: tuple[Lack, ...] = ()


def distance(values: NDArray[np.floating], statement: Statement) -> float:
    """Return how far values must be moved, on average, for a statement of a range or a mean to hold of them.

    Parameters
    ----------
    values : float array, shape (n,)
    statement : Statement

    Returns
    -------
    float
        The Wasserstein distance of order 1 to the nearest distribution for which the statement holds.
    """
    moved, target = _moved(values, statement)
    return float(abs(moved.mean() - target))


def _moved(values: NDArray[np.floating], statement: Statement) -> tuple[NDArray[np.floating], float]:
    """Return n values and a target: how far the mean of the values is from the target is the distance."""
    if not statement.spans:
        return values, statement.mean
    ways = [np.maximum(np.maximum(low - values, values - high), 0) for low, high in statement.spans]
    return np.min(ways, axis=0), 0.0


def _by_weight(
    layer: LayerOverlap | LayerCorrelation | LayerShare, statement: Statement
) -> Callable[[NDArray[np.floating]], float]:
    """Return the function from the weights of the values, which add up to one, to their distance."""
    values = layer.values
    if not statement.chance:
        moved, target = _moved(values, statement)
        return lambda weights: abs(float(moved @ weights) - target)
    if not isinstance(layer, LayerOverlap):
        raise UserError(f"statement is of chance: {type(layer).__name__} has no distribution to be held against")
    support, pmf = baselines.overlap_pmf(layer.weights, layer.kept)
    seen = pmf > 1e-9  # of the rest no distance depends
    points = 100 * support[seen] / layer.kept
    grid = np.union1d(values, points)
    # The Wasserstein distance is the area between the two distribution functions.
    expected = np.concatenate([[0.0], np.cumsum(pmf[seen])])[np.searchsorted(points, grid[:-1], side="right")]
    measured, width = (values[:, None] <= grid[:-1]).astype(np.float32), np.diff(grid)
    return lambda weights: float(np.abs(weights.astype(np.float32) @ measured - expected) @ width)


def fits(store: Store, key: str, network: str, levels: Sequence[str], partner: str = "", start: int = 1) -> list[Fit]:
    """Measure the distance of every rung from what the paper states of a figure, at every level given.

    Parameters
    ----------
    store : Store
    key : str
        Of the figure, as for `statements`.
    network, partner : str
        As for `rungs`.
    levels : sequence of str
        Names of levels; those of which the figure states nothing are left out.
    start : int
        From which the paper's numbers of layers are counted: one, or zero, as they may be of the ResNet.

    Returns
    -------
    list of Fit
        Level by level, rung by rung; those whose tickets are missing included.
    """
    return [
        fit
        for level in levels
        if (stated := [s for s in statements(key) if s.level in ("", level)])
        for fit in [_fit(store, key, rung, level, stated, start) for rung in rungs(network, partner)]
    ]


def _fit(store: Store, key: str, rung: Rung, level: str, stated: Sequence[Statement], start: int) -> Fit:
    try:
        measured = measure(store, key, rung, level)
    except Missing as missing:
        return Fit(rung, level, {}, np.nan, np.nan, np.nan, missing.lacks)
    # Projections of shortcuts have no number.
    counted = [y.name for y in find(rung.experiment).architecture.layers if not y.linear]
    number = {layer: n for n, layer in enumerate(counted, start)}
    pairs = [
        (layer, statement) for layer in measured for statement in stated if statement.about(number.get(layer.layer))
    ]
    if not pairs:
        raise UserError(f"key is {key!r}: {rung.experiment} has none of the layers that it states anything of")
    layers = list(dict.fromkeys(layer.layer for layer, _ in pairs))
    terms = [_by_weight(layer, statement) for layer, statement in pairs]
    # The mean over the statements of each layer.
    means = np.array([[layer.layer == name for layer, _ in pairs] for name in layers], float)
    means /= means.sum(axis=1, keepdims=True)

    def by_layer(weights: NDArray[np.floating]) -> NDArray[np.float64]:
        return means @ np.array([term(weights / weights.sum()) for term in terms])

    own = by_layer(np.ones(len(measured[0].values)))
    first, second = _inits(store, measured[0], rung)
    inits = 1 + int(max(first.max(), second.max()))
    low = high = np.nan
    across = bool((first != second).any())
    if inits >= (4 if across else 2):  # of three, every ninth resample would draw one throughout: no pairs across

        @functools.cache  # five initialisations can be drawn in 126 ways, whatever their order
        def of_counts(*counts: int) -> float:
            often = np.array(counts, float)
            weights = np.where(first == second, often[first], often[first] * often[second])
            return float(by_layer(weights).mean()) if weights.any() else np.nan

        def drawn(numbers: NDArray) -> float:
            return of_counts(*np.bincount(numbers, minlength=inits).tolist())

        low, high = bootstrap_over_inits([[n] for n in range(inits)], drawn)
    return Fit(rung, level, dict(zip(layers, own.tolist(), strict=True)), float(own.mean()), low, high)


def best(found: Sequence[Fit]) -> tuple[Fit, list[Fit]]:
    """Return the fit at the smallest distance, and those that are not told apart from it.

    Two fits without an interval, of one initialisation each, are never told apart.

    Raises
    ------
    Missing
        If the tickets of all of them are missing.
    """
    if not found:
        raise UserError("found is empty: there should be a fit to choose")
    there = sorted((fit for fit in found if not fit.missing), key=lambda fit: fit.distance)
    if not there:
        raise Missing(*found[0].missing)
    first = there[0]
    end = first.distance if np.isnan(first.high) else first.high

    def apart(fit: Fit) -> bool:
        return not np.isnan([first.high, fit.low]).all() and (fit.distance if np.isnan(fit.low) else fit.low) > end

    return first, [fit for fit in there[1:] if not apart(fit)]


def nearest(found: Sequence[Fit]) -> tuple[list[Fit], list[Fit]]:
    """Return all fits at the smallest distance, and those further away that are not told apart from it.

    Raises what `best` does.
    """
    first, others = best(found)
    equal = [fit for fit in others if fit.distance == first.distance]
    return [first, *equal], [fit for fit in others if fit.distance > first.distance]


# --- outputs, of which the paper states an order and no numbers --------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Gap:
    """By how much outputs within an initialisation are closer than across, at one level.

    Attributes
    ----------
    experiment, level : str
    gap : float
        Mean CKA within less mean CKA across; NaN where tickets are missing.
    low, high : float
        Its 95 % interval by bootstrap over initialisations.
    missing : tuple of Lack
        What is not there.
    """

    experiment: str
    level: str
    gap: float
    low: float
    high: float
    missing: tuple[Lack, ...] = ()


def output_gaps(store: Store, network: str, levels: Sequence[str], measure: str = "CKA") -> list[Gap]:
    """Return, rung by rung and level by level, whether outputs within an initialisation are closer than across.

    A distance (L2) is turned round, so that a positive gap always means closer within. The rung of new initial weights
    is what the others are compared with, and one of a single initialisation cannot be compared: both are left out.

    References
    ----------
    Paper A, figures 6 and 9 (closer across) and figure 15 (closer within).
    """
    sign = -1 if measure == "L2" else 1
    result = []
    for rung in rungs(network):
        experiment = store.find(rung.experiment)
        if rung.across or experiment.inits < 2:
            continue
        for level in levels:
            try:
                matrix = sign * evidence.output_matrix(store, rung.experiment, level, measure)
            except Missing as missing:
                result.append(Gap(rung.experiment, level, np.nan, np.nan, np.nan, missing.lacks))
                continue
            gap = functools.cache(functools.partial(_gap, matrix, experiment.runs))  # as in `_fit`

            def drawn(numbers: NDArray, gap: Callable = gap, inits: int = experiment.inits) -> float:
                return gap(*np.bincount(numbers, minlength=inits).tolist())

            numbers = np.arange(experiment.inits)
            low, high = bootstrap_over_inits([[number] for number in numbers], drawn)
            result.append(Gap(rung.experiment, level, drawn(numbers), low, high))
    return result


def _gap(matrix: NDArray[np.float64], runs: int, *often: int) -> float:
    """Return mean within less mean across of initialisations drawn so often; pairs without a value are left out."""
    counts = np.array(often, float)
    of = np.arange(len(often) * runs) // runs
    same = of[:, None] == of
    weights = np.where(same, counts[of], counts[of][:, None] * counts[of]) * ~np.isnan(matrix)
    np.fill_diagonal(weights, 0)
    values = np.nan_to_num(matrix)
    totals = [(weights * part).sum() for part in (same, ~same)]
    if 0 in totals:
        return np.nan
    within, across = (
        (weights * values * part).sum() / total for part, total in zip((same, ~same), totals, strict=True)
    )
    return float(within - across)
