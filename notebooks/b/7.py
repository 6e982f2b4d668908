# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (b-7)=
# # B 7 Conclusion
#
# **In brief.** The paper concludes that winning tickets are alike in their signs, that this holds across data sets, and that one
# could use it to find tickets without training {cite:p}`signs2022`. Here is what its sections come to, counted from the
# ledger, and what remains open.

# %% tags=["parameters"]
sections: str = "3,5,6,7,Appendix A.1,Appendix A.2,Appendix A.3"  # sections whose verdicts are counted

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

# %%
parts = {section.strip(): scoring.score("B", section.strip(), store) for section in sections.split(",")}
markdown(pages.summary_table(parts))

# %% [markdown]
# ## What the conclusion needs to stand
#
# "More similar to each other" is a statement about *pairs of tickets*; what it needs is that winning tickets are closer to each other than
# to random ones, and than random ones to each other. It stands firmer if it holds when tickets and not pairs are shuffled, when
# no two tickets share a start, and when random tickets have the same numbers of positive and negative weights. The table of
# {ref}`section 5 <b-5>` turns each of these switches, condition by condition; {numref}`tab-b-7-switches` says what remains.

# %%
pages_b.conclusion_table(store, "tab-b-7-switches")

# %% [markdown]
# "Not visible when ignoring the signs" compares two numbers: how often neighbouring survivors have the same sign, and how often
# survivors are neighbours at all. If the second is as by chance, whoever ignores the signs sees nothing
# ({numref}`tab-b-7-signs`).

# %%
pages_b.sign_table(store, "tab-b-7-signs")

# %%
pages_b.untrained_note(store, paper_b.Settings())

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("B", "7", store)))

# %%
markdown(pages.provenance(store, [*paper_b.DATASETS.values(), *paper_b.STAND_INS.values()]))
