"""The images of every data set as uint8 arrays with labels and their provenance.

Where they are looked for, in this order: the folder the user names (``--data`` or the variable
``LOTTERY_DATA``) and the folders below it that are usual for the data set, the Debian package; then
torchvision downloads MNIST and Fashion-MNIST (it checks their MD5) if it is installed and allowed to.

What is found is decoded once and kept as plain arrays in ``~/.cache/winning-tickets-book`` (or
``LOTTERY_CACHE``), whole or not at all, and checked at every load against the SHA-256 stored beside them.
Nothing is unpickled: arrays are read without pickle, and CIFAR's pickles are read as text that is not run.
"""

import dataclasses
import functools
import gzip
import hashlib
import importlib
import io
import itertools
import math
import mmap
import os
import pickletools
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lib import streams
from lib.errors import UserError
from lib.files import SEAL, read_json, sealed

CLASSES = 10
# Of CIFAR-100's twenty superclasses those that `cifar100-super10` has, in the order of its labels 0 to 9.
SUPERCLASSES = (0, 2, 3, 6, 7, 8, 9, 14, 17, 18)


@dataclasses.dataclass(frozen=True)
class Images:
    """A data set in memory, or mapped into it from the cache: what is mapped is pickled as the path of its file.

    Attributes
    ----------
    name : str
    train, test : uint8 array, shape (images, channels, height, width)
    train_labels, test_labels : uint8 array, shape (images,)
    source : str
        In words: where the files came from; how many images are not exact; for what it is a stand-in.
    sha256 : str
        Of the bytes of the four arrays: train, train_labels, test, test_labels.
    """

    name: str
    train: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    source: str
    sha256: str

    def __getstate__(self) -> dict[str, Any]:
        return {name: _path_of(value) or value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: _map(value) if isinstance(value, Path) else value for name, value in state.items()})


def _path_of(value: object) -> Path | None:
    """Return the file that an array is, mapped by `_map`, whole and still there."""
    whole = isinstance(value, np.memmap) and isinstance(value.base, mmap.mmap)  # the base of a part is an array
    path = Path(value.filename) if whole and value.filename else None  # type: ignore[attr-defined]
    return path if path is not None and path.is_file() else None


def _map(path: Path) -> NDArray[np.uint8]:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def load(name: str, folder: Path | None = None, download: bool = True) -> Images:
    """Load a data set.

    Parameters
    ----------
    name : str
        One of `SETS`.
    folder : Path, optional
        Where to look first; the variable ``LOTTERY_DATA`` if not given.
    download : bool
        Whether torchvision may download what is found nowhere.

    Returns
    -------
    Images

    Raises
    ------
    UserError
        If the data set is unknown, found nowhere, or a file is not what it should be.
    """
    if name not in SETS:
        raise UserError(f"data set is {name!r}: known are {', '.join(SETS)}")
    if folder is None and os.environ.get("LOTTERY_DATA"):
        folder = Path(os.environ["LOTTERY_DATA"])
    if folder is not None and not folder.is_dir():
        raise UserError(f"the folder of the images (--data or LOTTERY_DATA) is {folder}: there is no such folder")
    make: Callable[[], Images]
    if name == "mnist-photo":
        digits, photos = (load(part, folder, download) for part in ("mnist", "cifar100-super10"))
        key = [digits.sha256, photos.sha256]
        make = functools.partial(_digits_on_photos, digits, photos)
    else:
        found = _locate(name, folder, download)
        stats = [(path, path.stat()) for path in (*found.train, *found.test)]
        key = [f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
        make = functools.partial(_decode, name, found)
    cache = cache_folder() / f"{name}-{hashlib.sha256(repr((_CACHE_FORMAT, key)).encode()).hexdigest()[:16]}"
    if not cache.exists():
        images = make()
        try:
            _write_cache(images, cache)
        except OSError:  # a cache that cannot be written costs time, not correctness
            return images
    return _read_cache(name, cache)


def cache_folder() -> Path:
    """Return where decoded data sets are kept: ``LOTTERY_CACHE`` or ``~/.cache/winning-tickets-book``."""
    return Path(os.environ.get("LOTTERY_CACHE") or Path.home() / ".cache" / "winning-tickets-book")


def channel_statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of every channel, from exact integer sums.

    Parameters
    ----------
    images : uint8 array, shape (images, channels, height, width)

    Returns
    -------
    means, deviations : float64 array, shape (channels,)
    """
    statistics = []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].ravel(), minlength=256).tolist()  # Python's integers do not overflow
        total = sum(counts)
        linear = sum(count * value for value, count in enumerate(counts))
        square = sum(count * value**2 for value, count in enumerate(counts))
        statistics.append((linear / total, math.sqrt((total * square - linear**2) / total**2)))
    means, deviations = np.array(statistics).T
    return means, deviations


# --- what is looked for, and where ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Part:
    """The training or the test images as they were read, labels not yet checked."""

    images: NDArray[np.uint8]
    labels: NDArray[np.integer]
    inexact: int = 0


@dataclasses.dataclass(frozen=True)
class _Format:
    """A form in which users have a data set: its files, as patterns below a folder, and what reads them."""

    title: str
    subfolders: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    read: Callable[[Sequence[Path], tuple[int, int, int]], _Part]


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known about a data set.

    Attributes
    ----------
    shape : tuple of int
        (channels, height, width) of an image.
    counts : tuple of int
        Number of training and of test images; any other number is refused.
    formats : tuple
        The forms in which it is looked for, in this order.
    how : str
        How to get it, as the first half of a sentence.
    note : str
        What to say wherever a number rests on it.
    published : str
        SHA-256 of the published arrays, where it is known: other images are refused.
    """

    shape: tuple[int, int, int]
    counts: tuple[int, int]
    formats: tuple[_Format, ...]
    how: str
    note: str = ""
    published: str = ""


@dataclasses.dataclass(frozen=True)
class _Found:
    """The files of a data set, and where they came from in words."""

    format: _Format
    place: Path
    train: list[Path]
    test: list[Path]
    source: str


def _locate(name: str, folder: Path | None, download: bool) -> _Found:
    description = SETS[name]
    looked = []
    if folder is not None:
        for form in description.formats:
            for sub in (*form.subfolders, ""):
                looked.append(folder / sub)
                found = _files(form, folder / sub, f"{form.title} in the folder the user named")
                if found:
                    return found
    for system, source in _SYSTEM.get(name, {}).items():
        looked.append(Path(system))
        found = _files(description.formats[0], Path(system), source)
        if found:
            return found
    if download and name in _TORCHVISION:
        place = folder or cache_folder()
        if _download(_TORCHVISION[name], place):
            found = _files(description.formats[0], place / _TORCHVISION[name] / "raw", "downloaded by torchvision")
            if found:
                return found
    places = "; ".join(dict.fromkeys(str(place) for place in looked)) or "no folder was named"
    raise UserError(
        f"data set {name!r} was not found (looked in: {places}). {description.how} "
        "or name the folder that holds the files with --data or LOTTERY_DATA"
    )


def _files(form: _Format, place: Path, source: str) -> _Found | None:
    """Return a data set's files in one place; None if none of them is there."""
    patterns = (*form.train, *form.test)
    found = {pattern: sorted(path for path in place.glob(pattern) if path.is_file()) for pattern in patterns}
    if not any(found.values()):
        return None
    for pattern, paths in found.items():
        if not paths:
            raise UserError(f"{place}: the file {pattern} is missing")
    train, test = ([path for pattern in part for path in found[pattern]] for part in (form.train, form.test))
    return _Found(form, place, train, test, source)


def _download(dataset: str, place: Path) -> bool:
    """Let torchvision download and check a data set; say whether it is there now."""
    try:
        import torchvision.datasets
    except (ImportError, RuntimeError, OSError):  # the last two: a torchvision made for another torch
        return False
    try:
        getattr(torchvision.datasets, dataset)(place, train=True, download=True)
    except (OSError, RuntimeError):
        return False
    return True


# --- decoding ------------------------------------------------------------------------------------------------


def _decode(name: str, found: _Found) -> Images:
    """Read, check and describe what was found."""
    description = SETS[name]
    notes, arrays, inexact = [found.source], [], []
    for part, paths, count in zip(("training", "test"), (found.train, found.test), description.counts, strict=True):
        read = found.format.read(paths, description.shape)
        images, labels = read.images, read.labels
        if images.shape[1:] != description.shape or labels.shape != images.shape[:1]:
            raise UserError(
                f"{found.place}: the {part} images have shape {images.shape} and the labels {labels.shape}; "
                f"they should be (n, {', '.join(str(n) for n in description.shape)}) and (n,)"
            )
        if name == "cifar100-super10":
            images, labels = _superclasses(images, labels)
            if len(images) == len(read.images) and part == "test":
                notes.append(
                    "the split into training and test images is that of the files, not CIFAR-100's official one"
                )
        worst = labels[(labels < 0) | (labels >= CLASSES)]
        if worst.size:
            raise UserError(f"{found.place}: a {part} label is {worst[0]}; labels should be 0 to {CLASSES - 1}")
        if len(images) != count:
            raise UserError(f"{found.place}: there are {len(images):,} {part} images; {name} has {count:,}")
        arrays += [np.ascontiguousarray(images), labels.astype(np.uint8)]
        inexact.append(read.inexact)
    if any(inexact):
        notes.append(
            f"{sum(inexact):,} of {sum(description.counts):,} images are not pixel-exact "
            f"({inexact[0]:,} training, {inexact[1]:,} test)"
        )
    notes += [description.note] if description.note else []
    digest = _sha256(arrays)
    for other, its in SETS.items():
        if other != name and digest == its.published:
            raise UserError(f"{found.place}: holds {other}, not {name}")
    if description.published and digest != description.published:
        raise UserError(
            f"{found.place}: its images and labels are not those of {name} as published (SHA-256 {digest[:16]}…, "
            f"not {description.published[:16]}…): a file is damaged, or in another order"
        )
    return _images(name, arrays, "; ".join(notes), digest)


def _images(name: str, arrays: Sequence[NDArray[np.uint8]], source: str, sha256: str) -> Images:
    train, train_labels, test, test_labels = arrays
    return Images(name, train, train_labels, test, test_labels, source, sha256)


def _superclasses(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> tuple[NDArray, NDArray]:
    """Return the images of the chosen superclasses, their labels renumbered from 0; odd labels stay as they are."""
    new = np.full(20, -1)
    new[list(SUPERCLASSES)] = np.arange(CLASSES)
    known = (labels >= 0) & (labels < 20)
    result = np.where(known, new[np.where(known, labels, 0)], labels)
    keep = ~known | (result >= 0)
    return (images, result) if keep.all() else (images[keep], result[keep])


def _digits_on_photos(digits: Images, photos: Images) -> Images:
    """Make `mnist-photo`: |digit - photograph| in every channel, each digit on a photograph of the same split."""
    arrays: list[NDArray[np.uint8]] = []
    for part in ("train", "test"):
        numbers, patches = getattr(digits, part), getattr(photos, part)
        chosen = streams.raw(f"mnist-photo/{part}", len(numbers)) % np.uint64(len(patches))
        padded = np.pad(numbers, ((0, 0), (0, 0), (2, 2), (2, 2)))
        made = np.empty((len(numbers), *SETS["mnist-photo"].shape), np.uint8)
        for start in range(0, len(made), 5000):
            part_of = slice(start, start + 5000)
            made[part_of] = np.abs(padded[part_of].astype(np.int16) - patches[chosen[part_of].astype(np.int64)])
        arrays += [made, np.array(getattr(digits, part + "_labels"))]
    photographs = photos.source.removesuffix(f"; {SETS[photos.name].note}")
    source = f"{SETS['mnist-photo'].note}; digits: {digits.source}; photographs: {photographs}"
    return _images("mnist-photo", arrays, source, _sha256(arrays))


_MOST_BYTES = 200_000_000  # what an IDX or a binary file may unpack to; the largest real one has 153,700,000 bytes
_MOST_MATLAB = 2**28  # what a MATLAB file, or an array in it, may unpack to; the largest real one has 225,045,504 bytes
_MOST_PARQUET = 2**30  # what a parquet shard may unpack to; encoded images hardly shrink
_MOST_IMAGES = 200_000  # in one part of a data set; the largest real one has 90,000


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not (LeCun's format for MNIST)."""
    content = _read_bytes(path)
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise UserError(f"{path}: is not an IDX file of unsigned bytes")
    axes = content[3]
    start = 4 + 4 * axes
    if not 1 <= axes <= 4:
        raise UserError(f"{path}: has {axes} axes; images have 3, labels 1")
    if len(content) < start:
        raise UserError(f"{path}: ends within its header")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = int(np.prod(shape, dtype=object))
    if len(content) - start != expected:
        raise UserError(f"{path}: holds {len(content) - start:,} values; its header promises {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_bytes(path: Path, most: int = 0) -> bytes:
    """Return what a file holds, unpacked if it is gzipped: at most so many bytes, if not given `_MOST_BYTES`."""
    most = most or _MOST_BYTES
    try:
        opened: Callable = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if len(content) > most:
        raise UserError(f"{path}: unpacks to more than {most:,} bytes")
    return content


def _read_idx_pair(paths: Sequence[Path], shape: tuple[int, int, int]) -> _Part:
    """Read a file of images and a file of labels; of a file and its gzipped copy the first."""
    images = _read_idx(next(path for path in paths if "images" in path.name))
    labels = _read_idx(next(path for path in paths if "labels" in path.name))
    return _Part(images[:, None] if images.ndim == 3 else images, labels)


def _read_binary(paths: Sequence[Path], shape: tuple[int, int, int], labels: int) -> _Part:
    """Read CIFAR's "binary version": records of `labels` label bytes, the first of which is used, and an image."""
    size = labels + int(np.prod(shape))
    records = []
    for path in paths:
        content = _read_bytes(path)
        if not content or len(content) % size:
            raise UserError(f"{path}: has {len(content):,} bytes, which is not a whole number of records of {size:,}")
        records.append(np.frombuffer(content, np.uint8).reshape(-1, size))
    table = np.concatenate(records)
    return _Part(table[:, labels:].reshape(-1, *shape), table[:, 0].astype(np.int64))


def _read_pickles(paths: Sequence[Path], shape: tuple[int, int, int], label: str) -> _Part:
    """Read CIFAR's "Python version", which torchvision keeps: a dictionary with an array `data` and a list of labels.

    A pickle is a program. It is not run, only its text is read: the array is the one string of bytes that is as long as
    the images, the labels are the numbers behind their name.
    """
    images, labels = [], []
    for path in paths:
        content = _read_bytes(path)
        try:
            steps = [
                (code.name, argument.encode("latin-1") if isinstance(argument, str) else argument)
                for code, argument, _ in pickletools.genops(content)
                if code.name not in _MEMORY
            ]
            pixels, kind = _pickled_array(steps)
            found = _pickled_numbers(steps, label.encode())
            if kind != b"u1" or not found or len(pixels) != len(found) * math.prod(shape):
                raise ValueError(f"data has {len(pixels):,} bytes of type {kind.decode()}, and {len(found)} labels")
        except Exception as error:  # a damaged pickle raises errors of many kinds
            raise UserError(f"{path}: is not a file of CIFAR's Python version ({_line(error)})") from error
        images.append(np.frombuffer(pixels, np.uint8).reshape(-1, *shape))
        labels.append(np.array(found, np.int64))
    return _Part(np.concatenate(images), np.concatenate(labels))


# What a pickle does to find things again, which says nothing of them.
_MEMORY = ("PROTO", "FRAME", "MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_LIST = ("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "INT", "BININT", "BININT1", "BININT2")


def _after(steps: list[tuple[str, Any]], key: bytes) -> list[tuple[str, Any]]:
    place = next((n for n, (_, argument) in enumerate(steps) if argument == key), None)
    if place is None:
        raise ValueError(f"it has no {key.decode()!r}")
    return steps[place + 1 :]


def _pickled_array(steps: list[tuple[str, Any]]) -> tuple[bytes, bytes]:
    """Return the content of the array `data`, and its type.

    It is built of two parts: its type, named by the first string of the array, and last its bytes, behind whether they
    are in Fortran's order.
    """
    steps = _after(steps, b"data")
    first, last = [n for n, (name, _) in enumerate(steps) if name == "BUILD"][:2]
    kind = next(
        argument for _, argument in reversed(steps[:first]) if isinstance(argument, bytes) and len(argument) == 2
    )
    order, pixels = [(name, argument) for name, argument in steps[first:last] if not name.startswith("TUPLE")][-2:]
    if order[0] != "NEWFALSE" or not isinstance(pixels[1], bytes):
        raise ValueError("data is no array in C's order")
    return pixels[1], kind


def _pickled_numbers(steps: list[tuple[str, Any]], key: bytes) -> list[int]:
    """Return the list of whole numbers behind `key`."""
    behind = itertools.takewhile(lambda step: step[0] in _LIST, _after(steps, key))
    return [argument for _, argument in behind if argument is not None]


def _read_mat(paths: Sequence[Path], shape: tuple[int, int, int]) -> _Part:
    """Read SVHN's MATLAB file (version 5): X of shape (height, width, channels, n), y with 10 for the digit 0."""
    path, (channels, height, width) = paths[0], shape
    content = _read_bytes(path, _MOST_MATLAB)
    try:
        arrays = _matlab_arrays(content)
    except (ValueError, struct.error, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as a MATLAB file of version 5 ({_line(error)})") from error
    shapes = {name: array.shape for name, (array, _) in arrays.items()}
    n = shapes.get("X", (0, 0, 0, 0))[-1]
    if shapes != {"X": (height, width, channels, n), "y": (n, 1)} or n > _MOST_IMAGES:
        raise UserError(
            f"{path}: holds arrays of shapes {shapes}; it should hold X ({height}, {width}, {channels}, n) and y (n, 1)"
        )
    (images, kind), (numbers, _) = arrays["X"], arrays["y"]
    with np.errstate(invalid="ignore"):
        labels = numbers[:, 0].astype(np.int64)
    if kind != np.uint8 or images.dtype != np.uint8 or (labels != numbers[:, 0]).any():
        raise UserError(f"{path}: X holds {kind} and y {numbers.dtype}; they should hold uint8 and whole numbers")
    if (labels == 0).any():
        raise UserError(f"{path}: a label is 0; SVHN's labels are 1 to 10, where 10 is the digit 0")
    return _Part(images.transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels))


# Elements of a MATLAB file by their number: of one array, of packed elements, of numbers of a type.
_MATLAB_ARRAY, _MATLAB_PACKED = 14, 15
_MATLAB_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# The classes of an array, which may be stored as numbers of a smaller type.
_MATLAB_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATLAB_COMPLEX = 0x800


def _matlab_arrays(content: bytes) -> dict[str, tuple[NDArray, np.dtype]]:
    """Return the arrays X and y of a MATLAB file of version 5, each with the type that it has in MATLAB.

    The format is MathWorks' "MAT-File Format": a header of 128 bytes, then elements.

    Raises
    ------
    ValueError, struct.error, zlib.error
        If it is no such file, or they are no arrays of real numbers.
    """
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])
    if order is None:
        raise ValueError("it has no header of this version")
    found = {}
    for kind, body in _matlab_elements(memoryview(content)[128:], order):
        if kind == _MATLAB_PACKED:
            unpacking = zlib.decompressobj()
            unpacked = unpacking.decompress(body, _MOST_MATLAB)
            if not unpacking.eof:
                raise ValueError(f"an array ends too early or unpacks to more than {_MOST_MATLAB:,} bytes")
            kind, body = next(_matlab_elements(memoryview(unpacked), order), (0, body))
        if kind != _MATLAB_ARRAY:
            continue
        parts = [part for _, part in zip(range(4), _matlab_elements(body, order), strict=False)]
        if len(parts) < 4:
            raise ValueError("an array lacks a part")
        (_, flags), (_, sizes), (_, letters), (stored, data) = parts
        name = bytes(letters).decode("latin-1")
        if name not in ("X", "y"):
            continue
        (flag,) = struct.unpack_from(f"{order}I", flags)
        if flag & _MATLAB_COMPLEX or flag & 0xFF not in _MATLAB_CLASSES or stored not in _MATLAB_NUMBERS:
            raise ValueError(f"{name} is no array of real numbers")
        shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
        numbers = np.frombuffer(data, order + _MATLAB_NUMBERS[stored])
        if min(shape, default=0) < 0 or len(numbers) != math.prod(shape):
            raise ValueError(f"{name} holds {len(numbers):,} numbers; its shape is {shape}")
        found[name] = numbers.reshape(shape, order="F"), np.dtype(_MATLAB_CLASSES[flag & 0xFF])
    return found


def _matlab_elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield the number of the kind of each element, and what it holds."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start = at + 8
        at = start + size + (0 if kind == _MATLAB_PACKED else -size % 8)
        if kind >> 16:  # up to four bytes lie where else their number stands
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        if start + size > min(at, len(content)):
            raise ValueError("it ends within an element")
        yield kind, content[start : start + size]


_IMAGE_COLUMNS = ("img", "image")
_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]  # as pyarrow calls them


def _read_parquet(paths: Sequence[Path], shape: tuple[int, int, int], label: str) -> _Part:
    """Read parquet shards: image bytes in `img` or `image` (plain or a struct with 'bytes'), integer labels."""
    parquet = _module("pyarrow.parquet", "parquet shards")
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    inexact = 0
    for path in paths:
        try:
            about = parquet.read_metadata(path)
            leaves = [about.schema.column(number).path for number in range(about.num_columns)]
            shared = [p for p in leaves if p.removesuffix(".bytes") in _IMAGE_COLUMNS]
            # A value that many rows share stays one value: a small file may repeat a large one.
            file = parquet.ParquetFile(path, metadata=about, read_dictionary=shared)
            columns = file.schema_arrow.names
            column = next((name for name in _IMAGE_COLUMNS if name in columns), None)
            if column is None or label not in columns:
                raise UserError(
                    f"{path}: has the columns {', '.join(columns)}; it should have img or image, and {label}"
                )
            groups = [about.row_group(number) for number in range(about.num_row_groups)]
            if sum(g.column(n).total_uncompressed_size for g in groups for n in range(g.num_columns)) > _MOST_PARQUET:
                raise UserError(f"{path}: unpacks to more than {_MOST_PARQUET:,} bytes")
            if about.num_rows + len(images) > _MOST_IMAGES:
                raise UserError(f"{path}: promises more than {_MOST_IMAGES:,} images")
            if (kind := str(file.schema_arrow.field(label).type)) not in _INTEGERS:
                raise UserError(f"{path}: {label} holds {kind}; labels should be integers")
            exact = [c for c in ("pixel_exact",) if c in columns and str(file.schema_arrow.field(c).type) == "bool"]
            for batch in file.iter_batches(batch_size=1000, columns=[column, label, *exact]):
                encoded = batch.column(column)
                if encoded.type.num_fields and "bytes" in encoded.type.names:
                    encoded = encoded.field("bytes")
                given = batch.column(label).to_pylist()
                for value, scalar in zip(given, encoded, strict=True):
                    images.append(_read_image(scalar.as_py(), shape, f"{path}, image {len(images)}"))
                    if value is None:
                        raise UserError(f"{path}: a label is {value!r}; labels should be integers")
                labels += given
                inexact += sum(value is not True for c in exact for value in batch.column(c).to_pylist())
        except UserError:
            raise
        except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are of these kinds
            raise UserError(f"{path}: cannot be read as parquet ({_line(error)})") from error
    return _Part(np.array(images, np.uint8).reshape(-1, *shape), np.array(labels, np.int64), inexact)


_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _read_folders(paths: Sequence[Path], shape: tuple[int, int, int]) -> _Part:
    """Read image files, each in a folder named after its class."""
    if len(paths) > _MOST_IMAGES:
        raise UserError(f"{paths[0].parent.parent}: holds more than {_MOST_IMAGES:,} images")
    images = np.empty((len(paths), *shape), np.uint8)
    labels = np.empty(len(paths), np.int64)
    for k, path in enumerate(paths):
        if path.parent.name not in _CIFAR10_CLASSES:
            raise UserError(f"{path.parent}: is no class of the data set; they are {', '.join(_CIFAR10_CLASSES)}")
        labels[k] = _CIFAR10_CLASSES.index(path.parent.name)
        images[k] = _read_image(_read_bytes(path), shape, str(path))
    return _Part(images, labels)


def _read_image(encoded: Any, shape: tuple[int, int, int], where: str) -> NDArray[np.uint8]:
    """Decode a PNG or WebP image; its size is checked in the header, before anything is unpacked."""
    pillow = _module("PIL.Image", "encoded images")
    channels, height, width = shape
    if not isinstance(encoded, bytes):
        raise UserError(f"{where}: is not image bytes")
    try:
        with pillow.open(io.BytesIO(encoded), formats=("PNG", "WEBP")) as image:
            if image.size != (width, height):
                raise UserError(
                    f"{where}: has {image.size[0]} x {image.size[1]} pixels; it should have {width} x {height}"
                )
            pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise UserError(f"{where}: is not a readable PNG or WebP image ({_line(error)})") from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def _module(name: str, purpose: str) -> Any:
    """Import a library that only some formats need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(name.split(".")[0], name.split(".")[0])
        raise UserError(f"reading {purpose} needs {package}, which is not installed: pip install {package}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


# --- the cache -----------------------------------------------------------------------------------------------

_CACHE_FORMAT = 2  # changes whenever the same files would be decoded to other arrays
_ARRAYS = ("train", "train_labels", "test", "test_labels")


def _sha256(arrays: Sequence[NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(cast(Any, np.ascontiguousarray(array)))
    return digest.hexdigest()


def _write_cache(images: Images, place: Path) -> None:
    """Write a folder whole or not at all: beside its place, flushed to disk, renamed into place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    # Left by a process that was killed; one that still writes does without a cache.
    for left in place.parent.glob(f".{place.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
    try:
        for name in _ARRAYS:
            with open(beside / f"{name}.npy", "wb") as file:
                np.save(file, getattr(images, name), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        files = {name: _file_sha256(beside / f"{name}.npy") for name in _ARRAYS}
        about = {"name": images.name, "source": images.source, "sha256": images.sha256, "files": files}
        (beside / "images.json").write_bytes(sealed(about))
        beside.chmod(0o755)
        try:
            beside.rename(place)
        except OSError:
            if not place.exists():  # another process was quicker, which is as good
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read_cache(name: str, place: Path) -> Images:
    """Map the arrays of a cached data set into memory; every byte of its files is checked first."""
    try:
        about = read_json(place / "images.json")
        sound = SEAL in about and about["name"] == name
        sound = sound and all(_file_sha256(place / f"{part}.npy") == about["files"][part] for part in _ARRAYS)
        arrays = [_map(place / f"{part}.npy") for part in _ARRAYS if sound]
        shapes = [array.shape for array in arrays if array.dtype == np.uint8]
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"{place}: the cached images are damaged ({_line(error)}); delete this folder") from error
    train, test = SETS[name].counts
    shape = SETS[name].shape
    if not sound or shapes != [(train, *shape), (train,), (test, *shape), (test,)]:
        raise UserError(f"{place}: the cached images are not those that were stored; delete this folder")
    return _images(name, arrays, about["source"], about["sha256"])


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the table -----------------------------------------------------------------------------------------------


def _idx(*subfolders: str) -> _Format:
    train, test = ((f"{part}-images-idx3-ubyte*", f"{part}-labels-idx1-ubyte*") for part in ("train", "t10k"))
    return _Format("IDX files", subfolders, train, test, _read_idx_pair)


def _parquet(*subfolders: str, label: str = "label") -> _Format:
    # The second and third folder are those in which Hugging Face publishes shards.
    places = tuple(f"{sub}{below}" for sub in subfolders for below in ("", "/data", "/plain_text"))
    read = functools.partial(_read_parquet, label=label)
    return _Format("parquet shards", places, ("train-*.parquet",), ("test-*.parquet",), read)


def _cifar(number: int, train: str, test: str, pickled: tuple[str, str]) -> tuple[_Format, _Format]:
    """Return the official files of CIFAR-10 or CIFAR-100: the binary version and the Python version."""
    binary, pickles = (
        ("cifar-10-batches-bin", "cifar-10-batches-py") if number == 10 else ("cifar-100-binary", "cifar-100-python")
    )
    read = functools.partial(_read_binary, labels=1 if number == 10 else 2)
    unpickle = functools.partial(_read_pickles, label="labels" if number == 10 else "coarse_labels")
    return (
        _Format(
            "the official binary version",
            (binary, f"cifar{number}", f"cifar{number}/{binary}"),
            (train,),
            (test,),
            read,
        ),
        _Format(
            "the official Python version",
            (pickles, f"cifar{number}/{pickles}"),
            (pickled[0],),
            (pickled[1],),
            unpickle,
        ),
    )


_BINARY = "get the official files from https://www.cs.toronto.edu/~kriz/cifar.html or parquet shards of it,"

SETS: dict[str, Description] = {
    "fashion-mnist": Description(
        (1, 28, 28),
        (60_000, 10_000),
        (_idx("fashion-mnist", "FashionMNIST/raw"), _parquet("fashion-mnist", "fashion_mnist")),
        "On Debian: apt-get install dataset-fashion-mnist; elsewhere install torchvision, which downloads it,",
        published="ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
    ),
    "mnist": Description(
        (1, 28, 28),
        (60_000, 10_000),
        (_idx("mnist", "MNIST/raw"), _parquet("mnist")),
        "Install torchvision, which downloads it,",
        published="06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    ),
    "cifar10": Description(
        (3, 32, 32),
        (50_000, 10_000),
        (
            _parquet("cifar10"),
            *_cifar(10, "data_batch_[1-5].bin", "test_batch.bin", ("data_batch_[1-5]", "test_batch")),
        ),
        f"For CIFAR-10 {_BINARY}",
    ),
    "svhn": Description(
        (3, 32, 32),
        (73_257, 26_032),
        (
            _Format("MATLAB files", ("svhn", "SVHN"), ("train_32x32.mat",), ("test_32x32.mat",), _read_mat),
            _parquet("svhn", "svhn/cropped_digits"),
        ),
        "Get train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers/",
    ),
    # Paper B does not say how it uses the 90,000 validation images: they are left out, as in CINIC-10's own baselines.
    "cinic10": Description(
        (3, 32, 32),
        (90_000, 90_000),
        (
            _Format("image folders", ("cinic10", "CINIC-10"), ("train/*/*.png",), ("test/*/*.png",), _read_folders),
            _parquet("cinic10"),
        ),
        "Get CINIC-10 from https://datashare.ed.ac.uk/handle/10283/3192",
        "trained on the folder train; the folder valid is not used",
    ),
    "cifar100-super10": Description(
        (3, 32, 32),
        (25_000, 5_000),
        (
            _parquet("cifar100", label="coarse_label"),
            *_cifar(100, "train.bin", "test.bin", ("train", "test")),
        ),
        f"For CIFAR-100 {_BINARY}",
        "stand-in for CINIC-10: ten of CIFAR-100's twenty superclasses, classified by superclass",
    ),
    "mnist-photo": Description(
        (3, 32, 32),
        (60_000, 10_000),
        (),
        "It is made of mnist and cifar100-super10:",
        "stand-in for SVHN: MNIST digits on photographs from CIFAR-100 by the recipe of MNIST-M, |digit - photograph|",
    ),
}

_SYSTEM = {"fashion-mnist": {"/usr/share/datasets/fashion-mnist": "Debian package dataset-fashion-mnist"}}
_TORCHVISION = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
