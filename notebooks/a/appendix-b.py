# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-appendix-b)=
# # A Appendix B: What five masks share by chance
#
# **In brief.** For two masks chance is the hypergeometric distribution. For five, the paper approximates
# {cite:p}`grosse2020`. Here the exact distributions stand beside the printed formulas and a simulation with masks
# that are really drawn. Equation 4 is exact, and so are the mean and the variance of equation 2, which calls the variance
# sigma. Of the others only the mean of equation 3 is exact, and equations 6 and 7 give negative numbers of weights.

# %% tags=["parameters"]
experiment: str = "a/fashion-lenet/free"  # whose levels and layer sizes are used
layer: str = "conv2"  # layer whose size is used: conv1, conv2, dense1, dense2 or output
masks: int = 5  # number of independent masks
repetitions: int = 1000  # how often the masks are drawn in the simulation
seed: int = 0  # of the simulation

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
import numpy as np

from lib import baselines, evidence, figures, pages, scoring, sources
from lib.experiments import find
from lib.notebook import markdown, show, table
from lib.pruning import kept_counts
from lib.tickets import Store

network = find(experiment)
(layer,) = evidence.choose_layers(experiment, layer)
names = [level.name for level in network.levels[1:]]
n = next(y.size for y in network.architecture.layers if y.name == layer)
kept = [kept_counts(network.architecture, level)[layer] for level in network.levels[1:]]
drawn = [baselines.simulate(n, k, masks, repetitions, seed) for k in kept]

# %% [markdown]
# ## The exact answers
#
# Let a layer have $mn$ weights, let each of $k$ independent masks keep $|t|$ of them, and write $q = |t| / mn$ for the
# kept fraction. A given weight lies in all $k$ masks with probability $q^k$ and in none with $(1 - q)^k$, so
#
# $$
# \mathbb{E}[\text{in all}] = mn \, q^k ,
# \qquad
# \mathbb{E}[\text{in none}] = mn \, (1 - q)^k .
# $$ (eq-a-b-means)
#
# Two different weights lie in all $k$ masks with probability $\bigl( q \, \tfrac{|t| - 1}{mn - 1} \bigr)^k$, which gives
# the variance. The whole distribution comes mask by mask: of $s$ weights shared so far, the next mask takes a
# hypergeometric number,
#
# $$
# P_{i+1}(x) = \sum_{s} P_i(s) \, \binom{s}{x} \binom{mn - s}{|t| - x} \Big/ \binom{mn}{|t|} .
# $$ (eq-a-b-mix)
#
# The weights in no mask are those shared by all complements, so the same recursion serves, with $mn - |t|$ in the place
# of $|t|$.
#
# ## What is printed
#
# * Equation 2 calls $|t| q \tfrac{mn - |t|}{mn} \tfrac{mn - |t|}{mn - 1}$ a $\sigma$. It is the variance.
# * Equation 3 adds $|t| \tfrac{mn - |t|}{mn} \tfrac{mn - |t|}{mn - 1}$ to a mean: the variance again, without the factor
#   $q$, and in the place of a standard deviation.
# * Equation 4, $\tau_i = |t| \, \tau_{i-1} / mn$, is exact: it is {eq}`eq-a-b-means` step by step.
# * Equation 5 adds three times the term of equation 3 at every step. The result can exceed $|t|$, which no number of
#   shared weights can.
# * Equation 6, $\tau_i = |t| - |t| \, \tau_{i-1} / mn$, is meant as the weights that mask $i$ adds to those covered before.
#   It holds $\tau_{i-1}$ where the sum of all earlier $\tau$ belongs, so it counts weights twice.
# * Equation 7 is to equation 6 what equation 5 is to equation 4.
#
# ## Weights in all masks


# %%
def intervals(low_high, mean):
    """Return low end, mean and high end at every level, in % of what is asked."""
    return np.array([[*low_high(n, k, masks), mean(n, k, masks)] for k in kept])[:, [0, 2, 1]]


share = 100 / np.array(kept)
exact = intervals(baselines.shared_interval, baselines.shared_mean) * share[:, None]
simulated = np.stack([d.shared for d in drawn]) * share[:, None]
printed = np.array([baselines.printed_shared(n, k, masks)[-1] for k in kept]) * share
printed_max = np.array([baselines.printed_shared_max(n, k, masks)[-1] for k in kept]) * share
show(
    lambda: figures.baseline_comparison(
        names,
        exact,
        simulated,
        {"printed mean (eq. 4)": printed, "printed upper end (eq. 5)": printed_max},
        f"weights in all {masks} masks (% of a mask)",
    ),
    "fig-a-b-shared",
    f"Weights of `{layer}` ({n:,} weights) that lie in all of {masks} random masks, in % of a mask: exact, simulated "
    f"({repetitions:,} draws, seed {seed}) and as printed. Printed and exact mean agree; the printed upper end exceeds "
    f"100 % at {(printed_max > 100).sum()} of {len(names)} levels.",
    f"Exact means fall from {exact[0, 1]:.2f} to {exact[-1, 1]:.5f} percent of a mask; the upper end of equation 5 lies "
    f"between {printed_max.min():.0f} and {printed_max.max():.0f} percent.",
    [sources.COMPUTED, sources.PAPER_A],
)

# %% [markdown]
# ## Weights in no mask

# %%
share = np.full(len(kept), 100 / n)
exact_none = intervals(baselines.uncovered_interval, baselines.uncovered_mean) * share[:, None]
simulated_none = np.stack([d.uncovered for d in drawn]) * share[:, None]
printed_none = np.array([baselines.printed_uncovered(n, k, masks) for k in kept]) * share
printed_least = 100 - np.array([baselines.printed_covered_max(n, k, masks) for k in kept]) * share
show(
    lambda: figures.baseline_comparison(
        names,
        exact_none,
        simulated_none,
        {"printed mean (eq. 6)": printed_none, "100 % less printed largest coverage (eq. 7)": printed_least},
        "weights in no mask (% of the layer)",
    ),
    "fig-a-b-none",
    f"Weights of `{layer}` that lie in none of {masks} random masks, in % of the layer: exact, simulated "
    f"({repetitions:,} draws, seed {seed}) and as printed. Equation 6 gives {printed_none[0]:.0f} % at {names[0]} % pruned, "
    f"where {exact_none[0, 1]:.1f} % is right.",
    f"Exact means rise from {exact_none[0, 1]:.1f} to {exact_none[-1, 1]:.1f} percent; equation 6 gives values from "
    f"{printed_none.min():.0f} to {printed_none.max():.0f} percent.",
    [sources.COMPUTED, sources.PAPER_A],
)

# %% [markdown]
# ## Side by side

# %%
table(
    ["pruned", "exact", "simulated", "mean, eq. 4", "upper end, eq. 5"],
    [
        [
            f"{name} %",
            f"{baselines.shared_mean(n, k, masks):.3g} ± {np.sqrt(baselines.shared_variance(n, k, masks)):.2g}",
            f"{d.shared.mean():.3g} ± {d.shared.std(ddof=1):.2g}",
            f"{baselines.printed_shared(n, k, masks)[-1]:.3g}",
            f"{baselines.printed_shared_max(n, k, masks)[-1]:,.0f}",
        ]
        for name, k, d in zip(names, kept, drawn, strict=True)
    ],
    "tab-a-b-shared",
    f"Weights of `{layer}` ({n:,}) in *all* of {masks} masks: mean ± standard deviation exactly and in {repetitions:,} "
    f"simulated draws (seed {seed}), and as printed {{cite:p}}`grosse2020`.",
    [sources.COMPUTED, sources.PAPER_A],
)

# %%
table(
    ["pruned", "exact", "simulated", "mean, eq. 6", "least, eq. 7"],
    [
        [
            f"{name} %",
            f"{baselines.uncovered_mean(n, k, masks):,.0f} ± {np.sqrt(baselines.uncovered_variance(n, k, masks)):.1f}",
            f"{d.uncovered.mean():,.0f} ± {d.uncovered.std(ddof=1):.1f}",
            f"{baselines.printed_uncovered(n, k, masks):,.0f}",
            f"{n - baselines.printed_covered_max(n, k, masks):,.0f}",
        ]
        for name, k, d in zip(names, kept, drawn, strict=True)
    ],
    "tab-a-b-none",
    f"Weights of `{layer}` ({n:,}) in *none* of {masks} masks: mean ± standard deviation exactly and in {repetitions:,} "
    f"simulated draws (seed {seed}), and as printed {{cite:p}}`grosse2020`; the least is what equation 7 leaves uncovered.",
    [sources.COMPUTED, sources.PAPER_A],
)

# %% [markdown]
# The paper turns the distance between its two formulas into a variance, half of it, because 95 % of a normal
# distribution lie within "2 x the variance". Two *standard deviations* are meant, as for the three-sigma rule that it
# cites {cite:p}`pukelsheim1994`; in the next paragraph of the appendix the same distance is set to $2 \sigma$.
#
# Everywhere else in this book the exact distributions are used.
#
# ## Claims of this appendix
#
# A formula is checked at each level in all five layers of the network: it agrees if it is within 1 % of the exact value.

# %%
markdown(pages.claims_block(scoring.score("A", "Appendix B")))

# %%
markdown(pages.provenance(Store(), []))
