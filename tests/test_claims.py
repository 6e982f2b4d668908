import dataclasses
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import claims, comparisons, statistics
from lib.claims import ChanceGroup, Claim, Claimed, Measurement, Scored, Verdict, figure_verdict, judge, load
from lib.errors import UserError

LEDGER = load()
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTABLE, NOT_A_CLAIM, OPEN = Verdict


def a_claim(check: str, unit: str = "% of mask size", artefact: str = "Figure 3a", **claimed) -> Claim:
    return Claim("A-X-1", "A", "3.1", artefact, {}, "overlap", "2", Claimed(**claimed), check, unit)


def verdict(claim: Claim, **measured) -> Verdict:
    return judge(claim, [Measurement(**measured)]).verdict


def scored(name: str, check: str, what: Verdict, artefact: str = "Figure 3a", paper: str = "A") -> Scored:
    claim = dataclasses.replace(a_claim(check, statement="s", artefact=artefact), id=name, paper=paper)
    return Scored(claim, what, "", "", "", experiments=(f"x/{name}",))


# ------------------------------------------------------------------- the rules at their edges

RANGE = a_claim("range", low=5.0, high=15.0)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [(95, 5, REPRODUCED), (94, 6, PARTLY), (19, 1, REPRODUCED), (50, 50, PARTLY), (49, 51, NOT_REPRODUCED)],
)
def test_range_by_the_share_inside(inside, outside, expected):
    assert verdict(RANGE, values=[10.0] * inside + [30.0] * outside) == expected


@pytest.mark.parametrize(
    ("unit", "low", "high", "value", "expected"),
    [
        ("% of mask size", 5, 15, 4.5, REPRODUCED),
        ("% of mask size", 5, 15, 15.5, REPRODUCED),
        ("% of mask size", 5, 15, 15.51, NOT_REPRODUCED),
        ("% of mask size", 5, 15, 4.49, NOT_REPRODUCED),
        ("correlation", -0.2, 0.2, 0.225, REPRODUCED),
        ("correlation", -0.2, 0.2, 0.23, NOT_REPRODUCED),
        ("Cohen d", 0.5, 1.7, 1.75, REPRODUCED),
        ("", 1.5, 2.0, 2.06, NOT_REPRODUCED),
    ],
)
def test_range_tolerance_is_half_of_the_step_of_reading(unit, low, high, value, expected):
    assert verdict(a_claim("range", unit, low=low, high=high), values=[value]) == expected


def test_range_outliers_and_open_ends_and_clusters():
    with_number = a_claim("range", low=0.0, high=20.0, outliers=26.0)
    assert verdict(with_number, values=[26.5]) == REPRODUCED
    assert verdict(with_number, values=[23.0]) == NOT_REPRODUCED
    with_interval = a_claim("range", low=45.0, high=50.0, outliers=(55.0, 60.0))
    assert verdict(with_interval, values=[57.0]) == REPRODUCED
    assert verdict(with_interval, values=[52.0]) == NOT_REPRODUCED
    in_words = a_claim("range", "correlation", low=0.9, high=1.0, outliers="below 0.8")
    assert verdict(in_words, values=[0.7]) == NOT_REPRODUCED
    assert verdict(a_claim("range", low=50.0, high=None), values=[1e6]) == REPRODUCED
    assert verdict(a_claim("range", low=None, high=50.0), values=[51.0]) == NOT_REPRODUCED
    clusters = a_claim("range", "correlation", low=0.0, high=1.0, clusters=((0.0, 0.15), (0.35, 0.35)))
    assert verdict(clusters, values=[0.36]) == REPRODUCED
    assert verdict(clusters, values=[0.8]) == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("claimed", "mean", "expected"),
    [
        (10.0, 11.0, REPRODUCED),
        (10.0, 11.01, PARTLY),
        (10.0, 8.0, PARTLY),
        (10.0, 7.99, NOT_REPRODUCED),
        (2.5, 3.0, REPRODUCED),
        (2.5, 3.5, PARTLY),
        (2.5, 3.51, NOT_REPRODUCED),
        (0.0, 0.5, REPRODUCED),
        (-20.0, -18.0, REPRODUCED),
    ],
)
def test_value_by_the_distance_of_the_mean(claimed, mean, expected):
    assert verdict(a_claim("value", value=claimed), values=[mean - 0.25, mean + 0.25]) == expected


def test_value_list_is_compared_element_by_element():
    claim = a_claim("value", value=(10.0, 20.0, 30.0, 40.0))
    assert verdict(claim, values=[10, 20, 30, 44]) == REPRODUCED
    assert verdict(claim, values=[10, 20, 0, 0]) == PARTLY
    assert verdict(claim, values=[10, 0, 0, 0]) == NOT_REPRODUCED
    with pytest.raises(UserError, match=r"A-X-1: values has 3 numbers: it must have 4"):
        verdict(claim, values=[10, 20, 30])


def test_counts_of_kernels_may_vary_as_counts_do():
    claim = a_claim("table-row", "kernels", value=(100.0, 0.0))
    assert verdict(claim, values=[128, 2]) == REPRODUCED  # 2 sqrt(2 x 100) = 28.3
    assert verdict(claim, values=[129, 2]) == PARTLY
    assert verdict(claim, values=[129, 3]) == NOT_REPRODUCED
    assert verdict(claim, values=[136, 2], scaled=14 / 6) == REPRODUCED  # 2 sqrt(100 (1 + 14 / 6)) = 36.5
    assert verdict(claim, values=[137, 2], scaled=14 / 6) == PARTLY


@pytest.mark.parametrize("tickets", [6, 14, 20])
def test_counts_of_one_distribution_agree_as_often_as_two_standard_deviations_say(tickets):
    """Both counts are drawn: in a cell with many kernels they differ by more in 5 % of the draws."""
    rng, often = np.random.default_rng(tickets), 400
    share = np.array([0.2, 0.3, 0.5]) / 4  # of all kernels; few, so that counts vary as if nothing bound them
    agreed = 0
    for _ in range(often):
        theirs = rng.poisson(14 * 192 * share)
        ours = rng.poisson(tickets * 192 * share) * 14 / tickets
        for one, other in zip(theirs, ours, strict=True):
            claim = a_claim("table-row", "kernels", value=(float(one),))
            agreed += verdict(claim, values=[other], scaled=14 / tickets) == REPRODUCED
    assert 0.94 < agreed / (3 * often) < 0.99  # a share of 10 % is allowed where that is more


def test_threshold():
    some = a_claim("threshold", some_above=70.0)
    assert verdict(some, values=[71, 72, 3]) == REPRODUCED
    assert verdict(some, values=[71, 70, 3]) == PARTLY
    assert verdict(some, values=[70, 3]) == NOT_REPRODUCED
    bound = a_claim("threshold", low=70.0)
    assert verdict(bound, values=[69.5] * 95 + [0] * 5) == REPRODUCED
    assert verdict(bound, values=[69.5] * 94 + [0] * 6) == PARTLY
    assert verdict(bound, values=[69.4]) == NOT_REPRODUCED


@pytest.mark.parametrize("kind", ["ordering", "boolean", "qualitative", "formula", "figure"])
def test_named_checks(kind):
    claim = a_claim(kind, statement="s")
    assert verdict(claim, checks={"a": True, "b": np.True_}) == REPRODUCED
    assert verdict(claim, checks={"a": True, "b": False}) == PARTLY
    assert verdict(claim, checks={"a": True, "b": False, "c": False}) == NOT_REPRODUCED
    assert judge(claim, [Measurement(checks={"a": True, "b": False})]).measured == "holds: a; fails: b"
    assert judge(claim, []).verdict == OPEN


def group(values, expected=10.0, low=5.0, high=15.0, name="conv1"):
    return ChanceGroup(name, np.asarray(values, float), expected, low, high)


def test_chance_match():
    claim = a_claim("chance-match", statement="s")
    good, few_inside, off_mean = group([10.0] * 9 + [16]), group([10.0] * 8 + [16, 16]), group([12.51] * 10)
    assert [claims.matches_chance(g) for g in (good, few_inside, off_mean)] == [True, False, False]
    assert claims.matches_chance(group([12.5]))
    assert claims.matches_chance(group([5.0, 15.0]))  # counts are whole: often one is where the interval ends
    assert claims.matches_chance(group([10.0], low=10, high=10))
    # Chance's interval is the count zero, its mean a little more: whole counts cannot come near it.
    assert claims.matches_chance(group([0.0] * 5, expected=0.01, low=0, high=0))
    assert not claims.matches_chance(group([0.0] * 3 + [1.0] * 2, expected=0.01, low=0, high=0))
    assert claims.matches_chance(group([10.0] * 4 + [16])) and not claims.matches_chance(group([10.0] * 3 + [16]))
    assert verdict(claim, groups=(good, good)) == REPRODUCED
    assert verdict(claim, groups=(good, off_mean)) == PARTLY
    assert [verdict(claim, groups=(good,) * n + (off_mean,)) for n in (8, 9)] == [PARTLY, REPRODUCED]
    assert verdict(claim, groups=(good, off_mean, few_inside)) == NOT_REPRODUCED
    words = judge(claim, [Measurement(groups=(good,))]).measured
    assert words == "conv1: mean 10.6 against 10, 90 % inside 5 to 15"


def test_the_reason_says_where_readings_could_not_be_measured():
    claim = a_claim("boolean", statement="s")
    holds = Measurement(checks={"a": True})
    first, second, lacking = (
        dataclasses.replace(holds, reading="first"),
        dataclasses.replace(holds, reading="second"),
        Measurement(reading="third", missing=(claims.Lack("x/y"),)),
    )
    words = "judged on the readings that could be measured; "
    assert judge(claim, [first, second]).reason.startswith("first: ")
    assert judge(claim, [first, lacking]).reason.startswith(f"{words}first: ")
    assert judge(claim, [first, lacking]).verdict == REPRODUCED
    assert judge(claim, [lacking, dataclasses.replace(lacking, reading="fourth")]).verdict == NOT_TESTABLE


def test_above_chance():
    claim = a_claim("above-chance", statement="s")
    good, half, fewer = group([20.0]), group([20, 10]), group([20, 10, 10])
    assert [claims.above_chance(g) for g in (good, half, fewer)] == [True, True, False]
    assert not claims.above_chance(group([16, -10.0]))
    assert not claims.above_chance(group([15.0])) and claims.above_chance(group([15.01]))
    assert verdict(claim, groups=(good,)) == REPRODUCED
    assert verdict(claim, groups=(good, fewer)) == PARTLY
    assert verdict(claim, groups=(good, fewer, fewer)) == NOT_REPRODUCED


ROW = a_claim("table-row", "", diff_mean=-0.01, p_value=1e-9, cohen_d=-1.5, label="very large")


@pytest.mark.parametrize(
    ("diff", "p", "d", "expected"),
    [
        (-0.012, 0.0099, -1.99, REPRODUCED),
        (-0.0121, 0.0099, -1.99, PARTLY),
        (-0.012, 0.01, -1.99, PARTLY),
        (-0.012, 0.0099, -2.0, PARTLY),
        (-0.012, 0.0099, 1.5, PARTLY),
        (-0.01, 0.0, -1.5, REPRODUCED),  # p is 0 where it is too small for a float
        (0.01, 0.5, -1.5, NOT_REPRODUCED),
        (0.01, 0.5, 1.5, NOT_REPRODUCED),
    ],
)
def test_table_row(diff, p, d, expected):
    # How far a draw scatters does not matter where the paper finds a difference.
    for error in (0.0, 1.0):
        assert verdict(ROW, row=row(diff, p, d, error)) == expected


def row(diff, p, d, error=0.0):
    return {"diff_mean": diff, "p_value": p, "cohen_d": d, "standard_error": error}


def test_table_row_that_prints_zero():
    claim = a_claim("table-row", "", diff_mean=0.0, p_value=0.94, cohen_d=0.02, label="negligible")
    assert verdict(claim, row=row(4e-5, 0.5, -0.1)) == REPRODUCED
    assert verdict(claim, row=row(1e-4, 0.5, 0.1)) == REPRODUCED
    assert verdict(claim, row=row(3.9e-4, 0.04, 0.39)) == REPRODUCED  # the effects of two draws differ by up to 0.4
    assert verdict(claim, row=row(4.3e-4, 0.04, 0.43)) == NOT_REPRODUCED
    assert verdict(claim, row=row(0.0, 1.0, 0.0)) == REPRODUCED


def test_table_row_of_no_difference_may_be_off_by_two_deviations_of_two_draws():
    claim = a_claim("table-row", "", diff_mean=0.001, p_value=0.3, cohen_d=0.21, label="small")
    error, spread = 0.001, 1 / 210  # so that the effect is 210 times the difference
    most = 2 * np.sqrt(error**2 + 2 * spread**2 / 50)
    for off, expected in ((-0.999 * most, REPRODUCED), (0.999 * most, REPRODUCED), (1.001 * most, NOT_REPRODUCED)):
        diff = 0.001 + off
        assert verdict(claim, row=row(diff, 0.02 if expected == REPRODUCED else 0.001, 210 * diff, error)) == expected
    # As close as the same error allows, but significant here.
    assert verdict(claim, row=row(0.001 + 0.999 * most, 0.009, 210 * (0.001 + 0.999 * most), error)) == PARTLY


@pytest.mark.parametrize("effect", [0.0, 0.1, -0.3])
def test_table_row_of_no_difference_is_within_reach_where_it_is_true(effect):
    """Two studies of one truth, each of 50 pairs in both groups: the second gets the first's row, nearly always."""
    rng = np.random.default_rng(4)
    verdicts = []
    while len(verdicts) < 300:
        paper, here = (rng.normal(size=(2, 50)) + np.array([[effect], [0.0]]) for _ in range(2))
        printed, found = (comparisons.difference(*study) for study in (paper, here))
        if printed.p_value < 0.01:
            continue
        claim = a_claim(
            "table-row",
            "",
            diff_mean=printed.diff_mean,
            p_value=printed.p_value,
            cohen_d=printed.cohen_d,
            label=statistics.effect_word(printed.cohen_d),
        )
        verdicts.append(verdict(claim, row=dataclasses.asdict(found)))
    assert verdicts.count(REPRODUCED) >= 0.85 * len(verdicts) > verdicts.count(NOT_REPRODUCED)
    assert verdicts.count(NOT_REPRODUCED) <= 0.05 * len(verdicts)


# ------------------------------------------------------------------- readings and missing tickets


def readings(*outcomes):
    """One measurement for each of True (inside), False (outside) and None (missing)."""
    return [
        Measurement(str(k), (f"x/{k}",), missing=(claims.Lack("a/b"),)) if good is None
        else Measurement(str(k), (f"x/{k}",), values=[10.0 if good else 99.0])
        for k, good in enumerate(outcomes)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), OPEN),
        ((True,), REPRODUCED),
        ((True, True), REPRODUCED),
        ((False, False), NOT_REPRODUCED),
        ((True, False), PARTLY),
        ((None,), NOT_TESTABLE),
        ((None, None), NOT_TESTABLE),
        ((None, True), REPRODUCED),
        ((None, False), NOT_REPRODUCED),
        ((None, False, True), PARTLY),
    ],
)
def test_readings_together(outcomes, expected):
    result = judge(RANGE, readings(*outcomes))
    assert result.verdict == expected
    assert len(result.readings) == len(outcomes)
    assert result.experiments == tuple(f"x/{k}" for k in range(len(outcomes)))
    if None in outcomes:
        assert "a/b" in result.measured
        assert "a/b" in result.reason
    if not any(outcome is not None for outcome in outcomes):
        assert result.measured == ("no tickets of a/b" if outcomes else "")  # once, however many readings lack them
    for name, own, words in result.readings:
        if len(outcomes) > 1 and result.verdict != NOT_TESTABLE:
            assert f"{name}: {words} ({own})" in result.measured


def test_a_range_that_holds_partly_in_every_reading_is_partly():
    half = [Measurement(name, values=[10.0, 99.0]) for name in "ab"]
    assert judge(RANGE, half).verdict == PARTLY


def test_readings_must_have_names_of_their_own():
    with pytest.raises(UserError, match="A-X-1: readings"):
        judge(RANGE, [Measurement("a", values=[1]), Measurement("a", values=[1])])
    with pytest.raises(UserError, match="A-X-1: readings"):
        judge(RANGE, [Measurement("", values=[1]), Measurement("a", values=[1])])


def test_words_quote_the_measured_values_and_the_note():
    result = judge(RANGE, [Measurement(values=[5, 10, 12, 30], note="layer 2 of 5")])
    assert result.measured == (
        "n = 4, 5 to 30 % of mask size, median 11, mean 14.2; 3 of 4 inside (75 %); layer 2 of 5"
    )
    assert result.paper == "overlap, layer 2: 5 to 15 % of mask size"
    assert "95 %" in result.reason


def test_a_share_is_never_rounded_up():
    assert "(94 %)" in judge(RANGE, [Measurement(values=[10.0] * 949 + [99.0] * 51)]).measured


@pytest.mark.parametrize("kind", ["setup", "interpretation", "background", "typo"])
def test_what_claims_nothing_is_not_a_claim(kind):
    claim = a_claim(kind, statement="s")
    assert judge(claim, []).verdict == NOT_A_CLAIM
    result = judge(claim, [Measurement(checks={"15 epochs": True, "batch": False})])
    assert (result.verdict, result.measured) == (NOT_A_CLAIM, "as in the paper: 15 epochs; departs: batch")


def test_qualitative_and_figures_without_checks_are_open():
    assert verdict(a_claim("qualitative", statement="s")) == OPEN
    assert verdict(a_claim("figure", statement="s")) == OPEN


BAD = [
    (RANGE, {}, "values is None"),
    (RANGE, {"values": []}, "values has the shape"),
    (RANGE, {"values": [[1.0]]}, "values has the shape"),
    (RANGE, {"values": [1.0, np.nan]}, "values holds nan"),
    (RANGE, {"values": [np.inf]}, "values holds inf"),
    (RANGE, {"values": ["ten"]}, "values is"),
    (a_claim("value", value=1.0), {"values": [np.nan]}, "values holds nan"),
    (a_claim("boolean", statement="s"), {}, "checks is empty"),
    (a_claim("boolean", statement="s"), {"checks": {"a": 1}}, "check 'a' is 1"),
    (a_claim("boolean", statement="s"), {"checks": {"a": True}, "values": [np.nan]}, "values holds nan"),
    (a_claim("chance-match", statement="s"), {}, "groups is empty"),
    (a_claim("chance-match", statement="s"), {"groups": (group([np.nan]),)}, "group 'conv1': values holds nan"),
    (a_claim("above-chance", statement="s"), {"groups": (group([]),)}, "group 'conv1': values has the shape"),
    (a_claim("chance-match", statement="s"), {"groups": (group([1], low=np.nan),)}, "group 'conv1': expected"),
    (a_claim("chance-match", statement="s"), {"groups": (group([1], low=9, high=8),)}, "group 'conv1': low is 9"),
    (ROW, {}, "row is None"),
    (ROW, {"row": {"diff_mean": 1.0}}, "row is"),
    (ROW, {"row": {"diff_mean": np.nan, "p_value": 0.1, "cohen_d": 1.0, "standard_error": 1.0}}, "row holds nan"),
    (ROW, {"row": {"diff_mean": 1.0, "p_value": 1.1, "cohen_d": 1.0, "standard_error": 1.0}}, "p_value of row is 1.1"),
    (ROW, {"row": {"diff_mean": 1.0, "p_value": 1, "cohen_d": 1, "standard_error": -1}}, "standard_error of row is -1"),
]


@pytest.mark.parametrize(("claim", "measured", "words"), BAD)
def test_a_bad_measurement_is_refused(claim, measured, words):
    with pytest.raises(UserError, match=re.escape(f"claim A-X-1: {words}")):
        verdict(claim, **measured)


# ------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), NOT_A_CLAIM),
        ((NOT_A_CLAIM,), NOT_A_CLAIM),
        ((REPRODUCED, REPRODUCED, NOT_A_CLAIM), REPRODUCED),
        ((NOT_REPRODUCED, NOT_REPRODUCED), NOT_REPRODUCED),
        ((REPRODUCED, NOT_REPRODUCED), PARTLY),
        ((PARTLY,), PARTLY),
        ((NOT_TESTABLE, NOT_TESTABLE), NOT_TESTABLE),
        ((NOT_TESTABLE, REPRODUCED), REPRODUCED),
        ((OPEN, REPRODUCED), OPEN),
    ],
)
def test_a_figure_is_decided_by_the_claims_about_it(verdicts, expected):
    siblings = [scored(f"A-S-{k}", "boolean", v) for k, v in enumerate(verdicts)]
    result = figure_verdict(a_claim("figure", statement="plot"), siblings)
    assert result.verdict == expected
    if expected == NOT_A_CLAIM:
        assert result.reason == "a plot without a number in the text"
    else:
        assert "A-S-0" in result.reason
        assert "x/A-S-0" in result.experiments


def test_a_figure_finds_its_panels_and_nothing_else():
    names = {"Figure 1 / text": 1, "Figure 1b": 1, "footnote 4 / Figure 1": 1}
    others = {"Figure 10": 0, "Figure 11a": 0, "Figure A.1": 0, "text": 0, "Table 1": 0}
    figure = a_claim("figure", statement="plot", artefact="Figure 1 (left)")
    for artefact, expected in (names | others).items():
        result = figure_verdict(figure, [scored("A-S-0", "boolean", REPRODUCED, artefact)])
        assert (result.verdict == REPRODUCED) == bool(expected), artefact
    for stranger in (
        scored("B-S-0", "boolean", REPRODUCED, "Figure 1", paper="B"),
        scored("A-S-0", "figure", REPRODUCED, "Figure 1 (right)"),
    ):
        assert figure_verdict(figure, [stranger]).verdict == NOT_A_CLAIM
    with pytest.raises(UserError, match="A-X-1: check is 'range'"):
        figure_verdict(RANGE, [])


# ------------------------------------------------------------------- properties


ORDER = (NOT_REPRODUCED, PARTLY, REPRODUCED)


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=30),
    st.lists(st.floats(5, 15), max_size=30),
)
def test_adding_values_inside_never_worsens_a_range(values, inside):
    before, after = verdict(RANGE, values=values), verdict(RANGE, values=values + inside)
    assert ORDER.index(after) >= ORDER.index(before)


def plausible(claim: Claim, x: float) -> Measurement:
    c = claim.claimed
    n = len(c.value) if isinstance(c.value, tuple) else 3
    return Measurement(
        values=np.full(n, x),
        groups=(group([x, x + 1], name="conv1"), group([x], name="dense1")),
        checks={"one": x > 0, "two": x > 50},
        row=row(x / 100, 0.02, x),
        experiments=("a/fashion-lenet/free",),
    )


@settings(deadline=None)  # some hundred entries each time
@given(st.floats(-100, 100))
def test_every_entry_of_the_ledger_can_be_judged(x):
    results = [judge(claim, [plausible(claim, x)]) for claim in LEDGER.values()]
    assert sum(claims.summary(results).values()) == len(LEDGER)
    for result in results:
        nothing = result.claim.check in ("setup", "interpretation", "background", "typo")
        assert (result.verdict == NOT_A_CLAIM) == nothing
        assert result.paper and result.measured and result.reason
    assert json.loads(json.dumps(claims.rows(results))) == claims.rows(results)
    assert len(claims.table(results).splitlines()) == len(LEDGER) + 2


def test_every_entry_is_reproduced_by_what_it_claims():
    for claim in LEDGER.values():
        c = claim.claimed
        if claim.check == "range":
            low, high = c.intervals()[0]
            values = [low if np.isfinite(low) else high]
        else:
            values = c.value if c.value is not None else [999.0, 999.0]
        printed = row(c.diff_mean, c.p_value, c.cohen_d) if c.label else None
        chance = group([20.0]) if claim.check == "above-chance" else group([10.0])
        result = judge(claim, [Measurement(values=values, groups=(chance,), checks={"a": True}, row=printed)])
        assert result.verdict in (REPRODUCED, NOT_A_CLAIM), claim.id


# ------------------------------------------------------------------- tables


@given(st.text(max_size=40))
def test_a_cell_holds_no_markup(text):
    escaped = claims.escaped(text)
    assert not set(escaped) & set("<>|`$*_[]{}\\\n\r\"'~^!@")
    assert html.unescape(escaped) == claims._plain(text)
    assert re.sub(r"&#\d+;", "", escaped).count("&") == 0


def test_table_escapes_hostile_text():
    claim = a_claim("boolean", statement='<script>alert("x")</script> | `code` $x$\n# heading [a](b) *b* &amp;')
    hostile = judge(claim, [Measurement(checks={"</td>|<b>": True})])
    text = claims.table([hostile])
    head, rule, line = text.splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") == 5
    assert re.findall(r"<[^>]*>", line) == [
        '<span id="claim-A-X-1">', "</span>", '<span class="verdict verdict-reproduced">', "</span>",
    ]  # fmt: skip
    assert not set("`$*[") & set(line)
    assert "<script>" in html.unescape(line)


@pytest.mark.parametrize(
    ("what", "css"),
    [
        (REPRODUCED, "verdict-reproduced"),
        (PARTLY, "verdict-partly"),
        (NOT_REPRODUCED, "verdict-not-reproduced"),
        (NOT_TESTABLE, "verdict-not-testable"),
        (NOT_A_CLAIM, "verdict-not-a-claim"),
        (OPEN, "verdict-open"),
    ],
)
def test_table_renders_verdicts(what, css):
    line = claims.table([scored("A-S-0", "boolean", what)]).splitlines()[-1]
    assert f'<span class="verdict {css}">{what.value}</span> |' in line


def test_table_has_each_claim_once():
    twice = [scored("A-S-0", "boolean", OPEN)] * 2
    with pytest.raises(UserError, match="A-S-0"):
        claims.table(twice)


def test_text_table_is_aligned_and_trimmed():
    results = [judge(claim, [plausible(claim, 7.0)]) for claim in LEDGER.values()]
    lines = claims.text_table(results, width=110).splitlines()
    assert len(lines) == len(LEDGER) + 1
    assert max(map(len, lines)) <= 110
    at = lines[0].index("verdict")
    assert all(line[at - 2 : at] == "  " and line[at:].startswith(tuple(Verdict)) for line in lines[1:])
    assert "\x1b" not in claims.text_table([judge(a_claim("boolean", statement="\x1b[31mred\n"), [])])


def test_summary_counts_every_verdict():
    counts = claims.summary([scored("A-S-0", "boolean", OPEN), scored("A-S-1", "boolean", OPEN)])
    assert list(counts) == list(Verdict)
    assert counts[OPEN] == 2 and sum(counts.values()) == 2


# ------------------------------------------------------------------- the ledger and its schema


def test_the_ledger():
    assert len(LEDGER) == 479
    assert all(key == claim.id and key[0] == claim.paper for key, claim in LEDGER.items())
    assert LEDGER["A-F3a-2"].claimed.outliers == 26
    assert LEDGER["A-F8b-1"].claimed.outliers == (55, 60)
    for claim in LEDGER.values():
        if claim.claimed.cohen_d is not None:
            assert claims._effect(claim.claimed.cohen_d)[0] == claim.claimed.label, claim.id


def test_the_page_of_rules_names_every_kind_and_number():
    page = (Path(__file__).parent.parent / "book" / "rules.md").read_text()
    for kind in {claim.check for claim in LEDGER.values()}:
        assert f"`{kind}`" in page, kind
    percents = ("RANGE_SHARE", "PARTLY_SHARE", "VALUE_SHARE", "CHANCE_SHARE", "CHANCE_MEAN", "ABOVE_SHARE", "ROW_SHARE")
    for name in percents:
        assert f"{100 * getattr(claims, name):g} %" in page, name
    for name in ("TOLERANCE_PERCENT", "TOLERANCE_CORRELATION", "TOLERANCE_OTHER", "SIGNIFICANCE"):
        assert f"{getattr(claims, name):g}" in page, name
    for word, _ in claims.EFFECTS:
        assert word in page


GOOD = {
    "id": "A-X-1",
    "paper": "A",
    "section": "3.1",
    "artefact": "Figure 3a",
    "setting": {"dataset": "Fashion-MNIST"},
    "quantity": "overlap",
    "layer": "all",
    "claimed": {"low": 1, "high": 2},
    "check": "range",
    "notes": "",
}
ABSENT = object()


def written(path: Path, *entries) -> Path:
    path.write_text(yaml.safe_dump(list(entries), sort_keys=False))
    return path


def test_a_good_entry_loads(tmp_path):
    claim = load(written(tmp_path / "c.yaml", GOOD))["A-X-1"]
    assert claim.claimed == Claimed(low=1.0, high=2.0)
    assert claim.unit == ""


ROW_GIVEN = {"diff_mean": 0.1, "p_value": 0.5, "cohen_d": 1.0, "label": "large"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "key 'colour' is unknown"),
        ({1: "red"}, "key 1 is unknown"),
        ({"section": ABSENT}, "key section is missing"),
        ({"claimed": ABSENT}, "key claimed is missing"),
        ({"check": ABSENT}, "key check is missing"),
        ({"section": 3.1}, "section is 3.1: it must be text (put quotes"),
        ({"section": ""}, "section is '': it must be text that is not empty"),
        ({"paper": "C"}, "paper is 'C': it must be one of A, B"),
        ({"check": "guess"}, "check is 'guess': it must be one of range"),
        ({"check": ["range"]}, "check is ['range']: it must be one of range"),
        ({"layer": None}, "layer is None: it must be text"),
        ({"notes": 3}, "notes is 3: it must be text"),
        ({"unit": ""}, "unit is '': it must be text that is not empty"),
        ({"setting": "CIFAR"}, "setting is 'CIFAR': it must be a mapping"),
        ({"setting": {"color": "x"}}, "setting is {'color': 'x'}: it must be a mapping with keys among dataset"),
        ({"setting": {"dataset": 1}}, "setting is {'dataset': 1}: it must be a mapping to texts (see dataset)"),
        ({"claimed": [1, 2]}, "claimed is [1, 2]: it must be a mapping"),
        ({"claimed": {"low": 1}}, "claimed.high is missing: a claim of kind range must have low and high"),
        ({"claimed": {}}, "claimed.low is missing"),
        ({"claimed": {"low": None, "high": None}}, "claimed.low and claimed.high are both null"),
        ({"claimed": {"low": 3, "high": 2}}, "claimed.low is 3: it must not be above claimed.high, 2"),
        ({"claimed": {"low": "3", "high": 2}}, "claimed.low is '3': it must be a finite number"),
        ({"claimed": {"low": True, "high": 2}}, "claimed.low is True: it must be a finite number"),
        ({"claimed": {"low": float("nan"), "high": 2}}, "claimed.low is nan: it must be a finite number"),
        ({"claimed": {"low": 1, "high": float("inf")}}, "claimed.high is inf: it must be a finite number"),
        ({"claimed": {"low": 1, "high": 2, "mean": 1}}, "claimed has the key 'mean', which is unknown"),
        ({"claimed": {"low": 1, "high": 2, "value": 1}}, "claimed.value is given: a claim of kind range must not"),
        ({"claimed": {"low": 1, "high": 2, "statement": ""}}, "claimed.statement is '': it must be text that is not"),
        ({"claimed": {"low": 1, "high": 2, "outliers": [1]}}, "claimed.outliers is [1]: it must be a number or"),
        ({"claimed": {"low": 1, "high": 2, "outliers": [2, 1]}}, "claimed.outliers is [2, 1]: it must be two numbers"),
        ({"claimed": {"low": 1, "high": 2, "clusters": 3}}, "claimed.clusters is 3: it must be a list"),
        ({"check": "value", "claimed": {"statement": "x"}}, "claimed.value is missing: a claim of kind value"),
        ({"check": "value", "claimed": {"value": []}}, "claimed.value is []: it must be a number or a list"),
        ({"check": "value", "claimed": {"value": 8, "of": 8.5}}, "claimed.of is 8.5: it must be a whole number"),
        ({"check": "boolean", "claimed": {}}, "claimed.statement is missing"),
        ({"check": "boolean", "claimed": {"statement": "x", "value": 1}}, "claimed.value is given"),
        ({"check": "threshold", "claimed": {"statement": "x"}}, "claimed.some_above is missing"),
        ({"check": "table-row", "claimed": {"diff_mean": 1}}, "claimed.p_value is missing"),
        ({"check": "table-row", "claimed": ROW_GIVEN | {"p_value": 2}}, "claimed.p_value is 2: it must be between"),
        ({"check": "table-row", "claimed": ROW_GIVEN | {"label": "big"}}, "claimed.label is 'big': it must be one of"),
    ],
)
def test_a_malformed_entry_is_refused_with_one_sentence(tmp_path, change, words):
    entry = {key: value for key, value in (GOOD | change).items() if value is not ABSENT}
    path = written(tmp_path / "c.yaml", entry)
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: claim A-X-1: {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ((GOOD, GOOD), "claim A-X-1: id is 'A-X-1' a second time"),
        ((GOOD, GOOD | {"id": "A b"}), "entry 2: id is 'A b': it must be made of letters"),
        ((GOOD, GOOD | {"id": 7}), "entry 2: id is 7: it must be"),
        ((GOOD, {k: v for k, v in GOOD.items() if k != "id"}), "entry 2: key id is missing"),
        ((GOOD, "A-X-2"), "entry 2 is 'A-X-2': it must be a mapping"),
    ],
)
def test_an_entry_without_a_name_is_named_by_its_position(tmp_path, entries, words):
    path = tmp_path / "c.yaml"
    path.write_text("".join(yaml.safe_dump([entry], sort_keys=False) for entry in entries))
    with pytest.raises(UserError, match=re.escape(f"{path}: {words}")):
        load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds None: it must be a list"),
        ("a: 1", "holds {'a': 1}: it must be a list"),
        ("- [", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("- &a {id: x}\n- *a", "line 1 has a YAML anchor or alias"),
        ("- !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("- {id: A-X-1, id: A-X-2}", "key 'id' is given twice"),
        ("[" * 100_000, "is nested more than"),
        ("- " * 100_000, "is nested more than"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused(tmp_path, text, words):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_or_is_too_large_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * (claims.MAX_BYTES + 1))
    with pytest.raises(UserError, match="the ledger must be smaller"):
        load(tmp_path / "large.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"- \xff")
    with pytest.raises(UserError, match="not valid YAML"):
        load(tmp_path / "bytes.yaml")


def test_long_words_are_folded_and_none_of_them_lost():
    claim = next(c for c in load().values() if c.check == "boolean")
    names = [f"check number {n} <b>" for n in range(60)]
    scored = judge(claim, [Measurement(checks=dict.fromkeys(names, True))])
    shown = claims.table([scored])
    assert shown.count("<details>") == shown.count("</details>") == 1
    cell = html.unescape(re.sub(r"</?(details|summary)>", "", shown.split("<details>")[1].split("</details>")[0]))
    assert cell.replace(" …", " ") == scored.measured
    assert "<b>" not in shown
