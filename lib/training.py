"""Trains a stack of masked replicas at once; the only module that needs torch.

All replicas of an experiment are one network with grouped convolutions and batched matrix products,
their parameters one array of shape (replicas, parameters).  On a CUDA GPU the images lie on the device
and one step of the whole stack is one captured CUDA graph.  On a CPU each replica is a stack of one,
trained on one thread, as many at once as there are cores: there a loop over replicas beats grouped
convolutions, and a replica's bits do not depend on how many others there are.  Networks without batch
normalisation and skips are trained there by `lib.sparse`, for which pruned weights cost nothing.
"""

from __future__ import annotations  # Sphinx reads this module without torch

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import platform
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from lib import sparse
from lib.datasets import Images, cache_folder, channel_statistics
from lib.errors import UserError
from lib.experiments import Experiment
from lib.files import write_whole
from lib.models import Architecture, initial_parameters
from lib.pruning import Level, kept_counts, prune, random_masks
from lib.tickets import TEST_LOGITS, LevelRecord, Store

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
MOMENTUM = 0.9  # of SGD
WIDE, WIDE_KEPT = 32, 0.4  # channels and share of weights from which PyTorch convolves faster: benchmarks.training
RESERVE = 5.0  # seconds between the last epoch and the deadline, to evaluate, prune and write
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
    ) -> None:
        self.architecture = architecture
        self.device = torch.device(device)
        self.replicas = parameters.shape[0]
        self.learning_rate, self.noise, self.optimiser = learning_rate, noise, optimiser
        trained = parameters[:, : architecture.trained_count]
        self.mask = torch.ones(trained.shape, device=self.device)
        self.mask[:, : architecture.weight_count] = torch.from_numpy(masks.astype(np.float32)).to(self.device)
        self.flat = torch.from_numpy(trained).to(self.device) * self.mask
        self.first_moment = torch.zeros_like(self.flat)
        self.second_moment = torch.zeros_like(self.flat)
        self.time = torch.zeros((), dtype=torch.float64, device=self.device)
        self.loss_sum = torch.zeros(self.replicas, device=self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.channels = None
        if channels is not None:
            # One value for each channel of each replica, as the channels of all replicas lie side by side.
            self.channels = [
                torch.from_numpy(np.tile(c, self.replicas).astype(np.float32)).to(self.device).view(1, -1, 1, 1)
                for c in channels
            ]
        # Leaves that share their memory with `flat`, so that autograd sees one tensor a layer.
        weights, biases = architecture.weight_slices(), architecture.bias_slices()
        scales, means, variances = architecture.norm_slices()
        self.weights = [
            self.flat[:, weights[y.name]].view(self.replicas, *y.shape).detach().requires_grad_()
            for y in architecture.layers
        ]
        self.biases = [self.flat[:, biases[y.name]].detach().requires_grad_() for y in architecture.layers]
        self.scales = {name: self.flat[:, where].detach().requires_grad_() for name, where in scales.items()}
        self.means, self.variances = (
            {name: torch.from_numpy(parameters[:, where].flatten()).to(self.device) for name, where in slices.items()}
            for slices in (means, variances)
        )
        self._used_later = {name for y in architecture.layers for name in (y.source, y.add) if name}

    def parameters(self) -> NDArray[np.float32]:
        """Return all parameters as they are now, shape (replicas, parameter_count)."""
        running = [r.view(self.replicas, -1) for r in (*self.means.values(), *self.variances.values())]
        return torch.cat([self.flat, *running], dim=1).cpu().numpy()

    def forward(self, images: torch.Tensor, training: bool = False) -> torch.Tensor:
        """Return the logits of each replica for its own images.

        Parameters
        ----------
        images : uint8 tensor, shape (replicas, batch, channels, height, width)
        training : bool
            Whether batch normalisation uses, and gathers, the statistics of the batch.

        Returns
        -------
        float32 tensor, shape (replicas, batch, classes)
        """
        replicas, batch = images.shape[:2]
        # Grouped convolutions want the replicas among the channels, dense layers want them in front.
        x = images.transpose(0, 1).reshape(batch, -1, *images.shape[3:]).float()
        if self.channels is None:
            x = x * (1 / 255)
        else:
            means, deviations = self.channels
            x = (x - means) / deviations
        outputs: dict[str, torch.Tensor] = {}
        last = len(self.weights) - 1
        for number, (layer, w, b) in enumerate(zip(self.architecture.layers, self.weights, self.biases, strict=True)):
            if layer.source:
                x = outputs[layer.source]
            if len(layer.shape) == 4:
                bias = None if layer.norm else b.reshape(-1)
                x = functional.conv2d(x, w.flatten(0, 1), bias, layer.stride, layer.padding, groups=replicas)
            else:
                if x.dim() == 4:
                    x = x.mean(dim=(2, 3)) if layer.average else x
                    x = x.reshape(batch, replicas, -1).transpose(0, 1)
                x = torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2))
            if layer.norm:
                x = functional.batch_norm(
                    x,
                    self.means[layer.name],
                    self.variances[layer.name],
                    self.scales[layer.name].reshape(-1),
                    b.reshape(-1),
                    training,
                    NORM_MOMENTUM,
                    NORM_EPSILON,
                )
            if layer.pool:
                x = _MaxPool.apply(x) if x.device.type == "cpu" else functional.max_pool2d(x, 2)
            if layer.add:
                x = x + outputs[layer.add]
            if number < last and not layer.linear:
                x = functional.relu(x)
            if layer.name in self._used_later:
                outputs[layer.name] = x
        return x

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Do one step of the optimiser on the mean cross-entropy of every replica's own batch.

        Parameters
        ----------
        images : uint8 tensor, shape (replicas, batch, channels, height, width)
        labels : int64 tensor, shape (replicas, batch)
        """
        logits = self.forward(images, training=True)
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.reshape(-1), reduction="none")
        losses = losses.view(self.replicas, -1).mean(dim=1)
        gradients = torch.autograd.grad(losses.sum(), [*self.weights, *self.biases, *self.scales.values()])
        with torch.no_grad():
            self.loss_sum += losses.detach()
            gradient = torch.cat([g.reshape(self.replicas, -1) for g in gradients], dim=1)
            # A pruned weight starts at zero and never gets a gradient, so it stays there.
            gradient *= self.mask
            if self.noise:
                shake = torch.rand(gradient.shape, generator=self.generator, device=self.device)
                gradient *= 1 + self.noise * (2 * shake - 1)
            if self.optimiser == "SGD":
                self.first_moment.mul_(MOMENTUM).add_(gradient)
                self.flat -= self.learning_rate * self.first_moment
            else:
                self._adam(gradient)

    def _adam(self, gradient: torch.Tensor) -> None:
        self.time += 1
        self.first_moment.lerp_(gradient, 1 - BETAS[0])
        self.second_moment.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        spread = (self.second_moment / (1 - BETAS[1] ** self.time)).sqrt_().add_(EPSILON)
        rate = self.learning_rate / (1 - BETAS[0] ** self.time)
        self.flat -= rate * (self.first_moment / spread)

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
        if not hasattr(self, "_graph"):
            self._order = order.clone()
            self._position = torch.zeros(1, dtype=torch.int64, device=self.device)
            state = [self.flat, self.first_moment, self.second_moment, self.time, self.loss_sum]
            state += [*self.means.values(), *self.variances.values()]
            saved = [tensor.clone() for tensor in state]
            generator_state = self.generator.get_state()

            def step() -> None:
                chosen = self._order.index_select(1, self._position).squeeze(1)
                self.step(images[chosen], labels[chosen])
                self._position += 1

            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # warm-up, undone below
                for _ in range(3):
                    self._position.zero_()
                    step()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(self.generator)
            with torch.cuda.graph(self._graph):
                step()
            for tensor, value in zip(state, saved, strict=True):
                tensor.copy_(value)
            self.generator.set_state(generator_state)
        self._order.copy_(order)
        self._position.zero_()
        for _ in range(order.shape[1]):
            self._graph.replay()

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
            output = self.forward(part.unsqueeze(0).expand(self.replicas, *part.shape))
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

    Returns
    -------
    Trained
    """
    architecture = experiment.architecture
    start = np.stack([initial_parameters(architecture, int(r) // experiment.runs) for r in replicas])
    label = f"noise/{experiment.name}/{level}/{','.join(str(r) for r in replicas)}"
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little") >> 1
    channels = channel_statistics(images.train) if experiment.scaling == "standardised" else None
    if engine(experiment, device, level) == "sparse.c" and len(replicas) == 1:
        return _train_sparse(experiment, images, level, start[0], masks[0], int(replicas[0]), seed, channels, on_epochs)
    stack = Stack(
        architecture,
        start,
        masks,
        experiment.learning_rate,
        experiment.noise,
        seed,
        device,
        experiment.optimiser,
        channels,
    )

    def on_device(array: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(stack.device)

    x, y = on_device(images.train), on_device(images.train_labels).long()
    losses = []
    for epoch in range(experiment.epochs):
        order = np.stack([experiment.batch_order(int(r), level, epoch, len(x)) for r in replicas])
        losses.append(stack.train_epoch(x, y, torch.from_numpy(order).to(stack.device)).cpu().numpy())
        if on_epochs is not None:
            on_epochs(len(replicas))
    logits, correct = stack.evaluate(on_device(images.test), on_device(images.test_labels).long())
    return Trained(stack.parameters(), logits, correct, np.stack(losses, axis=1))


def engine(experiment: Experiment, device: torch.device | str, level: int) -> str:
    """Return what trains a level of `experiment` on `device`: 'sparse.c' or 'torch'.

    PyTorch's convolutions of many channels are faster than those of sparse.c as long as many weights are left.
    """
    layers = experiment.architecture.layers
    kept = kept_counts(experiment.architecture, experiment.levels[level])
    dense = any(len(y.shape) == 4 and y.shape[1] >= WIDE and kept[y.name] > WIDE_KEPT * y.size for y in layers)
    compiled = (
        str(device) == "cpu" and sparse.supports(experiment.architecture) and sparse.compiled_library() is not None
    )
    return "sparse.c" if compiled and not dense else "torch"


def _train_sparse(
    experiment: Experiment,
    images: Images,
    level: int,
    parameters: NDArray[np.float32],
    mask: NDArray[np.bool_],
    replica: int,
    seed: int,
    channels: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    on_epochs: Callable[[int], None] | None,
) -> Trained:
    """Train one replica through one level, surviving weights only."""
    momentum, decay = BETAS if experiment.optimiser == "Adam" else (MOMENTUM, 0.0)
    network = sparse.Replica(
        experiment.architecture,
        parameters,
        mask,
        experiment.learning_rate,
        momentum,
        decay,
        EPSILON,
        experiment.noise,
        seed,
        channels,
    )
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
    """The level that was being trained would not have been finished in time."""


class _Clock:
    """Stops a level as soon as its pace says that it will not end before the deadline.

    Parameters
    ----------
    deadline : float or None
        In seconds of ``time.monotonic``.
    epochs : int
        Of all replicas of the level.
    """

    def __init__(self, deadline: float | None, epochs: int) -> None:
        self.deadline, self.epochs, self.done = deadline, epochs, 0
        self.first: tuple[float, int] | None = None  # when the first epochs were done, and how many

    def check(self, more: int = 0) -> None:
        """Count epochs that were done; raise `OutOfTimeError` if the rest will not end in time."""
        self.done += more
        now = end = time.monotonic()
        if self.first is None and self.done:
            self.first = (now, self.done)
        elif self.first is not None and self.done - self.first[1] > self.epochs // 10:
            # The first epochs do not count: they also start processes and capture graphs.
            pace = (now - self.first[0]) / (self.done - self.first[1])
            end = now + pace * (self.epochs - self.done)
        if self.deadline is not None and end + RESERVE > self.deadline:
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
) -> bool:
    """Train what is missing of an experiment, level by level: train, prune, reset, store.

    Goes on after the last level that `store` or `out` holds; the state between two levels is only the masks.

    Parameters
    ----------
    experiment : Experiment
    images : Images
    store : Store
    device : str, optional
        'cuda' or 'cpu'; a GPU if there is one.
    workers : int, optional
        Processes on a CPU, one a core if not given. The result does not depend on it.
    quiet : bool
        Whether to show no progress bar.
    out : Store, optional
        Where new levels go; `store` if not given.
    deadline : float, optional
        In seconds of ``time.monotonic``: a level that will not be finished by then is given up.

    Returns
    -------
    bool
        Whether all levels are trained.

    Raises
    ------
    UserError
        If the images do not fit the architecture, the device is not there, the training diverges or another process
        trains this experiment into this store.
    """
    if images.train.shape[1:] != experiment.architecture.input_shape:
        raise UserError(
            f"images have shape {images.train.shape[1:]}; {experiment.architecture.name} takes "
            f"{experiment.architecture.input_shape}"
        )
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"device is {device!r}: it should be 'cpu', or 'cuda' where torch finds a CUDA GPU")
    workers = min(workers or os.cpu_count() or 1, experiment.replicas)
    out = out or store
    missing = missing_levels(experiment, store, out)
    if not missing:
        return True
    first = experiment.levels.index(missing[0])
    masks: NDArray[np.bool_] | None
    if first:
        before = experiment.levels[first - 1]
        holder = out if before.name in out.manifest(experiment)["levels"] else store
        masks = holder.read(experiment, before).next_masks
    else:
        masks = np.ones((experiment.replicas, experiment.architecture.weight_count), bool)
    level_epochs = experiment.epochs * experiment.replicas
    progress = tqdm(
        total=len(missing) * level_epochs, desc=experiment.name, unit="epoch", disable=quiet, smoothing=0.02
    )
    with out.alone(experiment), progress:
        for number in range(first, len(experiment.levels)):
            level = experiment.levels[number]
            progress.set_postfix_str(f"level {level.name}")
            if level.random:
                masks = random_masks(experiment.architecture, level, experiment.replicas)
            assert masks is not None
            begin = time.perf_counter()
            clock = _Clock(deadline, level_epochs)

            def on_epochs(count: int, clock: _Clock = clock) -> None:
                progress.update(count)
                clock.check(count)

            try:
                clock.check()
                if device == "cuda":
                    every = np.arange(experiment.replicas)
                    trained = train_stack(experiment, images, number, masks, every, device, on_epochs)
                else:
                    trained = _train_on_cpu(experiment, images, number, masks, workers, on_epochs)
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
                next_masks=following,
            )
            trainer = engine(experiment, device, number)
            provenance = {
                "wall seconds": round(time.perf_counter() - begin, 1),
                "device": device_name(device),
                "processes": workers if device == "cpu" else 1,
                "engine": trainer,
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "numpy": np.__version__,
                    **({"compiler": sparse.compiler_version()} if trainer == "sparse.c" else {}),
                },
                "data": {
                    "name": images.name,
                    "source": images.source,
                    "sha256": images.sha256,
                    "training images": len(images.train),
                    "test images": len(images.test),
                },
            }
            out.write(experiment, level, record, provenance)
            masks = following
    return True


def missing_levels(experiment: Experiment, *stores: Store) -> list[Level]:
    """Return the levels from the first on that none of the stores holds."""
    stored = {name for store in stores for name in store.manifest(experiment)["levels"]}
    levels = list(experiment.levels)
    while levels and levels[0].name in stored:
        del levels[0]
    return levels


def _train_on_cpu(
    experiment: Experiment,
    images: Images,
    level: int,
    masks: NDArray[np.bool_],
    workers: int,
    on_epochs: Callable[[int], None],
) -> Trained:
    """Train every replica of a level as a stack of one, `workers` at once."""
    context = multiprocessing.get_context("spawn")
    epochs_done, stop = context.Value("q", 0), context.Event()
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, _start_worker, (experiment, images, level, epochs_done, stop)
    ) as pool:
        jobs = [pool.submit(_train_replica, r, masks[r]) for r in range(experiment.replicas)]
        shown, pending = 0, set(jobs)
        try:
            while pending:
                _, pending = concurrent.futures.wait(pending, 0.5, concurrent.futures.FIRST_EXCEPTION)
                on_epochs(epochs_done.value - shown)
                shown = epochs_done.value
                for job in jobs:
                    if job.done():
                        job.result()  # raises what the worker raised
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        results = [job.result() for job in jobs]
    return Trained(
        *(np.concatenate([getattr(result, field.name) for result in results]) for field in dataclasses.fields(Trained))
    )


_WORK: dict[str, Any] = {}


def _start_worker(experiment: Experiment, images: Images, level: int, epochs_done: Any, stop: Any) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORK.update(experiment=experiment, images=images, level=level, epochs_done=epochs_done, stop=stop)


def _end_with_parent() -> None:
    """End this worker when its parent is killed: nobody else does, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _train_replica(replica: int, mask: NDArray[np.bool_]) -> Trained:
    def count(epochs: int) -> None:
        with _WORK["epochs_done"].get_lock():
            _WORK["epochs_done"].value += epochs
        if _WORK["stop"].is_set():
            raise OutOfTimeError

    return train_stack(
        _WORK["experiment"], _WORK["images"], _WORK["level"], mask[None], np.array([replica]), "cpu", count
    )


def device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"CPU: {name}, {os.cpu_count()} cores"


def seconds(experiment: Experiment, device: str | None = None, workers: int | None = None) -> float:
    """Return about how long all of `experiment` takes on this device.

    What a step takes is measured once for every architecture, at the first and the last level, kept beside the cached
    images, and taken to be linear in the number of weights that are left.

    Parameters
    ----------
    experiment : Experiment
    device, workers : optional
        As of `train`.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    workers = 1 if device == "cuda" else min(workers or os.cpu_count() or 1, experiment.replicas)
    together = experiment.replicas if device == "cuda" else 1
    counts = [sum(kept_counts(experiment.architecture, level).values()) for level in experiment.levels]
    about = (
        device_name(device),
        [engine(experiment, device, n) for n in (0, -1)],
        torch.__version__,
        together,
        experiment.batch,
    )
    key = hashlib.sha256(repr((about, experiment.specification()["architecture"], counts)).encode()).hexdigest()[:16]
    place = cache_folder() / f"pace-{key}.json"
    try:
        dense, pruned = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        dense, pruned = (_step_seconds(experiment, device, together, level) for level in (0, -1))
        with contextlib.suppress(OSError):  # a pace that cannot be kept is measured again
            write_whole(place, json.dumps([dense, pruned]).encode())
    step = np.interp(counts, (counts[-1], counts[0]), (pruned, dense)).mean()
    return float(step * experiment.samples() / (experiment.batch * together * workers))


def _step_seconds(experiment: Experiment, device: str, together: int, level: int) -> float:
    """Measure what one step of a stack costs, on noise; what starting costs drops out of a difference."""
    architecture, rng = experiment.architecture, np.random.default_rng(0)
    parameters = np.stack([initial_parameters(architecture, 0)] * together)
    every = np.ones((together, architecture.weight_count), bool)
    masks = prune(architecture, parameters, every, experiment.levels[level])

    def measure(steps: int) -> float:
        def noise(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
            return rng.integers(0, 256, (count, *architecture.input_shape), np.uint8), np.zeros(count, np.uint8)

        images = Images("noise", *noise(steps * experiment.batch), *noise(1), "noise", "0" * 64)
        # One thread's processor time, so that other work on the machine does not count.
        now = time.perf_counter if device == "cuda" else time.process_time
        begin = now()
        train_stack(dataclasses.replace(experiment, epochs=1), images, level, masks, np.arange(together), device)
        return now() - begin

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        measure(1)
        start, steps = measure(1), 1
        while (took := measure(1 + steps) - start) < 0.3 and steps < 2000:
            steps *= 4
    finally:
        torch.set_num_threads(threads)
    return max(took, 1e-9) / steps
