"""What precision costs: the same experiment trained at several, its accuracies and overlaps beside their spread.

Run from the repository's root: ``python -m benchmarks.precision [NAME] [--precisions fp32 bf16] [--pages]``; it needs
torch and the images.  The first levels (``--levels``) of the experiment are trained at each precision into a folder of
their own (``--out``, gone on from where it stopped), from the same weights and in the same batch orders; ``--inits``,
``--runs`` and ``--epochs`` make it smaller.  Of the mean accuracy and the mean overlap of two runs stands the
difference from the first precision with its 95 % interval, by Student's t over the initialisations: an interval around
zero is no cost that could be measured.  Overlaps stand at the levels whose masks the experiment keeps, of paper B's the
last alone.  The last rows are the overlaps of the tickets of one run at two precisions: if they are as those of two
runs of one initialisation, rounding has the effect of another batch order.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks import page
from lib import datasets, overlap, statistics, training
from lib.experiments import Experiment, find
from lib.tickets import Store, contents


def common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how much two tickets share of each, in % of the mask, for every pair of rows."""
    return 100 * (one & other).sum(axis=1) / one.sum(axis=1)


def measured(experiment: Experiment, store: Store) -> dict[str, dict[str, np.ndarray]]:
    """Return accuracy in % and overlap of two runs in % of the mask by level, one value for each initialisation."""
    found: dict[str, dict[str, np.ndarray]] = {}
    i, j = overlap.within_pairs(experiment.inits, experiment.runs)
    for level in store.finished(experiment):
        correct = store.read(experiment, level).correct.reshape(experiment.inits, experiment.runs)
        images = store.entries(experiment, level)[0]["data"]["test images"]
        found[level.name] = {"accuracy": 100 * correct.mean(axis=1) / images}
        if "masks" in contents(experiment, level) and len(i):
            masks = store.masks(experiment, level)
            shared = common(masks[i], masks[j]).reshape(experiment.inits, -1)
            found[level.name]["overlap of two runs"] = shared.mean(axis=1)
    return found


def interval(differences: np.ndarray) -> str:
    """Return the mean of some differences with its 95 % interval, by Student's t."""
    ends = ttest_1samp(differences, 0).confidence_interval()
    return f"{differences.mean():+.2f} ({statistics.interval_words(ends.low, ends.high, '+.2f')})"


def table(experiment: Experiment, stores: dict[str, Store]) -> str:
    """Return the rows: level and quantity, the mean at every precision, and each difference with its interval."""
    first, *others = stores
    found = {precision: measured(experiment, store) for precision, store in stores.items()}
    head = ["level", "what", first, *(f"{p} | difference (95 %)" for p in others)]
    lines = [f"| {' | '.join(head)} |", page.rule(2, 1 + 2 * len(others))]
    for level, quantities in found[first].items():
        for what, values in quantities.items():
            cells = [level, what, f"{values.mean():.2f}"]
            for precision in others:
                difference = found[precision][level][what] - values
                cells += [f"{found[precision][level][what].mean():.2f}", interval(difference)]
            lines.append(f"| {' | '.join(cells)} |")
        if "masks" in contents(experiment, experiment.level(level)):
            cells = [level, f"overlap of a run with itself at {first}", "100.00"]
            for precision in others:
                masks = [
                    store.masks(experiment, experiment.level(level)) for store in (stores[first], stores[precision])
                ]
                cells += [f"{common(*masks).mean():.2f}", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing and print the table; write it into the book with ``--pages``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="a/fashion-lenet/free", help="default: a/fashion-lenet/free")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=training.PRECISIONS)
    parser.add_argument("--levels", type=int, default=3, help="how many levels, the dense one included (default: 3)")
    parser.add_argument("--inits", type=int, help="fewer initialisations than the experiment's")
    parser.add_argument("--runs", type=int, help="runs of each, in place of the experiment's")
    parser.add_argument("--epochs", type=int, help="of every level, in place of the experiment's")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("runs/precision"), help="default: runs/precision")
    parser.add_argument("--pages", action="store_true", help="write the table into book/performance.md")
    options = parser.parse_args()
    whole = find(options.name)
    changed = {key: getattr(options, key) for key in ("inits", "runs", "epochs") if getattr(options, key)}
    experiment = dataclasses.replace(whole, levels=whole.levels[: options.levels], **changed)
    if options.pages:  # that there is a place is asked before hours of training
        for kind in ("cpu", "cuda"):
            page.read(f"precision {kind} {experiment.architecture.name}")
    images = datasets.load(experiment.dataset)
    stores = {precision: Store(options.out / precision) for precision in options.precisions}
    for precision, store in stores.items():
        training.train(experiment, images, store, options.device, precision=precision)
    e, entry = experiment, stores[options.precisions[0]].entries(experiment, experiment.levels[0])[0]
    text = (
        f"{table(e, stores)}\n\n`{e.name}`, {e.inits} x {e.runs} networks, epochs a level: {e.epochs}; accuracy in %, "
        f"overlaps in % of the mask. {entry['device']}; torch {entry['versions']['torch']}."
    )
    print(text)
    if options.pages:
        page.write(f"precision {'cpu' if entry['device'].startswith('CPU') else 'cuda'} {e.architecture.name}", text)


if __name__ == "__main__":
    main()
