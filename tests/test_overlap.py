"""Overlaps of masks against plain sets, and against chance."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import baselines, overlap
from lib.errors import UserError


def random_masks(replicas, n, kept, seed=0):
    words = np.random.default_rng(seed).random((replicas, n))
    masks = np.zeros((replicas, n), bool)
    np.put_along_axis(masks, np.argsort(words, axis=1)[:, :kept], True, axis=1)
    return masks


MASKS = st.tuples(st.integers(1, 6), st.integers(1, 60), st.integers(0, 1000)).flatmap(
    lambda s: st.builds(random_masks, st.just(s[0]), st.just(s[1]), st.integers(1, s[1]), st.just(s[2]))
)


def by_sets(masks):
    sets = [set(np.flatnonzero(mask)) for mask in masks]
    return np.array([[100 * len(a & b) / len(a) for b in sets] for a in sets])


@settings(max_examples=80, deadline=None)
@given(MASKS)
def test_pairwise_is_what_sets_give(masks):
    found = overlap.pairwise(masks)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, by_sets(masks))
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 100).all()


def test_pairwise_of_more_pairs_and_weights_than_are_compared_at_once():
    masks = random_masks(24, 64 * overlap._BLOCK + 7, 10_001)
    assert len(masks) ** 2 > overlap._BLOCK
    np.testing.assert_array_equal(overlap.pairwise(masks), by_sets(masks))


def test_random_masks_overlap_as_chance_says():
    n, kept = 2400, 480
    i, j = overlap.across_pairs(100, 1)
    found = overlap.pairwise(random_masks(100, n, kept))[i, j] * kept / 100
    # Pairs that share a random mask are still pairwise independent, so the standard error is the plain one.
    error = np.sqrt(baselines.overlap_variance(n, kept) / found.size)
    assert abs(found.mean() - baselines.overlap_mean(n, kept)) < 4 * error
    low, high = baselines.overlap_interval(n, kept)
    assert 0.93 < ((found >= low) & (found <= high)).mean() < 0.98


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6))
def test_pairs_are_all_pairs_once(inits, runs):
    within = set(zip(*map(list, overlap.within_pairs(inits, runs)), strict=True))
    across = set(zip(*map(list, overlap.across_pairs(inits, runs)), strict=True))
    assert len(within) == inits * runs * (runs - 1) // 2
    assert len(across) == runs**2 * inits * (inits - 1) // 2
    assert within | across == set(itertools.combinations(range(inits * runs), 2))
    assert all(i // runs == j // runs for i, j in within)
    assert all(i // runs != j // runs for i, j in across)


def test_the_papers_design_gives_fifty_pairs():
    assert len(overlap.within_pairs(5, 5)[0]) == 50
    assert len(overlap.across_pairs(5, 5)[0]) == 250


def test_layer_overlaps():
    layers = {"one": random_masks(6, 30, 10, 1), "two": random_masks(6, 50, 25, 2)}
    masks = np.concatenate(list(layers.values()), axis=1)
    i, j = overlap.within_pairs(2, 3)
    found = overlap.layer_overlaps(masks, {"one": slice(0, 30), "two": slice(30, 80)}, (i, j))
    assert list(found) == ["one", "two"]
    for name, layer in layers.items():
        np.testing.assert_array_equal(found[name], by_sets(layer)[i, j])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20), st.integers(0, 1000))
def test_shared_and_uncovered_are_what_sets_give(inits, runs, n, seed):
    masks = np.random.default_rng(seed).random((inits * runs, n)) < 0.5
    sets = [set(np.flatnonzero(mask)) for mask in masks]
    groups = [sets[k * runs : (k + 1) * runs] for k in range(inits)]
    assert overlap.shared_by_all(masks, inits, runs).tolist() == [len(set.intersection(*g)) for g in groups]
    assert overlap.covered_by_none(masks, inits, runs).tolist() == [n - len(set.union(*g)) for g in groups]
    np.testing.assert_array_equal(
        overlap.covered_by_none(masks, inits, runs), overlap.shared_by_all(~masks, inits, runs)
    )


GOOD = np.ones((4, 3), bool)


def of_pairs(pairs):
    return overlap.layer_overlaps(GOOD, {"a": slice(0, GOOD.shape[1])}, pairs)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: overlap.pairwise(GOOD.astype(int)), "masks is of type int64 array of shape (4, 3): it should be"),
        (lambda: overlap.pairwise(GOOD[0]), "shape (3,)"),
        (lambda: overlap.pairwise([[True]]), "masks is of type list"),
        (lambda: overlap.pairwise(np.array([[True, False], [True, True]])), "masks keep 1 to 2 weights"),
        (lambda: overlap.pairwise(np.zeros((2, 3), bool)), "masks keep 0 to 0 weights"),
        (lambda: overlap.pairwise(GOOD[:0]), "masks keep no weights"),
        (
            lambda: overlap.layer_overlaps(np.eye(2, 3, dtype=bool), {"a": slice(2, 3)}, overlap.within_pairs(1, 2)),
            "masks of layer a keep 0 to 0 weights: all should keep the same number, at least one",
        ),
        (
            lambda: of_pairs([np.array([0]), np.array([1])]),
            "pairs is [array([0]), array([1])]: it should be two equally long arrays",
        ),
        (lambda: of_pairs((np.array([0]),)), "pairs is (array([0]),): it should be two equally long arrays"),
        (lambda: of_pairs((np.array([0]), [1])), "pairs holds [1]: it should hold two equally long arrays"),
        (lambda: of_pairs((np.array([0]), np.array([1.0]))), "pairs holds an array of float64"),
        (lambda: of_pairs((np.array([0]), np.array([1, 1]))), "it should hold two equally long arrays"),
        (
            lambda: of_pairs((np.array([0]), np.array([4]))),
            "it should hold two equally long arrays of whole numbers from 0 to 3",
        ),
        (lambda: of_pairs((np.array([-1]), np.array([1]))), "whole numbers from 0 to 3"),
        (lambda: overlap.within_pairs(0, 5), "inits is 0: it must be a whole number of at least 1"),
        (lambda: overlap.across_pairs(5, 2.0), "runs is 2.0"),
        (lambda: overlap.across_pairs(10_001, 1), "inits x runs is 10001"),
        (lambda: overlap.shared_by_all(GOOD, 2, 3), "masks has 4 rows: inits x runs = 2 x 3 needs 6"),
        (lambda: overlap.covered_by_none(GOOD, 2, True), "runs is True"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert words in str(error.value)


def test_masks_made_of_initial_magnitudes_are_explained_by_them():
    initial = np.random.default_rng(0).normal(size=(3, 200))
    largest = np.abs(initial) >= np.sort(np.abs(initial), axis=1)[:, -50, None]
    masks = largest.repeat(2, axis=0)
    found = overlap.overlap_from_initial_magnitude(initial, masks, 3, 2, bins=200)
    np.testing.assert_allclose(found, 100)


def test_random_masks_share_what_chance_gives_whatever_their_initial_magnitudes():
    rng = np.random.default_rng(1)
    masks = np.zeros((20, 4000), bool)
    for mask in masks:
        mask[rng.choice(4000, 1000, replace=False)] = True
    found = overlap.overlap_from_initial_magnitude(rng.normal(size=(4, 4000)), masks, 4, 5, bins=10)
    np.testing.assert_allclose(found, 25, atol=0.5)
    # On average also of a small layer that keeps little, in bins of three weights.
    found = [
        overlap.overlap_from_initial_magnitude(
            rng.normal(size=(5, 150)), rng.permuted(np.tile(np.arange(150) < 3, (25, 1)), axis=1), 5, 5, bins=50
        )
        for _ in range(200)
    ]
    assert np.mean(found) == pytest.approx(2, abs=4 * np.std(found) / np.sqrt(200))


def test_a_kept_share_by_rank_gives_its_square():
    """Large halves kept with 0.8, small ones with 0.2: two runs share 0.5 (0.8^2 + 0.2^2) of all, 68 % of a mask."""
    rng = np.random.default_rng(2)
    initial = rng.normal(size=(4, 4000))
    masks = np.zeros((20, 4000), bool)
    for r, mask in enumerate(masks):
        order = np.argsort(np.abs(initial[r // 5]))
        mask[rng.choice(order[:2000], 400, replace=False)] = True
        mask[rng.choice(order[2000:], 1600, replace=False)] = True
    found = overlap.overlap_from_initial_magnitude(initial, masks, 4, 5, bins=2)
    np.testing.assert_allclose(found, 68)


@pytest.mark.parametrize(
    ("shape", "inits", "bins", "words"),
    [
        ((3, 9), 3, 3, r"\(3, 9\)"),
        ((2, 10), 2, 3, "inits is 2"),
        ((3, 10), 3, 11, "bins is 11"),
        ((3, 10), 3, 0, "bins is 0"),
    ],
)
def test_initial_magnitudes_that_do_not_fit_are_named(shape, inits, bins, words):
    masks = np.zeros((2 * inits, 10), bool)
    masks[:, :5] = True
    with pytest.raises(UserError, match=words):
        overlap.overlap_from_initial_magnitude(np.ones(shape), masks, inits, 2, bins)


@pytest.mark.parametrize("initial", [np.ones((3, 10), int), np.full((3, 10), np.nan), [[1.0] * 10] * 3])
def test_initial_magnitudes_that_are_no_numbers_are_refused(initial):
    masks = np.tile(np.arange(10) < 4, (6, 1))
    with pytest.raises(UserError, match=r"initial is .*: it should be a float array without nan"):
        overlap.overlap_from_initial_magnitude(initial, masks, 3, 2, bins=1)


def test_one_bin_of_magnitudes_and_one_mask_are_enough():
    masks = np.tile(np.arange(10) < 4, (6, 1))
    found = overlap.overlap_from_initial_magnitude(np.ones((3, 10)), masks, 3, 2, bins=1)
    np.testing.assert_allclose(found, 40)  # chance
    itself = overlap.overlap_from_unit_counts(masks[:1], 5, (np.array([0]), np.array([0])))
    assert itself == pytest.approx(100 * (2 * 2 + 2 * 2) / 2 / 4)


def test_counts_per_unit_against_random_masks_with_those_counts():
    rng = np.random.default_rng(5)
    counts = np.array([[9, 5, 1, 0], [8, 1, 1, 5]])

    def draw(of):
        mask = np.zeros((4, 10), bool)
        for unit, count in enumerate(of):
            mask[unit, rng.choice(10, count, replace=False)] = True
        return mask.ravel()

    masks = np.stack([draw(of) for of in counts])
    expected = overlap.overlap_from_unit_counts(masks, 4, (np.array([0]), np.array([1])))
    assert expected[0] == pytest.approx(100 * (9 * 8 + 5 * 1 + 1 * 1 + 0) / 10 / 15)
    drawn = [100 * (draw(counts[0]) & draw(counts[1])).sum() / 15 for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(expected[0], abs=4 * np.std(drawn) / np.sqrt(4000))
    with pytest.raises(UserError, match="units is 3"):
        overlap.overlap_from_unit_counts(masks, 3, (np.array([0]), np.array([1])))
