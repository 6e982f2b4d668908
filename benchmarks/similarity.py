"""CKA and L2 of all pairs of outputs: arrays against a loop over pairs, measured side by side.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.similarity``.  The outputs are random and as
many as the tickets of one level of paper A have: 25 replicas, 2,000 samples, 10 classes.  The loops are what one
writes first, with NumPy inside a pair; both sides must find the same.  Processor time stands beside the time on the
clock, because only the first is meaningful on a machine that does other work as well; the ratio is that of processor
times.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from lib import similarity

REPLICAS, SAMPLES, CLASSES = 25, 2000, 10
REPETITIONS = 15


def pair_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return the linear CKA of two outputs."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def pair_l2(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean distance of two outputs."""
    return float(np.linalg.norm(x - y, axis=1).mean())


def by_pairs(function: Callable[[np.ndarray, np.ndarray], float], outputs: np.ndarray) -> np.ndarray:
    """Return the values of all pairs, each computed once."""
    result = np.zeros((len(outputs), len(outputs)))
    for i in range(len(outputs)):
        for j in range(i, len(outputs)):
            result[i, j] = result[j, i] = function(outputs[i], outputs[j])
    return result


def timed(function: Callable[..., np.ndarray], *arguments: object) -> tuple[float, float, np.ndarray]:
    """Return the milliseconds on the clock and of processor time that one call takes, and its result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor), result


def main() -> None:
    """Print the table."""
    outputs = np.random.default_rng(0).normal(size=(REPLICAS, SAMPLES, CLASSES))
    print(
        f"All pairs of {REPLICAS} outputs of {SAMPLES:,} samples and {CLASSES} classes, ms: median of {REPETITIONS} "
        f"runs, the two sides in turn.  {platform.machine()}, {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}.\n"
    )
    print("| metric | loop over pairs: clock | processor | arrays: clock | processor | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, loop, arrays in (("CKA", pair_cka, similarity.cka), ("L2", pair_l2, similarity.l2)):
        runs = [(timed(by_pairs, loop, outputs), timed(arrays, outputs)) for _ in range(REPETITIONS)]
        np.testing.assert_allclose(runs[0][0][2], runs[0][1][2], rtol=0, atol=1e-12)
        slow, fast = ([statistics.median(run[side][k] for run in runs) for k in (0, 1)] for side in (0, 1))
        print(f"| {name} | {slow[0]:.1f} | {slow[1]:.1f} | {fast[0]:.1f} | {fast[1]:.1f} | {slow[1] / fast[1]:.1f} |")


if __name__ == "__main__":
    main()
