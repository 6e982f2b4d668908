# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-3)=
# # B 3 A distance between sparse networks
#
# **In brief.** Two networks that differ only in the order of their hidden units are the same network. So a distance between
# networks must match the units before it compares connections. NNSTD {cite:p}`liu2020` does; paper B's NNSTD±
# {cite:p}`signs2022` compares positive connections with positive ones and negative with negative. This chapter defines both and
# computes them for two small networks that you can change.

# %% tags=["parameters"]
hidden_1: str = "+-00+ 0++-0 -00+0"  # network 1, hidden layer: a word a unit, a letter an input, of + - 0
output_1: str = "+0- 0++ -+0"  # network 1, output layer: a word a unit, a letter a hidden unit
hidden_2: str = "0++-0 +-0-+ -00-0"  # network 2, hidden layer
output_2: str = "0+- +0+ +-0"  # network 2, output layer
carry: bool = True  # whether the match of the hidden units is carried to the inputs of the output layer

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import figures, pages, pages_b, paper_b, scoring, sources, topology
from lib.notebook import markdown, show, table
from lib.tickets import Store

store = Store()

# %% [markdown]
# ## Two units
#
# A unit is what it is connected to. Let $G$ and $H$ be the sets of inputs that two units keep. Turning one into the other
# takes as many additions and removals as there are inputs in one set only. Divided by how many there are in either, this is
# the *normalised edit distance*,
#
# $$
# \mathrm{NED}(G, H) = \frac{|G \,\triangle\, H|}{|G \cup H|}, \qquad \mathrm{NED}(\emptyset, \emptyset) = 0 ,
# $$ (eq-b-ned)
#
# also known as Jaccard's distance: 0 for equal sets, 1 for sets that share nothing. A convolution's units are its filters, and a
# filter's inputs are all entries of its kernels.
#
# The distance with signs splits each set by the sign of the weights and takes the mean,
#
# $$
# \mathrm{NED}^{\pm}(G, H) = \tfrac12 \left( \mathrm{NED}(G^{+}, H^{+}) + \mathrm{NED}(G^{-}, H^{-}) \right) .
# $$ (eq-b-nedpm)
#
# A connection whose sign differs is missing from one pair of sets and too many in the other, so it costs more than one
# that is just absent. Which signs? Those of the initial weights: the paper speaks of tickets before training.
#
# ## Two networks
#
# The units of a layer have no order that means anything. NNSTD matches them one to one at the least total distance, a
# linear assignment problem; the layer's distance is the mean over the matched pairs, the network's the mean over its layers.
# Let unit $u$ of layer $l$ have the inputs $G_{l,u}$ in network 1 and $H_{l,u}$ in network 2, $n_l$ be the number of units, and
# $\pi_l$ the match, a permutation of them. Then
#
# $$
# \mathrm{NNSTD} = \frac1L \sum_{l=1}^{L} \min_{\pi_l} \frac1{n_l} \sum_{u=1}^{n_l}
# \mathrm{NED}\bigl(G_{l,u},\; \pi_{l-1}^{-1}(H_{l,\pi_l(u)})\bigr) ,
# $$ (eq-b-nnstd)
#
# where $\pi_{l-1}^{-1}$ gives every input of network 2 the name of its partner in network 1, and the layers are matched one after
# the other; NNSTD± has $\mathrm{NED}^{\pm}$ in the place of $\mathrm{NED}$.
#
# A match has consequences: the inputs of the next layer are the units just matched, so they are put into the same order
# before that layer is compared. Behind a convolution an input is a whole kernel; behind the flattening it is all pixels of a
# channel, 256 of them in Conv-2. The paper does not say whether it carries the match so. Here it is carried; a switch
# (`carry`) leaves every input where it is.

# %%
architecture, a = paper_b.small_network(hidden_1, output_1)
_, b = paper_b.small_network(hidden_2, output_2)
matches = {
    "NNSTD": topology.matching(architecture, a != 0, b != 0, carry),
    "NNSTD±": topology.matching(architecture, a, b, carry),
}
said = "; ".join(
    f"{metric}: {', '.join(f'{m.distance:.3f} in {m.layer}' for m in found)}" for metric, found in matches.items()
)
show(
    lambda: figures.match_maps(matches),
    "fig-b-3-match",
    "Distance of every unit of network 1 from every unit of network 2, of the two small networks in the parameters of this "
    f"chapter; frames mark the match of least total distance. {said}.",
    f"Four small heat maps with a number in every cell and one framed cell in each row. {said}.",
    [sources.COMPUTED],
)

# %%
rows = []
for metric, (one, two) in {"NNSTD": (a != 0, b != 0), "NNSTD±": (a, b)}.items():
    for carried in (True, False):
        layers = topology.layer_distances(architecture, one, two, carried)
        rows.append([metric, "yes" if carried else "no", *(f"{x:.3f}" for x in layers), f"{layers.mean():.3f}"])
table(
    ["metric", "match carried", *(layer.name for layer in architecture.layers), "networks"],
    rows,
    "tab-b-3-example",
    "The two small networks, with the match carried to the next layer or not: distances of the layers, and their mean.",
    [sources.COMPUTED],
)

# %% [markdown]
# Network 2 was made from network 1: its first two hidden units have changed places, one of them has a connection more, the third has
# one of the other sign, and the columns of its output layer went along. NNSTD sees the additional connection and nothing else;
# NNSTD± sees both. Unless the match is carried, it also finds the output layers different, although they are the same.
#
# Try it: `python -m lib run b/3 -p hidden_2 "+-00+ -00+0 0++-0"` gives network 2 the hidden units of network 1 in another order.
# The hidden layers are then at distance 0, whatever the order; so is the output layer if its columns go along, and if the
# match is carried.
#
# ## What the definition does not settle
#
# * **Greedy.** Each layer is matched by itself, from the input on. A joint match of all layers could be closer.
# * **Ties.** Of several matches at the same cost the one that the solver finds is carried. With the two networks in the other
#   order it may find another, and the distance in the layers behind may be another: so it is no distance in the strict sense.
#   This book compares groups of tickets in the order of their names, and two tickets of one group in the order of their trials.
# * **The output layer** is matched too, although its units are classes and so have an order: the paper's
#   tables have rows for it as for the others, and it does not say that it is treated otherwise.
# * **Sparsity.** Two random sets are the further apart the sparser they are. Two masks that keep a share $k$ of the inputs at
#   random are at about $1 - k / (2 - k)$. Numbers of layers with different sparsity do not compare, and two groups compare only
#   if they keep as many weights.
# * **Balance.** A network with more positive than negative weights has larger sets on one side and smaller ones on the
#   other. That alone changes NNSTD±, and tickets may well be unbalanced ({numref}`tab-b-3-balance`);
#   {ref}`section 5 <b-5>` therefore has controls.

# %% tags=["remove-input"]
markdown(pages_b.order_words(store))

# %%
pages_b.balance_table(store, "tab-b-3-balance")

# %%
pages_b.untrained_note(store, paper_b.Settings(), stand_ins=False)

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "3", store)))

# %%
markdown(pages.provenance(store, [*paper_b.DATASETS.values()]))
