"""The store: what an experiment left behind, on disk, verified.

The only module that knows the file format.  An experiment is a folder with a manifest and one ``.npz``
file for each finished level (`contents` says what it holds), and the masks of the level that is to be trained
next, without which training could not go on.  Nothing is pickled; every file is written beside its place and
renamed into it; every read checks the SHA-256 that the manifest holds, and the manifest's checksum of itself.
The manifest also holds the SHA-256 of the masks of every level and of those that pruning gave to the next one,
so that the way to a ticket can be checked where its masks are not kept.  One process at a time writes an experiment.

An experiment can be trained in parts, the first trials and later the next ones: a later part has a folder of its own
within that of the first, ``after-6`` where six came before, with a manifest of its own.  What is read is all of them.

Half of a number's bits follow a pattern and half of them do not: the bytes of all numbers of an array are stored
place by place, which deflate packs better by a tenth.
"""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from lib.errors import LARGEST, UserError, shown
from lib.experiments import EXPERIMENTS, Experiment, find, train_command, trials
from lib.files import SEAL, read_json, remove_leftovers, sealed, write_whole
from lib.models import Architecture, initial_hash, initial_parameters
from lib.pruning import Level, kept_counts, random_masks

TEST_LOGITS = 2000
MAX_BYTES = 16 * 2**20
FORMAT = 2  # of manifests; those of format 1 have no checksum, and get one when next written
DEFAULT_ROOT = Path(__file__).resolve().parent.parent / "data" / "tickets"


@dataclasses.dataclass(frozen=True)
class LevelRecord:
    """What one level of an experiment left behind; R replicas, W weights, B biases.

    What `contents` leaves out is None when it is read.

    Attributes
    ----------
    correct : int64 array, shape (R,)
        Number of all test images classified correctly.
    losses : float32 array, shape (R, epochs)
        Mean training loss of every epoch.
    masks : bool array, shape (R, W)
        Which weights the networks of this level have.
    weights : float32 array, shape (R, W)
        Final weights, stored in half precision; zero where pruned.
    biases : float32 array, shape (R, B)
    logits : float32 array, shape (R, 2000, classes)
        For the first 2,000 test images, stored in half precision.
    negative : bool array, shape (R, kept)
        Of every weight that is kept whether it ends below zero; of a dense network of the first layer's weights.
        Where the weights are stored it is not.
    """

    correct: NDArray[np.int64]
    losses: NDArray[np.float32]
    masks: NDArray[np.bool_] | None = None
    weights: NDArray[np.float32] | None = None
    biases: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    negative: NDArray[np.bool_] | None = None

    @property
    def signs(self) -> NDArray[np.int8] | None:
        """Signs of the final weights, 0 where pruned, shape (R, W); of a dense network maybe of the first layer only.

        A weight that half precision stores as zero keeps its sign: the zero has it.
        """
        if self.masks is None or (self.weights is None and self.negative is None):
            return None
        if self.weights is not None:
            return np.where(self.masks, np.where(np.signbit(self.weights), np.int8(-1), np.int8(1)), np.int8(0))
        assert self.negative is not None
        kept = self.negative.shape[1]
        masks = self.masks if self.masks[0].sum() == kept else self.masks[:, :kept]
        signs = masks.astype(np.int8)
        signs[masks] = np.where(self.negative.ravel(), np.int8(-1), np.int8(1))
        return signs


def contents(experiment: Experiment, level: Level) -> tuple[str, ...]:
    """Return what the file of a level holds besides `correct` and `losses`, by the names of `LevelRecord`.

    All tickets of the book should fit in 150 MB, and the level of 20 dense networks of paper B alone would take
    172 MB.  So an experiment keeps what the chapters show of it (`Experiment.keeps`):

    * 'all': every network and what it answers.
    * 'pruned': the same without the weights of the dense networks, which are the largest and of which only their
      pruning matters.  Paper A's ResNet18.
    * 'tickets': the masks of the tickets, the signs of their weights after training, those of the random tickets, and
      those of the first layer of the dense networks.  Of the rounds between, accuracies and losses.  Paper B, which is
      about masks and signs.

    Masks that can be made anew (of dense and of random networks) are never stored.

    Notes
    -----
    MB of one experiment in files; those marked * are trained and measured, the others packed with random numbers in the
    place of weights and with what deflate leaves of real logits (0.76):

    =========================  =======  ======  =====  =====  =====  ======
    experiment                 weights  logits  masks  signs  other  in all
    =========================  =======  ======  =====  =====  =====  ======
    a/fashion-lenet/free *         4.3     5.3    0.5      -    0.1    10.3
    a/cifar-lenet/partial *        6.0     5.4    0.7      -    0.1    12.4
    a/fashion-equal/partial *      0.8     4.9    0.1      -    0.1     5.9
    a/fashion-lenet/sgd            1.6     1.2    0.2      -    0.0     3.0
    a/cifar-resnet18/free         12.0     5.3    2.5      -    1.9    21.7
    b/conv2/cifar10                  -       -    5.6    1.9    0.0     7.5
    =========================  =======  ======  =====  =====  =====  ======

    So paper A's ten experiments with LeNet take 93 MB, the four of sensitivity 12, paper B's three data sets 23 and the
    ResNet's free runs 22: 150 MB.
    """
    if experiment.keeps == "tickets":
        kept = {experiment.last: ("masks", "negative"), experiment.levels[0]: ("negative",)}
        return kept.get(level, ("negative",) if level.random else ())
    parts = ("masks", "weights", "biases", "logits")
    anew = level.random or level == experiment.levels[0]
    lean = experiment.keeps == "pruned" and level == experiment.levels[0]
    return tuple(p for p in parts if not (anew and p == "masks") and not (lean and p == "weights"))


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with a stored file, in words."""

    experiment: str
    level: str
    what: str


class Store:
    """The tickets below one folder.

    Parameters
    ----------
    root : Path
        Such as ``data/tickets``.
    """

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = root
        self._locks: dict[str, filelock.FileLock] = {}
        self._checked: set[tuple[object, ...]] = set()  # manifests, by their seal

    def folder(self, experiment: Experiment) -> Path:
        """Return the folder of an experiment, or of a part of it."""
        folder = self.root / experiment.name
        return folder / f"after-{experiment.after}" if experiment.after else folder

    def find(self, name: str) -> Experiment:
        """Return an experiment as this store holds it: with its first initialisations alone if only these were trained.

        A later part counts once all its levels are trained.

        Parameters
        ----------
        name : str

        Returns
        -------
        Experiment
            The whole one if nothing is stored, or what is stored says no number that it could have: `manifest` then
            says what is wrong.

        Raises
        ------
        UserError
            If there is no experiment of this name.
        """
        experiment, inits = find(name), 0
        for part in self._chain(name):
            if inits and not self._complete(part):
                break
            inits += part.inits
        return experiment.first(inits) if inits else experiment

    def trials(self, name: str) -> str:
        """Return how many of an experiment's trials are stored, as `lib.experiments.trials` says it."""
        return trials(self.find(name))

    def stored(self, name: str, after: int) -> int:
        """Return how many initialisations the part of an experiment has that begins after the first `after` ones.

        It is 0 if nothing is stored there, or what is stored says no number that it could have.
        """
        experiment = find(name)
        try:
            stored = _stored_inits(read_json(self.folder(experiment.part(after, experiment.inits)) / "manifest.json"))
        except (FileNotFoundError, UserError):
            return 0
        return stored if after + stored <= experiment.inits else 0

    def _chain(self, name: str) -> list[Experiment]:
        """Return the parts of an experiment that follow one another from its first initialisation on."""
        experiment, after, chain = find(name), 0, []
        while after < experiment.inits and (stored := self.stored(name, after)):
            chain.append(experiment.part(after, after + stored))
            after += stored
        return chain

    def _complete(self, part: Experiment) -> bool:
        return len(self.finished(part)) == len(part.levels)

    def parts(self, experiment: Experiment) -> list[Experiment]:
        """Return the stored parts of which an experiment is made, as `find` returns it; often it is one alone."""
        chain = [] if experiment.after or experiment.name not in EXPERIMENTS else self._chain(experiment.name)
        parts = [part for part in chain if part.after + part.inits <= experiment.inits]
        return parts if len(parts) > 1 and sum(part.inits for part in parts) == experiment.inits else [experiment]

    def held(self, name: str) -> list[Experiment]:
        """Return every part of an experiment of which anything is stored, also where one before it is missing."""
        experiment = find(name)
        folder, every = self.folder(experiment), range(1, experiment.inits)
        found = [after for after in every if _is_file(folder / f"after-{after}" / "manifest.json")]
        found = [0, *found] if _is_file(folder / "manifest.json") else found
        return [
            experiment.part(after, after + (self.stored(name, after) or experiment.inits - after)) for after in found
        ]

    def precision(
        self, experiment: Experiment, counts: Callable[[Mapping[str, Any]], bool] | None = None
    ) -> str | None:
        """Return in which precision an experiment, or a part of it, was trained so far.

        It is that of the last of its levels that is stored. If none is, it is that of the last level of another part.

        Parameters
        ----------
        experiment : Experiment
        counts : callable, optional
            Says by what the manifest says of a level of another part whether it counts; none does if not given.

        Returns
        -------
        str or None
            None if no such level is stored.
        """
        held = self._held(experiment)
        for part in (*(own for own in held if own == experiment), *reversed(held)):
            stored = self.manifest(part)["levels"]
            for entry in (stored[level.name] for level in reversed(part.levels) if level.name in stored):
                if part == experiment or (counts is not None and counts(entry)):
                    return str(entry.get("precision", "fp32"))
        return None

    def _held(self, experiment: Experiment) -> list[Experiment]:
        """Return all stored parts of an experiment; of one that was changed, which has no parts, itself."""
        whole = EXPERIMENTS.get(experiment.name)
        changed = whole is None or dataclasses.replace(experiment, inits=whole.inits, after=0) != whole
        return [experiment] if changed else self.held(experiment.name)

    def _every_entry(self, experiment: Experiment) -> list[Mapping[str, Any]]:
        """Return what the manifests say of all stored levels of an experiment, of whichever part."""
        return [entry for part in self._held(experiment) for entry in self.manifest(part)["levels"].values()]

    def check_images(self, experiment: Experiment, sha256: str, source: str) -> None:
        """Raise `UserError` if a stored level of an experiment was trained on other images.

        Parameters
        ----------
        experiment : Experiment
        sha256 : str
            Of the arrays of images and labels that it is to be trained on, see `datasets.Images`.
        source : str
            Where they are from.
        """
        for entry in self._every_entry(experiment):
            if entry["data"]["sha256"] != sha256:
                raise UserError(
                    f"the images are from {source!r} (SHA-256 {sha256[:16]}…), those of the levels in "
                    f"{self.folder(experiment)} from {entry['data']['source']!r} (SHA-256 "
                    f"{entry['data']['sha256'][:16]}…): other images, or in another order, need a store of their own "
                    "(--tickets)"
                )

    def manifest(self, experiment: Experiment) -> Mapping[str, Any]:
        """Return the manifest of an experiment: one without levels and hash of initial weights if nothing is stored.

        Each of the `parts` of an experiment has its own. What is stored is read-only, as `files.read_json` gives it.

        Raises
        ------
        UserError
            If the manifest cannot be read or belongs to another specification.
        """
        path = self.folder(experiment) / "manifest.json"
        try:
            manifest = read_json(path)
        except FileNotFoundError:
            return _empty_manifest(experiment)
        checked = (path, experiment, manifest.get(SEAL))  # a chapter reads the same manifests hundreds of times
        if checked in self._checked:
            return manifest
        unknown = set(manifest) - {*_MANIFEST, "initial weights sha256", SEAL}
        if not isinstance(manifest.get("levels"), Mapping) or unknown:
            said = f"has {', '.join(sorted(unknown))}" if unknown else "is not a manifest, which is an object"
            raise UserError(f"{path}: {said}; it should have {', '.join(_MANIFEST)}")
        for name, entry in manifest["levels"].items():
            _check_entry(entry, f"{path}: level {name!r}")
            if entry["file"] != f"{name}.npz":
                raise UserError(f"{path}: level {name!r}: 'file' is {entry['file']!r}; it should be '{name}.npz'")
        if manifest.get("format") not in (1, FORMAT):
            raise UserError(f"{path}: has format {manifest.get('format')!r}; this library reads {FORMAT}")
        if (SEAL in manifest) != (manifest["format"] == FORMAT):
            raise UserError(f"{path}: has changed since it was written: format 2 has a checksum, format 1 has none")
        if manifest.get("experiment") != experiment.name:
            raise UserError(f"{path}: is of {manifest.get('experiment')!r}, not of {experiment.name!r}")
        if manifest.get("fingerprint") != experiment.fingerprint():
            stored = _stored_inits(manifest)
            if stored > 0 and manifest["fingerprint"] == dataclasses.replace(experiment, inits=stored).fingerprint():
                upto = experiment.after + stored
                raise UserError(
                    f"{path}: holds trials (initialisations) {experiment.after + 1} to {upto} of {experiment.name}, "
                    f"not to {experiment.after + experiment.inits}: --trials {upto} goes on with them, and others need "
                    "a folder of their own (--tickets, --out)"
                )
            raise UserError(
                f"{path}: was made with fingerprint {manifest.get('fingerprint')!r}; the specification of "
                f"{experiment.name} now has {experiment.fingerprint()!r}"
            )
        if not isinstance(manifest.get("initial weights sha256"), str):
            raise UserError(f"{path}: has no hash of the initial weights")
        if SEAL in manifest:
            self._checked.add(checked)
        return manifest

    @contextlib.contextmanager
    def alone(self, experiment: Experiment) -> Iterator[None]:
        """Let one process at a time write an experiment; may be entered again within itself.

        Raises
        ------
        UserError
            If another process writes it now.
        """
        folder = self.folder(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        lock = self._locks.setdefault(str(folder), filelock.FileLock(folder / ".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UserError(f"{folder}: another process is writing {experiment.name}; wait until it ends") from None
        try:
            if _is_file(folder / "manifest.json"):
                self._tidy(experiment)
            else:
                remove_leftovers(folder)
            yield
        finally:
            lock.release()

    def finished(self, experiment: Experiment) -> list[Level]:
        """Return the levels that are stored, in the experiment's order, up to the first that is not."""
        manifests = [self.manifest(part)["levels"] for part in self.parts(experiment)]
        stored = set.intersection(*map(set, manifests))
        result = []
        for level in experiment.levels:
            if level.name not in stored:
                break
            result.append(level)
        return result

    def entries(self, experiment: Experiment, level: Level) -> list[Mapping[str, Any]]:
        """Return what the manifests say of a stored level, one entry for each of the `parts`."""
        return [self.manifest(part)["levels"][level.name] for part in self.parts(experiment)]

    def write(
        self,
        experiment: Experiment,
        level: Level,
        record: LevelRecord,
        provenance: Mapping[str, Any],
        next_masks: NDArray[np.bool_] | None = None,
    ) -> Path:
        """Store one finished level and enter it in the manifest.

        Parameters
        ----------
        experiment : Experiment
        level : Level
        record : LevelRecord
            With everything but `negative`; what `contents` leaves out is not stored.
        provenance : dict
            With the keys 'wall seconds', 'device', which begins with 'CPU' where it is one, 'processes', 'versions' and
            'data'; plain JSON values.
        next_masks : bool array, shape (R, W), optional
            The masks that pruning these networks gave to the next level (made from full precision), if there is one.

        Returns
        -------
        Path
            Of the level's file.

        Raises
        ------
        UserError
            If the record does not fit the experiment or would be larger than 16 MiB, the provenance lacks
            something, the level is stored with other content, or another process writes this experiment now.
        """
        _check_record(experiment, level, record, _PARTS)
        anew = _made_anew(experiment, level)
        if anew is not None and not np.array_equal(record.masks, anew):  # type: ignore[arg-type]
            raise UserError(f"{experiment.name} {level.name}: its masks are not the ones drawn for it")
        if (next_masks is None) != (experiment.pruned_to(level) is None):
            raise UserError(f"{experiment.name} {level.name}: next_masks should be given if a level is pruned from it")
        about = {"finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **provenance}
        return self._store(experiment, level, record, about, next_masks)

    def _store(
        self,
        experiment: Experiment,
        level: Level,
        record: LevelRecord,
        about: Mapping[str, Any],
        next_masks: NDArray[np.bool_] | None,
    ) -> Path:
        """Write a record that was checked, and the masks that follow from it."""
        pruned_to = experiment.pruned_to(level)
        if next_masks is not None and pruned_to is not None:
            _check_masks(experiment, pruned_to, next_masks)
        assert record.masks is not None
        content = _encode(experiment, level, record)
        hashes = {"masks sha256": _mask_hash(record.masks)}
        if next_masks is not None:
            hashes["next masks sha256"] = _mask_hash(next_masks)
        entry = {**about, **hashes, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        following = None if next_masks is None else _archive({"masks": np.packbits(next_masks, axis=1)})
        return self._enter(experiment, level, content, entry, following)

    def _enter(
        self, experiment: Experiment, level: Level, content: bytes, about: Mapping[str, Any], following: bytes | None
    ) -> Path:
        """Write a level's file and the masks of the next level, then the manifest that makes them count."""
        path = self.folder(experiment) / f"{level.name}.npz"
        entry = {**about, "file": path.name}
        _check_entry(entry, f"{experiment.name} {level.name}: the provenance")
        for each in (content, following or b""):
            if len(each) > MAX_BYTES:
                raise UserError(
                    f"{experiment.name} {level.name}: {len(each):,} bytes; at most {MAX_BYTES:,} may be stored"
                )
        pruned_to = experiment.pruned_to(level)
        with self.alone(experiment):
            manifest = {**self.manifest(experiment), "format": FORMAT}
            stored = manifest["levels"].get(level.name)
            if stored is not None and stored["sha256"] != entry["sha256"]:
                raise UserError(
                    f"{path}: is stored with other content (SHA-256 {stored['sha256'][:16]}…, the new one has "
                    f"{entry['sha256'][:16]}…); another needs a folder of its own (--tickets, --out)"
                )
            write_whole(path, content)
            if following is not None and pruned_to is not None and pruned_to.name not in manifest["levels"]:
                write_whole(self._pending(experiment, pruned_to), following)
            manifest["levels"] = {**manifest["levels"], level.name: entry}
            if "initial weights sha256" not in manifest:
                manifest["initial weights sha256"] = _initial_hash(experiment)
            write_whole(self.folder(experiment) / "manifest.json", sealed(manifest))
            self._tidy(experiment)
        return path

    def _pending(self, experiment: Experiment, level: Level) -> Path:
        """Return where the masks of a level lie until it is trained; no level's name has an underscore."""
        return self.folder(experiment) / f"{level.name}_masks.npz"

    def clean(self, experiment: Experiment) -> None:
        """Remove masks of levels that are trained, which a process that was killed then has left."""
        if any(self._pending(experiment, level).exists() for level in self.finished(experiment)):
            with self.alone(experiment):
                pass  # whoever begins to write tidies up

    def _tidy(self, experiment: Experiment) -> None:
        """Remove what a killed process left unfinished, and masks of levels that are trained."""
        remove_leftovers(self.folder(experiment))
        stored = read_json(self.folder(experiment) / "manifest.json")["levels"]
        for level in experiment.levels:
            if level.name in stored:
                self._pending(experiment, level).unlink(missing_ok=True)

    def seal(self, experiment: Experiment) -> None:
        """Give a manifest of format 1 the checksum that format 2 has; one of format 2 stays as it is."""
        with self.alone(experiment):
            manifest = {**self.manifest(experiment), "format": FORMAT}
            write_whole(self.folder(experiment) / "manifest.json", sealed(manifest))

    def read(self, experiment: Experiment, level: Level) -> LevelRecord:
        """Return one stored level, verified against the manifest.

        Raises
        ------
        UserError
            If the level is missing, or its file is not the one that the manifest describes.
        """
        return _joined([self._load(part, level)[0] for part in self.parts(experiment)])

    def _load(self, experiment: Experiment, level: Level) -> tuple[LevelRecord, Mapping[str, Any], NDArray | None]:
        """Return a stored level, its entry in the manifest, and the next level's masks if its file holds them.

        Files of the older kind do, and their entries lack the hashes of masks, which are then made here.
        """
        entry = self.manifest(experiment)["levels"].get(level.name)
        if entry is None:
            raise _untrained(experiment, level)
        path = self.folder(experiment) / f"{level.name}.npz"
        content = _content(path, entry["bytes"])
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise UserError(f"{path}: its SHA-256 is not the one in the manifest")
        try:
            record, next_masks = _decode(experiment, level, content)
            _check_record(experiment, level, record, _known(experiment, level))
            if record.correct.max() > entry["data"]["test images"]:
                raise UserError(f"{record.correct.max():,} of {entry['data']['test images']:,} test images are correct")
            pruned_to = experiment.pruned_to(level)
            if next_masks is not None and pruned_to is not None:
                _check_masks(experiment, pruned_to, next_masks)
        except Exception as error:  # a damaged archive raises errors of many kinds
            raise UserError(f"{path}: is not the ticket file of {experiment.name} {level.name} ({error})") from error
        hashes = {} if record.masks is None else {"masks sha256": _mask_hash(record.masks)}
        if next_masks is not None:
            hashes["next masks sha256"] = _mask_hash(next_masks)
        for key, value in hashes.items():
            if entry.get(key, value) != value:
                raise UserError(f"{path}: its masks do not have the SHA-256 in the manifest")
        return record, hashes | entry, next_masks

    def masks(self, experiment: Experiment, level: Level) -> NDArray[np.bool_]:
        """Return the masks of a level, which are known as soon as the level before is trained.

        Returns
        -------
        bool array, shape (replicas, weight_count)
            Not to be written to.

        Raises
        ------
        UserError
            If they are not known yet, not kept (see `contents`), or their file is damaged.
        """
        anew, parts = _made_anew(experiment, level), self.parts(experiment)
        if anew is not None:
            return anew
        if len(parts) > 1:
            return np.concatenate([self.masks(part, level) for part in parts])
        stored = self.manifest(experiment)["levels"]
        if level.name in stored:
            masks = self.read(experiment, level).masks
            if masks is None:
                raise UserError(
                    f"{experiment.name}: the masks of level {level.name!r} are not kept: its training is over"
                )
            return masks
        before = experiment.pruned_from(level)
        assert before is not None
        if before.name not in stored:
            raise _untrained(experiment, before)
        expected = stored[before.name].get("next masks sha256")
        if expected is None:
            next_masks = self._load(experiment, before)[2]
            assert next_masks is not None
            return next_masks
        path = self._pending(experiment, level)
        try:
            content = _content(path)
        except UserError:
            if level.name in self.manifest(experiment)["levels"]:  # another process has trained it in this moment
                return self.masks(experiment, level)
            raise UserError(
                f"{path}: is missing or cannot be read; it holds the masks that pruning {before.name!r} gave"
            ) from None
        try:
            packed = _arrays(content, {"masks": _packed_masks(experiment)})["masks"]
            masks = np.unpackbits(packed, axis=1, count=experiment.architecture.weight_count).astype(bool)
            _check_masks(experiment, level, masks)
        except Exception as error:
            raise UserError(f"{path}: does not hold the masks of {experiment.name} {level.name} ({error})") from error
        if _mask_hash(masks) != expected:
            raise UserError(f"{path}: its masks are not the ones that pruning {before.name!r} gave")
        return masks

    def verify(self, experiment: Experiment) -> tuple[list[str], list[Problem]]:
        """Check every stored level of an experiment.

        Besides the checksums: shapes, exact counts and values that can be; that each level's masks are the ones that
        pruning the level before gave, lie within them and, where its weights are kept, keep the largest; that all
        levels, of all parts, were trained on the same images; that the initial weights still have the stored hash.

        Returns
        -------
        levels : list of str
            The levels that are whole, in all `parts`.
        problems : list of Problem
            What is wrong, a level that is missing among the rest included.
        """
        if len(parts := self.parts(experiment)) > 1:
            found = [self.verify(part) for part in parts]
            levels = [level.name for level in experiment.levels if all(level.name in whole for whole, _ in found)]
            return levels, [problem for _, problems in found for problem in problems]
        whole: list[str] = []
        problems: list[Problem] = []

        def problem(level: str, what: str) -> None:
            problems.append(Problem(experiment.name, level, what))

        try:
            manifest = self.manifest(experiment)
        except UserError as error:
            problem("manifest", str(error))
            return whole, problems
        stored = manifest.get("initial weights sha256")
        if stored is not None and stored != _initial_hash(experiment):
            problem("manifest", "the initial weights made now do not have the stored hash")
        for name in sorted(set(manifest["levels"]) - {level.name for level in experiment.levels}):
            problem(name, "the manifest names a level that the experiment does not have")
        try:
            every = self._every_entry(experiment)
        except UserError:  # the manifest of another part, which is said where that is verified
            every = list(manifest["levels"].values())
        expected: str | None = None
        before: LevelRecord | None = None
        for level in experiment.levels:
            anew = _made_anew(experiment, level)
            expected = expected if anew is None else _mask_hash(anew)
            if level.name not in manifest["levels"]:
                problem(level.name, "missing")
                if expected is not None and anew is None:
                    try:
                        self.masks(experiment, level)
                    except UserError as error:
                        if level.name not in self.manifest(experiment)["levels"]:
                            problem(level.name, str(error))
                expected = before = None
                continue
            try:
                record, entry, _ = self._load(experiment, level)
            except UserError as error:
                problem(level.name, str(error))
                expected = before = None
                continue
            if expected is not None and entry["masks sha256"] != expected:
                origin = "drawn for it" if level.random else "that pruning the level before gave"
                problem(level.name, f"its masks are not the ones {origin}")
            elif anew is None and _brought_back(before, record):
                problem(level.name, "it has weights that the level before had pruned")
            elif anew is None and _smaller_kept(experiment, before, record):
                problem(level.name, "it keeps weights smaller than some that it drops of the level before")
            elif entry["data"]["name"] != experiment.dataset:
                problem(level.name, f"it was trained on {entry['data']['name']}, not on {experiment.dataset}")
            elif entry["data"]["sha256"] != every[0]["data"]["sha256"]:
                problem(level.name, "it was trained on other images than other levels")
            elif experiment.pruned_to(level) is not None and "next masks sha256" not in entry:
                problem(level.name, "the manifest does not say which masks pruning it gave")
            else:
                whole.append(level.name)
            expected, before = entry.get("next masks sha256"), record
        return whole, problems

    def adopt(self, other: "Store", experiment: Experiment) -> list[str]:
        """Take over the levels of an experiment, or of a part of it, that another store holds and this one lacks.

        Each is verified first: its checksum, shapes and counts, and that its masks are those that pruning the level
        before gave, here or there.

        Parameters
        ----------
        other : Store
        experiment : Experiment

        Returns
        -------
        list of str
            The names of the levels that were added.

        Raises
        ------
        UserError
            If a level is damaged, does not follow from the one before it, or is here already with other content;
            the levels before it have then been added. If the trials before those of a part are not here, or it has
            some that are.
        """
        theirs, added = other.manifest(experiment), []
        if experiment.after:
            self._check_before(other, experiment)
        stored = theirs.get("initial weights sha256")
        if theirs["levels"] and stored != _initial_hash(experiment):
            raise UserError(f"{other.folder(experiment)}: was trained from other initial weights than those made here")
        for entry in theirs["levels"].values():
            self.check_images(experiment, entry["data"]["sha256"], entry["data"]["source"])
        for level in experiment.levels:
            entry, ours = (held.manifest(experiment)["levels"].get(level.name) for held in (other, self))
            both = entry is not None and ours is not None and entry["sha256"] != ours["sha256"]
            if both and not _equal(other.read(experiment, level), self.read(experiment, level)):
                raise UserError(
                    f"{other.folder(experiment)}: level {level.name!r} is another than in {self.folder(experiment)}"
                )
            if ours is None:
                if entry is None:
                    break
                self._adopt(other, experiment, level)
                added.append(level.name)
        self.clean(experiment)
        return added

    def _check_before(self, other: "Store", part: Experiment) -> None:
        """Raise `UserError` if a part that another store holds does not follow on what is stored here."""
        before = [each for each in self._chain(part.name) if each.after < part.after]
        reached = sum(each.inits for each in before)
        if reached == part.after and all(map(self._complete, before)):
            return
        wrong = f"should hold the first {part.after} whole before they are added"
        if reached > part.after:
            wrong = f"holds the first {reached} already"
        raise UserError(f"{other.folder(part)}: holds {trials(part)} of {part.name}: {self.root} {wrong}")

    def _adopt(self, other: "Store", experiment: Experiment, level: Level) -> None:
        """Take over one level, verified; a file of the older kind is packed anew."""
        record, entry, next_masks = other._load(experiment, level)
        anew, before = _made_anew(experiment, level), experiment.pruned_from(level)
        expected = None if anew is None else _mask_hash(anew)
        if before is not None:
            expected = self._load(experiment, before)[1].get("next masks sha256")
        if entry["masks sha256"] != expected:
            raise UserError(
                f"{other.folder(experiment)}: the masks of level {level.name!r} are not the ones that pruning "
                "the level before gave"
            )
        if next_masks is not None or "masks sha256" not in other.manifest(experiment)["levels"][level.name]:
            self._store(experiment, level, record, entry, next_masks)
            return
        following, pruned_to = None, experiment.pruned_to(level)
        if pruned_to is not None and pruned_to.name not in other.manifest(experiment)["levels"]:
            other.masks(experiment, pruned_to)  # verified
            following = _content(other._pending(experiment, pruned_to))
        elif pruned_to is not None and "masks" in contents(experiment, pruned_to):
            # They wait until that level is taken over too: if this process ends before, training can go on.
            with contextlib.suppress(UserError):  # what is wrong with that level is said when its turn comes
                following = _archive({"masks": np.packbits(other.masks(experiment, pruned_to), axis=1)})
        content = _content(other.folder(experiment) / f"{level.name}.npz", entry["bytes"])
        self._enter(experiment, level, content, entry, following)

    def experiments(self) -> list[Experiment]:
        """Return the experiments of which anything is stored here, as `find` returns them."""
        return [self.find(e.name) for e in EXPERIMENTS.values() if _is_file(self.folder(e) / "manifest.json")]

    def strays(self, names: Collection[str] = ()) -> list[Path]:
        """Return the ticket files and seals that no manifest names, in the folders of some experiments or of all."""
        named = {
            self.folder(part) / name
            for experiment in EXPERIMENTS
            for part in self.held(experiment)
            for name in ("manifest.sha256", *(f"{y.name}{kind}.npz" for y in part.levels for kind in ("", "_masks")))
        }
        roots = [self.root / name for name in names] or [self.root]
        found = (path for root in roots for kind in ("*.npz", "manifest.sha256") for path in root.rglob(kind))
        return sorted(path for path in found if path not in named and not path.name.startswith("."))

    def shipped(self, experiment: Experiment) -> bool:
        """Return whether the tickets of an experiment are those that came with the book.

        They are if the manifest, which holds the hash of every ticket file, has the SHA-256 that stands in
        ``manifest.sha256`` beside it. Training does not write that file: whoever adds tickets to the book says so by
        ``sha256sum manifest.json > manifest.sha256`` in their folder.
        """
        for part in self.parts(experiment):
            folder = self.folder(part)
            try:
                manifest, told = ((folder / name).read_bytes() for name in ("manifest.json", "manifest.sha256"))
            except OSError:
                return False
            if told != f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n".encode():
                return False
        return True

    def initial_weights(self, experiment: Experiment) -> NDArray[np.float32]:
        """Return the initial weights, shape (inits, W), regenerated and checked against the stored hash."""
        for part in self.parts(experiment):
            stored = self.manifest(part).get("initial weights sha256")
            if stored is not None and stored != _initial_hash(part):
                raise UserError(f"{experiment.name}: the initial weights made now do not have the stored hash")
        inits, count = (
            range(experiment.after, experiment.after + experiment.inits),
            experiment.architecture.weight_count,
        )
        return np.stack([initial_parameters(experiment.architecture, init)[:count] for init in inits])


def _is_file(path: Path) -> bool:
    """Tell whether there is a file by opening it, which `lib.inputs` notes: a chapter depends on the answer."""
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


_MANIFEST = ("format", "experiment", "fingerprint", "specification", "levels")


def _empty_manifest(experiment: Experiment) -> Mapping[str, Any]:
    return {
        "format": FORMAT,
        "experiment": experiment.name,
        "fingerprint": experiment.fingerprint(),
        "specification": experiment.specification(),
        "levels": {},
    }


def _stored_inits(manifest: Mapping[str, Any]) -> int:
    """Return how many initialisations a manifest says it has; 0 if that is no number above 0."""
    specification = manifest.get("specification")
    stored = specification.get("inits") if isinstance(specification, Mapping) else None
    return stored if type(stored) is int and 0 < stored <= LARGEST else 0


_PARTS = ("masks", "weights", "biases", "logits")  # of a record that is written


def _untrained(experiment: Experiment, level: Level) -> UserError:
    return UserError(f"{experiment.name}: level {level.name!r} is not trained; {train_command(experiment)} trains it")


@functools.lru_cache(maxsize=2)
def _drawn(architecture: Architecture, level: Level, replicas: int) -> NDArray[np.bool_]:
    masks = random_masks(architecture, level, replicas)
    masks.flags.writeable = False
    return masks


def _made_anew(experiment: Experiment, level: Level) -> NDArray[np.bool_] | None:
    """Return the masks of a level that need no training: of the dense one and of random tickets."""
    if level.random:
        before = experiment.after * experiment.runs
        return _drawn(experiment.architecture, level, before + experiment.replicas)[before:]
    if level == experiment.levels[0]:
        return np.broadcast_to(np.True_, (experiment.replicas, experiment.architecture.weight_count))
    return None


def _known(experiment: Experiment, level: Level) -> tuple[str, ...]:
    """Return the parts of a level that has been read: those in the file, and masks that are made anew."""
    anew = ("masks",) if _made_anew(experiment, level) is not None else ()
    return (*contents(experiment, level), *anew)


def _initial_hash(experiment: Experiment) -> str:
    return initial_hash(experiment.architecture, experiment.inits, experiment.after)


def _joined(records: list[LevelRecord]) -> LevelRecord:
    """Return the record of all parts of an experiment from those of each."""
    if len(records) == 1:
        return records[0]
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(LevelRecord):
        values = [getattr(record, field.name) for record in records]
        fields[field.name] = None if values[0] is None else np.concatenate(values)
    return LevelRecord(**fields)


def _mask_hash(masks: NDArray[np.bool_]) -> str:
    return hashlib.sha256(np.packbits(masks, axis=1).data).hexdigest()


def _brought_back(before: LevelRecord | None, record: LevelRecord) -> bool:
    if before is None or before.masks is None or record.masks is None:
        return False
    return bool((record.masks & ~before.masks).any())


def _smaller_kept(experiment: Experiment, before: LevelRecord | None, record: LevelRecord) -> bool:
    """Return whether a level keeps a weight of which the level before says that it is smaller than one dropped.

    Half precision, in which weights are stored, keeps their order, but makes equal some that were not.
    """
    if before is None or before.weights is None or before.masks is None or record.masks is None:
        return False
    sizes = np.abs(before.weights)
    for where in experiment.architecture.weight_slices().values():
        kept, had, size = record.masks[:, where], before.masks[:, where], sizes[:, where]
        least = np.where(kept, size, np.inf).min(axis=1)
        if (np.where(had & ~kept, size, -np.inf).max(axis=1) > least).any():
            return True
    return False


def _equal(one: LevelRecord, other: LevelRecord) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)]
    return all(np.array_equal(a, b) if a is not None else b is None for a, b in pairs)


def _shape_of(experiment: Experiment, level: Level, part: str) -> tuple[int, ...]:
    architecture, replicas = experiment.architecture, experiment.replicas
    weights = architecture.weight_count
    dense = level == experiment.levels[0]
    return {
        "masks": (replicas, weights),
        "weights": (replicas, weights),
        "biases": (replicas, architecture.parameter_count - weights),
        "logits": (replicas, TEST_LOGITS, architecture.layers[-1].shape[0]),
        "negative": (
            replicas,
            architecture.layers[0].size if dense else sum(kept_counts(architecture, level).values()),
        ),
        "correct": (replicas,),
        "losses": (replicas, experiment.epochs),
    }[part]


def _check_record(experiment: Experiment, level: Level, record: LevelRecord, parts: tuple[str, ...]) -> None:
    for name in ("correct", "losses", *parts):
        shape, found = _shape_of(experiment, level, name), np.shape(getattr(record, name))
        if found != shape:
            raise UserError(f"{experiment.name} {level.name}: {name} has shape {found}; it should be {shape}")
        if name in ("weights", "biases", "logits", "losses") and not np.isfinite(getattr(record, name)).all():
            raise UserError(f"{experiment.name} {level.name}: {name} holds a value that is not finite")
        if name in ("correct", "losses") and (np.asarray(getattr(record, name)) < 0).any():
            raise UserError(f"{experiment.name} {level.name}: {name} holds a value below 0")
    if record.masks is not None and "masks" in parts:
        _check_masks(experiment, level, record.masks)


def _check_masks(experiment: Experiment, level: Level, masks: NDArray[np.bool_]) -> None:
    counts = kept_counts(experiment.architecture, level)
    if masks.shape != _shape_of(experiment, level, "masks"):
        raise UserError(
            f"{experiment.name} {level.name}: masks have shape {masks.shape}; it should be "
            f"{_shape_of(experiment, level, 'masks')}"
        )
    for name, where in experiment.architecture.weight_slices().items():
        kept = masks[:, where].sum(axis=1)
        if (kept != counts[name]).any():
            raise UserError(
                f"{experiment.name} {level.name}: layer {name} keeps {kept.min()} to {kept.max()} weights; "
                f"it should keep {counts[name]}"
            )


# --- the file of a level -------------------------------------------------------------------------------------


def _places(values: NDArray, dtype: str) -> NDArray[np.uint8]:
    """Return the bytes of numbers place by place, shape (bytes of a number, *values.shape)."""
    numbers = np.ascontiguousarray(values, dtype)
    places = numbers.view(np.uint8).reshape(*values.shape, numbers.itemsize)
    return np.ascontiguousarray(np.moveaxis(places, -1, 0))


def _numbers(places: NDArray[np.uint8], dtype: str) -> NDArray:
    """Return the numbers that `_places` took apart."""
    return np.ascontiguousarray(np.moveaxis(places, 0, -1)).view(dtype)[..., 0]


def _archive(arrays: dict[str, NDArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _encode(experiment: Experiment, level: Level, record: LevelRecord) -> bytes:
    masks = record.masks
    assert masks is not None
    arrays: dict[str, NDArray] = {"correct": record.correct.astype("<i8"), "losses": record.losses.astype("<f4")}

    def half(part: str, values: NDArray[np.float32]) -> NDArray[np.float16]:
        with np.errstate(over="ignore"):
            result = values.astype("<f2")
        if not np.isfinite(result).all():
            worst = values[~np.isfinite(result)][0]
            raise UserError(
                f"{experiment.name} {level.name}: {part} holds {worst:g}; half precision, in which it is stored, "
                f"goes to {np.finfo(np.float16).max:,.0f}"
            )
        return result

    for part in contents(experiment, level):
        if part == "masks":
            arrays[part] = np.packbits(masks, axis=1)
        elif part == "negative":
            first = _shape_of(experiment, level, part)[1] if level == experiment.levels[0] else masks.shape[1]
            assert record.weights is not None
            signs = np.signbit(record.weights[:, :first])[masks[:, :first]]
            arrays[part] = np.packbits(signs.reshape(len(masks), -1), axis=1)
        elif part == "weights":
            assert record.weights is not None
            arrays[part] = _places(half(part, record.weights[masks]), "<f2")
        elif part == "biases":
            assert record.biases is not None
            arrays[part] = _places(record.biases, "<f4")
        else:
            assert record.logits is not None
            # The answers of all networks to one image lie together: they are alike.
            arrays[part] = _places(half(part, record.logits.transpose(2, 1, 0)), "<f2")
    return _archive(arrays)


def _packed_masks(experiment: Experiment) -> tuple[str, tuple[int, ...]]:
    return "|u1", (experiment.replicas, -(-experiment.architecture.weight_count // 8))


def _stored_shapes(experiment: Experiment, level: Level) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of every array in the file of a level."""
    kept = experiment.replicas * sum(kept_counts(experiment.architecture, level).values())
    replicas, images, classes = _shape_of(experiment, level, "logits")
    signs = _shape_of(experiment, level, "negative")[1]
    shapes = {
        "correct": ("<i8", _shape_of(experiment, level, "correct")),
        "losses": ("<f4", _shape_of(experiment, level, "losses")),
        "masks": _packed_masks(experiment),
        "weights": ("|u1", (2, kept)),
        "biases": ("|u1", (4, *_shape_of(experiment, level, "biases"))),
        "logits": ("|u1", (2, classes, images, replicas)),
        "negative": ("|u1", (replicas, -(-signs // 8))),
    }
    return {name: shapes[name] for name in ("correct", "losses", *contents(experiment, level))}


def _older_shapes(experiment: Experiment, level: Level) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the same for files of the older kind."""
    kept = experiment.replicas * sum(kept_counts(experiment.architecture, level).values())
    shapes = {
        "masks": _packed_masks(experiment),
        "weights": ("<f2", (kept,)),
        "biases": ("<f4", _shape_of(experiment, level, "biases")),
        "logits": ("<f2", _shape_of(experiment, level, "logits")),
        "correct": ("<i8", _shape_of(experiment, level, "correct")),
        "losses": ("<f4", _shape_of(experiment, level, "losses")),
        "weight_count": ("<i8", ()),
    }
    if experiment.pruned_to(level) is not None:
        shapes["next_masks"] = _packed_masks(experiment)
    return shapes


def _decode(experiment: Experiment, level: Level, content: bytes) -> tuple[LevelRecord, NDArray[np.bool_] | None]:
    """Return the record in a ticket file, and the next level's masks where it is of the older kind."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        older = "weight_count.npy" in archive.namelist()
    arrays = _arrays(content, (_older_shapes if older else _stored_shapes)(experiment, level))
    if not older:
        for part, dtype in (("weights", "<f2"), ("biases", "<f4"), ("logits", "<f2")):
            if part in arrays:
                arrays[part] = _numbers(arrays[part], dtype)
        if "logits" in arrays:
            arrays["logits"] = arrays["logits"].transpose(2, 1, 0)
    count = experiment.architecture.weight_count

    def bits(name: str, count: int) -> NDArray[np.bool_] | None:
        return np.unpackbits(arrays[name], axis=1, count=count).astype(bool) if name in arrays else None

    masks = bits("masks", count)
    masks = _made_anew(experiment, level) if masks is None else masks
    weights = None
    if "weights" in arrays:
        assert masks is not None
        if masks.sum() != len(arrays["weights"]):
            raise UserError(f"its masks keep {masks.sum():,} weights; it holds {len(arrays['weights']):,}")
        weights = np.zeros(masks.shape, np.float32)
        weights[masks] = arrays["weights"]
    record = LevelRecord(
        correct=arrays["correct"].astype(np.int64),
        losses=arrays["losses"].astype(np.float32),
        masks=masks,
        weights=weights,
        biases=arrays["biases"].astype(np.float32) if "biases" in arrays else None,
        logits=np.ascontiguousarray(arrays["logits"], np.float32) if "logits" in arrays else None,
        negative=bits("negative", _shape_of(experiment, level, "negative")[1]),
    )
    return record, bits("next_masks", count)


def _content(path: Path, size: int | None = None) -> bytes:
    """Return what a file holds, which should have `size` bytes if that is known."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            found = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UserError(f"{path}: the manifest names it, but it cannot be read ({error.strerror})") from error
    if found > MAX_BYTES or (size is not None and found != size):
        right = f"at most {MAX_BYTES:,}" if size is None else f"{size:,}"
        raise UserError(f"{path}: has {found:,} bytes; it should have {right}")
    return content


def _arrays(content: bytes, shapes: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, NDArray]:
    """Return the arrays in a file, which must have these types and shapes.

    Type, shape and size are looked at before anything is unpacked, so that a small file cannot unpack to a large one.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(info.filename for info in archive.infolist())
        if names != sorted(f"{name}.npy" for name in shapes):
            raise UserError(f"it holds {', '.join(map(repr, names)) or 'nothing'}; it should hold {', '.join(shapes)}")
        for name, (dtype, shape) in shapes.items():
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if archive.getinfo(f"{name}.npy").file_size > size + _MOST_HEADER:
                raise UserError(f"{name} unpacks to more than {size + _MOST_HEADER:,} bytes")
            with archive.open(f"{name}.npy") as member:
                unpacked = io.BytesIO(member.read(size + _MOST_HEADER + 1))
            try:
                version = np.lib.format.read_magic(unpacked)
                header = np.lib.format.read_array_header_1_0(unpacked)
            except ValueError as error:
                raise UserError(f"{name} is no array ({error})") from error
            if version != (1, 0) or header != (shape, False, np.dtype(dtype)):
                raise UserError(f"{name} is {header[2]} {header[0]}; it should be {np.dtype(dtype)} {shape}")
            data = unpacked.read()
            if len(data) != size:
                raise UserError(f"{name} has {len(data):,} bytes; it should have {size:,}")
            arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return arrays


_MOST_HEADER = 1024  # bytes; NumPy writes 128


# --- manifest entries ----------------------------------------------------------------------------------------


def _check_entry(entry: object, where: str) -> None:
    """Raise `UserError` if the entry of a level in a manifest lacks something, or has it in another form."""
    for (*folders, key), (fits, right) in _ENTRY.items():
        part: Any = entry
        for folder in folders:
            part = part.get(folder) if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or key not in part:
            raise UserError(f"{where} has no {' / '.join([*folders, key])!r}; it should be {right}")
        if not fits(part[key]):
            raise UserError(f"{where}: {' / '.join([*folders, key])!r} is {shown(part[key])}; it should be {right}")
    for key, (fits, right) in _OPTIONAL.items():
        if isinstance(entry, Mapping) and key in entry and not fits(entry[key]):
            raise UserError(f"{where}: {key!r} is {shown(entry[key])}; it should be {right}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.datetime.fromisoformat(value) is not None
    except ValueError:
        return False


_TEXT, _COUNT, _HASH = (_is_text, "text"), (_is_count, "a whole number above 0"), (_is_hash, "64 hexadecimal digits")
_ENTRY = {
    ("file",): _TEXT,
    ("sha256",): _HASH,
    ("bytes",): _COUNT,
    ("finished",): (_is_time, "a time such as 2026-01-31T12:00:00+00:00"),
    ("wall seconds",): (_is_seconds, "a number of at least 0"),
    ("device",): _TEXT,
    ("processes",): _COUNT,
    ("versions", "python"): _TEXT,
    ("versions", "torch"): _TEXT,
    ("versions", "numpy"): _TEXT,
    ("data", "name"): _TEXT,
    ("data", "source"): _TEXT,
    ("data", "sha256"): _HASH,
    ("data", "training images"): _COUNT,
    ("data", "test images"): _COUNT,
}
_OPTIONAL = {  # entries of files of the older kind lack them
    "masks sha256": _HASH,
    "next masks sha256": _HASH,
    "engine": _TEXT,
    "precision": (lambda value: value in ("fp32", "tf32", "bf16"), "fp32, tf32 or bf16"),
}
