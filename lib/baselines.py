"""What chance gives: how masks that have nothing to do with each other overlap.

A layer has `n` weights, a mask keeps `kept` of them, and every choice of `kept` weights is equally
likely.  For one such layer and `masks` independent masks this module knows, exactly and by simulation,

- *overlap*: how many weights lie in both of two masks (hypergeometric; paper A, eq. 1 and 2),
- *shared*: how many lie in all of the masks,
- *uncovered*: how many lie in none of them.

Overlap is *shared* with two masks, and *uncovered* is *shared* of the complements, so one distribution
serves all three.  The approximations that the paper prints for the last two stand at the end, as printed.
"""

import dataclasses
import functools
from fractions import Fraction
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.errors import UserError, finite, shown, whole

# Probability that may lie outside the support of a distribution returned here, at each mask after the first.
_OUTSIDE = 1e-14
# Numbers in one block of a matrix, so that memory does not grow with the layer.
_BLOCK = 2**20

Distribution = tuple[NDArray[np.int64], NDArray[np.float64]]
_MOST_MASKS = 1000


def overlap_mean(n: int, kept: int) -> float:
    """Return the expected number of weights that lie in both of two masks.

    Parameters
    ----------
    n : int
        Number of weights of the layer.
    kept : int
        Number of weights that each mask keeps.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.

    References
    ----------
    Paper A, eq. 2, the mean.
    """
    n, kept = _layer(n, kept)
    return kept * kept / n


def overlap_variance(n: int, kept: int) -> float:
    """Return the variance of the number of weights that lie in both of two masks.

    Parameters and errors as for `overlap_mean`.

    Returns
    -------
    float

    References
    ----------
    Paper A, eq. 2, which calls this quantity sigma: it is the variance.
    """
    n, kept = _layer(n, kept)
    # A layer of one weight has no variance: the numerator is zero, whatever it is divided by.
    return (kept * (n - kept)) ** 2 / (n * n * max(n - 1, 1))


def overlap_pmf(n: int, kept: int) -> Distribution:
    """Return the distribution of the number of weights that lie in both of two masks.

    Parameters and errors as for `overlap_mean`.

    Returns
    -------
    support : int array, shape (k,)
        Consecutive counts that carry all but 1e-14 of the probability.
    pmf : float array, shape (k,)
        Their probabilities; the sum is 1.

    References
    ----------
    Paper A, eq. 1.
    """
    return shared_pmf(n, kept, 2)


def overlap_interval(n: int, kept: int, probability: float = 0.95) -> tuple[int, int]:
    """Return the central interval of the number of weights that lie in both of two masks.

    The interval is equal-tailed: with tail = (1 - probability) / 2, `low` is the largest count with
    P(X < low) <= tail, and `high` the smallest with P(X > high) <= tail.  So P(low <= X <= high) is at
    least `probability`; it is mostly more, because counts are whole.

    Parameters
    ----------
    n, kept : int
        As for `overlap_mean`.
    probability : float
        Between 0 and 1, both excluded.

    Returns
    -------
    low, high : int
        Both belong to the interval.

    Raises
    ------
    UserError
        If an argument is not in its range.

    References
    ----------
    Paper A, appendix D.2 (the 95 % and 99 % two-sided intervals).
    """
    return shared_interval(n, kept, 2, probability)


def shared_mean(n: int, kept: int, masks: int = 5) -> float:
    """Return the expected number of weights that lie in all of `masks` masks: n (kept / n)^masks.

    Parameters
    ----------
    n, kept : int
        As for `overlap_mean`.
    masks : int
        Number of independent masks, at least 1.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.

    References
    ----------
    Paper A, eq. 4.
    """
    n, kept = _layer(n, kept)
    return float(_shared_moments(n, kept, whole("masks", masks, 1, _MOST_MASKS))[0])


def shared_variance(n: int, kept: int, masks: int = 5) -> float:
    """Return the variance of the number of weights that lie in all of `masks` masks.

    Parameters, returned value and errors as for `shared_mean`.

    Notes
    -----
    A pair of weights lies in one mask with probability kept (kept - 1) / (n (n - 1)), and in all of them
    with that to the power of `masks`; this gives the second factorial moment.
    """
    n, kept = _layer(n, kept)
    mean, pairs = _shared_moments(n, kept, whole("masks", masks, 1, _MOST_MASKS))
    return float(pairs + mean - mean * mean)


def shared_pmf(n: int, kept: int, masks: int = 5) -> Distribution:
    """Return the distribution of the number of weights that lie in all of `masks` masks.

    Given that x weights lie in all masks so far, the number that also lie in the next mask is
    hypergeometric; so the distribution follows mask by mask.

    Parameters and errors as for `shared_mean`.

    Returns
    -------
    support : int array, shape (k,)
        Consecutive counts that carry all but masks x 1e-14 of the probability.
    pmf : float array, shape (k,)
        Their probabilities; the sum is 1.
    """
    n, kept = _layer(n, kept)
    masks = whole("masks", masks, 1, _MOST_MASKS)
    support, pmf = np.array([kept]), np.ones(1)
    for count in range(2, masks + 1):
        following = _window(n, kept, count)
        support, pmf = following, _mix(n, kept, support, pmf, following)
    return support, pmf


def shared_interval(n: int, kept: int, masks: int = 5, probability: float = 0.95) -> tuple[int, int]:
    """Return the central interval, as `overlap_interval` defines it, of the weights in all of `masks` masks.

    Parameters
    ----------
    n, kept, masks : int
        As for `shared_mean`.
    probability : float
        Between 0 and 1, both excluded.

    Returns
    -------
    low, high : int
        Both belong to the interval.

    Raises
    ------
    UserError
        If an argument is not in its range.
    """
    tail = _tail(probability)
    return _shared_interval(*_layer(n, kept), whole("masks", masks, 1, _MOST_MASKS), tail)


@functools.cache  # the ledger asks for the same layers again and again
def _shared_interval(n: int, kept: int, masks: int, tail: float) -> tuple[int, int]:
    support, pmf = shared_pmf(n, kept, masks)
    return central(support, pmf, tail)


def central(support: NDArray[np.int64], pmf: NDArray[np.float64], tail: float) -> tuple[int, int]:
    """Return the central interval of a distribution of counts, as `overlap_interval` defines it.

    Parameters
    ----------
    support : int array, shape (counts,)
        Ascending.
    pmf : float array, shape (counts,)
        Their probabilities.
    tail : float
        What may lie on each side, such as 0.025.

    Returns
    -------
    low, high : int
    """
    below = np.cumsum(pmf) - pmf
    above = np.cumsum(pmf[::-1])[::-1] - pmf
    return int(support[below <= tail][-1]), int(support[above <= tail][0])


def uncovered_mean(n: int, kept: int, masks: int = 5) -> float:
    """Return the expected number of weights that lie in none of `masks` masks: n (1 - kept / n)^masks.

    Parameters, returned value and errors as for `shared_mean`.

    References
    ----------
    What eq. 6 of paper A approximates.
    """
    n, kept = _layer(n, kept)
    return shared_mean(n, n - kept, masks)


def uncovered_variance(n: int, kept: int, masks: int = 5) -> float:
    """Return the variance of the number of weights that lie in none of `masks` masks.

    Parameters, returned value and errors as for `shared_mean`.
    """
    n, kept = _layer(n, kept)
    return shared_variance(n, n - kept, masks)


def uncovered_pmf(n: int, kept: int, masks: int = 5) -> Distribution:
    """Return the distribution of the number of weights that lie in none of `masks` masks.

    Parameters, returned value and errors as for `shared_pmf`.
    """
    n, kept = _layer(n, kept)
    return shared_pmf(n, n - kept, masks)


def uncovered_interval(n: int, kept: int, masks: int = 5, probability: float = 0.95) -> tuple[int, int]:
    """Return the central interval, as `overlap_interval` defines it, of the weights in none of `masks` masks.

    Parameters, returned value and errors as for `shared_interval`.
    """
    n, kept = _layer(n, kept)
    return shared_interval(n, n - kept, masks, probability)


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Counts of weights in repeated draws of random masks.

    Attributes
    ----------
    overlap : int array, shape (repetitions,)
        In both of the first two masks.
    shared : int array, shape (repetitions,)
        In all of the masks.
    uncovered : int array, shape (repetitions,)
        In none of the masks.
    """

    overlap: NDArray[np.int64]
    shared: NDArray[np.int64]
    uncovered: NDArray[np.int64]


def simulate(n: int, kept: int, masks: int = 5, repetitions: int = 1000, seed: int = 0) -> Simulation:
    """Draw random masks and count: a check of the distributions above that uses none of their formulas.

    A mask is where the `kept` smallest of `n` random words lie.  The result has the same bits on every
    platform, and more repetitions begin with the same ones.

    Parameters
    ----------
    n, kept : int
        As for `overlap_mean`.
    masks : int
        Number of masks in one repetition, at least 2.
    repetitions : int
        At least 1.
    seed : int
        At least 0.

    Returns
    -------
    Simulation

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.
    """
    n, kept = _layer(n, kept)
    masks, repetitions, seed = (
        whole("masks", masks, 2, _MOST_MASKS),
        whole("repetitions", repetitions, 1, 10**7),
        whole("seed", seed, 0),
    )
    overlap, shared, uncovered = np.empty((3, repetitions), np.int64)
    at_once = max(1, _BLOCK // (masks * n))
    for block, start in enumerate(range(0, repetitions, at_once)):
        stop = min(start + at_once, repetitions)
        label = f"baselines/{n}/{kept}/{masks}/{seed}/{block}"
        words = streams.raw(label, (stop - start) * masks * n).reshape(stop - start, masks, n)
        smallest = np.argpartition(words, min(kept, n - 1), axis=2)[:, :, :kept]
        drawn = np.zeros(words.shape, bool)
        np.put_along_axis(drawn, smallest, True, axis=2)
        overlap[start:stop] = (drawn[:, 0] & drawn[:, 1]).sum(axis=1)
        shared[start:stop] = drawn.all(axis=1).sum(axis=1)
        uncovered[start:stop] = n - drawn.any(axis=1).sum(axis=1)
    return Simulation(overlap, shared, uncovered)


def printed_overlap(n: int, kept: int) -> tuple[float, float]:
    """Return paper A's overlap of two masks and what stands behind its plus-minus sign, as printed.

    The first is the exact mean.  The second would be the variance if it had one more factor kept / n.

    Parameters
    ----------
    n : int
        Number of weights of the layer, at least 2.
    kept : int
        Number of weights that each mask keeps.

    Returns
    -------
    tau, plus_minus : float
        In weights.

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.

    References
    ----------
    Paper A, eq. 3.
    """
    n, kept = _layer(n, kept, at_least=2)
    return kept * kept / n, _printed_spread_term(n, kept, kept)


def printed_shared(n: int, kept: int, masks: int = 5) -> NDArray[np.float64]:
    """Return paper A's mean number of weights in all of 2, 3, ..., `masks` masks, as printed.

    It is exact: element i - 1 equals ``shared_mean(n, kept, i + 1)``.

    Parameters
    ----------
    n, kept : int
        As for `printed_overlap`.
    masks : int
        Number of masks, at least 2.

    Returns
    -------
    float array, shape (masks - 1,)
        tau_1, ..., tau_(masks - 1), in weights.

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.

    References
    ----------
    Paper A, eq. 4, from the tau_1 of eq. 3 on.
    """
    n, kept = _layer(n, kept, at_least=2)
    tau = [kept * kept / n]
    for _ in range(2, whole("masks", masks, 2, _MOST_MASKS)):
        tau.append(kept * tau[-1] / n)
    return np.array(tau)


def printed_shared_max(n: int, kept: int, masks: int = 5) -> NDArray[np.float64]:
    """Return paper A's upper bound of the weights in all of 2, 3, ..., `masks` masks, as printed.

    The paper does not say where the recursion starts.  Here it starts from the mean of eq. 3,
    tau_1^max = tau_1, and eq. 5 applies from i = 2 on, as eq. 4 does.  At half of 2,400 weights tau_4^max is
    then 1,453, more than the 1,200 weights that a mask has.  The other readings leave the mask too: 1,439
    from tau_0^max = ``|t|``, 1,449 from tau_1^max = tau_1 + plus_minus (eq. 3).

    Parameters, returned value and errors as for `printed_shared`.

    References
    ----------
    Paper A, eq. 5.
    """
    n, kept = _layer(n, kept, at_least=2)
    tau = [kept * kept / n]
    for _ in range(2, whole("masks", masks, 2, _MOST_MASKS)):
        tau.append(kept * tau[-1] / n + 3 * _printed_spread_term(n, kept, tau[-1]))
    return np.array(tau)


def printed_uncovered(n: int, kept: int, masks: int = 5) -> float:
    """Return paper A's mean number of weights in none of `masks` masks, as printed.

    The equation subtracts tau_(i-1), what the mask before added, where the cumulated coverage belongs.  So
    the sum of the tau_i exceeds n, and the result is negative, when masks are large: -78 % of n at half of
    the weights and five masks.

    Parameters
    ----------
    n, kept : int
        As for `printed_overlap`.
    masks : int
        Number of masks, at least 1.

    Returns
    -------
    float
        n - sum of tau_i over i = 0, ..., masks - 1, in weights.

    Raises
    ------
    UserError
        If an argument is not a whole number in its range.

    References
    ----------
    Paper A, eq. 6, tau_0 = ``|t|``.
    """
    n, kept = _layer(n, kept, at_least=2)
    tau = [float(kept)]
    for _ in range(1, whole("masks", masks, 1, _MOST_MASKS)):
        tau.append(kept - kept * tau[-1] / n)
    return n - sum(tau)


def printed_covered_max(n: int, kept: int, masks: int = 5) -> float:
    """Return paper A's upper bound of the weights that lie in at least one of `masks` masks, as printed.

    Parameters and errors as for `printed_uncovered`.

    Returns
    -------
    float
        Sum of tau_i^max over i = 0, ..., masks - 1, in weights.

    References
    ----------
    Paper A, eq. 7, tau_0^max = ``|t|`` as in eq. 6.
    """
    n, kept = _layer(n, kept, at_least=2)
    tau = [float(kept)]
    for _ in range(1, whole("masks", masks, 1, _MOST_MASKS)):
        tau.append(kept - kept * tau[-1] / n + 3 * _printed_spread_term(n, kept, tau[-1]))
    return sum(tau)


def printed_spread(tau: float, tau_max: float) -> float:
    """Return half the distance of paper A's upper bound from its mean, which it uses as a variance.

    Parameters
    ----------
    tau, tau_max : float
        Of `printed_shared` and `printed_shared_max`; or n less `printed_uncovered`, and `printed_covered_max`.

    Returns
    -------
    float

    References
    ----------
    Paper A, appendix B.1 ("as variance"); appendix B.2 sets the same difference as two standard deviations.
    """
    return 0.5 * (finite("tau_max", tau_max) - finite("tau", tau))


def _printed_spread_term(n: int, kept: int, tau: float) -> float:
    """Return the last term of eq. 3 (tau = |t|), and of eq. 5 and 7 without their factor 3."""
    return kept * (n - tau) / n * (n - kept) / (n - 1)


def _shared_moments(n: int, kept: int, masks: int) -> tuple[Fraction, Fraction]:
    """Return the mean and the second factorial moment, exactly: their difference cancels in floating point."""
    pairs = n * (n - 1)
    one_mask = Fraction(kept * (kept - 1), max(pairs, 1))
    return n * Fraction(kept, n) ** masks, pairs * one_mask**masks


def _window(n: int, kept: int, masks: int) -> NDArray[np.int64]:
    """Return consecutive counts outside of which the shared weights lie with probability below _OUTSIDE.

    Whether a weight lies in all masks is negatively associated from weight to weight (Joag-Dev and
    Proschan 1983), so Bernstein's inequality holds as it does for independent weights.
    """
    mean = n * (kept / n) ** masks
    variance = mean * (1 - mean / n)
    log = np.log(2 / _OUTSIDE)
    reach = log / 3 + np.sqrt(log * log / 9 + 2 * variance * log)
    low = max(int(np.floor(mean - reach)), n - masks * (n - kept), 0)
    high = min(int(np.ceil(mean + reach)), kept)
    return np.arange(low, high + 1)


def _mix(
    n: int, kept: int, before: NDArray[np.int64], probability: NDArray[np.float64], after: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the probabilities of the counts `after` one more mask, given those of the counts `before` it."""
    result = np.zeros(after.size)
    at_once = max(1, _BLOCK // after.size)
    for start in range(0, before.size, at_once):
        part = slice(start, start + at_once)
        result += probability[part] @ _hypergeometric(n, kept, before[part], after)
    return result / result.sum()


def _hypergeometric(n: int, kept: int, marked: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how probable it is that a mask holds each of `counts` of the `marked` weights.

    Built from the ratios of neighbouring probabilities, which are exact to rounding; the difference of
    log-factorials would lose six digits on a large layer.

    Parameters
    ----------
    n, kept : int
    marked : int array, shape (m,)
        Each allows at least one of the counts; those of a `_window` do with the next window's counts.
    counts : int array, shape (k,)
        Consecutive.

    Returns
    -------
    float array, shape (m, k)
        The rows sum to 1.
    """
    x, y = marked[:, None].astype(float), counts.astype(float)
    possible = (y >= x + kept - n) & (y >= 0) & (y <= x) & (y <= kept)
    log = np.zeros(possible.shape)
    if possible.all():  # as nearly always, and then in two thirds of the time
        ratio = (x - y[:-1]) / (y[1:] + (n - kept - x))
        ratio *= (kept - y[:-1]) / y[1:]
        np.cumsum(np.log(ratio, out=ratio), axis=1, out=log[:, 1:])
    else:
        up = possible[:, :-1] & possible[:, 1:]
        numerator = np.where(up, (x - y[:-1]) * (kept - y[:-1]), 1.0)
        denominator = np.where(up, y[1:] * (n - x - kept + y[1:]), 1.0)
        np.cumsum(np.log(numerator / denominator), axis=1, out=log[:, 1:])
        log[~possible] = -np.inf
    log -= log.max(axis=1, keepdims=True)
    rows = np.exp(log, out=log)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


def _layer(n: int, kept: int, at_least: int = 1) -> tuple[int, int]:
    n = whole("n", n, at_least)
    return n, whole("kept", kept, 0, n)


def _tail(probability: float) -> float:
    if isinstance(probability, bool) or not isinstance(probability, Real) or not 0 < probability < 1:
        raise UserError(f"probability is {shown(probability)}: it must lie between 0 and 1, both excluded")
    return (1 - float(probability)) / 2
