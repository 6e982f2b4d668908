# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-2-1)=
# # A 3.2.1 How many weights are shared?
#
# **In brief.** Two masks may agree by accident; five agree on the same weight only rarely. The paper counts the weights
# that lie in the masks of *all five* runs of an initialisation and finds few of them, as its baseline predicts
# {cite:p}`grosse2020`.

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
scored = scoring.score("A", "3.2.1", store)

# %%
pages_a.share_brief(store, experiment, pages_a.SHARED)

# %% [markdown]
# Of the weights of one mask, the share that lies in all $k$ masks of an initialisation is, for independent masks that
# keep the fraction $q$, on average $q^{k-1}$: with five masks 6.25 % at half of the weights, 2.56 % at 60 % pruned, and
# less than one in a thousand at 90 %. The paper's baseline for the spread is an approximation; here it is the exact
# distribution, which stands in {ref}`appendix B <a-appendix-b>`.

# %%
pages_a.share_panel(
    store,
    experiment,
    pages_a.SHARED,
    "fig-a-4a-fashion",
    "the paper's Figure 4a",
    layers,
    level,
    "A-F4a-F",
)

# %%
markdown(pages.beside(scored, "A-F4a-F", "A-F4a"))

# %% [markdown]
# The same weights in % of the *layer*, the measure in which weights that no mask holds are counted in
# {ref}`section 3.2.2 <a-3-2-2>`:

# %%
pages_a.share_panel(
    store,
    experiment,
    pages_a.SHARED_OF_LAYER,
    "fig-a-4a-layer",
    "the paper's Figure 4a otherwise normalised",
    layers,
    level,
)

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Other tickets than ours might show what the paper says. The figure on every rung of the ladder of randomness, and the
# distance of each rung, are those that {ref}`section 3.1 <a-3-1>` explains. On the first rung five tickets of *different*
# initialisations are taken together.

# %%
readings = {"level that it names, 50 %": "50", "level that it names, 80 %": "80"}
pages_ladder.ladder_strips(store, "A-F4a-F", network, "all", "fig-a-4a-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F4a-F", network, readings, "fig-a-4a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F4a-F", network, readings, "tab-a-4a-ladder")

# %% [markdown]
# ## CIFAR-10

# %%
pages_a.share_panel(
    store,
    paper_a.CIFAR,
    pages_a.SHARED,
    "fig-a-4a-cifar",
    "the paper's Figure 4a",
    "all",
    "all",
    "A-F4a-C",
)

# %%
markdown(pages.beside(scored, "A-F4a-C"))

# %%
pages_a.share_panel(
    store,
    paper_a.CIFAR,
    pages_a.SHARED_OF_LAYER,
    "fig-a-4a-cifar-layer",
    "the paper's Figure 4a otherwise normalised",
    "all",
    "all",
)

# %%
pages_ladder.ladder_strips(store, "A-F4a-C", "a/cifar-lenet", "all", "fig-a-4a-cifar-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F4a-C", "a/cifar-lenet", readings, "fig-a-4a-cifar-ladder")

# %%
pages_ladder.ladder_table(store, "A-F4a-C", "a/cifar-lenet", readings, "tab-a-4a-cifar-ladder")

# %% [markdown]
# ## ResNet18 on CIFAR-10

# %%
pages_a.share_panel(
    store,
    paper_a.RESNET,
    pages_a.SHARED,
    "fig-a-4a-resnet",
    "the paper's Figure 4a",
    "all",
    "all",
    "A-F4a-R",
)

# %%
markdown(pages.beside(scored, "A-F4a-R"))

# %%
pages_a.share_panel(
    store,
    paper_a.RESNET,
    pages_a.SHARED_OF_LAYER,
    "fig-a-4a-resnet-layer",
    "the paper's Figure 4a otherwise normalised",
    "all",
    "all",
)

# %%
pages_ladder.ladder_strips(store, "A-F4a-R", "a/cifar-resnet18", "all", "fig-a-4a-resnet-rungs")

# %%
pages_ladder.ladder_figure(
    store,
    "A-F4a-R",
    "a/cifar-resnet18",
    {"level that it names, 60 %": "60", "level that it names, 90 %": "90"},
    "fig-a-4a-resnet-ladder",
)

# %%
pages_ladder.ladder_table(
    store,
    "A-F4a-R",
    "a/cifar-resnet18",
    {"level that it names, 60 %": "60", "level that it names, 90 %": "90"},
    "tab-a-4a-resnet-ladder",
)

# %% [markdown]
# ## Claims of this section, and of 3.2

# %%
markdown(pages.claims_block(scoring.score("A", "3.2", store) + scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
