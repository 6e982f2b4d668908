# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-d-3)=
# # A Appendix D.3: Rank correlations with partly fixed randomness
#
# **In brief.** {ref}`Section 3.2.3 <a-3-2-3>` with tickets whose runs share their batch order. The paper finds correlations of
# 0.6 and more for the small networks, but for an outlier, and around 0.1 for the ResNet {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/partial"  # whose tickets panel (a) and its ladder show, and are scored
level: float = 0.8  # fraction pruned at which panel (a) is drawn and scored; the paper's caption says 0.8
implied_level: float = 0.9  # a second reading of it, as in section 3.1
layers: str = "all"  # layers to draw, by name and separated by commas, such as conv1,output
of: str = "signed"  # what is ranked: signed weights, or their magnitude
over: str = "survivors"  # which weights are ranked: the survivors of the ticket, or all (pruned ones count as zero)

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_a, pages_ladder, paper_a, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-F12a", {"captioned level": level, "implied level": implied_level}, experiment)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "Appendix D.3", store, panels)

# %%
pages_a.correlation_brief(store, panels["A-F12a"])

# %% [markdown]
# A rank correlation belongs to one ticket, not to a pair: it says how much of the order of the initial weights a training run
# left as it was. Which batches another run sees has no part in it. So there is no reason why sharing the batch order between runs
# should change it, and the figures of {ref}`section 3.2.3 <a-3-2-3>`, with a free order, are the comparison.

# %%
panel = panels["A-F12a"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F12a", captioned, "fig-a-12a", "the paper's Figure 12a", layers, of, over, panels)

# %%
markdown(pages.beside(scored, "A-F12a"))

# %%
pages_a.correlation_table(store, (paper_a.FASHION, paper_a.FASHION_PARTIAL), captioned, "tab-a-d-3-free")

# %%
pages_a.correlation_panel(
    store,
    "A-F12a",
    captioned,
    "fig-a-12a-magnitude",
    "as the paper's Figure 12a, of magnitudes",
    layers,
    "magnitude",
    over,
    panels,
)

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Other tickets than ours might show what the paper says. The figure on every rung of the ladder of randomness, and the
# distance of each rung, are those that {ref}`section 3.1 <a-3-1>` explains. On the first rung the final weights of a ticket
# are ranked against the initial weights of *another* initialisation.

# %%
pages_ladder.ladder_strips(store, "A-F12a", network, captioned, "fig-a-12a-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F12a", network, panel.levels, "fig-a-12a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F12a", network, panel.levels, "tab-a-d-3-ladder")

# %% [markdown]
# ## CIFAR-10

# %%
panel = panels["A-F12b"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F12b", captioned, "fig-a-12b", "the paper's Figure 12b", of=of, over=over)

# %%
markdown(pages.beside(scored, "A-F12b"))

# %%
pages_ladder.ladder_strips(store, "A-F12b", "a/cifar-lenet", captioned, "fig-a-12b-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F12b", "a/cifar-lenet", panel.levels, "fig-a-12b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F12b", "a/cifar-lenet", panel.levels, "tab-a-d-3-cifar-ladder")

# %% [markdown]
# ## ResNet18 on CIFAR-10

# %%
panel = panels["A-F12c"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F12c", captioned, "fig-a-12c", "the paper's Figure 12c", of=of, over=over)

# %%
markdown(pages.beside(scored, "A-F12c"))

# %%
pages_ladder.ladder_strips(store, "A-F12c", "a/cifar-resnet18", captioned, "fig-a-12c-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F12c", "a/cifar-resnet18", panel.levels, "fig-a-12c-ladder")

# %%
pages_ladder.ladder_table(store, "A-F12c", "a/cifar-resnet18", panel.levels, "tab-a-d-3-resnet-ladder")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, *paper_a.ALL_PARTIAL, *paper_a.FREE.values()]))))
