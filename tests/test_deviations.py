"""What the register of deviations measures, held against the ledger and against verdicts made by hand."""

import dataclasses
from pathlib import Path

import pytest

from lib import claims, deviations, evidence, paper_a, scoring
from lib.claims import Scored, Verdict
from lib.experiments import find
from lib.tickets import Store

LEVELS = ("50", "60", "80", "90", "95", "98")
YES, PARTLY, NO, UNTESTED = Verdict.REPRODUCED, Verdict.PARTLY, Verdict.NOT_REPRODUCED, Verdict.NOT_TESTABLE


def scored(number: int, *readings: tuple[str, Verdict]) -> Scored:
    claim = dataclasses.replace(claims.load()["A-F3a-1"], id=f"A-F3a-{number}")
    return Scored(claim, YES, "", "", "", tuple((name, verdict, "") for name, verdict in readings))


def test_readings_are_put_together_by_their_words() -> None:
    effect = deviations._by_reading(
        "A",
        "this",
        "that",
        [
            scored(1, ("captioned, 80 %", YES), ("implied, 90 %", NO)),
            scored(2, ("captioned, one", YES), ("captioned, zero", NO), ("implied, one", NO), ("implied, zero", NO)),
            scored(3, ("captioned, 80 %", UNTESTED), ("implied, 90 %", NO)),
            scored(4, ("captioned, one", UNTESTED), ("captioned, zero", NO), ("implied", NO)),
            scored(5, ("captioned, 80 %", YES)),
        ],
        "captioned",
        "implied",
    )
    assert effect.verdicts == {
        "A-F3a-1": (YES, NO),
        "A-F3a-2": (PARTLY, NO),
        "A-F3a-3": (UNTESTED, NO),
        "A-F3a-4": (NO, NO),
    }
    assert effect.measured == ["A-F3a-1", "A-F3a-2", "A-F3a-4"]
    assert effect.changed == ["A-F3a-1", "A-F3a-2"]


def test_what_rests_on_some_trials_are_the_claims_measured_on_them(monkeypatch) -> None:
    name, given = "b/conv2/cifar10", []
    for number, (verdict, experiments) in enumerate(
        [(YES, (name,)), (NO, ("b/conv2/svhn",)), (Verdict.NOT_A_CLAIM, (name,)), (PARTLY, (name, "b/conv2/cinic10"))]
    ):
        given.append(dataclasses.replace(scored(number), verdict=verdict, experiments=experiments))
    monkeypatch.setattr(scoring, "score_all", lambda paper, store: given if paper == "B" else [])
    effect = deviations._fewer_trials(Store(), name)
    assert effect.verdicts == {"A-F3a-0": (YES, UNTESTED), "A-F3a-3": (PARTLY, UNTESTED)}
    assert effect.paper == "B" and effect.lacking is not None and effect.lacking.experiment == name


def test_the_first_verdict_is_that_of_the_ledger() -> None:
    store = Store()
    found = deviations._panel(store, "A-F8a", paper_a.PANELS["A-F8a"])
    ledger = {s.claim.id: s.verdict for s in scoring.score("A", "Appendix A", store)}
    assert len(found) >= 5
    assert {claim: both for claim, both in found.items()} == {claim: (ledger[claim],) * 2 for claim in found}


def test_of_which_outputs_the_cka_is_changes_what_is_made_of_it_alone() -> None:
    """What is measured by distances, or by masks, is not touched; what is, is scored by the other matrix."""
    effect = deviations._softmax(Store())
    assert effect.paper == "A" and effect.measured
    ledger = {s.claim.id: s for part in ("Appendix C", "Appendix D.6") for s in scoring.score("A", part, Store())}
    assert {claim: one for claim, (one, _) in effect.verdicts.items()} == {
        c: ledger[c].verdict for c in effect.verdicts
    }
    assert "A-F9-1" not in effect.verdicts and {"A-F9-3", "A-F15-3", "A-F15-4"} <= set(effect.verdicts)
    within = [evidence.output_similarities(Store(), paper_a.FASHION, v, "CKA of softmax")[0].mean() for v in LEVELS]
    readings = paper_a.SECTIONS["A", "Appendix C"](Store(), [], paper_a.PANELS, cka="CKA of softmax")["A-F9-3"]
    (said,) = [m.note for m in readings if m.reading == paper_a.FASHION]
    assert f"mean CKA of softmax {', '.join(f'{m:.3f}' for m in within)}" in said


def test_without_tickets_nothing_is_said_to_be_measured(tmp_path: Path) -> None:
    found = deviations.effects(Store(tmp_path))
    assert [effect.lacking.experiment for effect in found if effect.lacking] == list(deviations.SETTINGS)
    for effect in found:
        if effect.paper == "A":
            assert effect.verdicts and not effect.measured and not effect.changed, effect.departure


@pytest.mark.parametrize("name", deviations.SETTINGS)
def test_each_setting_differs_from_the_book_in_one_thing(name: str) -> None:
    ours, other = deviations._setting(paper_a.FASHION, name), deviations._setting(name, paper_a.FASHION)
    assert ours != other
    one, same = find(name), find(paper_a.FASHION)
    changed = {
        key
        for key in ("optimiser", "scaling", "batch", "architecture")
        if getattr(one, key, 0) != getattr(same, key, 0)
    }
    assert len(changed) <= 1
