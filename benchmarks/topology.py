"""NNSTD of pairs of Conv-2 tickets: matrix products against Python sets, measured side by side.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.topology``.  The tickets are random and
keep what paper B's keep.  The sets are the definition as it is written: for every pair of units the symmetric
difference over the union.  They are timed on one whole pair, once, and must find the same distances; both sides
use scipy's linear assignment.  Processor time stands beside the time on the clock, because only the first is
meaningful on a machine that does other work as well; the ratio is that of processor times.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment

from lib import topology
from lib.models import conv2

CONV2 = conv2()
TICKETS = 20
REPETITIONS = 9
# Table 1 of paper B: ten conditions of 50 comparisons.  Measured on some, scaled to all.
COMPARISONS, MEASURED = 500, 50

Units = list[tuple[set[int], ...]]


def timed(function: Callable[..., object], *arguments: object) -> tuple[float, float, object]:
    """Return the seconds on the clock and of processor time that one call takes, and its result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor, result


def main() -> None:
    """Print the tables."""
    signs = random_signs()
    print(
        f"One pair of random Conv-2 tickets ({np.count_nonzero(signs[0]):,} of {CONV2.weight_count:,} weights), match "
        f"carried; arrays: median of {REPETITIONS}, sets: once.  {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}.\n"
    )
    print("| metric | sets, s: clock | processor | arrays, ms: clock | processor | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, tickets in (("NNSTD", signs != 0), ("NNSTD with signs", signs)):
        a, b = tickets[:2]
        arrays = [timed(topology.layer_distances, CONV2, a, b) for _ in range(REPETITIONS)]
        sets = timed(set_distances, a, b)
        np.testing.assert_allclose(arrays[0][2], sets[2], rtol=0, atol=1e-12)
        clock, processor = (statistics.median(run[i] for run in arrays) for i in (0, 1))
        print(
            f"| {name} | {sets[0]:.1f} | {sets[1]:.1f} | {1e3 * clock:.0f} | {1e3 * processor:.0f} "
            f"| {sets[1] / processor:.0f} |",
            flush=True,
        )
    i, j = (rows[:MEASURED] for rows in np.triu_indices(TICKETS, 1))
    spent = [timed(topology.distances, CONV2, tickets, (i, j), True, True) for tickets in (signs != 0, signs)]
    clock, processor = (sum(run[k] for run in spent) * COMPARISONS / MEASURED for k in (0, 1))
    print(
        f"\n{COMPARISONS} comparisons with both metrics, scaled from {MEASURED} measured ones: {clock:.0f} s on the "
        f"clock, {processor:.0f} s of processor time, on {os.cpu_count()} cores."
    )


def random_signs() -> np.ndarray:
    """Return the signs of random tickets, shape (TICKETS, weights): 0.9^11 of the weights, 0.8^11 in dense layers."""
    rng = np.random.default_rng(0)
    signs = np.zeros((TICKETS, CONV2.weight_count), np.int8)
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
