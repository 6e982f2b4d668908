"""Executes chapters and builds the book.

A chapter is a jupytext notebook below ``notebooks/``.  Executed, it becomes an ``.ipynb`` below ``book/``, which
Jupyter Book turns into HTML.  Both steps are done only when something they depend on has changed (`lib.inputs`):
jupyter-cache, the usual way, sees neither a changed module nor changed tickets.
"""

import ast
import base64
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import html
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import filelock
import jupytext
import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbformat import NotebookNode
from papermill import PapermillExecutionError, execute_notebook
from tqdm import tqdm

from lib import inputs, links
from lib.errors import UserError, shown
from lib.files import remove_leftovers, write_whole
from lib.notebook import FIGURE_TYPE, TABLE_TYPE

ROOT = Path(__file__).resolve().parent.parent


# --- chapters and their parameters ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A line of a chapter's parameters cell: ``name: type = default  # meaning``."""

    name: str
    type: str
    default: Any
    meaning: str

    def convert(self, value: Any) -> Any:
        """Return `value`, a string from the command line or a Python value, in the parameter's type.

        Raises
        ------
        UserError
            If it cannot be one.
        """
        if self.type == "str" and isinstance(value, str):
            return value
        if self.type == "bool":
            if isinstance(value, bool):
                return value
            if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
        if self.type in ("int", "float") and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                number = float(value) if self.type == "float" else int(str(value))
            except ValueError:
                number = math.nan
            if abs(number) < 1e300:
                return number
        raise UserError(f"parameter {self.name} is {shown(value)}: it should be {_KINDS[self.type]} ({self.meaning})")


_KINDS = {"str": "text", "bool": "true or false", "int": "a whole number", "float": "a number"}


def chapters(root: Path = ROOT) -> dict[str, Path]:
    """Return the chapters' files by id, in the order of their paths.

    The id is the path below ``notebooks/``, with '-' as '.' and 'appendix-a' as 'A': ``a/3-1.py`` is 'a/3.1'.
    """
    result = {}
    for path in sorted((root / "notebooks").rglob("*.py")):
        *folders, stem = path.relative_to(root / "notebooks").with_suffix("").parts
        appendix = re.fullmatch(r"appendix-([a-z].*)", stem)
        stem = appendix[1][0].upper() + appendix[1][1:] if appendix else stem
        result["/".join([*folders, stem.replace("-", ".")])] = path
    return result


def executed_path(chapter: str, root: Path = ROOT) -> Path:
    """Return where the book's own execution of a chapter is."""
    return root / _executed(chapter, root)


def _executed(chapter: str, root: Path = ROOT) -> str:
    # The landing page is the root of the book, so that index.html is at the top.
    place = chapter_path(chapter, root).relative_to(root / "notebooks" if chapter == "index" else root)
    return (Path("book") / place.with_suffix(".ipynb")).as_posix()


def chapter_path(chapter: str, root: Path = ROOT) -> Path:
    """Return the file of a chapter; raise `UserError` if there is none with that id."""
    known = chapters(root)
    if chapter not in known:
        raise UserError(f"chapter is {chapter!r}: known are {', '.join(known) or 'none'}")
    return known[chapter]


def parameters(chapter: str, root: Path = ROOT) -> list[Parameter]:
    """Return the parameters of a chapter, in the order of its parameters cell.

    Raises
    ------
    UserError
        If there is no such chapter, or its cell is not as `Parameter` says.
    """
    path = chapter_path(chapter, root)
    cell = _parameters_cell(jupytext.read(path))
    return [] if cell is None else _parse(cell.source, path)


def _parameters_cell(notebook: NotebookNode) -> NotebookNode | None:
    return next((c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())), None)


def _parse(source: str, path: Path) -> list[Parameter]:
    result = []
    lines = source.splitlines()
    try:
        statements = inputs.parsed(source).body
    except SyntaxError as error:
        raise UserError(f"{path}: the parameters cell is not Python ({error.msg}, its line {error.lineno})") from error
    for statement in statements:
        line = lines[(statement.end_lineno or 1) - 1]
        rest = line.encode()[statement.end_col_offset :].decode().strip()
        try:
            if not (
                isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value
            ):
                raise ValueError
            parameter = Parameter(
                statement.target.id,
                ast.unparse(statement.annotation),
                ast.literal_eval(statement.value),
                rest.removeprefix("#").strip(),
            )
            if parameter.type not in _KINDS or not rest.startswith("#") or not parameter.meaning:
                raise ValueError
        except ValueError:
            raise UserError(
                f"{path}: the parameters cell has the line {line!r}; it should be like "
                f"'level: float = 0.8  # meaning', its type one of {', '.join(_KINDS)}"
            ) from None
        result.append(dataclasses.replace(parameter, default=parameter.convert(parameter.default)))
    return result


def checked(chapter: str, given: Mapping[str, Any], root: Path = ROOT) -> dict[str, Any]:
    """Return values for a chapter in the types of its parameters; raise `UserError` if one does not fit."""
    return _checked(chapter, given, parameters(chapter, root))


def _checked(chapter: str, given: Mapping[str, Any], known: list[Parameter]) -> dict[str, Any]:
    by_name = {p.name: p for p in known}
    for name in given:
        if name not in by_name:
            listed = "; ".join(f"{p.name}: {p.type} = {p.default!r} ({p.meaning})" for p in known)
            raise UserError(f"parameter is {name!r}: chapter {chapter} has {listed or 'no parameters'}")
    return {name: by_name[name].convert(value) for name, value in given.items()}


# --- execution -----------------------------------------------------------------------------------------------


def execute(chapter: str, parameters: Mapping[str, Any], out: Path, quiet: bool = False, root: Path = ROOT) -> Path:
    """Execute a chapter with papermill.

    Parameters
    ----------
    chapter : str
        Such as 'a/3.1'.
    parameters : dict
        Values by name, of their type or as strings; what is not named keeps its default.
    out : Path
        The executed notebook, or a folder for it if the name does not end in ``.ipynb``.  It is written whole
        or not at all, and two executions give the same bytes: no times, absolute paths or random ids are left.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    Path
        Of the executed notebook.

    Raises
    ------
    UserError
        If the chapter or a parameter does not exist or a value does not fit; or what the chapter itself raised.
    papermill.PapermillExecutionError
        If the chapter fails in any other way; with the traceback.
    """
    if out.suffix != ".ipynb":
        out = out / chapter_path(chapter, root).with_suffix(".ipynb").name
    _execute(chapter, parameters, out, quiet, root)
    return out


def _execute(
    chapter: str,
    parameters: Mapping[str, Any],
    out: Path,
    quiet: bool,
    root: Path,
    kernels: type["_ThisPython"] | None = None,
) -> inputs.Noted:
    """Execute a chapter as `execute` says, in a kernel of some kind; return what it called and read."""
    path = chapter_path(chapter, root)
    notebook = jupytext.read(path)
    cell = _parameters_cell(notebook)
    known = [] if cell is None else _parse(cell.source, path)
    values = _checked(chapter, parameters, known)
    notebook.cells.append(nbformat.v4.new_code_cell(_REPORT))
    try:
        executed = execute_notebook(
            notebook,
            None,
            values,
            kernel_name="python3",
            language="python",
            progress_bar={"desc": chapter, "unit": "cell"} if not quiet else False,
            # Not papermill's cwd, which changes the directory of the whole process, and so of other threads.
            resources={"metadata": {"path": str(root)}},
            kernel_manager_class=kernels or _ThisPython,
        )
    except PapermillExecutionError as error:
        if error.ename == UserError.__name__:
            raise UserError(error.evalue) from error
        error.add_note(f"in chapter {chapter} ({path})")
        raise
    report = executed.cells.pop().outputs[0]["data"][_REPORT_TYPE]
    write_whole(out, _normalised(executed, chapter, known, values, root).encode())
    return inputs.Noted(**report)


# Before the first cell and after the last one: what the chapter calls and reads is noted and reported.
_WATCH = "import pathlib, lib.inputs; lib.inputs.watch(pathlib.Path.cwd())"
# On a busy machine a kernel that ends may find its sockets closed already, and logs a traceback (ipykernel 7.4). What a
# chapter raises does not come by this log.
_QUIET = "import logging; logging.getLogger('tornado.general').setLevel(logging.CRITICAL)"
_REPORT_TYPE = "application/vnd.winning-tickets.inputs+json"
_REPORT = f"""import dataclasses, lib.inputs
from IPython.display import display
display({{{_REPORT_TYPE!r}: dataclasses.asdict(lib.inputs.noted())}}, raw=True)
"""


class _ThisPython(AsyncKernelManager):
    """Starts the Python that runs now, whatever kernels are registered on the machine."""

    started: ClassVar[weakref.WeakSet["_ThisPython"]] = weakref.WeakSet()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.started.add(self)

    @classmethod
    def kill_all(cls) -> None:
        """End every kernel at once, which ends the threads that wait for them."""
        for manager in list(cls.started):
            if (process := getattr(manager.provisioner, "process", None)) is not None:
                process.kill()

    @property
    def kernel_spec(self) -> KernelSpec:
        """What is started, and in which environment."""
        return KernelSpec(
            # Its log warns of an unencrypted connection, which does not leave the machine.
            argv=[
                *(sys.executable, "-c"),
                f"{_WATCH}; {_QUIET}; from ipykernel import kernelapp; kernelapp.launch_new_instance()",
                *("-f", "{connection_file}", "--log-level=CRITICAL"),
            ],
            display_name="Python 3",
            language="python",
            env=_ENVIRONMENT,
        )


_ENVIRONMENT = {
    # The order of a set, and the order in which threads add up a sum, may not depend on the machine.
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
}


@contextlib.contextmanager
def _forked(root: Path) -> Iterator[type[_ThisPython]]:
    """Start kernels as copies of one process that has imported the library, which takes most chapters seconds."""
    lock = threading.Lock()
    with subprocess.Popen(
        [sys.executable, "-c", _FORKING],
        cwd=root,
        env=os.environ | _ENVIRONMENT,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt in the terminal is this process's alone
    ) as original:

        class Forked(_ThisPython):
            async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
                assert original.stdin is not None and original.stdout is not None
                number = b""
                with lock, contextlib.suppress(BrokenPipeError):
                    original.stdin.write(json.dumps(kernel_cmd[kernel_cmd.index("-f") :]).encode() + b"\n")
                    number = original.stdout.readline()
                if not number:
                    raise UserError("the library cannot be imported: what is wrong stands above")
                assert isinstance(self.provisioner, LocalProvisioner)
                self.provisioner.process = _Kernel(int(number))

        yield Forked


# Ends with its input, and with it the kernels, which look after the process that they come from.
_FORKING = f"""
import gc, json, os, signal, sys
{_WATCH}
{_QUIET}
os.environ["JPY_PARENT_PID"] = str(os.getpid())
from ipykernel import kernelapp
import lib.pages_a, lib.pages_b, lib.pages_ladder
gc.freeze()  # a kernel need not look through all this for what may go
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for line in sys.stdin:
    if not (kernel := os.fork()):
        break
    print(kernel, flush=True)
else:
    sys.exit()
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
os.setsid()
for stream in (0, 1):
    os.dup2(os.open(os.devnull, os.O_RDWR), stream)
kernelapp.launch_new_instance(json.loads(line))
"""


class _Kernel(psutil.Process):
    """A kernel that is no child of this process, with what jupyter_client asks of a child."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        """Return None as long as it runs."""
        return None if self.is_running() else 0

    def send_signal(self, number: int) -> None:
        """Send a signal; one that has ended meanwhile needs none."""
        with contextlib.suppress(psutil.NoSuchProcess):
            super().send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _normalised(
    notebook: NotebookNode, chapter: str, known: list[Parameter], values: Mapping[str, Any], root: Path
) -> str:
    """Return an executed notebook as the book wants it."""
    # Paths in messages: of the project, of the installed packages, of a cell.
    clean = [(re.escape(str(root) + os.sep), ""), (re.escape(sys.prefix + os.sep), "")]
    clean += [(re.escape(tempfile.gettempdir()) + r"[\w/]*ipykernel_\d+/\d+\.py", "cell")]
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        kept = {key: cell.metadata[key] for key in ("mystnb",) if key in cell.metadata}
        if cell.cell_type == "code":
            if {"parameters", "injected-parameters"} & set(tags):
                tags = [*tags, "remove-input"]
            elif not any(t.startswith(("hide-", "remove-", "show-input")) for t in tags):
                tags = [*tags, "hide-input"]
            _move_captions(cell, kept)
            for output in cell.outputs:
                _clean_output(output, clean)
        # Papermill and nbclient leave times here, jupytext its own settings.
        cell.metadata = NotebookNode(kept)
        if tags:
            cell.metadata["tags"] = tags
        cells.append(cell)
        if "parameters" in tags and known:
            cells.append(nbformat.v4.new_markdown_cell(_parameter_table(chapter, known, values, root)))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    notebook.cells = cells
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook, indent=1) + "\n"


def _move_captions(cell: NotebookNode, metadata: dict[str, Any]) -> None:
    """Turn what `lib.notebook` emitted into what Jupyter Book reads: see there."""
    outputs = []
    for output in cell.outputs:
        data = output.get("data", {})
        if FIGURE_TYPE in data:
            if "mystnb" in metadata:
                raise UserError(f"figure {data[FIGURE_TYPE]['name']!r}: its cell shows another one; at most one a cell")
            figure = data[FIGURE_TYPE]
            metadata["mystnb"] = {
                "figure": {"name": figure["name"], "caption": f"{figure['caption']}\n\n{figure['sources']}"},
                "image": {"alt": figure["alt"]},
            }
            continue
        if TABLE_TYPE in data:
            numbered = data.pop(TABLE_TYPE)
            data["text/markdown"] = (
                f":::{{table}} {numbered['caption']}\n:name: {numbered['name']}\n\n{numbered['body']}\n:::\n\n"
                f"{numbered['sources']}\n"
            )
        outputs.append(output)
    cell.outputs = outputs


def _clean_output(output: NotebookNode, clean: list[tuple[str, str]]) -> None:
    def cleaned(text: Any) -> Any:
        if isinstance(text, str):
            for pattern, replacement in clean:
                text = re.sub(pattern, replacement, text)
        return text

    if "text" in output:
        output["text"] = cleaned(output["text"])
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            output["data"][kind] = cleaned(content)


def _parameter_table(chapter: str, known: list[Parameter], values: Mapping[str, Any], root: Path) -> str:
    def row(p: Parameter) -> str:
        meaning = p.meaning.replace("|", "\\|")
        return f"| `{p.name}` | {p.type} | `{values.get(p.name, p.default)!r}` | {meaning} |"

    rows = "\n".join(row(p) for p in known)
    given = {p.name: values.get(p.name, p.default) for p in known}
    return (
        ":::{dropdown} Parameters of this chapter, and how to execute it with others\n"
        f"| name | type | value here | meaning |\n| --- | --- | --- | --- |\n{rows}\n\n"
        "With these values, by this book's command and by papermill's, from the root of the repository:\n\n"
        f"```bash\n{run_command(chapter, given)}\n"
        f"{papermill_command(chapter, known, given, root)}\n```\n\n"
        "The first leaves the result in `runs/`, beside the book's. "
        "Several values of a number, with commas between, are a sweep. "
        f"`papermill --help-notebook {_executed(chapter, root)}` prints this table.\n"
        ":::"
    )


def run_command(chapter: str, values: Mapping[str, Any]) -> str:
    """Return the command that executes a chapter with some values, into a folder of its own."""
    return shlex.join(["python", "-m", "lib", "run", chapter, *_options("-p", values)])


def papermill_command(chapter: str, known: Sequence[Parameter], values: Mapping[str, Any], root: Path = ROOT) -> str:
    """Return the papermill command that executes what the book built of a chapter with some values."""
    text = {p.name: values[p.name] for p in known if p.type == "str"}  # which papermill would take for numbers
    others = {name: value for name, value in values.items() if name not in text}
    options = _options("-p", others) + _options("-r", text)
    return shlex.join(["papermill", _executed(chapter, root), "mine.ipynb", *options])


def _options(flag: str, values: Mapping[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in (flag, name, str(value))]


# --- the book ------------------------------------------------------------------------------------------------


def build(quiet: bool = False, jobs: int | None = None, root: Path = ROOT) -> Path:
    """Execute the chapters whose inputs changed and build the book.

    Parameters
    ----------
    quiet : bool
        Whether to print nothing and show no progress bar.
    jobs : int, optional
        How many chapters are executed at once; as many as there are cores if not given.

    Returns
    -------
    Path
        The book's ``index.html``.

    Raises
    ------
    UserError
        If a chapter cannot be executed, Jupyter Book warns of anything, or a page needs another host.
    """
    with alone(root, quiet):
        executed = execute_all(due_for_the_book(root), quiet, jobs, root)
        index = _build_html(quiet, root)
    if not quiet:
        for chapter, seconds in durations(root).items():
            print(f"{chapter:16} {seconds:6.1f} s{'' if chapter in executed else ', earlier'}")
        print(f"The book is built. Open {os.path.relpath(index)}")
    return index


def durations(root: Path = ROOT) -> dict[str, float]:
    """Return the seconds that the book's execution of each chapter took when it was last made."""
    state = _executions(root)
    entries = {chapter: state.get(_key(executed_path(chapter, root), root)) for chapter in chapters(root)}
    return {chapter: entry["seconds"] for chapter, entry in entries.items() if entry}


def plan(root: Path = ROOT) -> str:
    """Return in words what `build` would do, and why."""
    jobs = due_for_the_book(root)
    pages = "built" if jobs or _html_is_due(root) else "left as they are"
    said = f"{len(jobs)} of {len(chapters(root))} chapters would be executed and the pages {pages}"
    return "\n".join([said, *(f"{job.name}: {job.why}" for job in jobs)])


@contextlib.contextmanager
def alone(root: Path, quiet: bool) -> Iterator[None]:
    """Let one build at a time go on."""
    (root / ".build").mkdir(exist_ok=True)
    lock = filelock.FileLock(root / ".build" / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not quiet:
            print("Another build of this book is running: waiting for it to end.", file=sys.stderr)
        lock.acquire()
    try:
        for place in (".build", "book"):
            for path in (root / place).rglob(".*-????????"):
                remove_leftovers(path.parent)
        yield
    finally:
        lock.release()


@dataclasses.dataclass(frozen=True)
class Job:
    """A chapter to be executed: with which values, where to, and why."""

    chapter: str
    values: Mapping[str, Any]
    out: Path
    why: str = ""

    @property
    def name(self) -> str:
        """The chapter and its values."""
        return " ".join([self.chapter, *(f"{name}={value}" for name, value in self.values.items())])


def due_for_the_book(root: Path = ROOT) -> list[Job]:
    """Return the chapters to execute; remove what was executed of chapters that are gone."""
    jobs = [Job(chapter, {}, executed_path(chapter, root)) for chapter in chapters(root)]
    outputs = {job.out for job in jobs}
    for old in (root / "book").rglob("*.ipynb"):
        if old not in outputs and "_build" not in old.relative_to(root).parts:
            old.unlink()
    return due(jobs, root)


def due(jobs: Iterable[Job], root: Path = ROOT) -> list[Job]:
    """Return those of some jobs whose result is not there or whose inputs have changed, with the reason."""
    state, project = _executions(root), inputs.Project(root, "lib.build._execute")
    result = []
    for job in jobs:
        before = state.get(_key(job.out, root))
        if not job.out.exists() or not isinstance(before, dict):
            why = "it was not executed yet"
        elif before["output"] != inputs.file_hash(job.out):
            why = "its executed notebook was changed"
        else:
            now = _inputs(project, job, inputs.Noted(**before["noted"]), root)
            why = inputs.reason(before["inputs"], now)
        if why:
            result.append(dataclasses.replace(job, why=why))
    return result


def execute_all(
    jobs: Sequence[Job], quiet: bool = False, workers: int | None = None, root: Path = ROOT
) -> dict[str, float]:
    """Execute chapters at once, with one progress display; keep in mind what each was made from.

    Parameters
    ----------
    jobs : sequence of Job
    quiet : bool
        Whether to show no progress bar.
    workers : int, optional
        How many are executed at once; as many as there are cores if not given.

    Returns
    -------
    dict
        Seconds that each took, by chapter and its values.

    Raises
    ------
    UserError
        If a chapter cannot be executed; the others are.
    """
    state, project = _executions(root), inputs.Project(root, "lib.build._execute")
    took: dict[str, float] = {}

    def one(job: Job) -> tuple[inputs.Noted, float, bool]:
        start, source = time.monotonic(), inputs.file_hash(chapter_path(job.chapter, root))
        noted = _execute(job.chapter, job.values, job.out, True, root, kernels)
        return noted, time.monotonic() - start, inputs.file_hash(chapter_path(job.chapter, root)) == source

    def length(job: Job) -> tuple[float, int]:
        before = state.get(_key(job.out, root))
        seconds = before["seconds"] if isinstance(before, dict) else math.inf
        return seconds, chapter_path(job.chapter, root).stat().st_size

    progress = tqdm(total=len(jobs), desc="executing chapters", unit="chapter", disable=quiet or not jobs)
    many = len(jobs) > _FEW and sys.platform != "darwin"  # whose own libraries do not bear to be forked
    with (
        _forked(root) if many else contextlib.nullcontext() as kernels,
        progress,
        # Threads, because the work is done in the kernels, which are processes.
        concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
    ):
        # The longest first, as it was or by its text, so that none is left alone at the end.
        running = {pool.submit(one, job): job for job in sorted(jobs, key=length, reverse=True)}
        failures: list[Exception] = []
        try:
            for done in concurrent.futures.as_completed(running):
                job = running[done]
                progress.update()
                progress.set_postfix_str(job.name)
                try:
                    noted, took[job.name], unchanged = done.result()
                    if not unchanged:  # edited in the meantime: it stays due
                        continue
                    made_from = _inputs(project, job, noted, root)
                    entry = {"inputs": made_from, "noted": dataclasses.asdict(noted), "seconds": took[job.name]}
                    state.set(_key(job.out, root), {**entry, "output": inputs.file_hash(job.out)})
                except UserError as error:
                    failures.append(UserError(f"chapter {job.name}: {error}"))
                except PapermillExecutionError as error:
                    failures.append(error)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _ThisPython.kill_all()
            raise
    if failures:
        raise failures[0]
    return took


_FEW = 4  # chapters, which are executed before a process has imported the library for all


def _inputs(project: inputs.Project, job: Job, noted: inputs.Noted, root: Path) -> dict[str, str]:
    path = chapter_path(job.chapter, root)
    code = "\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
    return project.inputs(path, code, job.values, noted)


def _executions(root: Path) -> "_State":
    return _State(root / ".build" / "executed.json")


def _key(out: Path, root: Path) -> str:
    return out.relative_to(root).as_posix() if out.is_relative_to(root) else str(out.resolve())


def _html_inputs(root: Path) -> str:
    book = root / "book"
    sources = [p for p in book.rglob("*") if p.is_file() and "_build" not in p.relative_to(book).parts]
    sources += [root / "_config.yml", root / "_toc.yml", *(root / "requirements").glob("*.txt")]
    sources += (root / "lib").glob("*.py")  # whose docstrings are pages
    return _hash_files(root, sources)


def _html_is_due(root: Path) -> bool:
    index = root / "book" / "_build" / "html" / "index.html"
    return not index.exists() or _State(root / ".build" / "built.json").get("book") != _html_inputs(root)


# Ends, and what it started, when the other end of its input is closed, as it is when this process is killed: it would
# write into the folder of the next build otherwise. Pages are read and written at once, in small parts, for which the
# command has no option. The extension that numbers parts does not say that it allows this; what it does comes after.
_JUPYTER_BOOK = """
import functools, os, signal, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.raw.read(), os.killpg(0, signal.SIGKILL)), daemon=True).start()
import jupyter_book.sphinx, sphinx_multitoc_numbering
jupyter_book.sphinx.build_sphinx = functools.partial(jupyter_book.sphinx.build_sphinx, jobs=4 * (os.cpu_count() or 1))
setup = sphinx_multitoc_numbering.setup
sphinx_multitoc_numbering.setup = lambda app: {**(setup(app) or {}), "parallel_read_safe": True}
from jupyter_book.cli.main import main
main()
"""


def _build_html(quiet: bool, root: Path) -> Path:
    book = root / "book"
    index = book / "_build" / "html" / "index.html"
    if not _html_is_due(root):
        return index
    made_from = _html_inputs(root)
    if not quiet:
        print("Building the pages ...", file=sys.stderr, flush=True)
    # Always from nothing, which takes seconds: Sphinx would keep the pages of chapters that are gone, and would not
    # repeat the warnings about pages that it does not read again.
    shutil.rmtree(book / "_build", ignore_errors=True)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", "book"]
    command += ["--config", "_config.yml", "--toc", str(root / "_toc.yml"), "--path-output", "book"]
    command += ["-W", "--keep-going", "-n"]
    ours, theirs = os.pipe()
    with subprocess.Popen(
        command,
        cwd=root,
        text=True,
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            told = process.communicate()[0]
        finally:
            os.close(ours)
            os.close(theirs)
    if process.returncode or not index.exists():
        told = re.sub(r"\x1b\[[0-9;]*m", "", told).replace(str(root) + os.sep, "")
        said = [y for y in told.splitlines() if re.search(r"WARNING|ERROR|Error|error:", y)]
        raise UserError("Jupyter Book did not build the book without warnings:\n" + "\n".join(said or [told]))
    foreign = sorted(_foreign(index.parent))
    _finish_pages(index.parent)
    links.weave(index.parent)
    if foreign:
        raise UserError("the book would need other hosts: " + "; ".join(foreign))
    _State(root / ".build" / "built.json").set("book", made_from)
    return index


def _finish_pages(folder: Path) -> None:
    """Make of Sphinx's pages what readers get.

    They have a description each, pictures in files, no defects of the theme and no line that begins with a "%".
    """
    for path in folder.rglob("*.html"):
        if "_static" not in path.relative_to(folder).parts:
            text = path.read_text(encoding="utf-8")
            text = _units_held(_unpack_images(_described(_accessible(text)), path, folder))
            path.write_text(text, encoding="utf-8")


# What axe complains of in every page or in the bibliography, in the theme's words and in ours.
_MENDED = {
    # The sidebar is no landmark, so its title and search belong to no part of the page.
    'id="pst-primary-sidebar" class="': 'id="pst-primary-sidebar" role="complementary" aria-label="Book" class="',
    # Docutils gives its bibliography roles that are deprecated or not allowed there.
    ' role="doc-biblioentry"': "",
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    # The title of the landing page would stand twice.
    "<title>The winning-tickets book &#8212; ": "<title>",
}


def _accessible(text: str) -> str:
    for theirs, ours in _MENDED.items():
        text = text.replace(theirs, ours)
    return text


# What is no prose (labels are words that scripts compare), or the space between a number and its unit.
_PARTED = re.compile(r"(<(pre|code|script|style|svg|label)\b.*?</\2>|<!--.*?-->|<[^>]*>)|(?<=\d) (?=%)", re.DOTALL)


def _units_held(text: str) -> str:
    """Return a page in whose prose a number and its "%" stay on one line."""
    return _PARTED.sub(lambda found: found[1] or "\xa0", text)


_DESCRIPTION = 300  # letters


def _described(text: str) -> str:
    """Return a page with a description for search engines: how its first paragraph begins."""
    found = re.search(r"<article.*?<h1[^>]*>(.*?)</h1>(?:.*?<p>(.*?)</p>)?", text, re.DOTALL)
    heading, first = found.groups() if found else ("", "")
    words = [html.unescape(re.sub(r"<a class=\"headerlink.*?</a>|<[^>]*>", "", t or "")) for t in (heading, first)]
    title, said = (" ".join(word.split()) for word in words)
    said = said.removeprefix("In brief. ") or f"{title} of the winning-tickets book."
    if len(said) > _DESCRIPTION:
        said = said[:_DESCRIPTION].rsplit(" ", 1)[0] + " …"
    return text.replace("</title>", f'</title>\n    <meta name="description" content="{html.escape(said)}">', 1)


def _unpack_images(text: str, path: Path, folder: Path) -> str:
    """Make files of the pictures that stand within a page, so that a reader loads only those that are looked at."""

    def unpack(found: re.Match[str]) -> str:
        content = base64.b64decode(found[3])
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.{found[2]}"
        write_whole(folder / "_images" / name, content)
        return f'{found[1]}="{os.path.relpath(folder / "_images" / name, path.parent)}"'

    return re.sub(r'(src|srcset)="data:image/(webp|png);base64,([^"]+)"', unpack, text)


class _State:
    """A small JSON file of what was built from what; lost or broken, everything is built again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.content = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self.content = {}

    def get(self, key: str) -> Any:
        return self.content.get(key)

    def set(self, key: str, value: Any) -> None:
        self.content[key] = value
        write_whole(self.path, json.dumps(self.content, indent=1, sort_keys=True).encode())


def _hash_files(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _foreign(folder: Path) -> set[str]:
    """Return which script, style, font or image of which page comes from another host."""
    found = set()
    for path in folder.rglob("*.html"):
        parser = _Loads()
        parser.feed(path.read_text(encoding="utf-8"))
        found |= {f"{path.relative_to(folder)} loads {url}" for url in parser.urls if _OUTSIDE.match(url)}
    for path in folder.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        urls = re.findall(r"(?:url\(|@import\s+)\s*[\"']?([^\"')\s;]+)", text)
        found |= {f"{path.relative_to(folder)} loads {url}" for url in urls if _OUTSIDE.match(url)}
    return found


_OUTSIDE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collects what a browser loads with a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "source", "iframe", "video", "audio", "embed", "track", "input"):
            self.urls += [
                values.get("src", ""),
                *(s.split()[0] for s in values.get("srcset", "").split(",") if s.strip()),
            ]
        if tag == "object":
            self.urls.append(values.get("data", ""))
        if tag == "link" and set(values.get("rel", "").lower().split()) & {
            *("stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"),
        }:
            self.urls.append(values.get("href", ""))
