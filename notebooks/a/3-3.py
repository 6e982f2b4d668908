# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-3)=
# # A 3.3 Are tickets variations of the same network?
#
# **In brief.** Permuting the hidden units of a network changes its masks but not what it computes. Different masks might be
# one network in disguise. The paper compares *outputs*: if two tickets never agree, it says, they are not the same network
# {cite:p}`grosse2020`. That does not follow, so the masks themselves are compared here too, with their units matched first.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets are compared
level: str = "all"  # level that the figure shows first: all, or the fraction pruned, such as 0.8
measure: str = "L2"  # of outputs: L2, the mean distance of softmax outputs, CKA of the logits, or CKA of softmax

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import evidence, pages, pages_a, pages_ladder, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
level = evidence.choose_level(experiment, level)
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "3.3", store)

# %% [markdown]
# ## Outputs
#
# The outputs are those for the first 2,000 test images. The text of the paper speaks of an $L_2$ distance, the caption of
# its Figure 6 of CKA, a similarity {cite:p}`kornblith2019`. The figure is of Fashion-MNIST alone;
# {ref}`appendix C <a-appendix-c>` has both measures and the other networks.

# %%
pages_a.similarity_panel(store, experiment, measure, "fig-a-6", "the paper's Figure 6", level)

# %%
markdown(pages.beside(scored, "A-F6"))

# %% [markdown]
# Of outputs the paper states an order and no numbers. Which tickets have that order is asked on every rung of the ladder of
# randomness ({ref}`section 3.1 <a-3-1>`): the same figure, and by how much outputs are closer within an initialisation than
# across, with its sign.

# %%
pages_ladder.ladder_violins(store, network, measure, "fig-a-6-rungs", "6")

# %%
pages_ladder.ladder_outputs(store, network, measure, "tab-a-6-ladder")

# %% [markdown]
# ## Why a distance of outputs cannot settle it
#
# A ticket is retrained after it was found. Two tickets that are mirror images of each other would be retrained with
# different batches and end with different outputs all the same. What cannot hide is the mask: if two tickets were equal up
# to a permutation of their hidden units, the units of each layer would keep the same numbers of inputs, in another order.
# So the table matches as many units of every layer as it can to one that keeps as many inputs, and counts those left over; one
# such unit is enough to tell two networks apart. (Paper B's NNSTD {cite:p}`liu2020`, the distance with units matched, is no such proof:
# where many units are left without a connection, any match of these is as good, and the layer behind them then has a
# distance even from its own mirror image.)

# %%
pages_a.symmetry_table(store, experiment, "tab-a-3-3-symmetry")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, [experiment]))
