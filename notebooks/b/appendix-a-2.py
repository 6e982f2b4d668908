# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-appendix-a-2)=
# # B Appendix A.2 Distances layer by layer, without signs
#
# **In brief.** The distance of two networks is the mean over five layers, and a mean can hide that layers disagree. The paper's
# Figures A.3 and A.4 and its Table A.2 show each layer by itself {cite:p}`signs2022`; so does this chapter, for NNSTD.

# %% tags=["parameters"]
carry: bool = True  # whether the match of a layer's units is carried to the inputs of the next layer
trained: bool = False  # signs at the end of the tickets' training, not those of their initial weights
same_start: bool = False  # whether pairs count whose two tickets have the same initial weights
tickets: int = 0  # how many of each group's tickets are used, the first ones; 0 for all

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
settings = paper_b.Settings(carry, trained, same_start, tickets)

# %%
pages_b.untrained_note(store, settings)

# %% [markdown]
# ## All layers on one scale
#
# Layers differ first of all in how sparse they are. A convolution keeps 31 % of its weights, a hidden dense layer 8.6 %, and two
# random sets are the further apart the sparser they are. How many units there are to match, and of how many inputs, does the rest.

# %%
pages_b.layer_distance_panel(store, settings, False, "fig-b-a3-scale", "the paper's Figure A.3", True)

# %% [markdown]
# ## Each layer on its own

# %%
pages_b.layer_distance_panel(store, settings, False, "fig-b-a4-layers", "the paper's Figure A.4", False)

# %% [markdown]
# Random pairs can be compared without any training: they are the paper's control, and show whether ours is the same. The paper
# prints no absolute distance, but its differences and effects together say how far its distances scatter.

# %%
pages_b.random_spread_table(store, settings, False, "tab-b-a2-random")

# %% [markdown]
# ## Table A.2

# %%
pages_b.comparison_table(store, settings, False, "conv1", "tab-b-a2-conv1")

# %%
pages_b.comparison_table(store, settings, False, "conv2", "tab-b-a2-conv2")

# %%
pages_b.comparison_table(store, settings, False, "dense1", "tab-b-a2-dense1")

# %%
pages_b.comparison_table(store, settings, False, "dense2", "tab-b-a2-dense2")

# %%
pages_b.comparison_table(store, settings, False, "output", "tab-b-a2-output")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "Appendix A.2", store, settings=settings)))

# %%
markdown(pages.provenance(store, [*paper_b.DATASETS.values(), *paper_b.STAND_INS.values()]))
