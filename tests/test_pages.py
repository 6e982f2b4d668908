"""Blocks of a chapter: figures with their captions, claims, provenance, and what stands where tickets are missing."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from made import CORRECT, PROVENANCE, made_store
from scipy.stats import spearmanr

from lib import (
    build,
    claims,
    evidence,
    ladder,
    notebook,
    pages,
    pages_a,
    pages_ladder,
    paper_a,
    scoring,
    similarity,
    sources,
)
from lib.claims import Lack
from lib.errors import UserError
from lib.experiments import EXPERIMENTS, find
from lib.files import sealed
from lib.paper_a import CIFAR, FASHION
from lib.tickets import Store

EXPERIMENT = find(FASHION)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return made_store(tmp_path_factory.getbasetemp() / "independent", EXPERIMENT)


class Levels(NamedTuple):
    """What `show_levels` was given."""

    draw: Callable
    labels: dict
    selected: str
    name: str
    caption: str
    alt: str
    origin: list
    choice: str = "Weights pruned"
    view: notebook.View | None = None


@pytest.fixture
def shown(monkeypatch):
    """What a chapter would show: figures as (draw, name, caption, alt, origin), texts as strings."""
    found = []
    for module in (pages_a, pages_ladder):
        monkeypatch.setattr(module, "show", lambda *parts: found.append(parts))
    for module in (pages_a, pages_ladder):
        monkeypatch.setattr(module, "show_levels", lambda *parts, **view: found.append(Levels(*parts, **view)))
    for module in (pages_a, pages_ladder):
        monkeypatch.setattr(module, "markdown", found.append)
    for module in (pages, pages_a, pages_ladder):
        monkeypatch.setattr(module, "table", lambda *parts: found.append(parts))
    return found


def mean_overlap(store, level, layer, within=True):
    masks = store.read(EXPERIMENT, EXPERIMENT.level(level)).masks[:, EXPERIMENT.architecture.weight_slices()[layer]]
    pairs = [(a, b) for a, b in itertools.combinations(range(25), 2) if (a // 5 == b // 5) == within]
    return np.mean([100 * (masks[a] & masks[b]).sum() / masks[a].sum() for a, b in pairs])


def test_an_overlap_panel_quotes_what_was_measured(store, shown):
    pages_a.overlap_panel(store, paper_a.PANELS["A-F3a"], "80", "fig-x", "the paper's Figure 3a", key="A-F3a")
    (panel,) = shown
    assert panel.name == "fig-x" and panel.selected == "80"
    assert list(panel.labels.values()) == ["50 %", "60 %", "80 %, captioned", "90 %, implied", "95 %", "98 %"]
    for level in ("50", "80", "90"):
        figure, said = panel.draw(level)
        assert said.startswith(f"Means of 50 pairs at {level} % pruned: ") and len(figure.axes) == 5
        for layer in ("conv1", "conv2", "dense1", "dense2", "output"):
            assert f"{layer} {mean_overlap(store, level, layer):.1f} % (chance {100 - int(level):.1f} %)" in said
    assert "; the paper's Figure 3a: LeNet on Fashion-MNIST, batch order free. A row is a layer" in panel.caption
    assert "two tickets of one initialisation" in panel.caption and "one of 50 pairs" in panel.caption
    assert "Orange: what the paper's text says" in panel.caption
    assert [source.words for source in panel.origin] == ["trained here", "quoted from the paper"]
    assert panel.origin[0].detail.startswith(f"`{FASHION}` (")


def test_an_overlap_panel_of_some_layers_across_initialisations(store, shown):
    panel = paper_a.PANELS["A-F2-1"]
    pages_a.overlap_panel(store, panel, "50", "fig-x", "the paper's Figure 2", "output,conv1")
    figure, said = shown[0].draw("50")
    assert len(figure.axes) == 2
    assert "two tickets of different initialisations" in shown[0].caption and "one of 250 pairs" in shown[0].caption
    assert "Orange" not in shown[0].caption
    assert "Means of 250 pairs" in said and "dense1" not in said
    assert f"conv1 {mean_overlap(store, '50', 'conv1', within=False):.1f} % (chance 50.0 %)" in said
    pages_a.overlap_panel(store, panel, "50", "fig-x", "x", "conv9")
    with pytest.raises(UserError, match="layers names 'conv9'"):
        shown[1].draw("50")


def test_a_correlation_panel_quotes_the_extremes(store, shown):
    readings = paper_a.panels_at("A-F5a", {"one reading": 0.6})
    pages_a.correlation_panel(store, "A-F5a", "60", "fig-x", "what", "conv1,dense2", "magnitude", "all", readings)
    (panel,) = shown
    assert panel.labels["60"] == "60 %, one reading" and panel.labels["80"] == "80 %"
    assert "Ranked: magnitudes of all weights (pruned ones end as zero)." in panel.caption
    initial = store.initial_weights(EXPERIMENT).repeat(5, axis=0)
    record = store.read(EXPERIMENT, EXPERIMENT.level("60"))
    figure, said = panel.draw("60")
    assert len(figure.axes) == 2
    for layer in ("conv1", "dense2"):
        where = EXPERIMENT.architecture.weight_slices()[layer]
        values = [
            spearmanr(abs(initial[r, where]), abs(np.where(record.masks[r, where], record.weights[r, where], 0)))[0]
            for r in range(25)
        ]
        assert f"{layer} {min(values):.2f} to {max(values):.2f}" in said


def test_briefs_say_what_the_figures_below_them_show(store, shown):
    pages_a.share_brief(store, FASHION, pages_a.SHARED)
    pages_a.correlation_brief(store, paper_a.PANELS["A-F5a"])
    shares, correlations = shown
    where = EXPERIMENT.architecture.weight_slices()
    masks = store.read(EXPERIMENT, EXPERIMENT.level("50")).masks
    by_layer = [
        [masks[5 * i : 5 * i + 5, w].all(axis=0).sum() / masks[0, w].sum() for i in range(5)] for w in where.values()
    ]
    assert f": {100 * np.mean(by_layer):.1f} % at 50 % pruned (chance 6.2 %); " in shares
    initial, record = (
        store.initial_weights(EXPERIMENT).repeat(5, axis=0),
        store.read(EXPERIMENT, EXPERIMENT.level("80")),
    )
    means = {}
    for layer, w in where.items():
        kept = record.masks[:, w]
        pairs = [(initial[r, w][kept[r]], record.weights[r, w][kept[r]]) for r in range(25)]
        means[layer] = np.mean([spearmanr(*pair)[0] for pair in pairs])
    least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    assert f"from {means[least]:.2f} (`{least}`) to {means[most]:.2f} (`{most}`) at 80 % pruned" in correlations


def test_a_share_panel_has_all_levels_and_each(store, shown):
    pages_a.share_panel(store, FASHION, pages_a.SHARED, "fig-x", "Figure 4a", "output")
    (panel,) = shown
    assert list(panel.labels) == ["all", "50", "60", "80", "90", "95", "98"] and panel.selected == "all"
    masks = store.read(EXPERIMENT, EXPERIMENT.level("60")).masks[:, EXPERIMENT.architecture.weight_slices()["output"]]
    values = [100 * masks[5 * i : 5 * i + 5].all(axis=0).sum() / masks[0].sum() for i in range(5)]
    figure, said = panel.draw("60")
    (axes,) = figure.axes
    (dots,) = [c for c in axes.collections if len(c.get_offsets()) == 5]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], values)
    assert said == f"Means at 60 % pruned: output {np.mean(values):.1f} % (chance 2.6 %)."
    assert f"output {np.mean(values):.1f} % (chance" not in panel.draw("all")[1]  # names the first and the last level
    assert len(panel.draw("all")[0].axes[0].get_xticklabels()) == 6


def test_panels_of_tickets_of_one_initialisation(tmp_path, shown):
    """It has pairs of its own, none across, and nothing to average over."""
    one = made_store(tmp_path, EXPERIMENT.first(1), levels=2)
    pages_a.overlap_panel(one, paper_a.PANELS["A-F2-1"], "50", "fig-x", "the paper's Figure 2")
    pages_a.overlap_panel(one, paper_a.PANELS["A-F3a"], "50", "fig-x", "the paper's Figure 3a")
    pages_a.share_panel(one, FASHION, pages_a.SHARED, "fig-x", "Figure 4a")
    across, within, share = shown
    assert f"This panel needs tickets of `{FASHION}` beyond 1 of the 5 initialisations" in across
    assert across.startswith(":::{admonition} The paper's Figure 2, LeNet on Fashion-MNIST: too few are trained")
    assert f"`python -m lib train {FASHION}` trains them" in across
    assert "one of 10 pairs" in within.caption and within.draw("50")[1].startswith("Means of 10 pairs")
    assert "a marker is a layer, of one initialisation; one level" in share.caption
    for level in ("all", "50"):
        assert "nan" not in share.draw(level)[1]
    shown.clear()
    few = Lack(FASHION, beyond="1 of the 5 initialisations")
    pages_ladder._name_missing({"new initial weights": [few]}, [])
    assert "not trained yet: new initial weights beyond 1 of the 5 initialisations. To" in shown[0]
    assert f"To train them: `python -m lib train {FASHION}`." in shown[0]
    pages_ladder._name_missing({"free": [Lack(FASHION, "98 %")], "partial": [Lack("a/fashion-lenet/partial")]}, [])
    assert "not trained yet: free at 98 %, partial. To train them: " in shown[1]
    assert pages_ladder._hatched([]) == ""
    assert pages_ladder._hatched([few]) == "Hatched: one initialisation alone where two are needed. "
    assert pages_ladder._hatched([few, Lack(FASHION)]).startswith("Hatched: not trained yet, or one initialisation")


@pytest.mark.parametrize("measure", evidence.MEASURES)
def test_a_similarity_panel_has_all_levels_and_each(store, shown, measure):
    pages_a.similarity_panel(store, FASHION, measure, "fig-x", "Figure 6")
    (panel,) = shown
    assert list(panel.labels)[:3] == ["all", "dense", "50"] and panel.labels["dense"] == "dense"
    outputs = store.read(EXPERIMENT, EXPERIMENT.level("50")).logits.astype(float)
    if measure != "CKA":
        outputs = similarity.softmax(outputs)
    matrix = similarity.l2(outputs) if measure == "L2" else similarity.cka(outputs)
    same = np.arange(25)[:, None] // 5 == np.arange(25) // 5
    within, across = matrix[same & ~np.eye(25, dtype=bool)].mean(), matrix[~same].mean()
    figure, said = panel.draw("50")
    pairs = "of 50 pairs within an initialisation", "of 250 across"
    assert said == f"Means at 50 %: {within:.3f} {pairs[0]}, {across:.3f} {pairs[1]}."
    drawn = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), np.eye(25, dtype=bool))
    np.testing.assert_allclose(drawn.compressed(), matrix[~np.eye(25, dtype=bool)])
    assert f"50 %: {within:.3f} and {across:.3f}" in panel.draw("all")[1]


def test_the_ladder_of_a_figure_names_what_fits_and_what_is_missing(store, shown):
    """In a store of independent tickets the paper's first step fits both rungs that are there."""
    readings = paper_a.PANELS["A-F8a"].levels
    pages_ladder.ladder_figure(store, "A-F8a", "a/fashion-lenet", readings, "fig-x")
    pages_ladder.ladder_table(store, "A-F8a", "a/fashion-lenet", readings, "tab-x")
    (draw, _, caption, _, _), sentence, (header, rows, _, _, _), missing = shown
    grid = np.ma.filled(draw().axes[0].images[0].get_array(), np.nan)
    fits = {f.rung.words: f for f in ladder.fits(store, "A-F8a", "a/fashion-lenet", ["50"])}
    np.testing.assert_allclose(grid[:, 0], [f.distance for f in fits.values()])
    assert np.isfinite(grid).all(axis=1).tolist() == [True, True, False, False, False, False, False]
    first = min((fits["new initial weights"], fits["free"]), key=lambda f: f.distance)
    assert f"Nearest: {first.rung.words} at 50 % pruned ({first.distance:.3g})." in caption
    assert "dashed those not told apart from it" in caption
    styles = [patch.get_linestyle() for patch in draw().axes[0].patches if round(patch.get_x()) == 0]
    assert len(styles) == 2 and styles.count("solid") == 1  # the nearest, and the other
    assert f"nearest to tickets of **{first.rung.words}**" in sentence and "not told apart" in sentence
    assert header[3:] == list(EXPERIMENT.architecture.weight_slices()) and len(rows) == 2
    for row, words in zip(rows, ("new initial weights", "free"), strict=True):
        assert words in row[1] and row[2].startswith(f"{fits[words].distance:.3g} (")
        assert row[3:] == [f"{d:.3g}" for d in fits[words].by_layer.values()]
    assert "not trained yet: order shared for 1 %," in missing and missing.count("python -m lib train") == 5


def test_a_figure_on_every_rung(store, shown):
    for key, level in (("A-F8a", "50"), ("A-F5a", "90"), ("A-F4a-F", "50"), ("A-F4b", "60")):
        pages_ladder.ladder_strips(store, key, "a/fashion-lenet", level, "fig-x")
        panel = shown.pop()
        assert panel.labels == {"new initial weights": "new initial weights", "free": "free (the paper's)"}
        assert panel.selected == "free" and f"at {level} % pruned" in panel.caption
        for words in panel.labels:
            rung = next(r for r in ladder.rungs("a/fashion-lenet") if r.words == words)
            figure, said = panel.draw(words)
            values = {y.layer: y.values for y in ladder.measure(store, key, rung, level)}
            assert len(figure.axes) == len(values)
            means = ", ".join(f"{layer} {v.mean():.3g}" for layer, v in values.items()) + "."
            # On new initial weights no dot is of one initialisation alone.
            what = {
                "A-F8a": "pair across",
                "A-F5a": "next initialisation",
                "A-F4a-F": "one of each",
                "A-F4b": "one of each",
            }
            assert what[key] in said.partition(means)[2] if rung.across else said.endswith(means)


def test_a_pair_of_two_initialisations_has_the_shade_of_the_first(store, shown):
    pages_a.overlap_panel(store, dataclasses.replace(paper_a.PANELS["A-F8a"], within=False), "50", "fig-x", "figure")
    assert "its shade tells the lower-numbered of its two initialisations" in shown.pop().caption
    assert all((y.first < y.second).all() for y in evidence.overlaps(store, FASHION, "50", within=False))
    pages_a.overlap_panel(store, paper_a.PANELS["A-F8a"], "50", "fig-x", "figure")
    assert "its shade and height tell the initialisation" in shown.pop().caption


def test_a_figure_of_all_levels_on_every_rung(store, shown):
    pages_ladder.ladder_strips(store, "A-F4a-F", "a/fashion-lenet", "all", "fig-x")
    (panel,) = shown
    assert "at all levels" in panel.caption and "orange" in panel.caption
    assert "with one standard deviation over initialisations." in panel.caption
    figure, said = panel.draw("free")
    (axes,) = figure.axes
    assert len(axes.get_xticklabels()) == 6 and len(axes.patches) == 10  # five layers at each of two levels
    values = evidence.shared(store, FASHION, "60")
    assert f"at 60 % {', '.join(f'{y.layer} {y.values.mean():.3g}' for y in values)};" in said


def test_the_effect_of_settings_is_measured_or_missing(store, tmp_path, shown, monkeypatch):
    pages_a.sensitivity_table(store, "tab-x")
    sentence, (_, rows, *_), missing = shown
    assert "not known" in sentence and len(rows) == 6 and missing.count("`a/fashion-lenet/") >= 4
    assert [row[1] for row in rows] == ["chance", "as in this book (Adam, 0.0012)"] * 3
    shown.clear()
    both = tmp_path / "both"
    made_store(both, EXPERIMENT, levels=4)
    fast = find("a/fashion-lenet/fast")
    made_store(both, fast, planted=0.5)
    pages_a.sensitivity_table(Store(both), "tab-x")
    sentence, (_, rows, *_), missing = shown
    own, other = (evidence.overlaps(Store(both), n, "80") for n in (FASHION, fast.name))
    most = max((y.values.mean() - x.values.mean() for x, y in zip(own, other, strict=True)), key=abs)
    assert (
        f"At 80 % pruned the mean overlap of a layer changes with a higher learning rate by up to {most:+.1f}"
        in sentence
    )
    least = min(y.values.mean() - y.expected for y in other)
    assert f"at least {least:.1f} points above chance" in sentence
    assert len(rows) == 9 and rows[-1][1] == "a higher learning rate (Adam, 0.0036)"
    assert "fast" not in missing and "a/fashion-lenet/sgd" in missing
    assert "learning rate that" not in sentence
    shown.clear()
    made_store(both, find("a/fashion-lenet/slow"), planted=0.8)
    pages_a.sensitivity_table(Store(both), "tab-x")
    names = ("a/fashion-lenet/slow", FASHION, fast.name)
    ordered = [
        a.values.mean() > b.values.mean() > c.values.mean()
        for level in ("50", "60", "80")
        for a, b, c in zip(*(evidence.overlaps(Store(both), n, level) for n in names), strict=True)
    ]
    assert f"In {sum(ordered)} of 15 layers and levels tickets share the more, the lower the learning rate" in shown[0]


def test_the_overlaps_of_every_level(store, shown):
    pages_a.excess_table(store, FASHION, "tab-x")
    ((header, rows, _, caption, _),) = shown
    assert len(rows) == 6 * 5 and "of the 50 pairs" in caption and len(header) == len(rows[0])
    assert rows[0][3].startswith(f"{mean_overlap(store, '50', 'conv1'):.1f} (")


def test_how_alike_tickets_are_by_what_their_runs_share(tmp_path, shown):
    for number, (name, planted) in enumerate({"free": 0.0, "shared-10": 0.9}.items()):
        store = made_store(tmp_path, find(f"a/fashion-lenet/{name}"), number, planted, levels=2)
        pages_ladder.order_brief(store, "a/fashion-lenet", "50")
    (said,) = shown  # of one rung alone nothing
    _, free, _, share, way = map(float, re.findall(r"([\d.]+) %", said))  # the level; the order shared for 10 %
    for name, value in (("free", free), ("shared-10", share)):
        masks = evidence.part(store, f"a/fashion-lenet/{name}", "50", "masks")
        means = []
        for where in find(FASHION).architecture.weight_slices().values():
            one = masks[:, where].astype(float)
            pairs = [one[i] @ one[j] / one[i].sum() for i in range(25) for j in range(i) if i // 5 == j // 5]
            means.append(100 * np.mean(pairs))
        assert value == pytest.approx(np.mean(means), abs=0.05)
    assert way == pytest.approx(100 * (share - free) / (100 - free), abs=1) and way > 20


def test_the_ladder_of_outputs(store, shown):
    pages_ladder.ladder_outputs(store, "a/fashion-lenet", "L2", "tab-x")
    (header, rows, _, caption, _), missing = shown
    assert header == ["pruned", "free"] and len(rows) == 6 + 2
    levels = [row[0].removesuffix(" %") for row in rows[:6]]
    gaps = [g for g in ladder.output_gaps(store, "a/fashion-lenet", levels, "L2") if not g.missing]
    assert [row[1] for row in rows[:6]] == [f"{g.gap:+.3f}<br>({g.low:+.3f} to {g.high:+.3f})" for g in gaps]
    assert rows[6][1] == f"{sum(g.gap < 0 for g in gaps)} of 6" and "distance turned round" in caption
    assert "partial" in missing


def test_a_ladder_without_tickets_says_what_it_lacks(tmp_path, shown):
    nothing = Store(tmp_path / "nothing")
    pages_ladder.ladder_figure(nothing, "A-F8a", "a/fashion-lenet", {}, "fig-x")
    pages_ladder.ladder_strips(nothing, "A-F8a", "a/fashion-lenet", "50", "fig-x")
    pages_ladder.ladder_table(nothing, "A-F8a", "a/fashion-lenet", {"first step, 50 %": "50"}, "tab-x")
    pages_ladder.ladder_gains(nothing, "a/fashion-lenet", "tab-x")
    pages_ladder.ladder_outputs(nothing, "a/fashion-lenet", "CKA", "tab-x")
    pages_ladder.ladder_violins(nothing, "a/fashion-lenet", "CKA", "fig-x", "6")
    # Once for each figure, with which its distances are missing too.
    assert len(shown) == 2 and all(f"python -m lib train {FASHION}" in block for block in shown)


def test_a_rung_that_is_trained_alone_is_not_called_the_nearest(tmp_path, shown):
    alone = made_store(tmp_path / "alone", find("a/fashion-lenet/partial"), levels=2)
    readings = {"first step, 50 %": "50"}
    pages_ladder.ladder_figure(alone, "A-F8a", "a/fashion-lenet", readings, "fig-x")
    pages_ladder.ladder_table(alone, "A-F8a", "a/fashion-lenet", readings, "tab-x")
    figure, sentence, (_, rows, _, _, _), missing = shown
    assert f"python -m lib train {FASHION}" in figure
    assert "*partial*, the only rung that is trained" in sentence and "lie nearest" not in sentence
    assert [row[1] for row in rows] == ["partial"] and FASHION in missing


def test_rungs_of_one_initialisation_each_are_not_told_apart_for_want_of_an_interval(tmp_path, shown):
    for name, planted in ((FASHION, 0.2), ("a/fashion-lenet/partial", 0.6)):
        one = made_store(tmp_path, find(name).first(1), planted=planted, levels=2)
    pages_ladder.ladder_table(one, "A-F8a", "a/fashion-lenet", {"first step, 50 %": "50"}, "tab-x")
    assert re.search(r"not told apart: \*\w+\*, all of one initialisation, which has no interval\.", shown[0])


def test_every_reading_of_a_rank_correlation(store, shown):
    pages_a.ranking_table(store, FASHION, "90", "tab-x")
    ((header, rows, _, _, _),) = shown
    assert len(header) == 7 and [row[0] for row in rows] == list(EXPERIMENT.architecture.weight_slices())
    where = EXPERIMENT.architecture.weight_slices()["conv2"]
    initial = store.initial_weights(EXPERIMENT).repeat(5, axis=0)[:, where]
    record = store.read(EXPERIMENT, EXPERIMENT.level("90"))
    masks, final = record.masks[:, where], record.weights[:, where]
    readings = [
        [spearmanr(change(i[m]), change(f[m]))[0] for i, f, m in zip(initial, final, masks, strict=True)]
        for change in (np.asarray, np.abs)
    ] + [
        [spearmanr(change(i), change(np.where(m, f, 0)))[0] for i, f, m in zip(initial, final, masks, strict=True)]
        for change in (np.asarray, np.abs)
    ]
    row = rows[1]
    for cell, values in zip((row[1], row[2], row[4], row[5]), readings, strict=True):
        assert cell.startswith(f"{np.mean(values):.2f} (")
    assert (row[3], row[6]) == (f"{1 / np.sqrt(240 - 1):.3f}", f"{1 / np.sqrt(2400 - 1):.3f}")


def test_an_interval_is_of_initialisations_not_of_values():
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 50) + np.tile(np.linspace(-0.1, 0.1, 50), 4)
    init = np.arange(200) // 50
    mean, low, high = map(float, re.fullmatch(r"(.+) \((.+) to (.+)\)", pages.mean_interval(values, init, 3)).groups())
    drawn = np.random.default_rng(0).integers(1, 5, (4000, 4)).mean(axis=1)
    assert mean == 2.5 and (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.15)
    assert pages.mean_interval(values, 0 * init, 1) == "2.5"


def test_an_accuracy_panel_quotes_the_means(store, shown):
    pages_a.accuracy_panel(store, FASHION, "fig-x", "the paper's Figure 1b")
    ((_, _, caption, alt, _, view),) = shown
    assert view.tickets == "LeNet on Fashion-MNIST, batch order free"
    for level, correct in CORRECT.items():
        # Replica r has `correct` + r of 10,000 right; the mean of r is 12.
        words = f"{(correct + 12) / 100:.2f} % {'dense' if level == 'dense' else f'at {level} %'}"
        assert words in caption and words in alt
    assert "all 25 runs" in caption


def test_panels_of_missing_tickets_name_the_experiment_and_the_command(tmp_path, shown):
    nothing = Store(tmp_path / "nothing")
    pages_a.overlap_panel(nothing, paper_a.PANELS["A-F3b"], "90", "fig-x", "the paper's Figure 3b")
    pages_a.accuracy_panel(nothing, FASHION, "fig-x", "the paper's Figure 1b")
    part = made_store(tmp_path / "part", EXPERIMENT, levels=2)
    pages_a.overlap_panel(part, paper_a.PANELS["A-F3a"], "80", "fig-x", "the paper's Figure 3a")
    assert len(shown) == 3 and all(isinstance(block, str) for block in shown)
    for block, title, needs in zip(
        shown,
        (
            "The paper's Figure 3b, LeNet on CIFAR-10",
            "The paper's Figure 1b, LeNet on Fashion-MNIST",
            "The paper's Figure 3a, LeNet on Fashion-MNIST",
        ),
        (Lack(CIFAR), Lack(FASHION), Lack(FASHION, "80 %")),
        strict=True,
    ):
        assert block.startswith(f":::{{admonition}} {title}: not trained yet\n:class: note missing-panel\n")
        assert block.endswith("\n:::\n")
        assert f"needs tickets of `{needs.experiment}`{needs.detail}. `python -m lib train {needs.experiment}`" in block
    none = pages.missing_panel("Figure 6", [Lack(FASHION, "99.9 %", such="whose outputs depend on the image")])
    assert none.startswith(":::{admonition} Figure 6: nothing to show\n") and "python -m lib train" not in none
    assert f"tickets of `{FASHION}` at 99.9 % whose outputs depend on the image: there are none." in none


def test_an_experiment_without_a_specification_says_so():
    assert "its specification is not in `lib.experiments` yet" in pages.how_to_train("a/nothing/free")
    assert pages.how_to_train(FASHION) == f"`python -m lib train {FASHION}` trains them."


def test_provenance_holds_what_the_manifest_and_the_files_hold(store):
    block = pages.provenance(store, [FASHION])
    folder = store.root / FASHION
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = re.findall(r"^\| (\S+)(?: %)? \| `(\S+)` \| ([\d,]+) \| `([0-9a-f]{16})…` \|$", block, re.MULTILINE)
    assert [row[0] for row in rows] == ["dense", "50", "60", "80", "90", "95", "98"]
    for level, file, size, digest in rows:
        content = (folder / file).read_bytes()
        assert int(size.replace(",", "")) == len(content)
        assert hashlib.sha256(content).hexdigest().startswith(digest)
        assert manifest["levels"][level]["file"] == file
    assert f"`{EXPERIMENT.fingerprint()}`" in block
    assert f"`python -m lib train {FASHION}`" in block
    assert "5 initialisations x 5 runs" in block
    # Seven levels of 90 seconds are 10.5 minutes.
    assert " in 10 min x 2 processes on a pretended machine, Python" in block
    assert "Python 3.0, torch 2.0, NumPy 1.0" in block
    assert f"SHA-256 `{PROVENANCE['data']['sha256'][:16]}…`" in block and "60,000 for training, 10,000 for" in block
    assert manifest["levels"]["dense"]["finished"][:10] in block
    assert "not trained yet" not in block
    assert block.startswith(":::{dropdown}") and block.endswith("\n:::\n") and block.count(":::") == 2


def test_provenance_names_the_precision_and_trains_with_it_again(tmp_path):
    store = made_store(tmp_path, EXPERIMENT, levels=1)
    path = store.folder(EXPERIMENT) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["levels"]["dense"]["precision"] = "bf16"
    path.write_bytes(sealed(manifest))
    block = pages.provenance(store, [FASHION])
    assert "2 processes on a pretended machine, in bf16, Python 3.0" in block
    assert f"`python -m lib train {FASHION} --precision bf16`" in block


def test_provenance_names_what_is_not_there(tmp_path):
    part = made_store(tmp_path, EXPERIMENT, levels=3)
    block = pages.provenance(part, [FASHION, "a/nothing/free"])
    assert "Levels not trained yet: 80, 90, 95, 98. " in block
    assert "**`a/nothing/free`**: not trained." in block
    assert block.count("…` |") == 3


def test_the_claims_of_a_section_are_counted_and_all_there(store):
    scored = scoring.score("A", "Appendix A", store)
    block = pages.claims_block(scored)
    first, _, rest = block.partition(".\n\n")
    total, counts = re.fullmatch(r"(\d+) entries of the ledger: (.*)", first).groups()
    numbers = {verdict: int(n) for n, verdict in re.findall(r"(\d+) ([a-z ]+)", counts)}
    assert int(total) == len(scored) == sum(numbers.values())
    for verdict in claims.Verdict:
        badges = rest.count(f'">{verdict}</span>')
        assert badges == numbers.get(str(verdict), 0) == sum(s.verdict == verdict for s in scored)
    for s in scored:
        assert f'id="claim-{s.claim.id}"' in rest


def test_the_ledger_has_a_heading_for_each_section_and_each_claim_once(tmp_path):
    scored = scoring.score_all(store=Store(tmp_path))
    page = pages.ledger(scored)
    sections = list(dict.fromkeys((c.paper, c.section) for c in claims.load().values()))
    assert re.findall(r"^### (\w) (.+)$", page, re.MULTILINE) == sections
    assert re.findall(r"^## Paper (\w)$", page, re.MULTILINE) == ["A", "B"]
    assert re.findall(r'id="claim-([^"]+)"', page) == list(claims.load())


def test_the_state_of_the_ledger_adds_up(store):
    scored = scoring.score_all(store=store)
    text = pages.state_of_the_ledger(store, scored)
    assert f"The ledger has {len(scored)} entries" in text
    nothing = int(re.search(r"(\d+) of them claim nothing", text)[1])
    rest = int(re.search(r"Of the other (\d+)", text)[1])
    badges = [int(n) for n in re.findall(r'(\d+) <span class="verdict', text)]
    assert nothing + rest == len(scored) and sum(badges) == rest


def test_the_landing_page_cuts_no_check_in_its_middle():
    checks = ["above chance (29 of 30, by layer)", "below random (d = -7.26, p = 8.8e-51)", "equal"]
    words = ", ".join(checks)
    more = ", and more"
    starts = [", ".join(checks[:n]) + more for n in (1, 2)]
    for most in range(len(words)):
        said = pages._whole_checks(words, most)
        assert said == max((s for s in starts if len(s) - len(more) <= most), key=len, default=starts[0])
    assert pages._whole_checks(words, len(words)) == words
    assert pages._whole_checks(checks[0], 5) == checks[0]


def test_every_experiment_is_listed_as_trained_or_with_the_command_that_trains_it(store, shown):
    pages.trained_table(store)
    ((header, rows, name, _, (origin,)),) = shown
    assert name == sources.TRAINED_TABLE and len(header) == 4
    assert [row[0] for row in rows] == [f"`{e}`" for e in EXPERIMENTS]
    (fashion,) = (row for row in rows if row[0] == f"`{FASHION}`")
    assert fashion[1:3] == [25, 6] and " min x 2 processes on a pretended machine" in fashion[3]
    assert (origin.kind, origin.detail) == ("trained", "")
    assert f"* 25 networks x 6 pruned levels: `{FASHION}`" in pages._trained_words(store)
    trained = {f"`{e.name}`" for e in store.experiments()}
    for row in rows:
        if row[0] not in trained:
            assert row[2:] == ["–", f"missing: `python -m lib train {row[0].strip('`')}`"]


def test_the_first_trials_of_an_experiment_are_listed_as_such(tmp_path, shown):
    part = find("a/fashion-lenet/sgd").first(2)
    store = made_store(tmp_path, part)
    pages.trained_table(store)
    (row,) = (row for row in shown[0][1] if row[0] == f"`{part.name}`")
    assert row[1:3] == ["4 of 10", 3] and row[3].startswith("2 of the 5 initialisations, ")
    assert pages._trained_words(store) == f"Trained so far:\n\n* 4 of 10 networks x 3 pruned levels: `{part.name}`"


def test_nothing_is_trained_in_an_empty_store(tmp_path, shown):
    pages.trained_table(Store(tmp_path))
    assert all("missing: " in row[3] for row in shown[0][1]) and shown[0][4] == [sources.SPECIFIED]
    assert pages._trained_words(Store(tmp_path)) == "Trained so far: nothing yet."


def test_the_readme_says_the_state_of_the_ledger():
    text = (build.ROOT / "README.md").read_text(encoding="utf-8")
    assert pages.readme(text)[0] == text, "python -m lib readme brings it up to date"


def test_what_is_listed_to_be_trained_on_a_gpu_is_what_is_not_whole():
    """The commands of 'How to re-run' name what can be trained and is not: nothing more, nothing less."""
    text = (
        (Path(__file__).parents[1] / "book" / "re-run.md")
        .read_text()
        .partition("### On a CUDA GPU")[2]
        .partition("python -m lib import")[0]
    )
    listed = set(re.findall(r"\b[ab]/[a-z0-9/-]+", text))
    store, had = Store(), {"fashion-mnist", "mnist", "cifar10", "cifar100-super10", "mnist-photo"}
    wanting = {e.name for e in EXPERIMENTS.values() if e.dataset in had and not is_whole(store, e.name)}
    assert listed == wanting


def is_whole(store, name):
    return not store.trials(name) and len(store.finished(store.find(name))) == len(find(name).levels)
