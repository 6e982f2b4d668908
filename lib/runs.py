"""Chapters executed with other parameters, beside the book's."""

import html
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from lib import build, claims
from lib.errors import UserError
from lib.files import read_json, write_whole

_LISTED = "run.json"
_MOST_BYTES = 64 * 2**20  # of an executed chapter; the largest of the book has a few million
_MOST_RUNS = 1000


def combinations(chapter: str, given: Sequence[tuple[str, str]], root: Path = build.ROOT) -> list[dict[str, Any]]:
    """Return the values of each execution that some options of the command line ask for.

    Parameters
    ----------
    chapter : str
        Such as 'a/3.1'.
    given : sequence of (name, text)
        A name that is given again has another value; a number may be several with commas between.  All values of one
        parameter are combined with all of the others.

    Returns
    -------
    list of dict

    Raises
    ------
    UserError
        If there is no such chapter or parameter, a value does not fit, or there are too many combinations.
    """
    known = {p.name: p for p in build.parameters(chapter, root)}
    values: dict[str, list[str]] = {}
    for name, text in given:
        several = name in known and known[name].type != "str"  # a text may well hold a comma
        values.setdefault(name, []).extend(text.split(",") if several else [text])
    if (count := math.prod(len(texts) for texts in values.values())) > _MOST_RUNS:
        raise UserError(
            f"the parameters have {count:,} combinations of values: they should have {_MOST_RUNS:,} at most"
        )
    checked = {name: [build.checked(chapter, {name: text}, root)[name] for text in values[name]] for name in values}
    distinct = {name: list(dict.fromkeys(found)) for name, found in checked.items()}
    return [dict(zip(distinct, chosen, strict=True)) for chosen in itertools.product(*distinct.values())]


def jobs(chapter: str, values: Sequence[Mapping[str, Any]], out: Path, root: Path = build.ROOT) -> list[build.Job]:
    """Return the executions that a run consists of: the book's own, to compare with, and one for each values."""
    own = [build.Job(chapter, chosen, out / f"{_name(chosen)}.ipynb") for chosen in values]
    return [build.Job(chapter, {}, build.executed_path(chapter, root)), *own]


def run(
    chapter: str, values: Sequence[Mapping[str, Any]], out: Path, quiet: bool = False, root: Path = build.ROOT
) -> tuple[Path, dict[str, list[str]]]:
    """Execute a chapter with other values, all at once, and make the page that compares them with the book.

    What is there already and would come out the same is not executed again.

    Parameters
    ----------
    chapter : str
        Such as 'a/3.1'.
    values : sequence of mappings
        As `combinations` returns them.
    out : Path
        The folder of the run.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    page, changed
        As `compare` returns them.
    """
    with build.alone(root, quiet):
        build.execute_all(build.due(jobs(chapter, values, out, root), root), quiet, None, root)
    listed = {"chapter": chapter, "runs": {f"{_name(chosen)}.ipynb": dict(chosen) for chosen in values}}
    write_whole(out / _LISTED, (json.dumps(listed, indent=1) + "\n").encode())
    return compare(out, root)


def folder(chapter: str, given: Sequence[tuple[str, str]], root: Path = build.ROOT) -> Path:
    """Return the folder of a run that is given none: its name says what it is."""
    return root / "runs" / "-".join([_safe(chapter.replace("/", "-")), *(_safe(f"{n}={t}") for n, t in given)])


def _name(values: Mapping[str, Any]) -> str:
    return _safe("-".join(f"{name}={value}" for name, value in values.items())) or "as-in-the-book"


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-=._," else "_" for c in text)


# --- comparison ----------------------------------------------------------------------------------------------


def compare(out: Path, root: Path = build.ROOT) -> tuple[Path, dict[str, list[str]]]:
    """Make the page that shows a run beside the book.

    Parameters
    ----------
    out : Path
        The folder of the run.

    Returns
    -------
    page : Path
        ``index.html`` in that folder; needs no other file.
    changed : dict
        The claims whose verdict is another than the book's: by id, the verdict in the book, then in each execution.

    Raises
    ------
    UserError
        If the folder is not that of a run, or the book's chapter is not executed.
    """
    chapter, runs = _listed(out)
    places = {"the book": build.executed_path(chapter, root)}
    places |= {", ".join(f"{k} = {v}" for k, v in runs[name].items()) or "here": out / name for name in runs}
    try:
        shown = {name: _Shown(place) for name, place in places.items()}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is not there: python -m lib run {chapter} makes it again") from None
    ids = dict.fromkeys(claim for one in shown.values() for claim in one.claims)
    verdicts = {claim: [one.verdict(claim) for one in shown.values()] for claim in ids}
    changed = {claim: found for claim, found in verdicts.items() if len(set(found)) > 1}
    page = out / "index.html"
    write_whole(page, _page(chapter, shown, verdicts, changed).encode())
    return page, changed


def _listed(out: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the chapter of a run and the values of its executions, by the name of the notebook in its folder."""
    try:
        listed = read_json(out / _LISTED)
        chapter, runs = str(listed["chapter"]), {str(name): dict(values) for name, values in listed["runs"].items()}
        if any(Path(name).name != name or Path(name).suffix != ".ipynb" for name in runs):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"RUN is {str(out)!r}: it should be a folder that python -m lib run made") from None
    return chapter, runs


class _Shown:
    """What an executed chapter shows: its title, its claims, its figures.

    The notebook may be anybody's: of what it holds, only numbers, words and pictures reach a page.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._read()
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged notebook raises errors of many kinds
            raise UserError(
                f"{path}: is not a chapter that python -m lib run executed ({type(error).__name__})"
            ) from error

    def _read(self) -> None:
        with self.path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
        outputs = [o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])]
        self.title = next((m[1] for t in texts if (m := re.search(r"^# (.+)$", t, re.MULTILINE))), self.path.stem)
        self.claims: dict[str, dict[str, str]] = {}
        for data in outputs:
            self.claims |= claims.read_table(data.get("text/markdown", ""))
        self.figures: dict[str, tuple[str, str, str]] = {}
        for cell in notebook.cells:
            if "figure" in cell.metadata.get("mystnb", {}):
                told = cell.metadata["mystnb"]
                pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
                for picture in pictures:
                    words = str(told["image"]["alt"]), str(told["figure"]["caption"])
                    self.figures[str(told["figure"]["name"])] = (str(picture), *words)

    def verdict(self, claim: str) -> str:
        return self.claims[claim]["verdict"] if claim in self.claims else "not in it"


def _page(
    chapter: str, shown: Mapping[str, _Shown], verdicts: Mapping[str, list[str]], changed: Mapping[str, list[str]]
) -> str:
    book = shown["the book"]
    title = f"{book.title}: the book and {' and '.join(name for name in shown if name != 'the book')}"
    names = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in shown)

    def table(ids: Sequence[str]) -> str:
        rows = []
        for claim in ids:
            said = next(one.claims[claim]["paper"] for one in shown.values() if claim in one.claims)
            cells = "".join(
                f"<td>{claims.badge(claims.Verdict(one.verdict(claim)))}<br>{one.claims[claim]['measured']}</td>"
                if claim in one.claims
                else "<td>not in it</td>"
                for one in shown.values()
            )
            rows.append(f"<tr><th scope='row'>{html.escape(claim)}</th><td>{said}</td>{cells}</tr>")
        head = f"<tr><th scope='col'>claim</th><th scope='col'>the paper says</th>{names}</tr>"
        body = f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody>"
        return f"<div class='wide' tabindex='0' role='group' aria-label='claims'><table>{body}</table></div>"

    figures = dict.fromkeys(name for one in shown.values() for name in one.figures)
    compared = "".join(
        f"<h3>{html.escape(figure)}</h3><div class='beside'>"
        + "".join(_figure(name, one.figures.get(figure)) for name, one in shown.items())
        + "</div>"
        for figure in figures
    )
    same = [claim for claim in verdicts if claim not in changed]
    files = "".join(
        f"<li>{html.escape(name)}: <code>{html.escape(one.path.name)}</code></li>" for name, one in shown.items()
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<main>
<h1>{html.escape(title)}</h1>
<p>Chapter <code>{html.escape(chapter)}</code>, with other parameters, beside the book.</p>
<h2>Claims whose verdict is another ({len(changed)} of {len(verdicts)})</h2>
{table(list(changed)) if changed else "<p>None.</p>"}
<h2>Figures</h2>
{compared or "<p>The chapter has none.</p>"}
<h2>Claims whose verdict is the same ({len(same)})</h2>
{table(same) if same else "<p>None.</p>"}
<h2>The executed notebooks</h2>
<ul>{files}</ul>
</main>
</html>
"""


def _figure(name: str, figure: tuple[str, str, str] | None) -> str:
    if figure is None:
        return f"<figure><figcaption><b>{html.escape(name)}</b>: not in it.</figcaption></figure>"
    picture, alt, caption = figure
    plain = re.sub(r"\{[a-z:]+\}`([^`]*)`|\[([^][]*)\]\{[^}]*\}", r"\1\2", caption)
    return (
        f"<figure><figcaption><b>{html.escape(name)}</b></figcaption>"
        f"<img src='data:image/png;base64,{html.escape(picture.strip(), quote=True)}' "
        f"alt='{html.escape(alt, quote=True)}'>"
        f"<details><summary>Caption</summary>{html.escape(plain)}</details></figure>"
    )


_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --line: #d0d4d9; --soft: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181e; --ink: #e3e6ea; --line: #3b424c; --soft: #1d232b; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { margin: 0 auto; max-width: 96rem; padding: 1rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .92rem; min-width: 46rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .5rem .75rem; text-align: left; vertical-align: top; }
thead th { background: var(--soft); } tbody th { font-weight: 500; white-space: nowrap; }
.beside { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
figure { margin: 0; } figure img { background: #fff; border: 1px solid var(--line); height: auto; max-width: 100%; }
figcaption { margin-bottom: .35rem; } details { font-size: .9rem; }
.verdict { border: 1px solid; border-radius: .3rem; font-size: .85rem; font-weight: 600; padding: 0 .45rem;
  white-space: nowrap; }
"""
