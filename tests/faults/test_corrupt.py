"""Nothing corrupt is believed, and no file from a stranger runs code, climbs out of its folder or fills the memory."""

import dataclasses
import hashlib
import io
import json
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made import PROVENANCE, TINY, made_store, tiny_experiment, write_again
from markdown_it import MarkdownIt

from lib import build, claims, comparisons, datasets, evidence, files, pages, runs, scoring
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.tickets import Store

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = tiny_experiment()
OTHER = tiny_experiment("test/tiny/slow", learning_rate=1e-4)  # the same shapes and levels
CHANGES = 500


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the stores of both experiments."""
    root = tmp_path_factory.mktemp("whole")
    for seed, experiment in enumerate((EXPERIMENT, OTHER)):
        made_store(root, experiment, seed)
    return root


@pytest.fixture
def store(whole, tmp_path, monkeypatch):
    for experiment in (EXPERIMENT, OTHER):
        monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    return Store(shutil.copytree(whole, tmp_path / "store"))


def refused(read) -> bool:
    """Whether reading raises one clear sentence; any other error is a failure of the test."""
    try:
        read()
    except UserError as error:
        assert "\n" not in str(error)
        return True
    return False


def read_everything(store, experiment=EXPERIMENT):
    """What every measurement begins with."""
    evidence._read.cache_clear()  # what a process has read and checked, it keeps
    for level in experiment.levels:
        evidence.record(store, experiment.name, level.name)
    store.initial_weights(experiment)


def single_bytes(path: Path, seed: int, count: int = CHANGES):
    """Yield with one byte of the file changed, at random places; the file is restored afterwards."""
    original = path.read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        place = int(rng.integers(len(original)))
        changed = bytearray(original)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        yield f"{path.name}: byte {place} is {changed[place]}, was {original[place]}"
    path.write_bytes(original)


def shares(paths: list[Path], count: int = CHANGES) -> dict[Path, int]:
    """How many of some changes fall on each file, if every byte is as likely."""
    sizes = np.array([path.stat().st_size for path in paths])
    return dict(zip(paths, np.diff(np.round(count * np.cumsum([0, *sizes]) / sizes.sum())).astype(int), strict=True))


def test_one_changed_byte_of_a_ticket_file(store, tried):
    read_everything(store)
    missed = []
    paths = {store.folder(EXPERIMENT) / f"{level.name}.npz": level for level in EXPERIMENT.levels}
    for path, count in shares(list(paths)).items():
        for what in single_bytes(path, seed=1, count=count):
            noticed = refused(lambda level=paths[path]: store.read(EXPERIMENT, level))
            tried("one byte changed: ticket files", noticed)
            missed += [] if noticed else [what]
    assert not missed


def test_one_changed_byte_of_the_books_own_tickets(tmp_path, tried):
    """The files that the book is made from, all of them, and their manifests: what is read for a chapter."""
    own = Store()
    experiments = [part for whole in own.experiments() for part in own.parts(whole)]
    missed = []
    paths = {own.folder(e) / f"{level.name}.npz": (e, level) for e in experiments for level in own.finished(e)}
    for path, count in shares(list(paths)).items():
        experiment, level = paths[path]
        copy = Store(tmp_path)
        folder = copy.folder(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(own.folder(experiment) / "manifest.json", folder)
        shutil.copy(path, folder)
        for what in changed_in_place(folder / path.name, seed=9, count=count):
            noticed = refused(lambda e=experiment, y=level, copy=copy: copy.read(e, y))
            tried("one byte changed: the book's ticket files", noticed)
            missed += [] if noticed else [what]
        (folder / path.name).unlink()
    for path, count in shares([own.folder(e) / "manifest.json" for e in experiments]).items():
        experiment = next(e for e in experiments if own.folder(e) == path.parent)
        for what in single_bytes(copy.folder(experiment) / path.name, seed=10, count=count):
            noticed = refused(lambda e=experiment, copy=copy: copy.manifest(e))
            tried("one byte changed: the book's manifests", noticed)
            missed += [] if noticed else [what]
    assert not missed


def changed_in_place(path: Path, seed: int, count: int):
    """As `single_bytes`, for large files."""
    rng = np.random.default_rng(seed)
    size = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        for place in rng.integers(size, size=count).tolist():
            file.seek(place)
            (original,) = file.read(1)
            changed = original ^ int(rng.integers(1, 256))
            for byte in (changed, original):
                file.seek(place)
                file.write(bytes([byte]))
                if byte == changed:
                    yield f"{path}: byte {place} is {changed}, was {original}"


def test_one_changed_byte_of_a_manifest(store, tried):
    missed = []
    for what in single_bytes(store.folder(EXPERIMENT) / "manifest.json", seed=2):
        noticed = refused(lambda: read_everything(store))
        tried("one byte changed: manifest", noticed)
        missed += [] if noticed else [what]
    assert not missed
    read_everything(store)


@pytest.mark.parametrize("name", ["claims.yaml", "claims.sha256"])
def test_one_changed_byte_of_the_ledger(tmp_path, monkeypatch, tried, name):
    for each in ("claims.yaml", "claims.sha256"):
        shutil.copy(ROOT / "data" / each, tmp_path)
    monkeypatch.setattr(claims, "DEFAULT", tmp_path / "claims.yaml")
    missed = []
    for what in single_bytes(tmp_path / name, seed=3, count=CHANGES if name == "claims.yaml" else 100):
        noticed = refused(claims.load)
        tried(f"one byte changed: ledger ({name})", noticed)
        missed += [] if noticed else [what]
    assert not missed
    assert claims.load()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Images in the cache, made from a folder of IDX files; returns how to load them, and where they are cached."""
    description = datasets.SETS["fashion-mnist"]
    small = dataclasses.replace(description, counts=(12, 8), published="")
    monkeypatch.setitem(datasets.SETS, "fashion-mnist", small)
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for part, count in (("train", 12), ("t10k", 8)):
        for name, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = b"\0\0\x08" + bytes([len(shape)]) + np.array(shape, ">u4").tobytes()
            pixels = rng.integers(0, 10, shape, dtype=np.uint8)
            (tmp_path / "images" / f"{part}-{name}-ubyte").write_bytes(header + pixels.tobytes())

    def load():
        return datasets.load("fashion-mnist", tmp_path / "images", download=False)

    load()
    return load, next((tmp_path / "cache").iterdir())


def test_a_truncated_ledger(tmp_path, monkeypatch, tried):
    for each in ("claims.yaml", "claims.sha256"):
        shutil.copy(ROOT / "data" / each, tmp_path)
    monkeypatch.setattr(claims, "DEFAULT", tmp_path / "claims.yaml")
    rng = np.random.default_rng(11)
    for name in ("claims.yaml", "claims.sha256"):
        original = (tmp_path / name).read_bytes()
        for keep in (0, 1, len(original) - 1, *rng.integers(2, len(original) - 1, 9).tolist()):
            (tmp_path / name).write_bytes(original[:keep])
            noticed = refused(claims.load)
            tried("file truncated, or longer than it was", noticed)
            assert noticed, (name, keep)
        (tmp_path / name).write_bytes(original)
    assert claims.load()


def test_one_changed_byte_of_kept_distances(tmp_path, monkeypatch, tried):
    """Distances are kept beside the tickets: damaged ones are computed again, and are as they were."""
    rng = np.random.default_rng(12)
    signs = rng.integers(-1, 2, (5, TINY.weight_count)).astype(np.int8)
    group = comparisons.Group.of("test", TINY, signs, np.arange(5))
    store = Store(tmp_path / "tickets")
    right = comparisons.distances(store, group, group, signed=True)
    (path,) = (tmp_path / "distances").glob("*.npz")
    shape = right.shape
    for what in single_bytes(path, seed=12):
        found = comparisons._kept(path, shape)
        good = found is None or np.array_equal(found, right, equal_nan=True)
        tried("one byte changed: kept distances", good)
        assert good, what
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(comparisons.distances(store, group, group, signed=True), right, equal_nan=True)


def test_one_changed_byte_of_cached_images(cache, tried):
    load, place = cache
    missed = []
    for seed, path in enumerate(sorted(place.iterdir())):
        for what in single_bytes(path, seed, CHANGES // 5):
            noticed = refused(load)
            tried("one byte changed: cached images", noticed)
            missed += [] if noticed else [what]
    assert not missed
    load()


def test_swapped_and_renamed_cached_images(cache, tried):
    load, place = cache
    paths = sorted(place.iterdir())
    for a, b in [(a, b) for a in paths for b in paths if a < b]:
        contents = a.read_bytes(), b.read_bytes()
        a.write_bytes(contents[1]), b.write_bytes(contents[0])
        noticed = refused(load)
        tried("cached images swapped, renamed or of another data set", noticed)
        assert noticed, (a, b)
        a.write_bytes(contents[0]), b.write_bytes(contents[1])
    for path in paths:
        path.rename(path.with_name("elsewhere"))
        noticed = refused(load)
        tried("cached images swapped, renamed or of another data set", noticed)
        assert noticed, path
        path.with_name("elsewhere").rename(path)
    about = files.read_json(place / "images.json")
    (place / "images.json").write_bytes(files.sealed(about | {"name": "mnist"}))
    noticed = refused(load)
    tried("cached images swapped, renamed or of another data set", noticed)
    assert noticed
    (place / "images.json").write_bytes(files.sealed(about))
    load()


def test_one_changed_byte_of_published_images(cache, tried, tmp_path, monkeypatch):
    """A raw file that changed under its old time is not even read; one that was read is held against what is known."""
    load, place = cache
    known = dataclasses.replace(datasets.SETS["fashion-mnist"], published=load().sha256)
    monkeypatch.setitem(datasets.SETS, "fashion-mnist", known)
    shutil.rmtree(place.parent)
    for path in sorted((tmp_path / "images").iterdir()):
        for what in single_bytes(path, seed=4, count=25):
            shutil.rmtree(place.parent, ignore_errors=True)
            noticed = refused(load)
            tried("one byte changed: published image file", noticed)
            assert noticed, what


def test_truncated_files(store, cache, tried):
    load, place = cache
    rng = np.random.default_rng(5)
    for path, read in [
        *((path, lambda: read_everything(store)) for path in sorted(store.folder(EXPERIMENT).glob("*.npz"))),
        (store.folder(EXPERIMENT) / "manifest.json", lambda: read_everything(store)),
        *((path, load) for path in sorted(place.iterdir())),
    ]:
        original = path.read_bytes()
        for keep in (0, 1, len(original) - 1, *rng.integers(2, len(original) - 1, 9).tolist()):
            path.write_bytes(original[:keep])
            noticed = refused(read)
            tried("file truncated, or longer than it was", noticed)
            assert noticed, (path, keep)
        path.write_bytes(original + b"\0")
        noticed = refused(read)
        tried("file truncated, or longer than it was", noticed)
        assert noticed, path
        path.write_bytes(original)
        read()


def test_swapped_renamed_and_missing_files(store, tried):
    paths = {e: sorted(store.folder(e).glob("*.npz")) for e in (EXPERIMENT, OTHER)}
    pairs = [(a, b) for a in paths[EXPERIMENT] for b in [*paths[EXPERIMENT], *paths[OTHER]] if a < b]
    for a, b in pairs:
        contents = a.read_bytes(), b.read_bytes()
        a.write_bytes(contents[1]), b.write_bytes(contents[0])
        noticed = refused(lambda: read_everything(store))
        tried("ticket files swapped, also with another experiment's", noticed)
        assert noticed, (a, b)
        a.write_bytes(contents[0]), b.write_bytes(contents[1])
    for a in paths[EXPERIMENT]:
        for b in [*paths[EXPERIMENT], a.with_name("elsewhere.npz")]:
            if a != b:
                contents = a.read_bytes(), b.read_bytes() if b.exists() else None
                a.rename(b)
                noticed = refused(lambda: read_everything(store))
                tried("ticket file renamed", noticed)
                assert noticed, (a, b)
                a.write_bytes(contents[0])
                b.unlink() if contents[1] is None else b.write_bytes(contents[1])
    read_everything(store)


def test_the_store_of_another_experiment_in_place_of_this_one(store, tried):
    shutil.rmtree(store.folder(EXPERIMENT))
    shutil.copytree(store.folder(OTHER), store.folder(EXPERIMENT))
    manifest = files.read_json(store.folder(EXPERIMENT) / "manifest.json")
    for change in ({}, {"experiment": EXPERIMENT.name}, {"fingerprint": EXPERIMENT.fingerprint()}):
        (store.folder(EXPERIMENT) / "manifest.json").write_bytes(files.sealed(manifest | change))
        noticed = refused(lambda: read_everything(store))
        tried("another experiment's folder in place of this one's", noticed)
        assert noticed
        assert store.verify(EXPERIMENT)[1]


def test_a_later_level_of_another_run_in_place_of_this_one(store, tried):
    """File and manifest fit each other, but the masks do not follow from the level before: `verify` says so."""
    foreign = store.read(OTHER, EXPERIMENT.levels[1])
    write_again(store, EXPERIMENT, EXPERIMENT.levels[1], foreign, store.masks(OTHER, EXPERIMENT.levels[2]))
    noticed = any("pruning the level before" in p.what for p in store.verify(EXPERIMENT)[1])
    tried("a level of another run, entered in the manifest", noticed)
    assert noticed


# --- files from strangers ------------------------------------------------------------------------------------


class Bomb:
    """What a pickle can do: it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def place(store, content: bytes, level: str = "50") -> None:
    """Put a file in the store of which the manifest holds the right hash, as its maker can."""
    folder = store.folder(EXPERIMENT)
    (folder / f"{level}.npz").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["levels"][level].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    (folder / "manifest.json").write_bytes(files.sealed(manifest))


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def strangers_files(original: bytes, mark: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(original)) as file:
        good = {name: file.read(name) for name in file.namelist()}
    huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()\n"
    return {
        "a pickle": pickle.dumps(Bomb(mark)),
        "pickled arrays": archive({**good, "masks.npy": npy(np.array([Bomb(mark)], object), allow_pickle=True)}),
        "code in an array's header": archive({**good, "masks.npy": header(code)}),
        "no arrays at all": archive({}),
        "an array is missing": archive({k: v for k, v in good.items() if k != "losses.npy"}),
        "a member that climbs out": archive({**good, "../../../climbed.npy": npy(np.zeros(1))}),
        "an absolute member": archive({**good, str(mark): b"x"}),
        "a member twice": archive(good)[:0] + twice(good),
        "zeros that unpack to 300 MB": archive({**good, "logits.npy": good["logits.npy"] + bytes(300_000_000)}),
        "a header that promises 4 TB": archive({**good, "losses.npy": header(huge)}),
        "a bomb in an unknown member": archive({**good, "more.npy": bytes(50_000_000)}),
        "floats for masks": archive({**good, "masks.npy": npy(np.ones((4, 85)))}),
        "columns first": archive({**good, "masks.npy": npy(np.asfortranarray(np.ones((4, 85), np.uint8)))}),
        "too many weights": archive({**good, "weights.npy": npy(np.ones(10**5, "<f2"))}),
        "weights that are not finite": archive({**good, "biases.npy": npy(np.full((4, 29), np.nan, "<f4"))}),
        "an encrypted member": encrypted(archive(good)),
        "an unknown compression": archive(good).replace(b"\x08\x00", b"\x63\x00"),
    }


def twice(good: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO(archive(good))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as file:
        file.writestr("masks.npy", good["masks.npy"])
    return buffer.getvalue()


def encrypted(content: bytes) -> bytes:
    """Set the bit that says so, in the local and central headers of every member."""
    for start in (rb"PK\x03\x04..", rb"PK\x01\x02...."):
        content = re.sub(rb"(?s)(" + start + rb").", lambda found: found[1] + b"\1", content)
    return content


def test_ticket_files_of_strangers(store, tmp_path, tried):
    import tracemalloc

    mark = tmp_path / "ran"
    original = (store.folder(EXPERIMENT) / "50.npz").read_bytes()
    for what, content in strangers_files(original, mark).items():
        place(store, content)
        tracemalloc.start()
        noticed = refused(lambda: store.read(EXPERIMENT, EXPERIMENT.levels[1]))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        bounded = peak < 20_000_000 and not mark.exists() and not list(tmp_path.rglob("climbed*"))
        tried("ticket file of a stranger: code, climbing members, bombs, other arrays", noticed and bounded)
        assert noticed, what
        assert bounded, (what, peak)
    place(store, original)
    store.read(EXPERIMENT, EXPERIMENT.levels[1])


def test_damaged_ticket_files_with_the_right_hash(store, tried):
    """Whatever a stranger wrote: one sentence, or arrays of the right types, shapes and counts."""
    path = store.folder(EXPERIMENT) / "50.npz"
    original = path.read_bytes()
    rng = np.random.default_rng(6)
    central = original.rindex(b"PK\x01\x02", 0, original.index(b"PK\x01\x02") + 4)
    for k in range(CHANGES):
        changed = bytearray(original)
        low = central if k % 2 else 0  # half of them in the directory, which is a small part of the file
        for spot in rng.integers(low, len(original), rng.integers(1, 4)):
            changed[spot] = rng.integers(256)
        place(store, bytes(changed))
        refused(lambda: store.read(EXPERIMENT, EXPERIMENT.levels[1]))  # any other error fails here
        tried("damaged ticket file with the right hash: a sentence, or what fits", True)
    place(store, original)


MANIFESTS = {
    "deep nesting": lambda m: b"[" * 100_000,
    "a deep object": lambda m: b'{"a":' * 100_000,
    "five million bytes": lambda m: b" " * 5_000_000,
    "a number of a million digits": lambda m: b'{"levels": ' + b"9" * 1_000_000 + b"}",
    "a key too many": lambda m: files.sealed(m | {"onload": "x"}),
    "a file elsewhere": lambda m: with_entry(m, "50", file="../../other/50.npz"),
    "a level that is no object": lambda m: files.sealed(m | {"levels": {"50": []}}),
    "levels that are a list": lambda m: files.sealed(m | {"levels": []}),
    "a hash that is a number": lambda m: with_entry(m, "50", sha256=5),
    "bytes below 0": lambda m: with_entry(m, "50", bytes=-1),
    "bytes that are true": lambda m: with_entry(m, "50", bytes=True),
    "more bytes than may be": lambda m: with_entry(m, "50", bytes=10**15),
    "a day that is none": lambda m: with_entry(m, "50", finished="yesterday"),
    "no device": lambda m: with_entry(m, "50", device=""),
    "versions that are a text": lambda m: with_entry(m, "50", versions="3.11"),
    "images below one": lambda m: with_entry(m, "50", data={**PROVENANCE["data"], "test images": 0}),
    "no seconds": lambda m: with_entry(m, "50", **{"wall seconds": None}),
    "endless seconds": lambda m: with_entry(m, "50", **{"wall seconds": float("inf")}),
    "format 3": lambda m: files.sealed(m | {"format": 3}),
    "format 1 with a checksum": lambda m: files.sealed(m | {"format": 1}),
    "format 2 without one": lambda m: json.dumps({k: v for k, v in m.items() if k != "checksum"}).encode(),
    "a key given twice": lambda m: files.sealed(m).replace(b'"format": 2', b'"format": 2, "format": 2'),
    "not UTF-8": lambda m: b"\xff\xfe",
    "nothing": lambda m: b"",
}


def with_entry(manifest, level, **changes):
    entry = manifest["levels"][level] | changes
    return files.sealed(manifest | {"levels": manifest["levels"] | {level: entry}})


def test_manifests_of_strangers(store, tried):
    path = store.folder(EXPERIMENT) / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for what, make in MANIFESTS.items():
        path.write_bytes(make(manifest))
        noticed = refused(lambda: read_everything(store))
        tried("manifest of a stranger: bombs, wrong types, names elsewhere", noticed)
        assert noticed, what


PICKLES = {
    "a program": pickle.dumps(Bomb(Path("ran"))),
    "a memory of 8 GB": b"\x80\x02K\x01r" + (10**9).to_bytes(4, "little") + b".",
    "an array of bytes of 100 GB": b"\x80\x05\x96" + (10**11).to_bytes(8, "little") + b".",
    "bytes that are not there": b"\x80\x03B" + (2**32 - 1).to_bytes(4, "little") + b".",
    "code of an extension": b"\x80\x02\x82\x01.",
    "an instance made by name": b"(icollections\nOrderedDict\n.",
    "a name that is not of arrays": b"cbuiltins\neval\n(S'1'\ntR.",
    "a name in the arrays' module": b"\x80\x02cnumpy\nload\n.",
    "deep nesting": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nothing": b"",
    "no data": pickle.dumps({b"labels": [1]}, 2),
    "data that is a number": pickle.dumps({b"data": 5, b"labels": [1]}, 2),
}


def test_pickles_of_strangers_in_the_place_of_cifar(tmp_path, tried, monkeypatch):
    """CIFAR is published as pickles too: they are read without doing what they say."""
    import tracemalloc

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data_batch_1"
    for what, content in PICKLES.items():
        path.write_bytes(content)
        tracemalloc.start()
        noticed = refused(lambda: datasets._read_pickles([path], (3, 32, 32), "labels"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        good = noticed and peak < 300_000_000 and not (tmp_path / "ran").exists()
        tried("image file of a stranger: pickles, parquet that unpacks to more than it is", good)
        assert good, (what, peak)


def test_a_parquet_shard_that_repeats_a_large_value(tmp_path, tried):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    large = pyarrow.array([b"\x89PNG" + bytes(20_000_000)], pyarrow.binary())
    repeated = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000, pyarrow.int32()), large)
    shard = pyarrow.table({"img": repeated, "label": [0] * 1000})
    options = {"store_schema": False, "compression": "zstd", "dictionary_pagesize_limit": 10**9}
    parquet.write_table(shard, tmp_path / "train.parquet", **options)
    del large, repeated, shard
    assert (tmp_path / "train.parquet").stat().st_size < 10_000  # and 20 GB in all
    before = pyarrow.default_memory_pool().max_memory()
    noticed = refused(lambda: datasets._read_parquet([tmp_path / "train.parquet"], (3, 32, 32), "label"))
    good = noticed and pyarrow.default_memory_pool().max_memory() <= max(before, 500_000_000)
    tried("image file of a stranger: pickles, parquet that unpacks to more than it is", good)
    assert good


# --- executed notebooks of strangers, which `compare` shows ---------------------------------------------------


@pytest.fixture
def run_folder(project):
    """A run of a chapter beside the book's execution of it, both pretended; `put(notebook)` writes the run's."""
    (project / "notebooks" / "a" / "1.py").write_text("# %% [markdown]\n# # A chapter\n", encoding="utf-8")
    ledger = list(claims.load().values())[:2]
    table = claims.table([claims.Scored(c, claims.Verdict.OPEN, "paper", "measured", "") for c in ledger])
    good = notebook(table, "iVBORw0KGgo=", "alternative", "caption")
    files.write_whole(build.executed_path("a/1", project), json.dumps(good).encode())
    out = project / "runs" / "x"

    def put(content, listed=None) -> Path:
        listed = {"chapter": "a/1", "runs": {"level=0.9.ipynb": {"level": 0.9}}} if listed is None else listed
        files.write_whole(out / "run.json", json.dumps(listed).encode())
        written = content if isinstance(content, bytes) else json.dumps(content).encode()
        files.write_whole(out / "level=0.9.ipynb", written)
        return out

    return project, table, put


def notebook(table: object, picture: object, alt: object, caption: object, title: object = "# Title") -> dict:
    figure = {"figure": {"name": "fig-x", "caption": caption}, "image": {"alt": alt}}
    outputs = [{"output_type": "display_data", "metadata": {}, "data": {"text/markdown": table, "image/png": picture}}]
    code = {"cell_type": "code", "id": "b", "metadata": {"mystnb": figure}, "source": "", "execution_count": None}
    cells = [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": title}, {**code, "outputs": outputs}]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_notebooks_of_strangers(run_folder, tried):
    project, table, put = run_folder

    def shown(content, listed=None) -> str:
        return runs.compare(put(content, listed), project)[0].read_text(encoding="utf-8")

    plain = elements_of_html(shown(notebook(table, "iVBORw0KGgo=", "alternative", "caption")))
    assert ("img", "src") in plain
    for nasty in NASTY:
        laced = table.replace("paper", nasty).replace("measured", nasty).replace("verdict-open", nasty)
        quoted = f"x' onerror='mark()' {nasty}"
        for content in (
            notebook(laced, "iVBORw0KGgo=", "alternative", "caption"),
            notebook(table.replace(">open<", f">{nasty}<"), "iVBORw0KGgo=", "alternative", "caption"),
            notebook(table, quoted, quoted, quoted, f"# {quoted}"),
        ):
            found = elements_of_html(shown(content))
            good = found <= plain
            tried("notebook of a stranger: text that would be HTML", good)
            assert good, found - plain
        listed = {"chapter": "a/1", "runs": {"level=0.9.ipynb": {nasty: nasty}}}
        found = elements_of_html(shown(notebook(table, "", "", ""), listed))
        tried("notebook of a stranger: text that would be HTML", found <= plain)
        assert found <= plain, found - plain


STRANGE_NOTEBOOKS = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "a pickle": pickle.dumps(Path()),
    "deep nesting": b"[" * 100_000,
    "a list": b"[]",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells that are a number": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 5}',
    "a format to come": b'{"nbformat": 99, "cells": []}',
    "68 MB": b" " * 68_000_000,
    "no caption": json.dumps(notebook("", "x", "y", "z")).replace("caption", "other").encode(),
    "tables that are an object": json.dumps(notebook({"a": 1}, "x", "y", "z")).encode(),
}
STRANGE_LISTS = {
    "nothing": {},
    "a chapter that is none": {"chapter": "a/9", "runs": {}},
    "a chapter that climbs": {"chapter": "../../etc/passwd", "runs": {}},
    "runs that are a list": {"chapter": "a/1", "runs": ["level=0.9.ipynb"]},
    "a notebook that climbs": {"chapter": "a/1", "runs": {"../../secret.ipynb": {}}},
    "an absolute notebook": {"chapter": "a/1", "runs": {"/etc/secret.ipynb": {}}},
    "another file": {"chapter": "a/1", "runs": {"run.json": {}}},
    "values that are a number": {"chapter": "a/1", "runs": {"level=0.9.ipynb": 5}},
}


def test_damaged_notebooks_of_runs(run_folder, tried):
    project, table, put = run_folder
    good = json.dumps(notebook(table, "iVBORw0KGgo=", "alternative", "caption")).encode()
    rng = np.random.default_rng(13)
    for what, content in STRANGE_NOTEBOOKS.items():
        noticed = refused(lambda c=content: runs.compare(put(c), project))
        tried("notebook of a stranger: no executed chapter", noticed)
        assert noticed, what
    for what, listed in STRANGE_LISTS.items():
        noticed = refused(lambda y=listed: runs.compare(put(good, y), project))
        tried("notebook of a stranger: no executed chapter", noticed)
        assert noticed, what
    for _ in range(100):
        changed = bytearray(good)
        changed[int(rng.integers(len(good)))] = int(rng.integers(256))
        refused(lambda c=bytes(changed): runs.compare(put(c), project))  # any other error fails here
        tried("notebook of a stranger, one byte changed: a sentence, or a page", True)


# --- text from ledger and manifest in the pages ---------------------------------------------------------------

NASTY = (
    "<script>mark()</script>",
    "<img src=x onerror=mark()>",
    "`<svg onload=mark()>`",
    "[a](javascript:mark())",
    "{{ mark() }}",
    "{eval-rst}`mark`",
    "::: mark",
    "| mark | mark |",
    "<!-- mark",
    "&lt;script&gt;mark",
    "$mark$ **mark** _mark_",
    "![mark](http://example.org/mark.png)",
    "</span></td></table><script>mark()",
    "<iframe srcdoc=mark>",
    "\n\n# mark\n\n```\nmark",
    "<a href=' javascript:mark()'>",
)


def elements(text: str) -> set[tuple[str, str]]:
    """Every element and attribute that Markdown makes, HTML within it included."""
    return elements_of_html(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def elements_of_html(text: str) -> set[tuple[str, str]]:
    from html.parser import HTMLParser

    found: set[tuple[str, str]] = set()

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.update((tag, name) for name, _ in attrs)
            found.add((tag, ""))

        def handle_comment(self, data):
            found.add(("comment", ""))

    Parser().feed(text)
    return found


@pytest.mark.parametrize("nasty", NASTY)
def test_text_of_the_ledger_stays_text(tried, nasty):
    ledger = list(claims.load().values())
    scored = [claims.judge(c, []) for c in ledger[:40]]

    def laced(s):
        claim = s.claim
        said = dataclasses.replace(claim.claimed, statement=nasty)
        words = {key: nasty for key in ("section", "artefact", "quantity", "layer", "notes")}
        return dataclasses.replace(
            s, claim=dataclasses.replace(claim, claimed=said, **words), paper=nasty, measured=nasty * 40, reason=nasty
        )

    plain = [dataclasses.replace(s, paper="word", measured="word " * 200) for s in scored]
    for page in (pages.claims_block, pages.ledger):
        good = elements(page([laced(s) for s in scored])) <= elements(page(plain)) | {("h3", "")}
        good &= "{{" not in page([laced(s) for s in scored])
        tried("text of the ledger that would be HTML or Markdown", good)
        assert good, elements(page([laced(s) for s in scored])) - elements(page(plain))


@pytest.mark.parametrize("nasty", NASTY)
def test_text_of_a_manifest_stays_text(store, tried, nasty):
    plain = pages.provenance(store, [EXPERIMENT.name])
    path = store.folder(EXPERIMENT) / "manifest.json"
    manifest = json.loads(path.read_bytes())
    levels = {
        name: entry
        | {"device": nasty, "versions": dict.fromkeys(entry["versions"], nasty)}
        | {"data": entry["data"] | {"name": nasty, "source": nasty}}
        for name, entry in manifest["levels"].items()
    }
    path.write_bytes(files.sealed(manifest | {"levels": levels}))
    text = pages.provenance(store, [EXPERIMENT.name])
    good = elements(text) <= elements(plain) and "{{" not in text
    tried("text of a manifest that would be HTML or Markdown", good)
    assert good, elements(text) - elements(plain)


def test_every_chapter_escapes_what_the_ledger_says():
    """The words of a claim reach a page through `escaped`, or through the functions tested above."""
    bare = re.compile(r"(?<!escaped\()\b(s|within|across|scored)\.(paper|measured|reason)\b(?!\.split)")
    for path in [ROOT / "lib" / "pages.py", *(ROOT / "notebooks").rglob("*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            # What a pattern picks out is as harmless as the pattern.
            if not line.lstrip().startswith("#") and "re.findall(" not in line:
                assert not bare.search(line), f"{path}: {line}"
    assert scoring  # the chapters' source of such words
