"""What the tickets show: from the store to measured values beside what chance gives for them.

One function a kind of measurement. What the papers claim of them is in `lib.paper_a`, how a measurement becomes a
verdict in `lib.claims`.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from lib import baselines, overlap, similarity, statistics
from lib.claims import ChanceGroup, Lack, lacking_words
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment, find
from lib.pruning import Level, kept_counts
from lib.tickets import LevelRecord, Store


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
    runs : int array, shape (pairs, 2), or None
        Run of each of the two masks, within its initialisation.
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
    runs: NDArray[np.int64] | None = None


# Of the outputs of two tickets; see `output_matrix`.
MEASURES = ("CKA", "CKA of softmax", "L2")


class Missing(Exception):  # noqa: N818 - it is no error: the book says what is missing
    """The tickets that a measurement needs are not there; its text names them.

    Parameters
    ----------
    *lacks : Lack
    """

    def __init__(self, *lacks: Lack) -> None:
        super().__init__(lacking_words(lacks))
        self.lacks = lacks


def record(store: Store, name: str, level: str) -> LevelRecord:
    """Return one stored level; raise `Missing` if it is not trained."""
    experiment = require(store, name, level)
    return _read(store, experiment, experiment.level(level))


def require(store: Store, name: str, level: str) -> Experiment:
    """Return an experiment as far as it is stored; raise `Missing` if a level of it is not trained."""
    if name not in EXPERIMENTS:
        raise Missing(Lack(name))
    experiment = store.find(name)
    finished = store.finished(experiment)
    if experiment.level(level) not in finished:
        raise Missing(Lack(name, level_words(level) if finished else ""))
    return experiment


def beyond(store: Store, name: str) -> Lack:
    """Return what is missing where the trials of an experiment that are trained are too few."""
    return Lack(name, beyond=store.trials(name))


def several(store: Store, name: str) -> Experiment:
    """Return an experiment as far as it is stored; raise `Missing` if one initialisation alone is, of several."""
    experiment = store.find(name)
    if experiment.inits == 1 < find(name).inits:
        raise Missing(beyond(store, name))
    return experiment


def level_words(level: str) -> str:
    """Return a level's name as it stands in a text: '50 %', but 'dense' and 'round-11'."""
    return f"{level} %" if level[0].isdigit() else level


def part(store: Store, name: str, level: str, what: str) -> NDArray:
    """Return one part of a stored level, such as its 'masks' (see `LevelRecord`).

    Raises
    ------
    Missing
        If the level is not trained.
    UserError
        If the part is not stored: `tickets.contents` says what is.
    """
    found = getattr(record(store, name, level), what)
    if found is None:
        raise UserError(
            f"{name} at level {level}: {what} are not stored (this experiment keeps {find(name).keeps!r}, "
            "see lib.tickets.contents); train it into a store of your own with keeps='all' to have them"
        )
    return found


def winning_masks(store: Store, name: str) -> NDArray[np.bool_]:
    """Return the masks of an experiment's tickets, which are known as soon as the level before is trained.

    Returns
    -------
    bool array, shape (replicas, weight_count)

    Raises
    ------
    Missing
        If the level before is not trained.
    """
    if name not in EXPERIMENTS:
        raise Missing(Lack(name))
    experiment = store.find(name)
    if experiment.last in store.finished(experiment):
        return part(store, name, experiment.last.name, "masks")
    before = experiment.pruned_from(experiment.last)
    assert before is not None
    record(store, name, before.name)
    return store.masks(experiment, experiment.last)


@functools.lru_cache(maxsize=64)
def _read(store: Store, experiment: Experiment, level: Level) -> LevelRecord:
    record = store.read(experiment, level)
    for field in dataclasses.fields(record):
        if isinstance(values := getattr(record, field.name), np.ndarray):
            values.setflags(write=False)  # all who ask get the same arrays
    return record


def forget() -> None:
    """Forget what this module read and measured: for levels that are written anew while a program runs.

    Levels and trials that come to a store are noticed without it.
    """
    for cache in (_read, _overlaps, _task_overlaps, _trained, _rank_correlations, _output_matrix):
        cache.cache_clear()


def overlaps(store: Store, name: str, level: str, within: bool = True) -> list[LayerOverlap]:
    """Return the overlaps of all pairs of masks of an experiment at one level, layer by layer.

    Which layers, `measured_layers` says.

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
    record(store, name, level)
    return list(_overlaps(store, store.find(name), level, within))


# What follows is asked for again and again, by figures, tables and claims.
@functools.lru_cache(maxsize=256)
def _overlaps(store: Store, experiment: Experiment, level: str, within: bool) -> tuple[LayerOverlap, ...]:
    masks, name = part(store, experiment.name, level, "masks"), experiment.name
    choose = overlap.within_pairs if within else overlap.across_pairs
    i, j = choose(experiment.inits, experiment.runs)
    if not len(i):
        if experiment != find(name):
            raise Missing(beyond(store, name))
        pairs = "one initialisation" if within else "different initialisations"
        raise UserError(f"{name}: {experiment.inits} x {experiment.runs} runs have no pairs of {pairs}")
    slices = {layer: where for layer, (where, _) in measured_layers(name, level).items()}
    return tuple(_beside_chance(masks, slices, (i, j), experiment.runs))


def task_overlaps(store: Store, one: str, other: str, level: str, within: bool = True) -> list[LayerOverlap]:
    """Return the overlaps of masks of two experiments at one level that started from the same initial weights.

    Every run of the one is paired with every run of the other, initialisation by initialisation. Layers that do not
    have the same shape in both are left out; those that have start from the same weights (`models.initial_parameters`).
    So are layers that keep no weight.

    Parameters
    ----------
    store : Store
    one, other : str
        Names of the experiments.
    level : str
        Name of the level, in both.
    within : bool
        Pairs of one initialisation, or else of different ones.

    Returns
    -------
    list of LayerOverlap
        In the order of the first experiment's layers.

    Raises
    ------
    Missing
        If a level is not trained.
    UserError
        If the experiments do not have the same initialisations and runs, or no layer in common.

    References
    ----------
    Paper A, section 3.4 and appendix D.4, figures 7e and 13.
    """
    first, second = find(one), find(other)
    if (first.inits, first.runs) != (second.inits, second.runs):
        raise UserError(
            f"other is {other}: it has {second.inits} x {second.runs} runs and should have "
            f"{first.inits} x {first.runs}, as {one}"
        )
    # Of one of them only the first initialisations may be trained.
    inits = min(require(store, name, level).inits for name in (one, other))
    return list(_task_overlaps(store, first.first(inits), second.first(inits), level, within))


@functools.lru_cache(maxsize=256)
def _task_overlaps(
    store: Store, first: Experiment, second: Experiment, level: str, within: bool
) -> tuple[LayerOverlap, ...]:
    one, other = first.name, second.name
    masks = [part(store, name, level, "masks")[: first.replicas] for name in (one, other)]
    common = [layer for layer in common_layers(one, other) if layer in measured_layers(one, level)]
    if not common:
        raise UserError(f"other is {other}: it has no layer of the same name and shape as {one}")
    where = [experiment.architecture.weight_slices() for experiment in (first, second)]
    joined = np.concatenate(
        [np.concatenate([m[:, w[name]] for name in common], axis=1) for m, w in zip(masks, where, strict=True)]
    )
    ends = np.cumsum([0, *(where[0][name].stop - where[0][name].start for name in common)])
    slices = {name: slice(start, stop) for name, start, stop in zip(common, ends[:-1], ends[1:], strict=True)}
    i, j = (index.ravel() for index in np.indices((first.replicas, first.replicas)))
    chosen = (i // first.runs == j // first.runs) == within
    pairs = (i[chosen], first.replicas + j[chosen])
    return tuple(_beside_chance(joined, slices, pairs, first.runs, first.inits))


def _beside_chance(
    masks: NDArray[np.bool_], slices: dict[str, slice], pairs: overlap.Pairs, runs: int, inits: int = 0
) -> list[LayerOverlap]:
    """Return the overlaps of some pairs of masks, layer by layer, beside what chance gives.

    With `inits` the replicas of a second experiment follow those of the first, with the same initialisations again.
    """
    measured = overlap.layer_overlaps(masks, slices, pairs)
    i, j = (index // runs % inits if inits else index // runs for index in pairs)
    result = []
    for layer, where in slices.items():
        n, kept = where.stop - where.start, int(masks[0, where].sum())
        low, high = baselines.overlap_interval(n, kept)
        expected = 100 * baselines.overlap_mean(n, kept) / kept
        values, which = measured[layer], np.stack([index % runs for index in pairs], axis=1)
        result.append(LayerOverlap(layer, n, kept, values, i, j, expected, 100 * low / kept, 100 * high / kept, which))
    return result


def common_layers(one: str, other: str) -> list[str]:
    """Return the layers that have the same name and shape in the networks of two experiments."""
    shapes = {layer.name: layer.shape for layer in find(other).architecture.layers}
    return [layer.name for layer in find(one).architecture.layers if shapes.get(layer.name) == layer.shape]


# With two weights a rank correlation is 1 or -1, whatever they are.
LEAST_RANKED = 3


def measured_layers(name: str, level: str, least: int = 1) -> dict[str, tuple[slice, int]]:
    """Return the layers of an experiment that keep weights enough at a level to be measured.

    Here it is decided what is said of a layer that keeps no weight, as three layers of the ResNet at 99.9 % pruned:
    nothing.  Its overlap, and its share of weights in all masks, are zero of zero, for trained masks as for random
    ones, so it has no value, no chance to be held against, no part in a mean, and no row in a figure; captions name it.
    Of rank correlations the same is said of a layer that keeps fewer than `LEAST_RANKED` weights.

    Parameters
    ----------
    name, level : str
    least : int
        Weights that a layer must keep.

    Returns
    -------
    dict of str to (slice, int)
        By layer: where its weights are, and how many of them it keeps.
    """
    experiment = find(name)
    counts = kept_counts(experiment.architecture, experiment.level(level))
    slices = experiment.architecture.weight_slices()
    return {layer: (where, counts[layer]) for layer, where in slices.items() if counts[layer] >= least}


def left_out(name: str, level: str, least: int = 1) -> list[str]:
    """Return the layers of an experiment that `measured_layers` leaves out."""
    there = measured_layers(name, level, least)
    return [layer.name for layer in find(name).architecture.layers if layer.name not in there]


@dataclasses.dataclass(frozen=True)
class LayerShare:
    """A share of one layer's weights, one value for each initialisation or two of them, and what chance gives; in %.

    Attributes
    ----------
    layer : str
    values : float array, shape (n,)
    expected, low, high : float
        Mean and central 95 % interval for independent masks.
    first, second : int array, shape (n,), optional
        The initialisations of each value; if not given it is of one, and they are in their order.
    """

    layer: str
    values: NDArray[np.float64]
    expected: float
    low: float
    high: float
    first: NDArray[np.int64] | None = None
    second: NDArray[np.int64] | None = None


def shared(store: Store, name: str, level: str, of_layer: bool = False) -> list[LayerShare]:
    """Return the weights that lie in the masks of all runs of an initialisation, in % of the mask, by layer.

    Parameters
    ----------
    store : Store
    name, level : str
    of_layer : bool
        In % of the layer instead, as the weights that no mask holds are counted.

    Raises
    ------
    Missing
        If the level is not trained.

    References
    ----------
    Paper A, section 3.2.1 and figure 4a; chance from the exact distribution, not from its equations 3 to 5.
    """
    result = []
    for layer, masks, n, kept, inits, runs in _layers(store, name, level):
        low, high = baselines.shared_interval(n, kept, runs)
        values, share = overlap.shared_by_all(masks, inits, runs), 100 / (n if of_layer else kept)
        expected = baselines.shared_mean(n, kept, runs)
        result.append(LayerShare(layer, share * values.astype(np.float64), share * expected, share * low, share * high))
    return result


def unused(store: Store, name: str, level: str, of_coverage: bool = False) -> list[LayerShare]:
    """Return the weights that lie in no mask of an initialisation, in % of the layer, by layer.

    Parameters
    ----------
    store : Store
    name, level : str
    of_coverage : bool
        Count instead what is lacking to the largest number of weights that the masks could cover, in % of that
        number: the paper's second normalisation, for masks that together hold less than the layer.

    Raises
    ------
    Missing
        If the level is not trained.

    References
    ----------
    Paper A, section 3.2.2 and figure 4b; chance from the exact distribution, not from its equations 6 and 7.
    """
    result = []
    for layer, masks, n, kept, inits, runs in _layers(store, name, level):
        reach = min(n, runs * kept) if of_coverage else n
        low, high = baselines.uncovered_interval(n, kept, runs)
        none = np.array(
            [baselines.uncovered_mean(n, kept, runs), low, high, *overlap.covered_by_none(masks, inits, runs)]
        )
        percent = 100 * (none - (n - reach)) / reach
        result.append(LayerShare(layer, percent[3:], *percent[:3].tolist()))
    return result


def _layers(store: Store, name: str, level: str) -> Iterator[tuple[str, NDArray[np.bool_], int, int, int, int]]:
    """Yield of each layer its name, masks, weights and kept weights, and the design: initialisations and runs."""
    masks, experiment = part(store, name, level, "masks"), store.find(name)
    for layer, (where, kept) in measured_layers(name, level).items():
        yield layer, masks[:, where], where.stop - where.start, kept, experiment.inits, experiment.runs


def significance(
    store: Store, name: str, level: str, probability: float = 0.95, within: bool = True
) -> list[LayerShare]:
    """Return how many overlaps lie outside the central interval of chance, in % of the pairs, by layer.

    Parameters
    ----------
    store : Store
    name, level : str
    probability : float
        Of the interval.
    within : bool
        Pairs of one initialisation, or else of different ones.

    Returns
    -------
    list of LayerShare
        A value is one initialisation's, or that of two different ones, these in the order of ``np.triu_indices``.
        `expected` is the false-positive rate, what independent masks give; `low` and `high` hold the central 95 % of
        the share of all pairs together, by the binomial distribution: the overlaps of two pairs of independent masks
        are independent, even if the pairs have a mask in common, so that mean and variance are those of a binomial.

    Raises
    ------
    Missing
        If the level is not trained.

    References
    ----------
    Paper A, appendix D.2 and figure 11, which state no false-positive rate.
    """
    result = []
    for layer in overlaps(store, name, level, within):
        low, high = (
            100 * end / layer.kept for end in baselines.overlap_interval(layer.weights, layer.kept, probability)
        )
        # Overlaps are whole counts in percent: half a count keeps rounding from deciding what lies outside.
        half = 50 / layer.kept
        outside = (layer.values < low - half) | (layer.values > high + half)
        inits, of = np.unique([layer.first, layer.second], axis=1, return_inverse=True)
        pairs = np.bincount(of.ravel())
        rate = statistics.false_positive_rate(layer.weights, layer.kept, probability)
        few, many = binom.interval(0.95, len(outside), rate)
        result.append(
            LayerShare(
                layer.layer,
                100 * np.bincount(of.ravel(), outside) / pairs,
                100 * rate,
                100 * float(few) / len(outside),
                100 * float(many) / len(outside),
                *inits,
            )
        )
    return result


def drawn_significance(name: str, level: str, probability: float, repetitions: int) -> float:
    """Return the share of pairs of drawn masks whose overlap lies outside chance's interval, in %, mean of the layers.

    Parameters
    ----------
    name, level : str
        Of an experiment, for the sizes of its layers.
    probability : float
        Of the interval.
    repetitions : int
        Pairs that are drawn for each layer.
    """
    shares = []
    for where, kept in measured_layers(name, level).values():
        drawn = _drawn_overlaps(where.stop - where.start, kept, repetitions)
        low, high = baselines.overlap_interval(where.stop - where.start, kept, probability)
        shares.append(100 * float(((drawn < low) | (drawn > high)).mean()))
    return float(np.mean(shares))


@functools.lru_cache(maxsize=256)
def _drawn_overlaps(n: int, kept: int, repetitions: int) -> NDArray[np.int64]:
    return baselines.simulate(n, kept, masks=2, repetitions=repetitions).overlap


@dataclasses.dataclass(frozen=True)
class LayerCorrelation:
    """Rank correlations of initial and final weights in one layer, one value for each ticket.

    Attributes
    ----------
    layer : str
    weights, kept : int
    values : float array, shape (replicas,)
    init : int array, shape (replicas,)
    null : float
        Standard deviation if initial and final weights had nothing to do with each other, 1 / sqrt(kept - 1).
    """

    layer: str
    weights: int
    kept: int
    values: NDArray[np.float64]
    init: NDArray[np.int64]
    null: float


def trained(store: Store, name: str, level: str) -> NDArray[np.bool_]:
    """Return of which tickets a surviving weight has changed, as far as half precision tells, in which they are stored.

    None has where no gradient comes through: at 99.9 % pruned the ResNet's output layer keeps no weight, and the masks
    of a small network can leave no way from its inputs to its outputs.

    Parameters as for `overlaps`; the level is a pruned one.

    Returns
    -------
    bool array, shape (replicas,)

    Raises
    ------
    Missing
        If the level is not trained.
    """
    experiment = require(store, name, level)
    return _trained(store, experiment, level)


@functools.lru_cache(maxsize=64)
def _trained(store: Store, experiment: Experiment, level: str) -> NDArray[np.bool_]:
    weights, masks = (part(store, experiment.name, level, what) for what in ("weights", "masks"))
    initial = store.initial_weights(experiment).astype(np.float16)
    own = np.arange(experiment.replicas) // experiment.runs
    changed = [(initial[i] != w.astype(np.float16))[m].any() for i, w, m in zip(own, weights, masks, strict=True)]
    return np.array(changed)


def rank_correlations(
    store: Store, name: str, level: str, of: str = "signed", over: str = "survivors"
) -> list[LayerCorrelation]:
    """Return the Spearman correlations of initial and final weights of every ticket, by layer.

    Layers that keep fewer than `LEAST_RANKED` weights are left out, and tickets of which `trained` says that no weight
    has changed: that their final weights are in the order of the initial ones says nothing of training.

    Parameters
    ----------
    store : Store
    name, level : str
    of, over : str
        As `similarity.rank_correlations` has them.

    Raises
    ------
    Missing
        If the level is not trained, or no ticket of it has changed.

    References
    ----------
    Paper A, section 3.2.3 and figure 5.
    """
    record(store, name, level)
    if not trained(store, name, level).any():
        raise Missing(Lack(name, level_words(level), such="of which a weight has changed"))
    return list(_rank_correlations(store, store.find(name), level, of, over))


@functools.lru_cache(maxsize=64)
def _rank_correlations(
    store: Store, experiment: Experiment, level: str, of: str, over: str
) -> tuple[LayerCorrelation, ...]:
    weights, masks = (part(store, experiment.name, level, what) for what in ("weights", "masks"))
    replicas = np.arange(experiment.replicas) // experiment.runs
    initial = store.initial_weights(experiment)[replicas]
    changed = trained(store, experiment.name, level)
    initial, weights, masks, replicas = initial[changed], weights[changed], masks[changed], replicas[changed]
    result = []
    for layer, (where, kept) in measured_layers(experiment.name, level, LEAST_RANKED).items():
        n = where.stop - where.start
        values = similarity.rank_correlations(initial[:, where], weights[:, where], masks[:, where], of, over)
        pairs = kept if over == "survivors" else n
        result.append(LayerCorrelation(layer, n, kept, values, replicas, similarity.null_deviation(pairs)))
    return tuple(result)


def output_matrix(store: Store, name: str, level: str, measure: str) -> NDArray[np.float64]:
    """Return a similarity of the outputs of every pair of tickets.

    Parameters
    ----------
    store : Store
    name, level : str
    measure : str
        One of `MEASURES`: linear 'CKA' of the logits, 'CKA of softmax' outputs, or 'L2', the mean distance of two
        softmax outputs for the same image.

    Returns
    -------
    float array, shape (replicas, replicas)
        NaN where a ticket has no CKA, because its output is the same for every image.

    Raises
    ------
    Missing
        If the level is not trained.
    UserError
        If there is no such measure.

    References
    ----------
    Paper A, section 3.3, appendix C, figures 6 and 9.
    """
    if measure not in MEASURES:
        raise UserError(f"measure is {measure!r}: it should be one of {', '.join(map(repr, MEASURES))}")
    record(store, name, level)
    return _output_matrix(store, store.find(name), level, measure)


@functools.lru_cache(maxsize=64)
def _output_matrix(store: Store, experiment: Experiment, level: str, measure: str) -> NDArray[np.float64]:
    outputs: NDArray[np.floating] = part(store, experiment.name, level, "logits")
    if measure != "CKA":
        outputs = similarity.softmax(outputs)
    if measure == "L2":
        return similarity.l2(outputs)
    # A ticket too small to let anything through has the same output for every image, and no CKA.
    alive = np.flatnonzero((outputs != outputs[:, :1]).any(axis=(1, 2)))
    matrix = np.full((len(outputs), len(outputs)), np.nan)
    if len(alive):
        matrix[np.ix_(alive, alive)] = similarity.cka(outputs[alive])
    return matrix


def output_similarities(
    store: Store, name: str, level: str, measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a similarity of the outputs of all pairs of tickets, within and across initialisations.

    Parameters are those of `output_matrix`.

    Returns
    -------
    within, across : float array, shape (pairs,)
        Without tickets that have no CKA.

    Raises
    ------
    Missing
        If the level or a second initialisation is not trained, or no pair of tickets has a CKA.
    UserError
        If there is no such measure.
    """
    matrix, experiment = output_matrix(store, name, level, measure), several(store, name)
    design = (experiment.inits, experiment.runs)
    within, across = matrix[overlap.within_pairs(*design)], matrix[overlap.across_pairs(*design)]
    within, across = within[~np.isnan(within)], across[~np.isnan(across)]
    if not (len(within) and len(across)):
        raise Missing(Lack(name, level_words(level), such="whose outputs depend on the image"))
    return within, across


def similarities_by_level(
    store: Store, name: str, measure: str
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return what `output_similarities` does, for each level trained, the dense one included.

    A level at which no pair has a CKA is left out: where the output layer keeps no weight, a ticket says the same of
    every image, and how alike it is to others in what it says of images is not defined. A distance (L2) is.

    Raises
    ------
    Missing
        If no level is trained.
    """
    found = {}
    for level in accuracies(store, name):
        matrix = output_matrix(store, name, level, measure)
        if not np.isnan(matrix[~np.eye(len(matrix), dtype=bool)]).all():
            found[level] = output_similarities(store, name, level, measure)
    return found


def constant_tickets(store: Store, name: str, level: str) -> int:
    """Return how many tickets of a level give every image the same output, so that they have no CKA with any other.

    Parameters
    ----------
    store : Store
    name, level : str

    Raises
    ------
    Missing
        If the level is not trained.
    """
    matrix = output_matrix(store, name, level, "CKA")
    return int((np.isnan(matrix) | np.eye(len(matrix), dtype=bool)).all(axis=1).sum())


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
        If the level, or the dense one, or a third initialisation is not trained.
    """
    masks, experiment = part(store, name, level, "masks"), store.find(name)
    if experiment.inits < 3:  # the rank of an initial magnitude is held against two others
        raise Missing(beyond(store, name))
    initial = store.initial_weights(experiment)
    updates = part(store, name, "dense", "weights") - np.repeat(initial, experiment.runs, axis=0)
    within = overlap.within_pairs(experiment.inits, experiment.runs)
    across = overlap.across_pairs(experiment.inits, experiment.runs)
    result = []
    for layer in overlaps(store, name, level):
        where = experiment.architecture.weight_slices()[layer.layer]
        bins = min(50, max(1, layer.weights // 3))
        alone = overlap.overlap_from_initial_magnitude(
            initial[:, where], masks[:, where], experiment.inits, experiment.runs, bins
        )
        correlation = np.asarray(np.corrcoef(updates[:, where]))
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


@dataclasses.dataclass(frozen=True)
class Spread:
    """How far the overlaps of masks scatter in one layer, and what the numbers of weights per unit have to do with it.

    Attributes
    ----------
    layer : str
    measured, chance : float
        Standard deviation of the overlaps, and that of the hypergeometric distribution, in % of the mask.
    explained : float
        Correlation of the overlaps with those expected from how many weights each unit keeps.
    """

    layer: str
    measured: float
    chance: float
    explained: float


def spreads(store: Store, name: str, level: str, within: bool = False) -> list[Spread]:
    """Return how far the overlaps of all pairs of masks scatter at one level, layer by layer.

    Raises
    ------
    Missing
        If the level is not trained.
    """
    experiment = store.find(name)
    masks, slices = part(store, name, level, "masks"), experiment.architecture.weight_slices()
    pairs = (overlap.within_pairs if within else overlap.across_pairs)(experiment.inits, experiment.runs)
    result = []
    layers = {layer.name: layer for layer in experiment.architecture.layers}
    for row in overlaps(store, name, level, within):
        layer = layers[row.layer]
        expected = overlap.overlap_from_unit_counts(masks[:, slices[layer.name]], layer.shape[0], pairs)
        chance = 100 * np.sqrt(baselines.overlap_variance(row.weights, row.kept)) / row.kept
        explained = float(np.corrcoef(expected, row.values)[0, 1])
        result.append(Spread(layer.name, float(row.values.std(ddof=1)), float(chance), explained))
    return result


def choose_layers(name: str, layers: str) -> list[str]:
    """Return the layers of an experiment that a chapter's parameter names: 'all', or names with commas between."""
    known = [layer.name for layer in find(name).architecture.layers]
    chosen = known if layers == "all" else [part.strip() for part in layers.split(",")]
    for layer in chosen:
        if layer not in known:
            raise UserError(f"layers names {layer!r}: {name} has {', '.join(known)} (or all)")
    return chosen


def choose_level(name: str, level: str) -> str:
    """Return the name of the level that a chapter's parameter means: 'all', 'dense', or a fraction pruned."""
    known = {f"{v.pruned:g}": v.name for v in find(name).levels[1:]}
    if level in ("all", "dense"):
        return level
    try:
        return known[f"{float(level):g}"]
    except (KeyError, ValueError):
        raise UserError(f"level is {level!r}: {name} has levels at {', '.join(known)} pruned (or all)") from None


def accuracies(store: Store, name: str) -> dict[str, NDArray[np.float64]]:
    """Return the test accuracy in % of every replica, shape (inits, runs), for each level trained."""
    if name not in EXPERIMENTS or not store.finished(store.find(name)):
        raise Missing(Lack(name))
    experiment = store.find(name)
    result = {}
    for level in store.finished(experiment):
        images = store.entries(experiment, level)[0]["data"]["test images"]
        correct = record(store, name, level.name).correct
        result[level.name] = 100 * correct.reshape(experiment.inits, experiment.runs) / images
    return result


@dataclasses.dataclass(frozen=True)
class Gain:
    """Mean test accuracies of two experiments at one level, in %, and their difference in points.

    Attributes
    ----------
    accuracy, reference : float
    difference, low, high : float
        With its 95 % interval, by bootstrap over the initialisations; of a single one there is none, and it is NaN.
    """

    accuracy: float
    reference: float
    difference: float
    low: float
    high: float

    @property
    def interval(self) -> str:
        """Return the interval in words."""
        return statistics.interval_words(self.low, self.high, "+.2f")


def accuracy_gains(store: Store, name: str, reference: str) -> dict[str, Gain]:
    """Return by how much the tickets of an experiment are more accurate than those of another, level by level.

    Parameters
    ----------
    store : Store
    name, reference : str
        Of two experiments; those initialisations are compared that both have.

    Returns
    -------
    dict of str to Gain
        By the name of each level that both have.

    Raises
    ------
    Missing
        If one of them is not trained.
    """
    own, other = accuracies(store, name), accuracies(store, reference)
    result = {}
    for level in own:
        if level in other:
            # Both start from the same initial weights, so the initialisations are compared one by one.
            both = min(len(own[level]), len(other[level]))
            mine, theirs = own[level][:both], other[level][:both]
            difference = mine.mean(axis=1) - theirs.mean(axis=1)
            low, high = (np.nan, np.nan) if both < 2 else statistics.bootstrap_over_inits(difference[:, None].tolist())
            result[level] = Gain(float(mine.mean()), float(theirs.mean()), float(difference.mean()), low, high)
    return result


def chance_group(layer: LayerOverlap, name: str = "") -> ChanceGroup:
    """Return what `lib.claims` needs to judge one layer's overlaps against chance."""
    return ChanceGroup(name or layer.layer, layer.values, layer.expected, layer.low, layer.high)
