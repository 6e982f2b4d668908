"""Similarity of outputs and order of weights against the textbooks' formulas, loops and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lib import similarity
from lib.errors import UserError

SEEDS = st.integers(0, 2**32 - 1)


def outputs(seed, replicas=4, samples=30, classes=5, dtype=np.float64):
    """Return outputs that have something in common, with means far from zero."""
    rng = np.random.default_rng(seed)
    common = 5 + rng.normal(size=(samples, classes))
    return (common + rng.normal(size=(replicas, samples, classes))).astype(dtype)


def hsic(k, ell):
    """Return the empirical HSIC of two kernel matrices, as Gretton et al. write it, with centring matrices."""
    n = len(k)
    centring = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ centring @ ell @ centring) / (n - 1) ** 2


def cka_by_hsic(x, y):
    k, ell = x @ x.T, y @ y.T
    return hsic(k, ell) / math.sqrt(hsic(k, k) * hsic(ell, ell))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(8, 40), st.integers(1, 6))
def test_cka_is_normalised_hsic(seed, replicas, samples, classes):
    x = outputs(seed, replicas, samples, classes)
    found = similarity.cka(x)
    np.testing.assert_allclose(found, [[cka_by_hsic(a, b) for b in x] for a in x], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 1).all() and found.min() >= 0 and found.max() <= 1


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 6))
def test_cka_of_two_samples_is_one(seed, classes):
    # Centred, two samples are opposite: every output then has the same kernel, but for its scale.
    np.testing.assert_allclose(similarity.cka(outputs(seed, 3, 2, classes)), 1, rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(1e-6, 1e6))
def test_cka_ignores_rotation_shift_and_scale(seed, scale):
    x = outputs(seed)
    rotation = stats.ortho_group.rvs(5, random_state=seed)
    moved = x.copy()
    moved[1] = scale * (x[1] @ rotation + np.arange(5))
    np.testing.assert_allclose(similarity.cka(moved), similarity.cka(x), rtol=0, atol=1e-9)
    assert similarity.cka(np.stack([x[1], moved[1]]))[0, 1] == pytest.approx(1, abs=1e-9)


def test_rounding_does_not_lift_cka_above_one():
    for seed in range(50):
        (x,) = outputs(seed, replicas=1)
        assert similarity.cka(np.stack([x, 3 * x, x / 7])).max() == 1


def test_cka_tells_other_linear_maps_and_independent_outputs_apart():
    x = outputs(0, samples=2000)[0]
    rng = np.random.default_rng(1)
    found = similarity.cka(np.stack([x, x * [1, 1, 1, 1, 20], rng.normal(size=x.shape)]))
    assert found[0, 1] < 0.9
    assert found[0, 2] < 0.01


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_cka_at_the_ends_of_the_floats(scale):
    x = outputs(0)
    np.testing.assert_allclose(similarity.cka(scale * x), similarity.cka(x), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 20), st.integers(1, 6), st.sampled_from([np.float16, np.float32]))
def test_l2_is_what_loops_give(seed, replicas, samples, classes, dtype):
    x = outputs(seed, replicas, samples, classes, dtype)
    expected = np.zeros((replicas, replicas))
    for i, j in itertools.product(range(replicas), repeat=2):
        expected[i, j] = sum(math.dist(x[i, s].tolist(), x[j, s].tolist()) for s in range(samples)) / samples
    found = similarity.l2(x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(found, found.T)


def test_l2_of_equal_outputs_is_zero_and_of_nearly_equal_ones_is_not():
    x = np.stack([outputs(0, 1, dtype=np.float32)[0]] * 3)
    x[2, 7, 3] = np.nextafter(x[2, 7, 3], np.float32(np.inf))
    found = similarity.l2(x)
    assert found[0, 1] == 0
    assert found[0, 2] == found[1, 2] == abs(float(x[2, 7, 3]) - float(x[0, 7, 3])) / x.shape[1]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([np.float16, np.float32, np.float64]))
def test_softmax(seed, dtype):
    x = (10 * outputs(seed)).astype(dtype)
    np.testing.assert_allclose(similarity.softmax(x), special.softmax(x.astype(float), axis=-1), rtol=1e-12)


def test_softmax_of_large_logits():
    np.testing.assert_allclose(
        similarity.softmax(np.array([[1000.0, 1000.0], [-1000.0, 1000.0]])), [[0.5, 0.5], [0, 1]]
    )


def layer(seed, replicas, n, kept, decimals):
    """Return initial weights, final weights that depend on them, and masks; few decimals make many ties."""
    rng = np.random.default_rng(seed)
    initial = rng.normal(size=(replicas, n)).round(decimals)
    final = (initial + rng.normal(size=(replicas, n))).round(decimals)
    masks = np.zeros((replicas, n), bool)
    np.put_along_axis(masks, np.argsort(rng.random((replicas, n)), axis=1)[:, :kept], True, axis=1)
    return initial, final, masks


@settings(max_examples=80, deadline=None)
@given(
    SEEDS,
    st.integers(1, 5),
    st.integers(12, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(8, n))),
    st.sampled_from([1, 8]),
    st.sampled_from(["signed", "magnitude"]),
    st.sampled_from(["survivors", "all"]),
)
def test_rank_correlations_are_scipys(seed, replicas, size, decimals, of, over):
    initial, final, masks = layer(seed, replicas, *size, decimals)
    found = similarity.rank_correlations(initial, final, masks, of, over)
    for value, first, last, mask in zip(found, initial, final, masks, strict=True):
        x, y = (first[mask], last[mask]) if over == "survivors" else (first, last * mask)
        if of == "magnitude":
            x, y = abs(x), abs(y)
        assert value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_rank_correlation_of_kept_and_inverted_order():
    initial, _, masks = layer(0, 2, 50, 20, 8)
    final = np.stack([np.exp(initial[0]), -(initial[1] ** 3)])
    np.testing.assert_array_equal(similarity.rank_correlations(initial, final, masks), [1, -1])


def test_three_weights_are_enough_to_be_ranked():
    initial, masks = np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3), bool)
    assert similarity.rank_correlations(initial, np.array([[5.0, 9.0, 7.0]]), masks) == pytest.approx(0.5)


def test_rank_correlations_of_more_weights_than_one_block_holds(monkeypatch):
    arguments = layer(0, 7, 40, 30, 1)
    expected = similarity.rank_correlations(*arguments)
    monkeypatch.setattr(similarity, "_BLOCK", 70)
    np.testing.assert_array_equal(similarity.rank_correlations(*arguments), expected)


def test_pruned_weights_do_not_matter():
    initial, final, masks = layer(0, 3, 50, 20, 8)
    for over in ("survivors", "all"):
        np.testing.assert_array_equal(
            similarity.rank_correlations(initial, final, masks, over=over),
            similarity.rank_correlations(initial, np.where(masks, final, 99.0), masks, over=over),
        )


@pytest.mark.parametrize("t", [2, 3, 4, 6])
def test_null_deviation_is_exact_over_all_orders(t):
    orders = np.array(list(itertools.permutations(range(t))), float)
    x = np.arange(t) - (t - 1) / 2
    found = (orders @ x) / (x @ x)
    assert found.std() == pytest.approx(similarity.null_deviation(t), rel=1e-12)


def test_null_deviation_by_simulation():
    t, replicas = 30, 20_000
    rng = np.random.default_rng(0)
    initial, final = rng.normal(size=(2, replicas, t))
    found = similarity.rank_correlations(initial, final, np.ones((replicas, t), bool))
    # The relative error of a standard deviation from 20,000 nearly normal values is 0.5 %.
    assert found.std() == pytest.approx(similarity.null_deviation(t), rel=0.02)
    assert abs(found.mean()) < 4 * similarity.null_deviation(t) / math.sqrt(replicas)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.ones((2, 5))}, "masks is a float64 array"),
        ({"masks": np.ones((0, 5), bool)}, "masks is a bool array of shape"),
        ({"masks": np.eye(2, 5, dtype=bool)}, "masks keep 1 to 1 weights: .* at least 3"),
        ({"masks": np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]], bool)}, "masks keep 3 to 4"),
        ({"initial": np.ones((2, 5))}, "weights of replica 0 are all equal"),
        ({"final": np.array([[1.0, 2, 3, 4, 5], [1, 1, 1, 1, 1]])}, "weights of replica 1 are all equal"),
        ({"final": np.ones((2, 6))}, r"final has the shape \(2, 6\): it should be \(2, 5\)"),
        ({"initial": np.full((2, 5), np.nan)}, "initial has a value that is nan"),
        ({"of": "sign"}, "of is 'sign': it should be 'signed' or 'magnitude'"),
        ({"over": "kept"}, "over is 'kept'"),
    ],
)
def test_layers_that_cannot_be_ranked(change, message):
    weights = np.random.default_rng(0).normal(size=(2, 2, 5))
    arguments = {"initial": weights[0], "final": weights[1], "masks": np.ones((2, 5), bool)} | change
    with pytest.raises(UserError, match=message):
        similarity.rank_correlations(**arguments)


@pytest.mark.parametrize("function", [similarity.cka, similarity.l2])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0]], "outputs is of type list"),
        (np.ones((2, 3, 4), int), "outputs is a int64 array"),
        (np.ones((2, 3)), r"outputs has the shape \(2, 3\)"),
        (np.ones((2, 0, 3)), r"outputs has the shape \(2, 0, 3\)"),
        (np.full((2, 3, 4), np.inf), "outputs has a value that is inf"),
    ],
)
def test_outputs_that_are_none(function, values, message):
    with pytest.raises(UserError, match=message):
        function(values)


def test_other_input_that_cannot_be_used():
    x = outputs(0)
    x[2] = 0.1
    with pytest.raises(UserError, match="outputs of replica 2 are the same for all samples"):
        similarity.cka(x)
    for logits in (np.float64(1.0), np.ones(()), np.ones((3, 0))):
        with pytest.raises(UserError, match="logits"):
            similarity.softmax(logits)
    for t in (1, 2.0, True):
        with pytest.raises(UserError, match="t is"):
            similarity.null_deviation(t)
