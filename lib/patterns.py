"""Sign patterns in the first layer of tickets, beside those of random tickets and of a control.

A group is some tickets of one kind: the winning ones of an experiment, or random ones.  Its statistics are held
against two references that were really drawn: random tickets with the same initial weights, which the paper takes,
and a control that keeps the group's own numbers of positive and negative weights and of survivors in each filter.
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from lib import evidence, kernels, streams
from lib.errors import UserError
from lib.experiments import Experiment, find
from lib.kernels import Signs
from lib.models import Architecture, initial_signs
from lib.pruning import kept_counts, random_masks
from lib.tickets import Store

# Groups of random tickets, and controls of a group, that an interval is taken from.
RANDOM_DRAWS, CONTROL_DRAWS = 200, 100
# What `measure` returns, in words, and the unit in which it is shown.
STATISTICS = {
    "filters": ("standard deviation of the weights left per filter", ""),
    "positions": ("standard deviation of the weights left per position", ""),
    "sparse": ("filters two standard deviations of chance below the mean", "%"),
    "dense": ("filters two standard deviations of chance above the mean", "%"),
    "ratio": ("positive weights to a negative one", ""),
    "empty": ("kernels without a weight", "%"),
    "any": ("pairs of weights of any sign that are neighbours", "%"),
    "positive": ("pairs of positive weights that are neighbours", "%"),
    "negative": ("pairs of negative weights that are neighbours", "%"),
    "opposite": ("pairs of opposite signs that are neighbours", "%"),
    "grouped3": ("grouped patterns among the kernels with three weights", "%"),
    "grouped4": ("grouped patterns among the kernels with four weights", "%"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Some tickets of one kind: the signs of their first layer.

    Attributes
    ----------
    experiment : str
        Whose winning tickets these are, or whose counts and initial weights the random ones have.
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    random : bool
    """

    experiment: str
    signs: Signs
    random: bool = False


@dataclasses.dataclass(frozen=True)
class Statistic:
    """A number that describes a group, beside chance.

    Attributes
    ----------
    value : float
        Of the group.
    expected : float
        For tickets whose weights lie anywhere in the layer: exact.
    low, high : float
        Central 95 % of groups of as many random tickets: drawn, but of empty kernels exact.
    control_low, control_high : float
        Central 95 % of controls of this group.
    """

    value: float
    expected: float
    low: float
    high: float
    control_low: float
    control_high: float


def winning(store: Store, name: str, tickets: int, trained: bool = False) -> Group:
    """Return the first winning tickets of an experiment.

    Parameters
    ----------
    store : Store
    name : str
        Of the experiment.
    tickets : int
        How many; if only some trials are trained there may be fewer.
    trained : bool
        The signs at the end of the ticket's training, not those of its initial weights.

    Returns
    -------
    Group

    Raises
    ------
    Missing
        If the tickets are not trained.
    UserError
        If there are not so many.

    References
    ----------
    Paper B, section 6; section 7 says that the signs are those before training.
    """
    first = _first_layer(find(name), tickets)
    if trained:
        return Group(name, _trained(store, name, find(name).last.name, tickets))
    masks = evidence.winning_masks(store, name)
    masks = masks[:tickets, : first.weight_count]
    return Group(name, _initial_signs(find(name), len(masks)) * _shaped(masks, first))


def random(store: Store, name: str, tickets: int, trained: bool = False) -> Group:
    """Return random tickets with the counts and the initial weights of an experiment's winning ones.

    Without training they are a pure function of the network, and are all there; `store` is looked at for `trained`
    only.  Parameters and errors are those of `winning`.
    """
    experiment = find(name)
    first = _first_layer(experiment, tickets)
    if trained:
        return Group(name, _trained(store, name, "random", tickets), random=True)
    masks = random_masks(first, experiment.last, tickets)
    return Group(name, _initial_signs(experiment, tickets) * _shaped(masks, first), random=True)


def measure(signs: Signs, diagonal: bool = False, pooled: bool = True) -> dict[str, float]:
    """Return the statistics of `STATISTICS`, in their units; those that are not defined are left out.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
    diagonal : bool
        As for `kernels.neighbour_share`.
    pooled : bool
        All pairs of weights of the group in one share, and not the mean of the kernels' shares.  Pairs of opposite
        signs are always pooled.
    """
    low, high = _few_and_many(signs)
    histogram, sizes = kernels.filter_histogram(signs), kernels.kernel_histogram(signs)
    share = kernels.neighbour_share if pooled else kernels.kernel_neighbour_share
    result = {
        "filters": kernels.filter_deviation(signs),
        "positions": kernels.position_deviation(signs),
        "sparse": 100 * histogram[:low].sum() / histogram.sum(),
        "dense": 100 * histogram[high:].sum() / histogram.sum(),
        "empty": 100 * sizes[0] / sizes.sum(),
    }
    for key, make in {
        "ratio": lambda: kernels.sign_ratio(signs),
        "any": lambda: 100 * share(signs, None, diagonal),
        "positive": lambda: 100 * share(signs, 1, diagonal),
        "negative": lambda: 100 * share(signs, -1, diagonal),
        "opposite": lambda: 100 * kernels.opposite_neighbour_share(signs, diagonal),
        "grouped3": lambda: 100 * kernels.grouped_share(signs, 3, diagonal),
        "grouped4": lambda: 100 * kernels.grouped_share(signs, 4, diagonal),
    }.items():
        try:
            result[key] = float(make())
        except UserError:
            continue  # no such weights, so no such share
    return {key: float(result[key]) for key in STATISTICS if key in result}


def expected(group: Group, diagonal: bool = False) -> dict[str, float]:
    """Return what `measure` is expected to give for tickets whose weights lie anywhere in the layer.

    Exact; of the two deviations it is the root of the expected square.  The ratio of signs is that of the initial
    weights, whose signs a random mask does not look at; all else is given the group's own number of either sign.

    Parameters
    ----------
    group : Group
    diagonal : bool

    Returns
    -------
    dict of str to float
    """
    signs = group.signs
    low, high = _few_and_many(signs)
    histogram, sizes = kernels.expected_filter_histogram(signs), kernels.expected_kernel_histogram(signs)
    near = 100 * kernels.expected_neighbour_share(diagonal)
    return {
        "filters": kernels.expected_filter_deviation(signs),
        "positions": kernels.expected_position_deviation(signs),
        "sparse": 100 * histogram[:low].sum() / histogram.sum(),
        "dense": 100 * histogram[high:].sum() / histogram.sum(),
        "ratio": kernels.sign_ratio(_initial_signs(find(group.experiment), len(signs))),
        "empty": 100 * sizes[0] / sizes.sum(),
        **dict.fromkeys(("any", "positive", "negative", "opposite"), near),
        "grouped3": 100 * kernels.expected_grouped_share(signs, 3, diagonal),
        "grouped4": 100 * kernels.expected_grouped_share(signs, 4, diagonal),
    }


def statistics(group: Group, diagonal: bool = False, pooled: bool = True) -> dict[str, Statistic]:
    """Return the statistics of a group beside what chance and its control give.

    Parameters
    ----------
    group : Group
    diagonal, pooled : bool
        As for `measure`.

    Returns
    -------
    dict of str to Statistic
        By the keys of `STATISTICS`.
    """
    given, exact = measure(group.signs, diagonal, pooled), expected(group, diagonal)
    chance = _random_intervals(*_first(group.experiment, len(group.signs)), diagonal, pooled)
    # Counts lie close to their interval's ends, which draws would put anywhere near.
    empty, n = kernels.kernel_count_interval(group.signs, 0), kernels.kernel_histogram(group.signs).sum()
    chance = {**chance, "empty": (100 * empty[0] / n, 100 * empty[1] / n)}
    control = _control_intervals(group.signs.tobytes(), group.signs.shape, diagonal, pooled)
    nothing = (np.nan, np.nan)
    return {
        key: Statistic(value, exact[key], *chance.get(key, nothing), *control.get(key, nothing))
        for key, value in given.items()
    }


def initial(name: str, tickets: int) -> Signs:
    """Return the signs of the first layer before training and pruning, shape (tickets, filters, channels, 3, 3)."""
    return _initial_signs(find(name), tickets)


def kernel_counts(name: str, tickets: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how many kernels of random tickets keep 0, 1, ..., 9 weights.

    Parameters
    ----------
    name : str
        Of the experiment whose counts and initial weights the tickets have.
    tickets : int

    Returns
    -------
    expected, low, high : float64 array, shape (10,)
        Mean, and central 95 % of groups of so many random tickets: exact.
    """
    one = _random_draws(*_first(name, tickets))[0]
    low, high = np.array([kernels.kernel_count_interval(one, weights) for weights in range(kernels.PLACES + 1)]).T
    return kernels.expected_kernel_histogram(one), low.astype(np.float64), high.astype(np.float64)


def near_and_far(counts: NDArray[np.int64], diagonal: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many weights a reference place has beside it on average: at its neighbours, and at the other places.

    Parameters
    ----------
    counts : int array, shape (3, 3, 3, 3)
        As `kernels.together` returns it.
    diagonal : bool

    Returns
    -------
    near, far : float array, shape (3, 3)
        By reference place; NaN for the places that have no other than neighbours.
    """
    flat = counts.reshape(kernels.PLACES, kernels.PLACES).astype(np.float64)
    near = kernels.adjacency(diagonal)
    far = ~near & ~np.eye(kernels.PLACES, dtype=bool)
    shape = (kernels.SIDE, kernels.SIDE)
    none = np.where(far.any(axis=1), 1.0, np.nan)
    return (
        ((flat * near).sum(axis=1) / near.sum(axis=1)).reshape(shape),
        ((flat * far).sum(axis=1) * none / np.maximum(far.sum(axis=1), 1)).reshape(shape),
    )


# What is drawn is found again by the content that it comes from: the same tickets are asked about many times, and the
# experiments of paper B all begin with the same initial weights.


def _first(name: str, tickets: int) -> tuple[bytes, tuple[int, ...], int]:
    """Return the initial signs of the first layer as bytes, their shape, and how many weights a ticket keeps."""
    signs, experiment = _initial_signs(find(name), tickets), find(name)
    first = _first_layer(experiment, tickets)
    return signs.tobytes(), signs.shape, kept_counts(first, experiment.last)[first.layers[0].name]


@functools.lru_cache(maxsize=4)
def _random_draws(content: bytes, shape: tuple[int, ...], kept: int) -> Signs:
    """Return many groups of random tickets, shape (draws, tickets, filters, channels, 3, 3)."""
    signs = np.frombuffer(content, np.int8).reshape(shape)
    words = streams.raw(f"patterns/random/{kept}", RANDOM_DRAWS * signs.size).reshape(RANDOM_DRAWS, shape[0], -1)
    chosen = np.zeros(words.shape, bool)
    np.put_along_axis(chosen, np.argpartition(words, kept - 1, axis=2)[..., :kept], True, axis=2)
    return signs * chosen.reshape(RANDOM_DRAWS, *shape)


@functools.lru_cache(maxsize=16)
def _random_intervals(
    content: bytes, shape: tuple[int, ...], kept: int, diagonal: bool, pooled: bool
) -> dict[str, tuple[float, float]]:
    return _intervals([measure(signs, diagonal, pooled) for signs in _random_draws(content, shape, kept)])


@functools.lru_cache(maxsize=64)
def _control_intervals(
    content: bytes, shape: tuple[int, ...], diagonal: bool, pooled: bool
) -> dict[str, tuple[float, float]]:
    signs = np.frombuffer(content, np.int8).reshape(shape)
    return _intervals([measure(kernels.control_masks(signs, seed), diagonal, pooled) for seed in range(CONTROL_DRAWS)])


def _intervals(drawn: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the central 95 % of every statistic that was defined in all draws."""
    return {
        key: (float(low), float(high))
        for key in STATISTICS
        if all(key in values for values in drawn)
        for low, high in [np.quantile([values[key] for values in drawn], [0.025, 0.975])]
    }


def _few_and_many(signs: Signs) -> tuple[int, int]:
    """Return from which number of weights on a filter is no longer sparse, and from which on it is dense."""
    size, n = signs[0, 0].size, signs[0].size
    share = (signs != 0).mean()
    spread = np.sqrt(size * share * (1 - share) * (n - size) / (n - 1))
    return max(0, int(np.ceil(size * share - 2 * spread))), int(np.floor(size * share + 2 * spread)) + 1


def _first_layer(experiment: Experiment, tickets: int) -> Architecture:
    """Return the first layer alone: its streams of random numbers are those of the whole network."""
    if not 1 <= tickets <= experiment.replicas:
        raise UserError(f"tickets is {tickets}: {experiment.name} has 1 to {experiment.replicas}")
    return dataclasses.replace(experiment.architecture, layers=experiment.architecture.layers[:1])


def _shaped(values: NDArray, first: Architecture) -> NDArray:
    return values.reshape(-1, *first.layers[0].shape)


@functools.lru_cache(maxsize=8)
def _initial_signs(experiment: Experiment, tickets: int) -> Signs:
    first = _first_layer(experiment, tickets)
    starts = np.arange(tickets) // experiment.runs
    return _shaped(np.stack([initial_signs(first, int(init)) for init in starts]), first)


def _trained(store: Store, name: str, level: str, tickets: int) -> Signs:
    first = _first_layer(find(name), tickets)
    return _shaped(evidence.part(store, name, level, "signs")[:tickets, : first.weight_count], first)
