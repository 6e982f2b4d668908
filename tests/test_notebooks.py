"""The chapters as notebooks: paired with text, and running wherever they are opened."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

from lib import build

ROOT = build.ROOT
# Right after the parameters, in every chapter.
FINDS_THE_LIBRARY = """# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))"""


@pytest.mark.parametrize("chapter", build.chapters())
def test_every_chapter_finds_the_library_before_it_imports_it(chapter: str) -> None:
    cells = [c for c in jupytext.read(build.chapter_path(chapter)).cells if c.cell_type == "code"]
    first = next(number for number, cell in enumerate(cells) if "parameters" not in cell.metadata.get("tags", []))
    assert cells[first].source == FINDS_THE_LIBRARY, f"after the parameters of {chapter} should stand the cell above"
    assert cells[first].metadata["tags"] == ["remove-cell"]


@pytest.mark.parametrize("chapter", build.chapters())
def test_the_header_of_a_chapter_leaves_the_pairing_to_the_project(chapter: str) -> None:
    text = build.chapter_path(chapter).read_text(encoding="utf-8")
    header = text.partition("# ---\n\n")[0]
    assert "jupytext" not in header, f"{chapter}: jupytext.toml says how notebooks are paired"


def test_pairing_changes_no_text_and_keeps_outputs_out_of_git(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    texts = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "notebooks").rglob("*.py")}
    command = [sys.executable, "-m", "jupytext", "--sync", *map(str, texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_text(encoding="utf-8") for path in texts} == texts
    places = tomllib.loads((ROOT / "jupytext.toml").read_text(encoding="utf-8"))["formats"]
    (paired,) = [folder for folder, kind in places.items() if kind == "ipynb"]
    assert len(list((tmp_path / paired).rglob("*.ipynb"))) == len(texts)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "*.ipynb" in ignored and "runs/" in ignored and paired.startswith("runs/")


@pytest.mark.parametrize(
    ("folder", "clone"), [("notebooks/a", "."), ("", "."), ("", "clone")], ids=["its folder", "the root", "Colab"]
)
def test_a_notebook_runs_where_it_is_opened(tmp_path: Path, folder: str, clone: str) -> None:
    """Top to bottom in a plain kernel, from a checkout that nobody installed."""
    shutil.copytree(ROOT / "lib", tmp_path / clone / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / clone / "data").mkdir()
    for path in (ROOT / "data").glob("claims.*"):
        shutil.copy(path, tmp_path / clone / "data")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    notebook = jupytext.read(build.chapter_path("a/B"))
    notebook.cells.append(nbformat.v4.new_code_cell("import lib\nprint(lib.__file__)"))
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / folder)}}
    ).execute()
    assert Path(notebook.cells[-1].outputs[0].text.strip()).parent == tmp_path / clone / "lib"
    shown = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert shown


def test_every_module_of_the_library_has_its_reference() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "book" / "library").glob("*.md")))
    found = re.findall(r"^\.\. automodule:: lib\.(\w+)$", pages, re.MULTILINE)
    modules = {path.stem for path in (ROOT / "lib").glob("*.py")} - {"__init__", "__main__"}
    assert sorted(found) == sorted(modules)


def test_jupyterlab_serves_the_folder_that_says_how_notebooks_are_paired() -> None:
    """Of a notebook below it Jupyter would serve only that notebook's folder: nothing paired, and headers changed."""
    (command,) = re.findall(r"^\t.*jupyter lab (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    folder = re.search(r"--ServerApp\.root_dir=(\S+)", command)
    assert folder and (ROOT / folder[1] / "jupytext.toml").is_file()


def test_the_environment_of_jupyterlab_is_pinned() -> None:
    pinned = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").lower()
    for line in (ROOT / "requirements" / "lab.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-")):
            assert re.search(rf"^{re.escape(line)}==\d", pinned, re.MULTILINE), line


def test_every_symbol_of_the_chapters_is_on_the_page_of_notation() -> None:
    """Letters, Greek letters and words in the mathematics of chapters, of what they show, and of the book's pages."""
    texts = [*(ROOT / "notebooks").rglob("*.py"), *(ROOT / "lib").glob("pages*.py"), *(ROOT / "book").glob("*.md")]
    known = _symbols((ROOT / "book" / "notation.md").read_text(encoding="utf-8"))
    used = {path: _symbols(path.read_text(encoding="utf-8")) for path in texts}
    assert len(set().union(*used.values())) > 20
    assert not {path.name: symbols - known for path, symbols in used.items() if symbols - known}


def _symbols(text: str) -> set[str]:
    found = set()
    for display, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.DOTALL):
        formula = re.sub(r"\\text\{[^}]*\}", "", display or inline)
        found |= set(re.findall(r"\\(?:mathrm|operatorname|mathbb)\{([^}]*)\}", formula))
        found |= set(re.findall(r"\\(?:alpha|beta|gamma|delta|epsilon|lambda|mu|pi|rho|sigma|tau|theta)", formula))
        found |= set(
            re.findall(r"[A-Za-z]", re.sub(r"\\(?:mathrm|operatorname|mathbb)\{[^}]*\}|\\[A-Za-z]+", "", formula))
        )
    return found
