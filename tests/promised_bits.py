"""Prints the SHA-256 of the bits of what the library computes, one line for each kind of number, as JSON.

``PYTHONPATH=.:tests python tests/promised_bits.py`` in other environments and with other numbers of threads: the
lines are the same wherever the numbers are.
"""

import hashlib
import json

import numpy as np
from made import TINY, tiny_experiment

from lib import baselines, kernels, overlap, similarity, statistics, streams, topology
from lib.experiments import find
from lib.models import initial_hash, initial_parameters
from lib.pruning import large_final


def numbers() -> dict[str, object]:
    """Everything whose bits are promised, made from the library's own streams of random numbers."""
    n, kept = 2400, 1200
    weights = streams.normal("numbers/weights", 10 * n).reshape(10, n)
    everywhere = np.ones(weights.shape, bool)
    masks = large_final(weights, everywhere, kept)
    logits = streams.normal("numbers/logits", 6 * 500 * 10).reshape(6, 500, 10)
    signs = (streams.raw("numbers/signs", 4 * 16 * 8 * 9) % np.uint64(3)).astype(np.int8).reshape(4, 16, 8, 3, 3) - 1
    tickets = large_final(streams.normal("numbers/t", 2 * TINY.weight_count).reshape(2, -1),
                          np.ones((2, TINY.weight_count), bool), 500)  # fmt: skip
    places = streams.normal("numbers/places", 36).reshape(12, 3)
    distances = np.abs(places[:, None] - places).sum(axis=2)
    return {
        "initial weights": initial_parameters(find("b/conv2/cifar10").architecture, 0),
        "their hash": initial_hash(find("a/fashion-lenet/free").architecture, 2),
        "batch order": tiny_experiment().batch_order(0, 1, 0, 1000),
        "random masks": masks,
        "overlaps": overlap.pairwise(masks),
        "chance": [baselines.overlap_mean(n, kept), *baselines.overlap_interval(n, kept)],
        "chance of five": [baselines.shared_mean(n, kept), *baselines.shared_interval(n, kept)],
        "simulated chance": baselines.simulate(200, 100, 5, 100).shared,
        "rank correlations": similarity.rank_correlations(weights, weights[::-1].copy(), masks),
        "CKA": similarity.cka(logits),
        "L2": similarity.l2(similarity.softmax(logits)),
        "NNSTD": topology.layer_distances(TINY, *tickets),
        "kernels": [*kernels.kernel_histogram(signs).ravel(), kernels.neighbour_share(signs)],
        "Welch": statistics.welch(weights[0], weights[1] + 0.01),
        "permutation test": statistics.permutation_test_tickets(distances, list("aaaabbbbcccc"), repetitions=999),
        "bootstrap": statistics.bootstrap_over_inits(weights[:5, :20], repetitions=200),
    }


def digest(value: object) -> str:
    content = value.encode() if isinstance(value, str) else np.ascontiguousarray(np.asarray(value)).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps({name: digest(value) for name, value in numbers().items()}))
