"""All metrics of one whole experiment, from the stored tickets: how long a chapter waits for them.

Run from the repository's root: ``OMP_NUM_THREADS=1 python -m benchmarks.experiment [--pages]`` (another experiment can
be named).  Everything is measured that paper A asks of a network: all pairs of tickets, all layers, all levels.
Reading, unpacking and checking the files stands on a line of its own, as all metrics share it.  Processor time stands
beside the time on the clock, as only the first is meaningful on a machine that does other work as well.  ``--pages``
writes the table into the book's page on performance.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from benchmarks import page
from lib import evidence
from lib.experiments import find
from lib.paper_a import FASHION
from lib.tickets import Store


def main() -> None:
    """Print the table; write it into the book with ``--pages``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default=FASHION, metavar="NAME")
    parser.add_argument("--pages", action="store_true", help="write the table into book/performance.md")
    options = parser.parse_args()
    name = options.experiment
    store, experiment = Store(), find(name)
    levels = [level.name for level in store.finished(experiment)][1:]
    pairs = experiment.replicas * (experiment.replicas - 1) // 2
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
    lines = ["| what | clock, s | processor, s |", page.rule(1, 2)]
    total = np.zeros(2)
    for what, measure in measures.items():
        start = np.array([time.perf_counter(), time.process_time()])
        for level in levels:
            measure(level)
        taken = np.array([time.perf_counter(), time.process_time()]) - start
        total += taken
        lines.append(f"| {what} | {taken[0]:.2f} | {taken[1]:.2f} |")
        print(lines[-1], flush=True)
    lines.append(f"| **all** | {total[0]:.2f} | {total[1]:.2f} |")
    text = "\n".join(
        [
            *lines,
            "",
            f"`{name}`: {len(levels)} levels x {len(experiment.architecture.layers)} layers, {experiment.replicas} "
            f"tickets, {pairs} pairs. {platform.machine()}, {os.cpu_count()} cores; Python "
            f"{platform.python_version()}, NumPy {np.__version__}.",
        ]
    )
    print(text)
    if options.pages:
        page.write("experiment", text)


if __name__ == "__main__":
    main()
