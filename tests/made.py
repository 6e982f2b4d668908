"""Small made things that several tests use."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lib.datasets import Images
from lib.experiments import Experiment
from lib.files import sealed
from lib.models import Architecture, Layer
from lib.pruning import Level, percent_levels, prune, random_masks
from lib.tickets import TEST_LOGITS, LevelRecord, Store

TINY = Architecture(
    "tiny",
    (1, 12, 12),
    (
        Layer("conv1", (3, 1, 5, 5), pool=True),
        Layer("conv2", (4, 3, 3, 3), padding=1),
        Layer("dense1", (12, 64)),
        Layer("output", (10, 12)),
    ),
)


def tiny_experiment(name: str = "test/tiny/free", **changes: object) -> Experiment:
    """An experiment that trains in about a second."""
    levels = percent_levels("50", "80")
    settings: dict = {"levels": levels, "inits": 2, "runs": 2, "epochs": 2, "batch": 20} | changes
    return Experiment(name, TINY, "fashion-mnist", **settings)


def made_images(seed: int = 0, train: int = 210) -> Images:
    """Images of ten classes, each a bright square in a place of its own, with noise."""
    rng = np.random.default_rng(seed)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = rng.integers(0, 60, (count, 1, 12, 12)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 4)
            image[0, 3 * row : 3 * row + 4, 3 * column : 3 * column + 3] += 180
        return images, labels

    about = PROVENANCE["data"]
    return Images(about["name"], *part(train), *part(TEST_LOGITS), about["source"], about["sha256"])


def made_store(
    root: Path,
    experiment: Experiment,
    seed: int = 0,
    planted: float = 0.0,
    levels: int | None = None,
    correct: Mapping[str, int] | None = None,
    first: np.ndarray | None = None,
) -> Store:
    """The store of a pretended training: normal weights, really pruned level by level.

    The weights of every level are drawn anew, so the masks of two replicas are independent and uniform, unless
    `planted`: that much of every weight (as correlation) is then common to the runs of an initialisation.
    `first`, shape (replicas, weights of the first layer), is what that layer ends with at every level, before its mask.
    Replica r classifies `correct[level]` + r of 10,000 test images correctly.
    """
    store = Store(root)
    if store.finished(experiment):
        return store  # made before, for another test file
    rng = np.random.default_rng(seed)
    architecture, replicas = experiment.architecture, experiment.replicas
    masks = np.ones((replicas, architecture.weight_count), bool)
    for level in experiment.levels[:levels]:
        if level.random:
            masks = random_masks(architecture, level, replicas)
        shared = rng.normal(size=(experiment.inits, architecture.parameter_count)).repeat(experiment.runs, axis=0)
        own = rng.normal(size=(replicas, architecture.parameter_count))
        parameters = (np.sqrt(planted) * shared + np.sqrt(1 - planted) * own).astype(np.float32)
        if first is not None:
            parameters[:, : first.shape[1]] = first
        parameters[:, : architecture.weight_count] *= masks
        pruned_to = experiment.pruned_to(level)
        following = None if pruned_to is None else prune(architecture, parameters, masks, pruned_to)
        record = LevelRecord(
            masks=masks,
            weights=parameters[:, : architecture.weight_count],
            biases=parameters[:, architecture.weight_count :],
            logits=rng.normal(size=(replicas, TEST_LOGITS, architecture.layers[-1].shape[0])).astype(np.float32),
            correct=(correct or CORRECT).get(level.name, 5000) + np.arange(replicas),
            losses=np.ones((replicas, experiment.epochs), np.float32),
        )
        store.write(experiment, level, record, PROVENANCE, following)
        masks = following
    return store


def change(store: Store, experiment: Experiment, level: Level, **parts: np.ndarray) -> None:
    """Store a level again with some parts of its record changed."""
    pruned_to = experiment.pruned_to(level)
    following = None if pruned_to is None else store.masks(experiment, pruned_to)
    write_again(store, experiment, level, dataclasses.replace(store.read(experiment, level), **parts), following)


def write_again(
    store: Store, experiment: Experiment, level: Level, record: LevelRecord, following: np.ndarray | None = None
) -> None:
    """Store a level, in the place of one that may be there: a store by itself refuses to."""
    path = store.folder(experiment) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["levels"].pop(level.name, None)
    path.write_bytes(sealed(manifest))
    store.write(experiment, level, record, PROVENANCE, following)


# Best at 50 and 60 %, then falling, as paper A says of its small networks.
CORRECT = {"dense": 8900, "50": 9000, "60": 8950, "80": 8850, "90": 8700, "95": 8400, "98": 7800}
PROVENANCE: dict = {
    "wall seconds": 90.0,
    "device": "a pretended machine",
    "processes": 2,
    "versions": {"python": "3.0", "torch": "2.0", "numpy": "1.0"},
    "data": {
        "name": "fashion-mnist",
        "source": "made for a test",
        "sha256": "0123456789abcdef" * 4,
        "training images": 60_000,
        "test images": 10_000,
    },
}
