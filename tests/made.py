"""Small made things that several tests use."""

import numpy as np

from lib.datasets import Images
from lib.experiments import Experiment
from lib.models import Architecture, Layer
from lib.pruning import percent_levels
from lib.tickets import TEST_LOGITS

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
    settings: dict = {"inits": 2, "runs": 2, "epochs": 2, "batch": 20} | changes
    return Experiment(name, TINY, "fashion-mnist", percent_levels("50", "80"), **settings)


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

    return Images("made", *part(train), *part(TEST_LOGITS), "made for a test", "0" * 64)
