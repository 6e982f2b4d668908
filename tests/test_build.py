"""Chapters: their ids, parameters, execution, and when they are executed again."""

import base64
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from papermill import PapermillExecutionError
from processes import eventually

from lib import build
from lib.errors import UserError

HEAD = """# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A chapter

# %% tags=["parameters"]
level: float = 0.8  # fraction pruned
count: int = 3  # number of networks
paper: str = "A"  # which one
quick: bool = False  # leave out | the slow part

"""
CELLS = HEAD + "# %%\nprint(level, count, paper, quick)\n"


def write(project: Path, text: str, name: str = "a/3-1.py") -> Path:
    path = project / "notebooks" / name
    path.write_text(text, encoding="utf-8")
    return path


def execute_due(project: Path) -> dict[str, float]:
    return build.execute_all(build.due_for_the_book(project), quiet=True, root=project)


def run(project: Path, text: str, **parameters: object) -> dict:
    write(project, text)
    out = build.execute("a/3.1", parameters, project / "out.ipynb", quiet=True, root=project)
    return json.loads(out.read_text(encoding="utf-8"))


def test_ids_of_chapters(project: Path) -> None:
    for name in ("index.py", "a/1.py", "a/3-1.py", "a/appendix-a.py", "a/appendix-d-1.py"):
        write(project, HEAD, name)
    assert list(build.chapters(project)) == ["a/1", "a/3.1", "a/A", "a/D.1", "index"]
    assert build.chapter_path("a/D.1", project).name == "appendix-d-1.py"
    with pytest.raises(UserError, match=r"chapter is 'b/1': known are a/1, a/3\.1"):
        build.chapter_path("b/1", project)


def test_parameters(project: Path) -> None:
    write(project, HEAD)
    assert build.parameters("a/3.1", project) == [
        build.Parameter("level", "float", 0.8, "fraction pruned"),
        build.Parameter("count", "int", 3, "number of networks"),
        build.Parameter("paper", "str", "A", "which one"),
        build.Parameter("quick", "bool", False, "leave out | the slow part"),
    ]


def test_a_chapter_may_have_no_parameters(project: Path) -> None:
    write(project, "# %%\n1 + 1\n")
    assert build.parameters("a/3.1", project) == []
    with pytest.raises(UserError, match=r"parameter is 'level': chapter a/3\.1 has no parameters"):
        build.execute("a/3.1", {"level": 1}, project / "out.ipynb", quiet=True, root=project)


@pytest.mark.parametrize(
    "line",
    ["level = 0.8  # untyped", "level: float = 0.8", "level: list = []  # type", "level: float = 1 + x  # value"],
)
def test_parameters_that_are_not_declared_well(project: Path, line: str) -> None:
    write(project, HEAD.replace("level: float = 0.8  # fraction pruned", line))
    with pytest.raises(UserError, match=r"it should be like 'level: float = 0\.8  # meaning'"):
        build.parameters("a/3.1", project)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("levle", 0.9, r"parameter is 'levle': .*level: float = 0\.8 \(fraction pruned\); count: int = 3"),
        ("level", "high", r"parameter level is 'high': it should be a number \(fraction pruned\)"),
        ("level", "nan", "it should be a number"),
        ("level", True, "it should be a number"),
        ("count", "2.5", r"parameter count is '2\.5': it should be a whole number"),
        ("count", 2.5, "it should be a whole number"),
        ("quick", "maybe", "it should be true or false"),
        ("paper", 1, "it should be text"),
    ],
)
def test_parameters_that_do_not_fit(project: Path, name: str, value: object, message: str) -> None:
    write(project, CELLS)
    with pytest.raises(UserError, match=message):
        build.execute("a/3.1", {name: value}, project / "out.ipynb", quiet=True, root=project)
    assert not (project / "out.ipynb").exists()


def test_parameters_reach_the_chapter_in_their_type(project: Path) -> None:
    notebook = run(project, CELLS, level="0.9", count="4", paper="B", quick="true")
    assert notebook["cells"][-1]["outputs"][0]["text"] == ["0.9 4 B True\n"]
    table = next(c for c in notebook["cells"] if "Parameters of this chapter" in "".join(c["source"]))
    assert "| `level` | float | `0.9` | fraction pruned |\n" in table["source"]
    assert "| `quick` | bool | `True` | leave out \\| the slow part |\n" in table["source"]


def test_code_is_folded_and_parameters_are_hidden(project: Path) -> None:
    notebook = run(project, CELLS + '# %% tags=["show-input"]\n2\n', level=0.7)
    tags = [c["metadata"].get("tags") for c in notebook["cells"] if c["cell_type"] == "code"]
    assert tags == [
        ["parameters", "remove-input"],
        ["injected-parameters", "remove-input"],
        ["hide-input"],
        ["show-input"],
    ]


def test_two_executions_give_the_same_bytes_without_traces_of_the_machine(project: Path) -> None:
    text = CELLS + (
        "# %%\nimport warnings, lib\nwarnings.warn('careful')\nprint(lib.__file__, {'a', 'b', 'c'})\n"
        "# %%\nimport matplotlib.pyplot as plt\nfrom lib.notebook import show\nfrom lib.sources import COMPUTED\n"
        "figure, axes = plt.subplots()\naxes.plot([1, 2])\n"
        "show(lambda: figure, 'fig-x', 'Caption.', 'A line.', [COMPUTED])\n"
    )
    run(project, text)
    first = (project / "out.ipynb").read_bytes()
    run(project, text)
    assert (project / "out.ipynb").read_bytes() == first
    assert str(project).encode() not in first
    assert b"ipykernel_" not in first
    assert b'"papermill"' not in first  # its metadata, with times


def test_captions_computed_by_the_chapter_reach_the_book(project: Path) -> None:
    notebook = run(
        project,
        HEAD + "# %%\nimport matplotlib.pyplot as plt\nfrom lib.notebook import show, table\n"
        "from lib.sources import Source\norigin = [Source('drawn', 'kind', '`x`')]\n"
        "show(plt.figure, 'fig-x', f'At $p = {level}$.', f'Nothing at {level}.', origin)\n"
        "# %%\ntable(['a', 'b'], [['x|y', 1]], 'tab-x', f'At {level}.', origin)\n",
        level=0.9,
    )
    figure, table = notebook["cells"][-2:]
    badges = "[[drawn]{.source .source-kind} `x`]{.sources}"
    assert figure["metadata"]["mystnb"].pop("image") == {"alt": "Nothing at 0.9."}
    assert figure["metadata"]["mystnb"] == {"figure": {"name": "fig-x", "caption": f"At $p = 0.9$.\n\n{badges}"}}
    assert [list(output["data"]) for output in figure["outputs"]] == [["image/png", "text/html", "text/plain"]]
    assert "".join(table["outputs"][0]["data"]["text/markdown"]) == (
        ":::{table} At 0.9.\n:name: tab-x\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n:::\n\n" + badges + "\n"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("show(plt.figure, 'Fig x', 'Caption.', 'Alt.', [COMPUTED])", "name is 'Fig x'"),
        ("show(plt.figure, 'fig-x', ' ', 'Alt.', [COMPUTED])", "caption is empty"),
        ("show(plt.figure, 'fig-x', 'Caption.', 'Alt.', [])", "origin is empty"),
        ("show(plt.figure, 'fig-x', 'Caption.', '', [COMPUTED])", "alt is empty"),
        ("table(['a'], [[1, 2]], 'tab-x', 'Caption.', [COMPUTED])", "a row has 2 cells; the header has 1"),
        ("for n in 'ab': show(plt.figure, f'fig-{n}', 'Caption.', 'Alt.', [COMPUTED])", "at most one a cell"),
    ],
)
def test_what_a_chapter_shows_wrongly_is_said_in_a_sentence(project: Path, call: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        head = "# %%\nimport matplotlib.pyplot as plt\nfrom lib.notebook import show, table\n"
        run(project, f"{head}from lib.sources import COMPUTED\n{call}\n")
    assert not (project / "out.ipynb").exists()


def test_an_error_in_a_chapter_surfaces(project: Path) -> None:
    with pytest.raises(UserError, match=r"^level is 'x': known are none$"):
        run(project, "# %%\nfrom lib.errors import UserError\nraise UserError(\"level is 'x': known are none\")\n")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError") as raised:
        run(project, "# %%\n1 / 0\n")
    assert "in chapter a/3.1" in raised.value.__notes__[0]


def test_what_was_executed_is_kept_until_it_is_changed_or_its_chapter_is_gone(project: Path) -> None:
    def due() -> list[str]:
        return [job.chapter for job in build.due_for_the_book(project)]

    write(project, "# %%\n1\n", "index.py")
    chapter = write(project, "# %%\n2\n")
    assert due() == ["a/3.1", "index"]
    assert set(execute_due(project)) == {"a/3.1", "index"}
    assert (project / "book" / "index.ipynb").exists()
    out = project / "book" / "notebooks" / "a" / "3-1.ipynb"
    assert out.exists()
    assert due() == []
    (project / "README.md").write_text("not an input", encoding="utf-8")
    chapter.touch()
    assert due() == []
    out.write_text(out.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert due() == ["a/3.1"]
    (project / ".build" / "executed.json").write_text("not JSON", encoding="utf-8")
    assert due() == ["a/3.1", "index"]
    chapter.unlink()
    assert due() == ["index"]
    assert not out.exists()


def test_a_chapter_that_is_edited_while_it_is_executed_stays_due(project: Path) -> None:
    edit = "# %%\nfrom pathlib import Path\n\npath = Path('notebooks/a/3-1.py')\n"
    edit += "path.write_text(path.read_text().replace('before', 'after'))\n"
    write(project, CELLS + "# %% [markdown]\n# before\n" + edit)
    execute_due(project)
    assert [job.name for job in build.due_for_the_book(project)] == ["a/3.1"]
    execute_due(project)
    assert not build.due_for_the_book(project)
    assert "after" in build.executed_path("a/3.1", project).read_text(encoding="utf-8")


def test_one_chapter_that_fails_does_not_lose_the_others(project: Path) -> None:
    write(project, "# %%\nfrom lib.errors import UserError\nraise UserError('no tickets')\n", "a/1.py")
    write(project, "# %%\n1\n", "a/2.py")
    with pytest.raises(UserError, match=r"^chapter a/1: no tickets$"):
        execute_due(project)
    assert [job.chapter for job in build.due_for_the_book(project)] == ["a/1"]
    assert (project / "book" / "notebooks" / "a" / "2.ipynb").exists()
    assert not (project / "book" / "notebooks" / "a" / "1.ipynb").exists()


def test_a_second_build_waits_and_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def second() -> None:
        with build.alone(project, quiet=False):
            entered.set()

    with build.alone(project, quiet=False):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.5)
    assert entered.wait(5)
    thread.join()
    assert "Another build of this book is running" in capsys.readouterr().err


def test_pictures_within_pages_become_files(tmp_path: Path) -> None:
    pictures = {name: f"picture {name}".encode() for name in "ab"}
    inline = {name: base64.b64encode(content).decode() for name, content in pictures.items()}
    (tmp_path / "deep" / "er").mkdir(parents=True)
    top, deep = tmp_path / "x.html", tmp_path / "deep" / "er" / "y.html"
    top.write_text(f'<img src="data:image/webp;base64,{inline["a"]}" alt="A"><p>data:image/webp;base64,AA</p>')
    deep.write_text("".join(f'<img alt="{n}" src="data:image/webp;base64,{inline[n]}">' for n in "ab"))
    build._finish_pages(tmp_path)
    for page, names in ((top, "a"), (deep, "ab")):
        sources = re.findall(r'src="([^"]+)"', page.read_text())
        assert [(page.parent / source).read_bytes() for source in sources] == [pictures[name] for name in names]
    assert "<p>data:image/webp;base64,AA</p>" in top.read_text()
    assert len(list((tmp_path / "_images").iterdir())) == 2  # the same picture is one file


def test_pages_get_a_description_and_lose_defects_of_the_theme(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text(
        '<title>A &amp; B</title><div id="pst-primary-sidebar" class="side"></div><article><h1>A &amp; B'
        '<a class="headerlink" href="#a">#</a></h1><p><strong>In brief.</strong> One &lt; <em>two</em>, "three".</p>'
        '<p>More.</p><div class="citation" role="doc-biblioentry"></div></article>',
        encoding="utf-8",
    )
    (tmp_path / "y.html").write_text("<title>Index</title><article><h1>Index</h1></article>", encoding="utf-8")
    (tmp_path / "z.html").write_text(f"<title>Z</title><article><h1>Z</h1><p>{'word ' * 99}</p></article>")
    build._finish_pages(tmp_path)
    x, y, z = ((tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in "xyz")
    assert '<meta name="description" content="One &lt; two, &quot;three&quot;.">' in x
    assert "doc-biblioentry" not in x and 'role="complementary" aria-label="Book" class="side"' in x
    assert '<meta name="description" content="Index of the winning-tickets book.">' in y
    (said,) = re.findall(r'content="([^"]*)"', z)
    assert said.endswith("word …") and 290 < len(said) <= 302


def test_a_number_and_its_unit_stay_on_one_line_in_prose_only(tmp_path: Path) -> None:
    kept = '<code class="a">5 % 3</code><pre>7 <b>8 % 2</b></pre><a title="5 % of">'
    kept += '<label for="x">50 %, first step</label><script>a = 6 % 4</script><!-- 1 % -->'
    page = tmp_path / "x.html"
    page.write_text(f"<title>T</title>{kept}<p>At 80 % of <em>90.5 %</em>, a % of 5 <b>%</b></p>{kept} 3 %")
    build._finish_pages(tmp_path)
    found = page.read_text(encoding="utf-8")
    assert found.endswith(f"{kept}<p>At 80\xa0% of <em>90.5\xa0%</em>, a % of 5 <b>%</b></p>{kept} 3\xa0%")


def test_pages_that_need_another_host_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org/fine"></a><link rel="canonical" href="https://example.org/">'
        '<script src="local.js"></script><script src="https://example.org/a.js"></script>'
        '<link rel="stylesheet" href="//example.org/b.css"><img src="http://example.org/c.png" alt="c">',
        encoding="utf-8",
    )
    (tmp_path / "style.css").write_text(
        "@import 'local.css'; @font-face {src: url(https://example.org/d.woff2)}", encoding="utf-8"
    )
    assert sorted(build._foreign(tmp_path)) == [
        "page.html loads //example.org/b.css",
        "page.html loads http://example.org/c.png",
        "page.html loads https://example.org/a.js",
        "style.css loads https://example.org/d.woff2",
    ]


def test_kernels_are_copies_of_one_process_where_there_are_many(project: Path) -> None:
    """They show the same, note the same, and none knows what another one did."""
    probe = (
        CELLS
        + """
# %%
import builtins, os, random
from lib.baselines import overlap_mean
assert not hasattr(builtins, "left_over")
builtins.left_over = True
print(overlap_mean(100, 10), hash("x"), random.random() < 2, os.environ["OMP_NUM_THREADS"])
"""
    )
    names = [f"a/{n}.py" for n in range(build._FEW + 1)]
    for name in names:
        write(project, probe, name)
    execute_due(project)
    together = [build.executed_path(f"a/{n}", project).read_text(encoding="utf-8") for n in range(len(names))]
    noted = build._executions(project).content.values()
    alone = build.execute("a/2", {}, project / "out.ipynb", quiet=True, root=project).read_text(encoding="utf-8")
    assert together[2] == alone
    assert all("lib.baselines.overlap_mean" in entry["noted"]["called"] for entry in noted)
    assert not build.due_for_the_book(project)


def test_a_kernel_that_ends_logs_no_closed_sockets(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Alone, and as a copy of one process; it is the log of pyzmq, in which a chapter has nothing."""
    cell = (
        '# %%\nimport logging, os\nos.write(2, b"ended")\nlogging.getLogger("tornado.general").error("not a socket")\n'
    )
    for n in range(build._FEW + 1):
        write(project, cell, f"a/{n}.py")
    execute_due(project)
    executed = build.execute("a/0", {}, project / "out.ipynb", quiet=True, root=project).read_text(encoding="utf-8")
    said = capfd.readouterr().err
    assert said.count("ended") == build._FEW + 2
    assert "not a socket" not in said and '"stderr"' not in executed


def test_the_kernels_of_a_build_that_is_killed_end(project: Path) -> None:
    for n in range(build._FEW + 1):
        write(
            project,
            f"# %%\nimport os, time\nopen('{n}.pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n",
            f"a/{n}.py",
        )
    script = "from lib import build; build.execute_all(build.due_for_the_book(build.ROOT), quiet=True, workers=2)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=project) as process:
        assert eventually(lambda: sum(bool(path.read_text()) for path in project.glob("*.pid")) == 2, 60)
        kernels = [psutil.Process(int(path.read_text())) for path in project.glob("*.pid")]
        process.kill()
    assert eventually(lambda: not any(kernel.is_running() for kernel in kernels), 60)


def test_a_library_that_cannot_be_imported_is_said(project: Path) -> None:
    (project / "lib" / "pages_a.py").write_text("raise RuntimeError", encoding="utf-8")
    for n in range(build._FEW + 1):
        write(project, CELLS, f"a/{n}.py")
    with pytest.raises(UserError, match="the library cannot be imported"):
        execute_due(project)
