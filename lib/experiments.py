"""Every experiment as a frozen, named specification of all that decides the bits of its tickets."""

import dataclasses
import functools
import hashlib
import json
import re
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.datasets import SETS
from lib.errors import UserError, finite, kind, shown, whole
from lib.models import Architecture, conv2, lenet, lenet_equal, resnet18
from lib.pruning import Level, percent_levels, round_levels, with_random

OPTIMISERS = ("Adam", "SGD")
SCALINGS = ("unit", "standardised")
KEEPS = ("all", "pruned", "tickets")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment, or a part of it: what is trained, on what, and which randomness its runs share.

    Replicas are ordered by initialisation, then by run: replica = (init - after) * runs + run.

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
    optimiser : str
        'Adam' with betas (0.9, 0.999) and epsilon 1e-8, or 'SGD' with momentum 0.9; no weight decay.
    scaling : str
        'unit': pixels are divided by 255; 'standardised': every channel of the training images has mean 0 and
        standard deviation 1.
    shared_order : float
        Fraction of every level's steps whose batch order is shared by the runs of an initialisation.
    noise : float
        Relative uniform noise on every gradient, at the level of fp32 rounding; 0 for none.
    keeps : str
        What of it is stored, one of `KEEPS`: `lib.tickets.contents` says what each means. The bits of a ticket do not
        hang on it, so it is no part of the fingerprint.
    after : int
        Of a part (`part`): how many of the experiment's initialisations come before its own.
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
    optimiser: str = "Adam"
    scaling: str = "unit"
    shared_order: float = 0.0
    noise: float = 0.0
    keeps: str = "all"
    after: int = 0

    def __hash__(self) -> int:
        # Of what tells nearly all experiments apart: the fractions of all levels take long, for every cache that asks.
        return hash((self.name, self.after, self.inits))

    def __post_init__(self) -> None:
        """Raise `UserError` for a specification that cannot be trained."""
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+)+", self.name):
            raise UserError(f"name is {shown(self.name)}: it should be like a/fashion-lenet/free, as it names a folder")
        for field, known in (
            ("optimiser", OPTIMISERS),
            ("scaling", SCALINGS),
            ("dataset", tuple(SETS)),
            ("keeps", KEEPS),
        ):
            if getattr(self, field) not in known:
                raise UserError(f"{field} is {shown(getattr(self, field))}: it should be one of {', '.join(known)}")
        kind("architecture", self.architecture, Architecture)
        for field in ("inits", "runs", "epochs"):
            whole(field, getattr(self, field), 1)
        whole("after", self.after, 0)
        whole("batch", self.batch, 1, SETS[self.dataset].counts[0])
        if finite("learning_rate", self.learning_rate) <= 0:
            raise UserError(f"learning_rate is {self.learning_rate}: it should be above 0")
        for field in ("shared_order", "noise"):
            if not 0 <= finite(field, getattr(self, field)) <= 1:
                raise UserError(f"{field} is {getattr(self, field)}: it should be from 0 to 1")
        self._check_levels()

    def _check_levels(self) -> None:
        names = [kind("levels", level, Level).name for level in kind("levels", self.levels, tuple)]
        if not names or self.levels[0].kept != 1 or len(set(names)) < len(names):
            raise UserError(f"levels are {', '.join(names) or 'none'}: they should begin with dense, each name once")
        for level in self.levels:
            if not re.fullmatch(r"[a-z0-9.-]+", level.name):
                raise UserError(
                    f"levels has the name {level.name!r}: it should be like 50 or round-1, as it names a file"
                )
            for layer, kept in (("all layers", level.kept), *level.exceptions):
                if layer not in ("all layers", *self.architecture.weight_slices()) or not 0 < kept <= 1:
                    raise UserError(
                        f"levels has {level.name}, which keeps {kept} of {layer}: it should keep some or all "
                        f"of {self.architecture.name}"
                    )
        for before, after in zip(self.levels, self.levels[1:], strict=False):
            for layer in self.architecture.weight_slices():
                if after.kept_of(layer) > before.kept_of(layer):
                    raise UserError(
                        f"levels has {after.name} after {before.name}, which keeps less of {layer}: pruned weights "
                        "do not come back"
                    )

    @property
    def replicas(self) -> int:
        """Number of networks, inits x runs."""
        return self.inits * self.runs

    def first(self, inits: int) -> "Experiment":
        """Return the experiment with its first `inits` initialisations alone, as `part` does."""
        return self.part(0, whole("inits", inits, 1, self.inits))

    def part(self, after: int, upto: int) -> "Experiment":
        """Return the part of a whole experiment with its initialisations after + 1 to `upto`, under the same name.

        A ticket hangs on its own initialisation and run only, so on a CPU these tickets are bit by bit those of the
        whole experiment.  The fingerprint is another: what is stored says which it holds.

        Raises
        ------
        UserError
            If there are not so many.
        """
        return _part(self, whole("after", after, 0, self.inits - 1), whole("upto", upto, after + 1, self.inits))

    def samples(self) -> int:
        """Return how many images the training of all levels and replicas sees."""
        images = SETS[self.dataset].counts[0] // self.batch * self.batch
        return images * self.epochs * len(self.levels) * self.replicas

    @property
    def last(self) -> Level:
        """The last level that pruning gives: that of the tickets."""
        return [level for level in self.levels if not level.random][-1]

    def pruned_to(self, level: Level) -> Level | None:
        """Return the level to which the networks of `level` are pruned; None if there is none."""
        following = self.levels[self.levels.index(level) + 1 :]
        return following[0] if following and not following[0].random else None

    def pruned_from(self, level: Level) -> Level | None:
        """Return the level whose networks are pruned to `level`; None for the dense and for random ones."""
        number = self.levels.index(level)
        return self.levels[number - 1] if number and not level.random else None

    def level(self, name: str) -> Level:
        """Return the level called `name`; raise `UserError` if there is none."""
        for level in self.levels:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.levels)
        raise UserError(f"level is {name!r}: {self.name} has the levels {known}")

    def specification(self) -> dict[str, Any]:
        """Return all that decides the bits of the tickets, as plain JSON values."""
        return json.loads(_specification(self))

    @functools.cache  # noqa: B019 - experiments are few and live as long as the process
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
        init, run = self.after + replica // self.runs, replica % self.runs
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


@functools.cache  # the same object for the same number, so that what is cached by it is found quickly
def _part(experiment: Experiment, after: int, upto: int) -> Experiment:
    if (after, upto) == (0, experiment.inits):
        return experiment
    return dataclasses.replace(experiment, inits=upto - after, after=after)


@functools.cache  # asked for with every look at a manifest
def _specification(experiment: Experiment) -> str:
    spec = dataclasses.asdict(experiment)
    del spec["keeps"]
    if not experiment.after:  # only a later part says after which it comes, so that no old fingerprint changes
        del spec["after"]
    # What a layer leaves at its default is left out, so that a new kind of layer changes no old fingerprint.
    spec["architecture"]["layers"] = [
        {f.name: getattr(y, f.name) for f in dataclasses.fields(y) if getattr(y, f.name) != f.default}
        for y in experiment.architecture.layers
    ]
    spec["levels"] = {
        level.name: {"kept": str(level.kept), **{layer: str(kept) for layer, kept in level.exceptions}}
        if level.exceptions
        else str(level.kept)
        for level in experiment.levels
        if not level.random
    }
    drawn = [level.name for level in experiment.levels if level.random]
    if drawn:
        spec["random tickets"] = f"as many weights of every layer as the last level, trained as {', '.join(drawn)}"
    spec["criterion"] = "large final per layer, survivors reset, biases kept"
    spec["initial weights"] = "Glorot normal"
    return json.dumps(spec)


_SMALL_LEVELS = percent_levels("50", "60", "80", "90", "95", "98")
_RESNET_LEVELS = percent_levels("50", "60", "90", "98", "99", "99.9")
# The first steps of the same way, so that they compare with the experiment that goes on to 98 %.
_FIRST_LEVELS = percent_levels("50", "60", "80")
# Eleven times pruned, the ticket is trained once more, and a random one beside it.
_ROUNDS = with_random(round_levels(11, Fraction("0.9"), dense1=Fraction("0.8"), dense2=Fraction("0.8")))

_FASHION = lenet((1, 28, 28), "lenet-28x28x1")
_CIFAR = lenet((3, 32, 32), "lenet-32x32x3")
_EQUAL = lenet_equal()
_RESNET = resnet18()
_CONV2 = conv2()

# Paper A's "partially fixed randomness": the same initial weights and the same batch order, and floating-point noise.
_PARTIAL: dict[str, Any] = {"shared_order": 1.0, "noise": 2.0**-23}
_PAPER_B: dict[str, Any] = {"inits": 20, "runs": 1, "epochs": 10, "learning_rate": 2e-4, "keeps": "tickets"}


EXPERIMENTS: dict[str, Experiment] = {
    e.name: e
    for e in (
        Experiment("a/fashion-lenet/free", _FASHION, "fashion-mnist", _SMALL_LEVELS),
        Experiment("a/fashion-lenet/partial", _FASHION, "fashion-mnist", _SMALL_LEVELS, **_PARTIAL),
        Experiment("a/fashion-lenet/fixed", _FASHION, "fashion-mnist", _SMALL_LEVELS, 1, 2, shared_order=1.0),
        Experiment("a/fashion-lenet/shared-1", _FASHION, "fashion-mnist", _SMALL_LEVELS, shared_order=0.01),
        Experiment("a/fashion-lenet/shared-10", _FASHION, "fashion-mnist", _SMALL_LEVELS, shared_order=0.1),
        Experiment("a/fashion-lenet/shared-50", _FASHION, "fashion-mnist", _SMALL_LEVELS, shared_order=0.5),
        Experiment("a/cifar-lenet/free", _CIFAR, "cifar10", _SMALL_LEVELS),
        Experiment("a/cifar-lenet/partial", _CIFAR, "cifar10", _SMALL_LEVELS, **_PARTIAL),
        Experiment("a/mnist-lenet/partial", _FASHION, "mnist", _SMALL_LEVELS, **_PARTIAL),
        Experiment("a/fashion-equal/partial", _EQUAL, "fashion-mnist", _SMALL_LEVELS, **_PARTIAL),
        Experiment("a/cifar-resnet18/free", _RESNET, "cifar10", _RESNET_LEVELS, batch=128, keeps="pruned"),
        Experiment(
            "a/cifar-resnet18/partial", _RESNET, "cifar10", _RESNET_LEVELS, batch=128, keeps="pruned", **_PARTIAL
        ),
        # What hangs on settings that the paper does not give.
        Experiment(
            "a/fashion-lenet/sgd", _FASHION, "fashion-mnist", _FIRST_LEVELS, runs=2, optimiser="SGD", learning_rate=0.01
        ),
        Experiment("a/fashion-lenet/slow", _FASHION, "fashion-mnist", _FIRST_LEVELS, runs=2, learning_rate=1.2e-4),
        Experiment("a/fashion-lenet/fast", _FASHION, "fashion-mnist", _FIRST_LEVELS, runs=2, learning_rate=3.6e-3),
        Experiment(
            "a/fashion-lenet/standardised", _FASHION, "fashion-mnist", _FIRST_LEVELS, runs=2, scaling="standardised"
        ),
        Experiment("b/conv2/cifar10", _CONV2, "cifar10", _ROUNDS, **_PAPER_B),
        Experiment("b/conv2/svhn", _CONV2, "svhn", _ROUNDS, **_PAPER_B),
        Experiment("b/conv2/cinic10", _CONV2, "cinic10", _ROUNDS, **_PAPER_B),
        Experiment("b/conv2/cifar100-super10", _CONV2, "cifar100-super10", _ROUNDS, **_PAPER_B),
        Experiment("b/conv2/mnist-photo", _CONV2, "mnist-photo", _ROUNDS, **_PAPER_B),
        Experiment("b/conv2/cifar10-standardised", _CONV2, "cifar10", _ROUNDS, **_PAPER_B, scaling="standardised"),
    )
}


def find(name: str) -> Experiment:
    """Return the experiment called `name`; raise `UserError` if there is none."""
    try:
        return EXPERIMENTS[name]
    except KeyError:
        raise UserError(f"experiment is {name!r}: known are {', '.join(EXPERIMENTS)}") from None


def trials(experiment: Experiment) -> str:
    """Return how many of its initialisations an experiment has, such as '6 of the 20 trials'; '' if it has all.

    Of a later part it is which they are, such as 'trials 7 to 14 of the 20'.  Where several runs start from one
    initialisation it is 'initialisations' that are counted.
    """
    every, upto = EXPERIMENTS.get(experiment.name, experiment).inits, experiment.after + experiment.inits
    kind_of = "trial" if experiment.runs == 1 else "initialisation"
    if experiment.after:
        first = experiment.after + 1
        return f"{kind_of} {upto} of the {every}" if first == upto else f"{kind_of}s {first} to {upto} of the {every}"
    return "" if experiment.inits == every else f"{experiment.inits} of the {every} {kind_of}s"


def train_command(experiment: Experiment) -> str:
    """Return the command that trains an experiment, up to the last initialisation that this one has."""
    upto = experiment.after + experiment.inits
    every = EXPERIMENTS.get(experiment.name, experiment).inits
    return f"python -m lib train {experiment.name}{f' --trials {upto}' if upto < every else ''}"
