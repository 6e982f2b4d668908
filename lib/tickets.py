"""The store: what an experiment left behind, on disk, verified.

The only module that knows the file format.  An experiment is a folder with a manifest and one ``.npz``
file for each finished level (see `LevelRecord` for what it holds).  Nothing is pickled; every file is
written beside its place and renamed into it; every read checks the SHA-256 that the manifest holds, and
the manifest's checksum of itself.  One process at a time writes an experiment.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import io
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment
from lib.files import SEAL, read_json, remove_leftovers, sealed, write_whole
from lib.models import initial_hash, initial_parameters
from lib.pruning import Level, kept_counts, random_masks

TEST_LOGITS = 2000
MAX_BYTES = 16 * 2**20
FORMAT = 2  # of manifests; those of format 1 have no checksum, and get one when next written
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
        The masks that pruning these networks gave to the next level (made from full precision); None if the
        next level is not pruned from this one.
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
        self._locks: dict[str, filelock.FileLock] = {}

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
        try:
            manifest = read_json(path)
        except FileNotFoundError:
            return _empty_manifest(experiment)
        unknown = set(manifest) - {*_MANIFEST, "initial weights sha256", SEAL}
        if not isinstance(manifest.get("levels"), dict) or unknown:
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
            raise UserError(
                f"{path}: was made with fingerprint {manifest.get('fingerprint')!r}; the specification of "
                f"{experiment.name} now has {experiment.fingerprint()!r}"
            )
        if not isinstance(manifest.get("initial weights sha256"), str):
            raise UserError(f"{path}: has no hash of the initial weights")
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
        lock = self._locks.setdefault(experiment.name, filelock.FileLock(folder / ".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UserError(f"{folder}: another process is writing {experiment.name}; wait until it ends") from None
        try:
            remove_leftovers(folder)
            yield
        finally:
            lock.release()

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
            With the keys 'wall seconds', 'device', 'processes', 'versions' and 'data'; plain JSON values.

        Returns
        -------
        Path
            Of the file written.

        Raises
        ------
        UserError
            If the record does not fit the experiment or would be larger than 16 MiB, the provenance lacks
            something, or another process writes this experiment now.
        """
        _check_record(experiment, level, record)
        content = _encode(record)
        if len(content) > MAX_BYTES:
            raise UserError(
                f"{experiment.name} {level.name}: {len(content):,} bytes; at most {MAX_BYTES:,} may be stored"
            )
        about = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **provenance,
        }
        return self._enter(experiment, level, content, about)

    def _enter(self, experiment: Experiment, level: Level, content: bytes, about: dict[str, Any]) -> Path:
        """Write a level's file, then the manifest that names it."""
        path = self.folder(experiment) / f"{level.name}.npz"
        entry = {**about, "file": path.name}
        _check_entry(entry, f"{experiment.name} {level.name}: the provenance")
        with self.alone(experiment):
            manifest = self.manifest(experiment) | {"format": FORMAT}
            write_whole(path, content)
            manifest["levels"][level.name] = entry
            if "initial weights sha256" not in manifest:
                manifest["initial weights sha256"] = initial_hash(experiment.architecture, experiment.inits)
            write_whole(self.folder(experiment) / "manifest.json", sealed(manifest))
        return path

    def seal(self, experiment: Experiment) -> None:
        """Give a manifest of format 1 the checksum that format 2 has; one of format 2 stays as it is."""
        with self.alone(experiment):
            manifest = self.manifest(experiment) | {"format": FORMAT}
            write_whole(self.folder(experiment) / "manifest.json", sealed(manifest))

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
            size = path.stat().st_size
            if size != entry["bytes"] or size > MAX_BYTES:
                raise UserError(f"{path}: has {size:,} bytes; the manifest says {entry['bytes']:,}")
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: the manifest names it, but it cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise UserError(f"{path}: its SHA-256 is not the one in the manifest")
        try:
            record = _decode(content, _stored_shapes(experiment, level))
            _check_record(experiment, level, record)
        except Exception as error:  # a damaged archive raises errors of many kinds
            raise UserError(f"{path}: is not the ticket file of {experiment.name} {level.name} ({error})") from error
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
            if level.random:
                expected = random_masks(experiment.architecture, level, experiment.replicas)
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
                origin = "drawn for it" if level.random else "that pruning the level before gave"
                problem(level.name, f"its masks are not the ones {origin}")
            elif record.next_masks is not None and (record.next_masks & ~record.masks).any():
                problem(level.name, "pruning it brought pruned weights back")
            else:
                whole.append(level.name)
            expected = record.next_masks
        return whole, problems

    def adopt(self, other: "Store", experiment: Experiment) -> list[str]:
        """Take over the levels of an experiment that another store holds and this one lacks.

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
            the levels before it have then been added.
        """
        theirs, added = other.manifest(experiment), []
        stored = theirs.get("initial weights sha256")
        if theirs["levels"] and stored != initial_hash(experiment.architecture, experiment.inits):
            raise UserError(f"{other.folder(experiment)}: was trained from other initial weights than those made here")
        before: Level | None = None
        for level in experiment.levels:
            entry, ours = theirs["levels"].get(level.name), self.manifest(experiment)["levels"].get(level.name)
            if entry is not None and ours is not None and entry.get("sha256") != ours.get("sha256"):
                raise UserError(
                    f"{other.folder(experiment)}: level {level.name!r} is another than in {self.folder(experiment)}"
                )
            if ours is None:
                if entry is None:
                    break
                record = other.read(experiment, level)
                masks: NDArray[np.bool_] | None = np.ones_like(record.masks)
                if level.random:
                    masks = random_masks(experiment.architecture, level, experiment.replicas)
                elif before is not None:
                    masks = self.read(experiment, before).next_masks
                if masks is None or not np.array_equal(record.masks, masks):
                    raise UserError(
                        f"{other.folder(experiment)}: the masks of level {level.name!r} are not the ones that pruning "
                        "the level before gave"
                    )
                content = (other.folder(experiment) / f"{level.name}.npz").read_bytes()
                self._enter(experiment, level, content, entry)
                added.append(level.name)
            before = level
        return added

    def experiments(self) -> list[Experiment]:
        """Return the experiments of which anything is stored here."""
        return [e for e in EXPERIMENTS.values() if _is_file(self.folder(e) / "manifest.json")]

    def shipped(self, experiment: Experiment) -> bool:
        """Return whether the tickets of an experiment are those that came with the book.

        They are if the manifest, which holds the hash of every ticket file, has the SHA-256 that stands in
        ``manifest.sha256`` beside it. Training does not write that file: whoever adds tickets to the book says so by
        ``sha256sum manifest.json > manifest.sha256`` in their folder.
        """
        folder = self.folder(experiment)
        try:
            manifest, told = ((folder / name).read_bytes() for name in ("manifest.json", "manifest.sha256"))
        except OSError:
            return False
        return told == f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n".encode()

    def initial_weights(self, experiment: Experiment) -> NDArray[np.float32]:
        """Return the initial weights, shape (inits, W), regenerated and checked against the stored hash."""
        stored = self.manifest(experiment).get("initial weights sha256")
        if stored is not None and stored != initial_hash(experiment.architecture, experiment.inits):
            raise UserError(f"{experiment.name}: the initial weights made now do not have the stored hash")
        count = experiment.architecture.weight_count
        return np.stack([initial_parameters(experiment.architecture, i)[:count] for i in range(experiment.inits)])


def _is_file(path: Path) -> bool:
    """Tell whether there is a file by opening it, which `lib.inputs` notes: a chapter depends on the answer."""
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


_MANIFEST = ("format", "experiment", "fingerprint", "specification", "levels")


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
        if name in ("weights", "biases", "logits", "losses") and not np.isfinite(getattr(record, name)).all():
            raise UserError(f"{experiment.name} {level.name}: {name} holds a value that is not finite")
    if (record.next_masks is None) != (experiment.pruned_to(level) is None):
        raise UserError(
            f"{experiment.name} {level.name}: next_masks should be there if a level is pruned from this one"
        )
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


def _stored_shapes(experiment: Experiment, level: Level) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of every array in the file of a level."""
    architecture, replicas = experiment.architecture, experiment.replicas
    weights = architecture.weight_count
    packed = ("|u1", (replicas, -(-weights // 8)))
    shapes = {
        "masks": packed,
        "weights": ("<f2", (replicas * sum(kept_counts(architecture, level).values()),)),
        "biases": ("<f4", (replicas, architecture.parameter_count - weights)),
        "logits": ("<f2", (replicas, TEST_LOGITS, architecture.layers[-1].shape[0])),
        "correct": ("<i8", (replicas,)),
        "losses": ("<f4", (replicas, experiment.epochs)),
        "weight_count": ("<i8", ()),
    }
    return shapes if experiment.pruned_to(level) is None else {**shapes, "next_masks": packed}


def _decode(content: bytes, shapes: dict[str, tuple[str, tuple[int, ...]]]) -> LevelRecord:
    """Return the record in a ticket file, whose arrays must have these types and shapes.

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
    count = int(arrays["weight_count"])
    if -(-count // 8) != arrays["masks"].shape[1]:
        raise UserError(f"weight_count is {count:,}")

    def unpacked_masks(name: str) -> NDArray[np.bool_]:
        return np.unpackbits(arrays[name], axis=1, count=count).astype(bool)

    masks = unpacked_masks("masks")
    if masks.sum() != len(arrays["weights"]):
        raise UserError(f"its masks keep {masks.sum():,} weights; it holds {len(arrays['weights']):,}")
    weights = np.zeros(masks.shape, np.float32)
    weights[masks] = arrays["weights"]
    return LevelRecord(
        masks=masks,
        weights=weights,
        biases=arrays["biases"].astype(np.float32),
        logits=arrays["logits"].astype(np.float32),
        correct=arrays["correct"].astype(np.int64),
        losses=arrays["losses"].astype(np.float32),
        next_masks=unpacked_masks("next_masks") if "next_masks" in arrays else None,
    )


_MOST_HEADER = 1024  # bytes; NumPy writes 128


# --- manifest entries ----------------------------------------------------------------------------------------


def _check_entry(entry: object, where: str) -> None:
    """Raise `UserError` if the entry of a level in a manifest lacks something, or has it in another form."""
    for (*folders, key), (fits, right) in _ENTRY.items():
        part: Any = entry
        for folder in folders:
            part = part.get(folder) if isinstance(part, dict) else None
        if not isinstance(part, dict) or key not in part:
            raise UserError(f"{where} has no {' / '.join([*folders, key])!r}; it should be {right}")
        if not fits(part[key]):
            raise UserError(f"{where}: {' / '.join([*folders, key])!r} is {part[key]!r}; it should be {right}")


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
