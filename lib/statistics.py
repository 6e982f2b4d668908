"""How sure one can be of a difference: tests, effect sizes and intervals.

Pairs of tickets are not independent, because they share tickets, and tickets are not, because they share
initialisations.  So beside the tests that the papers use stand a permutation test over tickets and a bootstrap over
initialisations.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib import baselines, streams
from lib.errors import UserError, shown, whole

# The significance level that paper B fixes in its section 5.
SIGNIFICANCE = 0.01
# Paper B's words for the size of |d|: each up to a bound that it excludes; the last has none.
EFFECTS = (
    ("negligible", 0.2),
    ("small", 0.5),
    ("medium", 0.8),
    ("large", 1.2),
    ("very large", 2.0),
    ("huge", math.inf),
)

# Share of the resamples on which a statistic may be undefined before its interval means nothing.
_UNDEFINED_SHARE = 0.05
# Two statistics count as equal if they differ by this share of the largest distance: sums in another order.
_ROUNDING = 1e-12
# Distances in one block, so that memory does not grow with the repetitions.
_BLOCK = 2**20

Label = str | int
Kind = Literal["within", "between"] | tuple[Label, Label]


def welch(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Test whether two groups have the same mean, without assuming that they have the same variance.

    Parameters
    ----------
    a, b : array_like, shape (values,)
        At least two values each, not all equal in both.

    Returns
    -------
    t, p : float
        The statistic, negative if the mean of `a` is the smaller one, and its two-sided p-value.

    Raises
    ------
    UserError
        If a group is not such an array.

    References
    ----------
    Paper B, section 5 and table 1.  It takes the values as independent; distances of pairs that share tickets are
    not (`permutation_test_tickets`).
    """
    x, y = _group("a", a), _group("b", b)
    in_x, in_y = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    _check_spread(x, y)
    t = (x.mean() - y.mean()) / math.sqrt(in_x + in_y)
    freedom = (in_x + in_y) ** 2 / (in_x**2 / (x.size - 1) + in_y**2 / (y.size - 1))
    return float(t), _two_sided(float(t), float(freedom))


def paired(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Test whether the mean of differences is zero: Student's t of values that belong together two by two.

    Parameters, results and errors as of `welch`, but there are as many values in both, and their differences vary.
    """
    x, y = _group("a", a), _group("b", b)
    if x.size != y.size:
        raise UserError(f"b has {y.size} values: it should have as many as a, {x.size}")
    difference = x - y
    if np.ptp(difference) == 0:
        raise UserError(f"a and b differ by {difference[0]:g} everywhere: their differences should vary")
    t = difference.mean() / math.sqrt(difference.var(ddof=1) / x.size)
    return float(t), _two_sided(float(t), x.size - 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values of several tests, adjusted so that they err together as rarely as one alone.

    Parameters
    ----------
    p_values : array_like, shape (tests,)

    Returns
    -------
    float64 array, shape (tests,)

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return adjusted


def _two_sided(t: float, freedom: float) -> float:
    """Return the probability that Student's t is at least as far from 0 as `t`.

    It is the regularised incomplete beta function I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2), computed
    here so that it hangs on no version of a library: by the continued fraction of DLMF 8.17.22, evaluated by Lentz's
    method as modified by Thompson and Barnett.
    """
    ratio = t * t / freedom
    if ratio == 0 or ratio == math.inf:
        return float(ratio == 0)
    a, b, x, rest = freedom / 2, 0.5, 1 / (1 + ratio), ratio / (1 + ratio)
    if a < 20:
        gammas = math.lgamma(a + b) - math.lgamma(a)
    else:  # their difference would cancel: DLMF 5.11.13
        gammas = math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5) + 17 / (14336 * a**7)
    front = math.exp(gammas - math.log(math.pi) / 2 - a * math.log1p(ratio) + math.log(rest) / 2)
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, rest) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    fraction = c = 1.0
    d = 0.0
    for step in range(1, 10_000):
        k = step // 2
        if step % 2:
            term = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        else:
            term = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return 1 / fraction


def cohen_d(a: ArrayLike, b: ArrayLike) -> float:
    """Return by how many pooled standard deviations the mean of `a` lies above that of `b`.

    Parameters and errors as for `welch`.

    Returns
    -------
    float

    References
    ----------
    Paper B, section 5, the equation of d.
    """
    x, y = _group("a", a), _group("b", b)
    _check_spread(x, y)
    squares = (x.size - 1) * x.var(ddof=1) + (y.size - 1) * y.var(ddof=1)
    return float((x.mean() - y.mean()) / math.sqrt(squares / (x.size + y.size - 2)))


def effect_word(d: float) -> str:
    """Return paper B's word for an effect of size ``|d|``, from 'negligible' to 'huge'.

    Parameters
    ----------
    d : float
        Such as `cohen_d` returns; its sign does not matter.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If `d` is not a number.

    References
    ----------
    Paper B, section 5: negligible < 0.2 <= small < 0.5 <= medium < 0.8 <= large < 1.2 <= very large < 2 <= huge.
    """
    if isinstance(d, bool) or not isinstance(d, Real) or math.isnan(d):
        raise UserError(f"d is {shown(d)}: it must be a number")
    return next((word for word, bound in EFFECTS if abs(d) < bound), EFFECTS[-1][0])


def interval_words(low: float, high: float, form: str) -> str:
    """Return an interval in words, its ends in the format `form`; NaN ends are those of too few initialisations."""
    return "too few initialisations" if np.isnan(low) else f"{low:{form}} to {high:{form}}"


def bootstrap_over_inits(
    values_by_init: Sequence[ArrayLike],
    statistic: Callable[[NDArray], float] = np.mean,
    repetitions: int = 2000,
    seed: int = 0,
    probability: float = 0.95,
) -> tuple[float, float]:
    """Return a percentile interval of a statistic, with initialisations resampled and not single values.

    A resample is as many initialisations as there are, drawn with replacement, and all values of each: values of one
    initialisation stay together, however much they depend on each other.  Of few initialisations there are few
    resamples, 126 of five: if they are at most `repetitions`, all are taken, each with its probability, and nothing is
    drawn.

    Parameters
    ----------
    values_by_init : sequence of array_like
        The values of each of at least two initialisations; shapes may differ along the first axis.
    statistic : callable
        Takes the values of some initialisations, joined along the first axis, and returns a number that does not depend
        on their order.  It may be NaN for one resample in twenty at most; these are left out.
    repetitions : int
        At least 1; more repetitions begin with the same ones, until they are enough for all resamples.
    seed : int
        At least 0.
    probability : float
        Between 0 and 1, both excluded.

    Returns
    -------
    low, high : float
        Values of the statistic on some resample: the first at which its distribution reaches each tail.

    Raises
    ------
    UserError
        If an argument does not fit, or the statistic is undefined too often.

    Notes
    -----
    From few initialisations a percentile interval is too short: of 95 % intervals of the mean of normal clusters,
    about 83 % hold it from 5 clusters and 93 % from 20.

    A value that belongs to two initialisations, such as an overlap across them, has no place in `values_by_init`.  Let
    the values be the numbers of the initialisations then, ``[[0], [1], ...]``, and let the statistic look up what it
    needs for those drawn.  It is NaN when a single one was drawn throughout.

    References
    ----------
    Davison and Hinkley, "Bootstrap methods and their application", 1997, sections 3.8 and 5.3.
    """
    inits = [np.asarray(values) for values in values_by_init]
    if len(inits) < 2:
        raise UserError(f"values_by_init holds {len(inits)} initialisations: it should hold at least 2")
    for init, values in enumerate(inits):
        if values.ndim == 0 or values.size == 0 or values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise UserError(
                f"values_by_init[{init}] is {shown(values_by_init[init])}: it should be an array of numbers"
            )
    repetitions, seed = whole("repetitions", repetitions, 1), whole("seed", seed, 0)
    if not 0 < probability < 1:
        raise UserError(f"probability is {probability!r}: it must lie between 0 and 1")
    ways, times = _resamples(len(inits), repetitions, seed)
    found = np.array([float(statistic(np.concatenate([inits[i] for i in row]))) for row in ways])
    undefined = np.isnan(found)
    if times[undefined].sum() > _UNDEFINED_SHARE * times.sum():
        raise UserError(
            f"statistic is undefined on {times[undefined].sum()} of {times.sum()} resamples: at most "
            f"{_UNDEFINED_SHARE:.0%} may be"
        )
    order = np.argsort(found[~undefined], kind="stable")
    values, reached = found[~undefined][order], np.cumsum(times[~undefined][order])
    tail = (1 - probability) / 2
    low, high = np.searchsorted(reached, [tail * reached[-1], (1 - tail) * reached[-1]])
    return float(values[low]), float(values[high])


def _resamples(inits: int, repetitions: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return resamples of initialisations, shape (ways, inits), and how often each is drawn: all, or some at random.

    In which order initialisations are drawn makes no difference, so few are drawn together again and again.
    """
    if math.comb(2 * inits - 1, inits) <= repetitions:
        ways = np.array(list(itertools.combinations_with_replacement(range(inits), inits)))
        orders = [math.factorial(inits) // math.prod(map(math.factorial, np.bincount(way).tolist())) for way in ways]
        return ways, np.array(orders)
    # The remainder prefers no initialisation by more than 2^-64 of its probability, and needs no rounding.
    words = streams.raw(f"statistics/bootstrap/{inits}/{seed}", repetitions * inits)
    drawn = (words % np.uint64(inits)).astype(np.int64).reshape(repetitions, -1)
    return np.unique(np.sort(drawn, axis=1), axis=0, return_counts=True)


def permutation_test_tickets(
    distances: ArrayLike,
    labels: Sequence[Label],
    first: Kind = "within",
    second: Kind = "between",
    repetitions: int = 9999,
    seed: int = 0,
) -> float:
    """Test whether the labels of tickets say anything about the distances of pairs of them.

    The statistic is the mean distance of one kind of pairs less that of another.  If labels say nothing, any other
    assignment of them to the *tickets* is as likely; pairs are not shuffled, because those that share a ticket depend
    on each other.

    A row of paper B's table 1 compares two kinds of pairs with `labels` that name the ticket's origin:

    - *WTs_X* against *random*: ``first=("X", "X"), second=("random", "random")``,
    - *mixed_X* against *random*: ``first=("X", "random"), second=("random", "random")``,
    - *between_X_Y* against *random*: ``first=("X", "Y"), second=("random", "random")``.

    Paper A's tickets within and across initialisations are the defaults, with the initialisations as labels.

    Parameters
    ----------
    distances : array_like, shape (n, n)
        Symmetric, of all pairs; the diagonal is not used. NaN leaves a pair out, whatever the labels of its tickets.
    labels : sequence of str or int, shape (n,)
    first, second : {'within', 'between'} or (label, label)
        All pairs of tickets with equal labels, all with different ones, or those with the two labels given.  If both
        give labels, tickets with any other label are left out.
    repetitions : int
        Random assignments, at least 1; more repetitions begin with the same ones.
    seed : int
        At least 0.

    Returns
    -------
    float
        Two-sided p-value, (1 + assignments at least as extreme as the one given) / (1 + repetitions): never 0, and
        valid for any number of repetitions.

    Raises
    ------
    UserError
        If an argument does not fit, or there is no pair of one kind.

    References
    ----------
    Paper B, table 1; Phipson and Smyth 2010, "Permutation p-values should never be zero", arXiv:1603.05766.
    """
    matrix, names = _symmetric(distances), np.asarray(labels)
    if names.shape != (len(matrix),) or names.dtype.kind not in "iuU":
        raise UserError(
            f"labels is {shown(labels)}: it should name each of the {len(matrix)} tickets by text or number"
        )
    repetitions, seed = whole("repetitions", repetitions, 1), whole("seed", seed, 0)
    if isinstance(first, tuple) and isinstance(second, tuple):
        involved = np.isin(names, np.array([*first, *second]))
        matrix, names = matrix[np.ix_(involved, involved)], names[involved]
    i, j = np.triu_indices(len(names), 1)
    kinds = np.stack([_chosen(w, k, names[i], names[j]) for w, k in (("first", first), ("second", second))], axis=1)
    used = kinds.any(axis=1)
    i, j, kinds = i[used], j[used], kinds[used].astype(np.float64)
    present = ~np.isnan(matrix)
    for what, kind, count in zip(("first", "second"), (first, second), present[i, j] @ kinds, strict=True):
        if not count:
            raise UserError(f"{what} is {kind!r}: there should be at least one pair of this kind")
    matrix = np.nan_to_num(matrix)

    def differences(one: NDArray, other: NDArray) -> NDArray[np.float64]:
        means = (matrix[one, other] @ kinds) / np.maximum(present[one, other] @ kinds, 1)
        return abs(means[..., 0] - means[..., 1])

    words = streams.raw(f"statistics/permutation/{len(names)}/{seed}", repetitions * len(names))
    orders = np.argsort(words.reshape(repetitions, -1), axis=1, kind="stable")
    extreme = differences(i, j) - _ROUNDING * np.abs(matrix).max(initial=0.0)
    at_once = max(1, _BLOCK // max(1, len(i)))
    count = 0
    for start in range(0, repetitions, at_once):
        order = orders[start : start + at_once]
        count += int((differences(order[:, i], order[:, j]) >= extreme).sum())
    return (1 + count) / (1 + repetitions)


def false_positive_rate(n: int, kept: int, probability: float = 0.95) -> float:
    """Return how often the overlap of two random masks lies outside the central interval of chance.

    It is the share of "significant" overlaps that chance alone gives on average, however many pairs share a mask.
    Counts are whole and the interval holds at least `probability`, so the rate is at most 1 - `probability`, and far
    less where a mask keeps few weights.

    Parameters
    ----------
    n : int
        Number of weights of the layer.
    kept : int
        Number of weights that each mask keeps.
    probability : float
        Of the interval, as ``baselines.overlap_interval`` defines it; between 0 and 1, both excluded.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If an argument is not in its range.

    References
    ----------
    Paper A, appendix D.2 and figure 11, which state no such rate.
    """
    low, high = baselines.overlap_interval(n, kept, probability)
    support, pmf = baselines.overlap_pmf(n, kept)
    return float(pmf[(support < low) | (support > high)].sum())


def _chosen(what: str, kind: Kind, one: NDArray, other: NDArray) -> NDArray[np.bool_]:
    """Return which of the pairs with the labels `one` and `other` are of a kind."""
    if kind == "within":
        chosen = one == other
    elif kind == "between":
        chosen = one != other
    elif isinstance(kind, tuple) and len(kind) == 2:
        a, b = kind
        chosen = ((one == a) & (other == b)) | ((one == b) & (other == a))
    else:
        raise UserError(f"{what} is {kind!r}: it should be 'within', 'between' or a tuple of two labels")
    return chosen


def _symmetric(distances: ArrayLike) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(distances, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"distances is {shown(distances)}: it should be an array of (tickets, tickets)") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"distances has the shape {matrix.shape}: it should be (tickets, tickets)")
    if np.isinf(matrix).any() or not np.array_equal(matrix, matrix.T, equal_nan=True):
        raise UserError("distances is not finite or not symmetric: it should hold one number for each pair of tickets")
    return matrix


def _group(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        group = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        group = np.empty(0)
    if group.ndim != 1 or group.size < 2 or not np.isfinite(group).all():
        raise UserError(f"{name} is {shown(values)}: it should be a list of at least two finite numbers")
    return group


def _check_spread(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    # Not by the variance: that of equal numbers need not come out as exactly zero.
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        raise UserError(f"a and b hold nothing but {a[0]:g} and {b[0]:g}: one of them at least should vary")
