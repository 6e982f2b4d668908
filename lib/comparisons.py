"""Winning tickets and random ones side by side: their signs, and how far apart they are."""

import functools

import numpy as np
from numpy.typing import NDArray

from lib import evidence
from lib.experiments import Experiment, find
from lib.models import initial_parameters
from lib.pruning import random_masks
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
    experiment = find(name)
    if trained:
        return _trained_signs(store, experiment, experiment.last.name)
    # The ticket is known as soon as the network before it is trained; a store may hold no more than that.
    before = experiment.levels[experiment.levels.index(experiment.last) - 1]
    masks = evidence.record(store, name, before.name).next_masks
    assert masks is not None
    return _initial_signs(experiment) * masks


def random_tickets(store: Store, name: str, trained: bool = False) -> Signs:
    """Return the signs of random tickets with the counts and the initial weights of an experiment's winning ones.

    Without training they are a pure function of the network and the number of the replica.

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
        return _trained_signs(store, experiment, "random")
    masks = random_masks(experiment.architecture, experiment.last, experiment.replicas)
    return _initial_signs(experiment) * masks


def starts(name: str) -> NDArray[np.int64]:
    """Return the number of the initial weights of each of an experiment's tickets, shape (replicas,)."""
    experiment = find(name)
    return np.arange(experiment.replicas) // experiment.runs


@functools.lru_cache(maxsize=1)
def _initial_signs(experiment: Experiment) -> Signs:
    weights = [initial_parameters(experiment.architecture, init) for init in range(experiment.inits)]
    signs = [np.sign(w[: experiment.architecture.weight_count]).astype(np.int8) for w in weights]
    return np.repeat(signs, experiment.runs, axis=0)


def _trained_signs(store: Store, experiment: Experiment, level: str) -> Signs:
    record = evidence.record(store, experiment.name, level)
    signs = np.sign(record.weights).astype(np.int8)
    # A survivor that half precision stores as zero is still a connection: it counts with its initial sign.
    return np.where(record.masks & (signs == 0), _initial_signs(experiment), signs)
