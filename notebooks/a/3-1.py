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
from lib import evidence, pages, paper_a, scoring, sources
from lib.experiments import find
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-F3a", {"captioned level": level, "implied level": implied_level})

# %%
pages.overlap_brief(store, panels["A-F3a"])

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
pages.overlap_panel(store, panel, captioned, "fig-a-3a", "the paper's Figure 3a, Fashion-MNIST", layers, "A-F3a")

# %% [markdown]
# How far is this from chance? The next table holds the answer for every level. A pair of masks drawn at
# random falls outside the central 95 % interval in at most 5 % of all cases.

# %%
rows = []
for name in (level.name for level in store.finished(find(paper_a.FASHION)) if level.name != "dense"):
    for layer in evidence.overlaps(store, paper_a.FASHION, name):
        outside = 100 * ((layer.values < layer.low) | (layer.values > layer.high)).mean()
        rows.append(
            [
                f"{name} %",
                layer.layer,
                f"{layer.expected:.1f} ({layer.low:.1f} to {layer.high:.1f})",
                pages.mean_interval(layer.values, layer.first, 1),
                f"{layer.values.min():.1f} to {layer.values.max():.1f}",
                f"{outside:.0f} %",
            ]
        )
if rows:
    table(
        ["pruned", "layer", "chance: mean (95 %)", "measured: mean (95 %)", "smallest to largest", "outside of chance"],
        rows,
        "tab-a-3-1-excess",
        "Overlaps of the 50 pairs within an initialisation, in % of the mask, at every level that is trained. Of chance "
        "the central 95 % of single pairs, of the measured mean its 95 % interval by bootstrap over initialisations.",
        sources.tickets(store, paper_a.FASHION),
    )
else:
    markdown(pages.missing_panel("Overlaps at every level", paper_a.FASHION))

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
pages.origin_table(store, paper_a.FASHION, captioned, "tab-a-3-1-origin")

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# What our tickets contradict, others might show. The *ladder of randomness* goes from runs that share nothing (new initial
# weights), over the same initial weights with a batch order that is free, shared for a part of the steps, or shared
# throughout with rounding noise (*partial*), to runs that share everything (*fixed*). Of each rung the same figure:

# %%
pages.ladder_strips(store, "A-F3a", "a/fashion-lenet", implied, "fig-a-3a-rungs")

# %% [markdown]
# Which rung fits is measured. The paper states ranges and values; the distance of a rung is how far its measured values
# would have to be moved, on average, for the statements to hold (the Wasserstein distance to the nearest distribution for
# which they do). This is no verdict of the ledger: it asks which experiment the printed numbers look like.

# %%
pages.ladder_figure(store, "A-F3a", "a/fashion-lenet", panel.levels, "fig-a-3a-ladder")

# %%
pages.ladder_table(store, "A-F3a", "a/fashion-lenet", panel.levels, "tab-a-3-1-ladder")

# %% [markdown]
# The paper has a second set of overlaps on the same network, in its Figure 10a: those of tickets trained with randomness
# "partially fixed", where it does find more than chance. Which tickets fit those:

# %%
pages.ladder_figure(store, "A-F10a", "a/fashion-lenet", panel.levels, "fig-a-10a-ladder")

# %%
pages.ladder_table(store, "A-F10a", "a/fashion-lenet", panel.levels, "tab-a-3-1-ladder-10a")

# %% [markdown]
# ## Panels (b) and (c): CIFAR-10, and the ResNet

# %%
pages.overlap_panel(store, panels["A-F3b"], "90", "fig-a-3b", "the paper's Figure 3b, CIFAR-10", key="A-F3b")

# %%
pages.ladder_table(store, "A-F3b", "a/cifar-lenet", panels["A-F3b"].levels, "tab-a-3-1-ladder-cifar")

# %%
pages.overlap_panel(store, panels["A-F3c"], "90", "fig-a-3c", "the paper's Figure 3c, ResNet18 on CIFAR-10")

# %% [markdown]
# ## Claims of this section, and of 3

# %%
scored = scoring.score("A", "3", store) + scoring.score("A", "3.1", store, panels)
markdown(pages.claims_block(scored))

# %% [markdown]
# How a measurement becomes a verdict is on the page [](../../rules.md).

# %%
markdown(pages.provenance(store, [paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))
