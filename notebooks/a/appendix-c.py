# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-c)=
# # A Appendix C: Output similarities between winning tickets
#
# **In brief.** {ref}`Section 3.3 <a-3-3>` with both measures and, as their tickets come, all three networks. The paper
# finds outputs *more* alike across initialisations than within one {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets the first three figures and the first ladder compare
level: str = "all"  # level that those figures show first: all, or the fraction pruned, such as 0.8

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
scored = scoring.score("A", "Appendix C", store)

# %% [markdown]
# Linear CKA {cite:p}`kornblith2019` compares two sets of outputs up to rotation and scale; one means that they are equal
# so far. The $L_2$ distance compares the probabilities of the classes image by image; zero means that they are equal.

# %%
pages_a.similarity_panel(store, experiment, "CKA", "fig-a-9-cka", "the paper's Figure 9 (left)", level)

# %%
pages_a.similarity_panel(store, experiment, "L2", "fig-a-9-l2", "the paper's Figure 9 (right)", level)

# %%
pages_a.similarity_panel(store, experiment, "CKA of softmax", "fig-a-9-softmax", "the same of softmax outputs", level)

# %%
pages_a.similarity_panel(store, paper_a.CIFAR, "CKA", "fig-a-9-cifar", "the paper's Figure 9 (left)")

# %%
pages_a.similarity_panel(store, paper_a.CIFAR, "L2", "fig-a-9-cifar-l2", "the paper's Figure 9 (right)")

# %%
pages_a.similarity_panel(store, paper_a.RESNET, "CKA", "fig-a-9-resnet", "the paper's Figure 9 (left)")

# %%
pages_a.similarity_panel(store, paper_a.RESNET, "L2", "fig-a-9-resnet-l2", "the paper's Figure 9 (right)")

# %%
markdown(pages.beside(scored, "A-F9"))

# %% [markdown]
# ## On every rung of the ladder
#
# Of outputs the paper states an order, not numbers: closer *across* initialisations here, closer *within* when randomness
# is partially fixed (its Figure 15). So what is measured on each rung of the ladder of randomness, from a free batch order
# to rounding noise alone, is the difference, and at how many levels it has the paper's sign.

# %%
pages_ladder.ladder_violins(store, network, "CKA", "fig-a-9-rungs", "9")

# %%
pages_ladder.ladder_outputs(store, network, "CKA", "tab-a-9-ladder-cka")

# %%
pages_ladder.ladder_violins(store, network, "L2", "fig-a-9-rungs-l2", "9")

# %%
pages_ladder.ladder_outputs(store, network, "L2", "tab-a-9-ladder-l2")

# %% [markdown]
# The same for CIFAR-10:

# %%
pages_ladder.ladder_violins(store, "a/cifar-lenet", "CKA", "fig-a-9-rungs-cifar", "9")

# %%
pages_ladder.ladder_outputs(store, "a/cifar-lenet", "CKA", "tab-a-9-ladder-cifar-cka")

# %%
pages_ladder.ladder_violins(store, "a/cifar-lenet", "L2", "fig-a-9-rungs-cifar-l2", "9")

# %%
pages_ladder.ladder_outputs(store, "a/cifar-lenet", "L2", "tab-a-9-ladder-cifar-l2")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))))
