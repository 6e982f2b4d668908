"""Levels, exact counts per layer, and the masks: large-final ones, and random ones to compare them with."""

import dataclasses
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.errors import UserError, kind, shown, whole
from lib.models import Architecture


@dataclasses.dataclass(frozen=True)
class Level:
    """One step of iterative pruning, or the random tickets that it is compared with.

    Attributes
    ----------
    name : str
        'dense'; the percentage of the original weights that is pruned, such as '50' or '99.9'; 'round-1'; or 'random'.
    kept : Fraction
        Fraction of every layer's original weights that is kept; exact, so that counts are too.
    exceptions : tuple of (str, Fraction)
        Layers of which another fraction is kept, by name.
    random : bool
        Whether the masks are drawn (`random_masks`) and not pruned from the level before.
    """

    name: str
    kept: Fraction
    exceptions: tuple[tuple[str, Fraction], ...] = ()
    random: bool = False

    @property
    def pruned(self) -> float:
        """Fraction of the original weights that is pruned in the layers that are no exceptions."""
        return float(1 - self.kept)

    def kept_of(self, layer: str) -> Fraction:
        """Return the fraction of the original weights that the layer of this name keeps."""
        return dict(self.exceptions).get(layer, self.kept)


DENSE = Level("dense", Fraction(1))


def percent_levels(*percent: str) -> tuple[Level, ...]:
    """Return the dense level and one level for each percentage pruned, such as ``'50', '99.9'``."""
    return (DENSE, *(Level(p, 1 - Fraction(p) / 100) for p in percent))


def round_levels(rounds: int, kept: Fraction, **exceptions: Fraction) -> tuple[Level, ...]:
    """Return the dense level and one for each round, where a layer keeps the same fraction in every round.

    Parameters
    ----------
    rounds : int
    kept : Fraction
        What a round keeps of the weights that are left.
    **exceptions : Fraction
        The same for the layers of these names.
    """
    return (
        DENSE,
        *(
            Level(f"round-{n}", kept**n, tuple((layer, each**n) for layer, each in exceptions.items()))
            for n in range(1, rounds + 1)
        ),
    )


def with_random(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Return the levels and one more: random tickets that keep of every layer what the last level keeps."""
    return (*levels, dataclasses.replace(levels[-1], name="random", random=True))


def kept_counts(architecture: Architecture, level: Level) -> dict[str, int]:
    """Return how many weights each layer keeps, by layer name: the exact product, truncated.

    References
    ----------
    Zhou et al. 2019 (reference code): the kept count is truncated to an integer, layer by layer.
    """
    kind("architecture", architecture, Architecture)
    kind("level", level, Level)
    return {layer.name: int(layer.size * level.kept_of(layer.name)) for layer in architecture.layers}


def large_final(weights: NDArray[np.floating], masks: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return the masks that keep the `count` survivors of largest final magnitude.

    Of equal magnitudes the one that comes first is kept.

    Parameters
    ----------
    weights : float array, shape (replicas, n)
        Final weights of one layer.
    masks : bool array, shape (replicas, n)
        The survivors so far.
    count : int
        How many to keep in each replica.

    Returns
    -------
    bool array, shape (replicas, n)

    Raises
    ------
    UserError
        If a replica has fewer than `count` survivors, or a weight is not finite.

    References
    ----------
    Criterion "large final" of Zhou et al. 2019, section 3; paper A, section 2.
    """
    for name, array, right in (("masks", masks, np.bool_), ("weights", weights, np.floating)):
        if (
            not np.issubdtype(kind(name, array, np.ndarray).dtype, right)
            or array.ndim != 2
            or array.shape != masks.shape
        ):
            raise UserError(f"{name} is {shown(array)}: both should have the shape (replicas, n), floats and bools")
    survivors = int(masks.sum(axis=1).min(initial=masks.shape[1]))
    if whole("count", count, 0) > survivors:
        raise UserError(f"count is {count}: it must lie between 0 and the {survivors} surviving weights")
    if not np.isfinite(weights[masks]).all():
        raise UserError("weights hold a value that is not finite: the training has diverged")
    if count == 0:
        return np.zeros_like(masks)
    return _largest(np.where(masks, np.abs(weights), -1.0), count)


def _largest(values: NDArray, count: int) -> NDArray[np.bool_]:
    """Return where the `count` largest values of each row are; of equal ones the first; `count` is at least 1."""
    n = values.shape[1]
    threshold = np.partition(values, n - count, axis=1)[:, n - count, None]
    chosen = values >= threshold
    surplus = chosen.sum(axis=1) - count
    for row in np.flatnonzero(surplus):
        tied = np.flatnonzero(values[row] == threshold[row])
        chosen[row, tied[-surplus[row] :]] = False
    return chosen


def prune(
    architecture: Architecture, parameters: NDArray[np.floating], masks: NDArray[np.bool_], level: Level
) -> NDArray[np.bool_]:
    """Return the masks of `level`: large-final within every layer.

    Parameters
    ----------
    architecture : Architecture
    parameters : float array, shape (replicas, parameter_count)
        Final parameters of the level before.
    masks : bool array, shape (replicas, weight_count)
        Masks of the level before.
    level : Level

    Returns
    -------
    bool array, shape (replicas, weight_count)
    """
    counts = kept_counts(architecture, level)
    return np.concatenate(
        [large_final(parameters[:, s], masks[:, s], counts[name]) for name, s in architecture.weight_slices().items()],
        axis=1,
    )


def random_masks(architecture: Architecture, level: Level, replicas: int) -> NDArray[np.bool_]:
    """Return masks that keep as many weights of every layer as `level` does, at random places.

    They depend on nothing but the architecture, the counts and the number of the replica, so that all experiments
    with one network have the same random tickets, as they have the same initial weights.

    Parameters
    ----------
    architecture : Architecture
    level : Level
    replicas : int

    Returns
    -------
    bool array, shape (replicas, weight_count)

    References
    ----------
    Paper B, sections 4 and 5: networks pruned at random, with the initial weights of the winning tickets.  It does not
    say how many weights each layer keeps; its table A.3 has the counts of the winning tickets in the first.
    """
    masks = np.zeros((replicas, architecture.weight_count), bool)
    for name, where in architecture.weight_slices().items():
        count = kept_counts(architecture, level)[name]
        for replica in range(replicas if count else 0):
            words = streams.raw(f"random ticket/{architecture.name}/{replica}/{name}", where.stop - where.start)
            masks[replica, where] = _largest(words[None], count)[0]
    return masks
