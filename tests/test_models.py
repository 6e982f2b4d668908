import numpy as np
import pytest
from made import TINY

from lib.experiments import EXPERIMENTS
from lib.models import initial_hash, initial_parameters, lenet


def test_lenet_has_the_sizes_that_its_layers_imply():
    sizes = [layer.size for layer in lenet((1, 28, 28), "x").layers]
    assert sizes == [150, 2400, 30_720, 10_080, 840]
    assert [layer.size for layer in lenet((3, 32, 32), "x").layers] == [450, 2400, 48_000, 10_080, 840]


def test_slices_tile_the_flat_vector():
    covered = np.zeros(TINY.parameter_count, int)
    for where in [*TINY.weight_slices().values(), *TINY.bias_slices().values()]:
        covered[where] += 1
    assert (covered == 1).all()
    assert max(s.stop for s in TINY.weight_slices().values()) == TINY.weight_count


def test_initial_weights_are_glorot_normal_and_biases_zero():
    architecture = lenet((1, 28, 28), "x")
    flat = initial_parameters(architecture, 3)
    assert (flat[architecture.weight_count :] == 0).all()
    for layer in architecture.layers:
        weights = flat[architecture.weight_slices()[layer.name]]
        receptive = np.prod(layer.shape[2:], dtype=int)
        variance = 2 / (layer.shape[0] * receptive + layer.shape[1] * receptive)
        # The variance of a sample variance of n normal numbers is 2 variance^2 / n.
        assert weights.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / layer.size))
        assert abs(weights.mean()) < 4 * np.sqrt(variance / layer.size)


def test_layers_of_equal_shape_start_equal_in_every_network_and_differ_between_initialisations():
    small, large = lenet((1, 28, 28), "x"), lenet((3, 32, 32), "y")
    a, b = initial_parameters(small, 1), initial_parameters(large, 1)
    other = initial_parameters(small, 2)
    for name in ("conv2", "dense2", "output"):
        np.testing.assert_array_equal(a[small.weight_slices()[name]], b[large.weight_slices()[name]])
        assert (a[small.weight_slices()[name]] != other[small.weight_slices()[name]]).mean() > 0.999


def test_the_initial_weights_of_the_stored_experiments_never_change():
    experiment = EXPERIMENTS["a/fashion-lenet/free"]
    assert initial_hash(experiment.architecture, experiment.inits).startswith(HASH)


HASH = "5d953610ed6fa8ec"
