# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-d-6)=
# # A Appendix D.6: Outputs with partly fixed randomness
#
# **In brief.** {ref}`Appendix C <a-appendix-c>` with tickets whose runs share their batch order. The paper finds outputs more alike
# within an initialisation than across, and calls this expected {cite:p}`grosse2020`.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/partial"  # whose tickets the first figure, the table and the first ladder compare
level: str = "all"  # level that that figure shows first: all, or the fraction pruned, such as 0.8
measure: str = "CKA"  # of outputs: CKA of the logits, as in the paper, or L2, the mean distance of softmax outputs

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
scored = scoring.score("A", "Appendix D.6", store)

# %%
pages_a.similarity_panel(store, experiment, measure, "fig-a-15", "the paper's Figure 15 (top)", level)

# %%
pages_a.similarity_panel(store, paper_a.CIFAR_PARTIAL, measure, "fig-a-15-cifar", "the paper's Figure 15 (middle)")

# %%
pages_a.similarity_panel(store, paper_a.RESNET_PARTIAL, measure, "fig-a-15-resnet", "the paper's Figure 15 (bottom)")

# %%
markdown(pages.beside(scored, "A-F15"))

# %% [markdown]
# ## On every rung of the ladder
#
# The paper states an order and no numbers: closer *within* an initialisation than across. What is measured on each rung of the
# ladder of randomness ({ref}`section 3.1 <a-3-1>`) is that difference. First for Fashion-MNIST, then for CIFAR-10.

# %%
pages_ladder.ladder_violins(store, network, measure, "fig-a-15-rungs", "15")

# %%
pages_ladder.ladder_outputs(store, network, measure, "tab-a-15-ladder")

# %%
pages_ladder.ladder_violins(store, "a/cifar-lenet", measure, "fig-a-15-rungs-cifar", "15")

# %%
pages_ladder.ladder_outputs(store, "a/cifar-lenet", measure, "tab-a-15-ladder-cifar")

# %% [markdown]
# ## The masks
#
# As {ref}`section 3.3 <a-3-3>` says, a distance of outputs cannot tell whether two tickets are one network up to a permutation of
# hidden units; a mask can, by the numbers of inputs that its units keep. How near two masks come here:

# %%
pages_a.symmetry_table(store, experiment, "tab-a-d-6-symmetry")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, *paper_a.ALL_PARTIAL, *paper_a.FREE.values()]))))
