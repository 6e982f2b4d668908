"""NNSTD against the definition with Python sets and all permutations, and the properties of a distance."""

import itertools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lib import topology
from lib.errors import UserError
from lib.models import Architecture, Layer

# A convolution, one behind it, a dense layer behind the flattening (9 pixels a channel), one behind that.  So many
# inputs that several matches of least cost are rare, so few units that all permutations can be tried.
SMALL = Architecture(
    "small",
    (3, 8, 8),
    (
        Layer("conv1", (4, 3, 3, 3)),
        Layer("conv2", (5, 4, 3, 3), padding=1, pool=True),
        Layer("dense1", (5, 45)),
        Layer("output", (3, 5)),
    ),
)
SEEDS = st.integers(0, 2**32 - 1)


def ticket(seed, signed, kept=0.4, architecture=SMALL):
    rng = np.random.default_rng(seed)
    mask = rng.random(architecture.weight_count) < kept
    return np.where(mask, rng.choice([-1, 1], mask.size), 0).astype(np.int8) if signed else mask


def connections(architecture, flat):
    """Return, for every layer and unit, the incoming connections as {(source unit, place in its block): value}."""
    result, start, before = [], 0, None
    for layer in architecture.layers:
        weights = flat[start : start + layer.size].reshape(layer.shape)
        start += layer.size
        units = []
        for unit in weights:
            found = {}
            for index in zip(*np.nonzero(unit), strict=True):
                value = int(unit[index])
                if len(index) == 1 and before is not None and layer.shape[1] != before:
                    pixels = layer.shape[1] // before
                    index = (index[0] // pixels, index[0] % pixels)
                found[tuple(int(i) for i in index)] = value
            units.append(found)
        result.append(units)
        before = layer.shape[0]
    return result


def ned(first, second):
    return Fraction(len(first ^ second), len(first | second)) if first | second else Fraction(0)


def unit_distance(first, second, signed):
    if not signed:
        return ned(set(first), set(second))
    parts = [[{c for c, v in unit.items() if v == sign} for sign in (1, -1)] for unit in (first, second)]
    return (ned(parts[0][0], parts[1][0]) + ned(parts[0][1], parts[1][1])) / 2


def all_matches(costs):
    """Return the least total cost and every permutation that has it."""
    units = range(len(costs))
    totals = {p: sum(costs[u][p[u]] for u in units) for p in itertools.permutations(units)}
    least = min(totals.values())
    return least, [p for p, total in totals.items() if total == least]


def by_definition(architecture, a, b, signed, carry):
    """Return the layer distances, exactly, and for every layer all matches of least cost; the first is carried."""
    distances, matches, source = [], [], None
    for first, second in zip(connections(architecture, a), connections(architecture, b), strict=True):
        if carry and source is not None:
            # Unit source[u] of the second network plays the part of unit u of the first.
            name = {there: here for here, there in enumerate(source)}
            second = [{(name[c[0]], *c[1:]): v for c, v in unit.items()} for unit in second]
        least, best = all_matches([[unit_distance(x, y, signed) for y in second] for x in first])
        distances.append(least / len(first))
        matches.append(best)
        source = best[0]
    return distances, matches


def unique(matches):
    return all(len(best) == 1 for best in matches[:-1])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("carry", [False, True])
@settings(max_examples=25, deadline=None)
@given(a=SEEDS, b=SEEDS, kept=st.sampled_from([0.1, 0.4, 0.8]))
def test_definition_with_sets_and_all_permutations(signed, carry, a, b, kept):
    a, b = ticket(a, signed, kept), ticket(b, signed, kept)
    expected, matches = by_definition(SMALL, a, b, signed, carry)
    # Of several matches of least cost any may be carried, and the layers behind then differ.
    assume(not carry or unique(matches))
    found = topology.matching(SMALL, a, b, carry)
    assert [m.layer for m in found] == [layer.name for layer in SMALL.layers]
    for match, distance, best in zip(found, expected, matches, strict=True):
        assert match.distance == pytest.approx(float(distance), abs=1e-12)
        assert tuple(match.partner) in best
    np.testing.assert_allclose(topology.layer_distances(SMALL, a, b, carry), [float(d) for d in expected], atol=1e-12)
    assert topology.nnstd(SMALL, a, b, carry) == pytest.approx(float(sum(expected) / len(expected)), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    units=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    inputs=st.integers(1, 600),
    kept=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    seed=SEEDS,
)
def test_counts_are_exact_for_any_shape(units, inputs, kept, seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.random((count, inputs)) < kept for count in units)
    found = topology.unit_distances(first, second)
    for i, j in np.ndindex(*units):
        either = (first[i] | second[j]).sum()
        assert found[i, j] == ((first[i] ^ second[j]).sum() / either if either else 0)


@pytest.mark.skipif(topology.compiled_library("topology") is None, reason="needs a C compiler")
@settings(max_examples=25, deadline=None)
@given(a=SEEDS, b=SEEDS, signed=st.booleans(), carry=st.booleans())
def test_the_same_bits_without_a_compiler(a, b, signed, carry):
    a, b = ticket(a, signed), ticket(b, signed)
    compiled = topology.layer_distances(SMALL, a, b, carry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topology, "compiled_library", lambda name: None)
        np.testing.assert_array_equal(topology.layer_distances(SMALL, a, b, carry), compiled)


@pytest.mark.parametrize("compiled", [True, False])
def test_counts_are_exact_where_every_connection_is_kept(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(topology, "compiled_library", lambda name: None)
    full = np.ones((4, 50_000), bool)
    half = full.copy()
    half[:, ::2] = False
    assert (topology.unit_distances(full, full) == 0).all()
    assert (topology.unit_distances(full, half) == 0.5).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("carry", [False, True])
@settings(max_examples=25, deadline=None)
@given(a=SEEDS, b=SEEDS, kept=st.floats(0, 1))
def test_properties_of_a_distance(signed, carry, a, b, kept):
    a, b = ticket(a, signed, kept), ticket(b, signed, kept)
    there, back = (topology.layer_distances(SMALL, *pair, carry) for pair in ((a, b), (b, a)))
    assert ((there >= 0) & (there <= 1)).all()
    assert there[0] == pytest.approx(back[0], abs=1e-12)
    own = topology.layer_distances(SMALL, a, a, carry)
    assert own[0] == 0
    if not carry or unique(by_definition(SMALL, a, b, signed, carry)[1]):
        np.testing.assert_allclose(there, back, atol=1e-12)
    if not carry or unique(by_definition(SMALL, a, a, signed, carry)[1]):
        assert (own == 0).all()


def reordered(architecture, flat, orders):
    """Return the same network with the units of every layer but the last in another order."""
    parts, start = [], 0
    for number, layer in enumerate(architecture.layers):
        weights = flat[start : start + layer.size].reshape(layer.shape)
        start += layer.size
        if number:
            before = orders[number - 1]
            pixels = layer.shape[1] // len(before)
            inputs = [source * pixels + pixel for source in before for pixel in range(pixels)]
            weights = weights[:, inputs]
        if number < len(orders):
            weights = weights[orders[number]]
        parts.append(weights.ravel())
    return np.concatenate(parts)


@pytest.mark.parametrize("signed", [False, True])
@settings(max_examples=25, deadline=None)
@given(a=SEEDS, b=SEEDS, seed=SEEDS)
def test_the_order_of_hidden_units_does_not_matter_when_the_match_is_carried(signed, a, b, seed):
    a, b = ticket(a, signed), ticket(b, signed)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(layer.shape[0]) for layer in SMALL.layers[:-1]]
    expected = topology.layer_distances(SMALL, a, b)
    other = reordered(SMALL, b, orders)
    # The first layer's distance is the same whatever the match; those behind where the match is unique.
    assert topology.layer_distances(SMALL, a, other)[0] == pytest.approx(expected[0], abs=1e-12)
    assume(unique(by_definition(SMALL, a, b, signed, True)[1]))
    np.testing.assert_allclose(topology.layer_distances(SMALL, a, other), expected, atol=1e-12)
    np.testing.assert_allclose(topology.layer_distances(SMALL, other, a), expected, atol=1e-12)


@pytest.mark.parametrize("signed", [False, True])
def test_a_reordered_network_is_at_distance_zero_only_when_the_match_is_carried(signed):
    a = ticket(3, signed)
    assert unique(by_definition(SMALL, a, a, signed, True)[1])
    rng = np.random.default_rng(0)
    orders = [rng.permutation(layer.shape[0]) for layer in SMALL.layers[:-1]]
    b = reordered(SMALL, a, orders)
    assert topology.nnstd(SMALL, a, b) == 0
    assert topology.nnstd(SMALL, a, b, carry=False) > 0
    # The partner of unit u of the first network is the place where it went.
    for match, order in zip(topology.matching(SMALL, a, b), orders, strict=False):
        np.testing.assert_array_equal(order[match.partner], np.arange(len(order)))


def test_empty_units():
    units = np.array([[0, 0, 0], [1, 1, 0]], bool)
    np.testing.assert_array_equal(topology.unit_distances(units, units), [[0, 1], [1, 0]])
    empty = np.zeros(SMALL.weight_count, bool)
    assert topology.nnstd(SMALL, empty, empty) == 0
    np.testing.assert_array_equal(topology.layer_distances(SMALL, empty, ~empty), np.ones(4))


def test_another_sign_is_further_than_a_missing_connection():
    units = np.array([[1, 0], [-1, 0], [0, 0], [1, -1]], np.int8)
    found = topology.unit_distances(units, units)
    np.testing.assert_array_equal(found[0], [0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(found[3], [0.5, 1, 1, 0])
    a = ticket(1, signed=True)
    assert topology.nnstd(SMALL, a != 0, -a != 0) == 0
    for match in topology.matching(SMALL, a, -a, carry=False)[:-1]:
        np.testing.assert_array_equal(np.diag(match.costs), np.ones(len(match.costs)))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("carry", [False, True])
def test_many_pairs_are_the_pairs_one_by_one(signed, carry):
    tickets = np.stack([ticket(seed, signed) for seed in range(5)])
    pairs = np.array([4, 0, 2, 2]), np.array([1, 0, 3, 0])
    found = topology.distances(SMALL, tickets, pairs, carry, quiet=True)
    expected = [topology.layer_distances(SMALL, tickets[i], tickets[j], carry) for i, j in zip(*pairs, strict=True)]
    np.testing.assert_array_equal(found, expected)
    nothing = np.array([], int)
    assert topology.distances(SMALL, tickets, (nothing, nothing), carry, quiet=True).shape == (0, 4)


def test_input_that_cannot_be_used():
    a = ticket(0, False)
    with pytest.raises(UserError, match=r"b has shape \(527,\): it should be \(528,\)"):
        topology.nnstd(SMALL, a, a[:-1])
    with pytest.raises(UserError, match="a is an array of float64: it should be a bool array"):
        topology.nnstd(SMALL, a * 1.0, a)
    with pytest.raises(UserError, match="a is of type list"):
        topology.nnstd(SMALL, a.tolist(), a)
    with pytest.raises(UserError, match="b is of type int8: it should be of the type of a, bool"):
        topology.nnstd(SMALL, a, a.astype(np.int8))
    with pytest.raises(UserError, match="b holds values from 0 to 2"):
        topology.nnstd(SMALL, a.astype(np.int8), a.astype(np.int8) * np.int8(2))
    with pytest.raises(UserError, match="b holds values from -2 to 0"):
        topology.nnstd(SMALL, a.astype(np.int8), a.astype(np.int8) * np.int8(-2))
    with pytest.raises(UserError, match="second is of type bool with 2 inputs"):
        topology.unit_distances(np.ones((2, 3), bool), np.ones((2, 2), bool))
    broken = Architecture("broken", (1, 4, 4), (Layer("conv1", (3, 1, 3, 3)), Layer("dense1", (2, 4))))
    with pytest.raises(UserError, match="the 4 inputs of a unit of dense1 are not whole blocks of the 3 units"):
        topology.nnstd(broken, ticket(0, False, architecture=broken), ticket(0, False, architecture=broken))
    tickets, one = a[None], np.array([0])
    with pytest.raises(UserError, match="tickets has shape"):
        topology.distances(SMALL, a, (one, one))
    with pytest.raises(UserError, match="pairs names rows 1 to 1: tickets has rows 0 to 0"):
        topology.distances(SMALL, tickets, (one, one + 1))
    with pytest.raises(UserError, match="two equally long arrays of whole numbers"):
        topology.distances(SMALL, tickets, (one, one / 2))
    with pytest.raises(UserError, match="two equally long arrays of whole numbers"):
        topology.distances(SMALL, tickets, (one, np.array([0, 0])))


@pytest.mark.parametrize(("disabled", "shown"), [("1", False), ("", True)])
def test_progress_is_shown_unless_the_environment_says_otherwise(disabled, shown):
    code = """
import numpy as np
from lib import topology
from lib.models import lenet
architecture = lenet((1, 28, 28), 'lenet')
masks = np.ones((2, architecture.weight_count), bool)
topology.distances(architecture, masks, ([0], [1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"TQDM_DISABLE": disabled},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("comparing" in done.stderr) == shown


@given(SEEDS)
def test_the_numbers_of_kept_inputs_are_those_counted_and_know_no_order_of_units(seed):
    flat = ticket(seed, signed=False)
    [found] = topology.degrees(SMALL, flat[None])
    counted = [sorted(len(unit) for unit in units) for units in connections(SMALL, flat)]
    assert found.tolist() == list(itertools.chain(*counted))
    rng = np.random.default_rng(seed)
    moved = reordered(SMALL, flat, [rng.permutation(layer.shape[0]) for layer in SMALL.layers[:-1]])
    assert (topology.degrees(SMALL, np.stack([flat, moved])) == found).all()


def test_a_unit_that_keeps_one_input_less_is_another_network():
    flat = ticket(0, signed=False)
    other = flat.copy()
    other[np.flatnonzero(flat)[5]] = False
    first, second = topology.degrees(SMALL, np.stack([flat, other]))
    assert np.abs(first - second).sum() == 1
    with pytest.raises(UserError, match="masks has shape"):
        topology.degrees(SMALL, flat)


def test_sums_and_branches_are_no_chain_even_where_the_sizes_fit():
    layers = (Layer("conv1", (4, 4, 3, 3)), Layer("conv2", (4, 4, 3, 3), add="conv1"))
    masks = np.ones((2, 288), bool)
    assert not topology.is_chain(Architecture("sum", (4, 8, 8), layers))
    with pytest.raises(UserError, match="architecture sum is not a chain: conv2 takes the output of conv1"):
        topology.distances(Architecture("sum", (4, 8, 8), layers), masks, ([0], [1]))
    assert topology.is_chain(SMALL)
