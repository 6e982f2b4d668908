"""The trainer of the ResNet for the matrix unit against torch in double precision, rounded where it rounds."""

import dataclasses

import numpy as np
import pytest
import torch
from reference import ADAM, InDouble, by_epochs, residual, rounded

from lib import sparse, training
from lib.experiments import find
from lib.models import initial_parameters, resnet18

RESNET = resnet18()
ALONE = pytest.mark.skipif(
    not sparse.tiled_library(RESNET), reason="needs a processor with a matrix unit for bf16 (AMX)"
)
EPSILON, MOMENTUM = 1e-5, 0.1  # of batch normalisation


class Normalised(torch.autograd.Function):
    """A convolution of operands in bf16 with batch normalisation of its output in bf16."""

    @staticmethod
    def forward(ctx, x, w, scale, offset, stride, running):
        x, w = rounded(x), rounded(w)
        sums = torch.nn.functional.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)
        n, mean, variance = sums[:, 0].numel(), sums.mean((0, 2, 3)), sums.var((0, 2, 3), unbiased=False)
        for old, new in zip(running, (mean, variance * n / (n - 1)), strict=True):
            old += MOMENTUM * (new - old)
        ctx.sums, ctx.operands, ctx.stride = (
            (rounded(sums) - wide(mean)) / wide(variance + EPSILON).sqrt(),
            (x, w),
            stride,
        )
        ctx.by = scale / (variance + EPSILON).sqrt()
        return ctx.sums * wide(scale) + wide(offset)

    @staticmethod
    def backward(ctx, slope):
        by_scale, by_offset = (slope * ctx.sums).sum((0, 2, 3)), slope.sum((0, 2, 3))
        n = slope[:, 0].numel()
        slope = rounded(wide(ctx.by) * (slope - wide(by_offset) / n - ctx.sums * wide(by_scale) / n))
        (x, w), padding = ctx.operands, ctx.operands[1].shape[-1] // 2
        by_x = torch.nn.grad.conv2d_input(x.shape, w, slope, ctx.stride, padding)
        by_w = torch.nn.grad.conv2d_weight(x, w.shape, slope, ctx.stride, padding)
        # What comes back through a projection is kept in bf16 before what comes back beside it is added.
        return by_x if w.shape[-1] == 3 else rounded(by_x), by_w, by_scale, by_offset, None, None


class Cut(torch.autograd.Function):
    """The ReLU, whose output and gradient are kept in bf16."""

    @staticmethod
    def forward(ctx, x):
        ctx.above = x > 0
        return rounded(x * ctx.above)

    @staticmethod
    def backward(ctx, slope):
        return rounded(slope * ctx.above)


def wide(x):
    return x.view(-1, 1, 1)


class Reference(InDouble):
    """The ResNet; its running statistics lie beside the parameters that are trained."""

    def __init__(self, start, mask, channels=None):
        super().__init__(start[: RESNET.trained_count], mask, channels)
        self.running = torch.from_numpy(start[RESNET.trained_count :].astype(np.float64))

    def logits(self, images):
        x = self.pixels(images)
        weights, biases, outputs = RESNET.weight_slices(), RESNET.bias_slices(), {}
        scales, *statistics = RESNET.norm_slices()
        first = RESNET.trained_count
        for layer in RESNET.layers[:-1]:
            x = outputs.get(layer.source, x)
            places = [slice(s[layer.name].start - first, s[layer.name].stop - first) for s in statistics]
            x = Normalised.apply(
                x,
                self.flat[weights[layer.name]].view(layer.shape),
                self.flat[scales[layer.name]],
                self.flat[biases[layer.name]],
                layer.stride,
                [self.running[place] for place in places],
            )
            x = x + outputs[layer.add] if layer.add else x
            x = outputs[layer.name] = x if layer.linear else Cut.apply(x)
        last = RESNET.layers[-1]
        return x.mean((2, 3)) @ self.flat[weights[last.name]].view(last.shape).T + self.flat[biases[last.name]]


def made(count=140, seed=0, branches=1.0):
    """Images with some order in them, labels, initial parameters with scales and offsets of their own.

    `branches` is by how much what a block adds to its input is scaled.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    images = (
        rng.integers(0, 100, (count, 3, 32, 32)) + rng.integers(0, 150, (10, 3, 8, 8)).repeat(4, 2).repeat(4, 3)[labels]
    )
    start = initial_parameters(RESNET, seed).copy()
    for name, where in RESNET.norm_slices()[0].items():
        start[where] += rng.normal(0, 0.2, where.stop - where.start)
        offsets = RESNET.bias_slices()[name]
        start[offsets] = rng.normal(0, 0.2, offsets.stop - offsets.start)
    for layer in RESNET.layers:
        if layer.add:
            start[RESNET.norm_slices()[0][layer.name]] *= branches
            start[RESNET.bias_slices()[layer.name]] *= branches
    return images.astype(np.uint8), labels, start


def tiled(start, mask, **settings):
    return sparse.Replica(RESNET, start, mask, *ADAM, tiled=True, **settings)


def of_all_layers():
    kinds = {"weights": RESNET.weight_slices(), "biases": RESNET.bias_slices(), "scales": RESNET.norm_slices()[0]}
    return {f"{kind} of {name}": where for kind, slices in kinds.items() for name, where in slices.items()}


@ALONE
@pytest.mark.parametrize(("density", "batch"), [(1.0, 40), (0.5, 13), (0.1, 6)])
def test_gradients_are_those_of_a_network_that_rounds_there(density, batch):
    """Blocks add little, so that a number that is rounded to a neighbour changes little of what follows."""
    images, labels, start = made(branches=0.01)
    mask = np.random.default_rng(1).random(RESNET.weight_count) < density
    ours, theirs = tiled(start, mask), Reference(start, mask)
    loss = ours.train_epoch(images, labels, np.arange(batch)[None])
    expected, gradient = theirs.gradient(images[:batch], labels[:batch])
    assert loss == pytest.approx(expected, rel=1e-3)
    found, right = ours._first / (1 - ADAM[1]), gradient.numpy()  # after one step the mean is a tenth of the gradient
    for name, where in of_all_layers().items():
        size = np.linalg.norm(right[where])
        assert size > 0 and np.linalg.norm(found[where] - right[where]) < 3e-2 * size, name
    assert (found[: len(mask)][~mask] == 0).all() and (ours.parameters[: len(mask)][~mask] == 0).all()
    np.testing.assert_allclose(ours.parameters[RESNET.trained_count :], theirs.running.numpy(), atol=1e-3)


@ALONE
def test_it_is_as_near_to_the_exact_network_as_pytorch_in_bf16():
    """With whole blocks rounding leaves a third of the gradient of the first layers, whoever rounds."""
    images, labels, start = made()
    mask = np.random.default_rng(2).random(RESNET.weight_count) < 0.6
    ours = tiled(start, mask)
    ours.train_epoch(images, labels, np.arange(40)[None])
    gradients = {"exact": torch_gradient(start, mask, images[:40], labels[:40], torch.float64)}
    gradients["PyTorch"] = torch_gradient(start, mask, images[:40], labels[:40], torch.bfloat16)
    gradients["ours"] = ours._first[: RESNET.trained_count].astype(np.float64) / (1 - ADAM[1])
    off: dict[str, list[float]] = {"ours": [], "PyTorch": []}
    for where in of_all_layers().values():
        exact = gradients["exact"][where]
        for who, errors in off.items():
            errors.append(np.linalg.norm(gradients[who][where] - exact) / np.linalg.norm(exact))
    assert np.mean(off["PyTorch"]) > 0.05 and np.mean(off["ours"]) < 1.15 * np.mean(off["PyTorch"])


def torch_gradient(start, mask, images, labels, precision):
    """The gradient by torch.nn, in double precision or with bf16 as its autocast chooses."""
    network, trained, norms = residual(RESNET)
    network = network.double() if precision == torch.float64 else network
    load(start, mask, trained, norms)
    x = torch.from_numpy(images).to(trained[0].weight.dtype) / 255
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits = network(x)
    logits = logits.float() if precision == torch.bfloat16 else logits
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long()).backward()
    kinds = [m.weight for m in trained], [*[m.bias for m in norms], trained[-1].bias], [m.weight for m in norms]
    gradient = torch.cat([p.grad.flatten() for kind in kinds for p in kind]).double().numpy()
    gradient[: len(mask)] *= mask
    return gradient


def load(flat, mask, trained, norms):
    """Set the parameters of the network of torch.nn to ours."""
    flat = torch.from_numpy(np.r_[flat[: len(mask)] * mask, flat[len(mask) :]])
    scales, *running = RESNET.norm_slices()
    parts = [
        ([m.weight for m in trained], RESNET.weight_slices()),
        ([*[m.bias for m in norms], trained[-1].bias], RESNET.bias_slices()),
        ([m.weight for m in norms], scales),
        ([m.running_mean for m in norms], running[0]),
        ([m.running_var for m in norms], running[1]),
    ]
    with torch.no_grad():
        for tensors, slices in parts:
            for tensor, where in zip(tensors, slices.values(), strict=True):
                tensor.copy_(flat[where].view(tensor.shape))


@ALONE
def test_it_trains_as_such_a_network_does():
    images, labels, start = made(60, branches=0.01)
    mask = np.random.default_rng(3).random(RESNET.weight_count) < 0.5
    order = np.random.default_rng(4).integers(0, 60, (4, 20))
    channels = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
    ours, theirs = tiled(start, mask, channels=channels), Reference(start, mask, channels)
    assert ours.train_epoch(images, labels, order) == pytest.approx(theirs.train(images, labels, order), rel=5e-3)
    moved = theirs.flat.detach().numpy() - start[: RESNET.trained_count] * theirs.mask.numpy()
    difference = ours.parameters[: RESNET.trained_count] - theirs.flat.detach().numpy()
    assert np.linalg.norm(moved) > 0.1 and np.linalg.norm(difference) < 0.1 * np.linalg.norm(moved)
    np.testing.assert_allclose(ours.parameters[RESNET.trained_count :], theirs.running.numpy(), atol=2e-3)
    # Evaluation normalises by the running statistics, each image by itself.
    network, trained, norms = residual(RESNET)
    load(ours.parameters, mask, trained, norms)
    x = (images - channels[0][:, None, None]) / channels[1][:, None, None]
    logits = network.eval()(torch.from_numpy(x).float()).detach().numpy()
    np.testing.assert_allclose(ours.evaluate(images), logits, atol=2e-2 * np.abs(logits).max())
    np.testing.assert_array_equal(ours.evaluate(images)[7:9], ours.evaluate(images[7:9]))


@ALONE
def test_epochs_in_one_go_or_one_by_one_give_the_same_bits():
    images, labels, start = made()
    mask = np.random.default_rng(5).random(RESNET.weight_count) < 0.5
    order = np.random.default_rng(6).integers(0, 140, (4, 30))
    found = (by_epochs(lambda: tiled(start, mask), images, labels, order, parts) for parts in (1, 4))
    np.testing.assert_array_equal(*found)


@ALONE
def test_noise_is_relative_and_as_large_as_it_should_be():
    images, labels, start = made()
    mask, order = np.ones(RESNET.weight_count, bool), np.arange(20)[None]
    found = []
    for noise, seed in ((0.0, 1), (0.01, 1), (0.01, 1), (0.01, 2)):
        replica = tiled(start, mask, noise=noise, seed=seed)
        replica.train_epoch(images, labels, order)
        found.append(replica._first[: RESNET.trained_count].astype(np.float64))
    np.testing.assert_array_equal(found[1], found[2])
    for noisy in found[1:]:
        shaken = noisy[found[0] != 0] / found[0][found[0] != 0] - 1
        assert np.abs(shaken).max() <= 0.0101 and abs(shaken.mean()) < 1e-4
        assert shaken.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.02)  # uniform
    assert (found[1] != found[3]).mean() > 0.9


@ALONE
def test_batches_that_are_too_large_are_refused():
    images, labels, start = made()
    with pytest.raises(ValueError, match="at most 128"):
        tiled(start, np.ones(RESNET.weight_count, bool)).train_epoch(images, labels, np.arange(129)[None])


def test_bf16_on_a_cpu_is_trained_by_the_matrix_unit_where_there_is_one(monkeypatch):
    free, partial = find("a/cifar-resnet18/free"), find("a/cifar-resnet18/partial")
    for there, expected in (("residual", "residual.c"), ("", "torch")):
        monkeypatch.setattr(sparse, "tiled_library", lambda architecture, there=there: there)
        assert training.engine(free, "cpu", "bf16") == training.engine(partial, "cpu", "bf16") == expected
        for change in ({"batch": 129}, {"optimiser": "SGD"}):
            assert training.engine(dataclasses.replace(free, **change), "cpu", "bf16") == "torch"
        assert training.engine(free, "cpu", "fp32") == ("sparse.c" if sparse.compiled_library() else "torch")
