"""All metrics of one whole experiment, from the stored tickets: how long a chapter waits for them.

Run from the repository's root: ``python -m benchmarks.experiment`` (another experiment can be named).  Everything is
measured that paper A asks of a network: all pairs of tickets, all layers, all levels.  Reading, unpacking and checking
the files stands on a line of its own, as all metrics share it.
"""

import os
import platform
import sys
import time
from collections.abc import Callable

import numpy as np

from lib import evidence
from lib.experiments import find
from lib.paper_a import FASHION
from lib.tickets import Store


def main() -> None:
    """Print the table."""
    name = sys.argv[1] if len(sys.argv) > 1 else FASHION
    store, experiment = Store(), find(name)
    levels = [level.name for level in store.finished(experiment)][1:]
    pairs = experiment.replicas * (experiment.replicas - 1) // 2
    print(
        f"{name}: {len(levels)} levels x {len(experiment.architecture.layers)} layers, {experiment.replicas} tickets, "
        f"{pairs} pairs; seconds for all.  {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, NumPy {np.__version__}.\n"
    )
    measures: dict[str, Callable[[str], object]] = {
        "reading the tickets": lambda level: evidence.record(store, name, level),
        "overlap within an initialisation": lambda level: evidence.overlaps(store, name, level),
        "overlap across": lambda level: evidence.overlaps(store, name, level, within=False),
        "shared by all runs": lambda level: evidence.shared(store, name, level),
        "used by none": lambda level: evidence.unused(store, name, level),
        **{
            f"rank correlation, {of}, {over}": lambda level, of=of, over=over: evidence.rank_correlations(
                store, name, level, of, over
            )
            for of in ("signed", "magnitude")
            for over in ("survivors", "all")
        },
        **{
            f"outputs, {measure}": lambda level, measure=measure: evidence.output_matrix(store, name, level, measure)
            for measure in evidence.MEASURES
        },
    }
    print("| what | clock | processor |\n| --- | --- | --- |")
    total = np.zeros(2)
    for what, measure in measures.items():
        start = np.array([time.perf_counter(), time.process_time()])
        for level in levels:
            measure(level)
        taken = np.array([time.perf_counter(), time.process_time()]) - start
        total += taken
        print(f"| {what} | {taken[0]:.2f} | {taken[1]:.2f} |", flush=True)
    print(f"| **all** | {total[0]:.2f} | {total[1]:.2f} |")


if __name__ == "__main__":
    main()
