"""Winning and random tickets side by side: from made stores, of which it is known what they hold."""

import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from made import TINY, change, made_store, tiny_experiment
from scipy import stats

from lib import comparisons, evidence, topology
from lib.comparisons import Group
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, find
from lib.models import Architecture, Layer, initial_parameters
from lib.pruning import percent_levels, random_masks, with_random
from lib.tickets import Store

NAME = "test/tiny/rounds"
EXPERIMENT = tiny_experiment(NAME, levels=with_random(percent_levels("50", "70")), inits=6, runs=1)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, NAME, EXPERIMENT)
    evidence._read.cache_clear()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_store(tmp_path_factory.mktemp("comparisons") / "tickets", EXPERIMENT)


def drawn(rng, count, label="drawn", density=0.3, starts=None, positive=0.5):
    """Independent tickets, every weight kept with the same probability, of either sign."""
    signs = np.where(rng.random((count, TINY.weight_count)) < positive, 1, -1) * (
        rng.random((count, TINY.weight_count)) < density
    )
    return Group.of(label, TINY, signs.astype(np.int8), np.arange(count) if starts is None else starts)


def test_winning_tickets_are_the_masks_with_the_signs_of_the_initial_weights(store):
    signs = comparisons.winning_tickets(store, NAME)
    masks = store.read(EXPERIMENT, EXPERIMENT.last).masks
    initial = store.initial_weights(EXPERIMENT)
    np.testing.assert_array_equal(signs, np.sign(initial) * masks)
    trained = comparisons.winning_tickets(store, NAME, trained=True)
    np.testing.assert_array_equal(trained, np.sign(store.read(EXPERIMENT, EXPERIMENT.last).weights))
    assert (comparisons.starts(EXPERIMENT) == np.arange(6)).all()


def test_random_tickets_need_no_training_and_share_counts_and_initial_weights(store, tmp_path):
    signs = comparisons.random_tickets(Store(tmp_path), NAME)
    stored = store.read(EXPERIMENT, EXPERIMENT.level("random"))
    np.testing.assert_array_equal(signs != 0, stored.masks)
    np.testing.assert_array_equal(signs, np.sign(store.initial_weights(EXPERIMENT)) * stored.masks)
    winning = comparisons.winning_tickets(store, NAME)
    for where in TINY.weight_slices().values():
        np.testing.assert_array_equal((signs[:, where] != 0).sum(axis=1), (winning[:, where] != 0).sum(axis=1))
    np.testing.assert_array_equal(comparisons.random_tickets(store, NAME, trained=True), np.sign(stored.weights))
    for trained in (False, True):
        with pytest.raises(evidence.Missing, match=NAME):
            comparisons.winning_tickets(Store(tmp_path), NAME, trained)
    with pytest.raises(evidence.Missing, match=NAME):
        comparisons.random_tickets(Store(tmp_path), NAME, trained=True)


def test_runs_of_an_initialisation_have_its_signs(tmp_path, monkeypatch):
    twice = dataclasses.replace(EXPERIMENT, name="test/tiny/twice", inits=2, runs=2)
    monkeypatch.setitem(EXPERIMENTS, twice.name, twice)
    found = comparisons.random_tickets(Store(tmp_path / "tickets"), twice.name)
    starts = np.stack([initial_parameters(TINY, init)[: TINY.weight_count] for init in (0, 0, 1, 1)])
    np.testing.assert_array_equal(found, np.sign(starts) * random_masks(TINY, twice.last, 4))


def test_a_trained_weight_that_is_stored_as_zero_is_a_connection_still(tmp_path):
    made = made_store(tmp_path / "tickets", EXPERIMENT)
    record = made.read(EXPERIMENT, EXPERIMENT.last)
    weights = record.weights.copy()
    first, second = np.flatnonzero(record.masks[2])[:2]
    weights[2, [first, second]] = -1e-9, 1e-9
    change(made, EXPERIMENT, EXPERIMENT.last, weights=weights)
    signs = comparisons.winning_tickets(made, NAME, trained=True)
    np.testing.assert_array_equal(signs != 0, record.masks)
    assert not made.read(EXPERIMENT, EXPERIMENT.last).weights[2, [first, second]].any()
    assert signs[2, first] == -1 and signs[2, second] == 1


def test_control_tickets_keep_counts_and_signs_and_the_survivors_of_every_unit(store):
    signs = comparisons.winning_tickets(store, NAME)
    control = comparisons.control_tickets(TINY, signs)
    assert not (control == signs).all()
    for layer, where in zip(TINY.layers, TINY.weight_slices().values(), strict=True):
        a, b = (s[:, where].reshape(6, layer.shape[0], -1) for s in (signs, control))
        np.testing.assert_array_equal((a != 0).sum(axis=2), (b != 0).sum(axis=2))
        np.testing.assert_array_equal((a > 0).sum(axis=(1, 2)), (b > 0).sum(axis=(1, 2)))


def test_control_tickets_of_two_equal_layers_have_no_more_in_common_than_by_chance():
    square = Architecture("square", (1, 8, 8), (Layer("one", (64, 64)), Layer("other", (64, 64))))
    layer = np.random.default_rng(0).choice([-1, 0, 1], (5, 64 * 64), p=(0.1, 0.8, 0.1)).astype(np.int8)
    one, other = np.split(comparisons.control_tickets(square, np.tile(layer, 2)), 2, axis=1)
    # Of 4,096 x 5 places; one standard deviation of it is 0.0011, in 1,500 draws.
    expected = ((layer != 0).reshape(5, 64, 64).mean(axis=2) ** 2).mean()
    assert ((one != 0) & (other != 0)).mean() == pytest.approx(expected, abs=5 * 0.0011)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("carry", [False, True])
def test_distances_of_groups_are_those_of_their_pairs_in_either_order_and_are_kept(tmp_path, signed, carry):
    rng = np.random.default_rng(0)
    made, a, b = Store(tmp_path / "tickets"), drawn(rng, 3, "a"), drawn(rng, 2, "b")
    found = comparisons.distances(made, a, b, signed, carry)
    assert found.shape == (3, 2, 4)
    for i, j in np.ndindex(3, 2):
        pair = (a.signs[i], b.signs[j]) if signed else (a.signs[i] != 0, b.signs[j] != 0)
        pair = pair if a.label <= b.label else pair[::-1]  # units that tie may be matched in another way
        np.testing.assert_allclose(found[i, j], topology.layer_distances(TINY, *pair, carry))
    (kept,) = (tmp_path / "distances").glob("*.npz")
    content = kept.read_bytes()
    np.testing.assert_array_equal(comparisons.distances(made, b, a, signed, carry).transpose(1, 0, 2), found)
    kept.write_bytes(content[:50])  # a damaged file is made again
    np.testing.assert_array_equal(comparisons.distances(made, a, b, signed, carry), found)
    assert kept.read_bytes() == content
    within = comparisons.distances(made, a, a, signed, carry)
    assert np.isnan(within[np.arange(3), np.arange(3)]).all()
    np.testing.assert_array_equal(within, within.transpose(1, 0, 2))


def test_kept_distances_that_hold_a_pickle_are_made_again_and_run_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    made, a = Store(tmp_path / "tickets"), drawn(np.random.default_rng(0), 3, "a")
    found = comparisons.distances(made, a, a, signed=False)
    (kept,) = (tmp_path / "distances").glob("*.npz")
    np.savez(kept, distances=np.full(found.shape, Bomb()))
    np.testing.assert_array_equal(comparisons.distances(made, a, a, signed=False), found)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["a/fashion-lenet/free", "a/fashion-lenet/partial"])
def test_what_the_book_keeps_are_the_distances_of_its_masks(monkeypatch, name):
    """Of some pairs at every level; none of them is computed here, so that they have to be among those kept."""
    monkeypatch.setattr(comparisons, "_compared", None)
    kept, experiment, rng = Store(), find(name), np.random.default_rng(6)
    for level in experiment.levels[1:]:
        masks = evidence.part(kept, name, level.name, "masks")
        tickets = Group.of(name, experiment.architecture, masks.astype(np.int8), comparisons.starts(experiment))
        i, j = np.sort([rng.choice(len(masks), 2, replace=False) for _ in range(4)]).T
        found = comparisons.distances(kept, tickets, tickets, signed=False)
        np.testing.assert_array_equal(found[i, j], topology.distances(experiment.architecture, masks, (i, j)))


def test_what_is_compared_is_what_the_distances_are_kept_under(tmp_path):
    """Other signs, masks, metrics or matches never read the same file."""
    rng = np.random.default_rng(1)
    made, a = Store(tmp_path / "tickets"), drawn(rng, 3, "a")
    flipped = Group.of("a", TINY, np.where(rng.random(a.signs.shape) < 0.5, a.signs, -a.signs), a.starts)
    for group in (a, flipped, Group.of("a", TINY, a.signs[:2], a.starts[:2])):
        for signed in (False, True):
            for carry in (False, True):
                comparisons.distances(made, group, group, signed, carry)
    assert len(list((tmp_path / "distances").glob("*.npz"))) == 12
    other = dataclasses.replace(TINY, layers=TINY.layers[:1])
    with pytest.raises(UserError, match="b is of tiny: it should be of the architecture of a"):
        comparisons.distances(made, a, Group.of("x", other, a.signs[:, :75], a.starts), True)


def test_pairs_of_the_same_start_are_left_out_or_not_and_a_sample_is_drawn(tmp_path):
    rng = np.random.default_rng(2)
    made = Store(tmp_path / "tickets")
    a, b, control = drawn(rng, 8, "a"), drawn(rng, 8, "b"), drawn(rng, 8, "random")

    def count(first, second, same_start, drawn=False):
        compared = comparisons.compare(made, first, second, control, True, same_start=same_start, sample=20)
        return len(compared.values(drawn))

    assert (count(a, a, False), count(a, a, True)) == (28, 28)
    assert (count(a, b, False), count(a, b, True)) == (56, 64)
    assert (count(a, a, False, True), count(a, b, True, True)) == (20, 20)
    compared = comparisons.compare(made, a, b, control, True, sample=20)
    own = comparisons.distances(made, a, b, True)
    expected = own[~np.eye(8, dtype=bool)]
    np.testing.assert_array_equal(compared.values(drawn=False), expected)
    assert {row.tobytes() for row in compared.values()} < {row.tobytes() for row in expected}
    for pairs, values in ((compared.pairs(), compared.values()), (compared.pairs(False), compared.values(False))):
        np.testing.assert_array_equal(own[pairs[:, 0], pairs[:, 1]], values)
    within = comparisons.compare(made, a, a, control, True).pairs(False)
    assert len(within) == 28 and (within[:, 0] < within[:, 1]).all()
    np.testing.assert_array_equal(compared.values(), comparisons.compare(made, a, b, control, True, sample=20).values())


def test_a_difference_against_scipy(tmp_path):
    rng = np.random.default_rng(3)
    made = Store(tmp_path / "tickets")
    a, control = drawn(rng, 7, "a", 0.4), drawn(rng, 7, "random")
    compared = comparisons.compare(made, a, a, control, False)
    for layer in (None, 2):
        x, y = (
            rows.mean(axis=1) if layer is None else rows[:, layer]
            for rows in (compared.values(), compared.control_values())
        )
        found = compared.difference(layer)
        assert found.diff_mean == pytest.approx(x.mean() - y.mean())
        assert found.p_value == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue)
        assert found.cohen_d == pytest.approx((x.mean() - y.mean()) / np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2))
        assert found.lower and not found.higher  # denser tickets share more


def test_planted_signs_are_found_by_the_signed_distance_alone(tmp_path):
    """Tickets at independent places whose signs are mostly positive: NNSTD sees nothing, NNSTD with signs does."""
    rng = np.random.default_rng(4)
    made = Store(tmp_path / "tickets")
    planted, control = drawn(rng, 12, "planted", positive=0.9), drawn(rng, 12, "random")
    plain, signed = (comparisons.compare(made, planted, planted, control, s) for s in (False, True))
    assert signed.difference().lower and signed.difference().cohen_d < -2
    assert signed.permutation_p() < 0.01
    assert abs(plain.difference(drawn=False).cohen_d) < 0.8 and plain.permutation_p() > 0.01


def test_tickets_that_are_alike_by_nothing_give_uniform_p_values_by_permutation_of_tickets(tmp_path):
    """And Welch's test, which takes pairs that share tickets as independent, finds too much."""
    rng = np.random.default_rng(5)
    made = Store(tmp_path / "tickets")
    by_tickets, by_pairs = [], []
    for _ in range(120):
        # Densities differ from ticket to ticket, so that pairs which share a ticket depend on each other.
        density = rng.uniform(0.1, 0.5, (12, 1))
        signs = np.where(rng.random((12, TINY.weight_count)) < 0.5, 1, -1) * (
            rng.random((12, TINY.weight_count)) < density
        )
        a, control = (
            Group.of(label, TINY, signs[part].astype(np.int8), np.arange(6))
            for label, part in (("a", slice(0, 6)), ("random", slice(6, 12)))
        )
        compared = comparisons.compare(made, a, a, control, True)
        by_tickets.append(compared.permutation_p(repetitions=199))
        by_pairs.append(compared.difference().p_value)
    assert stats.kstest(by_tickets, "uniform").pvalue > 0.001
    beyond = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)  # three standard deviations above what the test promises
    assert np.mean(np.array(by_tickets) <= 0.05) <= beyond < np.mean(np.array(by_pairs) <= 0.05)


def test_distances_of_controls_that_are_drawn_anew_are_not_those_that_are_kept(store, monkeypatch):
    def digests():
        return [comparisons.group(store, NAME, kind, "x").digest for kind in ("winning", "random", "control")]

    before = digests()
    monkeypatch.setattr(comparisons, "_CONTROLS_DRAWN", "in another way")
    assert [one == other for one, other in zip(before, digests(), strict=True)] == [True, True, False]


def test_groups_of_stored_tickets_are_told_apart_by_what_decides_them(store, tmp_path):
    """And made only when they are looked at: the same digest, the same tickets; other files, another digest."""
    kinds = [(kind, trained) for kind in ("winning", "random", "control") for trained in (False, True)]
    groups = {k: comparisons.group(store, NAME, k[0], "x", k[1]) for k in kinds}
    assert len({g.digest for g in groups.values()}) == 6 and not any("signs" in vars(g) for g in groups.values())
    for (kind, trained), g in groups.items():
        if kind != "control":
            expected = (comparisons.random_tickets if kind == "random" else comparisons.winning_tickets)(
                store, NAME, trained
            )
            np.testing.assert_array_equal(g.signs, expected)
    evidence._read.cache_clear()
    other = made_store(tmp_path / "tickets", EXPERIMENT, seed=1)
    for kind, trained in kinds:
        again = comparisons.group(other, NAME, kind, "y", trained)
        # Random tickets hang on no store until they are trained.
        assert (again.digest == groups[kind, trained].digest) == ((kind, trained) == ("random", False))


def test_tickets_that_come_to_a_store_while_a_program_runs_are_compared(tmp_path):
    """The first three trials, then all six, by one store: nothing that was kept of the three is taken for the six."""
    grows, whole = made_store(tmp_path / "tickets", EXPERIMENT.first(3)), made_store(tmp_path / "whole", EXPERIMENT)
    first = comparisons.group(grows, NAME, "winning", "W")
    assert len(first.starts) == len(first.signs) == 3
    shutil.rmtree(grows.folder(EXPERIMENT))
    shutil.copytree(whole.folder(EXPERIMENT), grows.folder(EXPERIMENT))
    then = comparisons.group(grows, NAME, "winning", "W")
    assert len(then.starts) == len(then.signs) == 6 and then != first
    pairs = [len(comparisons.compare(grows, g, g, g, True).values(drawn=False)) for g in (first, then)]
    assert pairs == [3, 15]


def test_what_is_read_cannot_be_changed_by_who_reads_it(store):
    with pytest.raises(ValueError, match="read-only"):
        evidence.part(store, NAME, "50", "masks")[:] = True


def test_groups_are_compared_in_the_order_of_their_names(tmp_path):
    """Whatever their digests, which change with every ticket more, and whichever comes first in the call."""
    store, rng = Store(tmp_path / "tickets"), np.random.default_rng(0)
    one, other = (drawn(rng, 4, "x", density=0.1) for _ in range(2))
    kept = []
    for names in (("a", "b"), ("b", "a")):
        a, b = (dataclasses.replace(g, label=label) for g, label in zip((one, other), names, strict=True))
        found = comparisons.distances(store, a, b, signed=False)
        np.testing.assert_array_equal(found, comparisons.distances(store, b, a, signed=False).transpose(1, 0, 2))
        first, second = (a, b) if names == ("a", "b") else (b, a)
        expected = [[topology.layer_distances(TINY, x != 0, y != 0) for y in second.signs] for x in first.signs]
        np.testing.assert_allclose(found if first is a else found.transpose(1, 0, 2), expected)
        kept.append(found)
    assert (np.abs(kept[0] - kept[1]) > 1e-9).any()  # the order matters, so it is worth a rule


@pytest.mark.parametrize(("a", "b", "least"), [(3, 3, 2 / 20), (3, 4, 1 / 35), (3, 20, 1 / 1771)])
def test_few_tickets_have_a_least_p_value(tmp_path, a, b, least):
    """By hand: of all assignments of the labels, those whose difference of means is as large as any."""
    store, rng = Store(tmp_path / "tickets"), np.random.default_rng(a)
    winning, random = drawn(rng, a, "winning"), drawn(rng, b, "random")
    found = comparisons.compare(store, winning, winning, random, signed=True, sample=0)
    assert found.least_permutation_p == pytest.approx(least)
    if a + b < 8:
        matrix = 1.0 - np.outer(*[np.arange(a + b) < a] * 2)  # winning ones at distance 0
        differences = []
        for chosen in itertools.combinations(range(a + b), a):
            rest = [k for k in range(a + b) if k not in chosen]
            means = [np.mean([matrix[i, j] for i, j in itertools.combinations(x, 2)]) for x in (chosen, rest)]
            differences.append(means[0] - means[1])
        reached = np.abs(differences) >= np.abs(differences).max() - 1e-12
        assert reached.mean() == pytest.approx(least)
