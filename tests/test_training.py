import dataclasses
import json

import numpy as np
import pytest
import torch
from made import TINY, made_images, tiny_experiment

from lib import training
from lib.errors import UserError
from lib.models import initial_parameters, lenet
from lib.tickets import Store

torch.set_num_threads(1)


def random_masks(architecture, replicas, seed=0):
    return np.random.default_rng(seed).random((replicas, architecture.weight_count)) < 0.5


def reference(architecture, flat, mask, images, labels, order, rate):
    """One network of torch.nn, trained step by step with torch.optim.Adam; its losses and parameters."""
    nn = torch.nn
    modules: list = []
    for number, layer in enumerate(architecture.layers):
        if len(layer.shape) == 4:
            modules.append(nn.Conv2d(layer.shape[1], layer.shape[0], layer.shape[2], padding=layer.padding))
        else:
            if not any(isinstance(m, nn.Flatten) for m in modules):
                modules.append(nn.Flatten())
            modules.append(nn.Linear(layer.shape[1], layer.shape[0]))
        if number + 1 < len(architecture.layers):
            modules.append(nn.ReLU())
        if layer.pool:
            modules.append(nn.MaxPool2d(2))
    network = nn.Sequential(*modules)
    trained = [m for m in network if isinstance(m, nn.Conv2d | nn.Linear)]
    masks = []
    for module, where in zip(trained, architecture.weight_slices().values(), strict=True):
        masks.append(torch.from_numpy(mask[where]).view(module.weight.shape))
        module.weight.data = torch.from_numpy(flat[where]).view(module.weight.shape) * masks[-1]
        module.bias.data.zero_()
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    for chosen in order:
        loss = nn.functional.cross_entropy(network(images[chosen].float() / 255), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        for module, m in zip(trained, masks, strict=True):
            module.weight.grad *= m
        optimiser.step()
        losses.append(loss.item())
    parameters = [m.weight.detach().flatten() for m in trained] + [m.bias.detach() for m in trained]
    return losses, torch.cat(parameters).numpy()


@pytest.mark.parametrize("architecture", [TINY, lenet((1, 12 + 4, 12 + 4), "small lenet")], ids=lambda a: a.name)
def test_a_stack_trains_as_single_torch_networks_do(architecture):
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (300, *architecture.input_shape)).astype(np.uint8))
    labels = torch.from_numpy(rng.integers(0, 10, 300))
    start = np.stack([initial_parameters(architecture, init) for init in range(3)])
    masks = random_masks(architecture, 3)
    order = torch.from_numpy(np.stack([rng.permutation(300)[:240].reshape(12, 20) for _ in range(3)]))
    stack = training.Stack(architecture, start, masks, 1e-3)
    losses = []
    for step in range(12):
        before = stack.loss_sum.clone()
        stack.step(images[order[:, step]], labels[order[:, step]])
        losses.append((stack.loss_sum - before).numpy())
    for r in range(3):
        expected, parameters = reference(architecture, start[r], masks[r], images, labels, order[r], 1e-3)
        np.testing.assert_allclose(np.array(losses)[:, r], expected, rtol=1e-4)
        # Adam divides a gradient by its own size: one near zero can turn rounding into a fraction of the rate.
        difference = np.abs(stack.flat[r].numpy() - parameters)
        assert np.median(difference) < 1e-6 and difference.max() < 1e-3
        moved = np.abs(parameters - start[r]).max()
        assert moved > 5e-3
        weights = stack.flat[r, : architecture.weight_count].numpy()
        assert (weights[~masks[r]] == 0).all()


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


def test_training_learns_and_the_bits_depend_neither_on_the_workers_nor_on_a_stop(tmp_path):
    experiment = tiny_experiment(epochs=6, learning_rate=0.01)
    whole = run(tmp_path, "whole", experiment, workers=2)
    assert set(whole) == {"dense.npz", "50.npz", "80.npz"}
    assert run(tmp_path, "one", experiment, workers=1) == whole
    # Stop after the dense level: what is stored is all that the rest is made from.
    for name in ("80.npz", "50.npz"):
        (tmp_path / "one" / experiment.name / name).unlink()
    path = tmp_path / "one" / experiment.name / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("80", "50"):
        del manifest["levels"][name]
    path.write_text(json.dumps(manifest))
    assert run(tmp_path, "one", experiment, workers=2) == whole
    store = Store(tmp_path / "whole")
    assert store.verify(experiment) == (["dense", "50", "80"], [])
    dense = store.read(experiment, experiment.levels[0])
    assert (dense.losses[:, -1] < 0.7 * dense.losses[:, 0]).all()
    assert dense.correct.min() > 1000  # of 2,000 made images; chance is 200


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_captured_graph_trains_as_the_plain_loop_does():
    experiment = tiny_experiment()
    masks = random_masks(TINY, 4)
    on_gpu = training.train_stack(experiment, made_images(), 1, masks, np.arange(4), "cuda")
    on_cpu = training.train_stack(experiment, made_images(), 1, masks, np.arange(4), "cpu")
    np.testing.assert_allclose(on_gpu.losses, on_cpu.losses, rtol=1e-2)
    np.testing.assert_allclose(on_gpu.parameters, on_cpu.parameters, atol=2e-2)
