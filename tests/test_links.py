"""Links from claims to what decides them, and back."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from lib import links

NAMES = ["fig-a-3a", "fig-a-3a-ladder", "fig-a-3a-rungs", "fig-a-3b", "fig-a-4a-fashion", "tab-b-1-plain", "tab-own"]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("A-F3a-2", ["fig-a-3a"]),
        ("A-F3b-1", ["fig-a-3b"]),
        ("A-F4a-F1", ["fig-a-4a-fashion"]),
        ("A-F4a-C1", []),
        ("B-T1-NNSTD-WTs_CIFAR", ["tab-b-1-plain"]),
        ("B-T1-NNSTDpm-WTs_CIFAR", []),
        ("X-1", []),
    ],
)
def test_a_claim_is_decided_by_its_papers_figure_and_not_by_ladders(claim: str, expected: list[str]) -> None:
    assert links.deciding(claim, NAMES) == expected


FIGURE = (
    '<figure class="align-default" id="{name}"><input id="{name}-level-0"><img src="x.png">'
    '<figcaption><p><span class="caption-number">Figure {n} </span>Words.</p></figcaption></figure>'
)
TABLE = (
    '<table class="table" id="{name}"><caption><span class="caption-number">Table {n} </span>Words.</caption>'
    "<tr></tr></table>"
)
ROW = (
    '<tr><td><p><span id="claim-{id}">{id}</span></p></td><td>said</td>'
    '<td><span class="verdict x">{verdict}</span></td></tr>'
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "notebooks" / "a").mkdir(parents=True)
    (tmp_path / "_static").mkdir()
    rows = [("A-F3a-1", "partly"), ("A-F3b-1", "reproduced"), ("A-3-1", "reproduced"), ("A-2-S1", "not a claim")]
    ledger = "<table>" + "".join(ROW.format(id=i, verdict=v) for i, v in rows) + "</table>"
    chapter = FIGURE.format(name="fig-a-3a", n=7) + TABLE.format(name="tab-a-3-1-excess", n=2)
    (tmp_path / "notebooks" / "a" / "3-1.html").write_text(chapter + ledger, encoding="utf-8")
    (tmp_path / "notebooks" / "claims.html").write_text(ledger, encoding="utf-8")
    (tmp_path / "_static" / "template.html").write_text(ledger, encoding="utf-8")
    links.weave(tmp_path)
    return tmp_path


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_claims_and_figures_are_linked_both_ways(book: Path) -> None:
    chapter, ledger = read(book / "notebooks" / "a" / "3-1.html"), read(book / "notebooks" / "claims.html")
    for page, place in ((chapter, ""), (ledger, "a/3-1.html")):
        found = {row.select_one("[id^=claim-]")["id"]: row.select(".decided-by a") for row in page.select("tr:has(td)")}
        assert {claim: [(a["href"], a.text) for a in many] for claim, many in found.items()} == {
            "claim-A-F3a-1": [(f"{place}#fig-a-3a", "Figure 7")],
            "claim-A-3-1": [(f"{place}#tab-a-3-1-excess", "Table 2")],
            "claim-A-F3b-1": [],  # its figure is not in the book
            "claim-A-2-S1": [],
        }
    figure, table = chapter.select_one("figcaption .decides"), chapter.select_one("caption .decides")
    assert figure.text == "Decides: A-F3a-1 partly." and figure.a["href"] == "#claim-A-F3a-1"
    assert table.text == "Decides: A-3-1 reproduced." and table.a["href"] == "#claim-A-3-1"
    assert "decide" not in (book / "_static" / "template.html").read_text(encoding="utf-8")
