"""Input that cannot be used gets one clear sentence and exit status 2: no traceback, nothing written."""

import dataclasses
import gzip
import inspect
import io
import signal
import struct
from fractions import Fraction

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made import TINY, made_store, tiny_experiment

from lib import (
    baselines,
    build,
    claims,
    cli,
    datasets,
    evidence,
    kernels,
    models,
    overlap,
    pruning,
    similarity,
    statistics,
    topology,
)
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, Experiment, find
from lib.tickets import Store

EXPERIMENT = tiny_experiment()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
    return made_store(tmp_path / "store", EXPERIMENT)


# --- the command line ----------------------------------------------------------------------------------------

# FILE, FOLDER, STORE and NONE stand for places; words that the sentence must hold come last.
COMMANDS = [
    ([], "required"),
    (["fly"], "invalid choice: 'fly'"),
    (["train"], "required: NAME"),
    (["train", "a/nothing"], "experiment is 'a/nothing': known are a/fashion-lenet/free"),
    (["train", ""], "experiment is ''"),
    (["train", "../../etc"], "experiment is '../../etc'"),
    (["train", "test/tiny/free", "--workers", "0"], "--workers is 0"),
    (["train", "test/tiny/free", "--workers", "-1"], "--workers is -1"),
    (["train", "test/tiny/free", "--workers", "two"], "invalid int value: 'two'"),
    (["train", "test/tiny/free", "--device", "tpu"], "invalid choice: 'tpu'"),
    (["train", "test/cifar", "--data", "NONE", "--tickets", "EMPTY"], "there is no such folder"),
    (["train", "test/cifar", "--data", "FILE", "--tickets", "EMPTY"], "there is no such folder"),
    (["train", "test/cifar", "--data", "IMAGES", "--tickets", "EMPTY"], "data set 'cifar10' was not found"),
    (["train", "test/tiny/free", "--budget", "soon"], "--budget is 'soon': it should be a positive time"),
    (["train", "test/tiny/free", "--budget", "0s"], "--budget is '0s'"),
    (["train", "test/tiny/free", "--budget", "-5m"], "expected one argument"),
    (["train", "test/tiny/free", "--budget", "1e9h"], "--budget is '1e9h'"),
    (["train", "test/cifar", "--data", "NONE", "--out", "FILE"], "Not a directory"),
    (["import"], "required: DIR"),
    (["import", "NONE", "--tickets", "EMPTY"], "there is no such folder"),
    (["import", "FILE", "--tickets", "EMPTY"], "there is no such folder"),
    (["import", "IMAGES", "--tickets", "EMPTY"], "holds no experiment"),
    (["import", "DAMAGED", "--tickets", "EMPTY"], "its SHA-256 is not the one in the manifest"),
    (["compare"], "required: RUN"),
    (["compare", "NONE"], "it should be a folder that python -m lib run made"),
    (["compare", "FILE"], "it should be a folder that python -m lib run made"),
    (["compare", "IMAGES"], "it should be a folder that python -m lib run made"),
    (["train", "test/tiny/free", "--bogus"], "unrecognized arguments: --bogus"),
    (["verify", "--tickets", "NONE"], "holds no experiment"),
    (["verify", "--tickets", "FILE"], "holds no experiment"),
    (["verify", "a/nothing", "--tickets", "STORE"], "experiment is 'a/nothing'"),
    (["experiments", "--tickets"], "expected one argument"),
    (["experiments", "more"], "unrecognized arguments: more"),
    (["claims", "--paper", "C"], "invalid choice: 'C'"),
    (["claims", "--section", "9.9", "--tickets", "EMPTY"], "section is '9.9': the ledger has"),
    (["claims", "--format", "xml"], "invalid choice: 'xml'"),
    (["run"], "required: CHAPTER"),
    (["run", "a/9.9", "--out", "EMPTY"], "chapter is 'a/9.9': known are"),
    (["run", "../../lib/cli", "--out", "EMPTY"], "chapter is '../../lib/cli': known are"),
    (["run", "a/3.1", "-p", "level"], "expected 2 arguments"),
    (["run", "a/3.1", "-p", "levle", "0.9", "--out", "EMPTY"], "levle"),
    (["run", "a/3.1", "-p", "level", "high", "--out", "EMPTY"], "level"),
    (["run", "a/3.1", "-p", "level", "nan", "--out", "EMPTY"], "it should be a number"),
    (["run", "a/3.1", "-p", "level", "", "--out", "EMPTY"], "it should be a number"),
    (["run", "a/3.1", "-p", "__import__('os')", "1", "--out", "EMPTY"], "__import__('os')"),
    (["run", "a/3.1", "-p", "level", "0.5,high", "--out", "EMPTY"], "parameter level is 'high'"),
    (["run", "a/3.1", "-p", "level", ",".join(f"0.{n}" for n in range(1001, 2500)), "--dry-run"], "combinations"),
    (["readme", "x"], "unrecognized arguments: x"),
    (["build", "--jobs"], "unrecognized arguments: --jobs"),
]


@pytest.mark.parametrize(("arguments", "words"), COMMANDS, ids=[" ".join(a)[:60] or "nothing" for a, _ in COMMANDS])
def test_the_command_line(store, tmp_path, capsys, monkeypatch, tried, arguments, words):
    cifar = dataclasses.replace(EXPERIMENT, name="test/cifar", dataset="cifar10")
    monkeypatch.setitem(EXPERIMENTS, cifar.name, cifar)
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "images").mkdir()
    damaged = made_store(tmp_path / "damaged", EXPERIMENT)
    (damaged.folder(EXPERIMENT) / "dense.npz").write_bytes(
        bytes((damaged.folder(EXPERIMENT) / "dense.npz").stat().st_size)
    )
    places = {"FILE": tmp_path / "file", "STORE": store.root, "NONE": tmp_path / "none", "EMPTY": tmp_path / "empty"}
    places |= {"IMAGES": tmp_path / "images", "DAMAGED": damaged.root}
    before = sorted(p for p in tmp_path.rglob("*") if p.name != ".lock")
    try:
        status = cli.main([str(places.get(a, a)) for a in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    err = capsys.readouterr().err
    sentence = err.strip().splitlines()[-1]
    good = status == 2 and words in sentence and "Traceback" not in err
    tried("command line", good)
    assert good, (status, err)
    assert sorted(p for p in tmp_path.rglob("*") if p.name != ".lock") == before


def test_what_was_not_foreseen_is_a_sentence_too(capsys, monkeypatch, tried):
    def fails(*_):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(Store, "finished", fails)
    assert cli.main(["experiments"]) == 3
    err = capsys.readouterr().err
    good = "ZeroDivisionError: division by zero (this was not foreseen; --debug shows where)" in err
    tried("command line", good)
    assert good and "Traceback" not in err
    with pytest.raises(ZeroDivisionError):
        cli.main(["--debug", "experiments"])


# --- parameters of chapters ----------------------------------------------------------------------------------

TYPES = {"int": 3, "float": 0.5, "bool": True, "str": "x"}
GOOD = {"int": int, "float": (int, float), "bool": bool, "str": str}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(TYPES)),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())),
)
@example("int", "9" * 5000)
@example("int", "1_000")
@example("float", "1e999")
@example("int", 10.0**300)
def test_a_value_of_a_parameter_is_of_its_type_or_refused(tried, kind, value):
    parameter = build.Parameter("p", kind, TYPES[kind], "something")
    try:
        converted = parameter.convert(value)
    except UserError as error:
        good = "\n" not in str(error) and str(error).startswith("parameter p is ") and len(str(error)) < 400
    else:
        good = isinstance(converted, GOOD[kind]) and converted == converted
    tried("papermill parameter, generated", good)
    assert good


CELLS = [
    "level = 0.8  # untyped",
    "level: float = 0.8",
    "level: float  # no value",
    "level: list = []  # of another type",
    "level: float = 1 + x  # not a constant",
    "level: float = __import__('os').getcwd()  # runs code",
    "level: float = open('x').read()  # reads",
    "level: int = 'three'  # text",
    "level: float = 0.8; import os  # two",
    "import os  # a statement",
    "def f(): pass  # a function",
    "level: float = (  # unfinished",
    "level: float = 1e999  # endless",
    "a.b: float = 1.0  # an attribute",
    "level: float = True  # no number",
]


@pytest.mark.parametrize("line", CELLS)
def test_a_parameters_cell(project, tried, line):
    (project / "notebooks" / "a" / "1.py").write_text(f'# %% tags=["parameters"]\n{line}\n', encoding="utf-8")
    with pytest.raises(UserError) as error:
        build.parameters("a/1", project)
    good = "\n" not in str(error.value)
    tried("parameters cell of a chapter", good)
    assert good


# --- public functions ----------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
MASKS = RNG.permuted(np.tile(np.arange(40) < 20, (4, 1)), axis=1)
VALUES = RNG.normal(size=(4, 40))
SIGNS = RNG.integers(-1, 2, (3, 4, 2, 3, 3)).astype(np.int8)
TICKETS = np.tile(np.arange(TINY.weight_count) % 2 == 0, (2, 1))
PAIRS = (np.array([0]), np.array([1]))
DISTANCES = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
# A call that is right of every public function of the metrics; each argument is then replaced by each of JUNK.
CALLS = {
    **{
        f: (100, 50)
        for f in (baselines.overlap_mean, baselines.overlap_variance, baselines.overlap_pmf, baselines.printed_overlap)
    },
    baselines.overlap_interval: (100, 50, 0.95),
    **{
        getattr(baselines, f"{what}_{of}"): (100, 50, 5) + ((0.95,) if of == "interval" else ())
        for what in ("shared", "uncovered")
        for of in ("mean", "variance", "pmf", "interval")
    },
    **{
        f: (100, 50, 5)
        for f in (
            baselines.printed_shared,
            baselines.printed_shared_max,
            baselines.printed_uncovered,
            baselines.printed_covered_max,
        )
    },
    baselines.simulate: (100, 50, 5, 10, 0),
    baselines.printed_spread: (1.0, 2.0),
    overlap.pairwise: (MASKS,),
    overlap.within_pairs: (2, 2),
    overlap.across_pairs: (2, 2),
    overlap.layer_overlaps: (MASKS, {"a": slice(0, 40)}, PAIRS),
    overlap.shared_by_all: (MASKS, 2, 2),
    overlap.covered_by_none: (MASKS, 2, 2),
    overlap.overlap_from_initial_magnitude: (VALUES, MASKS, 4, 1, 4),
    overlap.overlap_from_unit_counts: (MASKS, 4, PAIRS),
    similarity.softmax: (VALUES,),
    similarity.cka: (RNG.normal(size=(3, 20, 4)),),
    similarity.l2: (RNG.random((3, 20, 4)),),
    similarity.rank_correlations: (VALUES, VALUES * MASKS, MASKS, "signed", "survivors"),
    similarity.null_deviation: (10,),
    topology.nnstd: (TINY, TICKETS[0], TICKETS[1], True),
    topology.layer_distances: (TINY, TICKETS[0], TICKETS[1], True),
    topology.matching: (TINY, TICKETS[0], TICKETS[1], True),
    topology.distances: (TINY, TICKETS, PAIRS, True, True),
    topology.unit_distances: (TICKETS[0][:75].reshape(3, 25), TICKETS[1][:75].reshape(3, 25)),
    **{
        f: (SIGNS,)
        for f in (
            kernels.filter_histogram,
            kernels.expected_filter_histogram,
            kernels.filter_deviation,
            kernels.expected_filter_deviation,
            kernels.position_counts,
            kernels.position_deviation,
            kernels.expected_position_deviation,
            kernels.sign_ratio,
            kernels.kernel_histogram,
            kernels.expected_kernel_histogram,
        )
    },
    kernels.together: (SIGNS, 1, 1),
    kernels.expected_together: (SIGNS, 1, 1),
    kernels.neighbour_share: (SIGNS, 1, False),
    kernels.same_sign_share: (SIGNS, False),
    kernels.frequent_patterns: (SIGNS, 4, 3),
    kernels.expected_pattern_count: (SIGNS, SIGNS[0, 0, 0]),
    kernels.control_masks: (SIGNS, 0),
    statistics.welch: ([1, 2, 3.0], [2, 3, 5.0]),
    statistics.cohen_d: ([1, 2, 3.0], [2, 3, 5.0]),
    statistics.effect_word: (0.5,),
    statistics.false_positive_rate: (100, 50, 0.95),
    statistics.permutation_test_tickets: (DISTANCES, list("aaabbb")),
    pruning.large_final: (VALUES, MASKS, 10),
    pruning.kept_counts: (TINY, EXPERIMENT.levels[1]),
    models.initial_parameters: (TINY, 0),
}
JUNK = [
    None,
    "x",
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    True,
    10**30,
    [],
    [[]],
    {},
    object(),
    np.array([]),
    np.zeros((0, 0)),
    np.zeros((2, 2, 2, 2, 2)),
    np.array(["a", "b"]),
    np.array([None, {}], object),
    np.full((4, 40), np.nan),
    np.zeros((4, 40)),
    np.zeros((4, 40), bool),
    np.zeros((4, 41), bool),
    np.full((3, 4, 3, 3), 7, np.int8),
]


class TooLongError(BaseException):
    """An answer to junk took more than a second of the processor."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_public_functions(tried, function):
    """Junk in any argument: an answer (some junk is meant so), or one sentence; never another error, never long."""

    def too_long(*_):
        raise TooLongError

    arguments = CALLS[function]
    function(*arguments)
    names = list(inspect.signature(function).parameters)
    before = signal.signal(signal.SIGVTALRM, too_long)
    try:
        for place, name in enumerate(names[: len(arguments)]):
            for junk in JUNK:
                given = [*arguments[:place], junk, *arguments[place + 1 :]]
                good = True
                signal.setitimer(signal.ITIMER_VIRTUAL, 1)
                try:
                    function(*given)
                except UserError as error:
                    good = "\n" not in str(error) and len(str(error)) < 500
                finally:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                tried("argument of a public function", good)
                assert good, (name, junk)
    finally:
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: evidence.record(s, EXPERIMENT.name, "70"), "level is '70'"),
        (lambda s: evidence.overlaps(s, "test/one", "50"), "no pairs"),
        (lambda s: evidence.choose_layers(EXPERIMENT.name, "conv1,convX"), "layers names 'convX'"),
        (lambda s: evidence.choose_layers(EXPERIMENT.name, ""), "layers names ''"),
        (lambda s: s.read(tiny_experiment("test/none"), EXPERIMENT.levels[0]), "is not trained"),
        (lambda s: find("a/Fashion"), "experiment is 'a/Fashion'"),
        (lambda s: EXPERIMENT.level("dens"), "level is 'dens'"),
        (lambda s: datasets.load("fashion"), "data set is 'fashion'"),
    ],
)
def test_names_that_are_none(store, monkeypatch, tried, call, words):
    one = tiny_experiment("test/one", runs=1)
    monkeypatch.setitem(EXPERIMENTS, one.name, one)
    made_store(store.root, one)
    with pytest.raises(UserError) as error:
        call(store)
    good = words in str(error.value) and "\n" not in str(error.value)
    tried("name of an experiment, level, layer or data set", good)
    assert good, error.value


# --- specifications ------------------------------------------------------------------------------------------

SPECIFICATIONS = [
    {"inits": 0},
    {"inits": -1},
    {"inits": 2.0},
    {"runs": 0},
    {"runs": True},
    {"epochs": 0},
    {"epochs": "15"},
    {"batch": 0},
    {"batch": 10**9},
    {"learning_rate": 0.0},
    {"learning_rate": -1.0},
    {"learning_rate": float("nan")},
    {"learning_rate": "fast"},
    {"optimiser": "adam"},
    {"optimiser": None},
    {"scaling": "none"},
    {"shared_order": -0.1},
    {"shared_order": 1.1},
    {"shared_order": float("nan")},
    {"noise": -1.0},
    {"noise": float("inf")},
    {"dataset": "imagenet"},
    {"levels": ()},
    {"levels": EXPERIMENT.levels[1:]},
    {"levels": EXPERIMENT.levels[::-1]},
    {"levels": (*EXPERIMENT.levels, EXPERIMENT.levels[-1])},
    {"levels": (EXPERIMENT.levels[0], pruning.Level("x/../y", Fraction(1, 2)))},
    {"levels": (EXPERIMENT.levels[0], pruning.Level("50", Fraction(3, 2)))},
    {"levels": (EXPERIMENT.levels[0], pruning.Level("50", Fraction(1, 2), (("conv9", Fraction(1, 2)),)))},
    {"architecture": None},
    {"name": "../outside"},
    {"name": "/etc/passwd"},
    {"name": ""},
    {"name": "a b"},
    {"name": "a//b"},
]


@pytest.mark.parametrize("change", SPECIFICATIONS, ids=str)
def test_specifications(tried, change):
    right = {f.name: getattr(EXPERIMENT, f.name) for f in dataclasses.fields(Experiment)}
    with pytest.raises(UserError) as error:
        Experiment(**{**right, **change})
    good = next(iter(change)) in str(error.value) and "\n" not in str(error.value)
    tried("specification of an experiment", good)
    assert good, error.value


# --- the ledger ----------------------------------------------------------------------------------------------

ENTRY = {
    "id": "A-X-1",
    "paper": "A",
    "section": "3.1",
    "artefact": "Figure 1",
    "setting": {"dataset": "made"},
    "quantity": "overlap",
    "layer": "all",
    "claimed": {"low": 1, "high": 2},
    "check": "range",
    "unit": "%",
}
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*ENTRY, "claimed.low", "claimed.high", "claimed.value", "more"]), _ANYTHING)
def test_entries_of_the_ledger(tmp_path, tried, key, value):
    entry = {**ENTRY, "claimed": dict(ENTRY["claimed"])}
    if "." in key:
        entry["claimed"][key.split(".")[1]] = value
    else:
        entry[key] = value
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    good = True
    try:
        claims.load(path)
    except UserError as error:
        good = "\n" not in str(error) and str(path) in str(error)
    tried("ledger, one value replaced, generated", good)
    assert good


LEDGERS = [
    b"",
    b"\xff\xfe",
    b"a: 1",
    b"- 1",
    b"- [",
    b"- &a {id: x}\n- *a",
    b"- !!python/object/apply:os.system [true]",
    b"- !!python/name:os.system ",
    b"[" * 10_000,
    b"- {id: A, id: B}",
    b"- {id: .nan}",
    b"\x00",
    b"- {? [1]: 2}",
    b"- {? {a: 1}: 2}",
    b"--- 1\n--- 2\n",
    b"%YAML 9.9\n---\n- 1",
    b"- 2026-99-99",
    b"- !!binary 'x'",
    b"- {<<: 1}",
    b" " * 5_000_000,
]


@pytest.mark.parametrize("content", LEDGERS, ids=lambda c: repr(c[:24]))
def test_files_that_are_no_ledger(tmp_path, tried, content):
    (tmp_path / "claims.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        claims.load(tmp_path / "claims.yaml")
    good = "\n" not in str(error.value) and "claims.yaml" in str(error.value)
    tried("ledger: files that are none", good)
    assert good


# --- image files ---------------------------------------------------------------------------------------------


def idx(*shape: int, kind: int = 8, values: bytes | None = None) -> bytes:
    content = bytes(int(np.prod(shape))) if values is None else values
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + content


def zeros_gzipped(count: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as file:
        for _ in range(count // 10_000_000):
            file.write(bytes(10_000_000))
    return buffer.getvalue()


IMAGES = {
    "nothing": ("train-images-idx3-ubyte", b""),
    "three bytes": ("train-images-idx3-ubyte", b"\0\0\x08"),
    "text": ("train-images-idx3-ubyte", b"<html>404</html>"),
    "floats": ("train-images-idx3-ubyte", idx(12, 28, 28, kind=0x0D)),
    "a header that ends": ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0"),
    "255 axes": ("train-images-idx3-ubyte", b"\0\0\x08\xff" + b"\xff" * 1020),
    "more promised than there": ("train-images-idx3-ubyte", idx(2**31, 28, 28, values=b"x")),
    "a product that overflows": ("train-images-idx3-ubyte", idx(2**31, 2**31, 4, values=b"")),
    "less promised than there": ("train-images-idx3-ubyte", idx(1, 28, 28, values=bytes(9000))),
    "images too small": ("train-images-idx3-ubyte", idx(12, 27, 28)),
    "flat images": ("train-images-idx3-ubyte", idx(12, 784)),
    "too few images": ("train-images-idx3-ubyte", idx(11, 28, 28)),
    "labels above 9": ("train-labels-idx1-ubyte", idx(12, values=bytes([10] * 12))),
    "labels in two axes": ("train-labels-idx1-ubyte", idx(12, 1)),
    "too many labels": ("train-labels-idx1-ubyte", idx(13)),
    "gzip of nothing": ("train-images-idx3-ubyte.gz", b"\x1f\x8b"),
    "gzip cut short": ("train-images-idx3-ubyte.gz", gzip.compress(idx(12, 28, 28))[:-9]),
    "gzip with a wrong sum": ("train-images-idx3-ubyte.gz", gzip.compress(idx(12, 28, 28))[:-8] + b"12345678"),
    "gzip of 300 MB": ("train-images-idx3-ubyte.gz", zeros_gzipped(300_000_000)),
    "a pickle": ("train-images-idx3-ubyte", b"\x80\x04\x95."),
}


@pytest.mark.parametrize("what", IMAGES)
def test_image_files(tmp_path, monkeypatch, tried, what):
    small = dataclasses.replace(datasets.SETS["fashion-mnist"], counts=(12, 8), published="")
    monkeypatch.setitem(datasets.SETS, "fashion-mnist", small)
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for part, count in (("train", 12), ("t10k", 8)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(count, 28, 28))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(count))
    datasets.load("fashion-mnist", folder, download=False)
    name, content = IMAGES[what]
    (folder / name.removesuffix(".gz")).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        datasets.load("fashion-mnist", folder, download=False)
    good = "\n" not in str(error.value) and str(folder) in str(error.value)
    tried("image file", good)
    assert good, error.value
