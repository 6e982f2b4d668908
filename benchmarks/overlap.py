"""Overlap of all pairs of 25 LeNet masks: bits against Python sets, measured side by side.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.overlap [--pages]``.  The masks are random.
The sets are timed on every tenth pair, and that time is scaled to all pairs; building the sets is timed on all masks.
Times are of the processor, so that other work on the machine counts little.  ``--pages`` writes the table into the
book's page on performance.
"""

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks import page
from lib import overlap
from lib.models import lenet

INITS, RUNS = 5, 5
EVERY = 10
REPETITIONS = 15


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Return the processor time that one call takes."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def main() -> None:
    """Print the table; write it into the book with ``--pages``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", action="store_true", help="write the table into book/performance.md")
    options = parser.parse_args()
    architecture = lenet((1, 28, 28), "lenet")
    slices = architecture.weight_slices()
    replicas = INITS * RUNS
    pairs = np.triu_indices(replicas, 1)
    some = list(itertools.combinations(range(replicas), 2))[::EVERY]
    lines = ["| pruned | sets, ms | this library, ms | ratio (lowest to highest) |", page.rule(1, 3)]
    for pruned in (0.5, 0.8, 0.98):
        masks = random_masks(slices, replicas, 1 - pruned)
        by_bits = overlap.layer_overlaps(masks, slices, pairs)
        by_sets = set_overlaps(set_layers(masks, slices), some)
        if any(by_bits[name][::EVERY].tolist() != by_sets[name] for name in slices):
            raise AssertionError("sets and bits disagree")
        sets_ms, bits_ms = [], []
        for _ in range(REPETITIONS):
            build = seconds(set_layers, masks, slices)
            sets = set_layers(masks, slices)
            intersect = seconds(set_overlaps, sets, some)
            sets_ms.append(1e3 * (build + intersect * pairs[0].size / len(some)))
            bits_ms.append(1e3 * seconds(overlap.layer_overlaps, masks, slices, pairs))
        ratios = [a / b for a, b in zip(sets_ms, bits_ms, strict=True)]
        lines.append(
            f"| {100 * pruned:.0f} % | {statistics.median(sets_ms):,.0f} | {statistics.median(bits_ms):.1f} "
            f"| {statistics.median(ratios):,.0f} ({min(ratios):,.0f} to {max(ratios):,.0f}) |"
        )
        print(lines[-1], flush=True)
    text = "\n".join(
        [
            *lines,
            "",
            f"Processor time of all {pairs[0].size} pairs of {replicas} random masks of {architecture.weight_count:,} "
            f"weights in {len(slices)} layers, median of {REPETITIONS} runs in turns; the sets are intersected for "
            f"{len(some)} pairs and scaled. {platform.machine()}; Python {platform.python_version()}, NumPy "
            f"{np.__version__}.",
        ]
    )
    print(text)
    if options.pages:
        page.write("overlap", text)


def random_masks(slices: dict[str, slice], replicas: int, kept: float) -> np.ndarray:
    """Return masks that keep the same number of weights in every layer, shape (replicas, weights)."""
    words = np.random.default_rng(0).random((replicas, max(where.stop for where in slices.values())))
    masks = np.zeros(words.shape, bool)
    for where in slices.values():
        count = int((where.stop - where.start) * kept)
        order = np.argsort(words[:, where], axis=1)[:, :count]
        np.put_along_axis(masks[:, where], order, True, axis=1)
    return masks


def set_layers(masks: np.ndarray, slices: dict[str, slice]) -> dict[str, list[set[int]]]:
    """Return the weights that each mask keeps, as one set for each mask, by layer."""
    return {name: [set(np.flatnonzero(mask[where]).tolist()) for mask in masks] for name, where in slices.items()}


def set_overlaps(layers: dict[str, list[set[int]]], pairs: list[tuple[int, int]]) -> dict[str, list[float]]:
    """Return the overlap of each pair in percent, by layer."""
    return {name: [100 * len(sets[i] & sets[j]) / len(sets[i]) for i, j in pairs] for name, sets in layers.items()}


if __name__ == "__main__":
    main()
