"""The images of every data set as uint8 arrays with labels and their provenance.

Where they are looked for, in this order: the folder the user names (``--data`` or the variable
``LOTTERY_DATA``), torchvision's folders below it, the Debian package; then torchvision downloads them
(it checks their MD5) if it is installed and allowed to.
"""

import dataclasses
import gzip
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib.errors import UserError

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Images:
    """A data set in memory.

    Attributes
    ----------
    name : str
    train, test : uint8 array, shape (images, channels, height, width)
    train_labels, test_labels : uint8 array, shape (images,)
    source : str
        In words, where the files came from.
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


def load(name: str, folder: Path | None = None, download: bool = True) -> Images:
    """Load a data set.

    Parameters
    ----------
    name : str
        'fashion-mnist' or 'mnist'.
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
    if name not in _SETS:
        raise UserError(f"data set is {name!r}: known are {', '.join(_SETS)}")
    description = _SETS[name]
    if folder is None and "LOTTERY_DATA" in os.environ:
        folder = Path(os.environ["LOTTERY_DATA"])
    places = []
    if folder is not None:
        places += [(folder / sub, "files in the folder the user named") for sub in ("", *description.subfolders)]
    places += [(Path(p), "Debian package dataset-fashion-mnist") for p in description.system]
    for place, source in places:
        if place.is_dir() and _find(place, _IDX_FILES[0]) is not None:
            return _checked(name, place, source)
    if download and description.torchvision is not None:
        cache = folder or Path.home() / ".cache" / "winning-tickets-book"
        if _download(description.torchvision, cache):
            return _checked(name, cache / description.subfolders[-1], "downloaded by torchvision")
    looked = "; ".join(str(place) for place, _ in places) or "no folder was named"
    raise UserError(
        f"data set {name!r} was not found (looked in: {looked}). {description.how} "
        "or name the folder that holds the files with --data or LOTTERY_DATA"
    )


def _checked(name: str, place: Path, source: str) -> Images:
    train, train_labels, test, test_labels = (_read_idx(_require(place, stem)) for stem in _IDX_FILES)
    for part, images, labels in (("training", train, train_labels), ("test", test, test_labels)):
        if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
            raise UserError(
                f"{place}: the {part} images have shape {images.shape} and the labels {labels.shape}; "
                "they should be (n, 28, 28) and (n,)"
            )
        if labels.max(initial=0) >= CLASSES:
            raise UserError(f"{place}: a {part} label is {labels.max()}; labels should be 0 to {CLASSES - 1}")
    arrays = (train[:, None], train_labels, test[:, None], test_labels)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return Images(name, *arrays, source, digest.hexdigest())


def _find(place: Path, stem: str) -> Path | None:
    for path in (place / stem, place / (stem + ".gz")):
        if path.is_file():
            return path
    return None


def _require(place: Path, stem: str) -> Path:
    path = _find(place, stem)
    if path is None:
        raise UserError(f"{place}: the file {stem} or {stem}.gz is missing")
    return path


_MOST_BYTES = 200_000_000  # what a file may unpack to; the largest real one has 47,040,016 bytes


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not (LeCun's format for MNIST)."""
    try:
        opened: Callable = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"{path}: unpacks to more than {_MOST_BYTES:,} bytes")
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise UserError(f"{path}: is not an IDX file of unsigned bytes")
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise UserError(f"{path}: ends within its header")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = int(np.prod(shape, dtype=object))
    if len(content) - start != expected:
        raise UserError(f"{path}: holds {len(content) - start:,} values; its header promises {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _download(dataset: str, cache: Path) -> bool:
    """Let torchvision download and check a data set; say whether it is there now."""
    try:
        import torchvision.datasets
    except ImportError:
        return False
    try:
        getattr(torchvision.datasets, dataset)(cache, train=True, download=True)
    except (OSError, RuntimeError):
        return False
    return True


@dataclasses.dataclass(frozen=True)
class _Set:
    subfolders: tuple[str, ...]
    system: tuple[str, ...]
    torchvision: str | None
    how: str


_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_SETS = {
    "fashion-mnist": _Set(
        ("fashion-mnist", "FashionMNIST/raw"),
        ("/usr/share/datasets/fashion-mnist",),
        "FashionMNIST",
        "On Debian: apt-get install dataset-fashion-mnist; elsewhere install torchvision, which downloads it,",
    ),
    "mnist": _Set(
        ("mnist", "MNIST/raw"), (), "MNIST", "Install torchvision, which downloads it,"
    ),
}
