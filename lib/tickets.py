"""The store: what an experiment left behind, on disk, verified.

The only module that knows the file format.  An experiment is a folder with a manifest and one ``.npz``
file for each finished level (see `LevelRecord` for what it holds).  Nothing is pickled; every file is
written beside its place and renamed into it; every read checks the SHA-256 that the manifest holds.
"""

import dataclasses
import datetime
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment
from lib.files import write_whole
from lib.models import initial_hash, initial_parameters
from lib.pruning import Level, kept_counts

TEST_LOGITS = 2000
MAX_BYTES = 16 * 2**20
FORMAT = 1
DEFAULT_ROOT = Path(__file__).resolve().parent.parent / "data" / "tickets"


@dataclasses.dataclass(frozen=True)
class LevelRecord:
    """What one level of an experiment left behind; R replicas, W weights, B biases.

    Attributes
    ----------
    masks : bool array, shape (R, W)
        Which weights the networks of this level have.
    weights : float32 array, shape (R, W)
        Final weights, stored in half precision; zero where pruned.
    biases : float32 array, shape (R, B)
    logits : float32 array, shape (R, 2000, classes)
        For the first 2,000 test images, stored in half precision.
    correct : int64 array, shape (R,)
        Number of all test images classified correctly.
    losses : float32 array, shape (R, epochs)
        Mean training loss of every epoch.
    next_masks : bool array, shape (R, W), or None
        The masks that pruning these networks gave to the next level (made from full precision); None at
        the last level.
    """

    masks: NDArray[np.bool_]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    logits: NDArray[np.float32]
    correct: NDArray[np.int64]
    losses: NDArray[np.float32]
    next_masks: NDArray[np.bool_] | None


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

    def folder(self, experiment: Experiment) -> Path:
        """Return the folder of an experiment."""
        return self.root / experiment.name

    def manifest(self, experiment: Experiment) -> dict[str, Any]:
        """Return the manifest of an experiment: one without levels and hash of initial weights if nothing is stored.

        Raises
        ------
        UserError
            If the manifest cannot be read or belongs to another specification.
        """
        path = self.folder(experiment) / "manifest.json"
        if not path.exists():
            return _empty_manifest(experiment)
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: is not readable JSON ({error})") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("levels"), dict):
            raise UserError(f"{path}: is not a manifest, which is an object with 'levels'")
        for name, entry in manifest["levels"].items():
            if not isinstance(entry, dict):
                raise UserError(f"{path}: level {name!r} is {entry!r}; it should be an object")
        if manifest.get("format") != FORMAT:
            raise UserError(f"{path}: has format {manifest.get('format')!r}; this library reads {FORMAT}")
        if manifest.get("experiment") != experiment.name:
            raise UserError(f"{path}: is of {manifest.get('experiment')!r}, not of {experiment.name!r}")
        if manifest.get("fingerprint") != experiment.fingerprint():
            raise UserError(
                f"{path}: was made with fingerprint {manifest.get('fingerprint')!r}; the specification of "
                f"{experiment.name} now has {experiment.fingerprint()!r}"
            )
        if not isinstance(manifest.get("initial weights sha256"), str):
            raise UserError(f"{path}: has no hash of the initial weights")
        return manifest

    def finished(self, experiment: Experiment) -> list[Level]:
        """Return the levels that are stored, in the experiment's order, up to the first that is not."""
        stored = self.manifest(experiment)["levels"]
        result = []
        for level in experiment.levels:
            if level.name not in stored:
                break
            result.append(level)
        return result

    def write(self, experiment: Experiment, level: Level, record: LevelRecord, provenance: dict[str, Any]) -> Path:
        """Store one finished level and enter it in the manifest.

        Parameters
        ----------
        experiment : Experiment
        level : Level
        record : LevelRecord
        provenance : dict
            Device, versions, wall time, data set; plain JSON values.

        Returns
        -------
        Path
            Of the file written.

        Raises
        ------
        UserError
            If the record does not fit the experiment or would be larger than 16 MiB.
        """
        _check_record(experiment, level, record)
        content = _encode(record)
        if len(content) > MAX_BYTES:
            raise UserError(
                f"{experiment.name} {level.name}: {len(content):,} bytes; at most {MAX_BYTES:,} may be stored"
            )
        manifest = self.manifest(experiment)
        path = self.folder(experiment) / f"{level.name}.npz"
        write_whole(path, content)
        manifest["levels"][level.name] = {
            "file": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **provenance,
        }
        if "initial weights sha256" not in manifest:
            manifest["initial weights sha256"] = initial_hash(experiment.architecture, experiment.inits)
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        write_whole(self.folder(experiment) / "manifest.json", text.encode())
        return path

    def read(self, experiment: Experiment, level: Level) -> LevelRecord:
        """Return one stored level, verified against the manifest.

        Raises
        ------
        UserError
            If the level is missing, or its file is not the one that the manifest describes.
        """
        entry = self.manifest(experiment)["levels"].get(level.name)
        if entry is None:
            raise UserError(
                f"{experiment.name}: level {level.name!r} is not trained; "
                f"python -m lib train {experiment.name} trains it"
            )
        path = self.folder(experiment) / f"{level.name}.npz"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: the manifest names it, but it cannot be read ({error.strerror})") from error
        if len(content) != entry.get("bytes"):
            raise UserError(f"{path}: has {len(content):,} bytes; the manifest says {entry.get('bytes')}")
        if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
            raise UserError(f"{path}: its SHA-256 is not the one in the manifest")
        record = _decode(content, path)
        _check_record(experiment, level, record)
        return record

    def verify(self, experiment: Experiment) -> tuple[list[str], list[Problem]]:
        """Check every stored level of an experiment.

        Besides the checksums: shapes and exact counts; that each level's masks are the ones that pruning the
        level before gave, and lie within them; that the initial weights still have the stored hash.

        Returns
        -------
        levels : list of str
            The levels that are whole.
        problems : list of Problem
            What is wrong, a level that is missing among the rest included.
        """
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
        if stored is not None and stored != initial_hash(experiment.architecture, experiment.inits):
            problem("manifest", "the initial weights made now do not have the stored hash")
        for name in sorted(set(manifest["levels"]) - {level.name for level in experiment.levels}):
            problem(name, "the manifest names a level that the experiment does not have")
        expected: NDArray[np.bool_] | None = np.ones((experiment.replicas, experiment.architecture.weight_count), bool)
        for level in experiment.levels:
            if level.name not in manifest["levels"]:
                problem(level.name, "missing")
                expected = None
                continue
            try:
                record = self.read(experiment, level)
            except UserError as error:
                problem(level.name, str(error))
                expected = None
                continue
            if expected is not None and not np.array_equal(record.masks, expected):
                problem(level.name, "its masks are not the ones that pruning the level before gave")
            elif record.next_masks is not None and (record.next_masks & ~record.masks).any():
                problem(level.name, "pruning it brought pruned weights back")
            else:
                whole.append(level.name)
            expected = record.next_masks
        return whole, problems

    def experiments(self) -> list[Experiment]:
        """Return the experiments of which anything is stored here."""
        return [e for e in EXPERIMENTS.values() if (self.folder(e) / "manifest.json").exists()]

    def initial_weights(self, experiment: Experiment) -> NDArray[np.float32]:
        """Return the initial weights, shape (inits, W), regenerated and checked against the stored hash."""
        stored = self.manifest(experiment).get("initial weights sha256")
        if stored is not None and stored != initial_hash(experiment.architecture, experiment.inits):
            raise UserError(f"{experiment.name}: the initial weights made now do not have the stored hash")
        count = experiment.architecture.weight_count
        return np.stack([initial_parameters(experiment.architecture, i)[:count] for i in range(experiment.inits)])


def _empty_manifest(experiment: Experiment) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "experiment": experiment.name,
        "fingerprint": experiment.fingerprint(),
        "specification": experiment.specification(),
        "levels": {},
    }


def _check_record(experiment: Experiment, level: Level, record: LevelRecord) -> None:
    architecture, replicas = experiment.architecture, experiment.replicas
    weights = architecture.weight_count
    shapes = {
        "masks": (replicas, weights),
        "weights": (replicas, weights),
        "biases": (replicas, architecture.parameter_count - weights),
        "logits": (replicas, TEST_LOGITS, architecture.layers[-1].shape[0]),
        "correct": (replicas,),
        "losses": (replicas, experiment.epochs),
    }
    for name, shape in shapes.items():
        found = getattr(record, name).shape
        if found != shape:
            raise UserError(f"{experiment.name} {level.name}: {name} has shape {found}; it should be {shape}")
    last = level is experiment.levels[-1] or level == experiment.levels[-1]
    if (record.next_masks is None) != last:
        raise UserError(f"{experiment.name} {level.name}: next_masks should be there at every level but the last")
    counts = kept_counts(architecture, level)
    for name, where in architecture.weight_slices().items():
        kept = record.masks[:, where].sum(axis=1)
        if (kept != counts[name]).any():
            raise UserError(
                f"{experiment.name} {level.name}: layer {name} keeps {kept.min()} to {kept.max()} weights; "
                f"it should keep {counts[name]}"
            )


def _encode(record: LevelRecord) -> bytes:
    arrays = {
        "masks": np.packbits(record.masks, axis=1),
        "weights": record.weights[record.masks].astype("<f2"),
        "biases": record.biases.astype("<f4"),
        "logits": record.logits.astype("<f2"),
        "correct": record.correct.astype("<i8"),
        "losses": record.losses.astype("<f4"),
        "weight_count": np.array(record.masks.shape[1], "<i8"),
    }
    if record.next_masks is not None:
        arrays["next_masks"] = np.packbits(record.next_masks, axis=1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _decode(content: bytes, path: Path) -> LevelRecord:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > 64 * MAX_BYTES:
                raise UserError(f"{path}: unpacks to more than {64 * MAX_BYTES:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        count = int(arrays["weight_count"])
        masks = np.unpackbits(arrays["masks"], axis=1, count=count).astype(bool)
        weights = np.zeros(masks.shape, np.float32)
        weights[masks] = arrays["weights"]
        following = arrays.get("next_masks")
        return LevelRecord(
            masks=masks,
            weights=weights,
            biases=arrays["biases"].astype(np.float32),
            logits=arrays["logits"].astype(np.float32),
            correct=arrays["correct"].astype(np.int64),
            losses=arrays["losses"].astype(np.float32),
            next_masks=None if following is None else np.unpackbits(following, axis=1, count=count).astype(bool),
        )
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is not a ticket file ({error})") from error
