"""Winning tickets and random ones side by side: their signs, and how far apart they are.

A group is the tickets of one kind: winning or random ones of an experiment.  Distances are kept in a folder beside
the store, under the hash of what was compared, because those of all pairs of large networks take minutes.
"""

import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import NDArray

from lib import evidence, kernels, statistics, streams, topology
from lib.errors import UserError
from lib.experiments import Experiment, find
from lib.files import write_whole
from lib.models import Architecture, initial_signs
from lib.pruning import kept_counts, random_masks
from lib.tickets import Store

Signs = NDArray[np.int8]


def winning_tickets(store: Store, name: str, trained: bool = False) -> Signs:
    """Return the signs of the weights of an experiment's winning tickets, 0 where pruned.

    Parameters
    ----------
    store : Store
    name : str
        Of the experiment.
    trained : bool
        The signs at the end of the ticket's training, not those of its initial weights.

    Returns
    -------
    int8 array, shape (replicas, weight_count)

    Raises
    ------
    Missing
        If the tickets are not trained.

    References
    ----------
    Paper B, section 7: the signs are those before training.
    """
    experiment = store.find(name)
    if trained:
        return evidence.part(store, name, experiment.last.name, "signs")
    return _initial_signs(experiment) * evidence.winning_masks(store, name)


def random_tickets(store: Store, name: str, trained: bool = False) -> Signs:
    """Return the signs of random tickets with the counts and the initial weights of an experiment's winning ones.

    Without training they are a pure function of the network and the number of the replica, and are all there, also
    where only some of the experiment's trials are trained.

    Parameters
    ----------
    store : Store
        Not looked at unless `trained`.
    name : str
        Of the experiment.
    trained : bool
        As for `winning_tickets`.

    Returns
    -------
    int8 array, shape (replicas, weight_count)

    Raises
    ------
    Missing
        If they should be trained and are not.
    """
    experiment = find(name)
    if trained:
        return evidence.part(store, name, "random", "signs")
    masks = random_masks(experiment.architecture, experiment.last, experiment.replicas)
    return _initial_signs(experiment) * masks


def starts(experiment: Experiment) -> NDArray[np.int64]:
    """Return the number of the initial weights of each of an experiment's tickets, shape (replicas,)."""
    return np.arange(experiment.replicas) // experiment.runs


def _initial_signs(experiment: Experiment) -> Signs:
    return _signs_of_starts(experiment.architecture, experiment.inits, experiment.runs)


@functools.lru_cache(maxsize=2)  # the experiments of paper B start from the same weights, of all trials or of some
def _signs_of_starts(architecture: Architecture, inits: int, runs: int) -> Signs:
    return np.repeat([initial_signs(architecture, init) for init in range(inits)], runs, axis=0)


# Part of what names kept distances: another one when `control_tickets` draws others.
_CONTROLS_DRAWN = "each layer from its own stream"


def control_tickets(architecture: Architecture, signs: Signs) -> Signs:
    """Return random tickets with as many weights of either sign in every layer, and as many in every unit.

    Every layer is drawn from streams of its own, so that chance averages out over layers as in winning tickets.

    Parameters
    ----------
    architecture : Architecture
    signs : int8 array, shape (tickets, weight_count)
        Of the tickets that they resemble.

    Returns
    -------
    int8 array, shape (tickets, weight_count)
    """
    result = np.zeros_like(signs)
    for number, (layer, where) in enumerate(
        zip(architecture.layers, architecture.weight_slices().values(), strict=True)
    ):
        rows = signs[:, where].reshape(len(signs), layer.shape[0], -1)
        result[:, where] = kernels.control_masks(rows, seed=number).reshape(len(signs), -1)
    return result


# --- groups and their distances ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Group:
    """Tickets of one kind; two groups are equal if their labels and digests are.

    Attributes
    ----------
    label : str
        Tells groups apart, such as 'CIFAR' or 'random'.
    architecture : Architecture
    starts : int array, shape (tickets,)
        Number of the initial weights of each.
    digest : str
        Hash of what decides the tickets; of two groups with the same one distances are the same.
    make : callable
        Returns the signs of their weights; is called when they are first looked at.
    """

    label: str
    architecture: Architecture = dataclasses.field(compare=False)
    starts: NDArray[np.int64] = dataclasses.field(compare=False)
    digest: str
    make: Callable[[], Signs] = dataclasses.field(compare=False)

    @functools.cached_property
    def signs(self) -> Signs:
        """1, -1, or 0 where pruned; int8 array, shape (tickets, weight_count)."""
        return self.make()

    @classmethod
    def of(cls, label: str, architecture: Architecture, signs: Signs, starts: NDArray[np.int64]) -> "Group":
        """Return the group of some tickets that are there already."""
        content = hashlib.sha256(repr(architecture.layers).encode())
        content.update(np.ascontiguousarray(signs).data)
        return cls(label, architecture, starts, content.hexdigest(), lambda: signs)


def group(store: Store, name: str, kind: str, label: str, trained: bool = False) -> Group:
    """Return the winning tickets of an experiment, its random tickets, or the controls of its winning ones.

    Parameters
    ----------
    store : Store
    name : str
        Of the experiment.
    kind : {'winning', 'random', 'control'}
    label : str
    trained : bool
        As for `winning_tickets`.

    Raises
    ------
    Missing
        If the tickets are not trained.
    """
    drawn = kind == "random" and not trained
    experiment = find(name) if drawn else store.find(name)
    if drawn:
        origin = repr((experiment.architecture, kept_counts(experiment.architecture, experiment.last)))
        origin += f" {experiment.inits} {experiment.runs}"
    else:
        level, key = experiment.level("random") if kind == "random" else experiment.last, "masks sha256"
        before = experiment.pruned_from(level)
        if not trained and before is not None and level not in store.finished(experiment):
            # The ticket is known as soon as the network before it is trained.
            level, key = before, "next masks sha256"
        evidence.require(store, name, level.name)
        entries = store.entries(experiment, level)
        # Files of the older kind have no hash of their masks, and hold them.
        made_of = [entry["sha256"] if trained else entry.get(key, entry["sha256"]) for entry in entries]
        origin = f"{experiment.fingerprint()} {' '.join(made_of)}"
        if kind == "control":
            origin += f" {_CONTROLS_DRAWN}"
    digest = hashlib.sha256(f"{kind} {trained} {origin}".encode()).hexdigest()
    return _group(store, experiment, kind, label, trained, digest)


@functools.lru_cache(maxsize=12)  # by what is stored now: a store may grow while a program runs
def _group(store: Store, experiment: Experiment, kind: str, label: str, trained: bool, digest: str) -> Group:
    def make() -> Signs:
        signs = (random_tickets if kind == "random" else winning_tickets)(store, experiment.name, trained)
        return control_tickets(experiment.architecture, signs) if kind == "control" else signs

    return Group(label, experiment.architecture, starts(experiment), digest, make)


def distances(store: Store, a: Group, b: Group, signed: bool, carry: bool = True) -> NDArray[np.float64]:
    """Return the distance in every layer of each ticket of one group from each of another.

    Parameters
    ----------
    store : Store
        Beside it lies the folder ``distances`` where they are kept.
    a, b : Group
        Of one architecture; they may be the same.
    signed : bool
        NNSTD with signs, not NNSTD.
    carry : bool
        As for `topology.matching`.

    Returns
    -------
    float64 array, shape (tickets of a, tickets of b, layers)
        NaN where a ticket would be compared with itself.

    Raises
    ------
    UserError
        If the groups have different architectures.
    """
    if a.architecture.layers != b.architecture.layers:
        raise UserError(f"b is of {b.architecture.name}: it should be of the architecture of a, {a.architecture.name}")
    # Each pair of groups is compared in one order, which more tickets do not change: of several matches at equal cost
    # the solver may find another one when the networks change places, and so another distance in the layers behind.
    if (b.label, b.digest) < (a.label, a.digest):
        return distances(store, b, a, signed, carry).transpose(1, 0, 2)
    key = hashlib.sha256(f"{a.digest} {b.digest} {signed} {carry}".encode()).hexdigest()
    path = store.root.parent / "distances" / f"{key[:32]}.npz"
    shape = (len(a.starts), len(b.starts), len(a.architecture.layers))
    if (kept := _kept(path, shape)) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each comparison keeps all cores busy; two chapters that need the same one make it once.
        with filelock.FileLock(path.parent / ".lock"):
            kept = _kept(path, shape)
            if kept is None:
                kept = _compared(a, b, signed, carry)
                buffer = io.BytesIO()
                np.savez_compressed(buffer, allow_pickle=False, distances=kept)
                write_whole(path, buffer.getvalue())
    return kept


def _compared(a: Group, b: Group, signed: bool, carry: bool) -> NDArray[np.float64]:
    shape = (len(a.starts), len(b.starts), len(a.architecture.layers))
    same = a.digest == b.digest
    i, j = np.triu_indices(shape[0], 1) if same else (k.ravel() for k in np.indices(shape[:2]))
    signs = a.signs if same else np.concatenate([a.signs, b.signs])
    tickets = signs if signed else signs != 0
    result = np.full(shape, np.nan)
    result[i, j] = topology.distances(a.architecture, tickets, (i, j if same else j + shape[0]), carry)
    if same:
        result[j, i] = result[i, j]
    return result


def _kept(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the distances in a file; None if it is not there or not whole."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file["distances"]
    except Exception:  # a damaged archive raises errors of many kinds
        return None
    return found if found.shape == shape and found.dtype == np.float64 else None


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """How the distances of some pairs differ from those of the random tickets.

    Attributes
    ----------
    diff_mean : float
        Difference of the means.
    p_value : float
        Of Welch's test, two-sided.
    cohen_d : float
    standard_error : float
        Of `diff_mean`, as Welch's test takes it: of pairs as if they were independent.
    """

    diff_mean: float
    p_value: float
    cohen_d: float
    standard_error: float

    @property
    def lower(self) -> bool:
        """Whether the mean is significantly below that of the random tickets."""
        return self.diff_mean < 0 and self.p_value < statistics.SIGNIFICANCE

    @property
    def higher(self) -> bool:
        """Whether the mean is significantly above that of the random tickets."""
        return self.diff_mean > 0 and self.p_value < statistics.SIGNIFICANCE


def difference(values: NDArray[np.float64], control: NDArray[np.float64]) -> Difference:
    """Compare the distances of some pairs with those of a control.

    References
    ----------
    Paper B, section 5 and table 1.
    """
    apart = float(values.mean() - control.mean())
    error = math.sqrt(values.var(ddof=1) / values.size + control.var(ddof=1) / control.size)
    return Difference(apart, statistics.welch(values, control)[1], statistics.cohen_d(values, control), error)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Two groups, the distances between them and those within the control group.

    Attributes
    ----------
    a, b : Group
    control : Group
    matrix : float64 array, shape (tickets, tickets, layers)
        Distances of all tickets of all these groups from each other; NaN for pairs that are left out.
    labels : tuple of str
        The group of each row.
    sample : int
        How many pairs are drawn; 0 for all.
    """

    a: Group
    b: Group
    control: Group
    matrix: NDArray[np.float64]
    labels: tuple[str, ...]
    sample: int

    def values(self, drawn: bool = True) -> NDArray[np.float64]:
        """Return the distances of the pairs, shape (pairs, layers)."""
        return self._pairs(self.a, self.b, drawn)[1]

    def pairs(self, drawn: bool = True) -> NDArray[np.int64]:
        """Return the numbers of the two tickets of each pair, within their groups, from 0, shape (pairs, 2)."""
        return self._pairs(self.a, self.b, drawn)[0]

    def control_values(self, drawn: bool = True) -> NDArray[np.float64]:
        """Return the distances of the pairs of the control group, shape (pairs, layers)."""
        return self._pairs(self.control, self.control, drawn)[1]

    def _pairs(self, a: Group, b: Group, drawn: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        labels = np.array(self.labels)
        block = self.matrix[np.ix_(labels == a.label, labels == b.label)]
        counts = ~np.isnan(block[..., 0])
        if a.label == b.label:
            counts = np.triu(counts, 1)
        pairs = np.argwhere(counts)
        if drawn and self.sample and len(pairs) > self.sample:
            pairs = pairs[streams.permutation(f"comparisons/{a.label}/{b.label}", len(pairs))[: self.sample]]
        return pairs, block[pairs[:, 0], pairs[:, 1]]

    def difference(self, layer: int | None = None, drawn: bool = True) -> Difference:
        """Compare the pairs with those of the control, in the mean over the layers or in one layer."""
        return difference(_layer(self.values(drawn), layer), _layer(self.control_values(drawn), layer))

    @property
    def least_permutation_p(self) -> float:
        """The least that `permutation_p` can be: of few tickets there are few assignments of the labels.

        Of two groups of one size the assignment that swaps them is as extreme, as the test is two-sided.
        """
        sizes = [self.labels.count(label) for label in dict.fromkeys(self.labels)]
        assignments = math.factorial(sum(sizes)) // math.prod(map(math.factorial, sizes))
        return (2 if len(sizes) == 2 and sizes[0] == sizes[1] else 1) / assignments

    def permutation_p(self, layer: int | None = None, repetitions: int = 1999) -> float:
        """Return the p-value of the difference over all pairs if tickets, not pairs, are independent."""
        return statistics.permutation_test_tickets(
            _layer(self.matrix, layer),
            self.labels,
            (self.a.label, self.b.label),
            (self.control.label, self.control.label),
            repetitions,
        )


def _layer(values: NDArray[np.float64], layer: int | None) -> NDArray[np.float64]:
    return values.mean(axis=-1) if layer is None else values[..., layer]


@functools.lru_cache(maxsize=512)  # the ledger, tables and figures ask for the same again and again
def compare(
    store: Store,
    a: Group,
    b: Group,
    control: Group,
    signed: bool,
    carry: bool = True,
    same_start: bool = False,
    sample: int = 50,
    tickets: int = 0,
) -> Comparison:
    """Compare the pairs of two groups with the pairs of a control group.

    Parameters
    ----------
    store, signed, carry
        As for `distances`.
    a, b, control : Group
        Groups with the same label are the same.
    same_start : bool
        Whether pairs count whose two tickets have the same initial weights.
    sample : int
        How many pairs are drawn at random, the same at every call; 0 for all.
    tickets : int
        How many of each group's tickets are used, the first ones; 0 for all.

    Returns
    -------
    Comparison
    """
    groups = list({g.label: g for g in (a, b, control)}.values())
    used = slice(tickets or None)
    rows = [np.concatenate([distances(store, x, y, signed, carry)[used, used] for y in groups], axis=1) for x in groups]
    matrix = np.concatenate(rows)
    if not same_start:
        starts = np.concatenate([g.starts[used] for g in groups])
        matrix[starts[:, None] == starts] = np.nan
    labels = tuple(g.label for g in groups for _ in g.starts[used])
    return Comparison(a, b, control, matrix, labels, sample)
