# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-a)=
# # A Appendix A: Uniqueness of larger tickets
#
# **In brief.** The comparison of {ref}`section 3.1 <a-3-1>` at the first pruning step, where a mask still holds half of
# the weights. The paper finds overlaps around 50 %, as chance has it, with the first layer a little above
# {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets panel (a), its table and its ladder show, and are scored
level: float = 0.5  # fraction pruned at which panel (a) is drawn and scored; the paper takes the first step, 0.5
layers: str = "all"  # layers to draw, by name and separated by commas, such as conv1,output

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
import dataclasses

from lib import baselines, pages, pages_a, pages_ladder, paper_a, scoring
from lib.experiments import find
from lib.notebook import markdown
from lib.pruning import kept_counts
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-F8a", {"first step": level}, experiment)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "Appendix A", store, panels)

# %%
pages_a.overlap_brief(store, panels["A-F8a"])

# %%
architecture, (name,) = find(experiment).architecture, panels["A-F8a"].levels.values()
kept = kept_counts(architecture, find(experiment).level(name))
spread = {
    y.name: 100 * baselines.overlap_variance(y.size, kept[y.name]) ** 0.5 / kept[y.name] for y in architecture.layers
}
first, largest = architecture.layers[0].name, min(spread, key=spread.__getitem__)
markdown(
    f"At this level a mask holds {100 * kept[first] / architecture.layers[0].size:.0f} % of the weights, so that is the expected "
    "overlap of every layer. The spread that chance allows depends on the layer's size alone: its standard deviation is "
    f"{spread[first]:.2g} points in the first layer and {spread[largest]:.2g} in the largest, `{largest}`."
)

# %%
panel = panels["A-F8a"]
pages_a.overlap_panel(store, panel, name, "fig-a-8a", "the paper's Figure 8a", layers, "A-F8a")

# %%
markdown(pages.beside(scored, "A-F8a"))

# %% [markdown]
# Where the overlap exceeds chance, {ref}`section 3.1 <a-3-1>` asks what it comes from. The answer at this level:

# %%
pages_a.origin_table(store, experiment, name, "tab-a-appendix-a-origin")

# %% [markdown]
# The paper's conclusion also says that these overlaps are comparable to those of masks from different initialisations.
# The next figure shows those, at the same level.

# %%
across = dataclasses.replace(panel, within=False)
pages_a.overlap_panel(store, across, name, "fig-a-8a-across", "for comparison with the paper's Figure 8a", layers)

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Other tickets than ours might show what the paper says. The figure on every rung of the ladder of randomness, and the
# distance of each rung, are those that {ref}`section 3.1 <a-3-1>` explains.

# %%
pages_ladder.ladder_strips(store, "A-F8a", network, name, "fig-a-8a-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F8a", network, panel.levels, "fig-a-8a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F8a", network, panel.levels, "tab-a-8a-ladder")

# %% [markdown]
# ## CIFAR-10

# %%
pages_a.overlap_panel(store, panels["A-F8b"], "50", "fig-a-8b", "the paper's Figure 8b", key="A-F8b")

# %%
markdown(pages.beside(scored, "A-F8b"))

# %%
pages_ladder.ladder_strips(store, "A-F8b", "a/cifar-lenet", "50", "fig-a-8b-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F8b", "a/cifar-lenet", panels["A-F8b"].levels, "fig-a-8b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F8b", "a/cifar-lenet", panels["A-F8b"].levels, "tab-a-8b-ladder")

# %% [markdown]
# ## ResNet18 on CIFAR-10

# %%
pages_a.overlap_panel(store, panels["A-F8c"], "50", "fig-a-8c", "the paper's Figure 8c", key="A-F8c")

# %%
markdown(pages.beside(scored, "A-F8c"))

# %%
pages_ladder.ladder_strips(store, "A-F8c", "a/cifar-resnet18", "50", "fig-a-8c-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F8c", "a/cifar-resnet18", panels["A-F8c"].levels, "fig-a-8c-ladder")

# %%
pages_ladder.ladder_table(store, "A-F8c", "a/cifar-resnet18", panels["A-F8c"].levels, "tab-a-8c-ladder")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
