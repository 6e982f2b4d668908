"""Nothing is lost and nothing half-written: processes killed at random moments, full disks, read-only folders.

Each process under test is forked from this one, so that no time goes into imports.  It does what the command line
does, and ends with its exit status.  It is killed as ``kill -9`` does, alone: what it started must end by itself.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from made import made_images, made_store, tiny_experiment
from processes import eventually

from lib import build, cli, datasets
from lib.errors import UserError
from lib.experiments import EXPERIMENTS
from lib.tickets import Store

training = pytest.importorskip("lib.training")
pytestmark = pytest.mark.killing
EXPERIMENT = tiny_experiment()
# How often each kind of process is killed at a random moment; 200 in all.
KILLS = {"training": 65, "importing": 45, "verifying": 30, "executing": 35, "building": 25}
IN_A_ROW = 4  # kills before a run may come through
Action = Callable[[], object]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)


# --- processes -----------------------------------------------------------------------------------------------


def fork(action: Action, log: Path | None = None) -> int:
    """Do something in a process of its own; it ends with the status that the action returns, or that its error has."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        sink = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(sink, 1), os.dup2(sink, 2)
        sys.stdout = sys.stderr = os.fdopen(sink, "w", buffering=1)
        returned = action()
        status = returned if isinstance(returned, int) else 0
    except (UserError, OSError) as error:  # as the command line has it
        print(cli._sentence(error))
        status = 2
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    """Wait for a process; its exit status, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(action: Action) -> int:
    return status_of(fork(action))


def killed_after(action: Action, seconds: float) -> int:
    """Fork, and kill that process after a time if it has not ended; -9 if it was killed."""
    pid = fork(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a process that has ended is still there until it is waited for
    return status_of(pid)


def killed_at(action: Action, number: int) -> int:
    """Fork a process that kills itself just before its `number`-th step of writing a file."""

    def doomed() -> object:
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
        return action()

    pid = fork(doomed)
    return status_of(pid)


def killed_at_random(
    kind: str,
    tried: Callable[[str, bool], None],
    action: Action,
    fresh: Action,
    partial: Action,
    whole: Action,
) -> None:
    """Kill an action KILLS[kind] times, at random moments: a few times in a row, then the next run comes through.

    `partial` asserts what must hold after a kill, `whole` what must hold after a run that came through; `fresh` makes
    everything as it was at first.
    """
    chance = random.Random(kind)
    fresh()
    begin = time.monotonic()
    assert run(action) == 0
    seconds = time.monotonic() - begin
    whole()
    fresh()
    killed = in_a_row = 0
    for _ in range(10 * KILLS[kind]):
        status = killed_after(action, chance.uniform(0, seconds))
        assert status in (0, -9)
        partial()
        if status:
            killed, in_a_row = killed + 1, in_a_row + 1
            tried(f"kill -9 at a random moment: {kind}", True)
        if status == 0 or in_a_row == IN_A_ROW or killed == KILLS[kind]:
            assert run(action) == 0  # the next run goes on
            whole()
            fresh()
            in_a_row = 0
        if killed == KILLS[kind]:
            return
    raise AssertionError(f"{kind} always ended before it was killed")


def killed_at_every_step(kind: str, tried, action: Action, fresh: Action, partial: Action, whole: Action) -> int:
    """Kill an action just before each of its steps of writing a file; return how many there are."""
    for number in range(1000):
        fresh()
        status = killed_at(action, number)
        partial()
        if status == 0:
            whole()
            return number
        assert status == -9
        assert run(action) == 0
        whole()
        tried(f"kill -9 before each step of writing a file: {kind}", True)
    raise AssertionError(f"{kind} writes without end")


def marked(mark: str) -> list[int]:
    """The processes whose environment holds a mark, as those have that a marked process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


# --- what is done: training, importing, verifying, executing, building ----------------------------------------


def train_here(*arguments) -> training.Trained:
    """Stands in the place of training in worker processes, whose start would take most of the time here."""
    experiment, images, level, masks, *_ = arguments
    parts = [training.train_stack(experiment, images, level, masks[r : r + 1], training.np.array([r])) for r in
             range(experiment.replicas)]  # fmt: skip
    names = ("parameters", "logits", "correct", "losses")
    return training.Trained(*(training.np.concatenate([getattr(p, n) for p in parts]) for n in names))


@pytest.fixture
def train(monkeypatch):
    images = made_images()
    monkeypatch.setattr(training, "_train_on_cpu", train_here)
    monkeypatch.setattr(datasets, "load", lambda *_: images)
    options = ["--device", "cpu", "--workers", "1", "--quiet"]
    return lambda root: cli.main(["train", EXPERIMENT.name, "--tickets", str(root), *options])


def import_from(source: Path, root: Path) -> int:
    return cli.main(["import", str(source), "--tickets", str(root)])


def verify(root: Path) -> int:
    return cli.main(["verify", "--tickets", str(root)])


def ticket_files(root: Path) -> dict[str, str]:
    """The hash of every file of the experiment, besides lock and manifest, which holds times."""
    folder = Store(root).folder(EXPERIMENT)
    names = [p for p in folder.iterdir() if p.name not in (".lock", "manifest.json")] if folder.exists() else []
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in names}


@pytest.fixture
def undisturbed(tmp_path, train):
    assert run(lambda: train(tmp_path / "undisturbed")) == 0
    right = ticket_files(tmp_path / "undisturbed")
    assert sorted(right) == ["50.npz", "80.npz", "dense.npz"]
    return right


def whole_or_absent(root: Path, right: dict[str, str]) -> None:
    """Every level that the manifest names is whole, and training can go on from the last one.

    What is not named is the right file, or masks that wait, or no ticket file.
    """
    store = Store(root)
    finished = store.finished(EXPERIMENT)
    for level in EXPERIMENT.levels[: len(finished) + 1]:
        store.masks(EXPERIMENT, level)
    for level in finished:
        store.read(EXPERIMENT, level)
    for name, digest in ticket_files(root).items():
        if not name.startswith(".") and not name.endswith("_masks.npz"):
            assert digest == right[name], name


CHAPTER = '# %% tags=["parameters"]\nlevel: float = 0.8  # pruned\n\n# %%\nprint(level, "-" * 50_000)\n'


def one_chapter(project: Path) -> Path:
    (project / "notebooks" / "a" / "1.py").write_text(CHAPTER, encoding="utf-8")
    return project


def execute(project: Path, out: Path) -> None:
    build.execute("a/1", {}, out, quiet=True, root=project)


def small_book(project: Path) -> Path:
    (project / "notebooks" / "index.py").write_text("# %% [markdown]\n# # A book\n", encoding="utf-8")
    (project / "notebooks" / "a" / "1.py").write_text("# %% [markdown]\n# # A chapter\n\n" + CHAPTER, encoding="utf-8")
    (project / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/a/1\n", encoding="utf-8"
    )
    (project / "_config.yml").write_text("title: A book\nexecute:\n  execute_notebooks: 'off'\n", encoding="utf-8")
    return project


@pytest.fixture
def build_book(monkeypatch):
    monkeypatch.setattr(build, "_foreign", lambda folder: set())  # without this book's settings a page loads fonts
    return lambda project: build.build(quiet=True, root=project) and None


def pages(project: Path) -> dict[str, str]:
    html = project / "book" / "_build" / "html"
    return {
        str(p.relative_to(html)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(html.rglob("*"))
        # Sphinx's own notes hold times
        if p.is_file() and p.suffix in (".html", ".ipynb", ".css", ".js")
    }


def executed(project: Path) -> dict[str, str]:
    notebooks = (project / "book").glob("**/*.ipynb")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in notebooks if "_build" not in p.parts}


def book_whole_or_due(project: Path, right: tuple[dict[str, str], dict[str, str]]) -> None:
    """What was executed is as it should be or absent; the pages are as they should be, or the next build makes them."""
    assert executed(project).items() <= right[0].items()
    for state in (project / ".build").glob("*.json"):
        json.loads(state.read_text(encoding="utf-8"))
    if not build._html_is_due(project):
        assert pages(project) == right[1]


def unfinished(folder: Path) -> list[Path]:
    """What `write_whole` leaves when it is killed."""
    return [p for p in folder.rglob(".*-????????") if p.is_file()]


# --- kill -9 -------------------------------------------------------------------------------------------------


def test_kills_are_200():
    assert sum(KILLS.values()) == 200


def test_training(tmp_path, train, undisturbed, tried):
    root = tmp_path / "store"

    def whole() -> None:
        assert ticket_files(root) == undisturbed  # nothing unfinished is left either
        assert Store(root).verify(EXPERIMENT) == (["dense", "50", "80"], [])

    fresh, partial = lambda: shutil.rmtree(root, ignore_errors=True), lambda: whole_or_absent(root, undisturbed)
    killed_at_random("training", tried, lambda: train(root), fresh, partial, whole)
    steps = killed_at_every_step("training", tried, lambda: train(root), fresh, partial, whole)
    assert steps >= 3 * 2 * 4  # levels, files, steps: all of them were met


def test_training_killed_at_its_very_last_step(tmp_path, train, undisturbed, tried):
    """All levels are there, and masks of one of them still wait: the next run has nothing to train, and tidies up."""
    root = tmp_path / "undisturbed"
    (Store(root).folder(EXPERIMENT) / "80_masks.npz").write_bytes(b"left")
    good = run(lambda: train(root)) == 0 and ticket_files(root) == undisturbed
    tried("kill -9 before each step of writing a file: training", good)
    assert good, ticket_files(root)


def test_workers_end_with_a_killed_training(tmp_path, tried):
    """The real thing: worker processes and all."""
    images, mark = made_images(), uuid.uuid4().hex

    def action() -> None:
        os.environ["FAULTS_MARK"] = mark
        training.train(tiny_experiment(epochs=2000), images, Store(tmp_path), "cpu", 2, quiet=True)

    pid = fork(action)
    try:
        assert eventually(lambda: len(marked(mark)) >= 2, 600)
    finally:
        os.kill(pid, signal.SIGKILL)
        status_of(pid)
    good = eventually(lambda: not marked(mark), 300)
    tried("kill -9: nothing that it started goes on", good)
    assert good, marked(mark)


def test_importing(tmp_path, tried):
    source, root = made_store(tmp_path / "source", EXPERIMENT).root, tmp_path / "store"
    right = ticket_files(source)

    def whole() -> None:
        assert ticket_files(root) == right
        manifests = [(Store(x).folder(EXPERIMENT) / "manifest.json").read_bytes() for x in (source, root)]
        assert manifests[0] == manifests[1]

    def fresh() -> None:
        shutil.rmtree(root, ignore_errors=True)

    things = (lambda: import_from(source, root), fresh, lambda: whole_or_absent(root, right), whole)
    killed_at_random("importing", tried, *things)
    assert killed_at_every_step("importing", tried, *things) >= 3 * 2 * 4


def test_verifying_changes_nothing(tmp_path, tried):
    root = made_store(tmp_path, EXPERIMENT).root
    manifest = Store(root).folder(EXPERIMENT) / "manifest.json"
    right = ticket_files(root), manifest.read_bytes()

    def same() -> None:
        assert (ticket_files(root), manifest.read_bytes()) == right

    killed_at_random("verifying", tried, lambda: verify(root), lambda: None, same, same)


def test_executing(project, tried):
    one_chapter(project)
    out, mark = project / "out" / "1.ipynb", uuid.uuid4().hex
    assert run(lambda: execute(project, out)) == 0
    right = out.read_bytes()

    def action() -> None:
        os.environ["FAULTS_MARK"] = mark
        execute(project, out)

    def whole() -> None:
        assert out.read_bytes() == right

    def partial() -> None:
        assert not out.exists() or out.read_bytes() == right

    def fresh() -> None:
        out.unlink(missing_ok=True)

    killed_at_random("executing", tried, action, fresh, partial, whole)
    good = eventually(lambda: not marked(mark), 300)
    tried("kill -9: nothing that it started goes on", good)
    assert good


def test_building(project, tried, build_book):
    small_book(project)
    assert run(lambda: build_book(project)) == 0
    right = executed(project), pages(project)
    assert set(right[0]) == {"index.ipynb", "1.ipynb"}
    assert "index.html" in right[1] and "notebooks/a/1.html" in right[1]

    def fresh() -> None:
        for made in (".build", "book"):
            shutil.rmtree(project / made)
        (project / "book").mkdir()

    def whole() -> None:
        assert (executed(project), pages(project)) == right
        assert not unfinished(project / "book") and not unfinished(project / ".build")

    killed_at_random(
        "building", tried, lambda: build_book(project), fresh, lambda: book_whole_or_due(project, right), whole
    )


# --- full disks ----------------------------------------------------------------------------------------------


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


def size_of(place: Path) -> int:
    """The kilobytes that are used of a file system."""
    about = os.statvfs(place)
    return (about.f_blocks - about.f_bfree) * about.f_frsize // 1024


def refused_for(log: Path, *reasons: str) -> bool:
    """Whether a process said one of some reasons, and showed no traceback."""
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said
    assert any(reason in said for reason in reasons), said
    return True


def on_full_disks(disk, tried, kind: str, action: Action, fresh: Action, partial: Action, whole: Action, log: Path):
    """Do something on disks of eight sizes, all too small for it; then on one with room."""
    place = disk("-o", "remount,size=60m")
    fresh()
    before = size_of(place)
    assert status_of(fork(action, log)) == 0, log.read_text()
    whole()
    needed = size_of(place) - before
    for part in range(8):
        disk("-o", "remount,size=60m")
        fresh()
        disk("-o", f"remount,size={max(4, before + needed * part // 8)}k")
        status = status_of(fork(action, log))
        good = status == 2 and refused_for(log, "No space left on device")
        tried(f"full disk: {kind}", good)
        assert good, (status, log.read_text())
        partial()
    disk("-o", "remount,size=60m")
    assert status_of(fork(action, log)) == 0, log.read_text()  # the next run goes on
    whole()


def copy_project(project: Path, there: Path) -> None:
    (there / "book").mkdir(parents=True)
    for part in ("lib", "requirements", "notebooks"):
        shutil.copytree(project / part, there / part)
    for part in project.glob("_*.yml"):
        shutil.copy(part, there)


def emptied(place: Path) -> None:
    for left in place.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def test_a_full_disk_for_training(disk, train, undisturbed, tried, tmp_path):
    place = tmp_path / "disk"

    def partial() -> None:
        whole_or_absent(place, undisturbed)
        assert not unfinished(place)

    def whole() -> None:
        assert ticket_files(place) == undisturbed

    fresh = lambda: emptied(place)  # noqa: E731
    on_full_disks(disk, tried, "training", lambda: train(place), fresh, partial, whole, tmp_path / "log")


def test_a_full_disk_for_importing_and_verifying(disk, tried, tmp_path):
    source, place = made_store(tmp_path / "source", EXPERIMENT).root, tmp_path / "disk"
    right = ticket_files(source)

    def partial() -> None:
        whole_or_absent(place, right)
        assert not unfinished(place)

    def whole() -> None:
        assert ticket_files(place) == right

    fresh, log = (lambda: emptied(place)), tmp_path / "log"
    on_full_disks(disk, tried, "importing", lambda: import_from(source, place), fresh, partial, whole, log)
    disk("-o", f"remount,size={size_of(place)}k")
    assert status_of(fork(lambda: verify(place), log)) == 0, log.read_text()  # which writes nothing
    assert ticket_files(place) == right
    tried("full disk: verifying", True)


def test_a_full_disk_for_executing(disk, project, tried, tmp_path):
    one_chapter(project)
    place = tmp_path / "disk"
    out = place / "1.ipynb"
    assert run(lambda: execute(project, tmp_path / "right.ipynb")) == 0
    right = (tmp_path / "right.ipynb").read_bytes()

    def partial() -> None:
        assert not out.exists() or out.read_bytes() == right
        assert not unfinished(place)

    def whole() -> None:
        assert out.read_bytes() == right

    fresh, log = (lambda: emptied(place)), tmp_path / "log"
    on_full_disks(disk, tried, "executing", lambda: execute(project, out), fresh, partial, whole, log)


def test_a_full_disk_for_building(disk, project, tried, tmp_path, build_book):
    small_book(project)
    assert run(lambda: build_book(project)) == 0
    right = executed(project), pages(project)
    there = tmp_path / "disk" / "book"

    def fresh() -> None:
        emptied(tmp_path / "disk")
        copy_project(project, there)

    def whole() -> None:
        assert (executed(there), pages(there)) == right

    on_full_disks(
        disk,
        tried,
        "building",
        lambda: build_book(there),
        fresh,
        lambda: book_whole_or_due(there, right),
        whole,
        tmp_path / "log",
    )


# --- read-only folders ---------------------------------------------------------------------------------------


def without_privileges(action: Action) -> Action:
    """Let an action be held back by the permissions of files, as root is not."""

    def held_back() -> object:
        # Linux's capset, version 3: no capability is left.
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, data):
            raise RuntimeError("the privileges cannot be given up")
        return action()

    return held_back


@pytest.fixture(params=["mount", "permissions"])
def read_only(request, tmp_path):
    """A folder, how to make it read-only, and what an action in it must be wrapped in; two ways to do so."""
    place = tmp_path / "disk"
    if request.param == "mount":
        disk = request.getfixturevalue("disk")
        disk("-o", "remount,size=60m")
        return place, lambda: disk("-o", "remount,ro"), lambda action: action
    place.mkdir()

    def lock() -> None:
        for path in [place, *place.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

    request.addfinalizer(lambda: [p.chmod(0o755) for p in [place, *place.rglob("*")] if p.is_dir()])
    return place, lock, without_privileges


READ_ONLY = ("Read-only file system", "Permission denied")


def test_a_read_only_folder(read_only, train, undisturbed, tried, tmp_path, project, build_book):
    place, lock, held_back = read_only
    log = tmp_path / "log"
    one_chapter(project)
    trained = made_store(tmp_path / "source", EXPERIMENT).root
    shutil.copytree(trained, place / "trained")
    copy_project(project, place / "project")
    small_book(place / "project")
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    lock()
    for kind, action in {
        "training": lambda: train(place / "store"),
        "importing": lambda: import_from(trained, place / "store"),
        "executing": lambda: execute(project, place / "1.ipynb"),
        "building": lambda: build_book(place / "project"),
    }.items():
        status = status_of(fork(held_back(action), log))
        good = status == 2 and refused_for(log, *READ_ONLY)
        tried(f"read-only folder: {kind}", good)
        assert good, (kind, status, log.read_text())
    for kind, action in {
        "verifying": lambda: verify(place / "trained"),  # reading needs no place to write
        "training what is trained": lambda: train(place / "trained"),
        "importing what is there": lambda: import_from(trained, place / "trained"),
    }.items():
        status = status_of(fork(held_back(action), log))
        tried(f"read-only folder: {kind}", status == 0)
        assert status == 0, (kind, log.read_text())
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before


# --- two at once ---------------------------------------------------------------------------------------------


def at_once(actions: list[Action], logs: list[Path]) -> tuple[list[int], list[str]]:
    """Do several things at once; how each ended, and what it said."""
    pids = [fork(action, log) for action, log in zip(actions, logs, strict=True)]
    return [status_of(pid) for pid in pids], [log.read_text(encoding="utf-8") for log in logs]


@pytest.mark.parametrize("kinds", ["training and training", "importing and importing", "training and importing"])
def test_two_at_once_on_a_store(tmp_path, train, undisturbed, tried, kinds):
    """One says why not; or it came when the other had ended, or both entered the same level, one after the other."""
    do = {"training": train, "importing": lambda root: import_from(tmp_path / "undisturbed", root)}
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    for number in range(10):
        root = tmp_path / f"both-{number}"
        statuses, said = at_once([lambda k=k, root=root: do[k](root) for k in kinds.split(" and ")], logs)
        good = sorted(statuses) in ([0, 0], [0, 2])
        for status, words in zip(statuses, said, strict=True):
            good &= status == 0 or (f"another process is writing {EXPERIMENT.name}" in words and "wait" in words)
        tried(f"two at once on a store: {kinds}", good)
        assert good, (statuses, said)
        assert run(lambda root=root: do[kinds.split(" ")[0]](root)) == 0
        assert ticket_files(root) == undisturbed


def test_verifying_beside_training(tmp_path, train, undisturbed, tried):
    """What is verified while it is written is whole, level by level."""
    for number in range(10):
        root = tmp_path / f"store-{number}"
        pid = fork(lambda root=root: train(root))
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            assert {problem.what for problem in Store(root).verify(EXPERIMENT)[1]} <= {"missing"}
        assert status_of(pid) == 0
        assert ticket_files(root) == undisturbed
        tried("two at once on a store: training and verifying", True)


def test_two_builds_at_once(project, tried, tmp_path, build_book):
    small_book(project)
    assert run(lambda: build_book(project)) == 0
    right = executed(project), pages(project)
    logs = [tmp_path / "one.log", tmp_path / "other.log"]

    def action() -> None:
        build.build(root=project)

    for _ in range(3):
        shutil.rmtree(project / ".build")
        shutil.rmtree(project / "book")
        (project / "book").mkdir()
        statuses, said = at_once([action, action], logs)
        good = statuses == [0, 0] and sum("Another build of this book is running: waiting" in s for s in said) == 1
        good &= (executed(project), pages(project)) == right
        tried("two at once on a book: one waits", good)
        assert good, (statuses, said)
