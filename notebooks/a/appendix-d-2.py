# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-d-2)=
# # A Appendix D.2: How many overlaps are significant?
#
# **In brief.** The paper calls an overlap significant when it lies outside the central 95 or 99 % of the hypergeometric
# distribution, and finds that nearly all are {cite:p}`grosse2020`. It tests hundreds of pairs and does not say how many would be
# significant by chance. That number is drawn here beside every share.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/partial"  # whose shares the first two figures, the tables and the ladder show
level: str = "all"  # level that those figures show first: all, or the fraction pruned, such as 0.8
repetitions: int = 200  # pairs of masks that are drawn for each layer and level, to check the exact rate

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import evidence, pages, pages_a, pages_ladder, paper_a, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
level = evidence.choose_level(experiment, level)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "Appendix D.2", store)

# %%
pages_a.share_brief(store, experiment, pages_a.significant(0.95))

# %% [markdown]
# ## What chance alone gives
#
# A pair of random masks lies outside a central 95 % interval in at most 5 % of all cases. Overlaps are whole numbers of weights, so
# the rate is less than that, and in a small layer at a high level much less: of 150 weights that keep 3, no overlap is too
# small to be in the interval. The exact rate is the probability that the hypergeometric distribution has outside the interval.
#
# The 50 pairs of a layer share tickets. Of *random* masks, still, the overlaps of two pairs are independent even when the pairs
# have a mask in common, because the second mask of each is drawn anew: so the share of significant pairs has the variance of a
# binomial distribution, grey in the figures. Of trained tickets this need not hold; their intervals come from resampling
# initialisations.

# %%
pages_a.significance_panel(store, experiment, 0.95, "fig-a-11-95", "the paper's Figure 11 at 95 %", level)

# %%
pages_a.significance_panel(store, experiment, 0.99, "fig-a-11-99", "the paper's Figure 11 at 99 %", level)

# %%
pages_a.significance_table(store, experiment, 0.95, repetitions, "tab-a-d-2-rates-95")

# %%
pages_a.significance_table(store, experiment, 0.99, repetitions, "tab-a-d-2-rates-99")

# %% [markdown]
# ## The other networks

# %%
pages_a.significance_panel(store, paper_a.CIFAR_PARTIAL, 0.95, "fig-a-11-cifar-95", "the paper's Figure 11 at 95 %")

# %%
pages_a.significance_panel(store, paper_a.CIFAR_PARTIAL, 0.99, "fig-a-11-cifar-99", "the paper's Figure 11 at 99 %")

# %%
pages_a.significance_panel(store, paper_a.RESNET_PARTIAL, 0.95, "fig-a-11-resnet-95", "the paper's Figure 11 at 95 %")

# %%
pages_a.significance_panel(store, paper_a.RESNET_PARTIAL, 0.99, "fig-a-11-resnet-99", "the paper's Figure 11 at 99 %")

# %% [markdown]
# What the paper's text says of the figure:

# %%
markdown(pages.beside(scored, "A-F11"))

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# The same share on every rung of the ladder of randomness ({ref}`section 3.1 <a-3-1>`), which the paper does not show. Where it is
# as high with a free batch order, significance is no sign of fixed randomness. The distance is that to the paper's "100 % for
# all layers in the first, second and third pruning iteration".

# %%
readings = {f"step that it names, {v} %": v for v in ("50", "60", "80")}
pages_ladder.ladder_strips(store, "A-F11-4", network, "all", "fig-a-11-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F11-4", network, readings, "fig-a-11-ladder")

# %%
pages_ladder.ladder_table(store, "A-F11-4", network, readings, "tab-a-d-2-ladder")

# %% [markdown]
# For CIFAR-10, of which the paper says that "the observations are analogous":

# %%
pages_ladder.ladder_strips(store, "A-F11-4", "a/cifar-lenet", "all", "fig-a-11-cifar-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F11-4", "a/cifar-lenet", readings, "fig-a-11-cifar-ladder")

# %%
pages_ladder.ladder_table(store, "A-F11-4", "a/cifar-lenet", readings, "tab-a-d-2-cifar-ladder")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, *paper_a.ALL_PARTIAL, *paper_a.FREE.values()]))))
