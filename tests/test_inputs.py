"""What a chapter depends on: exactly what could change its result makes it due again."""

import ast
import concurrent.futures
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_build import CELLS, write

from lib import build, inputs
from lib.inputs import Library, reason

# A library of its own: what one definition names leads to others.
MODULES = {
    "__init__": "",
    "base": "LIMIT = 3\n\ndef used(x):\n    return x + LIMIT\n\ndef unused(x):\n    return helper(x)\n\n"
    "def helper(x):\n    return x\n",
    "objects": "from lib import base\n\nclass Thing:\n    def grow(self):\n        return base.used(1)\n",
    "tables": "from lib.base import unused, used as first\nTABLE = {'a': first, 'b': unused}\n",
    "reexport": "from lib.base import used\n",
    "effects": "import lib.base\nSEEN = []\nSEEN.append(1)\n",
}


@pytest.fixture
def library(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The definitions that some code uses, in the small library, perhaps with a changed module."""

    def used(code: str, called: list[str], **changed: str) -> dict[str, str]:
        (tmp_path / "lib").mkdir(exist_ok=True)
        for name, text in {**MODULES, **changed}.items():
            (tmp_path / "lib" / f"{name}.py").write_text(text, encoding="utf-8")
        return Library(tmp_path).used_by(code, called)

    return used


@pytest.mark.parametrize(
    ("code", "called", "expected"),
    [
        ("from lib import base\nbase.used(1)", ["lib.base.used"], {"lib.base.used", "lib.base.LIMIT"}),
        ("from lib import base as b\nb.used(1)", ["lib.base.used"], {"lib.base.used", "lib.base.LIMIT"}),
        ("from lib.base import used as u\nu(1)", ["lib.base.used"], {"lib.base.used", "lib.base.LIMIT"}),
        ("import lib.base\nlib.base.LIMIT", [], {"lib.base.LIMIT"}),
        ("from lib.base import used", [], set()),
        ("from lib.reexport import used\nused(1)", ["lib.base.used"], {"lib.base.used", "lib.base.LIMIT"}),
        (
            "from lib.objects import Thing\nThing().grow()",
            ["lib.base.used"],
            {"lib.objects.Thing", "lib.base.used", "lib.base.LIMIT"},
        ),
        (
            "from lib.tables import TABLE\nTABLE['a'](1)",
            ["lib.base.used"],
            {"lib.tables.TABLE", "lib.base.used", "lib.base.LIMIT"},
        ),
        (
            "from lib import base\nf = base\ngetattr(f, 'helper')(1)",
            ["lib.base.helper"],
            {"lib.base.helper", "lib.base.LIMIT"},
        ),
        ("def f():\n    from lib import base\n    return base.LIMIT", [], {"lib.base.LIMIT"}),
    ],
)
def test_what_code_depends_on(library, code: str, called: list[str], expected: set[str]) -> None:
    names = {name for name in library(code, called) if not name.endswith(".*")}
    assert names == expected


def test_a_definition_behind_a_called_one_counts_and_its_neighbour_does_not(library) -> None:
    code, called = "from lib import base\nbase.used(1)", ["lib.base.used"]
    before = library(code, called)
    assert library(code, called, base=MODULES["base"].replace("return helper(x)", "return 0")) == before
    assert library(code, called, base=MODULES["base"].replace("LIMIT = 3", "LIMIT = 4")) != before
    assert library(code, called, base=MODULES["base"].replace("x + LIMIT", "x - LIMIT")) != before
    told = MODULES["base"].replace("def used(x):\n", 'def used(x):\n    """Add."""  # as it says\n\n')
    assert library(code, called, base=told) == before


def test_what_an_import_executes_counts(library) -> None:
    code = "from lib import effects"
    before = library(code, [])
    assert library(code, [], effects=MODULES["effects"].replace("append(1)", "append(2)")) != before


def test_code_that_is_not_python_depends_on_everything(library) -> None:
    found = library("%matplotlib inline", ["lib.base.helper"])
    assert {"lib.base.LIMIT", "lib.base.helper", "lib.objects.Thing", "lib.tables.TABLE"} <= set(found)


def test_reasons() -> None:
    before = {"lib.a.f": "1", "data/tickets/a/x/manifest.json": "missing", "data/claims.yaml": "2", "lib.b.*": "3"}
    assert reason(before, before) == ""
    assert reason(before, {**before, "lib.a.f": "9"}) == "lib.a.f changed"
    assert reason(before, {**before, "data/tickets/a/x/manifest.json": "7"}) == "tickets a/x is new"
    assert reason(before, {**before, "data/claims.yaml": "missing"}) == "data/claims.yaml is gone"
    assert reason(before, {**before, "lib.b.*": "9", "lib.a.f": "9"}, most=1) == "lib.a.f changed and 1 more"
    assert reason(before, {**before, "lib.c.g": "1"}) == "lib.c.g is used, or no more"


# Python's own profiler sees every call, at the price of a third of a chapter's time.
BOTH = """
import cProfile, inspect, json, pathlib
import lib.inputs
profile = cProfile.Profile(builtins=False)
profile.enable()
lib.inputs.watch(pathlib.Path.cwd())
from lib import baselines, claims, evidence, experiments, pages_a, similarity, statistics
baselines.overlap_mean(n=10, kept=5)
baselines.overlap_interval(10, 5)
statistics.cohen_d([1, 2, 3.0], b=[2, 3, 5.0])
claims.load()
experiments.find("a/fashion-lenet/free")
list(map(similarity.null_deviation, [5, 6]))
noted = lib.inputs.noted()
profile.disable()
codes = [entry.code for entry in profile.getstats() if inspect.iscode(entry.code)]
own = [code for code in codes if pathlib.Path(code.co_filename).parent == pathlib.Path(lib.inputs.__file__).parent]
print(json.dumps([noted.called, [f"lib.{pathlib.Path(code.co_filename).stem}.{code.co_qualname}" for code in own]]))
"""


def test_the_functions_that_are_called_are_noted() -> None:
    done = subprocess.run([sys.executable, "-c", BOTH], cwd=build.ROOT, text=True, capture_output=True, check=True)
    called, profiled = (set(names) for names in json.loads(done.stdout))
    functions = {
        f"lib.{path.stem}.{statement.name}"
        for path in (build.ROOT / "lib").glob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.FunctionDef)
    }
    assert called | {"lib.inputs.watch", "lib.inputs._until_called"} == profiled & functions
    assert {"lib.baselines.overlap_interval", "lib.similarity.null_deviation", "lib.claims.load"} < called
    assert "lib.evidence.overlaps" not in called


# What a chapter calls and reads is noted while it runs, in other threads too.
CHAPTER = CELLS + (
    "# %%\nimport concurrent.futures\nfrom lib import baselines, experiments, statistics, tickets\n"
    "print(baselines.overlap_mean(10, 5), tickets.Store().finished(experiments.find('a/fashion-lenet/free')))\n"
    "with concurrent.futures.ThreadPoolExecutor(1) as pool:\n"
    "    print(pool.submit(statistics.cohen_d, [1, 2, 3.0], [2, 3, 5.0]).result())\n"
)


def test_a_chapter_is_due_again_exactly_when_what_it_used_changed(project: Path) -> None:
    write(project, CHAPTER)
    (project / "data").mkdir()

    def why() -> str:
        return "; ".join(job.why for job in build.due_for_the_book(project))

    def replace(path: str, old: str, new: str) -> None:
        text = (project / path).read_text(encoding="utf-8")
        assert old in text
        (project / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    assert why() == "it was not executed yet"
    build.execute_all(build.due_for_the_book(project), quiet=True, root=project)
    assert why() == ""

    # What it does not call or read.
    replace("lib/baselines.py", "def overlap_variance(", "def overlap_variance_of(")
    replace("lib/statistics.py", "def effect_word(", "def effect_words(")
    replace("lib/kernels.py", "import", "import os\nimport")
    (project / "data" / "notes.yaml").write_text("a: 1", encoding="utf-8")
    (project / "requirements" / "test.txt").write_text("", encoding="utf-8")
    manifest = project / "data" / "tickets" / "a" / "conv2" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}", encoding="utf-8")
    assert why() == ""

    # What it calls, in a thread as well, and reads, though it is not there yet.
    for path, old, new, said in (
        (
            "lib/baselines.py",
            "def overlap_mean(n: int, kept: int)",
            "def overlap_mean(n, kept)",
            "lib.baselines.overlap_mean",
        ),
        ("lib/statistics.py", "def cohen_d(a: ArrayLike, b: ArrayLike)", "def cohen_d(a, b)", "lib.statistics.cohen_d"),
        ("requirements/book.txt", "scipy", "scipy  # for statistics", "requirements/book.txt"),
    ):
        before = (project / path).read_text(encoding="utf-8")
        replace(path, old, new)
        assert why() == f"{said} changed"
        (project / path).write_text(before, encoding="utf-8")
        assert why() == ""
    manifest = project / "data" / "tickets" / "a" / "fashion-lenet" / "free" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}", encoding="utf-8")
    assert why() == "tickets a/fashion-lenet/free is new"
    manifest.unlink()
    (project / "notebooks" / "a" / "3-1.py").write_text(CHAPTER.replace("0.8", "0.7"), encoding="utf-8")
    assert why() == "notebooks/a/3-1.py changed"


def test_the_plan_names_each_chapter_and_why(project: Path) -> None:
    write(project, CELLS)
    write(project, CELLS, "a/2.py")
    assert build.plan(project).splitlines() == [
        "2 of 2 chapters would be executed and the pages built",
        "a/2: it was not executed yet",
        "a/3.1: it was not executed yet",
    ]
    build.execute_all(build.due_for_the_book(project), quiet=True, root=project)
    write(project, CELLS + "\n# %%\n1\n")
    assert build.plan(project).splitlines()[1:] == ["a/3.1: notebooks/a/3-1.py changed"]
    state = json.loads((project / ".build" / "executed.json").read_text(encoding="utf-8"))
    assert all(entry["seconds"] > 0 for entry in state.values())


def test_threads_that_parse_at_once_do_not_disturb_each_other():
    """Python 3.11.7 fails here now and then without a lock: a collection of garbage lets another thread go on."""
    code = Path(inputs.__file__).read_text(encoding="utf-8")
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()

    def give_way(phase, info):
        time.sleep(0)

    gc.callbacks.append(give_way)
    gc.set_threshold(300)
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = {ast.dump(tree) for tree in pool.map(inputs.parsed, [code] * 40)}
    finally:
        gc.callbacks.remove(give_way)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    assert found == {ast.dump(ast.parse(code))}
