# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (own)=
# # Use it on your own network
#
# **In brief.** Two pruned networks of yours, of any architecture, can be measured as the tickets of this book are: overlap
# against chance, rank correlation, the distances NNSTD with and without signs, and sign patterns in 3 × 3 kernels.

# %% tags=["parameters"]
level: str = "90"  # the level of the two tickets that serve as an example, in percent pruned
second: int = 1  # the ticket that is compared with ticket 0; 1 to 4 have its initial weights, 5 to 24 others

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %% [markdown]
# ## Ten lines
#
# From the root of this repository, with PyTorch installed:
#
# ```python
# from lib import own
#
# first = own.read("first.pt")  # by torch.save(model.state_dict(), ...)
# second = own.read("second.pt")
# for layer in own.compare(first, second):
#     print(layer)
# for layer in own.kernel_statistics(first):
#     print(layer)
# ```
#
# A *state dict* maps names to tensors; every tensor of two axes and more is a layer. What `torch.nn.utils.prune` leaves
# in it, a weight `..._orig` and its mask `..._mask`, is put together; without such a mask, a weight that is exactly zero
# counts as pruned. A mapping of names to NumPy arrays will do as well, in memory or in a `.npz` file, and boolean arrays
# are masks without weights: their overlap and NNSTD are measured, and no more. Files are read with `weights_only=True`:
# nothing in them is executed.
#
# ## What is measured
#
# *Overlap* is the share of the smaller mask that the other network keeps too; chance is the hypergeometric distribution
# with the numbers that each of them keeps in that layer. The *rank correlation* is Spearman's, over the weights that both
# keep, with its standard deviation under chance, $1/\sqrt{t - 1}$ of $t$ weights. With the initial and the final network of
# one training run it is that of {ref}`A 3.2.3 <a-3-2-3>`. *NNSTD* {cite:p}`liu2020` matches the units of two layers
# one to one and takes the mean distance of their connections, 0 to 1. How a match goes on through a residual network is not
# defined, so each layer is matched for itself; `own.compare(first, second, carry=True)` carries the match from layer to
# layer where the layers are a chain, as this book does.
#
# Three things to bear in mind. Chance here keeps each layer's count, so it knows nothing of layers that are pruned more
# than others. Two networks from the same initial weights share more than two from different ones
# ({ref}`A 3.1 <a-3-1>`). And one pair is one pair: a statement about a method needs several, and tickets
# compared in pairs are not independent.
#
# ## Two tickets of this book

# %%
from lib import evidence, own, pages, pages_a, paper_a, sources
from lib.errors import UserError
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()
experiment = store.find(paper_a.FASHION)
if not 0 < second < experiment.replicas:
    raise UserError(f"second is {second}: it should be a whole number between 1 and {experiment.replicas - 1}")


# %%
def ticket(weights):
    """One ticket as a mapping of layers to weights, zero where pruned."""
    slices = experiment.architecture.weight_slices()
    return {layer.name: weights[slices[layer.name]].reshape(layer.shape) for layer in experiment.architecture.layers}


try:
    weights = evidence.part(store, paper_a.FASHION, level, "weights")
except evidence.Missing as missing:
    markdown(pages.missing_panel("Two tickets of this book", str(missing)))
else:
    found = own.compare(ticket(weights[0]), ticket(weights[second]), carry=True)
    table(
        ["layer", "kept", "overlap", "chance (95 %)", "rank correlation", "deviation by chance", "NNSTD", "with signs"],
        [
            [
                y.name,
                f"{y.kept[0]:,}",
                f"{y.overlap:.1f} %",
                f"{y.expected:.1f} ({y.low:.1f} to {y.high:.1f})",
                f"{y.rank_correlation:.2f}",
                f"{y.null_deviation:.2f}",
                f"{y.nnstd:.3f}",
                f"{y.nnstd_signs:.3f}",
            ]
            for y in found
        ],
        "tab-own",
        f"Tickets 0 and {second} of {pages_a.tickets_of(paper_a.FASHION)}, at {level} % pruned, compared layer by layer: the "
        "weights that a mask keeps; overlap in % of the smaller mask, beside chance and its central 95 %; rank correlation of the weights "
        "that both keep, and its standard deviation by chance; NNSTD without and with signs, from 0, equal, to 1, nothing in "
        "common.",
        sources.tickets(store, paper_a.FASHION),
    )

# %%
markdown(pages.provenance(store, [paper_a.FASHION]))
