"""Chance baselines against enumeration, scipy, simulation and the numbers in the paper."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib import baselines
from lib.errors import UserError

LAYERS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
MASKS = st.integers(1, 7)


def moments(distribution):
    support, pmf = distribution
    mean = support @ pmf
    return mean, (support - mean) ** 2 @ pmf


def on_all_counts(n, distribution):
    """Spread a distribution over 0, ..., n."""
    result = np.zeros(n + 1)
    result[distribution[0]] = distribution[1]
    return result


def enumerated(n, kept, masks):
    """Distributions of shared and uncovered weights from every possible choice of masks, equally likely."""
    subsets = [sum(1 << w for w in chosen) for chosen in itertools.combinations(range(n), kept)]
    shared, uncovered = np.zeros(n + 1), np.zeros(n + 1)
    for choice in itertools.product(subsets, repeat=masks):
        everyone, anyone = (1 << n) - 1, 0
        for mask in choice:
            everyone &= mask
            anyone |= mask
        shared[everyone.bit_count()] += 1
        uncovered[n - anyone.bit_count()] += 1
    return shared / shared.sum(), uncovered / uncovered.sum()


@pytest.mark.parametrize("masks, largest", [(1, 6), (2, 6), (3, 5), (4, 4)])
def test_enumeration_of_all_masks(masks, largest):
    for n in range(1, largest + 1):
        for kept in range(n + 1):
            shared, uncovered = enumerated(n, kept, masks)
            np.testing.assert_allclose(on_all_counts(n, baselines.shared_pmf(n, kept, masks)), shared, atol=1e-14)
            np.testing.assert_allclose(on_all_counts(n, baselines.uncovered_pmf(n, kept, masks)), uncovered, atol=1e-14)
            counts = np.arange(n + 1)
            assert baselines.shared_mean(n, kept, masks) == pytest.approx(counts @ shared, abs=1e-12)
            assert baselines.uncovered_mean(n, kept, masks) == pytest.approx(counts @ uncovered, abs=1e-12)
            variance = counts**2 @ shared - (counts @ shared) ** 2
            assert baselines.shared_variance(n, kept, masks) == pytest.approx(variance, abs=1e-12)
            if masks == 2:
                assert baselines.overlap_mean(n, kept) == pytest.approx(counts @ shared, abs=1e-12)
                assert baselines.overlap_variance(n, kept) == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize(
    "n, kept", [(150, 3), (150, 75), (840, 420), (2400, 1200), (30720, 614), (48000, 24000), (48000, 47999)]
)
def test_overlap_is_scipys_hypergeometric(n, kept):
    support, pmf = baselines.overlap_pmf(n, kept)
    theirs = stats.hypergeom(n, kept, kept)
    np.testing.assert_allclose(pmf, theirs.pmf(support), rtol=1e-6, atol=1e-14)
    assert theirs.cdf(support[0] - 1) + theirs.sf(support[-1]) < 1e-12
    assert baselines.overlap_mean(n, kept) == pytest.approx(theirs.mean())
    assert baselines.overlap_variance(n, kept) == pytest.approx(theirs.var())
    for probability in (0.5, 0.95, 0.99):
        assert baselines.overlap_interval(n, kept, probability) == theirs.interval(probability)


@pytest.mark.parametrize("n", [2400, 30720, 48000])
@pytest.mark.parametrize("kept", [0.5, 0.4, 0.2, 0.02, 0.999])
def test_large_layers_have_the_exact_moments(n, kept):
    """Nothing of the distribution lies outside its window, and rounding stays small."""
    kept = round(n * kept)
    for pmf, mean, variance in (
        (baselines.shared_pmf, baselines.shared_mean, baselines.shared_variance),
        (baselines.uncovered_pmf, baselines.uncovered_mean, baselines.uncovered_variance),
    ):
        got = moments(pmf(n, kept))
        assert got == pytest.approx((mean(n, kept), variance(n, kept)), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(LAYERS, MASKS)
def test_distribution_fits_its_closed_forms(layer, masks):
    n, kept = layer
    support, pmf = baselines.shared_pmf(n, kept, masks)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert (pmf >= 0).all() and (np.diff(support) == 1).all()
    assert max(0, n - masks * (n - kept)) <= support[0] and support[-1] <= kept
    mean, variance = moments((support, pmf))
    assert mean == pytest.approx(baselines.shared_mean(n, kept, masks), rel=1e-10, abs=1e-10)
    assert variance == pytest.approx(baselines.shared_variance(n, kept, masks), rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(LAYERS, MASKS)
def test_uncovered_is_shared_of_the_complements(layer, masks):
    n, kept = layer
    for one, other in zip(
        baselines.uncovered_pmf(n, kept, masks), baselines.shared_pmf(n, n - kept, masks), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert baselines.uncovered_mean(n, kept, masks) == pytest.approx(n * (1 - kept / n) ** masks)
    # Of two masks: n - |union| = n - 2 kept + overlap, so the variances are equal.
    assert baselines.uncovered_variance(n, kept, 2) == pytest.approx(baselines.overlap_variance(n, kept), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(LAYERS)
def test_overlap_is_shared_of_two(layer):
    n, kept = layer
    assert baselines.overlap_mean(n, kept) == pytest.approx(baselines.shared_mean(n, kept, 2))
    assert baselines.overlap_variance(n, kept) == pytest.approx(baselines.shared_variance(n, kept, 2), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(LAYERS, MASKS, st.floats(0.01, 0.999))
def test_interval_covers_and_is_equal_tailed_and_tight(layer, masks, probability):
    n, kept = layer
    low, high = baselines.shared_interval(n, kept, masks, probability)
    support, pmf = baselines.shared_pmf(n, kept, masks)
    tail, rounding = (1 - probability) / 2, 1e-9
    assert pmf[(support >= low) & (support <= high)].sum() >= probability - rounding
    assert pmf[support < low].sum() <= tail + rounding < pmf[support <= low].sum() + 2 * rounding
    assert pmf[support > high].sum() <= tail + rounding < pmf[support >= high].sum() + 2 * rounding
    assert baselines.uncovered_interval(n, n - kept, masks, probability) == (low, high)


@pytest.mark.parametrize("n, kept, masks", [(150, 75, 5), (150, 30, 2), (400, 160, 3)])
def test_simulation_fits_the_distributions(n, kept, masks):
    repetitions = 10_000
    drawn = baselines.simulate(n, kept, masks, repetitions, seed=1)
    for counts, (support, pmf), mean, variance in (
        (drawn.overlap, baselines.overlap_pmf(n, kept), baselines.overlap_mean(n, kept),
         baselines.overlap_variance(n, kept)),
        (drawn.shared, baselines.shared_pmf(n, kept, masks), baselines.shared_mean(n, kept, masks),
         baselines.shared_variance(n, kept, masks)),
        (drawn.uncovered, baselines.uncovered_pmf(n, kept, masks), baselines.uncovered_mean(n, kept, masks),
         baselines.uncovered_variance(n, kept, masks)),
    ):  # fmt: skip
        assert abs(counts.mean() - mean) < 4 * np.sqrt(variance / repetitions)
        assert counts.var() == pytest.approx(variance, rel=0.15)
        assert chi_square(counts, support, pmf) > 1e-3
        # The same test tells the distribution from its neighbour, one count further.
        assert chi_square(counts, support + 1, pmf) < 1e-5


def chi_square(counts, support, pmf):
    """Return the p-value of the whole histogram; bins expected below 5 are joined at either end."""
    expected = pmf * counts.size
    first, last = np.flatnonzero(expected >= 5)[[0, -1]]
    observed = np.bincount(np.clip(counts, support[first], support[last]) - support[first], minlength=last - first + 1)
    joined = expected[first : last + 1].copy()
    joined[0] += expected[:first].sum()
    joined[-1] += expected[last + 1 :].sum()
    return stats.chisquare(observed, joined).pvalue


def test_simulation_has_the_same_bits_again_and_begins_a_longer_one():
    drawn = baselines.simulate(5000, 1000, 5, 90, seed=3)
    assert drawn.overlap[:8].tolist() == [208, 203, 202, 190, 213, 212, 205, 224]
    assert drawn.shared[:8].tolist() == [3, 1, 0, 2, 2, 2, 2, 1]
    assert drawn.uncovered[:8].tolist() == [1642, 1647, 1647, 1654, 1605, 1664, 1621, 1673]
    longer = baselines.simulate(5000, 1000, 5, 100, seed=3)
    np.testing.assert_array_equal(longer.uncovered[:90], drawn.uncovered)
    other = baselines.simulate(5000, 1000, 5, 90, seed=4)
    assert (other.uncovered != drawn.uncovered).any()


@pytest.mark.parametrize("kept", [0, 1, 7, 8])
def test_simulation_at_the_edges(kept):
    drawn = baselines.simulate(8, kept, 3, 50)
    assert drawn.overlap.shape == drawn.shared.shape == drawn.uncovered.shape == (50,)
    assert (drawn.shared <= drawn.overlap).all() and (drawn.uncovered <= 8 - kept).all()
    if kept in (0, 8):
        assert (drawn.overlap == kept).all() and (drawn.shared == kept).all() and (drawn.uncovered == 8 - kept).all()


def test_right_share_of_uncovered_weights():
    assert baselines.uncovered_mean(2400, 1200) / 2400 == pytest.approx(0.031, abs=5e-4)
    assert baselines.uncovered_mean(2400, 480) / 2400 == pytest.approx(0.328, abs=5e-4)
    assert baselines.uncovered_mean(1000, 500) == 1000 / 32


def test_printed_overlap_drops_a_factor():
    tau, plus_minus = baselines.printed_overlap(2400, 1200)
    assert tau == baselines.overlap_mean(2400, 1200) == 600
    assert plus_minus * 1200 / 2400 == pytest.approx(baselines.overlap_variance(2400, 1200))


def test_printed_shared_is_right():
    exact = [baselines.shared_mean(2400, 1200, masks) for masks in (2, 3, 4, 5)]
    np.testing.assert_allclose(baselines.printed_shared(2400, 1200), exact)


@pytest.mark.parametrize("printed", [baselines.printed_shared, baselines.printed_shared_max])
def test_printed_equations_begin_with_what_two_masks_of_two_weights_share(printed):
    np.testing.assert_array_equal(printed(2, 1, 2), [0.5])


def test_printed_shared_max_leaves_the_mask():
    tau = baselines.printed_shared_max(2400, 1200)
    assert tau.shape == (4,) and tau[0] == 600
    assert round(tau[-1]) == 1453
    spread = baselines.printed_spread(baselines.printed_shared(2400, 1200)[-1], tau[-1])
    assert spread == pytest.approx(0.5 * (1453.4 - 75), abs=0.05)


def test_printed_uncovered_is_negative():
    assert round(100 * baselines.printed_uncovered(2400, 1200) / 2400) == -78
    # Up to two masks nothing is cumulated yet, so the equation is right.
    for masks, (n, kept) in itertools.product((1, 2), ((2400, 480), (2, 1))):
        right = baselines.uncovered_mean(n, kept, masks)
        assert baselines.printed_uncovered(n, kept, masks) == pytest.approx(right)
    assert baselines.printed_uncovered(2400, 480) < 0.5 * baselines.uncovered_mean(2400, 480)


def test_printed_covered_max():
    assert baselines.printed_covered_max(2400, 1200, 1) == 1200
    # Eq. 7 by hand for the second mask: 1200 + (1200 - 600 + 3 * 1200 * 0.5 * 1200 / 2399).
    assert baselines.printed_covered_max(2400, 1200, 2) == pytest.approx(1800 + 1800 * 1200 / 2399)
    assert baselines.printed_covered_max(2400, 1200) > 2400


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: baselines.overlap_mean(10, 11), "kept is 11: it must be a whole number between 0 and 10"),
        (lambda: baselines.overlap_pmf(10, -1), "kept is -1"),
        (lambda: baselines.overlap_variance(0, 0), "n is 0: it must be a whole number of at least 1"),
        (lambda: baselines.shared_mean(10, 2.5), "kept is 2.5"),
        (lambda: baselines.shared_mean(10.0, 2), "n is 10.0"),
        (lambda: baselines.shared_variance(10, True), "kept is True"),
        (lambda: baselines.shared_pmf(10, 5, 0), "masks is 0: it must be a whole number between 1 and 1000"),
        (lambda: baselines.uncovered_pmf(10, 12), "kept is 12"),
        (lambda: baselines.uncovered_mean("10", 5), "n is '10'"),
        (lambda: baselines.overlap_interval(10, 5, 1.0), "probability is 1.0: it must lie between 0 and 1"),
        (lambda: baselines.shared_interval(10, 5, probability=95), "probability is 95"),
        (lambda: baselines.uncovered_interval(10, 5, probability=float("nan")), "probability is nan"),
        (lambda: baselines.simulate(10, 5, masks=1), "masks is 1: it must be a whole number between 2 and 1000"),
        (lambda: baselines.simulate(10, 5, repetitions=0), "repetitions is 0"),
        (lambda: baselines.simulate(10, 5, seed=-1), "seed is -1"),
        (lambda: baselines.printed_overlap(1, 1), "n is 1: it must be a whole number of at least 2"),
        (lambda: baselines.printed_shared(10, 5, 1), "masks is 1"),
        (lambda: baselines.printed_shared_max(10, 50), "kept is 50"),
        (lambda: baselines.printed_uncovered(10, 5, 0), "masks is 0"),
        (lambda: baselines.printed_covered_max(10, 5, 2.0), "masks is 2.0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert words in str(error.value)
