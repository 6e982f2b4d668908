# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (a-3-2-4)=
# # A 3.2.4 Conclusion on shared structure
#
# **In brief.** What the paper concludes from sections 3.2.1 to 3.2.3 {cite:p}`grosse2020`, held against the same
# measurements. The first table counts the verdicts of those sections.

# %% tags=["parameters"]
sections: str = "3.2.1,3.2.2,3.2.3"  # sections whose verdicts are counted here, with commas between

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

# %%
parts = {section: scoring.score("A", section, store) for section in sections.split(",")}
markdown(pages.summary_table(parts))

# %% [markdown]
# ## Claims of this section

# %%
markdown(pages.claims_block(scoring.score("A", "3.2.4", store)))

# %%
markdown(pages.provenance(store, [paper_a.FASHION, paper_a.CIFAR, paper_a.RESNET]))
