import numpy as np
import pytest
from made import TINY

from lib.experiments import EXPERIMENTS
from lib.models import conv2, initial_hash, initial_parameters, initial_signs, lenet, lenet_equal, resnet18


def test_lenet_has_the_sizes_that_its_layers_imply():
    sizes = [layer.size for layer in lenet((1, 28, 28), "x").layers]
    assert sizes == [150, 2400, 30_720, 10_080, 840]
    assert [layer.size for layer in lenet((3, 32, 32), "x").layers] == [450, 2400, 48_000, 10_080, 840]


def test_the_sizes_that_the_papers_print():
    assert [layer.size for layer in lenet_equal().layers] == [400, 2400, 2400, 2500, 250]
    assert conv2().weight_count == 4_300_992
    assert [layer.size for layer in conv2().layers] == [1728, 36_864, 4_194_304, 65_536, 2560]


def test_the_small_resnet18_has_eighteen_convolutions_in_blocks_and_270_thousand_weights():
    layers = resnet18().layers
    convolutions = [layer for layer in layers if layer.name.startswith("conv")]
    assert [layer.name for layer in convolutions] == [f"conv{k}" for k in range(1, 20)]
    assert [layer.shape[0] for layer in convolutions] == [16] * 7 + [32] * 6 + [64] * 6
    assert [layer.stride for layer in convolutions] == [1] * 7 + [2] + [1] * 5 + [2] + [1] * 5
    # 16 x 3 x 9, 6 x 16 x 16 x 9, 32 x 16 x 9, 5 x 32 x 32 x 9, 64 x 32 x 9, 5 x 64 x 64 x 9; 1 x 1 projections.
    assert sum(layer.size for layer in layers if len(layer.shape) == 4) == 267_696 + 2_560
    assert resnet18().weight_count == 270_256 + 640
    normalised = 16 * 7 + 32 * 7 + 64 * 7
    assert resnet18().trained_count == 270_896 + 10 + 2 * normalised
    assert resnet18().parameter_count == resnet18().trained_count + 2 * normalised


@pytest.mark.parametrize("architecture", [TINY, resnet18()], ids=lambda a: a.name)
def test_slices_tile_the_flat_vector(architecture):
    covered = np.zeros(architecture.parameter_count, int)
    weights, biases = architecture.weight_slices(), architecture.bias_slices()
    for slices in (weights, biases, *architecture.norm_slices()):
        for where in slices.values():
            covered[where] += 1
    assert (covered == 1).all()
    assert max(s.stop for s in weights.values()) == architecture.weight_count


def test_normalisation_starts_at_the_identity():
    architecture = resnet18()
    flat = initial_parameters(architecture, 0)
    scales, means, variances = architecture.norm_slices()
    assert len(scales) == 21
    for name in scales:
        assert (flat[scales[name]] == 1).all() and (flat[means[name]] == 0).all() and (flat[variances[name]] == 1).all()
    assert (flat[architecture.weight_count : min(s.start for s in scales.values())] == 0).all()


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


def test_initial_signs_are_those_of_the_initial_weights():
    for architecture in (TINY, lenet((1, 28, 28), "lenet-28x28x1")):
        for init in range(3):
            weights = initial_parameters(architecture, init)[: architecture.weight_count]
            np.testing.assert_array_equal(initial_signs(architecture, init), np.sign(weights))
