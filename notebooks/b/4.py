# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-4)=
# # B 4 Experimental set-up
#
# **In brief.** What the paper trained, what it leaves open, and whether the tickets *win*: whether a ticket, trained by itself,
# does as well as the dense network, and better than a random network as sparse. The paper reports no accuracies
# {cite:p}`signs2022`; this chapter does.

# %% tags=["parameters"]
datasets: str = "CIFAR,CINIC,SVHN,super10,photo"  # data sets whose accuracies are shown, with commas between

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, pages_b, paper_b, scoring, sources
from lib.errors import UserError
from lib.experiments import find
from lib.notebook import markdown, table
from lib.pruning import kept_counts
from lib.tickets import Store

store = Store()
keys = [key.strip() for key in datasets.split(",")]
for key in keys:
    if key not in {**paper_b.DATASETS, **paper_b.STAND_INS}:
        raise UserError(f"datasets names {key!r}: known are {', '.join({**paper_b.DATASETS, **paper_b.STAND_INS})}")
experiment = find(paper_b.CIFAR)
layers = experiment.architecture.layers

# %% [markdown]
# ## Network and pruning
#
# Conv-2 of {cite:t}`frankle2019`: two convolutions with 64 filters of 3 x 3, a pooling, two dense layers of 256 units, ten outputs.
# Eleven times, all surviving weights are trained for ten epochs, those of least magnitude are removed layer by layer,
# and the others go back to their initial values. A round keeps nine tenths of a convolution and of the output layer, and four
# fifths of a dense layer. The kept count is the exact cumulative fraction, truncated: the paper's own Table A.3 counts 542
# weights in each first layer, which is $\lfloor 1728 \cdot 0.9^{11} \rfloor$.

# %%
counts = kept_counts(experiment.architecture, experiment.last)
rows = [[y.name, f"{y.size:,}", f"{counts[y.name]:,}", f"{100 * (1 - counts[y.name] / y.size):.2f} %"] for y in layers]
total, kept = experiment.architecture.weight_count, sum(counts.values())
table(
    ["layer", "weights", "kept by a ticket", "pruned"],
    [*rows, ["all", f"{total:,}", f"{kept:,}", f"{100 * (1 - kept / total):.2f} %"]],
    "tab-b-4-layers",
    "Conv-2 after eleven rounds. The paper states 68.6, 91.4 and 91.2 % pruned for convolutions, dense layers and all "
    "{cite:p}`signs2022`.",
    [sources.SPECIFIED, sources.PAPER_B],
)

# %% [markdown]
# ## Random tickets
#
# The control is a random ticket for each winning one: the same initial weights, and in every layer exactly as many survivors,
# at places drawn at random. It hangs on nothing but the network and the number of the trial, so the same twenty random
# tickets are the control of every data set, as in the paper, which has one condition *random*. They are trained too, as
# many as there are winning ones, to see what sparsity alone costs.
#
# ## What the paper leaves open

# %%
every = {**paper_b.DATASETS, **paper_b.STAND_INS}
few = [
    (key, store.trials(name))
    for key, name in every.items()
    if store.trials(name) and find(name).last in store.finished(store.find(name))
]
table(
    ["setting", "here", "why"],
    [
        [
            "optimiser, batch",
            f"Adam {experiment.learning_rate:g}, {experiment.batch} images",
            "{cite:t}`frankle2019`, Conv-2",
        ],
        ["initial weights", "Glorot normal, biases zero", "{cite:t}`frankle2019`; {cite:t}`glorot2010`"],
        ["pixels", "divided by 255", "not stated; `b/conv2/cifar10-standardised` is the other choice"],
        ["trials of two data sets", "trial *k* starts from the same weights on each", "not stated; see below"],
        [
            "counts of random tickets",
            "those of the winning ones, in every layer",
            "the paper's Table A.3 has equal sums",
        ],
        ["the final ticket", "trained once more, and a random one beside it", "to see whether it wins"],
        *(
            [f"trials on {key}", f"the first {count}", "the paper has 20; the others are not trained yet"]
            for key, count in few
        ),
    ],
    "tab-b-4-settings",
    f"Settings that the paper {{cite:p}}`signs2022` does not state{', or that are others here' if few else ''}.",
    [sources.SPECIFIED],
)

# %% [markdown]
# One of these matters for what follows. Trial *k* has the same initial weights on every data set, and so has random ticket
# *k*. Two tickets of one start share the signs of all their weights, wherever both keep one. Pairs of one start are
# therefore left out of every comparison (`same_start` in {ref}`section 5 <b-5>` brings them back). Within a data set there
# are none.
#
# ## Do the tickets win?
#
# A ticket *wins* here if it classifies at most one percentage point fewer of the test images than the dense network, and more
# than a random ticket, both on average over the trials. The paper says "to the same performance" without a number.

# %%
for key in keys[:1]:
    pages_b.round_panel(store, key, f"fig-b-4-{key.lower()}", f"data set {key}")

# %%
for key in keys[1:2]:
    pages_b.round_panel(store, key, f"fig-b-4-{key.lower()}", f"data set {key}")

# %%
for key in keys[2:3]:
    pages_b.round_panel(store, key, f"fig-b-4-{key.lower()}", f"data set {key}")

# %%
for key in keys[3:4]:
    pages_b.round_panel(store, key, f"fig-b-4-{key.lower()}", f"data set {key}, a stand-in")

# %%
for key in keys[4:5]:
    pages_b.round_panel(store, key, f"fig-b-4-{key.lower()}", f"data set {key}, a stand-in")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "4", store)))

# %%
markdown(pages.provenance(store, [paper_b.experiment_of(key) for key in keys]))
