import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io

from lib import datasets, streams
from lib.errors import UserError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:  # only the tests of parquet shards need it
    pa = None

TRAIN, TEST = 30, 20


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory):
    """Data sets of 30 and 20 images, and a cache of the test's own."""
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("LOTTERY_DATA", raising=False)
    for name, description in datasets.SETS.items():
        changed = dataclasses.replace(description, counts=(TRAIN, TEST), published="")
        monkeypatch.setitem(datasets.SETS, name, changed)


@pytest.fixture
def real(monkeypatch):
    """The real sizes, and the folder of the real files; skips where there is none."""
    monkeypatch.undo()
    if "LOTTERY_DATA" not in os.environ:
        pytest.skip("LOTTERY_DATA names no folder of real images")
    return Path(os.environ["LOTTERY_DATA"])


def load(name, folder):
    return datasets.load(name, folder, download=False)


def random_images(count, shape=(3, 32, 32), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape)).astype(np.uint8), rng.integers(0, 10, count)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = image.transpose(1, 2, 0)
    PIL.Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(buffer, kind, lossless=True)
    return buffer.getvalue()


def write_parquet(path: Path, images, kind="WEBP", column="img", struct_column=False, **columns) -> None:
    if pa is None:
        pytest.skip("pyarrow is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [encoded(image, kind) for image in images]
    if struct_column:
        cells = [{"bytes": cell, "path": None} for cell in cells]
    pq.write_table(pa.table({column: cells, **{k: pa.array(np.asarray(v).tolist()) for k, v in columns.items()}}), path)


# --- IDX: MNIST and Fashion-MNIST ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count))
    return tmp_path


def test_a_folder_of_idx_files_gzipped_or_not(folder):
    images = load("fashion-mnist", folder)
    assert images.train.shape == (30, 1, 28, 28) and images.train.dtype == np.uint8
    assert images.test_labels.shape == (20,)
    assert images.sha256 == load("fashion-mnist", folder).sha256
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        assert file.read()[16:] == images.train.tobytes()
    digest = hashlib.sha256()
    for array in (images.train, images.train_labels, images.test, images.test_labels):
        digest.update(array.tobytes())
    assert images.sha256 == digest.hexdigest()


def test_torchvisions_folders_and_the_variable(folder, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("torchvision")
    (root / "FashionMNIST").mkdir()
    folder.rename(root / "FashionMNIST" / "raw")
    monkeypatch.setenv("LOTTERY_DATA", str(root))
    assert datasets.load("fashion-mnist", download=False).train.shape == (30, 1, 28, 28)


def test_the_folder_of_a_package_is_looked_in_after_the_users(folder, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("LOTTERY_DATA", raising=False)
    elsewhere = tmp_path_factory.mktemp("nothing")
    monkeypatch.setattr(datasets, "_SYSTEM", {"fashion-mnist": {str(elsewhere): "none", str(folder): "a package"}})
    packaged = datasets.load("fashion-mnist", download=False)
    assert "a package" in packaged.source and len(packaged.train) == TRAIN
    assert datasets.load("fashion-mnist", elsewhere, download=False).sha256 == packaged.sha256
    with pytest.raises(UserError, match="mnist"):  # it is that of one data set
        datasets.load("mnist", download=False)


def test_torchvision_reads_the_same_images(folder, tmp_path_factory):
    torchvision = pytest.importorskip("torchvision.datasets")
    root = tmp_path_factory.mktemp("root")
    (root / "FashionMNIST").mkdir()
    folder.rename(root / "FashionMNIST" / "raw")
    for path in (root / "FashionMNIST" / "raw").glob("*.gz"):  # torchvision reads the unpacked files
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    theirs = torchvision.FashionMNIST(root, train=True)
    ours = load("fashion-mnist", root)
    np.testing.assert_array_equal(theirs.data.numpy(), ours.train[:, 0])
    np.testing.assert_array_equal(theirs.targets.numpy(), ours.train_labels)


def test_one_data_set_is_not_taken_for_another(folder, monkeypatch):
    digest = load("fashion-mnist", folder).sha256
    known = dataclasses.replace(datasets.SETS["fashion-mnist"], published=digest)
    monkeypatch.setitem(datasets.SETS, "fashion-mnist", known)
    with pytest.raises(UserError, match="holds fashion-mnist, not mnist"):
        load("mnist", folder)


def test_images_other_than_the_published_ones_are_refused(folder, monkeypatch):
    digest = load("fashion-mnist", folder).sha256
    known = dataclasses.replace(datasets.SETS["fashion-mnist"], published=digest)
    monkeypatch.setitem(datasets.SETS, "fashion-mnist", known)
    path = folder / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] = (content[-1] + 1) % 10
    path.write_bytes(content)
    with pytest.raises(UserError, match="not those of fashion-mnist as published"):
        load("fashion-mnist", folder)


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path):
    for name in ("mnist", "cifar10", "svhn", "cinic10"):
        with pytest.raises(UserError) as error:
            load(name, tmp_path)
        assert str(tmp_path) in str(error.value) and "--data" in str(error.value)


def test_a_folder_that_is_none_is_said_and_an_empty_variable_is_none(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"\(--data or LOTTERY_DATA\) is .*nowhere: there is no such folder"):
        datasets.load("fashion-mnist")
    monkeypatch.setenv("LOTTERY_DATA", "")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets, "_SYSTEM", {})
    with pytest.raises(UserError, match="no folder was named"):
        datasets.load("fashion-mnist", download=False)


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
    elif how == "many axes":
        labels.write_bytes(b"\0\0\x08\xc8" + bytes(1000))
    elif how == "missing file":
        labels.unlink()
    elif how == "too few images":
        write_idx(images, np.zeros((29, 28, 28)))
        write_idx(labels, np.zeros(29))
    return how


@pytest.mark.parametrize(
    "how, words",
    [
        ("truncated gzip", "cannot be read"),
        ("truncated file", "its header promises 30"),
        ("label out of range", "a training label is 10"),
        ("wrong count", r"\(29,\)"),
        ("wrong size", r"\(30, 1, 27, 28\).*\(n, 1, 28, 28\)"),
        ("other format", "is not an IDX file"),
        ("short header", "ends within its header"),
        ("many axes", "has 200 axes"),
        ("missing file", "is missing"),
        ("too few images", "there are 29 training images; fashion-mnist has 30"),
    ],
)
def test_damaged_files_are_named(folder, how, words):
    damaged(folder, how)
    with pytest.raises(UserError, match=words.rstrip()) as error:
        load("fashion-mnist", folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_anywhere_in_a_gzipped_file_is_a_sentence(tmp_path):
    path = tmp_path / "labels.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 3, 200))
    content, refused = path.read_bytes(), 0
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            datasets._read_idx(path)
        except UserError:  # nothing else is raised
            refused += 1
    assert refused > 7 * len(content)  # the rest is of the header, such as the time


def test_a_file_that_unpacks_to_too_much_is_refused(folder, monkeypatch):
    monkeypatch.setattr(datasets, "_MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        load("fashion-mnist", folder)


def test_an_unknown_name():
    with pytest.raises(UserError, match=r"'svnh'.*fashion-mnist"):
        datasets.load("svnh")


# --- parquet shards ------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path):
    """CIFAR-10 as parquet shards: two of training images with WebP bytes, two of them not pixel-exact."""
    images, labels = random_images(TRAIN)
    exact = np.arange(15) > 0
    place = tmp_path / "cifar10"
    write_parquet(place / "train-00000-of-00002.parquet", images[:15], label=labels[:15], pixel_exact=exact)
    write_parquet(place / "train-00001-of-00002.parquet", images[15:], label=labels[15:], pixel_exact=exact)
    write_parquet(place / "test-00000-of-00001.parquet", images[:20], label=labels[:20], pixel_exact=[True] * 20)
    return tmp_path


def test_parquet_shards_and_what_is_said_of_inexact_images(shards):
    images, labels = random_images(TRAIN)
    found = load("cifar10", shards)
    np.testing.assert_array_equal(found.train, images)
    np.testing.assert_array_equal(found.train_labels, labels)
    np.testing.assert_array_equal(found.test, images[:20])
    assert "2 of 50 images are not pixel-exact (2 training, 0 test)" in found.source


def test_shards_as_hugging_face_publishes_them(tmp_path):
    images, labels = random_images(TRAIN, (1, 28, 28))
    for part, count in (("train", TRAIN), ("test", TEST)):
        path = tmp_path / "mnist" / "data" / f"{part}-00000-of-00001.parquet"
        write_parquet(path, images[:count], "PNG", "image", True, label=labels[:count])
    found = load("mnist", tmp_path)
    np.testing.assert_array_equal(found.train, images)
    np.testing.assert_array_equal(found.test_labels, labels[:20])


@pytest.mark.parametrize(
    "how, words",
    [
        ("missing shard", "there are 15 training images; cifar10 has 30"),
        ("label out of range", "a training label is 256; labels should be 0 to 9"),
        ("negative label", "a training label is -1"),
        ("no label", "a label is None"),
        ("other columns", "should have img or image, and label"),
        ("larger image", "image 0: has 64 x 32 pixels; it should have 32 x 32"),
        ("no image", "image 0: is not image bytes"),
        ("damaged image", "image 0: is not a readable PNG or WebP image"),
        ("other image format", "image 0: is not a readable PNG or WebP image"),
        ("truncated shard", "cannot be read as parquet"),
    ],
)
def test_damaged_shards_are_named(shards, how, words):
    path = shards / "cifar10" / "train-00001-of-00002.parquet"
    first = shards / "cifar10" / "train-00000-of-00002.parquet"
    images, labels = random_images(15)
    if how == "missing shard":
        path.unlink()
    elif how == "label out of range":
        write_parquet(path, images, label=np.where(np.arange(15) == 3, 256, labels))
    elif how == "negative label":
        write_parquet(path, images, label=labels * 0 - 1)
    elif how == "no label":
        pq.write_table(
            pa.table({"img": [encoded(i) for i in images], "label": pa.array([None] * 15, pa.int64())}), path
        )
    elif how == "other columns":
        write_parquet(path, images, fine_label=labels)
    elif how == "larger image":
        write_parquet(first, random_images(15, (3, 32, 64))[0], label=labels)
    elif how == "truncated shard":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        jpeg = io.BytesIO()
        PIL.Image.fromarray(images[0].transpose(1, 2, 0)).save(jpeg, "JPEG")
        cell = {"no image": None, "damaged image": encoded(images[0])[:-300], "other image format": jpeg.getvalue()}[
            how
        ]
        pq.write_table(pa.table({"img": pa.array([cell] * 15, pa.binary()), "label": labels.tolist()}), first)
    with pytest.raises(UserError, match=words.rstrip()) as error:
        load("cifar10", shards)
    assert "\n" not in str(error.value)


def test_a_decompression_bomb_is_refused_by_its_header(shards):
    """A PNG of a few hundred bytes that promises 60,000 x 60,000 pixels."""
    start = b"\x89PNG\r\n\x1a\n"
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        start
        + struct.pack(">I", 13)
        + ihdr
        + struct.pack(">I", zlib.crc32(ihdr))
        + encoded(random_images(1)[0][0])[33:]
    )
    path = shards / "cifar10" / "train-00000-of-00002.parquet"
    pq.write_table(pa.table({"img": [bomb] * 15, "label": [0] * 15}), path)
    with pytest.raises(UserError, match=r"image 0: .*(60000|exceeds limit)"):
        load("cifar10", shards)


# --- the official files of CIFAR -----------------------------------------------------------------------------


def test_the_binary_version_of_cifar10(tmp_path):
    images, labels = random_images(50)
    records = np.concatenate([labels.astype(np.uint8)[:, None], images.reshape(50, -1)], axis=1)
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    for k in range(5):
        (place / f"data_batch_{k + 1}.bin").write_bytes(records[6 * k : 6 * k + 6].tobytes())
    (place / "test_batch.bin").write_bytes(records[30:].tobytes())
    for named in (tmp_path, place):
        found = load("cifar10", named)
        np.testing.assert_array_equal(found.train, images[:30])
        np.testing.assert_array_equal(found.test_labels, labels[30:])
    (place / "data_batch_3.bin").write_bytes(records[:6].tobytes()[:-1])
    with pytest.raises(UserError, match=r"data_batch_3.bin: .*whole number of records of 3,073"):
        load("cifar10", tmp_path)


PYTHON_FILES = {
    "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"], "labels"),
    "cifar100-super10": ("cifar-100-python", ["train", "test"], "coarse_labels"),
}


def python_2_pickle(images, labels, key):
    """What Python 2 and its NumPy wrote, opcode by opcode, as the official files have it: strings of bytes."""
    pixels = images.reshape(len(images), -1).tobytes()
    shape = struct.pack("<cici", b"J", len(images), b"J", images[0].size)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape + b"\x86" + dtype
    )
    array += b"\x89T" + struct.pack("<i", len(pixels)) + pixels + b"tb"
    name = b"U" + bytes([len(key)]) + key.encode()
    return b"\x80\x02}(U\x04data" + array + name + b"](" + b"".join(b"K" + bytes([n]) for n in labels) + b"eu."


@pytest.mark.parametrize(
    "write", [python_2_pickle, lambda i, y, key: pickled({b"data": i.reshape(len(i), -1)}, y, key)]
)
@pytest.mark.parametrize("name", PYTHON_FILES)
def test_the_python_version_of_cifar_as_torchvision_keeps_it(tmp_path, name, write):
    folder, files, key = PYTHON_FILES[name]
    images, labels = random_images(50)
    if name == "cifar100-super10":
        labels = np.array(datasets.SUPERCLASSES)[labels]
    (tmp_path / folder).mkdir()
    sizes = [TRAIN // (len(files) - 1)] * (len(files) - 1) + [TEST]
    ends = np.cumsum([0, *sizes])
    for file, start, stop in zip(files, ends[:-1], ends[1:], strict=True):
        content = write(images[start:stop], labels[start:stop].tolist(), key)
        (tmp_path / folder / file).write_bytes(content)
        theirs = pickle.loads(content, encoding="bytes")  # what torchvision does
        np.testing.assert_array_equal(theirs[b"data"], images[start:stop].reshape(stop - start, -1))
        assert theirs[key.encode()] == labels[start:stop].tolist()
    for named in (tmp_path, tmp_path / folder):
        found = load(name, named)
        np.testing.assert_array_equal(found.train, images[:TRAIN])
        np.testing.assert_array_equal(found.test, images[TRAIN:])
        right = labels if name == "cifar10" else np.array([datasets.SUPERCLASSES.index(y) for y in labels])
        np.testing.assert_array_equal(found.test_labels, right[TRAIN:])
        assert "Python version" in found.source


def pickled(content, labels, key):
    return pickle.dumps({**content, key.encode(): labels}, protocol=4)


@pytest.mark.parametrize("name", PYTHON_FILES)
def test_a_pickle_runs_nothing(tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    folder, files, key = PYTHON_FILES[name]
    good = np.zeros((10, 3072), np.uint8)
    wrong = {
        "has no 'data'": pickle.dumps(Bomb()),
        "Python version": pickled({b"data": Bomb()}, [0] * 10, key),
        "30,720 bytes of type u1, and 9 labels": pickled({b"data": good}, [0] * 9, key),
        "type f4": pickled({b"data": good.astype("f4")}, [0] * 10, key),
        "30,710 bytes": pickled({b"data": good[:, 1:].copy()}, [0] * 10, key),
        "C's order": pickled({b"data": np.asfortranarray(good)}, [0] * 10, key),
        "0 labels": pickled({b"data": good}, ["0"] * 10, key),
        f"has no '{key}'": pickle.dumps({b"data": good}, protocol=4),
        "Python version ": pickled({}, [0], key),
        "Python version  ": b"\x80\x02}(U",
    }
    (tmp_path / folder).mkdir()
    for words, content in wrong.items():
        for file in files:
            (tmp_path / folder / file).write_bytes(content)
        for named in (tmp_path, tmp_path / folder):
            with pytest.raises(UserError, match=words.rstrip()) as error:
                load(name, named)
            assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()


def superclasses(seed=1):
    """All of CIFAR-100's twenty coarse labels, so often that the ten chosen make up 30 and 20 images."""
    rng = np.random.default_rng(seed)
    images, _ = random_images(100)
    coarse = np.concatenate([rng.permutation(np.repeat(np.arange(20), n)) for n in (3, 2)])
    new = {c: k for k, c in enumerate([0, 2, 3, 6, 7, 8, 9, 14, 17, 18])}
    keep = np.array([c in new for c in coarse])
    expected = np.array([new.get(c, -1) for c in coarse])
    return images, coarse, keep, expected


def test_ten_superclasses_of_the_binary_version_of_cifar100(tmp_path):
    images, coarse, keep, expected = superclasses()
    records = np.concatenate(
        [coarse[:, None].astype(np.uint8), np.full((100, 1), 99, np.uint8), images.reshape(100, -1)], axis=1
    )
    (tmp_path / "train.bin").write_bytes(records[:60].tobytes())
    (tmp_path / "test.bin").write_bytes(records[60:].tobytes())
    found = load("cifar100-super10", tmp_path)
    np.testing.assert_array_equal(found.train, images[:60][keep[:60]])
    np.testing.assert_array_equal(found.train_labels, expected[:60][keep[:60]])
    np.testing.assert_array_equal(found.test_labels, expected[60:][keep[60:]])
    assert "stand-in for CINIC-10" in found.source and "official one" not in found.source


def write_superclass_shards(folder):
    images, coarse, keep, expected = superclasses()
    for part, where in (("train", np.arange(100) < 60), ("test", np.arange(100) >= 60)):
        here = where & keep
        path = folder / "cifar100" / f"{part}-00000-of-00001.parquet"
        write_parquet(path, images[here], fine_label=coarse[here], coarse_label=coarse[here])
    return images, keep, expected


def test_shards_of_only_the_ten_superclasses_have_a_split_of_their_own(tmp_path):
    images, keep, expected = write_superclass_shards(tmp_path)
    found = load("cifar100-super10", tmp_path)
    np.testing.assert_array_equal(found.train, images[:60][keep[:60]])
    np.testing.assert_array_equal(found.train_labels, expected[:60][keep[:60]])
    assert "not CIFAR-100's official one" in found.source and "stand-in for CINIC-10" in found.source


def test_a_coarse_label_beyond_the_twenty_is_refused(tmp_path):
    images, _ = random_images(TRAIN)
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-00000-of-00001.parquet", images, coarse_label=[20] * TRAIN)
    with pytest.raises(UserError, match="a training label is 20"):
        load("cifar100-super10", tmp_path)


# --- SVHN, CINIC-10 and the digits on photographs ------------------------------------------------------------


@pytest.fixture
def svhn(tmp_path):
    images, labels = random_images(50)
    for part, where in (("train", slice(0, 30)), ("test", slice(30, 50))):
        numbers = np.where(labels == 0, 10, labels).astype(np.uint8)[where, None]
        path = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": images[where].transpose(2, 3, 1, 0), "y": numbers}, do_compression=True)
    return tmp_path


def test_svhns_matlab_files(svhn):
    images, labels = random_images(50)
    found = load("svhn", svhn)
    np.testing.assert_array_equal(found.train, images[:30])
    np.testing.assert_array_equal(found.train_labels, labels[:30])
    np.testing.assert_array_equal(found.test, images[30:])
    assert (found.train_labels == 0).any()


@pytest.mark.parametrize(
    "content, words",
    [
        ({"X": np.zeros((32, 32, 3, 30), np.uint8)}, "it should hold X"),
        ({"X": np.zeros((32, 32, 1, 30), np.uint8), "y": np.ones((30, 1))}, "it should hold X"),
        ({"X": np.zeros((32, 32, 3, 30)), "y": np.ones((30, 1), np.uint8)}, "X holds float64"),
        ({"X": np.zeros((32, 32, 3, 30), np.uint8), "y": np.zeros((30, 1), np.uint8)}, "a label is 0"),
        ({"X": np.zeros((32, 32, 3, 30), np.uint8), "y": np.full((30, 1), 11, np.uint8)}, "a training label is 11"),
        (b"MATLAB 7.3 MAT-file, but nothing else", "cannot be read as a MATLAB file"),
    ],
)
def test_damaged_matlab_files_are_named(svhn, content, words):
    if isinstance(content, bytes):
        (svhn / "train_32x32.mat").write_bytes(content)
    else:
        scipy.io.savemat(svhn / "train_32x32.mat", content)
    with pytest.raises(UserError, match=words.rstrip()) as error:
        load("svhn", svhn)
    assert "\n" not in str(error.value)


def small_or_not(order, kind, content):
    """An element of a MATLAB file, in the short form if it has at most four bytes."""
    if len(content) <= 4:
        return struct.pack(f"{order}I", len(content) << 16 | kind) + content.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def matlab(order, name, array, number, stored, packed):
    """A file with one array: the number of its class, and that of the type in which its numbers are stored."""
    element = b"".join(
        (
            small_or_not(order, 6, struct.pack(f"{order}II", number, 0)),
            small_or_not(order, 5, struct.pack(f"{order}{array.ndim}i", *array.shape)),
            small_or_not(order, 1, name.encode()),
            small_or_not(order, stored, array.astype(array.dtype.newbyteorder(order)).tobytes("F")),
        )
    )
    element = struct.pack(f"{order}II", 14, len(element)) + element
    if packed:
        element = zlib.compress(element)
        element = struct.pack(f"{order}II", 15, len(element)) + element
    version = struct.pack(f"{order}HH", 0x100, 0x4D49)
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + version + element


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("order", "number", "stored", "dtype"), [("<", 9, 2, "u1"), (">", 6, 2, "u1"), (">", 6, 9, "f8")]
)
@pytest.mark.parametrize("shape", [(2, 1), (30, 1), (4, 3, 2, 5)])
def test_arrays_of_matlab_files_are_those_that_scipy_reads(packed, order, number, stored, dtype, shape):
    """Of either byte order, and numbers stored as a smaller type than MATLAB has them in, as MATLAB itself does."""
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    content = matlab(order, "y", array, number, stored, packed)
    expected = scipy.io.loadmat(io.BytesIO(content))["y"]
    found, kind = datasets._matlab_arrays(content)["y"]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, array)
    assert kind == {9: np.uint8, 6: np.float64}[number]


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_as_scipy_writes_them(tmp_path, packed):
    """Arrays beside the two that are asked for are left aside, whatever they are."""
    rng = np.random.default_rng(1)
    given = {
        "a": {"field": np.ones(3), "text": "words"},
        "X": rng.integers(0, 256, (32, 32, 3, 7), np.uint8),
        "cells": np.array([1, "two"], dtype=object),
        "y": rng.integers(1, 11, (7, 1)).astype(rng.choice(["u1", "i4", "f8"])),
    }
    scipy.io.savemat(tmp_path / "some.mat", given, do_compression=packed)
    found = datasets._matlab_arrays((tmp_path / "some.mat").read_bytes())
    assert set(found) == {"X", "y"}
    for name, (array, kind) in found.items():
        np.testing.assert_array_equal(array, given[name])
        assert kind == given[name].dtype
    part = datasets._read_mat([tmp_path / "some.mat"], (3, 32, 32))
    np.testing.assert_array_equal(part.images, given["X"].transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(part.labels, given["y"][:, 0] % 10)


@pytest.mark.parametrize("packed", [False, True])
def test_a_matlab_file_with_a_changed_byte_is_read_or_a_sentence(tmp_path, packed):
    path, rng = tmp_path / "some.mat", np.random.default_rng(2)
    scipy.io.savemat(
        path,
        {"y": np.ones((5, 1), np.uint8), "X": rng.integers(0, 256, (4, 4, 1, 5), np.uint8)},
        do_compression=packed,
    )
    whole = path.read_bytes()
    refused = 0
    for place in range(116, len(whole)):
        for change in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            try:
                datasets._read_mat([path], (1, 4, 4))
            except UserError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                refused += 1
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"some\.mat"):
            datasets._read_mat([path], (1, 4, 4))
    assert refused > 100


def test_a_matlab_file_that_unpacks_to_too_much_is_refused(svhn, monkeypatch):
    """The file itself, or an array in it: 30 black images are packed in a few hundred bytes."""
    monkeypatch.setattr(datasets, "_MOST_MATLAB", 80_000)
    path = svhn / "train_32x32.mat"
    black = {"X": np.zeros((32, 32, 3, 30), np.uint8), "y": np.ones((30, 1), np.uint8)}
    for packed, words in (
        (False, "mat: unpacks to more than 80,000"),
        (True, "too early or unpacks to more than 80,000"),
    ):
        scipy.io.savemat(path, black, do_compression=packed)
        with pytest.raises(UserError, match=words):
            load("svhn", svhn)


def test_matlab_files_need_no_scipy(svhn, monkeypatch):
    for name in ("scipy", "scipy.io"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(load("svhn", svhn).train) == 30


CINIC_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def cinic(tmp_path):
    """The published layout, with a grey image among the coloured, as there are in CINIC-10."""
    images, _ = random_images(60)
    images[0] = images[0, :1]
    for k, image in enumerate(images):
        part = "train" if k < 30 else "test" if k < 50 else "valid"
        place = tmp_path / "CINIC-10" / part / CINIC_CLASSES[k % 10]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"cifar10-train-{k:03}.png").write_bytes(encoded(image[:1] if k == 0 else image))
    return tmp_path


def test_cinic10s_image_folders(cinic):
    images, _ = random_images(60)
    images[0] = images[0, :1]
    found = load("cinic10", cinic)
    order = sorted(range(30), key=lambda k: (k % 10, k))
    np.testing.assert_array_equal(found.train_labels, [k % 10 for k in order])
    np.testing.assert_array_equal(found.train, images[order])
    assert len(found.test) == 20 and "valid is not used" in found.source


def test_a_folder_of_another_class_is_named(cinic):
    (cinic / "CINIC-10" / "train" / "cat").rename(cinic / "CINIC-10" / "train" / "wombat")
    with pytest.raises(UserError, match="wombat: is no class"):
        load("cinic10", cinic)


def test_digits_on_photographs(folder, monkeypatch):
    write_superclass_shards(folder)
    digits, photos = load("mnist", folder), load("cifar100-super10", folder)
    found = load("mnist-photo", folder)
    np.testing.assert_array_equal(found.train_labels, digits.train_labels)
    chosen = streams.raw("mnist-photo/test", TEST)
    for k in range(TEST):
        photo = photos.test[int(chosen[k]) % TEST].astype(int)
        digit = np.zeros((32, 32), int)
        digit[2:30, 2:30] = digits.test[k, 0]
        np.testing.assert_array_equal(found.test[k], [np.abs(digit - photo[c]) for c in range(3)])
    assert "stand-in for SVHN" in found.source
    assert found.sha256 == load("mnist-photo", folder).sha256


# --- the cache -----------------------------------------------------------------------------------------------


def cached(name):
    (place,) = datasets.cache_folder().glob(f"{name}-*")
    return place


def test_what_is_decoded_is_mapped_from_the_cache_the_next_time(shards, monkeypatch):
    first = load("cifar10", shards)
    monkeypatch.setattr(datasets, "_decode", lambda *_: pytest.fail("decoded again"))
    second = load("cifar10", shards)
    assert isinstance(second.train, np.memmap) and not second.train.flags.writeable
    np.testing.assert_array_equal(first.train, second.train)
    assert (first.source, first.sha256) == (second.source, second.sha256)
    assert sorted(p.name for p in cached("cifar10").iterdir()) == [
        "images.json", "test.npy", "test_labels.npy", "train.npy", "train_labels.npy"
    ]  # fmt: skip


def test_mapped_images_go_to_another_process_as_paths(shards):
    images = load("cifar10", shards)
    arrays = ("train", "train_labels", "test", "test_labels")
    here = [np.array(getattr(images, part)) for part in arrays]
    packed = pickle.dumps(images)
    assert len(packed) < 2000 < images.train.nbytes
    there = pickle.loads(packed)
    assert dataclasses.asdict(there).keys() == dataclasses.asdict(images).keys()
    assert (there.name, there.source, there.sha256) == (images.name, images.source, images.sha256)
    for part, expected in zip(arrays, here, strict=True):
        assert isinstance(getattr(there, part), np.memmap)
        np.testing.assert_array_equal(getattr(there, part), expected)
    # A part of a file is not the file, and what is in memory, or whose file is gone, goes as it is.
    for changed in (
        dataclasses.replace(images, train=images.train[3:]),
        dataclasses.replace(images, train=np.array(images.train)),
    ):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(changed)).train, changed.train)
    shutil.rmtree(cached("cifar10"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images)).train, here[0])


def test_other_files_are_not_answered_from_the_cache(shards):
    first = load("cifar10", shards)
    images, labels = random_images(TEST, seed=5)
    write_parquet(shards / "cifar10" / "test-00000-of-00001.parquet", images, label=labels)
    second = load("cifar10", shards)
    assert first.sha256 != second.sha256
    np.testing.assert_array_equal(second.test, images)


@pytest.mark.parametrize("how", ["truncated", "one bit", "missing", "no json", "another's", "pickled"])
def test_a_damaged_cache_is_named_and_never_used(shards, how):
    load("cifar10", shards)
    place = cached("cifar10")
    path = place / "train.npy"
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[:-100])
    elif how == "one bit":
        content[-1] ^= 1
        path.write_bytes(content)
    elif how == "missing":
        path.unlink()
    elif how == "no json":
        (place / "images.json").write_text("{")
    elif how == "another's":
        text = (place / "images.json").read_text()
        (place / "images.json").write_text(text.replace('"cifar10"', '"svhn"'))
    elif how == "pickled":
        np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"the cached images are .*delete this folder") as error:
        load("cifar10", shards)
    assert str(place) in str(error.value) and "\n" not in str(error.value)


def test_a_process_killed_while_it_writes_leaves_no_half_cache(shards, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            load("cifar10", shards)
    assert list(datasets.cache_folder().iterdir()) == []
    load("cifar10", shards)
    # Killed at once it cannot clear up: who writes next does.
    place = cached("cifar10")
    shutil.rmtree(place)
    half = place.with_name(f".{place.name}-abcdefgh")
    half.mkdir()
    (half / "train.npy").write_bytes(b"half")
    load("cifar10", shards)
    assert not half.exists() and place.exists()


def test_a_cache_that_cannot_be_written_costs_only_time(shards, monkeypatch, tmp_path_factory):
    place = tmp_path_factory.mktemp("blocked") / "file"
    place.write_text("no folder")
    monkeypatch.setenv("LOTTERY_CACHE", str(place))
    assert load("cifar10", shards).train.shape == (TRAIN, 3, 32, 32)


def test_channel_statistics_against_numpy():
    images, _ = random_images(40)
    images[:, 1] //= 3
    means, deviations = datasets.channel_statistics(images)
    np.testing.assert_allclose(means, images.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviations, images.std(axis=(0, 2, 3)), rtol=1e-12)


# --- the real files, where they are --------------------------------------------------------------------------


def test_the_debian_package(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("LOTTERY_CACHE", "/dev/null")
    place = Path("/usr/share/datasets/fashion-mnist")
    if not place.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    images = load("fashion-mnist", place)
    assert images.train.shape == (60_000, 1, 28, 28) and images.test.shape == (10_000, 1, 28, 28)
    assert np.bincount(images.train_labels).tolist() == [6000] * 10
    assert np.bincount(images.test_labels).tolist() == [1000] * 10
    assert images.sha256 == datasets.SETS["fashion-mnist"].published
    # Published: the mean of all training pixels is 0.2860 and their standard deviation 0.3530.
    means, deviations = datasets.channel_statistics(images.train)
    assert means / 255 == pytest.approx(0.2860, abs=5e-5)
    assert deviations / 255 == pytest.approx(0.3530, abs=5e-5)


def test_the_real_mnist(real):
    images = load("mnist", real)
    # Published: the MD5 of the unpacked file of training images.
    header = struct.pack(">IIII", 0x803, 60_000, 28, 28)
    assert hashlib.md5(header + images.train.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert images.sha256 == datasets.SETS["mnist"].published


def test_the_real_cifar10(real):
    images = load("cifar10", real)
    assert np.bincount(images.train_labels).tolist() == [5000] * 10
    assert np.bincount(images.test_labels).tolist() == [1000] * 10
    # Published means and deviations of the training images: 0.4914 0.4822 0.4465 and 0.2470 0.2435 0.2616.
    means, deviations = datasets.channel_statistics(images.train)
    np.testing.assert_allclose(means / 255, [0.4914, 0.4822, 0.4465], atol=2e-4)
    np.testing.assert_allclose(deviations / 255, [0.2470, 0.2435, 0.2616], atol=2e-4)


def test_the_real_stand_ins(real):
    images = load("cifar100-super10", real)
    assert np.bincount(images.train_labels).tolist() == [2500] * 10
    assert np.bincount(images.test_labels).tolist() == [500] * 10
    photo = load("mnist-photo", real)
    np.testing.assert_array_equal(photo.test_labels, load("mnist", real).test_labels)
