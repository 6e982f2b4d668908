# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-5)=
# # B 5 Winning tickets and random ones, compared
#
# **In brief.** Are two winning tickets closer to each other than two random ones? The paper compares fifty pairs of each of ten
# conditions and says: with signs, always, and by a wide margin; without signs, hardly {cite:p}`signs2022`. Three things can
# stand in the way of that conclusion: pairs that share a ticket are not independent, tickets that share their initial weights
# share signs for no other reason, and unbalanced signs alone change the distance. Each is measured here.

# %% tags=["parameters"]
carry: bool = True  # whether the match of a layer's units is carried to the inputs of the next layer
trained: bool = False  # signs at the end of the tickets' training, not those of their initial weights
same_start: bool = False  # whether pairs count whose two tickets have the same initial weights
tickets: int = 0  # how many of each group's tickets are used, the first ones, such as 14; 0 for all
sample: int = 50  # pairs drawn of each condition, as in the paper; 0 for all

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
settings = paper_b.Settings(carry, trained, same_start, tickets, sample=sample)

# %% [markdown]
# ## Ten conditions
#
# *WTs_X*: two winning tickets of data set X. *mixed_X*: a winning ticket of X and a random one. *Y_X*: winning tickets of two
# data sets. *random*: two random tickets, with which every other condition is compared. The paper draws 50 pairs of each; its 20
# tickets make 190, and 380 with those of another group once pairs of one start are left out. CINIC-10 and SVHN could not be had; the rows of their
# stand-ins, *super10* and *photo*, stand beside the paper's under their own names where three tickets or more are trained.

# %%
pages_b.untrained_note(store, settings)

# %%
pages_b.comparison_brief(store, settings)

# %%
pages_b.distance_panel(store, settings, "fig-b-1", "the paper's Figure 1")

# %% [markdown]
# The two metrics have scales of their own: NNSTD± of the same pair is larger, as sets split by sign are sparser. What counts is
# how far the groups lie apart, in units of their spread.
#
# ## Table 1
#
# Welch's test asks whether two means differ, and takes all values as independent. They are not: 50 pairs of 20
# tickets use every ticket five times, and a ticket that is unlike the others is far from all of them. The last column
# therefore shuffles *tickets* and not pairs: if it makes no difference which tickets are winning ones, any other
# assignment of the labels is as likely. It asks more than Welch's test, most of all where the tickets of one data set are
# much closer to each other than all others, for labels at random then scatter widely. On distances made with exactly the
# paper's differences and effects it confirms at 0.01 all conditions of two winning tickets but `SVHN_CINIC`, and none of the
# mixed ones, two of which the paper calls significant.

# %%
pages_b.comparison_table(store, settings, True, "", "tab-b-1-signed")

# %%
pages_b.comparison_table(store, settings, False, "", "tab-b-1-plain")

# %% [markdown]
# ## Fifty comparisons?
#
# An effect $d$ and the size of the groups decide the p-value, so the two printed columns say how large the groups were.

# %%
pages_b.implied_table("tab-b-5-implied")

# %% [markdown]
# Whatever was compared, it was not fifty pairs a condition, at least not for these numbers. It changes no sign and hardly a verdict:
# with fifty pairs the same effects would be more significant still.
#
# ## What the conclusion hangs on
#
# One switch at a time: the match carried or not, signs before or after training, pairs of one start, all tickets or the first
# fourteen (the paper's kernel statistics use fourteen). The last column asks another question. Tickets may have more
# positive than negative weights, and some of their units keep many weights, others few. *Controls* are
# random tickets that share just that with the winning ones. {ref}`Section 7 <b-7>` sums the table up, with the switches of
# the {ref}`kernel statistics <b-6>`.

# %%
pages_b.switch_table(store, "tab-b-5-switches")

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "5", store, settings=settings)))

# %%
markdown(pages.provenance(store, [*paper_b.DATASETS.values(), *paper_b.STAND_INS.values()]))
