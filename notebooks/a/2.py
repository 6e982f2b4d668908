# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-2)=
# # A 2 Experimental set-up
#
# **In brief.** What was trained, how it was pruned, and what two masks would share by chance. The paper's Figure 1
# shows the design and the accuracies, its Figure 2 checks the baseline: tickets of *different* initial weights should
# overlap as two random masks do {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets Figures 1b (top) and 2 (left) show
level: float = 0.5  # fraction pruned at which Figure 2 (a) is drawn and scored; the paper takes the first step, 0.5
layers: str = "all"  # layers to draw in Figure 2, by name and separated by commas, such as conv1,output

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import figures, pages, pages_a, pages_ladder, paper_a, scoring, sources
from lib.experiments import find
from lib.notebook import markdown, show, table
from lib.pruning import kept_counts
from lib.tickets import Store

store = Store()
fashion = find(paper_a.FASHION)
panels = paper_a.panels_at("A-F2-1", {"first step": level}, experiment)
scored = scoring.score("A", "2", store, panels)

# %%
pages_a.overlap_brief(store, panels["A-F2-1"])

# %% [markdown]
# ## The design
#
# One initialisation gives one set of initial weights. Five runs start from it; Each run trains the dense
# network, prunes it, resets the survivors to their initial values, trains again, and so on through six levels. Tickets are
# compared within an initialisation (A) and across initialisations (B).
#
# The paper does not fix randomness "in for example the sampling of the batches, and the gradients" {cite:p}`grosse2020`.
# Here free runs differ in nothing but the order of their batches: the kernels are deterministic, and noise of rounding is
# put in only where randomness is partly fixed ({ref}`A 3.4 <a-3-4>`).

# %%
show(
    lambda: figures.setup_diagram(fashion),
    "fig-a-1a",
    "The design of the paper's Figure 1a, drawn from the specification of the experiment: "
    f"{fashion.inits} initialisations, {fashion.runs} runs of each, {len(fashion.levels) - 1} pruned levels; comparisons "
    f"within (A) and across (B) initialisations. Experiment: `{fashion.name}`.",
    "Diagram: one network, several seeds of initial weights, several training runs of each, one ticket a run; arrows A "
    "join tickets of one seed, arrow B tickets of different seeds.",
    [sources.SPECIFIED],
)

# %% [markdown]
# ## The small networks and their layers
#
# Two convolutions with 6 and 16 filters of 5 x 5, each followed by max-pooling, then dense layers with 120, 84 and 10
# units {cite:p}`grosse2020,lecun1998`. The paper does not say whether the convolutions are padded; here they are not.
# Each layer is pruned by itself to the same fraction: the kept count is the exact product, truncated
# ({numref}`tab-a-2-layers`). Biases are never pruned. The survivors are those whose *final* magnitude is largest
# ("large final", {cite:t}`zhou2019`).

# %%
table(
    ["layer", "weights", *(f"{v.name} %" for v in fashion.levels[1:])],
    [
        [y.name, f"{y.size:,}", *(f"{kept_counts(fashion.architecture, v)[y.name]:,}" for v in fashion.levels[1:])]
        for y in fashion.architecture.layers
    ],
    "tab-a-2-layers",
    f"Weights of each layer of `{fashion.architecture.name}`, and how many it keeps at each level (percent pruned).",
    [sources.SPECIFIED],
)

# %% [markdown]
# ## What the paper leaves open
#
# The paper states the layers of the small networks, the levels, 15 epochs a step, the criterion, and five times five runs.
# It does not state what its "small ResNet18" is, nor the optimiser, its rate, the batch, the initial weights or the scaling
# of the pixels. {numref}`tab-a-2-settings` says what stands here for each, and why.
#
# The ResNet here is the one that {cite:t}`frankle2019` train on CIFAR-10: a convolution with 16 filters of 3 x 3, then nine
# blocks of two such convolutions, three each with 16, 32 and 64 filters, then the mean of every channel and a dense layer of
# 10 units. Each block's input is added to its output, through a projection of 1 x 1 where the number of filters changes.

# %%
resnet = find(paper_a.RESNET)


def by_network(words):
    """Return what `words` says of the small networks and of the ResNet."""
    return [words(fashion), words(resnet)]


def padding(network):
    """Return how the convolutions larger than one pixel are padded."""
    found = {y.padding for y in network.architecture.layers if len(y.shape) == 4 and y.shape[-1] > 1}
    return ", ".join(f"{pixels} pixel of zeros around" if pixels else "none" for pixels in sorted(found))


def scaling(network):
    return "divided by 255" if network.scaling == "unit" else "mean 0 and deviation 1 in each channel"


def normalised(network):
    return "after every convolution" if any(y.norm for y in network.architecture.layers) else "none"


table(
    ["setting", "small networks", "ResNet", "why"],
    [
        [
            "optimiser",
            *by_network(lambda e: f"{e.optimiser}, rate {e.learning_rate:g}"),
            "the value of {cite:t}`frankle2019` for their LeNet; {cite:t}`kingma2015`",
        ],
        [
            "batch; a remainder is left out of its epoch",
            *by_network(lambda e: f"{e.batch} images"),
            "{cite:t}`frankle2019`, {cite:t}`zhou2019`",
        ],
        [
            "initial weights",
            *by_network(lambda e: f"{e.specification()['initial weights']}, biases zero"),
            "{cite:t}`zhou2019`, whose method the paper follows; {cite:t}`glorot2010`",
        ],
        ["pixels", *by_network(scaling), "{cite:t}`zhou2019`"],
        ["augmentation, weight decay", "none", "none", "{cite:t}`zhou2019`"],
        ["padding", *by_network(padding), "the sizes of the classic network {cite:p}`lecun1998` and of the ResNet"],
        ["batch normalisation", *by_network(normalised), "{cite:t}`frankle2019`"],
        [
            "batch order of free runs",
            *by_network(lambda e: "a new permutation for each epoch, level and run"),
            "the paper's randomness is not fixed",
        ],
    ],
    "tab-a-2-settings",
    "Settings that the paper {cite:p}`grosse2020` does not state, of its small networks and of its ResNet. Each is part of "
    "the experiment's fingerprint.",
    [sources.SPECIFIED],
)

# %% [markdown]
# ## Accuracies by level
#
# The paper's Figure 1b shows accuracies without stating one in its text. It says of the small networks that they do
# best in the first two pruning steps, and worse with every step after that.

# %%
pages_a.accuracy_panel(store, experiment, "fig-a-1b-fashion", "the paper's Figure 1b (top)")

# %%
pages_a.accuracy_panel(store, paper_a.CIFAR, "fig-a-1b-cifar", "the paper's Figure 1b (middle)")

# %%
pages_a.accuracy_panel(store, paper_a.RESNET, "fig-a-1b-resnet", "the paper's Figure 1b (bottom)")

# %%
markdown(pages.beside(scored, "A-F1b"))

# %% [markdown]
# ## Layers of the ResNet
#
# The paper plots five of its layers, "1, 11, 12, 18 and 19", and says neither from where it counts nor whether the
# projections of the shortcuts count. Here they do not, and both ways to count are drawn and scored.

# %%
pages_a.counted_table(paper_a.RESNET, "tab-a-2-resnet")

# %% [markdown]
# A layer that keeps *no* weight has no overlap: the share of an empty mask that another empty mask holds is zero of zero, for
# trained masks as for random ones. It has no weights shared by all masks either, and no chance to be held against. Such a
# layer is left out of values, means and figures at that level, and the caption names it. A layer that keeps fewer than three
# weights has no rank correlation, since two weights can only be in the same order or not. If the *output* layer keeps none,
# a ticket says the same of every image: its CKA with another is not defined, and the level is left out; the $L_2$ distance
# of two such tickets is that of the two constants. No gradient
# comes through it either, so no weight changes from its initial value, and a rank correlation of one would say nothing: such
# tickets, and single ones that no gradient passes, are left out of rank correlations.
#
# ## What chance gives
#
# Two masks of a layer with $mn$ weights keep $|t|$ each. If the second is drawn at random, the number $x$ of weights
# that they share follows the hypergeometric distribution,
#
# $$
# p(x) = \binom{|t|}{x} \binom{mn - |t|}{|t| - x} \Big/ \binom{mn}{|t|},
# \qquad \mathbb{E}[x] = \frac{|t|^2}{mn} .
# $$ (eq-a-1)
#
# This is the paper's equation 1. Masks from different initialisations (B in {numref}`fig-a-1a`) have no reason to share
# more than that; the paper's Figure 2 shows three panels where they do not.

# %%
panel = panels["A-F2-1"]
pages_a.overlap_panel(store, panel, *panel.levels.values(), "fig-a-2-fashion", "the paper's Figure 2 (left)", layers)

# %%
markdown(pages.beside(scored, "A-F2"))

# %% [markdown]
# The mean overlap is one thing, its spread another. The hypergeometric distribution treats all weights of a layer alike;
# trained masks do not: some units keep many weights, others few. Two masks whose full units happen to have the same
# numbers share more than two whose full units do not, and where units differ much, overlaps scatter more than chance has
# it, around the same mean. The last column says how far that explains the scatter.

# %%
pages_a.spread_table(store, panel, *panel.levels.values(), "tab-a-2-spread")

# %% [markdown]
# Do tickets of any other rung of the ladder of randomness ({ref}`section 3.1 <a-3-1>`) come nearer to chance? The figure on
# each, and the distance of the measured overlaps from the hypergeometric distribution:

# %%
network = experiment.rpartition("/")[0]
pages_ladder.ladder_strips(store, "A-F2-1", network, *panel.levels.values(), "fig-a-2-rungs", layers=layers)

# %%
pages_ladder.ladder_figure(store, "A-F2-1", network, panel.levels, "fig-a-2-ladder")

# %%
pages_ladder.ladder_table(store, "A-F2-1", network, panel.levels, "tab-a-2-ladder")

# %%
panel = panels["A-F2-2"]
pages_a.overlap_panel(store, panel, *panel.levels.values(), "fig-a-2-cifar", "the paper's Figure 2 (middle)")

# %%
panel = panels["A-F2-3"]
pages_a.overlap_panel(store, panel, *panel.levels.values(), "fig-a-2-resnet", "the paper's Figure 2 (right)")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
