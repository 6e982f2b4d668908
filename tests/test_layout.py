"""Data flows one way: a module imports only from those that the README names before it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALWAYS = {"errors", "files"}  # small things that everything may use


def imported(path: Path) -> set[str]:
    """The modules of lib that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lib."):
            found.add(str(node.module).split(".")[1])
    return found


def order() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    paragraph = re.search(r"`lib` reads in the order.*?\n\n", text, re.DOTALL)
    assert paragraph is not None
    return [name for name in re.findall(r"`(\w+)`", paragraph[0]) if name != "lib"]


def test_the_readme_names_every_module_once():
    names = {path.stem for path in (ROOT / "lib").glob("*.py")} - ALWAYS - {"__init__", "__main__"}
    assert sorted(order()) == sorted(names)


def test_modules_import_only_what_stands_before_them():
    names = order()
    for number, name in enumerate(names):
        back = imported(ROOT / "lib" / f"{name}.py") - ALWAYS - set(names[:number])
        assert not back, f"lib/{name}.py imports {', '.join(sorted(back))}, which stand after it"


def test_the_analysis_side_needs_no_torch():
    for path in (ROOT / "lib").glob("*.py"):
        if path.stem not in ("training", "own"):  # `own` only where it reads a file of PyTorch
            tree = ast.parse(path.read_text(encoding="utf-8"))
            roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            assert "torch" not in roots, path
