"""Tickets made by a known process go through the whole pipeline: stored, read, measured, tested, judged.

Every answer is known beforehand; how often chance alone trips a test is counted over 1,000 repetitions.
"""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from made import TINY, made_store, tiny_experiment, write_again
from scipy import stats

from lib import (
    baselines,
    claims,
    comparisons,
    evidence,
    kernels,
    overlap,
    patterns,
    similarity,
    statistics,
    topology,
)
from lib.claims import Measurement, Verdict
from lib.experiments import EXPERIMENTS
from lib.models import Architecture, Layer
from lib.pruning import Level, kept_counts, percent_levels
from lib.tickets import TEST_LOGITS, LevelRecord

LEVEL = "50"
REPETITIONS = 1000
PLANTED = 5.0  # points of overlap above chance


def experiment(name: str, **changes):
    return dataclasses.replace(tiny_experiment(name, inits=4, runs=5), levels=percent_levels(LEVEL), **changes)


def put(store, its, masks, logits=None, weights=None):
    """Store masks, and what else is given, as the only pruned level of an experiment."""
    rng = np.random.default_rng(1)
    level = its.level(LEVEL)
    dense = store.read(its, its.levels[0])
    large = np.where(masks, np.copysign(10 + np.abs(dense.weights), dense.weights), dense.weights)  # what is kept
    write_again(store, its, its.levels[0], dataclasses.replace(dense, weights=large), masks)
    values = rng.normal(size=masks.shape).astype(np.float32) if weights is None else weights
    record = LevelRecord(
        masks=masks,
        weights=np.where(masks, values, 0).astype(np.float32),
        biases=np.zeros((its.replicas, its.architecture.parameter_count - masks.shape[1]), np.float32),
        logits=rng.normal(size=(its.replicas, TEST_LOGITS, 10)).astype(np.float32) if logits is None else logits,
        correct=np.full(its.replicas, 9000),
        losses=np.ones((its.replicas, its.epochs), np.float32),
    )
    write_again(store, its, level, record)
    assert store.verify(its)[1] == []


def drawn(rng, n, kept, forced=()):
    """A mask of n weights that keeps `kept`, those in `forced` among them and the rest at random."""
    mask = np.zeros(n, bool)
    mask[list(forced)] = True
    free = np.flatnonzero(~mask)
    mask[rng.choice(free, kept - mask.sum(), replace=False)] = True
    return mask


def common_count(n, kept):
    """How many weights common to all masks of an initialisation raise the overlap of two by PLANTED points."""
    common = np.arange(kept + 1)
    rest = kept - common
    overlaps = 100 * (common + rest**2 / np.maximum(n - common, 1)) / kept
    return int(np.argmin(np.abs(overlaps - 100 * kept / n - PLANTED)))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two experiments: independent masks, and masks with 5 points of overlap planted within an initialisation."""
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("known")
    rng = np.random.default_rng(0)
    for name, planted in (("known/independent", False), ("known/planted", True)):
        its = experiment(name)
        patch.setitem(EXPERIMENTS, name, its)
        store = made_store(root, its, levels=1)
        masks = np.zeros((its.replicas, TINY.weight_count), bool)
        counts = kept_counts(TINY, its.level(LEVEL))
        for layer, where in TINY.weight_slices().items():
            n, kept = where.stop - where.start, counts[layer]
            for init in range(its.inits):
                forced = rng.choice(n, common_count(n, kept) if planted else 0, replace=False)
                for run in range(its.runs):
                    masks[init * its.runs + run, where] = drawn(rng, n, kept, forced)
        put(store, its, masks)
    yield store
    patch.undo()


def claim(check):
    return next(c for c in claims.load().values() if c.check == check)


def verdicts(layers):
    """What the two rules about chance say of measured overlaps."""
    groups = tuple(evidence.chance_group(layer) for layer in layers)
    return {check: claims.judge(claim(check), [Measurement(groups=groups)]).verdict for check in CHANCE}


CHANCE = ("chance-match", "above-chance")


@pytest.mark.parametrize("within", [True, False])
def test_independent_masks_overlap_as_by_chance(stores, within):
    layers = evidence.overlaps(stores, "known/independent", LEVEL, within)
    for layer in layers:
        error = np.sqrt(baselines.overlap_variance(layer.weights, layer.kept)) * 100 / layer.kept
        assert abs(layer.values.mean() - 50) < 4 * error / np.sqrt(len(layer.values) / 4)
    large = [layer for layer in layers if layer.weights > 100]
    assert verdicts(large) == {"chance-match": Verdict.REPRODUCED, "above-chance": Verdict.NOT_REPRODUCED}


def test_five_points_of_planted_overlap_are_measured_and_judged(stores):
    layers = evidence.overlaps(stores, "known/planted", LEVEL)
    large = [layer for layer in layers if layer.weights > 500]
    assert [layer.layer for layer in large] == ["dense1"]
    for layer in layers:
        common = common_count(layer.weights, layer.kept)
        known = 100 * (common + (layer.kept - common) ** 2 / (layer.weights - common)) / layer.kept
        assert known == pytest.approx(50 + PLANTED, abs=100 / layer.kept)  # as near as whole weights allow
        error = 100 * np.sqrt(baselines.overlap_variance(layer.weights, layer.kept)) / layer.kept
        assert abs(layer.values.mean() - known) < 4 * error / np.sqrt(len(layer.values) / 2)
    assert verdicts(large) == {"chance-match": Verdict.NOT_REPRODUCED, "above-chance": Verdict.REPRODUCED}
    # Other initialisations share nothing.
    across = evidence.overlaps(stores, "known/planted", LEVEL, within=False)
    assert verdicts([x for x in across if x.weights > 500])["chance-match"] == Verdict.REPRODUCED


def test_planted_overlap_shows_in_what_all_runs_share_and_none_uses(stores):
    for name, planted in (("known/independent", False), ("known/planted", True)):
        (shared,) = [y for y in evidence.shared(stores, name, LEVEL) if y.layer == "dense1"]
        (unused,) = [y for y in evidence.unused(stores, name, LEVEL) if y.layer == "dense1"]
        assert (shared.values.mean() > shared.high) == planted
        assert (unused.values.mean() > unused.high) == planted


def reordered(masks, rng):
    """The same network with its hidden units in another order."""
    result, before = np.empty_like(masks), None
    orders = {}
    for layer, where in zip(TINY.layers, TINY.weight_slices().values(), strict=True):
        block = masks[where].reshape(layer.shape[0], -1)
        if before is not None:
            block = block.reshape(layer.shape[0], len(before), -1)[:, before].reshape(layer.shape[0], -1)
        order = np.arange(layer.shape[0]) if layer.name == "output" else rng.permutation(layer.shape[0])
        result[where] = block[order].ravel()
        orders[layer.name] = before = order
    return result, orders


def test_a_network_and_its_reordered_twin(stores, monkeypatch):
    """Masks look unrelated, outputs are equal: only a metric that matches units says that it is one network."""
    its = experiment("known/twins", inits=1, runs=2)
    monkeypatch.setitem(EXPERIMENTS, its.name, its)
    store = made_store(stores.root, its, levels=1)
    rng = np.random.default_rng(2)
    first = np.concatenate([drawn(rng, y.size, y.size // 2) for y in TINY.layers])
    second, orders = reordered(first, rng)
    logits = np.repeat(rng.normal(size=(1, TEST_LOGITS, 10)), 2, axis=0).astype(np.float32)
    put(store, its, np.stack([first, second]), logits)
    record = evidence.record(store, its.name, LEVEL)
    assert topology.nnstd(TINY, *record.masks) == 0
    assert topology.nnstd(TINY, *record.masks, carry=False) > 0.2
    for match in topology.matching(TINY, *record.masks):
        if match.layer != "output":
            assert (orders[match.layer][match.partner] == np.arange(len(match.partner))).all()
    assert similarity.cka(record.logits)[0, 1] == pytest.approx(1)
    assert similarity.l2(similarity.softmax(record.logits))[0, 1] == 0
    (dense,) = [y for y in evidence.overlaps(store, its.name, LEVEL) if y.layer == "dense1"]
    assert dense.values[0] < 65


def claimed_row(diff_mean, cohen_d, label):
    """A row of paper B's tables that says this."""
    row = claim("table-row")
    said = dataclasses.replace(row.claimed, value=None, diff_mean=diff_mean, p_value=0.0, cohen_d=cohen_d, label=label)
    return dataclasses.replace(row, claimed=said)


def test_reordered_twins_among_random_tickets(stores, monkeypatch):
    """Every winning ticket is one network with its units in another order: distance, tests, effect and verdict."""
    its = experiment("known/family")
    monkeypatch.setitem(EXPERIMENTS, its.name, its)
    store = made_store(stores.root, its, levels=1)
    rng = np.random.default_rng(11)
    first = np.concatenate([drawn(rng, y.size, y.size // 2) for y in TINY.layers])
    put(store, its, np.stack([reordered(first, rng)[0] for _ in range(its.replicas)]))
    winning, random = (comparisons.group(store, its.name, kind, kind) for kind in ("winning", "random"))
    for control, equal in ((random, False), (dataclasses.replace(winning, label="again"), True)):
        found = comparisons.compare(store, winning, winning, control, signed=False, sample=0)
        assert (found.values() == 0).all()
        if equal:
            assert (found.control_values() == 0).all()
            continue
        difference = found.difference()
        assert difference.diff_mean == pytest.approx(-found.control_values().mean())
        assert difference.lower and not difference.higher and difference.p_value < 1e-10
        assert statistics.effect_word(difference.cohen_d) == "huge" and difference.cohen_d < -2
        assert found.permutation_p(repetitions=999) == 1 / 1000
        row = dataclasses.asdict(difference)
        for sign, verdict in ((1, Verdict.REPRODUCED), (-1, Verdict.NOT_REPRODUCED)):
            said = claimed_row(sign * difference.diff_mean, sign * difference.cohen_d, "huge")
            assert claims.judge(said, [Measurement(row=row)]).verdict == verdict
    # The signs of different initial weights have nothing to do with each other: with them there is no such distance.
    signed = comparisons.compare(store, winning, winning, random, signed=True, sample=0)
    assert (signed.values() > 0.2).all()


@pytest.mark.parametrize("planted", [1, -1, 0])
def test_final_weights_in_the_order_of_the_initial_ones(stores, monkeypatch, planted):
    its = experiment(f"known/ranks{planted}")
    monkeypatch.setitem(EXPERIMENTS, its.name, its)
    store = made_store(stores.root, its, levels=1)
    rng = np.random.default_rng(12)
    masks = np.stack([np.concatenate([drawn(rng, y.size, y.size // 2) for y in TINY.layers]) for _ in range(20)])
    # Grown by a tenth: of tickets that end as they began, none is ranked.
    grown = 1.1 * planted * store.initial_weights(its).repeat(its.runs, axis=0)
    final = grown if planted else rng.normal(size=masks.shape)
    put(store, its, masks, weights=final.astype(np.float32))
    for layer in evidence.rank_correlations(store, its.name, LEVEL):
        error = 4 * layer.null / np.sqrt(len(layer.values)) if planted == 0 else 1e-3  # half precision makes ties
        assert layer.values.mean() == pytest.approx(planted, abs=error)
    for layer in evidence.rank_correlations(store, its.name, LEVEL, of="magnitude"):
        error = 4 * layer.null / np.sqrt(len(layer.values)) if planted == 0 else 1e-3
        assert layer.values.mean() == pytest.approx(abs(planted), abs=error)


def test_outputs_shared_within_an_initialisation(stores, monkeypatch):
    its = experiment("known/outputs")
    monkeypatch.setitem(EXPERIMENTS, its.name, its)
    store = made_store(stores.root, its, levels=1)
    rng = np.random.default_rng(13)
    masks = np.stack([np.concatenate([drawn(rng, y.size, y.size // 2) for y in TINY.layers]) for _ in range(20)])
    logits = rng.normal(size=(its.inits, TEST_LOGITS, 10)).repeat(its.runs, axis=0).astype(np.float32)
    put(store, its, masks, logits)
    same = np.arange(20)[:, None] // its.runs == np.arange(20) // its.runs
    for measure in evidence.MEASURES:
        matrix = evidence.output_matrix(store, its.name, LEVEL, measure)
        np.testing.assert_allclose(matrix[same], 0 if measure == "L2" else 1, atol=1e-12)
        # Independent outputs: linear CKA of 2,000 samples and 10 classes is about 10 / 2000.
        assert (matrix[~same] > 0.1).all() if measure == "L2" else (matrix[~same] < 0.02).all()


SIGNED = Architecture("signs", (4, 12, 12), (Layer("conv1", (32, 4, 3, 3), pool=True), Layer("output", (10, 800))))
PAIRS = [(a, b) for a in range(9) for b in range(a + 1, 9)]
NEAR = [(a, b) for a, b in PAIRS if abs(a // 3 - b // 3) + abs(a % 3 - b % 3) == 1]


@pytest.mark.parametrize("kind", ["neighbours", "anywhere"])
def test_planted_sign_patterns_through_the_store(stores, monkeypatch, kind):
    """Tickets whose first layer keeps two positive weights in every kernel, side by side or anywhere."""
    level = Level(LEVEL, Fraction(1, 2), (("conv1", Fraction(2, 9)),))
    levels = (percent_levels(LEVEL)[0], level)
    its = dataclasses.replace(experiment(f"known/{kind}", inits=2, runs=2), architecture=SIGNED, levels=levels)
    monkeypatch.setitem(EXPERIMENTS, its.name, its)
    store = made_store(stores.root, its, levels=1)
    rng = np.random.default_rng(14)
    choices = NEAR if kind == "neighbours" else PAIRS
    first = np.zeros((4, 32 * 4, 9), bool)
    for row in first.reshape(-1, 9):
        row[list(choices[rng.integers(len(choices))])] = True
    masks = np.concatenate([first.reshape(4, -1), [drawn(rng, 8000, 4000) for _ in range(4)]], axis=1)
    put(store, its, masks, weights=1 + rng.random(masks.shape, np.float32))
    group = patterns.winning(store, its.name, 4, trained=True)
    found = patterns.statistics(group)
    assert found["filters"].value == 0 and found["empty"].value == 0
    assert "negative" not in found and "ratio" not in found  # there is no negative weight
    # Of random tickets a fifth of the kernels keeps none, and filters differ.
    assert found["filters"].low > 0 and found["empty"].low > 5
    assert found["positive"].expected == pytest.approx(100 / 3)
    by_ticket = np.array([patterns.measure(group.signs[t : t + 1])["positive"] for t in range(4)])
    low, high = (100 * x / 128 for x in stats.binom.interval(0.95, 128, 1 / 3))
    measured = Measurement(groups=(claims.ChanceGroup("neighbours", by_ticket, 100 / 3, low, high),))
    judged = {check: claims.judge(claim(check), [measured]).verdict for check in CHANCE}
    if kind == "neighbours":
        assert found["positive"].value == 100 and (by_ticket == 100).all()
        assert judged == {"chance-match": Verdict.NOT_REPRODUCED, "above-chance": Verdict.REPRODUCED}
    else:
        assert abs(found["positive"].value - 100 / 3) < 400 * np.sqrt(2 / 9 / 512)
        assert judged == {"chance-match": Verdict.REPRODUCED, "above-chance": Verdict.NOT_REPRODUCED}


def test_planted_sign_patterns_are_found_and_nothing_else():
    """Kernels with two positive weights, side by side or anywhere: the shares are those they were made with."""
    rng = np.random.default_rng(3)
    pairs, near = PAIRS, NEAR
    assert len(near) == 12 and kernels.expected_neighbour_share() == pytest.approx(12 / 36)

    def made(choices):
        signs = np.zeros((20, 32, 4, 9), np.int8)
        for kernel in signs.reshape(-1, 9):
            kernel[list(choices[rng.integers(len(choices))])] = 1
        return signs.reshape(20, 32, 4, 3, 3)

    assert kernels.neighbour_share(made(near)) == 1
    assert kernels.neighbour_share(made([p for p in pairs if p not in near])) == 0
    assert kernels.neighbour_share(made(pairs)) == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 2560))
    patterns, counts = kernels.frequent_patterns(made([(0, 1)]), 2, 1)
    assert counts.tolist() == [2560] and np.flatnonzero(patterns[0]).tolist() == [0, 1]
    assert kernels.neighbour_share(kernels.control_masks(made(near))) < 0.4


# --- how often chance alone trips a test ---------------------------------------------------------------------


def bounds(rate):
    """Between which a count of REPETITIONS lies with probability 0.999, if each trips with this rate."""
    return stats.binom.interval(0.999, REPETITIONS, rate)


def test_welch_trips_as_often_as_it_says():
    rng = np.random.default_rng(4)
    low, high = bounds(0.05)
    p = [statistics.welch(rng.normal(size=25), rng.normal(size=25))[1] for _ in range(REPETITIONS)]
    assert low <= sum(x < 0.05 for x in p) <= high
    assert sum(x < 0.01 for x in p) <= bounds(0.01)[1]


def test_the_permutation_test_trips_as_often_as_it_says():
    rng = np.random.default_rng(5)
    low, high = bounds(0.05)
    count = 0
    for _ in range(REPETITIONS):
        places = rng.normal(size=(12, 3))
        distances = np.linalg.norm(places[:, None] - places, axis=2)
        distances = (distances + distances.T) / 2
        count += statistics.permutation_test_tickets(distances, list("aaaabbbbcccc"), repetitions=199) <= 0.05
    assert low <= count <= high


def test_overlaps_leave_the_interval_of_chance_as_often_as_it_says():
    n, kept = 300, 90
    rng = np.random.default_rng(6)
    masks = rng.permuted(np.tile(np.arange(n) < kept, (2 * REPETITIONS, 1)), axis=1)
    shared = (masks[:REPETITIONS] & masks[REPETITIONS:]).sum(axis=1)
    interval = baselines.overlap_interval(n, kept)
    rate = statistics.false_positive_rate(n, kept)
    assert 0.02 < rate <= 0.05
    low, high = bounds(rate)
    assert low <= ((shared < interval[0]) | (shared > interval[1])).sum() <= high


@pytest.mark.parametrize(("interval", "count"), [("shared_interval", "all"), ("uncovered_interval", "none")])
def test_what_five_masks_share_or_leave_is_outside_as_rarely_as_it_says(interval, count):
    n, kept, masks = 400, 240, 5
    rng = np.random.default_rng(7)
    drawn_masks = rng.permuted(np.tile(np.arange(n) < kept, (masks * REPETITIONS, 1)), axis=1)
    counts = drawn_masks.reshape(REPETITIONS, masks, n).sum(axis=1)
    found = (counts == (masks if count == "all" else 0)).sum(axis=1)
    low, high = getattr(baselines, interval)(n, kept, masks)
    assert ((found < low) | (found > high)).sum() <= bounds(0.05)[1]


def test_rank_correlations_leave_two_deviations_as_often_as_they_should():
    rng = np.random.default_rng(8)
    shape = (REPETITIONS, 200)
    values = similarity.rank_correlations(rng.normal(size=shape), rng.normal(size=shape), np.ones(shape, bool))
    low, high = bounds(0.05)
    assert low <= (np.abs(values) > 1.96 * similarity.null_deviation(200)).sum() <= high


def test_the_rules_about_chance_rarely_err_on_independent_masks():
    """50 pairs in an initialisations' design: 'as by chance' is missed rarely, 'above chance' is found never."""
    n, kept, inits, runs = 600, 300, 5, 5
    rng = np.random.default_rng(9)
    pairs = overlap.within_pairs(inits, runs)
    low, high = (100 * x / kept for x in baselines.overlap_interval(n, kept))
    start = np.tile(np.arange(n) < kept, (inits * runs, 1))
    missed = above = 0
    for _ in range(REPETITIONS):
        values = overlap.layer_overlaps(rng.permuted(start, axis=1), {"layer": slice(0, n)}, pairs)["layer"]
        group = claims.ChanceGroup("layer", values, 50.0, low, high)
        missed += not claims.matches_chance(group)
        above += claims.above_chance(group)
    assert above == 0
    assert missed <= bounds(0.05)[1]


def test_a_claim_that_all_is_as_by_chance_is_reproduced_where_it_is():
    """Worlds of independent masks of many layers and levels: shares of five values and overlaps of 50 pairs alike."""
    inits, runs, worlds = 5, 5, 100
    sizes = [(n, round(n * kept)) for n in (150, 850, 2400) for kept in (0.5, 0.4, 0.2, 0.1, 0.05, 0.02)]
    pairs, rng = overlap.within_pairs(inits, runs), np.random.default_rng(11)
    reproduced = {"overlap": 0, "shared and unused": 0}
    for _ in range(worlds):
        groups: dict[str, list] = {what: [] for what in reproduced}
        for n, kept in sizes:
            masks = rng.permuted(np.tile(np.arange(n) < kept, (inits * runs, 1)), axis=1)
            for what, values, unit, (low, high), mean in (
                (
                    "overlap",
                    overlap.layer_overlaps(masks, {"layer": slice(0, n)}, pairs)["layer"],
                    kept,
                    baselines.overlap_interval(n, kept),
                    kept * kept / n,
                ),
                (
                    "shared and unused",
                    100 * overlap.shared_by_all(masks, inits, runs) / kept,
                    kept,
                    baselines.shared_interval(n, kept, runs),
                    baselines.shared_mean(n, kept, runs),
                ),
                (
                    "shared and unused",
                    100 * overlap.covered_by_none(masks, inits, runs) / n,
                    n,
                    baselines.uncovered_interval(n, kept, runs),
                    baselines.uncovered_mean(n, kept, runs),
                ),
            ):
                groups[what].append(claims.ChanceGroup("", values, *(100 * x / unit for x in (mean, low, high))))
        for what, of in groups.items():
            judged = claims.judge(claim("chance-match"), [Measurement(groups=tuple(of))])
            reproduced[what] += judged.verdict == Verdict.REPRODUCED
    assert all(count >= 90 for count in reproduced.values()), reproduced


def test_no_pattern_of_signs_is_found_in_random_kernels():
    """The distribution of the neighbours' share is the hypergeometric one: 95 % of tickets lie in its interval."""
    rng = np.random.default_rng(10)
    outside = 0
    for _ in range(REPETITIONS):
        order = np.argsort(rng.random((60, 9)), axis=1)
        signs = (order < 2).astype(np.int8).reshape(1, 60, 1, 3, 3)
        low, high = (x / 60 for x in stats.binom.interval(0.95, 60, 1 / 3))
        outside += not low <= kernels.neighbour_share(signs) <= high
    assert outside <= bounds(0.05)[1]
