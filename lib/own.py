"""The measures of this book for networks of your own: two state dicts, or masks, of any architecture.

A network is a mapping of names to arrays or tensors, as ``model.state_dict()`` returns it.  Its layers are the tensors
of two axes and more: rows of a dense layer, filters of a convolution.  What ``torch.nn.utils.prune`` leaves (a weight
and its mask) is understood; elsewhere a weight that is exactly zero is pruned.  A boolean array is a mask alone.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import linear_sum_assignment

from lib import kernels, similarity, topology
from lib.errors import UserError
from lib.models import Architecture, Layer

Network = dict[str, NDArray[Any]]
_PROBABILITY = 0.95


@dataclasses.dataclass(frozen=True)
class LayerComparison:
    """How alike one layer of two networks is.

    Attributes
    ----------
    name : str
    weights : int
        Of the layer, pruned or not.
    kept : (int, int)
        Weights that the first and the second network keep.
    overlap : float
        Weights that both keep, in percent of the smaller mask; nan if one keeps nothing.
    expected, low, high : float
        The same of masks drawn at random: its mean and its central 95 %, in percent of the smaller mask.
    rank_correlation, null_deviation : float
        Spearman's correlation of the weights that both keep, and its standard deviation by chance; nan of masks alone,
        or where fewer than 3 weights are kept by both or all are equal.
    nnstd, nnstd_signs : float
        Distance of the two layers' connections, 0 to 1, without and with signs; nan with signs of masks alone.
    """

    name: str
    weights: int
    kept: tuple[int, int]
    overlap: float
    expected: float
    low: float
    high: float
    rank_correlation: float
    null_deviation: float
    nnstd: float
    nnstd_signs: float

    def __str__(self) -> str:
        """Return it in a line."""
        return (
            f"{self.name}: {self.kept[0]:,} and {self.kept[1]:,} of {self.weights:,} weights kept; overlap "
            f"{self.overlap:.1f} % (chance {self.expected:.1f} %, 95 %: {self.low:.1f} to {self.high:.1f} %); rank "
            f"correlation {self.rank_correlation:.2f} (chance 0, deviation {self.null_deviation:.2f}); NNSTD "
            f"{self.nnstd:.3f}, with signs {self.nnstd_signs:.3f}"
        )


@dataclasses.dataclass(frozen=True)
class LayerKernels:
    """Sign patterns in the 3 x 3 kernels of one layer, with what chance gives; nan where they are not defined.

    Attributes
    ----------
    name : str
    sign_ratio : float
        Positive weights to a negative one.
    position_deviation, expected_position_deviation : float
        Standard deviation of the survivors per position in a filter.
    neighbour_share, expected_neighbour_share : float
        Share of the pairs of weights in one kernel that share an edge.
    same_sign_share, expected_same_sign_share : float
        Share of these neighbours that have the same sign.
    """

    name: str
    sign_ratio: float
    position_deviation: float
    expected_position_deviation: float
    neighbour_share: float
    expected_neighbour_share: float
    same_sign_share: float
    expected_same_sign_share: float

    def __str__(self) -> str:
        """Return it in a line."""
        return (
            f"{self.name}: {self.sign_ratio:.2f} positive weights to a negative one; survivors per position deviate by "
            f"{self.position_deviation:.2f} (chance {self.expected_position_deviation:.2f}); "
            f"{100 * self.neighbour_share:.1f} % of pairs are neighbours (chance "
            f"{100 * self.expected_neighbour_share:.1f} %), {100 * self.same_sign_share:.1f} % of these with one sign "
            f"(chance {100 * self.expected_same_sign_share:.1f} %)"
        )


def read(path: Path | str) -> Network:
    """Read a network from a file that ``torch.save`` or ``numpy.savez`` wrote.

    Nothing in the file is executed: torch reads with ``weights_only=True``, NumPy without pickle.

    Parameters
    ----------
    path : Path or str
        A ``.npz`` file, or else a state dict, alone or under the key 'state_dict'; a whole pickled model is refused.

    Returns
    -------
    dict
        As `network` returns it.

    Raises
    ------
    UserError
        If the file cannot be read so, or torch is needed and not installed.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return network(dict(archive))
        import torch

        content = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise UserError(f"path is {str(path)!r}: reading it needs torch, which is not installed ({error})") from error
    except UserError:
        raise
    except Exception as error:  # torch and NumPy raise many kinds
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"path is {str(path)!r}: it should be a .npz file or a state dict that torch.load reads with "
            f"weights_only=True ({what})"
        ) from error
    return network(content)


def network(content: Mapping[str, Any]) -> Network:
    """Return the layers of a network: weights, 0 where pruned, or bool masks, by name.

    Parameters
    ----------
    content : mapping
        Names to arrays or tensors, such as a state dict.

    Returns
    -------
    dict
        Of float or bool arrays with two axes and more, in the order of `content`.

    Raises
    ------
    UserError
        If that is not what `content` is, it has no layer, or a weight is not a finite number.
    """
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise UserError(f"network is a {type(content).__name__}: it should map names to arrays, as a state dict does")
    arrays = {name.removeprefix("module."): _array(name, value) for name, value in content.items()}
    layers: Network = {}
    for name, values in arrays.items():
        if name.endswith("_mask") and name.removesuffix("_mask") + "_orig" in arrays:
            continue
        if name.endswith("_orig") and name.removesuffix("_orig") + "_mask" in arrays:
            name = name.removesuffix("_orig")
            values = np.where(arrays[f"{name}_mask"] != 0, values, 0)
        if values.ndim >= 2 and values.size:
            if not np.isfinite(values).all():
                raise UserError(f"network has a layer {name!r} with weights that are not finite numbers")
            layers[name.removesuffix(".weight")] = values
    if not layers:
        raise UserError("network has no layer: no array has two axes and more")
    return layers


def compare(first: Mapping[str, Any], second: Mapping[str, Any], carry: bool = False) -> list[LayerComparison]:
    """Compare two networks of the same architecture, layer by layer.

    Parameters
    ----------
    first, second : mapping
        Networks, as `read` returns them, or state dicts.  For the rank correlation of initial and final weights that
        paper A has, give the initial network as one of them.
    carry : bool
        For NNSTD: whether the match of a layer's units is carried to the inputs of the next.  That needs a chain of
        layers; with branches, as in a residual network, leave it out: each layer's units are then matched with inputs
        in their own order.

    Returns
    -------
    list of LayerComparison

    Raises
    ------
    UserError
        If the networks do not have the same layers, or are to be carried and no chain.
    """
    a, b = network(first), network(second)
    for one, other, which in ((a, b, "second"), (b, a, "first")):
        for name in one:
            if name not in other or one[name].shape != other[name].shape:
                found = f"shape {other[name].shape}" if name in other else "none"
                raise UserError(
                    f"{which} has {found} for layer {name!r}: it should be {one[name].shape} as in the other"
                )
    b = {name: b[name] for name in a}
    plain = _distances(a, b, carry, signs=False)
    weighted = [name for name in a if np.bool_ not in (a[name].dtype, b[name].dtype)]
    if carry and 0 < len(weighted) < len(a):
        masks = ", ".join(repr(name) for name in a if name not in weighted)
        raise UserError(f"carry is True: it should be False where some layers ({masks}) are masks alone, without signs")
    one, other = ({name: net[name] for name in weighted} for net in (a, b))
    signed = dict(zip(weighted, _distances(one, other, carry, signs=True), strict=True)) if weighted else {}
    return [_compare(name, a[name], b[name], x, signed.get(name, math.nan)) for name, x in zip(a, plain, strict=True)]


def kernel_statistics(of: Mapping[str, Any]) -> list[LayerKernels]:
    """Return the sign patterns of every layer of 3 x 3 kernels; none of masks alone.

    Parameters
    ----------
    of : mapping
        A network, as `read` returns it, or a state dict.

    Returns
    -------
    list of LayerKernels
    """
    found = []
    for name, weights in network(of).items():
        if weights.ndim != 4 or weights.shape[2:] != (kernels.SIDE, kernels.SIDE) or weights.dtype == np.bool_:
            continue
        signs = np.sign(weights).astype(np.int8)[None]
        found.append(
            LayerKernels(
                name,
                _or_nan(kernels.sign_ratio, signs),
                kernels.position_deviation(signs),
                kernels.expected_position_deviation(signs),
                _or_nan(kernels.neighbour_share, signs, None),
                kernels.expected_neighbour_share(),
                _or_nan(kernels.same_sign_share, signs),
                _or_nan(kernels.expected_same_sign_share, signs),
            )
        )
    return found


def _array(name: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a tensor: NumPy has no bfloat16, and half precision is exact in single
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    result = np.asarray(value)
    if result.dtype != np.bool_ and not np.issubdtype(result.dtype, np.number):
        raise UserError(f"network has {name!r} of type {type(value).__name__}: it should be an array of numbers")
    return result


def _compare(name: str, first: NDArray[Any], second: NDArray[Any], nnstd: float, signed: float) -> LayerComparison:
    one, other = (first != 0).ravel(), (second != 0).ravel()
    kept = (int(one.sum()), int(other.sum()))
    both = one & other
    chance = stats.hypergeom(one.size, *kept)
    tail = (1 - _PROBABILITY) / 2
    percent = 100 / min(kept) if min(kept) else math.nan
    correlation = deviation = math.nan
    if not (first.dtype == np.bool_ or second.dtype == np.bool_) and both.sum() >= 3:
        pair = [w.ravel()[both][None] for w in (first, second)]
        correlation = float(_or_nan(lambda x, y: similarity.rank_correlations(x, y, np.ones(x.shape, bool))[0], *pair))
        deviation = similarity.null_deviation(int(both.sum()))
    return LayerComparison(
        name=name,
        weights=one.size,
        kept=kept,
        overlap=percent * int(both.sum()),
        expected=percent * kept[0] * kept[1] / one.size,
        low=percent * float(chance.ppf(tail)),
        high=percent * float(chance.ppf(1 - tail)),
        rank_correlation=correlation,
        null_deviation=deviation,
        nnstd=nnstd,
        nnstd_signs=signed,
    )


def _distances(a: Network, b: Network, carry: bool, signs: bool) -> list[float]:
    def connections(weights: NDArray[Any]) -> NDArray[Any]:
        rows = weights.reshape(len(weights), -1)
        return np.sign(rows).astype(np.int8) if signs else rows != 0

    if carry:
        chain = Architecture("chain", (1, 1, 1), tuple(Layer(name, weights.shape) for name, weights in a.items()))
        one, other = (np.concatenate([connections(w).ravel() for w in net.values()]) for net in (a, b))
        return [float(x) for x in topology.layer_distances(chain, one, other)]
    found = []
    for name in a:
        costs = topology.unit_distances(connections(a[name]), connections(b[name]))
        found.append(float(costs[linear_sum_assignment(costs)].mean()))
    return found


def _or_nan(measure: Any, *arguments: Any) -> float:
    """Return a measure, or nan where it is not defined."""
    try:
        return float(measure(*arguments))
    except UserError:
        return math.nan
