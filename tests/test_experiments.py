import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from made import tiny_experiment

from lib.errors import UserError
from lib.experiments import EXPERIMENTS, find
from lib.models import Layer
from lib.pruning import percent_levels, round_levels


def test_the_fingerprint_of_the_stored_experiment_never_changes():
    assert find("a/fashion-lenet/free").fingerprint() == "b3206acf6db415d4"


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"batch": 10},
        {"inits": 3},
        {"runs": 3},
        {"learning_rate": 1e-3},
        {"shared_order": 0.5},
        {"noise": 1e-7},
        {"dataset": "mnist"},
        {"scaling": "standardised"},
        {"optimiser": "SGD"},
        {"levels": percent_levels("50", "81")},
        {"levels": round_levels(2, Fraction(1, 2))},
        {"levels": round_levels(2, Fraction(1, 2), dense1=Fraction(1, 4))},
    ],
)
def test_the_fingerprint_changes_with_every_part(change):
    experiment = tiny_experiment()
    assert dataclasses.replace(experiment, **change).fingerprint() != experiment.fingerprint()


def test_no_two_experiments_have_the_same_fingerprint_even_without_their_names():
    nameless = [dataclasses.replace(e, name="no/name").fingerprint() for e in EXPERIMENTS.values()]
    assert len(set(nameless)) == len(EXPERIMENTS)


@pytest.mark.parametrize("change", [{"optimiser": "adam"}, {"scaling": "other"}])
def test_unknown_settings_are_named(change):
    with pytest.raises(UserError, match=r"optimiser is 'adam'.*Adam, SGD|scaling is 'other'.*unit, standardised"):
        tiny_experiment(**change)


def test_the_fingerprint_changes_with_the_architecture():
    experiment = tiny_experiment()
    layers = (Layer("conv1", (3, 1, 5, 5), padding=1, pool=True), *experiment.architecture.layers[1:])
    other = dataclasses.replace(experiment.architecture, layers=layers)
    assert dataclasses.replace(experiment, architecture=other).fingerprint() != experiment.fingerprint()


def test_every_epoch_uses_every_image_at_most_once():
    order = tiny_experiment().batch_order(1, 0, 0, 210)
    assert order.shape == (10, 20)
    assert len(np.unique(order)) == 200


def test_free_runs_of_an_initialisation_have_orders_of_their_own():
    experiment = tiny_experiment()
    orders = [experiment.batch_order(r, level, epoch, 210) for r in (0, 1, 2) for level in (0, 1) for epoch in (0, 1)]
    for k, order in enumerate(orders):
        assert not any((order == other).all() for other in orders[:k])


@pytest.mark.parametrize("fraction, shared_steps", [(0.0, 0), (0.1, 2), (0.5, 10), (0.75, 15), (1.0, 20)])
def test_shared_order_is_shared_for_its_fraction_of_the_steps(fraction, shared_steps):
    experiment = tiny_experiment(shared_order=fraction)  # 2 epochs of 10 steps
    a, b, other = (np.concatenate([experiment.batch_order(r, 1, epoch, 210) for epoch in (0, 1)]) for r in (0, 1, 2))
    same = (a == b).all(axis=1)
    assert same[:shared_steps].all()
    assert not same[shared_steps:].any()
    assert not (a == other).all(axis=1).any()  # another initialisation
    for epoch in (a[:10], a[10:]):
        assert len(np.unique(epoch)) == 200


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r"a/nothing.*a/fashion-lenet/free"):
        find("a/nothing")
    with pytest.raises(UserError, match=r"'70'.*50, 60, 80, 90, 95, 98"):
        find("a/fashion-lenet/free").level("70")


def test_every_experiment_is_listed_under_its_own_name():
    assert all(name == experiment.name for name, experiment in EXPERIMENTS.items())
    assert find("a/fashion-lenet/free").samples() == 60_000 * 15 * 7 * 25
    # Batches of 128: 390 an epoch of 50,000 images.
    assert find("a/cifar-resnet18/free").samples() == 390 * 128 * 15 * 7 * 25
    assert find("b/conv2/svhn").samples() == 73_257 // 60 * 60 * 10 * 13 * 20


def test_the_randomness_of_the_rungs():
    rungs = {name.rsplit("/", 1)[1]: e for name, e in EXPERIMENTS.items() if name.startswith("a/fashion-lenet/")}
    assert {name: (e.shared_order, e.noise) for name, e in rungs.items() if e.levels[-1].name == "98"} == {
        "free": (0, 0),
        "shared-1": (0.01, 0),
        "shared-10": (0.1, 0),
        "shared-50": (0.5, 0),
        "partial": (1, 2**-23),
        "fixed": (1, 0),
    }
