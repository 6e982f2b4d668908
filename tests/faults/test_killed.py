"""Nothing is lost and nothing half-written: processes killed at random moments, full disks, read-only folders.

Each process under test is forked from this one, so that no time goes into imports; it is killed as ``kill -9`` does,
alone, and what it started must end by itself.
"""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from made import PROVENANCE, made_images, made_store, tiny_experiment

from lib import build, files
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.tickets import Store

training = pytest.importorskip("lib.training")
pytestmark = pytest.mark.killing
ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = tiny_experiment()
# How often each kind of process is killed; 200 in all, besides those that kill themselves in the midst of a write.
KILLS = {"training": 70, "writing": 60, "verifying": 30, "executing": 25, "building": 15}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)


def fork(action: Callable[[], object]) -> int:
    """Do something in a process of its own: exit status 0, 2 if it was refused, 1 if it failed otherwise."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except (UserError, OSError):
        status = 2
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    """Wait for a process; its exit status, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(action: Callable[[], object], seconds: float) -> int:
    """Fork, and kill that process after a time if it has not ended; -9 if it was killed."""
    pid = fork(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a process that has ended is still there until it is waited for
    return status_of(pid)


def killed_at(action: Callable[[], object], number: int) -> int:
    """Fork a process that kills itself just before its `number`-th step of writing a file."""

    def doomed() -> None:
        left = [number]

        def counted(function: Callable) -> Callable:
            def call(*arguments, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("replace", "fsync", "chmod", "rename", "fdopen"):
            setattr(os, name, counted(getattr(os, name)))
        action()

    return status_of(fork(doomed))


def train_here(*arguments) -> training.Trained:
    """Stands in the place of training in worker processes, whose start would take most of the time here."""
    experiment, images, level, masks, _, _ = arguments
    parts = [training.train_stack(experiment, images, level, masks[r : r + 1], training.np.array([r])) for r in
             range(experiment.replicas)]  # fmt: skip
    names = ("parameters", "logits", "correct", "losses")
    return training.Trained(*(training.np.concatenate([getattr(p, n) for p in parts]) for n in names))


@pytest.fixture
def train(monkeypatch):
    monkeypatch.setattr(training, "_train_on_cpu", train_here)
    images = made_images()
    return lambda store: training.train(EXPERIMENT, images, store, "cpu", 1, quiet=True)


def ticket_files(store: Store) -> dict[str, str]:
    """The hash of every file of the experiment, besides lock and manifest, which holds times."""
    folder = store.folder(EXPERIMENT)
    names = [p for p in folder.iterdir() if p.name not in (".lock", "manifest.json")] if folder.exists() else []
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in names}


@pytest.fixture
def undisturbed(tmp_path, train):
    store = Store(tmp_path / "undisturbed")
    begin = time.monotonic()
    assert status_of(fork(lambda: train(store))) == 0
    return ticket_files(store), time.monotonic() - begin


def whole_or_absent(store: Store, right: dict[str, str]) -> None:
    """Every level that the manifest names is whole, and training can go on from the last one.

    What is not named is the right file, or masks that wait, or no ticket file.
    """
    finished = store.finished(EXPERIMENT)
    for level in EXPERIMENT.levels[: len(finished) + 1]:
        store.masks(EXPERIMENT, level)
    for level in finished:
        store.read(EXPERIMENT, level)
    for name, digest in ticket_files(store).items():
        if not name.startswith(".") and not name.endswith("_masks.npz"):
            assert digest == right[name], name


def test_training(tmp_path, train, undisturbed, tried):
    right, seconds = undisturbed
    chance = random.Random(1)
    runs = killed = 0
    while killed < KILLS["training"]:
        store = Store(tmp_path / f"store-{runs}")
        runs += 1
        assert runs < 5 * KILLS["training"]
        while True:
            status = killed_after(lambda store=store: train(store), chance.uniform(0, 0.9 * seconds))
            whole_or_absent(store, right)
            if status == 0 or killed >= KILLS["training"]:
                break
            assert status == -9
            killed += 1
            tried("kill -9 at a random moment: training", True)
        assert status_of(fork(lambda store=store: train(store))) == 0
        assert ticket_files(store) == right
        assert store.verify(EXPERIMENT) == (["dense", "50", "80"], [])


def test_training_in_the_midst_of_every_write(tmp_path, train, undisturbed, tried):
    right, _ = undisturbed
    for number in range(1000):
        store = Store(tmp_path / f"store-{number}")
        status = killed_at(lambda store=store: train(store), number)
        whole_or_absent(store, right)
        if status == 0:
            break
        assert status == -9
        assert status_of(fork(lambda store=store: train(store))) == 0
        assert ticket_files(store) == right
        tried("kill -9 before each step of writing a file: training", True)
    assert number >= 3 * 2 * 4 - 1  # levels, files, steps: all of them were met


def test_workers_end_with_a_killed_training(tmp_path, tried):
    """The real thing: worker processes and all."""
    images, mark = made_images(), uuid.uuid4().hex

    def action() -> None:
        os.environ["FAULTS_MARK"] = mark
        training.train(tiny_experiment(epochs=2000), images, Store(tmp_path), "cpu", 2, quiet=True)

    pid = fork(action)
    try:
        assert eventually(lambda: len(marked(mark)) >= 2, 60)
    finally:
        os.kill(pid, signal.SIGKILL)
        status_of(pid)
    good = eventually(lambda: not marked(mark), 30)
    tried("kill -9: nothing that it started goes on", good)
    assert good, marked(mark)


def marked(mark: str) -> list[int]:
    """The processes whose environment holds a mark, as those have that a marked process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return holds()


def test_entering_levels_in_the_store(tmp_path, tried):
    """What importing tickets does: a level written over one that is there."""
    source = made_store(tmp_path / "source", EXPERIMENT)
    masks = [source.masks(EXPERIMENT, level) for level in EXPERIMENT.levels]
    records = [(level, source.read(EXPERIMENT, level)) for level in EXPERIMENT.levels]
    right = ticket_files(source)

    def enter(store: Store) -> None:
        for (level, record), following in zip(records, [*masks[1:], None], strict=True):
            store.write(EXPERIMENT, level, record, PROVENANCE, following)

    begin = time.monotonic()
    enter(Store(tmp_path / "timed"))
    seconds = time.monotonic() - begin
    chance = random.Random(2)
    for number in range(KILLS["writing"]):
        store = Store(tmp_path / f"store-{number % 5}")  # some of them over what is there
        killed_after(lambda store=store: enter(store), chance.uniform(0, seconds))
        whole_or_absent(store, right)
        tried("kill -9 at a random moment: entering levels in the store", True)
    for number in range(5):
        store = Store(tmp_path / f"store-{number}")
        enter(store)
        assert ticket_files(store) == right


def test_verifying_changes_nothing(tmp_path, tried):
    store = made_store(tmp_path, EXPERIMENT)
    right = ticket_files(store)
    chance = random.Random(3)
    begin = time.monotonic()
    store.verify(EXPERIMENT)
    seconds = time.monotonic() - begin
    for _ in range(KILLS["verifying"]):
        killed_after(lambda: store.verify(EXPERIMENT), chance.uniform(0, seconds))
        assert ticket_files(store) == right
        tried("kill -9 at a random moment: verifying", True)
    assert store.verify(EXPERIMENT)[1] == []


CHAPTER = '# %% tags=["parameters"]\nlevel: float = 0.8  # pruned\n\n# %%\nprint(sum(range(10**5)), level)\n'


def test_executing(project, tried):
    (project / "notebooks" / "a" / "1.py").write_text(CHAPTER, encoding="utf-8")
    out, mark = project / "out" / "1.ipynb", uuid.uuid4().hex

    def action() -> None:
        os.environ["FAULTS_MARK"] = mark
        build.execute("a/1", {}, out, quiet=True, root=project)

    begin = time.monotonic()
    assert status_of(fork(action)) == 0
    seconds, right = time.monotonic() - begin, out.read_bytes()
    chance = random.Random(4)
    for _ in range(KILLS["executing"]):
        shutil.rmtree(out.parent, ignore_errors=True)
        killed_after(action, chance.uniform(0, seconds))
        assert not out.exists() or out.read_bytes() == right
        tried("kill -9 at a random moment: executing a chapter", True)
    good = eventually(lambda: not marked(mark), 60)
    tried("kill -9: nothing that it started goes on", good)
    assert good
    assert status_of(fork(action)) == 0 and out.read_bytes() == right


def small_book(project: Path) -> None:
    (project / "notebooks" / "index.py").write_text("# %% [markdown]\n# # A book\n", encoding="utf-8")
    (project / "notebooks" / "a" / "1.py").write_text("# %% [markdown]\n# # A chapter\n\n" + CHAPTER, encoding="utf-8")
    (project / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/a/1\n", encoding="utf-8"
    )
    (project / "_config.yml").write_text("title: A book\nexecute:\n  execute_notebooks: 'off'\n", encoding="utf-8")


def pages(project: Path) -> dict[str, str]:
    html = project / "book" / "_build" / "html"
    return {
        str(p.relative_to(html)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(html.rglob("*"))
        # Sphinx's own notes hold times
        if p.is_file() and p.suffix in (".html", ".ipynb", ".css", ".js")
    }


def test_building(project, tried, monkeypatch):
    small_book(project)
    monkeypatch.setattr(build, "_foreign", lambda folder: set())  # without this book's settings a page loads fonts
    log = project / "log"

    def action() -> None:
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1), os.dup2(sink, 2)
        build.build(quiet=True, root=project)

    begin = time.monotonic()
    assert status_of(fork(action)) == 0, log.read_text()
    seconds, right = time.monotonic() - begin, pages(project)
    assert "index.html" in right and "notebooks/a/1.html" in right
    chance = random.Random(5)
    for number in range(KILLS["building"]):
        if number % 3 == 0:
            for made in (".build", "book"):
                shutil.rmtree(project / made, ignore_errors=True)
            (project / "book").mkdir()
        killed_after(action, chance.uniform(0, seconds))
        tried("kill -9 at a random moment: building the book", True)
    assert status_of(fork(action)) == 0, log.read_text()
    assert pages(project) == right
    # What `write_whole` leaves when it is killed; the build removes it.
    assert not [p for p in (project / "book").rglob(".*") if p.is_file() and "_build" not in p.parts]


# --- full disks and read-only folders ------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A small file system in memory, and how to mount it anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options: str) -> Path:
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        return place

    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")
    yield mount
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(disk, train, undisturbed, tried, tmp_path):
    right, _ = undisturbed
    place = tmp_path / "disk"
    refused = 0
    for kilobytes in (4, 16, 64, 128, 200, 256, 300, 400, 500, 600, 700, 800):
        disk("-o", f"remount,size={kilobytes}k")
        store = Store(place)
        status = status_of(fork(lambda store=store: train(store)))
        assert status in (0, 2)
        refused += status == 2
        whole_or_absent(store, right)
        assert not [name for name in ticket_files(store) if name.startswith(".")]  # nothing unfinished is left
        tried("full disk: training", True)
    assert refused >= 3
    disk("-o", "remount,size=10m")
    assert status_of(fork(lambda: train(Store(place)))) == 0
    assert ticket_files(Store(place)) == right


def test_a_full_disk_for_a_chapter(disk, project, tried, tmp_path):
    (project / "notebooks" / "a" / "1.py").write_text(CHAPTER, encoding="utf-8")
    out = tmp_path / "disk" / "1.ipynb"
    (tmp_path / "disk" / "ballast").write_bytes(bytes(60 * 1024))
    assert status_of(fork(lambda: files.write_whole(out, bytes(50_000)))) == 2
    assert not out.exists() and not list(out.parent.glob(".*"))
    disk("-o", "remount,size=10m")
    assert status_of(fork(lambda: build.execute("a/1", {}, out, quiet=True, root=project))) == 0
    right = out.read_bytes()
    (tmp_path / "disk" / "ballast").write_bytes(bytes(9_000_000))
    disk("-o", f"remount,size={(9_000_000 // 4096 + 2) * 4}k")
    out.with_name("more").write_bytes(b"")
    with contextlib.suppress(OSError):
        out.with_name("more").write_bytes(bytes(1_000_000))  # now it is full
    status = status_of(fork(lambda: build.execute("a/1", {}, out, quiet=True, root=project)))
    assert status == 2 and out.read_bytes() == right
    tried("full disk: executing", True)


def test_a_read_only_folder(disk, train, undisturbed, tried, tmp_path, project):
    right, _ = undisturbed
    place = tmp_path / "disk"
    disk("-o", "remount,size=10m")
    store = Store(place)
    (project / "notebooks" / "a" / "1.py").write_text(CHAPTER, encoding="utf-8")
    disk("-o", "remount,ro")
    assert status_of(fork(lambda: train(store))) == 2
    assert status_of(fork(lambda: build.execute("a/1", {}, place / "1.ipynb", quiet=True, root=project))) == 2
    assert list(place.iterdir()) == []
    disk("-o", "remount,rw")
    assert status_of(fork(lambda: train(store))) == 0
    disk("-o", "remount,ro")
    assert store.verify(EXPERIMENT) == (["dense", "50", "80"], [])  # reading needs no place to write
    assert status_of(fork(lambda: train(store))) in (0, 2)
    assert ticket_files(store) == right
    for _ in range(4):
        tried("read-only folder: training, executing, verifying, training what is trained", True)


# --- two at once ---------------------------------------------------------------------------------------------


def test_two_trainings_at_once(tmp_path, train, undisturbed, tried):
    right, _ = undisturbed
    for number in range(10):
        store = Store(tmp_path / f"both-{number}")
        both = [fork(lambda store=store: train(store)) for _ in range(2)]
        statuses = sorted(status_of(pid) for pid in both)
        assert statuses in ([0, 2], [0, 0])  # one says why not; or it came when the other had ended
        assert ticket_files(store) == right
        tried("two processes at once on a store", True)


def test_two_builds_at_once(project, tried):
    (project / "notebooks" / "a" / "1.py").write_text(CHAPTER, encoding="utf-8")
    out = project / "book" / "notebooks" / "a" / "1.ipynb"

    def action() -> None:
        with build.alone(project, quiet=True):
            build.execute_all(build.due_for_the_book(project), True, 1, project)

    for _ in range(3):
        both = [fork(action) for _ in range(2)]
        assert [status_of(pid) for pid in both] == [0, 0]
        assert out.exists()
        out.unlink()
        tried("two processes at once on a book", True)
