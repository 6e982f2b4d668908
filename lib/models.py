"""Architectures as tables of layers, and their initial weights.

All parameters of a network lie in one flat vector, first the weights of every layer, then the biases
of every layer.  Masks cover the weights only: biases are never pruned.
"""

import dataclasses
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from lib import streams


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer: a convolution (4-d shape) or a dense layer (2-d shape).

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the weights: (filters, channels, height, width) or (units, inputs).
    padding : int
        Zeros around the input of a convolution, in pixels.
    pool : bool
        Whether a 2 x 2 max-pooling follows.
    """

    name: str
    shape: tuple[int, ...]
    padding: int = 0
    pool: bool = False

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A chain of layers with a ReLU after each but the last.

    Attributes
    ----------
    name : str
    input_shape : tuple of int
        (channels, height, width) of an image.
    layers : tuple of Layer
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]

    @property
    def weight_count(self) -> int:
        """Number of weights of all layers, biases not counted."""
        return sum(layer.size for layer in self.layers)

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return self.weight_count + sum(layer.shape[0] for layer in self.layers)

    def weight_slices(self) -> dict[str, slice]:
        """Return where each layer's weights lie in the flat vector, by layer name."""
        return _slices({layer.name: layer.size for layer in self.layers}, 0)

    def bias_slices(self) -> dict[str, slice]:
        """Return where each layer's biases lie in the flat vector, by layer name."""
        return _slices({layer.name: layer.shape[0] for layer in self.layers}, self.weight_count)


def _slices(sizes: dict[str, int], start: int) -> dict[str, slice]:
    result = {}
    for name, size in sizes.items():
        result[name] = slice(start, start + size)
        start += size
    return result


def lenet(input_shape: tuple[int, int, int], name: str) -> Architecture:
    """Return paper A's small network for images of `input_shape`.

    Two convolutions of 6 and 16 filters of 5 x 5 without padding, each with max-pooling, then dense
    layers of 120, 84 and 10 units (paper A, section 2).
    """
    channels, height, width = input_shape
    flat = 16 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return Architecture(
        name,
        input_shape,
        (
            Layer("conv1", (6, channels, 5, 5), pool=True),
            Layer("conv2", (16, 6, 5, 5), pool=True),
            Layer("dense1", (120, flat)),
            Layer("dense2", (84, 120)),
            Layer("output", (10, 84)),
        ),
    )


def initial_parameters(architecture: Architecture, init: int) -> NDArray[np.float32]:
    """Return the initial parameters of one network: Glorot-normal weights, zero biases.

    A layer's weights depend on nothing but `init`, the layer's name and its shape, so that networks for
    different data sets start from the same weights wherever their layers have the same shape.

    Parameters
    ----------
    architecture : Architecture
    init : int
        Number of the initialisation.

    Returns
    -------
    float32 array, shape (architecture.parameter_count,)

    References
    ----------
    Zhou et al. 2019 start from Glorot-normal weights: variance 2 / (fan in + fan out).
    """
    flat = np.zeros(architecture.parameter_count, np.float32)
    slices = architecture.weight_slices()
    for layer in architecture.layers:
        receptive = math.prod(layer.shape[2:])
        deviation = math.sqrt(2.0 / ((layer.shape[0] + layer.shape[1]) * receptive))
        numbers = streams.normal(f"initial weights/{init}/{layer.name}", layer.size)
        flat[slices[layer.name]] = numbers * deviation
    return flat


def initial_hash(architecture: Architecture, inits: int) -> str:
    """Return the SHA-256 (hex) of the initial parameters 0 .. `inits` - 1, to check them against."""
    digest = hashlib.sha256()
    for init in range(inits):
        digest.update(initial_parameters(architecture, init).astype("<f4").tobytes())
    return digest.hexdigest()
