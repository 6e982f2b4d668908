"""Statistics of sign patterns against loops, the printed numbers of paper B, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib import kernels
from lib.errors import UserError

# The first layer of Conv-2 and what it keeps.
SHAPE, KEPT = (64, 3, 3, 3), 542


def shuffled(rng, tickets, positive, negative, shape):
    """Return random tickets with so many positive and negative weights, all places equally likely."""
    n = math.prod(shape)
    values = np.repeat([1, -1, 0], [positive, negative, n - positive - negative]).astype(np.int8)
    return np.stack([rng.permutation(values).reshape(shape) for _ in range(tickets)])


@pytest.fixture(scope="module")
def stack():
    """Three tickets that keep different numbers of weights, more positive than negative."""
    rng = np.random.default_rng(0)
    return np.concatenate([shuffled(rng, 1, positive, 40, (10, 3, 3, 3)) for positive in (60, 80, 100)])


@pytest.fixture(scope="module")
def drawn():
    """Many draws of two tickets of a small layer, with unlike counts, to check expectations by simulation."""
    rng = np.random.default_rng(1)
    shape = (4, 2, 3, 3)
    parts = [shuffled(rng, 3000, positive, negative, shape) for positive, negative in ((20, 8), (14, 11))]
    return list(np.stack(parts, axis=1))


def assert_expected(statistic, expected, drawn, transform=lambda value: value):
    """The mean of the statistic over the draws is the expectation, to five standard errors.

    Counts so rare that they need not occur at all may be off by five occurrences.
    """
    values = np.array([transform(statistic(signs)) for signs in drawn])
    error = values.std(axis=0) / math.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - transform(expected(drawn[0]))) <= 5 * error + 5 / len(values)).all()


def all_kernels(signs):
    return [signs[index] for index in np.ndindex(*signs.shape[:3])]


def test_one_ticket_of_one_filter_and_channel():
    signs = np.array([1, 1, 0, 0, -1, 0, 0, 0, -1], np.int8).reshape(1, 1, 1, 3, 3)
    assert kernels.filter_deviation(signs) == kernels.expected_filter_deviation(signs) == 0
    assert kernels.kernel_histogram(signs).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(kernels.expected_kernel_histogram(signs), kernels.kernel_histogram(signs))
    np.testing.assert_allclose(kernels.expected_filter_histogram(signs), kernels.filter_histogram(signs))
    assert kernels.position_counts(signs).sum() == 4 and kernels.sign_ratio(signs) == 1
    assert kernels.expected_position_deviation(signs) == pytest.approx(np.sqrt(20) / 9)


def test_counts_against_loops(stack):
    filters = [int((stack[index] != 0).sum()) for index in np.ndindex(*stack.shape[:2])]
    np.testing.assert_array_equal(kernels.filter_histogram(stack), [filters.count(k) for k in range(28)])
    assert kernels.filter_deviation(stack) == pytest.approx(np.std(filters))
    sizes = [int((kernel != 0).sum()) for kernel in all_kernels(stack)]
    np.testing.assert_array_equal(kernels.kernel_histogram(stack), [sizes.count(k) for k in range(10)])
    positions = kernels.position_counts(stack)
    for index in np.ndindex(3, 3, 3):
        assert positions[index] == sum(stack[t, f][index] != 0 for t in range(3) for f in range(10))
    assert kernels.position_deviation(stack) == pytest.approx(positions.ravel().std())
    assert kernels.sign_ratio(stack) == 240 / 120


@pytest.mark.parametrize("reference, other", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_together_against_loops(stack, reference, other):
    found = kernels.together(stack, reference, other)
    for r, c, row, column in np.ndindex(3, 3, 3, 3):
        assert found[r, c, row, column] == sum(
            kernel[r, c] == reference and kernel[row, column] == other for kernel in all_kernels(stack)
        )


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("sign", [1, -1, None])
def test_neighbours_against_loops(stack, sign, diagonal):
    shares, near_all, pairs_all, same_all = [], 0, 0, 0
    for kernel in all_kernels(stack):
        places = [p for p in np.ndindex(3, 3) if (kernel[p] != 0 if sign is None else kernel[p] == sign)]
        pairs = list(itertools.combinations(places, 2))
        near = [p for p in pairs if math.dist(*p) < (1.5 if diagonal else 1.2)]
        near_all, pairs_all = near_all + len(near), pairs_all + len(pairs)
        same_all += sum(kernel[a] == kernel[b] for a, b in near)
        if pairs:
            shares.append(len(near) / len(pairs))
    assert kernels.neighbour_share(stack, sign, diagonal) == pytest.approx(near_all / pairs_all)
    assert kernels.kernel_neighbour_share(stack, sign, diagonal) == pytest.approx(np.mean(shares))
    if sign is None:
        assert kernels.same_sign_share(stack, diagonal) == pytest.approx(same_all / near_all)


def test_frequent_patterns_against_a_dictionary(stack):
    for weights in range(10):
        counts = {}
        for kernel in all_kernels(stack):
            if (kernel != 0).sum() == weights:
                counts[kernel.tobytes()] = counts.get(kernel.tobytes(), 0) + 1
        patterns, found = kernels.frequent_patterns(stack, weights, most=9)
        assert len(patterns) == min(9, len(counts))
        assert found.tolist() == sorted(counts.values(), reverse=True)[:9]
        assert [counts[pattern.tobytes()] for pattern in patterns] == found.tolist()
        assert len({pattern.tobytes() for pattern in patterns}) == len(patterns)
    patterns, found = kernels.frequent_patterns(np.zeros_like(stack), 0)
    assert patterns.tolist() == [np.zeros((3, 3)).tolist()] and found.tolist() == [90]


def test_chance_gives_what_paper_b_prints_for_random_tickets():
    signs = shuffled(np.random.default_rng(2), 14, 272, KEPT - 272, SHAPE)
    histogram = kernels.expected_kernel_histogram(signs)
    np.testing.assert_allclose(histogram, 2688 * stats.hypergeom.pmf(np.arange(10), 1728, KEPT, 9), rtol=1e-9)
    # Table A.3, the row of the random tickets: within four standard deviations of a count.
    printed = np.array([84, 361, 683, 764, 501, 223, 57, 12, 3, 0])
    assert printed.sum() == kernels.kernel_histogram(signs).sum() == 2688
    assert (np.abs(printed - histogram) < 4 * np.sqrt(histogram) + 1).all()
    # Footnotes 4 and 5: 8.5 weights a filter with deviation 2.35, 281 a position with deviation 14.89.
    assert round(KEPT / 64, 1) == 8.5
    assert kernels.expected_filter_deviation(signs) == pytest.approx(2.35, abs=0.1)
    assert round(kernels.position_counts(signs).mean()) == 281
    assert kernels.expected_position_deviation(signs) == pytest.approx(14.89, abs=4)
    # The percentage of neighbours, 34.5 for random tickets, is near the share of those that share an edge.
    assert kernels.expected_neighbour_share() == 12 / 36
    assert kernels.expected_neighbour_share(diagonal=True) == 20 / 36


def test_expected_histograms(drawn):
    assert_expected(kernels.filter_histogram, kernels.expected_filter_histogram, drawn)
    assert_expected(kernels.kernel_histogram, kernels.expected_kernel_histogram, drawn)
    for histogram, groups in ((kernels.expected_filter_histogram, 8), (kernels.expected_kernel_histogram, 16)):
        assert histogram(drawn[0]).sum() == pytest.approx(groups)
        assert histogram(drawn[0]) @ np.arange(len(histogram(drawn[0]))) == pytest.approx(53)


def test_expected_deviations(drawn):
    assert_expected(kernels.filter_deviation, kernels.expected_filter_deviation, drawn, np.square)
    assert_expected(kernels.position_deviation, kernels.expected_position_deviation, drawn, np.square)


@pytest.mark.parametrize("reference, other", [(1, 1), (1, -1), (-1, -1)])
def test_expected_together(drawn, reference, other):
    assert_expected(
        lambda signs: kernels.together(signs, reference, other),
        lambda signs: kernels.expected_together(signs, reference, other),
        drawn,
    )


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("sign", [1, -1, None])
def test_expected_neighbours(drawn, sign, diagonal):
    # The expectation holds for the places, given how many weights each kernel has: shuffle within kernels.
    rng = np.random.default_rng(3)
    shuffles = [rng.permuted(drawn[0].reshape(-1, 9), axis=1).reshape(drawn[0].shape) for _ in range(1000)]
    for statistic in (kernels.neighbour_share, kernels.kernel_neighbour_share):
        assert_expected(
            lambda signs, statistic=statistic: statistic(signs, sign, diagonal),
            lambda signs: kernels.expected_neighbour_share(diagonal),
            shuffles,
        )


@pytest.mark.parametrize("diagonal", [False, True])
def test_expected_same_sign_share(drawn, diagonal):
    rng = np.random.default_rng(4)
    dealt = []
    for _ in range(1000):
        signs = drawn[0].copy()
        for ticket in signs:
            ticket[ticket != 0] = rng.permutation(ticket[ticket != 0])
        dealt.append(signs)
    assert_expected(
        lambda signs: kernels.same_sign_share(signs, diagonal),
        lambda signs: kernels.expected_same_sign_share(signs, diagonal),
        dealt,
    )


def test_expected_pattern_counts_add_up_to_all_kernels():
    signs = shuffled(np.random.default_rng(5), 2, 5, 4, (2, 1, 3, 3))
    totals = np.zeros(10)
    for positive, negative in ((p, n) for p in range(10) for n in range(10 - p)):
        pattern = np.repeat([1, -1, 0], [positive, negative, 9 - positive - negative]).astype(np.int8).reshape(3, 3)
        alike = math.comb(9, positive) * math.comb(9 - positive, negative)
        totals[positive + negative] += alike * kernels.expected_pattern_count(signs, pattern)
    np.testing.assert_allclose(totals, kernels.expected_kernel_histogram(signs), rtol=1e-12)


def test_expected_pattern_count(drawn):
    for values in ([1, 1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, -1, 0, 0, 1, 0], [0] * 9):
        pattern = np.array(values, np.int8).reshape(3, 3)
        assert_expected(
            lambda signs, pattern=pattern: (signs == pattern).all(axis=(3, 4)).sum(),
            lambda signs, pattern=pattern: kernels.expected_pattern_count(signs, pattern),
            drawn,
        )


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 12)),
    kept=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_control_keeps_counts_and_ratio(shape, kept, seed):
    rng = np.random.default_rng(seed)
    signs = np.where(rng.random(shape) < kept, rng.choice([-1, 1, 1], shape), 0).astype(np.int8)
    control = kernels.control_masks(signs, seed)
    assert control.dtype == np.int8 and control.shape == shape
    np.testing.assert_array_equal((control != 0).sum(axis=2), (signs != 0).sum(axis=2))
    np.testing.assert_array_equal(control.sum(axis=(1, 2)), signs.sum(axis=(1, 2)))
    np.testing.assert_array_equal(kernels.control_masks(signs[:1], seed), control[:1])


@settings(max_examples=25, deadline=None)
@given(shape=st.sampled_from([(1, 7), (3, 4, 2, 3, 3)]), kept=st.floats(0, 1), seed=st.integers(0, 9))
def test_dealt_signs_stay_among_the_survivors(shape, kept, seed):
    rng = np.random.default_rng(seed)
    signs = (rng.choice([-1, 1], shape) * (rng.random(shape) < kept)).astype(np.int8)
    dealt = kernels.deal_signs(signs, seed)
    np.testing.assert_array_equal(dealt != 0, signs != 0)
    for one, other in zip(dealt, signs, strict=True):
        assert (one > 0).sum() == (other > 0).sum()
    np.testing.assert_array_equal(kernels.deal_signs(signs[:1], seed), dealt[:1])


def test_dealt_signs_are_neighbours_as_expected():
    signs = np.random.default_rng(0).choice([-1, 0, 1], (4, 8, 3, 3, 3), p=[0.1, 0.5, 0.4]).astype(np.int8)
    shares = [kernels.same_sign_share(kernels.deal_signs(signs, seed)) for seed in range(200)]
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - kernels.expected_same_sign_share(signs)) < 4 * error
    with pytest.raises(UserError, match="signs is an array of int64"):
        kernels.deal_signs(signs.astype(int))


def test_control_is_random_where_it_may_be_and_the_same_bits_everywhere():
    # One ticket with grouped weights, drawn again and again: every place and sign of it equally often.
    signs = np.zeros((1, 2, 1, 3, 3), np.int8)
    signs[0, 0, 0, 0] = 1
    signs[0, 1, 0, :2] = -1
    draws = np.concatenate([kernels.control_masks(signs, seed) for seed in range(3000)])
    kept = (draws != 0).mean(axis=0).reshape(2, 9)
    np.testing.assert_allclose(kept, np.repeat([[3 / 9], [6 / 9]], 9, axis=1), atol=5 * 0.5 / math.sqrt(3000))
    positive = (draws > 0).sum(axis=0) / (draws != 0).sum(axis=0)
    np.testing.assert_allclose(positive, 3 / 9, atol=5 * 0.5 / math.sqrt(1000))
    assert "".join("-0+"[v + 1] for v in draws[0].ravel()) == "0+0+0+000---0---00"


@pytest.mark.parametrize("diagonal", [False, True])
def test_opposite_neighbours_against_loops(stack, diagonal):
    near = pairs = 0
    for kernel in all_kernels(stack):
        for a, b in itertools.product(np.argwhere(kernel == 1), np.argwhere(kernel == -1)):
            pairs += 1
            near += math.dist(a, b) < (1.5 if diagonal else 1.2)
    assert kernels.opposite_neighbour_share(stack, diagonal) == pytest.approx(near / pairs)


def one_block(places, reach):
    """Whether places hang together, by walking from the first."""
    rest, walk = set(places[1:]), list(places[:1])
    while walk:
        here = walk.pop()
        found = {p for p in rest if math.dist(p, here) < reach}
        rest -= found
        walk += found
    return not rest


@pytest.mark.parametrize("diagonal", [False, True])
def test_grouped_patterns_against_a_walk(stack, diagonal):
    reach, patterns = (1.5 if diagonal else 1.2), np.array(all_kernels(stack))
    by_hand = [
        all(one_block([p for p in np.ndindex(3, 3) if kernel[p] == sign], reach) for sign in (1, -1))
        for kernel in patterns
    ]
    np.testing.assert_array_equal(kernels.grouped(patterns, diagonal), by_hand)
    assert 0 < sum(by_hand) < len(by_hand)
    three = (patterns != 0).sum(axis=(1, 2)) == 3
    assert kernels.grouped_share(stack, 3, diagonal) == pytest.approx(np.array(by_hand)[three].mean())


def test_what_a_grouped_pattern_is():
    edge, corners, stripes = (
        np.array(rows, np.int8)
        for rows in (
            [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
            [[1, 0, 0], [0, 1, 0], [0, 0, 0]],
            [[1, -1, 1], [1, -1, 1], [1, -1, 1]],
        )
    )
    assert kernels.grouped(edge) and not kernels.grouped(stripes, diagonal=True)
    assert not kernels.grouped(corners) and kernels.grouped(corners, diagonal=True)
    assert kernels.grouped(np.zeros((3, 3), np.int8)) and kernels.grouped(np.ones((3, 3), np.int8))


@pytest.mark.parametrize("diagonal", [False, True])
def test_expected_grouped_share(drawn, diagonal):
    # The ratio of two expectations: so all draws are taken as one.
    everything = np.concatenate(drawn)
    for weights in (2, 3, 4):
        n = (np.concatenate([kernels.kernel_histogram(signs)[None] for signs in drawn]).sum(axis=0))[weights]
        assert kernels.grouped_share(everything, weights, diagonal) == pytest.approx(
            kernels.expected_grouped_share(drawn[0], weights, diagonal), abs=5 * 0.5 / math.sqrt(n)
        )


def test_input_that_cannot_be_used(stack):
    with pytest.raises(UserError, match=r"signs is an array of int64, shape \(3, 10, 3, 3, 3\), values from -1 to 1:"):
        kernels.filter_histogram(stack.astype(int))
    with pytest.raises(UserError, match=r"signs is an array of int8, shape \(10, 3, 3, 3\)"):
        kernels.kernel_histogram(stack[0])
    with pytest.raises(UserError, match="values from -2 to 2"):
        kernels.position_counts(stack * np.int8(2))
    with pytest.raises(UserError, match="signs is of type list"):
        kernels.together([], 1, 1)
    with pytest.raises(UserError, match="other is 0: a sign is 1 or -1"):
        kernels.together(stack, 1, 0)
    with pytest.raises(UserError, match="sign is 2: a sign is 1 or -1"):
        kernels.neighbour_share(stack, 2)
    with pytest.raises(UserError, match="no kernel with two such weights"):
        kernels.neighbour_share(np.zeros_like(stack))
    with pytest.raises(UserError, match="no two weights that are neighbours"):
        kernels.same_sign_share(np.zeros_like(stack))
    with pytest.raises(UserError, match="no negative weight"):
        kernels.sign_ratio(np.abs(stack))
    with pytest.raises(UserError, match="weights is 10"):
        kernels.frequent_patterns(stack, 10)
    with pytest.raises(UserError, match="no kernel with 9 weights"):
        kernels.grouped_share(np.zeros_like(stack), 9)
    with pytest.raises(UserError, match="no kernel with weights of both signs"):
        kernels.opposite_neighbour_share(np.abs(stack))
    with pytest.raises(UserError, match="most is 0"):
        kernels.frequent_patterns(stack, 3, most=0)
    with pytest.raises(UserError, match="pattern is"):
        kernels.expected_pattern_count(stack, np.full((3, 3), 2, np.int8))
    with pytest.raises(UserError, match="seed is -1"):
        kernels.control_masks(stack, -1)
    with pytest.raises(UserError, match="signs is an array of bool"):
        kernels.control_masks(stack != 0)


@pytest.mark.parametrize("weights", [0, 1, 2, 9])
def test_chance_of_a_count_of_kernels_against_all_choices(weights):
    """Two kernels that keep four weights, and two that keep nine or ten: every choice of places, one by one."""
    for kept in (4, 9, 10):
        counts = np.zeros(3)
        for first in range(max(0, kept - 9), min(9, kept) + 1):
            ways = math.comb(9, first) * math.comb(9, kept - first)
            counts[(first == weights) + (kept - first == weights)] += ways
        np.testing.assert_allclose(kernels._kernel_count_distribution(2, kept, weights), counts / math.comb(18, kept))


def test_interval_of_a_count_of_kernels_against_draws():
    rng, tickets = np.random.default_rng(3), 2
    stack = shuffled(rng, tickets, 300, 242, SHAPE)
    found = []
    for _ in range(3000):
        kept = rng.permuted(np.tile(np.arange(1728) < 542, (tickets, 1)), axis=1).reshape(tickets, 192, 9).sum(axis=2)
        found.append(np.bincount(kept.ravel(), minlength=10))
    for weights in range(10):
        low, high = kernels.kernel_count_interval(stack, weights)
        counts = np.array(found)[:, weights]
        # Each tail at most 2.5 %, and no longer so one count further in; give or take four deviations of the draws.
        assert (counts < low).mean() <= 0.025 + 0.012 and (counts > high).mean() <= 0.025 + 0.012
        assert (counts <= low).mean() >= 0.025 - 0.012 and (counts >= high).mean() >= 0.025 - 0.012


def test_counts_of_kernels_that_are_asked_wrongly():
    stack = np.ones((1, 1, 1, 3, 3), np.int8)
    assert kernels.kernel_count_interval(stack, 9) == (1, 1) and kernels.kernel_count_interval(0 * stack, 0) == (1, 1)
    assert kernels.kernel_count_interval(stack, 3) == (0, 0)
    with pytest.raises(UserError, match="weights is 10: a kernel has 9"):
        kernels.kernel_count_interval(stack, 10)
    with pytest.raises(UserError, match="probability is 1"):
        kernels.kernel_count_interval(stack, 0, 1)
