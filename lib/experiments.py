"""Every experiment as a frozen, named specification of all that decides the bits of its tickets."""

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.errors import UserError
from lib.models import Architecture, lenet
from lib.pruning import Level, percent_levels

TRAINING_IMAGES = {"fashion-mnist": 60_000, "mnist": 60_000, "cifar10": 50_000}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment: what is trained, on what, and which randomness its runs share.

    Replicas are ordered by initialisation, then by run: replica = init * runs + run.

    Attributes
    ----------
    name : str
        Used everywhere: on the command line, in file names, in captions.
    architecture : Architecture
    dataset : str
        Name in `lib.datasets`.
    levels : tuple of Level
        The first is dense.
    inits, runs : int
        Number of initialisations, and of runs from each.
    epochs, batch : int
        Epochs for every level; images in a batch. What an epoch leaves over after its last whole batch is
        not used in that epoch.
    learning_rate : float
        Of Adam with betas (0.9, 0.999) and epsilon 1e-8.
    scaling : str
        'unit': pixels are divided by 255.
    shared_order : float
        Fraction of every level's steps whose batch order is shared by the runs of an initialisation.
    noise : float
        Relative uniform noise on every gradient, at the level of fp32 rounding; 0 for none.
    """

    name: str
    architecture: Architecture
    dataset: str
    levels: tuple[Level, ...]
    inits: int = 5
    runs: int = 5
    epochs: int = 15
    batch: int = 60
    learning_rate: float = 1.2e-3
    scaling: str = "unit"
    shared_order: float = 0.0
    noise: float = 0.0

    @property
    def replicas(self) -> int:
        """Number of networks, inits x runs."""
        return self.inits * self.runs

    def samples(self) -> int:
        """Return how many images the training of all levels and replicas sees."""
        images = TRAINING_IMAGES[self.dataset] // self.batch * self.batch
        return images * self.epochs * len(self.levels) * self.replicas

    def level(self, name: str) -> Level:
        """Return the level called `name`; raise `UserError` if there is none."""
        for level in self.levels:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.levels)
        raise UserError(f"level is {name!r}: {self.name} has the levels {known}")

    def specification(self) -> dict[str, Any]:
        """Return all that decides the bits of the tickets, as plain JSON values."""
        spec = dataclasses.asdict(self)
        # What a layer leaves at its default is left out, so that a new kind of layer changes no old fingerprint.
        spec["architecture"]["layers"] = [
            {f.name: getattr(y, f.name) for f in dataclasses.fields(y) if getattr(y, f.name) != f.default}
            for y in self.architecture.layers
        ]
        spec["levels"] = {level.name: str(level.kept) for level in self.levels}
        spec["criterion"] = "large final per layer, survivors reset, biases kept"
        spec["initial weights"] = "Glorot normal"
        spec["optimiser"] = "Adam"
        return json.loads(json.dumps(spec))

    def fingerprint(self) -> str:
        """Return 16 hex digits that change with any part of the specification."""
        text = json.dumps(self.specification(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def batch_order(self, replica: int, level: int, epoch: int, images: int) -> NDArray[np.int64]:
        """Return the images of one epoch in order, shape (steps, batch).

        Parameters
        ----------
        replica : int
        level : int
            Index into `levels`.
        epoch : int
        images : int
            Number of training images.
        """
        init, run = divmod(replica, self.runs)
        steps = images // self.batch
        # How many images of this epoch still belong to the shared part of the level.
        shared = round(self.shared_order * self.epochs * steps) - epoch * steps
        shared = min(max(shared, 0), steps) * self.batch
        stream = f"batches/{init}/{{}}/{level}/{epoch}"
        order = streams.permutation(stream.format("shared" if shared else run), images)
        if 0 < shared < steps * self.batch:
            own = streams.permutation(stream.format(run), images)
            head = order[:shared]
            order = np.concatenate([head, own[~np.isin(own, head)]])
        return order[: steps * self.batch].reshape(steps, self.batch)


_SMALL_LEVELS = percent_levels("50", "60", "80", "90", "95", "98")
_FASHION = lenet((1, 28, 28), "lenet-28x28x1")

EXPERIMENTS: dict[str, Experiment] = {
    e.name: e
    for e in (
        Experiment("a/fashion-lenet/free", _FASHION, "fashion-mnist", _SMALL_LEVELS),
    )
}


def find(name: str) -> Experiment:
    """Return the experiment called `name`; raise `UserError` if there is none."""
    try:
        return EXPERIMENTS[name]
    except KeyError:
        raise UserError(f"experiment is {name!r}: known are {', '.join(EXPERIMENTS)}") from None
