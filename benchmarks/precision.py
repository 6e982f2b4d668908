"""What precision costs: the same experiment trained at several, its accuracies and overlaps beside their spread.

Run from the repository's root: ``python -m benchmarks.precision [NAME] [--precisions tf32 bf16] [--levels 3]``; it
needs torch and the images.  The first levels of the experiment are trained at each precision into a folder of their own
(``--out``, gone on from where it stopped), from the same weights and in the same batch orders.  Of the mean accuracy
and the mean overlap of a level stands the difference from the first precision beside the standard error between
initialisations: what is smaller than about twice that error costs nothing that could be measured.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from lib import datasets, overlap, training
from lib.experiments import Experiment, find
from lib.tickets import Store


def measured(experiment: Experiment, store: Store) -> dict[str, dict[str, np.ndarray]]:
    """Return accuracy in % and overlap in % of the mask by level, one value for each initialisation."""
    found: dict[str, dict[str, np.ndarray]] = {}
    i, j = overlap.within_pairs(experiment.inits, experiment.runs)
    for level in store.finished(experiment):
        record = store.read(experiment, level)
        images = store.manifest(experiment)["levels"][level.name]["data"]["test images"]
        shape = (experiment.inits, experiment.runs)
        found[level.name] = {"accuracy": 100 * record.correct.reshape(shape).mean(axis=1) / images}
        if level != experiment.levels[0]:
            masks = store.masks(experiment, level)
            common = np.array([(masks[a] & masks[b]).sum() for a, b in zip(i, j, strict=True)]) / masks[0].sum()
            by_init = [100 * common[i // experiment.runs == init].mean() for init in range(experiment.inits)]
            found[level.name]["overlap"] = np.array(by_init)
    return found


def table(experiment: Experiment, stores: dict[str, Store]) -> str:
    """Return the rows: level and quantity, the mean at every precision, difference and standard error of each."""
    first, *others = stores
    found = {precision: measured(experiment, store) for precision, store in stores.items()}
    head = ["level", "what", first, *(f"{p} | difference | standard error" for p in others)]
    lines = [f"| {' | '.join(head)} |", "|---" * (3 + 3 * len(others)) + "|"]
    for level, quantities in found[first].items():
        for what, values in quantities.items():
            cells = [level, what, f"{values.mean():.2f}"]
            for precision in others:
                difference = found[precision][level][what] - values
                error = difference.std(ddof=1) / np.sqrt(len(difference))
                cells += [f"{found[precision][level][what].mean():.2f}", f"{difference.mean():+.2f}", f"{error:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="a/fashion-lenet/free", help="default: a/fashion-lenet/free")
    parser.add_argument("--precisions", nargs="+", default=["tf32", "bf16"], choices=training.PRECISIONS)
    parser.add_argument("--levels", type=int, default=3, help="how many levels, the dense one included (default: 3)")
    parser.add_argument("--epochs", type=int, help="of every level, fewer than the experiment's to try it out")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("runs/precision"), help="default: runs/precision")
    options = parser.parse_args()
    experiment = find(options.name)
    levels = experiment.levels[: options.levels]
    experiment = dataclasses.replace(experiment, levels=levels, epochs=options.epochs or experiment.epochs, keeps="all")
    images = datasets.load(experiment.dataset)
    stores = {precision: Store(options.out / precision) for precision in options.precisions}
    for precision, store in stores.items():
        training.train(experiment, images, store, options.device, precision=precision)
    print(table(experiment, stores))


if __name__ == "__main__":
    main()
