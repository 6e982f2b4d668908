"""From made tickets, of which it is known what they hold, to verdicts."""

import dataclasses
import itertools

import numpy as np
import pytest
from made import CORRECT, TINY, change, made_store
from scipy import stats

from lib import claims, evidence, experiments, paper_a, scoring
from lib.claims import Verdict
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, find
from lib.paper_a import CIFAR, FASHION, RESNET
from lib.pruning import percent_levels
from lib.tickets import Store

EXPERIMENT = find(FASHION)
WRITTEN = ("1", "2", "3.1", "Appendix A", "Appendix B")  # sections of paper A that have a function
LEDGER = claims.load()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Masks drawn independently: what the paper says there is."""
    return made_store(tmp_path_factory.getbasetemp() / "independent", EXPERIMENT)


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Masks whose overlap within an initialisation is far above chance; trained up to 90 %."""
    return made_store(tmp_path_factory.getbasetemp() / "planted", EXPERIMENT, planted=0.8, levels=5)


@pytest.fixture(scope="session")
def scored(store):
    return score(store, *WRITTEN)


@pytest.fixture
def tiny(monkeypatch):
    """A small network in the place of the Fashion-MNIST experiment: 2 x 2 runs, the same levels."""
    small = dataclasses.replace(EXPERIMENT, architecture=TINY, inits=2, runs=2)
    monkeypatch.setitem(EXPERIMENTS, FASHION, small)
    return small


def score(store, *sections):
    return {s.claim.id: s for section in sections for s in scoring.score("A", section, store)}


def verdict(store, name):
    return score(store, LEDGER[name].section)[name].verdict


# --- overlaps and accuracies ---------------------------------------------------------------------------------


def sets_of(store, level, layer):
    """The masks of one layer, as sets of the numbers of the weights that are kept."""
    masks = store.read(EXPERIMENT, EXPERIMENT.level(level)).masks[:, EXPERIMENT.architecture.weight_slices()[layer]]
    return [set(np.flatnonzero(mask).tolist()) for mask in masks]


@pytest.mark.parametrize(("within", "pairs"), [(True, 50), (False, 250)])
def test_overlaps_are_those_of_sets(store, within, pairs):
    for layer in evidence.overlaps(store, FASHION, "80", within):
        kept = sets_of(store, "80", layer.layer)
        expected = {
            (a, b): 100 * len(kept[a] & kept[b]) / len(kept[a])
            for a, b in itertools.combinations(range(25), 2)
            if (a // 5 == b // 5) == within
        }
        assert len(layer.values) == len(expected) == pairs
        np.testing.assert_allclose(layer.values, list(expected.values()), rtol=1e-12)
        assert [(a // 5, b // 5) for a, b in expected] == list(
            zip(layer.first.tolist(), layer.second.tolist(), strict=True)
        )


def test_what_chance_gives_is_the_hypergeometric_distribution(store):
    found = evidence.overlaps(store, FASHION, "95")
    assert [layer.weights for layer in found] == [150, 2400, 30720, 10080, 840]
    assert [layer.kept for layer in found] == [7, 120, 1536, 504, 42]
    for layer in found:
        chance = stats.hypergeom(layer.weights, layer.kept, layer.kept)
        assert layer.expected == pytest.approx(100 * chance.mean() / layer.kept)
        assert (layer.low, layer.high) == pytest.approx(tuple(100 * x / layer.kept for x in chance.interval(0.95)))


def test_planted_overlap_is_found_where_it_was_planted(planted):
    for layer in evidence.overlaps(planted, FASHION, "50"):
        across = next(y for y in evidence.overlaps(planted, FASHION, "50", within=False) if y.layer == layer.layer)
        assert layer.values.min() > layer.high
        assert abs(across.values.mean() - 50) < layer.high - 50


def test_accuracies_are_counts_over_all_test_images(store):
    found = evidence.accuracies(store, FASHION)
    assert list(found) == ["dense", "50", "60", "80", "90", "95", "98"]
    for level, values in found.items():
        assert values.shape == (5, 5)
        for init, run in itertools.product(range(5), range(5)):
            assert values[init, run] == pytest.approx((CORRECT[level] + 5 * init + run) / 100)


def test_accuracies_of_a_part_are_those_of_the_levels_that_are_there(planted):
    assert list(evidence.accuracies(planted, FASHION)) == ["dense", "50", "60", "80", "90"]


def test_pairs_that_do_not_exist_are_a_sentence(tmp_path, monkeypatch):
    for design, within, words in (
        ({"inits": 1, "runs": 2}, False, "different initialisations"),
        ({"inits": 2, "runs": 1}, True, "one initialisation"),
    ):
        small = dataclasses.replace(EXPERIMENT, name="test/design", architecture=TINY, **design)
        monkeypatch.setitem(EXPERIMENTS, small.name, small)
        made = made_store(tmp_path / words, small, levels=2)
        assert len(evidence.overlaps(made, small.name, "50", not within)[0].values) == 1
        with pytest.raises(UserError, match=f"test/design.*no pairs of {words}"):
            evidence.overlaps(made, small.name, "50", within)


# --- verdicts of masks of which the truth is known -----------------------------------------------------------


@pytest.mark.parametrize("name", ["A-F2-1", "A-F8-C", "A-3.1-C", "A-1-C1"])
def test_independent_masks_are_as_by_chance(scored, name):
    # Of 50 pairs that are as by chance, more than 5 fall outside the 95 % interval once in some dozens of layers; it is
    # the seed of these masks that spares us one.
    assert scored[name].verdict == Verdict.REPRODUCED


def test_a_layer_far_from_chance_by_bad_luck_stays_rare(store, scored):
    """30 layers and levels of independent masks: counted here by the rule of book/rules.md, with scipy's chance."""
    holds = 0
    for level in EXPERIMENT.levels[1:]:
        for layer in EXPERIMENT.architecture.layers:
            kept = sets_of(store, level.name, layer.name)
            n, k = layer.size, len(kept[0])
            shared = [
                len(kept[5 * i + a] & kept[5 * i + b]) for i in range(5) for a, b in itertools.combinations(range(5), 2)
            ]
            low, high = stats.hypergeom(n, k, k).interval(0.95)
            inside = np.mean([low <= x <= high for x in shared])
            holds += bool(inside >= 0.9 and abs(np.mean(shared) - k * k / n) <= (high - low) / 4)
    assert f"overlap: as by chance in {holds} of 30 layers and levels" in scored["A-1-C2"].measured
    assert holds >= 27 and scored["A-1-C2"].verdict == Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["A-F8-C", "A-3.1-C"])
def test_planted_overlap_is_not_as_by_chance(planted, name):
    assert verdict(planted, name) == Verdict.NOT_REPRODUCED


def test_masks_of_different_initialisations_stay_as_by_chance(planted):
    """What is common to the runs of an initialisation must not show across initialisations."""
    assert verdict(planted, "A-F2-1") != Verdict.NOT_REPRODUCED


def in_ranges(values, *ranges):
    inside = np.mean([any(low - 0.5 <= v <= high + 0.5 for low, high in ranges) for v in values])
    return "reproduced" if inside >= 0.95 else "partly" if inside >= 0.5 else "not reproduced"


def around(values, target):
    off = abs(np.mean(values) - target)
    reach = max(0.1 * target, 0.5)
    return "reproduced" if off <= reach else "partly" if off <= 2 * reach else "not reproduced"


@pytest.mark.parametrize(
    ("name", "layer", "rule"),
    [
        ("A-F3a-2", "conv1", lambda v: in_ranges(v, (0, 20), (26, 26))),
        ("A-F3a-3", "conv2", lambda v: in_ranges(v, (5, 15))),
        ("A-F3a-4", "dense1", lambda v: around(v, 10)),
        ("A-F3a-5", "dense2", lambda v: around(v, 10)),
        ("A-F3a-6", "output", lambda v: in_ranges(v, (3, 20))),
    ],
)
def test_figure_3a_is_judged_at_both_levels_by_its_rule(store, scored, name, layer, rule):
    expected = []
    for level in ("80", "90"):
        kept = sets_of(store, level, layer)
        values = [
            100 * len(kept[a] & kept[b]) / len(kept[a])
            for a, b in itertools.combinations(range(25), 2)
            if a // 5 == b // 5
        ]
        expected.append(rule(values))
    found = scored[name]
    assert [(reading, v) for reading, v, _ in found.readings] == [
        ("captioned level, 80 %", expected[0]),
        ("implied level, 90 %", expected[1]),
    ]
    assert found.verdict == (expected[0] if expected[0] == expected[1] else "partly")
    assert found.verdict in ("reproduced", "partly")
    assert found.experiments == (FASHION,)


def test_the_expected_overlap_of_figure_3a_fits_the_implied_level_only(scored):
    readings = [(reading, v) for reading, v, _ in scored["A-F3a-1"].readings]
    assert readings == [("captioned level, 80 %", "not reproduced"), ("implied level, 90 %", "reproduced")]
    assert scored["A-F3a-1"].verdict == "partly"


def test_equal_masks_are_not_different(tiny, tmp_path):
    assert verdict(made_store(tmp_path / "different", tiny), "A-1-C1") == Verdict.REPRODUCED
    assert verdict(made_store(tmp_path / "equal", tiny, planted=1.0), "A-1-C1") == Verdict.NOT_REPRODUCED


def test_equal_masks_at_one_level_are_named(tiny, tmp_path):
    made = made_store(tmp_path, tiny)
    record = made.read(tiny, tiny.levels[-1])
    masks, weights = record.masks.copy(), record.weights.copy()
    masks[3], weights[3] = masks[2], weights[2]
    change(made, tiny, tiny.levels[-1], masks=masks, weights=weights)
    found = scoring.score("A", "1", made)[0]
    assert found.verdict == Verdict.PARTLY
    assert "98 %" in found.measured.split("fails:")[1]
    assert "5 of 6" in found.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Verdict.REPRODUCED),
        # The first two are the best, all later steps fall but the one from 90 to 95 %.
        ({"95": 8720}, Verdict.PARTLY),
        # A later step is the best, and nothing falls before it.
        ({"50": 8000, "60": 8100, "80": 8200, "90": 8300, "95": 8400, "98": 8500}, Verdict.NOT_REPRODUCED),
    ],
)
def test_the_order_of_accuracies(tiny, tmp_path, changes, expected):
    made = made_store(tmp_path, tiny, correct=CORRECT | changes)
    found = score(made, "2")["A-F1b-1"]
    readings = {reading: v for reading, v, _ in found.readings}
    assert readings == {FASHION: expected, CIFAR: Verdict.NOT_TESTABLE}
    assert found.verdict == expected


def test_a_small_mask_that_is_no_longer_good(tiny, tmp_path):
    made = made_store(tmp_path, tiny, correct=CORRECT | {"98": 1000})
    found = score(made, "2")["A-F1b-3"]
    assert {reading: v for reading, v, _ in found.readings}[FASHION] == Verdict.PARTLY
    assert "three quarters" in found.measured.split("fails:")[1]


def test_a_ticket_that_answers_the_same_to_every_image_is_counted(tiny, tmp_path):
    made, level = made_store(tmp_path, tiny), tiny.level("90")
    record = made.read(tiny, level)
    logits = record.logits.copy()
    logits[1] = logits[1, :1]
    change(made, tiny, level, logits=logits)
    assert [evidence.constant_tickets(made, FASHION, y) for y in ("80", "90")] == [0, 1]
    within, across = evidence.output_similarities(made, FASHION, "90", "CKA")
    assert (len(within), len(across)) == (1, 2)  # of 2 and 4
    words = f"without 1 of 4 tickets of {FASHION} at 90 %, which give every image the same output"
    assert words in score(made, "Appendix C")["A-F9-4"].measured


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.122, 0.119, 0.121, 0.132, 0.170, 0.334), Verdict.REPRODUCED),
        ((0.122, 0.119, 0.121, 0.120, 0.170, 0.334), Verdict.PARTLY),
        ((0.122, 0.150, 0.121, 0.120, 0.170, 0.334), Verdict.NOT_REPRODUCED),
    ],
)
def test_what_is_stable_at_first_rises_after_that(store, monkeypatch, means, expected):
    by_level = {y.name: (np.array([m]), np.array([m])) for y, m in zip(EXPERIMENT.levels[1:], means, strict=True)}
    monkeypatch.setattr(paper_a, "_by_level", lambda *_: by_level)
    assert verdict(store, "A-F6-3") == expected


@pytest.mark.parametrize(("more", "expected"), [(20, True), (1, False), (-20, False)])
def test_tickets_are_more_accurate_if_the_interval_says_so(tmp_path, monkeypatch, more, expected):
    """Of 10,000 images; initialisations differ by some ten, the two experiments by `more` of these."""
    add = {FASHION: np.zeros(10, int), paper_a.FASHION_PARTIAL: more + np.repeat([0, 15, -12, 8, -9], 2)}
    for name, count in add.items():
        small = dataclasses.replace(find(name), architecture=TINY, runs=2)
        monkeypatch.setitem(EXPERIMENTS, name, small)
        made = made_store(tmp_path, small)
        for level in small.levels:
            change(made, small, level, correct=8000 + count)
    gains = paper_a._more_accurate(made, paper_a.FASHION_PARTIAL)
    assert set(gains.checks.values()) == {expected}


# --- all of the ledger that is written -----------------------------------------------------------------------


def test_nothing_measured_is_unknown_to_the_ledger(store):
    for (paper, section), measure in paper_a.SECTIONS.items():
        own = [c for c in LEDGER.values() if (c.paper, c.section) == (paper, section)]
        measured = measure(store, own, paper_a.PANELS)
        assert set(measured) <= {c.id for c in own}
        for name, found in measured.items():
            scored = claims.judge(LEDGER[name], found)  # raises where a measurement does not fit the kind
            kind, needed = LEDGER[name].check, {"range", "value", "threshold"}
            grouped = kind in ("chance-match", "above-chance")
            for m in found:
                assert m.missing or (m.values is not None) == (kind in needed), name
                assert m.missing or bool(m.groups) == grouped, name
            assert scored.verdict != Verdict.OPEN, name


def test_no_claim_about_fashion_mnist_or_a_formula_is_open(scored):
    assert [name for name, s in scored.items() if s.verdict == Verdict.OPEN] == []
    decided = (Verdict.REPRODUCED, Verdict.PARTLY, Verdict.NOT_REPRODUCED)
    for name, s in scored.items():
        if s.claim.check == "formula" or s.claim.setting.get("dataset") == "Fashion-MNIST":
            assert s.verdict in (*decided, Verdict.NOT_A_CLAIM), name


def test_printed_formulas_get_the_verdicts_that_arithmetic_gives_them(scored):
    """At 50 % of 2,400 weights equation 5 gives more than the mask holds, equation 6 a negative number."""
    assert scored["A-B-eq4"].verdict == Verdict.REPRODUCED
    assert scored["A-2-S13"].verdict == Verdict.REPRODUCED
    for name in ("A-B-eq5", "A-B-sd", "A-B-sd-2", "A-B-eq6", "A-B-eq7"):
        assert scored[name].verdict == Verdict.NOT_REPRODUCED, name
    assert scored["A-B-eq2"].verdict == scored["A-B-eq3"].verdict == Verdict.PARTLY
    assert "standard deviation" in scored["A-B-eq2"].measured.split("fails:")[1]


def test_the_experiments_are_set_up_as_the_paper_says(scored):
    said = {
        name: s.measured for name, s in scored.items() if name.startswith("A-2-S") and LEDGER[name].check == "setup"
    }
    assert len(said) == 12
    assert not [name for name, words in said.items() if not words.startswith("as in the paper: ") or "departs" in words]


def test_sections_come_in_the_ledgers_order(scored):
    own = [c.id for section in WRITTEN for c in LEDGER.values() if (c.paper, c.section) == ("A", section)]
    assert list(scored) == own


def test_all_sections_together_are_the_whole_ledger(tmp_path):
    found = scoring.score_all(store=Store(tmp_path))
    assert sorted(s.claim.id for s in found) == sorted(LEDGER)
    only = scoring.score_all("A", "3.1", Store(tmp_path))
    assert [s.claim.id for s in only] == [c.id for c in LEDGER.values() if (c.paper, c.section) == ("A", "3.1")]


def test_unknown_sections_are_a_sentence(store):
    with pytest.raises(UserError, match=r"^section is '3\.9': the ledger has no entry for it in paper A$"):
        scoring.score("A", "3.9", store)
    with pytest.raises(UserError, match=r"^section is '3\.9': the ledger has .*3\.1.*") as error:
        scoring.score_all(section="3.9", store=store)
    assert "\n" not in str(error.value)


# --- tickets that are not there ------------------------------------------------------------------------------


def test_missing_tickets_are_named(tmp_path):
    found = score(Store(tmp_path), *WRITTEN)
    for name, experiment in {"A-F2-1": FASHION, "A-F2-2": CIFAR, "A-F2-3": RESNET, "A-1-C1": FASHION}.items():
        assert found[name].verdict == Verdict.NOT_TESTABLE
        assert found[name].measured == f"no tickets of {experiment}"
    for name in ("A-F3a-2", "A-3.1-C", "A-F8-C", "A-F1b-1"):
        assert found[name].verdict == Verdict.NOT_TESTABLE
        assert FASHION in found[name].measured
    assert found["A-1-C4"].verdict == found["A-1-C5"].verdict == Verdict.NOT_TESTABLE
    assert found["A-F1b"].verdict == Verdict.NOT_TESTABLE


def test_an_experiment_trained_in_part_names_the_level(planted, tmp_path):
    found = score(planted, "1", "2")
    assert found["A-1-C1"].measured == f"no tickets of {FASHION} at 95 %"
    assert f"no tickets of {FASHION} at 95, 98 %" in found["A-F1b-1"].measured
    assert f"no tickets of {FASHION} at 98 %" in found["A-F1b-3"].measured
    half = made_store(tmp_path, EXPERIMENT, levels=4)
    readings = score(half, "3.1")["A-F3a-4"].readings
    assert [v for _, v, _ in readings] == [Verdict.NOT_REPRODUCED, Verdict.NOT_TESTABLE]
    assert readings[1][2] == f"no tickets of {FASHION} at 90 %"


def test_an_experiment_without_a_specification_is_missing(store, tmp_path):
    for name in ("a/none/free", FASHION):
        with pytest.raises(evidence.Missing, match=f"^{name}$"):
            evidence.record(Store(tmp_path), name, "50")
        with pytest.raises(evidence.Missing, match=f"^{name}$"):
            evidence.accuracies(Store(tmp_path), name)
    with pytest.raises(UserError, match="level is '51'"):
        evidence.record(store, FASHION, "51")


# --- panels and their parameters -----------------------------------------------------------------------------


def test_a_panel_read_at_other_levels(store):
    panels = paper_a.panels_at("A-F3a", {"captioned level": 0.9, "implied level": "0.95"})
    assert panels["A-F3a"].levels == {"captioned level, 90 %": "90", "implied level, 95 %": "95"}
    assert {k: v for k, v in panels.items() if k != "A-F3a"} == {
        k: v for k, v in paper_a.PANELS.items() if k != "A-F3a"
    }
    readings = {s.claim.id: s for s in scoring.score("A", "3.1", store, panels)}["A-F3a-1"].readings
    assert [(name, v) for name, v, _ in readings] == [
        ("captioned level, 90 %", Verdict.REPRODUCED),
        ("implied level, 95 %", Verdict.NOT_REPRODUCED),
    ]


def test_a_panel_of_other_tickets(store):
    """The claims of a figure can be asked of any experiment, and the rest of the section stays as it is."""
    name = "a/fashion-lenet/partial"
    panels = paper_a.panels_at("A-F3a", {"captioned level": 0.9}, name)
    assert panels["A-F3a"].experiment == name and panels["A-F3b"] == paper_a.PANELS["A-F3b"]
    found = {s.claim.id: s for s in scoring.score("A", "3.1", store, panels)}
    assert found["A-F3a-2"].verdict == Verdict.NOT_TESTABLE and name in found["A-F3a-2"].measured
    assert name in found["A-3.1-C"].measured and FASHION not in found["A-3.1-C"].measured
    with pytest.raises(UserError, match="'a/nothing'"):
        paper_a.panels_at("A-F3a", {"captioned level": 0.9}, "a/nothing")


@pytest.mark.parametrize(
    "section, key", [("3.1", "A-F3a"), ("3.4", "A-F7b"), ("Appendix A", "A-F8a"), ("Appendix D.1", "A-F10a")]
)
def test_two_panels_of_the_same_tickets(tmp_path, section, key):
    other = key[:-1] + "c"
    levels = {words: float(level) / 100 for words, level in paper_a.PANELS[other].levels.items()}
    panels = paper_a.panels_at(key, levels, paper_a.PANELS[other].experiment)
    assert scoring.score("A", section, Store(tmp_path), panels)  # no reading of a claim is named twice


def test_choosing_a_level():
    assert [evidence.choose_level(FASHION, v) for v in ("all", "dense", "0.5", "0.95")] == ["all", "dense", "50", "95"]
    assert evidence.choose_level("a/cifar-resnet18/free", "0.999") == "99.9"
    for wrong in ("0.7", "80", "", "half"):
        with pytest.raises(UserError, match=r"0\.5, 0\.6, 0\.8, 0\.9, 0\.95, 0\.98 pruned \(or all\)"):
            evidence.choose_level(FASHION, wrong)


@pytest.mark.parametrize("fraction", [0.7, 0.0, 80, "", "half", "nan", -0.5])
def test_a_level_that_does_not_exist_is_a_sentence_with_the_levels(fraction):
    with pytest.raises(UserError) as error:
        paper_a.panels_at("A-F3a", {"captioned level": fraction})
    sentence = str(error.value)
    assert all(
        part in sentence for part in ("captioned level", str(fraction), FASHION, "0.5, 0.6, 0.8, 0.9, 0.95, 0.98")
    )
    assert "\n" not in sentence


def test_choosing_layers():
    assert evidence.choose_layers(FASHION, "all") == ["conv1", "conv2", "dense1", "dense2", "output"]
    assert evidence.choose_layers(FASHION, "output, conv1") == ["output", "conv1"]
    for wrong in ("conv3", "", "conv1,", "conv1;output"):
        with pytest.raises(UserError, match="conv1, conv2, dense1, dense2, output") as error:
            evidence.choose_layers(FASHION, wrong)
        assert FASHION in str(error.value)


def test_the_papers_ranges_are_those_of_its_text():
    """Section 3.1 of paper A, first panel, read by a person."""
    assert paper_a.paper_ranges("A-F3a") == {
        "conv1": (0, 20),
        "conv2": (5, 15),
        "dense1": (10, 10),
        "dense2": (10, 10),
        "output": (3, 20),
    }
    assert paper_a.paper_ranges("A-F8a")["conv1"] == (40, 65)
    assert paper_a.paper_ranges("A-F2-1") == {}


def test_levels_of_the_panels_exist():
    for panel in paper_a.PANELS.values():
        names = panel.levels.values()
        if panel.experiment in experiments.EXPERIMENTS:
            assert set(names) <= {level.name for level in find(panel.experiment).levels[1:]}
        elif panel.experiment == CIFAR:
            assert set(names) <= {level.name for level in percent_levels("50", "60", "80", "90", "95", "98")[1:]}
