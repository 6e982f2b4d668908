"""Single networks of torch.nn and torch.optim, against which both trainers are checked."""

import numpy as np
import torch

from lib.models import Architecture, Layer

SAME = Architecture(  # Conv-2, but small
    "small conv2",
    (3, 8, 8),
    (
        Layer("conv1", (6, 3, 3, 3), padding=1),
        Layer("conv2", (6, 6, 3, 3), padding=1, pool=True),
        Layer("dense1", (20, 96)),
        Layer("dense2", (20, 20)),
        Layer("output", (10, 20)),
    ),
)


def random_masks(architecture, replicas, seed=0):
    return np.random.default_rng(seed).random((replicas, architecture.weight_count)) < 0.5


def chain(architecture):
    """The same network of torch.nn, and its trained modules in the order of the layers."""
    nn = torch.nn
    modules: list = []
    for number, layer in enumerate(architecture.layers):
        if len(layer.shape) == 4:
            filters, channels, size, _ = layer.shape
            modules.append(nn.Conv2d(channels, filters, size, layer.stride, layer.padding))
        else:
            if not any(isinstance(m, nn.Flatten) for m in modules):
                modules.append(nn.Flatten())
            modules.append(nn.Linear(layer.shape[1], layer.shape[0]))
        if number + 1 < len(architecture.layers):
            modules.append(nn.ReLU())
        if layer.pool:
            modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules), [m for m in modules if isinstance(m, nn.Conv2d | nn.Linear)], []


class Block(torch.nn.Module):
    """The basic block of a residual network."""

    def __init__(self, channels, width, stride):
        super().__init__()
        nn = torch.nn
        self.first = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


def residual(architecture):
    """The small ResNet18 of torch.nn, written from Frankle and Carbin's description, not from our table."""
    nn = torch.nn
    stem, norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
    widths = [(16, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
    blocks = [Block(a, b, b // a) for a, b in widths]
    dense = nn.Linear(64, 10)
    network = nn.Sequential(stem, norm, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense)
    trained, norms = [stem], [norm]
    for block in blocks:
        trained += [block.first, *([block.shortcut[0]] if len(block.shortcut) else []), block.second]
        norms += [block.first_norm, *([block.shortcut[1]] if len(block.shortcut) else []), block.second_norm]
    return network, [*trained, dense], norms


def reference(architecture, make, flat, mask, images, labels, order, optimiser):
    """One network of torch.nn, trained by torch.optim; losses, parameters in our order, logits in evaluation."""
    network, trained, norms = make(architecture)
    masks = []
    for module, where in zip(trained, architecture.weight_slices().values(), strict=True):
        masks.append(torch.from_numpy(mask[where]).view(module.weight.shape))
        module.weight.data = torch.from_numpy(flat[where]).view(module.weight.shape) * masks[-1]
        if module.bias is not None:
            module.bias.data.zero_()
    optimiser = optimiser(network.parameters())
    losses = []
    for chosen in order:
        loss = torch.nn.functional.cross_entropy(network(images[chosen].float() / 255), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        for module, m in zip(trained, masks, strict=True):
            module.weight.grad *= m
        optimiser.step()
        losses.append(loss.item())
    weights = [m.weight.flatten() for m in trained]
    biases = [m.bias for m in (norms or trained)] + [trained[-1].bias] * bool(norms)
    running = [m.running_mean for m in norms] + [m.running_var for m in norms]
    parameters = torch.cat([*weights, *biases, *(m.weight for m in norms), *running]).detach().numpy()
    network.eval()
    return losses, parameters, network(images[:50].float() / 255).detach().numpy()


# --- for the trainers that round to bf16 -------------------------------------------------------------------------

ADAM = (1e-3, 0.9, 0.999, 1e-3)  # an epsilon that keeps Adam from turning rounding errors into whole steps


def rounded(x):
    """Numbers in bf16, kept in double precision."""
    return x.to(torch.bfloat16).to(torch.float64)


class InDouble:
    """A network in double precision: `flat`, a leaf, holds its trained parameters, and `logits` says what it gives."""

    def __init__(self, start, mask, channels=None):
        self.mask = torch.from_numpy(np.r_[mask, np.ones(len(start) - len(mask), bool)])
        self.flat = (torch.from_numpy(start.astype(np.float64)) * self.mask).requires_grad_()
        self.channels = channels or (np.zeros(3), np.full(3, 255.0))

    def pixels(self, images):
        means, deviations = (torch.from_numpy(np.asarray(c)).view(-1, 1, 1) for c in self.channels)
        return (torch.from_numpy(images.astype(np.float64)) - means) / deviations

    def logits(self, images):
        raise NotImplementedError

    def gradient(self, images, labels):
        loss = torch.nn.functional.cross_entropy(self.logits(images), torch.from_numpy(labels.astype(np.int64)))
        (gradient,) = torch.autograd.grad(loss, self.flat)
        return loss.item(), gradient * self.mask

    def train(self, images, labels, order):
        optimiser = torch.optim.Adam([self.flat], ADAM[0], ADAM[1:3], ADAM[3])
        losses = []
        for chosen in order:
            loss, self.flat.grad = self.gradient(images[chosen], labels[chosen])
            optimiser.step()
            losses.append(loss)
        return float(np.mean(losses))


def by_epochs(make, images, labels, order, parts):
    """The parameters after training a replica in so many epochs."""
    replica = make()
    for part in np.split(order, parts):
        replica.train_epoch(images, labels, part)
    return replica.parameters
