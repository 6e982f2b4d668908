"""Links from claims to what decides them, and back."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from lib import claims, links

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


def test_a_claim_about_one_network_is_decided_by_its_figures_alone() -> None:
    names = {
        "A-F11": [f"fig-a-11-{which}{p}" for which in ("", "cifar-", "resnet-") for p in (95, 99)],
        "A-F1b": [f"fig-a-1b-{which}" for which in ("fashion", "cifar", "resnet")],
    }
    for claim in claims.load().values():
        figure, data, model = (
            claim.id.rpartition("-")[0],
            claim.setting.get("dataset", ""),
            claim.setting.get("model", ""),
        )
        if figure not in names or not model:
            continue
        which = "resnet" if "ResNet" in model else "cifar" if data == "CIFAR-10" else ""
        found = links.deciding(claim.id, names[figure])
        assert found, claim.id
        if data == "Fashion-MNIST and CIFAR-10":
            assert found == ["fig-a-1b-fashion", "fig-a-1b-cifar"]
        else:
            assert all((which or figure[3:]) in name for name in found), claim.id
            others = {"cifar", "resnet"} - {which}
            assert not any(other in name for name in found for other in others), (claim.id, found)


def test_shares_of_a_layer_and_of_the_coverage_are_decided_by_their_own_figures() -> None:
    layer = ["fig-a-4b-layer", "fig-a-4b-cifar", "fig-a-4b-resnet"]
    coverage = ["fig-a-4b-coverage", "fig-a-4b-cifar-coverage", "fig-a-4b-resnet-coverage"]
    for number in "23458":
        assert links.deciding(f"A-F4b-{number}", [*layer, *coverage]) == layer
    assert links.deciding("A-F4b-6", [*layer, *coverage]) == layer[:2]  # of the small networks, which have this level
    assert links.deciding("A-F4b-7", [*layer, *coverage]) == coverage
    cka, l2 = ["fig-a-9-cka", "fig-a-9-cifar", "fig-a-9-resnet"], ["fig-a-9-l2", "fig-a-9-cifar-l2"]
    every = [*cka, *l2, "fig-a-9-softmax"]
    assert links.deciding("A-F9-3", every) == cka and links.deciding("A-F9-1", every) == l2
    assert links.deciding("A-F9-4", every) == [*cka, *l2] and links.deciding("A-F9", every) == [*cka, *l2]


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
