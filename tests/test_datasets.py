import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from lib import datasets
from lib.errors import UserError


def write_idx(path: Path, array: np.ndarray) -> None:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 20)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count))
    return tmp_path


def test_a_folder_of_idx_files_gzipped_or_not(folder):
    images = datasets.load("fashion-mnist", folder, download=False)
    assert images.train.shape == (30, 1, 28, 28) and images.train.dtype == np.uint8
    assert images.test_labels.shape == (20,)
    assert images.sha256 == datasets.load("fashion-mnist", folder, download=False).sha256
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        assert file.read()[16:] == images.train.tobytes()


def test_torchvisions_folders_and_the_variable(folder, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("torchvision")
    (root / "FashionMNIST").mkdir()
    folder.rename(root / "FashionMNIST" / "raw")
    monkeypatch.setenv("LOTTERY_DATA", str(root))
    assert datasets.load("fashion-mnist", download=False).train.shape == (30, 1, 28, 28)


def test_torchvision_reads_the_same_images(folder, tmp_path_factory):
    torchvision = pytest.importorskip("torchvision.datasets")
    root = tmp_path_factory.mktemp("root")
    (root / "FashionMNIST").mkdir()
    folder.rename(root / "FashionMNIST" / "raw")
    for path in (root / "FashionMNIST" / "raw").glob("*.gz"):  # torchvision reads the unpacked files
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    theirs = torchvision.FashionMNIST(root, train=True)
    ours = datasets.load("fashion-mnist", root, download=False)
    np.testing.assert_array_equal(theirs.data.numpy(), ours.train[:, 0])
    np.testing.assert_array_equal(theirs.targets.numpy(), ours.train_labels)


def test_the_debian_package():
    place = Path("/usr/share/datasets/fashion-mnist")
    if not place.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    images = datasets.load("fashion-mnist", place, download=False)
    assert images.train.shape == (60_000, 1, 28, 28) and images.test.shape == (10_000, 1, 28, 28)
    assert np.bincount(images.train_labels).tolist() == [6000] * 10
    assert np.bincount(images.test_labels).tolist() == [1000] * 10
    # Published: the mean of all training pixels is 0.2860 and their standard deviation 0.3530.
    assert images.train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert images.train.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_SETS", {"mnist": datasets._SETS["mnist"]})
    with pytest.raises(UserError) as error:
        datasets.load("mnist", tmp_path, download=False)
    assert str(tmp_path) in str(error.value) and "--data" in str(error.value)


def damaged(folder: Path, how: str) -> str:
    images, labels = folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte"
    if how == "truncated gzip":
        images.write_bytes(images.read_bytes()[:-200])
    elif how == "truncated file":
        labels.write_bytes(labels.read_bytes()[:-1])
    elif how == "label out of range":
        write_idx(labels, np.full(30, 10))
    elif how == "wrong count":
        write_idx(labels, np.zeros(29))
    elif how == "wrong size":
        write_idx(images, np.zeros((30, 27, 28)))
    elif how == "other format":
        labels.write_bytes(b"PK\x03\x04 not an IDX file")
    elif how == "short header":
        labels.write_bytes(b"\0\0\x08\x01\0")
    elif how == "missing file":
        labels.unlink()
    return how


@pytest.mark.parametrize(
    "how, words",
    [
        ("truncated gzip", "cannot be read"),
        ("truncated file", "its header promises 30"),
        ("label out of range", "a training label is 10"),
        ("wrong count", r"\(29,\)"),
        ("wrong size", r"\(30, 27, 28\)"),
        ("other format", "is not an IDX file"),
        ("short header", "ends within its header"),
        ("missing file", "is missing"),
    ],
)
def test_damaged_files_are_named(folder, how, words):
    damaged(folder, how)
    with pytest.raises(UserError, match=words) as error:
        datasets.load("fashion-mnist", folder, download=False)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_unpacks_to_too_much_is_refused(folder, monkeypatch):
    monkeypatch.setattr(datasets, "_MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        datasets.load("fashion-mnist", folder, download=False)


def test_an_unknown_name():
    with pytest.raises(UserError, match=r"'svnh'.*fashion-mnist"):
        datasets.load("svnh")
