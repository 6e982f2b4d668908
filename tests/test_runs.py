"""Chapters executed with other parameters, side by side with the book."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from test_build import HEAD, write

from lib import build, claims, runs
from lib.claims import Scored, Verdict, read_table, table
from lib.errors import UserError

LEDGER = claims.load()
FIRST, SECOND = list(LEDGER)[:2]

# Two claims, the first of which hangs on the level; one figure.
CHAPTER = (
    HEAD
    + f"""# %%
import matplotlib.pyplot as plt
from lib import claims
from lib.notebook import markdown, show
from lib.sources import COMPUTED

ledger = claims.load()
first = claims.Verdict.REPRODUCED if level < 0.85 else claims.Verdict.PARTLY
markdown(claims.table([
    claims.Scored(ledger[{FIRST!r}], first, "paper <1>", f"measured at {{level}}", ""),
    claims.Scored(ledger[{SECOND!r}], claims.Verdict.OPEN, "paper 2", "", ""),
]))

# %%
figure, axes = plt.subplots()
axes.plot([0, level])
show(lambda: figure, "fig-x", f"Caption at {{level}}.", f"A line to {{level}}.", [COMPUTED])
"""
)


@pytest.fixture
def small(project: Path) -> Path:
    write(project, CHAPTER)
    (project / "data").mkdir()
    for name in ("claims.yaml", "claims.sha256"):
        shutil.copy(claims.DEFAULT.with_name(name), project / "data")
    return project


def test_tables_of_claims_are_read_back() -> None:
    scored = [
        Scored(LEDGER[FIRST], Verdict.NOT_REPRODUCED, "a | b <c> `d`", "long | " * 200, ""),
        Scored(LEDGER[SECOND], Verdict.NOT_TESTABLE, "x", "", ""),
    ]
    found = read_table(f"Before.\n\n{table(scored)}\nAfter.")
    assert {name: row["verdict"] for name, row in found.items()} == {
        FIRST: Verdict.NOT_REPRODUCED,
        SECOND: Verdict.NOT_TESTABLE,
    }
    assert BeautifulSoup(found[FIRST]["paper"], "html.parser").text == "a | b <c> `d`"
    assert "<details>" in found[FIRST]["measured"]
    assert read_table("no table") == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [{}]),
        ([("level", "0.9")], [{"level": 0.9}]),
        ([("level", "0.5,0.9,0.5")], [{"level": 0.5}, {"level": 0.9}]),
        ([("level", "0.5"), ("level", "0.9")], [{"level": 0.5}, {"level": 0.9}]),
        # A text may hold a comma, so several are given one by one.
        ([("paper", "A,B"), ("paper", "C")], [{"paper": "A,B"}, {"paper": "C"}]),
        (
            [("level", "0.5,0.9"), ("count", "1,2"), ("quick", "true")],
            [{"level": x, "count": n, "quick": True} for x in (0.5, 0.9) for n in (1, 2)],
        ),
    ],
)
def test_combinations_of_parameters(small: Path, given: list, expected: list) -> None:
    assert runs.combinations("a/3.1", given, small) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("levle", "0.9")], "parameter is 'levle': chapter a/3.1 has level: float"),
        ([("level", "0.5,high")], "parameter level is 'high': it should be a number"),
        ([("level", "0.5,")], "parameter level is '': it should be a number"),
    ],
)
def test_a_sweep_that_cannot_be_is_a_sentence(small: Path, given: list, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        runs.combinations("a/3.1", given, small)


def test_a_sweep_stands_beside_the_book(small: Path) -> None:
    given = [("level", "0.5,0.9")]
    values, out = runs.combinations("a/3.1", given, small), runs.folder("a/3.1", given, small)
    assert out == small / "runs" / "a-3.1-level=0.5,0.9"
    due = build.due(runs.jobs("a/3.1", values, out, small), small)
    assert [job.name for job in due] == ["a/3.1", "a/3.1 level=0.5", "a/3.1 level=0.9"]

    page, changed = runs.run("a/3.1", values, out, quiet=True, root=small)
    assert page == out / "index.html"
    assert changed == {FIRST: ["reproduced", "reproduced", "partly"]}
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "level=0.5.ipynb", "level=0.9.ipynb", "run.json"]

    shown = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    moved, same = shown.find_all("table")
    assert [th.text for th in moved.select("thead th")][2:] == ["the book", "level = 0.5", "level = 0.9"]
    (row,) = moved.select("tbody tr")
    assert row.th.text == FIRST and row.td.text == "paper <1>"
    assert [td.find(class_="verdict").text for td in row.find_all("td")[1:]] == changed[FIRST]
    assert [td.text for td in row.find_all("td")[1:]][1].endswith("measured at 0.5")
    assert [tr.th.text for tr in same.select("tbody tr")] == [SECOND]
    pictures = shown.find_all("img")
    assert [image["alt"] for image in pictures] == ["A line to 0.8.", "A line to 0.5.", "A line to 0.9."]
    stored = json.loads((out / "level=0.9.ipynb").read_text(encoding="utf-8"))
    (png,) = [o["data"]["image/png"] for c in stored["cells"] for o in c.get("outputs", []) if "image/png" in o["data"]]
    assert base64.b64decode(pictures[2]["src"].split(",")[1]) == base64.b64decode("".join(png))
    assert not re.search(r"(src|href)=['\"](?!data:)", page.read_text(encoding="utf-8"))

    # The same again is there already; the book with another text is not.
    assert build.due(runs.jobs("a/3.1", values, out, small), small) == []
    write(small, CHAPTER.replace("level < 0.85", "level < 0.95"))
    assert len(build.due(runs.jobs("a/3.1", values, out, small), small)) == 3
    assert runs.run("a/3.1", values, out, quiet=True, root=small)[1] == {}


def test_one_value_that_fails_leaves_the_others(small: Path) -> None:
    write(
        small,
        HEAD + "# %%\nfrom lib.errors import UserError\nif level > 0.85:\n    raise UserError(f'level is {level}')\n",
    )
    values = [{"level": 0.5}, {"level": 0.9}]
    with pytest.raises(UserError, match=r"^chapter a/3\.1 level=0\.9: level is 0\.9$"):
        runs.run("a/3.1", values, small / "out", quiet=True, root=small)
    assert [p.name for p in (small / "out").iterdir()] == ["level=0.5.ipynb"]


def test_what_is_no_run_is_a_sentence(small: Path) -> None:
    for content in (None, "{}", "[1]", "no JSON"):
        if content is not None:
            (small / "run.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="it should be a folder that python -m lib run made"):
            runs.compare(small, small)


def test_the_commands_in_a_chapter_are_those_that_work(small: Path) -> None:
    build.execute("a/3.1", {"level": 0.9}, small / "out.ipynb", quiet=True, root=small)
    known = build.parameters("a/3.1", small)
    values = {"level": 0.9, "count": 3, "paper": "A", "quick": False}
    text = (small / "out.ipynb").read_text(encoding="utf-8")
    ours = build.run_command("a/3.1", values)
    assert ours == "python -m lib run a/3.1 -p level 0.9 -p count 3 -p paper A -p quick False" and ours in text
    theirs = build.papermill_command("a/3.1", known, values, small)
    assert theirs == (
        "papermill book/notebooks/a/3-1.ipynb mine.ipynb -p level 0.9 -p count 3 -p quick False -r paper A"
    )
    assert theirs in text
