"""The trainer in C against single networks of torch.nn in double precision, and its own promises."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import TINY, made_images, tiny_experiment
from reference import SAME, chain, random_masks, reference, residual

from lib import sparse, training
from lib.models import Architecture, Layer, initial_parameters, lenet, resnet18

pytestmark = pytest.mark.skipif(sparse.compiled_library() is None, reason="needs a C compiler")

# Its second and third convolution and its first two dense layers are trained as products of matrices.
WIDE = Architecture(
    "wide",
    (3, 12, 12),
    (
        Layer("conv1", (64, 3, 3, 3), padding=1),
        Layer("conv2", (128, 64, 3, 3), padding=1),
        Layer("conv3", (64, 128, 3, 3), padding=1, pool=True),
        Layer("dense1", (128, 64 * 6 * 6)),
        Layer("dense2", (64, 128)),
        Layer("output", (10, 64)),
    ),
)
NETWORKS = [TINY, SAME, lenet((1, 16, 16), "small lenet"), lenet((1, 28, 28), "with a stride", (4, 3, 8, 6), 2)]
# An epsilon that keeps Adam from turning rounding errors of hardly any gradient into whole steps.
ADAM = ("Adam", (0.9, 0.999, 1e-3), lambda p, rate=1e-2: torch.optim.Adam(p, lr=rate, eps=1e-3))
SGD = ("SGD", (0.9, 0.0, 1e-8), lambda p, rate=1e-2: torch.optim.SGD(p, lr=rate, momentum=0.9))


def made_batch(architecture, count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *architecture.input_shape)).astype(np.uint8), rng.integers(0, 10, count)


def both(architecture, make, mask, order, optimiser, count=150, rate=1e-2):
    """Train both ways; return ours, images, start, both mean losses, and the other's parameters and logits."""
    images, labels = made_batch(architecture, count)
    start = initial_parameters(architecture, 0)
    ours = sparse.Replica(architecture, start, mask, rate, *optimiser[1])
    loss = ours.train_epoch(images, labels.astype(np.uint8), order)
    expected, parameters, logits = reference(
        architecture,
        make,
        start.astype(np.float64),
        mask,
        torch.from_numpy(images),
        torch.from_numpy(labels),
        torch.from_numpy(order),
        lambda p: optimiser[2](p, rate),
    )
    start = np.where(np.r_[mask, np.ones(len(start) - len(mask), bool)], start, 0)
    assert (ours.parameters[: len(mask)][~mask] == 0).all()
    return ours, images, start, loss, np.mean(expected), parameters, logits


def compare(architecture, mask, order, optimiser):
    """Train both ways and compare losses, parameters and logits."""
    ours, images, start, loss, expected, parameters, logits = both(architecture, chain, mask, order, optimiser)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(ours.parameters, parameters, atol=2e-5)
    np.testing.assert_allclose(ours.evaluate(images[:50]), logits, atol=2e-4)
    assert np.abs(parameters - start).max() > 1e-4


@pytest.mark.parametrize("optimiser", [ADAM, SGD], ids=lambda o: o[0])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.05])
@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda a: a.name)
def test_it_trains_as_single_torch_networks_do(architecture, density, optimiser, double):
    mask = np.random.default_rng(2).random(architecture.weight_count) < density
    order = np.random.default_rng(3).integers(0, 150, (6, 20))
    compare(architecture, mask, order, optimiser)


@pytest.mark.parametrize("batch", [1, 15, 16, 17, 31, 32, 33, 100])
def test_batches_of_any_size(batch, double):
    """A block holds 16 or 32 images, as the processor has it; less than one, exactly one, more than one."""
    order = np.random.default_rng(batch).integers(0, 150, (3, batch))
    compare(TINY, random_masks(TINY, 1)[0], order, SGD)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 9)] * 4),
    st.tuples(*[st.integers(1, 6)] * 2),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_convolutions_of_any_shape(widths, kernel, stride, padding, pool, seed):
    """Kernel, stride, padding and pooling, in single precision against torch in single precision."""
    channels, first, second, units = widths
    height, width = 13, 11
    for side, size in ((height, kernel[0]), (width, kernel[1])):
        if (side + 2 * padding - size) // stride + 1 < 2:
            return
    after = [(n + 2 * padding - k) // stride + 1 for n, k in zip((height, width), kernel, strict=True)]
    after = [n // 2 if pool else n for n in after]
    architecture = Architecture(
        "any",
        (channels, height, width),
        (
            Layer("conv1", (first, channels, *kernel), padding, pool, stride),
            Layer("conv2", (second, first, 1, 1)),
            Layer("dense1", (units, second * after[0] * after[1])),
            Layer("output", (10, units)),
        ),
    )
    wide = Architecture(
        "after a first layer",
        (2, height, width),
        (
            Layer("before", (channels, 2, 1, 1)),
            *architecture.layers,
        ),
    )
    for network in (architecture, wide):
        rng = np.random.default_rng(seed)
        mask = rng.random(network.weight_count) < rng.choice([0.1, 0.6, 1.0])
        images, labels = made_batch(network, 40, seed)
        order = rng.integers(0, 40, (2, 35))
        start = initial_parameters(network, seed)
        ours = sparse.Replica(network, start, mask, 1e-2, 0.9, 0.0, 1e-8)
        theirs = training.Stack(network, start[None], mask[None], 1e-2, optimiser="SGD")
        loss = ours.train_epoch(images, labels.astype(np.uint8), order)
        expected = theirs.train_epoch(torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(order)[None])
        assert loss == pytest.approx(float(expected[0]), rel=1e-4)
        np.testing.assert_allclose(ours.parameters, theirs.parameters()[0], atol=3e-5)


@pytest.mark.parametrize("optimiser", [ADAM, SGD], ids=lambda o: o[0])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.05])
def test_products_train_as_single_torch_networks_do(density, optimiser, double):
    """By norms: of a million units, one or two are so near zero that rounding decides whether they are above."""
    mask = np.random.default_rng(2).random(WIDE.weight_count) < density
    order = np.random.default_rng(3).integers(0, 100, (6, 40))
    ours, images, start, loss, expected, parameters, logits = both(WIDE, chain, mask, order, optimiser, 100, 1e-3)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert np.linalg.norm(ours.parameters - parameters) < 0.1 * np.linalg.norm(parameters - start)
    np.testing.assert_allclose(ours.evaluate(images[:50]), logits, atol=0.1 * np.abs(logits).max())


def test_winograd_rounds_up_to_three_times_as_much_as_pytorch():
    """As book/performance.md says, of 256 outputs of the third convolution; in both the images are the same.

    PyTorch sums otherwise with AVX-512 than without: the ratio was 2 to 3 with it and 1.2 without.
    """
    conv1, conv2, conv3 = WIDE.layers[:3]
    output = Layer("output", (256, 64 * 12 * 12))
    network = Architecture("shows", (3, 12, 12), (conv1, conv2, dataclasses.replace(conv3, pool=False), output))
    start = initial_parameters(network, 0).copy()
    shown = np.random.default_rng(0).choice(output.shape[1], 256, replace=False)
    start[network.weight_slices()["output"]] = np.eye(output.shape[1], dtype=np.float32)[shown].ravel()
    images, _ = made_batch(network, 200)
    ours = sparse.Replica(network, start, np.ones(network.weight_count, bool), 1e-2, 0.9, 0.0, 1e-8).evaluate(images)
    found = []
    for kind in (torch.float32, torch.float64):
        modules, trained, _ = chain(network)
        modules.to(kind)
        for module, where in zip(trained, network.weight_slices().values(), strict=True):
            module.weight.data = torch.from_numpy(start[where]).to(kind).view(module.weight.shape)
            module.bias.data.zero_()
        found.append(modules(torch.from_numpy(images).to(kind) / 255).detach().numpy())
    single, exact = found
    off, usual = (np.sqrt(((values - exact) ** 2).mean()) / exact.std() for values in (ours, single))
    least = 1.5 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1
    assert least < off / usual < 3.5 and off < 1e-6


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.sampled_from([64, 128])] * 3),
    st.tuples(*[st.sampled_from([4, 8, 12])] * 2),
    st.sampled_from([1, 31, 40]),
    st.sampled_from([0.1, 0.2, 1.0]),
    st.integers(0, 10**6),
)
def test_products_of_any_shape_round_about_as_sums_do(widths, sides, batch, density, seed):
    """Logits and gradients, which a step of SGD at rate 1 shows, against double precision, as torch in single is."""
    (channels, filters, units), (height, width) = widths, sides
    network = Architecture(
        "products",
        (2, height, width),
        (
            Layer("conv1", (channels, 2, 3, 3), padding=1),
            Layer("conv2", (filters, channels, 3, 3), padding=1),
            Layer("dense1", (units, filters * height * width)),
            Layer("output", (10, units)),
        ),
    )
    rng = np.random.default_rng(seed)
    mask = rng.random(network.weight_count) < density
    images, labels = made_batch(network, batch, seed)
    start = initial_parameters(network, seed).copy()
    start[: len(mask)] *= mask
    # No unit is so near zero that rounding decides whether it is above: biases are five times what scatters about them.
    start[len(mask) :] = rng.uniform(8, 9, len(start) - len(mask))
    start[network.bias_slices()["conv1"]] /= 6
    start[network.bias_slices()["dense1"]] = 100
    ours = sparse.Replica(network, start, mask, 1.0, 0.0, 0.0, 1e-8)
    ours.train_epoch(images, labels.astype(np.uint8), np.arange(batch)[None])
    slices, gradients = network.weight_slices(), []
    for kind in (torch.float32, torch.float64):
        modules, trained, _ = chain(network)
        modules.to(kind)
        for module, name in zip(trained, slices, strict=True):
            module.weight.data = torch.from_numpy(start[slices[name]]).to(kind).view(module.weight.shape)
            module.bias.data = torch.from_numpy(start[network.bias_slices()[name]]).to(kind)
        logits = modules(torch.from_numpy(images).to(kind) / 255)
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        gradients.append([module.weight.grad.flatten().double().numpy() for module in trained])
    again = sparse.Replica(network, start, mask, 1.0, 0.0, 0.0, 1e-8)
    np.testing.assert_allclose(again.evaluate(images), logits.detach(), atol=1e-5 * logits.abs().max().item())
    for single, exact, weights in zip(*gradients, slices.values(), strict=True):
        before, usual = start[weights].astype(np.float64), np.linalg.norm((single - exact) * mask[weights])
        off = np.linalg.norm(before - ours.parameters[weights] - exact * mask[weights])
        # Rounded logits, large here, change the whole gradient; the last term is what rounds as the step is subtracted.
        assert off < 8 * usual + 5e-5 * np.linalg.norm(exact) + 1e-7 * np.linalg.norm(before)


def test_a_layer_that_keeps_no_weight_trains_on():
    mask = random_masks(TINY, 1)[0]
    mask[TINY.weight_slices()["conv2"]] = False
    images, labels = made_batch(TINY, 40)
    ours = sparse.Replica(TINY, initial_parameters(TINY, 0), mask, 1e-2, 0.9, 0.999, 1e-8)
    loss = ours.train_epoch(images, labels.astype(np.uint8), np.arange(40).reshape(2, 20))
    assert np.isfinite(loss) and np.isfinite(ours.parameters).all()
    assert (ours.parameters[: len(mask)][~mask] == 0).all()


def test_the_noise_is_relative_uniform_seeded_and_anew_at_every_step():
    """One step of SGD at rate 1 moves every weight by its gradient: the ratio to the noiseless step is the noise."""
    network = lenet((1, 28, 28), "lenet")
    images, labels = made_batch(network, 60)
    start, mask = initial_parameters(network, 0), np.ones(network.weight_count, bool)

    def steps(noise, seed, count=1):
        replica = sparse.Replica(network, start, mask, 1.0, 0.0, 0.0, 1e-8, noise, seed)
        moved = []
        for _ in range(count):
            before = replica.parameters.copy()
            replica.train_epoch(images, labels.astype(np.uint8), np.arange(60)[None])
            moved.append((replica.parameters - before).astype(np.float64))
        return moved

    plain = steps(0.0, 1)[0]
    large = np.abs(plain) > 1e-3
    ratios = {seed: steps(0.25, seed)[0][large] / plain[large] - 1 for seed in (1, 2)}
    assert large.sum() > 1000
    for ratio in ratios.values():
        assert np.abs(ratio).max() < 0.2501
        assert abs(ratio.mean()) < 5 * 0.25 / np.sqrt(3 * large.sum())
        assert ratio.std() == pytest.approx(0.25 / np.sqrt(3), rel=0.1)
        assert abs(np.corrcoef(ratio[1:], ratio[:-1])[0, 1]) < 5 / np.sqrt(large.sum())
    assert abs(np.corrcoef(*ratios.values())[0, 1]) < 5 / np.sqrt(large.sum())
    np.testing.assert_array_equal(steps(0.25, 1)[0], steps(0.25, 1)[0])
    # The second step has noise of its own, also when it begins a new epoch.
    still = [m for m in steps(0.25, 3, 2)]
    assert not np.array_equal(still[0], still[1])


@pytest.mark.parametrize("network, batch, noise", [(TINY, 20, 1e-6), (resnet18(), 33, 1e-3)], ids=["tiny", "resnet"])
def test_epochs_in_one_go_or_one_by_one_give_the_same_bits(network, batch, noise):
    images, labels = made_batch(network, 60)
    order = np.random.default_rng(0).integers(0, 60, (8, batch))
    found = []
    for parts in (1, 4):
        replica = sparse.Replica(
            network, initial_parameters(network, 0), random_masks(network, 1)[0], 1e-2, 0.9, 0.999, 1e-8, noise, 5
        )
        for part in np.split(order, parts):
            replica.train_epoch(images, labels.astype(np.uint8), part)
        found.append(replica.parameters)
    np.testing.assert_array_equal(*found)


def test_standardised_pixels():
    images, labels = made_batch(SAME, 50)
    images[:, 1] //= 2
    channels = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
    start, mask = initial_parameters(SAME, 0), np.ones(SAME.weight_count, bool)
    ours = sparse.Replica(SAME, start, mask, 1e-3, 0.9, 0.999, 1e-8, channels=channels)
    theirs = training.Stack(SAME, start[None], mask[None], 1e-3, channels=channels)
    expected, _ = theirs.evaluate(torch.from_numpy(images), torch.from_numpy(labels))
    np.testing.assert_allclose(ours.evaluate(images), expected[0], atol=1e-4)


RESNET = resnet18()


@pytest.mark.parametrize("density, batch", [(1.0, 40), (0.3, 64), (0.02, 33)])
def test_gradients_of_a_residual_network(density, batch):
    """A step of SGD at rate 1, against double precision, as torch in single is.

    Offsets are so large that no ReLU cuts, where rounding would decide.
    """
    rng = np.random.default_rng(batch)
    images, labels = made_batch(RESNET, batch, batch)
    mask = rng.random(RESNET.weight_count) < density
    slices, offsets = RESNET.weight_slices(), RESNET.bias_slices()
    scales, means, variances = RESNET.norm_slices()
    start = initial_parameters(RESNET, 1).copy()
    start[: len(mask)] *= mask
    for name, where in scales.items():
        start[where] = rng.uniform(0.5, 1.5, where.stop - where.start)
        start[offsets[name]] = rng.uniform(5, 6, where.stop - where.start)
    ours = sparse.Replica(RESNET, start, mask, 1.0, 0.0, 0.0, 1e-8)
    loss = ours.train_epoch(images, labels.astype(np.uint8), np.arange(batch)[None])
    found = []
    for kind in (torch.float32, torch.float64):
        network, trained, norms = residual(RESNET)
        network.to(kind)
        for module, name in zip(trained, slices, strict=True):
            module.weight.data = torch.from_numpy(start[slices[name]]).to(kind).view(module.weight.shape)
        trained[-1].bias.data.zero_()
        for module, name in zip(norms, scales, strict=True):
            module.weight.data = torch.from_numpy(start[scales[name]]).to(kind)
            module.bias.data = torch.from_numpy(start[offsets[name]]).to(kind)
        exact = torch.nn.functional.cross_entropy(
            network(torch.from_numpy(images).to(kind) / 255), torch.from_numpy(labels)
        )
        exact.backward()
        gradients = {(name, "weights"): m.weight.grad.flatten() for m, name in zip(trained, slices, strict=True)}
        gradients |= {(name, "scales"): m.weight.grad for m, name in zip(norms, scales, strict=True)}
        gradients |= {(name, "offsets"): m.bias.grad for m, name in zip(norms, scales, strict=True)}
        found.append({key: gradient.double().numpy() for key, gradient in gradients.items()})
    assert loss == pytest.approx(exact.item(), rel=1e-5)
    places = {"weights": slices, "scales": scales, "offsets": offsets}
    for (name, what), gradient in found[1].items():
        where = places[what][name]
        kept = mask[where] if what == "weights" else 1
        before, usual = start[where].astype(np.float64), np.linalg.norm((found[0][name, what] - gradient) * kept)
        off = np.linalg.norm(before - ours.parameters[where] - gradient * kept)
        assert off < 5 * usual + 1e-3 * np.linalg.norm(gradient) + 1e-7 * np.linalg.norm(before), (name, what)
    for module, name in zip(norms, scales, strict=True):
        np.testing.assert_allclose(ours.parameters[means[name]], module.running_mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.parameters[variances[name]], module.running_var, rtol=1e-4)
    assert (ours.parameters[: len(mask)][~mask] == 0).all()


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_residual_network_trains_as_one_of_torch_does(density, double):
    """By norms, as of so many units some are so near zero that rounding decides whether they are above."""
    mask = np.random.default_rng(2).random(RESNET.weight_count) < density
    order = np.random.default_rng(3).integers(0, 100, (4, 40))
    ours, images, start, loss, expected, parameters, logits = both(RESNET, residual, mask, order, SGD, 100, 1e-3)
    assert loss == pytest.approx(expected, rel=1e-4)
    trained, running = slice(0, RESNET.trained_count), slice(RESNET.trained_count, None)
    moved = np.linalg.norm((parameters - start)[trained])
    assert np.linalg.norm((ours.parameters - parameters)[trained]) < 0.05 * moved
    np.testing.assert_allclose(ours.parameters[running], parameters[running], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.evaluate(images[:50]), logits, atol=1e-3 * np.abs(logits).max())


def test_networks_it_does_not_know_are_trained_by_torch():
    assert sparse.supports(TINY) and sparse.supports(RESNET)
    first, second, *rest = RESNET.layers

    def changed(*layers):
        return dataclasses.replace(RESNET, layers=layers)

    unknown = [
        dataclasses.replace(TINY, layers=(*TINY.layers[:-1], Layer("output", (257, 12)))),  # more than 256 classes
        changed(dataclasses.replace(first, pool=True), second, *rest),
        changed(first, dataclasses.replace(second, norm=False, linear=True), *rest),
        changed(*RESNET.layers[:-1], dataclasses.replace(RESNET.layers[-1], average=False, source="conv1")),
        changed(first, dataclasses.replace(second, add="conv1"), *rest),  # and so does the layer after it
    ]
    assert not any(sparse.supports(architecture) for architecture in unknown)
    with pytest.raises(ValueError, match="resnet18-small"):
        sparse.Replica(unknown[1], initial_parameters(RESNET, 0), np.ones(RESNET.weight_count, bool), *[0.1] * 4)
    assert training.engine(tiny_experiment(), "cpu") == "sparse.c"
    assert training.engine(tiny_experiment(), "cuda") == "torch"


def test_without_a_compiler_training_goes_on(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    sparse.compiled_library.cache_clear()
    try:
        assert sparse.compiled_library() is None and training.engine(tiny_experiment(), "cpu") == "torch"
        masks = random_masks(TINY, 1)
        slow = training.train_stack(tiny_experiment(), made_images(), 1, masks, np.array([0]))
    finally:
        monkeypatch.undo()
        sparse.compiled_library.cache_clear()
    fast = training.train_stack(tiny_experiment(), made_images(), 1, masks, np.array([0]))
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-3)
    np.testing.assert_allclose(fast.parameters, slow.parameters, atol=5e-3)


def test_a_network_without_room_in_memory_is_refused():
    """Its first layer alone takes 64 x 2,000 x 2,000 numbers for each image of a block: 16 GB and more."""
    layers = (Layer("conv", (64, 1, 3, 3), padding=1), Layer("far", (1, 64, 3, 3), stride=999), Layer("out", (2, 4)))
    large = Architecture("large", (1, 2000, 2000), layers)
    replica = sparse.Replica(large, initial_parameters(large, 0), np.ones(large.weight_count, bool), 1e-2, 0.9, 0, 1e-8)
    images, labels = np.zeros((1, *large.input_shape), np.uint8), np.zeros(1, np.uint8)
    with pytest.raises(MemoryError, match="not enough memory"):
        replica.train_epoch(images, labels, np.zeros((1, 1), np.int64))
    with pytest.raises(MemoryError, match="not enough memory"):
        replica.evaluate(images)
