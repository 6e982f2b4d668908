# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-2-3)=
# # A 3.2.3 How much do the initial weights impact winning tickets?
#
# **In brief.** If training left the order of the weights as it was, initial and final weights of a ticket would have a
# rank correlation of one; if it shuffled them, of zero. The paper reports correlations scattered around zero
# {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets panel (a), its table and its ladder show, and are scored
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
panels = paper_a.panels_at("A-F5a", {"captioned level": level, "implied level": implied_level}, experiment)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "3.2.3", store, panels)

# %%
pages_a.correlation_brief(store, panels["A-F5a"])

# %% [markdown]
# The paper does not say which rank correlation it takes, nor over which weights. Here it is Spearman's, of the signed
# weights that survive in a ticket; two parameters of this chapter change that. Were there no relationship, the
# correlation of $t$ weights would scatter around zero with a standard deviation of $1 / \sqrt{t - 1}$: grey in the
# figures, narrow in large layers, wide in small ones.

# %%
panel = panels["A-F5a"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F5a", captioned, "fig-a-5a", "the paper's Figure 5a", layers, of, over, panels)

# %%
markdown(pages.beside(scored, "A-F5a"))

# %% [markdown]
# Weights that survive may keep the sign that they started with, and that alone would make a signed correlation positive.
# The next figure ranks magnitudes instead, which leaves the signs out; the table below it has all four readings, over the
# survivors and over all weights.

# %%
pages_a.correlation_panel(
    store,
    "A-F5a",
    captioned,
    "fig-a-5a-magnitude",
    "as the paper's Figure 5a, of magnitudes",
    layers,
    "magnitude",
    over,
    panels,
)

# %%
pages_a.ranking_table(store, experiment, captioned, "tab-a-3-2-3-readings")

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Other tickets than ours might show what the paper says. The figure on every rung of the ladder of randomness, and the
# distance of each rung, are those that {ref}`section 3.1 <a-3-1>` explains. On the first rung the final weights of a ticket
# are ranked against the initial weights of *another* initialisation.

# %%
pages_ladder.ladder_strips(store, "A-F5a", network, captioned, "fig-a-5a-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F5a", network, panel.levels, "fig-a-5a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F5a", network, panel.levels, "tab-a-5a-ladder")

# %% [markdown]
# With randomness partially fixed the paper reports correlations above 0.65 (its Figure 12a). Which tickets fit those is
# asked in {ref}`appendix D.3 <a-appendix-d-3>`.
#
# ## CIFAR-10

# %%
panel = panels["A-F5b"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F5b", captioned, "fig-a-5b", "the paper's Figure 5b", of=of, over=over)

# %%
markdown(pages.beside(scored, "A-F5b"))

# %%
pages_ladder.ladder_strips(store, "A-F5b", "a/cifar-lenet", captioned, "fig-a-5b-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F5b", "a/cifar-lenet", panel.levels, "fig-a-5b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F5b", "a/cifar-lenet", panel.levels, "tab-a-5b-ladder")

# %% [markdown]
# ## ResNet18 on CIFAR-10

# %%
panel = panels["A-F5c"]
captioned, _ = panel.levels.values()
pages_a.correlation_panel(store, "A-F5c", captioned, "fig-a-5c", "the paper's Figure 5c", of=of, over=over)

# %%
markdown(pages.beside(scored, "A-F5c"))

# %%
pages_ladder.ladder_strips(store, "A-F5c", "a/cifar-resnet18", captioned, "fig-a-5c-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F5c", "a/cifar-resnet18", panel.levels, "fig-a-5c-ladder")

# %%
pages_ladder.ladder_table(store, "A-F5c", "a/cifar-resnet18", panel.levels, "tab-a-5c-ladder")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
