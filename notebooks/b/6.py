# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-6)=
# # B 6 Typical sign structures in winning tickets
#
# **In brief.** Which weights of the first convolution survive, and with which signs? The paper counts them filter by
# filter, place by place and pair by pair, and finds that the kernels of winning tickets hold groups of weights of one
# sign, where random tickets hold none {cite:p}`signs2022`. Each of its numbers has a value that chance gives: here both
# stand side by side.

# %% tags=["parameters"]
tickets: int = 14  # tickets in a group, if so many are trained: the paper's numbers are those of 14 of its 20
trained: bool = False  # signs at the end of the ticket's training; False: those of its initial weights
neighbours: int = 4  # places next to a place: 4 share an edge with it, 8 an edge or a corner
pooled: bool = True  # all pairs of weights of a group in one share; False: mean of the shares of the kernels

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_b, paper_b, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
settings = paper_b.kernel_settings(tickets, trained, neighbours, pooled)

# %%
groups = pages_b.kernel_groups(store, settings)

# %%
pages_b.kernel_brief(store, groups, settings)

# %% [markdown]
# ## What is counted, and what chance gives
#
# The first layer of the network has 64 *filters* of $3 \times 3 \times 3$ weights, and each filter three *kernels* of
# $3 \times 3$, one a colour channel. A ticket keeps exactly $542 = \lfloor 1728 \cdot 0.9^{11} \rfloor$ of these 1,728
# weights. The sign of a weight is that of its *initial* value unless this chapter is executed with `trained`: a ticket
# is a network before training.
#
# Were the 542 places drawn at random, the number $X$ of weights left in a filter would be hypergeometric,
#
# $$
# P(X = k) = \binom{27}{k} \binom{1728 - 27}{542 - k} \bigg/ \binom{1728}{542},
# $$ (eq-b-pairs)
#
# with $\operatorname{E} X = 8.47$ and $\sigma = 2.39$; and of two weights in one kernel, one would be next to the other
# in $12$ of $36$ cases if places that share an edge are neighbours (33.3 %), in 20 of 36 if a corner is enough
# (55.6 %), *however many* weights the kernel keeps. The paper does not say which it means. Its random tickets have
# 34.5 %, so it must be the first.
#
# Random tickets need no training: their masks are drawn and their initial weights come from a seed. So how far a number
# strays by chance can be seen at once, and the paper's numbers can be held against it before any ticket is trained.

# %%
pages_b.statistic_panel(store, groups, settings, "fig-b-6-statistics")

# %% [markdown]
# Random tickets are a weak yardstick where signs are concerned. If a group has twice as many positive weights as negative ones, or
# some filters are full and others empty, weights of one sign meet more often without any pattern behind it. Where that
# matters, a second yardstick stands beside the first: a *control* of each group, with the same number of weights of
# either sign in every ticket and the same survivors in every filter, but their places and signs dealt anew.
#
# ## Weights left per filter

# %%
pages_b.filter_panel(store, groups, "fig-b-2a", "the paper's Figure 2a")

# %% [markdown]
# ## Weights left per position

# %%
pages_b.position_panel(store, groups, "fig-b-2b", "the paper's Figure 2b")

# %% [markdown]
# ## Numbers of filters, positions and signs

# %%
pages_b.kernel_table(store, groups, settings, "tab-b-6-statistics")

# %% [markdown]
# ## Which weights lie together
#
# For every place of a kernel that holds a positive weight: how often does each other place hold a positive one too
# ({numref}`fig-b-3`), and how often a negative one ({numref}`fig-b-4`)?

# %%
pages_b.pair_panel(store, groups, 1, settings, "fig-b-3", "the paper's Figure 3")

# %%
pages_b.pair_panel(store, groups, -1, settings, "fig-b-4", "the paper's Figure 4")

# %%
pages_b.neighbour_table(store, groups, "tab-b-6-neighbours")

# %% [markdown]
# ## The most frequent patterns
#
# Kernels with three and four weights; {ref}`appendix A.3 <b-appendix-a-3>` has the others. The paper sees filters for an edge,
# a corner or a surface in them. It does not define these, so the rule here is one that a computer can apply: a pattern is
# *grouped* if the weights of each sign lie in one block of neighbours. A grouped pattern of one sign is a surface or a line, one of
# two signs an edge or a corner.

# %%
pages_b.pattern_panel(store, groups, 3, "fig-b-5", "the paper's Figure 5")

# %%
pages_b.pattern_panel(store, groups, 4, "fig-b-6", "the paper's Figure 6")

# %%
pages_b.grouped_table(store, groups, settings, "tab-b-6-grouped")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "6", store, settings=settings)))

# %% [markdown]
# How a measurement becomes a verdict is on the page [](../../rules.md).

# %%
markdown(pages.provenance(store, list(paper_b.KERNEL_LABELS.values())))
