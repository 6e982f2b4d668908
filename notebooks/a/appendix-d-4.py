# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-d-4)=
# # A Appendix D.4: Tickets of different data sets
#
# **In brief.** Networks for Fashion-MNIST, MNIST and CIFAR-10 that start from the same weights wherever their layers have the same
# shape. The paper finds that their tickets overlap more than by chance, and takes it for an effect of fixed randomness
# {cite:p}`grosse2020`. Tickets with a free batch order are the test of that.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/partial"  # whose tickets are compared with those of other images
partners: str = "a/mnist-lenet/partial,a/cifar-lenet/partial"  # experiments on those images, with commas between
level: float = 0.5  # fraction pruned at which Figure 13a is drawn; the paper takes the first step, 0.5
captioned_level: float = 0.9  # the same for Figure 13b; the paper's caption says 0.9
implied_level: float = 0.95  # a second reading of it: the level that the paper's text gives

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
import dataclasses

from lib import pages, pages_a, pages_ladder, paper_a, scoring
from lib.experiments import find
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
later = {"captioned level": captioned_level, "implied level": implied_level}
panels = {
    key: dataclasses.replace(
        paper_a.panels_at(key, read, experiment)[key], partners=tuple(find(p).name for p in partners.split(","))
    )
    for key, read in {"A-F13a": {"first step": level}, "A-F13b": later}.items()
}
scored = scoring.score("A", "Appendix D.4", store, panels)
network, *networks = (name.rpartition("/")[0] for name in (experiment, *partners.split(",")))

# %% [markdown]
# With CIFAR-10 only three layers compare: its images have three channels and more pixels, so `conv1` and `dense1` are larger.
# Every run on one data set is paired with every run on the other, initialisation by initialisation.

# %%
(first,) = panels["A-F13a"].levels.values()
pages_a.task_panel(store, panels["A-F13a"], first, "fig-a-13a", "the paper's Figure 13a", "A-F13a")

# %%
markdown(pages.beside(scored, "A-F13a"))

# %%
captioned, implied = panels["A-F13b"].levels.values()
pages_a.task_panel(store, panels["A-F13b"], captioned, "fig-a-13b", "the paper's Figure 13b", "A-F13b")

# %%
markdown(pages.beside(scored, "A-F13b"))

# %% [markdown]
# ## Is it the randomness?
#
# The masks keep what ends large, and what starts large tends to end large ({ref}`section 3.1 <a-3-1>`). Two networks that
# start from the same weights can share weights for that reason alone, whatever they are trained on and in whatever order. If so,
# tickets with a *free* batch order share as much across data sets.

# %%
free = dataclasses.replace(panels["A-F13a"], experiment=paper_a.FASHION, partners=(paper_a.CIFAR,))
pages_a.task_panel(store, free, first, "fig-a-13a-free", "for comparison with the paper's Figure 13a")

# %%
pages_a.task_table(store, [first, captioned, implied], "tab-a-d-4-free")

# %% [markdown]
# ## Which tickets the paper's numbers fit
#
# Figure 13 on every rung of the ladder of randomness that both data sets have, and the distance of each rung, as
# {ref}`section 3.1 <a-3-1>` explains. On the first rung the two tickets come from different initial weights. First with the
# first of the other data sets, MNIST unless a parameter says otherwise:

# %%
pages_ladder.ladder_strips(store, "A-F13a", network, first, "fig-a-13a-mnist-rungs", networks[0])

# %%
pages_ladder.ladder_figure(store, "A-F13a", network, panels["A-F13a"].levels, "fig-a-13a-mnist-ladder", networks[0])

# %%
pages_ladder.ladder_table(store, "A-F13a", network, panels["A-F13a"].levels, "tab-a-13a-mnist-ladder", networks[0])

# %%
pages_ladder.ladder_strips(store, "A-F13b", network, captioned, "fig-a-13b-mnist-rungs", networks[0])

# %%
pages_ladder.ladder_figure(store, "A-F13b", network, panels["A-F13b"].levels, "fig-a-13b-mnist-ladder", networks[0])

# %%
pages_ladder.ladder_table(store, "A-F13b", network, panels["A-F13b"].levels, "tab-a-13b-mnist-ladder", networks[0])

# %% [markdown]
# With the last of them, CIFAR-10, in the layers that compare:

# %%
pages_ladder.ladder_strips(store, "A-F13a", network, first, "fig-a-13a-cifar-rungs", networks[-1])

# %%
pages_ladder.ladder_figure(store, "A-F13a", network, panels["A-F13a"].levels, "fig-a-13a-cifar-ladder", networks[-1])

# %%
pages_ladder.ladder_table(store, "A-F13a", network, panels["A-F13a"].levels, "tab-a-13a-cifar-ladder", networks[-1])

# %%
pages_ladder.ladder_strips(store, "A-F13b", network, captioned, "fig-a-13b-cifar-rungs", networks[-1])

# %%
pages_ladder.ladder_figure(store, "A-F13b", network, panels["A-F13b"].levels, "fig-a-13b-cifar-ladder", networks[-1])

# %%
pages_ladder.ladder_table(store, "A-F13b", network, panels["A-F13b"].levels, "tab-a-13b-cifar-ladder", networks[-1])

# %% [markdown]
# ## Claims of this appendix

# %%
markdown(pages.claims_block(scored))

# %%
used = [paper_a.FASHION_PARTIAL, paper_a.MNIST_PARTIAL, paper_a.CIFAR_PARTIAL, paper_a.FASHION, paper_a.CIFAR]
markdown(pages.provenance(store, used))
