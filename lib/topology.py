"""Distances between the connections of two sparse networks: NNSTD, and NNSTD with signs.

The units of a layer (rows of a dense layer, filters of a convolution) are compared by their sets of incoming
connections, matched one to one between the two networks at least total cost, and the match is carried to the
inputs of the next layer.  A ticket is one flat vector over the weights of an architecture: a bool mask, which
gives NNSTD, or the int8 signs -1, 0 (pruned) and 1 of its weights, which give NNSTD with signs.

Every layer is matched, the output layer too, although its units are classes and so have an order: this is what
the authors of NNSTD do, and what paper B's distances of an output layer are.
"""

import concurrent.futures
import ctypes
import dataclasses
import os

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from lib.errors import UserError, kind, shown
from lib.models import Architecture
from lib.overlap import Pairs
from lib.sparse import compiled_library

_WORD, _TILE = 8, 4  # bytes of a word, and rows at once, in topology.c

Ticket = NDArray[np.bool_] | NDArray[np.int8]
# A layer's connections, a bit each: one array for a mask; for signs one of the positive, one of the negative.  Shape
# (units, sources, bytes); a source is a unit of the layer before, its connections begin at a new byte.
_Layer = tuple[NDArray[np.uint8], ...]


@dataclasses.dataclass(frozen=True)
class Match:
    """How the units of one layer of two networks were matched.

    Attributes
    ----------
    layer : str
        The layer's name.
    costs : float64 array, shape (units, units)
        Distance of every unit of the first network (rows) from every unit of the second (columns).
    partner : int array, shape (units,)
        For each unit of the first network its partner in the second.
    """

    layer: str
    costs: NDArray[np.float64]
    partner: NDArray[np.int64]

    @property
    def distance(self) -> float:
        """Mean distance of the matched units: the layer's distance."""
        return float(self.costs[np.arange(len(self.partner)), self.partner].mean())


def unit_distances(first: Ticket, second: Ticket) -> NDArray[np.float64]:
    """Return the distance of every unit of one layer from every unit of another.

    The distance of two masks is the normalised edit distance of the two sets of connections: the number in
    one of them only over the number in either, which is the Jaccard distance; 0 if both are empty.  The
    distance of two rows of signs is the mean of two such distances, one between the positive connections and
    one between the negative ones.

    Parameters
    ----------
    first : bool or int8 array, shape (units, inputs)
        Masks, or signs in -1, 0, 1.
    second : array of the same type, shape (other units, inputs)

    Returns
    -------
    float64 array, shape (units, other units)
        Between 0 and 1.

    Raises
    ------
    UserError
        If the arrays are not of that kind.

    References
    ----------
    Liu et al. 2020, "Topological insights into sparse neural networks", arXiv:2006.14085, the normalised edit
    distance; paper B, section 3, the equation of the distance with signs.
    """
    for name, units in (("first", first), ("second", second)):
        _check(name, units, ("units", "inputs"))
    if first.dtype != second.dtype or first.shape[1] != second.shape[1]:
        raise UserError(
            f"second is of type {second.dtype} with {second.shape[1]} inputs: it should be like first, "
            f"{first.dtype} with {first.shape[1]} inputs"
        )
    return _unit_distances(_bits(first), _bits(second))


def matching(architecture: Architecture, a: Ticket, b: Ticket, carry: bool = True) -> tuple[Match, ...]:
    """Match the units of two networks, layer by layer from the input on.

    When the match is carried, the inputs of a layer of `b` are put into the order of the units of `a` that
    their sources were matched to.  Each unit feeds a block of consecutive inputs of the next layer: its kernels
    in a convolution, its pixels after flattening, one weight in a dense layer behind another.  Of several
    matches at the same least cost the one that the solver finds is carried.

    Parameters
    ----------
    architecture : Architecture
    a, b : bool or int8 array, shape (architecture.weight_count,)
        Two masks, or two vectors of signs in -1, 0, 1.
    carry : bool
        Whether the match of a layer is carried to the inputs of the next.  If not, the n-th input of one
        network is compared with the n-th of the other.

    Returns
    -------
    tuple of Match
        One for each layer.

    Raises
    ------
    UserError
        If `a` or `b` is not of that kind, or a layer's inputs are not whole blocks of the units before it.

    References
    ----------
    Liu et al. 2020, arXiv:2006.14085, algorithm of NNSTD; paper B, section 3.
    """
    _check_chain(architecture)
    kind("carry", carry, bool)
    for name, ticket in (("a", a), ("b", b)):
        _check(name, ticket, (architecture.weight_count,))
    if a.dtype != b.dtype:
        raise UserError(f"b is of type {b.dtype}: it should be of the type of a, {a.dtype}")
    return _matching(architecture, _packed(architecture, a), _packed(architecture, b), carry)


def layer_distances(architecture: Architecture, a: Ticket, b: Ticket, carry: bool = True) -> NDArray[np.float64]:
    """Return the distance of two networks in every layer: the mean distance of the matched units.

    Parameters and errors as for `matching`.

    Returns
    -------
    float64 array, shape (layers,)
        Between 0 and 1.

    References
    ----------
    Paper B, figures A.1 to A.4, tables A.1 and A.2.
    """
    return np.array([match.distance for match in matching(architecture, a, b, carry)])


def nnstd(architecture: Architecture, a: Ticket, b: Ticket, carry: bool = True) -> float:
    """Return the distance of two networks: NNSTD of two masks, NNSTD with signs of two vectors of signs.

    Parameters and errors as for `matching`.

    Returns
    -------
    float
        Plain mean over the layers, between 0 and 1.

    References
    ----------
    Liu et al. 2020, arXiv:2006.14085; paper B, section 3, figure 1 and table 1.
    """
    return float(layer_distances(architecture, a, b, carry).mean())


def distances(
    architecture: Architecture, tickets: Ticket, pairs: Pairs, carry: bool = True, quiet: bool = False
) -> NDArray[np.float64]:
    """Return the layer distances of many pairs of networks.

    The pairs are shared out among the processor's cores; the result does not depend on their number.

    Parameters
    ----------
    architecture : Architecture
    tickets : bool or int8 array, shape (tickets, architecture.weight_count)
        Masks, or signs in -1, 0, 1.
    pairs : (int array, int array)
        Rows of `tickets`, such as `overlap.within_pairs` returns.
    carry : bool
        As for `matching`.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    float64 array, shape (pairs, layers)
        The mean over the layers is the networks' distance.

    Raises
    ------
    UserError
        If an argument is not of that kind.

    Notes
    -----
    Connections are bits, and shared ones are counted by a few lines of C, which the machine's compiler makes once.
    Without one they are matrix products of floats, with the same result in five times as long; then set
    ``OMP_NUM_THREADS=1`` before Python starts, as the book's build does, because the pairs keep all cores busy.
    """
    _check_chain(architecture)
    kind("carry", carry, bool)
    kind("quiet", quiet, bool)
    _check("tickets", tickets, ("tickets", architecture.weight_count))
    if not isinstance(pairs, tuple | list) or len(pairs) != 2:
        raise UserError(f"pairs is {shown(pairs)}: it should be two equally long arrays of whole numbers")
    first, second = (np.asarray(rows) for rows in pairs)
    for rows in (first, second):
        if rows.shape != first.shape or rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise UserError(
                f"pairs holds arrays of shapes {first.shape} and {second.shape}, types {first.dtype} and "
                f"{second.dtype}: it should hold two equally long arrays of whole numbers"
            )
        if rows.size and not 0 <= rows.min() <= rows.max() < len(tickets):
            raise UserError(f"pairs names rows {rows.min()} to {rows.max()}: tickets has rows 0 to {len(tickets) - 1}")

    packed = {row: _packed(architecture, tickets[row]) for row in np.unique([first, second]).tolist()}

    def one(i: int, j: int) -> list[float]:
        return [match.distance for match in _matching(architecture, packed[i], packed[j], carry)]

    result = np.empty((len(first), len(architecture.layers)))
    # disable=False would overrule TQDM_DISABLE, with which the book keeps progress bars out of its pages.
    hidden = {"disable": True} if quiet else {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(one, first.tolist(), second.tolist())
        for row, layers in enumerate(tqdm(found, desc="comparing", unit="pair", total=len(first), **hidden)):
            result[row] = layers
    return result


def degrees(architecture: Architecture, masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many inputs the units keep, sorted within every layer.

    The order of a layer's units does not change it, so two networks in which it differs are not the same one under
    weight-space symmetry; the converse does not hold.  Unlike a matching it asks nothing of how the layers are linked.

    Parameters
    ----------
    architecture : Architecture
    masks : bool array, shape (tickets, architecture.weight_count)

    Returns
    -------
    int64 array, shape (tickets, units of all layers)
        Layer after layer; the fewest inputs of a layer come first.

    Raises
    ------
    UserError
        If an argument is not of that kind.
    """
    kind("architecture", architecture, Architecture)
    _check("masks", masks, ("tickets", architecture.weight_count))
    return np.concatenate(
        [
            np.sort(np.count_nonzero(masks[:, where].reshape(len(masks), layer.shape[0], -1), axis=2), axis=1)
            for layer, where in zip(architecture.layers, architecture.weight_slices().values(), strict=True)
        ],
        axis=1,
    )


def _packed(architecture: Architecture, ticket: Ticket) -> list[_Layer]:
    layers, sources = [], 1
    for layer, where in zip(architecture.layers, architecture.weight_slices().values(), strict=True):
        layers.append(_bits(ticket[where].reshape(layer.shape[0], sources, -1)))
        sources = layer.shape[0]
    return layers


def _bits(connections: Ticket) -> _Layer:
    parts = (connections,) if connections.dtype == np.bool_ else (connections > 0, connections < 0)
    return tuple(np.packbits(part, axis=-1) for part in parts)


def _matching(architecture: Architecture, a: list[_Layer], b: list[_Layer], carry: bool) -> tuple[Match, ...]:
    matches: list[Match] = []
    for layer, first, second in zip(architecture.layers, a, b, strict=True):
        if carry and matches:
            second = tuple(part[:, matches[-1].partner] for part in second)
        costs = _unit_distances(first, second)
        matches.append(Match(layer.name, costs, linear_sum_assignment(costs)[1]))
    return tuple(matches)


def _unit_distances(first: _Layer, second: _Layer) -> NDArray[np.float64]:
    # Of a mask the one distance of its sets, of signs the mean of two.
    return np.mean([_jaccard(*parts) for parts in zip(first, second, strict=True)], axis=0)


def _jaccard(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 1 - |intersection| / |union| of all pairs of units: the only rounding is that of this quotient."""
    first, second = (part.reshape(len(part), -1) for part in (first, second))
    both = _intersections(first, second)
    of_first, of_second = (np.bitwise_count(part).sum(axis=1, dtype=np.int32) for part in (first, second))
    either = of_first[:, None] + of_second - both
    # Two empty rows: nothing in one of them only, so the distance is 0 whatever it is divided by.
    return (either - both) / np.maximum(either, 1)


def _intersections(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return how many bits every row of `first` shares with every row of `second`."""
    library = compiled_library("topology")
    if library is None:
        # A matrix product of zeros and ones: exact, as a float32 holds whole numbers up to 2^24.
        zeros_and_ones = [np.unpackbits(rows, axis=1).astype(np.float32) for rows in (first, second)]
        return (zeros_and_ones[0] @ zeros_and_ones[1].T).astype(np.int32)
    one, other = _words(first, _TILE), _words(second)
    counts = np.empty((len(one), len(other)), np.int32)
    sizes = (ctypes.c_int64(size) for size in (*counts.shape, one.shape[1]))
    library.shared_connections(_pointer(one), _pointer(other), *sizes, _pointer(counts))
    return counts[: len(first)]


def _words(rows: NDArray[np.uint8], multiple: int = 1) -> NDArray[np.uint64]:
    """Return rows of bytes as rows of words, with empty rows behind for a multiple of so many."""
    padded = np.zeros((-(-len(rows) // multiple) * multiple, -(-rows.shape[1] // _WORD) * _WORD), np.uint8)
    padded[: len(rows), : rows.shape[1]] = rows
    return padded.view(np.uint64)


def _pointer(array: NDArray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _check(name: str, ticket: Ticket, axes: tuple[str | int, ...]) -> None:
    if not isinstance(ticket, np.ndarray) or ticket.dtype not in (np.bool_, np.int8):
        found = f"an array of {ticket.dtype}" if isinstance(ticket, np.ndarray) else f"of type {type(ticket).__name__}"
        raise UserError(f"{name} is {found}: it should be a bool array (masks) or an int8 array (signs)")
    if ticket.ndim != len(axes) or (isinstance(axes[-1], int) and ticket.shape[-1] != axes[-1]):
        wanted = ", ".join(map(str, axes)) + ("," if len(axes) == 1 else "")
        raise UserError(f"{name} has shape {ticket.shape}: it should be ({wanted})")
    if ticket.dtype == np.int8 and ticket.size and not -1 <= ticket.min() <= ticket.max() <= 1:
        raise UserError(f"{name} holds values from {ticket.min()} to {ticket.max()}: signs are -1, 0 and 1")


def is_chain(architecture: Architecture) -> bool:
    """Return whether every layer takes the output of the one before alone, so that units can be matched in turn."""
    return not any(layer.source or layer.add for layer in architecture.layers)


def _check_chain(architecture: Architecture) -> None:
    kind("architecture", architecture, Architecture)
    if not is_chain(architecture):
        joined = next(layer for layer in architecture.layers if layer.source or layer.add)
        raise UserError(
            f"architecture {architecture.name} is not a chain: {joined.name} takes the output of "
            f"{joined.source or joined.add}, it should take that of the layer before alone"
        )
    for before, layer in zip(architecture.layers, architecture.layers[1:], strict=False):
        inputs = layer.size // layer.shape[0]
        if inputs % before.shape[0]:
            raise UserError(
                f"architecture {architecture.name} is not a chain: the {inputs} inputs of a unit of {layer.name} "
                f"are not whole blocks of the {before.shape[0]} units of {before.name}"
            )
