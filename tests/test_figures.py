"""Figures: what is drawn is what was given."""

import contextlib
import dataclasses
import io
import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made import TINY, made_store
from matplotlib.collections import PatchCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from PIL import Image

from lib import claims, evidence, figures, kernels, notebook, paper_a
from lib.evidence import LayerOverlap
from lib.experiments import EXPERIMENTS, find
from lib.patterns import Statistic
from lib.topology import Match

DESIGNS = [(5, 5), (2, 3), (1, 2)]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def layer(name="conv1", inits=5, runs=5, across=False, low=7.0, high=33.0, seed=0):
    i, j = np.triu_indices(inits * runs, 1)
    chosen = (i // runs != j // runs) == across
    i, j = i[chosen] // runs, j[chosen] // runs
    values = np.random.default_rng(seed).uniform(low, high, len(i))
    return LayerOverlap(name, 150, 30, values, i, j, 20.0, 6.67, 33.33)


def dots(axes):
    return [c for c in axes.collections if isinstance(c, PathCollection)]


@pytest.mark.parametrize(
    ("inits", "runs", "across"), [(5, 5, False), (5, 5, True), (2, 3, False), (2, 1, True), (1, 2, False)]
)
def test_every_pair_is_a_dot_at_its_overlap(inits, runs, across):
    layers = [layer(name, inits, runs, across, seed=n) for n, name in enumerate(("conv1", "output"))]
    figure = figures.overlap_strips(layers)
    assert len(figure.axes) == 2
    for axes, given in zip(figure.axes, layers, strict=True):
        (points,) = dots(axes)
        offsets = np.asarray(points.get_offsets())
        np.testing.assert_array_equal(offsets[:, 0], given.values)
        low, high = axes.get_ylim()
        assert ((offsets[:, 1] > max(low, 0)) & (offsets[:, 1] < min(high, 1))).all()
        assert len({(x, y) for x, y in offsets.tolist()}) == len(given.values)
        # One shade an initialisation.
        colours = [to_hex(c) for c in points.get_facecolors()]
        assert len({(c, i) for c, i in zip(colours, given.first.tolist(), strict=True)}) == len(set(given.first))
        assert len(set(colours)) == len(set(given.first.tolist()))


def test_pairs_of_one_initialisation_lie_in_one_band():
    given = layer()
    (points,) = dots(figures.overlap_strips([given]).axes[0])
    heights = np.asarray(points.get_offsets())[:, 1]
    bands = [(heights[given.first == i].min(), heights[given.first == i].max()) for i in range(5)]
    assert all(below[1] < above[0] for below, above in itertools.pairwise(bands))


def lines(axes, colour):
    return [y for y in axes.lines if to_hex(y.get_color()) == colour]


def test_the_dashed_line_stands_at_the_expected_overlap_and_the_bar_where_the_paper_says():
    given = [layer("conv1"), layer("conv2"), layer("dense1")]
    figure = figures.overlap_strips(given, {"conv1": (5.0, 15.0), "conv2": (10.0, 10.0)})
    for axes in figure.axes:
        (expected,) = [y for y in lines(axes, figures.INK) if y.get_linestyle() != "-"]
        assert list(expected.get_xdata()) == [20.0, 20.0]
    (bar,) = lines(figure.axes[0], figures.PAPER)
    assert list(bar.get_xdata()) == [5.0, 15.0]
    value = lines(figure.axes[1], figures.PAPER)
    assert {x for line in value for x in line.get_xdata()} == {10.0}
    assert any(line.get_marker() not in ("", "None", None) for line in value)
    assert lines(figure.axes[2], figures.PAPER) == []
    assert "paper's text" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "paper's text" not in [t.get_text() for t in figures.overlap_strips(given).legends[0].get_texts()]


@pytest.mark.parametrize(("low", "high"), [(7, 33), (99.5, 100), (100, 100), (0, 0), (20, 20)])
def test_nothing_measured_or_claimed_lies_outside_of_the_axis(low, high):
    given = [layer(low=low, high=high)]
    figure = figures.overlap_strips(given, {"conv1": (3.0, 60.0)})
    left, right = figure.axes[0].get_xlim()
    assert left <= min(low, 3.0) and right >= max(high, 60.0)
    assert left <= given[0].expected <= right


def test_the_grey_distribution_is_centred_on_the_expected_overlap():
    (grey,) = [c for c in figures.overlap_strips([layer()]).axes[0].collections if isinstance(c, PolyCollection)]
    x, y = grey.get_paths()[0].vertices.T
    assert y.max() == pytest.approx(1)
    assert abs(x[y.argmax()] - 20) <= 100 / 30  # the mode of 30 of 150: within one weight of the mean


def test_overlaps_of_real_masks_can_be_drawn(tmp_path, monkeypatch):
    small = dataclasses.replace(find(paper_a.FASHION), name="test/one", architecture=TINY, inits=1, runs=2)
    monkeypatch.setitem(EXPERIMENTS, small.name, small)
    store = made_store(tmp_path, small)
    figure = figures.overlap_strips(evidence.overlaps(store, small.name, "98"))
    assert [len(dots(axes)[0].get_offsets()) for axes in figure.axes] == [1, 1, 1, 1]
    figure = figures.accuracy_lines(evidence.accuracies(store, small.name))
    assert len(drawn(figure)) == 3


def drawn(figure):
    return [line for line in figure.axes[0].lines if len(line.get_xdata())]


@pytest.mark.parametrize(("inits", "runs"), DESIGNS)
def test_one_line_a_run_and_the_mean(inits, runs):
    rng = np.random.default_rng(0)
    given = {name: rng.uniform(80, 90, (inits, runs)) for name in ("dense", "50", "99.9")}
    figure = figures.accuracy_lines(given)
    *single, mean = drawn(figure)
    assert len(single) == inits * runs
    found = sorted(tuple(line.get_ydata()) for line in single)
    assert found == sorted(tuple(v[i, r] for v in given.values()) for i in range(inits) for r in range(runs))
    by_hand = [sum(v.flat) / (inits * runs) for v in given.values()]
    np.testing.assert_allclose(mean.get_ydata(), by_hand)
    assert [t.get_text() for t in figure.axes[0].texts] == [f"{value:.1f}" for value in by_hand]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["dense", "50", "99.9"]
    assert len({to_hex(line.get_color()) for line in single}) == inits
    labels = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert labels == [*(str(i + 1) for i in range(inits)), "mean"]


def test_exact_simulated_and_printed_values_stand_where_they_were_given():
    exact = np.array([[90.0, 100.0, 112.0], [5.0, 8.0, 12.0], [0.0, 0.2, 0.0]])
    simulated = np.random.default_rng(0).normal([[100], [8], [0.2]], [[5], [2], [0.01]], (3, 200))
    printed = {"equation 3": np.array([99.0, -7.0, 0.5]), "equation 5": np.array([1.0, 2.0, 3.0])}
    figure = figures.baseline_comparison(["50", "90", "98"], exact, simulated, printed, "weights")
    (axes,) = figure.axes
    (bars,) = [c for c in axes.containers if hasattr(c, "has_yerr")]
    data, _, (segments,) = bars.lines
    np.testing.assert_array_equal(data.get_ydata(), exact[:, 1])
    for (_, low), (_, high) in [segments.get_segments()[0], segments.get_segments()[1]]:
        assert [low, high] in exact[:, [0, 2]].tolist()
    # Where the mean lies above its interval the bar ends at the mean, it does not point upwards.
    (_, low), (_, high) = segments.get_segments()[2]
    assert (low, high) == (0.0, 0.2)
    for label, values in printed.items():
        (marks,) = [line for line in axes.lines if line.get_label() == label]
        np.testing.assert_array_equal(marks.get_ydata(), values)
        assert marks.get_linestyle() == "None"
    bodies = [c for c in axes.collections if isinstance(c, PolyCollection)]
    assert len(bodies) == 3
    for body, values in zip(bodies, simulated, strict=True):
        heights = body.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((values.min(), values.max()))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["50", "90", "98"]


def test_a_simulation_that_never_varies_can_be_drawn():
    figure = figures.baseline_comparison(["98"], np.zeros((1, 3)), np.zeros((1, 50)), {"printed": np.zeros(1)}, "y")
    figure.canvas.draw()


def made_scored():
    ledger = [c for c in claims.load().values() if c.section in ("2", "3.1", "Appendix A") and c.paper == "A"]
    verdicts = list(claims.Verdict)
    return [claims.Scored(c, verdicts[n * n % len(verdicts)], "", "", "") for n, c in enumerate(ledger)]


def test_bars_of_verdicts_add_up():
    scored = made_scored()
    figure = figures.verdict_bars(scored)
    (axes,) = figure.axes
    sections = [t.get_text() for t in axes.get_yticklabels()]
    assert sections == ["A  2", "A  3.1", "A  Appendix A"]
    found = {}
    for container in axes.containers:
        verdict = container.get_label().rsplit(" (", 1)[0]
        for row, patch in enumerate(container.patches):
            found[sections[row], verdict] = patch.get_width()
        assert container.get_label() == f"{verdict} ({sum(p.get_width() for p in container.patches):.0f})"
    for section in sections:
        for verdict in claims.Verdict:
            own = [s for s in scored if f"A  {s.claim.section}" == section and s.verdict == verdict]
            assert found.get((section, str(verdict)), 0) == (0 if verdict == "not a claim" else len(own))
    # Segments of a bar lie side by side, and every number stands in its own.
    for row in range(len(sections)):
        patches = [c.patches[row] for c in axes.containers]
        ends = np.cumsum([0, *(p.get_width() for p in patches)])
        np.testing.assert_allclose([p.get_x() for p in patches], ends[:-1])
    numbers = sum(int(text.get_text()) for text in axes.texts)
    assert numbers == sum(s.verdict != "not a claim" for s in scored)


def test_every_verdict_has_a_colour():
    assert set(figures.VERDICTS) == {str(v) for v in claims.Verdict}
    assert len(set(figures.VERDICTS.values())) == len(figures.VERDICTS)


@pytest.mark.parametrize(("inits", "runs"), DESIGNS)
def test_the_diagram_says_the_design(inits, runs):
    experiment = dataclasses.replace(find(paper_a.FASHION), inits=inits, runs=runs)
    texts = [t.get_text() for t in figures.setup_diagram(experiment).axes[0].texts]
    assert sum(f"ticket {runs}" == t for t in texts) == 2
    assert f"initial weights\nseed {inits}" in texts
    assert any("50, 60, 80, 90, 95, 98 %" in t for t in texts)
    assert any("44,190 weights" in t for t in texts)
    assert any(f"{runs} runs" in t for t in texts)


def test_figures_are_the_same_twice():
    def drawing():
        figure = figures.overlap_strips([layer()])
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba()).copy()

    np.testing.assert_array_equal(drawing(), drawing())


def test_every_ticket_is_a_dot_at_its_correlation():
    rng = np.random.default_rng(0)
    rows = [
        evidence.LayerCorrelation(name, 150, 30, rng.uniform(-0.5, 0.9, 25), np.arange(25) // 5, 1 / np.sqrt(29))
        for name in ("conv1", "output")
    ]
    figure = figures.correlation_strips(rows, {"conv1": (-0.4, 0.2)})
    for axes, row in zip(figure.axes, rows, strict=True):
        (points,) = dots(axes)
        np.testing.assert_array_equal(np.asarray(points.get_offsets())[:, 0], row.values)
        low, high = axes.get_xlim()
        assert low < row.values.min() and row.values.max() < high
    (bar,) = [line for line in figure.axes[0].lines if list(line.get_xdata()) == [-0.4, 0.2]]
    assert to_hex(bar.get_color()) == figures.PAPER


def test_shares_stand_at_their_means_over_what_chance_gives():
    rows = {
        level: [evidence.LayerShare(name, np.array([a, a + 2.0]), 5.0, 3.0, 8.0) for a, name in ((10, "x"), (20, "y"))]
        for level in ("50", "60")
    }
    axes = figures.share_by_level(rows, "share (%)").axes[0]
    assert [bar.lines[0].get_ydata().tolist() for bar in axes.containers] == [[11.0, 11.0], [21.0, 21.0]]
    (chance,) = [c for c in axes.collections if isinstance(c, PatchCollection)]
    places = np.sort(np.concatenate([bar.lines[0].get_xdata() for bar in axes.containers]))
    boxes = [path.get_extents() for path in chance.get_paths()]
    np.testing.assert_allclose(np.sort([(box.x0 + box.x1) / 2 for box in boxes]), places)
    assert {(box.y0, box.y1) for box in boxes} == {(3.0, 8.0)}
    assert [t.get_text() for t in axes.get_xticklabels()] == ["50", "60"]
    assert not axes.patches
    axes = figures.share_by_level(rows, "share (%)", {"60": {"y": (2.0, 3.0)}, "50": {}}).axes[0]
    (box,) = axes.patches
    assert (box.get_y(), box.get_height()) == (2.0, 1.0) and to_hex(box.get_edgecolor()) == figures.PAPER
    assert box.get_x() < axes.containers[1].lines[0].get_xdata()[1] < box.get_x() + box.get_width()
    assert "paper's text" in [text.get_text() for text in axes.figure.legends[0].get_texts()]
    figure = figures.share_strips(rows["50"], "share (%)", {"x": (7.0, 7.0)})
    assert any(list(line.get_xdata()) == [7.0, 7.0] for line in figure.axes[0].lines)


def test_violins_have_their_medians():
    rng = np.random.default_rng(0)
    within, across = ({level: rng.uniform(0.8, 1, n) for level in ("dense", "50")} for n in (50, 250))
    axes = figures.similarity_violins(within, across, "CKA").axes[0]
    drawn = sorted(
        float(path[0, 1]) for c in axes.collections if hasattr(c, "get_segments") for path in c.get_segments()
    )
    expected = sorted(float(np.median(v)) for v in (*within.values(), *across.values()))
    np.testing.assert_allclose(drawn, expected)
    for equal in (0.0, 1.5):  # outside of the values, so that the axis has to reach it
        axes = figures.similarity_violins(within, across, "CKA", equal=equal).axes[0]
        (line,) = [y for y in axes.lines if y.get_color() == figures.PAPER]
        assert set(line.get_ydata()) == {equal} and axes.get_ylim()[0] <= equal <= axes.get_ylim()[1]


def sign_groups():
    rng = np.random.default_rng(0)
    return {
        name: rng.choice([-1, 0, 1], (2, 8, 3, 3, 3), p=(0.1, 0.7, 0.2)).astype(np.int8) for name in ("random", "other")
    }


def test_bars_of_filters_are_percentages_over_what_chance_gives():
    given = {k: (kernels.filter_histogram(v), kernels.expected_filter_histogram(v)) for k, v in sign_groups().items()}
    figure = figures.filter_bars(given)
    for axes, (name, (counts, expected)) in zip(figure.axes, given.items(), strict=True):
        assert axes.get_ylabel() == name
        np.testing.assert_allclose([patch.get_height() for patch in axes.patches], 100 * counts / 16)
        (grey,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
        assert grey.get_paths()[0].vertices[:, 1].max() == pytest.approx(100 * expected.max() / 16)


def test_maps_of_positions_hold_their_counts():
    given = {k: (kernels.position_counts(v), (v != 0).sum() / 27) for k, v in sign_groups().items()}
    axes = [a for a in figures.position_maps(given, ["red", "green", "blue"]).axes if tiles(a)]
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["red", "green", "blue"]
    assert [a.get_ylabel() for a in axes] == ["random", "other"]
    most = max(abs(100 * counts / expected - 100).max() for counts, expected in given.values())
    for own, (counts, expected) in zip(axes, given.values(), strict=True):
        texts = {text.get_position(): text.get_text() for text in own.texts}
        for (shown, x, y), values in zip(tiles(own), counts, strict=True):
            np.testing.assert_allclose(shown, 100 * values / expected - 100)
            for row, column in np.ndindex(3, 3):
                assert texts[x + column + 0.5, y + row + 0.5] == str(values[row, column])
        assert own.collections[0].get_clim() == pytest.approx((-most, most))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reference", [1, -1])
def test_maps_of_pairs_are_relative_to_chance(reference):
    given = {
        k: (kernels.together(v, reference, 1), kernels.expected_together(v, reference, 1))
        for k, v in sign_groups().items()
    }
    maps = [tile for axes in figures.pair_maps(given, reference).axes for tile in tiles(axes)]
    marks = [mark for axes in figures.pair_maps(given, reference).axes for mark in squares(axes)]
    assert len(maps) == len(marks) == 18
    pairs = [(counts[at], expected[at], at) for counts, expected in given.values() for at in np.ndindex(3, 3)]
    for (shown, x, y), (left, top, colour), (counts, expected, at) in zip(maps, marks, pairs, strict=True):
        for place in np.ndindex(3, 3):
            assert shown[place] == pytest.approx(0 if place == at else 100 * counts[place] / expected[place] - 100)
        assert (top - y, left - x) == at
        assert colour == figures.SIGNS[reference]


def tiles(axes):
    """The 3 x 3 maps of a mosaic, left to right and down, each with its upper left corner."""
    (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh) and c.get_array().ndim == 2] or [None]
    if mesh is None or axes.get_aspect() != 1:  # a colour bar
        return []
    values, corners = np.ma.filled(mesh.get_array(), np.nan), mesh.get_coordinates()
    starts = itertools.product(range(0, values.shape[0], 4), range(0, values.shape[1], 4))
    found = [(values[r : r + 3, c : c + 3], *corners[r, c]) for r, c in starts]
    return [tile for tile in found if not np.isnan(tile[0]).all()]


def squares(axes):
    return [
        (*path.vertices[0], to_hex(collection.get_facecolor()[0]))
        for collection in axes.collections
        if isinstance(collection, PatchCollection)
        for path in collection.get_paths()
    ]


def test_patterns_stand_under_their_counts():
    given = {}
    for (name, signs), most in zip(sign_groups().items(), (9, 4), strict=True):
        found, counts = kernels.frequent_patterns(signs, 2, most)
        given[name] = (found, counts, [kernels.expected_pattern_count(signs, pattern) for pattern in found])
    figure = figures.pattern_grid(given)
    maps = [(axes, tile) for axes in figure.axes for tile in tiles(axes)]
    rows = [row for found, counts, chance in given.values() for row in zip(found, counts, chance, strict=True)]
    assert len(maps) == len(rows) > 9
    for (axes, (shown, x, y)), (pattern, count, chance) in zip(maps, rows, strict=True):
        np.testing.assert_array_equal(shown, pattern)
        (text,) = [t for t in axes.texts if t.get_position()[0] == x + 1.5 and y - 1 < t.get_position()[1] < y]
        assert text.get_text() == f"{count} ({'<0.1' if chance < 0.05 else format(chance, '.1f')})"
        signs = np.concatenate([points.get_offsets() for points in dots(axes)])
        inside = ((signs > (x, y)) & (signs < (x + 3, y + 3))).all(axis=1)
        assert inside.sum() == np.count_nonzero(pattern) == 2


def test_distances_are_drawn_by_condition_in_every_panel():
    rng = np.random.default_rng(0)
    categories = {"WTs_CIFAR": "WTs", "mixed_CIFAR": "mixed", "random": "random"}
    panels = {metric: {name: rng.random(7) for name in categories} for metric in ("NNSTD", "NNSTD±", "conv1")}
    figure = figures.distance_strips(panels, categories)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == list(panels)
    for axes, values in zip(shown, panels.values(), strict=True):
        dots = [points.get_offsets()[:, 0] for points in axes.collections]
        for found, expected in zip(dots, values.values(), strict=True):
            np.testing.assert_allclose(found, expected)
        assert axes.lines[0].get_xdata()[0] == values["random"].mean()
    for axes in shown[::2]:  # the first column names the rows of both
        assert [label.get_text() for label in axes.get_yticklabels()] == list(categories)
    assert not figures.dots(figure, figures.rendered(figure, 200)[1])


def test_distances_have_the_names_of_their_pairs_and_the_paper_s_marks():
    categories = {"WTs_CIFAR": "WTs", "WTs_SVHN": "WTs", "random": "random"}
    panels = {metric: {"WTs_CIFAR": np.array([0.8, 0.9]), "random": np.array([0.91, 0.93])} for metric in ("a", "b")}
    pairs = {"WTs_CIFAR": ["tickets 1 and 2", "tickets 1 and 3"], "random": ["random tickets 1 and 2", "x"]}
    paper = {"a": {"WTs_CIFAR": 0.87, "WTs_SVHN": 0.85}}
    figure = figures.distance_strips(panels, categories, True, pairs, paper)
    found = figures.dots(figure, figures.rendered(figure, 200)[1])
    assert [dots.row for dots in found] == ["a, WTs_CIFAR", "a, random", "b, WTs_CIFAR", "b, random"]
    for dots, (name, values) in zip(found, [*panels["a"].items(), *panels["b"].items()], strict=True):
        assert dots.names == pairs[name]
        np.testing.assert_array_equal(dots.values, values)
    marks = {
        axes.get_title(loc="left"): [(m.get_xdata()[0], m.get_ydata()[0]) for m in lines(axes, figures.PAPER)]
        for axes in figure.axes
    }
    assert marks == {"a": [(0.87, 0), (0.85, 1)], "b": []}  # of SVHN there is what the paper says, and nothing else


@pytest.mark.parametrize("narrow", [False, True])
def test_statistics_stand_over_what_random_tickets_give(narrow):
    def statistic(value):
        return Statistic(value, 2.4, 2.2, 2.6, 2.5, 2.9)

    panels = {"filters": {"random": statistic(2.5), "CIFAR": statistic(3.0)}, "signs": {"random": statistic(1.0)}}
    paper = {"filters": {"random": 2.35, "SVHN": 3.45}}
    with figures.narrow() if narrow else contextlib.nullcontext():
        figure = figures.statistic_strips(panels, paper, ["random", "CIFAR", "SVHN"], "signs")
    filters, signs = figure.axes
    assert filters.get_title(loc="left") == "filters" and signs.get_title(loc="left") == "signs"
    assert [label.get_text() for label in filters.get_yticklabels()] == ["random", "CIFAR", "SVHN"]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in lines(filters, figures.PAPER)] == [(2.35, 0), (3.45, 2)]
    own = [(m.get_xdata()[0], m.get_ydata()[0]) for m in filters.lines if m.get_marker() == "o"]
    assert own == [(2.5, 0), (3.0, 1)]
    assert not [m for m in filters.lines if m.get_marker() == "|"]
    (control,) = [m for m in signs.lines if m.get_marker() == "|"]
    np.testing.assert_array_equal(control.get_data(), [(2.5, 2.9), (0, 0)])
    (band,) = filters.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((2.2, 0.4))


def test_a_match_is_framed_where_its_units_meet():
    costs = np.array([[0.5, 0.0], [0.25, 1.0]])
    figure = figures.match_maps({"NNSTD": [Match("hidden", costs, np.array([1, 0]))]})
    (axes,) = figure.axes
    assert [(round(p.get_x() + 0.46), round(p.get_y() + 0.46)) for p in axes.patches] == [(1, 0), (0, 1)]
    assert [text.get_text() for text in axes.texts] == ["0.50", "0.00", "0.25", "1.00"]
    assert axes.get_title() == "NNSTD, hidden: 0.125"


def test_accuracies_by_round_show_the_dense_network_and_random_tickets():
    accuracy = {"dense": np.array([70.0, 72.0]), "round-1": np.array([71.0, 73.0]), "round-2": np.array([69.0, 70.0])}
    axes = figures.accuracy_by_round(accuracy, np.array([60.0, 61.0])).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), [71.0, 72.0, 69.5])
    assert axes.lines[3].get_ydata()[0] == 71.0
    figure = axes.figure
    found = figures.dots(figure, figures.rendered(figure, 200)[1])
    assert [(d.row, d.values.tolist()) for d in found] == [
        ("dense network", [70.0, 72.0]),
        ("round 1", [71.0, 73.0]),
        ("round 2", [69.0, 70.0]),
        ("random ticket", [60.0, 61.0]),
    ]
    assert all(d.names == ["trial 1", "trial 2"] and d.unit == " %" for d in found)
    alone = figures.accuracy_by_round(accuracy, None)
    assert len(figures.dots(alone, figures.rendered(alone, 200)[1])) == 3


def test_a_pattern_that_chance_hardly_gives_says_so():
    given = {"a": (np.ones((3, 3, 3), np.int8), np.array([3, 2, 1]), [0.004, 0.05, 12.3])}
    texts = [text.get_text() for text in figures.pattern_grid(given).axes[0].texts]
    assert texts == ["3 (<0.1)", "2 (0.1)", "1 (12)"]


@pytest.mark.parametrize("narrow", [False, True])
def test_the_places_of_dots_are_where_the_picture_has_them(narrow):
    """The picture is searched for the colour of a dot: where the place says, it is."""
    given = [dataclasses.replace(layer(name, seed=n), runs=runs_of(layer())) for n, name in enumerate("ab")]
    with figures.narrow() if narrow else contextlib.nullcontext():
        figure = figures.overlap_strips(given)
    frame = figures.rendered(figure, 200)[1]
    found = figures.dots(figure, frame)
    assert [dots.row for dots in found] == ["a", "b"]
    colours = [np.asarray(points.get_facecolors()) for axes in figure.axes for points in dots(axes)]
    with Image.open(io.BytesIO(notebook.png(figure))) as image:
        picture = np.asarray(image.convert("RGB"), dtype=float) / 255
    for row, own, values in zip(found, colours, given, strict=True):
        np.testing.assert_array_equal(row.values, values.values)
        assert row.names[0] == "initialisation 1, runs 1 and 2" and row.names[-1] == "initialisation 5, runs 4 and 5"
        hit = 0
        for (x, y), colour in zip(row.places, own, strict=True):
            near = picture[round(2 * y) - 2 : round(2 * y) + 3, round(2 * x) - 2 : round(2 * x) + 3]
            hit += bool((abs(near - colour[:3]).max(axis=2) < 0.02).any())
        assert hit >= 0.9 * len(own)  # some lie below others


def runs_of(given):
    return np.array([pair for _ in range(5) for pair in itertools.combinations(range(5), 2)])[: len(given.values)]


def test_dots_have_the_names_of_their_runs_and_units():
    pair = LayerOverlap("a", 150, 30, np.array([50.0]), np.array([0]), np.array([2]), 20.0, 6, 33, np.array([[3, 1]]))
    figure = figures.overlap_strips([pair])
    (found,) = figures.dots(figure, figures.rendered(figure, 200)[1])
    assert (found.names, found.unit) == (["run 4 of initialisation 1, run 2 of 3"], " %")
    assert (found.chance, found.paper, found.shades) == ((20.0, 6, 33), None, [0])
    init = np.array([0, 0, 1, 1])
    figure = figures.correlation_strips([evidence.LayerCorrelation("a", 150, 30, np.arange(4) / 10, init, 0.2)])
    (found,) = figures.dots(figure, figures.rendered(figure, 200)[1])
    assert found.names == [f"initialisation {i}, run {r}" for i in (1, 2) for r in (1, 2)] and found.unit == ""


def test_accuracies_can_be_pointed_at():
    given = {name: np.random.default_rng(0).uniform(80, 90, (2, 3)) for name in ("dense", "50")}
    figure = figures.accuracy_lines(given)
    found = figures.dots(figure, figures.rendered(figure, 200)[1])
    assert [dots.row for dots in found] == ["dense", "50 % pruned"]
    for dots_, values in zip(found, given.values(), strict=True):
        np.testing.assert_array_equal(dots_.values, values.ravel())
        assert dots_.names == [f"initialisation {i}, run {r}" for i in (1, 2) for r in (1, 2, 3)]
        # Higher is further up.
        assert (np.argsort(-dots_.places[:, 1]) == np.argsort(dots_.values)).all()


def test_all_rungs_that_are_nearest_are_framed():
    distances = np.array([[0.0, 3.0, np.nan], [1.0, 2.0, 5.0], [0.0, np.nan, np.nan]])  # 80 % has one alone
    figure = figures.ladder_grid(
        ["a", "b", "c"], ["50 %", "60 %", "80 %"], distances, "distance", np.zeros((3, 3), bool)
    )
    frames = [patch.get_xy() for patch in figure.axes[0].patches]
    plt.close(figure)
    assert sorted((round(x), round(y)) for x, y in frames) == [(0, 0), (0, 2), (1, 1)]


def test_what_is_not_told_apart_from_the_nearest_is_framed_with_dashes():
    distances = np.array([[0.0, 3.0], [0.1, 2.0], [1.0, np.nan]])
    close = np.array([[False, True], [True, False], [False, False]])
    figure = figures.ladder_grid(["a", "b", "c"], ["50 %", "60 %"], distances, "distance", close)
    frames = {(round(p.get_x()), round(p.get_y())): p.get_linestyle() for p in figure.axes[0].patches}
    plt.close(figure)
    assert {place for place, style in frames.items() if style == "solid"} == {(0, 0), (1, 1)}
    assert {place for place, style in frames.items() if style != "solid"} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("narrow", [False, True])
def test_a_picture_has_the_frame_that_matplotlib_measures(narrow):
    with figures.narrow() if narrow else contextlib.nullcontext():
        figure = figures.overlap_strips([layer(name, seed=n) for n, name in enumerate("ab")])
    pixels, frame = figures.rendered(figure, 200)
    measured = figure.get_tightbbox().padded(0.1)
    np.testing.assert_allclose(frame.get_points(), measured.get_points(), atol=0.05)
    assert pixels.shape == (*np.rint(200 * frame.size[::-1]), 4)
    margin = np.pad(np.zeros(np.subtract(pixels.shape[:2], 36), bool), 18, constant_values=True)
    assert (pixels[margin] == 255).all() and (pixels < 255).any()
    plt.close(figure)


def test_what_lies_outside_of_a_figure_is_in_its_picture():
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.set_axis_off()
    axes.text(1, 0.5, "in", color="#00ff00", transform=axes.transAxes, ha="right")
    axes.text(1, 0.5, "and beyond", color="#ff0000", transform=axes.transAxes)
    pixels, frame = figures.rendered(figure, 200)
    assert frame.x1 > 2.5 and pixels.shape[1] > 490
    assert (pixels[:, 400:, :3] == [255, 0, 0]).all(axis=2).any()
    plt.close(figure)
