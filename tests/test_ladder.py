"""The ladder of randomness: distances against closed forms and another library, and the right rung of made tickets."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import change, made_store
from scipy.optimize import linprog
from scipy.stats import hypergeom, spearmanr, wasserstein_distance

from lib import claims, ladder
from lib.claims import Lack
from lib.errors import UserError
from lib.evidence import Missing
from lib.experiments import find
from lib.ladder import Statement
from lib.tickets import Store

NETWORK = "a/fashion-lenet"
FREE, PARTIAL, FIXED = (find(f"{NETWORK}/{name}") for name in ("free", "partial", "fixed"))
RUNGS = {rung.words: rung for rung in ladder.rungs(NETWORK)}
TRAINED = ["new initial weights", "free", "partial", "fixed"]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Tickets whose runs share nothing across initialisations, little (free), much (partial), all (fixed)."""
    root = tmp_path_factory.getbasetemp() / "ladder"
    for experiment, planted in ((FREE, 0.4), (PARTIAL, 0.9), (FIXED, 1.0)):
        made_store(root, experiment, planted=planted, levels=3)
    return Store(root)


values = st.lists(st.floats(-100, 100), min_size=1, max_size=12).map(np.array)
spans = st.lists(st.tuples(st.floats(-80, 80), st.floats(0, 30)).map(lambda s: (s[0], s[0] + s[1])), min_size=1)


@given(values, spans)
def test_the_distance_of_a_range_is_to_the_values_moved_into_it(measured, spans):
    nearest = []
    for x in measured:
        ends = [min(max(x, low), high) for low, high in spans]
        nearest.append(min(ends, key=lambda end: abs(end - x)))
    found = ladder.distance(measured, Statement((), spans=tuple(spans)))
    assert found == pytest.approx(wasserstein_distance(measured, nearest), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(values, st.floats(-80, 80))
def test_the_distance_of_a_value_is_the_least_move_that_gives_this_mean(measured, mean):
    # Least sum of moves up and down, as a linear programme.
    n = len(measured)
    moves = linprog(np.ones(2 * n), A_eq=[[1] * n + [-1] * n], b_eq=[n * mean - measured.sum()])
    found = ladder.distance(measured, Statement((), mean=mean))
    assert found == pytest.approx(moves.fun / n, abs=1e-6)


def test_the_distance_to_an_open_end():
    values = np.array([10.0, 50.0, 70.0, 90.0])
    assert ladder.distance(values, Statement((), spans=((-np.inf, 60.0),))) == (10 + 30) / 4


@pytest.mark.parametrize("words", ["new initial weights", "free"])
def test_the_distance_from_chance_is_that_to_the_hypergeometric_distribution(store, words):
    (fit,) = [f for f in ladder.fits(store, "A-F2-1", NETWORK, ["60"]) if f.rung.words == words]
    for layer in ladder.measure(store, "A-F2-1", RUNGS[words], "60"):
        counts = np.arange(layer.kept + 1)
        pmf = hypergeom(layer.weights, layer.kept, layer.kept).pmf(counts)
        expected = wasserstein_distance(layer.values, 100 * counts / layer.kept, v_weights=pmf)
        assert fit.by_layer[layer.layer] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert ladder.statements("A-F2-1") == [Statement((), chance=True)] and ladder.own_rung("A-F2-1") == ladder.NEW
    assert fit.low <= fit.distance <= fit.high or words == "new initial weights"
    with pytest.raises(UserError, match="LayerShare"):
        ladder._by_weight(ladder.measure(store, "A-F4b", RUNGS["free"], "60")[0], Statement((), chance=True))


def test_the_share_of_significant_pairs_on_a_rung(store):
    """What Figure 11 shows, against the 95 % interval of another library."""
    for words, count in (("free", 5), ("new initial weights", 10)):
        found = {y.layer: y for y in ladder.measure(store, "A-F11-4", RUNGS[words], "50")}
        chance = hypergeom(2400, 1200, 1200)
        low, high = (100 * end / 1200 for end in chance.interval(0.95))
        pairs = np.array(brute(store, "A-F8a", words, "50", "conv2"))
        outside = 100 * ((pairs < low - 1e-9) | (pairs > high + 1e-9)).mean()
        assert len(found["conv2"].values) == count and found["conv2"].values.mean() == pytest.approx(outside)
    fits = {f.rung.words: f for f in ladder.fits(store, "A-F11-4", NETWORK, ["50"])}
    assert fits["partial"].distance < 5 < fits["new initial weights"].distance


def test_statements_are_those_of_the_ledger():
    found = ladder.statements("A-F3a")
    assert len(found) == 5 and all(s.level == "" for s in found)  # the expected overlap is none of a layer
    assert found[0] == Statement((1,), spans=((0.0, 20.0), (26.0, 26.0)))
    assert found[2] == Statement((3,), mean=10.0)
    shares = ladder.statements("A-F4a-F")
    assert [(s.layers, s.level, s.mean) for s in shares] == [((1,), "50", 10), ((2, 3, 4, 5), "50", 7), ((), "80", 0)]
    assert {s.layers for s in ladder.statements("A-F4a-R")} == {(1,), (18, 19)}
    # "Generally less than 60 %", with layer 1 as the exception.
    assert ladder.statements("A-F10a")[0] == Statement((), spans=((-np.inf, 60.0),), but=(1,))
    assert ladder.statements("A-F5c")[0] == Statement((), mean=0.0, but=(1, 19))
    assert not any(
        claims.load()["A-F10a-3"].claimed.some_above in np.ravel(s.spans) for s in ladder.statements("A-F10a")
    )
    with pytest.raises(UserError, match="key is 'A-F99'"):
        ladder.statements("A-F99")


def brute(store, key, words, level, layer):
    """What a figure shows of one rung and layer, counted in sets."""
    rung = RUNGS[words]
    experiment = find(rung.experiment)
    masks = store.read(experiment, experiment.level(level)).masks[:, experiment.architecture.weight_slices()[layer]]
    kept = [set(np.flatnonzero(mask).tolist()) for mask in masks]
    runs = experiment.runs
    if key == "A-F8a":
        return [
            100 * len(kept[a] & kept[b]) / len(kept[a])
            for a, b in itertools.combinations(range(len(kept)), 2)
            if (a // runs != b // runs) == rung.across
        ]
    groups = [kept[i::runs] for i in range(runs)] if rung.across else np.reshape(kept, (-1, runs)).tolist()
    if key == "A-F4a-F":
        return [100 * len(set.intersection(*group)) / len(kept[0]) for group in groups]
    return [100 - 100 * len(set.union(*group)) / masks.shape[1] for group in groups]


@pytest.mark.parametrize("key", ["A-F8a", "A-F4a-F", "A-F4b"])
@pytest.mark.parametrize("words", TRAINED)
def test_the_right_rung_is_found(store, monkeypatch, key, words):
    """Of numbers that are those of one rung, that rung is the nearest, and no other is as near."""
    said = [
        Statement((number,), "50", mean=float(np.mean(brute(store, key, words, "50", layer))))
        for number, layer in enumerate(FREE.architecture.weight_slices(), 1)
    ]
    monkeypatch.setattr(ladder, "statements", lambda key: said)
    found = ladder.fits(store, key, NETWORK, ["50"])
    assert [fit.rung.words for fit in found] == list(RUNGS)
    first, others = ladder.best(found)
    assert first.rung.words == words and others == []
    assert first.distance == pytest.approx(0, abs=1e-9)
    assert all(fit.distance > 0.5 for fit in found if fit.rung.words in TRAINED and fit is not first)
    for fit in found:
        assert bool(fit.missing) == (fit.rung.words not in TRAINED) == np.isnan(fit.distance)
        if fit.rung.words in TRAINED[:3]:
            assert fit.low <= fit.high and set(fit.by_layer) == set(FREE.architecture.weight_slices())
    missing = [fit.missing for fit in found if fit.missing]
    assert missing == [(Lack(f"{NETWORK}/shared-{share}"),) for share in (1, 10, 50)]


def test_ranges_and_values_of_a_layer_are_averaged_and_then_the_layers(store, monkeypatch):
    said = [
        Statement((1,), mean=30.0),
        Statement((1, 2), spans=((70.0, 80.0),)),
        Statement((5,), spans=((0.0, 1.0), (55.0, 60.0))),
    ]
    monkeypatch.setattr(ladder, "statements", lambda key: said)
    (fit,) = [f for f in ladder.fits(store, "A-F8a", NETWORK, ["60"]) if f.rung.words == "free"]
    one, two, five = (np.array(brute(store, "A-F8a", "free", "60", y)) for y in ("conv1", "conv2", "output"))

    def outside(x, low, high):
        return np.mean(np.maximum(0, np.maximum(low - x, x - high)))

    expected = {
        "conv1": (abs(one.mean() - 30) + outside(one, 70, 80)) / 2,
        "conv2": outside(two, 70, 80),
        "output": np.mean([min(outside(x, 0, 1), outside(x, 55, 60)) for x in five]),
    }
    assert fit.by_layer == pytest.approx(expected)
    assert fit.distance == pytest.approx(np.mean(list(expected.values())))


def test_a_general_statement_is_not_held_against_its_exceptions(store, monkeypatch):
    said = [Statement((), mean=20.0, but=(1, 5)), Statement((1,), mean=30.0)]
    monkeypatch.setattr(ladder, "statements", lambda key: said)
    (fit,) = [f for f in ladder.fits(store, "A-F8a", NETWORK, ["60"]) if f.rung.words == "free"]
    means = {y: np.mean(brute(store, "A-F8a", "free", "60", y)) for y in ("conv1", "conv2", "dense1", "dense2")}
    assert fit.by_layer == pytest.approx({y: abs(m - (30 if y == "conv1" else 20)) for y, m in means.items()})


def test_the_interval_resamples_initialisations(store, monkeypatch):
    monkeypatch.setattr(ladder, "statements", lambda key: [Statement((1,), mean=0.0)])
    found = {fit.rung.words: fit for fit in ladder.fits(store, "A-F8a", NETWORK, ["50"])}
    rng = np.random.default_rng(1)
    masks = store.read(FREE, FREE.level("50")).masks[:, FREE.architecture.weight_slices()["conv1"]].astype(float)
    shared = 100 * masks @ masks.T / masks[0].sum()
    blocks = shared.reshape(5, 5, 5, 5)
    within = (np.einsum("iaib->i", blocks) - np.einsum("iaia->i", blocks)) / 20
    across = blocks.mean(axis=(1, 3))
    drawn = rng.integers(0, 5, (4000, 5))
    means = {"free": within[drawn].mean(axis=1)}
    other = []
    for d in drawn:
        if len(set(d)) > 1:
            pairs = [across[i, j] for i, j in itertools.permutations(d, 2) if i != j]
            other.append(np.mean(pairs))
    means["new initial weights"] = np.array(other)
    for words, expected in means.items():
        low, high = np.quantile(expected, [0.025, 0.975])
        width = high - low
        assert (found[words].low, found[words].high) == pytest.approx((low, high), abs=0.15 * width + 1e-9)


def test_the_paper_s_first_step_fits_independent_tickets(store):
    """Its Figure 8a says 50 % everywhere, as chance has it: so do made tickets of different initialisations."""
    first, others = ladder.best(ladder.fits(store, "A-F8a", NETWORK, ["50"]))
    assert first.rung.words == "new initial weights" and others == []
    assert first.distance < 0.5


def test_shares_of_significant_pairs_across_initialisations_have_an_interval(store):
    """Rungs so far apart as none and all of the pairs are told apart, also from the one that has one initialisation."""
    found = ladder.fits(store, "A-F11-4", NETWORK, ["50"])
    new = next(fit for fit in found if fit.rung.words == "new initial weights")
    assert new.low <= new.distance <= new.high and new.low > 50
    first, others = ladder.best([new, next(fit for fit in found if fit.rung.words == "fixed")])
    assert first.rung.words == "fixed" and others == []


def test_final_weights_are_ranked_against_another_initialisation(store):
    initial = store.initial_weights(FREE)
    record = store.read(FREE, FREE.level("50"))
    own, other = (
        {y.layer: y.values for y in ladder.measure(store, "A-F5a", RUNGS[words], "50")}
        for words in ("free", "new initial weights")
    )
    where = FREE.architecture.weight_slices()["conv2"]
    for replica in (0, 7, 24):
        kept = record.masks[replica, where]
        final = record.weights[replica, where][kept]
        for found, init in ((own, replica // 5), (other, (replica // 5 + 1) % 5)):
            assert found["conv2"][replica] == pytest.approx(spearmanr(initial[init, where][kept], final)[0])


@pytest.mark.parametrize("figure", ["A-F4a", "A-F4b"])
def test_weights_that_tickets_of_different_initialisations_share_and_leave_out(store, figure):
    """Five tickets at a time, one of each initialisation, against sets and a draw of such tickets."""
    masks = store.read(FREE, FREE.level("50")).masks
    where = FREE.architecture.weight_slices()["conv2"]
    n, kept = where.stop - where.start, int(masks[0, where].sum())

    def share(sets):
        found = set.intersection(*sets) if figure == "A-F4a" else set(range(n)) - set.union(*sets)
        return 100 * len(found) / (kept if figure == "A-F4a" else n)

    layer = next(y for y in ladder.measure(store, figure, RUNGS["new initial weights"], "50") if y.layer == "conv2")
    expected = [share([set(np.flatnonzero(masks[5 * init + run, where])) for init in range(5)]) for run in range(5)]
    np.testing.assert_allclose(layer.values, expected)
    rng = np.random.default_rng(0)
    drawn = [share([set(rng.permutation(n)[:kept]) for _ in range(5)]) for _ in range(300)]
    assert layer.expected == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / 300**0.5)
    assert [layer.low, layer.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=np.std(drawn))


def test_the_initialisations_that_a_value_belongs_to(store):
    """A correlation is one initialisation's; across them its weights are held against the next one's."""
    own = np.repeat(np.arange(5), 5)
    for words, other in (("free", own), ("new initial weights", (own + 1) % 5)):
        (layer, *_) = ladder.measure(store, "A-F5a", RUNGS[words], "50")
        np.testing.assert_array_equal(ladder._inits(store, layer, RUNGS[words]), [own, other])
        (layer, *_) = ladder.measure(store, "A-F4a", RUNGS[words], "50")
        np.testing.assert_array_equal(ladder._inits(store, layer, RUNGS[words]), [np.arange(5), np.arange(5)])


def test_rungs_that_cannot_be_told_apart_are_named():
    def fit(words, distance, low, high):
        return ladder.Fit(RUNGS[words], "50", {"conv1": distance}, distance, low, high)

    free, partial, fixed = fit("free", 3, 2, 4), fit("partial", 5, 3.9, 6), fit("fixed", 9, np.nan, np.nan)
    missing = ladder.Fit(RUNGS["order shared for 1 %"], "50", {}, np.nan, np.nan, np.nan, (Lack("x"),))
    assert ladder.best([missing, fixed, partial, free]) == (free, [partial])
    apart = dataclasses.replace(partial, low=4.1)
    assert ladder.best([apart, free, fixed]) == (free, [])
    one, other = (dataclasses.replace(fit, low=np.nan, high=np.nan) for fit in (free, partial))
    assert ladder.best([other, one]) == (one, [other])  # of one initialisation each
    assert ladder.best([one, apart]) == (one, [])
    equal = dataclasses.replace(partial, distance=free.distance)
    assert ladder.nearest([fixed, missing, free, partial]) == ([free], [partial])
    assert ladder.nearest([equal, fixed, free, partial]) == ([equal, free], [partial])
    with pytest.raises(Missing, match="x"):
        ladder.best([missing])
    with pytest.raises(UserError, match="found is empty"):
        ladder.best([])


def test_whose_outputs_are_closer(tmp_path):
    """Outputs with a part common to an initialisation are closer within, and the other way round for the distance."""
    store = made_store(tmp_path, FREE, levels=2)
    level = FREE.level("50")
    record = store.read(FREE, level)
    common = np.random.default_rng(5).normal(size=(5, *record.logits.shape[1:])).repeat(5, axis=0)
    logits = (record.logits + common).astype(np.float32)
    logits[3] = 1.0  # one that says the same of every image
    for measure, dead in (("CKA", True), ("L2", False)):
        change(store, FREE, level, logits=logits)
        gaps = {gap.experiment: gap for gap in ladder.output_gaps(store, NETWORK, ["50"], measure)}
        assert set(gaps) == {f"{NETWORK}/{rung}" for rung in ("free", "shared-1", "shared-10", "shared-50", "partial")}
        matrix = np.array(ladder.evidence.output_matrix(store, FREE.name, "50", measure))
        pairs = [(a, b) for a, b in itertools.combinations(range(25), 2) if not (dead and 3 in (a, b))]
        within = np.mean([matrix[a, b] for a, b in pairs if a // 5 == b // 5])
        across = np.mean([matrix[a, b] for a, b in pairs if a // 5 != b // 5])
        gap = gaps[FREE.name]
        assert gap.gap == pytest.approx((within - across) * (-1 if measure == "L2" else 1))
        assert 0 < gap.low <= gap.gap <= gap.high
        assert gaps[PARTIAL.name].missing == (Lack(PARTIAL.name),) and np.isnan(gaps[PARTIAL.name].gap)


def test_networks_and_figures_that_are_not_there(store):
    with pytest.raises(UserError, match="network is 'a/nothing'"):
        ladder.rungs("a/nothing")
    with pytest.raises(UserError, match="key is 'A-F6'"):
        ladder.measure(store, "A-F6", RUNGS["free"], "50")
    assert [rung.words for rung in ladder.rungs("a/cifar-lenet")] == ["new initial weights", "free", "partial"]
    assert ladder.unspecified("a/cifar-lenet")[-1] == "fixed" and ladder.unspecified(NETWORK) == []
    # Where no ticket is free, different initialisations of others are new initial weights.
    assert ladder.rungs("a/fashion-equal")[0] == ladder.Rung(ladder.NEW, "a/fashion-equal/partial", True)
    with pytest.raises(UserError, match="of the same name with 'a/fashion-equal'"):
        ladder.rungs("a/cifar-resnet19", "a/fashion-equal")
    assert ladder.own_rung("A-F3a") == ladder.own_rung("A-F4b") == "free" and ladder.own_rung("A-F12a") == "partial"


@pytest.mark.parametrize("key", ["A-F3a", "A-F4a", "A-F5a"])
def test_new_initial_weights_need_two_initialisations(tmp_path, key):
    """Of one alone, the next one would be itself."""
    one = made_store(tmp_path, FREE.first(1), levels=2)
    for rung in RUNGS.values():
        if rung.across:
            with pytest.raises(Missing, match="a/fashion-lenet/free beyond 1 of the 5 initialisations"):
                ladder.measure(one, key, rung, "50")
        elif rung.experiment == FREE.name:
            assert ladder.measure(one, key, rung, "50")
