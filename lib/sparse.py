"""Trains one masked replica on one core: compiles and calls sparse.c, tiles.c and residual.c.

PyTorch multiplies pruned weights as it does the others; in sparse.c they cost nothing, and wide layers with many
weights left go by faster products (products.h).  In tiles.c, for paper B's network, and residual.c, for paper A's
ResNet18, both in bf16, the processor's matrix unit multiplies.  The machine's C compiler makes the libraries the first
time they are needed.
"""

import ctypes
import functools
import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.datasets import cache_folder
from lib.models import Architecture, conv2, resnet18

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


class _Optimiser(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double) for name in ("rate", "momentum", "decay", "epsilon", "noise")]
    _fields_ += [("seed", ctypes.c_uint64), ("time", ctypes.c_int64)]


def supports(architecture: Architecture) -> bool:
    """Return whether sparse.c can train `architecture`.

    It has at most 256 classes. What is not a chain is between convolutions with batch normalisation and without
    pooling; each of these is added to one other at most, and has a ReLU only if a layer takes its output.
    """
    layers = architecture.layers
    added = [y.add for y in layers if y.add]
    taken = {y.source or before.name for before, y in itertools.pairwise(layers)}
    return (
        layers[-1].shape[0] <= 256
        and len(set(added)) == len(added)
        and all(y.norm or not (y.source or y.add or y.linear) for y in layers if len(y.shape) == 4)
        and all(not (y.norm or y.add or y.linear) and (y.average or not y.source) for y in layers if len(y.shape) == 2)
        and all(not y.pool and (y.linear or y.name in taken) for y in layers if y.norm)
    )


# Of the libraries that use a matrix unit: what each can train, in which batches at most, and whether with noise.
_TILED = {"tiles": (conv2(), 64, False), "residual": (resnet18(), 128, True)}


@functools.cache
def tiled_library(architecture: Architecture) -> str:
    """Return which library trains `architecture` by the processor's matrix unit for bf16, without ``.c``.

    It is '' where none does, the processor has no such unit (AMX), or the system does not lend it to this process.
    """
    for name, (known, _, _) in _TILED.items():
        if architecture == known:
            library = compiled_library(name)
            return name if library is not None and library.usable() else ""
    return ""


def tiles(architecture: Architecture, batch: int, optimiser: str, noise: float) -> bool:
    """Return whether the `tiled_library` of an architecture can train it so; optimisers are those of an experiment."""
    name = tiled_library(architecture)
    return bool(name) and batch <= _TILED[name][1] and optimiser == "Adam" and (not noise or _TILED[name][2])


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CC") or "cc")


def compiler_version() -> str:
    """Return the first line of what the machine's C compiler says of its version."""
    compiler = _compiler()
    if compiler is None:
        raise ValueError("this machine has no C compiler")
    said = subprocess.run([compiler, "--version"], capture_output=True, check=True, text=True).stdout
    return said.partition("\n")[0]


@functools.cache
def compiled_library(name: str = "sparse", *defined: str) -> ctypes.CDLL | None:
    """Return ``lib/NAME.c`` as a library, or None where there is no C compiler or it fails.

    It is compiled for this processor once and kept beside the cached images; `defined` are macros, as NAME=VALUE.
    """
    compiler = _compiler()
    if compiler is None:
        return None
    source = Path(__file__).with_name(f"{name}.c")
    try:
        about = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
        about += subprocess.run([compiler, "-march=native", "-Q", "--help=target"], capture_output=True).stdout
        files = (source.name, "common.h", "tiles.h", "products.h")
        text = b"".join(source.with_name(file).read_bytes() for file in files)
        flags = *_FLAGS, *(f"-D{macro}" for macro in defined)
        key = hashlib.sha256(text + about + repr(flags).encode()).hexdigest()[:16]
        place = cache_folder() / f"{name}-{key}.so"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                made = Path(folder) / "sparse.so"
                subprocess.run([compiler, *flags, "-o", made, source, "-lm"], capture_output=True, check=True)
                os.replace(made, place)
        return ctypes.CDLL(str(place))
    except (OSError, subprocess.CalledProcessError):
        return None


class Replica:
    """One network that is trained epoch by epoch.

    Parameters
    ----------
    architecture : Architecture
        One that `supports` accepts, or for which there is a `tiled_library`.
    parameters : float32 array, shape (parameter_count,)
        Initial parameters, before masking.
    mask : bool array, shape (weight_count,)
    learning_rate, momentum, decay, epsilon : float
        Of Adam: betas `momentum` and `decay`; of SGD with momentum where `decay` is 0.
    noise : float
        Relative uniform noise on every gradient; 0 for none.
    seed : int
        Of that noise.
    channels : pair of float arrays, shape (channels,), optional
        Mean and standard deviation of every channel, to standardise the pixels; they are divided by 255 if not given.
    tiled : bool
        Whether its `tiled_library` trains it, as far as it `tiles`.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: NDArray[np.float32],
        mask: NDArray[np.bool_],
        learning_rate: float,
        momentum: float,
        decay: float,
        epsilon: float,
        noise: float = 0.0,
        seed: int = 0,
        channels: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        tiled: bool = False,
    ) -> None:
        name = tiled_library(architecture) if tiled else "sparse" if supports(architecture) else ""
        # Batch normalisation keeps the outputs of a whole batch: in smaller blocks, more of them stay in the caches.
        defined = ("PARTS=1",) if name == "sparse" and any(y.norm for y in architecture.layers) else ()
        compiled = compiled_library(name, *defined) if name else None
        if compiled is None:
            how = "by a matrix unit" if tiled else "by sparse.c"
            raise ValueError(f"{architecture.name} cannot be trained {how} on this machine")
        if tiled and not tiles(architecture, 1, "Adam" if decay else "SGD", noise):
            raise ValueError(f"{name}.c cannot train with noise {noise} and decay {decay}")
        self._library, self._most = compiled, _TILED[name][1] if tiled else None
        self.parameters = np.array(parameters, np.float32)
        self.parameters[: len(mask)] *= mask
        self._first, self._second = np.zeros_like(self.parameters), np.zeros_like(self.parameters)
        self._mask = np.ascontiguousarray(mask, np.uint8)
        self._optimiser = _Optimiser(learning_rate, momentum, decay, epsilon, noise, seed, 0)
        self._classes = architecture.layers[-1].shape[0]
        self._shape = np.array(architecture.input_shape, np.int64)
        weights, biases = architecture.weight_slices(), architecture.bias_slices()
        number = {y.name: k for k, y in enumerate(architecture.layers)}
        self._layers = np.array(
            [
                [
                    *(*y.shape, 0, 0)[:4],
                    *(y.stride, y.padding, y.pool, weights[y.name].start, biases[y.name].start),
                    *(number[y.source] if y.source else k - 1, number[y.add] if y.add else -1, y.linear, y.average),
                    *(where[y.name].start if y.norm else -1 for where in architecture.norm_slices()),
                ]
                for k, y in enumerate(architecture.layers)
            ],
            np.int64,
        )
        means, deviations = channels or (np.zeros(self._shape[0]), np.full(self._shape[0], 255.0))
        self._channels = np.stack([means, 1 / np.asarray(deviations)], axis=1).astype(np.float32)

    def train_epoch(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], order: NDArray[np.int64]) -> float:
        """Train one epoch; return the mean loss.

        Parameters
        ----------
        images : uint8 array, shape (n, channels, height, width)
        labels : uint8 array, shape (n,)
        order : int64 array, shape (steps, batch)
        """
        steps, batch = order.shape
        if self._most is not None and batch > self._most:
            raise ValueError(f"order has batches of {batch}; it should be at most {self._most} images")
        loss = ctypes.c_double()
        self._call(
            self._library.train_epoch,
            ctypes.c_int64(len(self.parameters)),
            self.parameters,
            self._first,
            self._second,
            np.ascontiguousarray(images),
            np.ascontiguousarray(labels, np.uint8),
            np.ascontiguousarray(order, np.int64),
            ctypes.c_int64(steps),
            ctypes.c_int64(batch),
            ctypes.byref(self._optimiser),
            ctypes.byref(loss),
        )
        self._optimiser.time += steps
        return loss.value

    def evaluate(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of every image, shape (n, classes)."""
        logits = np.empty((len(images), self._classes), np.float32)
        self._call(
            self._library.evaluate, self.parameters, np.ascontiguousarray(images), ctypes.c_int64(len(images)), logits
        )
        return logits

    def _call(self, function: Callable[..., int], *arguments: object) -> None:
        arrays = (self._layers, self._shape, self._channels, self._mask)
        pointers = [
            a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in (*arrays, *arguments)
        ]
        if function(ctypes.c_int64(len(self._layers)), *pointers):
            raise MemoryError("not enough memory to train this network")
