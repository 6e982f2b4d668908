# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-d-5)=
# # A Appendix D.5: Size and position of a layer
#
# **In brief.** Inner layers of the small network are large, outer ones small. To tell size from position the paper trains a network
# whose inner layers have nearly the same size {cite:p}`grosse2020`. It concludes that position has no influence, and that size
# has no clear one either, although its section 3.4 says of the same plot that spreads follow the size.

# %% tags=["parameters"]
experiment: str = "a/fashion-equal/partial"  # whose tickets the figures, the first spreads and the ladder show
level: float = 0.9  # fraction pruned at which Figure 14b is drawn and scored; the paper's caption says 0.9
text_level: float = 0.95  # a second reading of it: the level that the paper's text gives
layers: str = "all"  # layers to draw, by name and separated by commas, such as conv1,output

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_a, pages_ladder, paper_a, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
panels = {
    **paper_a.panels_at("A-F14b", {"captioned level": level, "level of the text": text_level}, experiment),
    "A-F14a": paper_a.panels_at("A-F14a", {"first step": 0.5}, experiment)["A-F14a"],
}
network = experiment.rpartition("/")[0]
scored = scoring.score("A", "Appendix D.5", store, panels)

# %% [markdown]
# The layers hold 400, 2,400, 2,400, 2,500 and 250 weights. How the paper gets to such sizes it does not say; here the second
# convolution has 6 filters and a stride of 2, so that 24 numbers enter the first dense layer.

# %%
pages_a.overlap_panel(store, panels["A-F14a"], "50", "fig-a-14a", "the paper's Figure 14a", layers, "A-F14a")

# %%
markdown(pages.beside(scored, "A-F14a", "A-F14"))

# %%
captioned, implied = panels["A-F14b"].levels.values()
pages_a.overlap_panel(
    store,
    panels["A-F14b"],
    captioned,
    "fig-a-14b",
    "the paper's Figure 14b",
    layers,
    "A-F14b",
)

# %%
markdown(pages.beside(scored, "A-F14b"))

# %% [markdown]
# ## How far overlaps scatter
#
# The spread of the overlaps beside that of chance, first of the network with layers of equal size, then of the usual one.

# %%
pages_a.spread_table(store, panels["A-F14a"], "50", "tab-a-d-5-equal")

# %%
pages_a.spread_table(store, paper_a.Panel(paper_a.FASHION_PARTIAL, {}), "50", "tab-a-d-5-usual")

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# The ladder of randomness, as {ref}`section 3.1 <a-3-1>` explains it, with the rungs that are specified for this network.

# %%
pages_ladder.ladder_strips(store, "A-F14a", network, "50", "fig-a-14a-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F14a", network, panels["A-F14a"].levels, "fig-a-14a-ladder")

# %%
pages_ladder.ladder_table(store, "A-F14a", network, panels["A-F14a"].levels, "tab-a-14a-ladder")

# %%
pages_ladder.ladder_strips(store, "A-F14b", network, implied, "fig-a-14b-rungs")

# %%
pages_ladder.ladder_figure(store, "A-F14b", network, panels["A-F14b"].levels, "fig-a-14b-ladder")

# %%
pages_ladder.ladder_table(store, "A-F14b", network, panels["A-F14b"].levels, "tab-a-14b-ladder")

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, list(dict.fromkeys([experiment, paper_a.EQUAL, paper_a.FASHION_PARTIAL]))))
