"""Sign patterns in the 3 x 3 kernels of a convolution, and what chance gives.

A stack of tickets is an int8 array of shape (tickets, filters, channels, 3, 3) that holds the sign of every
weight: 1, -1, or 0 where it is pruned.  Sums run over all tickets of the stack.  Each `expected_...` function
gives the exact expectation of the statistic of that name if the same numbers of positive and negative weights of
every ticket lay anywhere in its layer, every choice of places equally likely.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from lib import baselines, streams
from lib.errors import UserError, kind, shown, whole

SIDE = 3
PLACES = SIDE * SIDE
# The weight of each place of a kernel in the number of its pattern: base 3, the first place lowest.
_BASE_3 = 3 ** np.arange(PLACES)
# The same for sets of places, base 2.
_BASE_2 = 2 ** np.arange(PLACES, dtype=np.uint16)

Signs = NDArray[np.int8]


def filter_histogram(signs: Signs) -> NDArray[np.int64]:
    """Count the filters that keep 0, 1, 2, ... weights.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.

    Returns
    -------
    int array, shape (9 * channels + 1,)

    Raises
    ------
    UserError
        If `signs` is not such an array.

    References
    ----------
    Paper B, section 6, figure 2a.
    """
    _check(signs)
    return np.bincount(_sizes(signs, 2).ravel(), minlength=signs[0, 0].size + 1)


def expected_filter_histogram(signs: Signs) -> NDArray[np.float64]:
    """Return the expectation of `filter_histogram`: hypergeometric.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float64 array, shape (9 * channels + 1,)
    """
    _check(signs)
    return _expected_histogram(signs, signs[0, 0].size)


def filter_deviation(signs: Signs) -> float:
    """Return the standard deviation of the number of weights that a filter keeps, over all filters.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float
        With the number of filters as divisor.

    References
    ----------
    Paper B, section 6, footnote 4.
    """
    _check(signs)
    return float(_sizes(signs, 2).std())


def expected_filter_deviation(signs: Signs) -> float:
    """Return the root of the expectation of the square of `filter_deviation`.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float
    """
    _check(signs)
    filters = signs.shape[1]
    # Within a ticket the mean is fixed, so the expected square is a filter's variance; between them nothing varies.
    within = _variances(signs, signs[0, 0].size).mean()
    return math.sqrt(within + (_per_ticket(signs != 0) / filters).var())


def position_counts(signs: Signs) -> NDArray[np.int64]:
    """Count the filters that keep a weight, for each position in a filter.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    int array, shape (channels, 3, 3)
        Its sum over the channels is the number of kernels that keep a weight at each of their nine places.

    References
    ----------
    Paper B, section 6, figure 2b.
    """
    _check(signs)
    return (signs != 0).sum(axis=(0, 1))


def position_deviation(signs: Signs) -> float:
    """Return the standard deviation of `position_counts` over the positions in a filter.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float
        With the number of positions as divisor.

    References
    ----------
    Paper B, section 6, footnote 5.
    """
    return float(position_counts(signs).std())


def expected_position_deviation(signs: Signs) -> float:
    """Return the root of the expectation of the square of `position_deviation`.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float
    """
    _check(signs)
    return math.sqrt(_variances(signs, signs.shape[1]).sum())


def sign_ratio(signs: Signs) -> float:
    """Return how many positive weights there are to a negative one.

    Parameters
    ----------
    signs : int8 array
        Of any shape.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If there is no negative weight.

    References
    ----------
    Paper B, section 6, the ratio of signs.
    """
    kind("signs", signs, np.ndarray)
    if not np.issubdtype(signs.dtype, np.integer):
        raise UserError(f"signs is {shown(signs)}: it should be an int8 array of -1, 0, 1")
    negative = int((signs < 0).sum())
    if not negative:
        raise UserError("signs holds no negative weight: the ratio of signs is not defined")
    return int((signs > 0).sum()) / negative


def kernel_histogram(signs: Signs) -> NDArray[np.int64]:
    """Count the kernels that keep 0, 1, ..., 9 weights.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    int array, shape (10,)

    References
    ----------
    Paper B, table A.3.
    """
    _check(signs)
    return np.bincount(_sizes(signs, 3).ravel(), minlength=PLACES + 1)


def expected_kernel_histogram(signs: Signs) -> NDArray[np.float64]:
    """Return the expectation of `kernel_histogram`: hypergeometric.

    Parameters and errors as for `filter_histogram`.

    Returns
    -------
    float64 array, shape (10,)
    """
    _check(signs)
    return _expected_histogram(signs, PLACES)


def kernel_count_interval(signs: Signs, weights: int, probability: float = 0.95) -> tuple[int, int]:
    """Return the central interval of an element of `kernel_histogram`, by chance: exact.

    Of one ticket the number of kernels with so many weights follows from the ways to spread its survivors over the
    others; tickets are independent, so their distributions are convolved.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned; how many survive in each ticket is all that counts.
    weights : int
        0 to 9.
    probability : float
        Between 0 and 1, both excluded.

    Returns
    -------
    low, high : int
        Both belong to the interval, which is that of `baselines.central`.

    Raises
    ------
    UserError
        If an argument is not of that kind.
    """
    _check(signs)
    if whole("weights", weights, 0) > PLACES:
        raise UserError(f"weights is {weights}: a kernel has {PLACES}")
    if not 0 < probability < 1:
        raise UserError(f"probability is {probability!r}: it must lie between 0 and 1")
    chance, kernels = np.ones(1), signs.shape[1] * signs.shape[2]
    for kept in np.count_nonzero(signs, axis=(1, 2, 3, 4)).tolist():
        chance = np.convolve(chance, _kernel_count_distribution(kernels, kept, weights))
    return baselines.central(np.arange(len(chance)), chance, (1 - probability) / 2)


@functools.lru_cache(maxsize=64)
def _kernel_count_distribution(kernels: int, kept: int, weights: int) -> NDArray[np.float64]:
    """Return the probabilities that 0, 1, ... of a ticket's kernels have so many of its weights.

    Weights that survive one by one with the share that is kept spread alike, given how many do: sums of products of
    probabilities, all positive, in place of numbers of ways that no float holds.
    """
    share = kept / (kernels * PLACES)
    one = np.array([math.comb(PLACES, j) * share**j * (1 - share) ** (PLACES - j) for j in range(PLACES + 1)])
    others = one.copy()
    others[weights] = 0
    # The probabilities that m kernels keep some number in all and none of them so many as are counted, m = 0, 1, ...
    power, powers = np.ones(1), []
    for _ in range(kernels + 1):
        powers.append(power)
        power = np.convolve(power, others)
    found = np.zeros(kernels + 1)
    for count in range(kernels + 1):
        left = kept - weights * count
        if 0 <= left < len(powers[kernels - count]):
            found[count] = math.comb(kernels, count) * one[weights] ** count * powers[kernels - count][left]
    return found / found.sum()


def together(signs: Signs, reference: int, other: int) -> NDArray[np.int64]:
    """Count the kernels with one sign at one place and a sign at another, for all pairs of places.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    reference, other : int
        The two signs, 1 or -1.

    Returns
    -------
    int array, shape (3, 3, 3, 3)
        Element [r, c] is the map of the reference place in row r and column c.

    Raises
    ------
    UserError
        If an argument is not of that kind.

    References
    ----------
    Paper B, section 6, figure 3 (1 and 1) and figure 4 (1 and -1).
    """
    _check(signs)
    first, second = (_kernels(signs == _sign(name, s)) for name, s in (("reference", reference), ("other", other)))
    # Whole numbers of this size are exact as floats, of which alone products are fast.
    return (first.T.astype(float) @ second.astype(float)).astype(np.int64).reshape((SIDE,) * 4)


def expected_together(signs: Signs, reference: int, other: int) -> NDArray[np.float64]:
    """Return the expectation of `together`, of which it has the parameters and errors.

    Returns
    -------
    float64 array, shape (3, 3, 3, 3)
        One value where the two places differ, one where they are the same.
    """
    _check(signs)
    first, second = (_per_ticket(signs == _sign(name, s)) for name, s in (("reference", reference), ("other", other)))
    n, kernels = signs[0].size, signs.shape[1] * signs.shape[2]
    same = float(reference == other)
    apart = kernels * (first * (second - same) / (n * (n - 1))).sum()
    at_one = kernels * same * (first / n).sum()
    result = np.full((PLACES, PLACES), apart)
    np.fill_diagonal(result, at_one)
    return result.reshape((SIDE,) * 4)


def neighbour_share(signs: Signs, sign: int | None = 1, diagonal: bool = False) -> float:
    """Return which share of the pairs of weights in one kernel are neighbours, all pairs pooled.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    sign : int or None
        Sign of the weights that count, 1 or -1; None for all weights.
    diagonal : bool
        Whether places that share a corner are neighbours (8 around the centre) or only those that share an
        edge (4).

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    UserError
        If an argument is not of that kind, or no kernel has two such weights.

    References
    ----------
    Paper B, section 6, the percentage of two weights being neighbours; which neighbours it does not say.
    """
    near, pairs = _neighbours(signs, sign, diagonal)
    return float(near.sum() / pairs.sum())


def kernel_neighbour_share(signs: Signs, sign: int | None = 1, diagonal: bool = False) -> float:
    """Return the same share as `neighbour_share`, taken in each kernel with two or more weights, then averaged.

    Parameters, returned value and errors as for `neighbour_share`.
    """
    near, pairs = _neighbours(signs, sign, diagonal)
    return float((near / pairs).mean())


def expected_neighbour_share(diagonal: bool = False) -> float:
    """Return the expectation of `neighbour_share` and of `kernel_neighbour_share`.

    It is the share of neighbours among the 36 pairs of places: 12 / 36, or 20 / 36 with diagonals, however
    many weights each kernel has.

    Parameters
    ----------
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    float
    """
    return float(adjacency(diagonal).sum()) / (PLACES * (PLACES - 1))


def adjacency(diagonal: bool) -> NDArray[np.bool_]:
    """Return which of the nine places of a kernel are neighbours.

    Parameters
    ----------
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    bool array, shape (9, 9)
        Places in the order of their rows; none is its own neighbour.
    """
    kind("diagonal", diagonal, bool)
    rows, columns = np.divmod(np.arange(PLACES), SIDE)
    down, across = abs(rows[:, None] - rows), abs(columns[:, None] - columns)
    return np.maximum(down, across) == 1 if diagonal else down + across == 1


def opposite_neighbour_share(signs: Signs, diagonal: bool = False) -> float:
    """Return which share of the pairs of a positive and a negative weight in one kernel are neighbours, pooled.

    Chance gives `expected_neighbour_share`, as for weights of one sign.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    UserError
        If `signs` is not such an array, or no kernel has weights of both signs.

    References
    ----------
    Paper B, section 6, figure 4: negative weights lie further away from a positive one.
    """
    pairs = together(signs, 1, -1).reshape(PLACES, PLACES)
    return float(pairs[adjacency(diagonal)].sum() / _some(pairs.sum(), "kernel with weights of both signs"))


def same_sign_share(signs: Signs, diagonal: bool = False) -> float:
    """Return which share of the pairs of neighbouring weights have the same sign.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    UserError
        If `signs` is not such an array, or no two weights are neighbours.

    References
    ----------
    Paper B, section 7: "identically signed weights close to each other".
    """
    _check(signs)
    same = _near_pairs(signs > 0, diagonal).sum() + _near_pairs(signs < 0, diagonal).sum()
    return float(same / _some(_near_pairs(signs != 0, diagonal).sum(), "two weights that are neighbours"))


def expected_same_sign_share(signs: Signs, diagonal: bool = False) -> float:
    """Return the expectation of `same_sign_share`, of which it has the parameters, type and errors.

    Here the survivors stay where they are, and each ticket's signs are dealt among them anew.
    """
    _check(signs)
    kept, positive, negative = (_per_ticket(which) for which in (signs != 0, signs > 0, signs < 0))
    near = _near_pairs(signs != 0, diagonal).reshape(len(signs), -1).sum(axis=1)
    same = (positive * (positive - 1) + negative * (negative - 1)) / np.maximum(kept * (kept - 1), 1)
    return float((near * same).sum() / _some(near.sum(), "two weights that are neighbours"))


def frequent_patterns(signs: Signs, weights: int, most: int = 9) -> tuple[Signs, NDArray[np.int64]]:
    """Return the most frequent patterns among the kernels with some number of weights.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    weights : int
        Number of weights of the patterns, 0 to 9.
    most : int
        Number of patterns to return, at least 1; fewer are returned where fewer occur.

    Returns
    -------
    patterns : int8 array, shape (most, 3, 3)
        The most frequent first; equally frequent ones always in the same order.
    counts : int array, shape (most,)
        How many kernels have that pattern.

    Raises
    ------
    UserError
        If an argument is not in its range.

    References
    ----------
    Paper B, figures 5, 6 and A.5 to A.8.
    """
    chosen = _with_weights(signs, weights)
    whole("most", most, 1)
    numbers, counts = np.unique((chosen + 1) @ _BASE_3, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    patterns = numbers[order, None] // _BASE_3 % 3 - 1
    return patterns.astype(np.int8).reshape(-1, SIDE, SIDE), counts[order]


def expected_pattern_count(signs: Signs, pattern: Signs) -> float:
    """Return how many kernels are expected to have a pattern.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    pattern : int8 array, shape (3, 3)

    Returns
    -------
    float

    Raises
    ------
    UserError
        If an argument is not of that kind.

    References
    ----------
    The chance value beside paper B, figures 5, 6 and A.5 to A.8.
    """
    _check(signs)
    if np.shape(pattern) != (SIDE, SIDE) or not np.isin(pattern, (-1, 0, 1)).all():
        raise UserError(f"pattern is {shown(pattern)}: it should be 3 x 3 values -1, 0 or 1")
    n, kernels = signs[0].size, signs.shape[1] * signs.shape[2]
    wanted = [int(np.sum(np.equal(pattern, value))) for value in (-1, 0, 1)]
    expected = 0.0
    for ticket in signs:
        found = [int((ticket == value).sum()) for value in (-1, 0, 1)]
        # Ways to deal the nine places of a kernel, over all ways to deal nine places.
        ways = math.prod(math.perm(have, need) for have, need in zip(found, wanted, strict=True))
        expected += kernels * (ways / math.perm(n, PLACES))
    return expected


def grouped(patterns: Signs, diagonal: bool = False) -> NDArray[np.bool_]:
    """Return which patterns are grouped: the weights of each sign lie in one block.

    A block is a set of places that hang together as neighbours; a single place, or none, is one.  A grouped pattern
    of one sign is a surface; one of both signs has them side by side, as filters for edges and corners have.

    Parameters
    ----------
    patterns : int8 array, shape (..., 3, 3)
        1, -1, or 0 where pruned.
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    bool array, shape (...)

    Raises
    ------
    UserError
        If `diagonal` is not a bool.

    References
    ----------
    Paper B, section 6: its winning tickets have grouped weights of one sign, like filters for an edge, a corner or a
    surface; it gives no definition.
    """
    kind("diagonal", diagonal, bool)
    blocks, patterns = _blocks(diagonal), np.asarray(patterns)
    return (blocks[_sets(patterns > 0)] & blocks[_sets(patterns < 0)]).reshape(patterns.shape[:-2])


def grouped_share(signs: Signs, weights: int, diagonal: bool = False) -> float:
    """Return which share of the kernels with some number of weights have a grouped pattern.

    Parameters
    ----------
    signs : int8 array, shape (tickets, filters, channels, 3, 3)
        1, -1, or 0 where pruned.
    weights : int
        Number of weights of the kernels, 0 to 9.
    diagonal : bool
        As for `neighbour_share`.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    UserError
        If an argument is not of that kind, or no kernel has so many weights.
    """
    chosen = _with_weights(signs, weights)
    _some(np.int64(len(chosen)), f"kernel with {weights} weights")
    return float(grouped(chosen.reshape(-1, SIDE, SIDE), diagonal).mean())


def expected_grouped_share(signs: Signs, weights: int, diagonal: bool = False) -> float:
    """Return the expected number of grouped kernels over that of all kernels with some number of weights.

    Parameters and errors as for `grouped_share`.

    Returns
    -------
    float
    """
    _with_weights(signs, weights)
    blocks, sizes = _blocks(diagonal), _every_set().sum(axis=1)
    good = everything = 0.0
    for positive in range(weights + 1):
        ones, others = (np.flatnonzero(sizes == count) for count in (positive, weights - positive))
        apart = (ones[:, None] & others) == 0
        pattern = np.repeat([1, -1, 0], [positive, weights - positive, PLACES - weights]).astype(np.int8)
        # Chance does not see where the weights lie, only how many of either sign there are.
        each = expected_pattern_count(signs, pattern.reshape(SIDE, SIDE))
        everything += each * apart.sum()
        good += each * (apart & blocks[ones][:, None] & blocks[others]).sum()
    return float(good / _some(np.float64(everything), f"kernel with {weights} weights"))


def control_masks(signs: Signs, seed: int = 0) -> Signs:
    """Draw random tickets that keep as many weights of either sign, and as many in every filter, as given ones.

    In every unit (a filter, or a row of a dense layer) its survivors are put anywhere, and then the ticket's
    signs in this layer are dealt anew among all its survivors.  So what remains is the number of weights, the
    ratio of signs and the survivors of each unit; what goes is where they lie and which signs are together.
    The result has the same bits on every platform, and does not depend on the tickets behind.

    Parameters
    ----------
    signs : int8 array, shape (tickets, units, ...)
        One layer, of any kind: 1, -1, or 0 where pruned.
    seed : int
        At least 0; other seeds give independent draws.

    Returns
    -------
    int8 array of the same shape

    Raises
    ------
    UserError
        If an argument is not of that kind.

    Notes
    -----
    This control is not in paper B, whose random tickets have as many positive as negative weights and equally
    full filters; both make them unlike winning tickets without any pattern.
    """
    if not isinstance(signs, np.ndarray) or signs.dtype != np.int8 or signs.ndim < 3 or abs(_extreme(signs)) > 1:
        raise UserError(f"signs is {_describe(signs)}: it should be an int8 array (tickets, units, ...) of -1, 0, 1")
    whole("seed", seed, 0)
    result = np.zeros_like(signs)
    for number, ticket in enumerate(signs):
        rows = ticket.reshape(len(ticket), -1)
        label = f"kernels/control/{seed}/{number}"
        words = streams.raw(f"{label}/places", rows.size).reshape(rows.shape)
        counts = (rows != 0).sum(axis=1, keepdims=True)
        # The places of the smallest words; two of 64 random bits that are equal are not to be expected.
        largest = np.take_along_axis(np.sort(words, axis=1), np.maximum(counts, 1) - 1, axis=1)
        survivors = (words <= largest) & (counts > 0)
        dealt = rows[rows != 0]
        result[number].reshape(rows.shape)[survivors] = dealt[streams.permutation(f"{label}/signs", dealt.size)]
    return result


def deal_signs(signs: Signs, seed: int = 0) -> Signs:
    """Deal the signs of every ticket anew among its survivors, which stay where they are.

    Parameters
    ----------
    signs : int8 array, shape (tickets, ...)
        1, -1, or 0 where pruned.
    seed : int
        At least 0; other seeds give independent draws.

    Returns
    -------
    int8 array of the same shape
        The same bits on every platform.

    Raises
    ------
    UserError
        If an argument is not of that kind.
    """
    if not isinstance(signs, np.ndarray) or signs.dtype != np.int8 or signs.ndim < 2 or abs(_extreme(signs)) > 1:
        raise UserError(f"signs is {_describe(signs)}: it should be an int8 array (tickets, ...) of -1, 0, 1")
    whole("seed", seed, 0)
    result = np.zeros_like(signs)
    for number, ticket in enumerate(signs):
        kept = ticket[ticket != 0]
        result[number][ticket != 0] = kept[streams.permutation(f"kernels/deal/{seed}/{number}", kept.size)]
    return result


def _kernels(signs: NDArray[np.generic]) -> NDArray:
    """Return all kernels of a stack as rows of nine places."""
    return signs.reshape(-1, PLACES)


def _with_weights(signs: Signs, weights: int) -> NDArray[np.int8]:
    """Return the kernels that keep so many weights, as rows of nine places."""
    _check(signs)
    whole("weights", weights, 0, PLACES)
    return _kernels(signs)[np.bitwise_count(_sets(signs != 0)) == weights]


def _per_ticket(which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many weights of each ticket are meant."""
    return which.reshape(len(which), -1).sum(axis=1).astype(np.float64)


def _sizes(signs: Signs, axes: int) -> NDArray[np.int64]:
    """Return how many weights each filter (2 axes stay) or kernel (3) keeps."""
    return (signs != 0).reshape(*signs.shape[:axes], -1).sum(axis=-1)


def _variances(signs: Signs, drawn: int) -> NDArray[np.float64]:
    """Return for each ticket the variance of the survivors among `drawn` weights of the layer: hypergeometric."""
    n = signs[0].size
    share = _per_ticket(signs != 0) / n
    return drawn * share * (1 - share) * (n - drawn) / (n - 1)


def _expected_histogram(signs: Signs, drawn: int) -> NDArray[np.float64]:
    n = signs[0].size
    groups, all_ways = n // drawn, math.comb(n, drawn)
    result = np.zeros(drawn + 1)
    for kept, tickets in zip(*np.unique((signs != 0).sum(axis=(1, 2, 3, 4)), return_counts=True), strict=True):
        # Whole numbers of any size: the quotient is the only thing that is rounded.
        ways = [math.comb(int(kept), count) * math.comb(n - int(kept), drawn - count) for count in range(drawn + 1)]
        result += [int(tickets) * groups * (way / all_ways) for way in ways]
    return result


def _sets(which: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return which places of every kernel are meant, as a number in base 2, the first place lowest."""
    return _kernels(which) @ _BASE_2


def _every_set() -> NDArray[np.bool_]:
    """Return all sets of places in the order of their numbers, shape (512, 9)."""
    return (np.arange(2**PLACES)[:, None] >> np.arange(PLACES) & 1).astype(bool)


@functools.cache
def _blocks(diagonal: bool) -> NDArray[np.bool_]:
    """Return for each of the 512 sets of places, by its number, whether it hangs together."""
    sets = _every_set()
    near = adjacency(diagonal).astype(np.int64)
    reached = sets & (np.cumsum(sets, axis=1) == 1)  # the first place of each set; then all that it leads to
    for _ in range(PLACES):
        reached |= sets & (reached.astype(np.int64) @ near > 0)
    return (reached == sets).all(axis=1)


@functools.cache
def _pairs_in_sets(diagonal: bool) -> NDArray[np.int64]:
    """Return for each of the 512 sets of places, by its number, how many pairs of neighbours it has."""
    sets = _every_set().astype(np.int64)
    return (sets @ np.triu(adjacency(diagonal)) * sets).sum(axis=1)


def _near_pairs(which: NDArray[np.bool_], diagonal: bool) -> NDArray[np.int64]:
    """Return the number of pairs of neighbours in every kernel."""
    kind("diagonal", diagonal, bool)
    return _pairs_in_sets(diagonal)[_sets(which)]


def _neighbours(signs: Signs, sign: int | None, diagonal: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of neighbours, and all pairs, of every kernel with two or more weights."""
    _check(signs)
    which = signs != 0 if sign is None else signs == _sign("sign", sign)
    sizes = np.bitwise_count(_sets(which)).astype(np.int64)
    pairs = sizes * (sizes - 1) // 2
    _some(pairs.sum(), "kernel with two such weights")
    return _near_pairs(which, diagonal)[pairs > 0], pairs[pairs > 0]


def _some(count: np.integer | np.floating, what: str) -> np.integer | np.floating:
    if not count:
        raise UserError(f"signs holds no {what}: their share is not defined")
    return count


def _sign(name: str, value: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value not in (1, -1):
        raise UserError(f"{name} is {shown(value)}: a sign is 1 or -1")
    return value


def _extreme(signs: Signs) -> int:
    return max(int(signs.max(initial=0)), -int(signs.min(initial=0)))


def _describe(signs: object) -> str:
    if not isinstance(signs, np.ndarray):
        return f"of type {type(signs).__name__}"
    numbers = signs.size and np.issubdtype(signs.dtype, np.number)
    values = f", values from {signs.min()} to {signs.max()}" if numbers else ""
    return f"an array of {signs.dtype}, shape {signs.shape}{values}"


def _check(signs: Signs) -> None:
    right = isinstance(signs, np.ndarray) and signs.dtype == np.int8 and signs.ndim == 5
    if not right or signs.shape[3:] != (SIDE, SIDE) or signs.size == 0 or _extreme(signs) > 1:
        raise UserError(
            f"signs is {_describe(signs)}: it should be an int8 array of shape (tickets, filters, channels, 3, 3) "
            "with values -1, 0 and 1"
        )
