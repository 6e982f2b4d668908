import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from made import TINY, made_images, tiny_experiment
from reference import SAME, chain, random_masks, reference, residual

from lib import sparse, tickets, training
from lib.datasets import Images
from lib.errors import UserError
from lib.files import sealed
from lib.models import initial_parameters, lenet, resnet18
from lib.pruning import Level, kept_counts, percent_levels, prune, with_random
from lib.tickets import Store

torch.set_num_threads(1)


ADAM = ("Adam", lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
SGD = ("SGD", lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9))
# On a quarter of its images: the same layers and weights, and tests that take a quarter of the time.
SMALL = dataclasses.replace(resnet18(), input_shape=(3, 16, 16))
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.parametrize(
    "architecture, make, steps, optimiser",
    [
        (TINY, chain, 12, ADAM),
        (TINY, chain, 12, SGD),
        (lenet((1, 16, 16), "small lenet"), chain, 12, ADAM),
        (lenet((1, 28, 28), "with a stride", (4, 3, 8, 6), 2), chain, 12, ADAM),
        (SAME, chain, 12, ADAM),
        (SMALL, residual, 4, SGD),
        (SMALL, residual, 3, ADAM),
    ],
    ids=lambda a: getattr(a, "name", None) or (a[0] if isinstance(a, tuple) else None),
)
def test_a_stack_trains_as_single_torch_networks_do(architecture, make, steps, optimiser, double):
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (300, *architecture.input_shape)).astype(np.uint8))
    labels = torch.from_numpy(rng.integers(0, 10, 300))
    replicas = 3 if make is chain else 2
    start = np.stack([initial_parameters(architecture, init) for init in range(replicas)]).astype(np.float64)
    masks = random_masks(architecture, replicas)
    order = torch.from_numpy(np.stack([rng.permutation(300)[: steps * 20].reshape(steps, 20) for _ in range(replicas)]))
    stack = training.Stack(architecture, start, masks, 1e-3, optimiser=optimiser[0])
    losses = []
    for step in range(steps):
        before = stack.loss_sum.clone()
        stack.step(images[order[:, step]], labels[order[:, step]])
        losses.append((stack.loss_sum - before).numpy())
    found = stack.parameters()
    level = Level("half of the survivors", Fraction(1, 4))
    pruned = prune(architecture, found, masks, level)
    logits, _ = stack.evaluate(images[:50], labels[:50])
    for r in range(replicas):
        expected, parameters, evaluated = reference(
            architecture, make, start[r], masks[r], images, labels, order[r], optimiser[1]
        )
        np.testing.assert_allclose(np.array(losses)[:, r], expected, rtol=1e-7)
        np.testing.assert_allclose(found[r], parameters, atol=1e-7)  # the running statistics too
        np.testing.assert_allclose(logits[r], evaluated, atol=1e-5)
        trained = slice(0, architecture.trained_count)
        assert np.abs(parameters[trained] - start[r][trained]).max() > 1e-3
        weights = found[r, : architecture.weight_count]
        assert (weights[~masks[r]] == 0).all()
        np.testing.assert_array_equal(pruned[r], prune(architecture, parameters[None], masks[r : r + 1], level)[0])


def steps_of(architecture, count, dtype=np.float32, **options):
    """Losses of every step and final parameters of two replicas on made images."""
    rng = np.random.default_rng(4)
    start = np.stack([initial_parameters(architecture, init) for init in range(2)]).astype(dtype)
    stack = training.Stack(architecture, start, random_masks(architecture, 2), 1e-3, **options)
    losses = []
    for _ in range(count):
        images = torch.from_numpy(rng.integers(0, 256, (2, 20, *architecture.input_shape)).astype(np.uint8))
        before = stack.loss_sum.clone()
        stack.step(images, torch.from_numpy(rng.integers(0, 10, (2, 20))))
        losses.append((stack.loss_sum - before).numpy())
    return np.array(losses), stack.parameters()


@pytest.mark.parametrize("architecture", [SAME, SMALL], ids=lambda a: a.name)
@pytest.mark.parametrize("optimiser", ["Adam", "SGD"])
def test_other_ways_to_do_a_step_come_to_the_same(architecture, optimiser, double):
    losses, parameters = steps_of(architecture, 3, float, optimiser=optimiser)
    for options in ({"convolutions": "product"}, {"parts": 2}, {"convolutions": "product", "parts": 2}):
        other = steps_of(architecture, 3, float, optimiser=optimiser, **options)
        np.testing.assert_allclose(other[0], losses, rtol=1e-9, err_msg=str(options))
        np.testing.assert_allclose(other[1], parameters, atol=1e-7, err_msg=str(options))


def test_another_way_to_convolve_is_refused():
    with pytest.raises(UserError, match="convolutions is 'products': it should be one of grouped, product"):
        steps_of(SAME, 1, convolutions="products")


@pytest.mark.parametrize("parts", [0, 3])
def test_more_parts_than_replicas_are_refused_and_none(parts):
    with pytest.raises(UserError, match=f"parts is {parts}: it should be from 1 to the number of replicas, 2"):
        steps_of(SAME, 1, parts=parts)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("convolutions", ["grouped", "product"])
def test_compiled_steps_come_to_the_same(convolutions, double):
    losses, parameters = steps_of(SAME, 3, float)
    torch.compiler.reset()
    found = steps_of(SAME, 3, float, convolutions=convolutions, compiled=True)
    # What is compiled takes images and logits as fp32, whatever the fixture says.
    np.testing.assert_allclose(found[0], losses, rtol=1e-6)
    np.testing.assert_allclose(found[1], parameters, atol=1e-5)
    pruned = ~random_masks(SAME, 2)
    assert pruned.any() and (found[1][:, : SAME.weight_count][pruned] == 0).all()


@pytest.mark.parametrize("architecture", [SAME, SMALL], ids=lambda a: a.name)
def test_steps_in_bf16_come_to_nearly_the_same(architecture):
    losses, parameters = steps_of(architecture, 3)
    for convolutions in ("grouped", "product"):
        rounded, found = steps_of(architecture, 3, precision="bf16", convolutions=convolutions)
        np.testing.assert_allclose(rounded, losses, rtol=0.03)  # bf16 has 8 bits
        assert (rounded != losses).any() and found.dtype == np.float32
        # Adam moves a weight by about its learning rate a step, whichever way a small gradient is rounded.
        assert np.abs(found - parameters)[:, : architecture.trained_count].max() < 3 * 2.5e-3


@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(5, 1, 0), (3, 1, 1), (3, 2, 1), (1, 2, 0), (3, 2, 0), (1, 1, 0)]
)
@pytest.mark.parametrize("edge", [7, 8])
def test_a_convolution_as_a_product_is_that_of_torch(side, stride, padding, edge):
    torch.manual_seed(0)
    batch, replicas, channels, filters = 3, 2, 4, 5
    x = torch.randn(batch, replicas * channels, edge, edge + 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(replicas, filters, channels, side, side, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.conv2d(x, w.flatten(0, 1), None, stride, padding, groups=replicas)
    found = training._Products.apply(x, w, stride, padding)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slope = torch.randn_like(expected)
    for one, other in zip(*(torch.autograd.grad(y, (x, w), slope) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_precision_is_named_in_the_manifest_and_no_part_of_the_fingerprint(tmp_path, monkeypatch):
    experiment, store = tiny_experiment(levels=percent_levels("80")[:1], epochs=1), Store(tmp_path)
    seen = []

    def on_cpu(its, images, level, masks, workers, on_epochs, precision, *_):
        seen.append((training.engine(its, "cpu", precision), precision))
        return training.train_stack(its, images, level, masks, np.arange(its.replicas), "cpu", None, precision)

    monkeypatch.setattr(training, "_train_on_cpu", on_cpu)
    with pytest.raises(UserError, match="precision is 'tf32'"):
        training.train(experiment, made_images(), store, "cpu", quiet=True, precision="tf32")
    assert training.train(experiment, made_images(), store, "cpu", quiet=True, precision="bf16")
    assert seen == [("torch", "bf16")]
    assert store.manifest(experiment)["levels"]["dense"]["precision"] == "bf16"
    # With nothing left to train no precision is asked of the device: what another trained can be looked at here.
    assert training.train(experiment, made_images(), store, "cpu", quiet=True, precision="tf32")


def test_evaluation_of_a_normalised_network_does_not_hang_on_the_other_images_nor_change_it():
    stack = training.Stack(SMALL, initial_parameters(SMALL, 0)[None], random_masks(SMALL, 1), 1e-2)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 3, 32, 32)).astype(np.uint8))
    labels = torch.arange(30) % 10
    stack.step(images[None, :20], labels[None, :20])
    before = stack.parameters()
    whole, _ = stack.evaluate(images, labels)
    parts, _ = stack.evaluate(images, labels, chunk=7)
    np.testing.assert_allclose(whole, parts, atol=1e-5)
    np.testing.assert_array_equal(stack.parameters(), before)
    assert not np.array_equal(before, initial_parameters(SMALL, 0)[None])


def test_standardised_pixels_against_standardising_them_by_hand():
    """Training on pixels that are standardised inside equals a network whose input is standardised outside."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 200, (60, *SAME.input_shape)).astype(np.uint8)
    images[:, 1] //= 2
    means, deviations = images.mean(axis=(0, 2, 3)), images.std(axis=(0, 2, 3))
    start = np.stack([initial_parameters(SAME, init) for init in range(2)])
    stack = training.Stack(SAME, start, np.ones((2, SAME.weight_count), bool), 1e-3, channels=(means, deviations))
    found = stack.forward(torch.from_numpy(np.stack([images, images])))
    outside = (images - means[:, None, None]) / deviations[:, None, None]
    assert abs(outside.mean()) < 1e-9 and outside.std() == pytest.approx(1)
    for r in range(2):
        network, trained, _ = chain(SAME)
        for module, where in zip(trained, SAME.weight_slices().values(), strict=True):
            module.weight.data = torch.from_numpy(start[r][where]).view(module.weight.shape)
            module.bias.data.zero_()
        expected = network(torch.from_numpy(outside.astype(np.float32)))
        torch.testing.assert_close(found[r], expected, atol=1e-4, rtol=1e-4)


def test_scaling_and_optimiser_of_an_experiment_reach_the_training():
    images, masks = made_images(), np.ones((1, TINY.weight_count), bool)
    trained = [
        training.train_stack(tiny_experiment(epochs=1, **change), images, 0, masks, np.array([0])).parameters
        for change in ({}, {"scaling": "standardised"}, {"optimiser": "SGD"})
    ]
    assert not np.array_equal(trained[0], trained[1]) and not np.array_equal(trained[0], trained[2])


@pytest.mark.parametrize("architecture", [TINY, SMALL], ids=lambda a: a.name)
def test_layers_that_keep_no_weight_train_on(architecture):
    level = Level("99.9", 1 - Fraction("99.9") / 100)
    assert 0 in kept_counts(architecture, level).values()
    start = np.stack([initial_parameters(architecture, init) for init in range(2)])
    masks = prune(architecture, start, np.ones((2, architecture.weight_count), bool), level)
    stack = training.Stack(architecture, start, masks, 1e-3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        images = torch.from_numpy(rng.integers(0, 256, (2, 20, *architecture.input_shape)).astype(np.uint8))
        stack.step(images, torch.from_numpy(rng.integers(0, 10, (2, 20))))
    assert np.isfinite(stack.parameters()).all()
    assert (stack.parameters()[:, : architecture.weight_count][~masks] == 0).all()
    none = Level("all", Fraction(0))
    assert not prune(architecture, stack.parameters(), masks, none).any()


def test_a_replica_does_not_feel_the_others():
    experiment = tiny_experiment()
    images = made_images()
    masks = random_masks(TINY, 4)
    together = training.train_stack(experiment, images, 1, masks, np.arange(4))
    for r in range(4):
        alone = training.train_stack(experiment, images, 1, masks[r : r + 1], np.array([r]))
        np.testing.assert_allclose(alone.losses[0], together.losses[r], rtol=1e-3)
        np.testing.assert_allclose(alone.logits[0], together.logits[r], atol=0.05)
        np.testing.assert_allclose(alone.parameters[0], together.parameters[r], atol=5e-3)
    assert len({tuple(p) for p in together.parameters[:, :50].tolist()}) == 4


@pytest.mark.parametrize("shape", [(2, 3, 8, 6), (1, 2, 7, 9), (3, 1, 5, 4)])
def test_our_max_pooling_against_torch(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    weight = torch.randn(shape[0], shape[1], shape[2] // 2, shape[3] // 2)
    ours = training._MaxPool.apply(x)
    theirs = torch.nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weight).sum(), x)[0], torch.autograd.grad((theirs * weight).sum(), x)[0]
    )


def test_of_equal_values_one_gets_the_whole_gradient():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    gradient = torch.autograd.grad(training._MaxPool.apply(x).sum(), x)[0]
    assert sorted(gradient.flatten().tolist()) == [0.0] * 12 + [1.0] * 4


def run(tmp_path, name, experiment=None, **options):
    store = Store(tmp_path / name)
    experiment = experiment or tiny_experiment()
    training.train(experiment, made_images(), store, "cpu", quiet=True, **options)
    return {path.name: path.read_bytes() for path in store.folder(experiment).glob("*.npz")}


def clock_of(levels):
    """A clock that says "no" after so many levels."""
    begun = []

    class Clock(training._Clock):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            begun.append(self)

        def check(self, more=0, expected=0.0, left=None):
            if len(begun) > levels:
                raise training.OutOfTimeError

    return Clock


def test_training_learns_and_the_bits_depend_neither_on_the_workers_nor_on_a_stop(tmp_path, monkeypatch):
    experiment = tiny_experiment(epochs=6, learning_rate=0.01)
    whole = run(tmp_path, "whole", experiment, workers=2)
    assert set(whole) == {"dense.npz", "50.npz", "80.npz"}
    # Stop after the dense level: what is stored is all that the rest is made from.
    with monkeypatch.context() as patch:
        patch.setattr(training, "_Clock", clock_of(1))
        assert set(run(tmp_path, "one", experiment, workers=1)) == {"dense.npz", "50_masks.npz"}
    assert run(tmp_path, "one", experiment, workers=1) == whole
    store = Store(tmp_path / "whole")
    assert store.verify(experiment) == (["dense", "50", "80"], [])
    entry = store.manifest(experiment)["levels"]["dense"]
    assert entry["engine"] == training.engine(experiment, "cpu")
    assert (entry["engine"] == "sparse.c") == ("compiler" in entry["versions"])
    dense = store.read(experiment, experiment.levels[0])
    assert (dense.losses[:, -1] < 0.7 * dense.losses[:, 0]).all()
    assert dense.correct.min() > 1000  # of 2,000 made images; chance is 200


def test_random_tickets_are_trained_from_the_same_start_and_after_a_stop_alike(tmp_path):
    experiment = tiny_experiment(levels=with_random(percent_levels("80")))
    whole = run(tmp_path, "whole", experiment, workers=1)
    store = Store(tmp_path / "whole")
    assert store.verify(experiment) == (["dense", "80", "random"], [])
    path = tmp_path / "whole" / experiment.name / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["levels"]["random"]
    path.write_bytes(sealed(manifest))
    assert run(tmp_path, "whole", experiment, workers=1) == whole
    drawn = store.read(experiment, experiment.level("random"))
    alone = training.train_stack(experiment, made_images(), 2, drawn.masks[3:], np.array([3]))
    np.testing.assert_allclose(drawn.weights[3], alone.parameters[0, : TINY.weight_count], rtol=2**-10, atol=1e-6)


def test_the_rungs_of_the_randomness_ladder(tmp_path):
    """Free runs differ; with all randomness fixed they are equal bit for bit; noise alone parts them again."""
    images, ones = made_images(), np.ones((2, TINY.weight_count), bool)

    def first_and_second_run(**settings):
        experiment = tiny_experiment(**settings)
        trained = [training.train_stack(experiment, images, 0, ones[r : r + 1], np.array([r])) for r in (0, 1)]
        return trained[0].parameters, trained[1].parameters

    free = first_and_second_run()
    assert not np.array_equal(*free)
    fixed = first_and_second_run(shared_order=1.0)
    np.testing.assert_array_equal(*fixed)
    partial = first_and_second_run(shared_order=1.0, noise=2.0**-23)
    assert not np.array_equal(*partial)
    assert np.abs(partial[0] - partial[1]).mean() < 0.1 * np.abs(free[0] - free[1]).mean()


def test_images_that_do_not_fit_and_unknown_devices_are_named(tmp_path):
    wrong = dataclasses.replace(tiny_experiment(), architecture=lenet((1, 28, 28), "lenet"))
    with pytest.raises(UserError, match=r"\(1, 12, 12\).*\(1, 28, 28\)"):
        training.train(wrong, made_images(), Store(tmp_path), "cpu", quiet=True)
    with pytest.raises(UserError, match="'tpu'"):
        training.train(tiny_experiment(), made_images(), Store(tmp_path), "tpu", quiet=True)


@pytest.mark.parametrize("optimiser", ["Adam", "SGD"])
def test_what_capturing_a_step_does_is_undone(optimiser, monkeypatch):
    """On a CPU, with streams and graphs that do nothing: the steps before the capture leave no trace."""

    class Inert:
        def wait_stream(self, other):
            pass

        def register_generator_state(self, generator):
            pass

    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, Inert)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda _: contextlib.nullcontext())
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (60, *SMALL.input_shape)).astype(np.uint8))
    y = torch.from_numpy(rng.integers(0, 10, 60))
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(60), (2, 1)), axis=1).reshape(2, 3, 20))
    start = np.stack([initial_parameters(SMALL, init) for init in range(2)])
    stacks = [
        training.Stack(SMALL, start, random_masks(SMALL, 2), 1e-3, noise=1e-3, seed=5, optimiser=optimiser)
        for _ in range(2)
    ]
    stacks[1]._capture(x, y, order[:, 0])
    np.testing.assert_array_equal(stacks[1].parameters(), stacks[0].parameters())
    losses = [stack.train_epoch(x, y, order).numpy() for stack in stacks]
    np.testing.assert_array_equal(*losses)
    np.testing.assert_array_equal(stacks[1].parameters(), stacks[0].parameters())


@GPU
def test_the_captured_graph_trains_as_the_plain_loop_does():
    experiment = tiny_experiment()
    masks = random_masks(TINY, 4)
    on_gpu = training.train_stack(experiment, made_images(), 1, masks, np.arange(4), "cuda")
    on_cpu = training.train_stack(experiment, made_images(), 1, masks, np.arange(4), "cpu")
    np.testing.assert_allclose(on_gpu.losses, on_cpu.losses, rtol=1e-2)
    np.testing.assert_allclose(on_gpu.parameters, on_cpu.parameters, atol=2e-2)


@GPU
@pytest.mark.parametrize("optimiser", ["Adam", "SGD"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("how", [{}, {"convolutions": "product"}, {"parts": 2}], ids=["grouped", "product", "parts"])
@pytest.mark.parametrize("architecture", [TINY, SMALL], ids=lambda a: a.name)
def test_replays_of_the_graph_are_steps(architecture, how, precision, optimiser):
    """Noise, running statistics, moments and standardised pixels included."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (60, *architecture.input_shape)).astype(np.uint8)).cuda()
    y = torch.from_numpy(rng.integers(0, 10, 60)).cuda()
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(60), (2, 1)), axis=1).reshape(2, 3, 20)).cuda()
    start = np.stack([initial_parameters(architecture, init) for init in range(2)])
    channels = tuple(np.full(architecture.input_shape[0], value) for value in (120.0, 60.0))
    options = {"noise": 1e-3, "seed": 5, "device": "cuda", "channels": channels}
    graph, loop = (
        training.Stack(
            architecture,
            start,
            random_masks(architecture, 2),
            1e-3,
            optimiser=optimiser,
            precision=precision,
            **how,
            **options,
        )
        for _ in range(2)
    )
    for _ in range(2):
        losses = graph.train_epoch(x, y, order).cpu().numpy()
        loop.loss_sum.zero_()
        for s in range(order.shape[1]):
            loop.step(x[order[:, s]], y[order[:, s]])
        np.testing.assert_allclose(losses, (loop.loss_sum / order.shape[1]).cpu().numpy(), rtol=1e-5)
    np.testing.assert_allclose(graph.parameters(), loop.parameters(), rtol=1e-4, atol=1e-6)


def on_devices(*architectures):
    """What is asked of a CUDA GPU is asked of a stack on a CPU too, which has no TF32."""
    return [
        pytest.param(
            architecture,
            *where,
            marks=[GPU] if where[0] == "cuda" else [],
            id=f"{architecture.name}-{where[1]}-{where[0]}",
        )
        for architecture in architectures
        for where in (("cpu", "fp32"), ("cpu", "bf16"), ("cuda", "tf32"), ("cuda", "bf16"))
    ]


# Where numbers that are rounded differently are compared, images have their own size: the fewer pixels, the more a unit
# that is just above zero counts.
WHOLE = on_devices(TINY, resnet18())
FEW = 40


def small(architecture, **changes):
    """An experiment of two steps an epoch, and its images."""
    settings = {"levels": percent_levels("50"), "inits": 3, "runs": 1} | changes
    experiment = dataclasses.replace(tiny_experiment(**settings), architecture=architecture)
    rng, about = np.random.default_rng(0), made_images()
    parts = [
        part
        for count in (2 * experiment.batch, FEW)
        for part in (rng.integers(0, 256, (count, *architecture.input_shape)), rng.integers(0, 10, count))
    ]
    return experiment, Images(about.name, *(part.astype(np.uint8) for part in parts), about.source, about.sha256)


@pytest.mark.parametrize(("architecture", "device", "precision"), on_devices(TINY, SMALL))
def test_a_stack_that_was_stopped_between_levels_ends_with_the_same_bits(
    architecture, device, precision, tmp_path, monkeypatch
):
    def as_a_stack(its, images, level, masks, workers, on_epochs, precision, *_):
        return training.train_stack(its, images, level, masks, np.arange(its.replicas), "cpu", on_epochs, precision)

    monkeypatch.setattr(training, "_train_on_cpu", as_a_stack)
    for module in (training, tickets):
        monkeypatch.setattr(module, "TEST_LOGITS", FEW)
    experiment, images = small(architecture, inits=2)
    whole, stopped = Store(tmp_path / "whole"), Store(tmp_path / "stopped")
    assert training.train(experiment, images, whole, device, quiet=True, precision=precision)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_Clock", clock_of(1))
        assert not training.train(experiment, images, stopped, device, quiet=True, precision=precision)
    assert set(files(stopped, experiment)) == {"dense.npz", "50_masks.npz"}
    assert training.train(experiment, images, stopped, device, quiet=True)
    assert files(stopped, experiment) == files(whole, experiment)
    assert {entry["precision"] for entry in stopped.manifest(experiment)["levels"].values()} == {precision}
    assert whole.verify(experiment) == (["dense", "50"], [])


@pytest.mark.parametrize(("architecture", "device", "precision"), WHOLE)
def test_runs_of_a_stack_with_all_randomness_fixed_are_the_same(architecture, device, precision):
    """Bit by bit on a GPU, which trains them as a stack.

    A CPU trains each alone; in a stack its optimiser rounds the last few numbers of an array otherwise than the rest.
    """
    masks = np.repeat(random_masks(architecture, 1), 2, axis=0)

    def of_two_runs(**settings):
        experiment, images = small(architecture, inits=1, runs=2, **settings)
        return training.train_stack(experiment, images, 1, masks, np.arange(2), device, None, precision)

    fixed, free = of_two_runs(shared_order=1.0), of_two_runs()
    for field in dataclasses.fields(fixed):
        one, other = getattr(fixed, field.name)
        if device == "cuda":
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=field.name)
    assert np.abs(free.parameters[0] - free.parameters[1]).max() > 1e-3


@pytest.mark.parametrize(("architecture", "device", "precision"), WHOLE)
def test_a_stack_is_each_replica_trained_alone(architecture, device, precision):
    """Up to rounding: how far each goes, and the running statistics of batch normalisation.

    In two steps, after which rounding has grown to a hundredth: which unit is above zero hangs on it.
    """
    experiment, images = small(architecture, epochs=1, optimiser="SGD", learning_rate=1e-3)
    masks, count = random_masks(architecture, 3), architecture.trained_count
    together = training.train_stack(experiment, images, 1, masks, np.arange(3), device, None, precision)
    tolerance = {"fp32": 0.03, "tf32": 0.1, "bf16": 0.25}[precision]
    moves = []
    for r in range(3):
        alone = training.train_stack(experiment, images, 1, masks[r : r + 1], np.array([r]), device, None, precision)
        start = initial_parameters(architecture, r).copy()
        start[: architecture.weight_count] *= masks[r]
        one, other = alone.parameters[0] - start, together.parameters[r] - start
        moves.append(one[:count])
        # What is trained, and the statistics.
        for part, most in ((slice(count), tolerance), (slice(count, None), tolerance / 25)):
            assert np.linalg.norm((other - one)[part]) <= most * np.linalg.norm(one[part])
        np.testing.assert_allclose(together.losses[r], alone.losses[0], rtol=tolerance / 25)
    assert np.linalg.norm(moves[0] - moves[1]) > 0.5 * np.linalg.norm(moves[0])  # so another's would be noticed


def files(store, experiment):
    return {path.name: path.read_bytes() for path in store.folder(experiment).glob("*.npz")}


def test_a_budget_ends_between_levels_and_another_folder_takes_up_what_is_missing(tmp_path, monkeypatch):
    experiment, images = tiny_experiment(), made_images()
    whole, store, out = (Store(tmp_path / name) for name in ("whole", "store", "out"))
    assert training.train(experiment, images, whole, "cpu", 1, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_Clock", clock_of(1))
        assert not training.train(experiment, images, store, "cpu", 1, quiet=True, deadline=0.0)
    assert [level.name for level in training.missing_levels(experiment, store)] == ["50", "80"]
    assert training.train(experiment, images, store, "cpu", 1, quiet=True, out=out)
    assert set(files(store, experiment)) == {"dense.npz", "50_masks.npz"} and set(files(out, experiment)) == {
        "50.npz",
        "80.npz",
    }
    assert training.missing_levels(experiment, store, out) == []
    assert training.train(experiment, images, store, "cpu", 1, quiet=True, out=out)  # nothing is left to do
    assert store.adopt(out, experiment) == ["50", "80"]
    assert files(store, experiment) == files(whole, experiment)
    assert store.verify(experiment) == (["dense", "50", "80"], [])


def test_what_another_process_has_trained_in_the_meantime_is_not_trained_again(tmp_path, monkeypatch):
    """It did so before this one could write: what was missing then no longer is."""
    experiment, images = tiny_experiment(), made_images()
    other, store = Store(tmp_path), Store(tmp_path)

    def late(its):
        assert training.train(its, images, other, "cpu", 1, True, precision="fp32")
        return Store.alone(store, its)

    monkeypatch.setattr(store, "alone", late)
    assert training.train(experiment, images, store, "cpu", 1, True, precision="bf16")
    assert {entry["precision"] for entry in store.manifest(experiment)["levels"].values()} == {"fp32"}
    assert store.verify(experiment) == (["dense", "50", "80"], [])


def test_training_goes_on_in_the_precision_in_which_it_began(tmp_path, monkeypatch):
    experiment, images = tiny_experiment(), made_images()
    store, out = Store(tmp_path / "store"), Store(tmp_path / "out")

    def until_the_next_level(where: Store, **precision: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(training, "_Clock", clock_of(1))
            assert not training.train(experiment, images, store, "cpu", 1, True, where, deadline=0.0, **precision)

    assert store.precision(experiment) is None
    until_the_next_level(store, precision="bf16")
    assert store.precision(experiment) == "bf16"
    until_the_next_level(out)
    assert training.train(experiment, images, store, "cpu", 1, True, out, precision="fp32")
    levels = store.manifest(experiment)["levels"] | out.manifest(experiment)["levels"]
    assert {name: entry["precision"] for name, entry in levels.items()} == {"dense": "bf16", "50": "bf16", "80": "fp32"}
    assert store.precision(experiment) == "bf16" and out.precision(experiment) == "fp32"


def test_the_usual_precision_of_what_nobody_began():
    assert [training.usual_precision(tiny_experiment(), device) for device in ("cpu", "cuda")] == ["fp32", "tf32"]


def test_a_level_that_will_not_end_in_time_is_given_up(tmp_path):
    """With workers at work: they stop, and nothing is written."""
    experiment = tiny_experiment(epochs=200_000)
    store = Store(tmp_path)
    begin = time.monotonic()
    deadline = begin + training.RESERVE + 6
    assert not training.train(experiment, made_images(), store, "cpu", quiet=True, deadline=deadline)
    assert not list(tmp_path.rglob("*.npz"))
    assert not training.train(experiment, made_images(), store, "cpu", quiet=True, deadline=begin - 1)


LONG = tiny_experiment(levels=percent_levels("80")[:1], epochs=400)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """`LONG`, trained without a stop."""
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    assert training.train(LONG, made_images(), store, "cpu", 1, quiet=True)
    return store


@pytest.mark.parametrize("what", ["as it is", "planted", "damaged"])
def test_replicas_of_a_level_that_was_stopped_are_kept_and_not_trained_again(what, undisturbed, tmp_path, monkeypatch):
    """A planted one is taken for what was trained, which shows that it is not; a damaged one is trained again."""
    experiment, images, store = LONG, made_images(), Store(tmp_path / "stopped")
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))

    class UntilOneIsKept(training._Clock):
        def check(self, more=0, expected=0.0, left=None):
            if list(tmp_path.glob("cache/replicas/*/[0-9]")):
                raise training.OutOfTimeError

    with monkeypatch.context() as patch:
        patch.setattr(training, "_Clock", UntilOneIsKept)
        assert not training.train(experiment, images, store, "cpu", 1, quiet=True)
    assert not files(store, experiment)
    (folder,) = tmp_path.glob("cache/replicas/*")
    kept = training._kept(folder, experiment)
    assert 0 < len(kept) < experiment.replicas
    replica, (trained, _) = kept.popitem()
    if what == "planted":
        planted = dataclasses.replace(trained, losses=np.full_like(trained.losses, 7))
        training._keep(folder, replica, planted, 36_000.0)
    elif what == "damaged":
        content = bytearray((folder / str(replica)).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / str(replica)).write_bytes(content)
        assert replica not in training._kept(folder, experiment)
    assert training.train(experiment, images, store, "cpu", 1, quiet=True)
    assert not folder.exists()
    (entry,) = store.manifest(experiment)["levels"].values()
    assert (entry["wall seconds"] > 36_000) == (what == "planted")
    (one, other) = (held.read(experiment, experiment.levels[0]) for held in (undisturbed, store))
    expected = one.losses.copy()
    expected[replica] = 7 if what == "planted" else expected[replica]
    np.testing.assert_array_equal(other.losses, expected)
    assert what == "planted" or files(store, experiment) == files(undisturbed, experiment)


def test_what_is_kept_is_of_the_same_level_masks_images_and_precision():
    experiment, images = tiny_experiment(), made_images()
    masks = np.ones((experiment.replicas, TINY.weight_count), bool)
    same = experiment, images, experiment.levels[0], masks, "fp32", "torch"
    assert training._replicas_folder(*same) == training._replicas_folder(*same[:3], masks.copy(), *same[4:])
    fewer = masks.copy()
    fewer[-1, -1] = False
    others = [
        (dataclasses.replace(experiment, learning_rate=0.5), *same[1:]),
        (experiment, dataclasses.replace(images, sha256="f" * 64), *same[2:]),
        (*same[:2], experiment.levels[1], *same[3:]),
        (*same[:3], fewer, *same[4:]),
        (*same[:4], "bf16", "torch"),
        (*same[:5], "sparse.c"),
    ]
    assert len({training._replicas_folder(*each) for each in (same, *others)}) == 1 + len(others)


def test_workers_end_in_the_middle_of_an_epoch(tmp_path):
    """Of an epoch that would last an hour: they end when the time is up, and so does the command."""
    script = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests")
from made import made_images, tiny_experiment
from processes import Endless
from lib import training
from lib.tickets import Store
if __name__ == "__main__":
    endless = Endless(**vars(tiny_experiment()))
    deadline = time.monotonic() + training.RESERVE + 6
    print(training.train(endless, made_images(), Store(Path(sys.argv[1])), "cpu", quiet=True, deadline=deadline))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(
        command, cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True, timeout=120
    )
    assert said.stdout.split() == ["False"] and not list(tmp_path.rglob("*.npz"))


def test_levels_of_other_images_are_not_gone_on_with(tmp_path):
    experiment, store = tiny_experiment(), Store(tmp_path)
    assert training.train(experiment, made_images(), store, "cpu", quiet=True)
    (store.folder(experiment) / "80.npz").unlink()
    other = dataclasses.replace(made_images(1), sha256="f" * 64, source="elsewhere")
    for held, out in ((store, store), (store, Store(tmp_path / "out"))):
        with pytest.raises(UserError, match=r"the images are from 'elsewhere'.*other images, or in another order"):
            training.train(experiment, other, held, "cpu", quiet=True, out=out)
    assert not list((tmp_path / "out").rglob("*.npz"))


@pytest.mark.parametrize("pace, ends", [(1.0, True), (1.2, False)])
def test_the_clock_extrapolates_the_pace(pace, ends, monkeypatch):
    """100 epochs at `pace` seconds each, 110 seconds of time and the reserve."""
    now = [1000.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    clock = training._Clock(1000.0 + 110 + training.RESERVE, 100)
    counted = 0
    try:
        for counted in range(1, 101):
            now[0] += 30 * pace if counted == 1 else (pace * 70 / 99)  # the first also starts everything
            clock.check(1)
    except training.OutOfTimeError:
        assert not ends and 10 <= counted < 90
    else:
        assert ends and counted == 100


def test_the_clock_waits_for_the_next_replica_where_each_is_kept(monkeypatch):
    """Three of 40 s one after the other, with 85 s: it stops when the second is whole, not at once nor at the end."""
    now = [1000.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    clock = training._Clock(1000.0 + 85 + training.RESERVE, 120)
    with pytest.raises(training.OutOfTimeError):
        for done in range(1, 121):
            now[0] += 1
            clock.check(1, left=40 - done % 40)
    assert now[0] == 1080


def test_the_clock_leaves_time_for_the_last_evaluations(monkeypatch):
    """100 epochs of 1 s, then 30 s: with 140 s in all they end in time, with 125 s that is known long before."""
    for time_for_all, in_time in ((140, True), (125, False)):
        now = [1000.0]
        monkeypatch.setattr(training.time, "monotonic", lambda now=now: now[0])
        clock = training._Clock(1000.0 + time_for_all, 100, training.RESERVE, after=30)
        given_up = None
        for second in range(1, 131):
            now[0] += 1
            try:
                clock.check(1 if second <= 100 else 0)
            except training.OutOfTimeError:
                given_up = second
                break
        assert (given_up is None) == in_time and (in_time or given_up < 20)


def test_the_last_evaluations_count_as_a_share_of_an_epoch(tmp_path, monkeypatch):
    """Of 3 workers at once, 2,000 test images by 210 to train on, three times as fast."""
    seen = []
    clock = clock_of(0)
    monkeypatch.setattr(training, "_Clock", lambda *arguments: seen.append(arguments) or clock(*arguments))
    images = made_images()
    assert not training.train(tiny_experiment(), images, Store(tmp_path), "cpu", 3, quiet=True)
    assert [arguments[3] for arguments in seen] == [pytest.approx(3 * 2000 / (3 * 210))]


KILLED = """
import sys, tempfile
sys.path[:0] = {paths!r}
from pathlib import Path
from made import made_images, tiny_experiment
from lib import sparse, training
from lib.tickets import Store
if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:  # after it, workers start at once
        training.train(tiny_experiment(epochs=1), made_images(), Store(Path(folder)), "cpu", quiet=True)
    print("begins", flush=True)
    training.train(tiny_experiment(epochs=200), made_images(), Store(Path(sys.argv[1])), "cpu", quiet=True)
"""


def test_training_that_is_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    experiment = tiny_experiment(epochs=200)
    undisturbed, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "killed")
    script = tmp_path / "train.py"
    tests = Path(__file__).resolve().parent
    script.write_text(KILLED.format(paths=[str(tests), str(tests.parent)]))

    def begin(root: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, script, root], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None and process.stdout.readline() == "begins\n"
        return process

    process, began = begin(undisturbed.root), time.monotonic()
    assert process.wait() == 0
    took = time.monotonic() - began
    training.train(experiment, made_images(), Store(tmp_path / "here"), "cpu", quiet=True)
    assert files(Store(tmp_path / "here"), experiment) == files(undisturbed, experiment)
    rng, kills = np.random.default_rng(0), 0
    while kills < 3:
        process = begin(store.root)
        try:
            process.wait(rng.uniform(0.1, 0.9) * took)
            shutil.rmtree(store.root)  # it was faster this time: once more from the beginning
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        _, problems = store.verify(experiment)
        assert all(problem.what == "missing" for problem in problems)
    subprocess.run([sys.executable, script, store.root], check=True)
    assert files(store, experiment) == files(undisturbed, experiment)
    left = {path.name for path in store.folder(experiment).iterdir() if not path.name.startswith(".")}
    assert left == {"dense.npz", "50.npz", "80.npz", "manifest.json"}


@pytest.mark.parametrize("together", [1, 3])
def test_the_time_of_a_step_is_that_of_steps_alone(together, monkeypatch):
    """By a clock that only training moves: 3 s to begin at all, 20 ms for each call, 1 ms for each step."""
    now, calls = [0.0], []

    class Network:
        device = torch.device("cpu")

        def __init__(self, *_: object) -> None:
            now[0] += 5

        def train_epoch(self, images: object, labels: object, order: object) -> torch.Tensor:
            steps, batch = order.shape[-2:]
            now[0] += 0.02 + 0.001 * steps + (0 if calls else 3)
            calls.append((batch, order.shape[:-2]))
            return torch.zeros(together)

    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(training.time, name, lambda: now[0])
    for name in ("_stack", "_alone"):
        monkeypatch.setattr(training, name, Network)
    experiment = tiny_experiment()
    for device in ("cpu", "cuda"):
        calls.clear()
        assert training._step_seconds(experiment, device, together, 1, "fp32") == pytest.approx(0.001)
        assert calls[-1][0] == experiment.batch and len(calls) < 15
    assert calls[-1][1] == (together,)  # a GPU trains all of them


def test_no_core_waits_for_the_last_replicas(monkeypatch):
    """A simulation: replicas of the same length begin as others end, and those that run share the cores."""

    def until_all_are_done(replicas: int, at_once: int, cores: int) -> float:
        waiting, running, time = replicas, [], 0.0
        while waiting or running:
            begun = min(waiting, at_once - len(running))
            waiting, running = waiting - begun, running + [1.0] * begun
            pace, least = min(1, cores / len(running)), min(running)
            time, running = time + least / pace, [left - least for left in running if left - least > 1e-9]
        return time

    assert until_all_are_done(5, 2, 2) == 3
    for cores in range(1, 9):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        for replicas in range(1, 25):
            took = until_all_are_done(replicas, training._workers(None, replicas), cores)
            assert took == pytest.approx(max(1, replicas / cores))
            assert training._workers(3, replicas) == min(3, replicas)


def test_the_estimate_is_measured_once_and_grows_with_the_samples(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path))
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    sparse.compiled_library.cache_clear()
    once, twice = tiny_experiment(), tiny_experiment(epochs=4)
    found = training.seconds(once, "cpu", workers=1)
    assert found > 0
    monkeypatch.setattr(training, "_step_seconds", None)  # called no more
    assert training.seconds(twice, "cpu", workers=1) == pytest.approx(2 * found)
    assert training.seconds(once, "cpu", workers=2) == pytest.approx(found / 2)
    assert training.seconds(once, "cpu", workers=3) == pytest.approx(found / 2)  # the fourth waits for the others
    assert training.seconds(once, "cpu") == pytest.approx(found / 3)  # four share three cores
    asked: list[tuple] = []
    monkeypatch.setattr(training, "_step_seconds", lambda *arguments: asked.append(arguments) or 60.0)
    assert training.seconds(once, "cpu", workers=1, precision="bf16") == pytest.approx(60 * once.samples() / once.batch)
    assert [arguments[-1] for arguments in asked] == ["bf16"] * 3
    with pytest.raises(UserError, match="precision is 'tf32'"):
        training.seconds(once, "cpu", precision="tf32")
    sparse.compiled_library.cache_clear()
