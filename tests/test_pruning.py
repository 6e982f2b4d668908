from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made import TINY

from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.pruning import (
    Level,
    kept_counts,
    large_final,
    percent_levels,
    prune,
    random_masks,
    round_levels,
    with_random,
)


def test_counts_are_exact_products_truncated():
    architecture = EXPERIMENTS["a/fashion-lenet/free"].architecture
    levels = percent_levels("50", "60", "80", "90", "95", "98")
    found = [list(kept_counts(architecture, level).values()) for level in levels[1:]]
    assert found == [
        [75, 1200, 15360, 5040, 420],
        [60, 960, 12288, 4032, 336],
        [30, 480, 6144, 2016, 168],
        [15, 240, 3072, 1008, 84],
        [7, 120, 1536, 504, 42],
        [3, 48, 614, 201, 16],
    ]


def test_the_counts_of_iterated_rounds_are_exact_too():
    # Paper B's first layer keeps 542 of 1,728 weights after eleven rounds of nine tenths.
    experiment = EXPERIMENTS["b/conv2/cifar10"]
    assert [level.name for level in experiment.levels] == ["dense", *(f"round-{n}" for n in range(1, 12)), "random"]
    last = kept_counts(experiment.architecture, experiment.last)
    assert last == kept_counts(experiment.architecture, experiment.levels[-1])
    assert last["conv1"] == 542
    # In integers: the layer's size times 9^11 (or 8^11) over 10^11, cut off.
    sizes = {"conv1": 1728, "conv2": 36_864, "dense1": 4_194_304, "dense2": 65_536, "output": 2560}
    assert last == {n: s * (8 if n.startswith("dense") else 9) ** 11 // 10**11 for n, s in sizes.items()}
    # The paper's total pruning rate of 91.2 %.
    assert 1 - sum(last.values()) / 4_300_992 == pytest.approx(0.912, abs=5e-4)
    first = kept_counts(experiment.architecture, experiment.levels[1])
    assert first == {"conv1": 1555, "conv2": 33_177, "dense1": 3_355_443, "dense2": 52_428, "output": 2304}
    assert kept_counts(experiment.architecture, experiment.levels[0]) == sizes


def test_a_layer_may_be_an_exception():
    level = round_levels(2, Fraction(1, 2), dense1=Fraction(1, 4))[2]
    assert level.kept_of("conv1") == Fraction(1, 4) and level.kept_of("dense1") == Fraction(1, 16)
    parameters = np.random.default_rng(0).normal(size=(2, TINY.parameter_count)).astype(np.float32)
    masks = prune(TINY, parameters, np.ones((2, TINY.weight_count), bool), level)
    assert (masks[:, TINY.weight_slices()["conv2"]].sum(axis=1) == 108 // 4).all()
    assert (masks[:, TINY.weight_slices()["dense1"]].sum(axis=1) == 768 // 16).all()


@given(
    hnp.arrays(np.float32, (3, 20), elements=st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 2, 3])),
    hnp.arrays(bool, (3, 20)),
    st.data(),
)
def test_large_final_against_sorting_by_hand(weights, masks, data):
    count = data.draw(st.integers(0, int(masks.sum(axis=1).min())))
    found = large_final(weights, masks, count)
    for w, m, f in zip(weights, masks, found, strict=True):
        alive = [k for k in range(20) if m[k]]
        expected = sorted(alive, key=lambda k: (-abs(w[k]), k))[:count]
        assert sorted(expected) == list(np.flatnonzero(f))


def test_iterated_pruning_against_torch():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(1, 30 * 40)).astype(np.float32)
    masks = np.ones((1, 1200), bool)
    for kept in (600, 480, 240, 24):
        module = torch.nn.Linear(40, 30)
        module.weight.data = torch.from_numpy(weights.reshape(30, 40))
        torch.nn.utils.prune.custom_from_mask(module, "weight", torch.from_numpy(masks.reshape(30, 40)))
        torch.nn.utils.prune.l1_unstructured(module, "weight", amount=int(masks.sum()) - kept)
        masks = large_final(weights, masks, kept)
        np.testing.assert_array_equal(masks.reshape(30, 40), module.weight_mask.numpy().astype(bool))
        weights = (weights + rng.normal(size=weights.shape)).astype(np.float32) * masks  # "retrained"


def test_prune_keeps_exact_counts_in_every_layer_and_revives_nothing():
    rng = np.random.default_rng(2)
    parameters = rng.normal(size=(4, TINY.parameter_count)).astype(np.float32)
    masks = np.ones((4, TINY.weight_count), bool)
    for level in percent_levels("50", "80", "99")[1:]:
        following = prune(TINY, parameters, masks, level)
        assert not (following & ~masks).any()
        for name, where in TINY.weight_slices().items():
            assert (following[:, where].sum(axis=1) == kept_counts(TINY, level)[name]).all()
        masks = following


def test_bad_input_is_named():
    with pytest.raises(UserError, match="count is 3"):
        large_final(np.ones((1, 4), np.float32), np.array([[True, True, False, False]]), 3)
    with pytest.raises(UserError, match="not finite"):
        large_final(np.array([[np.nan, 1.0]]), np.ones((1, 2), bool), 1)


def test_levels_know_what_they_prune():
    assert Level("99.9", 1 - Fraction("99.9") / 100).pruned == pytest.approx(0.999)


def test_random_masks_have_the_exact_counts_and_every_weight_is_as_likely():
    level = percent_levels("75", "90")[1]
    masks = random_masks(TINY, level, 400)
    for name, where in TINY.weight_slices().items():
        assert (masks[:, where].sum(axis=1) == kept_counts(TINY, level)[name]).all()
        # A weight survives in 100 of 400 masks, give or take 8.7; of some 1,100 weights none strays by five of these.
        assert abs(masks[:, where].sum(axis=0) - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)
    # Two of them share what independent masks share.
    shared = (masks[::2] & masks[1::2]).sum(axis=1)
    assert shared.mean() == pytest.approx(TINY.weight_count / 16, rel=0.02)


def test_random_masks_are_a_pure_function_of_network_counts_and_replica():
    level = with_random(percent_levels("80"))[-1]
    assert (level.name, level.kept, level.random) == ("random", Fraction(1, 5), True)
    masks = random_masks(TINY, level, 3)
    np.testing.assert_array_equal(random_masks(TINY, level, 2), masks[:2])
    assert not (masks[0] == masks[1]).all()
    # Fewer weights of the same replica: the same order of the weights, cut off earlier.
    assert not (random_masks(TINY, percent_levels("90")[1], 3) & ~masks).any()
    assert random_masks(TINY, percent_levels("99.99")[1], 1).sum() == 0
