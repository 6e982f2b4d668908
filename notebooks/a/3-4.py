# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-4)=
# # A 3.4 What is the effect of constraining randomness?
#
# **In brief.** Up to here each run had a batch order of its own. Now the runs of an initialisation see the same batches in
# the same order, and only noise at the level of rounding is left. The paper says that tickets then overlap more than by
# chance, even across data sets, and are more accurate {cite:p}`grosse2020`. This page holds its Figure 7; the details are
# in {ref}`appendix D <a-appendix-d-1>`.

# %% tags=["parameters"]
experiment: str = "a/cifar-lenet/partial"  # whose tickets Figure 7b shows, and its claims are scored on
level: float = 0.9  # fraction pruned at which Figure 7b is drawn and scored; the paper's caption says 0.9
implied_level: float = 0.95  # a second reading of it: the level whose expected overlap the paper's text gives
layers: str = "all"  # layers of the small networks to draw, with commas between, such as conv1,output

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import evidence, pages, pages_a, pages_ladder, paper_a, scoring, sources
from lib.experiments import find
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-F7b", {"captioned level": level, "implied level": implied_level}, experiment)
scored = scoring.score("A", "3.4", store, panels)

# %% [markdown]
# ## What is fixed
#
# The paper calls its randomness "partially" and "slightly" fixed and does not say what that is. Three things are random in a
# training run: the initial weights, the order of the batches, and the order in which a parallel machine adds numbers up,
# which moves results by rounding errors. In this book *partly fixed* means that the runs of an initialisation share the first
# two. As the kernels here are deterministic, noise of the size of a rounding error, $2^{-23}$ of every gradient, is put in
# on purpose. With nothing left to chance, two runs must give the same mask, bit for bit:

# %%
try:
    rows = [
        [f"{name} %", *(f"{layer.values.min():.0f} %" for layer in evidence.overlaps(store, paper_a.FIXED, name))]
        for name in (v.name for v in find(paper_a.FIXED).levels[1:])
    ]
    table(
        ["pruned", *(layer.name for layer in find(paper_a.FIXED).architecture.layers)],
        rows,
        "tab-a-3-4-fixed",
        f"Overlap of two runs of {pages.network_words(paper_a.FIXED)} with everything fixed, in % of the mask, by level and "
        "layer: 100 % is the same mask.",
        sources.tickets(store, paper_a.FIXED),
    )
except evidence.Missing as missing:
    markdown(pages.missing_panel("Two runs with everything fixed", str(missing)))

# %% [markdown]
# ## Accuracies

# %%
pages_a.accuracy_panel(store, paper_a.FASHION_PARTIAL, "fig-a-7a", "the paper's Figure 7a")

# %%
pages_a.gain_table(store, paper_a.FASHION_PARTIAL, "tab-a-3-4-gain")

# %%
pages_a.accuracy_panel(store, paper_a.CIFAR_PARTIAL, "fig-a-7a-cifar", "the paper's Figure 7a")

# %%
pages_a.gain_table(store, paper_a.CIFAR_PARTIAL, "tab-a-3-4-gain-cifar")

# %%
pages_a.accuracy_panel(store, paper_a.RESNET_PARTIAL, "fig-a-7a-resnet", "the paper's Figure 7a")

# %%
pages_a.gain_table(store, paper_a.RESNET_PARTIAL, "tab-a-3-4-gain-resnet")

# %%
markdown(pages.beside(scored, "A-F7a"))

# %% [markdown]
# Are other tickets on the ladder of randomness ({ref}`section 3.1 <a-3-1>`) more accurate than those with a free batch order?
# The paper gives an order and no numbers, so what is measured is the difference and its sign: first for Fashion-MNIST, then
# for CIFAR-10.

# %%
pages_ladder.ladder_accuracies(store, "a/fashion-lenet", "fig-a-7a-rungs", "7a")

# %%
pages_ladder.ladder_gains(store, "a/fashion-lenet", "tab-a-7a-ladder")

# %%
pages_ladder.ladder_accuracies(store, "a/cifar-lenet", "fig-a-7a-cifar-rungs", "7a")

# %%
pages_ladder.ladder_gains(store, "a/cifar-lenet", "tab-a-7a-cifar-ladder")

# %% [markdown]
# ## Overlaps
#
# The caption of Figure 7b names the fourth pruning step, 90 %. The paper's appendix gives 5 % as the expected overlap of the same
# plot, which is that of 95 % pruned. The numbers are those of Figure 10b and 10c, which show the same;
# {ref}`appendix D.1 <a-appendix-d-1>` has them on the ladder of randomness.

# %%
captioned, _ = panels["A-F7b"].levels.values()
pages_a.overlap_panel(store, panels["A-F7b"], captioned, "fig-a-7b", "the paper's Figure 7b", layers, "A-F10b")

# %%
pages_a.overlap_panel(store, panels["A-F7c"], "90", "fig-a-7c", "the paper's Figure 7c", key="A-F10c")

# %%
markdown(pages.beside(scored, "A-F7b", "A-F7c", "A-F7bc"))

# %% [markdown]
# ## Layers of equal size
#
# Is it the size of a layer that decides how far overlaps scatter? A small layer gives a wide hypergeometric distribution. The
# paper trains a network whose inner layers have nearly the same size; {ref}`appendix D.5 <a-appendix-d-5>` has more, and the
# ladder of randomness.

# %%
pages_a.overlap_panel(store, panels["A-F14b"], "90", "fig-a-7d", "the paper's Figure 7d", key="A-F14b")

# %%
pages_a.spread_table(store, panels["A-F14b"], "95", "tab-a-3-4-equal")

# %%
markdown(pages.beside(scored, "A-F7d"))

# %% [markdown]
# ## Across data sets
#
# Where layers have the same shape, networks for different images start from the same weights too. The paper compares their
# masks; {ref}`appendix D.4 <a-appendix-d-4>` asks what such an overlap comes from.

# %%
pages_a.task_panel(store, panels["A-F7e"], "95", "fig-a-7e", "the paper's Figure 7e", "A-F7e")

# %%
markdown(pages.beside(scored, "A-F7e"))

# %% [markdown]
# On every rung of the ladder of randomness, with MNIST and with CIFAR-10:

# %%
readings = panels["A-F7e"].levels
pages_ladder.ladder_strips(store, "A-F7e", "a/fashion-lenet", "95", "fig-a-7e-mnist-rungs", "a/mnist-lenet")

# %%
pages_ladder.ladder_figure(store, "A-F7e", "a/fashion-lenet", readings, "fig-a-7e-mnist-ladder", "a/mnist-lenet")

# %%
pages_ladder.ladder_table(store, "A-F7e", "a/fashion-lenet", readings, "tab-a-7e-mnist-ladder", "a/mnist-lenet")

# %%
pages_ladder.ladder_strips(store, "A-F7e", "a/fashion-lenet", "95", "fig-a-7e-cifar-rungs", "a/cifar-lenet")

# %%
pages_ladder.ladder_figure(store, "A-F7e", "a/fashion-lenet", readings, "fig-a-7e-cifar-ladder", "a/cifar-lenet")

# %%
pages_ladder.ladder_table(store, "A-F7e", "a/fashion-lenet", readings, "tab-a-7e-cifar-ladder", "a/cifar-lenet")

# %% [markdown]
# ## Rank correlations
#
# Layers of the ResNet are drawn for both ways to count them. On the ladder of randomness they stand in
# {ref}`appendix D.3 <a-appendix-d-3>`.

# %%
pages_a.correlation_panel(store, "A-F7f", "90", "fig-a-7f", "the paper's Figure 7f")

# %%
markdown(pages.beside(scored, "A-F7f"))

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scored))

# %%
used = [experiment, paper_a.FIXED, *paper_a.ALL_PARTIAL, paper_a.MNIST_PARTIAL, paper_a.EQUAL, *paper_a.FREE.values()]
markdown(pages.provenance(store, list(dict.fromkeys(used))))
