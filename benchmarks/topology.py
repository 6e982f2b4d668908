"""NNSTD of pairs of Conv-2 tickets: bits against Python sets, measured side by side.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.topology [--pages]``.  The tickets are random
and keep what paper B's keep.  The sets are the definition as it is written: for every pair of units the symmetric
difference over the union.  They are timed on one whole pair, once, and must find the same distances; both sides
use scipy's linear assignment.  The ratio is that of processor times, so that other work on the machine counts little.
Then all comparisons of paper B's Table 1 are made, with both metrics: 50 pairs of each of its ten conditions.
``--pages`` writes both into the book's page on performance.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment

from benchmarks import page
from lib import paper_b, topology
from lib.models import conv2

CONV2 = conv2()
TICKETS = 20
REPETITIONS = 9

Units = list[tuple[set[int], ...]]


def timed(function: Callable[..., object], *arguments: object) -> tuple[float, float, object]:
    """Return the seconds on the clock and of processor time that one call takes, and its result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor, result


def main() -> None:
    """Print the table; write it into the book with ``--pages``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", action="store_true", help="write the table into book/performance.md")
    options = parser.parse_args()
    signs = random_signs(TICKETS * (len(paper_b.DATASETS) + 1))
    lines = ["| metric | sets, s a pair | this library, ms a pair | ratio |", page.rule(1, 3)]
    for name, tickets in (("NNSTD", signs[:2] != 0), ("NNSTD±", signs[:2])):
        arrays = [timed(topology.layer_distances, CONV2, *tickets) for _ in range(REPETITIONS)]
        sets = timed(set_distances, *tickets)
        np.testing.assert_allclose(arrays[0][2], sets[2], rtol=0, atol=1e-12)
        processor = statistics.median(run[1] for run in arrays)
        lines.append(f"| {name} | {sets[1]:.1f} | {1e3 * processor:.1f} | {sets[1] / processor:,.0f} |")
        print(lines[-1], flush=True)
    pairs = table_1()
    spent = [timed(topology.distances, CONV2, tickets, pairs, True, True) for tickets in (signs != 0, signs)]
    clock, processor = (sum(run[k] for run in spent) for k in (0, 1))
    text = "\n".join(
        [
            *lines,
            "",
            f"Processor time of one pair of random Conv-2 tickets ({np.count_nonzero(signs[0]):,} of "
            f"{CONV2.weight_count:,} weights). All {len(pairs[0])} comparisons of paper B's Table 1 with both metrics: "
            f"{processor:.1f} s of processor time; {clock:.1f} s on the clock of {os.cpu_count()} cores. "
            f"{platform.machine()}; Python {platform.python_version()}, NumPy {np.__version__}, SciPy "
            f"{scipy.__version__}.",
        ]
    )
    print(text)
    if options.pages:
        page.write("topology", text)


def table_1() -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of paper B's Table 1: rows of the tickets of three data sets, then of random ones."""
    rng = np.random.default_rng(0)
    groups = {key: np.arange(TICKETS) + TICKETS * n for n, key in enumerate((*paper_b.DATASETS, "random"))}
    found = []
    for condition in paper_b.CONDITIONS.values():
        a = groups["random" if condition.category == "random" else condition.a]
        b = groups["random" if condition.category in ("random", "mixed") else condition.b]
        pairs = np.array([(i, j) for i in a for j in b if (i < j if a is b else i % TICKETS != j % TICKETS)])
        found.append(rng.choice(pairs, paper_b.SAMPLE, replace=False))
    return tuple(np.concatenate(found).T)


def random_signs(count: int) -> np.ndarray:
    """Return the signs of random tickets, shape (count, weights): 0.9^11 of the weights, 0.8^11 in dense layers."""
    rng = np.random.default_rng(0)
    signs = np.zeros((count, CONV2.weight_count), np.int8)
    for layer, where in zip(CONV2.layers, CONV2.weight_slices().values(), strict=True):
        kept = int(layer.size * (0.8 if layer.name.startswith("dense") else 0.9) ** 11)
        for ticket in signs:
            ticket[where][rng.choice(layer.size, kept, replace=False)] = rng.choice([-1, 1], kept)
    return signs


def set_distances(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Return the layer distances of two tickets by the definition."""
    result, source = [], None
    for layer, where in zip(CONV2.layers, CONV2.weight_slices().values(), strict=True):
        units = layer.shape[0]
        first, second = set_units(a[where], units), set_units(b[where], units)
        if source is not None:
            block = layer.size // units // len(source)
            place = {there: here for here, there in enumerate(source)}
            second = [tuple({place[c // block] * block + c % block for c in part} for part in u) for u in second]
        costs = np.array([[set_distance(x, y) for y in second] for x in first])
        rows, columns = linear_sum_assignment(costs)
        result.append(float(costs[rows, columns].mean()))
        source = columns.tolist()
    return result


def set_units(flat: np.ndarray, units: int) -> Units:
    """Return each unit's incoming connections: one set for a mask, one for each sign for signs."""
    parts = [flat] if flat.dtype == bool else [flat > 0, flat < 0]
    rows = zip(*(part.reshape(units, -1) for part in parts), strict=True)
    return [tuple(set(np.flatnonzero(part).tolist()) for part in row) for row in rows]


def set_distance(first: tuple[set[int], ...], second: tuple[set[int], ...]) -> float:
    """Return the normalised edit distance of two units, the mean over the signs."""
    total = sum(len(x ^ y) / len(x | y) if x or y else 0.0 for x, y in zip(first, second, strict=True))
    return total / len(first)


if __name__ == "__main__":
    main()
