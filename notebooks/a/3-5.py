# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-5)=
# # A 3.5 Implications
#
# **In brief.** The paper draws its findings together {cite:p}`grosse2020`: chance rules the overlaps while randomness is free, and
# no longer when it is fixed. This page is written by the ledger: what became of the claims of each section, and of those that
# the summary repeats.

# %% tags=["parameters"]
sections: str = "3.1,3.2.1,3.2.2,3.2.3,3.2.4,3.3,3.4"  # sections whose verdicts are counted here, with commas between

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
scored = scoring.score("A", "3.5", store)

# %%
markdown(pages.summary_table({section: scoring.score("A", section, store) for section in sections.split(",")}))

# %% [markdown]
# ## What the summary says, and what was measured
#
# The entries below are the paper's own summary. Each is decided from the same tickets as the section that it sums up, at every
# level and in every layer.

# %%
markdown(pages.claims_block(scored))

# %%
markdown(pages.provenance(store, [*paper_a.FREE.values(), *paper_a.ALL_PARTIAL]))
