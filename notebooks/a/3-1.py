# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-1)=
# # A 3.1 Are winning tickets unique?
#
# **In brief.** Five training runs from the *same* initial weights, each with a batch order of its own, give five
# masks. The paper compares them two by two and reports that they overlap no more than chance would have it
# {cite:p}`grosse2020`. Here the same comparison is made with tickets that were trained for this book, at every reading
# of the level that the paper allows.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets panel (a), its tables and its ladder show, and are scored
level: float = 0.8  # fraction pruned at which panel (a) is drawn first and scored; the paper's caption says 0.8
implied_level: float = 0.9  # a second reading of it: the level whose expected overlap the paper's text gives
layers: str = "all"  # layers to draw, by name and separated by commas, such as conv1,output

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_a, pages_ladder, paper_a, scoring, sources
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-F3a", {"captioned level": level, "implied level": implied_level}, experiment)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "3", store) + scoring.score("A", "3.1", store, panels)

# %%
pages_a.overlap_brief(store, panels["A-F3a"])

# %% [markdown]
# ## What is compared
#
# Let $M_1, M_2 \in \{0, 1\}^{n}$ be the masks of one layer with $n$ weights, both of which keep $|t|$ of them. Their
# *overlap* is the share of a mask that the other has too,
#
# $$
# o(M_1, M_2) = 100\,\% \cdot \frac{\langle M_1, M_2 \rangle}{|t|} .
# $$ (eq-a-overlap)
#
# Were both drawn at random, $\langle M_1, M_2 \rangle$ would follow the hypergeometric distribution of equation 1 of
# the paper; in percent of the mask its mean is the kept fraction, $100\,\% \cdot |t| / n$. Five runs give 10 pairs for
# each initialisation, five initialisations 50 pairs for each layer.
#
# ## Which level?
#
# The paper does not agree with itself here. The caption of its Figure 3a says that 80 % of the weights are pruned; the
# expected overlap that its text gives for the same panel, 10 %, is that of 90 % pruned, because the expected overlap
# *is* the kept fraction. The other two panels have the same trouble ({numref}`tab-a-3-1-levels`). So every claim is
# scored at both levels, and the ledger says what each gives.

# %%
table(
    [
        "panel",
        "data set",
        "captioned level",
        "its expected overlap",
        "expected overlap in the paper's text",
        "implied level",
    ],
    [
        ["3a", "Fashion-MNIST", "80 %", "20 %", "10 %", "90 %"],
        ["3b", "CIFAR-10", "90 %", "10 %", "5 %", "95 %"],
        ["3c", "CIFAR-10, ResNet18", "90 %", "10 %", "2.5 %", "98 % (exactly: 2 %)"],
    ],
    "tab-a-3-1-levels",
    "Captions and text of the paper's Figure 3 mean different levels {cite:p}`grosse2020`. Expected overlaps are kept fractions.",
    [sources.PAPER_A],
)

# %% [markdown]
# ## Panel (a): Fashion-MNIST

# %%
panel = panels["A-F3a"]
captioned, implied = panel.levels.values()
pages_a.overlap_panel(store, panel, captioned, "fig-a-3a", "the paper's Figure 3a", layers, "A-F3a")

# %%
markdown(pages.beside(scored, "A-F3a"))

# %% [markdown]
# How far is this from chance? The next table holds the answer for every level. A pair of masks drawn at
# random falls outside the central 95 % interval in at most 5 % of all cases.

# %%
pages_a.excess_table(store, experiment, "tab-a-3-1-excess")

# %% [markdown]
# ## Why they share more than chance
#
# Where tickets overlap more than random masks, something that the runs have in common must choose the same weights. Two
# things can. A mask keeps large *final* weights, and a weight that starts large tends to end large: its initial magnitude
# alone says something about its place in the mask. And two runs from the same start can *learn* the same thing in the same
# place, although their batches come in another order. The next table measures both. If a weight's place in a mask hung on
# the rank of its initial magnitude alone, tickets would overlap as in its third column of numbers; that rank is taken
# from the other initialisations. Its last two columns hold the correlation of what was learned, the difference of final
# and initial weights, between two runs.

# %%
pages_a.origin_table(store, experiment, captioned, "tab-a-3-1-origin")

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# What our tickets contradict, others might show. The *ladder of randomness* goes from runs that share nothing (new initial
# weights), over the same initial weights with a batch order that is free, shared for a part of the steps, or shared
# throughout with rounding noise (*partial*), to runs that share everything (*fixed*). Of each rung the same figure:

# %%
pages_ladder.ladder_strips(store, "A-F3a", network, implied, "fig-a-3a-rungs", layers=layers)

# %% [markdown]
# When do two runs part? Those that share their order for a part of the steps see the same batches for that part of each
# level, and go ways of their own then. In the training of the dense network they are equal to the last bit until it ends.
# From the first pruned level on they are not: they start from different masks. Those that share all of it (*partial*) see
# the same batches throughout, but rounding noise parts them from the first step on.

# %%
pages_ladder.order_brief(store, network, implied)

# %% [markdown]
# Which rung fits is measured. The paper states ranges and values; the distance of a rung is how far its measured values
# would have to be moved, on average, for the statements to hold (the Wasserstein distance to the nearest distribution for
# which they do). Values that scatter less than a range allows are within it, so a wide range holds of many rungs. This is no
# verdict of the ledger: it asks which experiment the printed numbers look like. A general statement is not held against a
# layer for which the paper makes an exception; layers of the ResNet are counted from one and from zero.

# %%
pages_ladder.ladder_figure(store, "A-F3a", network, panel.levels, "fig-a-3a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F3a", network, panel.levels, "tab-a-3-1-ladder")

# %% [markdown]
# The paper has a second set of overlaps on the same network, in its Figure 10a: those of tickets trained with randomness
# "partially fixed", where it does find more than chance. Which tickets fit those is asked in
# {ref}`appendix D.1 <a-appendix-d-1>`.
#
# ## What hangs on settings that the paper does not give
#
# The paper states neither its optimiser, nor its learning rate, nor the scaling of the pixels. The same overlaps with SGD
# (momentum 0.9) in place of Adam, with a tenth and with three times the learning rate, and with every channel of the images
# standardised:

# %%
pages_a.sensitivity_table(store, "tab-a-3-1-settings")

# %% [markdown]
# ## Panel (b): CIFAR-10

# %%
panel = panels["A-F3b"]
captioned, implied = panel.levels.values()
pages_a.overlap_panel(store, panel, captioned, "fig-a-3b", "the paper's Figure 3b", key="A-F3b")

# %%
markdown(pages.beside(scored, "A-F3b"))

# %%
pages_ladder.ladder_strips(store, "A-F3b", "a/cifar-lenet", implied, "fig-a-3b-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F3b", "a/cifar-lenet", panel.levels, "fig-a-3b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F3b", "a/cifar-lenet", panel.levels, "tab-a-3-1-cifar-ladder")

# %% [markdown]
# ## Panel (c): ResNet18 on CIFAR-10

# %%
panel = panels["A-F3c"]
captioned, implied = panel.levels.values()
pages_a.overlap_panel(store, panel, captioned, "fig-a-3c", "the paper's Figure 3c", key="A-F3c")

# %%
markdown(pages.beside(scored, "A-F3c"))

# %%
pages_ladder.ladder_strips(store, "A-F3c", "a/cifar-resnet18", implied, "fig-a-3c-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F3c", "a/cifar-resnet18", panel.levels, "fig-a-3c-ladder")

# %%
pages_ladder.ladder_table(store, "A-F3c", "a/cifar-resnet18", panel.levels, "tab-a-3-1-resnet-ladder")

# %% [markdown]
# ## Claims of this section, and of 3

# %%
markdown(pages.claims_block(scored))

# %% [markdown]
# How a measurement becomes a verdict is on the page [](../../rules.md).

# %%
used = [experiment, *pages_a.SETTINGS, paper_a.CIFAR, paper_a.RESNET]
markdown(pages.provenance(store, list(dict.fromkeys(used))))
