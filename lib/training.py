"""Trains a stack of masked replicas at once; the only module that needs torch.

All replicas of an experiment are one network with grouped convolutions and batched matrix products,
their parameters one array of shape (replicas, parameters).  On a CUDA GPU the images lie on the device
and one step of the whole stack is one captured CUDA graph.  On a CPU each replica is a stack of one,
trained on one thread, as many at once as there are cores: there a loop over replicas beats grouped
convolutions, and a replica's bits do not depend on how many others there are.  What trains it there is
`lib.sparse`, for which pruned weights cost nothing, in bf16 the processor's matrix unit; PyTorch where
there is no C compiler or no such unit.

On a CUDA GPU matrix products and convolutions round their operands to TF32 unless told otherwise (`PRECISIONS`);
weights, gradients and the optimiser's moments are always fp32.  Precision is no part of an experiment, as the device
is none: both decide how results are rounded, the manifest names both, and `benchmarks/precision.py` measures what
they do to overlaps and accuracies.
"""

from __future__ import annotations  # Sphinx reads this module without torch

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import math
import multiprocessing
import os
import platform
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lib import sparse
from lib.datasets import Images, cache_folder, channel_statistics
from lib.errors import UserError
from lib.experiments import Experiment, find
from lib.files import write_whole
from lib.models import Architecture, Layer, initial_parameters
from lib.pruning import Level, kept_counts, prune
from lib.tickets import TEST_LOGITS, LevelRecord, Store

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
MOMENTUM = 0.9  # of SGD
# Of the operands of matrix products and convolutions; bf16 with fp32 weights.
PRECISIONS = ("fp32", "tf32", "bf16")
CONVOLUTIONS = ("grouped", "product")
RESERVE = 5.0  # seconds between the last evaluation and the deadline, to prune and write
PACE_SECONDS = 0.5  # that the steps take at least of which one's time is measured
EVALUATION_SPEED = 3  # images that are evaluated in the time in which one is trained on
RESERVE_WEIGHTS = 5e6  # weights for each of which so many more there is a second more
NORM_MOMENTUM, NORM_EPSILON = 0.1, 1e-5  # of batch normalisation, torch's values


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training one stack through one level gives; R replicas.

    Attributes
    ----------
    parameters : float32 array, shape (R, parameter_count)
    logits : float32 array, shape (R, 2000, classes)
    correct : int64 array, shape (R,)
    losses : float32 array, shape (R, epochs)
    """

    parameters: NDArray[np.float32]
    logits: NDArray[np.float32]
    correct: NDArray[np.int64]
    losses: NDArray[np.float32]


class _MaxPool(torch.autograd.Function):
    """2 x 2 max-pooling in elementwise maxima: faster on a CPU than ``functional.max_pool2d``, which branches.

    Of equal values one gets the whole gradient, as in ``functional.max_pool2d``.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        n, c, height, width = x.shape
        x = x[:, :, : height // 2 * 2, : width // 2 * 2].reshape(-1, 2, width // 2 * 2)
        upper, lower = x[:, 0], x[:, 1]
        columns = torch.maximum(upper, lower).view(-1, 2)
        left, right = columns[:, 0], columns[:, 1]
        ctx.save_for_backward(upper >= lower, left >= right)
        ctx.shape = (n, c, height, width)
        return torch.maximum(left, right).view(n, c, height // 2, width // 2)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        upper, left = ctx.saved_tensors
        n, c, height, width = ctx.shape
        even = (height // 2 * 2, width // 2 * 2)
        columns = _route(gradient.reshape(-1), left).view(-1, even[1])
        rows = torch.empty((n * c * even[0] // 2, 2, even[1]), dtype=gradient.dtype)
        torch.mul(columns, upper, out=rows[:, 0])
        torch.sub(columns, rows[:, 0], out=rows[:, 1])
        result = rows.view(n, c, *even)
        return functional.pad(result, (0, width - even[1], 0, height - even[0])) if even != (height, width) else result


def _route(gradient: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """Return pairs that hold each gradient in their first place where `first`, else in their second."""
    pairs = torch.empty((gradient.numel(), 2), dtype=gradient.dtype)
    torch.mul(gradient, first, out=pairs[:, 0])
    torch.sub(gradient, pairs[:, 0], out=pairs[:, 1])
    return pairs


class _Products(torch.autograd.Function):
    """Convolutions of all replicas as one batched matrix product: a matrix of filters by one of windows for each."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        """Return the sums, shape (batch, replicas * filters, rows, columns), of x (batch, replicas * channels, ...)."""
        windows, size = _windows(x, w.shape[0], w.shape[-1], stride, padding)
        ctx.save_for_backward(windows, w)
        ctx.given = x.shape, stride, padding
        return _by_image(torch.bmm(w.flatten(2), windows), size)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        windows, w = ctx.saved_tensors
        given, stride, padding = ctx.given
        replicas, filters, _, side, _ = w.shape
        rows = gradient.transpose(0, 1).reshape(replicas, filters, -1)
        of_weights = torch.bmm(rows, windows.transpose(1, 2)).view(w.shape)
        if not ctx.needs_input_grad[0]:
            return None, of_weights, None, None
        if stride > 1:
            # As if the stride were 1, where what lies between had no gradient.
            full = [n + 2 * padding - side + 1 for n in given[2:]]
            spread = gradient.new_zeros((*gradient.shape[:2], *full))
            spread[:, :, ::stride, ::stride] = gradient
            gradient = spread
        around, size = _windows(gradient, replicas, side, 1, side - 1 - padding)
        turned = w.flip(3, 4).transpose(1, 2).flatten(2)
        return _by_image(torch.bmm(turned, around), size), of_weights, None, None


def _windows(
    x: torch.Tensor, replicas: int, side: int, stride: int, padding: int
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Return what each place of a filter sees, shape (replicas, channels * side**2, n), and what n counts.

    That is images, rows and columns of what the convolution gives.
    """
    x = functional.pad(x, [padding] * 4)
    seen = x.unfold(2, side, stride).unfold(3, side, stride).unflatten(1, (replicas, -1))
    batch, _, _, rows, columns = seen.shape[:5]
    places = seen.permute(1, 2, 5, 6, 0, 3, 4).reshape(replicas, -1, batch * rows * columns)
    return places, (batch, rows, columns)


def _by_image(sums: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Return (replicas, filters, n) as (batch, replicas * filters, rows, columns), where it lies in memory."""
    return sums.view(-1, *size).transpose(0, 1)


@contextlib.contextmanager
def _beside(stream: torch.cuda.Stream) -> Iterator[None]:
    """Do what follows on another CUDA stream, when all before it is done."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield


class _Part(NamedTuple):
    """What a part of a stack has: tensors whose first axis is that of its replicas.

    Attributes
    ----------
    weights, masks, biases : lists of tensors
        One for each layer.
    scales, means, variances : dicts of tensors
        By name of the normalised layer; means and variances of all replicas side by side.
    """

    weights: list[torch.Tensor]
    masks: list[torch.Tensor]
    biases: list[torch.Tensor]
    scales: dict[str, torch.Tensor]
    means: dict[str, torch.Tensor]
    variances: dict[str, torch.Tensor]

    def trained(self) -> list[torch.Tensor]:
        """Return what the optimiser changes, the weights first."""
        return [*self.weights, *self.biases, *self.scales.values()]

    def averages(self) -> list[torch.Tensor]:
        """Return what a step changes besides."""
        return [*self.means.values(), *self.variances.values()]


class Stack:
    """Several replicas of one architecture, trained together step by step.

    Parameters
    ----------
    architecture : Architecture
    parameters : float32 array, shape (replicas, parameter_count)
        Initial parameters, before masking.
    masks : bool array, shape (replicas, weight_count)
    learning_rate : float
    noise : float
        Relative uniform noise on every gradient; 0 for none.
    seed : int
        Of that noise.
    device : torch.device
    optimiser : str
        'Adam' or 'SGD'.
    channels : pair of float arrays, shape (channels,), optional
        Mean and standard deviation of every channel, to standardise the pixels; they are divided by 255 if not given.
    precision : str
        One of `PRECISIONS`; on a CPU 'fp32' and 'tf32' are the same.
    convolutions : str
        How those of all replicas of a part are done: as one that is 'grouped', or as one batched matrix 'product'.
    compiled : bool
        Whether torch.compile fuses what lies between the convolutions, masks included.
    channels_last : bool, optional
        Whether a GPU's convolutions have channels innermost; with 'bf16' if not given.
    parts : int
        Into how many parts the stack is divided.  Their ways forward and back go side by side on a GPU, each on a
        CUDA stream of its own; on a CPU one after the other.  The optimiser's step is one.

    Raises
    ------
    UserError
        If `convolutions` is none of `CONVOLUTIONS`, or there are more parts than replicas, or none.

    Notes
    -----
    Batch normalisation is each replica's own.  In training it normalises by the statistics of the batch, in
    evaluation by their running averages (momentum 0.1, as in ``torch.nn.BatchNorm2d``), which lie at the end of
    the parameters so that a stored network can be evaluated.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: NDArray[np.float32],
        masks: NDArray[np.bool_],
        learning_rate: float,
        noise: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        optimiser: str = "Adam",
        channels: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        precision: str = "fp32",
        convolutions: str = "grouped",
        compiled: bool = False,
        channels_last: bool | None = None,
        parts: int = 1,
    ) -> None:
        if convolutions not in CONVOLUTIONS:
            raise UserError(f"convolutions is {convolutions!r}: it should be one of {', '.join(CONVOLUTIONS)}")
        self.architecture = architecture
        self.device = torch.device(device)
        self.replicas = parameters.shape[0]
        if not 1 <= parts <= self.replicas:
            raise UserError(f"parts is {parts}: it should be from 1 to the number of replicas, {self.replicas}")
        self.noise, self.precision = noise, precision
        self.convolutions, self.compiled = convolutions, compiled
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            # Algorithms that add in the same order every time, and are not chosen by how fast they happen to be.
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        # On a CPU too, but not with the pooling that is faster there.
        self._channels_last = precision == "bf16" if on_gpu else not any(y.pool for y in architecture.layers)
        if channels_last is not None:
            self._channels_last = channels_last
        self.loss_sum = torch.zeros(self.replicas, device=self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.channels = None
        if channels is not None:
            self.channels = [torch.from_numpy(c.astype(np.float32)).to(self.device).view(-1, 1, 1) for c in channels]
        bounds = [self.replicas * p // parts for p in range(parts + 1)]
        self._where = [slice(first, end) for first, end in itertools.pairwise(bounds)]
        # A kernel of torch.compile takes bits as they are; others are fast where mask and gradient are of one type.
        kept = masks if compiled else masks.astype(parameters.dtype)
        self._parts = [self._part(parameters[where], kept[where]) for where in self._where]
        self._streams = [torch.cuda.Stream() for _ in self._parts] if on_gpu and parts > 1 else []
        weights = [w for part in self._parts for w in part.weights]
        self._masks = [m for part in self._parts for m in part.masks]
        self._trained = weights + [p for part in self._parts for p in part.trained()[len(part.weights) :]]
        # One kernel reads and writes everything once.
        if optimiser == "SGD":
            self.optimiser: torch.optim.Optimizer = torch.optim.SGD(
                self._trained, learning_rate, momentum=MOMENTUM, fused=True
            )
        else:
            self.optimiser = torch.optim.Adam(
                self._trained, learning_rate, BETAS, EPSILON, fused=True, capturable=on_gpu
            )
        # None if not compiled: a bound method would keep the stack, and its graph, until the next garbage collection.
        self._compiled = torch.compile(self._losses_of, dynamic=False) if compiled else None
        self._used_later = {name for y in architecture.layers for name in (y.source, y.add) if name}

    def _part(self, parameters: NDArray[np.float32], masks: NDArray) -> _Part:
        """Return the tensors of some replicas; every layer's are their own: nothing is copied for the optimiser."""
        layers = self.architecture.layers
        weights, biases = self.architecture.weight_slices(), self.architecture.bias_slices()
        scales, means, variances = self.architecture.norm_slices()

        def tensor(values: NDArray, where: slice, *shape: int) -> torch.Tensor:
            return torch.from_numpy(values[:, where].copy()).view(len(values), *shape).to(self.device)

        kept = [tensor(masks, weights[y.name], *y.shape) for y in layers]
        starts = [tensor(parameters, weights[y.name], *y.shape) for y in layers]
        return _Part(
            [(w * m).requires_grad_() for w, m in zip(starts, kept, strict=True)],
            kept,
            [tensor(parameters, biases[y.name], y.shape[0]).requires_grad_() for y in layers],
            {name: tensor(parameters, where, -1).requires_grad_() for name, where in scales.items()},
            {name: tensor(parameters, where, -1).flatten() for name, where in means.items()},
            {name: tensor(parameters, where, -1).flatten() for name, where in variances.items()},
        )

    def parameters(self) -> NDArray[np.float32]:
        """Return all parameters as they are now, shape (replicas, parameter_count)."""
        with torch.no_grad():
            rows = []
            for p in self._parts:
                every = [t.view(len(p.weights[0]), -1) for t in (*p.trained(), *p.averages())]
                rows.append(torch.cat(every, dim=1))
            return torch.cat(rows).cpu().numpy()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of each replica for its own images, as it is evaluated.

        Parameters
        ----------
        images : uint8 tensor, shape (replicas, batch, channels, height, width)

        Returns
        -------
        float32 tensor, shape (replicas, batch, classes)
        """
        parts = zip(self._parts, self._where, strict=True)
        return torch.cat([self._forward(part, images[where], training=False) for part, where in parts])

    def _forward(self, part: _Part, images: torch.Tensor, training: bool) -> torch.Tensor:
        """Return the logits of the replicas of a part.

        In `training`, batch normalisation uses, and gathers, the statistics of the batch.
        """
        replicas, batch = images.shape[:2]
        weights = part.weights
        if training and self.compiled:  # where they are rounded anyway, and so their gradients too
            weights = [w * m for w, m in zip(weights, part.masks, strict=True)]
        # Grouped convolutions want the replicas among the channels, dense layers want them in front.
        x = images.transpose(0, 1).reshape(batch, -1, *images.shape[3:]).float()
        if self.channels is None:
            x = x * (1 / 255)
        else:
            means, deviations = self.channels
            x = ((x.unflatten(1, (replicas, -1)) - means) / deviations).flatten(1, 2)
        outputs: dict[str, torch.Tensor] = {}
        last = len(weights) - 1
        for number, (layer, w, b) in enumerate(zip(self.architecture.layers, weights, part.biases, strict=True)):
            if layer.source:
                x = outputs[layer.source]
            if len(layer.shape) == 4:
                x = self._convolve(layer, x, w, None if layer.norm else b)
            else:
                if x.dim() == 4:
                    x = x.mean(dim=(2, 3)) if layer.average else x
                    x = x.reshape(batch, replicas, -1).transpose(0, 1)
                # Weights first, so that their gradient comes out in the order in which they lie in memory.
                x = torch.baddbmm(b.unsqueeze(2), w, x.transpose(1, 2)).transpose(1, 2)
            if layer.norm:
                shape = x.shape
                if self.convolutions == "product":  # as its sums lie in memory
                    x = x.transpose(0, 1).reshape(1, shape[1], -1)
                x = functional.batch_norm(
                    x,
                    part.means[layer.name],
                    part.variances[layer.name],
                    part.scales[layer.name].reshape(-1),
                    b.reshape(-1),
                    training,
                    NORM_MOMENTUM,
                    NORM_EPSILON,
                )
                if self.convolutions == "product":
                    x = _by_image(x, (batch, *shape[2:]))
            if layer.pool:
                x = _MaxPool.apply(x) if x.device.type == "cpu" else functional.max_pool2d(x, 2)
            if layer.add:
                x = x + outputs[layer.add]
            if number < last and not layer.linear:
                # In place where nothing needs what the layer gave; a convolution does not, and of a normalised one a
                # product gives a view, which autograd would copy.
                viewed = layer.norm and self.convolutions == "product"
                x = functional.relu(x, inplace=x.dim() == 4 and not layer.pool and not viewed)
            if layer.name in self._used_later:
                outputs[layer.name] = x
        return x

    def _convolve(self, layer: Layer, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        """Convolve the channels of each replica with its own filters."""
        if self.convolutions == "product":
            if self.precision == "bf16":
                x, w = x.bfloat16(), w.bfloat16()
            x = _Products.apply(x, w, layer.stride, layer.padding)
            return x if b is None else x + b.flatten().to(x.dtype)[:, None, None]
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        every, bias = w.flatten(0, 1), None if b is None else b.flatten()
        return functional.conv2d(x, every, bias, layer.stride, layer.padding, groups=len(w))

    def _losses_of(self, part: _Part, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of every replica's own batch, shape (replicas of the part,)."""
        with self._autocast():
            logits = self._forward(part, images, training=True).float()
            losses = functional.cross_entropy(logits.flatten(0, 1), labels.reshape(-1), reduction="none")
        return losses.view(len(images), -1).mean(dim=1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Do one step of the optimiser on the mean cross-entropy of every replica's own batch.

        Parameters
        ----------
        images : uint8 tensor, shape (replicas, batch, channels, height, width)
        labels : int64 tensor, shape (replicas, batch)
        """
        losses, of_weights, others = [], [], []
        for part, where, alone in itertools.zip_longest(self._parts, self._where, self._streams):
            with contextlib.nullcontext() if alone is None else _beside(alone):
                losses.append((self._compiled or self._losses_of)(part, images[where], labels[where]))
                gradients = [g.contiguous() for g in torch.autograd.grad(losses[-1].sum(), part.trained())]
            of_weights += gradients[: len(part.weights)]
            others += gradients[len(part.weights) :]
        for alone in self._streams:
            torch.cuda.current_stream().wait_stream(alone)
        with torch.no_grad():
            self.loss_sum += torch.cat(losses)
            # A pruned weight starts at zero and never gets a gradient, so it stays there.
            if not self.compiled:
                torch._foreach_mul_(of_weights, self._masks)
            gradients = of_weights + others
            if self.noise:
                sizes = [g.numel() for g in gradients]
                shake = torch.rand(sum(sizes), generator=self.generator, device=self.device)
                shake = 1 + self.noise * (2 * shake - 1)
                torch._foreach_mul_(
                    gradients, [s.view_as(g) for s, g in zip(shake.split(sizes), gradients, strict=True)]
                )
            for parameter, gradient in zip(self._trained, gradients, strict=True):
                parameter.grad = gradient
            self.optimiser.step()

    def train_epoch(self, images: torch.Tensor, labels: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Train one epoch; return each replica's mean loss, shape (replicas,).

        Parameters
        ----------
        images : uint8 tensor, shape (n, channels, height, width), on the stack's device
        labels : int64 tensor, shape (n,), on the stack's device
        order : int64 tensor, shape (replicas, steps, batch), on the stack's device
        """
        self.loss_sum.zero_()
        steps = order.shape[1]
        if self.device.type == "cuda":
            self._replay(images, labels, order)
        else:
            for s in range(steps):
                self.step(images[order[:, s]], labels[order[:, s]])
        return self.loss_sum / steps

    def _replay(self, images: torch.Tensor, labels: torch.Tensor, order: torch.Tensor) -> None:
        """Train one epoch on a GPU: capture one step as a CUDA graph the first time, then replay it."""
        steps = order.transpose(0, 1).contiguous()
        if not hasattr(self, "_graph"):
            self._capture(images, labels, steps[0])
        for chosen in steps:
            self._chosen.copy_(chosen)
            self._graph.replay()

    def _capture(self, images: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor) -> None:
        """Capture one step on the images whose numbers lie in `_chosen`; it changes nothing yet."""
        self._chosen = chosen.clone()
        self._data = (images, labels)  # the graph knows where they lie, but does not keep them there
        averages = [a for part in self._parts for a in part.averages()]
        state = [*self._trained, *averages, self.loss_sum]
        saved = [tensor.detach().clone() for tensor in state]
        generator_state = self.generator.get_state()

        def step() -> None:
            self.step(images[self._chosen], labels[self._chosen])

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), warnings.catch_warnings():  # warm-up, undone below
            warnings.filterwarnings("ignore", message=".*capturable=True.*")  # it will be captured in a moment
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self.generator)
        with torch.cuda.graph(self._graph):
            step()
        with torch.no_grad():
            for tensor, value in zip(state, saved, strict=True):
                tensor.copy_(value)
            for moments in self.optimiser.state.values():  # at the first step all of them are zero
                for moment in moments.values():
                    moment.zero_()
        self.generator.set_state(generator_state)

    @torch.no_grad()
    def evaluate(
        self, images: torch.Tensor, labels: torch.Tensor, chunk: int = 500
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the logits of the first 2,000 images and how many of all images are classified correctly.

        Returns
        -------
        logits : float32 array, shape (replicas, 2000, classes)
        correct : int64 array, shape (replicas,)
        """
        logits = []
        correct = torch.zeros(self.replicas, dtype=torch.int64, device=self.device)
        for start in range(0, len(images), chunk):
            part = images[start : start + chunk]
            with self._autocast():
                output = self.forward(part.unsqueeze(0).expand(self.replicas, *part.shape)).float()
            correct += (output.argmax(dim=2) == labels[start : start + chunk]).sum(dim=1)
            if start < TEST_LOGITS:
                logits.append(output.cpu().numpy())
        return np.concatenate(logits, axis=1)[:, :TEST_LOGITS], correct.cpu().numpy()


def train_stack(
    experiment: Experiment,
    images: Images,
    level: int,
    masks: NDArray[np.bool_],
    replicas: NDArray[np.int64],
    device: torch.device | str = "cpu",
    on_epochs: Callable[[int], None] | None = None,
    precision: str = "fp32",
) -> Trained:
    """Train some replicas of an experiment through one level, from their initial weights.

    Parameters
    ----------
    experiment : Experiment
    images : Images
    level : int
        Index into the experiment's levels.
    masks : bool array, shape (len(replicas), weight_count)
    replicas : int array
        Numbers of the replicas.
    device : torch.device or str
    on_epochs : callable, optional
        Called after every epoch with the number of replicas that finished it.
    precision : str
        One of `PRECISIONS`.

    Returns
    -------
    Trained
    """
    architecture = experiment.architecture
    numbers = [int(r) + experiment.after * experiment.runs for r in replicas]  # in the whole experiment
    with concurrent.futures.ThreadPoolExecutor() as pool:
        inits = sorted({number // experiment.runs for number in numbers})
        made = dict(zip(inits, pool.map(lambda init: initial_parameters(architecture, init), inits), strict=True))
    start = np.stack([made[number // experiment.runs] for number in numbers])
    label = f"noise/{experiment.name}/{level}/{','.join(map(str, numbers))}"
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little") >> 1
    channels = channel_statistics(images.train) if experiment.scaling == "standardised" else None
    trainer = engine(experiment, device, precision)
    if trainer != "torch" and len(replicas) == 1:
        tiled, replica = trainer != "sparse.c", int(replicas[0])
        network = _alone(experiment, start[0], masks[0], seed, channels, tiled)
        return _train_alone(experiment, images, level, network, replica, on_epochs)
    stack = _stack(experiment, start, masks, seed, device, channels, precision)

    def on_device(array: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(stack.device)

    x, y = on_device(images.train), on_device(images.train_labels).long()
    losses = []
    for order in _orders(experiment, replicas, level, len(x)):
        losses.append(stack.train_epoch(x, y, torch.from_numpy(order).to(stack.device)).cpu().numpy())
        if on_epochs is not None:
            on_epochs(len(replicas))
    logits, correct = stack.evaluate(on_device(images.test), on_device(images.test_labels).long())
    return Trained(stack.parameters(), logits, correct, np.stack(losses, axis=1))


def _stack(
    experiment: Experiment,
    parameters: NDArray[np.float32],
    masks: NDArray[np.bool_],
    seed: int,
    device: torch.device | str,
    channels: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    precision: str,
) -> Stack:
    """Return replicas of an experiment before their first step."""
    e = experiment
    return Stack(
        e.architecture, parameters, masks, e.learning_rate, e.noise, seed, device, e.optimiser, channels, precision
    )


def _alone(
    experiment: Experiment,
    parameters: NDArray[np.float32],
    mask: NDArray[np.bool_],
    seed: int,
    channels: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    tiled: bool,
) -> sparse.Replica:
    """Return one replica of an experiment before its first step, trained by compiled code."""
    e = experiment
    momentum, decay = BETAS if e.optimiser == "Adam" else (MOMENTUM, 0.0)
    return sparse.Replica(
        e.architecture, parameters, mask, e.learning_rate, momentum, decay, EPSILON, e.noise, seed, channels, tiled
    )


def _orders(
    experiment: Experiment, replicas: NDArray[np.int64], level: int, images: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the batch orders of every epoch, shape (replicas, steps, batch); the next are made while one is used."""
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def begin(epoch: int) -> list[concurrent.futures.Future]:
            return [pool.submit(experiment.batch_order, int(r), level, epoch, images) for r in replicas]

        waiting = begin(0)
        for epoch in range(1, experiment.epochs + 1):
            order = np.stack([job.result() for job in waiting])
            waiting = begin(epoch) if epoch < experiment.epochs else []
            yield order


def engine(experiment: Experiment, device: torch.device | str, precision: str = "fp32") -> str:
    """Return what trains `experiment` on `device`: 'torch', 'sparse.c', in bf16 'tiles.c' or 'residual.c'."""
    if str(device) == "cpu" and precision == "bf16":
        e = experiment
        tiled = sparse.tiles(e.architecture, e.batch, e.optimiser, e.noise)
        return f"{sparse.tiled_library(e.architecture)}.c" if tiled else "torch"
    compiled = (
        str(device) == "cpu"
        and precision == "fp32"
        and sparse.supports(experiment.architecture)
        and sparse.compiled_library() is not None
    )
    return "sparse.c" if compiled else "torch"


def _train_alone(
    experiment: Experiment,
    images: Images,
    level: int,
    network: sparse.Replica,
    replica: int,
    on_epochs: Callable[[int], None] | None,
) -> Trained:
    """Train one replica through one level by compiled code."""
    losses = []
    for epoch in range(experiment.epochs):
        order = experiment.batch_order(replica, level, epoch, len(images.train))
        losses.append(network.train_epoch(images.train, images.train_labels, order))
        if on_epochs is not None:
            on_epochs(1)
    logits = network.evaluate(images.test)
    correct = int((logits.argmax(axis=1) == images.test_labels).sum())
    return Trained(
        network.parameters[None], logits[None, :TEST_LOGITS], np.array([correct]), np.array([losses], np.float32)
    )


class OutOfTimeError(Exception):
    """What was being trained would not have been finished in time."""


class _Clock:
    """Stops a level as soon as its pace says that nothing more of it that is kept will end before the deadline.

    Parameters
    ----------
    deadline : float or None
        In seconds of ``time.monotonic``.
    epochs : int
        Of all replicas of the level that are to be trained.
    reserve : float
        Seconds that are needed after the last epoch and what `after` counts.
    after : float
        How many epochs of one replica take as long as what is left when all are done: the last evaluations.
    """

    def __init__(self, deadline: float | None, epochs: int, reserve: float = RESERVE, after: float = 0.0) -> None:
        self.deadline, self.epochs, self.reserve, self.after, self.done = deadline, epochs, reserve, after, 0
        self.first: tuple[float, int] | None = None  # when the first epochs were done, and how many
        self.end = -math.inf  # by the pace when the last epochs were done

    def check(self, more: int = 0, expected: float = 0.0, left: int | None = None) -> None:
        """Count epochs that were done; raise `OutOfTimeError` if what is at work will not end in time.

        `expected` is what the rest takes by what is known from elsewhere, in seconds; `left` is how many epochs are to
        be done until the next replica is whole, if each is kept then, and not only all together.
        """
        self.done += more
        now = time.monotonic()
        end = now + expected
        if self.first is None and self.done:
            self.first = (now, self.done)
        elif self.first is not None and self.done - self.first[1] > self.epochs // 10:
            if more:
                # The first epochs do not count: they also start processes and capture graphs.
                pace = (now - self.first[0]) / (self.done - self.first[1])
                self.end = now + pace * (self.after + (self.epochs - self.done if left is None else left))
            end = max(now, self.end)
        if self.deadline is not None and end + self.reserve > self.deadline:
            raise OutOfTimeError


def train(
    experiment: Experiment,
    images: Images,
    store: Store,
    device: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
    out: Store | None = None,
    deadline: float | None = None,
    precision: str | None = None,
) -> bool:
    """Train what is missing of an experiment, level by level: train, prune, reset, store.

    Goes on after the last level that `store` or `out` holds; the state between two levels is only the masks.  On a CPU
    the replicas of a level that are trained are kept beside the cached images until the level is stored.

    Parameters
    ----------
    experiment : Experiment
    images : Images
    store : Store
    device : str, optional
        'cuda' or 'cpu'; a GPU if there is one.
    workers : int, optional
        Processes on a CPU. If not given, one a core, and more where the last replicas would leave cores without work.
        The result does not depend on it.
    quiet : bool
        Whether to show no progress bar.
    out : Store, optional
        Where new levels go; `store` if not given.
    deadline : float, optional
        In seconds of ``time.monotonic``: what will not be finished by then is given up, on a GPU the level, on a CPU
        replicas of it.
    precision : str, optional
        One of `PRECISIONS`; `usual_precision` if not given.

    Returns
    -------
    bool
        Whether all levels are trained.

    Raises
    ------
    UserError
        If the images do not fit the architecture or are not those of the levels before, the device is not there, the
        training diverges or another process trains this experiment into this store.
    """
    if images.train.shape[1:] != experiment.architecture.input_shape:
        raise UserError(
            f"images have shape {images.train.shape[1:]}; {experiment.architecture.name} takes "
            f"{experiment.architecture.input_shape}"
        )
    out = out or store
    device = device or usual_device()
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"device is {device!r}: it should be 'cpu', or 'cuda' where torch finds a CUDA GPU")
    level_epochs = experiment.epochs * experiment.replicas
    expected = 0.0  # seconds of the next level, where all take the same time
    with contextlib.ExitStack() as entered:
        # What is stored is read when no other process can add to it; to find that all is, needs no place to write.
        if missing_levels(experiment, store, out):
            _check_precision(device, precision)
            entered.enter_context(out.alone(experiment))
        for held in (store, out):
            held.check_images(experiment, images.sha256, images.source)
        missing = missing_levels(experiment, store, out)
        if not missing:
            out.clean(experiment)
            return True
        precision = precision or usual_precision(experiment, device, out, store)
        first = experiment.levels.index(missing[0])
        # Who holds the level before knows the masks of this one.
        behind = first and experiment.levels[first - 1].name in out.manifest(experiment)["levels"]
        masks: NDArray[np.bool_] | None = (out if behind else store).masks(experiment, missing[0])
        progress = entered.enter_context(_progress(experiment, len(missing) * level_epochs, quiet))
        for number in range(first, len(experiment.levels)):
            level = experiment.levels[number]
            progress.set_postfix_str(f"level {level.name}")
            if masks is None:
                masks = store.masks(experiment, level)  # drawn
            begin = time.perf_counter()
            trainer = engine(experiment, device, precision)
            # A GPU trains all replicas together, so that none is whole before the others.
            folder = None
            if device == "cpu":
                folder = _replicas_folder(experiment, images, level, masks, precision, trainer)
            kept = _kept(folder, experiment) if folder else {}
            progress.update(experiment.epochs * len(kept))
            to_train = experiment.replicas - len(kept)
            # The last replicas, on a GPU all, are evaluated together when all epochs are done.
            at_once = to_train if device == "cuda" else _workers(workers, max(to_train, 1))
            after = at_once * len(images.test) / (len(images.train) * EVALUATION_SPEED)
            clock = _Clock(deadline, experiment.epochs * to_train, RESERVE + masks.size / RESERVE_WEIGHTS, after)

            def on_epochs(count: int, left: int | None = None, clock: _Clock = clock) -> None:
                progress.update(count)
                clock.check(count, left=left)

            try:
                clock.check(expected=expected)
                if folder is None:
                    every = np.arange(experiment.replicas)
                    trained = train_stack(experiment, images, number, masks, every, device, on_epochs, precision)
                else:
                    trained = _train_on_cpu(
                        experiment, images, number, masks, at_once, on_epochs, precision, folder, kept
                    )
            except OutOfTimeError:
                return False
            following, pruned_to = None, experiment.pruned_to(level)
            if pruned_to is not None:
                following = prune(experiment.architecture, trained.parameters, masks, pruned_to)
            count = experiment.architecture.weight_count
            record = LevelRecord(
                masks=masks,
                weights=trained.parameters[:, :count],
                biases=trained.parameters[:, count:],
                logits=trained.logits,
                correct=trained.correct,
                losses=trained.losses,
            )
            before = sum(seconds for _, seconds in kept.values()) / at_once
            provenance = {
                "wall seconds": round(time.perf_counter() - begin + before, 1),
                "device": device_name(device),
                "processes": at_once if device == "cpu" else 1,
                "engine": trainer,
                "precision": precision,
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "numpy": np.__version__,
                    **({"compiler": sparse.compiler_version()} if trainer != "torch" else {}),
                },
                "data": {
                    "name": images.name,
                    "source": images.source,
                    "sha256": images.sha256,
                    "training images": len(images.train),
                    "test images": len(images.test),
                },
            }
            out.write(experiment, level, record, provenance, following)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            expected = time.perf_counter() - begin if device == "cuda" else 0.0
            masks = following
    return True


def usual_precision(experiment: Experiment, device: str, *stores: Store) -> str:
    """Return in which precision an experiment, or a part of it, is trained if nobody asks for one.

    It is that of its last level that is stored, else that of another part of the experiment that was trained as this
    device can train it too: what a CPU began in fp32 need not be so slow on a GPU, nor what a matrix unit did in bf16
    so slow where there is none. Else, and if the device has not that precision, it is 'tf32' on a GPU, 'fp32' on a CPU.

    Parameters
    ----------
    experiment : Experiment
    device : str
        'cuda' or 'cpu'.
    *stores : Store
        Looked at in this order.
    """

    def alike(entry: Mapping[str, Any]) -> bool:
        if entry["device"].startswith("CPU") != (device == "cpu"):
            return False
        by_unit = entry.get("engine", "torch") not in ("torch", "sparse.c")
        return not by_unit or entry["engine"] == engine(experiment, device, entry.get("precision", "fp32"))

    found = (store.precision(experiment, counts) for counts in (None, alike) for store in stores)
    before = next(filter(None, found), None)
    return before if before in _precisions(device) else "tf32" if device == "cuda" else "fp32"


def _precisions(device: str) -> tuple[str, ...]:
    return PRECISIONS if device == "cuda" else tuple(p for p in PRECISIONS if p != "tf32")


def _check_precision(device: str, asked: str | None) -> None:
    if asked is not None and asked not in _precisions(device):
        raise UserError(f"precision is {asked!r}: it should be 'fp32' or 'bf16', or 'tf32' on a CUDA GPU")


class _Silent:
    """In the place of a progress bar."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        """Show nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Show nothing."""


def _progress(experiment: Experiment, epochs: int, quiet: bool) -> Any:
    """Return a progress bar, or none where it is not wanted or tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent()
    return tqdm(total=epochs, desc=experiment.name, unit="epoch", disable=quiet, smoothing=0.02)


def parts(experiment: Experiment, *stores: Store) -> list[Experiment]:
    """Return the parts in which an experiment is trained: those that a store holds any of, then the rest as one.

    Parameters
    ----------
    experiment : Experiment
        The whole one, or its first initialisations.
    *stores : Store
        Looked at in this order.
    """
    whole, after, found = find(experiment.name), 0, []
    while after < experiment.inits:
        stored = next((n for n in (store.stored(experiment.name, after) for store in stores) if n), 0)
        found.append(whole.part(after, after + stored if stored else experiment.inits))
        after += found[-1].inits
    if after > experiment.inits and missing_levels(found[-1], *stores):
        # Levels of more trials than are asked for have been begun: the store says that these are to be gone on with.
        missing_levels(whole.part(found[-1].after, experiment.inits), *stores)
    return found


def missing_levels(experiment: Experiment, *stores: Store) -> list[Level]:
    """Return the levels from the first on that none of the stores holds."""
    stored = {name for store in stores for name in store.manifest(experiment)["levels"]}
    levels = list(experiment.levels)
    while levels and levels[0].name in stored:
        del levels[0]
    return levels


def _workers(asked: int | None, replicas: int) -> int:
    """Return how many replicas are trained at once on a CPU.

    If nobody asked, as few as let all cores work until the end: 5 replicas go on 2 cores as 3 and then 2, which takes
    as long as 2.5 one after the other; as 2, 2 and 1 they would take as long as 3.
    """
    cores = os.cpu_count() or 1
    if asked or replicas <= cores:
        return min(asked or cores, replicas)
    return next(n for n in range(cores, replicas + 1) if replicas % n == 0 or replicas % n >= cores)


def _train_on_cpu(
    experiment: Experiment,
    images: Images,
    level: int,
    masks: NDArray[np.bool_],
    workers: int,
    on_epochs: Callable[[int, int], None],
    precision: str,
    folder: Path,
    kept: Mapping[int, tuple[Trained, float]],
) -> Trained:
    """Train every replica of a level that is not `kept` as a stack of one, `workers` at once; keep each in `folder`."""
    # Copies of one process that has imported torch: to import it anew takes each worker of each level seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    epochs_done, stop = context.RawArray("q", experiment.replicas), context.Event()
    work = {
        "experiment": experiment,
        "images": images,
        "level": level,
        "epochs_done": epochs_done,
        "stop": stop,
        "precision": precision,
        "folder": folder,
    }
    with concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker, (dict(os.environ), work)) as pool:
        every = range(experiment.replicas)
        jobs = {r: pool.submit(_train_replica, r, masks[r]) for r in every if r not in kept}
        shown, pending = 0, set(jobs.values())
        try:
            while pending:
                _, pending = concurrent.futures.wait(pending, 0.5, concurrent.futures.FIRST_EXCEPTION)
                done = list(epochs_done)
                to_go = [experiment.epochs - done[r] for r, job in jobs.items() if not job.done()]
                on_epochs(sum(done) - shown, min(to_go, default=0) * min(workers, len(to_go)))
                shown = sum(done)
                for job in jobs.values():
                    if job.done():
                        job.result()  # raises what the worker raised
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        results = [kept[r][0] if r in kept else jobs[r].result() for r in every]
    return Trained(
        *(np.concatenate([getattr(result, field.name) for result in results]) for field in dataclasses.fields(Trained))
    )


def _replicas_folder(
    experiment: Experiment, images: Images, level: Level, masks: NDArray[np.bool_], precision: str, trainer: str
) -> Path:
    """Return where the replicas of a level are kept, by all that decides their bits; `trainer` is the `engine`."""
    decides = (
        *(experiment.fingerprint(), level.name, images.sha256, hashlib.sha256(np.packbits(masks).data).hexdigest()),
        *(precision, trainer, device_name("cpu"), torch.__version__, np.__version__),
        # The library's name has a hash of its code, its compiler and the processor.
        getattr(sparse.compiled_library(trainer.removesuffix(".c")), "_name", "") if trainer != "torch" else "",
    )
    return cache_folder() / "replicas" / hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def _keep(folder: Path, replica: int, trained: Trained, seconds: float) -> None:
    """Keep a trained replica, and how long it took; one that cannot be kept is trained again if need be."""
    content = io.BytesIO()
    np.savez(content, seconds=seconds, **vars(trained))
    with contextlib.suppress(OSError):
        write_whole(folder / str(replica), hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def _kept(folder: Path, experiment: Experiment) -> dict[int, tuple[Trained, float]]:
    """Return the replicas that were kept, and how long each took; what is damaged, or of other parts, is left out."""
    found = {}
    for replica in range(experiment.replicas):
        with contextlib.suppress(OSError, KeyError):
            content = (folder / str(replica)).read_bytes()
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                with np.load(io.BytesIO(content[32:]), allow_pickle=False) as parts:
                    fields = {field.name: parts[field.name] for field in dataclasses.fields(Trained)}
                    found[replica] = Trained(**fields), float(parts["seconds"])
    return found


_WORK: dict[str, Any] = {}
_TRAINING = threading.Lock()  # held by who changes or relies on _WORK["training"]: whether this worker trains


def _start_worker(environment: dict[str, str], work: dict[str, Any]) -> None:
    os.environ.clear()  # it may have changed since the process that this is a copy of began
    os.environ.update(environment)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_end_when_told, args=(work["stop"],), daemon=True).start()
    _WORK.update(work)


def _end_with_parent() -> None:
    """End this worker when its parent is killed: nobody else does, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_when_told(stop: Any) -> None:
    """End this worker in the middle of an epoch when the time is up.

    Not while it hands over a replica: the parent would wait for the other half for ever.
    """
    stop.wait()
    with _TRAINING:
        if _WORK.get("training"):
            os._exit(1)


def _train_replica(replica: int, mask: NDArray[np.bool_]) -> Trained:
    def count(epochs: int) -> None:
        _WORK["epochs_done"][replica] += epochs  # which no other worker writes

    with _TRAINING:
        if _WORK["stop"].is_set():
            raise OutOfTimeError
        _WORK["training"] = True
    replicas, precision, begin = np.array([replica]), _WORK["precision"], time.perf_counter()
    try:
        trained = train_stack(
            _WORK["experiment"], _WORK["images"], _WORK["level"], mask[None], replicas, "cpu", count, precision
        )
        _keep(_WORK["folder"], replica, trained, time.perf_counter() - begin)
        return trained
    finally:
        with _TRAINING:
            _WORK["training"] = False


def usual_device() -> str:
    """Return 'cuda' if torch finds a CUDA GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(device: str) -> str:
    """Return what a device is called; of a CPU its widest vectors too, since clouds hide which model it is."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"CPU: {name} ({torch.backends.cpu.get_cpu_capability()}), {os.cpu_count()} cores"


def seconds(
    experiment: Experiment,
    device: str | None = None,
    workers: int | None = None,
    precision: str | None = None,
) -> float:
    """Return about how long all of `experiment` takes on this device.

    What a step takes is measured once for every architecture, at the first, a middle and the last level, kept beside
    the cached images, and taken to be linear between in the number of weights that are left.

    Parameters
    ----------
    experiment : Experiment
    device, workers, precision : optional
        As of `train`; of an experiment of which no level is stored if no precision is given.
    """
    device = device or usual_device()
    _check_precision(device, precision)
    precision = precision or usual_precision(experiment, device)
    replicas, cores = experiment.replicas, os.cpu_count() or 1
    together = replicas if device == "cuda" else 1
    # How many are trained at the same time, on average; the last of those that were asked for may have cores to spare.
    at_once = replicas / math.ceil(replicas / min(workers, cores)) if workers else min(cores, replicas)
    counts = [sum(kept_counts(experiment.architecture, level).values()) for level in experiment.levels]
    # A step of a GPU does not depend on the level: it multiplies by zeros too.
    levels = {0} if device == "cuda" else {0, len(counts) // 2, len(counts) - 1}
    measured = sorted(levels, key=lambda level: counts[level])
    about = (
        "by steps of one stack",  # how it is measured
        device_name(device),
        precision,
        engine(experiment, device, precision),
        # Has the hash of the compiled code.
        getattr(sparse.compiled_library(), "_name", None) if device == "cpu" else None,
        torch.__version__,
        together,
        experiment.batch,
    )
    what = about, experiment.specification()["architecture"], counts, measured
    key = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    place = cache_folder() / f"pace-{key}.json"
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        paces = [float(pace) for pace, _ in zip(kept, measured, strict=True)]
        if not all(0 < pace < math.inf for pace in paces):
            raise ValueError(f"{place}: {paces}")
    except (OSError, ValueError, TypeError):
        paces = [_step_seconds(experiment, device, together, level, precision) for level in measured]
        with contextlib.suppress(OSError):  # a pace that cannot be kept is measured again
            write_whole(place, json.dumps(paces).encode())
    step = np.interp(counts, [counts[level] for level in measured], paces).mean()
    return float(step * experiment.samples() / (experiment.batch * (together if device == "cuda" else at_once)))


def _step_seconds(experiment: Experiment, device: str, together: int, level: int, precision: str) -> float:
    """Measure what one step of a stack costs, on noise, when it has been built and has begun."""
    architecture, rng = experiment.architecture, np.random.default_rng(0)
    parameters = np.stack([initial_parameters(architecture, 0)] * together)
    every = np.ones((together, architecture.weight_count), bool)
    masks = prune(architecture, parameters, every, experiment.levels[level])
    images = rng.integers(0, 256, (2048, *architecture.input_shape), np.uint8)
    # Labels of all classes: of one alone gradients would become so small that processors slow down.
    labels = rng.integers(0, architecture.layers[-1].shape[0], len(images), np.uint8)
    channels = channel_statistics(images) if experiment.scaling == "standardised" else None
    trainer = engine(experiment, device, precision)
    # One thread's processor time, so that other work on the machine does not count.
    now = time.perf_counter if device == "cuda" else time.process_time
    if trainer != "torch" and together == 1:
        network = _alone(experiment, parameters[0], masks[0], 0, channels, trainer != "sparse.c")

        def train(order: NDArray[np.int64]) -> None:
            network.train_epoch(images, labels, order)
    else:
        stack = _stack(experiment, parameters, masks, 0, device, channels, precision)
        x, y = torch.from_numpy(images).to(stack.device), torch.from_numpy(labels).to(stack.device).long()

        def train(order: NDArray[np.int64]) -> None:
            same = torch.from_numpy(order).to(stack.device).expand(together, *order.shape)
            stack.train_epoch(x, y, same).cpu()  # waits until the device has done all steps

    def measure(steps: int) -> float:
        order = rng.integers(0, len(images), (steps, experiment.batch))
        begin = now()
        train(order)
        return now() - begin

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        measure(1)  # captures the graph
        start, steps = measure(1), 1  # what every call begins with drops out of the difference
        while (took := measure(1 + steps) - start) < PACE_SECONDS:
            steps *= 2
    finally:
        torch.set_num_threads(threads)
    return took / steps
