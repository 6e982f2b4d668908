# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-1)=
# # A 1 What the paper contributes
#
# **In brief.** The paper "How many winning tickets are there in one DNN?" {cite:p}`grosse2020` trains the same network
# from the same initial weights again and again, prunes each result to a *ticket* (a mask that says which weights stay),
# and asks whether the tickets are the same. It claims six things. This page lists them with their verdicts so far.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose tickets the first three contributions are scored on
levels: str = "0.5,0.6,0.8,0.9,0.95,0.98"  # fractions pruned at which the first two contributions are scored

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, paper_a, scoring, sources
from lib.claims import badge, escaped
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()
panels = paper_a.panels_at("A-1", {f"level {part}": part for part in levels.split(",")}, experiment)
scored = scoring.score("A", "1", store, panels)

# %% [markdown]
# ## The question
#
# The lottery ticket hypothesis {cite:p}`frankle2019` says that a randomly initialised network holds a sub-network
# which, trained alone from the *same* initial weights, reaches the accuracy of the whole. Pruning finds such a
# sub-network: train, keep the weights that end largest, reset them to where they began, train again. What the
# hypothesis leaves open is how many there are. The paper's way to ask is simple: keep the initial weights, do not
# fix randomness "in for example the sampling of the batches, and the gradients" {cite:p}`grosse2020`, and see whether the
# same mask comes out. Here only the order of the batches differs: our kernels are
# deterministic, and no noise of rounding is put in.
#
# Its answer has six parts.

# %%
table(
    ["contribution", "what the paper claims", "verdict so far", "decided in"],
    [
        [str(number), escaped(s.paper), badge(s.verdict), where]
        for number, (s, where) in enumerate(
            zip(
                scored,
                ["section 3.1", "sections 3.1, 3.2", "section 3.3", "section 3.4", "section 3.4", "section 4"],
                strict=True,
            ),
            1,
        )
    ],
    "tab-a-1-contributions",
    "The six contributions of the paper {cite:p}`grosse2020` and what this book's measurements say of each so far.",
    [*sources.tickets(store, *(name for s in scored for name in s.experiments)), sources.PAPER_A],
)

# %% [markdown]
# The first three are about tickets whose batch order was free, and are scored here at every level that is trained: the
# overlaps of {ref}`section 3.1 <a-3-1>`, the shared weights of {ref}`section 3.2.1 <a-3-2-1>` and the rank correlations of
# {ref}`section 3.2.3 <a-3-2-3>` against chance, and the masks with their units matched of {ref}`section 3.3 <a-3-3>`. The
# fourth and the fifth are about tickets trained with part of the randomness held fixed, of {ref}`section 3.4 <a-3-4>`.
#
# ## Claims of the abstract and of this section

# %%
markdown(pages.claims_block(scoring.score("A", "Abstract", store) + scored))

# %%
markdown(pages.provenance(store, [experiment, *paper_a.ALL_PARTIAL]))
