# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-1)=
# # B 1, 2 What the paper sets out to show
#
# **In brief.** A winning ticket is a sparse part of a network that trains as well as the whole {cite:p}`frankle2019`. Paper B
# {cite:p}`signs2022` asks what such tickets have in common that other sparse networks do not have. Its answer: the *signs*
# of their connections. It says so with a distance between networks that knows signs, and with the patterns of signs in the
# kernels of the first layer.

# %% tags=["parameters"]
sections: str = "3,4,5,6,7,Appendix A.1,Appendix A.2,Appendix A.3"  # sections whose verdicts are counted below

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, paper_b, scoring, sources
from lib.experiments import find
from lib.notebook import markdown, table
from lib.tickets import Store

store = Store()

# %% [markdown]
# ## The two halves of the argument
#
# *Whole networks.* The Neural Network Sparse Topology Distance, NNSTD {cite:p}`liu2020`, compares which connections two
# sparse networks have, with their units matched. The paper makes it aware of signs ({ref}`section 3 <b-3>`), trains twenty
# winning tickets on each of three data sets ({ref}`section 4 <b-4>`) and finds them closer to each other than random ones
# are, within a data set and between two ({ref}`section 5 <b-5>`, by layer in {ref}`appendix A.1 <b-appendix-a-1>` and
# {ref}`A.2 <b-appendix-a-2>`).
#
# *Kernels.* In the first layer, weights of one sign lie side by side, in patterns like those of trained filters
# (section 6 and appendix A.3).
#
# ## Why signs
#
# Section 2 of the paper builds on {cite:t}`zhou2019`: a ticket that is given other initial weights no longer wins as a rule,
# but one whose new weights keep their old signs still does. If signs carry what matters, a distance that ignores them
# looks in the wrong place. That is background, which the paper takes from elsewhere and this book does not repeat.
#
# ## What the book has to say to it
#
# Every claim has a verdict, by [rules](../../rules.md) fixed before, but for the exceptions named there. Here is how many
# have which.

# %%
parts = {section.strip(): scoring.score("B", section.strip(), store) for section in sections.split(",")}
markdown(pages.summary_table(parts))

# %% [markdown]
# The tickets that these claims need are listed in {numref}`tab-b-1-experiments`. CINIC-10 and SVHN could not be had. Two other
# data sets stand in for them, under their own names: no claim about CINIC-10 or SVHN is scored on a stand-in.

# %%
rows = [
    [
        f"`{name}`",
        key,
        "the paper's" if key in paper_b.DATASETS else "a stand-in",
        (store.trials(name) or "yes") if trained else ("first levels" if store.trials(name) else "no"),
    ]
    for key, name, trained in (
        (key, name, find(name).last in store.finished(store.find(name)))
        for key, name in {**paper_b.DATASETS, **paper_b.STAND_INS}.items()
    )
]
table(
    ["experiment", "called here", "data set", "trained"],
    rows,
    "tab-b-1-experiments",
    "The experiments of paper B. *super10*: ten superclasses of CIFAR-100, in CINIC-10's place; *photo*: MNIST digits on "
    "photographs, in SVHN's place {cite:p}`krizhevsky2009,lecun1998`. `python -m lib train NAME` trains one.",
    [sources.SPECIFIED],
)

# %% [markdown]
# ## Claims of the abstract and of sections 1 and 2

# %%
markdown(pages.claims_block(scoring.score("B", "Abstract", store) + scoring.score("B", "2", store)))

# %%
markdown(pages.provenance(store, [*paper_b.DATASETS.values()]))
