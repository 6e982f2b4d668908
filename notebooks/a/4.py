# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-4)=
# # A 4 Conclusion
#
# **In brief.** What is left of the paper's conclusion {cite:p}`grosse2020` when each claim has been held against tickets. The
# table is made from the ledger.

# %% tags=["parameters"]
by_section: bool = True  # one row a section; false gives one row for the whole paper

# %% tags=["remove-cell"]
# Finds the library, wherever this notebook is opened: above it, or below, as a clone in Colab.
import sys
from pathlib import Path

places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("*/")]
sys.path.insert(0, str(next((p for p in places if (p / "lib" / "claims.py").is_file()), Path.cwd())))

# %%
from lib import pages, paper_a, scoring
from lib.notebook import markdown
from lib.tickets import Store

store = Store()
everything = scoring.score_all("A", store=store)
parts = {}
for one in everything:
    parts.setdefault(one.claim.section if by_section else "whole paper", []).append(one)

# %%
markdown(pages.summary_table(parts))

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block([one for one in everything if one.claim.section == "4"]))

# %%
markdown(pages.provenance(store, [*paper_a.FREE.values(), *paper_a.ALL_PARTIAL]))
