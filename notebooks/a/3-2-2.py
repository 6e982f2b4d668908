# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-2-2)=
# # A 3.2.2 How many weights are left out?
#
# **In brief.** The counterpart of {ref}`section 3.2.1 <a-3-2-1>`: weights that no run of an initialisation ever keeps.
# The paper finds as many as its baseline expects {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose masks the first figures and their ladder show
level: str = "all"  # level that the figures show first: all, or the fraction pruned, such as 0.8
layers: str = "all"  # layers to draw, by name and separated by commas, such as conv1,output

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
scored = scoring.score("A", "3.2.2", store)

# %%
pages_a.share_brief(store, experiment, pages_a.UNUSED)

# %% [markdown]
# Independent masks that keep the fraction $q$ leave $(1 - q)^5$ of a layer to no mask. When five masks together are smaller
# than the layer, from 90 % pruned on, they cannot cover it; the paper then counts what is lacking to the largest coverage
# that they could have, five times the size of a mask. Both normalisations are drawn at every level.

# %%
pages_a.share_panel(
    store,
    experiment,
    pages_a.UNUSED,
    "fig-a-4b-layer",
    "the paper's Figure 4b, left half",
    layers,
    level,
    "A-F4b",
)

# %%
pages_a.share_panel(
    store,
    experiment,
    pages_a.UNCOVERED,
    "fig-a-4b-coverage",
    "the paper's Figure 4b, right half",
    layers,
    level,
)

# %%
markdown(pages.beside(scored, "A-F4b"))

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Other tickets than ours might show what the paper says. The figure on every rung of the ladder of randomness, and the
# distance of each rung, are those that {ref}`section 3.1 <a-3-1>` explains. On the first rung five tickets of *different*
# initialisations are taken together. The paper's numbers are those of all networks.

# %%
readings = {f"level that it names, {v} %": v for v in ("50", "60", "80")}
pages_ladder.ladder_strips(store, "A-F4b", network, "all", "fig-a-4b-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F4b", network, readings, "fig-a-4b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F4b", network, readings, "tab-a-4b-ladder")

# %% [markdown]
# ## CIFAR-10

# %%
pages_a.share_panel(
    store,
    paper_a.CIFAR,
    pages_a.UNUSED,
    "fig-a-4b-cifar",
    "the paper's Figure 4b, left half",
    "all",
    "all",
    "A-F4b",
)

# %%
pages_a.share_panel(
    store,
    paper_a.CIFAR,
    pages_a.UNCOVERED,
    "fig-a-4b-cifar-coverage",
    "the paper's Figure 4b, right half",
    "all",
    "all",
)

# %%
pages_ladder.ladder_strips(store, "A-F4b", "a/cifar-lenet", "all", "fig-a-4b-cifar-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F4b", "a/cifar-lenet", readings, "fig-a-4b-cifar-ladder")

# %%
pages_ladder.ladder_table(store, "A-F4b", "a/cifar-lenet", readings, "tab-a-4b-cifar-ladder")

# %% [markdown]
# ## ResNet18 on CIFAR-10

# %%
pages_a.share_panel(
    store,
    paper_a.RESNET,
    pages_a.UNUSED,
    "fig-a-4b-resnet",
    "the paper's Figure 4b, left half",
    "all",
    "all",
    "A-F4b",
)

# %%
pages_a.share_panel(
    store,
    paper_a.RESNET,
    pages_a.UNCOVERED,
    "fig-a-4b-resnet-coverage",
    "the paper's Figure 4b, right half",
    "all",
    "all",
)

# %%
pages_ladder.ladder_strips(store, "A-F4b", "a/cifar-resnet18", "all", "fig-a-4b-resnet-rungs")

# %%
pages_ladder.ladder_figure(
    store,
    "A-F4b",
    "a/cifar-resnet18",
    {f"level that it names, {v} %": v for v in ("50", "60")},
    "fig-a-4b-resnet-ladder",
)

# %%
pages_ladder.ladder_table(
    store,
    "A-F4b",
    "a/cifar-resnet18",
    {f"level that it names, {v} %": v for v in ("50", "60")},
    "tab-a-4b-resnet-ladder",
)

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
