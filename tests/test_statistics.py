"""Tests and intervals against scipy, hand-worked examples, enumeration and simulated clusters."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from lib import baselines, overlap, statistics
from lib.errors import UserError

NUMBERS = st.lists(st.integers(-1000, 1000).map(lambda k: k / 8), min_size=2, max_size=30)


# SciPy warns where one group is constant.
@pytest.mark.filterwarnings("ignore:Precision loss")
@settings(max_examples=80, deadline=None)
@given(NUMBERS, NUMBERS)
def test_welch_is_scipys(a, b):
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    expected = stats.ttest_ind(a, b, equal_var=False)
    t, p = statistics.welch(a, b)
    assert t == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert p == pytest.approx(expected.pvalue, rel=1e-6)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=2, max_size=20))
def test_paired_is_scipys(pairs):
    a, b = np.array(pairs).T / 8
    assume(np.ptp(a - b) > 0)
    expected = stats.ttest_rel(a, b)
    t, p = statistics.paired(a, b)
    assert t == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert p == pytest.approx(expected.pvalue, rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_in_every_set_of_hypotheses(p):
    """A hypothesis falls if every set that it belongs to falls by Bonferroni's rule (closed testing)."""
    sets = [s for n in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), n)]
    expected = [max(min(1, len(s) * min(p[k] for k in s)) for s in sets if i in s) for i in range(len(p))]
    assert statistics.holm(p) == pytest.approx(expected)


def test_cohen_d_by_hand():
    # Means 4 and 7; squared deviations 4 + 0 + 4 = 8 and 1 + 1 = 2, so the pooled variance is 10 / 3.
    assert statistics.cohen_d([2, 4, 6], [6, 8]) == pytest.approx(-3 / math.sqrt(10 / 3), rel=1e-12)
    assert statistics.cohen_d([6, 8], [2, 4, 6]) == pytest.approx(3 / math.sqrt(10 / 3), rel=1e-12)


def test_effect_words_are_paper_bs():
    edges = {0.0: "negligible", 0.2: "small", 0.5: "medium", 0.8: "large", 1.2: "very large", 2.0: "huge"}
    words = list(edges.values())
    for index, (edge, word) in enumerate(edges.items()):
        assert statistics.effect_word(edge) == statistics.effect_word(-edge) == word
        if index:
            assert statistics.effect_word(math.nextafter(edge, 0)) == words[index - 1]
    assert statistics.effect_word(-math.inf) == "huge"


def clusters(rng, inits, size, within=0.5):
    return rng.normal(size=(inits, 1)) + within * rng.normal(size=(inits, size))


def coverage(inits, trials, **options):
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(trials):
        low, high = statistics.bootstrap_over_inits(clusters(rng, inits, 10), seed=trial, **options)
        hits += low <= 0 <= high
    return hits / trials


def test_bootstrap_covers_the_mean_of_clusters():
    # Three standard errors of 300 trials are 9 % at most, and 5 % near 0.9: the bounds fail a wrong interval.
    assert 0.87 < coverage(20, 300, repetitions=200) < 0.97
    assert 0.76 < coverage(5, 300, repetitions=200) < 0.90
    assert 0.40 < coverage(20, 300, repetitions=200, probability=0.5) < 0.58


def test_bootstrap_over_values_instead_of_clusters_would_not():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        single = clusters(rng, 20, 10).reshape(-1, 1)
        low, high = statistics.bootstrap_over_inits(single, repetitions=100, seed=trial)
        hits += low <= 0 <= high
    assert hits < 60


def test_bootstrap_is_exact_for_two_initialisations():
    # The means of two draws out of {0, 8} are 0, 4, 4, 8.
    assert statistics.bootstrap_over_inits([[0, 0], [8]], lambda v: v.mean(), 4000, probability=0.9) == (0, 8)
    low, high = statistics.bootstrap_over_inits([[0], [8]], repetitions=4000, probability=0.4)
    assert (low, high) == (4, 4)
    # Drawn, they end where all of them do.
    assert statistics.bootstrap_over_inits([[0], [8]], repetitions=2, probability=0.4)[0] in (0, 4, 8)


@pytest.mark.parametrize("inits", [2, 3, 5])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.95])
def test_bootstrap_of_few_initialisations_takes_all_resamples(inits, probability):
    """By hand: all of the inits^inits ordered draws, sorted; the first that leave so many behind or ahead of them."""
    values = np.random.default_rng(inits).normal(size=inits)
    means = sorted(np.mean([values[i] for i in draw]) for draw in itertools.product(range(inits), repeat=inits))
    tail = (1 - probability) / 2
    reached = np.arange(1, len(means) + 1) / len(means)
    expected = [next(m for m, r in zip(means, reached, strict=True) if r >= share) for share in (tail, 1 - tail)]
    for seed in (0, 1):
        found = statistics.bootstrap_over_inits(values[:, None], seed=seed, probability=probability)
        assert found == pytest.approx(expected, rel=1e-12)


def test_bootstrap_that_draws_comes_near_the_one_that_takes_all():
    values = np.random.default_rng(7).normal(size=(7, 1))
    exact = statistics.bootstrap_over_inits(values)  # 1,716 of them
    assert statistics.bootstrap_over_inits(values, repetitions=1700) == pytest.approx(exact, abs=0.15)
    assert statistics.bootstrap_over_inits(values, repetitions=1700) != exact


def test_bootstrap_keeps_its_bits():
    values = np.arange(18.0).reshape(6, 3) ** 2
    assert statistics.bootstrap_over_inits(values, np.median, 100, seed=3) == pytest.approx(
        statistics.bootstrap_over_inits(values.tolist(), np.median, 100, seed=3), abs=0
    )
    assert statistics.bootstrap_over_inits(values, repetitions=100, seed=1) != statistics.bootstrap_over_inits(
        values, repetitions=100, seed=2
    )


def test_bootstrap_of_pairs_across_initialisations():
    matrix = np.add.outer(np.arange(5.0), np.arange(5.0))

    def across(drawn):
        pairs = [(a, b) for a, b in itertools.combinations(drawn, 2) if a != b]
        return np.mean([matrix[pair] for pair in pairs]) if pairs else np.nan

    low, high = statistics.bootstrap_over_inits([[i] for i in range(5)], across, 1000)
    assert 1 <= low < across(range(5)) < high <= 7
    with pytest.raises(UserError, match="statistic is undefined on"):
        statistics.bootstrap_over_inits([[0], [1]], across, 100)


def distances(rng, groups, effect=0.0):
    """Return distances of tickets that each have an own level, so that pairs depend on each other."""
    labels = np.repeat(list(groups), list(groups.values()))
    n = len(labels)
    level = rng.normal(size=n)
    noise = rng.normal(size=(n, n))
    matrix = level[:, None] + level + 0.5 * (noise + noise.T)
    return matrix - effect * (labels[:, None] == labels), list(labels)


KINDS = [
    ("within", "between"),
    (("a", "a"), ("b", "b")),
    (("a", "b"), ("b", "b")),
    (("a", "c"), ("b", "b")),
]


@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_p_is_uniform_when_labels_say_nothing(kinds):
    rng = np.random.default_rng(1)
    found = [
        statistics.permutation_test_tickets(*distances(rng, {"a": 6, "b": 6, "c": 6}), *kinds, 99, seed)
        for seed in range(400)
    ]
    # p is one of 0.01, 0.02, ..., 1: a uniform number in the step below makes it continuous.
    smooth = np.array(found) - rng.random(len(found)) / 100
    assert stats.kstest(smooth, "uniform").pvalue > 0.01


@pytest.mark.parametrize("freedom", [1, 1.7, 8, 39.9, 40, 98, 1000.5, 1e6])
@pytest.mark.parametrize("t", [0.0, 1e-9, 0.1, 1.0, 2.5, 7.0, 40.0])
def test_students_distribution_is_scipys(freedom, t):
    assert statistics._two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-9, abs=1e-300)
    assert statistics._two_sided(-t, freedom) == statistics._two_sided(t, freedom)


def test_welch_over_dependent_pairs_is_not():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        matrix, _ = distances(rng, {"a": 6, "b": 6})
        i, j = np.triu_indices(6, 1)
        found.append(statistics.welch(matrix[i, j], matrix[i + 6, j + 6])[1])
    assert np.mean(np.array(found) < 0.05) > 0.2


def test_a_planted_effect_is_found():
    rng = np.random.default_rng(2)
    assert statistics.permutation_test_tickets(*distances(rng, {0: 8, 1: 8}, effect=3), repetitions=999) == 0.001


@pytest.mark.parametrize("kinds", KINDS[:3], ids=str)
@pytest.mark.parametrize("whole", [False, True])
def test_p_is_what_all_assignments_give(kinds, whole):
    # Whole numbers make many assignments as extreme as the one given.
    matrix, labels = distances(np.random.default_rng(3), {"a": 3, "b": 4}, effect=1)
    matrix = matrix.round() if whole else matrix

    def statistic(names):
        def mean(kind):
            chosen = []
            for i, j in itertools.combinations(range(len(names)), 2):
                same = names[i] == names[j]
                if (kind == "within" and same) or (kind == "between" and not same) or {*kind} == {names[i], names[j]}:
                    chosen.append(Fraction(matrix[i, j]))
            return sum(chosen) / len(chosen)

        return abs(mean(kinds[0]) - mean(kinds[1]))

    observed = statistic(labels)
    assignments = set(itertools.permutations(labels))
    exact = sum(statistic(names) >= observed for names in assignments) / len(assignments)
    repetitions = 20_000
    found = statistics.permutation_test_tickets(matrix, labels, *kinds, repetitions)
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / repetitions) + 1 / repetitions


def test_tickets_with_other_labels_are_left_out():
    matrix, labels = distances(np.random.default_rng(4), {"a": 5, "b": 5, "c": 5})
    kinds = (("a", "a"), ("b", "b"))
    assert statistics.permutation_test_tickets(matrix, labels, *kinds, 99) == statistics.permutation_test_tickets(
        matrix[:10, :10], labels[:10], *kinds, 99
    )


def test_p_does_not_hang_on_blocks(monkeypatch):
    arguments = distances(np.random.default_rng(5), {"a": 4, "b": 6})
    expected = statistics.permutation_test_tickets(*arguments, repetitions=500)
    monkeypatch.setattr(statistics, "_BLOCK", 100)
    assert statistics.permutation_test_tickets(*arguments, repetitions=500) == expected


@pytest.mark.parametrize("distance", [0.1, 0.0])
def test_equal_distances_are_no_evidence(distance):
    matrix = np.full((6, 6), distance)
    assert statistics.permutation_test_tickets(matrix, [0, 0, 0, 1, 1, 1], repetitions=99) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_false_positive_rate_by_counting_masks(layer, probability):
    n, kept = layer
    low, high = baselines.overlap_interval(n, kept, probability)
    outside = sum(
        math.comb(kept, x) * math.comb(n - kept, kept - x)
        for x in range(max(0, 2 * kept - n), kept + 1)
        if not low <= x <= high
    )
    rate = statistics.false_positive_rate(n, kept, probability)
    assert rate == pytest.approx(outside / math.comb(n, kept), abs=1e-12)
    assert rate <= 1 - probability + 1e-12


def test_false_positive_rate_by_drawing_masks():
    n, kept = 150, 30
    low, high = baselines.overlap_interval(n, kept)
    rate = statistics.false_positive_rate(n, kept)
    drawn = baselines.simulate(n, kept, masks=2, repetitions=40_000).overlap
    assert abs(((drawn < low) | (drawn > high)).mean() - rate) < 4 * math.sqrt(rate / drawn.size)
    # Pairs that share masks: the rate is the same.
    masks = np.argsort(np.random.default_rng(0).random((200, n)), axis=1) < kept
    i, j = overlap.across_pairs(200, 1)
    shared = overlap.pairwise(masks)[i, j] * kept / 100
    shared = shared.round()
    assert abs(((shared < low) | (shared > high)).mean() - rate) < 4 * math.sqrt(rate / shared.size)


def test_no_false_positive_without_a_choice():
    assert statistics.false_positive_rate(150, 150) == statistics.false_positive_rate(150, 0) == 0
    # Three of 150: two masks mostly share nothing, and the interval cannot leave that out.
    assert statistics.false_positive_rate(150, 3) < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.welch([1.0], [1, 2]), r"a is \[1.0\]: it should be a list of at least two"),
        (lambda: statistics.cohen_d([1, 2], [1, math.nan]), "b is"),
        (lambda: statistics.paired([1.0, 2.0], [1, 2, 3]), "b has 3 values: it should have as many as a, 2"),
        (lambda: statistics.paired([1.0, 2.0], [2, 3]), "a and b differ by -1 everywhere"),
        (lambda: statistics.welch([0.1] * 3, [0.2] * 3), "a and b hold nothing but 0.1 and 0.2"),
        (lambda: statistics.effect_word(math.nan), "d is nan"),
        (lambda: statistics.bootstrap_over_inits([[1]]), "values_by_init holds 1 init"),
        (lambda: statistics.bootstrap_over_inits([[1], []]), r"values_by_init\[1\] is \[\]"),
        (lambda: statistics.bootstrap_over_inits([[1], ["x"]]), r"values_by_init\[1\] is \['x'\]"),
        (lambda: statistics.bootstrap_over_inits([[1], [2]], repetitions=0), "repetitions is 0"),
        (lambda: statistics.bootstrap_over_inits([[1], [2]], seed=-1), "seed is -1"),
        (lambda: statistics.bootstrap_over_inits([[1], [2]], probability=1), "probability is 1"),
        (lambda: statistics.permutation_test_tickets(np.ones((2, 3)), [0, 1]), r"the shape \(2, 3\)"),
        (lambda: statistics.permutation_test_tickets(np.eye(3, k=1), [0, 1, 1]), "not symmetric"),
        (lambda: statistics.permutation_test_tickets(np.ones((3, 3)), [0, 1]), r"labels is \[0, 1\]"),
        (lambda: statistics.permutation_test_tickets(np.ones((3, 3)), [0, 1, 2]), "first is 'within': there should"),
        (lambda: statistics.permutation_test_tickets(np.ones((3, 3)), [0, 0, 1], "a"), "first is 'a': it should be"),
        (lambda: statistics.false_positive_rate(10, 11), "kept is 11"),
    ],
)
def test_input_that_cannot_be_used(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_pairs_that_are_left_out_count_under_no_labels():
    """Six tickets, one pair left out: against all assignments of the labels, by hand."""
    rng = np.random.default_rng(5)
    matrix = rng.random((6, 6))
    matrix = matrix + matrix.T
    matrix[0, 3] = matrix[3, 0] = np.nan
    labels = np.array(list("aaabbb"))

    def statistic(names):
        pairs = [(i, j) for i, j in itertools.combinations(range(6), 2) if not np.isnan(matrix[i, j])]
        within, across = (
            np.mean([matrix[i, j] for i, j in pairs if (names[i], names[j]) in kinds])
            for kinds in ({("a", "a")}, {("a", "b"), ("b", "a")})
        )
        return abs(within - across)

    every = [statistic(labels[list(order)]) for order in itertools.permutations(range(6))]
    exact = np.mean(np.array(every) >= statistic(labels) - 1e-12)
    found = statistics.permutation_test_tickets(matrix, list(labels), ("a", "a"), ("a", "b"), repetitions=20_000)
    assert found == pytest.approx(exact, abs=0.015)
    with pytest.raises(UserError, match=r"first is \('a', 'a'\): there should be at least one pair"):
        statistics.permutation_test_tickets(np.full((2, 2), np.nan), ["a", "a"], ("a", "a"), ("a", "a"))
