"""Masks in, overlaps out.

Replicas are ordered by initialisation, then by run: replica = init * runs + run.
"""

import numpy as np
from numpy.typing import NDArray

from lib.errors import UserError, kind, shown, whole

# So many pairs are compared at once, in so many words of 64 weights: what they share stays in a cache.
_BLOCK = 512

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def pairwise(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the overlap of every pair of masks, in percent of the mask.

    Parameters
    ----------
    masks : bool array, shape (R, n)
        They all keep the same number of weights, at least one.

    Returns
    -------
    float64 array, shape (R, R)
        ``100 |Mi and Mj| / |Mi|``: symmetric, with 100 on the diagonal.

    Raises
    ------
    UserError
        If `masks` is not such an array.

    References
    ----------
    Paper A, section 3.1 and figure 3.
    """
    _check_masks(masks, "masks")
    i, j = (index.ravel() for index in np.indices((len(masks), len(masks))))
    return _overlaps(masks, "masks", i, j).reshape(len(masks), -1)


def within_pairs(inits: int, runs: int) -> Pairs:
    """Return the pairs of replicas that share an initialisation.

    Parameters
    ----------
    inits, runs : int
        Number of initialisations, and of runs from each; at least 1.

    Returns
    -------
    i, j : int arrays, shape (inits * runs * (runs - 1) / 2,)
        Each pair once, i < j.

    Raises
    ------
    UserError
        If an argument is less than 1.

    References
    ----------
    Paper A, figure 1a, case A.
    """
    i, j = _all_pairs(inits, runs)
    same = i // runs == j // runs
    return i[same], j[same]


def across_pairs(inits: int, runs: int) -> Pairs:
    """Return the pairs of replicas that come from different initialisations.

    Parameters and errors as for `within_pairs`.

    Returns
    -------
    i, j : int arrays, shape (runs ** 2 * inits * (inits - 1) / 2,)
        Each pair once, i < j.

    References
    ----------
    Paper A, figure 1a, case B.
    """
    i, j = _all_pairs(inits, runs)
    different = i // runs != j // runs
    return i[different], j[different]


def layer_overlaps(masks: NDArray[np.bool_], slices: dict[str, slice], pairs: Pairs) -> dict[str, NDArray[np.float64]]:
    """Return the overlaps of some pairs of masks, layer by layer.

    Parameters
    ----------
    masks : bool array, shape (R, n)
        Within a layer they all keep the same number of weights, at least one.
    slices : dict of str to slice
        Where each layer's weights lie, such as ``Architecture.weight_slices()``.
    pairs : (int array, int array)
        Such as `within_pairs` returns.

    Returns
    -------
    dict of str to float64 array, shape (pairs,)
        In percent of the layer's mask.

    Raises
    ------
    UserError
        If the masks of a layer do not keep the same number of weights; the message names the layer.
    """
    _check_masks(masks, "masks")
    i, j = _check_pairs(pairs, len(masks))
    for where in kind("slices", slices, dict).values():
        kind("slices", where, slice)
    return {name: _overlaps(masks[:, where], f"masks of layer {name}", i, j) for name, where in slices.items()}


def shared_by_all(masks: NDArray[np.bool_], inits: int, runs: int) -> NDArray[np.int64]:
    """Return how many weights lie in the masks of all runs of an initialisation.

    Parameters
    ----------
    masks : bool array, shape (inits * runs, n)
    inits, runs : int
        At least 1.

    Returns
    -------
    int array, shape (inits,)

    Raises
    ------
    UserError
        If `masks` does not have `inits` x `runs` rows.

    References
    ----------
    Paper A, section 3.2.1 and figure 4a.
    """
    return _by_init(masks, inits, runs).all(axis=1).sum(axis=1)


def covered_by_none(masks: NDArray[np.bool_], inits: int, runs: int) -> NDArray[np.int64]:
    """Return how many weights lie in no mask of any run of an initialisation.

    Parameters, returned value and errors as for `shared_by_all`.

    References
    ----------
    Paper A, section 3.2.2 and figure 4b.
    """
    return (~_by_init(masks, inits, runs).any(axis=1)).sum(axis=1)


def overlap_from_initial_magnitude(
    initial: NDArray[np.floating], masks: NDArray[np.bool_], inits: int, runs: int, bins: int = 50
) -> NDArray[np.float64]:
    """Return the overlap that masks of an initialisation would have if only initial magnitudes told them apart.

    Suppose that a weight is kept with a probability that depends on nothing but the rank of its initial magnitude
    in its layer, and independently in every run. Then two runs of one initialisation share the weights of a rank
    with the square of that probability. The probability is measured on the *other* initialisations, so that what
    the masks of an initialisation share for another reason does not enter; its square is the mean product of what two
    different ones of these say, as that of one estimate would be too large by its variance.

    Parameters
    ----------
    initial : float array, shape (inits, n)
        Initial weights of one layer.
    masks : bool array, shape (inits * runs, n)
        Masks that all keep the same number of weights.
    inits, runs : int
        At least three initialisations.
    bins : int
        Into how many groups of (nearly) equal size the ranks are divided; at most n.

    Returns
    -------
    float64 array, shape (inits,)
        In % of the mask. With kept probabilities that do not depend on the rank it is what chance gives.

    Raises
    ------
    UserError
        If an argument does not fit.
    """
    kept = _by_init(masks, inits, runs).mean(axis=1)
    n = masks.shape[1]
    _check_float("initial", initial)
    if initial.shape != (inits, n):
        raise UserError(f"initial has the shape {initial.shape}: it should be {(inits, n)}")
    whole("inits", inits, 3)
    whole("bins", bins, 1, n)
    rank = np.argsort(np.argsort(np.abs(initial), axis=1, kind="stable"), axis=1, kind="stable")
    group = rank * bins // n
    sizes = np.bincount(group[0], minlength=bins)
    share = np.stack([np.bincount(g, k, minlength=bins) for g, k in zip(group, kept, strict=True)]) / sizes
    others, squares = share.sum(axis=0) - share, (share**2).sum(axis=0) - share**2
    square = (others**2 - squares) / ((inits - 1) * (inits - 2))
    return 100 * (sizes * square).sum(axis=1) / masks[0].sum()


def overlap_from_unit_counts(masks: NDArray[np.bool_], units: int, pairs: Pairs) -> NDArray[np.float64]:
    """Return the overlap of pairs of masks that is to be expected from how many weights each unit keeps.

    Random masks that keep as many weights in every unit (row) as the given ones would share this much on average:
    two masks share more where the units that keep many weights have the same numbers in both.

    Parameters
    ----------
    masks : bool array, shape (R, n)
        They all keep the same number of weights.
    units : int
        Rows of the layer: filters or dense units; divides n.
    pairs : (int array, int array)

    Returns
    -------
    float64 array, shape (pairs,)
        In % of the mask.

    Raises
    ------
    UserError
        If `units` does not divide the weights.
    """
    _check_masks(masks, "masks")
    if masks.shape[1] % whole("units", units, 1):
        raise UserError(f"units is {units}: it should divide the {masks.shape[1]} weights")
    inputs = masks.shape[1] // units
    counts = masks.reshape(len(masks), units, inputs).sum(axis=2, dtype=np.float64)
    i, j = _check_pairs(pairs, len(masks))
    if not counts[0].any():
        raise UserError("masks keep no weight: they should keep the same number, at least one")
    return 100 * (counts[i] * counts[j]).sum(axis=1) / inputs / counts[0].sum()


def _overlaps(
    masks: NDArray[np.bool_], what: str, i: NDArray[np.integer], j: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the overlaps of masks i with masks j, in percent; 64 weights are compared at once."""
    octets = np.packbits(masks, axis=1)
    words = np.pad(octets, ((0, 0), (0, -octets.shape[1] % 8))).view(np.uint64)
    kept = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    if kept.size == 0 or kept.min() != kept.max() or kept[0] == 0:
        found = f"{kept.min()} to {kept.max()}" if kept.size else "no"
        raise UserError(f"{what} keep {found} weights: all should keep the same number, at least one")
    both = np.zeros(len(i), np.int64)
    for first in range(0, len(i), _BLOCK):
        pairs = slice(first, first + _BLOCK)
        for start in range(0, words.shape[1], _BLOCK):
            some = words[:, start : start + _BLOCK]
            both[pairs] += np.bitwise_count(some[i[pairs]] & some[j[pairs]]).sum(axis=1, dtype=np.int64)
    return 100 * both / kept[0]


def _all_pairs(inits: int, runs: int) -> Pairs:
    _check_design(inits, runs)
    return np.triu_indices(inits * runs, 1)


def _by_init(masks: NDArray[np.bool_], inits: int, runs: int) -> NDArray[np.bool_]:
    _check_masks(masks, "masks")
    _check_design(inits, runs)
    if len(masks) != inits * runs:
        raise UserError(f"masks has {len(masks)} rows: inits x runs = {inits} x {runs} needs {inits * runs}")
    return masks.reshape(inits, runs, -1)


def _check_masks(masks: NDArray[np.bool_], what: str) -> None:
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 2:
        found = f"{masks.dtype} array of shape {masks.shape}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise UserError(f"{what} is of type {found}: it should be a bool array of shape (replicas, weights)")


def _check_design(inits: int, runs: int) -> None:
    for name, value in (("inits", inits), ("runs", runs)):
        whole(name, value, 1)
    whole("inits x runs", inits * runs, 1, 10_000)


def _check_pairs(pairs: Pairs, rows: int) -> Pairs:
    right = f"two equally long arrays of whole numbers from 0 to {rows - 1}"
    if not isinstance(pairs, tuple) or len(pairs) != 2:
        raise UserError(f"pairs is {shown(pairs)}: it should be {right}")
    i, j = pairs
    for part in pairs:
        if (
            not isinstance(part, np.ndarray)
            or not np.issubdtype(part.dtype, np.integer)
            or part.shape != (np.size(i),)
            or (part.size and not 0 <= part.min() <= part.max() < rows)
        ):
            raise UserError(f"pairs holds {shown(part)}: it should hold {right}")
    return i, j


def _check_float(name: str, values: NDArray[np.floating]) -> None:
    if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.floating) or np.isnan(values).any():
        raise UserError(f"{name} is {shown(values)}: it should be a float array without nan")
