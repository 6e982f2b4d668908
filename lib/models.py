"""Architectures as tables of layers, and their initial weights.

All parameters of a network lie in one flat vector: the weights of every layer, then the biases of every
layer; then, of the layers with batch normalisation, the scales, the running means and the running variances.
A normalised layer's bias is the offset of its normalisation.  Masks cover the weights only: all else is
never pruned.
"""

import dataclasses
import functools
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.errors import kind, whole


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer: a convolution (4-d shape) or a dense layer (2-d shape).

    In this order: weights, normalisation or bias, pooling, sum with another layer's output, ReLU.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the weights: (filters, channels, height, width) or (units, inputs).
    padding : int
        Zeros around the input of a convolution, in pixels.
    pool : bool
        Whether a 2 x 2 max-pooling follows.
    stride : int
        Of a convolution, in pixels.
    norm : bool
        Whether batch normalisation follows, over the images of a batch and all pixels.
    source : str
        Name of the layer whose output it takes; empty for the layer before.
    add : str
        Name of the layer whose output is added to its own; empty for none.
    linear : bool
        Whether the ReLU is left out.
    average : bool
        Whether a dense layer takes the mean over all pixels of every channel, not every pixel.
    """

    name: str
    shape: tuple[int, ...]
    padding: int = 0
    pool: bool = False
    stride: int = 1
    norm: bool = False
    source: str = ""
    add: str = ""
    linear: bool = False
    average: bool = False

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Layers, each fed by the one before unless it says otherwise, with a ReLU after each but the last.

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
    def trained_count(self) -> int:
        """Number of parameters that training changes by their gradient: weights, biases and scales."""
        return self.weight_count + sum(layer.shape[0] * (2 if layer.norm else 1) for layer in self.layers)

    @property
    def parameter_count(self) -> int:
        """Number of all parameters, running means and variances included."""
        return self.trained_count + sum(2 * layer.shape[0] for layer in self.layers if layer.norm)

    def weight_slices(self) -> dict[str, slice]:
        """Return where each layer's weights lie in the flat vector, by layer name."""
        return _slices({layer.name: layer.size for layer in self.layers}, 0)

    def bias_slices(self) -> dict[str, slice]:
        """Return where each layer's biases lie in the flat vector, by layer name."""
        return _slices({layer.name: layer.shape[0] for layer in self.layers}, self.weight_count)

    def norm_slices(self) -> tuple[dict[str, slice], dict[str, slice], dict[str, slice]]:
        """Return where scales, running means and running variances lie, by name of the normalised layer."""
        sizes = {layer.name: layer.shape[0] for layer in self.layers if layer.norm}
        start, total = self.trained_count, sum(sizes.values())
        return _slices(sizes, start - total), _slices(sizes, start), _slices(sizes, start + total)


def _slices(sizes: dict[str, int], start: int) -> dict[str, slice]:
    result = {}
    for name, size in sizes.items():
        result[name] = slice(start, start + size)
        start += size
    return result


def lenet(
    input_shape: tuple[int, int, int],
    name: str,
    widths: tuple[int, int, int, int] = (6, 16, 120, 84),
    stride: int = 1,
) -> Architecture:
    """Return paper A's small network for images of `input_shape`.

    Two convolutions of 5 x 5 without padding, each with max-pooling, then three dense layers, the last of
    10 units (paper A, section 2).

    Parameters
    ----------
    input_shape : tuple of int
    name : str
    widths : tuple of int
        Filters of the two convolutions and units of the two hidden dense layers.
    stride : int
        Of the second convolution.
    """
    channels, height, width = input_shape
    first, second, third, fourth = widths
    pixels = math.prod((((side - 4) // 2 - 5) // stride + 1) // 2 for side in (height, width))
    return Architecture(
        name,
        input_shape,
        (
            Layer("conv1", (first, channels, 5, 5), pool=True),
            Layer("conv2", (second, first, 5, 5), pool=True, stride=stride),
            Layer("dense1", (third, second * pixels)),
            Layer("dense2", (fourth, third)),
            Layer("output", (10, fourth)),
        ),
    )


def lenet_equal() -> Architecture:
    """Return paper A's network for Fashion-MNIST whose inner layers have nearly the same size.

    400, 2,400, 2,400, 2,500 and 250 weights (paper A, section 3.4 and appendix D.5: "2400 or 2500 weights, first
    layer 400, last layer 250").  These sizes leave 24 inputs of the first dense layer, so that 6 channels of
    2 x 2 pixels enter it; the paper does not say how it gets there, here the second convolution has stride 2.
    """
    return lenet((1, 28, 28), "lenet-equal", (16, 6, 100, 25), stride=2)


def conv2() -> Architecture:
    """Return paper B's network, the Conv-2 of Frankle and Carbin (2019): 4,300,992 weights in five layers."""
    return Architecture(
        "conv2",
        (3, 32, 32),
        (
            Layer("conv1", (64, 3, 3, 3), padding=1),
            Layer("conv2", (64, 64, 3, 3), padding=1, pool=True),
            Layer("dense1", (256, 64 * 16 * 16)),
            Layer("dense2", (256, 256)),
            Layer("output", (10, 256)),
        ),
    )


def resnet18() -> Architecture:
    """Return the small ResNet18 that Frankle and Carbin (2019) train on CIFAR-10: 270,896 weights.

    The numbers of the convolutions leave the two 1 x 1 projections out: conv1 to conv19.
    """
    return Architecture(
        "resnet18-small",
        (3, 32, 32),
        (
            Layer("conv1", (16, 3, 3, 3), padding=1, norm=True),
            *_block(2, 16, 16),
            *_block(4, 16, 16),
            *_block(6, 16, 16),
            *_block(8, 16, 32),
            *_block(10, 32, 32),
            *_block(12, 32, 32),
            *_block(14, 32, 64),
            *_block(16, 64, 64),
            *_block(18, 64, 64),
            Layer("output", (10, 64), average=True),
        ),
    )


def _block(number: int, channels: int, width: int) -> tuple[Layer, ...]:
    """Return a residual block of two convolutions, the first of which is convolution `number`."""
    before, first, second = (f"conv{k}" for k in (number - 1, number, number + 1))
    if channels == width:
        return (
            Layer(first, (width, width, 3, 3), padding=1, norm=True),
            Layer(second, (width, width, 3, 3), padding=1, norm=True, add=before),
        )
    projection = f"projection{number}"
    return (
        Layer(first, (width, channels, 3, 3), padding=1, norm=True, stride=2),
        Layer(projection, (width, channels, 1, 1), norm=True, stride=2, source=before, linear=True),
        Layer(second, (width, width, 3, 3), padding=1, norm=True, source=first, add=projection),
    )


def initial_parameters(architecture: Architecture, init: int) -> NDArray[np.float32]:
    """Return the initial parameters of one network: Glorot-normal weights, zero biases.

    Scales and running variances are one, running means zero.

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
        Not to be written to.

    References
    ----------
    Zhou et al. 2019 start from Glorot-normal weights: variance 2 / (fan in + fan out).
    """
    return _initial_parameters(kind("architecture", architecture, Architecture), whole("init", init, 0))


@functools.lru_cache(maxsize=25)  # of Conv-2 they take a second each, and every level starts from them
def _initial_parameters(architecture: Architecture, init: int) -> NDArray[np.float32]:
    flat = np.zeros(architecture.parameter_count, np.float32)
    slices = architecture.weight_slices()
    for layer in architecture.layers:
        receptive = math.prod(layer.shape[2:])
        deviation = math.sqrt(2.0 / ((layer.shape[0] + layer.shape[1]) * receptive))
        numbers = streams.normal(f"initial weights/{init}/{layer.name}", layer.size)
        flat[slices[layer.name]] = numbers * deviation
    scales, _, variances = architecture.norm_slices()
    for where in (*scales.values(), *variances.values()):
        flat[where] = 1
    flat.flags.writeable = False
    return flat


def initial_signs(architecture: Architecture, init: int) -> NDArray[np.int8]:
    """Return the signs of the initial weights of one network: those of `initial_parameters`, without their sizes.

    Parameters
    ----------
    architecture : Architecture
    init : int
        Number of the initialisation.

    Returns
    -------
    int8 array, shape (architecture.weight_count,)
        1 or -1.
    """
    # A number of the stream is above the median if the first bit of its raw word is set.
    words = (streams.raw(f"initial weights/{init}/{layer.name}", layer.size) for layer in architecture.layers)
    above = np.concatenate([layer >= np.uint64(2**63) for layer in words])
    return np.where(above, np.int8(1), np.int8(-1))


def initial_hash(architecture: Architecture, inits: int, after: int = 0) -> str:
    """Return the SHA-256 (hex) of the initial parameters of `inits` numbers from `after` on, to check them against."""
    digest = hashlib.sha256()
    for init in range(after, after + inits):
        digest.update(initial_parameters(architecture, init).astype("<f4").tobytes())
    return digest.hexdigest()
