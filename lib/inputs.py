"""What a chapter depends on, and which of it changed.

A chapter is executed again when its own text, a parameter, a pinned version, something of the library that it uses, or
a file below ``data`` that it read has changed.  Which functions it called and which files it read is noted while it
runs; which constants, classes and so on these use is read from the sources.  As long as none of all that changes, it
would call and read the same again.  Comments, docstrings and layout do not count.
"""

import ast
import dataclasses
import hashlib
import inspect
import os
import sys
import threading
from collections import UserDict
from collections.abc import Collection, Iterable, Mapping
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_DATA = "data"


# --- what a chapter calls and reads, noted in its own process ------------------------------------------------

_calls: set[str] = set()
_opened: set[str] = set()


def watch(root: Path) -> None:
    """Note from now on what this process calls of the library and which files below ``root/data`` it opens.

    For before the library is imported: of modules that are there already nothing is noted, save of this one.

    Parameters
    ----------
    root : Path
        Of the project.
    """
    data = os.path.join(root, _DATA, "")

    def opens(event: str, details: tuple) -> None:
        if event in ("open", "os.listdir", "os.scandir") and details and isinstance(details[0], str | bytes | Path):
            path = os.path.abspath(os.fsdecode(details[0]))
            if path.startswith(data):
                _opened.add(Path(path).relative_to(root).as_posix())

    sys.addaudithook(opens)
    for folder in sys.modules[__package__].__path__:
        sys.path_importer_cache[folder] = FileFinder(folder, (_Loader, SOURCE_SUFFIXES))
    names = _Namespace(globals())
    for name, value in list(globals().items()):
        names[name] = value


class _Loader(SourceFileLoader):
    """Imports a module whose functions note that they are called."""

    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        assert code is not None
        exec(code, vars(module), _Namespace(vars(module)))


class _Namespace(UserDict[str, Any]):
    """The names of a module while it is executed: a function that it defines will note its first call.

    A profiler would note every call of everything else too, which takes a third of the time of a chapter.
    """

    def __init__(self, module: dict[str, Any]) -> None:
        self.data = module

    def __setitem__(self, name: str, value: Any) -> None:
        function = inspect.unwrap(value) if callable(value) else value  # what a cache calls, for instance
        if isinstance(function, FunctionType) and function.__globals__ is self.data:
            _note_first_call(function)
        self.data[name] = value


def _until_called(*values: Any, **named: Any) -> Any:
    """Stand in the place of a function until it is called: in its code, "first" is replaced by what is done then."""
    __tracebackhide__ = True
    return "first".__call__(*values, **named)  # type: ignore[operator]


def _note_first_call(function: FunctionType) -> None:
    """Note the name of a function when it is called; from then on it is as it was."""
    code = function.__code__

    def first(*values: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        function.__code__ = code
        _calls.add(f"{function.__module__}.{function.__qualname__.split('.')[0]}")
        return function(*values, **named)

    consts = tuple(first if value == "first" else value for value in _STAND_IN.co_consts)
    function.__code__ = _STAND_IN.replace(co_consts=consts)


_STAND_IN = _until_called.__code__


@dataclasses.dataclass(frozen=True)
class Noted:
    """What a chapter did while it ran.

    Attributes
    ----------
    called : list of str
        Dotted names of functions of the library.
    opened : list of str
        Paths below ``data``, relative to the project, whether or not there was anything.
    """

    called: list[str]
    opened: list[str]


def noted() -> Noted:
    """Return what `watch` has noted."""
    return Noted(sorted(_calls), sorted(_opened))


# --- what a chapter uses of the library ----------------------------------------------------------------------


_PARSING = threading.Lock()


def parsed(code: str) -> ast.Module:
    """Return the syntax tree of some code; one thread at a time.

    Before 3.11.8 and 3.12.2 Python counts how deep it is for all threads together, and fails now and then where two
    parse at once (python/cpython issue 106905).
    """
    with _PARSING:
        return ast.parse(code)


class Library:
    """The definitions of the library, and which of them use which.

    Parameters
    ----------
    root : Path
        Of the project; its modules are ``root/lib/*.py``.
    """

    def __init__(self, root: Path) -> None:
        files = {"lib" if p.stem == "__init__" else f"lib.{p.stem}": p for p in sorted((root / "lib").glob("*.py"))}
        trees = {name: parsed(path.read_text(encoding="utf-8")) for name, path in files.items()}
        self._modules = {name: _Module(name, tree) for name, tree in trees.items()}
        self._hashes: dict[str, str] = {}
        self._uses: dict[str, set[str]] = {}

    def used_by(self, code: str, called: Collection[str]) -> dict[str, str]:
        """Return the hash of every definition that some code depends on, by its dotted name.

        Parameters
        ----------
        code : str
            Python; what cannot be parsed depends on everything.
        called : collection of str
            What `noted` says was called. Other functions do not count, and neither does what only they use.
        """
        try:
            found = self._named([parsed(code)], {})
        except SyntaxError:
            found = set(self._modules)
        return self._closure(found, called)

    def behind(self, name: str) -> dict[str, str]:
        """Return the hash of a definition and of every other that it may use, by dotted name."""
        return self._closure({name}, None)

    def _closure(self, found: set[str], called: Collection[str] | None) -> dict[str, str]:
        todo, done = set(found), set()
        while todo:
            name = todo.pop()
            if called is None or name in called or not self._is_function(name):
                done.add(name)
                todo |= self._next(name) - done
        return {name: self._hashes[name] for name in sorted(done) if name in self._hashes}

    def _is_function(self, name: str) -> bool:
        module, _, own = name.rpartition(".")
        statements = self._modules[module].definitions.get(own, []) if module in self._modules else []
        return bool(statements) and all(isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef) for s in statements)

    def _next(self, name: str) -> set[str]:
        """Return what a dotted name leads to, and hash the definition if it is one."""
        if name in self._uses:
            return self._uses[name]
        module, _, rest = name.rpartition(".")
        body = f"{name}.*"
        if name in self._modules:  # the module as a whole
            found = {body} | {f"{name}.{own}" for own in self._modules[name].definitions}
        elif rest == "*":  # what importing it executes
            own = self._modules[module]
            self._hashes[name] = _hash(own.body)
            imported = {self._owner(target) for target in own.imports.values()}
            found = self._named(own.body, own.scope) | {f"{target}.*" for target in imported if target}
        elif module in self._modules and rest in self._modules[module].definitions:
            own = self._modules[module]
            self._hashes[name] = _hash(own.definitions[rest])
            found = self._named(own.definitions[rest], own.scope) | {f"{module}.*"}
        elif module in self._modules and rest in self._modules[module].imports:
            found = {self._modules[module].imports[rest], f"{module}.*"}
        else:  # unknown: of the module, anything
            found = {module} if module in self._modules else set()
        self._uses[name] = found
        return found

    def _owner(self, name: str) -> str | None:
        """Return the module that a dotted name is or is in."""
        return next((n for n in (name, name.rpartition(".")[0]) if n in self._modules), None)

    def _named(self, statements: Iterable[ast.AST], scope: Mapping[str, str]) -> set[str]:
        visitor = _Names(scope, self._modules)
        for statement in statements:
            visitor.visit(statement)
        return {name for name in visitor.found if name.split(".")[0] == "lib"}


class _Module:
    """A module's definitions by name, its other statements, and what its names mean."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, str] = {}
        self.body: list[ast.stmt] = []
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports |= _imported(statement)
                continue
            targets = _defined(statement)
            for target in targets:
                self.definitions.setdefault(target, []).append(statement)
            if not targets:
                self.body.append(statement)
        self.scope = self.imports | {own: f"{name}.{own}" for own in self.definitions}


class _Names(ast.NodeVisitor):
    """Collects the dotted names of the library that some code names."""

    def __init__(self, scope: Mapping[str, str], modules: Mapping[str, _Module]) -> None:
        self.scope, self.modules = dict(scope), modules
        self.found: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        new = _imported(node)
        self.scope |= new
        for name in new.values():  # importing executes a module, whether or not its name is used
            owner = name if name in self.modules else name.rpartition(".")[0]
            if owner in self.modules:
                self.found.add(f"{owner}.*")

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id in self.scope:
            self.found.add(self.scope[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        base = node.value
        if isinstance(base, ast.Name) and self.scope.get(base.id) in self.modules:
            self.found.add(f"{self.scope[base.id]}.{node.attr}")
        else:
            self.generic_visit(node)


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Return what the names that an import binds mean, as dotted names."""
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    if not all(isinstance(t, ast.Name) or (isinstance(t, ast.Tuple) and _plain(t)) for t in targets):
        return []
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


def _plain(target: ast.Tuple) -> bool:
    return all(isinstance(element, ast.Name) for element in target.elts)


def _hash(statements: Iterable[ast.stmt]) -> str:
    digest = hashlib.sha256()
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _is_text(node.body[0]):
                node.body = node.body[1:] or [ast.Pass()]
        if not _is_text(statement):
            digest.update(ast.dump(statement).encode())
    return digest.hexdigest()[:16]


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


# --- all of it -----------------------------------------------------------------------------------------------


class Project:
    """Everything that chapters may depend on, as it is when this is made.

    Parameters
    ----------
    root : Path
        Of the project.
    by : str
        Dotted name of the function that executes chapters.
    """

    def __init__(self, root: Path, by: str) -> None:
        def hashes(paths: Iterable[Path]) -> dict[str, str]:
            return {p.relative_to(root).as_posix(): file_hash(p) for p in sorted(paths) if p.is_file()}

        self._root = root
        self._library = Library(root)
        self._execution = self._library.behind(by)
        self._pins = hashes(root / "requirements" / name for name in ("book.txt", "constraints.txt"))
        # A ticket file is told by its manifest, which holds its hash.
        self._data = hashes(p for p in (root / _DATA).rglob("*") if p.suffix != ".npz")

    def inputs(self, path: Path, code: str, values: Mapping[str, Any], noted: Noted) -> dict[str, str]:
        """Return the hash of everything that a chapter's execution depended on, by name.

        Parameters
        ----------
        path : Path
            Of the chapter.
        code : str
            Of its cells.
        values : mapping
            The parameters that do not have their default.
        noted : Noted
            What the execution called and read.
        """
        return {
            path.relative_to(self._root).as_posix(): file_hash(path),
            **{f"parameter {name}": repr(value) for name, value in values.items()},
            **self._read(noted.opened),
            **self._execution,
            **self._library.used_by(code, noted.called),
            **self._pins,
        }

    def _read(self, opened: Iterable[str]) -> dict[str, str]:
        names: set[str] = set()
        for name in opened:
            inside = [n for n in self._data if n.startswith(f"{name}/")]  # a folder that was listed
            names |= set(inside) or {name.rpartition("/")[0] + "/manifest.json" if name.endswith(".npz") else name}
        return {name: self._data.get(name, _MISSING) for name in sorted(names)}


def file_hash(path: Path) -> str:
    """Return the hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


_MISSING = "missing"


# --- what changed --------------------------------------------------------------------------------------------


def reason(before: Mapping[str, str], now: Mapping[str, str], most: int = 4) -> str:
    """Say which inputs changed.

    Parameters
    ----------
    before, now : mapping
        Hashes by the name of the input.
    most : int
        How many are named.

    Returns
    -------
    str
        Empty if nothing changed.
    """
    found = []
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if old != new:
            what = "is new" if old == _MISSING else "is gone" if new == _MISSING else "changed"
            found.append(f"{_called(name)} {what}")
    found = sorted(found) or [f"{_called(name)} is used, or no more" for name in sorted(before.keys() ^ now.keys())]
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


def _called(name: str) -> str:
    """Return how a reader calls an input."""
    if name.endswith("/manifest.json"):
        return f"tickets {name.removeprefix('data/tickets/').removesuffix('/manifest.json')}"
    return name.removesuffix(".*")
